"""One connection to a relay, and message after message over it.

A message goes in two steps, because the caller must commit its intent between them:
`prepare` sends everything but the final dot, `finish` sends the dot and reads the verdict.
`close` or `abort` without `finish` is certain not to deliver.

What goes wrong while opening is `RelayUnavailable` (try again later) or `RelayRefusedUs` (an
operator must mend something); from then on it is a `Refused` (the relay's answer to this
message) or `ConnectionLost`.
"""

from __future__ import annotations

import ssl
from typing import Self

from newsletter.errors import ConnectionLost
from newsletter.smtp.opening import Opening
from newsletter.smtp.protocol import (
    Client,
    Envelope,
    LocalProtocolError,
    Phase,
    Refused,
    Reply,
)
from newsletter.smtp.relay import Relay
from newsletter.smtp.tls import build_tls_context
from newsletter.smtp.wire import Timeouts, Wire

__all__ = ["Connection", "Timeouts", "build_tls_context"]


_GROUP = (Phase.MAIL, Phase.RCPT, Phase.DATA)


class Connection:
    """An SMTP or LMTP connection, ready for messages once `open` has returned it."""

    def __init__(self, client: Client, wire: Wire) -> None:
        self._client, self._wire = client, wire
        self._begun: Envelope | None = None

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

        Raises `RelayUnavailable`, or `ConfigurationError` and its kind `RelayRefusedUs`.
        Credentials leave only once the policy on TLS is met.
        """
        opening = Opening(relay, ehlo_name=ehlo_name, tls=tls, timeouts=timeouts or Timeouts())
        await opening.run()
        return cls(opening.client, opening.wire)

    window = 1
    answered = 0

    def post(self, envelope: Envelope, content: bytes) -> Refused | None:
        raise NotImplementedError

    async def collect(self) -> Reply | Refused:
        raise NotImplementedError

    @property
    def usable(self) -> bool:
        """Whether the connection can still take a message, or is taking the one begun."""
        return self._wire.usable or (self._begun is not None and self._wire.is_open)

    # -- a message -----------------------------------------------------------------------------

    async def prepare(self, envelope: Envelope, content: bytes) -> Refused | None:
        """Send MAIL, RCPT, DATA and the whole content, but not the final dot.

        Returns the refusal, the relay's or our own in its name, if there is one. Raises
        `ConnectionLost`, never in doubt, or `LocalProtocolError` for what may not be sent.
        """
        try:
            refused = await self._ask_for_the_floor(envelope, len(content))
            return refused or await self._hand_over(content)
        except BaseException:  # the dialogue stands in the middle of a message
            self.abort()
            raise

    async def finish(self, then: Envelope | None = None, *, size_bytes: int = 0) -> Reply:
        """Send the final dot and read the verdict.

        Where the relay offers PIPELINING the commands for the message `then`, of `size_bytes`,
        go out with the dot, so that a message costs one round trip; hand the same envelope to
        the next `prepare`, or abort. A refusal that came since `prepare` is the verdict, and the
        dot is not sent. Raises `ConnectionLost`, in doubt if the dot had been handed over.
        """
        if early := self._wire.take_unasked():
            self.abort()
            return early

        def say() -> bytes:
            dot = self._client.final_dot()
            return dot + self._begin(then, size_bytes) if then is not None else dot

        try:
            verdict = await self._wire.ask(Phase.DOT, say)
        except BaseException:
            self.abort()
            raise
        self._heed_goodbye(verdict)
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
        if self._begun is None:
            if refused := self._refuse_ourselves(envelope, size_bytes):
                return refused
            self._wire.check_usable(Phase.MAIL)
            self._wire.write(self._begin(envelope, size_bytes))
        begun, self._begun = self._begun, None
        if begun is None:
            return await self._ask_one_by_one(envelope, size_bytes)
        if begun is not envelope:
            raise LocalProtocolError("another message was begun")
        return await self._read_group()

    def _begin(self, envelope: Envelope, size_bytes: int) -> bytes:
        """Build MAIL, RCPT and DATA in one go; nothing where that cannot be, or is of no use."""
        if "PIPELINING" not in self._client.extensions:
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
        for phase in _GROUP:
            try:
                reply = wire.take(phase)
            except ConnectionLost:
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
            await self._reset(refused.reply)
        else:
            self._heed_goodbye(refused.reply)
        return refused

    async def _ask_one_by_one(self, envelope: Envelope, size_bytes: int) -> Refused | None:
        client, wire = self._client, self._wire

        def mail() -> bytes:
            return client.mail(envelope.sender, size_bytes=size_bytes, smtputf8=envelope.smtputf8)

        reply = await wire.ask(Phase.MAIL, mail)
        if not reply.positive:
            self._heed_goodbye(reply)
            return Refused(Phase.MAIL, reply)
        reply = await wire.ask(Phase.RCPT, lambda: client.rcpt(envelope.recipient))
        if not reply.positive:
            await self._reset(reply)
            return Refused(Phase.RCPT, reply)
        reply = await wire.ask(Phase.DATA, client.data)
        if reply.code != 354:
            await self._reset(reply)
            return Refused(Phase.DATA, reply)
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

    async def _reset(self, refusal: Reply) -> None:
        """Make room for the next message. The refusal stands, whatever becomes of this."""
        self._heed_goodbye(refusal)
        if not self.usable:
            return
        try:
            reply = await self._wire.ask(Phase.RSET, self._client.rset)
        except ConnectionLost:
            return
        if not reply.positive:
            self._wire.fail(f"the relay answered RSET with {reply}")
