"""The socket under a connection: the protocol's bytes, TLS, and clocks, over asyncio.

Clocks: every reply has an absolute ceiling, that of its phase. It runs from the command, or
from the reply before where several commands went out together, and never from the last byte,
so a server that drips one byte at a time gains nothing. One timer a connection keeps them
all: it is set for the nearest end there may be, and looks again when it rings.

"Written" means here that the kernel has the bytes: the transport keeps no buffer that counts
as written. So a relay that stalls does so in `hand_over`, where nothing is in doubt yet. What
is posted waits here, and is given to the transport when that has nothing left: so whether a
message's last byte is out of our hands is known even after the connection has broken.

This is the hot path: a caller wakes once, when all that it waits for is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import re
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from newsletter.errors import ConnectionLost
from newsletter.smtp.protocol import Answer, Client, Phase, RemoteProtocolError, Reply
from newsletter.smtp.tls import TlsLayer

CLOSED = "the relay closed the connection"
_RECEIVE_BYTES = 4096  # replies are short; asyncio's own way allocates 256 KiB for each


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Ceilings in seconds: RFC 5321 §4.5.3.2, each for the whole reply."""

    connect: float = 30
    """For the connection, and again for its TLS handshake."""
    greeting: float = 300
    hello: float = 300
    """For EHLO, STARTTLS and each step of a login."""
    mail: float = 300
    """For MAIL and RSET."""
    rcpt: float = 300
    data: float = 120
    block: float = 180
    """For the relay to take in one message's content."""
    dot: float = 600
    quit: float = 5


