"""Laws of the text format that hold for every brief and for any bytes."""

import random
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from newsletter.briefs.document import brief_from_document, brief_to_document
from newsletter.briefs.model import Brief, Perspective, Picture, Point, Source
from newsletter.briefs.normalise import plain_line, plain_text
from newsletter.briefs.oddities import Oddity
from newsletter.briefs.text import format_text, parse_text
from newsletter.errors import BriefError
from newsletter.settings import LensSettings, Vocabulary
from tests.examples import examples

SAMPLE = (Path(__file__).parent / "brief_cases" / "sample.txt").read_bytes()
DEFAULT = Vocabulary()
GERMAN = Vocabulary(
    brand="Kurzmeldung",
    why_heading="Warum es zählt",
    quick_take_heading="Auf einen Blick",
    points=("Wer gewinnt", "Wer verliert", "Geld: die Folgen"),
    perspectives_heading="Blickwinkel",
    disclaimer="Maschinell erzeugt.",
    lenses=(LensSettings(name="Haushalt", descriptor="Was es kostet."), LensSettings(name="Recht")),
    disclosure="Diese Analyse entstand mit KI-Hilfe aus {sources}.",
)
BARE = Vocabulary(brand="", disclaimer="", disclosure="", points=(), lenses=())

TREACHEROUS = [
    "AFBytes Brief", "Why this matters", "why this matters:", "Quick take", "Quick take: all",
    "Perspectives on this story", "Who Loses", "Who Loses: nobody", "“Who Loses?”", "who loses",
    "**Who Loses:** nobody", "Household Impact", "Household Impact: none", "Climate View",
    "How this affects family budgets, jobs, and day-to-day life.", "How", "How so", "How it is.",
    "how quick", "- a bullet", "• a bullet", "# a heading", "#MeToo", "-5 degrees", "- - x",
    "**bold**", "__bold__", "**", "--", "---", "***", "===", "#", "-", "—", "\\", "\\ ", "\\\\ x",
    "\\ point: x", "\\ lens: x", "\\ descriptor: x", "\\ disclosure: x", "\\text", "Share",
    "AI disclosure", "Read full story on wire.example", "Environmental View", "None", "A short one",
    "id: 5", "link: x", "title: x", "Date: the long wait", DEFAULT.disclaimer, DEFAULT.disclosure,
    DEFAULT.lenses[1].descriptor, "AFBytes analysis", "AFBytes analysis is AI-assisted",
    "the original reporting from wire.example and b.example. See more", "Geld: die Folgen",
    "Kurzmeldung", "Diese Analyse entstand", "Wer gewinnt: alle", "'quoted'", '"quoted"', "[a]",
    "{a: b}", "a, b", "no", "007", "2026-03-04", "null", "~", "& x", "* x", "!x", "%x", "@x", "`x`",
    "e\u0301", "\u0301x", "a\u200db", "日本語の要約。", "ﷺ", "İ", "ß", "x: y: z", "Label:",
    "Label：", "A label of more than seven words, which it has", "A label that ends. ", "Ends.",
]  # fmt: skip

lines = (st.sampled_from(TREACHEROUS) | st.text(max_size=60)).map(plain_line).filter(bool)
texts = st.lists(lines, max_size=3).map("\n\n".join)
pictures = st.builds(
    Picture,
    url=st.sampled_from(["https://a.example/x.png", "https://b-c.example/%20'&?w=1#x:y"]),
    alt=lines,
    width=st.integers(1, 10_000),
    height=st.integers(1, 10_000),
    caption=st.just("") | lines,
    credit=st.just("") | lines,
)
briefs = st.builds(
    Brief,
    title=lines,
    summary=st.lists(lines, min_size=1, max_size=3).map("\n\n".join),
    why_it_matters=texts,
    quick_take=st.lists(st.builds(Point, label=lines, text=texts), max_size=4).map(tuple),
    perspectives=st.lists(
        st.builds(Perspective, lens=lines, descriptor=st.just("") | lines, text=texts), max_size=4
    ).map(tuple),
    sources=st.lists(st.builds(Source, name=lines, url=st.just("") | lines), max_size=3).map(tuple),
    disclosure=texts,
    id=st.just("") | lines,
    link=st.just("") | lines,
    topics=st.lists(lines, max_size=3).map(tuple),
    author=st.just("") | lines,
    published_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    not_before=st.none() | st.datetimes(timezones=st.just(UTC)),
    expires_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    priority=st.integers(-9, 9),
    pinned=st.booleans(),
    update=st.just("") | lines,
    drafted_by=st.sampled_from(["", "ai"]),
    picture=st.none() | pictures,
)
plain_briefs = st.builds(Brief, title=lines, summary=lines)
vocabularies = st.sampled_from([DEFAULT, GERMAN, BARE])


