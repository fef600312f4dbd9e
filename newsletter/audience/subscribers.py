"""The list of readers: add, remove, find, list and count them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, get_args

from sqlalchemy import Connection, Row, and_, func, select, true, update

from newsletter.audience.address import parse_address
from newsletter.audience.entry import Entry, Tally, store_entries
from newsletter.audience.pseudonyms import Pseudonyms
from newsletter.audience.reader import Choices, Status, Subscriber
from newsletter.audience.segment import Segment
from newsletter.audience.segment_sql import build_condition
from newsletter.audience.suppression import (
    FINAL_REASONS,
    lift_suppression,
    read_all_reasons,
    suppress,
)
from newsletter.errors import AudienceError
from newsletter.store import Database
from newsletter.store.happenings import tell_of_readers
from newsletter.store.tables import subscribers

_PAGE_ROWS = 1_000


def add_subscriber(
    database: Database,
    entry: Entry,
    *,
    now: datetime,
    pseudonyms: Pseudonyms,
    again: bool = False,
) -> Subscriber:
    """Add one reader, or lay the entry's values over an active one.

    Raises `AudienceError` for an address that must not be mailed. `again` brings back a
    reader who left and has since said, to the operator, that they want it again; the entry
    must say where in `consent_source`. A complaint and an erasure stay final.
    """
    key = entry.address.key
    with database.writing() as connection:
        known = read_subscriber(connection, key)
        reason = read_all_reasons(connection, [key], pseudonyms=pseudonyms).get(key)
        against: str = reason or (known.status if known else "active")
        if against != "active":
            _check_again(entry, against, again=again)
            entry = replace(entry, consent_at=entry.consent_at or now)
            lift_suppression(connection, key)
            connection.execute(
                update(subscribers)
                .where(subscribers.c.email_key == key)
                .values(status="active", updated_at=now)
            )
        store_entries(connection, {key: entry}, now, Tally(), pseudonyms=pseudonyms)
        stored = read_subscriber(connection, key)
        assert stored is not None
        if known is None or against != "active":
            tell_of_readers(connection, [stored.id], "active", now=now)
    return stored


BY_OPERATOR = "removed by the operator"
"""The detail of such a suppression."""


def remove_subscriber(
    database: Database, email: str, *, now: datetime, pseudonyms: Pseudonyms
) -> bool:
    """Unsubscribe an address and keep it from ever being imported again. Idempotent.

    Tells whether there was an active or pending reader to remove; an unknown address is
    suppressed all the same, but for an erased one, which is kept out already. Raises
    `AudienceError` for what is no address.
    """
    key = parse_address(email).key
    with database.writing() as connection:
        if "erased" in read_all_reasons(connection, [key], pseudonyms=pseudonyms).values():
            return False
        known = read_subscriber(connection, key)
        suppress(connection, [key], "unsubscribed", now, detail=BY_OPERATOR)
    return known is not None and known.status in {"active", "pending"}


def find_subscriber(database: Database, email: str) -> Subscriber | None:
    """Find the reader with this address, however it is capitalised."""
    key = parse_address(email).key
    with database.reading() as connection:
        return read_subscriber(connection, key)


def read_subscriber(connection: Connection, key: str) -> Subscriber | None:
    """Read the reader whose address has this key, within the caller's transaction."""
    query = select(subscribers).where(subscribers.c.email_key == key)
    row = connection.execute(query).one_or_none()
    return None if row is None else _build_subscriber(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which readers are asked for."""

    status: Status | None = None
    segment: Segment | None = None
    now: datetime | None = None
    """What the ages of a segment count from."""

    def build_condition(self, connection: Connection) -> Any:
        """Give the condition on a row of `subscribers`."""
        _s = subscribers.c
        status = true() if self.status is None else _s.status == self.status
        if self.segment is None:
            return status
        assert self.now is not None, "a segment has ages"
        is_sqlite = connection.dialect.name == "sqlite"
        return and_(status, build_condition(self.segment, self.now, is_sqlite=is_sqlite))


ALL = Selection()


def list_subscribers(database: Database, which: Selection = ALL) -> Iterator[Subscriber]:
    """Give readers in the order in which they came, in constant memory.

    Each page is read by itself, so that a slow consumer does not keep a transaction open.
    """
    after = 0
    while page := _read_alone(database, which, after):
        yield from page
        after = page[-1].id


def read_subscribers(connection: Connection, which: Selection) -> Iterator[Subscriber]:
    """Give readers like `list_subscribers`, but all within the connection's transaction."""
    after = 0
    while page := _read_page(connection, which, after):
        yield from page
        after = page[-1].id


def read_field_names(connection: Connection, which: Selection) -> list[str]:
    """Give the names of all own fields in use, sorted."""
    query = select(subscribers.c.fields).where(
        subscribers.c.fields != {}, which.build_condition(connection)
    )
    names: set[str] = set()
    for row in connection.execute(query.execution_options(yield_per=_PAGE_ROWS)):
        names.update(row.fields)
    return sorted(names)


def count_subscribers(database: Database, which: Selection) -> int:
    """Count the readers who are asked for."""
    with database.reading() as connection:
        query = select(func.count()).select_from(subscribers)
        found = connection.execute(query.where(which.build_condition(connection)))
        return found.scalar_one()


def count_by_status(database: Database) -> dict[Status, int]:
    """Count the readers of each status; every status is there."""
    query = select(subscribers.c.status, func.count().label("number")).group_by(
        subscribers.c.status
    )
    with database.reading() as connection:
        found = {row.status: row.number for row in connection.execute(query)}
    return {status: found.get(status, 0) for status in get_args(Status)}


def _check_again(entry: Entry, against: str, *, again: bool) -> None:
    """Refuse an address that something speaks against, unless it may be brought back."""
    email = entry.address.email
    if against in FINAL_REASONS:
        raise AudienceError(
            f"{email} is kept out ({against}), and that is final",
            field="email",
            mend="leave this address alone",
        )
    if not again:
        raise AudienceError(
            f"{email} is kept out ({against})",
            field="email",
            mend="if the reader has asked to come back, use --again and --consent-source",
        )
    if not entry.consent_source:
        raise AudienceError(
            f"bringing back {email} needs the source of the new consent",
            field="consent_source",
            mend='say where the reader asked for it, such as "letter of 3 May"',
        )


def _read_alone(database: Database, which: Selection, after: int) -> list[Subscriber]:
    with database.reading() as connection:
        return _read_page(connection, which, after)


def _read_page(connection: Connection, which: Selection, after: int) -> list[Subscriber]:
    query = select(subscribers).where(subscribers.c.id > after, which.build_condition(connection))
    rows = connection.execute(query.order_by(subscribers.c.id).limit(_PAGE_ROWS))
    return [_build_subscriber(row) for row in rows]


def _build_subscriber(row: Row[Any]) -> Subscriber:
    return Subscriber(
        id=row.id,
        email=row.email,
        name=row.name,
        status=row.status,
        choices=Choices.from_document(row.choices),
        fields=row.fields,
        consent_at=row.consent_at,
        consent_source=row.consent_source,
        created_at=row.created_at,
        paused_until=row.paused_until,
    )
