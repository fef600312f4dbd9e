"""Entries of a feed → briefs."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.briefs.model import Brief, Source
from newsletter.briefs.sources.entry import Entry
from newsletter.briefs.sources.feed import build_item, summarise
from newsletter.briefs.sources.reading import Item
from newsletter.errors import BriefError
from newsletter.settings import Vocabulary

FEED = "https://wire.example/feed.xml"
FULL = """AFBytes Brief

Ships are back in Kilm.

Why this matters

A third of the grain passes through it.

Quick take

Who Loses

The port next door."""


def build(entry: Entry) -> Item:
    return build_item(entry, vocabulary=Vocabulary(), feed_url=FEED)


def test_any_entry_becomes_a_brief_without_analysis() -> None:
    item = build(
        Entry(
            id="port-1",
            link="https://www.outlet.example/port?id=1",
            title="Port \n reopens",
            summary="Ships are back.\n\nTrains too.",
            published_seconds=0,
            topics=("Trade", " Trade ", "", "Ports"),
            author="Ada\u202e Example",
        )
    )
    assert item.brief == Brief(
        title="Port reopens",
        summary="Ships are back.\n\nTrains too.",
        sources=(Source(name="outlet.example", url="https://www.outlet.example/port?id=1"),),
        id="port-1",
        link="https://www.outlet.example/port?id=1",
        topics=("Trade", "Ports"),
        author="Ada Example",
        published_at=datetime(1970, 1, 1, tzinfo=UTC),
    )
    assert not item.brief.has_analysis
    assert item.origin == item.brief.link


def test_a_brief_in_an_entry_is_a_full_brief() -> None:
    brief = build(
        Entry(
            id="7", link="https://news.example/7", title="Port reopens", content=FULL, author="Ada"
        )
    ).brief
    assert (brief.title, brief.summary) == ("Port reopens", "Ships are back in Kilm.")
    assert brief.why_it_matters == "A third of the grain passes through it."
    assert [(p.label, p.text) for p in brief.quick_take] == [("Who Loses", "The port next door.")]
    assert (brief.id, brief.link, brief.author) == ("7", "https://news.example/7", "Ada")


def test_a_full_brief_may_stand_in_the_summary() -> None:
    assert build(Entry(title="Port reopens", summary=FULL, content="Teaser.")).brief.has_analysis


@pytest.mark.parametrize(
    ("entry", "source"),
    [
        (Entry(link="https://a.example/x"), Source(name="a.example", url="https://a.example/x")),
        (
            Entry(link="https://a.example/x", outlet="The Outlet"),
            Source(name="The Outlet", url="https://a.example/x"),
        ),
        (
            Entry(link="https://blog.example/x", original_link="https://b.example/story"),
            Source(name="b.example", url="https://b.example/story"),
        ),
        (Entry(), Source(name="wire.example")),
    ],
)
def test_the_source_is_the_outlet_of_the_entry(entry: Entry, source: Source) -> None:
    complete = Entry(
        title="t",
        summary="s.",
        link=entry.link,
        outlet=entry.outlet,
        original_link=entry.original_link,
    )
    assert build(complete).brief.sources == (source,)


@pytest.mark.parametrize(
    "link",
    [
        *("javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "/relative", "https://"),
        *(
            "https://u:p@a.example/",
            "https://[half/",
            "https://a.example/a b",
            "mailto:a@b.example",
        ),
        "https://a.example/\u202e",
    ],
)
def test_a_link_that_no_reader_should_follow_is_dropped(link: str) -> None:
    brief = build(Entry(title="t", summary="s.", link=link)).brief
    assert (brief.link, brief.sources[0].url) == ("", "")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (Entry(summary="Text."), "has no title"),
        (Entry(title=" \u200b", summary="Text.", link="https://a.example/"), "a.example"),
        (Entry(title="Port reopens"), '"Port reopens" has no text'),
        (Entry(title="Port reopens", summary="Port reopens", content="Comments"), "has no text"),
    ],
)
def test_an_entry_without_title_or_text_is_no_brief(entry: Entry, problem: str) -> None:
    with pytest.raises(BriefError, match=problem):
        build(entry)


@pytest.mark.parametrize("seconds", [1e30, -1e30, float("nan"), float("inf")])
def test_an_impossible_date_is_none(seconds: float) -> None:
    entry = Entry(title="t", summary="s.", published_seconds=seconds)
    assert build(entry).brief.published_at is None


LONG = "The port took ships again. " * 30


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("One line\nbroken in two.", "One line broken in two."),
        ("One.\n\nTwo.", "One.\n\nTwo."),
        ("Title\n\nOne.", "One."),
        ("One.\n\nThe post Title appeared first on Wire.", "One."),
        ("One.\n\n[…]", "One."),
        ("Continue reading →", ""),
        ("Comments (17)", ""),
        (
            "Comments by the minister moved the market.",
            "Comments by the minister moved the market.",
        ),
        ("Read more books, she says.", "Read more books, she says."),
        ("One.\n\n" + LONG, "One."),
        (LONG, LONG[:485]),
        ("word " * 200, "word " * 99 + "word…"),
        ("x" * 900, "x" * 500 + "…"),
        (f"It was Mr. {'x' * 300}. {'y' * 300}.", f"It was Mr. {'x' * 300}."),
        ("港は再開した。" * 100, "港は再開した。" * 71),
        ('He said: "' + "a" * 300 + '." ' + "b" * 300, 'He said: "' + "a" * 300 + '."'),
    ],
)
def test_a_summary_ends_with_a_sentence(text: str, summary: str) -> None:
    assert summarise(text, "Title") == summary


@given(st.text())
def test_a_summary_is_short_and_plain(text: str) -> None:
    summary = summarise(text, "Title")
    assert len(summary) <= 501 + 2 * summary.count("\n\n")
    assert "\n" not in summary.replace("\n\n", "")
    assert summary == summary.strip()
