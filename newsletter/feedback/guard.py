"""The mass-bounce guard: an edition that comes back in masses takes nobody off the list.

Its state is in what other rooms keep anyway: an alert of the kind `bounces` says that an
edition's bounces are not believed, and an operator's decision says what is done with them.

    believed ──▶ doubted, by the guard, once ──▶ counted | left, by an operator, either as often
                                                 as they like; the last word counts

Whoever is taken off and whoever doubts keep each other out by `keep_intents_out`, so that no
reader is taken off by an edition that is doubted already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, func, insert, select, update

from newsletter.audience.suppression import keep_intents_out, lift_suppression
from newsletter.delivery import settle
from newsletter.delivery.inquiry import OF_EDITION, count_states, in_state
from newsletter.delivery.lifecycle import State, count_open
from newsletter.delivery.results import build_domain
from newsletter.editions.shelf import EditionRecord, read_edition
from newsletter.feedback.bounces import (
    BOUNCE_FINDINGS,
    BY_MAIL,
    CAME_BACK,
    COUNT,
    LEAVE,
    MASS_BOUNCE,
    judge_reader,
    list_sent,
)
from newsletter.feedback.judging import (
    FEWEST_BACK,
    FEWEST_DEAD,
    FEWEST_DEAD_OF_DOMAIN,
    FIRST_COPIES,
    decide_dead,
    distrust_domain,
    distrust_edition,
)
from newsletter.feedback.report import Finding
from newsletter.store import Database
from newsletter.store.audit import Actor, note
from newsletter.store.happenings import tell_of_readers
from newsletter.store.tables import (
    OPEN_STATES,
    alerts,
    attempts,
    decisions,
    deliveries,
    reports,
    runs,
    subscribers,
    suppressions,
)

Word = Literal["count", "leave"]
"""What an operator may say of an edition's bounces."""
_ACTIONS: dict[Word, str] = {"count": COUNT, "leave": LEAVE}
_MOST_DOMAINS = 5
_TAKEN = (State.ACCEPTED.value, State.BOUNCED.value)
"""States of copies that the relay took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Whether an edition's bounces are believed."""

    tripped_at: datetime | None = None
    sentence: str = ""
    """Why they were doubted."""
    word: Word | None = None
    """What an operator said last."""
    decided_by: str = ""

    @property
    def waits(self) -> bool:
        """Whether an operator should look, and decide."""
        return self.tripped_at is not None and self.word is None

    @property
    def state(self) -> str:
        """Name it: believed, doubted, counted or left."""
        if self.word is not None:
            return {"count": "counted", "leave": "left"}[self.word]
        return "doubted" if self.waits else "believed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Returns:
    """What came back of an edition."""

    accepted: int
    """Copies that the relay took, those that came back among them."""
    dead: int
    """Came back since there is no such mailbox."""
    other: int
    """Came back for another reason, or for one that is forgotten by now."""
    complaints: int
    domains: tuple[tuple[str, int], ...]
    """Where most came back from, with how many."""
    guard: Guard

    @property
    def share(self) -> float:
        """The part that came back, from 0 to 1."""
        return (self.dead + self.other) / self.accepted if self.accepted else 0.0


def read_guard(connection: Connection, edition_id: int) -> Guard:
    """Read whether an edition's bounces are believed."""
    raised = connection.execute(
        select(alerts.c.raised_at, alerts.c.sentence)
        .where(alerts.c.edition_id == edition_id, alerts.c.kind == MASS_BOUNCE)
        .order_by(alerts.c.id)
    ).first()
    decided = connection.execute(
        select(decisions.c.action, decisions.c.decided_by)
        .where(decisions.c.edition_id == edition_id, decisions.c.action.in_((COUNT, LEAVE)))
        .order_by(decisions.c.id.desc())
    ).first()
    words: dict[str, Word] = {COUNT: "count", LEAVE: "leave"}
    return Guard(
        tripped_at=raised.raised_at if raised else None,
        sentence=raised.sentence if raised else "",
        word=words[decided.action] if decided else None,
        decided_by=decided.decided_by if decided else "",
    )


