"""What was found wrong in an edition, how bad it is, and who is told of it.

    minor    on the pages of the wrong edition
    normal   and at the top of the next edition of its kind, for those who were sent the wrong one
    severe   and in a mail of its own, at once, to exactly those

No severity changes what was sent: a reader's copy stays what it was. A normal correction waits
until a daily edition that carries it is approved, one of the wrong one's kind, which has its
readers; where that is cancelled before anybody had it, it waits again.

Every function works within the caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, exists, insert, or_, select, update

from newsletter.editions.headlines import format_correction
from newsletter.editions.lifecycle import RELEASED
from newsletter.editions.model import Correction, Edition, Kind, Window, name_edition
from newsletter.editions.search import index_edition
from newsletter.errors import RefusedError, Untimely
from newsletter.settings import Publication, Vocabulary, is_daily
from newsletter.store.audit import Actor, note
from newsletter.store.tables import (
    OPEN_STATES,
    corrections,
    deliveries,
    edition_briefs,
    editions,
)

Severity = Literal["minor", "normal", "severe"]

_C, _E = corrections.c, editions.c
_carrier = editions.alias("carrier")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A correction as somebody made it."""

    id: int
    edition_id: int
    """The edition that was wrong."""
    day: date
    kind: Kind
    number: int
    """The number there of the brief that was wrong; 0 for none of them."""
    title: str
    """The title of that brief."""
    severity: Severity
    text: str
    made_at: datetime
    made_by: str
    carried_by: int | None
    """The edition that tells readers of it; None while it waits, and for a minor one."""
    carried_in: str
    """The name of that edition; "" for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """What is to be corrected: an edition that readers have, or one brief of it."""

    edition_id: int
    day: date
    kind: Kind
    state: str
    number: int
    title: str
    brief_id: int | None

    @property
    def name(self) -> str:
        """The edition's name."""
        return name_edition(self.day, self.kind)


def find_wrong(connection: Connection, day: date, kind: Kind, number: int) -> Wrong:
    """Find what a correction is about: brief `number` of an edition, 0 for the edition as such.

    Raises `RefusedError` where no reader has that edition, or it has no such brief.
    """
    name = name_edition(day, kind)
    row = connection.execute(
        select(_E.id, _E.state, _E.content).where(_E.date == day, _E.kind == kind)
    ).one_or_none()
    if row is None or not connection.scalar(select(_is_out(row.id))):
        raise RefusedError(
            f"no reader has an edition of {name}",
            mend="`newsletter status` lists those there are; one that is not sent yet is composed "
            "anew from its corrected source",
        )
    briefs = row.content["briefs"]
    if not 0 <= number <= len(briefs):
        raise RefusedError(
            f"the edition of {name} has no brief {number}",
            mend=f"its briefs are 1 to {len(briefs)}; `newsletter preview` shows them in order",
        )
    brief_id = connection.scalar(
        select(edition_briefs.c.brief_id).where(
            edition_briefs.c.edition_id == row.id, edition_briefs.c.position == number - 1
        )
    )
    return Wrong(
        edition_id=row.id,
        day=day,
        kind=kind,
        state=row.state,
        number=number,
        title=briefs[number - 1]["title"] if number else "",
        brief_id=brief_id,
    )


def check_all_sent(connection: Connection, wrong: Wrong) -> None:
    """Refuse to correct an edition by a mail of its own while readers are still to be sent it."""
    waiting = exists().where(
        deliveries.c.edition_id == wrong.edition_id, deliveries.c.state.in_(OPEN_STATES)
    )
    if connection.scalar(select(waiting)):
        raise RefusedError(
            f"the edition of {wrong.name} is {wrong.state}: more readers are to be sent it",
            mend=f"`newsletter cancel {wrong.name}` keeps it from them; then correct it",
        )


def store_correction(
    connection: Connection,
    wrong: Wrong,
    severity: Severity,
    text: str,
    *,
    by: Actor,
    now: datetime,
    carried_by: int | None = None,
) -> int:
    """Store a correction, which can be found from then on; return its number."""
    values = {
        "edition_id": wrong.edition_id,
        "brief_id": wrong.brief_id,
        "severity": severity,
        "text": text,
        "made_at": now,
        "made_by": by.who,
        "carried_by": carried_by,
    }
    stored = insert(corrections).values(values).returning(_C.id)
    number = int(connection.execute(stored).scalar_one())
    index_edition(connection, wrong.edition_id)
    note(
        connection,
        by,
        "edition.correct",
        f"edition {wrong.name}",
        now=now,
        detail=f"correction {number}, {severity}",
        after={"brief": wrong.brief_id, "text": text},
    )
    return number


def list_corrections(connection: Connection, edition_id: int | None = None) -> tuple[Made, ...]:
    """List the corrections of an edition, or of all, the latest first."""
    found = _all().order_by(_C.id.desc())
    if edition_id is not None:
        found = found.where(_C.edition_id == edition_id)
    return tuple(map(_made, connection.execute(found)))


