"""One connection to a relay, and message after message over it.

A message goes in two steps, because the caller must commit its intent between them:
`prepare` sends everything but the final dot, `finish` sends the dot and reads the verdict.
`close` or `abort` without `finish` is certain not to deliver.

Where the relay offers CHUNKING and the caller asked for a `window`, it may instead `post`
whole messages, each with its intent committed before, and `collect` their verdicts in order.

What goes wrong while opening is `RelayUnavailable` (try again later) or `RelayRefusedUs` (an
operator must mend something); from then on it is a `Refused` (the relay's answer to this
message) or `ConnectionLost`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Self

from newsletter.errors import ConnectionLost
from newsletter.smtp.addresses import Address, Addresses
from newsletter.smtp.opening import Opening
from newsletter.smtp.pipelining import Pipelining, Window, is_mixed_up
from newsletter.smtp.protocol import (
    Client,
    Envelope,
    LocalProtocolError,
    OutOfStep,
    Phase,
    Refused,
    RemoteProtocolError,
    Reply,
)
from newsletter.smtp.relay import Relay
from newsletter.smtp.tls import build_tls_context
from newsletter.smtp.tokens import TokenCommand
from newsletter.smtp.wire import Timeouts, Wire

__all__ = ["Addresses", "Connection", "Pipelining", "Timeouts", "build_tls_context"]

_GROUP = (Phase.MAIL, Phase.RCPT, Phase.DATA)
_ALL_AGREED = [250, 250, 354]
_COMPANY_SECONDS = 3.0
"""How long a verdict waits for each of the replies that would show it to be another's."""


