"""What is kept of stories: an operator's rules, and how editions told them before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, and_, insert, or_, select

from newsletter.briefs.document import brief_from_document
from newsletter.editions.lifecycle import RELEASED
from newsletter.editions.model import Kind
from newsletter.editions.released import is_daily_row
from newsletter.editions.stories import Rule, suggest_merges
from newsletter.editions.story import Candidate, Earlier, Suggestion
from newsletter.errors import RefusedError
from newsletter.store.audit import Actor, note
from newsletter.store.tables import briefs, edition_briefs, editions, story_rules

REMEMBERED = timedelta(days=14)
"""How long after an edition a story is known again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A brief that an edition tells, or names beside the one that tells its story."""

    brief_id: int
    title: str
    source: str
    story_id: int
    leads: bool


def list_pieces(connection: Connection, edition_id: int) -> tuple[Piece, ...]:
    """List the pieces of an edition's stories: those that lead, in its order, then the others."""
    return tuple(
        Piece(
            brief_id=row.id,
            title=row.document["title"],
            source=row.source,
            story_id=row.story_id,
            leads=row.position is not None,
        )
        for row in _load_pieces(connection, edition_id)
    )


def list_suggestions(connection: Connection, edition_id: int) -> tuple[Suggestion, ...]:
    """List which stories of an edition may be one, the likeliest first."""
    stories: dict[int, list[Candidate]] = defaultdict(list)
    for row in _load_pieces(connection, edition_id):
        stories[row.story_id].append(
            Candidate(
                brief_id=row.id,
                published_at=row.published_at,
                brief=brief_from_document(row.document, file=f"brief {row.id}"),
                source=row.source,
            )
        )
    return suggest_merges(list(stories.values()), rules=load_rules(connection))


def _load_pieces(connection: Connection, edition_id: int) -> Sequence[Row[*tuple[Any, ...]]]:
    claims = edition_briefs.c
    return connection.execute(
        select(
            *(briefs.c.id, briefs.c.document, briefs.c.source, briefs.c.published_at),
            *(claims.story_id, claims.position),
        )
        .join_from(edition_briefs, briefs)
        .where(claims.edition_id == edition_id, claims.story_id.is_not(None))
        .order_by(claims.position.is_(None), claims.position, briefs.c.id)
    ).all()


def load_rules(connection: Connection) -> tuple[Rule, ...]:
    """Load every rule, in the order in which they were made."""
    _r = story_rules.c
    rows = connection.execute(select(_r.kind, _r.one_id, _r.other_id).order_by(_r.id))
    return tuple(Rule(kind=row.kind, one=row.one_id, other=row.other_id) for row in rows)


def store_rule(
    connection: Connection,
    kind: Literal["merge", "split"],
    one: int,
    other: int,
    *,
    by: Actor,
    now: datetime,
) -> tuple[str, str]:
    """Keep an operator's word about two briefs; give their titles.

    Raises `RefusedError` where one of them is not there, or both are the same.
    """
    if one == other:
        raise RefusedError(f"brief {one} is one story with itself", mend="name two briefs")
    titles = {
        row.id: str(row.document["title"])
        for row in connection.execute(
            select(briefs.c.id, briefs.c.document).where(briefs.c.id.in_((one, other)))
        )
    }
    for number in (one, other):
        if number not in titles:
            raise RefusedError(
                f"there is no brief {number}", mend="see the numbers in `newsletter stories`"
            )
    connection.execute(
        insert(story_rules).values(
            kind=kind, one_id=one, other_id=other, made_at=now, made_by=by.who
        )
    )
    note(connection, by, f"story.{kind}", f"briefs {one} and {other}", now=now)
    return titles[one], titles[other]


def load_earlier(connection: Connection, day: date, kind: Kind) -> tuple[Earlier, ...]:
    """Load the stories that daily editions told within `REMEMBERED` before one.

    Those of its own date are among them: what the morning's told is known in the evening.
    """
    rows = connection.execute(
        select(
            edition_briefs.c.story_id,
            editions.c.date,
            editions.c.kind,
            briefs.c.id,
            briefs.c.document,
        )
        .join_from(edition_briefs, editions)
        .join(briefs, briefs.c.id == edition_briefs.c.brief_id)
        .where(
            editions.c.state.in_(RELEASED),
            is_daily_row(),
            or_(editions.c.date < day, and_(editions.c.date == day, editions.c.kind != kind)),
            editions.c.date >= day - REMEMBERED,
            edition_briefs.c.series == "news",
            edition_briefs.c.position.is_not(None),
            edition_briefs.c.story_id.is_not(None),
        )
        .order_by(editions.c.date, editions.c.dated_at, editions.c.id, edition_briefs.c.position)
    )
    return tuple(
        Earlier(
            story_id=row.story_id,
            day=row.date,
            kind=row.kind,
            brief=brief_from_document(row.document, file=f"brief {row.id}"),
            brief_id=row.id,
        )
        for row in rows
    )