def read_returns(connection: Connection, edition_id: int) -> Returns:
    """Count what came back of an edition."""
    found, states = _count(connection, edition_id), count_states(connection, edition_id)
    domain = build_domain(connection)
    number = func.count().label("number")
    by_domain = connection.execute(
        select(domain.label("domain"), number)
        .where(OF_EDITION, in_state(State.BOUNCED))
        .group_by(domain)
        .order_by(number.desc(), domain)
        .limit(_MOST_DOMAINS),
        {"edition": edition_id},
    )
    return Returns(
        accepted=_count_accepted(states),
        dead=found[Finding.ADDRESS],
        other=states.get(State.BOUNCED, 0) - found[Finding.ADDRESS],
        complaints=found[Finding.COMPLAINT],
        domains=tuple((row.domain, row.number) for row in by_domain if row.domain),
        guard=read_guard(connection, edition_id),
    )


# -- the guard -------------------------------------------------------------------------------------


def check_edition(database: Database, edition_id: int, dead_email: str, *, now: datetime) -> str:
    """Doubt an edition's bounces where they are too many, after one more of them; once.

    `dead_email` is the address that it says not to be there, "" where it says something else.
    A send that runs is paused, who was taken off by the bounces is back, and an alert is raised:
    gives its sentence, "" where there is no new one.
    """
    with database.reading() as connection:
        guard = read_guard(connection, edition_id)
        if guard.tripped_at or guard.word:
            return ""
        why, first_until = _find_fault(connection, edition_id)
        why = why or _find_fault_of_domain(connection, edition_id, dead_email)
    if first_until is not None:
        _keep_first(database, edition_id, first_until)
    if not why:
        return ""
    with database.writing() as connection:
        keep_intents_out(connection)
        guard = read_guard(connection, edition_id)
        if guard.tripped_at or guard.word:
            return ""  # another process was quicker
        return _doubt(connection, read_edition(connection, edition_id), why, now)


def settle_bounces(
    database: Database, record: EditionRecord, word: Word, *, by: Actor, now: datetime
) -> int:
    """Do as an operator says with an edition's bounces; idempotent.

    To `count` them judges each reader by them, to `leave` them brings back whom they alone took
    off. Gives how many readers that changed.
    """
    with database.writing() as connection:
        keep_intents_out(connection)
        is_new = read_guard(connection, record.id).word != word
        if is_new:
            settle.note_bounces(connection, record, _ACTIONS[word], by=by, now=now)
        changed = _bring_back(connection, record.id, now) if word == "leave" else 0
        if is_new:
            target = f"edition {record.name}"
            detail = "its bounces count" if word == "count" else "its bounces do not count"
            note(connection, by, "edition.bounces", target, now=now, detail=detail)
    if word == "count":
        with database.reading() as connection:
            readers = connection.scalars(
                select(reports.c.subscriber_id).where(
                    reports.c.edition_id == record.id, reports.c.finding.in_(BOUNCE_FINDINGS)
                )
            ).all()
        for subscriber_id in readers:
            with database.writing() as connection:
                changed += judge_reader(connection, subscriber_id, now=now)
    return changed


def _doubt(connection: Connection, record: EditionRecord, why: str, now: datetime) -> str:
    sentence = (
        f"{why}: so many at once are more often a mistake of ours than of so many readers, so "
        "they take nobody off the list; once it is found, newsletter bounces "
        f"{record.name} --leave keeps it so, and --count counts them after all"
    )
    connection.execute(
        insert(alerts).values(
            edition_id=record.id, raised_at=now, kind=MASS_BOUNCE, sentence=sentence
        )
    )
    back = _bring_back(connection, record.id, now)
    if record.state == "sending":
        settle.pause(connection, record.id, by=BY_MAIL, now=now, reason=why)
    detail = f"{why}; {back:,} readers are back"
    target = f"edition {record.name}"
    note(connection, BY_MAIL, "edition.doubt_bounces", target, now=now, detail=detail)
    return sentence


def _bring_back(connection: Connection, edition_id: int, now: datetime) -> int:
    """Bring back whom the edition's bounces took off, and nothing else would have."""
    _s, _x = subscribers.c, suppressions.c
    taken_off = connection.execute(
        select(subscribers, _x.suppressed_at)
        .join_from(reports, subscribers, _s.id == reports.c.subscriber_id)
        .join(suppressions, _x.email_key == _s.email_key)
        .where(
            reports.c.edition_id == edition_id,
            reports.c.finding.in_(BOUNCE_FINDINGS),
            _s.status == "bounced",
            _x.reason == "bounced",
            _x.detail.startswith(CAME_BACK, autoescape=True),
        )
    ).all()
    back = [
        reader
        for reader in taken_off
        # By what was known when it was decided: since then bounces may have grown too old.
        if not decide_dead(
            list_sent(connection, reader, reader.suppressed_at), reader.suppressed_at
        )
    ]
    for reader in back:
        lift_suppression(connection, reader.email_key)
        connection.execute(
            update(subscribers)
            .where(_s.id == reader.id, _s.status == "bounced")
            .values(status="active", updated_at=now)
        )
    tell_of_readers(connection, [reader.id for reader in back], "active", now=now)
    return len(back)


