"""An editor's order: which briefs come first in the coming edition, one after the other.

Whoever moves a brief fixes all that stand before its new place as well; what was never moved keeps
its own order behind them. A fixed brief is a pinned one, whatever its file says.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, delete, insert, select

from newsletter.errors import RefusedError
from newsletter.store.audit import Actor, note
from newsletter.store.tables import edition_briefs, placements

Move = Literal["first", "up", "down", "free"]


def move_brief(
    connection: Connection,
    edition_id: int,
    brief_id: int,
    move: Move,
    *,
    by: Actor,
    now: datetime,
) -> None:
    """Move a brief within an edition that is made anew afterwards, or give it back its own place.

    Raises `RefusedError` for one that the edition does not tell.
    """
    told = list(
        connection.scalars(
            select(edition_briefs.c.brief_id)
            .where(
                edition_briefs.c.edition_id == edition_id, edition_briefs.c.position.is_not(None)
            )
            .order_by(edition_briefs.c.position)
        )
    )
    if brief_id not in told:
        raise RefusedError(
            f"brief {brief_id} is not told in this edition", mend="look at the edition again"
        )
    fixed = set(connection.scalars(select(placements.c.brief_id)))
    order = arrange(told, [each for each in told if each in fixed], brief_id, move)
    connection.execute(delete(placements).where(placements.c.brief_id.in_(told)))
    rows = [{"brief_id": each, "rank": len(order) - at} for at, each in enumerate(order)]
    if rows:
        connection.execute(insert(placements), rows)
    note(connection, by, "brief.move", f"brief {brief_id}", now=now, detail=move, after=order)


def arrange(told: Sequence[int], fixed: Sequence[int], brief_id: int, move: Move) -> list[int]:
    """Give the briefs that are fixed after a move, the first one first. Pure."""
    if move == "free":
        return [each for each in fixed if each != brief_id]
    rest = [each for each in told if each != brief_id]
    at = told.index(brief_id)
    place = {"first": 0, "up": max(0, at - 1), "down": min(len(rest), at + 1)}[move]
    order = [*rest[:place], brief_id, *rest[place:]]
    last = max(order.index(each) for each in {*fixed, brief_id})
    return order[: last + 1]


def list_fixed(connection: Connection) -> frozenset[int]:
    """List the briefs whose place an editor has fixed."""
    return frozenset(connection.scalars(select(placements.c.brief_id)))
