"""The ledger: who is to get an edition, what was intended, what became of it.

It keeps the promise of delivery (G1 to G7 in the README's words) by three rules:

1. The audience is frozen in one transaction, a row a reader (`enrol`).
2. A row becomes `sending`, durably, before the final dot of its message is written, and only
   if the run still holds the edition's fence, the edition is still being sent and the
   address is not suppressed (`record`). All of that is one transaction.
3. What a dead run left behind is judged by its rows alone (`take`): leased means nothing
   left, sending means in doubt.

A run's `record` calls come from one thread at a time and carry what all its connections have
ready: acknowledgements of the last message and intents for the next share one commit.

This file is over 300 lines because the statements belong side by side: each is the other's
precondition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Literal

from sqlalchemy import (
    Connection,
    Row,
    bindparam,
    case,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)

from newsletter.audience.reader import Choices, Reader
from newsletter.delivery.holder import is_gone, shown_holder
from newsletter.delivery.lifecycle import OPEN, State, origins
from newsletter.errors import AlreadyRunning, LeaseLost, RefusedError
from newsletter.store import Database
from newsletter.store.tables import (
    OPEN_STATES,
    attempts,
    deliveries,
    editions,
    subscribers,
    suppressions,
)

LEASE = timedelta(seconds=20)
"""How long a run lives without a heartbeat; it renews at a quarter of that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The right to send an edition. `fence` grows with every run; an old one can do nothing."""

    edition_id: int
    fence: int
    holder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A leased delivery."""

    reader: Reader
    attempts: int
    """How many attempts there were before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """Deliveries taken up, and how many dropped out because their address is suppressed."""

    jobs: tuple[Job, ...]
    suppressed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """The final dot of this attempt is about to be written."""

    subscriber_id: int
    number: int
    via: str


class Grant(Enum):
    """The ledger's answer to an intent."""

    GIVEN = "given"
    SUPPRESSED = "suppressed"
    HALTED = "halted"
    """The edition is not being sent any more: paused or cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an attempt. `intended` tells whether its intent had been committed."""

    subscriber_id: int
    number: int
    via: str
    state: State
    reply: str
    started_at: datetime
    ended_at: datetime
    next_attempt_at: datetime
    intended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A delivery in doubt, as an operator sees it."""

    subscriber_id: int
    email: str
    via: str
    reply: str
    since: datetime


class Ledger:
    """The deliveries of one database."""

    def __init__(self, database: Database, *, in_doubt: Literal["hold", "retry"] = "hold") -> None:
        self._database = database
        self._retries_doubt = in_doubt == "retry"

    # -- the audience --------------------------------------------------------------------------

    @staticmethod
    def enrol(connection: Connection, edition_id: int, now: datetime) -> int:
        """Freeze the audience and each reader's choices; return how many there are.

        The caller's transaction also approves the edition, so that both happen or neither.
        """
        _s = subscribers.c
        audience = select(
            literal(edition_id),
            _s.id,
            _s.email,
            _s.email_key,
            _s.name,
            _s.choices,
            _s.fields,
            literal(State.PENDING.value),
            literal(now, deliveries.c.next_attempt_at.type),
            literal(now, deliveries.c.changed_at.type),
        ).where(_s.status == "active", ~_is_suppressed(_s.email_key))
        columns = (
            "edition_id",
            "subscriber_id",
            "email",
            "email_key",
            "name",
            "choices",
            "fields",
            "state",
            "next_attempt_at",
            "changed_at",
        )
        return connection.execute(insert(deliveries).from_select(columns, audience)).rowcount

    def counts(self, edition_id: int) -> dict[State, int]:
        """Count an edition's deliveries by state; they sum to the audience."""
        with self._database.reading() as connection:
            rows = connection.execute(
                select(deliveries.c.state, func.count())
                .where(deliveries.c.edition_id == edition_id)
                .group_by(deliveries.c.state)
            )
            return {State(state): count for state, count in rows}

    def doubts(self, edition_id: int) -> list[Doubt]:
        """List the deliveries in doubt."""
        _d = deliveries.c
        with self._database.reading() as connection:
            rows = connection.execute(
                select(_d.subscriber_id, _d.email, _d.via, _d.reply, _d.changed_at)
                .where(_d.edition_id == edition_id, _d.state == State.IN_DOUBT)
                .order_by(_d.subscriber_id)
            )
            return [
                Doubt(subscriber_id=r[0], email=r[1], via=r[2], reply=r[3], since=r[4])
                for r in rows
            ]

    def failures(self, edition_id: int, limit: int = 20) -> list[tuple[State, str, int]]:
        """Give the relay's words behind what did not arrive: state, words, how many."""
        _d = deliveries.c
        troubled = (State.FAILED, State.DEFERRED, State.EXPIRED, State.IN_DOUBT, State.BOUNCED)
        with self._database.reading() as connection:
            rows = connection.execute(
                select(_d.state, _d.reply, func.count())
                .where(_d.edition_id == edition_id, _d.state.in_(troubled))
                .group_by(_d.state, _d.reply)
                .order_by(func.count().desc(), _d.state, _d.reply)
                .limit(limit)
            )
            return [(State(state), reply, count) for state, reply, count in rows]

    # -- a run ---------------------------------------------------------------------------------

    def take(self, edition_id: int, holder: str, now: datetime) -> Run:
        """Take the right to send an edition, and clear up after a run that died.

        Raises `AlreadyRunning` while another holder's lease lasts, `RefusedError` for an
        edition that is not to be sent.
        """
        with self._database.writing() as connection:
            row = connection.execute(
                select(
                    editions.c.state, editions.c.fence, editions.c.holder, editions.c.lease_until
                )
                .where(editions.c.id == edition_id)
                .with_for_update()
            ).one()
            if row.state not in ("approved", "sending"):
                raise RefusedError(f"edition {edition_id} is {row.state}, so it is not sent")
            alive = row.holder and row.lease_until > now and not is_gone(row.holder)
            if alive:
                raise AlreadyRunning(
                    f"{shown_holder(row.holder)} is sending this edition",
                    mend="let it finish, or stop it and run the same command again",
                )
            run = Run(edition_id=edition_id, fence=row.fence + 1, holder=holder)
            connection.execute(
                update(editions)
                .where(editions.c.id == edition_id)
                .values(state="sending", fence=run.fence, holder=holder, lease_until=now + LEASE)
            )
            self._recover(connection, run, now)
        return run

    def renew(self, run: Run, now: datetime) -> None:
        """Keep the run alive; raises `LeaseLost` when another has taken over."""
        with self._database.writing() as connection:
            kept = connection.execute(
                update(editions)
                .where(editions.c.id == run.edition_id, editions.c.fence == run.fence)
                .values(lease_until=now + LEASE)
            ).rowcount
        if not kept:
            raise _taken_over()

    def lease(self, run: Run, limit: int, now: datetime) -> Leased:
        """Take up to `limit` deliveries that are due; those suppressed meanwhile drop out."""
        _d = deliveries.c
        due = (
            select(_d.subscriber_id)
            .where(
                _d.edition_id == run.edition_id,
                _d.state.in_(sorted(origins(State.LEASED))),
                _d.state.in_(OPEN_STATES),  # says so in the words of the partial index
                _d.next_attempt_at <= now,
            )
            .order_by(_d.next_attempt_at, _d.subscriber_id)
            .limit(limit)
        )
        with self._database.writing() as connection:
            self._assert_fence(connection, run)
            rows = connection.execute(
                update(deliveries)
                .where(_d.edition_id == run.edition_id, _d.subscriber_id.in_(due.scalar_subquery()))
                .values(
                    state=case(
                        (_is_suppressed(_d.email_key), State.SUPPRESSED.value),
                        else_=State.LEASED.value,
                    ),
                    fence=run.fence,
                    changed_at=now,
                )
                .returning(
                    _d.subscriber_id,
                    _d.email,
                    _d.name,
                    _d.choices,
                    _d.fields,
                    _d.attempts,
                    _d.state,
                )
            ).all()
        rows = sorted(rows, key=lambda row: row.subscriber_id)
        jobs = tuple(_job(row) for row in rows if row.state == State.LEASED)
        return Leased(jobs=jobs, suppressed=len(rows) - len(jobs))

    def give_back(self, run: Run, now: datetime) -> None:
        """Give back everything still leased: nothing of it has been handed over."""
        with self._database.writing() as connection:
            connection.execute(
                update(deliveries)
                .where(
                    deliveries.c.edition_id == run.edition_id,
                    deliveries.c.state == State.LEASED,
                    deliveries.c.fence == run.fence,
                )
                .values(state=State.PENDING, changed_at=now)
            )

    def record(
        self, run: Run, outcomes: Sequence[Outcome], intents: Sequence[Intent], now: datetime
    ) -> dict[int, Grant]:
        """Commit what became of some messages and the intent to send others, together.

        Returns the answer to each intent, by subscriber; the final dot may be written only
        where it is `GIVEN`. Raises `LeaseLost`, having changed nothing, when the fence is not
        ours any more.
        """
        with self._database.writing() as connection:
            state = self._assert_fence(connection, run)
            if outcomes:
                self._apply(connection, run, outcomes)
            if state != "sending":
                return {intent.subscriber_id: Grant.HALTED for intent in intents}
            return self._intend(connection, run, intents, now) if intents else {}

    def expire(self, run: Run, now: datetime) -> int:
        """Give up what is still open once the edition's `not_after` has passed."""
        with self._database.writing() as connection:
            self._assert_fence(connection, run)
            return connection.execute(
                update(deliveries)
                .where(
                    deliveries.c.edition_id == run.edition_id,
                    deliveries.c.state.in_(sorted(origins(State.EXPIRED))),
                )
                .values(state=State.EXPIRED, changed_at=now)
            ).rowcount

    def next_due(self, run: Run) -> datetime | None:
        """Tell when the next open delivery is due, or None when none is open."""
        _d = deliveries.c
        with self._database.reading() as connection:
            found: datetime | None = connection.execute(
                select(func.min(_d.next_attempt_at)).where(
                    _d.edition_id == run.edition_id, _d.state.in_(OPEN_STATES)
                )
            ).scalar()
            return found

    def release(self, run: Run, now: datetime) -> bool:
        """End the run. True when no row is left open: then, and only then, it is sent."""
        with self._database.writing() as connection:
            self._assert_fence(connection, run)
            open_rows = connection.execute(
                select(func.count()).where(
                    deliveries.c.edition_id == run.edition_id,
                    deliveries.c.state.in_(sorted(OPEN)),
                )
            ).scalar_one()
            values: dict[str, Any] = {"holder": "", "lease_until": None}
            if open_rows == 0:
                values |= {"state": "sent", "sent_at": now}
            connection.execute(
                update(editions).where(editions.c.id == run.edition_id).values(**values)
            )
        return open_rows == 0

    # -- statements ----------------------------------------------------------------------------

    @staticmethod
    def _assert_fence(connection: Connection, run: Run) -> str:
        """Return the edition's state, if the fence is still ours."""
        # The lock keeps a take-over (FOR UPDATE) out until this transaction ends; SQLite, where
        # a writing transaction is alone anyway, ignores it.
        row = connection.execute(
            select(editions.c.fence, editions.c.state)
            .where(editions.c.id == run.edition_id)
            .with_for_update(read=True)
        ).one()
        if row.fence != run.fence:
            raise _taken_over()
        return str(row.state)

    def _apply(self, connection: Connection, run: Run, outcomes: Sequence[Outcome]) -> None:
        for intended in (True, False):
            group = [o for o in outcomes if o.intended is intended]
            if not group:
                continue
            came_from = State.SENDING if intended else State.LEASED
            changed = connection.execute(
                update(deliveries)
                .where(
                    deliveries.c.edition_id == run.edition_id,
                    deliveries.c.subscriber_id == bindparam("of"),
                    deliveries.c.fence == run.fence,
                    deliveries.c.state == came_from,
                )
                .values(
                    state=bindparam("to"),
                    attempts=bindparam("number"),
                    reply=bindparam("said"),
                    via=bindparam("by"),
                    next_attempt_at=bindparam("due"),
                    changed_at=bindparam("at"),
                ),
                [
                    {
                        "of": o.subscriber_id,
                        "to": o.state.value,
                        "number": o.number,
                        "said": o.reply,
                        "by": o.via,
                        "due": o.next_attempt_at,
                        "at": o.ended_at,
                    }
                    for o in group
                ],
            ).rowcount
            if changed != len(group):
                raise _taken_over()
        connection.execute(
            insert(attempts),
            [
                {
                    "edition_id": run.edition_id,
                    "subscriber_id": o.subscriber_id,
                    "number": o.number,
                    "via": o.via,
                    "started_at": o.started_at,
                    "ended_at": o.ended_at,
                    "outcome": o.state.value,
                    "reply": o.reply,
                }
                for o in outcomes
            ],
        )
        if self._retries_doubt and any(o.state is State.IN_DOUBT for o in outcomes):
            self._settle_doubts(connection, run)

    def _intend(
        self, connection: Connection, run: Run, intents: Sequence[Intent], now: datetime
    ) -> dict[int, Grant]:
        _d = deliveries.c
        given = connection.execute(
            update(deliveries)
            .where(
                _d.edition_id == run.edition_id,
                _d.subscriber_id == bindparam("of"),
                _d.fence == run.fence,
                _d.state == State.LEASED,
                ~_is_suppressed(_d.email_key),
            )
            .values(
                state=State.SENDING.value,
                attempts=bindparam("number"),
                via=bindparam("by"),
                changed_at=now,
            ),
            [{"of": i.subscriber_id, "number": i.number, "by": i.via} for i in intents],
        ).rowcount
        asked = [i.subscriber_id for i in intents]
        if given == len(asked):
            return dict.fromkeys(asked, Grant.GIVEN)
        connection.execute(
            update(deliveries)
            .where(
                _d.edition_id == run.edition_id,
                _d.subscriber_id.in_(asked),
                _d.state == State.LEASED,
                _is_suppressed(_d.email_key),
            )
            .values(state=State.SUPPRESSED.value, changed_at=now)
        )
        states = connection.execute(
            select(_d.subscriber_id, _d.state).where(
                _d.edition_id == run.edition_id, _d.subscriber_id.in_(asked)
            )
        )
        grants = {State.SENDING: Grant.GIVEN, State.SUPPRESSED: Grant.SUPPRESSED}
        return {reader: grants.get(State(state), Grant.HALTED) for reader, state in states}

    def _recover(self, connection: Connection, run: Run, now: datetime) -> None:
        """Judge what an earlier run left: `sending` is in doubt, `leased` never left."""
        _d = deliveries.c
        left = (_d.edition_id == run.edition_id, _d.fence < run.fence)
        words = "the sender died before the relay's answer was recorded"
        connection.execute(
            insert(attempts).from_select(
                (
                    "edition_id",
                    "subscriber_id",
                    "number",
                    "via",
                    "started_at",
                    "ended_at",
                    "outcome",
                    "reply",
                ),
                select(
                    _d.edition_id,
                    _d.subscriber_id,
                    _d.attempts,
                    _d.via,
                    _d.changed_at,
                    literal(now, _d.changed_at.type),
                    literal(State.IN_DOUBT.value),
                    literal(words),
                ).where(*left, _d.state == State.SENDING, _d.state.in_(OPEN_STATES)),
            )
        )
        connection.execute(
            update(deliveries)
            .where(*left, _d.state == State.SENDING, _d.state.in_(OPEN_STATES))
            .values(state=State.IN_DOUBT, reply=words, changed_at=now, next_attempt_at=now)
        )
        connection.execute(
            update(deliveries)
            .where(*left, _d.state == State.LEASED, _d.state.in_(OPEN_STATES))
            .values(state=State.PENDING, changed_at=now)
        )
        if self._retries_doubt:
            self._settle_doubts(connection, run)

    @staticmethod
    def _settle_doubts(connection: Connection, run: Run) -> None:
        """Under the policy `retry`, what is in doubt is tried once more."""
        connection.execute(
            update(deliveries)
            .where(
                deliveries.c.edition_id == run.edition_id,
                deliveries.c.state == State.IN_DOUBT,
            )
            .values(state=State.PENDING)
        )


def _is_suppressed(email_key: Any) -> Any:
    return exists().where(suppressions.c.email_key == email_key)


def _taken_over() -> LeaseLost:
    return LeaseLost("another process has taken this edition over, so this one stopped")


def _job(row: Row[Any]) -> Job:
    return Job(
        reader=Reader(
            subscriber_id=row.subscriber_id,
            email=row.email,
            name=row.name,
            choices=Choices.from_document(row.choices),
            fields=row.fields,
        ),
        attempts=row.attempts,
    )
