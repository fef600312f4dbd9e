"""What an operator can ask of the deliveries: doubts, reasons, a run's progress, one reader.

Nothing here writes. Every question is answered from an index: those about trouble by the
partial indexes `ix_deliveries_troubled` and `ix_deliveries_open` (see `in_state`), those about
one reader by the keys of their rows. So an answer takes as long at a million readers as at a
hundred. The exception is an address that is no reader's any more: the rows of its copies know
it, but no index does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    and_,
    bindparam,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
    union_all,
)

from newsletter.audience.pseudonyms import Pseudonyms
from newsletter.audience.reader import Choices, Reader, Subscriber, refusal
from newsletter.audience.rest import is_by_day, weekday
from newsletter.audience.subscribers import read_subscriber
from newsletter.audience.suppression import Suppressed, find_suppression
from newsletter.delivery.holder import is_gone
from newsletter.delivery.lifecycle import State
from newsletter.delivery.waves import Hour, Wave, measure_rate
from newsletter.editions.corrections import Severity, list_corrections
from newsletter.editions.model import list_repeated
from newsletter.editions.shelf import EditionRecord, find_released_content
from newsletter.settings import KINDS
from newsletter.store.tables import (
    OPEN_STATES,
    TROUBLED_STATES,
    alerts,
    attempts,
    decisions,
    deliveries,
    is_in,
    runs,
    suppressions,
    waves,
)

_RUNS_MEASURED = 7
"""The rate to count on is that of so many runs."""

DEAD_ADDRESS_CODES = ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1")
"""Enhanced codes (RFC 3463) with which a relay says that there is no such mailbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A delivery in doubt: handed over, never answered."""

    subscriber_id: int
    email: str
    via: str
    reply: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a run last told of itself."""

    at: datetime
    started_at: datetime | None
    per_second: float
    connections: int
    accepted: int
    """How many the relay accepted in this run."""
    waiting: str
    """What it waits for, in words; "" while mail flows."""
    parked: int
    """Deliveries that wait for their provider."""
    replies: Mapping[str, int] = field(default_factory=dict)
    """Attempts of this run by the first digit of the relay's reply; "" for what was none."""
    domains: tuple[tuple[str, Mapping[str, int]], ...] = ()
    """Attempts of this run by outcome, for the domains with the most of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """Who sends an edition, if somebody does."""

    holder: str
    is_alive: bool
    fence: int
    audience: int
    """How many were enrolled."""
    progress: Progress | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What an operator decided, about the whole edition or about one reader's copy."""

    decided_at: datetime
    decided_by: str
    action: str
    detail: str
    subscriber_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What an operator must know and mend."""

    raised_at: datetime
    kind: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at a delivery."""

    number: int
    via: str
    started_at: datetime
    ended_at: datetime
    outcome: State
    reply: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One reader's copy of one edition: who they were then, and where it stands."""

    reader: Reader
    state: State
    reply: str
    changed_at: datetime
    next_attempt_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """A correction that a reader is owed: where it was made, and what became of it."""

    text: str
    severity: Severity
    made_at: datetime
    carried_in: str
    """The name of the edition that tells of it; "" while it waits for one."""
    state: State | None
    """Where the reader's copy of that edition stands; None for who is not in its audience."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """What one edition was to one reader."""

    edition: EditionRecord
    copy: Copy | None
    absence: str
    """Why the reader is not in the audience; "" for one who is."""
    corrections: tuple[Owed, ...] = ()
    """What the reader was sent in it, and was found wrong since."""
    attempts: tuple[Attempt, ...] = ()
    decisions: tuple[Decision, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that is known of an address."""

    email_key: str
    subscriber: Subscriber | None
    suppressed: Suppressed | None
    chapters: tuple[Chapter, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreached:
    """Readers whom an edition did not reach, by what may be done about it."""

    failed: int
    """Refused, but not for a dead address."""
    expired: int
    dead: int
    """Refused because there is no such mailbox."""
    suppressed: int
    """Failed or expired, and since then not to be mailed at all."""


# -- an edition ------------------------------------------------------------------------------------


def load_waves(connection: Connection, edition_id: int) -> tuple[Wave, ...]:
    """Load the waves that were planned for an edition, in the order in which they are due."""
    planned = (
        select(waves)
        .where(waves.c.edition_id == edition_id)
        .order_by(waves.c.due_at, waves.c.zone, waves.c.clock)
    )
    return tuple(
        Wave(
            hour=Hour(zone=row.zone, clock=row.clock),
            readers=row.readers,
            due_at=row.due_at,
            begins_at=row.begins_at,
        )
        for row in connection.execute(planned)
    )


def read_rate(connection: Connection) -> float:
    """Give the messages a second that earlier runs had while they were busy; 0 = unknown."""
    last = select(runs.c.progress).order_by(runs.c.edition_id.desc()).limit(_RUNS_MEASURED)
    return measure_rate(
        [
            (int(told.get("accepted", 0)), float(told.get("busy_seconds", 0)))
            for told in connection.scalars(last)
            if told
        ]
    )


def count_ahead(connection: Connection, edition_id: int, now: datetime) -> int:
    """Count the copies whose hour has not come yet."""
    ahead = select(func.count()).where(
        _D.edition_id == bindparam("edition"),
        _D.state == literal_column("'pending'"),
        text(f"({is_in(OPEN_STATES)})"),
        _D.attempts == 0,
        _D.next_attempt_at > now,
    )
    return connection.execute(ahead, {"edition": edition_id}).scalar_one()


def list_doubts(connection: Connection, edition_id: int) -> list[Doubt]:
    """List the deliveries in doubt, in the order of the audience."""
    rows = connection.execute(_DOUBTS, {"edition": edition_id})
    return [Doubt(subscriber_id=r[0], email=r[1], via=r[2], reply=r[3], since=r[4]) for r in rows]


def list_reasons(
    connection: Connection, edition_id: int, limit: int = 20
) -> list[tuple[State, str, int]]:
    """Give the relay's words behind what did not arrive: state, words, how many.

    Relays like to quote the address; READER stands for it, so that the same words are one reason.
    """
    given = {"edition": edition_id, "most": limit}
    found = [row for query in _REASONS for row in connection.execute(query, given)]
    found.sort(key=lambda row: (-row[2], row[0], row[1]))
    return [(State(state), reply, count) for state, reply, count in found[:limit]]


def count_states(connection: Connection, edition_id: int) -> dict[State, int]:
    """Count an edition's deliveries by state; none where nobody was enrolled.

    What is neither open nor troubled is accepted, so that those, the most, need not be read:
    for whoever asks every second. `Ledger.counts` counts each row. Where the deliveries are
    forgotten, their counts were kept.
    """
    row = connection.execute(_ENROLLED, {"edition": edition_id}).one_or_none()
    if row is None:
        return {}
    audience, kept = row
    if kept is not None:
        return {State(state): count for state, count in kept.items()}
    counts = {
        State(state): count
        for state, count in connection.execute(_COUNTS, {"edition": edition_id})
        if count
    }
    accepted = audience - sum(counts.values())
    return counts | ({State.ACCEPTED: accepted} if accepted else {})


def read_run(connection: Connection, edition_id: int, now: datetime) -> RunView | None:
    """Read who sends an edition, or did last; None where none was ever enrolled."""
    row = connection.execute(select(runs).where(runs.c.edition_id == edition_id)).one_or_none()
    if row is None:
        return None
    lasts = row.lease_until is not None and row.lease_until > now
    return RunView(
        holder=row.holder,
        is_alive=bool(row.holder) and lasts and not is_gone(row.holder),
        fence=row.fence,
        audience=row.audience,
        progress=_read_progress(row.progress),
    )


def decide_finish(progress: Progress, still_open: int) -> datetime | None:
    """Tell when a run will be done at the rate it has; None when nothing moves."""
    if progress.per_second <= 0 or still_open <= 0:
        return None
    return progress.at + timedelta(seconds=still_open / progress.per_second)


def list_alerts(connection: Connection, edition_id: int) -> list[Alert]:
    """List what was raised about an edition, in the order of time."""
    _a = alerts.c
    rows = connection.execute(
        select(_a.raised_at, _a.kind, _a.sentence)
        .where(_a.edition_id == edition_id)
        .order_by(_a.id)
    )
    return [Alert(raised_at=r[0], kind=r[1], sentence=r[2]) for r in rows]


def list_decisions(
    connection: Connection, edition_id: int, subscriber_id: int | None = None
) -> list[Decision]:
    """List what was decided about an edition, and about one reader's copy where one is named."""
    _d = decisions.c
    about = or_(_d.subscriber_id.is_(None), _d.subscriber_id == subscriber_id)
    rows = connection.execute(
        select(decisions).where(_d.edition_id == edition_id, about).order_by(_d.id)
    )
    return [
        Decision(
            decided_at=row.decided_at,
            decided_by=row.decided_by,
            action=row.action,
            detail=row.detail,
            subscriber_id=row.subscriber_id,
        )
        for row in rows
    ]


def count_unreached(connection: Connection, edition_id: int) -> Unreached:
    """Count those who failed or expired, by whether they may be tried again."""
    found: Counter[str] = Counter()
    for state, is_dead, is_kept_out, count in connection.execute(
        _UNREACHED, {"edition": edition_id}
    ):
        found["suppressed" if is_kept_out else "dead" if is_dead else state] += count
    return Unreached(**{name: found[name] for name in Unreached.__dataclass_fields__})


# -- a reader --------------------------------------------------------------------------------------


def tell_story(
    connection: Connection,
    email_key: str,
    editions: Sequence[EditionRecord],
    *,
    pseudonyms: Pseudonyms,
) -> Story:
    """Tell one reader's whole story over some editions.

    Who is no reader any more has the chapters of the editions that they were enrolled for;
    of who was erased nothing is left but that.
    """
    subscriber = read_subscriber(connection, email_key)
    suppressed = find_suppression(connection, email_key, pseudonyms=pseudonyms)
    chapters = []
    for record in editions:
        copy = _find_copy_of(connection, record.id, email_key, subscriber)
        if copy is not None:
            chapters.append(_tell_chapter(connection, copy, record))
        elif subscriber is not None:
            absence = (
                FORGOTTEN
                if is_forgotten(connection, record.id)
                else explain_absence(
                    subscriber, suppressed, record, partial(_is_all_told, connection, record)
                )
            )
            chapters.append(Chapter(edition=record, copy=None, absence=absence))
    return Story(
        email_key=email_key,
        subscriber=subscriber,
        suppressed=suppressed,
        chapters=tuple(chapters),
    )


def find_copy(connection: Connection, edition_id: int, subscriber_id: int) -> Copy | None:
    """Find a reader's copy of an edition; None for one outside its audience."""
    given = {"edition": edition_id, "of": subscriber_id}
    row = connection.execute(_COPY, given).one_or_none()
    return None if row is None else _read_copy(row)


def find_copy_at(connection: Connection, edition_id: int, email_key: str) -> Copy | None:
    """Find the copy that went to an address, or is to go there, by reading all of them."""
    given = {"edition": edition_id, "at": email_key}
    row = connection.execute(_COPY_AT, given).one_or_none()
    return None if row is None else _read_copy(row)


def is_forgotten(connection: Connection, edition_id: int) -> bool:
    """Tell whether only the counts are left of who was sent an edition."""
    query = select(runs.c.edition_id).where(
        runs.c.edition_id == edition_id, runs.c.counts.is_not(None)
    )
    return connection.execute(query).first() is not None


def list_copies_in_doubt(connection: Connection, edition_id: int) -> list[Copy]:
    """List what is needed to make the copies in doubt again."""
    return [_read_copy(row) for row in connection.execute(_DOUBTED_COPIES, {"edition": edition_id})]


def _find_copy_of(
    connection: Connection, edition_id: int, email_key: str, subscriber: Subscriber | None
) -> Copy | None:
    if subscriber is None:
        return find_copy_at(connection, edition_id, email_key)
    return find_copy(connection, edition_id, subscriber.id)


def _tell_chapter(connection: Connection, copy: Copy, record: EditionRecord) -> Chapter:
    subscriber_id = copy.reader.subscriber_id
    tried = connection.execute(_ATTEMPTS, {"edition": record.id, "of": subscriber_id})
    return Chapter(
        edition=record,
        copy=copy,
        absence="",
        attempts=tuple(
            Attempt(
                number=row.number,
                via=row.via,
                started_at=row.started_at,
                ended_at=row.ended_at,
                outcome=State(row.outcome),
                reply=row.reply,
            )
            for row in tried
        ),
        decisions=tuple(list_decisions(connection, record.id, subscriber_id)),
        corrections=_list_owed(connection, copy, record),
    )


def _list_owed(connection: Connection, copy: Copy, record: EditionRecord) -> tuple[Owed, ...]:
    """List what is owed to a reader for this edition; a minor correction is owed to nobody."""
    if copy.state not in (State.ACCEPTED, State.IN_DOUBT):
        return ()
    made = [each for each in list_corrections(connection, record.id) if each.severity != "minor"]
    return tuple(
        Owed(
            text=each.text,
            severity=each.severity,
            made_at=each.made_at,
            carried_in=each.carried_in,
            state=told.state if told else None,
        )
        for each in reversed(made)
        for told in (
            find_copy(connection, each.carried_by, copy.reader.subscriber_id)
            if each.carried_by
            else None,
        )
    )


def _is_all_told(connection: Connection, record: EditionRecord) -> bool:
    content = find_released_content(connection, record.id)
    return content is not None and bool(list_repeated(content))


def explain_absence(
    subscriber: Subscriber,
    suppressed: Suppressed | None,
    record: EditionRecord,
    is_all_told: Callable[[], bool] = lambda: False,
) -> str:
    """Say why a reader is not in the audience of an edition, as far as anybody can know.

    An edition's Date is the second in which its audience was frozen. `is_all_told` tells whether
    other editions had told all that it tells; it reads the whole edition, so it is asked last.
    """
    frozen_at = record.dated_at
    if frozen_at is None:
        return f"nobody was enrolled for it: the edition is {_A.get(record.state, record.state)}"
    fixed = f"the audience was fixed on {frozen_at:%Y-%m-%d at %H:%M:%S} UTC"
    if subscriber.created_at >= frozen_at:
        return f"joined the list only on {subscriber.created_at:%Y-%m-%d at %H:%M:%S} UTC; {fixed}"
    if suppressed and suppressed.since <= frozen_at + timedelta(seconds=1):
        return f"was kept out then ({suppressed.reason}); {fixed}"
    if subscriber.status != "active" and not suppressed:
        return f"was not active then, and is {subscriber.status} now; {fixed}"
    if subscriber.paused_until and record.date < subscriber.paused_until:
        return f"paused until the edition of {subscriber.paused_until}; {fixed}"
    if record.kind == "correction":
        return f"was not sent the edition that it corrects; {fixed}"
    if record.kind not in (*KINDS, *subscriber.choices.editions):
        return f"{_explain_untaken(subscriber, record)}; {fixed}"
    match record.kind, subscriber.choices.rhythm:
        case "weekly", "both":
            return f"had been sent all that the round-up tells again; {fixed}"
        case "weekly", "" | "daily":
            return f"did not choose the week's round-up; {fixed}"
        case "daily" | "special", "weekly":
            return f"chose the week's round-up alone; {fixed}"
    days = subscriber.choices.days
    if days and is_by_day(record.kind) and weekday(record.date) not in days:
        return f"chose other weekdays ({', '.join(days)}); {fixed}"
    if is_all_told():
        return f"had been sent all that it tells by other editions; {fixed}"
    return f"was not active then; {fixed}"


_A = {"draft": "a draft"}
FORGOTTEN = "who was sent it is no longer known: it is older than retention.deliveries"


def _explain_untaken(subscriber: Subscriber, record: EditionRecord) -> str:
    """Say why a reader is not sent a further daily edition that they did not choose."""
    choices = subscriber.choices
    if refusal(record.kind) in choices.editions:
        return f"chose not to get the {record.kind} edition"
    if choices.rhythm != "weekly" and choices.days and weekday(record.date) not in choices.days:
        return f"chose other weekdays ({', '.join(choices.days)})"
    return f"did not choose the {record.kind} edition"


def read_had(names: str) -> frozenset[str]:
    """Read the names of editions that a delivery keeps of what its reader was sent before."""
    return frozenset(names.split())


def _read_copy(row: Row[*tuple[Any, ...]]) -> Copy:
    return Copy(
        reader=Reader(
            subscriber_id=row.subscriber_id,
            email=row.email,
            name=row.name,
            choices=Choices.from_document(row.choices),
            fields=row.fields,
            had=read_had(row.had),
        ),
        state=State(row.state),
        reply=row.reply,
        changed_at=row.changed_at,
        next_attempt_at=row.next_attempt_at,
    )


def _read_progress(document: Mapping[str, Any] | None) -> Progress | None:
    if not document:
        return None
    started = document.get("started_at")
    return Progress(
        at=datetime.fromisoformat(document["at"]),
        started_at=datetime.fromisoformat(started) if started else None,
        per_second=float(document.get("rate", 0)),
        connections=int(document.get("connections", 0)),
        accepted=int(document.get("accepted", 0)),
        waiting=str(document.get("waiting", "")),
        parked=int(document.get("parked", 0)),
        replies=document.get("replies", {}),
        domains=tuple((domain, ends) for domain, ends in document.get("domains", ())),
    )


# -- statements ------------------------------------------------------------------------------------


def in_state(*states: str) -> Any:
    """Build the condition that a delivery of the edition is in a state, found by an index.

    The partial index of open or of troubled states names the rows, the primary key finds them.
    Asked for both at once SQLite takes the key alone and reads the whole edition.
    """
    named = select(_FOUND.subscriber_id).where(
        _FOUND.edition_id == bindparam("edition"), _is_one_of(_FOUND, states)
    )
    return and_(_D.subscriber_id.in_(named), _D.state.in_(_quoted(states)))


def _is_one_of(columns: Any, states: Sequence[str]) -> Any:
    """Build a condition in which SQLite sees that a partial index covers it.

    For one state that is an equality alone, for several the index's own words beside them.
    """
    quoted = _quoted(states)
    if len(quoted) == 1:
        return columns.state == quoted[0]
    index = OPEN_STATES if states[0] in OPEN_STATES else TROUBLED_STATES
    return and_(columns.state.in_(quoted), text(f"({is_in(index)})"))


def _quoted(states: Sequence[str]) -> list[Any]:
    return [literal_column(f"'{state}'") for state in states]


def is_kept_out() -> Any:
    """Build the condition that a delivery's address is suppressed."""
    return exists().where(suppressions.c.email_key == _D.email_key)


def is_dead_address() -> Any:
    """Build the condition that a delivery failed because there is no such mailbox."""
    # The words of a reply begin "550 5.1.1 …": see smtp.protocol.Reply.
    said = (
        or_(_D.reply.like(f"5__ {code} %"), _D.reply.like(f"5__ {code}"))
        for code in DEAD_ADDRESS_CODES
    )
    return and_(_D.state == literal_column("'failed'"), or_(*said))


_D, _FOUND = deliveries.c, deliveries.alias("found").c
OF_EDITION = _D.edition_id == bindparam("edition")

_DOUBTED = (OF_EDITION, in_state("in_doubt"))
_DOUBTS = (
    select(_D.subscriber_id, _D.email, _D.via, _D.reply, _D.changed_at)
    .where(*_DOUBTED)
    .order_by(_D.subscriber_id)
)
_COPY_COLUMNS = (
    *(_D.subscriber_id, _D.email, _D.name, _D.choices, _D.fields, _D.had),
    *(_D.state, _D.reply, _D.changed_at, _D.next_attempt_at),
)
_DOUBTED_COPIES = select(*_COPY_COLUMNS).where(*_DOUBTED).order_by(_D.subscriber_id)
_COPY = select(*_COPY_COLUMNS).where(OF_EDITION, _D.subscriber_id == bindparam("of"))
_COPY_AT = select(*_COPY_COLUMNS).where(OF_EDITION, _D.email_key == bindparam("at"))
SAID = func.replace(_D.reply, _D.email, literal_column("'READER'")).label("said")
_REASONS = tuple(
    select(_D.state, SAID, func.count())
    .where(OF_EDITION, in_state(*states))
    .group_by(_D.state, SAID)
    .order_by(func.count().desc(), _D.state, SAID)
    .limit(bindparam("most"))
    for states in (("failed", "in_doubt", "expired", "bounced"), ("deferred",))
)
_ENROLLED = select(runs.c.audience, runs.c.counts).where(runs.c.edition_id == bindparam("edition"))
# State by state: a range of an index is counted in half the time that grouping it takes.
_COUNTS = union_all(
    *(
        select(literal(state), func.count()).where(OF_EDITION, _is_one_of(_D, [state]))
        for state in (*OPEN_STATES, *TROUBLED_STATES)
    )
)
_ATTEMPTS = (
    select(attempts)
    .where(
        attempts.c.edition_id == bindparam("edition"),
        attempts.c.subscriber_id == bindparam("of"),
    )
    .order_by(attempts.c.number)
)
_TRIED = (
    select(
        _D.state,
        is_dead_address().label("is_dead"),
        is_kept_out().label("is_kept_out"),
    )
    .where(OF_EDITION, in_state("failed", "expired"))
    .subquery()
)
_UNREACHED = select(_TRIED.c.state, _TRIED.c.is_dead, _TRIED.c.is_kept_out, func.count()).group_by(
    _TRIED.c.state, _TRIED.c.is_dead, _TRIED.c.is_kept_out
)
