"""Stops, stalls, crashes and refusing disks: what a run leaves behind is true and goes on."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import text

from newsletter.audience.reader import Reader
from newsletter.delivery import dispatch, sender, worker
from newsletter.delivery.channel import Channel, OpenChannel
from newsletter.delivery.entries import Grant, Intent, Outcome, Run
from newsletter.delivery.journal import Journal
from newsletter.delivery.ledger import Ledger
from newsletter.delivery.lifecycle import State
from newsletter.delivery.sender import Sender
from newsletter.errors import (
    AudienceError,
    LeaseLost,
    RelayRefusedUs,
    RelayUnavailable,
    StorageError,
)
from newsletter.mail import Message
from newsletter.store import Database
from tests.integration.editions import make_addresser
from tests.integration.runs import Edition, LedgerWith, Server, ThreadedJournal


@pytest.fixture(params=[False, True], ids=["one by one", "pipelining"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(pipelining=request.param) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_is_swallowed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield  # "Task exception was never retrieved" is logged, not raised
    said = caplog.get_records("call")
    assert [r for r in said if r.name == "asyncio" and r.levelno >= logging.ERROR] == []


def stop(running: Sender) -> None:
    running.stop()


def goes_on(edition: Edition, server: Server, readers: int, *, doubts: int = 0) -> None:
    """Run again and assert that everybody has one copy, or is listed as in doubt."""
    assert edition.run(server)
    counts = edition.counts
    assert counts.get(State.IN_DOUBT, 0) == doubts
    assert counts[State.ACCEPTED] == readers - doubts
    assert set(server.kept.values()) == {1}


class SlowJournal(ThreadedJournal):
    """Takes its time for a commit."""

    seconds = 0.06
    commits = 0

    def record(
        self, outcomes: Sequence[Outcome], intents: Sequence[Intent], now: datetime
    ) -> dict[int, Grant]:
        SlowJournal.commits += 1
        time.sleep(self.seconds)
        return super().record(outcomes, intents, now)


# -- stop ------------------------------------------------------------------------------------------


def test_stopped_before_it_began(database: Database, server: Server) -> None:
    edition = Edition(database, 5)
    assert not edition.run(server, on_start=stop)
    assert edition.counts == {State.PENDING: 5}
    assert edition.is_free


def test_stopped_while_commits_are_slow_loses_no_outcome(
    database: Database, server: Server
) -> None:
    """An outcome of a message never begun is recorded before its row is given back."""
    edition = Edition(database, 60)
    server.at_rcpt = lambda who, _n: "450 4.2.0 Later" if int(who[6:].split("@")[0]) % 2 else ""
    for tries in (4, 9, 18):
        goal = len(server.times) + tries
        edition.run_until(
            server,
            lambda goal=goal: len(server.times) >= goal,  # type: ignore[misc]
            stop,
            ledger=LedgerWith(database, SlowJournal),
            connections=7,
            retry_after=3600,
        )
        assert edition.is_free
        accepted = edition.counts.get(State.ACCEPTED, 0)
        assert accepted == sum(server.kept.values())
        assert State.IN_DOUBT not in edition.counts
    assert edition.tries >= 10


def test_stopped_while_relay_stalls_before_the_dot(database: Database, server: Server) -> None:
    edition = Edition(database, 10)
    server.slow_mail = lambda: 0 if len(server.times) <= 4 else 60
    _, seconds = edition.run_until(
        server, lambda: len(server.times) >= 5, stop, connections=1, holder="first"
    )
    assert seconds < 5
    assert edition.counts == {State.ACCEPTED: 4, State.PENDING: 6}
    assert edition.is_free
    server.slow_mail = lambda: 0
    goes_on(edition, server, 10)


def test_stopped_while_opening(database: Database, server: Server) -> None:
    edition = Edition(database, 3)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        server.url = f"smtp://127.0.0.1:{mute.getsockname()[1]}?tls=none"
        began = time.monotonic()
        edition.run_until(server, lambda: time.monotonic() - began > 0.1, stop)
        assert time.monotonic() - began < 5
    assert edition.counts == {State.PENDING: 3}
    assert edition.is_free


@pytest.mark.parametrize("options", [{"retry_after": 3600}, {"per_second": 0.01}])
def test_stopped_while_everybody_sleeps(
    database: Database, server: Server, options: dict[str, Any]
) -> None:
    edition = Edition(database, 5)
    server.at_rcpt = lambda _who, _n: "450 4.2.0 Later"
    wanted = 5 if "retry_after" in options else 1
    _, seconds = edition.run_until(server, lambda: edition.tries >= wanted, stop, **options)
    assert seconds < 5
    assert edition.is_free


def test_a_stop_waits_for_the_answer_to_a_dot(database: Database, server: Server) -> None:
    edition = Edition(database, 6)
    server.slow_dot = lambda: 0.4
    _, seconds = edition.run_until(server, lambda: server.kept.total() >= 3, stop)
    assert seconds < 2
    counts = edition.counts
    assert counts == {State.ACCEPTED: server.kept.total(), State.PENDING: 6 - server.kept.total()}
    assert edition.is_free


def test_a_stop_does_not_wait_for_ever(
    database: Database, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "STOP_GRACE_SECONDS", 0.1)
    edition = Edition(database, 12)
    server.slow_dot = lambda: 3 if server.kept.total() > 6 else 0
    _, seconds = edition.run_until(server, lambda: server.kept.total() >= 9, stop)
    assert seconds < 2
    assert edition.counts == {State.ACCEPTED: 6, State.IN_DOUBT: 3, State.PENDING: 3}
    assert edition.is_free
    server.slow_dot = lambda: 0
    goes_on(edition, server, 12, doubts=3)


@pytest.mark.parametrize("cancellations", [1, 2])
def test_cancelled_during_a_commit_only_dots_that_left_are_in_doubt(
    database: Database, server: Server, cancellations: int
) -> None:
    edition = Edition(database, 20)
    SlowJournal.commits = 0

    async def go() -> None:
        sending = asyncio.create_task(
            edition.sender(server.url, ledger=LedgerWith(database, SlowJournal)).send()
        )
        while SlowJournal.commits < 3:  # noqa: ASYNC110 - another thread counts
            await asyncio.sleep(0.005)
        for _ in range(cancellations):
            sending.cancel()
            await asyncio.sleep(0.01)
        with pytest.raises(asyncio.CancelledError):
            await sending

    asyncio.run(go())
    assert edition.is_free
    doubts = edition.counts.get(State.IN_DOUBT, 0)
    assert edition.counts.get(State.ACCEPTED, 0) + doubts == server.kept.total()
    goes_on(edition, server, 20, doubts=doubts)


def test_ctrl_c_anywhere_leaves_a_run_that_goes_on(database: Database, server: Server) -> None:
    edition = Edition(database, 30)
    make = make_addresser(edition.id).address

    def address(reader: Reader) -> Message:
        if reader.subscriber_id == 12:
            raise KeyboardInterrupt
        return make(reader)

    with pytest.raises(KeyboardInterrupt):
        edition.run(server, address=address)
    assert edition.is_free
    doubts = edition.counts.get(State.IN_DOUBT, 0)
    assert doubts <= 2
    goes_on(edition, server, 30, doubts=doubts)


# -- faults of ours --------------------------------------------------------------------------------


def failing_at(edition: Edition, number: int, error: Exception) -> Callable[[Reader], Message]:
    make = make_addresser(edition.id).address

    def address(reader: Reader) -> Message:
        if reader.subscriber_id == number:
            raise error
        return make(reader)

    return address


def test_a_reader_who_cannot_be_addressed_costs_no_connection(
    database: Database, server: Server
) -> None:
    edition = Edition(database, 20)
    address = failing_at(edition, 7, AudienceError("has no address"))
    assert edition.run(server, address=address, connections=1)
    assert edition.counts == {State.ACCEPTED: 19, State.FAILED: 1}
    assert edition.attempts(7) == [("failed", "not sent: has no address.")]
    assert server.connections == 1


def test_a_fault_of_the_program_ends_the_run_loudly_and_loses_nobody(
    database: Database, server: Server
) -> None:
    edition = Edition(database, 60)
    with pytest.raises(ZeroDivisionError, match="by seven"):
        edition.run(server, address=failing_at(edition, 40, ZeroDivisionError("by seven")))
    assert edition.is_free
    assert edition.counts[State.ACCEPTED] == sum(server.kept.values())
    goes_on(edition, server, 60)


def test_a_heart_that_fails_ends_the_run_loudly(
    database: Database, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "LEASE", timedelta(seconds=0.4))
    edition = Edition(database, 400)
    server.slow_mail = lambda: 0.02
    beats: list[int] = []

    class Faulty(Ledger):
        def renew(self, run: Run, now: datetime, progress: Mapping[str, Any] | None = None) -> None:
            beats.append(1)
            if len(beats) > 2:
                raise ZeroDivisionError
            super().renew(run, now, progress)

    with pytest.raises(ZeroDivisionError):
        edition.run(server, ledger=Faulty(database))
    assert edition.is_free
    assert edition.counts[State.PENDING] > 0


# -- the database refuses --------------------------------------------------------------------------


def test_no_dot_without_a_committed_intent(database: Database, server: Server) -> None:
    edition = Edition(database, 80)
    with database.writing() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER full BEFORE UPDATE ON deliveries WHEN NEW.state = 'sending'"
                " AND (SELECT count(*) FROM deliveries WHERE state = 'accepted') >= 30"
                " BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
            )
        )
    with pytest.raises(StorageError, match="free some space"):
        edition.run(server)
    assert edition.is_free
    assert 30 <= edition.counts[State.ACCEPTED] == sum(server.kept.values()) <= 33
    with database.writing() as connection:
        connection.execute(text("DROP TRIGGER full"))
    goes_on(edition, server, 80)


def test_what_was_accepted_is_recorded_when_the_disk_comes_back(
    database: Database, server: Server
) -> None:
    edition = Edition(database, 40)
    refused: list[int] = []

    class Hiccup(Journal):
        def _record(
            self,
            outcomes: Sequence[Outcome],
            intents: Sequence[Intent],
            now: datetime,
            *,
            is_patient: bool,
        ) -> dict[int, Grant]:
            if server.kept.total() >= 10 and not refused:
                refused.append(1)
                raise StorageError("the database refused")
            return super()._record(outcomes, intents, now, is_patient=is_patient)

    with pytest.raises(StorageError):
        edition.run(server, ledger=LedgerWith(database, Hiccup))
    assert edition.is_free
    assert edition.counts[State.ACCEPTED] == sum(server.kept.values())
    goes_on(edition, server, 40)


def test_a_database_that_refuses_everything_leaves_at_most_one_doubt_a_connection(
    database: Database, server: Server
) -> None:
    edition = Edition(database, 40)

    class Refusing(Journal):
        def _record(
            self,
            outcomes: Sequence[Outcome],
            intents: Sequence[Intent],
            now: datetime,
            *,
            is_patient: bool,
        ) -> dict[int, Grant]:
            if server.kept.total() >= 10:
                raise StorageError("the database refused")
            return super()._record(outcomes, intents, now, is_patient=is_patient)

    class Broken(LedgerWith):
        def give_back(self, run: Run, now: datetime) -> None:
            raise StorageError("the database refused again")

    with pytest.raises(StorageError, match="refused"):
        edition.run(server, ledger=Broken(database, Refusing))
    edition.let_lease_run_out()
    assert edition.run(server)
    counts = edition.counts
    assert counts[State.ACCEPTED] + counts.get(State.IN_DOUBT, 0) == 40
    assert counts.get(State.IN_DOUBT, 0) <= 3
    assert set(server.kept.values()) == {1}


# -- the lease -------------------------------------------------------------------------------------


class Clock:
    """A monotonic clock that can jump, as it does for a process that was stopped."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


