"""Group commit over a real ledger: in order, together, and whoever waits may go."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from newsletter.audience.suppression import suppress
from newsletter.delivery.entries import Grant, Intent, Job, Outcome, Run
from newsletter.delivery.journal import Journal
from newsletter.delivery.ledger import Ledger
from newsletter.delivery.lifecycle import State
from newsletter.delivery.recorder import Commit, Recorder, outlast
from newsletter.errors import StorageError
from newsletter.store import Database
from tests.integration.editions import store_approved_edition, store_readers
from tests.integration.runs import ThreadedJournal


class CountingJournal(ThreadedJournal):
    """Notes the size of each transaction, which takes a moment; refuses when told to."""

    def __init__(self, database: Database, run: Run) -> None:
        super().__init__(database, run, retries_doubt=False)
        self.groups: list[int] = []
        self.refuses = False

    def record(
        self, outcomes: Sequence[Outcome], intents: Sequence[Intent], now: datetime
    ) -> dict[int, Grant]:
        self.groups.append(len(outcomes) + len(intents))
        time.sleep(0.02)
        if self.refuses:
            raise StorageError("the database refused")
        return super().record(outcomes, intents, now)


class CountingLedger(Ledger):
    def open_journal(self, run: Run) -> CountingJournal:
        return CountingJournal(self._database, run)


class Table:
    """Ten leased deliveries and a recorder for them."""

    def __init__(self, database: Database) -> None:
        now, self.database = datetime.now(UTC), database
        store_readers(database, 10, now)
        self.edition_id = store_approved_edition(database, now)
        self.ledger = CountingLedger(database)
        self.run = self.ledger.take(self.edition_id, "test", now)
        self.jobs = self.ledger.lease(self.run, 10, now).jobs
        self.recorder = Recorder(self.ledger, self.run, lambda: datetime.now(UTC))
        assert isinstance(self.recorder._journal, CountingJournal)
        self.journal = self.recorder._journal

    def counts(self) -> dict[State, int]:
        return self.ledger.counts(self.edition_id)

    def play(self, part: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            await part()
            await self.recorder.drain()
            self.recorder.close()

        asyncio.run(whole())


@pytest.fixture
def table(database: Database) -> Table:
    return Table(database)


def intent(job: Job) -> Intent:
    return Intent(subscriber_id=job.reader.subscriber_id, number=1, via="relay #1")


def outcome(job: Job, state: State = State.ACCEPTED) -> Outcome:
    now = datetime.now(UTC)
    return Outcome(
        subscriber_id=job.reader.subscriber_id,
        number=1,
        via="relay #1",
        state=state,
        reply="250 OK",
        started_at=now,
        ended_at=now,
        next_attempt_at=now,
        intended=True,
    )


async def settled(commit: Commit) -> list[Grant]:
    assert await commit.settle() is None
    return list(commit.grants())


def test_what_is_ready_together_is_one_transaction(table: Table) -> None:
    async def part() -> None:
        first = [table.recorder.record([], [intent(job)]) for job in table.jobs[:4]]
        await asyncio.sleep(0.01)  # the first group is under way
        second = [table.recorder.record([], [intent(job)]) for job in table.jobs[4:]]
        assert [await settled(commit) for commit in [*first, *second]] == [[Grant.GIVEN]] * 10

    table.play(part)
    assert table.journal.groups == [4, 6]
    assert table.counts() == {State.SENDING: 10}


def test_each_is_answered_in_the_order_of_its_intents(table: Table) -> None:
    jobs = table.jobs
    with table.database.writing() as connection:
        suppress(connection, [jobs[1].reader.email], "unsubscribed", datetime.now(UTC))

    async def part() -> None:
        two = table.recorder.record([], [intent(jobs[0]), intent(jobs[1])])
        none = table.recorder.record([], [])
        others = table.recorder.record([], [intent(jobs[3]), intent(jobs[2])])
        assert await settled(two) == [Grant.GIVEN, Grant.SUPPRESSED]
        assert await settled(none) == []
        assert await settled(others) == [Grant.GIVEN] * 2

    table.play(part)
    assert table.journal.groups == [4]


def test_what_was_handed_in_is_committed_though_nobody_waits(table: Table) -> None:
    async def part() -> None:
        async def send(job: Job) -> None:
            await table.recorder.record([], [intent(job)]).settle()

        tasks = [asyncio.create_task(send(job)) for job in table.jobs]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()

    table.play(part)
    assert table.counts() == {State.SENDING: 10}


def test_drained_means_that_outcomes_in_the_queue_are_committed_too(table: Table) -> None:
    """Else what is given back next would take the rows from under them."""

    async def part() -> None:
        await settled(table.recorder.record([], [intent(table.jobs[0])]))
        table.recorder.record([], [intent(table.jobs[1])])
        await asyncio.sleep(0.005)
        never_begun = replace(outcome(table.jobs[2], State.FAILED), intended=False)
        table.recorder.record([never_begun], [])
        table.recorder.record([outcome(table.jobs[0])], [])
        await table.recorder.drain()
        await table.recorder.call(lambda: table.ledger.give_back(table.run, datetime.now(UTC)))

    table.play(part)
    assert table.counts() == {
        State.ACCEPTED: 1,
        State.SENDING: 1,
        State.FAILED: 1,
        State.PENDING: 7,
    }


def test_a_refusal_reaches_everybody_of_the_group_and_nobody_else(table: Table) -> None:
    async def part() -> None:
        table.journal.refuses = True
        refused = [table.recorder.record([], [intent(job)]) for job in table.jobs[:3]]
        for commit in refused:
            with pytest.raises(StorageError):
                await settled(commit)
        table.journal.refuses = False
        assert await settled(table.recorder.record([], [intent(table.jobs[3])])) == [Grant.GIVEN]

    table.play(part)
    assert table.counts() == {State.LEASED: 9, State.SENDING: 1}


def test_closed_with_work_in_the_queue_it_does_the_work(table: Table) -> None:
    async def part() -> None:
        first = table.recorder.record([], [intent(table.jobs[0])])
        await asyncio.sleep(0.005)
        second = table.recorder.record([], [intent(table.jobs[1])])
        table.recorder.close()
        assert await settled(first) == await settled(second) == [Grant.GIVEN]

    table.play(part)


def test_whoever_waits_outlasts_a_cancellation_and_is_told_of_it(table: Table) -> None:
    async def part() -> None:
        commit = table.recorder.record([], [intent(table.jobs[0])])
        waiting = asyncio.create_task(commit.settle())
        for _ in range(3):
            await asyncio.sleep(0.001)
            waiting.cancel()
        assert isinstance(await waiting, asyncio.CancelledError)
        assert commit.grants() == [Grant.GIVEN]
        assert await commit.settle() is None

    table.play(part)


def test_outlasting_waits_and_tells_of_the_cancellation() -> None:
    async def whole() -> None:
        work = asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.3)
        waiting = asyncio.create_task(outlast(work))
        for _ in range(3):
            await asyncio.sleep(0.001)
            waiting.cancel()
        assert await waiting
        assert work.done()
        assert not await outlast(work)

    asyncio.run(whole())


_WRITES = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN IMMEDIATE")
print("ready", flush=True)
sys.stdin.read()
"""
_RECOVERS = """
import fcntl, os, sys
shared = os.open(sys.argv[1] + "-shm", os.O_RDWR)
for lock in (120, 122):  # WAL_WRITE_LOCK and WAL_RECOVER_LOCK (SQLite's walformat.html)
    fcntl.lockf(shared, fcntl.LOCK_EX, 1, lock)
os.pwrite(shared, bytes(96), 0)  # the header is to be made anew, as after a writer's death
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("script", [_WRITES, _RECOVERS], ids=["writes", "recovers"])
def test_while_another_process_is_at_it_nothing_is_recorded_at_once(
    table: Table, script: str
) -> None:
    file = table.database.engine.url.database
    assert file is not None
    journal = Journal(table.database, table.run, retries_doubt=False)
    job, now = table.jobs[0], datetime.now(UTC)
    assert journal.try_record([], [intent(job)], now) == {job.reader.subscriber_id: Grant.GIVEN}
    with subprocess.Popen(
        [sys.executable, "-c", script, file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        assert journal.try_record([outcome(job)], [], now) is None
        other.kill()
    assert journal.try_record([outcome(job)], [], now) == {}
    journal.close()
    assert table.counts() == {State.LEASED: 9, State.ACCEPTED: 1}
