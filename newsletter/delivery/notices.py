"""The queue of single mails: a confirmation that somebody asked for, a new link, and the like.

A mail of this queue is a *notice*. Whoever wants one sent calls `enqueue`, within the
transaction that is its reason; `courier` hands it over, and keeps to the rules that editions
are sent by:

    pending | deferred ──▶ sending ──▶ accepted | failed | deferred
                              └──────▶ in_doubt ──▶ pending, once
    pending | deferred ──▶ suppressed | expired

- `sending` is the intent: it is committed before the final dot is written, with the bytes that
  are sent, and only if the address may still be mailed (G7). Of two processes that have prepared
  the same notice one commits it; the other drops its connection, so that nothing is sent twice.
- In doubt it is sent once more, the same bytes, Message-ID and Date, so that receivers can drop
  the second: the mail was asked for, and a lost one leaves its reader outside. A second doubt
  is final.
- A notice that is settled keeps who, what and when; what it said, links and all, is emptied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from newsletter.audience.address import Address
from newsletter.audience.suppression import NEVER_MAILED, keep_suppressions_out, read_reasons
from newsletter.delivery.holder import describe_self, is_gone
from newsletter.delivery.lifecycle import State
from newsletter.store.tables import notices, runs

DOUBTS_RETRIED = 1
"""How often a notice in doubt is sent again."""
DEAD_AFTER = timedelta(minutes=15)
"""How old an intent is whose sender is certainly gone: a relay has ten minutes to answer."""
_MOST_SHOWN = 100

_WAITING = ("pending", "deferred")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A single mail to be sent."""

    kind: str
    """Its templates: `notices/KIND.mjml.j2` and `notices/KIND.txt.j2`."""
    address: Address
    dedupe: str
    """What it is about, such as "confirmation 17": of one such there is never a second notice."""
    not_after: datetime
    """When it is of no use any more."""
    language: str = ""
    """Of its words; "" is the publication's."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """What its templates can use, by name; links whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A notice that may be sent now."""

    id: int
    kind: str
    email: str
    email_key: str
    language: str
    fields: Mapping[str, str]
    attempts: int
    created_at: datetime
    not_after: datetime
    content: bytes | None
    """The bytes of its first attempt; None before that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A notice as a person is shown it."""

    id: int
    kind: str
    email: str
    state: State
    attempts: int
    created_at: datetime
    changed_at: datetime
    reply: str


def enqueue(connection: Connection, notice: Notice, now: datetime) -> bool:
    """Put a notice into the queue, within the caller's transaction; idempotent.

    False where there was one of the same `dedupe` before, sent or not.
    """
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = make(notices).values(
        kind=notice.kind,
        dedupe=notice.dedupe,
        email=notice.address.email,
        email_key=notice.address.key,
        language=notice.language,
        payload=dict(notice.fields),
        state=State.PENDING.value,
        created_at=now,
        next_attempt_at=now,
        not_after=notice.not_after,
        changed_at=now,
    )
    added = connection.scalar(statement.on_conflict_do_nothing().returning(notices.c.id))
    return added is not None


def find_due(connection: Connection, now: datetime) -> Due | None:
    """Find the notice that has been due longest."""
    _n = notices.c
    row = connection.execute(
        select(notices)
        .where(_n.state.in_(_WAITING), _n.next_attempt_at <= now, _n.not_after > now)
        .order_by(_n.next_attempt_at, _n.id)
        .limit(1)
    ).one_or_none()
    return None if row is None else _build_due(row)


def begin(connection: Connection, due: Due, content: bytes, now: datetime) -> bool:
    """Commit to hand a notice over, once this transaction is committed: the dot may be written.

    False where it must not be: another process has taken it, it was taken back, or its address
    must not be mailed any more.
    """
    keep_suppressions_out(connection)
    mine = and_(*_as_seen(due), notices.c.state.in_(_WAITING))
    if NEVER_MAILED & set(read_reasons(connection, [due.email_key]).values()):
        connection.execute(
            update(notices).where(mine).values(**_settled(State.SUPPRESSED), changed_at=now)
        )
        return False
    moved = connection.execute(
        update(notices)
        .where(mine)
        .values(
            state=State.SENDING.value,
            attempts=due.attempts + 1,
            holder=describe_self(),
            content=content,
            changed_at=now,
        )
    )
    return moved.rowcount == 1


def record_refusal(
    connection: Connection, due: Due, state: State, reply: str, *, now: datetime, again_at: datetime
) -> None:
    """Record what ended before the intent: deferred until `again_at`, or failed."""
    ended = _settled(state) if state is State.FAILED else {"state": state.value}
    connection.execute(
        update(notices)
        .where(*_as_seen(due), notices.c.state.in_(_WAITING))
        .values(
            **ended,
            attempts=due.attempts + 1,
            next_attempt_at=again_at,
            reply=reply,
            changed_at=now,
        )
    )


def record_outcome(
    connection: Connection, due: Due, state: State, reply: str, *, now: datetime, again_at: datetime
) -> None:
    """Record what became of a notice whose intent was committed."""
    _n = notices.c
    mine = (_n.id == due.id, _n.attempts == due.attempts + 1, _n.state == State.SENDING.value)
    if state is State.IN_DOUBT:
        _note_doubts(connection, mine, reply, now=now, again_at=again_at)
        return
    ended = {"state": state.value} if state is State.DEFERRED else _settled(state)
    connection.execute(
        update(notices)
        .where(*mine)
        .values(**ended, next_attempt_at=again_at, reply=reply, changed_at=now)
    )


def sweep(connection: Connection, now: datetime) -> None:
    """Judge what dead processes left as it was, and give up what is too late. Idempotent."""
    _n = notices.c
    under_way = connection.execute(
        select(_n.id, _n.holder, _n.changed_at).where(_n.state == State.SENDING.value)
    )
    left = [row.id for row in under_way if is_gone(row.holder) or row.changed_at < now - DEAD_AFTER]
    if left:
        said = "its sender was gone before the relay answered"
        mine = (_n.id.in_(left), _n.state == State.SENDING.value)
        _note_doubts(connection, mine, said, now=now, again_at=now)
    connection.execute(
        update(notices)
        .where(_n.state.in_(_WAITING), _n.not_after <= now)
        .values(**_settled(State.EXPIRED), changed_at=now)
    )


def find_next_look(connection: Connection) -> datetime | None:
    """Tell when the next notice is due; None where none waits."""
    _n = notices.c
    query = select(_n.next_attempt_at).where(_n.state.in_(_WAITING))
    return connection.scalar(query.order_by(_n.next_attempt_at).limit(1))


def is_edition_under_way(connection: Connection, now: datetime) -> bool:
    """Tell whether any process is sending an edition at this moment."""
    query = select(runs.c.edition_id).where(runs.c.holder != "", runs.c.lease_until > now).limit(1)
    return connection.scalar(query) is not None


def count_notices(connection: Connection) -> dict[State, int]:
    """Count the notices that are kept, by state; those that are none of are left out."""
    query = select(notices.c.state, func.count().label("number")).group_by(notices.c.state)
    return {State(row.state): row.number for row in connection.execute(query)}


def list_notices(connection: Connection, states: Sequence[State] = tuple(State)) -> list[Shown]:
    """List the latest notices in these states, the newest first."""
    _n = notices.c
    columns = (_n.id, _n.kind, _n.email, _n.state, _n.attempts, _n.created_at, _n.changed_at)
    query = (
        select(*columns, _n.reply)
        .where(_n.state.in_([state.value for state in states]))
        .order_by(_n.id.desc())
        .limit(_MOST_SHOWN)
    )
    return [
        Shown(**row._asdict() | {"state": State(row.state)}) for row in connection.execute(query)
    ]


def _as_seen(due: Due) -> tuple[Any, Any]:
    """Find a notice as it was read: nobody has attempted it since."""
    return notices.c.id == due.id, notices.c.attempts == due.attempts


def _settled(state: State) -> dict[str, Any]:
    """Give what a settled notice keeps: nothing of what it said."""
    return {"state": state.value, "payload": {}, "content": None}


def _note_doubts(
    connection: Connection, doubtful: Sequence[Any], said: str, *, now: datetime, again_at: datetime
) -> None:
    """Have notices whose fate is unknown sent once more; a second doubt settles them."""
    _n = notices.c
    common = {"reply": said, "changed_at": now}
    # The final ones first: the others are not to be counted twice.
    connection.execute(
        update(notices)
        .where(*doubtful, _n.doubts >= DOUBTS_RETRIED)
        .values(**_settled(State.IN_DOUBT), doubts=_n.doubts + 1, **common)
    )
    connection.execute(
        update(notices)
        .where(*doubtful)
        .values(state=State.PENDING.value, doubts=_n.doubts + 1, next_attempt_at=again_at, **common)
    )


def _build_due(row: Row[Any]) -> Due:
    return Due(
        id=row.id,
        kind=row.kind,
        email=row.email,
        email_key=row.email_key,
        language=row.language,
        fields=row.payload,
        attempts=row.attempts,
        created_at=row.created_at,
        not_after=row.not_after,
        content=row.content,
    )