# -- counting --------------------------------------------------------------------------------------


def _count(
    connection: Connection, edition_id: int, *, until: datetime | None = None
) -> dict[Finding, int]:
    """Count reports, of copies that were accepted `until` then."""
    query = select(reports.c.finding, func.count()).where(reports.c.edition_id == edition_id)
    if until is not None:
        query = query.where(reports.c.accepted_at <= until)
    rows = connection.execute(query.group_by(reports.c.finding))
    return dict.fromkeys(Finding, 0) | {Finding(finding): count for finding, count in rows}


def _find_fault(connection: Connection, edition_id: int) -> tuple[str, datetime | None]:
    """Say why an edition's bounces are doubted; also when the first copies were all accepted.

    That is given only where it was not known before. What costs more than a count of bounces is
    asked for only where there are so many of them that it may matter.
    """
    found = _count(connection, edition_id)
    if found[Finding.ADDRESS] < FEWEST_DEAD and _count_back(found) < FEWEST_BACK:
        return "", None
    until = known = connection.scalar(
        select(runs.c.first_until).where(runs.c.edition_id == edition_id)
    )
    first = FIRST_COPIES
    if known is None:
        states = count_states(connection, edition_id)
        copies = _count_accepted(states) + count_open(states)
        if _count_accepted(states) < FIRST_COPIES:
            first = min(first, copies)
        else:
            until = _find_first_until(connection, edition_id)
            first = copies if until is None else first  # the attempts may be forgotten
    if until is not None:
        found = _count(connection, edition_id, until=until)
    why = distrust_edition(dead=found[Finding.ADDRESS], back=_count_back(found), first=first)
    return why, until if known is None else None


def _count_back(found: Mapping[Finding, int]) -> int:
    return found[Finding.ADDRESS] + found[Finding.MESSAGE]


def _count_accepted(states: Mapping[State, int]) -> int:
    return sum(states.get(State(state), 0) for state in _TAKEN)


def _find_first_until(connection: Connection, edition_id: int) -> datetime | None:
    """Find when the last of the first copies was accepted; reads all attempts of the edition."""
    _a = attempts.c
    until: datetime | None = connection.scalar(
        select(_a.ended_at)
        .where(_a.edition_id == edition_id, _a.outcome == State.ACCEPTED.value)
        .order_by(_a.ended_at)
        .limit(1)
        .offset(FIRST_COPIES - 1)
    )
    return until


def _keep_first(database: Database, edition_id: int, until: datetime) -> None:
    """Keep what took so long to find: it changes no more."""
    with database.writing() as connection:
        connection.execute(
            update(runs).where(runs.c.edition_id == edition_id).values(first_until=until)
        )


def _find_fault_of_domain(connection: Connection, edition_id: int, email: str) -> str:
    """Say why the bounces from the domain of an address are doubted; "" where they are not.

    To count a domain's copies all of an edition's are read: so only at every tenth bounce.
    """
    _, at, name = email.lower().rpartition("@")
    if not at:  # of who was erased no domain is known
        return ""
    _d = deliveries.c
    at_domain = (_d.edition_id == edition_id, build_domain(connection) == name)
    # Found by their keys; as a join SQLite reads the whole edition.
    dead_of_edition = select(reports.c.subscriber_id).where(
        reports.c.edition_id == edition_id, reports.c.finding == Finding.ADDRESS.value
    )
    dead = connection.execute(
        select(func.count()).where(*at_domain, _d.subscriber_id.in_(dead_of_edition))
    ).scalar_one()
    if not dead or dead % FEWEST_DEAD_OF_DOMAIN:
        return ""
    copies = connection.execute(
        select(func.count()).where(*at_domain, _d.state.in_((*_TAKEN, *OPEN_STATES)))
    ).scalar_one()
    return distrust_domain(name, dead=dead, copies=copies)
