"""What a bounce or a complaint does to a copy and to its reader. Each function can be repeated.

A bounce moves its copy to `bounced`, once: of what comes back twice the first report counts. For
a copy in doubt it is the evidence that the relay took it. Then `guard` asks whether so many came
back that it is our own fault, and only if not the address is judged.

An address is judged by the copies that went to that very address since its reader last agreed
to get them: whoever moved on, or came back by a new consent, starts anew. Who does not read
any more is not judged at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, case, select, text, update

from newsletter.audience.address import build_key
from newsletter.audience.pseudonyms import PREFIX
from newsletter.audience.suppression import keep_intents_out, suppress
from newsletter.delivery.lifecycle import State, origins
from newsletter.delivery.settle import settle_doubts
from newsletter.feedback.judging import SPAN, Sent, decide_dead
from newsletter.feedback.report import Finding, Report
from newsletter.mail.tokens import Claim
from newsletter.store.audit import Actor
from newsletter.store.tables import (
    alerts,
    decisions,
    deliveries,
    editions,
    reports,
    subscribers,
    to_micros,
)

BY_MAIL = Actor(who="mail that came back", origin="mail")
"""Who decides by a bounce, for the audit."""
CAME_BACK = "mail came back"
"""How the detail of a suppression begins that was made here."""
MASS_BOUNCE = "bounces"
"""The kind of the alert that an edition's bounces are our own fault."""
COUNT, LEAVE = "count_bounces", "leave_bounces"
"""The operator's decisions about an edition's bounces; the last one counts."""
BOUNCE_FINDINGS = (Finding.ADDRESS.value, Finding.MESSAGE.value)
_DATE_SLACK = timedelta(days=2)
"""An edition's date is the publication's, and some are sent after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What became of a report about a copy."""

    email: str = ""
    """Where the copy went; a pseudonym for who was erased."""
    refusal: str = ""
    """Why the report counts for nothing."""
    is_early: bool = False
    """Whether the copy's own outcome is still to be recorded: ask again later."""


# -- the copy --------------------------------------------------------------------------------------


def record_report(
    connection: Connection, claim: Claim, report: Report, *, now: datetime
) -> Recorded:
    """Record a bounce or a complaint about a copy, and what it proves about it."""
    copy = _find_copy(connection, claim)
    if copy is not None and copy.state == State.IN_DOUBT:
        evidence = {claim.subscriber_id: f"{_NAMES[report.finding]} of it came back"}
        settle_doubts(
            connection, claim.edition_id, "accepted", evidence, by=BY_MAIL, now=now, not_after=now
        )
        copy = _find_copy(connection, claim)
    if copy is None:
        return Recorded(refusal="nothing is known any more of the copy that it is about")
    if copy.state == State.SENDING:
        return Recorded(is_early=True)
    if report.finding is not Finding.COMPLAINT:
        moved = connection.execute(
            update(deliveries)
            .where(*_is_copy(claim), deliveries.c.state.in_(sorted(origins(State.BOUNCED))))
            .values(state=State.BOUNCED.value, reply=_build_reply(report), changed_at=now)
        ).rowcount
        if not moved:
            return _explain_unmoved(connection, claim)
    elif copy.state not in (State.ACCEPTED, State.BOUNCED):
        return Recorded(refusal=f"the copy that it is about is {copy.state}")
    connection.execute(
        _INSERT,
        {
            "edition": claim.edition_id,
            "of": claim.subscriber_id,
            "finding": report.finding.value,
            "status": report.status,
            "accepted_at": to_micros(copy.changed_at),
            "heard_at": to_micros(now),
        },
    )
    return Recorded(email=copy.email)


def _explain_unmoved(connection: Connection, claim: Claim) -> Recorded:
    """Tell a copy that bounced before from one that cannot bounce."""
    copy = _find_copy(connection, claim)
    if copy is None or copy.state != State.BOUNCED:
        state = "forgotten" if copy is None else copy.state
        return Recorded(refusal=f"the copy that it is about is {state}")
    return Recorded(email=copy.email)


def _build_reply(report: Report) -> Any:
    """Give a delivery's words, which begin with a code like a relay's: 550 where none was told.

    Of who was erased only the codes: a server may name them in its own way.
    """
    codes = f"550 {report.status}".rstrip()
    is_reply = report.said[:3].isdecimal() and report.said[3:4] in ("", " ", "-")
    told = report.said if is_reply else " ".join(filter(None, (codes, report.said)))
    is_erased = deliveries.c.email_key.startswith(PREFIX, autoescape=True)
    return case((is_erased, codes), else_=told)


