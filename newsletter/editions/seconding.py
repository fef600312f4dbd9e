"""A send to many readers, asked for by one person and confirmed by another: the table `asks`.

An ask is of an edition as it stood, by the hash of its content, and a confirmation is of the
number of readers that was counted then. An edit makes the hash another, so that neither counts
any more; nor does a confirmation where more readers would get it than somebody said yes to.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from newsletter.editions.lifecycle import UNSENT
from newsletter.editions.shelf import read_edition
from newsletter.editions.verdicts import read_edition_hash
from newsletter.errors import RefusedError, Untimely
from newsletter.store.audit import Actor, note
from newsletter.store.tables import asks

_A = asks.c
_MORE_PERCENT = 1
"""By how much the readers may have grown since they were counted: people sign up all the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What somebody asked to be sent, and who else said yes to it."""

    id: int
    edition_id: int
    content_hash: str
    at_once: bool
    """Else by the schedule, at its time."""
    by_person: bool
    """Whether asking was a person's yes to what the edition tells; a program is nobody."""
    audience: int
    """Readers, as they were counted last."""
    segment: str
    overrides: Sequence[str]
    """Names of failed checks that the one who asked answers for."""
    asked_by: str
    asked_from: str
    asked_at: datetime
    confirmed_by: str | None
    confirmed_from: str | None
    confirmed_at: datetime | None


def is_covered(audience: int, confirmed: int) -> bool:
    """Tell whether a yes to sending to so many readers is one to sending to `audience`. Pure."""
    return audience <= confirmed + confirmed * _MORE_PERCENT // 100


def store_ask(
    connection: Connection,
    edition_id: int,
    *,
    at_once: bool,
    by_person: bool,
    audience: int,
    segment: str,
    overrides: Collection[str],
    by: Actor,
    now: datetime,
) -> None:
    """Keep that somebody asks to send an edition as it stands; asked again it is the same ask."""
    content_hash = read_edition_hash(connection, edition_id)
    wanted = sorted(overrides)
    for each in list_open(connection, edition_id):
        if (each.at_once, each.by_person, each.segment, each.overrides, each.asked_by) == (
            *(at_once, by_person, segment, wanted, by.who),
        ):
            return
    connection.execute(
        insert(asks).values(
            edition_id=edition_id,
            content_hash=content_hash,
            at_once=at_once,
            by_person=by_person,
            audience=audience,
            segment=segment,
            overrides=wanted,
            asked_by=by.who,
            asked_from=by.origin,
            asked_at=now,
        )
    )
    name = read_edition(connection, edition_id).name
    detail = f"for {audience:,} readers, as {content_hash}"
    note(connection, by, "edition.ask", f"edition {name}", now=now, detail=detail)


def list_open(connection: Connection, edition_id: int) -> tuple[Ask, ...]:
    """List what waits for another person's word about an edition as it stands."""
    return tuple(
        each for each in _list_of_content(connection, edition_id) if each.confirmed_at is None
    )


def confirm_ask(
    connection: Connection,
    ask_id: int,
    edition_id: int,
    *,
    seen: str,
    seen_audience: int,
    audience: int,
    by: Actor,
    now: datetime,
) -> Ask:
    """Keep that somebody else says yes to what they saw: a content and a number of readers.

    `audience` is how many there are now. Raises `Untimely` where either is another by now,
    and `RefusedError` for one's own ask, or one that nobody can confirm any more.
    """
    record = read_edition(connection, edition_id)
    found = next((e for e in list_open(connection, edition_id) if e.id == ask_id), None)
    if found is None or record.state not in UNSENT:
        raise RefusedError(
            f"nothing waits for a second person in the edition of {record.name} as it stands",
            mend="look at it again",
        )
    if found.asked_by == by.who:
        raise RefusedError("you asked for this yourself", mend="somebody else has to confirm it")
    if found.content_hash != seen or not is_covered(audience, seen_audience):
        raise Untimely(
            "the edition, or who would get it, is another by now", mend="look at it again"
        )
    changed = connection.execute(
        update(asks)
        .where(_A.id == ask_id, _A.confirmed_at.is_(None))
        .values(
            audience=audience,
            confirmed_by=by.who,
            confirmed_from=by.origin,
            confirmed_at=now,
        )
    )
    if changed.rowcount != 1:
        raise RefusedError("somebody else confirmed it meanwhile")
    detail = f"for {audience:,} readers, asked by {found.asked_by}, as {seen}"
    note(connection, by, "edition.confirm", f"edition {record.name}", now=now, detail=detail)
    return found


def find_confirmed(
    connection: Connection,
    edition_id: int,
    *,
    at_once: bool,
    audience: int,
    segment: str,
    overrides: Collection[str],
) -> Ask | None:
    """Find two persons' yes to sending an edition as it stands, to so many; the newest.

    One to sending at once also lets the schedule send it.
    """
    fitting = (
        each
        for each in _list_of_content(connection, edition_id, at_once=at_once)
        if each.confirmed_at is not None
        and each.segment == segment
        and set(overrides) <= set(each.overrides)
        and is_covered(audience, each.audience)
    )
    return next(fitting, None)


def _list_of_content(
    connection: Connection, edition_id: int, *, at_once: bool = False
) -> list[Ask]:
    """List the asks about an edition as it stands, the newest first; only those at once, or all."""
    as_it_stands = read_edition_hash(connection, edition_id)
    query = select(asks).where(_A.edition_id == edition_id, _A.content_hash == as_it_stands)
    rows = connection.execute(query.order_by(_A.id.desc())).mappings()
    return [Ask(**row) for row in rows if row["at_once"] or not at_once]
