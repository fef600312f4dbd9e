"""What a reader chooses by themselves: read and stored by the number that their link holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import select, update

from newsletter.audience.reader import Choices, Reader
from newsletter.store import Database
from newsletter.store.tables import subscribers

CHOSEN_BY_READERS = ("topics", "lenses", "detail", "minutes", "language", "format", "rhythm")
"""The choices that a reader makes by themselves; the others stay as they are."""


def find_reader(database: Database, subscriber_id: int) -> tuple[Reader, bool] | None:
    """Find a reader, and tell whether they get mail; None for one who was erased."""
    query = select(subscribers).where(subscribers.c.id == subscriber_id)
    with database.reading() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    reader = Reader(
        subscriber_id=row.id,
        email=row.email,
        name=row.name,
        choices=Choices.from_document(row.choices),
        fields=row.fields,
    )
    return reader, row.status == "active"


def lay_over(choices: Choices, chosen: Choices) -> Choices:
    """Lay what a reader chose by themselves over all that is known of their choices."""
    return replace(choices, **{name: getattr(chosen, name) for name in CHOSEN_BY_READERS})


def store_choices(
    database: Database, subscriber_id: int, name: str, chosen: Choices, *, now: datetime
) -> Reader | None:
    """Store what a reader chose, for editions that are approved from now on."""
    with database.writing() as connection:
        row = connection.execute(
            select(subscribers).where(subscribers.c.id == subscriber_id).with_for_update()
        ).one_or_none()
        if row is None:
            return None
        choices = lay_over(Choices.from_document(row.choices), chosen)
        connection.execute(
            update(subscribers)
            .where(subscribers.c.id == subscriber_id)
            .values(name=name, choices=choices.to_document(), updated_at=now)
        )
    return Reader(
        subscriber_id=row.id, email=row.email, name=name, choices=choices, fields=row.fields
    )
