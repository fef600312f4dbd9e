"""What holds for every kind of source, against real servers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from newsletter.errors import StorageError
from tests.contract.sources.conftest import HTTP_STAGES, USUAL, Desk
from tests.contract.sources.stages import PASSWORD, TOKEN, LinksStage, Stage
from tests.contract.sources.stories import PORT, STORIES, Story
from tests.integration.gather.conftest import ScriptedWeb

HOSTILE = (
    (
        "<script>alert('x')</script>The port reopened on Monday after repairs.\n\n"
        "\u202eReversed\u2066 text\x00 and \ud83d a lone surrogate, " + "x" * 5_000
    )
    .encode("utf-8", "replace")
    .decode()
)


def held(stage: Stage) -> tuple[Story, ...]:
    return STORIES[: stage.most]


def test_a_story_comes_once(desk: Desk, stage: Stage) -> None:
    stories = held(stage)
    stage.put(stories)
    first = desk.gather(stage.table)
    assert (first.status, first.new, first.problems) == ("read", len(stories), ())
    assert [(b.title, b.summary) for b in desk.briefs()] == [
        (story.title, story.summary) for story in stories
    ]
    again = desk.gather(stage.table)
    assert again.status in {"read", "unchanged"}
    assert (again.new, again.changed, again.warnings) == (0, 0, ())
    stage.put(stories[::-1])
    turned = desk.gather(stage.table)
    assert (turned.error, turned.new, turned.changed) == ("", 0, 0)


@pytest.mark.parametrize("name", [name for name in HTTP_STAGES if name not in USUAL])
def test_the_other_ways_of_paging(desk: Desk, web: ScriptedWeb, name: str) -> None:
    stage = HTTP_STAGES[name](web)
    stage.put(STORIES[:2])
    assert desk.gather(stage.table).new == 2
    stage.put((*STORIES[:2][::-1], STORIES[2]))
    again = desk.gather(stage.table)
    assert (again.error, again.new, again.changed) == ("", 1, 0)
    assert len(desk.briefs()) == 3


def test_a_story_more_is_one_more(desk: Desk, stage: Stage) -> None:
    if stage.most == 1:
        pytest.skip("it is one story")
    stage.put(STORIES[:2])
    assert desk.gather(stage.table).new == 2
    stage.put(STORIES)
    assert desk.gather(stage.table).new == 1
    assert len(desk.briefs()) == 3


def test_an_edited_story_is_the_same_one(desk: Desk, stage: Stage) -> None:
    if isinstance(stage, LinksStage):
        pytest.skip("a page that was read is not fetched again, and its list has no dates")
    stories = held(stage)
    stage.put(stories)
    desk.gather(stage.table)
    edited = PORT.with_text(PORT.summary + " One freighter has turned back to the open sea.")
    stage.put((edited, *stories[1:]))
    report = desk.gather(stage.table)
    assert (report.error, report.new, report.changed) == ("", 0, 1)
    assert desk.briefs()[0].summary == edited.summary
    assert len(desk.briefs()) == len(stories)


@pytest.mark.parametrize(
    "other",
    [
        replace(PORT, id="s-1-b", link=PORT.path, changed="again"),
        replace(PORT, link="/news/moved/s-1", changed="again"),
        replace(PORT, title="Kilm: the port reopens for ships", changed="again"),
    ],
    ids=["id", "link", "title"],
)
def test_a_changed_name_is_no_other_story(desk: Desk, stage: Stage, other: Story) -> None:
    stories = held(stage)
    stage.put(stories)
    desk.gather(stage.table)
    stage.put((other, *stories[1:]))
    report = desk.gather(stage.table)
    assert (report.error, report.new) == ("", 0)
    assert len(desk.briefs()) == len(stories)


def test_what_was_seen_stays_seen(desk: Desk, stage: Stage) -> None:
    stage.put(held(stage))
    desk.gather(stage.table)
    before, known = desk.briefs(), desk.validators()
    stage.break_down()
    for _ in range(2):
        failed = desk.gather(stage.table)
        assert (failed.status, failed.new, failed.changed) == ("failed", 0, 0)
        assert_one_sentence(failed.error)
    assert (desk.briefs(), desk.validators()) == (before, known)
    stage.mend()
    mended = desk.gather(stage.table)
    assert (mended.error, mended.new, mended.changed) == ("", 0, 0)
    assert desk.briefs() == before


def test_nothing_is_remembered_before_it_is_stored(desk: Desk, stage: Stage) -> None:
    stories = held(stage)
    stage.put(stories)
    with desk.database.writing() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER full BEFORE INSERT ON briefs WHEN NEW.document LIKE '%"
                f"{stories[-1].title}%' BEGIN SELECT RAISE(ABORT, 'no room left'); END"
            )
        )
    with pytest.raises(StorageError):
        desk.gather(stage.table)
    assert (desk.briefs(), desk.validators()) == ([], {})
    with desk.database.writing() as connection:
        connection.execute(text("DROP TRIGGER full"))
    report = desk.gather(stage.table)
    assert (report.error, report.new) == ("", len(stories))


@pytest.mark.parametrize(
    "summary",
    [HOSTILE, "\u202e\u2066\ufeff", "Ships are back in port. " * 430_000],
    ids=["markup", "unseen", "10 MB"],
)
def test_hostile_text_is_a_brief_or_a_sentence(desk: Desk, stage: Stage, summary: str) -> None:
    stage.put([replace(PORT, summary=summary)])
    report = desk.gather(stage.table)
    for brief in desk.briefs():
        shown = f"{brief.title} {brief.summary}".replace("\n", "")
        assert shown.isprintable()
        # Where the text came as HTML, a script is no text; elsewhere it is what was written.
        assert "alert" not in shown or stage.table["kind"] not in {"feed", "api", "query"}
        assert len(shown) < 6_000 or stage.table["kind"] == "folder"
    said = [*report.problems, *filter(None, [report.error])]
    assert bool(desk.briefs()) != bool(said) or summary == HOSTILE
    for sentence in said:
        assert_one_sentence(sentence)


def assert_one_sentence(said: str) -> None:
    assert said
    assert said.isprintable()
    assert said.endswith(".")
    assert len(said) < 500
    assert "Traceback" not in said
    assert TOKEN not in said
    assert PASSWORD not in said