@given(brief=briefs, vocabulary=vocabularies)
@settings(max_examples=examples(400), deadline=None)
@example(brief=Brief(title="a", summary="b", topics=("Quick take",)), vocabulary=DEFAULT)
@example(brief=Brief(title="a", summary="a"), vocabulary=DEFAULT)
def test_reading_gives_back_every_brief_that_was_written(
    brief: Brief, vocabulary: Vocabulary
) -> None:
    parsed = parse_text(format_text([brief], vocabulary=vocabulary), vocabulary=vocabulary)
    assert parsed.briefs == (brief,)
    assert parsed.problems == ()


@given(several=st.lists(briefs | plain_briefs, min_size=1, max_size=4), vocabulary=vocabularies)
@settings(max_examples=examples(150), deadline=None)
def test_reading_gives_back_several_briefs_of_one_file(
    several: list[Brief], vocabulary: Vocabulary
) -> None:
    written = format_text(several, vocabulary=vocabulary)
    parsed = parse_text(written.encode(), vocabulary=vocabulary)
    assert parsed.briefs == tuple(several)


@given(brief=briefs)
@settings(max_examples=examples(150), deadline=None)
def test_a_document_gives_back_every_brief(brief: Brief) -> None:
    assert brief_from_document(brief_to_document(brief), file="x") == brief


@given(text=st.text(max_size=200))
def test_plain_text_is_plain_already(text: str) -> None:
    once = plain_text(text)
    assert plain_text(once) == once
    assert all(paragraph.strip() for paragraph in once.split("\n\n") if once)


def test_the_sample_round_trips_byte_for_byte_without_a_warning() -> None:
    parsed = parse_text(SAMPLE, vocabulary=DEFAULT)
    assert parsed.warnings == ((),)
    assert format_text(parsed.briefs, vocabulary=DEFAULT).encode() == SAMPLE


@given(data=st.binary(max_size=400))
@settings(max_examples=examples(200), deadline=None)
def test_any_bytes_give_briefs_or_the_named_error(data: bytes) -> None:
    _briefs_or_error(data)


def test_ten_thousand_random_byte_strings_give_briefs_or_the_named_error() -> None:
    chance = random.Random(20260304)
    pieces = [line.encode() for line in [*TREACHEROUS, *SAMPLE.decode().splitlines()]]
    pieces += [b"---", b"\r", b"\r\n", b"\xff\xfe", b"\xef\xbb\xbf", b"\0", b"\x89PNG", b"\xe2\x80"]
    imported = 0
    for i in range(10_000):
        if i % 2:
            data = b"\n".join(chance.choices(pieces, k=chance.randrange(12)))
        else:
            data = chance.randbytes(chance.randrange(300))
        imported += _briefs_or_error(data)
    assert 1_000 < imported < 10_000  # both ways were taken


def _briefs_or_error(data: bytes) -> bool:
    try:
        parsed = parse_text(data, vocabulary=DEFAULT, file="f.txt")
    except BriefError:
        return False
    assert parsed.briefs or len(parsed.problems) > 1
    assert len(parsed.briefs) == len(parsed.warnings)
    assert all(w.code in set(Oddity) for warnings in parsed.warnings for w in warnings)
    return bool(parsed.briefs)


