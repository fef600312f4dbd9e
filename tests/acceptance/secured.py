"""A relay that wants STARTTLS and a login: aiosmtpd in a thread, and what it accepted."""

from __future__ import annotations

import asyncio
import ssl
import threading
from types import TracebackType
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword

USER, PASSWORD = "daily", "correct horse battery staple"


class SecuredRelay:
    """Run the relay while the `with` block lasts."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._closing: asyncio.Event
        self.port = 0
        self.accepted: list[str] = []
        self.logins: list[bool] = []

    @property
    def url(self) -> str:
        return f"smtp://{USER}@127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
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
        self, server: SMTP, session: Any, envelope: Envelope
    ) -> str:
        self.accepted.extend(envelope.rcpt_tos)
        return "250 2.0.0 Kept"

    def _log_in(self, server: Any, session: Any, envelope: Any, kind: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password) == (USER.encode(), PASSWORD.encode()))
        return AuthResult(success=self.logins[-1], handled=False)

    async def _serve(self) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        sessions: list[SMTP] = []

        def open_session() -> SMTP:
            sessions.append(
                SMTP(
                    self,
                    hostname="relay.example",
                    loop=self._loop,
                    tls_context=self._tls,
                    require_starttls=True,
                    auth_required=True,
                    authenticator=self._log_in,
                )
            )
            return sessions[-1]

        server = await self._loop.create_server(open_session, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._closing.wait()
        server.close()
        for session in sessions:
            if isinstance(session.transport, asyncio.WriteTransport):
                session.transport.abort()
