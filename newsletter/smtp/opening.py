"""Opening a connection to a relay: connect, greet, secure, log in, and judge what fails.

The policy on TLS stands here: no credentials and no mail before the relay has proved who it
is, unless its URL says otherwise.

Where a name has several addresses and one of them is down, puts us off or breaks off, the next
is tried at once. A refusal of ourselves is the relay's, whichever of its machines says it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from functools import partial

from newsletter.errors import (
    ConfigurationError,
    ConnectionLost,
    RelayRefusedUs,
    RelayUnavailable,
)
from newsletter.smtp.addresses import Address, Addresses
from newsletter.smtp.protocol import (
    Client,
    NotSmtp,
    Phase,
    RemoteProtocolError,
    Reply,
    fits_auth_command,
)
from newsletter.smtp.relay import Relay
from newsletter.smtp.tls import TlsLayer, describe_tls_failure
from newsletter.smtp.tokens import TokenCommand
from newsletter.smtp.wire import Timeouts, Wire, describe_os_error

log = logging.getLogger("newsletter.smtp")

_KNOWS_NO_EHLO = {500, 501, 502, 504}
_HOST_IS_UNKNOWN = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_SECOND_ADDRESS_AFTER_SECONDS = 0.25  # RFC 8305 §5: an address that is silent delays nobody


class Opening:
    """The way to an open connection; `client`, `wire` and `address` are the result."""

    def __init__(
        self,
        relay: Relay,
        *,
        ehlo_name: str,
        tls: ssl.SSLContext | None,
        timeouts: Timeouts,
        tokens: TokenCommand | None = None,
        dsn: bool = False,
        addresses: Addresses | None = None,
    ) -> None:
        """Raise `ConfigurationError` for what could only fail, before anything is said."""
        _check_identity(relay, ehlo_name, tokens)
        self._relay, self._name, self._timeouts = relay, ehlo_name, timeouts
        self._context, self._tokens, self._dsn = tls, tokens, dsn
        self._addresses = addresses or Addresses()
        self._has_several = False
        self.address: Address | None = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        relay = self._relay
        self._tls = None
        if relay.tls != "none":
            assert self._context is not None, "only a relay in the clear does without"
            self._tls = TlsLayer(self._context, relay.host)
        self.client = Client(lmtp=relay.kind == "lmtp", dsn=self._dsn)
        tls_at_once = self._tls if relay.tls == "implicit" else None
        self.wire = Wire(self.client, self._timeouts, tls_at_once)

    async def run(self) -> None:
        """Raise `RelayUnavailable`, or `ConfigurationError` and its kind `RelayRefusedUs`."""
        now = asyncio.get_running_loop().time
        deadline = now() + self._timeouts.connect
        untried = await self._look_up(deadline)
        self._has_several = len(untried) > 1
        while True:
            try:
                await self._connect(untried, deadline)
                await self._converse()
            except RelayUnavailable as failure:
                if failure.field:  # our token command's trouble, which no other address mends
                    raise
                if self.address is not None:
                    self._set_aside(self.address, failure.problem)
                if not untried:
                    raise
            else:
                return
            self._begin_anew()
            deadline = now() + self._timeouts.connect

    async def _converse(self) -> None:
        try:
            if self._relay.tls == "implicit":
                await self._secure()
            await self._greet()
            await self._hello()
            if self._relay.tls == "starttls":
                await self._start_tls()
                await self._hello()
            if self._relay.user:
                await self._log_in()
        except ConnectionLost as lost:
            raise self._explain(lost) from None
        except BaseException:
            self.wire.abort()
            raise

    async def _look_up(self, deadline: float) -> list[Address]:
        """Give the relay's addresses, in the resolver's order."""
        relay, loop = self._relay, asyncio.get_running_loop()
        if relay.path is not None:
            return [Address(family=socket.AF_UNIX, place=str(relay.path))]
        try:
            async with asyncio.timeout_at(deadline):
                found = await loop.getaddrinfo(relay.host, relay.port, type=socket.SOCK_STREAM)
        except TimeoutError:
            raise self._unavailable(self._silence) from None
        except socket.gaierror as error:
            if error.errno in _HOST_IS_UNKNOWN:
                raise ConfigurationError(
                    f"no host is called {relay.host!r}",
                    field="delivery.relay",
                    mend="check its spelling",
                ) from None
            raise self._unavailable(f"could not be looked up ({error.strerror})") from None
        except OSError as error:  # the resolver had no file or memory left
            problem = f"could not be looked up ({describe_os_error(error)})"
            raise self._unavailable(problem) from None
        addresses = (Address(family=family, place=place) for family, *_, place in found)
        return list(dict.fromkeys(addresses))

    async def _connect(self, untried: list[Address], deadline: float) -> None:
        """Connect to the first that takes it of those that are well, if any is; strike the tried.

        Raises `RelayUnavailable` when none of them does.
        """
        loop = asyncio.get_running_loop()
        self.address = None
        chosen = self._addresses.choose(untried, loop.time())
        failures: dict[Address, str] = {}
        try:
            async with asyncio.timeout_at(deadline):
                won = await _connect_first(chosen, failures)
                if won is not None:
                    address, sock = won
                    await loop.create_connection(lambda: self.wire, sock=sock)
                    self.address = address
        except TimeoutError:
            failures = dict.fromkeys(chosen, self._silence) | failures
        for each, problem in failures.items():
            self._set_aside(each, f"{self._relay} {problem}")
        untried[:] = [each for each in untried if each not in {*failures, self.address}]
        if self.address is None:
            raise self._unavailable(" or ".join(dict.fromkeys(failures.values())))

    def _set_aside(self, address: Address, problem: str) -> None:
        """Remember that an address failed. Says so once, if it is one of several."""
        is_news = self._addresses.failed(address, asyncio.get_running_loop().time())
        if is_news and self._has_several:
            log.warning("%s at %s: that address comes last for a while", problem, address)

    async def _greet(self) -> None:
        greeting = await self.wire.answer(Phase.GREETING)
        if greeting.code != 220:
            raise self._turned_away(
                greeting, "the connection", "ask its operator to let this machine send"
            )

    async def _hello(self) -> None:
        client, name = self.client, self._name
        reply = await self.wire.ask(Phase.HELLO, lambda: client.hello(name))
        relay = self._relay
        extensions_needed = relay.tls == "starttls" or relay.user or client.lmtp
        if reply.code in _KNOWS_NO_EHLO and not extensions_needed:
            reply = await self.wire.ask(Phase.HELLO, lambda: client.hello(name, extended=False))
        if not reply.positive:
            raise self._turned_away(
                reply, "LHLO" if client.lmtp else "EHLO", "check delivery.ehlo_name"
            )

    async def _start_tls(self) -> None:
        if "STARTTLS" not in self.client.extensions:
            raise RelayRefusedUs(
                f"{self._relay} does not offer STARTTLS",
                field="delivery.relay",
                mend="someone may be stripping it; if the relay really has no TLS, say ?tls=none",
            )
        reply = await self.wire.ask(Phase.STARTTLS, self.client.starttls)
        if reply.code != 220:
            raise self._turned_away(reply, "STARTTLS", "have TLS mended there")
        self.wire.check_usable(Phase.STARTTLS)
        self.client.tls_started()
        await self._secure()

    async def _secure(self) -> None:
        assert self._tls is not None
        await self.wire.secure(self._tls)

    async def _log_in(self) -> None:
        relay = self._relay
        assert self.wire.secured or relay.is_local
        offered = self.client.extensions.get("AUTH", "").upper().split()
        if relay.auth == "password":
            reply = await self._say_password(offered)
            where = "NEWSLETTER_DELIVERY__RELAY_PASSWORD"
        else:
            reply = await self._say_token(relay.auth.upper(), offered)
            where = "what delivery.token_command prints"
        if not reply.positive:
            raise self._turned_away(
                reply, f"the login of {relay.user}", f"check the user in delivery.relay and {where}"
            )

    async def _say_password(self, offered: list[str]) -> Reply:
        relay, client = self._relay, self.client
        if "PLAIN" in offered:
            return await self.wire.ask(
                Phase.AUTH, lambda: client.auth_plain(relay.user, relay.password)
            )
        if "LOGIN" in offered:
            reply = await self.wire.ask(Phase.AUTH, client.auth_login)
            return await self._answer_challenges(reply, relay.user, relay.password)
        raise self._no_login(offered, "PLAIN or LOGIN")

    async def _say_token(self, mechanism: str, offered: list[str]) -> Reply:
        """Log in by access token; where it is refused, once more with a new one."""
        if mechanism not in offered:
            raise self._no_login(offered, mechanism)
        assert self._tokens is not None
        token = await self._tokens.fetch()
        reply = await self._try_token(mechanism, token)
        if reply.permanent:
            token = await self._tokens.fetch(refused=token)
            reply = await self._try_token(mechanism, token)
        return reply

    async def _try_token(self, mechanism: str, token: str) -> Reply:
        relay, client = self._relay, self.client
        if mechanism == "XOAUTH2":
            response, farewell = f"user={relay.user}\x01auth=Bearer {token}\x01\x01", ""
        else:  # RFC 7628 §3.1 and §3.2.3
            user = relay.user.replace("=", "=3D").replace(",", "=2C")
            place = f"host={relay.host}\x01port={relay.port}"
            response, farewell = f"n,a={user},\x01{place}\x01auth=Bearer {token}\x01\x01", "\x01"
        reply = await self.wire.ask(Phase.AUTH, lambda: client.auth_token(mechanism, response))
        if not fits_auth_command(mechanism, response):
            reply = await self._answer_challenges(reply, response)
        # What is wrong with a token comes as a challenge, and the refusal after its answer.
        return await self._answer_challenges(reply, farewell)

    async def _answer_challenges(self, reply: Reply, *answers: str) -> Reply:
        for answer in answers:
            if reply.code == 334:
                say = partial(self.client.auth_answer, answer)
                reply = await self.wire.ask(Phase.AUTH, say)
        return reply

    def _no_login(self, offered: list[str], wanted: str) -> RelayRefusedUs:
        return RelayRefusedUs(
            f"{self._relay} offers no login that we know ({', '.join(offered) or 'none at all'})",
            field="delivery.relay",
            mend=f"have {wanted} switched on there, or drop the user if it wants none",
        )

    # -- what goes wrong while opening ---------------------------------------------------------

    @property
    def _silence(self) -> str:
        return f"did not answer within {self._timeouts.connect:g} s"

    def _explain(self, lost: ConnectionLost) -> RelayUnavailable | RelayRefusedUs:
        """Tell what an operator can mend from what passes by itself."""
        cause = self.wire.cause
        if isinstance(cause, NotSmtp) and lost.phase in (Phase.GREETING.value, Phase.HELLO.value):
            return self._refused_us(f"does not speak SMTP ({cause})", "check its host and port")
        if isinstance(cause, RemoteProtocolError) and lost.phase == Phase.STARTTLS.value:
            return self._refused_us(
                f"cannot be trusted ({cause})", "someone may be tampering with the connection"
            )
        if isinstance(cause, ssl.SSLError) and not self.wire.secured:
            problem, mend = describe_tls_failure(cause)
            return self._refused_us(problem, f"{mend}; no password was sent")
        if lost.phase == Phase.GREETING.value and not self.wire.failure:
            return self._unavailable(
                f"did not greet within {self._timeouts.greeting:g} s",
                "if its port speaks TLS from the first byte, write smtps:// in delivery.relay",
            )
        return self._unavailable(f"could not be used ({lost.problem})")

    def _turned_away(self, reply: Reply, what: str, mend: str) -> RelayUnavailable | RelayRefusedUs:
        """Judge a refusal of ourselves: 4yz passes, anything else needs an operator."""
        if reply.transient:
            return self._unavailable(f"put off {what} ({reply})", "the same command goes on later")
        return self._refused_us(f"refused {what} ({reply})", mend)

    def _refused_us(self, problem: str, mend: str) -> RelayRefusedUs:
        return RelayRefusedUs(f"{self._relay} {problem}", field="delivery.relay", mend=mend)

    def _unavailable(self, problem: str, mend: str = "") -> RelayUnavailable:
        mend = mend or "check delivery.relay and that the relay is up"
        return RelayUnavailable(
            f"{self._relay} {problem}", mend=f"{mend}; nobody was mailed by this try"
        )


async def _connect_first(
    addresses: Sequence[Address], failures: dict[Address, str]
) -> tuple[Address, socket.socket] | None:
    """Connect to each a moment after the one before, until one takes it (RFC 8305 §5).

    Those that fail are noted in `failures`, and how. asyncio's own race cannot be given
    addresses, and leaves a socket open when it is cancelled at the moment that it is won.
    """
    waiting, racing = deque(addresses), dict[asyncio.Task[socket.socket], Address]()
    try:
        while waiting or racing:
            if waiting:
                address = waiting.popleft()
                racing[asyncio.create_task(_connect_socket(address))] = address
            patience = _SECOND_ADDRESS_AFTER_SECONDS if waiting else None
            done, _ = await asyncio.wait(
                racing, timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                error = task.exception()
                if error is None:
                    return racing.pop(task), task.result()
                if not isinstance(error, OSError):
                    raise error
                problem = f"could not be reached ({describe_os_error(error)})"
                failures[racing.pop(task)] = problem
        return None
    finally:
        for task in racing:
            if not (task.cancel() or task.cancelled() or task.exception()):
                task.result().close()


async def _connect_socket(address: Address) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # A dot is a packet of its own: held back until the content before it is acknowledged
        # (RFC 896), each message would take the other side's 40 ms of patience (RFC 1122).
        # asyncio sees to that only for sockets that it makes itself.
        if address.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address.place)
    except BaseException:
        sock.close()
        raise
    return sock


def _check_identity(relay: Relay, ehlo_name: str, tokens: TokenCommand | None) -> None:
    """Refuse before anything is said what could only fail."""
    if not re.fullmatch(r"[A-Za-z0-9._:\[\]-]+", ehlo_name):
        raise ConfigurationError(
            f"{ehlo_name!r} is not a host name",
            field="delivery.ehlo_name",
            mend='write the name of this machine, such as "mail.news.example"',
        )
    if relay.auth != "password" and tokens is None:
        raise ConfigurationError(
            f"the access token of {relay.user} is missing",
            field="delivery.token_command",
            mend="name the command that prints one",
        )
    if relay.auth == "password" and relay.user and not relay.password:
        raise ConfigurationError(
            f"the password of {relay.user} is missing",
            field="NEWSLETTER_DELIVERY__RELAY_PASSWORD",
            mend="put it into the environment or into .env beside the configuration",
        )