def test_a_process_that_stood_still_goes_on_if_nobody_took_over(
    database: Database, server: Server
) -> None:
    edition, clock = Edition(database, 60), Clock()

    def freeze(tally: Counter[State]) -> None:
        if tally[State.ACCEPTED] == 20:
            clock.ahead += 1000
            edition.let_lease_run_out()

    assert edition.run(server, monotonic=clock, on_progress=freeze)
    assert edition.counts == {State.ACCEPTED: 60}


def test_a_process_that_stood_still_writes_no_dot_after_a_take_over(
    database: Database, server: Server
) -> None:
    """It stood still between the commit of its intent and the dot."""
    edition, clock = Edition(database, 60), Clock()
    kept: list[int] = []

    class Freezing(ThreadedJournal):
        def record(
            self, outcomes: Sequence[Outcome], intents: Sequence[Intent], now: datetime
        ) -> dict[int, Grant]:
            grants = super().record(outcomes, intents, now)
            if server.kept.total() >= 10 and intents and not kept:
                time.sleep(0.1)  # the other connections' dots get their answers
                clock.ahead += 1000
                edition.let_lease_run_out()
                Ledger(database).take(edition.id, "another", datetime.now(UTC))
                kept.append(server.kept.total())
            return grants

    with pytest.raises(LeaseLost):
        edition.run(server, ledger=LedgerWith(database, Freezing), monotonic=clock)
    assert server.kept.total() == kept[0]
    edition.let_lease_run_out()
    assert edition.run(server)
    assert max(server.kept.values()) == 1
    assert sum(edition.counts.values()) == 60


