"""The sender: takes due deliveries, hands each message over, and records what became of it.

    ledger ─ lease ─▶ queue ─▶ worker: address ─ prepare ─ {last outcome + intent} ─ finish ─┐
       ▲                               everything but the dot  one group commit     the dot  │
       └──────────────── outcome, with the next intent's commit ◀───────────────────────────┘

A run ends when no row is open, when `stop` is called, when another process has taken the
edition over, or when the database or the relay fails for good. Whatever the reason, a worker
that has not committed its intent drops its connection and its row goes back; one that has
waits for the relay's answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from newsletter.audience.reader import Reader
from newsletter.delivery.channel import OpenChannel
from newsletter.delivery.ledger import LEASE, Ledger, Run
from newsletter.delivery.lifecycle import State
from newsletter.delivery.pacing import Pace
from newsletter.delivery.recorder import Recorder
from newsletter.delivery.worker import Policy, Shift, Surroundings, Worker
from newsletter.errors import LeaseLost, NewsletterError
from newsletter.mail import Message

BATCH = 500
"""Deliveries leased at once."""
STOP_GRACE_SECONDS = 10.0
"""How long a stopping run waits for the answers to dots already written."""


class Sender:
    """One run over one edition."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        run: Run,
        open_channel: OpenChannel,
        relay_name: str,
        address: Callable[[Reader], Message],
        policy: Policy,
        around: Surroundings,
        on_progress: Callable[[Counter[State]], None] = lambda _tally: None,
    ) -> None:
        self._ledger, self._run, self._around = ledger, run, around
        self._policy = policy
        self._recorder = Recorder(ledger, run, around.now)
        self._shift = Shift(
            relay_name=relay_name,
            open_channel=open_channel,
            address=address,
            policy=policy,
            around=around,
            recorder=self._recorder,
            pace=Pace(policy.per_second),
            lease_ends=around.monotonic() + LEASE.total_seconds(),
            on_progress=on_progress,
        )
        self._stopping = self._shift.stopping
        self._failure: NewsletterError | None = None

    def stop(self) -> None:
        """Ask the run to end: nothing new is begun, answers that are due are awaited."""
        self._stopping.set()

    async def send(self) -> bool:
        """Work until nothing is open, or the run must end; True when the edition is sent.

        Raises what made the run fail. A new run goes on from there; nobody gets a second copy.
        """
        async with self._recorder:
            heart = asyncio.create_task(self._beat())
            feeder = asyncio.create_task(self._feed())
            workers = [
                asyncio.create_task(self._work(number))
                for number in range(1, self._policy.connections + 1)
            ]
            try:
                await self._until_stopped(asyncio.gather(feeder, *workers))
                await self._wind_down(workers)
            finally:
                tasks = (heart, feeder, *workers)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            return await self._conclude()

    async def _until_stopped(self, work: asyncio.Future[list[None]]) -> None:
        stopped = asyncio.create_task(self._stopping.wait())
        waited: set[asyncio.Future[Any]] = {work, stopped}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if work.done():
            work.result()
        else:
            work.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _wind_down(self, workers: list[asyncio.Task[None]]) -> None:
        """Give workers that wait for a relay's answer time to get it; stop the others."""
        for worker in workers:
            if worker not in self._shift.committed:
                worker.cancel()
        await asyncio.wait(workers, timeout=STOP_GRACE_SECONDS)

    async def _conclude(self) -> bool:
        """Give back what was not begun, end the run, and say whether the edition is sent."""
        if isinstance(self._failure, LeaseLost):
            raise self._failure  # nothing here is ours any more
        try:
            await self._recorder.call(lambda: self._ledger.give_back(self._run, self._around.now()))
            is_sent = await self._recorder.call(
                lambda: self._ledger.release(self._run, self._around.now())
            )
        except NewsletterError as error:
            raise self._failure or error from None
        if self._failure:
            raise self._failure
        return is_sent

    def _fail(self, error: NewsletterError) -> None:
        self._failure = self._failure or error
        self._stopping.set()

    async def _work(self, number: int) -> None:
        with self._failing():
            await Worker(self._shift, number).run()

    async def _feed(self) -> None:
        """Keep the queue filled from the ledger until no row is open, then end the workers."""
        with self._failing():
            while await self._feed_once():
                pass
            for _ in range(self._policy.connections):
                self._shift.jobs.put_nowait(None)

    async def _feed_once(self) -> bool:
        shift, ledger, run, call = self._shift, self._ledger, self._run, self._recorder.call
        now = self._around.now()
        if now >= self._policy.not_after:
            await self._wait_while(lambda: shift.unsettled > 0)
            expired = await call(lambda: ledger.expire(run, self._around.now()))
            shift.settle(State.EXPIRED, expired)
            return False
        leased = await call(lambda: ledger.lease(run, BATCH, now))
        if leased.suppressed:
            shift.settle(State.SUPPRESSED, leased.suppressed)
        if leased.jobs or leased.suppressed:
            shift.unsettled += len(leased.jobs)
            for job in leased.jobs:
                shift.jobs.put_nowait(job)
            await self._wait_while(lambda: shift.jobs.qsize() > BATCH // 2)
            return True
        await self._wait_while(lambda: shift.unsettled > 0)
        due = await call(lambda: ledger.next_due(run))
        if due is None:
            return False
        wait = min(due, self._policy.not_after) - self._around.now()
        await asyncio.sleep(max(0.0, wait.total_seconds()))
        return True

    async def _wait_while(self, condition: Callable[[], bool]) -> None:
        while condition():
            self._shift.settled.clear()
            await self._shift.settled.wait()

    async def _beat(self) -> None:
        """Renew the lease; without it another process may take the edition over."""
        with self._failing():
            while True:
                await asyncio.sleep(LEASE.total_seconds() / 4)
                begun = self._around.monotonic()
                await self._recorder.call(lambda: self._ledger.renew(self._run, self._around.now()))
                self._shift.lease_ends = begun + LEASE.total_seconds()

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except NewsletterError as error:
            self._fail(error)
