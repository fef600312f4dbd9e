"""Leaving by mail: a message is read, and whoever its word names is off the list."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from newsletter.audience.leaving import leave
from newsletter.errors import InputError
from newsletter.feedback.request import parse_request
from newsletter.mail import Keyring
from newsletter.mail.tokens import Purpose, read_token
from newsletter.store import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What became of a message."""

    left: int = 0
    """How many readers it took off the list: mostly one."""
    reason: str = ""
    """Why it took nobody off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Hears who leaves by mail."""

    database: Database
    keyring: Keyring
    list_id: str
    now: Callable[[], datetime]

    def hear(self, content: bytes) -> Heard:
        """Take off the list whom a message names; committed once it returns, and idempotent.

        Raises `StorageError` where the database cannot be written; then nothing happened.
        """
        request = parse_request(content)
        if request.refusal:
            return Heard(reason=request.refusal)
        left = set()
        for word in request.words:
            with suppress(InputError):
                claim = read_token(
                    word, Purpose.UNSUBSCRIBE, keyring=self.keyring, list_id=self.list_id
                )
                left.add(claim.subscriber_id)
        for subscriber_id in sorted(left):
            leave(self.database, subscriber_id, "mail", now=self.now())
        return Heard(left=len(left), reason="" if left else "its word is damaged, or not ours")