def test_the_heart_beats_while_commits_are_slow(
    database: Database, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "LEASE", timedelta(seconds=0.8))
    edition = Edition(database, 120)
    beats: list[float] = []

    class Slow(LedgerWith):
        def renew(self, run: Run, now: datetime, progress: Mapping[str, Any] | None = None) -> None:
            beats.append(time.monotonic())
            super().renew(run, now, progress)

    assert edition.run(server, ledger=Slow(database, SlowJournal), connections=6)
    assert len(beats) >= 4
    assert max(later - earlier for earlier, later in pairwise(beats)) < 0.8


# -- the relay -------------------------------------------------------------------------------------


def test_a_relay_that_lets_in_one_at_a_time(database: Database, server: Server) -> None:
    """The second connection is refused before the first is through its slow login."""
    edition = Edition(database, 10)
    inside: list[Channel | None] = []

    def one_at_a_time(opener: OpenChannel) -> OpenChannel:
        async def open_channel() -> Channel:
            if inside:
                raise RelayUnavailable("too many connections")
            inside.append(None)
            await asyncio.sleep(0.1)
            return await opener()

        return open_channel

    assert edition.run(server, limit=one_at_a_time)
    assert edition.counts == {State.ACCEPTED: 10}


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_relay_that_goes_away(
    database: Database, server: Server, monkeypatch: pytest.MonkeyPatch, comes_back: bool
) -> None:
    monkeypatch.setattr(dispatch, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(dispatch, "LONGEST_RECONNECT_SECONDS", 0.1)
    edition = Edition(database, 40)
    opened: list[float] = []

    def away(opener: OpenChannel) -> OpenChannel:
        async def open_channel() -> Channel:
            if len(opened) < 3 or (comes_back and time.monotonic() - opened[0] > 0.3):
                opened.append(time.monotonic())
                return await opener()
            raise RelayUnavailable("gone")

        return open_channel

    server.at_dot = lambda _who, _n: "421 4.3.2 Going down" if server.kept.total() == 10 else ""
    if comes_back:
        server.at_dot = lambda who, n: "421 4.3.2" if n == 1 and "reader5@" in who else ""
        monkeypatch.setattr(worker, "MESSAGES_PER_CONNECTION", 5)
        assert edition.run(server, limit=away)
        assert edition.counts == {State.ACCEPTED: 40}
    else:
        with pytest.raises(RelayUnavailable, match="gone"):
            edition.run(server, limit=away)
        assert edition.is_free
        assert edition.counts[State.ACCEPTED] == 10
        server.at_dot = lambda _who, _n: ""
        goes_on(edition, server, 40)


def test_an_idle_connection_is_closed_and_opened_again(
    database: Database, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "IDLE_SECONDS", 0.05)
    edition = Edition(database, 3)
    server.at_rcpt = lambda who, n: "450 4.2.0 Later" if "reader1@" in who and n == 1 else ""
    seen: list[int] = []
    watch = threading.Timer(2.5, lambda: seen.append(server.open))
    watch.start()
    assert edition.run(server, retry_after=4)
    watch.join()
    assert seen == [0]
    assert edition.counts == {State.ACCEPTED: 3}


def test_a_relay_that_hangs_up_on_idle_connections_costs_no_attempt(database: Database) -> None:
    with Server(idle_seconds=0.1) as server:
        edition = Edition(database, 6)
        assert edition.run(server, connections=1, per_second=5)
        assert server.connections == 6
    assert edition.tries == 6


def test_a_refusal_of_ourselves_in_the_midst_stops_in_order(
    database: Database, server: Server
) -> None:
    edition = Edition(database, 40)
    server.at_mail = lambda: "550 5.7.1 Who are you" if server.kept.total() >= 10 else ""
    with pytest.raises(RelayRefusedUs):
        edition.run(server)
    assert edition.is_free
    assert edition.counts[State.ACCEPTED] == server.kept.total()
    server.at_mail = lambda: ""
    goes_on(edition, server, 40)


# -- time and memory -------------------------------------------------------------------------------


def test_the_rate_holds_over_all_connections(database: Database, server: Server) -> None:
    """Also where opening is slow: a turn is taken when the connection is there."""
    edition = Edition(database, 20)

    def slow(opener: OpenChannel) -> OpenChannel:
        async def open_channel() -> Channel:
            await asyncio.sleep(0.2)
            return await opener()

        return open_channel

    assert edition.run(server, per_second=40, connections=6, limit=slow)
    starts = sorted(server.times)
    for number, start in enumerate(starts):
        assert start - starts[0] >= number / 40 - 0.02
    assert starts[-1] - starts[0] < 1.5


def test_nothing_is_begun_after_its_time(database: Database, server: Server) -> None:
    edition = Edition(database, 200, hours=4 / 3600)
    assert edition.run(server, per_second=20)
    counts = edition.counts
    assert counts.keys() == {State.ACCEPTED, State.EXPIRED}
    assert 1 <= counts[State.ACCEPTED] <= 82
    assert edition.state == "sent"
    assert edition.is_free


def test_what_is_put_off_does_not_wait_for_one_slow_connection(
    database: Database, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "LOOK_SECONDS", 0.05)
    edition = Edition(database, 2)
    server.at_rcpt = lambda who, n: "450 4.2.0 Later" if "reader1@" in who and n == 1 else ""
    server.slow_dot = lambda: 1.5 if len(server.times) <= 2 else 0
    began = time.monotonic()
    assert edition.run(server, retry_after=0.1)
    assert server.times[2] - server.times[1] < 1.2
    assert time.monotonic() - began < 5


def test_the_queue_stays_small_whatever_the_audience(
    database: Database, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "BATCH", 20)
    edition = Edition(database, 120)
    sizes: list[int] = []
    running: list[Sender] = []

    def watch(_tally: Counter[State]) -> None:
        sizes.append(running[0]._shift.desk.queued)

    assert edition.run(server, on_start=running.append, on_progress=watch)
    assert max(sizes) <= 30
    assert edition.counts == {State.ACCEPTED: 120}
