"""What an operator decides: pause, resume or cancel an edition, settle doubts, try again.

Every function works within the caller's writing transaction and says what it changed. Each
decision that changes something is kept in `decisions` with who made it, and noted in the audit;
made twice it changes nothing the second time.

A running sender is never waited for and never surprised. It asserts the edition's state with
every commit, so it can begin no message more once a pause or a cancellation is committed; what
it has under way (`leased`, `sending`) is left to it, and it closes that when it ends, with
`close_cancelled`. What a dead one left is judged here: its fence is taken away first, so that
one which only stood still can do nothing any more.

The row of `runs` is locked before the edition's: the order in which a run's own commits do it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, insert, literal, select, update

from newsletter.delivery.inquiry import (
    OF_EDITION,
    in_state,
    is_dead_address,
    is_kept_out,
    read_run,
)
from newsletter.delivery.lifecycle import State, origins
from newsletter.editions.lifecycle import move
from newsletter.editions.shelf import EditionRecord, change_state, read_edition
from newsletter.errors import IllegalMove, RefusedError
from newsletter.store.audit import Actor, note
from newsletter.store.happenings import tell_of_edition
from newsletter.store.tables import Instant, attempts, decisions, deliveries, editions, runs

CANCELLED_WORDS = "cancelled by an operator"
_DIED_WORDS = "the sender died before the relay's answer was recorded"

Verdict = Literal["accepted", "again"]
"""What may be said of a delivery in doubt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """What a cancellation did."""

    changed: bool
    """False where the edition was cancelled before."""
    expired: int
    """Readers who get nothing now."""
    in_doubt: int
    """Messages that a dead sender left without an answer."""
    sender_is_alive: bool
    """Whether a sender still has messages under way, and will close them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """Readers who will be tried again."""

    failed: int
    expired: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.failed + self.expired


def note_override(
    connection: Connection, edition_id: int, findings: Sequence[str], *, by: str, now: datetime
) -> None:
    """Note the failed checks that somebody answers for, a sentence each, in one decision."""
    if findings:
        _note(connection, edition_id, "override", "; ".join(findings), by=by, now=now)


def note_segment(
    connection: Connection, edition_id: int, said: str, *, by: str, now: datetime
) -> None:
    """Note that not every active reader is an edition's audience, and who is."""
    _note(connection, edition_id, "segment", said, by=by, now=now)


def note_bounces(
    connection: Connection, record: EditionRecord, action: str, *, by: Actor, now: datetime
) -> None:
    """Note what is to be done with what came back of an edition."""
    _note(connection, record.id, action, "", by=by.who, now=now)


def note_send(connection: Connection, edition_id: int, *, by: Actor, now: datetime) -> None:
    """Note that an approved edition is to be sent at once: a running `serve` takes it up."""
    record = read_edition(connection, edition_id)
    if record.state != "approved":
        raise _refuse(record, "")
    _note(connection, edition_id, "send", "", by=by.who, now=now)
    note(connection, by, "edition.send", f"edition {record.name}", now=now)


def note_plan(
    connection: Connection, record: EditionRecord, at: datetime, *, by: Actor, now: datetime
) -> None:
    """Note that an edition is to be sent at a moment of its own, as it stands."""
    said = f"to be sent at {at:%Y-%m-%d %H:%M} UTC"
    _note(connection, record.id, "plan", said, by=by.who, now=now)
    note(connection, by, "edition.plan", f"edition {record.name}", now=now, detail=said)


def take_up(connection: Connection, edition_id: int, *, by: Actor, now: datetime) -> None:
    """Have a running `serve` go on with an edition that nobody sends, as after a pause."""
    if read_edition(connection, edition_id).state == "sending":
        _note(connection, edition_id, "resume", "tried again", by=by.who, now=now)


# -- an edition ------------------------------------------------------------------------------------


def pause(
    connection: Connection, edition_id: int, *, by: Actor, now: datetime, reason: str = ""
) -> bool:
    """Pause an edition that is being sent; False if it is paused already.

    Raises `RefusedError` for one that is not being sent.
    """
    record = read_edition(connection, edition_id)
    if record.state == "paused":
        return False
    if record.state != "sending":
        raise _refuse(record, "so there is nothing to pause")
    return _change(connection, record, "paused", action="pause", by=by, now=now, reason=reason)


def resume(connection: Connection, edition_id: int, *, by: Actor, now: datetime) -> bool:
    """Let a paused edition be sent again; False if it is being sent already.

    Raises `RefusedError` for one that is not paused.
    """
    record = read_edition(connection, edition_id)
    if record.state == "sending":
        return False
    if record.state != "paused":
        raise _refuse(record, "not paused")
    return _change(connection, record, "sending", action="resume", by=by, now=now)


