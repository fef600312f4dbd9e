"""What a reader chooses by themselves: read and stored by the number that their link holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Row, select, update

from newsletter.audience.reader import Choices, Reader, Status
from newsletter.store import Database
from newsletter.store.tables import subscribers


@dataclass(frozen=True, slots=True, kw_only=True)
class Chooser:
    """A reader with a link to their own choices."""

    reader: Reader
    status: Status
    paused_until: date | None
    """The date of the first edition that they want again."""

    @property
    def is_reading(self) -> bool:
        """Whether they are on the list; a pause changes nothing about that."""
        return self.status == "active"


def find_chooser(database: Database, subscriber_id: int) -> Chooser | None:
    """Find the reader of a link; None for one who was erased."""
    query = select(subscribers).where(subscribers.c.id == subscriber_id)
    with database.reading() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else _build_chooser(row)


def store_choices(
    database: Database,
    subscriber_id: int,
    name: str,
    chosen: Choices,
    *,
    paused_until: date | None = None,
    now: datetime,
) -> Chooser | None:
    """Store what a reader chose, for editions that are approved from now on."""
    stored = (
        update(subscribers)
        .where(subscribers.c.id == subscriber_id)
        .values(name=name, choices=chosen.to_document(), paused_until=paused_until, updated_at=now)
        .returning(subscribers)
    )
    with database.writing() as connection:
        row = connection.execute(stored).one_or_none()
    return None if row is None else _build_chooser(row)


def _build_chooser(row: Row[Any]) -> Chooser:
    reader = Reader(
        subscriber_id=row.id,
        email=row.email,
        name=row.name,
        choices=Choices.from_document(row.choices),
        fields=row.fields,
    )
    return Chooser(reader=reader, status=row.status, paused_until=row.paused_until)
