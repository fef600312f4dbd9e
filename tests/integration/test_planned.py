"""Editions that are sent at a moment of their own: once, as they stood, whatever is started."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import typer
from sqlalchemy import select

from newsletter import schedule
from newsletter.audience.segment import parse_segment
from newsletter.cli.asked import parse_moment
from newsletter.delivery import settle
from newsletter.delivery.inquiry import list_decisions
from newsletter.editions.plan import FARTHEST
from newsletter.editions.shelf import EditionRecord, find_edition, list_planned
from newsletter.errors import RefusedError
from newsletter.press import Printed
from newsletter.press.approving import find_release
from newsletter.press.composing import gather
from newsletter.press.planning import plan_edition
from newsletter.publish import prepare
from newsletter.schedule import Keeper
from newsletter.store import Database
from newsletter.store.audit import list_entries
from newsletter.store.tables import briefs
from newsletter.watch.looking import Memory, look
from newsletter.watch.pulse import Pulse
from tests.integration.test_edition_kinds import HOUR, Paper

MONDAY = date(2026, 11, 23)
SIX = datetime(2026, 11, 23, 6, tzinfo=UTC)
FRIDAY = date(2026, 11, 27)
THREE = datetime(2026, 11, 27, 15, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(schedule, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(schedule, "_LOOK_SECONDS", 0.05)
    caplog.set_level(logging.INFO, logger="newsletter")


@pytest.fixture
def paper(tmp_path: Path, database: Database) -> Paper:
    made = Paper(tmp_path, database)
    made.add_reader("ada")
    made.add_reader("ben")
    made.write("quay", not_before=THREE)
    made.write("pier")
    return made


def special(paper: Paper, at: datetime = THREE, title: str = "North Quay Reopens") -> Printed:
    """Make the special edition of a moment, of the brief with a title."""
    gather(paper.press)
    with paper.database.reading() as connection:
        found = connection.execute(select(briefs.c.id, briefs.c.document))
        (number,) = [row.id for row in found if row.document["title"] == title]
    made = prepare(paper.press, at.date(), kind="special", brief_ids=[number], at=at)
    assert made.printed is not None
    return made.printed


def find(paper: Paper, day: date = FRIDAY, kind: str = "special") -> EditionRecord:
    with paper.database.reading() as connection:
        found = find_edition(connection, day, kind)
    assert found is not None
    return found


def keep(paper: Paper, until: Callable[[], bool], keepers: int = 1) -> None:
    """Keep the schedule until something holds."""

    async def whole() -> None:
        kept = [Keeper(paper.press) for _ in range(keepers)]
        tasks = [asyncio.create_task(keeper.keep()) for keeper in kept]
        end = time.monotonic() + 60
        while not until() and time.monotonic() < end:  # noqa: ASYNC110 - others bring it
            await asyncio.sleep(0.01)
        assert time.monotonic() < end, "it never happened"
        for keeper in kept:
            keeper.stop()
        await asyncio.gather(*tasks)

    asyncio.run(whole())


def wait(seconds: float = 0.3) -> Callable[[], bool]:
    """Give what holds after a while, in which whatever would begin has begun."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def test_a_special_is_sent_at_its_time_and_not_before_by_whichever_of_two(paper: Paper) -> None:
    printed = special(paper)
    planned = plan_edition(paper.press, printed, THREE, by_person=True)
    assert (planned.state, planned.send_at) == ("ready", THREE)
    paper.now = THREE - timedelta(seconds=1)
    keep(paper, wait(), keepers=2)
    assert paper.mails() == []
    paper.now = THREE
    keep(paper, lambda: find(paper).state == "sent", keepers=2)
    keep(paper, wait())  # started anew
    mails = paper.mails()
    assert len(mails) == 2
    assert {str(mail["Subject"]) for mail in mails} == {"North Quay Reopens"}
    assert find(paper).window == printed.record.window, "it was sent as it stood"


def test_what_is_planned_stands_and_no_other_edition_has_it(paper: Paper) -> None:
    prepare(paper.press, MONDAY)  # never sent: Friday's has its news
    plan_edition(paper.press, special(paper), THREE, by_person=True)
    again = prepare(paper.press, FRIDAY, kind="special").printed
    assert again is not None
    assert again.record.is_planned
    with pytest.raises(RefusedError, match="made, and planned"):
        prepare(paper.press, FRIDAY, kind="special", brief_ids=[1])
    paper.now = THREE - HOUR
    daily = prepare(paper.press, FRIDAY).printed
    assert daily is not None
    assert [brief.title for brief in daily.edition.briefs] == ["Thousands Dance on Pier"]
    assert find(paper).is_planned


def test_two_are_planned_for_different_days_and_the_later_one_leaves_the_earlier(
    paper: Paper,
) -> None:
    plan_edition(paper.press, special(paper), THREE, by_person=True)
    saturday = THREE + timedelta(days=1)
    later = special(paper, saturday, "Thousands Dance on Pier")
    plan_edition(paper.press, later, saturday, by_person=True)
    with paper.database.reading() as connection:
        planned = [(record.name, record.send_at) for record in list_planned(connection)]
    assert planned == [("2026-11-27-special", THREE), ("2026-11-28-special", saturday)]
    paper.now = THREE + 4 * HOUR  # missed, and not too late yet
    with pytest.raises(RefusedError, match="was in another edition"):
        special(paper, saturday + timedelta(days=1))
    assert find(paper).is_planned


