"""The courier: sends the notices that are due, one after another, over a connection of its own.

An edition comes first and is not delayed: while any process sends one, the courier sends at most
one notice a second, over one connection that it closes after each. It is not starved either, for
that one it sends however long the edition takes. Otherwise it sends ten a second.

It works on an event loop of its own (`press.notices` gives it a thread), so it may wait for the
database where it stands: nobody else waits with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from newsletter.delivery.channel import Channel
from newsletter.delivery.lifecycle import State
from newsletter.delivery.notices import (
    Due,
    begin,
    find_due,
    is_edition_under_way,
    record_outcome,
    record_refusal,
    sweep,
)
from newsletter.delivery.retry import Verdict, decide_pause, judge_loss, judge_reply
from newsletter.delivery.shift import Lane
from newsletter.errors import (
    ConfigurationError,
    ConnectionLost,
    InputError,
    NewsletterError,
    RelayUnavailable,
)
from newsletter.mail import Message
from newsletter.smtp.protocol import LocalProtocolError, Phase
from newsletter.store import Database

log = logging.getLogger("newsletter.notices")

LOOK_SECONDS = 1.0
"""How often the queue is looked at."""
SWEEP_SECONDS = 60.0
"""How often it is looked at for what dead processes left."""
GAP_SECONDS = 0.1
"""Time between two notices."""
GAP_BESIDE_EDITION_SECONDS = 1.0
"""The same while an edition is being sent."""
REST_SECONDS = 30.0
"""How long the courier rests when no relay can be reached."""
REST_TO_BE_MENDED_SECONDS = 300.0
"""The same when an operator has something to mend."""
STOP_GRACE_SECONDS = 10.0
"""How long a stopping courier waits for the answer to a dot already written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """Time and randomness, injected: aware UTC, seconds, uniform in [0, 1)."""

    now: Callable[[], datetime]
    monotonic: Callable[[], float] = time.monotonic
    spread: Callable[[], float] = random.random


