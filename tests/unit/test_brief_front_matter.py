"""The YAML block ahead of a brief."""

from datetime import UTC, datetime

import pytest

from newsletter.briefs.front_matter import format_moment, parse_front_matter, parse_moment
from newsletter.briefs.model import Source
from newsletter.briefs.oddities import Oddity
from newsletter.briefs.text import parse_text
from newsletter.errors import BriefError
from newsletter.settings import Vocabulary

DEFAULT = Vocabulary()


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("id: 007", "id", "007"),
        ("id: rss:0af3", "id", "rss:0af3"),
        ("ID: no", "id", "no"),
        ("link: https://news.example/news/article/rss:0a/it's:so", "link",
         "https://news.example/news/article/rss:0a/it's:so"),
        ("author:   Ada Example ", "author", "Ada Example"),
        ("topics: trade, ports,", "topics", ("trade", "ports")),
        ("topics: [trade, 'oil, gas']", "topics", ("trade", "oil, gas")),
        ("topics:\n  - trade\n  - no", "topics", ("trade", "no")),
        ("topics: []", "topics", ()),
        ("title: 'Storm: the long wait'", "title", "Storm: the long wait"),
        ("date: 2026-03-04", "published_at", datetime(2026, 3, 4, tzinfo=UTC)),
        ("date: 2026-03-04 05:06", "published_at", datetime(2026, 3, 4, 5, 6, tzinfo=UTC)),
        ("published_at: 2026-03-04T05:06:07+02:00", "published_at",
         datetime(2026, 3, 4, 3, 6, 7, tzinfo=UTC)),
        ("source: a.example and b.example", "sources",
         (Source(name="a.example"), Source(name="b.example"))),
        ("sources: [The Daily Example, {name: b.example, url: 'https://b.example/x'}]", "sources",
         (Source(name="The Daily Example"), Source(name="b.example", url="https://b.example/x"))),
        ("embargo: 2026-03-05T06:00:00Z", "not_before", datetime(2026, 3, 5, 6, tzinfo=UTC)),
        ("expires: 2026-03-06", "expires_at", datetime(2026, 3, 6, tzinfo=UTC)),
        ("priority: -3", "priority", -3),
        ("pinned: Yes", "pinned", True),
        ("update: It moved.", "update", "It moved."),
        ("what_changed: It moved.", "update", "It moved."),
        ("drafted-by: AI", "drafted_by", "ai"),
        (r'author: "A\uD800da"', "author", "Ada"),
    ],
)  # fmt: skip
def test_each_key_says_what_it_says(line: str, field: str, value: object) -> None:
    assert parse_front_matter(line, file="f", line=2).fields == {field: value}


def test_nothing_is_nothing() -> None:
    assert parse_front_matter("# only a comment", file="f", line=2).fields == {}
    assert parse_front_matter("author:\ndate:", file="f", line=2).fields == {}


def test_an_unknown_key_is_a_warning_with_its_line() -> None:
    (warning,) = parse_front_matter("id: 1\nlayout: post", file="f", line=2).warnings
    assert (warning.code, warning.line) == (Oddity.UNKNOWN_KEY, 3)


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ("- a\n- b", "not a list of keys"),
        ("just text", "not a list of keys"),
        ("id: [1", "is not YAML"),
        ("id: *x", "aliases are not allowed"),
        ("a: &a [x,x]\nb: &b [*a,*a]\nid: *b", "aliases are not allowed"),
        ("id: " + "[" * 5_000, "nested too deeply"),
        (r'id: "\UFFFFFFFF"', "is not YAML"),
        ("? [a]\n: b", "is not YAML"),
        ("id: !!python/object/apply:os.system [x]", "must be one value"),
        ("id: [1, 2]", "must be one value"),
        ("topics: {a: b}", "must be a list"),
        ("topics: [[a]]", "must be one value"),
        ("date: yesterday", "is not a time"),
        ("embargo: soon", "is not a time"),
        ("priority: high", "whole number from -9 to 9"),
        ("priority: 10", "whole number from -9 to 9"),
        ("pinned: perhaps", "must be yes or no"),
        ("drafted_by: Ada", 'must be "ai"'),
        ("date: 2026-13-45", "is not a time"),
        ("date: 0001-01-01T00:00:00+23:00", "is not a time"),
        ("sources: {a: b}", "must be an outlet"),
        ("sources: [{url: 'https://a.example'}]", "must be one value"),
        ("id: " + "x" * 60_000, "too long"),
    ],
)
def test_what_cannot_be_read_is_refused_with_file_and_line(block: str, problem: str) -> None:
    with pytest.raises(BriefError, match=problem) as caught:
        parse_front_matter(block, file="brief.md", line=2)
    assert caught.value.file == "brief.md"
    assert caught.value.line is not None
    assert 2 <= caught.value.line <= 2 + block.count("\n")


def test_a_title_of_the_front_matter_replaces_the_text_s() -> None:
    head = "---\ntitle: From above\n---\n"
    parsed = parse_text(f"{head}AFBytes Brief\nSummary.", vocabulary=DEFAULT)
    assert (parsed.briefs[0].title, parsed.briefs[0].summary) == ("From above", "Summary.")
    again = parse_text(f"{head}From above\n\nSummary.", vocabulary=DEFAULT)
    assert (again.briefs[0].title, again.briefs[0].summary) == ("From above", "Summary.")
    other = parse_text(f"{head}Another\nAFBytes Brief\nSummary.", vocabulary=DEFAULT)
    assert other.briefs[0].title == "From above"
    assert Oddity.TEXT_LEFT_OUT in [w.code for w in other.warnings[0]]


def test_a_separator_ahead_of_a_headline_with_a_colon_is_no_front_matter() -> None:
    document = "---\nDate: the long wait\nAFBytes Brief\nSummary.\n---\nB\nAFBytes Brief\nTwo."
    titles = [brief.title for brief in parse_text(document, vocabulary=DEFAULT).briefs]
    assert titles == ["Date: the long wait", "B"]


def test_a_block_without_an_end_is_refused() -> None:
    with pytest.raises(BriefError, match="no end") as caught:
        parse_text("---\nid: 5\n\nTitle\nSummary.", vocabulary=DEFAULT, file="brief.txt")
    assert caught.value.line == 1


def test_sources_of_the_front_matter_replace_those_of_the_text() -> None:
    body = "Title\nRead full story on a.example\nAFBytes Brief\nSummary."
    (brief,) = parse_text(f"---\nsources: []\n---\n{body}", vocabulary=DEFAULT).briefs
    assert brief.sources == ()


def test_a_moment_is_utc() -> None:
    moment = parse_moment("2026-03-04T05:06:07.000009-05:00")
    assert moment == datetime(2026, 3, 4, 10, 6, 7, 9, tzinfo=UTC)
    assert format_moment(moment) == "2026-03-04T10:06:07.000009Z"
