"""What happened that programs are told of: noted in the transaction of what it tells.

A happening names an edition or a reader by number, and never an address: of who is erased
nothing has to be taken away here. It gets its place in the order in which all are told only
later (`delivery.feed`): numbers given out within overlapping transactions are not in the order of
the commits, and whoever read on from the last one would miss some.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert

from newsletter.settings.api import EVENTS
from newsletter.store.tables import happenings


def tell_of_edition(
    connection: Connection, edition_id: int, state: str, *, now: datetime, reason: str = ""
) -> None:
    """Note that an edition is in another state."""
    detail = {"reason": reason} if reason else {}
    _note(connection, f"edition.{state}", now, [{"edition_id": edition_id, "detail": detail}])


def tell_of_readers(
    connection: Connection, numbers: Iterable[int], status: str, *, now: datetime
) -> None:
    """Note that readers subscribed, or are read no more, and why."""
    what = "subscribed" if status == "active" else status
    _note(connection, f"reader.{what}", now, [{"subscriber_id": number} for number in numbers])


def tell_of_brief(connection: Connection, brief_id: int, outcome: str, *, now: datetime) -> None:
    """Note that a program brought a brief."""
    detail = {"brief": brief_id, "outcome": outcome}
    _note(connection, "brief.stored", now, [{"detail": detail}])


def _note(connection: Connection, kind: str, now: datetime, rows: list[dict[str, Any]]) -> None:
    assert kind in EVENTS, kind
    empty: dict[str, Any] = {"edition_id": None, "subscriber_id": None, "detail": {}}
    if rows:
        connection.execute(
            insert(happenings), [{**empty, **row, "kind": kind, "at": now} for row in rows]
        )
