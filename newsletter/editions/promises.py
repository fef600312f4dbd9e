"""What editions told readers to watch next, kept as promises, and what became of each.

A promise is made when an edition is approved: one for each of its briefs that says what to watch.
It is open until one of three things becomes of it (`model.Outcome`): it moved, since a later
edition goes on with the story; it happened, which only an operator can say; or it expired.
What moved or happened is told once, in the edition that is approved next.

A brief that several series tell (`editions.tellings`) is a promise of each, kept and told by each
to its own readers; who was sent what one told of it does not get that again from another.

Every function works within the caller's transaction.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal, cast

from sqlalchemy import Connection, Row, Select, and_, delete, insert, select, update

from newsletter.briefs.model import Brief
from newsletter.editions.model import Edition, Kind, Outcome, Watched, name_edition
from newsletter.errors import RefusedError
from newsletter.settings import KINDS
from newsletter.store.audit import Actor, note
from newsletter.store.tables import edition_briefs, editions, promises

State = Literal["open", "happened", "moved", "expired"]

_P = promises.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What an edition told readers to watch, and how it stands."""

    id: int
    text: str
    title: str
    """The title of the brief that said it."""
    day: date
    kind: Kind
    number: int
    """The number of that brief in the edition of `day`."""
    topics: tuple[str, ...]
    state: State
    expires_on: date
    """The last day on which it may still come to something."""
    news: str
    settled_by: str
    """Who, or which brief; "" while it is open."""
    changed_at: datetime
    is_told: bool
    """Whether an edition told readers what became of it."""


def find_watched(
    connection: Connection,
    briefs: Sequence[Brief],
    story_ids: Sequence[int | None],
    *,
    day: date,
    kind: Kind = "daily",
    series: str = "news",
    most_expired: int = 0,
) -> tuple[Watched, ...]:
    """Find what the edition of `day` has to tell of earlier promises, in the order of its briefs.

    `story_ids` are the stories with which its briefs go on. Of those that expired since the last
    edition the latest `most_expired` are told. What happened or expired is told where it was
    promised: a further daily edition tells of its own promises, and no other edition does. What
    moved is told by editions of the `series` that promised it.
    """
    told_by = {story: n for n, story in enumerate(story_ids) if story is not None}
    followed = and_(edition_briefs.c.story_id.in_(told_by), edition_briefs.c.series == series)
    still_open = and_(_P.state == "open", _P.expires_on >= day)
    moved = [
        (told_by[row.story_id], row)
        for row in connection.execute(_all().where(still_open, followed))
    ]
    moved.sort(key=lambda each: (each[0], each[1].id))
    is_own = editions.c.kind.in_(KINDS) if kind in KINDS else editions.c.kind == kind
    happened = connection.execute(
        _all().where(_P.state == "happened", _P.shown_in.is_(None), is_own).order_by(_P.id)
    ).all()
    lapsed = _all().where(_P.state == "open", _P.expires_on < day, is_own)
    expired = connection.execute(
        lapsed.order_by(_P.expires_on.desc(), _P.id.desc()).limit(most_expired)
    ).all()
    found = (
        *(
            (row.brief_id, _watched(row, "moved", news=briefs[n].title, number=n + 1))
            for n, row in moved
        ),
        *(
            (
                row.brief_id,
                _watched(row, "happened", news=row.news, number=told_by.get(row.story_id, -1) + 1),
            )
            for row in happened
        ),
        *((row.brief_id, _watched(row, "expired")) for row in expired),
    )
    had = _load_had(connection, {brief_id for brief_id, _ in found}, series)
    return tuple(
        replace(watched, had_in=had.get((brief_id, watched.outcome), ()))
        for brief_id, watched in found
    )


def _load_had(
    connection: Connection, brief_ids: Iterable[int], series: str
) -> dict[tuple[int, str], tuple[str, ...]]:
    """Load which editions of other series told what became of the same briefs' promises."""
    claims, teller = edition_briefs.c, editions.alias()
    rows = connection.execute(
        select(_P.brief_id, _P.state, teller.c.date, teller.c.kind)
        .join_from(promises, teller, teller.c.id == _P.shown_in)
        .join(
            edition_briefs,
            and_(claims.brief_id == _P.brief_id, claims.edition_id == _P.edition_id),
        )
        .where(_P.brief_id.in_(sorted(brief_ids)), claims.series != series)
        .order_by(_P.id)
    )
    had: dict[tuple[int, str], tuple[str, ...]] = {}
    for row in rows:
        key = (row.brief_id, row.state)
        had[key] = (*had.get(key, ()), name_edition(row.date, row.kind))
    return had


def make_promises(
    connection: Connection,
    edition_id: int,
    edition: Edition,
    *,
    label: str,
    lasting: timedelta,
    now: datetime,
) -> None:
    """Keep what an edition, just approved, tells readers to watch; `label` marks those points."""
    claims = edition_briefs.c
    rows = connection.execute(
        select(claims.position, claims.brief_id).where(
            claims.edition_id == edition_id, claims.position.is_not(None)
        )
    )
    ids = {row.position: row.brief_id for row in rows}
    made = [
        {
            "edition_id": edition_id,
            "brief_id": ids[position],
            "text": text,
            "expires_on": edition.date + lasting,
            "state": "open",
            "changed_at": now,
        }
        for position, brief in enumerate(edition.briefs)
        if (text := find_watch_text(brief, label))
    ]
    if made:
        connection.execute(insert(promises), made)


