"""Group commit over a real ledger: in order, together, and whoever waits may go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from newsletter.delivery.ledger import Grant, Intent, Job, Ledger, Outcome, Run
from newsletter.delivery.lifecycle import State
from newsletter.delivery.recorder import Recorder, outlast
from newsletter.errors import StorageError
from newsletter.store import Database
from tests.integration.editions import store_approved_edition, store_readers


class CountingLedger(Ledger):
    """Notes the size of each transaction, which takes a moment; refuses when told to."""

    refuses = False

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.groups: list[int] = []

    def record(
        self, run: Run, outcomes: Sequence[Outcome], intents: Sequence[Intent], now: datetime
    ) -> dict[int, Grant]:
        self.groups.append(len(outcomes) + len(intents))
        time.sleep(0.02)
        if self.refuses:
            raise StorageError("the database refused")
        return super().record(run, outcomes, intents, now)


class Table:
    """Ten leased deliveries and a recorder for them."""

    def __init__(self, database: Database) -> None:
        now = datetime.now(UTC)
        store_readers(database, 10, now)
        self.edition_id = store_approved_edition(database, now)
        self.ledger = CountingLedger(database)
        self.run = self.ledger.take(self.edition_id, "test", now)
        self.jobs = self.ledger.lease(self.run, 10, now).jobs
        self.recorder = Recorder(self.ledger, self.run, lambda: datetime.now(UTC))

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


def test_what_is_ready_together_is_one_transaction(table: Table) -> None:
    async def part() -> None:
        first = [table.recorder.record(None, intent(job)) for job in table.jobs[:4]]
        await asyncio.sleep(0.01)  # the first group is under way
        second = [table.recorder.record(None, intent(job)) for job in table.jobs[4:]]
        assert await asyncio.gather(*first, *second) == [Grant.GIVEN] * 10

    table.play(part)
    assert table.ledger.groups == [4, 6]
    assert table.counts() == {State.SENDING: 10}


def test_what_was_handed_in_is_committed_though_nobody_waits(table: Table) -> None:
    async def part() -> None:
        async def send(job: Job) -> None:
            await table.recorder.record(None, intent(job))

        tasks = [asyncio.create_task(send(job)) for job in table.jobs]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()

    table.play(part)
    assert table.counts() == {State.SENDING: 10}


def test_drained_means_that_outcomes_in_the_queue_are_committed_too(table: Table) -> None:
    """Else what is given back next would take the rows from under them."""

    async def part() -> None:
        await table.recorder.record(None, intent(table.jobs[0]))
        table.recorder.record(None, intent(table.jobs[1]))
        await asyncio.sleep(0.005)
        table.recorder.record(replace(outcome(table.jobs[2], State.FAILED), intended=False), None)
        table.recorder.record(outcome(table.jobs[0]), None)
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
        table.ledger.refuses = True
        refused = [table.recorder.record(None, intent(job)) for job in table.jobs[:3]]
        for answer in refused:
            with pytest.raises(StorageError):
                await answer
        table.ledger.refuses = False
        assert await table.recorder.record(None, intent(table.jobs[3])) is Grant.GIVEN

    table.play(part)
    assert table.counts() == {State.LEASED: 9, State.SENDING: 1}


def test_closed_with_work_in_the_queue_it_does_the_work(table: Table) -> None:
    async def part() -> None:
        first = table.recorder.record(None, intent(table.jobs[0]))
        await asyncio.sleep(0.005)
        second = table.recorder.record(None, intent(table.jobs[1]))
        table.recorder.close()
        assert await first is await second is Grant.GIVEN

    table.play(part)


def test_outlasting_waits_and_tells_of_the_cancellation(table: Table) -> None:
    async def part() -> None:
        answer = table.recorder.record(None, intent(table.jobs[0]))
        waiting = asyncio.create_task(outlast(answer))
        for _ in range(3):
            await asyncio.sleep(0.001)
            waiting.cancel()
        assert await waiting
        assert answer.result() is Grant.GIVEN
        assert not await outlast(answer)

    table.play(part)
