"""What an operator must know and mend, beside what a run tells of its own edition."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, exists, insert, select

from newsletter.store.tables import alerts


def raise_alert(
    connection: Connection,
    kind: str,
    sentence: str,
    *,
    now: datetime,
    edition_id: int | None = None,
) -> None:
    """Keep a sentence for whoever looks after the publication."""
    connection.execute(
        insert(alerts).values(edition_id=edition_id, raised_at=now, kind=kind, sentence=sentence)
    )


def was_raised(connection: Connection, kind: str, *, edition_id: int) -> bool:
    """Tell whether an edition had an alert of this kind before."""
    found = exists().where(alerts.c.edition_id == edition_id, alerts.c.kind == kind)
    return bool(connection.scalar(select(found)))
