"""The feed of what happened: each thing with a number, in the one order in which all are told.

A thing is noted within the transaction that it is about (`store.happenings`), without a number.
Whoever reads the feed, or posts it, first numbers what was committed since, one at a time: so
whoever reads on from the last number that they saw misses nothing, whatever overlapped. What
webhooks are to be told is written down with the number, in the same transaction.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, text, update

from newsletter.delivery.inquiry import count_states
from newsletter.editions.model import name_edition
from newsletter.settings import Webhook
from newsletter.store.tables import editions, happenings, orders, posts, subscribers

_MOST_AT_ONCE = 500
_ALONE = text("SELECT pg_advisory_xact_lock(7310579605)")
"""PostgreSQL's lock of whoever numbers: any number that nobody else uses."""

_H = happenings.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened."""

    number: int
    at: datetime
    kind: str
    edition: str
    """The name of the edition that it is about; "" for none."""
    reader: int | None
    detail: dict[str, Any]
    email: str = ""
    """The reader's address, only where it was asked for and they are still known."""

    def to_document(self) -> dict[str, Any]:
        """Give it as JSON; what is empty is left out."""
        document = {
            "id": self.number,
            "at": self.at.isoformat(),
            "kind": self.kind,
            "edition": self.edition,
            "reader": self.reader,
            "email": self.email,
            "detail": self.detail,
        }
        return {name: value for name, value in document.items() if value not in ("", None, {})}


def has_new(connection: Connection) -> bool:
    """Tell whether anything happened that has no number yet."""
    return connection.execute(select(_H.id).where(_H.number.is_(None)).limit(1)).first() is not None


def number_new(connection: Connection, hooks: Sequence[Webhook], now: datetime) -> int:
    """Give numbers to what happened, and write down what webhooks are told; say how many.

    Within a writing transaction of its own. How many of an edition's copies stand where is added
    to what is told of it: as of this moment.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_ALONE)
    new = connection.execute(
        select(_H.id, _H.kind, _H.edition_id, _H.detail)
        .where(_H.number.is_(None))
        .order_by(_H.id)
        .limit(_MOST_AT_ONCE)
    ).all()
    if not new:
        return 0
    last = connection.scalar(select(func.max(_H.number))) or 0
    for number, row in enumerate(new, last + 1):
        detail = dict(row.detail)
        if row.edition_id is not None and (counts := _count(connection, row.edition_id)):
            detail["counts"] = counts
        connection.execute(
            update(happenings).where(_H.id == row.id).values(number=number, detail=detail)
        )
    for event in list_events(connection, after=last, limit=len(new)):
        body = json.dumps(event.to_document(), sort_keys=True).encode()
        rows = [
            {
                "hook": hook.label,
                "number": event.number,
                "body": body,
                "state": "waiting",
                "made_at": now,
                "look_at": now,
                "changed_at": now,
            }
            for hook in hooks
            if hook.wants(event.kind)
        ]
        if rows:
            connection.execute(insert(posts), rows)
    return len(new)


def list_events(
    connection: Connection, *, after: int, limit: int, with_addresses: bool = False
) -> list[Event]:
    """List what has a number, from the one after `after` on."""
    query = (
        select(
            *(_H.number, _H.at, _H.kind, _H.detail, _H.subscriber_id),
            *(editions.c.date, editions.c.kind.label("edition_kind"), subscribers.c.email),
        )
        .outerjoin(editions, editions.c.id == _H.edition_id)
        .outerjoin(subscribers, subscribers.c.id == _H.subscriber_id)
        .where(_H.number > after)
        .order_by(_H.number)
        .limit(limit)
    )
    return [_read(row, with_addresses=with_addresses) for row in connection.execute(query)]


def forget_old(connection: Connection, before: datetime) -> None:
    """Forget what happened before a moment, what was asked then, and what webhooks were told.

    The last thing that has a number stays, so that numbers go on from it.
    """
    last = connection.scalar(select(func.max(_H.number))) or 0
    connection.execute(delete(happenings).where(_H.at < before, _H.number < last))
    connection.execute(delete(posts).where(posts.c.made_at < before, posts.c.state != "waiting"))
    connection.execute(
        delete(orders).where(orders.c.asked_at < before, orders.c.state.in_(("done", "refused")))
    )


def _count(connection: Connection, edition_id: int) -> dict[str, int]:
    counts = count_states(connection, edition_id)
    return {state.value: count for state, count in sorted(counts.items())}


def _read(row: Row[*tuple[Any, ...]], *, with_addresses: bool) -> Event:
    return Event(
        number=row.number,
        at=row.at,
        kind=row.kind,
        edition=name_edition(row.date, row.edition_kind) if row.date else "",
        reader=row.subscriber_id,
        detail=row.detail,
        email=(row.email or "") if with_addresses else "",
    )
