"""An embedded mailbox: a real SMTP server on loopback that keeps every message it is given."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from aiosmtpd.smtp import SMTP, Envelope, Session

from newsletter.demo.message import ReceivedMessage

_HOST = "127.0.0.1"
_MAX_MESSAGE_BYTES = 50_000_000


class Mailbox:
    """Run an SMTP server in a thread while the `with` block lasts; refuse no mail.

    It offers 8BITMIME, SMTPUTF8 and SIZE, no TLS and no AUTH. A message to several
    recipients is kept once for each, as their mailboxes would.
    """

    def __init__(self, *, port: int = 0) -> None:
        self.host = _HOST
        self.port = port
        """The real port once the server runs; 0 asks the system for a free one."""
        self._messages: list[ReceivedMessage] = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="mailbox", daemon=True)
        self._ready = threading.Event()
        self._failure: OSError | None = None
        self._loop: asyncio.AbstractEventLoop
        self._closing: asyncio.Event

    @property
    def messages(self) -> tuple[ReceivedMessage, ...]:
        """What has arrived so far, in order."""
        with self._lock:
            return tuple(self._messages)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._failure:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    async def handle_DATA(  # noqa: N802 - aiosmtpd finds its hooks by the verb's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep the message, then answer: a client that reads 250 finds it here."""
        raw = bytes(envelope.original_content or b"")
        arrived_at = datetime.now(UTC)
        with self._lock:
            self._messages.extend(
                ReceivedMessage(
                    number=number,
                    sender=envelope.mail_from or "",
                    recipient=recipient,
                    arrived_at=arrived_at,
                    raw=raw,
                )
                for number, recipient in enumerate(envelope.rcpt_tos, len(self._messages) + 1)
            )
        return "250 2.0.0 Kept"

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        sessions: list[SMTP] = []

        def open_session() -> SMTP:
            # hostname is given because aiosmtpd would ask DNS for it.
            sessions.append(
                SMTP(
                    self,
                    data_size_limit=_MAX_MESSAGE_BYTES,
                    enable_SMTPUTF8=True,
                    hostname="localhost",
                    ident="newsletter demo mailbox",
                    loop=self._loop,
                )
            )
            return sessions[-1]

        server = await self._loop.create_server(open_session, self.host, self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._closing.wait()
        server.close()
        # From Python 3.12 on wait_closed would wait for clients that keep their connection.
        for session in sessions:
            if isinstance(session.transport, asyncio.WriteTransport):
                session.transport.abort()