@pytest.mark.parametrize(("late", "is_sent"), [(timedelta(hours=6), True), (6 * HOUR * 2, False)])
def test_a_missed_one_is_caught_up_with_unless_it_is_too_late(
    paper: Paper, late: timedelta, *, is_sent: bool
) -> None:
    plan_edition(paper.press, special(paper), THREE, by_person=True)
    paper.now = THREE + late
    if is_sent:
        keep(paper, lambda: find(paper).state == "sent")
        assert len(paper.mails()) == 2
        return
    keep(paper, wait())
    assert paper.mails() == []
    with paper.database.reading() as connection:
        assert [record.name for record in list_planned(connection)] == ["2026-11-27-special"]


def test_that_it_is_late_is_told(paper: Paper) -> None:
    paper.now = THREE - HOUR
    memory, pulse = Memory(), Pulse()
    look(paper.press, pulse, memory)  # from here on somebody keeps the schedule
    paper.now = SIX
    plan_edition(paper.press, special(paper), THREE, by_person=True)
    for minutes, is_told in ((-5, False), (1, False), (60, True)):
        paper.now = THREE + timedelta(minutes=minutes)
        found = {alarm.key: alarm for alarm in look(paper.press, pulse, memory)}
        assert ("edition/2026-11-27-special" in found) is is_told
    assert "1 h 00 min late" in found["edition/2026-11-27-special"].sentence


def test_a_daily_edition_with_its_own_time_waits_for_it(
    paper: Paper, caplog: pytest.LogCaptureFixture
) -> None:
    noon = SIX + 6 * HOUR
    made = prepare(paper.press, MONDAY).printed
    assert made is not None
    plan_edition(paper.press, made, noon, by_person=True)
    release = find_release(paper.press, MONDAY, "daily", noon)
    assert release is not None, "readers' own hours count from its own time"
    assert (release.at, release.own.clock) == (noon, "12:00")
    paper.now = SIX + HOUR  # when the schedule sends
    keep(paper, lambda: "its own time" in caplog.text)
    assert paper.mails() == []
    paper.now = noon
    keep(paper, lambda: find(paper, MONDAY, "daily").state == "sent")
    assert len(paper.mails()) == 2


def test_it_is_planned_anew_cancelled_and_made_again(paper: Paper) -> None:
    printed = special(paper)
    plan_edition(paper.press, printed, THREE, by_person=True)
    plan_edition(paper.press, printed, THREE + HOUR, by_person=True)
    paper.now = THREE
    keep(paper, wait())
    assert paper.mails() == []
    record = find(paper)
    assert record.send_at == THREE + HOUR
    with paper.database.writing() as connection:
        settle.cancel(connection, record.id, by=paper.press.actor, now=paper.now)
        decided = [each.action for each in list_decisions(connection, record.id)]
        assert decided == ["plan", "plan", "cancel"]
        actions = [each.action for each in list_entries(connection, 9)]
    assert actions.count("edition.plan") == 2
    paper.now = THREE + HOUR
    keep(paper, wait())
    assert paper.mails() == []
    again = special(paper, at=paper.now)
    assert (again.record.id, again.record.send_at) == (record.id, None)


def test_only_its_segment_gets_it(paper: Paper) -> None:
    segment = parse_segment("language:de")
    printed = special(paper)
    with pytest.raises(RefusedError, match="no active reader"):
        plan_edition(paper.press, printed, THREE, segment=segment, by_person=True)
    paper.add_reader("cem", "both")
    plan_edition(paper.press, printed, THREE, segment=parse_segment("rhythm:both"), by_person=True)
    paper.now = THREE
    keep(paper, lambda: find(paper).state == "sent")
    assert paper.readers() == ["cem"]


def test_a_moment_that_is_no_use_is_refused(paper: Paper) -> None:
    printed = special(paper)
    for at, said in (
        (SIX, "has passed"),
        (SIX + FARTHEST + HOUR, "days away"),
        (THREE + 24 * HOUR, "cannot be sent on 2026-11-28"),
    ):
        with pytest.raises(RefusedError, match=said):
            plan_edition(paper.press, printed, at, by_person=True)
    assert not find(paper).is_planned


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-27 15:00", "2026-11-27 14:00"),
        ("2026-11-27T15:00+01:00", "2026-11-27 14:00"),
        ("08:00", "2026-11-23 07:00"),
        ("07:00", "2026-11-24 06:00"),  # it is 07:00 now: the next one
        ("2026-10-25 02:30", "2026-10-25 00:30"),  # shown twice: the first
        ("2027-03-28 02:30", "2027-03-28 01:30"),  # skipped: 03:30 by the clock put forward
    ],
)
def test_a_moment_is_read_by_the_publications_clock(text: str, utc: str) -> None:
    assert f"{parse_moment(text, SIX, BERLIN):%Y-%m-%d %H:%M}" == utc


@pytest.mark.parametrize(
    "text", ["2026-11-27", "soon", "25:00", "2026-13-01 10:00", "0001-01-01 00:00"]
)
def test_what_is_no_moment_is_said(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no moment"):
        parse_moment(text, SIX, BERLIN)
