"""What one series of editions told and another tells too: which editions told a brief, to whom.

Each series tells a brief once (`edition_briefs` has it once in each): the news, which all get who
take the daily edition; every further daily edition that only who chose it get; the round-up. What
another series told stands in an edition all the same, marked with the names of those that told it
(`Placing.had_in`): whoever was sent one of them does not get it again, and nobody goes without.

Every function works within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, exists, or_, select, text

from newsletter.editions.lifecycle import RELEASED, UNSENT
from newsletter.editions.model import Edition, name_edition
from newsletter.store.tables import briefs, edition_briefs, editions

_C, _E = edition_briefs.c, editions.c
_IDS_A_QUERY = 500  # old builds of SQLite take 999 parameters
_APPROVE_ALONE = text("SELECT pg_advisory_xact_lock(7310579605)")
_IS_TOLD = or_(_C.position.is_not(None), _C.story_id.is_not(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """How editions of other series told a brief."""

    had_in: tuple[str, ...]
    """Their names, the earliest first; those that nobody approved yet among them."""
    story_id: int | None
    """The story that it was told of."""


def load_tellings(
    connection: Connection, brief_ids: Iterable[int], series: str
) -> dict[int, Telling]:
    """Load how editions of other series than this one told briefs; without those they did not."""
    found: dict[int, Telling] = {}
    wanted = sorted({*brief_ids})
    for start in range(0, len(wanted), _IDS_A_QUERY):
        rows = connection.execute(
            select(_C.brief_id, _C.story_id, _E.date, _E.kind)
            .join_from(edition_briefs, editions)
            .where(
                _C.brief_id.in_(wanted[start : start + _IDS_A_QUERY]), _C.series != series, _IS_TOLD
            )
            .order_by(_E.cut_off, _E.id)
        )
        for row in rows:
            before = found.get(row.brief_id)
            names = (*(before.had_in if before else ()), name_edition(row.date, row.kind))
            story_id = before.story_id if before else None
            found[row.brief_id] = Telling(had_in=names, story_id=story_id or row.story_id)
    return found


def is_taken(kind: str, series: str, *, start: datetime, but_for: int | None) -> Any:
    """Give the condition that a brief is none for an edition of a window that begins at `start`.

    Its own series has it; or another had it before the window, so that the last edition of the
    series could have told it; or it is in an edition that was planned, which no other comes
    before. The edition `but_for` does not count.
    """
    is_planned = and_(_E.send_at.is_not(None), _E.state.in_(sorted(UNSENT)))
    return exists().where(
        _C.brief_id == briefs.c.id,
        _C.edition_id == _E.id,
        _E.id != (but_for or 0),
        or_(
            _C.series == series,
            _E.kind == kind,  # of when its readers were others
            and_(_C.series != "weekly", or_(_E.cut_off <= start, is_planned)),
        ),
    )


def wait_for_approvals(connection: Connection) -> None:
    """Wait for whoever approves an edition, and let nobody else until this is over.

    Each of two that are approved has to see what the other tells, and to whom. On SQLite whoever
    writes is alone anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_APPROVE_ALONE)


def list_told_since(connection: Connection, edition_id: int, edition: Edition) -> list[str]:
    """List the editions that were approved since one was composed and told a brief of it.

    Its readers would be sent that twice.
    """
    mine = edition_briefs.alias()
    rows = connection.execute(
        select(mine.c.position, _E.date, _E.kind)
        .join_from(edition_briefs, editions)
        .join(mine, mine.c.brief_id == _C.brief_id)
        .where(
            mine.c.edition_id == edition_id,
            mine.c.position.is_not(None),
            _C.series != mine.c.series,
            _IS_TOLD,
            _E.state.in_(sorted(RELEASED)),
        )
    )
    names = [(row.position, name_edition(row.date, row.kind)) for row in rows]
    return [name for position, name in names if name not in edition.placing(position).had_in]
