from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from newsletter.briefs.implication import is_no_direct_implication
from newsletter.briefs.sources.read import read_source
from newsletter.briefs.sources.reading import Item, Reading, SourceContext
from newsletter.demo.newsroom import FeedServer, write_newsroom
from newsletter.settings import Vocabulary, load_settings

NOW = datetime(2031, 3, 9, 12, 0, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def newsroom(tmp_path_factory: pytest.TempPathFactory) -> tuple[Vocabulary, list[Reading]]:
    with FeedServer(now=NOW) as feeds:
        config = write_newsroom(
            tmp_path_factory.mktemp("demo") / "project",
            now=NOW,
            smtp_port=2525,
            feed_port=feeds.port,
            secret_key="k" * 43,
        )
        settings = load_settings(config)
        context = SourceContext(
            root=settings.root, vocabulary=settings.vocabulary, user_agent="demo"
        )
        return settings.vocabulary, [read_source(s, context) for s in settings.sources]


@pytest.fixture(scope="module")
def items(newsroom: tuple[Vocabulary, list[Reading]]) -> Sequence[Item]:
    return [item for reading in newsroom[1] for item in reading.items]


def test_twelve_briefs_come_from_three_sources(
    newsroom: tuple[Vocabulary, list[Reading]], items: Sequence[Item]
) -> None:
    assert [len(reading.items) for reading in newsroom[1]] == [6, 3, 3]
    assert len({item.brief.title for item in items}) == 12


def test_nothing_is_wrong_with_any_of_them(
    newsroom: tuple[Vocabulary, list[Reading]], items: Sequence[Item]
) -> None:
    assert [problem for reading in newsroom[1] for problem in reading.problems] == []
    warnings = {item.brief.title: item.warnings for item in items if item.warnings}
    assert warnings == {}


def test_nine_are_full_briefs_with_known_labels_and_three_are_plain(
    newsroom: tuple[Vocabulary, list[Reading]], items: Sequence[Item]
) -> None:
    vocabulary = newsroom[0]
    full = [item.brief for item in items if item.brief.has_analysis]
    assert len(full) == 9
    for brief in full:
        assert brief.why_it_matters
        assert len(brief.quick_take) >= 2
        assert {point.label for point in brief.quick_take} <= set(vocabulary.points)
        assert len(brief.perspectives) >= 2
        names = {lens.name for lens in vocabulary.lenses}
        assert {perspective.lens for perspective in brief.perspectives} <= names
        assert all(perspective.text for perspective in brief.perspectives)


def test_each_says_what_it_is_about_where_from_when_and_by_whom(items: Sequence[Item]) -> None:
    for item in items:
        brief = item.brief
        assert 40 <= len(brief.title) <= 80, brief.title
        assert 120 <= len(brief.summary) <= 420, brief.title
        assert brief.topics, brief.title
        assert brief.author, brief.title
        assert ".example/news/article/" in brief.link, brief.title
        assert brief.sources, brief.title
        moment = brief.published_at or item.dated_at
        assert moment is not None
        assert timedelta(minutes=10) < NOW - moment < timedelta(hours=8), brief.title


def test_links_keep_their_colons_and_apostrophes(items: Sequence[Item]) -> None:
    links = [item.brief.link for item in items]
    assert any(link.endswith("regatta's-open-eights") for link in links)
    assert sum("/news/article/rss:" in link for link in links) == 5


def test_some_lenses_say_that_nothing_applies_and_most_say_something(
    items: Sequence[Item],
) -> None:
    texts = [p.text for item in items for p in item.brief.perspectives]
    nothing = [text for text in texts if is_no_direct_implication(text)]
    assert 6 <= len(nothing) <= len(texts) / 3


def test_a_brief_may_have_two_outlets(items: Sequence[Item]) -> None:
    outlets = [tuple(source.name for source in item.brief.sources) for item in items]
    assert ("wrenfieldpost.example", "foundsound.example") in outlets


def test_only_invented_outlets_are_named(items: Sequence[Item]) -> None:
    names = {source.name for item in items for source in item.brief.sources}
    assert all(name.endswith(".example") for name in names), names


def test_a_second_reading_finds_an_unchanged_feed(tmp_path: Path) -> None:
    with FeedServer(now=NOW) as feeds:
        config = write_newsroom(
            tmp_path / "p", now=NOW, smtp_port=1, feed_port=feeds.port, secret_key="k" * 43
        )
        settings = load_settings(config)
        for source in settings.sources[1:]:
            context = SourceContext(
                root=settings.root, vocabulary=settings.vocabulary, user_agent="demo"
            )
            first = read_source(source, context)
            again = SourceContext(
                root=settings.root,
                vocabulary=settings.vocabulary,
                user_agent="demo",
                validators=first.validators,
            )
            assert first.items
            assert read_source(source, again).unchanged