def cancel(connection: Connection, edition_id: int, *, by: Actor, now: datetime) -> Cancelled:
    """Cancel an edition: whoever has not been sent it gets nothing.

    Asked again it closes what a sender left that died meanwhile. Raises `RefusedError` for an
    edition that is sent.
    """
    _lock_run(connection, edition_id)
    record = read_edition(connection, edition_id)
    if record.state == "sent":
        raise _refuse(record, "so there is nothing left to cancel")
    run = read_run(connection, edition_id, now)
    alive = run is not None and run.is_alive
    in_doubt = expired = 0
    if alive:
        expired = _expire(connection, edition_id, now, "pending", "deferred")
    elif run is not None:
        connection.execute(
            update(runs)
            .where(runs.c.edition_id == edition_id)
            .values(fence=runs.c.fence + 1, holder="", lease_until=None)
        )
        expired, in_doubt = close_cancelled(connection, edition_id, now)
    changed = record.state != "cancelled" and _change(
        connection,
        record,
        "cancelled",
        action="cancel",
        by=by,
        now=now,
        reason=f"cancelled by {by.who}",
    )
    return Cancelled(changed=changed, expired=expired, in_doubt=in_doubt, sender_is_alive=alive)


def close_cancelled(connection: Connection, edition_id: int, now: datetime) -> tuple[int, int]:
    """End every open delivery of a cancelled edition: how many expired, how many are in doubt.

    To be called only where nobody sends the edition any more: by a run that ends, or once its
    fence is taken away. `sending` is in doubt then, and the rest gets nothing.
    """
    in_doubt = doubt_left(connection, edition_id, now)
    return _expire(connection, edition_id, now, *origins(State.EXPIRED)), in_doubt


def doubt_left(connection: Connection, edition_id: int, now: datetime) -> int:
    """Judge what a dead run left `sending`: each is in doubt, with an attempt that says so."""
    given = {"edition": edition_id, "now": now}
    connection.execute(_INSERT_LEFT_ATTEMPTS, given)
    return connection.execute(_DOUBT_LEFT, given).rowcount


# -- deliveries ------------------------------------------------------------------------------------


def settle_doubts(
    connection: Connection,
    edition_id: int,
    verdict: Verdict,
    evidence: Mapping[int, str],
    *,
    by: Actor,
    now: datetime,
    not_after: datetime,
) -> int:
    """Settle deliveries in doubt, each for a reason; return how many were still in doubt.

    `evidence` has the reason for each, by subscriber. To be tried `again` they go back to
    pending, a sent edition is being sent again, and one whose time had passed until
    `not_after`. Raises `RefusedError` for that where the edition is cancelled.
    """
    _lock_run(connection, edition_id)
    record = read_edition(connection, edition_id)
    if verdict == "again" and record.state == "cancelled":
        raise _refuse(record, "so nobody is mailed it any more")
    to = State.ACCEPTED if verdict == "accepted" else State.PENDING
    given = {"edition": edition_id, "now": now, "to": to.value}
    settled = [
        subscriber_id
        for subscriber_id in evidence
        if connection.execute(_SETTLE, given | {"of": subscriber_id}).rowcount
    ]
    for subscriber_id in settled:
        detail = f"{verdict}: {evidence[subscriber_id]}"
        _note(connection, edition_id, "resolve", detail, by=by.who, now=now, reader=subscriber_id)
    if settled and verdict == "again":
        was_over = record.not_after is None or record.not_after <= now
        extended = not_after if was_over or record.state == "sent" else None
        _reopen(connection, record, extended, now)
    if settled:
        note(
            connection,
            by,
            "edition.settle",
            f"edition {record.name}",
            now=now,
            detail=f"{len(settled):,} in doubt: {verdict}",
            after=[[number, evidence[number]] for number in settled],
        )
    return len(settled)


def put_back(
    connection: Connection,
    edition_id: int,
    *,
    including_dead: bool,
    by: Actor,
    now: datetime,
    not_after: datetime,
) -> PutBack:
    """Put failed and expired deliveries back to pending, to be tried until `not_after`.

    Never who is suppressed by now; who has no such mailbox only `including_dead`. Raises
    `RefusedError` unless the edition is sent or being sent.
    """
    _lock_run(connection, edition_id)
    record = read_edition(connection, edition_id)
    if record.state == "paused":
        raise _refuse(record, "", mend=f"run `newsletter resume {record.name}` first")
    if record.state not in ("sent", "sending"):
        raise _refuse(record, "so nobody can be tried again")
    given = {"edition": edition_id, "now": now}
    failed = _PUT_BACK_FAILED if including_dead else _PUT_BACK_LIVING
    done = PutBack(
        failed=connection.execute(failed, given).rowcount,
        expired=connection.execute(_PUT_BACK_EXPIRED, given).rowcount,
    )
    if done.total:
        detail = f"{done.failed:,} failed and {done.expired:,} expired put back"
        _note(connection, edition_id, "retry_failed", detail, by=by.who, now=now)
        _reopen(connection, record, not_after, now)
        target = f"edition {record.name}"
        note(connection, by, "edition.retry", target, now=now, detail=detail)
    return done


