"""What an edition takes from those before it, and what it leaves to those after it.

A story that returns says when it was told before, and what an editor says has changed since;
promises that moved or happened are told of; corrections that wait are carried. All of this is
decided when the edition is composed, and noted when it is approved, in the same transactions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, select

from newsletter.editions.compose import Draft
from newsletter.editions.corrections import list_owed, note_carried
from newsletter.editions.model import Edition, Kind, Placing
from newsletter.editions.promises import find_watched, make_promises, note_told
from newsletter.settings import Settings, is_daily
from newsletter.store.audit import Actor
from newsletter.store.tables import edition_briefs, editions


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """How the last edition that had a story told it."""

    day: date
    kind: Kind
    number: int
    title: str


def follow_up(connection: Connection, draft: Draft, settings: Settings) -> Draft:
    """Add to a draft what it owes to the editions before it; a daily one carries corrections."""
    edition, rules = draft.edition, settings.edition
    told = _load_told(connection, draft)
    story_ids = draft.story_ids or (None,) * len(edition.briefs)
    placings = tuple(
        _follow(edition.placing(n), told.get(n), edition.briefs[n].update)
        for n in range(len(edition.briefs))
    )
    watching = find_watched(
        connection,
        edition.briefs,
        story_ids,
        day=edition.date,
        kind=edition.kind,
        series=settings.series_of(edition.kind),
        most_expired=rules.expired_watched,
    )
    owed = list_owed(connection, edition.kind)
    return replace(
        draft,
        edition=replace(
            edition,
            placings=placings,
            watching=watching,
            corrections=(*owed, *edition.corrections),
        ),
        remarks=(*draft.remarks, *_remark_on_updates(edition, placings)),
    )


def note_approved(
    connection: Connection,
    edition_id: int,
    edition: Edition,
    settings: Settings,
    *,
    by: Actor,
    now: datetime,
) -> None:
    """Note what an edition tells, promises and carries; to be called with its approval.

    Raises `TemporaryError` where another edition has carried one of its corrections meanwhile.
    """
    note_carried(connection, edition_id, edition, by=by, now=now)
    if not (is_daily(edition.kind) or edition.kind == "special"):  # the others tell nothing new
        return
    note_told(connection, edition_id, edition, now)
    make_promises(
        connection,
        edition_id,
        edition,
        label=settings.vocabulary.watch_label,
        lasting=timedelta(days=settings.edition.watch_days),
        now=now,
    )


def _load_told(connection: Connection, draft: Draft) -> dict[int, _Told]:
    """Load how the stories of a draft were told last, by the position there.

    How another series told the very brief that is told here does not count.
    """
    claims = edition_briefs.c
    rows = connection.execute(
        select(
            claims.story_id,
            claims.brief_id,
            claims.position,
            editions.c.date,
            editions.c.kind,
            editions.c.content,
        )
        .join(editions, editions.c.id == claims.edition_id)
        .where(
            claims.story_id.in_({story for story in draft.story_ids if story is not None}),
            claims.series != "weekly",
            claims.position.is_not(None),
            editions.c.dated_at.is_not(None),
        )
        .order_by(editions.c.dated_at, editions.c.id, claims.position.desc())
    ).all()
    return {
        position: _Told(
            day=row.date,
            kind=row.kind,
            number=row.position + 1,
            title=row.content["briefs"][row.position]["title"],
        )
        for row in rows
        for position, (story_id, brief_id) in enumerate(
            zip(draft.story_ids, draft.brief_ids, strict=True)
        )
        if story_id == row.story_id and brief_id != row.brief_id
    }


def _follow(placing: Placing, told: _Told | None, update: str) -> Placing:
    if told is None:
        return placing
    return replace(
        placing,
        moved=update,
        had_on=told.day,
        had_kind=told.kind,
        had_number=told.number,
        had_title=told.title,
    )


def _remark_on_updates(edition: Edition, placings: tuple[Placing, ...]) -> Iterator[str]:
    for brief, placing in zip(edition.briefs, placings, strict=True):
        if brief.update and not placing.moved:
            yield (
                f'The update of "{brief.title[:60]}" is not shown: no earlier edition is known to '
                "have told its story."
            )
