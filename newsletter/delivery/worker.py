"""One connection at work: prepare a message, commit its intent, write its end, keep the answer.

The order is the promise. `prepare` hands over everything but the final dot; the intent of
this message and the outcome of the last one are committed together; only then the dot. An
outcome is kept for the next commit only as long as there is a next message at hand.

While the commit is under way the next message is made, and where the relay offers PIPELINING
its MAIL, RCPT and DATA leave with the dot: one round trip a message. With the dot of the last
message that a connection is used for leaves QUIT. Over a connection with a window (CHUNKING)
several messages are under way, each with its intent committed before its first byte is written,
and verdicts are collected in order.

A worker may be cancelled anywhere, and leaves behind what is true: before the intent nothing,
between the intent and the end a message to be tried again, after the end one in doubt. A
commit is waited for even then, since what is in it must be known. This file is over 300
lines because they are one sequence.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from newsletter.delivery.channel import Channel
from newsletter.delivery.dispatch import CONNECT, FOR_EVER, Connect, Wait
from newsletter.delivery.entries import Grant, Intent, Job, Outcome
from newsletter.delivery.guards import Action, Alert, AlertKind
from newsletter.delivery.lifecycle import State
from newsletter.delivery.retry import (
    Reason,
    Scope,
    Verdict,
    decide_pause,
    judge_loss,
    judge_reply,
)
from newsletter.delivery.shift import Lane, Shift
from newsletter.errors import (
    ConnectionLost,
    InputError,
    RelayRefusedUs,
    RelayUnavailable,
    StorageError,
)
from newsletter.events import Event, about
from newsletter.mail import Message
from newsletter.smtp.protocol import LocalProtocolError, Phase, Refused, Reply

log = logging.getLogger("newsletter.delivery")

MESSAGES_PER_CONNECTION = 100
IDLE_SECONDS = 5.0
"""How long a connection is kept open with nothing to send over it."""


@dataclass(slots=True, kw_only=True)
class _Letter:
    """A job at hand, and how far it is."""

    job: Job
    message: Message | None = None
    """None until it is made, and if it cannot be."""
    making: asyncio.Future[Message] | None = None
    """Brings the message, where another thread makes it."""
    fault: str = ""
    """Why it cannot."""
    begun_at: datetime

    @property
    def number(self) -> int:
        return self.job.attempts + 1


class _Retired(Exception):
    """This relay refuses us, and another one goes on."""


class Worker:
    """One connection's loop."""

    def __init__(self, shift: Shift, lane: Lane, number: int) -> None:
        self._shift, self._lane = shift, lane
        self._via = f"{lane.name} #{number}"
        self._seat = shift.desk.seat(lane.name)
        self._channel: Channel | None = None
        self._used = 0
        """Messages begun over the channel."""
        self._kept: list[Outcome] = []
        """Outcomes for the next commit."""
        self._ahead: _Letter | None = None
        self._under_way: deque[_Letter] = deque()
        """Posted over a connection with a window, and not answered yet."""
        self._refusal: RelayRefusedUs | None = None
        """The relay refuses us: once what is under way is answered, this worker ends."""

    async def run(self) -> None:
        """Work until the run is finished. Raises what must end all of it."""
        try:
            while (letter := await self._next()) is not None:
                await self._made(letter)
                assert self._channel is not None
                if self._channel.window > 1:
                    await self._send_window(letter)
                else:
                    await self._send(letter)
                if self._refusal is not None:
                    self._drop()
                    self._retire(self._refusal)
            await self._part()
        except _Retired:
            pass
        finally:
            self._drop()
            self._forget_ahead()
            await self._flush()

    # -- work ----------------------------------------------------------------------------------

    async def _next(self) -> _Letter | None:
        """Give the next message and have a connection for it; None when there is no more."""
        shift, idle_since = self._shift, None
        if self._ahead is not None and self._may_begin() and self._channel is not None:
            letter, self._ahead = self._ahead, None
            if self._channel.usable:
                return letter
            self._ahead = letter
        self._forget_ahead()
        while not (shift.stopping.is_set() or shift.is_finished):
            if self._lane.name in shift.refusing:
                raise _Retired
            await self._be_open()
            now = shift.around.monotonic()
            if not self._may_begin():
                found: Job | Connect | Wait = FOR_EVER  # what waits still is the ledger's to expire
            else:
                found = shift.desk.take(self._seat, now)
            if isinstance(found, Job):
                return self._write(found)
            await self._flush()
            if found is CONNECT:
                await self._connect()
                continue
            assert isinstance(found, Wait)
            idle_since = now if idle_since is None else idle_since
            if self._channel is None:
                await shift.wait(found.seconds)
            elif (left := idle_since + IDLE_SECONDS - now) > 0:
                await shift.wait(min(found.seconds, left))
            else:
                await self._part()
        return None

    def _may_begin(self) -> bool:
        shift = self._shift
        return not shift.stopping.is_set() and shift.around.now() < shift.policy.not_after

    def _forget_ahead(self) -> None:
        if self._ahead is not None:
            letter, self._ahead = self._ahead, None
            self._drop()  # its first commands may have been said already
            self._give_back(letter, again=True)

    def _look_ahead(self) -> None:
        """Take the next job and make its message, if it may follow at once on this connection."""
        shift = self._shift
        if shift.desk.queued <= shift.idle:
            return  # it is for those who wait: this connection's answer may take its time
        if self._used < MESSAGES_PER_CONNECTION and not shift.stopping.is_set():
            job = shift.desk.take_at_once(self._seat, shift.around.monotonic())
            if job is not None:
                self._ahead = self._write(job)

    def _write(self, job: Job) -> _Letter:
        """Begin to make a message; `_made` has it made."""
        shift = self._shift
        letter = _Letter(job=job, begun_at=shift.around.now())
        if shift.pool is not None:
            loop = asyncio.get_running_loop()
            letter.making = loop.run_in_executor(shift.pool, shift.address, job.reader)
            return letter
        try:
            letter.message = shift.address(job.reader)
        except (InputError, LocalProtocolError) as error:
            letter.fault = str(error)
        return letter

    async def _made(self, letter: _Letter) -> None:
        """Wait until a message is made, or cannot be."""
        making, letter.making = letter.making, None
        if making is not None:
            try:
                letter.message = await making
            except (InputError, LocalProtocolError) as error:
                letter.fault = str(error)

    def _give_back(self, letter: _Letter, *, again: bool = False) -> None:
        """Leave a job that was not begun to the ledger, or to whoever takes it up `again`."""
        shift = self._shift
        shift.desk.done(self._seat, letter.job, None, shift.around.monotonic())
        if again and self._may_begin():
            shift.put((letter.job,))
        else:
            shift.leave_job()

    # -- a connection --------------------------------------------------------------------------

    async def _be_open(self) -> None:
        """Part from a connection that can or should take no more; keep what is recorded small."""
        if len(self._kept) > 1:
            await self._flush()
        channel = self._channel
        if channel is not None and (not channel.usable or self._used >= MESSAGES_PER_CONNECTION):
            await self._part()

    async def _connect(self) -> None:
        shift = self._shift
        try:
            self._channel = await self._lane.open_channel()
        except RelayUnavailable:
            pause = shift.desk.unreachable(self._seat, shift.around.monotonic())
            shift.stir()
            if pause is None:
                raise
        except RelayRefusedUs as refusal:
            self._retire(refusal)
        except BaseException:
            shift.desk.disconnected(self._seat)
            raise
        else:
            self._used = 0
            shift.desk.connected(self._seat)
            shift.stir()

    def _retire(self, refusal: RelayRefusedUs) -> None:
        """Leave a relay that refuses us to a person; raises the refusal if there is no other."""
        shift, name = self._shift, self._lane.name
        shift.desk.unreachable(self._seat, shift.around.monotonic())
        first, shift.refusing[name] = name not in shift.refusing, refusal
        shift.stir()
        if len(shift.refusing) == shift.relays:
            raise refusal
        if first:
            shift.alert(
                Alert(kind=AlertKind.RELAY, action=Action.BREAK, about=name, sentence=str(refusal))
            )
        raise _Retired

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
            self._shift.desk.disconnected(self._seat)
            self._shift.stir()

    # -- a message, its end held back ----------------------------------------------------------

    async def _send(self, letter: _Letter) -> None:
        assert self._channel is not None
        self._used += 1
        message = letter.message
        if message is None:
            self._fail(letter)
            return
        try:
            refused = await self._channel.prepare(message.envelope, message.content)
        except LocalProtocolError as error:
            letter.fault = str(error)
            self._drop()
            self._fail(letter)
        except ConnectionLost as lost:
            self._drop()
            if lost.phase == Phase.MAIL.value and self._used > 1:
                # Relays hang up on idle connections; that is nobody's fault and no attempt.
                self._give_back(letter, again=True)
            else:
                self._keep(letter, judge_loss(in_doubt=False), lost.problem, intended=False)
        except BaseException:
            self._give_back(letter)
            raise
        else:
            if refused is not None:
                self._judge(letter, refused.phase, refused.reply, intended=False)
                return
            task = asyncio.current_task()
            self._shift.committed.add(task)
            try:
                if await self._intend([letter]):
                    await self._finish(letter)
            finally:
                self._shift.committed.discard(task)

    async def _finish(self, letter: _Letter) -> None:
        assert self._channel is not None
        following = self._ahead.message if self._ahead else None
        try:
            if following is None:
                is_last = self._used >= MESSAGES_PER_CONNECTION
                reply = await self._channel.finish(is_last=is_last)
            else:
                size_bytes = len(following.content)
                reply = await self._channel.finish(following.envelope, size_bytes=size_bytes)
        except ConnectionLost as lost:
            self._drop()
            self._keep(letter, judge_loss(in_doubt=lost.in_doubt), lost.problem)
        except BaseException:
            self._keep(letter, judge_loss(in_doubt=True), "stopped before the relay answered")
            raise
        else:
            self._judge(letter, Phase.DOT, reply)

    # -- several messages under way ------------------------------------------------------------

    async def _send_window(self, letter: _Letter) -> None:
        """Keep a connection's window full until there is no more, and collect what is due."""
        task = asyncio.current_task()
        self._shift.committed.add(task)
        try:
            fresh = await self._fill([letter])
            while fresh or self._under_way:
                if fresh:
                    await self._post(await self._intend(fresh))
                await self._collect()
                fresh = await self._fill([])
        except BaseException:
            while self._under_way:
                left = self._under_way.popleft()
                self._keep(left, judge_loss(in_doubt=True), "stopped before the relay answered")
            raise
        finally:
            self._shift.committed.discard(task)

    async def _fill(self, fresh: list[_Letter]) -> list[_Letter]:
        """Take as many more as the window has room for."""
        shift, channel = self._shift, self._channel
        while (
            channel is not None
            and channel.usable
            and self._refusal is None
            and len(self._under_way) + len(fresh) < channel.window
            and self._used + len(fresh) < MESSAGES_PER_CONNECTION
            and self._may_begin()
        ):
            job = shift.desk.take_at_once(self._seat, shift.around.monotonic())
            if job is None:
                break
            fresh.append(self._write(job))
        self._used += len(fresh)
        for letter in fresh:
            await self._made(letter)
        made = [letter for letter in fresh if letter.message is not None]
        for letter in fresh:
            if letter.message is None:
                self._fail(letter)
        return made

    async def _post(self, letters: list[_Letter]) -> None:
        for letter in letters:
            assert letter.message is not None
            if self._channel is None:  # lost with one before it: one connection, one loss
                loss = judge_loss(in_doubt=False)
                self._keep(letter, loss, "the connection is gone", is_told=False)
                continue
            try:
                refused = self._channel.post(letter.message.envelope, letter.message.content)
            except ConnectionLost as lost:
                self._keep(letter, judge_loss(in_doubt=False), lost.problem)
                await self._lose()
            except LocalProtocolError as error:
                letter.fault = str(error)
                self._fail(letter, intended=True)
            else:
                if refused is None:
                    self._under_way.append(letter)
                else:
                    self._judge(letter, refused.phase, refused.reply)

    async def _collect(self) -> None:
        """Wait for the oldest verdict, and take those that have come with it."""
        while self._under_way:
            assert self._channel is not None
            letter = self._under_way[0]
            try:
                verdict = await self._channel.collect()
            except ConnectionLost as lost:  # that was its verdict; those behind it have their own
                self._under_way.popleft()
                self._keep(letter, judge_loss(in_doubt=lost.in_doubt), lost.problem)
                await self._lose()
                return
            self._under_way.popleft()
            self._judge_verdict(letter, verdict)
            if not self._channel.answered:
                return

    async def _lose(self) -> None:
        """Judge what else was under way on a connection that is gone, and drop it.

        However many messages that costs, it is one connection that broke.
        """
        while self._under_way:
            assert self._channel is not None
            letter = self._under_way.popleft()
            try:
                verdict = await self._channel.collect()
            except ConnectionLost as lost:
                loss = judge_loss(in_doubt=lost.in_doubt)
                self._keep(letter, loss, lost.problem, is_told=False)
            else:
                self._judge_verdict(letter, verdict)
        self._drop()

    def _judge_verdict(self, letter: _Letter, verdict: Reply | Refused) -> None:
        if isinstance(verdict, Refused):
            self._judge(letter, verdict.phase, verdict.reply)
        else:
            self._judge(letter, Phase.DOT, verdict)

    # -- the intent ----------------------------------------------------------------------------

    async def _intend(self, letters: list[_Letter]) -> list[_Letter]:
        """Commit intents, with the outcomes kept; give those whose end may be written."""
        shift = self._shift
        intents = [
            Intent(
                subscriber_id=letter.job.reader.subscriber_id, number=letter.number, via=self._via
            )
            for letter in letters
        ]
        granted: list[_Letter] = []
        try:
            grants, interruption = await self._commit(intents)
            for letter, grant in zip(letters, grants, strict=True):
                if grant is Grant.GIVEN:
                    granted.append(letter)
                    continue
                if self._channel is not None and self._channel.window == 1:
                    self._drop()  # the only way to take back a message without its end
                shift.desk.done(self._seat, letter.job, None, shift.around.monotonic())
                if grant is Grant.SUPPRESSED:
                    shift.settle_job(State.SUPPRESSED)
                else:
                    shift.leave_job()
                    shift.stopping.set()
            if interruption is not None:
                raise interruption
            if granted and self._ahead is not None and self._ahead.making is not None:
                await self._made(self._ahead)  # its first commands go with this one's end
            while granted and shift.around.monotonic() > shift.lease_ends:
                await shift.renew()  # we stood still for long: is the edition still ours?
        except BaseException:
            if not self._under_way:
                self._drop()
            for letter in granted:
                self._keep(letter, _STOPPED, "stopped before its end was sent")
            raise
        return granted

    # -- what became of it ---------------------------------------------------------------------

    def _judge(self, letter: _Letter, phase: Phase, reply: Reply, *, intended: bool = True) -> None:
        verdict = judge_reply(phase, reply)
        self._keep(letter, verdict, str(reply), intended=intended)
        if verdict.wants_new_connection:
            self._used = MESSAGES_PER_CONNECTION
        if verdict.is_dead_address:
            self._shift.dead.append((letter.job.reader, str(reply)))
        if verdict.scope is Scope.OURSELVES and self._refusal is None:
            self._refusal = RelayRefusedUs(
                f"{self._lane.name} refuses us at {phase.value} ({reply})",
                field="delivery.relay",
                mend="mend the sender's identity or login; no reader is lost, "
                "the same command goes on",
            )

    def _fail(self, letter: _Letter, *, intended: bool = False) -> None:
        """Judge a message that could not be made or said."""
        verdict = self._shift.desk.guards.judge_fault()
        self._keep(letter, verdict, f"not sent: {letter.fault}", intended=intended)

    def _keep(
        self,
        letter: _Letter,
        verdict: Verdict,
        said: str,
        *,
        intended: bool = True,
        is_told: bool = True,
    ) -> None:
        """Keep an outcome for the next commit, and let the desk learn from it if it `is_told`."""
        shift, job = self._shift, letter.job
        shift.replies[self._lane.name, said[:1] if said[:3].isdecimal() else ""] += 1
        shift.domains[job.reader.domain, verdict.state] += 1
        ended_at = shift.around.now()
        pause = timedelta(0)
        if verdict.state is State.IN_DOUBT:
            log.warning(
                "a delivery is in doubt: %s",
                said,
                extra=about(
                    Event.DELIVERY_IN_DOUBT,
                    edition=shift.edition,
                    delivery=job.reader.subscriber_id,
                ),
            )
        if verdict.state is not State.ACCEPTED and verdict is not _STOPPED:
            pause = decide_pause(
                verdict, shift.policy.retry_after, letter.number, spread=shift.around.spread()
            )
        self._kept.append(
            Outcome(
                subscriber_id=job.reader.subscriber_id,
                number=letter.number,
                via=self._via,
                state=verdict.state,
                reply=said,
                started_at=letter.begun_at,
                ended_at=ended_at,
                next_attempt_at=ended_at + pause,
                intended=intended,
            )
        )
        learned = verdict if is_told and verdict is not _STOPPED else None
        alert = shift.desk.done(self._seat, job, learned, shift.around.monotonic(), said)
        shift.stir()
        if alert is not None:
            shift.alert(alert)

    # -- the ledger ----------------------------------------------------------------------------

    async def _flush(self) -> None:
        if self._kept:
            _, interruption = await self._commit([])
            if interruption is not None:
                raise interruption

    async def _commit(self, intents: list[Intent]) -> tuple[list[Grant], BaseException | None]:
        """Commit, whatever happens; tell the answers, and what interrupted us meanwhile."""
        shift, interruption = self._shift, None
        kept, self._kept = self._kept, []
        commit = shift.recorder.record(kept, intents)
        if intents and self._channel is not None and self._channel.window == 1:
            try:
                self._look_ahead()
            except BaseException as error:  # noqa: BLE001 - the caller raises it, after the commit
                interruption = error
        interruption = await commit.settle() or interruption
        try:
            grants = commit.grants()
        except StorageError:
            shift.unrecorded.extend(kept)
            raise
        for outcome in kept:
            shift.settle_job(outcome.state)
        return list(grants), interruption


_STOPPED = Verdict(State.DEFERRED, Scope.MESSAGE, Reason.OTHER)
"""We ended before the message did: due again at once, and nobody's fault."""
