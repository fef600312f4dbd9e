"""A way to hand over messages, one after another, in two steps around the intent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from newsletter.smtp.connection import (
    Addresses,
    Connection,
    Pipelining,
    Timeouts,
    build_tls_context,
)
from newsletter.smtp.folder import Folder
from newsletter.smtp.protocol import Envelope, Phase, Refused, Reply
from newsletter.smtp.relay import Relay
from newsletter.smtp.tokens import TokenCommand


class Channel(Protocol):
    """A connection to a relay, or a folder that stands for one."""

    @property
    def usable(self) -> bool:
        """Whether it can take another message."""

    async def prepare(self, envelope: Envelope, content: bytes) -> Refused | None:
        """Hand over everything but the end; `ConnectionLost` here is never in doubt."""

    async def finish(
        self, then: Envelope | None = None, *, size_bytes: int = 0, is_last: bool = False
    ) -> Reply:
        """Hand over the end and read the verdict; begin the message `then` with it, if it can.

        The next `prepare` must be of that envelope; after one that `is_last` there is none.
        """

    @property
    def window(self) -> int:
        """How many messages may be under way at once with `post`; with 1 it is not to be used."""

    @property
    def under_way(self) -> int:
        """How many messages have been posted and their verdicts not collected."""

    @property
    def answered(self) -> int:
        """How many verdicts can be collected without waiting."""

    def post(self, envelope: Envelope, content: bytes) -> Refused | None:
        """Hand over a whole message, its intent committed; from here it may be in doubt.

        A refusal of our own is returned, and nothing was said. `ConnectionLost` here is never in
        doubt, and those under way are still to be collected.
        """

    async def collect(self) -> Reply | Refused:
        """Read the verdict on the oldest message; `ConnectionLost` is about that one alone."""

    async def close(self) -> None:
        """Part politely; what is prepared and not finished is not delivered."""

    def abort(self) -> None:
        """Part at once."""


OpenChannel = Callable[[], Awaitable[Channel]]


def build_opener(
    relay: Relay,
    *,
    ehlo_name: str,
    ca_file: Path | None = None,
    timeouts: Timeouts | None = None,
    window: int = 1,
    tokens: TokenCommand | None = None,
    dsn: bool = False,
) -> OpenChannel:
    """Build what opens channels to a relay. Raises `ConfigurationError` for a bad `ca_file`.

    The channels share what the relay has shown of itself: once it has broken PIPELINING, those
    opened later ask it one thing at a time; one of its addresses that has failed is left alone
    for a while, as long as there are others.
    """
    if relay.kind == "maildir" or relay.kind == "eml":
        kind, path = relay.kind, relay.path or Path()

        async def open_folder() -> Channel:
            return Folder(path, kind)

        return open_folder
    # To read the machine's certificates takes longer than to open a connection in the clear.
    tls = build_tls_context(ca_file) if relay.tls != "none" else None
    pipelining, addresses = Pipelining(str(relay)), Addresses()

    async def open_connection() -> Channel:
        return await Connection.open(
            relay,
            ehlo_name=ehlo_name,
            tls=tls,
            timeouts=timeouts,
            window=window,
            pipelining=pipelining,
            tokens=tokens,
            dsn=dsn,
            addresses=addresses,
        )

    return open_connection


async def hand_over(channel: Channel, envelope: Envelope, content: bytes) -> tuple[Phase, Reply]:
    """Hand over a message that no ledger knows; give the verdict, and where it was spoken."""
    refused = await channel.prepare(envelope, content)
    if refused is not None:
        return refused.phase, refused.reply
    return Phase.DOT, await channel.finish()
