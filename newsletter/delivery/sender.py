"""The sender: takes due deliveries, hands each message over, and records what became of it.

    ledger ─ lease ─▶ queue ─▶ worker: address ─ prepare ─ {last outcome + intent} ─ finish ─┐
       ▲                               everything but the dot  one group commit     the dot  │
       └──────────────── outcome, with the next intent's commit ◀───────────────────────────┘

A run ends when no row is open, when `stop` is called, when another process has taken the
edition over, or when anything fails for good: the database, the relay, this program. Whatever
the reason, a worker that has not committed its intent drops its connection and its row goes
back; one that has waits for the relay's answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

from newsletter.audience.reader import Reader
from newsletter.delivery.channel import OpenChannel
from newsletter.delivery.health import Health
from newsletter.delivery.ledger import LEASE, Ledger, Run
from newsletter.delivery.lifecycle import State
from newsletter.delivery.pacing import Pace
from newsletter.delivery.recorder import Recorder, outlast
from newsletter.delivery.shift import Policy, Shift, Surroundings
from newsletter.delivery.worker import Worker
from newsletter.mail import Message

BATCH = 500
"""Deliveries leased at once."""
STOP_GRACE_SECONDS = 10.0
"""How long a stopping run waits for the answers to dots already written."""
_LOOK_AGAIN_SECONDS = 5.0
_SHORTEST_WAIT_SECONDS = 0.02
_LONGEST_WAIT_SECONDS = 60.0


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
            renew=self._renew,
            lease_ends=-math.inf,  # until it is renewed for the first time
            pace=Pace(policy.per_second),
            health=Health(policy.connections),
            on_progress=on_progress,
        )
        self._failure: Exception | None = None
        self._is_sent = False

    def stop(self) -> None:
        """Ask the run to end: nothing new is begun, answers that are due are awaited."""
        self._shift.stopping.set()

    async def send(self) -> bool:
        """Work until nothing is open, or the run must end; True when the edition is sent.

        Raises what made the run fail. A new run goes on from there; nobody gets a second copy.
        """
        workers = [
            asyncio.create_task(self._guard(Worker(self._shift, number).run))
            for number in range(1, self._policy.connections + 1)
        ]
        others = [
            asyncio.create_task(self._guard(work))
            for work in (self._beat, self._feed, lambda: self._watch(workers))
        ]
        try:
            await self._shift.stopping.wait()
            for worker in workers:
                if worker not in self._shift.committed:
                    worker.cancel()
            await asyncio.wait(workers, timeout=STOP_GRACE_SECONDS)
        finally:
            # Even then: whoever is impatient waits for the database at most.
            concluding = asyncio.create_task(self._conclude([*workers, *others]))
            if await outlast(concluding):
                raise asyncio.CancelledError
        if self._failure is not None:
            raise self._failure
        return self._is_sent

    async def _conclude(self, tasks: list[asyncio.Task[None]]) -> None:
        """Stop everything, give back what was not begun, and end the run."""
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        # An outcome of a message never begun needs its row leased: record before giving back.
        await self._recorder.drain()
        call, ledger, run, now = self._recorder.call, self._ledger, self._run, self._around.now
        unrecorded = self._shift.unrecorded
        with contextlib.closing(self._recorder):
            with self._failing():
                if unrecorded:
                    await call(lambda: ledger.record(run, unrecorded, [], now()))
            with self._failing():
                await call(lambda: ledger.give_back(run, now()))
                self._is_sent = await call(lambda: ledger.release(run, now()))

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        with self._failing():
            await work()

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Let any error end the run, in order; `send` raises the first."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - nothing is swallowed, whatever it is
            self._failure = self._failure or error
            self._shift.stopping.set()

    async def _watch(self, workers: list[asyncio.Task[None]]) -> None:
        """End the run when the last worker has come to its end."""
        await asyncio.wait(workers)
        self._shift.stopping.set()

    async def _beat(self) -> None:
        """Renew the lease; without it another process may take the edition over."""
        while True:
            await self._renew()
            await asyncio.sleep(LEASE.total_seconds() / 4)

    async def _renew(self) -> None:
        begun = self._around.monotonic()
        await self._recorder.call(lambda: self._ledger.renew(self._run, self._around.now()))
        self._shift.lease_ends = begun + LEASE.total_seconds()

    async def _feed(self) -> None:
        """Keep the queue filled from the ledger until no row is open, then end the workers."""
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
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_AGAIN_SECONDS):
                await self._wait_while(lambda: shift.unsettled > 0)
        if shift.unsettled > 0:
            return True  # one connection may wait long; what was put off may be due before
        due = await call(lambda: ledger.next_due(run))
        if due is None:
            return False
        wait = (min(due, self._policy.not_after) - self._around.now()).total_seconds()
        # By the wall clock, which may be set, or go on while the machine sleeps.
        await asyncio.sleep(min(max(wait, _SHORTEST_WAIT_SECONDS), _LONGEST_WAIT_SECONDS))
        return True

    async def _wait_while(self, condition: Callable[[], bool]) -> None:
        while condition():
            self._shift.settled.clear()
            await self._shift.settled.wait()