# -- the reader ------------------------------------------------------------------------------------


def judge_reader(connection: Connection, subscriber_id: int, *, now: datetime) -> bool:
    """Take an address off that counts as dead by now; tell whether it was.

    Comes first in its transaction.
    """
    keep_intents_out(connection)
    reader = connection.execute(
        select(subscribers).where(subscribers.c.id == subscriber_id)
    ).one_or_none()
    if reader is None or reader.status != "active":
        return False
    why = decide_dead(list_sent(connection, reader, now), now)
    if why:
        suppress(connection, [reader.email_key], "bounced", now, detail=f"{CAME_BACK}: {why}")
    return bool(why)


def take_complaint(connection: Connection, claim: Claim, *, now: datetime) -> bool:
    """Take off for good whoever called a copy spam: where it went, and where they read now.

    False where that is nobody's any more. Comes first in its transaction.
    """
    keep_intents_out(connection)
    _s = subscribers.c
    keys = set(connection.scalars(select(_s.email_key).where(_s.id == claim.subscriber_id)))
    copy = _find_copy(connection, claim)
    if copy is not None and not copy.email_key.startswith(PREFIX):
        mailed = build_key(copy.email)
        if connection.scalar(select(_s.id).where(_s.email_key == mailed)) is None:
            keys.add(mailed)
    suppress(connection, sorted(keys), "complained", now, detail="by a report of their provider")
    return bool(keys)


def list_sent(connection: Connection, reader: Row[Any], now: datetime) -> list[Sent]:
    """List the copies that a reader's address is judged by."""
    recent = connection.scalars(
        select(editions.c.id).where(editions.c.date >= (now - SPAN - _DATE_SLACK).date())
    ).all()
    _d, _r = deliveries.c, reports.c
    rows = connection.execute(
        select(_d.edition_id, _d.email, _d.changed_at, _r.accepted_at, _r.finding)
        .outerjoin_from(
            deliveries,
            reports,
            and_(
                _r.edition_id == _d.edition_id,
                _r.subscriber_id == _d.subscriber_id,
                _r.finding.in_(BOUNCE_FINDINGS),
            ),
        )
        .where(
            _d.edition_id.in_(recent),
            _d.subscriber_id == reader.id,
            _d.email_key == reader.email_key,
            _d.state.in_((State.ACCEPTED.value, State.BOUNCED.value)),
        )
    ).all()
    distrusted = list_distrusted(connection, [row.edition_id for row in rows])
    return [
        Sent(at=at, bounce=Finding(row.finding) if row.finding else None)
        for row in rows
        for at in [row.accepted_at or row.changed_at]
        if row.edition_id not in distrusted
        # A copy that was begun before its reader moved went to the old address all the same.
        and build_key(row.email) == reader.email_key
        and (reader.consent_at is None or at >= reader.consent_at)
    ]


def list_distrusted(connection: Connection, edition_ids: Sequence[int]) -> set[int]:
    """Tell of which of these editions the bounces do not count."""
    raised = select(alerts.c.edition_id).where(
        alerts.c.kind == MASS_BOUNCE, alerts.c.edition_id.in_(edition_ids)
    )
    decided = (
        select(decisions.c.edition_id, decisions.c.action)
        .where(decisions.c.action.in_((COUNT, LEAVE)), decisions.c.edition_id.in_(edition_ids))
        .order_by(decisions.c.id)
    )
    words = {row.edition_id: row.action for row in connection.execute(decided)}
    left = {edition_id for edition_id, action in words.items() if action == LEAVE}
    return left | (set(connection.scalars(raised)) - words.keys())


# -- statements ------------------------------------------------------------------------------------

_NAMES = {
    Finding.ADDRESS: "a bounce",
    Finding.MESSAGE: "a bounce",
    Finding.COMPLAINT: "a complaint",
}
_INSERT = text(
    "INSERT INTO reports (edition_id, subscriber_id, finding, status, accepted_at, heard_at)"
    " VALUES (:edition, :of, :finding, :status, :accepted_at, :heard_at) ON CONFLICT DO NOTHING"
)


def _is_copy(claim: Claim) -> tuple[Any, Any]:
    _d = deliveries.c
    return _d.edition_id == claim.edition_id, _d.subscriber_id == claim.subscriber_id


def _find_copy(connection: Connection, claim: Claim) -> Row[*tuple[Any, ...]] | None:
    _d = deliveries.c
    query = select(_d.state, _d.email, _d.email_key, _d.changed_at).where(*_is_copy(claim))
    return connection.execute(query).one_or_none()
