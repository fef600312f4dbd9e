"""Every rule of the text format, and every document that it was written down for."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from newsletter.briefs.model import Brief, Parsed, Perspective, Point, Source
from newsletter.briefs.oddities import Oddity
from newsletter.briefs.text import format_text, parse_text
from newsletter.errors import BriefError
from newsletter.settings import Vocabulary

DEFAULT = Vocabulary()
SAMPLE = (Path(__file__).parent / "brief_cases" / "sample.txt").read_text()
LABELS = [
    DEFAULT.why_heading,
    DEFAULT.quick_take_heading,
    DEFAULT.perspectives_heading,
    *DEFAULT.points,
    *(lens.name for lens in DEFAULT.lenses),
]
FOOTER = (
    "AFBytes analysis is AI-assisted and generated from source metadata. "
    "It does not replace the original reporting from {}. See our AI and Summary Disclosure."
)


def parse(text: str | bytes) -> Parsed:
    return parse_text(text, vocabulary=DEFAULT, file="brief.txt")


def parse_one(text: str | bytes) -> Brief:
    (brief,) = parse(text).briefs
    return brief


def codes(text: str | bytes) -> list[str]:
    (warnings,) = parse(text).warnings
    return [warning.code for warning in warnings]


def each_label(change: Callable[[str], str]) -> str:
    lines = [line.removeprefix("- ") for line in SAMPLE.splitlines()]
    return "\n".join(change(line) if line in LABELS else line for line in lines)


def with_labels_inline() -> str:
    text = each_label(str)
    for point in DEFAULT.points:
        text = text.replace(f"{point}\n", f"{point}: ")
    return text


def reordered() -> str:
    opening, why, quick, perspectives, footer = re.split(
        r"\n(?=Why this|Quick take|Perspectives on|AFBytes analysis)", SAMPLE
    )
    return f"{opening}\n{footer}\n{perspectives}\n{quick}\n{why}"


def copied_from_the_page() -> str:
    title, rest = SAMPLE.split("\n", 1)
    lines = [title, "Read full story on harborwire.example", "Share", title, "AI disclosure"]
    return "\n\n".join([*lines, *(line.removeprefix("- ") for line in rest.splitlines())])


SAMPLE_BRIEF = parse_one(SAMPLE)


def test_the_sample_is_read_into_its_parts() -> None:
    assert SAMPLE_BRIEF.title == "Port of Example Reopens After Storm Damage"
    assert SAMPLE_BRIEF.summary.startswith("The port of Example took container ships")
    assert SAMPLE_BRIEF.why_it_matters.startswith("A third of the region's grain")
    assert tuple(point.label for point in SAMPLE_BRIEF.quick_take) == DEFAULT.points
    assert SAMPLE_BRIEF.quick_take[3].text.startswith("Inland rail carriers")
    described = [(p.lens, p.descriptor) for p in SAMPLE_BRIEF.perspectives]
    assert described == [(lens.name, lens.descriptor) for lens in DEFAULT.lenses]
    assert SAMPLE_BRIEF.perspectives[5].text.startswith("Rival state outlets")
    assert SAMPLE_BRIEF.sources == (Source(name="harborwire.example"),)
    assert SAMPLE_BRIEF.disclosure.endswith("Disclosure for details.")


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(SAMPLE.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(SAMPLE.replace("\n", "\r"), id="CR only"),
        pytest.param(SAMPLE.replace("\n", "\u2028"), id="line separators"),
        pytest.param(SAMPLE.encode("utf-8-sig"), id="UTF-8 BOM"),
        pytest.param(SAMPLE.encode("utf-16"), id="UTF-16 BOM"),
        pytest.param(b"\xfe\xff" + SAMPLE.encode("utf-16-be"), id="UTF-16 big-endian"),
        pytest.param("\n\n" + SAMPLE.replace("\n", "\n\n\n") + "\n\n", id="blank lines everywhere"),
        pytest.param(SAMPLE.replace("\n", " \t\xa0\n"), id="trailing blanks"),
        pytest.param(SAMPLE.replace("\n", "\n    "), id="indentation"),
        pytest.param("# " + each_label("## {}".format), id="Markdown headings"),
        pytest.param(each_label("### {} ###".format), id="closed Markdown headings"),
        pytest.param(each_label("**{}**".format), id="bold labels"),
        pytest.param(each_label("__{}:__".format), id="bold labels with a colon"),
        pytest.param(each_label(str), id="unbulleted"),
        pytest.param(with_labels_inline(), id="label and text on one line"),
        pytest.param(SAMPLE.replace("\n- ", "\n• "), id="other bullets"),
        pytest.param(SAMPLE.replace("\n- ", "\n* "), id="asterisks"),
        pytest.param(SAMPLE.replace("\n- ", "\n– "), id="dashes"),
        pytest.param(each_label(str.upper), id="upper case"),
        pytest.param(each_label(lambda label: label.replace(" ", "\xa0")), id="NBSP"),
        pytest.param(each_label("{}:".format), id="trailing colon"),
        pytest.param(SAMPLE.replace(" -- ", " — "), id="typographic dashes"),
        pytest.param(SAMPLE.replace("AFBytes Brief\n", "AFBytes Brief\n\n---\n\n"), id="a rule"),
        pytest.param(reordered(), id="sections reordered"),
        pytest.param(copied_from_the_page(), id="copied from the page"),
        pytest.param(SAMPLE.replace("\n", "\n=====\n", 1), id="title underlined"),
        pytest.param(SAMPLE.replace("\n", "\n-----\n", 1), id="title underlined by dashes"),
    ],
)
def test_the_same_brief_in_another_guise_gives_the_same_result(document: str | bytes) -> None:
    assert parse(document) == replace(parse(SAMPLE), briefs=(SAMPLE_BRIEF,))


# -- what is odd but imports -----------------------------------------------------------------

HEAD = "Title\nAFBytes Brief\nSummary of it.\n"
TAIL = f"Perspectives on this story\nHousehold Impact\nA text.\n{FOOTER.format('wire.example')}"


@pytest.mark.parametrize(
    ("document", "code", "line"),
    [
        (HEAD + FOOTER.format("wire.example"), Oddity.NO_PERSPECTIVES, None),
        (HEAD + TAIL.rsplit("\n", 1)[0], Oddity.NO_FOOTER, None),
        ("Title\nSummary of it.\n" + TAIL, Oddity.NO_BRAND, None),
        (HEAD + TAIL.replace("Household Impact", "Climate View"), Oddity.UNKNOWN_LENS, 5),
        (HEAD + "Quick take\n- Tech Angle\n- A text.\n" + TAIL, Oddity.UNKNOWN_POINT, 5),
        (HEAD + "Who Loses\nA.\nWho Loses\nB.\n" + TAIL, Oddity.DUPLICATE_LABEL, 6),
        (HEAD + "Who Loses\n" + TAIL, Oddity.POINT_WITHOUT_TEXT, 4),
        (HEAD + TAIL.replace("A text.\n", ""), Oddity.LENS_WITHOUT_TEXT, 5),
        (HEAD + TAIL.replace("A text.", "How it is."), Oddity.LENS_WITHOUT_TEXT, 5),
        ((HEAD + "Café.\n" + TAIL).encode("cp1252"), Oddity.NOT_UTF8, None),
        ("Itâ€™s\n" + HEAD[6:] + TAIL, Oddity.MOJIBAKE, 1),
        ("Ti\u202etle\n" + HEAD[6:] + TAIL, Oddity.BIDI_CONTROLS, 1),
        ("Ti\x07tle\n" + HEAD[6:] + TAIL, Oddity.CONTROL_CHARACTERS, 1),
        (HEAD + "Quick take\nProse that ends a sentence.\n" + TAIL, Oddity.TEXT_WITHOUT_LABEL, 5),
        (HEAD + TAIL.replace("story\n", "story\nRead on.\n"), Oddity.TEXT_LEFT_OUT, 5),
        ("4 March\n" + HEAD + TAIL, Oddity.TEXT_LEFT_OUT, 1),
        ("---\nid: 5\nlayout: post\n---\n" + HEAD + TAIL, Oddity.UNKNOWN_KEY, 3),
    ],
)
def test_what_is_odd_imports_with_one_warning(
    document: str | bytes, code: Oddity, line: int | None
) -> None:
    ((warning,),) = parse(document).warnings
    assert (warning.code, warning.line) == (code, line)
    assert warning.message


def test_mojibake_is_left_as_it_is_and_a_bidi_override_is_not() -> None:
    assert parse_one("Itâ€™s\n" + HEAD[6:]).title == "Itâ€™s"
    assert parse_one("Ti\u202etle\n" + HEAD[6:]).title == "Title"


def test_a_joiner_within_a_word_is_kept() -> None:
    assert parse_one("خانه\u200cها 👩\u200d🚀\n" + HEAD[6:]).title == "خانه\u200cها 👩\u200d🚀"


def test_text_becomes_nfc() -> None:
    assert parse_one("Cafe\u0301\n" + HEAD[6:]).title == "Café"


# -- what does not import --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "problem", "line"),
    [
        (b"", "is empty", None),
        (b" \r\n\t\n\xc2\xa0", "is empty", None),
        ("\u200d\n\u200b".encode(), "is empty", None),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is a PNG picture, not text", None),
        (b"\x89PNG\r\n\x1a\n", "is a PNG picture, not text", None),
        (b"%PDF-1.7\n", "is a PDF document, not text", None),
        (b"Title\0\nSummary", "is not text", None),
        (SAMPLE.encode("utf-16-le"), "is not text", None),
        (bytes(range(1, 32)) * 4, "is not text", None),
        (b"Title\n", "has no summary", 1),
        (b"Title\nAFBytes Brief\n\nWhy this matters\nIt does.", "has no summary", 1),
        (b"\nTitle\nAFBytes Brief\nTitle\n", "has no summary", 2),
        (b"AFBytes Brief\nSummary of it.", "has no title", 1),
        (b"Why this matters\nIt does.", "has no title", 1),
        (b"---\n- \n---", "has no title", 2),
        (b"---\nid: [1\n---\nTitle\nSummary", "the front matter is not YAML", 2),
    ],
)
def test_what_is_no_brief_is_refused_with_file_and_line(
    document: bytes, problem: str, line: int | None
) -> None:
    with pytest.raises(BriefError) as caught:
        parse(document)
    assert caught.value.problem.startswith(problem)
    assert (caught.value.file, caught.value.line) == ("brief.txt", line)


# -- labels ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Who benefits is unclear, analysts said.",
        "The household impact: unclear.",
        "Quick takes are in fashion.",
        "Money, angle and hook",
    ],
)
def test_a_text_that_resembles_a_label_is_text(text: str) -> None:
    assert parse_one(f"{HEAD}Why this matters\nA.\n{text}\n").why_it_matters == f"A.\n\n{text}"


def test_a_known_label_ends_whatever_came_before() -> None:
    brief = parse_one(HEAD + "Who Loses: Carriers.\nAdversary View\nNeglect.\nMoney Angle\nFees.")
    assert brief.summary == "Summary of it."
    assert brief.quick_take == (
        Point(label="Who Loses", text="Carriers."),
        Point(label="Money Angle", text="Fees."),
    )
    assert brief.perspectives == (Perspective(lens="Adversary View", text="Neglect."),)


def test_a_bold_label_ahead_of_its_text_is_a_label() -> None:
    brief = parse_one(HEAD + "- **Who Loses:** Carriers.\n- **Money Angle**: Fees: many.")
    assert [p.text for p in brief.quick_take] == ["Carriers.", "Fees: many."]


@pytest.mark.parametrize(
    ("label", "is_label"),
    [
        ("Tech Angle", True),
        ("One two three four five six seven", True),
        ("One two three four five six seven eight", False),
        ("A" * 48, True),
        ("A" * 49, False),
        ("It ends a sentence.", False),
        ("Does it?”", False),
    ],
)
def test_an_unknown_label_is_short_and_ends_no_sentence(label: str, is_label: bool) -> None:
    brief = parse_one(f"{HEAD}Quick take\nWho Loses\nCarriers.\n{label}\nA text.\n")
    assert (brief.quick_take[-1] == Point(label=label, text="A text.")) == is_label
    if not is_label:
        assert brief.quick_take[0].text == f"Carriers.\n\n{label}\n\nA text."


@pytest.mark.parametrize("below", ["", "Why this matters\nIt does.", FOOTER.format("a.example")])
def test_a_short_line_that_no_text_follows_is_text(below: str) -> None:
    brief = parse_one(f"{HEAD}Who Loses\nCarriers.\nand ports\n{below}")
    assert brief.quick_take == (Point(label="Who Loses", text="Carriers.\n\nand ports"),)


def test_a_short_text_directly_below_its_label_is_text() -> None:
    brief = parse_one(HEAD + "Quick take\n- Who Loses\n- None\n- So far at least.\n")
    assert brief.quick_take == (Point(label="Who Loses", text="None\n\nSo far at least."),)


@pytest.mark.parametrize(
    "lines",
    ["Climate View", "Climate Lens:", "A Perspective", "Village impact", "Climate\nHow it warms."],
)
def test_among_the_perspectives_looks_are_enough_for_an_unknown_lens(lines: str) -> None:
    brief = parse_one(f"{HEAD}Household Impact\n{lines}")
    assert brief.perspectives[0] == Perspective(lens="Household Impact")
    assert brief.perspectives[1].lens == lines.partition("\n")[0].rstrip(":")
    assert codes(f"{HEAD}Household Impact\n{lines}").count(Oddity.UNKNOWN_LENS) == 1


def test_no_label_is_guessed_outside_quick_take_and_perspectives() -> None:
    brief = parse_one(HEAD + "Climate View\nIt warms.\nWhy this matters\nClimate View\nIt does.")
    assert brief.summary == "Summary of it.\n\nClimate View\n\nIt warms."
    assert brief.why_it_matters == "Climate View\n\nIt does."


def test_the_descriptor_is_the_first_line_that_begins_with_how() -> None:
    lens = "Household Impact\nHow it costs.\nHow much depends on rates.\nHow odd."
    (perspective,) = parse_one(HEAD + lens).perspectives
    assert perspective.descriptor == "How it costs."
    assert perspective.text == "How much depends on rates.\n\nHow odd."


def test_a_descriptor_may_follow_a_text_on_the_label_s_line_but_no_later_text() -> None:
    document = HEAD + "Household Impact: Less.\nHow it costs.\nAdversary View\nA.\nHow so."
    first, second = parse_one(document).perspectives
    assert (first.descriptor, first.text) == ("How it costs.", "Less.")
    assert (second.descriptor, second.text) == ("", "A.\n\nHow so.")


def test_an_inline_heading_counts_unless_it_also_stands_alone() -> None:
    assert parse_one(HEAD + "Why this matters: It does.").why_it_matters == "It does."
    brief = parse_one(HEAD + "Quick take: it is long.\nQuick take\nWho Loses: Carriers.")
    assert brief.summary == "Summary of it.\n\nQuick take: it is long."
    assert brief.quick_take == (Point(label="Who Loses", text="Carriers."),)


def test_text_ahead_of_the_first_point_is_kept_under_the_heading() -> None:
    brief = parse_one(HEAD + "Quick take: Freight gets cheaper.")
    assert brief.quick_take == (Point(label="Quick take", text="Freight gets cheaper."),)


def test_a_repeated_label_merges_equal_texts_and_keeps_different_ones_in_order() -> None:
    lens = "Household Impact\nHow it costs.\nLess.\n"
    once = parse(HEAD + lens)
    assert parse(HEAD + lens + lens) == once
    assert parse(HEAD + "Household Impact\n" + lens) == once  # as in a list of contents
    assert len(parse_one(HEAD + lens + lens.replace("How", "How else")).perspectives) == 2
    brief = parse_one(HEAD + lens + "Adversary View\nA.\nHousehold Impact\nMore.")
    assert [p.text for p in brief.perspectives] == ["Less.", "A.", "More."]
    twice = parse_one(HEAD + "Why this matters\nA.\nWho Loses\nB.\nWhy this matters\nC.")
    assert twice.why_it_matters == "A.\n\nC."


# -- escapes ---------------------------------------------------------------------------------


def test_a_backslash_says_what_a_line_is() -> None:
    document = (
        "\\# 1 port\nAFBytes Brief\n\\Who Loses\n\\- five degrees\nQuick take\n\\ point: Who won.\n"
        "- Ports.\nPerspectives on this story\n\\ lens: Sea.\n\\ descriptor: Wet.\nHow deep.\n"
        "\\ disclosure: By hand."
    )
    brief = parse_one(document)
    assert brief == Brief(
        title="# 1 port",
        summary="Who Loses\n\n- five degrees",
        quick_take=(Point(label="Who won.", text="Ports."),),
        perspectives=(Perspective(lens="Sea.", descriptor="Wet.", text="How deep."),),
        disclosure="By hand.",
    )
    standard = document.replace("story\n", f"story\n{DEFAULT.disclaimer}\n")
    assert format_text([brief], vocabulary=DEFAULT) == standard


# -- titles and summaries --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("#MeToo at ten", "#MeToo at ten"),
        ("# Storm", "Storm"),
        ("-5 degrees", "-5 degrees"),
        ("- Storm", "Storm"),
        ("\\- Storm", "- Storm"),
        ("C#", "C#"),
        ("Storm: the long wait", "Storm: the long wait"),
        ("Long " * 80, ("Long " * 80).strip()),
    ],
)
def test_a_title_keeps_what_is_its_own(line: str, title: str) -> None:
    brief = parse_one(f"{line}\n{HEAD[6:]}")
    assert brief.title == title
    assert parse_one(format_text([brief], vocabulary=DEFAULT)) == brief


def test_a_summary_may_have_paragraphs_and_any_script() -> None:
    japanese = "港は月曜日に再開した。三つのバースは六月まで閉鎖される。"
    brief = parse_one(f"港が再開\nAFBytes Brief\n{japanese}\n\nSecond paragraph.\n")
    assert brief.summary == f"{japanese}\n\nSecond paragraph."


def test_a_half_written_file_imports_at_every_line_after_the_summary() -> None:
    lines = SAMPLE.splitlines()
    for count in range(3, len(lines) + 1):
        brief = parse_one("\n".join(lines[:count]))
        assert brief.summary == SAMPLE_BRIEF.summary
        complete = len(brief.quick_take) - 1
        assert brief.quick_take[:-1] == SAMPLE_BRIEF.quick_take[: max(0, complete)]
        complete = len(brief.perspectives) - 1
        assert brief.perspectives[:-1] == SAMPLE_BRIEF.perspectives[: max(0, complete)]


def test_a_file_cut_off_within_its_disclosure_has_none_of_it_in_a_lens() -> None:
    brief = parse_one(SAMPLE[: SAMPLE.index(" is AI-assisted and generated")])
    assert brief.disclosure == "AFBytes analysis"
    assert brief.perspectives == SAMPLE_BRIEF.perspectives


def test_a_file_cut_off_within_a_character_is_still_utf8() -> None:
    parsed = parse("Café\nAFBytes Brief\nSummary é".encode()[:-1])
    assert parsed.briefs[0].title == "Café"
    assert parsed.warnings[0][0].code == Oddity.NOT_UTF8


# -- sources ---------------------------------------------------------------------------------


def test_sources_come_from_the_disclosure_and_from_the_page() -> None:
    document = f"Title\nRead full story on a.example\n{HEAD[6:]}{FOOTER.format('b.example')}"
    assert [s.name for s in parse_one(document).sources] == ["a.example", "b.example"]
    assert [s.name for s in parse_one(copied_from_the_page()).sources] == ["harborwire.example"]


def test_page_furniture_is_text_in_the_middle_of_a_brief() -> None:
    assert parse_one(HEAD + "Share\nIt.").summary == "Summary of it.\n\nShare\n\nIt."
    assert parse_one(f"{HEAD}{FOOTER.format('a.example')}\nShare").disclosure.endswith(
        "Disclosure."
    )


# -- several briefs --------------------------------------------------------------------------


@pytest.mark.parametrize("separator", ["\n", "\n\n", "\n---\n", "\n\n***\n\n"])
def test_three_briefs_of_one_file_with_and_without_a_separator(separator: str) -> None:
    several = [SAMPLE.replace("Port of", f"{n} Port of") for n in ("First", "Second", "Third")]
    parsed = parse(separator.join(several))
    assert parsed.briefs == tuple(map(parse_one, several))
    assert parsed.warnings == ((), (), ())


def test_three_copied_pages_in_one_file() -> None:
    page = copied_from_the_page()
    several = [page.replace("Port of", f"{n} Port of") for n in ("First", "Second", "Third")]
    assert parse("\n\n".join(several)).briefs == tuple(map(parse_one, several))


def test_a_separator_begins_a_brief_without_a_brand_line() -> None:
    assert [b.title for b in parse("A\nFirst.\n---\nB\nSecond.").briefs] == ["A", "B"]
    mixed = parse(f"{SAMPLE}\n---\nB\nSecond.\nWhy this matters\nIt does.")
    assert [b.title for b in mixed.briefs] == [SAMPLE_BRIEF.title, "B"]


def test_a_rule_between_the_parts_of_a_brief_separates_nothing() -> None:
    ruled = SAMPLE.replace("\nQuick", "\n---\nQuick").replace("\nAFBytes a", "\n---\nAFBytes a")
    assert parse(ruled) == parse(SAMPLE)


def test_a_brief_without_brand_line_ahead_of_one_with_it() -> None:
    parsed = parse("A\nFirst.\nWhy this matters\nIt does.\n" + SAMPLE)
    assert [b.title for b in parsed.briefs] == ["A", SAMPLE_BRIEF.title]


def test_one_bad_brief_is_a_problem_and_stops_no_other() -> None:
    parsed = parse(f"{SAMPLE}\n---\nB\nAFBytes Brief\n---\nC\nAFBytes Brief\nThird.")
    assert [b.title for b in parsed.briefs] == [SAMPLE_BRIEF.title, "C"]
    assert [str(p) for p in parsed.problems] == [
        "brief.txt, line 39: has no summary; write the facts below the headline."
    ]


def test_a_brand_line_directly_below_a_separator_lacks_its_title() -> None:
    parsed = parse(f"{SAMPLE}\n---\nAFBytes Brief\nText.")
    assert [p.problem for p in parsed.problems] == ["has no title"]
    assert parsed.briefs == (SAMPLE_BRIEF,)


def test_warnings_go_to_the_brief_that_they_are_about() -> None:
    odd = SAMPLE.replace("took", "to\x07ok")
    first, second = parse(f"{SAMPLE}\n---\n{odd}").warnings
    assert first == ()
    assert [(w.code, w.line) for w in second] == [(Oddity.CONTROL_CHARACTERS, 41)]


def test_front_matter_belongs_to_the_brief_below_it() -> None:
    one, two = parse(f"---\nid: 1\n---\n{SAMPLE}\n---\nid: 2\n---\n{SAMPLE}").briefs
    assert (one.id, two.id) == ("1", "2")
    assert replace(two, id="") == SAMPLE_BRIEF


def test_another_publication_s_words_are_its_own() -> None:
    words = Vocabulary(brand="Morning Note", why_heading="So what", points=("Cost",))
    document = "Title\nMorning Note\nFacts.\nSo what\nThis.\nQuick take\n- Cost\n- High.\n"
    (brief,) = parse_text(document, vocabulary=words).briefs
    assert brief.why_it_matters == "This."
    assert brief.quick_take == (Point(label="Cost", text="High."),)
    assert [b.title for b in parse_text(SAMPLE, vocabulary=words).briefs] == [SAMPLE_BRIEF.title]
