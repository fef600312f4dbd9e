"""One connection to a relay over asyncio: the protocol's bytes, clocks, and TLS.

A message goes in two steps, because the caller must commit its intent between them:
`prepare` sends everything but the final dot, `finish` sends the dot and reads the verdict.
`close` without `finish` is certain not to deliver.

Clocks: each reply has an absolute ceiling, that of RFC 5321 §4.5.3.2. It runs from the
command, not from the last byte, so that a server dripping one byte at a time gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

from newsletter.errors import (
    ConfigurationError,
    ConnectionLost,
    RelayRefusedUs,
    RelayUnavailable,
)
from newsletter.smtp.protocol import (
    Answer,
    Client,
    Envelope,
    Phase,
    Refused,
    RemoteProtocolError,
    Reply,
)
from newsletter.smtp.relay import Relay


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Ceilings in seconds: RFC 5321 §4.5.3.2, each for the whole reply."""

    connect: float = 30
    greeting: float = 300
    hello: float = 300
    mail: float = 300
    rcpt: float = 300
    data: float = 120
    block: float = 180
    """For the relay to take in one message's content."""
    dot: float = 600
    quit: float = 5


def build_tls_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Build the verifying TLS context for relays: TLS 1.2 at least, chain and name checked."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"holds no certificates that can be read ({error})",
            file=ca_file,
            field="delivery.ca_file",
            mend="give a PEM file",
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Connection(asyncio.Protocol):
    """An SMTP or LMTP connection, ready for messages once `open` has returned it."""

    def __init__(self, relay: Relay, timeouts: Timeouts) -> None:
        self._relay = relay
        self._timeouts = timeouts
        self._client = Client(lmtp=relay.kind == "lmtp")
        self._transport: asyncio.Transport | None = None
        self._answers: deque[Answer] = deque()
        self._failure = ""
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    @classmethod
    async def open(
        cls,
        relay: Relay,
        *,
        ehlo_name: str,
        tls: ssl.SSLContext,
        timeouts: Timeouts | None = None,
    ) -> Self:
        """Connect, greet, secure and log in.

        Raises `RelayUnavailable` (try again later) or `RelayRefusedUs` (an operator must mend
        something). Credentials leave only once the policy on TLS is met.
        """
        connection = cls(relay, timeouts or Timeouts())
        try:
            await connection._connect(tls)
            await connection._greet(ehlo_name)
            if relay.tls == "starttls":
                await connection._secure(tls)
                await connection._hello(ehlo_name)
            if relay.user:
                await connection._log_in()
        except ConnectionLost as lost:
            connection.abort()
            raise RelayUnavailable(f"{relay}: {lost.problem}") from None
        except BaseException:
            connection.abort()
            raise
        return connection

    @property
    def usable(self) -> bool:
        """Whether the connection can still take a message."""
        return not self._failure and not self._answers and self._is_open

    @property
    def _is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    # -- a message -----------------------------------------------------------------------------

    async def prepare(self, envelope: Envelope, content: bytes) -> Refused | None:
        """Send MAIL, RCPT, DATA and the whole content, but not the final dot.

        Returns the relay's refusal, if it refuses. Raises `ConnectionLost`, never in doubt.
        """
        if refusal := self._refuse_ourselves(envelope, content):
            return refusal
        client, seconds = self._client, self._timeouts
        mail = client.mail(envelope.sender, size_bytes=len(content), smtputf8=envelope.smtputf8)
        reply = await self._ask(mail, Phase.MAIL, seconds.mail)
        if not reply.positive:
            return self._refused(Phase.MAIL, reply)
        reply = await self._ask(client.rcpt(envelope.recipient), Phase.RCPT, seconds.rcpt)
        if not reply.positive:
            await self._reset(reply)
            return self._refused(Phase.RCPT, reply)
        reply = await self._ask(client.data(), Phase.DATA, seconds.data)
        if reply.code != 354:
            await self._reset(reply)
            return self._refused(Phase.DATA, reply)
        self._write(client.content(content))
        await self._drain()
        if self._answers:  # refused before its end: the two sides no longer agree on what is next
            early = self._answers.popleft().reply
            self.abort()
            return Refused(Phase.DOT, early)
        return None

    async def finish(self) -> Reply:
        """Send the final dot and read the verdict.

        Raises `ConnectionLost`, in doubt if the dot had been handed over.
        """
        if not self.usable:
            raise self._lost(self._failure or "the relay closed the connection", Phase.DOT)
        self._write(self._client.final_dot())
        reply = await self._answer(Phase.DOT, self._timeouts.dot)
        self._heed_goodbye(reply)
        return reply

    async def close(self) -> None:
        """Say goodbye if there is anyone to say it to. Its failure never changes a result."""
        if self.usable and self._client.idle:
            try:
                await self._ask(self._client.quit(), Phase.QUIT, self._timeouts.quit)
            except ConnectionLost:
                return
        self.abort()

    def abort(self) -> None:
        """Drop the connection at once; a message without its dot is not delivered."""
        if self._transport is not None:
            self._transport.abort()

    def _refuse_ourselves(self, envelope: Envelope, content: bytes) -> Refused | None:
        """Refuse what the relay has said it cannot take, before it is asked."""
        limit = self._client.extensions.get("SIZE", "")
        if limit.isdigit() and 0 < int(limit) < len(content):
            words = f"5.3.4 not sent: {len(content)} bytes are more than the relay's {limit}"
            return Refused(Phase.MAIL, Reply(552, (words,)))
        if envelope.smtputf8 and "SMTPUTF8" not in self._client.extensions:
            words = "5.6.7 not sent: the relay does not offer SMTPUTF8, which this address needs"
            return Refused(Phase.RCPT, Reply(553, (words,)))
        return None

    def _refused(self, phase: Phase, reply: Reply) -> Refused:
        self._heed_goodbye(reply)
        return Refused(phase, reply)

    def _heed_goodbye(self, reply: Reply) -> None:
        if reply.code == 421:  # the relay closes after it, whatever it answered (RFC 5321 §3.8)
            self._failure = f"the relay said {reply}"

    async def _reset(self, reply: Reply) -> None:
        if reply.code != 421:
            answer = await self._ask(self._client.rset(), Phase.RSET, self._timeouts.mail)
            if not answer.positive:
                self._failure = f"the relay answered RSET with {answer}"

    # -- opening -------------------------------------------------------------------------------

    async def _connect(self, tls: ssl.SSLContext) -> None:
        relay, loop = self._relay, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeouts.connect):
                if relay.path is not None:
                    await loop.create_unix_connection(lambda: self, str(relay.path))
                elif relay.tls == "implicit":
                    await loop.create_connection(
                        lambda: self, relay.host, relay.port, ssl=tls, server_hostname=relay.host
                    )
                else:
                    await loop.create_connection(lambda: self, relay.host, relay.port)
        except TimeoutError:
            raise RelayUnavailable(
                f"{relay} did not answer within {self._timeouts.connect:g} s"
            ) from None
        except (ssl.SSLError, ssl.CertificateError) as error:
            raise _tls_refusal(relay, error) from None
        except socket.gaierror as error:
            if error.errno == socket.EAI_NONAME:
                raise ConfigurationError(
                    f"no host is called {relay.host!r}",
                    field="delivery.relay",
                    mend="check its spelling",
                ) from None
            raise RelayUnavailable(f"{relay} could not be looked up ({error.strerror})") from None
        except OSError as error:
            raise RelayUnavailable(
                f"{relay} could not be reached ({_reason(error)})",
                mend="check delivery.relay and that the relay is up; nobody was mailed by this try",
            ) from None

    async def _greet(self, name: str) -> None:
        greeting = await self._answer(Phase.GREETING, self._timeouts.greeting)
        if greeting.code != 220:
            raise self._turned_away(greeting, "the connection")
        await self._hello(name)

    async def _hello(self, name: str) -> None:
        seconds = self._timeouts.hello
        reply = await self._ask(self._client.hello(name), Phase.HELLO, seconds)
        plain = self._relay.tls == "none" and not self._relay.user and not self._client.lmtp
        if reply.permanent and plain:
            hello = self._client.hello(name, extended=False)
            reply = await self._ask(hello, Phase.HELLO, seconds)
        if not reply.positive:
            raise self._turned_away(reply, "EHLO")

    async def _secure(self, tls: ssl.SSLContext) -> None:
        if "STARTTLS" not in self._client.extensions:
            raise RelayRefusedUs(
                f"{self._relay} does not offer STARTTLS",
                field="delivery.relay",
                mend="someone may be stripping it; if the relay has no TLS, say ?tls=none",
            )
        reply = await self._ask(self._client.starttls(), Phase.STARTTLS, self._timeouts.hello)
        if reply.code != 220:
            raise self._turned_away(reply, "STARTTLS")
        try:
            self._client.tls_started()
        except RemoteProtocolError as error:
            raise RelayRefusedUs(f"{self._relay}: {error}") from None
        if self._transport is None or not self.usable:
            raise self._lost(self._failure, Phase.STARTTLS)
        try:
            secured = await asyncio.get_running_loop().start_tls(
                self._transport,
                self,
                tls,
                server_hostname=self._relay.host,
                ssl_handshake_timeout=self._timeouts.connect,
            )
        except (ssl.SSLError, ssl.CertificateError) as error:
            raise _tls_refusal(self._relay, error) from None
        except OSError as error:
            raise RelayUnavailable(
                f"{self._relay} broke off the TLS handshake ({_reason(error)})"
            ) from None
        if secured is None:
            raise self._lost("the relay closed the connection in the TLS handshake", Phase.STARTTLS)
        self.connection_made(secured)

    async def _log_in(self) -> None:
        relay, client, seconds = self._relay, self._client, self._timeouts.hello
        offered = client.extensions.get("AUTH", "").upper().split()
        if not relay.password:
            raise ConfigurationError(
                f"the password of {relay.user} is missing",
                field="NEWSLETTER_DELIVERY__RELAY_PASSWORD",
                mend="put it into the environment or into .env beside the configuration",
            )
        if "PLAIN" in offered:
            plain = client.auth_plain(relay.user, relay.password)
            reply = await self._ask(plain, Phase.AUTH, seconds)
        elif "LOGIN" in offered:
            reply = await self._ask(client.auth_login(), Phase.AUTH, seconds)
            for secret in (relay.user, relay.password):
                if reply.code == 334:
                    answer = client.auth_answer(secret)
                    reply = await self._ask(answer, Phase.AUTH, seconds)
        else:
            raise RelayRefusedUs(
                f"{relay} offers no login that we know ({', '.join(offered) or 'none at all'})",
                field="delivery.relay",
                mend="PLAIN and LOGIN are known; drop the user if it wants none",
            )
        if not reply.positive:
            raise self._turned_away(reply, f"the login of {relay.user}")

    def _turned_away(self, reply: Reply, what: str) -> RelayUnavailable | RelayRefusedUs:
        """Judge a refusal of ourselves: 4yz passes, anything else needs an operator."""
        if reply.transient:
            return RelayUnavailable(f"{self._relay} put off {what} ({reply})")
        return RelayRefusedUs(
            f"{self._relay} refused {what} ({reply})",
            field="delivery.relay",
            mend="mend user, password or identity; no reader is lost, the same command goes on",
        )

    # -- bytes and clocks ----------------------------------------------------------------------

    async def _ask(self, command: bytes, phase: Phase, seconds: float) -> Reply:
        if not self.usable:
            raise self._lost(self._failure or self._farewell(), phase)
        self._write(command)
        return await self._answer(phase, seconds)

    async def _answer(self, phase: Phase, seconds: float) -> Reply:
        await self._until(lambda: bool(self._answers), seconds, phase)
        return self._answers.popleft().reply

    async def _drain(self) -> None:
        def taken() -> bool:
            return self._writable.is_set() or bool(self._answers)

        await self._until(taken, self._timeouts.block, Phase.DATA)

    async def _until(self, happened: Callable[[], bool], seconds: float, phase: Phase) -> None:
        if happened():
            return
        try:
            async with asyncio.timeout(seconds):
                while not happened():
                    if self._failure:
                        raise self._lost(self._failure, phase)
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise self._lost(f"no answer to {phase.value} within {seconds:g} s", phase) from None

    def _write(self, data: bytes) -> None:
        cast("asyncio.Transport", self._transport).write(data)

    def _farewell(self) -> str:
        if self._answers:
            return f"the relay said {self._answers[0].reply}"
        return "the relay closed the connection"

    def _lost(self, problem: str, phase: Phase) -> ConnectionLost:
        lost = ConnectionLost(problem, phase=phase.value, in_doubt=self._client.dot_left)
        self.abort()
        return lost

    # -- asyncio.Protocol ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; asyncio calls this."""
        self._transport = cast("asyncio.Transport", transport)
        # "Written" must mean "the kernel has all of it": only then does a stalled relay stall
        # `prepare`, where nothing is in doubt, and not `finish`.
        self._transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        """Feed the state machine; asyncio calls this."""
        if self._failure:
            return
        try:
            self._answers.extend(self._client.receive(data))
        except RemoteProtocolError as error:
            self._failure = f"the relay broke the protocol: {error}"
            self.abort()
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end; asyncio calls this."""
        if not self._failure:
            why = f" ({_reason(exc)})" if isinstance(exc, OSError) else ""
            self._failure = f"the relay closed the connection{why}"
        self._writable.set()
        self._news.set()

    def pause_writing(self) -> None:
        """Note that the kernel takes no more; asyncio calls this."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Note that the kernel has taken everything; asyncio calls this."""
        self._writable.set()
        self._news.set()


def _tls_refusal(relay: Relay, error: ssl.SSLError | ssl.CertificateError) -> RelayRefusedUs:
    said = getattr(error, "verify_message", "") or getattr(error, "reason", "") or str(error)
    return RelayRefusedUs(
        f"{relay} did not prove who it is ({said})",
        field="delivery.relay",
        mend="use the host name of its certificate, or name its authority in delivery.ca_file; "
        "no password was sent",
    )


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
