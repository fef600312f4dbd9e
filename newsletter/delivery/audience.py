"""Whom an edition is for, and which of them, as conditions on the rows of readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, and_, case, exists, false, literal, or_

from newsletter.audience.reader import refusal
from newsletter.audience.rest import wants_mail
from newsletter.audience.segment import Segment
from newsletter.audience.segment_sql import build_list, mentions, says
from newsletter.delivery.lifecycle import State
from newsletter.editions.lifecycle import UNDER_WAY
from newsletter.editions.model import parse_edition_name
from newsletter.editions.shelf import find_edition
from newsletter.settings import KINDS
from newsletter.store.tables import OPEN_STATES, deliveries, subscribers, suppressions


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Whom an edition is for, of the readers who are active and want mail on its date.

    The kind of the edition comes first. The round-up goes to those who chose it, a further daily
    edition to those who chose that, a correction to those who were sent what was wrong, whatever
    they chose, and every other kind to those who did not choose the round-up alone.
    """

    is_for_all: bool = False
    """Whether a further daily edition goes to all who take the daily one, unless they said no."""
    only_had: Sequence[int] = ()
    """The ids of the editions that a correction is of."""
    repeats: Sequence[Sequence[str]] = ()
    """Where all that it tells was told before: for each piece of it the names of the editions that
    told it. Who was sent one of each does not get it, unless they were sent one of `owed_for`."""
    owed_for: Sequence[str] = ()
    """The names of editions that it corrects in passing."""
    segment: Segment | None = None
    """The part of the readers that alone gets it."""


EVERYBODY = Audience()


def is_mailed(connection: Connection, kind: str, day: date, audience: Audience) -> Any:
    """Give the condition that an edition of a kind and a date goes to a reader who is active.

    Without regard to the segment, whose ages count from a moment.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    if kind in KINDS:
        is_for = _is_for(kind, audience.only_had)
    else:
        is_for = _takes_further(kind, is_for_all=audience.is_for_all, is_sqlite=is_sqlite)
    return and_(
        ~is_suppressed(subscribers.c.email_key),
        is_for,
        ~_had_all(connection, audience),
        wants_mail(kind, day, is_sqlite=is_sqlite),
    )


def _had_all(connection: Connection, audience: Audience) -> Any:
    """Give the condition that an edition tells a reader nothing that they were not sent."""
    if not audience.repeats:
        return false()
    each = [or_(false(), *_find_had(connection, names).values()) for names in audience.repeats]
    return and_(*each, ~or_(false(), *_find_had(connection, audience.owed_for).values()))


def _takes_further(kind: str, *, is_for_all: bool, is_sqlite: bool) -> Any:
    """Give the condition that a reader takes a further daily edition.

    Who chose it gets it, also who else takes only the round-up.
    """
    is_said = mentions("editions")  # most said nothing: their choices are not parsed
    chose = and_(is_said, build_list("editions", kind, is_sqlite))
    if not is_for_all:
        return chose
    refused = and_(is_said, build_list("editions", refusal(kind), is_sqlite))
    return or_(chose, and_(~_chose_rhythm("weekly"), ~refused))


def _chose_rhythm(rhythm: str) -> Any:
    """Give the condition that a reader chose a rhythm.

    Choices are text with sorted keys, and what a reader wrote into them has its quotes escaped.
    """
    return says(f'"rhythm":"{rhythm}"')


def _is_for(kind: str, only_had: Sequence[int]) -> Any:
    """Give the condition that an edition of one of `KINDS` is for a reader."""
    if kind == "correction":
        return or_(false(), *map(_was_sent, only_had))
    if kind != "weekly":
        return ~_chose_rhythm("weekly")
    return or_(_chose_rhythm("weekly"), _chose_rhythm("both"))


def names_had(connection: Connection, names: Sequence[str]) -> Any:
    """Give the expression for the names, of these, of the editions that a reader was sent."""
    had: Any = literal("")
    for name, was_sent in _find_had(connection, names).items():
        had = had.concat(case((was_sent, f"{name} "), else_=""))
    return had


def _find_had(connection: Connection, names: Sequence[str]) -> dict[str, Any]:
    """Find for editions, by name, the condition that a reader was sent them, or is still to be.

    Who is in doubt counts among those: a correction too many is better than one too few. So does
    who waits, for their hour or for a relay: what comes twice cannot be taken back. An edition
    that is not there is left out.
    """
    found = {}
    for name in sorted({*names}):
        named = parse_edition_name(name)
        record = find_edition(connection, *named) if named else None
        if record is not None:
            comes = OPEN_STATES if record.state in UNDER_WAY else ()
            found[name] = _was_sent(record.id, (*_WAS_SENT, *comes))
    return found


def _was_sent(edition_id: int, states: Sequence[str] = ()) -> Any:
    copy = deliveries.alias()
    return exists().where(
        copy.c.edition_id == edition_id,
        copy.c.subscriber_id == subscribers.c.id,
        copy.c.state.in_(states or _WAS_SENT),
    )


def is_suppressed(email_key: Any) -> Any:
    """Give the condition that nothing is mailed to an address."""
    return exists().where(suppressions.c.email_key == email_key)


_WAS_SENT = (State.ACCEPTED.value, State.IN_DOUBT.value)
