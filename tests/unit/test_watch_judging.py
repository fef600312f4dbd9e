"""What counts as wrong, and which cause is named: by facts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from newsletter.delivery.inquiry import Alert, Decision, Progress, RunView
from newsletter.delivery.lifecycle import State
from newsletter.editions.model import Window
from newsletter.editions.shelf import EditionRecord
from newsletter.errors import (
    ConfigurationError,
    RelayRefusedUs,
    RelayUnavailable,
    StorageError,
    TemplateError,
    UnfamiliarDatabase,
)
from newsletter.feedback.guard import Guard
from newsletter.settings import Alerts, Schedule
from newsletter.watch.alarm import Cause, Kind
from newsletter.watch.judging import (
    Course,
    Due,
    explain_fault,
    judge_bounces,
    judge_course,
    judge_due,
    judge_failures,
)
from newsletter.watch.looking import find_past_due

DAY = date(2026, 11, 23)
SEVEN = datetime(2026, 11, 23, 7, tzinfo=UTC)
RULES = Alerts()


def record(state: Any = "sending", reason: str = "") -> EditionRecord:
    return EditionRecord(
        id=1,
        date=DAY,
        kind="daily",
        state=state,
        reason=reason,
        subject="",
        preheader="",
        window=Window(start=SEVEN - timedelta(days=1), cut_off=SEVEN),
        dated_at=SEVEN,
        not_after=SEVEN + timedelta(hours=16),
        created_at=SEVEN,
        sent_at=None,
        has_compiled=True,
    )


def run(*, waiting: str = "", is_alive: bool = True) -> RunView:
    progress = Progress(
        at=SEVEN,
        started_at=SEVEN,
        per_second=0,
        connections=2,
        accepted=0,
        waiting=waiting,
        parked=0,
    )
    return RunView(holder="x", is_alive=is_alive, fence=1, audience=100, progress=progress)


def course(
    counts: Mapping[State, int],
    *,
    state: str = "sending",
    overdue: datetime | None = SEVEN,
    view: RunView | None = None,
    reasons: Sequence[tuple[State, str, int]] = (),
    alerts: Sequence[Alert] = (),
    decisions: Sequence[Decision] = (),
) -> Course:
    return Course(
        record=record(state),
        counts=counts,
        run=view or run(),
        reasons=reasons,
        alerts=alerts,
        decisions=decisions,
        overdue_since=overdue,
        still_since=SEVEN,
    )


LATER = SEVEN + timedelta(minutes=30)


def test_readers_who_wait_for_their_own_hour_are_no_alarm() -> None:
    waits = course({State.ACCEPTED: 60, State.PENDING: 40}, overdue=None)
    assert judge_course(waits, {}, RULES, SEVEN + timedelta(hours=9)) is None


def test_a_few_who_were_put_off_are_no_alarm_and_a_fifth_is() -> None:
    few = course({State.ACCEPTED: 85, State.DEFERRED: 15}, overdue=None)
    assert judge_course(few, {}, RULES, LATER) is None
    many = course(
        {State.ACCEPTED: 79, State.DEFERRED: 21},
        overdue=None,
        reasons=[(State.DEFERRED, "451 4.7.1 slow down", 21)],
    )
    alarm = judge_course(many, {}, RULES, LATER)
    assert alarm is not None
    assert (alarm.kind, alarm.cause) == (Kind.EDITION_STUCK, Cause.LIMIT)
    assert "451 4.7.1 slow down" in alarm.sentence
    assert judge_course(many, {}, RULES, SEVEN + timedelta(minutes=9)) is None


@pytest.mark.parametrize(
    ("more", "fault", "cause"),
    [
        ({"view": run(waiting="smtp://relay:25 cannot be reached")}, None, Cause.RELAY_UNREACHABLE),
        ({"view": run(waiting="smtp://relay:25 is sent 2 a second")}, None, Cause.LIMIT),
        ({"view": run(is_alive=False)}, None, Cause.NOBODY),
        ({"view": run(is_alive=False)}, StorageError("disk I/O"), Cause.DATABASE),
        (
            {"alerts": [Alert(raised_at=SEVEN, kind="identity", sentence="SPF is refused.")]},
            None,
            Cause.RELAY_REFUSES,
        ),
        ({}, None, Cause.UNKNOWN),
    ],
)
def test_the_surest_reason_is_the_cause(
    more: dict[str, Any], fault: Exception | None, cause: Cause
) -> None:
    faults = {f"{DAY}": fault} if fault else {}
    alarm = judge_course(course({State.PENDING: 100}, **more), faults, RULES, LATER)
    assert alarm is not None
    assert alarm.cause is cause


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (RelayRefusedUs("it says no"), Cause.RELAY_REFUSES),
        (RelayUnavailable("it is away"), Cause.RELAY_UNREACHABLE),
        (ConfigurationError("no host is called so", field="delivery.relay"), Cause.RELAY_REFUSES),
        (StorageError("the database refused (database is locked)"), Cause.DATABASE),
        (StorageError("the database refused (database or disk is full)"), Cause.DISK),
        (UnfamiliarDatabase("is not the one"), Cause.INSTALLATION),
        (TemplateError("is wrong"), Cause.CONTENT),
        (ZeroDivisionError(), Cause.UNKNOWN),
        (None, Cause.UNKNOWN),
    ],
)
def test_each_fault_has_its_cause(fault: Exception | None, cause: Cause) -> None:
    assert explain_fault(fault)[0] is cause


@pytest.mark.parametrize(
    ("state", "is_late"),
    [("", True), ("draft", True), ("ready", True), ("sent", False), ("cancelled", False)],
)
def test_what_should_have_begun_is_late_until_it_is_done_with(state: str, is_late: bool) -> None:
    due = Due(name=f"{DAY}", due_at=SEVEN, record=record(state) if state else None)
    assert (judge_due(due, {}, {}, LATER) is not None) == is_late


@pytest.mark.parametrize(
    ("lost", "audience", "is_told"),
    [(2, 10, False), (3, 10, True), (5, 100, False), (6, 100, True)],
)
def test_a_share_of_readers_who_were_not_reached_is_told(
    lost: int, audience: int, is_told: bool
) -> None:
    ended = course({State.ACCEPTED: audience - lost, State.FAILED: lost - 1, State.IN_DOUBT: 1})
    assert (judge_failures(ended, RULES) is not None) == is_told


def test_bounces_that_wait_for_a_word_are_told_for_a_week() -> None:
    doubted = Guard(tripped_at=SEVEN, sentence="20 of 100 copies came back")
    alarm = judge_bounces("2026-11-23", doubted, LATER)
    assert alarm is not None
    assert alarm.sentence == "the edition of 2026-11-23: 20 of 100 copies came back."
    assert judge_bounces("2026-11-23", doubted, SEVEN + timedelta(days=8)) is None
    assert judge_bounces("2026-11-23", replace(doubted, word="leave"), LATER) is None
    assert judge_bounces("2026-11-23", Guard(), LATER) is None


def test_a_reader_is_never_named() -> None:
    alert = Alert(raised_at=SEVEN, kind="relay", sentence="no to ada@example.org.")
    alarm = judge_course(course({State.PENDING: 100}, alerts=[alert]), {}, RULES, LATER)
    assert alarm is not None
    assert "ada@" not in alarm.sentence


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("schedule", "now", "found"),
    [
        ({}, datetime(2026, 11, 23, 7, 14, tzinfo=BERLIN), "2026-11-22T07:00"),
        ({}, datetime(2026, 11, 23, 7, 15, tzinfo=BERLIN), "2026-11-23T07:00"),
        ({"days": "mon-fri"}, datetime(2026, 11, 22, 12, tzinfo=BERLIN), None),
        ({"holidays": ["2026-11-23"]}, datetime(2026, 11, 23, 12, tzinfo=BERLIN), None),
        # The hour that comes twice in an autumn night: late by its first time.
        (
            {"send_at": "02:30"},
            datetime(2026, 10, 25, 2, 20, fold=1, tzinfo=BERLIN),
            "2026-10-25T02:30",
        ),
    ],
)
def test_what_was_due(schedule: dict[str, Any], now: datetime, found: str | None) -> None:
    read = Schedule.model_validate(schedule)
    past = find_past_due(read, read.send_at, now, grace=timedelta(minutes=15))
    assert (past and f"{past:%Y-%m-%dT%H:%M}") == found
