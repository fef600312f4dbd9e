"""The socket under a connection: the protocol's bytes, TLS, and clocks, over asyncio.

Clocks: every wait has an absolute ceiling. It runs from the command, not from the last byte,
so a server that drips one byte at a time gains nothing.

"Written" means here that the kernel has the bytes: the transport keeps no buffer that counts
as written. So a relay that stalls does so in `hand_over`, where nothing is in doubt yet.
"""

from __future__ import annotations

import asyncio
import contextlib
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Ceilings in seconds: RFC 5321 §4.5.3.2, each for the whole reply."""

    connect: float = 30
    """For the connection, and again for its TLS handshake."""
    greeting: float = 300
    hello: float = 300
    """For EHLO, STARTTLS and each step of a login."""
    mail: float = 300
    rcpt: float = 300
    data: float = 120
    block: float = 180
    """For the relay to take in one message's content."""
    dot: float = 600
    quit: float = 5


class Wire(asyncio.Protocol):
    """Carries one `Client`'s bytes. Only one caller may wait for it at a time."""

    def __init__(self, client: Client, tls: TlsLayer | None = None) -> None:
        """Begin with `tls` from the first byte, or in the clear."""
        self.failure = ""
        """Why nothing more can be said, once that is so."""
        self.cause: Exception | None = None
        """The violation of SMTP or TLS behind `failure`, if there was one."""
        self._client = client
        self._tls = tls
        self._transport: asyncio.Transport | None = None
        self._answers: deque[Answer] = deque()
        self._news = asyncio.Event()
        self._everything_written = True

    @property
    def usable(self) -> bool:
        """Whether a command can be sent and its answer believed."""
        return not self._answers and self.is_open

    @property
    def is_open(self) -> bool:
        """Whether the other side is there and has broken no rule."""
        return not self.failure and self._transport is not None and not self._transport.is_closing()

    # -- for the connection --------------------------------------------------------------------

    async def ask(self, phase: Phase, seconds: float, say: Callable[[], bytes]) -> Reply:
        """Send a command, built only if the wire is usable, and read its reply.

        Raises `ConnectionLost`.
        """
        self.check_usable(phase)
        self.write(say())
        return await self.answer(phase, seconds)

    async def answer(self, phase: Phase, seconds: float) -> Reply:
        """Read the reply that is due next. Raises `ConnectionLost`."""
        silence = f"no answer to {phase.value} within {seconds:g} s"
        await self._until(lambda: bool(self._answers), seconds, phase, silence)
        answer = self._answers.popleft()
        assert answer.phase is phase
        return answer.reply

    def take_unasked(self) -> Reply | None:
        """Take what the relay said unasked, if it did: a goodbye, or an early refusal."""
        return self._answers.popleft().reply if self._answers else None

    async def hand_over(self, content: bytes, seconds: float) -> Reply | None:
        """Write content until the kernel has it all, or the relay refuses it early.

        Raises `ConnectionLost`.
        """
        self.write(content)
        silence = f"the relay did not take the message in within {seconds:g} s"
        await self._until(
            lambda: self._everything_written or bool(self._answers), seconds, Phase.DATA, silence
        )
        if refusal := self.take_unasked():
            return refusal
        self.check_usable(Phase.DATA)
        return None

    async def secure(self, tls: TlsLayer, seconds: float) -> None:
        """Finish the TLS handshake, begun now unless it began with the connection.

        Raises `ConnectionLost`; `cause` then tells what was wrong, if it was not the line.
        """
        if self._tls is None:
            self._tls = tls
            self.write(b"")
        silence = f"the TLS handshake did not end within {seconds:g} s"
        await self._until(lambda: tls.established, seconds, Phase.STARTTLS, silence)

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
            data = self._tls.pending()
        if data:
            self._transport.write(data)

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
        self._news.set()

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

    async def _until(
        self, happened: Callable[[], bool], seconds: float, phase: Phase, silence: str
    ) -> None:
        if happened():
            return
        try:
            async with asyncio.timeout(seconds):
                while not happened():
                    if self.failure:
                        raise self.lost(self.failure, phase)
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise self.lost(silence, phase) from None

    # -- for asyncio ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)
        self.write(b"")

    def data_received(self, data: bytes) -> None:
        """Feed TLS and the state machine."""
        if self.failure:
            return
        try:
            for said in self._tls.take(data) if self._tls is not None else (data,):
                for answer in self._client.receive(said):
                    self._answers.append(answer)
        except RemoteProtocolError as violation:
            self._disbelieve(f"the relay broke the protocol: {violation}", violation)
        except ssl.SSLError as error:
            self._disbelieve(f"TLS broke ({error.reason or error})", error)
        self.write(b"")
        self._news.set()

    def _disbelieve(self, problem: str, cause: Exception) -> None:
        self.fail(problem, cause)
        self.write(b"")  # the alert that tells the other side why
        self.abort()

    def eof_received(self) -> None:
        """Note that the relay says no more; asyncio then closes."""
        self.fail(CLOSED)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        self.fail(f"{CLOSED} ({describe_os_error(exc)})" if isinstance(exc, OSError) else CLOSED)

    def pause_writing(self) -> None:
        """Note that the kernel takes no more for now."""
        self._everything_written = False

    def resume_writing(self) -> None:
        """Note that the kernel has taken everything."""
        self._everything_written = True
        self._news.set()


def describe_os_error(error: OSError) -> str:
    """Say in the system's words what went wrong, without asyncio's addresses and brackets."""
    # asyncio joins the errors of several addresses into one text without a number of its own.
    found = re.search(r"\[Errno (\d+)\]", str(error))
    number = error.errno or (int(found[1]) if found else 0)
    return os.strerror(number) if number else str(error) or type(error).__name__
