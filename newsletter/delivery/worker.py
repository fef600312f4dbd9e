"""One connection at work: prepare a message, commit its intent, write its dot, keep the answer.

The order is the promise. `prepare` hands over everything but the final dot; the intent of
this message and the outcome of the last one are committed together; only then the dot. An
outcome is kept for the next commit only as long as there is a next message at hand.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from newsletter.audience.reader import Reader
from newsletter.delivery.channel import Channel, OpenChannel
from newsletter.delivery.health import Health
from newsletter.delivery.ledger import Grant, Intent, Job, Outcome
from newsletter.delivery.lifecycle import State
from newsletter.delivery.pacing import Pace
from newsletter.delivery.recorder import Recorder
from newsletter.delivery.retry import Scope, decide_backoff, judge_loss, judge_reply
from newsletter.errors import (
    ConnectionLost,
    InputError,
    LeaseLost,
    NewsletterError,
    RelayRefusedUs,
    RelayUnavailable,
)
from newsletter.mail import Message
from newsletter.smtp.protocol import LocalProtocolError, Phase, Reply

MESSAGES_PER_CONNECTION = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a run behaves, from the operator's settings."""

    connections: int
    per_second: float
    not_after: datetime
    retry_after: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The clocks and the randomness, injected. `monotonic` gives seconds, `spread` [0, 1)."""

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    spread: Callable[[], float]


@dataclass(slots=True, kw_only=True)
class Shift:
    """What the connections of one run share."""

    relay_name: str
    open_channel: OpenChannel
    address: Callable[[Reader], Message]
    policy: Policy
    around: Surroundings
    recorder: Recorder
    pace: Pace
    lease_ends: float
    """Monotonic seconds; no dot is written after it, even if the ledger would still agree."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set: begin nothing new."""
    health: Health = field(default_factory=Health)
    jobs: asyncio.Queue[Job | None] = field(default_factory=asyncio.Queue)
    unsettled: int = 0
    """Leased jobs whose outcome is not recorded yet."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    committed: set[asyncio.Task[None] | None] = field(default_factory=set)
    """Workers between the intent and the answer: they must not be cancelled lightly."""
    tally: Counter[State] = field(default_factory=Counter)
    on_progress: Callable[[Counter[State]], None] = lambda _tally: None

    def settle(self, state: State, count: int = 1) -> None:
        """Count a job as done with."""
        self.tally[state] += count
        self.on_progress(self.tally)

    def settle_job(self, state: State) -> None:
        """Count a leased job as done with, and tell whoever waits for that."""
        self.unsettled -= 1
        self.settled.set()
        self.settle(state)


class Worker:
    """One connection's loop."""

    def __init__(self, shift: Shift, number: int) -> None:
        self._shift = shift
        self._via = f"{shift.relay_name} #{number}"
        self._channel: Channel | None = None
        self._served = 0
        self._last: Outcome | None = None

    async def run(self) -> None:
        """Work until the queue says None. Raises what must end the whole run."""
        try:
            while (job := await self._next_job()) is not None:
                pause = await self._connect()
                if pause:
                    self._shift.jobs.put_nowait(job)  # another connection may have room for it
                    await asyncio.sleep(pause)
                else:
                    await self._send(job)
            await self._flush()
            if self._channel is not None:
                await self._channel.close()
        finally:
            self._drop()
            if self._last is not None:
                with contextlib.suppress(NewsletterError):
                    await self._flush()

    async def _next_job(self) -> Job | None:
        if self._shift.stopping.is_set():
            return None
        if self._shift.jobs.empty():
            await self._flush()
        job = await self._shift.jobs.get()
        delay = self._shift.pace.claim(self._shift.around.monotonic()) if job else 0
        if delay > 0:
            await self._flush()
            await asyncio.sleep(delay)
        return job

    # -- a connection --------------------------------------------------------------------------

    async def _connect(self) -> float:
        """Have a usable channel; if there is none to be had, tell how many seconds to pause."""
        if self._channel is not None:
            if self._channel.usable and self._served < MESSAGES_PER_CONNECTION:
                return 0
            await self._flush()
            await self._channel.close()
            self._drop()
        try:
            self._channel = await self._shift.open_channel()
        except RelayUnavailable:
            await self._flush()
            pause = self._shift.health.unreachable(self._shift.around.monotonic())
            if pause is None:
                raise
            return pause
        self._shift.health.opened()
        self._served = 0
        return 0

    def _drop(self) -> None:
        if self._channel is not None:
            self._channel.abort()
            self._channel = None
            self._shift.health.closed()

    # -- a message -----------------------------------------------------------------------------

    async def _send(self, job: Job) -> None:
        assert self._channel is not None
        now = self._shift.around.now
        started = now()
        number = job.attempts + 1
        reader = job.reader
        try:
            message = self._shift.address(reader)
            refused = await self._channel.prepare(message.envelope, message.content)
        except (InputError, LocalProtocolError) as error:
            self._drop()
            await self._keep(job, State.FAILED, f"not sent: {error}", started, intended=False)
            return
        except ConnectionLost as lost:
            self._drop()
            if lost.phase == Phase.MAIL.value and self._served:
                # Relays hang up on idle connections; that is nobody's fault and no attempt.
                self._shift.jobs.put_nowait(job)
                return
            await self._keep(job, State.DEFERRED, lost.problem, started, intended=False)
            self._blame_relay(lost)
            return
        if refused is not None:
            await self._judge(job, refused.phase, refused.reply, started, intended=False)
            return
        intent = Intent(subscriber_id=reader.subscriber_id, number=number, via=self._via)
        task = asyncio.current_task()
        self._shift.committed.add(task)
        try:
            last, self._last = self._last, None
            grant = await self._record(last, intent)
            if grant is not Grant.GIVEN:
                self._drop()  # the only way to take back a message without its dot
                if grant is Grant.SUPPRESSED:
                    self._shift.settle_job(State.SUPPRESSED)
                else:
                    self._shift.stopping.set()
                return
            if self._shift.around.monotonic() > self._shift.lease_ends:
                raise LeaseLost("this process stood still for longer than its lease, so it stopped")
            await self._finish(job, started)
        finally:
            self._shift.committed.discard(task)

    async def _finish(self, job: Job, started: datetime) -> None:
        assert self._channel is not None
        try:
            reply = await self._channel.finish()
        except ConnectionLost as lost:
            self._drop()
            verdict = judge_loss(in_doubt=lost.in_doubt)
            await self._keep(job, verdict.state, lost.problem, started, intended=True)
            self._blame_relay(lost)
        except asyncio.CancelledError:
            self._last = self._outcome(
                job, State.IN_DOUBT, "stopped before the relay answered", started, intended=True
            )
            raise
        else:
            self._served += 1
            await self._judge(job, Phase.DOT, reply, started, intended=True)

    async def _judge(
        self, job: Job, phase: Phase, reply: Reply, started: datetime, *, intended: bool
    ) -> None:
        verdict = judge_reply(phase, reply)
        if verdict.state is State.ACCEPTED:
            self._shift.health.accepted()
        await self._keep(
            job,
            verdict.state,
            str(reply),
            started,
            intended=intended,
            at_once=verdict.scope is Scope.OURSELVES,
        )
        if verdict.scope is Scope.OURSELVES:
            raise RelayRefusedUs(
                f"{self._shift.relay_name} refuses us at {phase.value} ({reply})",
                field="delivery.relay",
                mend="mend the sender's identity or login; no reader is lost, "
                "the same command goes on",
            )

    def _blame_relay(self, lost: ConnectionLost) -> None:
        if self._shift.health.lost():
            raise RelayUnavailable(
                f"{self._shift.relay_name} keeps breaking off ({lost.problem})",
                mend="mend the relay and run the same command again; nobody gets a second copy",
            )

    # -- the ledger ----------------------------------------------------------------------------

    async def _keep(
        self,
        job: Job,
        state: State,
        reply: str,
        started: datetime,
        *,
        intended: bool,
        at_once: bool = False,
    ) -> None:
        """Keep an outcome for the next commit, having committed the one before."""
        await self._flush()
        self._last = self._outcome(job, state, reply, started, intended=intended, at_once=at_once)

    def _outcome(
        self,
        job: Job,
        state: State,
        reply: str,
        started: datetime,
        *,
        intended: bool,
        at_once: bool = False,
    ) -> Outcome:
        shift = self._shift
        ended = shift.around.now()
        number = job.attempts + 1
        pause = timedelta(0)
        if state in (State.DEFERRED, State.IN_DOUBT) and not at_once:
            pause = decide_backoff(shift.policy.retry_after, number, spread=shift.around.spread())
        return Outcome(
            subscriber_id=job.reader.subscriber_id,
            number=number,
            via=self._via,
            state=state,
            reply=reply,
            started_at=started,
            ended_at=ended,
            next_attempt_at=ended + pause,
            intended=intended,
        )

    async def _flush(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            await self._record(last, None)

    async def _record(self, outcome: Outcome | None, intent: Intent | None) -> Grant:
        granted = await self._shift.recorder.record(outcome, intent)
        if outcome is not None:
            self._shift.settle_job(outcome.state)
        return granted
