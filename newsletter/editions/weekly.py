"""The week's round-up: the best of what the last seven days' editions told, for who chose it.

It tells nothing new. Of a story that several editions told it has the newest piece, and a reader
who was sent that one does not get it again (`tellings`); who had only the earlier ones does,
since the story moved. What was in one round-up is in no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import get_args

from sqlalchemy import Connection, exists, or_, select

from newsletter.briefs.model import Brief
from newsletter.editions.compose import Draft
from newsletter.editions.desk import Composed, find_released
from newsletter.editions.headlines import format_preheader, format_subject
from newsletter.editions.lifecycle import RELEASED
from newsletter.editions.model import (
    Edition,
    Kind,
    Placing,
    Prominence,
    Window,
    name_edition,
)
from newsletter.editions.released import is_daily_row
from newsletter.editions.shelf import (
    NOTHING_NEW,
    change_state,
    find_edition,
    load_content,
    previous_cut_off,
    retire_unapproved,
    store_edition,
)
from newsletter.editions.tellings import load_tellings
from newsletter.editions.window import decide_cut_off
from newsletter.settings import Publication, Settings
from newsletter.store import Database
from newsletter.store.tables import edition_briefs, editions

WEEK = timedelta(days=7)
_PUNCTUAL = timedelta(days=1)
"""How much longer than a week a round-up may look back, to begin where the last one ended."""
_PROMINENCES: tuple[Prominence, ...] = get_args(Prominence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A brief as an edition of the week told it."""

    brief_id: int
    story_id: int | None
    brief: Brief
    placing: Placing
    day: date
    kind: Kind
    position: int
    had_in: tuple[str, ...]
    """The names of all editions that told it."""


def compose_weekly(database: Database, settings: Settings, *, day: date, now: datetime) -> Composed:
    """Compose the round-up of the week that ends on `day`, as a draft.

    Raises `RefusedError` for a day to come, and for one whose round-up was cancelled with readers
    enrolled.
    """
    with database.writing() as connection:
        if released := find_released(connection, day, "weekly"):
            return released
        retired = retire_unapproved(
            connection, day, now=now, max_lateness=settings.schedule.max_lateness, kind="weekly"
        )
        found = find_edition(connection, day, "weekly")
        cut_off = decide_cut_off(day, now=now, zone=settings.publication.zone)
        previous = previous_cut_off(connection, day, "weekly")
        window = decide_week(cut_off, previous)
        told = _load_told(connection, window, edition_id=None if found is None else found.id)
        draft = compose_week(
            told,
            day=day,
            window=window,
            publication=settings.publication,
            headings=[heading for heading, _ in settings.edition.sections],
            max_briefs=settings.weekly.max_briefs,
        )
        composed = Composed(outcome="nothing_new", retired=tuple(record.name for record in retired))
        if not draft.brief_ids:
            if found is not None and found.state != "cancelled":
                change_state(connection, found.id, "cancelled", reason=NOTHING_NEW, now=now)
            return composed
        record = store_edition(
            connection,
            draft.edition,
            brief_ids=draft.brief_ids,
            story_ids=draft.story_ids,
            series="weekly",
            now=now,
        )
        return replace(composed, outcome="edition", record=record, edition=draft.edition)


def decide_week(cut_off: datetime, previous: datetime | None) -> Window:
    """Decide the span of a round-up: since the last one, but seven days where that is long ago."""
    week_ago = cut_off - WEEK
    if previous is not None and week_ago - _PUNCTUAL <= previous <= cut_off:
        return Window(start=previous, cut_off=cut_off)
    return Window(start=week_ago, cut_off=cut_off)


def compose_week(
    told: Iterable[Told],
    *,
    day: date,
    window: Window,
    publication: Publication,
    max_briefs: int,
    headings: Sequence[str] = (),
) -> Draft:
    """Compose a round-up of what was told, given in the order in which it was.

    `headings` are those that briefs may stand under, in order.
    """
    newest: dict[int, Told] = {}
    for each in told:  # stories and lone briefs are numbered apart
        newest[each.brief_id if each.story_id is None else -each.story_id] = each
    current = [each for each in newest.values() if not _is_over(each.brief, window.cut_off)]
    ranked = sorted(current, key=_rank)
    chosen = ranked[:max_briefs]
    briefs = tuple(each.brief for each in chosen)
    used = {each.placing.section for each in chosen}
    edition = Edition(
        date=day,
        kind="weekly",
        window=window,
        subject=format_subject(briefs, publication=publication, day=day),
        preheader=format_preheader(briefs, publication=publication, day=day),
        briefs=briefs,
        left_out=len(ranked) - len(chosen),
        placings=tuple(map(_place, chosen)),
        sections=tuple(heading for heading in headings if heading in used),
    )
    return Draft(
        edition=edition,
        brief_ids=tuple(each.brief_id for each in chosen),
        story_ids=tuple(each.story_id for each in chosen),
    )


def _place(told: Told) -> Placing:
    return replace(
        told.placing,
        why=f"Of the week's best: number {told.position + 1} in the edition of "
        f"{name_edition(told.day, told.kind)}.",
        is_late=False,
        had_on=None,
        had_in=told.had_in,
    )


def _rank(told: Told) -> tuple[bool, int, int, int, int, int]:
    """Put what was pinned first, then by priority, prominence and place, then the newest."""
    return (
        not told.brief.pinned,
        -told.brief.priority,
        _PROMINENCES.index(told.placing.prominence),
        told.position,
        -told.day.toordinal(),
        told.brief_id,
    )


def _is_over(brief: Brief, at: datetime) -> bool:
    return brief.expires_at is not None and brief.expires_at <= at


def _load_told(connection: Connection, window: Window, *, edition_id: int | None) -> Sequence[Told]:
    """Load what the editions approved in a window told, the earliest first."""
    _e, mine = editions.c, edition_briefs.alias()
    rounded_up = exists().where(
        mine.c.brief_id == edition_briefs.c.brief_id, mine.c.series == "weekly"
    )
    if edition_id is not None:
        rounded_up = rounded_up.where(mine.c.edition_id != edition_id)
    released = connection.execute(
        select(_e.id, _e.date, _e.kind)
        .where(
            or_(_e.kind == "special", is_daily_row()),
            _e.state.in_(RELEASED),
            _e.dated_at >= window.start,
            _e.dated_at < window.cut_off,
        )
        .order_by(_e.dated_at, _e.id)
    ).all()
    told: list[Told] = []
    for row in released:
        content = load_content(connection, row.id)
        claims = edition_briefs.c
        rows = connection.execute(
            select(claims.brief_id, claims.story_id, claims.position)
            .where(claims.edition_id == row.id, claims.position.is_not(None), ~rounded_up)
            .order_by(claims.position)
        ).all()
        by = load_tellings(connection, (claim.brief_id for claim in rows), "weekly")
        told += (
            Told(
                brief_id=claim.brief_id,
                story_id=claim.story_id,
                brief=content.briefs[claim.position],
                placing=content.placing(claim.position),
                day=row.date,
                kind=row.kind,
                position=claim.position,
                had_in=by[claim.brief_id].had_in,
            )
            for claim in rows
        )
    return told
