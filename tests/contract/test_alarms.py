"""The register of alarms: each is told once by each way, on both databases, across restarts."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from newsletter.store import Database
from newsletter.watch.alarm import Alarm, Cause, Kind
from newsletter.watch.register import (
    Change,
    claim_tellings,
    forget_alarms,
    list_alarms,
    note_alarms,
    settle_telling,
)
from newsletter.watch.telling import GIVEN_UP_AFTER, Telling, Way

NOW = datetime(2026, 11, 23, 7, 20, tzinfo=UTC)
WAYS: tuple[Way, ...] = ("mail", "webhook")
LATE = Alarm(
    key="edition/2026-11-23",
    kind=Kind.EDITION_LATE,
    cause=Cause.RELAY_UNREACHABLE,
    sentence="it is late: the relay is away.",
)
PAUSED = Alarm(
    key=LATE.key, kind=Kind.EDITION_PAUSED, cause=Cause.PAUSE, sentence="it was paused by ada."
)


def note(database: Database, *found: Alarm, now: datetime = NOW) -> list[Change]:
    with database.writing() as connection:
        return note_alarms(connection, found, WAYS, end=lambda _k, s: f"Over: {s}", now=now)


def tell(database: Database, now: datetime = NOW, *, failing: Sequence[Way] = ()) -> list[Telling]:
    """Tell what is due; give what was told."""
    with database.writing() as connection:
        due = claim_tellings(connection, WAYS, now)
        for telling in due:
            error = "it is away" if telling.way in failing else ""
            settle_telling(connection, telling, error, now)
    return [telling for telling in due if telling.way not in failing]


def test_what_stands_is_told_once_by_each_way_and_once_more_when_it_ends(
    backend: Database,
) -> None:
    assert [change.is_end for change in note(backend, LATE)] == [False]
    assert [t.way for t in tell(backend)] == ["mail", "webhook"]
    assert note(backend, LATE) == []  # as after a restart: nothing is known but the database
    assert tell(backend, NOW + timedelta(hours=3)) == []
    note(backend)
    ended = tell(backend)
    assert {(t.way, t.state, t.sentence) for t in ended} == {
        ("mail", "ended", f"Over: {LATE.sentence}"),
        ("webhook", "ended", f"Over: {LATE.sentence}"),
    }
    assert note(backend) == []
    note(backend, LATE)  # and when it happens again it is told again
    assert len(tell(backend)) == 2


def test_another_cause_is_told_and_one_that_was_told_is_not(backend: Database) -> None:
    note(backend, LATE)
    tell(backend)
    note(backend, PAUSED)
    assert {t.sentence for t in tell(backend)} == {PAUSED.sentence}
    assert note(backend, LATE) == []
    assert tell(backend) == []
    with backend.reading() as connection:
        (standing,) = list_alarms(connection)
    assert (standing.sentence, standing.kind) == (LATE.sentence, "edition_late")


def test_a_way_that_fails_is_tried_again_and_holds_up_no_other(backend: Database) -> None:
    note(backend, LATE)
    assert [t.way for t in tell(backend, failing=["mail"])] == ["webhook"]
    assert tell(backend, NOW + timedelta(seconds=1)) == []
    with backend.reading() as connection:
        (standing,) = list_alarms(connection)
    assert (standing.told, standing.untold) == (("webhook",), (("mail", "it is away"),))
    assert [t.way for t in tell(backend, NOW + timedelta(seconds=40))] == ["mail"]


def test_a_way_that_fails_for_a_day_is_given_up(backend: Database) -> None:
    note(backend, LATE)
    now, tries = NOW, 0
    while now < NOW + GIVEN_UP_AFTER + timedelta(hours=1):
        with backend.writing() as connection:
            for telling in claim_tellings(connection, ["mail"], now):
                settle_telling(connection, telling, "it is away", now)
                tries += 1
        now += timedelta(minutes=5)
    with backend.writing() as connection:
        assert claim_tellings(connection, ["mail"], now + timedelta(days=9)) == ()
    assert 90 < tries < 110  # soon at first, then every quarter of an hour


def test_what_was_begun_and_never_settled_is_told_by_whoever_comes_next(
    backend: Database,
) -> None:
    note(backend, LATE)
    with backend.writing() as connection:
        assert len(claim_tellings(connection, WAYS, NOW)) == 2  # and then the process is killed
    assert tell(backend, NOW + timedelta(seconds=30)) == []
    assert len(tell(backend, NOW + timedelta(minutes=6))) == 2


def test_of_many_that_watch_one_database_one_tells(backend: Database) -> None:
    told: list[Telling] = []
    ready = threading.Barrier(4)

    def watch() -> None:
        ready.wait()
        note(backend, LATE)
        told.extend(tell(backend))

    threads = [threading.Thread(target=watch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(t.way for t in told) == ["mail", "webhook"]


def test_what_ended_long_ago_is_forgotten_and_what_stands_is_not(backend: Database) -> None:
    source = Alarm(key="source/wire", kind=Kind.SOURCE, cause=Cause.SOURCE, sentence="it fails.")
    note(backend, LATE, source)
    note(backend, source)
    with backend.writing() as connection:
        assert forget_alarms(connection, NOW - timedelta(days=1)) == 0
        assert forget_alarms(connection, NOW + timedelta(days=90)) == 1
    with backend.reading() as connection:
        assert [each.key for each in list_alarms(connection)] == ["source/wire"]
