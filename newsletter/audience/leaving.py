"""Leaving the list by a link, taking that back, and saying why: what a reader does themselves.

Whoever leaves is kept out from the commit on (G7). The link names a subscriber and not an
address, so a reader who has been erased meanwhile has left already, and is told so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import select, update

from newsletter.audience.reader import Choices
from newsletter.audience.suppression import keep_intents_out, lift_suppression, suppress
from newsletter.store import Database
from newsletter.store.happenings import tell_of_readers
from newsletter.store.tables import subscribers, suppressions

Way = Literal["link", "one-click", "mail"]

BY_THEMSELVES = "by the reader"
"""How the detail of a suppression begins that its reader may take back."""
REASONS_TO_LEAVE = ("too many", "too long", "not relevant", "not fair", "other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaver:
    """Who a link speaks of."""

    subscriber_id: int
    email: str
    language: str
    is_reading: bool
    """Whether they get mail, or would once they have confirmed."""


def find_leaver(database: Database, subscriber_id: int) -> Leaver | None:
    """Find who a link speaks of; None for a reader who was erased."""
    query = select(subscribers).where(subscribers.c.id == subscriber_id)
    with database.reading() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return Leaver(
        subscriber_id=row.id,
        email=row.email,
        language=Choices.from_document(row.choices).language,
        is_reading=row.status in ("active", "pending"),
    )


def leave(database: Database, subscriber_id: int, way: Way, *, now: datetime) -> None:
    """Take a reader off the list for good; once this returns no message to them begins.

    Idempotent, and nothing happens for a number that nobody has.
    """
    query = select(subscribers.c.email_key).where(subscribers.c.id == subscriber_id)
    with database.writing() as connection:
        keep_intents_out(connection)  # and whoever moves: the address is theirs until this is over
        key = connection.scalar(query)
        if key is not None:
            suppress(connection, [key], "unsubscribed", now, detail=f"{BY_THEMSELVES}, by {way}")


def take_back(database: Database, subscriber_id: int, *, now: datetime) -> bool:
    """Let a reader back who has just left by themselves; tell whether they are a reader now."""
    _s = suppressions.c
    query = (
        select(subscribers.c.email_key, subscribers.c.status, _s.reason, _s.detail)
        .outerjoin_from(subscribers, suppressions, _s.email_key == subscribers.c.email_key)
        .where(subscribers.c.id == subscriber_id)
    )
    with database.writing() as connection:
        row = connection.execute(query).one_or_none()
        if row is None:
            return False
        if row.reason == "unsubscribed" and row.detail.startswith(BY_THEMSELVES):
            lift_suppression(connection, row.email_key)
            connection.execute(
                update(subscribers)
                .where(subscribers.c.id == subscriber_id)
                .values(status="active", updated_at=now)
            )
            tell_of_readers(connection, [subscriber_id], "active", now=now)
            return True
        return row.reason is None and row.status == "active"


def note_reason(database: Database, subscriber_id: int, reason: str) -> None:
    """Keep why a reader left, one of `REASONS_TO_LEAVE`; anything else is passed over."""
    if reason not in REASONS_TO_LEAVE:
        return
    _s = suppressions.c
    of_reader = select(subscribers.c.email_key).where(subscribers.c.id == subscriber_id)
    said = _s.detail.startswith(f"{BY_THEMSELVES}, by ", autoescape=True)
    with database.writing() as connection:
        detail = connection.scalar(
            select(_s.detail).where(_s.email_key.in_(of_reader), said, _s.reason == "unsubscribed")
        )
        if detail is not None:
            first = detail.partition("; ")[0]
            connection.execute(
                update(suppressions)
                .where(_s.email_key.in_(of_reader))
                .values(detail=f"{first}; {reason}")
            )
