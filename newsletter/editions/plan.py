"""An edition's own time: somebody said when it is sent, as it stands, and by whose word.

The plan stands in the edition's row: no second list says what is to be sent when. It ends with
what it is about, so an edition that is made anew, held or cancelled has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from newsletter.editions.lifecycle import UNSENT
from newsletter.errors import RefusedError
from newsletter.store.audit import Actor
from newsletter.store.tables import editions

FARTHEST = timedelta(days=366)
"""A year that was mistyped is no plan."""

_E = editions.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """When an edition is sent by itself, and what was said of that."""

    at: datetime
    """Aware UTC."""
    by: Actor
    overrides: Sequence[str] = ()
    """Failed checks that they answer for, by name or number."""
    segment: str = ""
    """Which readers get it; "" for all of them."""

    def to_document(self) -> dict[str, Any]:
        """Give what is kept beside the moment."""
        return {
            "by": self.by.who,
            "origin": self.by.origin,
            "overrides": list(self.overrides),
            "segment": self.segment,
        }


def check_moment(at: datetime, now: datetime) -> None:
    """Refuse a moment that has passed, or that is too far away to be meant. Pure."""
    if at <= now:
        raise RefusedError(f"{at:%Y-%m-%d %H:%M %Z} has passed", mend="choose a later moment")
    if at - now > FARTHEST:
        raise RefusedError(
            f"{at:%Y-%m-%d %H:%M %Z} is more than {FARTHEST.days} days away",
            mend="choose an earlier moment",
        )


def is_time(at: datetime, now: datetime, max_lateness: timedelta) -> bool:
    """Tell whether what was planned for a moment is due: past, and not too late. Pure."""
    return at <= now <= at + max_lateness


def store_plan(connection: Connection, edition_id: int, plan: Plan) -> None:
    """Give an edition its own time, in the place of one that it had."""
    connection.execute(
        update(editions)
        .where(_E.id == edition_id, _E.state.in_(sorted(UNSENT)))
        .values(send_at=plan.at, send_how=plan.to_document())
    )


def find_plan(connection: Connection, edition_id: int) -> Plan | None:
    """Find what is planned for an edition; None for one without a time of its own."""
    row = connection.execute(select(_E.send_at, _E.send_how).where(_E.id == edition_id)).one()
    return _read(row.send_at, row.send_how) if row.send_at and row.send_how else None


def _read(at: datetime, how: Mapping[str, Any]) -> Plan:
    return Plan(
        at=at,
        by=Actor(who=how["by"], origin=how["origin"]),
        overrides=tuple(how["overrides"]),
        segment=how["segment"],
    )
