"""What a compiled edition holds, whatever the briefs say and whatever a reader chooses."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import html5lib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html as lxml_html
from mjml import mjml2html
from premailer import Premailer

from newsletter.audience.reader import Choices
from newsletter.briefs.model import Brief, Perspective, Point, Source
from newsletter.editions.model import Edition, Placing, Window
from newsletter.render import inline, markers, markup
from newsletter.render.columns import count_columns
from newsletter.render.compile import compile_edition
from newsletter.render.compiled import Begin, CompiledEdition, End, Flow, Headline, Part, Slot
from newsletter.render.context import clean_line, clean_paragraphs, clean_url, text_direction
from newsletter.render.markers import derive_prefix
from newsletter.render.preview import decode_part
from newsletter.render.selection import LARGE_HTML_BYTES, MAX_HTML_BYTES, Selection, Selector
from newsletter.render.templates import find_templates
from newsletter.settings import EditionSettings, Publication, Vocabulary
from tests.examples import examples

PUBLICATION = Publication(
    name="Morning Ledger",
    sender="Ledger <ledger@news.example>",
    list_id="daily.news.example",
    url="https://news.example",
    postal_address="1 Example Street, Springfield",
)
VALUES = {
    "email": "ada@reader.example",
    "unsubscribe_url": "https://news.example/u?t=a&b='c'",
    "preferences_url": "https://news.example/p/token",
    "web_url": "https://news.example/e/2026-11-23",
}


def full_brief(n: int = 0, *, words: int = 20) -> Brief:
    lenses = ("Household Impact", "Institutional View", "Adversary View")
    return Brief(
        title=f"Harbor city approves port number {n}",
        summary=f"The council voted on berth {n}." + " The vote was close." * (words // 4),
        why_it_matters=f"A port that cannot take ships loses route {n}.",
        quick_take=(
            Point(label="Money Angle", text=f"Bonds carry part {n} of the cost."),
            Point(label="Who Loses", text=f"Smaller ports on coast {n}."),
        ),
        perspectives=(
            *(Perspective(lens=lens, text=f"{lens} says {n} of it.") for lens in lenses),
            Perspective(
                lens="Civil Liberties View", text="No direct civil-liberties issue is implicated."
            ),
        ),
        sources=(Source(name=f"post{n}.example", url=f"https://post{n}.example/s?a={n}&b=2"),),
        topics=("Economy",),
        link=f"https://news.example/news/article/rss:{n:x}f/it's-a:slug",
    )


PLAIN_BRIEF = Brief(
    title="東京湾の新しい水素フェリーが就航",
    summary="初日の便はすべて満席だった。\n\n料金は大人二千円。",
    sources=(Source(name="minato.example"),),
)


def edition(*briefs: Brief, left_out: int = 0) -> Edition:
    return Edition(
        date=date(2026, 11, 23),
        window=Window(
            start=datetime(2026, 11, 22, tzinfo=UTC), cut_off=datetime(2026, 11, 23, tzinfo=UTC)
        ),
        subject="Harbor vote, river gauges",
        preheader="Also today: seed prices, and night trains return",
        briefs=briefs,
        left_out=left_out,
    )


def compile_it(edition: Edition, **publication: Any) -> CompiledEdition:
    return compile_edition(
        edition,
        publication=PUBLICATION.model_copy(update=publication),
        vocabulary=Vocabulary(),
        templates=find_templates(),
        settings=EditionSettings(minutes=0),
    )


@pytest.fixture(scope="module")
def compiled() -> CompiledEdition:
    return compile_it(edition(full_brief(1), PLAIN_BRIEF, full_brief(2), left_out=4))


def select(compiled: CompiledEdition, **choices: Any) -> Selection:
    return Selector(compiled).select(Choices(**choices))


def read(
    compiled: CompiledEdition,
    kind: str = "html",
    values: dict[str, str] = VALUES,
    **choices: Any,
) -> str:
    part = compiled.html if kind == "html" else compiled.plain
    return decode_part(part, values, select(compiled, **choices))


BOTH = ("html", "plain")


def test_who_was_sent_some_of_it_reads_no_word_of_that() -> None:
    whole = edition(full_brief(1), PLAIN_BRIEF, full_brief(2), full_brief(3))
    told = Placing(had_in=("2026-11-22-evening", "2026-11-22-noon"))
    compiled = compile_edition(
        replace(whole, placings=(told, Placing(), told, Placing())),
        publication=PUBLICATION,
        vocabulary=Vocabulary(),
        templates=find_templates(),
        settings=EditionSettings(minutes=0, max_briefs=3),
    )
    selector = Selector(compiled)
    had = frozenset({"2026-11-22-noon"})
    anew, again = selector.select(Choices()), selector.select(Choices(), had)
    assert [form is None for form in anew.forms] == [False, False, False, True], "the most"
    assert [form is None for form in again.forms] == [True, False, True, False]
    assert (anew.counts["left_out"], again.counts["left_out"]) == (1, 0)
    assert anew.headline == Headline(subject=whole.subject, preheader=whole.preheader)
    assert again.headline.subject.startswith(PLAIN_BRIEF.title)
    for part in (compiled.html, compiled.plain):
        text = decode_part(part, VALUES, again)
        assert full_brief(1).title not in text
        assert whole.preheader not in text
    assert whole.preheader in decode_part(compiled.html, VALUES, anew)
    assert f"<title>{again.headline.subject}" in " ".join(
        decode_part(compiled.html, VALUES, again).replace("\n", "").split("  ")
    )


def test_who_was_sent_all_of_it_is_told_that_nothing_is_new() -> None:
    told = Placing(had_in=("2026-11-22-evening",))
    compiled = compile_it(replace(edition(PLAIN_BRIEF), placings=(told,)))
    selection = Selector(compiled).select(Choices(), frozenset(told.had_in))
    assert selection.headline.subject == "Morning Ledger, 2026-11-23"
    for part in (compiled.html, compiled.plain):
        text = decode_part(part, VALUES, selection)
        assert "nothing new since the last edition" in " ".join(text.split())
        assert "Nothing on your topics" not in text


def keys(part: Part) -> list[str]:
    flat = (
        inner
        for piece in part.pieces
        for inner in (piece.parts if isinstance(piece, Flow) else (piece,))
    )
    return [piece.key for piece in flat if isinstance(piece, Begin)]


def parse(html: str) -> lxml_html.HtmlElement:
    return lxml_html.document_fromstring(
        html.encode(), parser=lxml_html.HTMLParser(encoding="utf-8")
    )


def parse_errors(html: str) -> list[Any]:
    parser = html5lib.HTMLParser()
    parser.parse(html)
    return list(parser.errors)


def squeeze(text: str) -> str:
    return re.sub(r"\s+", "", text)


def visible(html: str) -> str:
    return squeeze("".join(parse(html).itertext()))


# -- compiling ---------------------------------------------------------------------------------


def test_the_same_edition_gives_the_same_bytes(compiled: CompiledEdition) -> None:
    again = compile_it(edition(full_brief(1), PLAIN_BRIEF, full_brief(2), left_out=4))
    assert again.dump() == compiled.dump()


def test_mjml_and_premailer_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []

    def count(name: str, real: Any) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            runs.append(name)
            return real(*args, **kwargs)

        return counted

    monkeypatch.setattr(markup, "mjml2html", count("mjml", mjml2html))
    monkeypatch.setattr(inline, "Premailer", count("premailer", Premailer))
    compile_it(edition(*map(full_brief, range(15))))
    assert runs == ["mjml", "premailer"]


def test_pieces_are_in_wire_form(compiled: CompiledEdition) -> None:
    for part in (compiled.html, compiled.plain):
        for piece in part.pieces:
            if isinstance(piece, bytes):
                assert piece.endswith(b"\r\n")
                assert all(len(line) <= 76 for line in piece.split(b"\r\n"))
        assert isinstance(part.pieces[-1], bytes)
        assert not part.pieces[-1].endswith(b"=\r\n")


def test_the_doctype_and_the_conditional_comments_survive(compiled: CompiledEdition) -> None:
    html = read(compiled)
    assert html.startswith("<!doctype html><html")
    opened = len(re.findall(r"<!--\[if [^]]*\]>", html))
    assert opened == html.count("<![endif]-->") > 4
    assert "!important" in html
    assert "[data-ogsc]" in html


# -- slots and blocks --------------------------------------------------------------------------


def test_slots_are_filled_in_text_and_in_links(compiled: CompiledEdition) -> None:
    html = parse(read(compiled))
    links = {a.text_content().strip(): a.get("href") for a in html.xpath("//a")}
    assert links["Unsubscribe"] == VALUES["unsubscribe_url"]
    assert links["4 more on the web"] == VALUES["web_url"]
    assert links["Harbor city approves port number 2"].endswith("/rss:2f/it's-a:slug")
    assert html.xpath("//ol//a")[1].get("href") == VALUES["web_url"] + "#brief-2"
    assert (
        f"3 briefs · 1 min · {select(compiled).counts['word_count']} words" in html.text_content()
    )
    assert "ada@reader.example" in html.text_content()
    plain = read(compiled, "plain")
    assert f"Unsubscribe: {VALUES['unsubscribe_url']}\n" in plain  # nothing is escaped here


def test_a_hostile_value_is_text(compiled: CompiledEdition) -> None:
    values = VALUES | {"email": "<script>alert(1)</script>", "web_url": '"><script>'}
    html = read(compiled, values=values)
    assert not parse(html).xpath("//script")
    assert parse_errors(html) == []


def test_each_brief_stands_in_each_of_its_forms(compiled: CompiledEdition) -> None:
    for part in (compiled.html, compiled.plain):
        found = keys(part)
        for n in range(3):
            forms = [f"{form}:{n}" for form in ("contents", "full", "standard", "line")]
            wanted = [1, 0 if n == 1 else 1, 1, 1]  # the brief without analysis has no more to say
            assert [found.count(form) for form in forms] == wanted
        for lens in ("lens:2:Household Impact", "lens:2:Adversary View", "quiet:2:Civil Liberties"):
            assert sum(key.startswith(lens) for key in found) == 1
        assert not [key for key in found if key.startswith(("lens:1:", "perspectives:1"))]


def test_a_reader_without_a_topic_or_a_lens_does_not_see_it() -> None:
    sport = replace(full_brief(3), topics=("Sport", "Society"))
    compiled = compile_it(edition(full_brief(1), sport))
    for kind in BOTH:
        text = read(
            compiled, kind, topics=("sport",), lenses=("adversary view", "Household Impact")
        )
        assert "number 1" not in text
        assert "Institutional View says 3" not in text
        assert squeeze(text).index("AdversaryViewsays3") < squeeze(text).index(
            "HouseholdImpactsays"
        )
        assert "Not centrally implicated" not in text
        assert "1 more on the web" in text


@st.composite
def choices(draw: st.DrawFn) -> Choices:
    lenses = [*(lens.name for lens in Vocabulary().lenses), "Nobody's"]
    return Choices(
        topics=tuple(draw(st.lists(st.sampled_from(["Economy", "sport", "none"]), max_size=2))),
        lenses=tuple(draw(st.lists(st.sampled_from(lenses), max_size=4))),
        detail=draw(st.sampled_from(["", "one-line", "standard", "full"])),
        minutes=draw(st.sampled_from([0, 3, 5, 10])),
        language=draw(st.sampled_from(["", "de", "he", "es-MX", "tlh"])),
    )


MIXED = edition(
    *(full_brief(n, words=150) for n in range(3)),
    PLAIN_BRIEF,
    *(replace(full_brief(n, words=50), topics=("Sport",)) for n in range(4, 9)),
    left_out=1,
)


@cache
def mixed_compiled() -> CompiledEdition:
    return compile_it(MIXED)


@settings(max_examples=examples(60), deadline=None)
@given(chosen=choices())
def test_every_selection_is_valid_and_says_the_same_in_both_formats(
    chosen: Choices,
) -> None:
    mixed = mixed_compiled()
    selection = Selector(mixed).select(chosen)
    html, plain = (decode_part(part, VALUES, selection) for part in (mixed.html, mixed.plain))
    assert parse_errors(html) == []
    shown = [brief for brief, form in zip(MIXED.briefs, selection.forms, strict=True) if form]
    assert len(shown) == selection.counts["brief_count"]
    for brief, form in zip(MIXED.briefs, selection.forms, strict=True):
        for text in (visible(html), squeeze(plain)):
            assert (squeeze(brief.title) in text) == (form is not None)
            if form in ("standard", "full"):
                assert squeeze(brief.summary) in text
                assert squeeze(brief.why_it_matters) in text
            spoken = [p for p in brief.perspectives[:3] if squeeze(p.text) in text]
            assert len(spoken) >= 2 if form == "full" else not spoken
            if any(p.lens == "Adversary View" for p in spoken):
                assert squeeze("does not reflect the views of the publication") in text or (
                    chosen.language  # it is said in that language
                )
    links = {str(link) for link in parse(html).xpath("//a/@href")}
    assert all(link in plain for link in links if not link.startswith(VALUES["web_url"] + "#"))
    words = selection.counts["word_count"]
    assert words <= chosen.minutes * 240 or not chosen.minutes


def test_blocks_nest(compiled: CompiledEdition) -> None:
    for part in (compiled.html, compiled.plain):
        stack: list[str] = []
        for piece in part.pieces:
            if isinstance(piece, Begin):
                stack.append(piece.key)
            elif isinstance(piece, End):
                assert stack.pop() == piece.key
            if isinstance(piece, Begin) and piece.key.startswith("lens:2:"):
                assert "full:2" in stack
        assert stack == []


def test_words_are_counted_by_block() -> None:
    words = compile_it(edition(full_brief(1, words=0), PLAIN_BRIEF)).words
    assert words["full:0"] == 6 + 6 + 9 + (2 + 7) + (2 + 5)
    assert words["standard:0"] == 6 + 6 + 9
    assert words["line:0"] == 6 + 6
    assert words["lens:0:Household Impact"] == 2 + 6
    assert words["lens:0:Adversary View"] == 2 + 6 + 13  # the caveat is read as well
    assert words["quiet:0:Civil Liberties View"] == 2
    assert words["standard:1"] == 8 + 7 + 4
    assert words[""] == 0


# -- content -----------------------------------------------------------------------------------


def facts(brief: Brief) -> list[str]:
    return [
        brief.title,
        *brief.summary.split("\n\n"),
        brief.why_it_matters,
        *(text for point in brief.quick_take for text in (point.label, point.text)),
        *(text for p in brief.perspectives[:3] for text in (p.lens, p.text)),
        *(source.name for source in brief.sources),
    ]


def test_html_and_text_carry_the_same_facts(compiled: CompiledEdition) -> None:
    html, plain = (read(compiled, kind) for kind in BOTH)
    for brief in (full_brief(1), PLAIN_BRIEF, full_brief(2)):
        for fact in filter(None, facts(brief)):
            assert squeeze(fact) in visible(html)
            assert squeeze(fact) in squeeze(plain)
    for link in parse(html).xpath("//a/@href"):
        assert str(link) in plain or str(link).startswith(VALUES["web_url"] + "#")
    for line in plain.split("\n"):
        assert count_columns(line) <= 78 or "https://" in line


def test_lenses_with_nothing_to_say_collapse(compiled: CompiledEdition) -> None:
    for kind in BOTH:
        text = " ".join("".join(parse(read(compiled, kind)).itertext()).split())
        assert text.count("Not centrally implicated: Civil Liberties.") == 2
        assert "No direct civil-liberties" not in text


def test_the_caveat_stands_in_the_lens_block(compiled: CompiledEdition) -> None:
    caveat = squeeze("does not reflect the views of the publication")
    for kind in BOTH:
        mine = ("Household Impact", "Institutional View")
        assert squeeze(read(compiled, kind)).count(caveat) == 2
        assert squeeze(read(compiled, kind, lenses=mine)).count(caveat) == 0


def test_analysis_stands_apart_from_facts_and_is_labelled() -> None:
    html = read(compile_it(edition(full_brief())))
    facts_end = html.index("The vote was close.")
    assert facts_end < html.index("AI-assisted analysis") < html.index("Why this matters")
    assert html.count("AI-assisted perspectives, not fact") == 1
    assert "AI-assisted analysis" not in read(compile_it(edition(PLAIN_BRIEF)))


def test_the_disclosure_names_all_sources_and_stands_only_with_analysis() -> None:
    compiled = compile_it(edition(full_brief(1), PLAIN_BRIEF))
    for kind in BOTH:
        assert squeeze("reporting from post1.example and minato.example. See our") in squeeze(
            "".join(parse(read(compiled, kind)).itertext())
        )
    plain_only = compile_it(edition(PLAIN_BRIEF))
    assert "AI-assisted" not in read(plain_only)
    assert "AI-assisted" not in read(plain_only, "plain")


def test_a_quiet_day_is_said(compiled: CompiledEdition) -> None:
    quiet = compile_it(edition())
    assert "A quiet day" in read(quiet)
    assert "* A quiet day *" in read(quiet, "plain")
    assert parse_errors(read(quiet)) == []
    assert "quiet day" not in read(compiled)


def test_right_to_left_editions_are_mirrored_and_titles_isolated() -> None:
    html = parse(read(compile_it(edition(full_brief()), language="ar")))
    wrapper = html.xpath("//body/*[@role='article']")[0]
    assert (html.get("lang"), html.get("dir")) == ("ar", "rtl")
    assert (wrapper.get("lang"), wrapper.get("dir")) == ("ar", "rtl")
    assert "border-right:3px" in html.xpath("//td[contains(@class, 'box')]/@style")[0]
    assert {h.get("dir") for h in html.xpath("//h1|//h2")} == {"auto"}


@pytest.mark.parametrize(
    ("language", "direction"),
    [
        ("en", "ltr"),
        ("he", "rtl"),
        ("ar-EG", "rtl"),
        ("FA", "rtl"),
        ("ur", "rtl"),
        ("az-Arab", "rtl"),
        ("ur-Latn", "ltr"),
    ],
)
def test_direction_of_a_language(language: str, direction: str) -> None:
    assert text_direction(language) == direction


# -- size --------------------------------------------------------------------------------------


def test_ten_full_briefs_fit_and_of_twenty_the_last_are_shorter() -> None:
    for count, words in ((10, 240), (20, 120)):
        compiled = compile_it(edition(*(full_brief(n, words=words) for n in range(count))))
        size = len(read(compiled).encode())
        forms = select(compiled).forms
        assert size < 80_000, (count, size)
        assert all(forms)
        assert forms[:10] == ("full",) * 10


def test_what_does_not_fit_is_told_shorter_or_counted() -> None:
    briefs = [full_brief(n, words=700) for n in range(40)]
    compiled = compile_it(edition(*briefs, left_out=2))
    selection = Selector(compiled).select_everything()
    values = dict.fromkeys(VALUES, "https://news.example/" + "x" * 100)
    html = decode_part(compiled.html, values, selection)
    assert 60_000 < len(html.encode()) <= LARGE_HTML_BYTES
    forms = [form for form in selection.forms if form]
    assert len(forms) == 40
    assert 2 < forms.count("full") < 20
    assert forms.index("one-line") >= forms.count("full")
    for kind in BOTH:
        assert "2 more on the web" in read(compiled, kind, values)
    assert parse_errors(html) == []


def test_what_has_no_room_even_for_a_line_is_counted() -> None:
    briefs = [replace(full_brief(n), title=f"Harbor {n} " + "and port " * 60) for n in range(60)]
    compiled = compile_it(edition(*briefs))
    selection = select(compiled, minutes=3)
    shown = selection.counts["brief_count"]
    assert 0 < shown < 10
    assert f"{60 - shown} more on the web" in read(compiled, minutes=3)
    assert all(selection.forms[:shown])
    assert selection.forms[shown:] == (None,) * (60 - shown)


def test_a_brief_too_large_for_any_mail_is_told_shorter() -> None:
    compiled = compile_it(edition(full_brief(0, words=24_000), full_brief(1)))
    assert select(compiled).forms == ("one-line", "full")
    assert len(read(compiled).encode()) < MAX_HTML_BYTES


def test_the_reference_day_keeps_its_budget() -> None:
    day = [full_brief(n, words=40) for n in range(15)]
    compiled = compile_it(edition(*day))
    words = {"full": 234, "standard": 74, "line": 25}  # what such briefs measure on average
    measured = {f"{form}:{n}": count for form, count in words.items() for n in range(15)}
    measured[""] = 0
    selection = select(replace(compiled, words=measured), minutes=5)
    forms = [*selection.forms]
    assert [forms.count(form) for form in ("full", "standard", "one-line")] == [3, 4, 8]
    assert (selection.counts["word_count"], selection.counts["minutes"]) == (1198, 5)


# -- hostile text ------------------------------------------------------------------------------

EVIL = (
    "<script>alert(1)</script> {{7*7}} {% x %} ]]> --> <!-- \"q\" 's' &lt; &amp; \u202eabc\u202c "
    "</td></table> \x00\x02f:9\x03 \ud800 NL0123456789ABCDEFB0E\r\nBcc: x@y.example"
)
HOSTILE = st.one_of(
    st.just(EVIL),
    st.text(st.characters(codec=None), max_size=40),
    st.lists(
        st.sampled_from(
            [
                "<",
                ">",
                "&",
                '"',
                "'",
                "{{",
                "}}",
                "]]>",
                "<!--",
                "-->",
                "\x00",
                "\r\n",
                "\n\n",
                "a",
                "mj-text",
                "/",
                "\u2066",
            ]
        ),
        max_size=12,
    ).map("".join),
)


@st.composite
def hostile_briefs(draw: st.DrawFn) -> Brief:
    text = HOSTILE
    return Brief(
        title=draw(text) + "t",
        summary=draw(text) + "s",
        why_it_matters=draw(text),
        quick_take=(Point(label=draw(text), text=draw(text)),),
        perspectives=(Perspective(lens=draw(text), text=draw(text)),),
        sources=(
            Source(name=draw(text), url=draw(text)),
            Source(name="b", url="https://b.example/" + draw(text)),
        ),
        topics=(draw(text),),
        link=draw(st.sampled_from(["javascript:alert(1)", "https://x.example/'\" onload='x"])),
    )


@settings(max_examples=examples(40), deadline=None)
@given(hostile_briefs(), HOSTILE)
def test_hostile_text_is_inert_in_every_field(brief: Brief, text: str) -> None:
    hostile = edition(brief, PLAIN_BRIEF)
    compiled = compile_it(
        Edition(
            date=hostile.date,
            window=hostile.window,
            subject=text,
            preheader=text,
            briefs=hostile.briefs,
        ),
        name=text + "n",
        postal_address=text,
    )
    html, plain = (read(compiled, kind) for kind in BOTH)
    assert parse_errors(html) == []
    tree = parse(html)
    assert not tree.xpath("//script|//iframe|//img|//*[starts-with(name(@*), 'on')]")
    titles = [squeeze(h.text_content()) for h in tree.xpath("//h2[not(@class='mark')]")]
    assert titles == [
        squeeze(t) for t in ("In this edition", clean_line(brief.title), PLAIN_BRIEF.title)
    ]
    assert squeeze(tree.findtext(".//title") or "") == squeeze(clean_line(text))
    for href in tree.xpath("//a/@href"):
        assert re.match(r"https://[a-z.]+[/?#]|mailto:ledger@news\.example/$", str(href) + "/")
    for paragraph in clean_paragraphs(brief.summary):
        assert squeeze(paragraph) in visible(html)
        assert squeeze(paragraph) in squeeze(plain)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", html + plain)
    assert [s for s in compiled.html.pieces if isinstance(s, Slot)]


def test_no_brief_can_imitate_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.fullmatch(r"NL[0-9A-F]{16}", derive_prefix("content"))
    assert derive_prefix("content") == derive_prefix("content") != derive_prefix("other")

    class Digest:
        """Hash to the number of the attempt."""

        def __init__(self, data: bytes) -> None:
            self.attempt = int(data.partition(b":")[0])

        def hexdigest(self) -> str:
            return f"{self.attempt:064d}"[::-1]

    monkeypatch.setattr(markers, "sha256", Digest)
    taken = "it says NL0000000000000000B0E and nl1000000000000000"
    assert derive_prefix(taken) == "NL2000000000000000"


@pytest.mark.parametrize(
    ("url", "cleaned"),
    [
        ("https://x.example/news/rss:ab/it's-a:slug", "https://x.example/news/rss:ab/it's-a:slug"),
        ("HTTPS://X.example:8443/a?b=1&c=%20#d", "https://x.example:8443/a?b=1&c=%20#d"),
        ("https://münchen.example/ä b", "https://xn--mnchen-3ya.example/%C3%A4%20b"),
        ('https://x.example/"><script>{{7}}', "https://x.example/%22%3E%3Cscript%3E%7B%7B7%7D%7D"),
        ("https://user:secret@x.example/", "https://x.example/"),
        ("http://[2001:db8::1]/", "http://[2001:db8::1]/"),
        ("javascript:alert(1)", ""),
        ("//x.example/a", ""),
        ("https:///a", ""),
        ("https://x.example:port/", ""),
        ("https://[::1", ""),
        ("https://a b/", ""),
        ("", ""),
    ],
)
def test_addresses(url: str, cleaned: str) -> None:
    assert clean_url(url) == cleaned