class Connection:
    """An SMTP or LMTP connection, ready for messages once `open` has returned it."""

    def __init__(
        self,
        client: Client,
        wire: Wire,
        *,
        window: int = 1,
        pipelining: Pipelining | None = None,
        addresses: Addresses | None = None,
        address: Address | None = None,
    ) -> None:
        self._client, self._wire = client, wire
        self._addresses = addresses or Addresses()
        self._unproven = address
        self._pipelining = pipelining or Pipelining()
        self._begun: Envelope | None = None
        self._has_quit = False
        self._pipelines = self._pipelining.trusted and "PIPELINING" in client.extensions
        # LMTP answers BDAT once for each recipient, and so not at all where there is none.
        chunks = self._pipelines and "CHUNKING" in client.extensions and not client.lmtp
        width = window if chunks and self._pipelining.tells_apart else 1
        self._window = Window(client, wire, self._pipelining, width=width)

    @classmethod
    async def open(
        cls,
        relay: Relay,
        *,
        ehlo_name: str,
        tls: ssl.SSLContext | None,
        timeouts: Timeouts | None = None,
        window: int = 1,
        pipelining: Pipelining | None = None,
        tokens: TokenCommand | None = None,
        dsn: bool = False,
        addresses: Addresses | None = None,
    ) -> Self:
        """Connect, greet, secure and log in.

        `tls` may be None for a relay that is spoken to in the clear; `pipelining` and `addresses`
        are what this relay's connections have in common; `tokens` are for a login without
        password; `dsn` asks for notifications of failures (RFC 3461) where they are offered.

        Raises `RelayUnavailable`, or `ConfigurationError` and its kind `RelayRefusedUs`.
        Credentials leave only once the policy on TLS is met.
        """
        addresses = addresses or Addresses()
        opening = Opening(
            relay,
            ehlo_name=ehlo_name,
            tls=tls,
            timeouts=timeouts or Timeouts(),
            tokens=tokens,
            dsn=dsn,
            addresses=addresses,
        )
        await opening.run()
        return cls(
            opening.client,
            opening.wire,
            window=window,
            pipelining=pipelining,
            addresses=addresses,
            address=opening.address,
        )

    @property
    def usable(self) -> bool:
        """Whether the connection can still take a message, or is taking the one begun."""
        if self._window.under_way or not self._window.usable:
            return self._window.usable
        return not self._has_quit and (self._wire.usable or self._begun is not None)

    # -- a message -----------------------------------------------------------------------------

    async def prepare(self, envelope: Envelope, content: bytes) -> Refused | None:
        """Send MAIL, RCPT, DATA and the whole content, but not the final dot.

        Returns the refusal, the relay's or our own in its name, if there is one. Raises
        `ConnectionLost`, never in doubt, or `LocalProtocolError` for what may not be sent.
        """
        try:
            if self.under_way:
                raise LocalProtocolError("messages posted are under way")
            refused = await self._ask_for_the_floor(envelope, len(content))
            return refused or await self._hand_over(content)
        except BaseException:  # the dialogue stands in the middle of a message
            self.abort()
            raise

    async def finish(
        self, then: Envelope | None = None, *, size_bytes: int = 0, is_last: bool = False
    ) -> Reply:
        """Send the final dot and read the verdict.

        Where the relay offers PIPELINING the commands for the message `then`, of `size_bytes`,
        go out with the dot, so that a message costs one round trip; hand the same envelope to
        the next `prepare`, or abort. QUIT goes with the dot of the one that `is_last`, so that
        parting costs none. A refusal that came since `prepare` is the verdict, and the dot is
        not sent. Raises `ConnectionLost`, in doubt if the dot had been handed over.
        """
        if early := self._wire.take_unasked():
            self.abort()
            return early

        try:
            self._wire.check_usable(Phase.DOT)
            dot = self._client.final_dot()
            if then is not None:
                dot += self._begin(then, size_bytes)
            elif is_last and self._pipelines and self._pipelining.trusted:
                dot += self._client.quit()
                self._has_quit = True
            self._wire.write(dot)
            verdict = await self._read_verdict()
        except BaseException:
            self.abort()
            raise
        self._heed_goodbye(verdict)
        return verdict

    async def _read_verdict(self) -> Reply:
        """Read the reply to the dot, and see that those to what left with it bear it out.

        A relay that loses a reply, or gives them in another order, may have said of the next
        message, or of our parting, what we would take for this one's verdict.
        """
        wire = self._wire
        if self._has_quit:
            await wire.hear(2, patience=_COMPANY_SECONDS)
            if isinstance(wire.cause, OutOfStep):
                self._pipelining.distrust(wire.failure)
            return wire.take(Phase.DOT)
        if self._begun is None:
            return await wire.answer(Phase.DOT)
        await wire.hear(1 + len(_GROUP), patience=_COMPANY_SECONDS)
        verdict = wire.take(Phase.DOT)
        if self._is_all_agreed():
            return verdict
        silent = len(wire.answers) < len(_GROUP) and not wire.failure
        # Behind a refusal nothing is slow: a reply that is missing there may be the dot's own.
        one_is_lost = silent and any(answer.reply.code >= 400 for answer in wire.answers)
        if not (one_is_lost or is_mixed_up(wire.answers) or isinstance(wire.cause, OutOfStep)):
            return verdict
        problem = wire.failure or "the relay's replies are mixed up"
        self._pipelining.distrust(problem)
        raise ConnectionLost(problem, phase=Phase.DOT.value, in_doubt=True)

    # -- several messages ----------------------------------------------------------------------

    @property
    def window(self) -> int:
        """How many messages may be under way at once; 1 without CHUNKING."""
        return self._window.width

    @property
    def under_way(self) -> int:
        """How many messages have been posted and their verdicts not collected."""
        return self._window.under_way

    @property
    def answered(self) -> int:
        """How many verdicts can be collected without waiting."""
        return self._window.answered

    def post(self, envelope: Envelope, content: bytes) -> Refused | None:
        """Send a whole message, end and all; from here it may be in doubt.

        Returns a refusal of our own, with nothing said. Raises `ConnectionLost`, never in
        doubt, if the connection takes no more, and `LocalProtocolError` for what may not be
        sent or is one too many; those under way go on.
        """
        is_busy = self.usable and not self.under_way and not self._client.idle
        if is_busy or self.window == 1 or self.under_way >= self.window:
            raise LocalProtocolError("there is no room for another message")
        if refused := self._refuse_ourselves(envelope, len(content)):
            return refused
        self._window.post(envelope, content)
        return None

    async def collect(self) -> Reply | Refused:
        """Read the verdict on the oldest message posted; may be cancelled and called again.

        Raises `ConnectionLost`, in doubt if the message's last byte had been handed over; what
        was posted after it is then to be collected too, each with a doubt of its own.
        """
        try:
            verdict = await self._window.collect()
        except ConnectionLost:
            self._note_address(works=False)
            raise
        self._note_address(works=not _is_goodbye_to_mail(verdict))
        return verdict

    async def close(self) -> None:
        """Say goodbye if there is anyone to say it to. Its failure never changes a result."""
        if self.usable and self._client.idle:
            try:
                await self._wire.ask(Phase.QUIT, self._client.quit)
            except ConnectionLost:
                return
        self._wire.part()

    def abort(self) -> None:
        """Drop the connection at once; a message without its dot is not delivered."""
        self._wire.abort()

    async def _ask_for_the_floor(self, envelope: Envelope, size_bytes: int) -> Refused | None:
        """Have MAIL, RCPT and DATA answered: in one go if the relay can, or begun already."""
        ours = self._refuse_ourselves(envelope, size_bytes) if self._begun is None else None
        if ours is not None:
            return ours
        try:
            refused = await self._have_answered(envelope, size_bytes)
        except ConnectionLost as lost:
            if lost.phase == Phase.MAIL.value:
                self._note_address(works=False)
            raise
        self._note_address(works=not _is_goodbye_to_mail(refused))
        return refused

    async def _have_answered(self, envelope: Envelope, size_bytes: int) -> Refused | None:
        if self._begun is None:
            self._wire.check_usable(Phase.MAIL)
            self._wire.write(self._begin(envelope, size_bytes))
        begun, self._begun = self._begun, None
        if begun is None:
            return await self._ask_one_by_one(envelope, size_bytes)
        if begun is not envelope:
            raise LocalProtocolError("another message was begun")
        return await self._read_group()

    def _note_address(self, *, works: bool) -> None:
        """Remember what the first message shows of the address that the connection goes to.

        What comes later, such as an end after idleness, is not the address's fault.
        """
        address, self._unproven = self._unproven, None
        if address is None:
            return
        if works:
            self._addresses.worked(address)
        else:
            self._addresses.failed(address, asyncio.get_running_loop().time())

    def _begin(self, envelope: Envelope, size_bytes: int) -> bytes:
        """Build MAIL, RCPT and DATA in one go; nothing where that cannot be, or is of no use."""
        if not self._pipelines or not self._pipelining.trusted:
            return b""
        if self._refuse_ourselves(envelope, size_bytes):
            return b""
        try:
            group = self._client.begin(envelope, size_bytes=size_bytes)
        except LocalProtocolError:  # it is `prepare` of that message that will say so
            return b""
        self._begun = envelope
        return group

    async def _read_group(self) -> Refused | None:
        """Read the replies to MAIL, RCPT and DATA that went out in one go."""
        wire, refused = self._wire, None
        await wire.hear(len(_GROUP))
        if self._is_all_agreed():
            wire.answers.clear()
            return None
        if is_mixed_up(wire.answers):
            problem = "the relay agrees to a recipient after it refused the sender"
            self._pipelining.distrust(problem)
            raise wire.lost(problem, Phase.MAIL)
        for phase in _GROUP:
            try:
                reply = wire.take(phase)
            except ConnectionLost as lost:
                if not wire.failure or isinstance(wire.cause, RemoteProtocolError):
                    self._pipelining.distrust(lost.problem)
                if refused is not None:
                    return refused
                raise
            agreed = reply.code == 354 if phase is Phase.DATA else reply.positive
            if refused is None and not agreed:
                refused = Refused(phase, reply)
        if refused is None:
            return None
        if self._client.content_open:  # 354 though nobody is to get it: part, rather than say a dot
            self.abort()
        elif refused.phase is not Phase.MAIL:
            return await self._reset(refused)
        else:
            self._heed_goodbye(refused.reply)
        return refused

    def _is_all_agreed(self) -> bool:
        """Whether MAIL, RCPT and DATA are answered as they nearly always are."""
        return [answer.reply.code for answer in self._wire.answers] == _ALL_AGREED

    async def _ask_one_by_one(self, envelope: Envelope, size_bytes: int) -> Refused | None:
        client, wire = self._client, self._wire

        reply = await wire.ask(Phase.MAIL, lambda: client.mail(envelope, size_bytes=size_bytes))
        if not reply.positive:
            self._heed_goodbye(reply)
            return Refused(Phase.MAIL, reply)
        reply = await wire.ask(Phase.RCPT, lambda: client.rcpt(envelope.recipient))
        if not reply.positive:
            return await self._reset(Refused(Phase.RCPT, reply))
        reply = await wire.ask(Phase.DATA, client.data)
        if reply.code != 354:
            return await self._reset(Refused(Phase.DATA, reply))
        return None

    async def _hand_over(self, content: bytes) -> Refused | None:
        self._wire.check_usable(Phase.DATA)
        early = await self._wire.hand_over(self._client.content(content))
        if early is None:
            return None
        self.abort()  # the relay would read what follows as commands, or not at all
        return Refused(Phase.DOT, early)

    def _refuse_ourselves(self, envelope: Envelope, size_bytes: int) -> Refused | None:
        """Refuse what the relay has said it cannot take, before it is asked."""
        limit = self._client.extensions.get("SIZE", "")
        if limit.isdecimal() and 0 < int(limit) < size_bytes:
            words = f"5.3.4 not sent: {size_bytes} bytes are more than the relay's {limit}"
            return Refused(Phase.MAIL, Reply(552, (words,)))
        if envelope.smtputf8 and "SMTPUTF8" not in self._client.extensions:
            words = "5.6.7 not sent: the relay does not offer SMTPUTF8, which this address needs"
            return Refused(Phase.RCPT, Reply(553, (words,)))
        return None

    def _heed_goodbye(self, reply: Reply) -> None:
        if reply.code == 421:  # the relay closes after it, whatever it answered (RFC 5321 §3.8)
            self._wire.fail(f"the relay said {reply}")

    async def _reset(self, refused: Refused) -> Refused:
        """Make room for the next message, and give the refusal back if it can be believed.

        RSET is never refused (RFC 5321 §4.1.1.5), so a refusal in the place of its reply, with
        another word behind it, shows that there was one reply too many: what we took for an
        answer to this reader may be another's. A relay that has had enough refuses RSET, too,
        but says no more; then the refusal stands, as it does whatever else becomes of this.
        Raises `ConnectionLost`, never in doubt, for what cannot be believed.
        """
        wire = self._wire
        self._heed_goodbye(refused.reply)
        if self.usable:
            with contextlib.suppress(ConnectionLost):
                reply = await wire.ask(Phase.RSET, self._client.rset)
                if not reply.positive:
                    await wire.overhear(_COMPANY_SECONDS)
                    wire.fail(f"the relay answered RSET with {reply}")
        if isinstance(wire.cause, RemoteProtocolError):
            if self._pipelines:
                self._pipelining.distrust(wire.failure)
            raise wire.lost(wire.failure, refused.phase)
        return refused


def _is_goodbye_to_mail(verdict: Reply | Refused | None) -> bool:
    """Whether the relay parts instead of taking a message."""
    return (
        isinstance(verdict, Refused) and verdict.phase is Phase.MAIL and verdict.reply.code == 421
    )
