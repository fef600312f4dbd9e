"""Where editions are kept: one row a date and kind, and the briefs that each has claimed.

Every function works within the caller's transaction. `edition_briefs` has each brief once in a
series (`Settings.series_of`), so that no brief is in two editions of the news. An
edition that is held, or cancelled before any reader could have got it, gives its briefs back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from newsletter.editions.content import edition_from_document, edition_to_document
from newsletter.editions.corrections import give_back_corrections
from newsletter.editions.lifecycle import MOVES, RELEASED, UNSENT, EditionState, move
from newsletter.editions.model import Edition, Kind, Window, name_edition
from newsletter.editions.promises import withdraw_promises
from newsletter.editions.released import REACHED, is_daily_row, is_released
from newsletter.editions.search import drop_edition
from newsletter.errors import IllegalMove, RefusedError, Untimely
from newsletter.settings import is_daily
from newsletter.store.happenings import tell_of_edition
from newsletter.store.tables import deliveries, edition_briefs, editions, stories

Step = Literal["ready", "approved", "sending", "paused", "sent", "cancelled"]
"""The states that an edition takes as it is; draft and held come with what they store."""


NOTHING_NEW = "nothing new"
"""Why an edition is cancelled that news may yet bring back."""
UNTAKEN = "no active reader takes it"
"""Why one is cancelled that no more than a reader may bring back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EditionRecord:
    """What is known of a stored edition, without its content."""

    id: int
    date: date
    kind: Kind
    state: EditionState
    reason: str
    """Why it is held or cancelled."""
    subject: str
    preheader: str
    window: Window
    dated_at: datetime | None
    not_after: datetime | None
    created_at: datetime
    sent_at: datetime | None
    has_compiled: bool
    send_at: datetime | None = None
    """Its own time, where somebody planned it: it is sent then, as it stands."""

    @property
    def name(self) -> str:
        """Its date, and its kind where that is not daily."""
        return name_edition(self.date, self.kind)

    @property
    def is_planned(self) -> bool:
        """Whether it waits for a time of its own."""
        return self.send_at is not None and self.state in UNSENT

    @property
    def options(self) -> str:
        """What names it to a command."""
        return f"--date {self.date}" + ("" if self.kind == "daily" else f" --kind {self.kind}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """An edition that readers may have, as a list of all of them names it."""

    id: int
    date: date
    kind: Kind
    dated_at: datetime
    """When it was approved."""
    subject: str
    lead: str
    """The title of its first brief; "" on a quiet day."""


_E = editions.c
_RECORD = (
    *(_E.id, _E.date, _E.kind, _E.state, _E.reason, _E.subject, _E.preheader),
    *(
        _E.window_start,
        _E.cut_off,
        _E.dated_at,
        _E.not_after,
        _E.created_at,
        _E.sent_at,
        _E.send_at,
    ),
    _E.compiled.is_not(None).label("has_compiled"),
)


def find_edition(connection: Connection, day: date, kind: Kind = "daily") -> EditionRecord | None:
    """Find the edition of a date."""
    statement = select(*_RECORD).where(_E.date == day, _E.kind == kind)
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else _record(row)


def read_edition(connection: Connection, edition_id: int) -> EditionRecord:
    """Read an edition's record; raises `RefusedError` where there is none."""
    statement = select(*_RECORD).where(_E.id == edition_id)
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise RefusedError(f"there is no edition {edition_id}")
    return _record(row)


def list_editions(
    connection: Connection, limit: int, *, with_planned: bool = True
) -> tuple[EditionRecord, ...]:
    """List the newest editions, the latest date first; also those that wait for their time."""
    statement = select(*_RECORD).order_by(_E.date.desc(), _E.id.desc()).limit(limit)
    if not with_planned:
        statement = statement.where(~_is_planned())
    return tuple(map(_record, connection.execute(statement).mappings()))


def find_coming(connection: Connection, day: date, brief_id: int) -> EditionRecord | None:
    """Find the daily edition of a date that changes with a brief: what has it, or the first.

    One that is approved changes no more.
    """
    claims = edition_briefs.c
    has_it = exists().where(claims.edition_id == _E.id, claims.brief_id == brief_id)
    statement = (
        select(*_RECORD)
        .where(_E.date == day, is_daily_row(), _E.state.in_(sorted(UNSENT)))
        .order_by(case((has_it, 0), else_=1), _E.id)
        .limit(1)
    )
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else _record(row)


def list_editions_of_day(connection: Connection, day: date) -> tuple[EditionRecord, ...]:
    """List the editions of a date, of whatever kind, in the order in which they were begun."""
    statement = select(*_RECORD).where(_E.date == day).order_by(_E.id)
    return tuple(map(_record, connection.execute(statement).mappings()))


def list_planned(connection: Connection) -> tuple[EditionRecord, ...]:
    """List the editions that wait for a time of their own, the next one first."""
    statement = select(*_RECORD).where(_is_planned()).order_by(_E.send_at, _E.id)
    return tuple(map(_record, connection.execute(statement).mappings()))


def _is_planned() -> ColumnElement[bool]:
    return and_(_E.send_at.is_not(None), _E.state.in_(sorted(UNSENT)))


def list_released(connection: Connection) -> tuple[Released, ...]:
    """List the editions that readers may have, the latest first.

    Those are the approved ones, and of the cancelled ones those that reached anybody.
    """
    rows = connection.execute(
        select(_E.id, _E.date, _E.kind, _E.dated_at, _E.subject, _E.content)
        .where(is_released())
        .order_by(_E.date.desc(), _E.dated_at.desc(), _E.id.desc())
        .execution_options(yield_per=100)
    )
    return tuple(
        Released(
            id=row.id,
            date=row.date,
            kind=row.kind,
            dated_at=row.dated_at,
            subject=row.subject,
            lead=next((brief.get("title", "") for brief in row.content.get("briefs", ())), ""),
        )
        for row in rows
    )


def list_topics(connection: Connection, editions_back: int) -> tuple[str, ...]:
    """List the topics of the latest editions that readers may have, the most frequent first."""
    contents = connection.scalars(
        select(_E.content)
        .where(_E.state.in_(RELEASED), _E.content.is_not(None))
        .order_by(_E.date.desc(), _E.id.desc())
        .limit(editions_back)
    )
    counted = Counter(
        topic
        for content in contents
        for brief in content.get("briefs", ())
        for topic in brief.get("topics", ())
    )
    return tuple(topic for topic, _ in sorted(counted.items(), key=lambda p: (-p[1], p[0])))


def list_story_ids(connection: Connection, edition_id: int) -> tuple[int, ...]:
    """List the stories of an edition's briefs in their order; 0 for one of no story."""
    claims = edition_briefs.c
    rows = connection.scalars(
        select(claims.story_id)
        .where(claims.edition_id == edition_id, claims.position.is_not(None))
        .order_by(claims.position)
    )
    return tuple(story_id or 0 for story_id in rows)


def list_told(connection: Connection, edition_id: int) -> tuple[tuple[int, str], ...]:
    """List the stories that an edition told, in its order, each with its title."""
    claims = edition_briefs.c
    rows = connection.execute(
        select(stories.c.id, stories.c.title)
        .join_from(edition_briefs, stories, stories.c.id == claims.story_id)
        .where(claims.edition_id == edition_id, claims.position.is_not(None))
        .order_by(claims.position)
    )
    return tuple((row.id, row.title) for row in rows)


def name_stories(connection: Connection, story_ids: Sequence[int]) -> dict[int, str]:
    """Give the titles of stories; what is not there any more is left out."""
    rows = connection.execute(
        select(stories.c.id, stories.c.title).where(stories.c.id.in_(story_ids))
    )
    return {row.id: row.title for row in rows}


def find_latest_released(connection: Connection) -> EditionRecord | None:
    """Find the latest daily edition that readers may have."""
    row = (
        connection.execute(
            select(*_RECORD)
            .where(_E.state.in_(RELEASED), _E.kind == "daily")
            .order_by(_E.date.desc())
            .limit(1)
        )
        .mappings()
        .one_or_none()
    )
    return None if row is None else _record(row)


def list_withdrawn(connection: Connection) -> tuple[tuple[date, Kind], ...]:
    """List the editions that were approved, and cancelled before they reached anybody."""
    reached = exists().where(deliveries.c.edition_id == _E.id, deliveries.c.state.in_(REACHED))
    statement = select(_E.date, _E.kind).where(
        _E.state == "cancelled", _E.dated_at.is_not(None), ~reached
    )
    rows = connection.execute(statement.order_by(_E.date, _E.kind))
    return tuple((row.date, row.kind) for row in rows)


def previous_cut_off(connection: Connection, before: date, kind: Kind = "daily") -> datetime | None:
    """Read where the last edition before a date cut off; held and cancelled ones count not.

    One that nobody took does: nobody waits for its news.
    """
    counts = or_(
        _E.state.not_in(("held", "cancelled")),
        and_(_E.state == "cancelled", _E.reason == UNTAKEN),
    )
    return connection.scalar(
        select(_E.cut_off)
        .where(_E.date < before, _E.kind == kind, counts)
        .order_by(_E.date.desc())
        .limit(1)
    )


def store_edition(
    connection: Connection,
    edition: Edition,
    *,
    state: EditionState = "draft",
    brief_ids: Sequence[int],
    also_ids: Sequence[Sequence[int]] = (),
    story_ids: Sequence[int | None] = (),
    left_out_ids: Iterable[int] = (),
    series: str = "news",
    now: datetime,
) -> EditionRecord:
    """Store an edition and claim its briefs, in the place of what its date had before.

    `also_ids` are the briefs that each brief tells as well, `story_ids` the stories that go on;
    a new one is opened for every other brief. `left_out_ids` are those that it could have had:
    no later edition of its `series` may. What was compiled is dropped. Raises `RefusedError` where
    readers may have that edition.
    """
    if len(brief_ids) != len(edition.briefs):
        raise ValueError(f"{len(edition.briefs)} briefs but {len(brief_ids)} ids")
    values = {
        "reason": "",
        "window_start": edition.window.start,
        "cut_off": edition.window.cut_off,
        "subject": edition.subject,
        "preheader": edition.preheader,
        "content": edition_to_document(edition),
    }
    record = _put(connection, edition.date, edition.kind, state, values, now)
    claims = []
    for position, brief_id in enumerate(brief_ids):
        story_id = story_ids[position] if story_ids else None
        title = edition.briefs[position].title
        if series != "weekly":
            story_id = _follow_story(connection, story_id, title, now)
        claim = {"edition_id": record.id, "series": series, "story_id": story_id}
        claims.append({**claim, "brief_id": brief_id, "position": position})
        also = also_ids[position] if also_ids else ()
        claims += ({**claim, "brief_id": told, "position": None} for told in also)
    unplaced = {"edition_id": record.id, "series": series, "story_id": None, "position": None}
    claims += ({**unplaced, "brief_id": left_out} for left_out in left_out_ids)
    if claims:
        connection.execute(insert(edition_briefs), claims)
    return record


def _follow_story(connection: Connection, story_id: int | None, title: str, now: datetime) -> int:
    """Note that a story goes on, or open one; return its number."""
    if story_id is None:
        opened = insert(stories).values(title=title, opened_at=now, changed_at=now)
        return int(connection.execute(opened.returning(stories.c.id)).scalar_one())
    connection.execute(
        update(stories).where(stories.c.id == story_id).values(title=title, changed_at=now)
    )
    return story_id


def hold_edition(
    connection: Connection,
    day: date,
    reason: str,
    window: Window,
    now: datetime,
    kind: Kind = "daily",
) -> EditionRecord:
    """Hold the edition of a date for a reason; what was composed of it is dropped."""
    values = {
        "reason": reason,
        "window_start": window.start,
        "cut_off": window.cut_off,
        "subject": "",
        "preheader": "",
        "content": None,
    }
    before = find_edition(connection, day, kind)
    held = _put(connection, day, kind, "held", values, now)
    if before is None or (before.state, before.reason) != ("held", reason):
        tell_of_edition(connection, held.id, "held", now=now, reason=reason)
    return held


def call_off_edition(
    connection: Connection, day: date, kind: Kind, window: Window, now: datetime
) -> EditionRecord:
    """Cancel the edition of a date that nobody takes, made or not; what was made of it goes."""
    values = {
        "reason": UNTAKEN,
        "window_start": window.start,
        "cut_off": window.cut_off,
        "subject": "",
        "preheader": "",
        "content": None,
    }
    return _put(connection, day, kind, "cancelled", values, now)


def list_claims(connection: Connection, edition_id: int) -> tuple[int, ...]:
    """List the briefs that an edition has claimed."""
    claims = edition_briefs.c
    statement = select(claims.brief_id).where(claims.edition_id == edition_id)
    return tuple(connection.scalars(statement.order_by(claims.position, claims.brief_id)))


def first_start(connection: Connection, before: date, kind: Kind = "daily") -> datetime | None:
    """Read since when editions before a date were attempted, whatever became of them."""
    start: datetime | None = connection.scalar(
        select(func.min(_E.window_start)).where(_E.date < before, _E.kind == kind)
    )
    return start


def load_content(connection: Connection, edition_id: int) -> Edition:
    """Load an edition as it was stored; raises `RefusedError` where it has no content."""
    record = read_edition(connection, edition_id)
    document = connection.scalar(select(_E.content).where(_E.id == edition_id))
    if document is None:
        raise RefusedError(
            f"the edition of {record.name} has no content: it is {record.state}"
            + (f" ({record.reason})" if record.reason else ""),
            mend="gather and compose it again",
        )
    return edition_from_document(document)


def find_released_content(connection: Connection, edition_id: int) -> Edition | None:
    """Load an edition that readers may have; None where there is none of that number."""
    document = connection.scalar(select(_E.content).where(_E.id == edition_id, is_released()))
    return None if document is None else edition_from_document(document)


def store_compiled(connection: Connection, edition_id: int, data: bytes) -> EditionRecord:
    """Store what was rendered. Raises `Untimely` where it was approved meanwhile."""
    stored = connection.execute(
        update(editions)
        .where(_E.id == edition_id, _E.state.in_(sorted(UNSENT)))
        .values(compiled=data)
    )
    record = read_edition(connection, edition_id)
    if stored.rowcount != 1:
        raise Untimely(
            f"the edition of {record.name} was approved meanwhile by another process",
            mend="the same command shows how it stands",
        )
    return record


def load_compiled(connection: Connection, edition_id: int) -> bytes:
    """Load what was rendered; raises `RefusedError` where nothing was."""
    record = read_edition(connection, edition_id)
    data: bytes | None = connection.scalar(select(_E.compiled).where(_E.id == edition_id))
    if data is None:
        raise RefusedError(f"the edition of {record.name} has not been rendered")
    return data


def store_letterhead(
    connection: Connection,
    edition_id: int,
    letterhead: Mapping[str, Any],
    *,
    dated_at: datetime,
    not_after: datetime,
) -> None:
    """Store what else every message of an approved edition is made of, and its two times."""
    connection.execute(
        update(editions)
        .where(_E.id == edition_id)
        .values(letterhead=dict(letterhead), dated_at=dated_at, not_after=not_after)
    )


def load_letterhead(connection: Connection, edition_id: int) -> dict[str, Any]:
    """Load it; raises `RefusedError` where the edition was never approved."""
    found: dict[str, Any] | None = connection.scalar(
        select(_E.letterhead).where(_E.id == edition_id)
    )
    if found is None:
        raise RefusedError(f"the edition {edition_id} was never approved")
    return found


def change_state(
    connection: Connection, edition_id: int, to: Step, *, reason: str = "", now: datetime
) -> EditionRecord:
    """Move an edition on in one statement, so that of two processes one is refused.

    Raises `IllegalMove`, and then changes nothing.
    """
    allowed = [state for state, onward in MOVES.items() if to in onward]
    values: dict[str, Any] = {"state": to, "reason": reason}
    if to == "sent":
        values["sent_at"] = now
    moved = connection.execute(
        update(editions).where(_E.id == edition_id, _E.state.in_(allowed)).values(values)
    )
    record = read_edition(connection, edition_id)
    if moved.rowcount != 1:
        raise IllegalMove(f"the edition of {record.name}", record.state, to)
    tell_of_edition(connection, edition_id, to, now=now, reason=reason)
    if to == "cancelled" and not _any_delivery(connection, edition_id, REACHED):
        withdraw_promises(connection, edition_id)
        give_back_corrections(connection, edition_id)
        _release_briefs(connection, edition_id)
        drop_edition(connection, edition_id)
    return record


def retire_unapproved(
    connection: Connection,
    before: date,
    *,
    now: datetime,
    max_lateness: timedelta,
    kind: Kind = "daily",
) -> tuple[EditionRecord, ...]:
    """Cancel earlier editions that nobody approved, so that their briefs are not lost.

    For a daily edition those are the daily ones of every kind, and the special ones. One that
    somebody planned stands until it is too late for it, by `max_lateness`.
    """
    is_stale = or_(_E.kind == "special", is_daily_row()) if is_daily(kind) else _E.kind == kind
    is_to_come = and_(_is_planned(), _E.send_at >= now - max_lateness)
    stale = connection.scalars(
        select(_E.id)
        .where(_E.date < before, is_stale, _E.state.in_(sorted(UNSENT)), ~is_to_come)
        .order_by(_E.date, _E.id)
    ).all()
    reason = f"it was not approved before the edition of {name_edition(before, kind)} was composed"
    return tuple(change_state(connection, i, "cancelled", reason=reason, now=now) for i in stale)


def reopen_dailies(connection: Connection) -> None:
    """Have daily editions that nobody approved give their briefs back: they are to be made again.

    What they were is not to be sent any more, so what was compiled of them is dropped. One that
    somebody planned stands.
    """
    unapproved = connection.scalars(
        select(_E.id).where(is_daily_row(), _E.state.in_(sorted(UNSENT)), ~_is_planned())
    ).all()
    for edition_id in unapproved:
        _release_briefs(connection, edition_id)
        again = {"state": "draft", "compiled": None}
        connection.execute(update(editions).where(_E.id == edition_id).values(again))


def _put(
    connection: Connection,
    day: date,
    kind: Kind,
    state: EditionState,
    values: Mapping[str, Any],
    now: datetime,
) -> EditionRecord:
    """Insert the row of a date, or make it anew where no reader can have it."""
    statement = select(*_RECORD).where(_E.date == day, _E.kind == kind).with_for_update()
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        made = {"date": day, "kind": kind, "state": state, "created_at": now, **values}
        connection.execute(insert(editions).values(made))
    else:
        _check_replaceable(connection, found := _record(row))
        if found.is_planned and state != "held":
            raise RefusedError(
                f"the edition of {found.name} is planned, and stands as it is",
                mend=f"`newsletter cancel {found.name}` first, to make it anew",
            )
        if found.state != state:
            move(found.state, state, name=f"the edition of {found.name}")
        _release_briefs(connection, found.id)
        fresh = {"state": state, "compiled": None, "dated_at": None, "not_after": None, **values}
        fresh |= {"send_at": None, "send_how": None}
        connection.execute(update(editions).where(_E.id == found.id).values(fresh))
    return _record(connection.execute(statement).mappings().one())


def _check_replaceable(connection: Connection, record: EditionRecord) -> None:
    if record.state in RELEASED:
        raise RefusedError(f"the edition of {record.name} is {record.state}: it cannot be replaced")
    if record.state == "cancelled" and _any_delivery(connection, record.id):
        raise RefusedError(
            f"the edition of {record.name} was cancelled when readers were already enrolled for it",
            mend="compose the edition of another date",
        )


def has_left(connection: Connection, edition_id: int) -> bool:
    """Tell whether a reader may have an edition, or be about to get it."""
    return _any_delivery(connection, edition_id, REACHED)


def _any_delivery(
    connection: Connection, edition_id: int, states: Sequence[str] | None = None
) -> bool:
    found = exists().where(deliveries.c.edition_id == edition_id)
    if states is not None:
        found = found.where(deliveries.c.state.in_(states))
    return bool(connection.scalar(select(found)))


def _release_briefs(connection: Connection, edition_id: int) -> None:
    """Give the briefs of an edition back, and forget the stories that only it had."""
    claims = edition_briefs.c
    told = connection.scalars(select(claims.story_id).where(claims.edition_id == edition_id)).all()
    connection.execute(delete(edition_briefs).where(claims.edition_id == edition_id))
    connection.execute(
        delete(stories).where(
            stories.c.id.in_({story for story in told if story is not None}),
            ~exists().where(claims.story_id == stories.c.id),
        )
    )


def _record(row: RowMapping) -> EditionRecord:
    values = dict(row)
    window = Window(start=values.pop("window_start"), cut_off=values.pop("cut_off"))
    return EditionRecord(window=window, **values)
