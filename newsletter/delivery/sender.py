"""The sender: takes due deliveries, hands each message over, and records what became of it.

    ledger ─ lease ─▶ desk ─▶ worker: address ─ prepare ─ {last outcome + intent} ─ finish ─┐
       ▲                              everything but the dot  one group commit     the dot  │
       └──────────────── outcome, with the next intent's commit ◀──────────────────────────┘

A run ends when no row is open, when `stop` is called, when the edition is paused, cancelled or
taken over by another process, or when anything fails for good: the database, the relay, this
program. Whatever the reason, a worker that has not committed its intent drops its connection
and its row goes back; one that has waits for the relay's answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from newsletter.audience.reader import Reader
from newsletter.delivery.dispatch import Dispatcher
from newsletter.delivery.ledger import LEASE, Ledger, Run
from newsletter.delivery.lifecycle import State
from newsletter.delivery.recorder import Recorder, outlast
from newsletter.delivery.shift import Lane, Policy, Shift, Surroundings
from newsletter.delivery.worker import Worker
from newsletter.mail import Message

BATCH = 500
"""Deliveries leased at once."""
MOST_PARKED = 5_000
"""Leased deliveries that may wait for their domain; beyond, they go back into the ledger."""
STOP_GRACE_SECONDS = 10.0
"""How long a stopping run waits for the answers to dots already written."""
LOOK_SECONDS = 0.5
"""How often a run looks whether the edition was paused or cancelled."""
_RATE_SECONDS = 10.0
"""The rate that is told is that of so many seconds."""
_DOMAINS_TOLD = 20
_ENDS = (State.ACCEPTED, State.DEFERRED, State.FAILED, State.IN_DOUBT)
_SHORTEST_WAIT_SECONDS = 0.02
_SWITCH_SECONDS = 0.0005
_GARBAGE = 10_000
"""Objects between two looks of the collector: a message makes some dozens, and no cycles."""


class Sender:
    """One run over one edition."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        run: Run,
        lanes: Sequence[Lane],
        address: Callable[[Reader], Message],
        policy: Policy,
        around: Surroundings,
        is_slow: bool = False,
        on_progress: Callable[[Counter[State]], None] = lambda _tally: None,
    ) -> None:
        """Take the run's parts; `is_slow` says that `address` is best called from threads."""
        self._ledger, self._run, self._around = ledger, run, around
        self._policy, self._lanes = policy, tuple(lanes)
        self._recorder = Recorder(ledger, run, around.now)
        desk = Dispatcher([lane.limits for lane in self._lanes], policy.domains)
        cores = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(cores + 1, "address") if is_slow else None
        self._shift = Shift(
            desk=desk,
            pool=self._pool,
            edition=str(run.edition_id),
            relays=len(self._lanes),
            address=address,
            policy=policy,
            around=around,
            recorder=self._recorder,
            renew=self._renew,
            on_progress=on_progress,
        )
        self._started_at = around.now()
        self._samples: deque[tuple[float, int]] = deque()
        self._busy_seconds = 0.0
        self._is_sent = False
        self._has_recalled = False

    @property
    def replies(self) -> Counter[tuple[str, str]]:
        """Replies by relay and first digit, as they come; "" for what was no reply."""
        return self._shift.replies

    def stop(self) -> None:
        """Ask the run to end: nothing new is begun, answers that are due are awaited."""
        self._shift.stopping.set()

    async def send(self) -> bool:
        """Work until nothing is open, or the run must end; True when the edition is sent.

        Raises what made the run fail. A new run goes on from there; nobody gets a second copy.
        """
        with _steady_heap(), _sharing(self._pool):
            return await self._send()

    async def _send(self) -> bool:
        self._sample()
        workers = [
            asyncio.create_task(self._guard(Worker(self._shift, lane, number).run))
            for lane in self._lanes
            for number in range(1, lane.limits.connections + 1)
        ]
        others = [
            asyncio.create_task(self._guard(work))
            for work in (self._beat, self._look, self._feed, lambda: self._watch(workers))
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
        if self._shift.failure is not None:
            raise self._shift.failure
        return self._is_sent

    async def _conclude(self, tasks: list[asyncio.Task[None]]) -> None:
        """Stop everything, give back what was not begun, and end the run."""
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        # An outcome of a message never begun needs its row leased: record before giving back.
        await self._recorder.drain()
        shift, ledger, run, now = self._shift, self._ledger, self._run, self._around.now
        call, unrecorded = self._recorder.call, shift.unrecorded
        with contextlib.closing(self._recorder):
            with self._failing():
                if unrecorded:
                    await call(lambda: ledger.record(run, unrecorded, [], now()))
            with self._failing():
                await self._remember(is_over=True)
            with self._failing():
                await call(lambda: ledger.give_back(run, now()))
                self._sample()
                progress = self._progress()
                self._is_sent = await call(lambda: ledger.release(run, now(), progress))

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        with self._failing():
            await work()

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Let any error end the run, in order; `send` raises the first."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - nothing is swallowed, whatever it is
            self._shift.fail(error)

    async def _watch(self, workers: list[asyncio.Task[None]]) -> None:
        """End the run when the last worker has come to its end."""
        await asyncio.wait(workers)
        self._shift.stopping.set()

    # -- what goes on beside -------------------------------------------------------------------

    async def _beat(self) -> None:
        """Renew the lease; without it another process may take the edition over."""
        while True:
            await self._renew()
            await self._remember()
            await asyncio.sleep(LEASE.total_seconds() / 4)

    async def _look(self) -> None:
        """End the run within a moment of a pause or a cancellation, whatever it waits for."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._sample()
            if await self._recorder.call(lambda: self._ledger.is_halted(self._run)):
                self._shift.stopping.set()

    async def _renew(self) -> None:
        begun = self._around.monotonic()
        await self._recorder.call(
            lambda: self._ledger.renew(self._run, self._around.now(), self._progress())
        )
        self._shift.lease_ends = begun + LEASE.total_seconds()

    async def _recall(self) -> None:
        """Take up what earlier runs learned about the relays' pace, once."""
        if self._has_recalled:
            return
        lessons = await self._recorder.call(self._ledger.load_lessons)
        now = self._around.now()
        for name, lesson in lessons.items():
            age = max(now - lesson.learned_at, timedelta(0)).total_seconds()
            learned = {name: lesson.learned}
            self._shift.desk.restore(learned, self._around.monotonic(), age_seconds=age)
        self._has_recalled = True

    async def _remember(self, *, is_over: bool = False) -> None:
        """Store what a person should know, and what was learned about the relays' pace.

        Dead addresses only when the run is over: until then the guards may come to doubt them.
        """
        await self._recall()  # else what is stored would be forgotten
        shift, desk, now = self._shift, self._shift.desk, self._around.now()
        # Read here, in the loop that changes it; only the writing is the thread's.
        lessons = desk.snapshot(self._around.monotonic())
        alerts, shift.alerts = shift.alerts, []
        dead: list[tuple[Reader, str]] = []
        if is_over:
            believed = (d for d in shift.dead if desk.guards.believes_dead(d[0].domain))
            dead = list(believed)
        try:
            await self._recorder.call(
                lambda: self._ledger.remember(self._run, alerts, dead, lessons, now)
            )
        except BaseException:
            shift.alerts[:0] = alerts  # for the next try
            raise

    def _sample(self) -> None:
        now, samples = self._around.monotonic(), self._samples
        if samples and self._shift.tally[State.ACCEPTED] > samples[-1][1]:
            self._busy_seconds += now - samples[-1][0]
        samples.append((now, self._shift.tally[State.ACCEPTED]))
        while now - samples[0][0] > _RATE_SECONDS:
            samples.popleft()

    def _progress(self) -> dict[str, object]:
        """Tell how the run stands, for whoever asks from outside."""
        desk, samples = self._shift.desk, self._samples
        rate = 0.0
        if len(samples) > 1 and samples[-1][0] > samples[0][0]:
            rate = (samples[-1][1] - samples[0][1]) / (samples[-1][0] - samples[0][0])
        return {
            "at": self._around.now().isoformat(),
            "started_at": self._started_at.isoformat(),
            "accepted": self._shift.tally[State.ACCEPTED],
            "rate": round(rate, 2),
            "busy_seconds": round(self._busy_seconds, 3),
            "connections": desk.connections,
            "parked": desk.parked,
            "waiting": desk.explain_wait(self._around.monotonic()),
            "replies": _by_class(self._shift.replies),
            "domains": _by_domain(self._shift.domains),
        }

    # -- from the ledger to the desk -----------------------------------------------------------

    async def _feed(self) -> None:
        """Keep the desk supplied from the ledger until no row is open, then let workers part."""
        while await self._feed_once():
            pass
        self._shift.is_finished = True
        self._shift.stir()

    async def _feed_once(self) -> bool:
        shift, ledger, run, call = self._shift, self._ledger, self._run, self._recorder.call
        now = self._around.now()
        if now >= self._policy.not_after:
            for _ in shift.desk.drain():
                shift.leave_job()
            await self._wait_while(lambda: shift.unsettled > 0)
            await call(lambda: ledger.give_back(run, self._around.now()))
            expired = await call(lambda: ledger.expire(run, self._around.now()))
            shift.settle(State.EXPIRED, expired)
            return False
        await self._shed()
        leased = await call(lambda: ledger.lease(run, BATCH, now))
        if leased.suppressed:
            shift.settle(State.SUPPRESSED, leased.suppressed)
        if leased.jobs or leased.suppressed:
            shift.unsettled += len(leased.jobs)
            shift.put(leased.jobs)
            await self._wait_while(lambda: shift.desk.queued > BATCH // 2)
            return True
        if shift.unsettled > 0:
            # Something is under way; what was put off may be due before that ends.
            await self._wait_while(lambda: shift.unsettled > 0, at_most=LOOK_SECONDS)
            return True
        due = await call(lambda: ledger.next_due(run))
        if due is None:
            return False
        wait = (min(due, self._policy.not_after) - self._around.now()).total_seconds()
        # By the wall clock, which may be set, or go on while the machine sleeps.
        await asyncio.sleep(min(max(wait, _SHORTEST_WAIT_SECONDS), LOOK_SECONDS))
        return True

    async def _shed(self) -> None:
        """Put back into the ledger what waits for its domain beyond what memory should hold."""
        shift = self._shift
        if shift.desk.parked <= MOST_PARKED:
            return
        shed = shift.desk.shed(self._around.monotonic())
        now = self._around.now()
        rows = [(job, now + timedelta(seconds=seconds)) for job, seconds in shed]
        await self._recorder.call(lambda: self._ledger.put_off(self._run, rows, now))
        for _ in rows:
            shift.leave_job()

    async def _wait_while(self, condition: Callable[[], bool], at_most: float = 0) -> None:
        """Wait for jobs to be settled; never past the edition's time."""
        left = (self._policy.not_after - self._around.now()).total_seconds()
        seconds = at_most or (left if left > 0 else None)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while condition():
                    self._shift.settled.clear()
                    await self._shift.settled.wait()


def _by_class(replies: Counter[tuple[str, str]]) -> dict[str, int]:
    """Count attempts by the first digit of their reply, whichever relay gave it."""
    classes: Counter[str] = Counter()
    for (_, digit), count in replies.items():
        classes[digit] += count
    return dict(classes)


def _by_domain(attempts: Counter[tuple[str, State]]) -> list[tuple[str, dict[str, int]]]:
    """Count attempts by domain and outcome, for the domains with the most of them."""
    totals: Counter[str] = Counter()
    for (domain, _), count in attempts.items():
        totals[domain] += count
    return [
        (domain, {state.value: attempts[domain, state] for state in _ENDS})
        for domain, _ in totals.most_common(_DOMAINS_TOLD)
    ]


@contextlib.contextmanager
def _sharing(pool: ThreadPoolExecutor | None) -> Iterator[None]:
    """Let the threads of a pool have the interpreter as soon as they want it, not 5 ms later."""
    if pool is None:
        yield
        return
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        pool.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def _steady_heap() -> Iterator[None]:
    """Keep the collector of cycles from looking through the whole program again and again.

    It looks through what is young once before. To look through everything takes 0.1 s, in which
    nothing is sent, and finds some hundred objects that are kept for the length of the run.
    """
    thresholds = gc.get_threshold()
    if thresholds[0] >= _GARBAGE:  # another run in this process sees to it
        yield
        return
    gc.collect(1)
    gc.freeze()
    gc.set_threshold(_GARBAGE, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
