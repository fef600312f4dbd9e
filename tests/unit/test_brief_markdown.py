"""Markdown with front matter, wrapped lines and inline markup."""

import re
import textwrap
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from newsletter.briefs.markdown import parse_markdown
from newsletter.briefs.model import Brief, Parsed, Point, Source
from newsletter.briefs.oddities import Oddity
from newsletter.briefs.text import parse_text
from newsletter.errors import BriefError
from newsletter.settings import Vocabulary

DEFAULT = Vocabulary()
SAMPLE = (Path(__file__).parent / "brief_cases" / "sample.txt").read_text()
(SAMPLE_BRIEF,) = parse_text(SAMPLE, vocabulary=DEFAULT).briefs
HEAD = "# Title\n\nAFBytes Brief\n\n"


def parse(text: str) -> Parsed:
    return parse_markdown(text.encode(), vocabulary=DEFAULT, file="brief.md")


def parse_one(text: str) -> Brief:
    (brief,) = parse(text).briefs
    return brief


def as_markdown(width: int) -> str:
    """The sample as a person writes Markdown: headings, bold labels, wrapped paragraphs."""
    title, *lines = SAMPLE.splitlines()
    out = [f"# {title}"]
    headings = {DEFAULT.why_heading, DEFAULT.quick_take_heading, DEFAULT.perspectives_heading}
    lenses = {lens.name for lens in DEFAULT.lenses}
    structure = {DEFAULT.disclaimer, *(lens.descriptor for lens in DEFAULT.lenses)}
    for line in (raw.removeprefix("- ") for raw in lines):
        if line in headings:
            out.append(f"## {line}")
        elif line in lenses:
            out.append(f"### {line}")
        elif line in DEFAULT.points:
            out.append(f"**{line}**")
        else:
            out.append(line if line in structure else textwrap.fill(line, width))
    return "\n\n".join(out) + "\n"


@pytest.mark.parametrize("width", [40, 72])
def test_wrapped_markdown_gives_the_same_brief(width: int) -> None:
    assert parse(as_markdown(width)) == parse_text(SAMPLE, vocabulary=DEFAULT)


def test_the_plain_text_form_is_markdown_too() -> None:
    assert parse(SAMPLE) == parse_text(SAMPLE, vocabulary=DEFAULT)


def test_front_matter_says_what_the_text_cannot() -> None:
    head = (
        "---\nid: '5'\nlink: https://news.example/news/article/rss:0a/x\ntopics:\n  - trade\n"
        "author: Ada Example\ndate: 2026-03-04\nsource: wire.example\n---\n\n"
    )
    assert parse_one(head + SAMPLE) == replace(
        SAMPLE_BRIEF,
        id="5",
        link="https://news.example/news/article/rss:0a/x",
        topics=("trade",),
        author="Ada Example",
        published_at=datetime(2026, 3, 4, tzinfo=UTC),
        sources=(Source(name="wire.example"),),
    )


def test_a_title_in_the_front_matter_suffices() -> None:
    brief = parse_one("---\ntitle: Storm\n---\n\nSummary of it.\nIt goes on.\n\nMore.\n")
    assert (brief.title, brief.summary) == ("Storm", "Summary of it. It goes on.\n\nMore.")


def test_bad_front_matter_names_file_and_line() -> None:
    with pytest.raises(BriefError) as caught:
        parse("---\nid: 5\ntopics: [a\ndate: x\n---\n# Title\n\nSummary.\n")
    assert caught.value.file == "brief.md"
    assert caught.value.line in {3, 4}


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("A **bold** word", "A bold word"),
        ("A *slanted* and _slanted_ word", "A slanted and slanted word"),
        ("See [the page](https://a.example/x) now", "See the page now"),
        ('See [the page](https://a.example "Title") now', "See the page now"),
        ("See <https://a.example/x>", "See https://a.example/x"),
        ("Run `make it` now", "Run make it now"),
        ("It costs 5 \\* 3 \\[sic\\]", "It costs 5 * 3 [sic]"),
        ("2 * 3 * 4", "2 * 3 * 4"),
        ("snake_case_name and __init__.py", "snake_case_name and init.py"),
        ("A [bracket] and (round)", "A [bracket] and (round)"),
        ("One <!-- not this --> word", "One  word"),
        ("Café 100 % _", "Café 100 % _"),
    ],
)
def test_inline_markup_leaves_the_running_text(written: str, plain: str) -> None:
    assert parse_one(HEAD + written).summary == plain


def test_comments_may_span_lines_and_line_numbers_stay() -> None:
    text = f"<!-- a\n\nb -->\n{HEAD}Summary.\n\n**Who Loses**\n"
    (warnings,) = parse(text).warnings
    assert (Oddity.POINT_WITHOUT_TEXT, 10) in [(w.code, w.line) for w in warnings]
    assert parse_one(HEAD + "Summary <!-- open").summary == "Summary <!-- open"
    with pytest.raises(BriefError, match="is empty"):
        parse("<!-- only -->")


def test_wrapped_items_of_a_list_go_on() -> None:
    brief = parse_one(
        HEAD + "Summary.\n\n## Quick take\n\n- **Who Loses:** rail carriers\n  and truckers\n"
        "- Tech Angle\n- Cranes are\n  automated.\n"
    )
    assert brief.quick_take == (
        Point(label="Who Loses", text="rail carriers and truckers"),
        Point(label="Tech Angle", text="Cranes are automated."),
    )


def test_the_short_end_of_a_wrapped_paragraph_is_no_label() -> None:
    brief = parse_one(HEAD + "S.\n\n**Who Loses**\n\nThe carriers of\nthe north\n\nAnd others.\n")
    assert brief.quick_take == (
        Point(label="Who Loses", text="The carriers of the north\n\nAnd others."),
    )


def test_underlined_headings_are_headings() -> None:
    text = SAMPLE.replace("\nWhy this matters\n", "\n\nWhy this matters\n----------------\n\n")
    text = re.sub(r"^(.+)$", r"\1\n=====", text, count=1, flags=re.MULTILINE)
    assert parse_one(text) == SAMPLE_BRIEF


@pytest.mark.parametrize("unit", ["<!--", "[a](", "**a", "*a ", "`", "_a ", "\\", "<https://a "])
def test_inline_markup_is_read_in_linear_time(unit: str) -> None:
    begun = time.process_time()
    parse(HEAD + "x" + unit * (200_000 // len(unit)))
    assert time.process_time() - begun < 3
