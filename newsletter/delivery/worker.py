"""One connection at work: prepare a message, commit its intent, write its dot, keep the answer.

The order is the promise. `prepare` hands over everything but the final dot; the intent of
this message and the outcome of the last one are committed together; only then the dot. An
outcome is kept for the next commit only as long as there is a next message at hand.

While the commit is under way the next message is made, and where the relay offers PIPELINING
its MAIL, RCPT and DATA leave with the dot: one round trip a message.

A worker may be cancelled anywhere, and leaves behind what is true: before the intent nothing,
between the intent and the dot a message to be tried again, after the dot one in doubt. A
commit is waited for even then, since what is in it must be known. This file is over 300
lines because they are one sequence.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from newsletter.delivery.channel import Channel
from newsletter.delivery.ledger import Grant, Intent, Job, Outcome
from newsletter.delivery.lifecycle import State
from newsletter.delivery.recorder import outlast
from newsletter.delivery.retry import Scope, decide_backoff, judge_loss, judge_reply
from newsletter.delivery.shift import Shift
from newsletter.errors import (
    ConnectionLost,
    InputError,
    RelayRefusedUs,
    RelayUnavailable,
    StorageError,
)
from newsletter.mail import Message
from newsletter.smtp.protocol import LocalProtocolError, Phase, Reply

MESSAGES_PER_CONNECTION = 100
IDLE_SECONDS = 5.0
"""How long a connection is kept open with nothing to send over it."""


@dataclass(frozen=True, slots=True)
class _Ahead:
    """The next job, and its message unless that cannot be made."""

    job: Job
    message: Message | None


class Worker:
    """One connection's loop."""

    def __init__(self, shift: Shift, number: int) -> None:
        self._shift = shift
        self._via = f"{shift.relay_name} #{number}"
        self._channel: Channel | None = None
        self._used = 0
        """Messages begun over the channel."""
        self._last: Outcome | None = None
        self._ahead: _Ahead | None = None

    async def run(self) -> None:
        """Work until the queue says None. Raises what must end the whole run."""
        try:
            while (job := await self._next_job()) is not None:
                pause = 0.0 if self._is_too_late() else await self._be_ready()
                if self._is_too_late():
                    self._forget_ahead()
                    self._shift.leave_job()
                elif pause:
                    self._forget_ahead()
                    self._shift.jobs.put_nowait(job)  # another connection may have room for it
                    await asyncio.sleep(pause)
                else:
                    await self._send(job)
            await self._part()
        finally:
            self._drop()
            await self._flush()

    async def _next_job(self) -> Job | None:
        jobs = self._shift.jobs
        if self._shift.stopping.is_set():
            return None
        if self._ahead is not None:
            return self._ahead.job
        if jobs.empty():
            await self._flush()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_SECONDS):
                    return await jobs.get()
            await self._part()
        return await jobs.get()

    def _is_too_late(self) -> bool:
        return self._shift.around.now() >= self._shift.policy.not_after

    # -- a connection --------------------------------------------------------------------------

    async def _be_ready(self) -> float:
        """Have a channel, and the turn to use it; else tell how many seconds to pause."""
        pause = await self._connect()
        if not pause and self._ahead is None and await self._wait_for_turn():
            pause = await self._connect()  # the wait may have cost the connection
        return pause

    async def _connect(self) -> float:
        """Have a usable channel; if there is none to be had, tell how many seconds to pause."""
        if self._channel and self._channel.usable and self._used < MESSAGES_PER_CONNECTION:
            return 0
        await self._part()
        try:
            self._channel = await self._open()
        except RelayUnavailable:
            pause = self._shift.health.unreachable(self._shift.around.monotonic())
            if pause is None:
                raise
            return pause
        self._shift.health.opened()
        self._used = 0
        return 0

    async def _open(self) -> Channel:
        # A relay that lets in fewer connections than we try refuses one before another is
        # through its login. Only the first attempt of a run tells whether it is there at all.
        shift = self._shift
        if not shift.reached:
            async with shift.reaching:
                if not shift.reached:
                    channel = await shift.open_channel()
                    shift.reached = True
                    return channel
        return await shift.open_channel()

    async def _wait_for_turn(self) -> bool:
        """Wait as long as the pace asks, without a connection if that is long."""
        around = self._shift.around
        delay = self._shift.pace.claim(around.monotonic())
        if delay <= 0:
            return False
        await self._flush()
        if delay > IDLE_SECONDS:
            await self._part()
        left = (self._shift.policy.not_after - around.now()).total_seconds()
        await asyncio.sleep(min(delay, left))
        return True

    async def _part(self) -> None:
        """Part politely, if there is a channel, with nothing left to record meanwhile."""
        await self._flush()
        if self._channel is not None:
            await self._channel.close()
            self._drop()

    def _drop(self) -> None:
        if self._channel is not None:
            self._channel.abort()
            self._channel = None
            self._shift.health.closed()

    # -- a message -----------------------------------------------------------------------------

    def _look_ahead(self) -> None:
        """Take the next job and make its message, if it may follow at once on this connection."""
        shift = self._shift
        if (
            shift.jobs.empty()
            or shift.stopping.is_set()
            or self._used >= MESSAGES_PER_CONNECTION
            or not shift.pace.claim_at_once(shift.around.monotonic())
        ):
            return
        job = shift.jobs.get_nowait()
        if job is None:
            shift.jobs.put_nowait(None)  # the end: whoever asks next will see it
            return
        try:
            message = shift.address(job.reader)
        except InputError:  # it is `_send` that will say so
            message = None
        self._ahead = _Ahead(job, message)

    def _forget_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead = None
            self._drop()  # its first commands may have been said already

    async def _send(self, job: Job) -> None:
        assert self._channel is not None
        started = self._shift.around.now()
        self._used += 1
        try:
            ahead, self._ahead = self._ahead, None
            message = (ahead and ahead.message) or self._shift.address(job.reader)
            refused = await self._channel.prepare(message.envelope, message.content)
        except (InputError, LocalProtocolError) as error:
            await self._keep(job, State.FAILED, f"not sent: {error}", started, intended=False)
        except ConnectionLost as lost:
            self._drop()
            if lost.phase == Phase.MAIL.value and self._used > 1:
                # Relays hang up on idle connections; that is nobody's fault and no attempt.
                self._shift.jobs.put_nowait(job)
                return
            await self._keep(job, State.DEFERRED, lost.problem, started, intended=False)
            self._blame_relay(lost)
        else:
            if refused is not None:
                await self._judge(job, refused.phase, refused.reply, started, intended=False)
                return
            task = asyncio.current_task()
            self._shift.committed.add(task)
            try:
                if await self._intend(job, started):
                    await self._finish(job, started)
            finally:
                self._shift.committed.discard(task)

    async def _intend(self, job: Job, started: datetime) -> bool:
        """Commit the intent, with the last outcome; tell whether the dot may be written."""
        shift = self._shift
        intent = Intent(
            subscriber_id=job.reader.subscriber_id, number=job.attempts + 1, via=self._via
        )
        last, self._last = self._last, None
        grant, interruption = await self._commit(last, intent)
        if grant is not Grant.GIVEN:
            self._drop()  # the only way to take back a message without its dot
            if grant is Grant.SUPPRESSED:
                shift.settle_job(State.SUPPRESSED)
            else:
                shift.stopping.set()
        try:
            if interruption is not None:
                raise interruption
            while grant is Grant.GIVEN and shift.around.monotonic() > shift.lease_ends:
                await shift.renew()  # we stood still for long: is the edition still ours?
        except BaseException:
            self._drop()
            if grant is Grant.GIVEN:
                self._last = self._outcome(
                    job, State.DEFERRED, "stopped before its end was sent", started, at_once=True
                )
            raise
        return grant is Grant.GIVEN

    async def _finish(self, job: Job, started: datetime) -> None:
        assert self._channel is not None
        try:
            following = self._ahead.message if self._ahead else None
            if following is None:
                reply = await self._channel.finish()
            else:
                size_bytes = len(following.content)
                reply = await self._channel.finish(following.envelope, size_bytes=size_bytes)
        except ConnectionLost as lost:
            self._drop()
            verdict = judge_loss(in_doubt=lost.in_doubt)
            await self._keep(job, verdict.state, lost.problem, started)
            self._blame_relay(lost)
        except BaseException:
            words = "stopped before the relay answered"
            self._last = self._outcome(job, State.IN_DOUBT, words, started)
            raise
        else:
            await self._judge(job, Phase.DOT, reply, started)

    async def _judge(
        self, job: Job, phase: Phase, reply: Reply, started: datetime, *, intended: bool = True
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
        intended: bool = True,
        at_once: bool = False,
    ) -> None:
        """Keep an outcome for the next commit, having committed the one before.

        With an intent there is none before: it went into the intent's commit.
        """
        await self._flush()
        self._last = self._outcome(job, state, reply, started, intended=intended, at_once=at_once)

    def _outcome(
        self,
        job: Job,
        state: State,
        reply: str,
        started: datetime,
        *,
        intended: bool = True,
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
            _, interruption = await self._commit(last, None)
            if interruption is not None:
                raise interruption

    async def _commit(
        self, outcome: Outcome | None, intent: Intent | None
    ) -> tuple[Grant, BaseException | None]:
        """Commit, whatever happens; tell the answer, and what interrupted us meanwhile."""
        interruption: BaseException | None = None
        committing = self._shift.recorder.record(outcome, intent)
        if intent is not None:
            try:
                self._look_ahead()
            except BaseException as error:  # noqa: BLE001 - the caller raises it, after the commit
                interruption = error
        if await outlast(committing):
            interruption = interruption or asyncio.CancelledError()
        try:
            grant = committing.result()
        except StorageError:
            if outcome is not None:
                self._shift.unrecorded.append(outcome)
            raise
        if outcome is not None:
            self._shift.settle_job(outcome.state)
        return grant, interruption