def list_owed(connection: Connection, kind: Kind) -> tuple[Correction, ...]:
    """List the corrections that wait for the next edition of a kind, the earliest first.

    Only daily editions carry any.
    """
    if not is_daily(kind):
        return ()
    waiting = _all().where(_C.severity == "normal", _C.carried_by.is_(None), _E.kind == kind)
    return tuple(
        Correction(
            text=each.text,
            day=each.day,
            is_owed=True,
            kind=each.kind,
            number=each.number,
            title=each.title,
            correction_id=each.id,
        )
        for each in map(_made, connection.execute(waiting.order_by(_C.id)))
    )


def is_missing_owed(connection: Connection, edition: Edition) -> bool:
    """Tell whether a correction was made since a daily edition was composed, and is owed in it."""
    has = {correction.correction_id for correction in edition.corrections}
    owed = {correction.correction_id for correction in list_owed(connection, edition.kind)}
    return not owed <= has


def note_carried(
    connection: Connection, edition_id: int, edition: Edition, *, by: Actor, now: datetime
) -> None:
    """Note which corrections an edition, just approved, carries; store those of its own mail.

    Raises `Untimely` where another edition has carried one of them meanwhile: readers would
    be told twice.
    """
    if edition.kind == "correction":
        for each in edition.corrections:
            assert each.day is not None, "a correction's own mail names what was wrong"
            wrong = find_wrong(connection, each.day, each.kind, each.number)
            check_all_sent(connection, wrong)
            store_correction(
                connection, wrong, "severe", each.text, by=by, now=now, carried_by=edition_id
            )
        return
    carried = [each.correction_id for each in edition.corrections if each.correction_id]
    if not carried:
        return
    marked = connection.execute(
        update(corrections)
        .where(_C.id.in_(carried), _C.carried_by.is_(None))
        .values(carried_by=edition_id)
    )
    if marked.rowcount != len(carried):
        raise Untimely(
            f"the edition of {edition.date} has a correction that another one carried meanwhile",
            mend="make it again, which leaves that out, and look at it before you send it",
        )


def give_back_corrections(connection: Connection, edition_id: int) -> None:
    """Let the corrections wait again that an edition carried and nobody had."""
    connection.execute(
        update(corrections).where(_C.carried_by == edition_id).values(carried_by=None)
    )


def build_correction(
    wrong: Wrong,
    text: str,
    *,
    day: date,
    now: datetime,
    publication: Publication,
    vocabulary: Vocabulary,
) -> Edition:
    """Build the edition of `day` that is nothing but a correction, for who had what was wrong."""
    subject, preheader = format_correction(
        text,
        wrong.title,
        label=vocabulary.correction_label,
        publication=publication,
        day=wrong.day,
    )
    correction = Correction(
        text=text, day=wrong.day, kind=wrong.kind, number=wrong.number, title=wrong.title
    )
    return Edition(
        date=day,
        kind="correction",
        window=Window(start=now, cut_off=now),
        subject=subject,
        preheader=preheader,
        briefs=(),
        corrections=(correction,),
    )


def list_corrected(connection: Connection, edition: Edition) -> tuple[int, ...]:
    """List the editions that a correction's own mail corrects: who had them gets it."""
    if edition.kind != "correction":
        return ()
    named = {(each.day, each.kind) for each in edition.corrections}
    found = [
        connection.scalar(select(_E.id).where(_E.date == day, _E.kind == kind))
        for day, kind in sorted(named, key=str)
    ]
    return tuple(edition_id for edition_id in found if edition_id is not None)


def _is_out(edition_id: int) -> Any:
    """Give the condition that readers may have an edition."""
    reached = exists().where(
        deliveries.c.edition_id == edition_id,
        deliveries.c.state.in_(("leased", "sending", "accepted", "in_doubt", "bounced")),
    )
    released = exists().where(_E.id == edition_id, _E.state.in_(RELEASED))
    return or_(released, reached)


def _all() -> Select[Any]:
    claims = edition_briefs.alias()
    return (
        select(
            corrections,
            _E.date,
            _E.kind,
            _E.content,
            claims.c.position,
            _carrier.c.date.label("carrier_date"),
            _carrier.c.kind.label("carrier_kind"),
        )
        .join(editions, _E.id == _C.edition_id)
        .outerjoin(
            claims,
            (claims.c.brief_id == _C.brief_id) & (claims.c.edition_id == _C.edition_id),
        )
        .outerjoin(_carrier, _carrier.c.id == _C.carried_by)
    )


def _made(row: Row[Any]) -> Made:
    number = 0 if row.position is None else row.position + 1
    return Made(
        id=row.id,
        edition_id=row.edition_id,
        day=row.date,
        kind=row.kind,
        number=number,
        title=row.content["briefs"][number - 1]["title"] if number else "",
        severity=row.severity,
        text=row.text,
        made_at=row.made_at,
        made_by=row.made_by,
        carried_by=row.carried_by,
        carried_in=name_edition(row.carrier_date, row.carrier_kind) if row.carrier_date else "",
    )