class Courier:
    """Sends what is due, once or for as long as it is kept."""

    def __init__(
        self,
        database: Database,
        lanes: Sequence[Lane],
        make: Callable[[Due], Message],
        *,
        retry_after: timedelta,
        clocks: Clocks,
    ) -> None:
        """Take the parts; `make` gives a notice's message, with its first bytes if it has any."""
        self._database, self._lanes, self._make = database, tuple(lanes), make
        self._retry_after, self._clocks = retry_after, clocks
        self._channel: Channel | None = None
        self._used = 0
        self._last = -GAP_SECONDS
        self._stopping = asyncio.Event()
        rates = [lane.limits.rate for lane in self._lanes if lane.limits.rate]
        self._least_gap = 1 / min(rates) if rates else 0.0

    def stop(self) -> None:
        """Begin nothing new; the answer to what is under way is awaited for a while."""
        self._stopping.set()

    async def keep(self, prepare: Callable[[], None] = lambda: None) -> None:
        """Send what becomes due, until `stop`; `prepare` is called before each look.

        No error ends it: each is one sentence in the log, and what it was about is tried again.
        """
        task = asyncio.create_task(self._keep(prepare))
        await self._stopping.wait()
        await asyncio.wait({task}, timeout=STOP_GRACE_SECONDS)
        task.cancel()
        await asyncio.wait({task})

    async def _keep(self, prepare: Callable[[], None]) -> None:
        swept, told = -SWEEP_SECONDS, ""
        while not self._stopping.is_set():
            seconds = LOOK_SECONDS
            try:
                if self._clocks.monotonic() - swept >= SWEEP_SECONDS:
                    with self._database.writing() as connection:
                        sweep(connection, self._clocks.now())
                    swept = self._clocks.monotonic()
                prepare()
                await self.send_due()
                told = ""
            except NewsletterError as error:
                wants_mending = isinstance(error, ConfigurationError)
                seconds = REST_TO_BE_MENDED_SECONDS if wants_mending else REST_SECONDS
                if str(error) != told:  # once, however often it is tried
                    (log.error if wants_mending else log.warning)("notices wait: %s", error)
                told = str(error)
            except Exception as error:
                log.error("notices: a fault of this program: %s", type(error).__name__)  # noqa: TRY400
                log.debug("notices: where it failed", exc_info=error)
                seconds = REST_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), seconds)

    async def send_due(self) -> Counter[State]:
        """Send until nothing is due, or `stop`; tell what became of each attempt.

        Raises `RelayUnavailable` or `ConfigurationError` where no relay can be had; nothing is
        lost by that.
        """
        tally: Counter[State] = Counter()
        try:
            while not self._stopping.is_set():
                with self._database.reading() as connection:
                    now = self._clocks.now()
                    due, beside = find_due(connection, now), is_edition_under_way(connection, now)
                if due is None:
                    break
                if not await self._wait_for_turn(beside=beside):
                    break
                tally[await self._send(due)] += 1
                if beside:
                    await self._part()
        finally:
            await self._part()
        return tally

    async def _wait_for_turn(self, *, beside: bool) -> bool:
        """Keep the pace; False where the courier was stopped meanwhile."""
        gap = max(GAP_SECONDS, self._least_gap)
        if beside:
            gap = max(GAP_BESIDE_EDITION_SECONDS, 10 * self._least_gap)
        wait = self._last + gap - self._clocks.monotonic()
        if wait > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait)
        self._last = self._clocks.monotonic()
        return not self._stopping.is_set()

    # -- one notice ----------------------------------------------------------------------------

    async def _send(self, due: Due) -> State:
        try:
            message = self._make(due)
        except InputError as error:
            return self._end(due, State.FAILED, str(error))
        except ConfigurationError as error:  # a template, a key: the others may be sent
            log.error("a notice waits (%s): %s", due.kind, error)  # noqa: TRY400 - one sentence
            return self._end(due, State.DEFERRED, str(error), pause=self._retry_after)
        while True:
            channel = await self._open()
            is_fresh = self._used == 0
            self._used += 1
            try:
                refused = await channel.prepare(message.envelope, message.content)
            except ConnectionLost as lost:
                self._drop()
                if not is_fresh and lost.phase == Phase.MAIL.value:
                    continue  # relays hang up on idle connections; that is no attempt
                return self._judge(due, judge_loss(in_doubt=False), lost.problem, begun=False)
            except LocalProtocolError as error:
                self._drop()
                return self._end(due, State.FAILED, str(error))
            except BaseException:
                self._drop()
                raise
            break
        if refused is not None:
            verdict = judge_reply(refused.phase, refused.reply)
            return self._judge(due, verdict, str(refused.reply), begun=False)
        try:
            with self._database.writing() as connection:
                may_go = begin(connection, due, bytes(message.content), self._clocks.now())
        except BaseException:
            self._drop()  # without its dot the message is not delivered
            raise
        if not may_go:
            self._drop()
            return State.SUPPRESSED
        return await self._finish(channel, due)

    async def _finish(self, channel: Channel, due: Due) -> State:
        try:
            reply = await channel.finish()
        except ConnectionLost as lost:
            self._drop()
            return self._judge(due, judge_loss(in_doubt=lost.in_doubt), lost.problem, begun=True)
        except BaseException:
            self._drop()
            said = "stopped before the relay answered"
            self._judge(due, judge_loss(in_doubt=True), said, begun=True)
            raise
        return self._judge(due, judge_reply(Phase.DOT, reply), str(reply), begun=True)

    def _judge(self, due: Due, verdict: Verdict, said: str, *, begun: bool) -> State:
        pause = decide_pause(
            verdict, self._retry_after, due.attempts + 1, spread=self._clocks.spread()
        )
        if verdict.state is State.DEFERRED:
            pause = max(pause, self._retry_after / 2)  # what an operator must mend is not at once
        if verdict.wants_new_connection:
            self._drop()
        return self._end(due, verdict.state, said, pause=pause, begun=begun)

    def _end(
        self,
        due: Due,
        state: State,
        said: str,
        *,
        pause: timedelta = timedelta(0),
        begun: bool = False,
    ) -> State:
        now = self._clocks.now()
        record = record_outcome if begun else record_refusal
        with self._database.writing() as connection:
            record(connection, due, state, said, now=now, again_at=now + pause)
        return state

    # -- the connection ------------------------------------------------------------------------

    async def _open(self) -> Channel:
        """Give the open connection, else one to the first relay that can be had."""
        if self._channel is not None and self._channel.usable:
            return self._channel
        self._drop()
        unavailable: RelayUnavailable | None = None
        for lane in self._lanes:
            try:
                self._channel = await lane.open_channel()
            except RelayUnavailable as error:
                unavailable = unavailable or error
            else:
                self._used = 0
                return self._channel
        assert unavailable is not None, "there is always a relay"
        raise unavailable

    def _drop(self) -> None:
        if self._channel is not None:
            self._channel.abort()
            self._channel = None

    async def _part(self) -> None:
        if self._channel is not None:
            channel, self._channel = self._channel, None
            await channel.close()