# -- within a transaction --------------------------------------------------------------------------


def _lock_run(connection: Connection, edition_id: int) -> None:
    """Keep a run's commits out until this transaction ends."""
    connection.execute(
        select(runs.c.edition_id).where(runs.c.edition_id == edition_id).with_for_update()
    )


def _change(
    connection: Connection,
    record: EditionRecord,
    to: Literal["sending", "paused", "cancelled"],
    *,
    action: str,
    by: Actor,
    now: datetime,
    reason: str = "",
) -> bool:
    """Move an edition and note it; False where somebody else was quicker with the same."""
    try:
        change_state(connection, record.id, to, reason=reason, now=now)
    except IllegalMove as refusal:
        if refusal.state == to:
            return False
        raise
    was = f"was {record.state}"
    _note(connection, record.id, action, was, by=by.who, now=now)
    note(
        connection,
        by,
        f"edition.{action}",
        f"edition {record.name}",
        now=now,
        detail=was,
        before={"state": record.state},
        after={"state": to},
    )
    return True


def _reopen(
    connection: Connection, record: EditionRecord, not_after: datetime | None, now: datetime
) -> None:
    """Let an edition be sent again, for as long as `not_after` says where it is given."""
    values: dict[str, Any] = {} if not_after is None else {"not_after": not_after}
    if record.state == "sent":
        values |= {"state": move("sent", "sending"), "sent_at": None}
        tell_of_edition(connection, record.id, "sending", now=now)
    if values:
        connection.execute(update(editions).where(editions.c.id == record.id).values(values))


def _expire(connection: Connection, edition_id: int, now: datetime, *states: str) -> int:
    return connection.execute(
        update(deliveries)
        .where(OF_EDITION, in_state(*sorted(states)))
        .values(state=State.EXPIRED.value, reply=CANCELLED_WORDS, changed_at=_NOW),
        {"edition": edition_id, "now": now},
    ).rowcount


def _note(
    connection: Connection,
    edition_id: int,
    action: str,
    detail: str,
    *,
    by: str,
    now: datetime,
    reader: int | None = None,
) -> None:
    connection.execute(
        insert(decisions).values(
            edition_id=edition_id,
            subscriber_id=reader,
            decided_at=now,
            decided_by=by,
            action=action,
            detail=detail,
        )
    )


def _refuse(record: EditionRecord, consequence: str, *, mend: str = "") -> RefusedError:
    state = {"draft": "a draft", "sending": "being sent"}.get(record.state, record.state)
    if not mend and record.state in ("draft", "ready", "approved", "held"):
        mend = f"`newsletter send {record.options}` sends it, `newsletter cancel` drops it"
    said = f"the edition of {record.name} is {state}"
    return RefusedError(", ".join(filter(None, (said, consequence))), mend=mend)


# -- statements ------------------------------------------------------------------------------------


_D = deliveries.c
_NOW = bindparam("now", type_=Instant)
_SENDING_LEFT = (OF_EDITION, in_state(*origins(State.IN_DOUBT)))
_INSERT_LEFT_ATTEMPTS = insert(attempts).from_select(
    [column.name for column in attempts.c],
    select(
        _D.edition_id,
        _D.subscriber_id,
        _D.attempts,
        _D.via,
        _D.changed_at,
        _NOW,
        literal(State.IN_DOUBT.value),
        literal(_DIED_WORDS),
    ).where(*_SENDING_LEFT),
)
_DOUBT_LEFT = (
    update(deliveries)
    .where(*_SENDING_LEFT)
    .values(state=State.IN_DOUBT.value, reply=_DIED_WORDS, changed_at=_NOW, next_attempt_at=_NOW)
)
_SETTLE = (
    update(deliveries)
    .where(
        OF_EDITION,
        _D.subscriber_id == bindparam("of"),
        _D.state == State.IN_DOUBT.value,
    )
    .values(state=bindparam("to"), changed_at=_NOW, next_attempt_at=_NOW)
)


def _build_put_back(state: State, *conditions: Any) -> Any:
    return (
        update(deliveries)
        .where(OF_EDITION, in_state(state), ~is_kept_out(), *conditions)
        .values(state=State.PENDING.value, changed_at=_NOW, next_attempt_at=_NOW)
    )


_PUT_BACK_FAILED = _build_put_back(State.FAILED)
_PUT_BACK_LIVING = _build_put_back(State.FAILED, ~is_dead_address())
_PUT_BACK_EXPIRED = _build_put_back(State.EXPIRED)