def note_told(connection: Connection, edition_id: int, edition: Edition, now: datetime) -> None:
    """Note what an edition, just approved, tells of earlier promises, and what expired by then."""
    for watched in edition.watching:
        values: dict[str, Any] = {"shown_in": edition_id}
        if watched.outcome != "happened":
            values |= {"state": watched.outcome, "news": watched.news, "changed_at": now}
        if watched.outcome == "moved":
            values["settled_by"] = f"the edition of {edition.date}"
        connection.execute(
            update(promises)
            .where(_P.id == watched.promise_id, _P.shown_in.is_(None))
            .values(values)
        )
    connection.execute(
        update(promises)
        .where(_P.state == "open", _P.expires_on < edition.date)
        .values(state="expired", changed_at=now)
    )


def withdraw_promises(connection: Connection, edition_id: int) -> None:
    """Undo what the approval of an edition did that nobody had: as if it had never been."""
    connection.execute(delete(promises).where(_P.edition_id == edition_id))
    told = _P.shown_in == edition_id
    reopened = {"state": "open", "news": "", "settled_by": "", "shown_in": None}
    connection.execute(
        update(promises).where(told, _P.state.in_(("moved", "expired"))).values(reopened)
    )
    connection.execute(update(promises).where(told).values(shown_in=None))


def settle_promise(
    connection: Connection,
    promise_id: int,
    outcome: Literal["happened", "expired"],
    *,
    news: str,
    by: Actor,
    now: datetime,
) -> Promise:
    """Settle a promise by an operator's word, and with it those of the same brief.

    Raises `RefusedError` for one that is settled.
    """
    of_the_brief = select(_P.brief_id).where(_P.id == promise_id, _P.state == "open")
    settled = connection.execute(
        update(promises)
        .where(_P.brief_id.in_(of_the_brief), _P.state == "open")
        .values(state=outcome, news=news, settled_by=by.who, changed_at=now)
    )
    row = connection.execute(_all().where(_P.id == promise_id)).one_or_none()
    if row is None:
        raise RefusedError(
            f"there is no promise {promise_id}", mend="`newsletter promises --all` lists them"
        )
    promise = _promise(row)
    if not settled.rowcount:
        raise RefusedError(
            f"promise {promise_id} is settled already: {promise.state}",
            mend="only an open one can be settled",
        )
    note(connection, by, "promise.settle", f"promise {promise_id}", now=now, detail=outcome)
    return promise


def list_promises(
    connection: Connection, today: date, *, with_settled: bool = False
) -> tuple[Promise, ...]:
    """List the promises that are open `today`, or all of them, the one that ends first first.

    One that several series made is listed once, as the first of them made it.
    """
    found = _all().order_by(_P.expires_on, _P.id)
    if not with_settled:
        found = found.where(_P.state == "open", _P.expires_on >= today)
    first: dict[int, Row[Any]] = {}
    for row in connection.execute(found):
        first.setdefault(row.brief_id, row)
    return tuple(_promise(row, today) for row in first.values())


def find_watch_text(brief: Brief, label: str) -> str:
    """Give what a brief says to watch; "" where it says nothing."""
    wanted = _fold(label)
    return next((p.text for p in brief.quick_take if wanted and _fold(p.label) == wanted), "")


def _all() -> Select[Any]:
    """Give every promise, with the edition that made it and the story it is about."""
    claims = edition_briefs.c
    return select(
        promises,
        editions.c.date,
        editions.c.kind,
        editions.c.content,
        claims.position,
        claims.story_id,
    ).select_from(
        promises.join(editions, editions.c.id == _P.edition_id).join(
            edition_briefs,
            and_(
                claims.brief_id == _P.brief_id,
                claims.edition_id == _P.edition_id,
            ),
        )
    )


def _watched(row: Row[Any], outcome: Outcome, *, news: str = "", number: int = 0) -> Watched:
    promise = _promise(row)
    return Watched(
        text=promise.text,
        title=promise.title,
        day=promise.day,
        kind=promise.kind,
        said_number=promise.number,
        outcome=outcome,
        news=news,
        number=number,
        topics=promise.topics,
        promise_id=promise.id,
    )


def _promise(row: Row[Any], today: date | None = None) -> Promise:
    brief: Mapping[str, Any] = row.content["briefs"][row.position]
    is_over = today is not None and row.state == "open" and row.expires_on < today
    return Promise(
        id=row.id,
        text=row.text,
        title=brief["title"],
        day=row.date,
        kind=row.kind,
        number=row.position + 1,
        topics=tuple(brief.get("topics", ())),
        state="expired" if is_over else cast("State", row.state),
        expires_on=row.expires_on,
        news=row.news,
        settled_by=row.settled_by,
        changed_at=row.changed_at,
        is_told=row.shown_in is not None,
    )


def _fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