KINDS_OF_LINES = [
    "{}", "- {}", "How {}", "{}.", "# {}", "**{}**", "\\{}", "---", "Share", "AFBytes Brief",
    "Who Loses", "Who Loses: {}", "Household Impact", "Household Impact: {}", "Tech {} View",
    "Why this matters", "Quick take", "Quick take: {}", "Perspectives on this story",
    "AFBytes analysis is AI-assisted {}", "Read full story on {}.example",
]  # fmt: skip


@given(
    opening=st.sampled_from(["Title t0.\nAFBytes Brief", "Title t0.", "Share\nTitle t0.\nShare"]),
    kinds=st.lists(
        st.sampled_from(KINDS_OF_LINES),
        min_size=1,
        max_size=15,
    ),
)
@settings(max_examples=examples(300), deadline=None)
def test_every_line_of_text_is_in_a_field_or_named_in_a_warning(
    opening: str, kinds: list[str]
) -> None:
    numbered = [*opening.splitlines(), "Summary s0."]
    start = len(numbered) + 1
    numbered += [kind.replace("{}", f"word{start + i}x") for i, kind in enumerate(kinds)]
    try:
        parsed = parse_text("\n".join(numbered), vocabulary=DEFAULT)
    except BriefError:
        return
    kept = "\n".join(map(str, parsed.briefs))
    warned = {w.line for warnings in parsed.warnings for w in warnings}
    failed = [problem.line or 0 for problem in parsed.problems]
    for number, line in enumerate(numbered, 1):
        if f"word{number}x" in line and number not in warned:
            assert f"word{number}x" in kept or any(at <= number for at in failed)


BIG = 1_000_000


@pytest.mark.parametrize(
    "unit",
    [
        "x" * BIG,
        "A short line\n",
        "Money Angle\n",
        "Who Loses\nText {}.\n",
        "Title\nAFBytes Brief\nSummary {}.\n",
        "AFBytes Brief\nShare\n",
        "---\nOne line\nAnother\n",
        "---\nid: x\n",
        "Why this matters\nText {}.\n",
        ":" * 400 + "\n",
        "# a" + " " * 400 + "b\n",
        "**",
        "* ",
        "\u0301\u0316",
        "\u202e",
    ],
    ids=lambda unit: unit[:12],
)
def test_time_is_linear_in_the_size(unit: str) -> None:
    def seconds(size: int) -> float:
        body = "".join(unit.replace("{}", str(i)) for i in range(max(1, size // len(unit))))
        document = f"Title\nAFBytes Brief\nSummary.\nQuick take\n{body}"[: size + 100].encode()
        begun = time.process_time()
        parsed = parse_text(document, vocabulary=DEFAULT)
        assert parsed.briefs
        return time.process_time() - begun

    # Quadratic reading would take sixteen times as long for four times the size, every time;
    # a machine that is busy elsewhere slows down some.
    for _ in range(5):
        small = seconds(BIG // 40)
        if seconds(BIG // 10) < 10 * small + 0.1:
            return
    pytest.fail("reading takes more than linear time")


def test_a_line_of_one_megabyte_is_read_whole() -> None:
    text = "word " * (BIG // 5)
    parsed = parse_text(f"Title\nAFBytes Brief\n{text}", vocabulary=DEFAULT)
    assert parsed.briefs[0].summary == text.strip()


def test_a_written_brief_that_needs_no_front_matter_has_none() -> None:
    brief = parse_text(SAMPLE, vocabulary=DEFAULT).briefs[0]
    dated = replace(
        brief, published_at=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC), topics=("ports",)
    )
    written = format_text([dated], vocabulary=DEFAULT)
    head = '---\ntopics: ["ports"]\npublished_at: "2026-03-04T05:06:07Z"\n---\n'
    assert written == head + SAMPLE.decode()