class Wire(asyncio.BufferedProtocol):
    """Carries one `Client`'s bytes. Only one caller may wait for it at a time."""

    def __init__(self, client: Client, timeouts: Timeouts, tls: TlsLayer | None = None) -> None:
        """Begin with `tls` from the first byte, or in the clear."""
        self.failure = ""
        """Why nothing more can be said, once that is so."""
        self.cause: Exception | None = None
        """The violation of SMTP or TLS behind `failure`, if there was one."""
        self._client = client
        self._tls = tls
        self._timeouts = timeouts
        self._ceilings = {
            Phase.GREETING: timeouts.greeting,
            Phase.HELLO: timeouts.hello,
            Phase.STARTTLS: timeouts.hello,
            Phase.AUTH: timeouts.hello,
            Phase.MAIL: timeouts.mail,
            Phase.RCPT: timeouts.rcpt,
            Phase.DATA: timeouts.data,
            Phase.DOT: timeouts.dot,
            Phase.RSET: timeouts.mail,
            Phase.QUIT: timeouts.quit,
        }
        self._transport: asyncio.Transport | None = None
        self._answers: deque[Answer] = deque()
        self._everything_written = True
        self._outbox: deque[tuple[bytes, bool]] = deque()
        self._posting = self._posting_end = False
        self._patience = math.inf
        self._received = memoryview(bytearray(_RECEIVE_BYTES))
        self._waiter: asyncio.Future[None] | None = None
        self._happened: Callable[[], bool] = bool
        self._deadline = 0.0
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def usable(self) -> bool:
        """Whether a command can be sent and its answer believed."""
        return not self._answers and self.is_open

    @property
    def is_open(self) -> bool:
        """Whether the other side is there and has broken no rule."""
        return not self.failure and self._transport is not None and not self._transport.is_closing()

    # -- for the connection --------------------------------------------------------------------

    async def ask(self, phase: Phase, say: Callable[[], bytes]) -> Reply:
        """Send a command, built only if the wire is usable, and read its reply.

        Raises `ConnectionLost`.
        """
        self.check_usable(phase)
        self.write(say())
        return await self.answer(phase)

    async def answer(self, phase: Phase) -> Reply:
        """Read the reply that is due next. Raises `ConnectionLost`."""
        await self.hear(1)
        return self.take(phase)

    async def hear(self, count: int, *, patience: float = math.inf) -> None:
        """Wait until so many replies are there to `take`, or no more will come.

        After the first of them no other is waited for longer than `patience`, in seconds.
        """
        answers = self._answers
        if len(answers) < count:
            self._patience = patience
            await self._until(lambda: len(answers) >= count, self._ceiling(first=not answers))

    async def hear_verdict(self, number: int) -> None:
        """Wait until that many messages are judged, or no more will be."""
        client = self._client
        if client.judged < number:
            self._patience = math.inf
            await self._until(lambda: client.judged >= number, self._ceiling())

    async def overhear(self, seconds: float) -> None:
        """Wait for the end, or for a word to no question, but not longer than that."""
        if not self._answers:
            await self._until(lambda: bool(self._answers), seconds)

    def take(self, phase: Phase) -> Reply:
        """Take a reply that was waited for. Raises `ConnectionLost` if it is not there."""
        if not self._answers:
            raise self.lost(self.failure or self.silence(phase), phase)
        answer = self._answers.popleft()
        assert answer.phase is phase
        return answer.reply

    def take_unasked(self) -> Reply | None:
        """Take what the relay said unasked, if it did: a goodbye, or an early refusal."""
        return self._answers.popleft().reply if self._answers else None

    @property
    def answers(self) -> deque[Answer]:
        """What was heard and not yet taken."""
        return self._answers

    def silence(self, phase: Phase) -> str:
        """Say that a reply did not come in time."""
        return f"no answer to {phase.value} within {self._ceilings[phase]:g} s"

    def post(self, data: bytes, *, is_message: bool = True) -> None:
        """Write as soon as the kernel takes it; of a message the client is told its end left."""
        self._outbox.append((data, is_message))
        self._post_on()

    async def hand_over(self, content: bytes) -> Reply | None:
        """Write content until the kernel has it all, or the relay refuses it early.

        Raises `ConnectionLost`.
        """
        self.write(content)
        if not self._everything_written:
            seconds = self._timeouts.block
            await self._until(lambda: self._everything_written or bool(self._answers), seconds)
            if not self.failure and not self._everything_written and not self._answers:
                raise self.lost(self.congestion, Phase.DATA)
        if refusal := self.take_unasked():
            return refusal
        self.check_usable(Phase.DATA)
        return None

    @property
    def congestion(self) -> str:
        """Say that the content was not taken in time."""
        return f"the relay did not take the message in within {self._timeouts.block:g} s"

    async def secure(self, tls: TlsLayer) -> None:
        """Finish the TLS handshake, begun now unless it began with the connection.

        Raises `ConnectionLost`; `cause` then tells what was wrong, if it was not the line.
        """
        if self._tls is None:
            self._tls = tls
            self.write(b"")
        seconds = self._timeouts.connect
        if not tls.established:
            await self._until(lambda: tls.established, seconds)
        if not tls.established:
            silence = f"the TLS handshake did not end within {seconds:g} s"
            raise self.lost(self.failure or silence, Phase.STARTTLS)

    @property
    def secured(self) -> bool:
        """Whether TLS is up and the other side has proved who it is."""
        return self._tls is not None and self._tls.established

    def write(self, data: bytes) -> None:
        """Write, through TLS if it is there."""
        if self._transport is None:
            return
        if self._tls is not None:
            try:
                if data:
                    self._tls.put(data)
            except ssl.SSLError as error:
                self.fail(f"TLS broke ({error.reason or error})", error)
                self._everything_written = False
            data = self._tls.pending()
        if data:
            self._transport.write(data)
            if self._transport.is_closing():  # it broke at this, or before
                self._everything_written = False

    def check_usable(self, phase: Phase) -> None:
        """Raise `ConnectionLost` unless `usable`."""
        if not self.usable:
            farewell = f"the relay said {self._answers[0].reply}" if self._answers else CLOSED
            raise self.lost(self.failure or farewell, phase)

    def lost(self, problem: str, phase: Phase) -> ConnectionLost:
        """Give up the connection, and build what says so."""
        in_doubt = phase is Phase.DOT and self._client.dot_left
        lost = ConnectionLost(problem, phase=phase.value, in_doubt=in_doubt)
        self.abort()
        return lost

    def fail(self, problem: str, cause: Exception | None = None) -> None:
        """Believe nothing more. The first problem is the one that counts."""
        if not self.failure:
            self.failure, self.cause = problem, cause
        self._look()

    def part(self) -> None:
        """Close, with TLS's own goodbye if there is TLS."""
        if self.usable and self._tls is not None and self._tls.established:
            with contextlib.suppress(ssl.SSLError):
                self._tls.end()
            self.write(b"")
        self.abort()

    def abort(self) -> None:
        """Close at once. What the kernel has it still delivers; a final dot is never added."""
        if self._transport is not None:
            self._transport.abort()

    # -- waiting -------------------------------------------------------------------------------

    async def _until(self, happened: Callable[[], bool], seconds: float) -> None:
        """Wait until it happened, the wire failed, or the time is over; the caller looks which.

        The caller has looked before, too: what has happened is not waited for.
        """
        if self.failure:
            return
        self._set_clock(seconds)
        self._happened = happened
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _look(self) -> None:
        """Wake who waits, if what it waits for has happened or never will."""
        if self._waiter is not None and (self.failure or self._happened()):
            self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():  # a cancelled one is
            waiter.set_result(None)

    def _post_on(self) -> None:
        """Give the transport what was posted, one at a time; count those that have left."""
        while self._everything_written:
            if self._posting_end:
                self._client.end_left()
            self._posting = self._posting_end = False
            if not self._outbox or self.failure:
                return
            data, self._posting_end = self._outbox.popleft()
            self._posting = True
            self.write(data)

    def _ceiling(self, *, first: bool = True) -> float:
        """Give the ceiling of what is waited for next: a reply, or the way of a message out."""
        if self._posting and self._client.ended <= self._client.judged:
            return self._timeouts.block
        seconds = self._ceilings[self._client.next_due]
        return seconds if first else min(seconds, self._patience)

    def _set_clock(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._deadline = deadline = loop.time() + seconds
        if self._alarm is None or self._alarm.when() > deadline:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = loop.call_at(deadline, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._waiter is None:
            return  # whoever waits next sets it anew
        loop = asyncio.get_running_loop()
        if loop.time() < self._deadline:
            self._alarm = loop.call_at(self._deadline, self._ring)
        else:
            self._wake()

    # -- for asyncio ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)
        self.write(b"")

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the room that bytes are received into."""
        return self._received

    def buffer_updated(self, nbytes: int) -> None:
        """Feed TLS and the state machine."""
        if self.failure:
            return
        data, answers = self._received[:nbytes].tobytes(), self._answers
        so_far = len(answers)
        try:
            if self._tls is None:
                answers.extend(self._client.receive(data))
            else:
                for said in self._tls.take(data):
                    answers.extend(self._client.receive(said))
                self.write(b"")
        except RemoteProtocolError as violation:
            self._disbelieve(f"the relay broke the protocol: {violation}", violation)
        except ssl.SSLError as error:
            self._disbelieve(f"TLS broke ({error.reason or error})", error)
        self._look()
        if self._waiter is not None and len(answers) > so_far:  # it waits for more of a group
            self._set_clock(self._ceiling(first=False))

    def _disbelieve(self, problem: str, cause: Exception) -> None:
        self.fail(problem, cause)
        self.write(b"")  # the alert that tells the other side why
        self.abort()

    def eof_received(self) -> None:
        """Note that the relay says no more; asyncio then closes."""
        self.fail(CLOSED)
        if self._posting:
            self.abort()  # asyncio would go on writing what has just been given up

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        self.fail(f"{CLOSED} ({describe_os_error(exc)})" if isinstance(exc, OSError) else CLOSED)
        if self._alarm is not None:
            self._alarm.cancel()  # it would keep all this in memory until it rings

    def pause_writing(self) -> None:
        """Note that the kernel takes no more for now."""
        self._everything_written = False

    def resume_writing(self) -> None:
        """Note that the kernel has taken everything."""
        self._everything_written = True
        if self._posting:
            self._post_on()
            if self._waiter is not None:
                self._set_clock(self._ceiling())
        self._look()


def describe_os_error(error: OSError) -> str:
    """Say in the system's words what went wrong, without asyncio's addresses and brackets."""
    # asyncio joins the errors of several addresses into one text without a number of its own.
    found = re.search(r"\[Errno (\d+)\]", str(error))
    number = error.errno or (int(found[1]) if found else 0)
    return os.strerror(number) if number else str(error) or type(error).__name__
