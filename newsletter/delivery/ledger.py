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
precondition. Those of a run are built once, at the file's end. States stand in them as
literals and `_IS_OPEN` in the words of the partial index `ix_deliveries_open`: only so is
that index used, and a lease costs the same at the first reader and the millionth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    Connection,
    Row,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    text,
    union_all,
    update,
)

from newsletter.audience.address import build_key
from newsletter.audience.pseudonyms import PREFIX
from newsletter.audience.reader import Choices, Reader
from newsletter.audience.segment_sql import build_condition, mentions, read_value
from newsletter.audience.suppression import freeze_audience, suppress
from newsletter.delivery.audience import (
    EVERYBODY,
    Audience,
    is_mailed,
    is_suppressed,
    names_had,
)
from newsletter.delivery.entries import Grant, Intent, Job, Leased, Outcome, Run
from newsletter.delivery.guards import Alert
from newsletter.delivery.holder import is_gone, shown_holder
from newsletter.delivery.inquiry import count_states, in_state, read_had
from newsletter.delivery.journal import Journal, taken_over
from newsletter.delivery.lifecycle import OPEN, State, origins
from newsletter.delivery.settle import close_cancelled, doubt_left
from newsletter.delivery.waves import Hour, Wave
from newsletter.editions.model import name_edition, parse_edition_name
from newsletter.errors import AlreadyRunning, RefusedError
from newsletter.store import Database, tables
from newsletter.store.happenings import tell_of_edition
from newsletter.store.tables import (
    OPEN_STATES,
    Instant,
    deliveries,
    editions,
    is_in,
    relay_states,
    runs,
    subscribers,
)

__all__ = ["LEASE", "Grant", "Intent", "Job", "Leased", "Ledger", "Outcome", "Run"]

LEASE = timedelta(seconds=20)
"""How long a run lives without a heartbeat; it renews at a quarter of that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What was learned about one destination's pace, in `Dispatcher.snapshot`'s form."""

    learned: Mapping[str, Any]
    learned_at: datetime


class Ledger:
    """The deliveries of one database."""

    def __init__(self, database: Database, *, in_doubt: Literal["hold", "retry"] = "hold") -> None:
        self._database = database
        self._retries_doubt = in_doubt == "retry"

    # -- the audience --------------------------------------------------------------------------

    @staticmethod
    def enrol(
        connection: Connection,
        edition_id: int,
        now: datetime,
        audience: Audience = EVERYBODY,
        *,
        refers_to: Sequence[str] = (),
        plan: Callable[[Mapping[Hour, int]], Sequence[Wave]] | None = None,
        follows_zones: bool = False,
    ) -> int:
        """Freeze the audience and each reader's choices; return how many there are.

        `refers_to` are names of editions: which of these a reader was sent, or is still to be
        sent, is frozen too. The caller's transaction also approves the edition, so that both
        happen or neither.

        Everybody's copy is due at once, unless a `plan` says when those of each chosen hour are;
        with `follows_zones` those of each zone as well.
        """
        freeze_audience(connection)
        _s, is_sqlite = subscribers.c, connection.dialect.name == "sqlite"
        # SQLite would go by the index on the status and look each reader up: nearly all are
        # active, so it reads the table, in the order in which the rows are then appended.
        status: Any = literal_column("+subscribers.status") if is_sqlite else _s.status
        is_in_audience = and_(
            status == "active",
            _is_in(connection, edition_id, audience, now),
        )
        at_once = literal(now, deliveries.c.next_attempt_at.type)
        due: Any = at_once
        if plan:
            chosen = _count_hours(connection, is_in_audience, follows_zones=follows_zones)
            _store_waves(connection, edition_id, plan(chosen))
            due = _build_due_at(edition_id, at_once, is_sqlite=is_sqlite)
        rows = select(
            literal(edition_id),
            _s.id,
            _s.email,
            _s.email_key,
            _s.name,
            _s.choices,
            _s.fields,
            names_had(connection, refers_to),
            literal(State.PENDING.value),
            due,
            literal(now, deliveries.c.changed_at.type),
        ).where(is_in_audience)
        columns = (
            "edition_id",
            "subscriber_id",
            "email",
            "email_key",
            "name",
            "choices",
            "fields",
            "had",
            "state",
            "next_attempt_at",
            "changed_at",
        )
        frozen = insert(deliveries).from_select(columns, rows)
        # PostgreSQL counts the rows of an INSERT only where that is asked for.
        counted = connection.execute(frozen.execution_options(preserve_rowcount=True))
        connection.execute(insert(runs).values(edition_id=edition_id, audience=counted.rowcount))
        return counted.rowcount

    @staticmethod
    def count_audience(
        connection: Connection, edition_id: int, now: datetime, audience: Audience = EVERYBODY
    ) -> int:
        """Count whom `enrol` would take."""
        readers = select(func.count()).where(
            subscribers.c.status == "active", _is_in(connection, edition_id, audience, now)
        )
        return connection.execute(readers).scalar_one()

    @staticmethod
    def is_taken(connection: Connection, kind: str, day: date, audience: Audience) -> bool:
        """Tell whether anybody takes editions of a kind on a date, whatever these tell."""
        is_for = is_mailed(connection, kind, day, audience)
        taker = select(subscribers.c.id).where(subscribers.c.status == "active", is_for).limit(1)
        return connection.execute(taker).first() is not None

    @staticmethod
    def count_hours(
        connection: Connection, kind: str, day: date, *, follows_zones: bool
    ) -> tuple[int, dict[Hour, int]]:
        """Count who would be mailed were an edition approved now: all, and those of each hour."""
        is_in = and_(subscribers.c.status == "active", is_mailed(connection, kind, day, EVERYBODY))
        everybody = connection.execute(select(func.count()).where(is_in)).scalar_one()
        return everybody, _count_hours(connection, is_in, follows_zones=follows_zones)

    def counts(self, edition_id: int) -> dict[State, int]:
        """Count an edition's deliveries by state; they sum to the audience.

        Every row is read until the edition is sent; from then on the accepted, nearly all, are
        what is left of its audience: nothing makes or ends a row any more.
        """
        with self._database.reading() as connection:
            if connection.scalar(_IS_OVER, {"edition": edition_id}):
                return count_states(connection, edition_id)
            rows = connection.execute(
                select(deliveries.c.state, func.count())
                .where(deliveries.c.edition_id == edition_id)
                .group_by(deliveries.c.state)
            )
            return {State(state): count for state, count in rows}

    # -- a run ---------------------------------------------------------------------------------

    def take(self, edition_id: int, holder: str, now: datetime) -> Run:
        """Take the right to send an edition, and clear up after a run that died.

        Raises `AlreadyRunning` while another holder's lease lasts, `RefusedError` for an
        edition that is not to be sent.
        """
        with self._database.writing() as connection:
            # The run's row first, as everybody locks them.
            connection.execute(
                select(runs.c.edition_id).where(runs.c.edition_id == edition_id).with_for_update()
            ).one()
            row = connection.execute(
                select(editions.c.state, runs.c.fence, runs.c.holder, runs.c.lease_until)
                .join_from(editions, runs)
                .where(editions.c.id == edition_id)
                .with_for_update()
            ).one()
            if row.state not in ("approved", "sending"):
                raise RefusedError(
                    f"edition {edition_id} is {row.state}; only an approved one can be sent"
                )
            alive = row.holder and row.lease_until > now and not is_gone(row.holder)
            if alive:
                raise AlreadyRunning(
                    f"{shown_holder(row.holder)} is sending this edition",
                    mend="let it finish, or stop it and run the same command again",
                )
            run = Run(edition_id=edition_id, fence=row.fence + 1, holder=holder)
            connection.execute(
                update(editions).where(editions.c.id == edition_id).values(state="sending")
            )
            if row.state == "approved":
                tell_of_edition(connection, edition_id, "sending", now=now)
            connection.execute(
                update(runs)
                .where(runs.c.edition_id == edition_id)
                .values(fence=run.fence, holder=holder, lease_until=now + LEASE)
            )
            self._recover(connection, run, now)
        return run

    def renew(self, run: Run, now: datetime, progress: Mapping[str, Any] | None = None) -> None:
        """Keep the run alive, and tell how it stands; raises `LeaseLost` if it was taken over."""
        with self._database.writing() as connection:
            self._assert_fence(connection, run)
            connection.execute(
                update(runs)
                .where(runs.c.edition_id == run.edition_id)
                .values(lease_until=now + LEASE, progress=dict(progress) if progress else None)
            )

    def is_halted(self, run: Run) -> bool:
        """Tell whether the edition was paused or cancelled."""
        with self._database.reading() as connection:
            return bool(connection.execute(_STATE, _of(run)).scalar_one() != "sending")

    def lease(self, run: Run, limit: int, now: datetime) -> Leased:
        """Take up to `limit` deliveries that are due; those suppressed meanwhile drop out.

        What a copy leaves out since an edition that was under way had it is told after all where
        that one did not come to the reader, unless the copy was tried before.
        """
        with self._database.writing() as connection:
            self._assert_fence(connection, run)
            rows = connection.execute(_LEASE, _of(run) | {"now": now, "most": limit}).all()
            lost = _take_back_lost(connection, run, rows)
        rows = sorted(rows, key=lambda row: row.subscriber_id)
        jobs = tuple(
            _job(row, read_had(row.had) - lost.get(row.subscriber_id, frozenset()))
            for row in rows
            if row.state == State.LEASED
        )
        return Leased(jobs=jobs, suppressed=len(rows) - len(jobs))

    def give_back(self, run: Run, now: datetime) -> None:
        """Give back everything still leased: nothing of it has been handed over."""
        with self._database.writing() as connection:
            self._assert_fence(connection, run)
            connection.execute(_GIVE_BACK, _of(run) | {"now": now})

    def put_off(self, run: Run, rows: Sequence[tuple[Job, datetime]], now: datetime) -> None:
        """Give some of what is leased back, due at a later time."""
        if not rows:
            return
        with self._database.writing() as connection:
            self._assert_fence(connection, run)
            connection.execute(
                _PUT_OFF,
                [
                    _of(run) | {"now": now, "of": job.reader.subscriber_id, "due": due}
                    for job, due in rows
                ],
            )

    def record(
        self, run: Run, outcomes: Sequence[Outcome], intents: Sequence[Intent], now: datetime
    ) -> dict[int, Grant]:
        """Commit what became of some messages and the intent to send others, together.

        Returns the answer to each intent, by subscriber; the final dot may be written only
        where it is `GIVEN`. Raises `LeaseLost`, having changed nothing, when the fence is not
        ours any more or an outcome is of a delivery that this run does not hold.
        """
        with closing(self.open_journal(run)) as journal:
            return journal.record(outcomes, intents, now)

    def open_journal(self, run: Run) -> Journal:
        """Give what records for a run, commit after commit; close it at the end."""
        return Journal(self._database, run, retries_doubt=self._retries_doubt)

    def remember(
        self,
        run: Run,
        alerts: Sequence[Alert],
        dead: Sequence[tuple[Reader, str]],
        lessons: Mapping[str, Mapping[str, Any]],
        now: datetime,
    ) -> None:
        """Store what a run found out: for a person, about addresses, and about relays' pace."""
        with self._database.writing() as connection:
            self._assert_fence(connection, run)
            if alerts:
                connection.execute(
                    insert(tables.alerts),
                    [
                        {
                            "edition_id": run.edition_id,
                            "raised_at": now,
                            "kind": alert.kind.value,
                            "sentence": alert.sentence,
                        }
                        for alert in alerts
                    ],
                )
            for reader, said in dead:
                # By the copy's own key: who was erased meanwhile is not named anew.
                given = {"edition": run.edition_id, "of": reader.subscriber_id}
                # Who has another address by now is not reached at the old one, and that is all.
                mailed = build_key(reader.email)
                keys = [
                    key
                    for key in connection.scalars(_KEY_OF, given)
                    if key == mailed or key.startswith(PREFIX)
                ]
                suppress(connection, keys, "bounced", now, detail=said)
            known = set(connection.scalars(select(relay_states.c.relay)))
            forgotten = known - lessons.keys()
            if forgotten:
                connection.execute(
                    delete(relay_states).where(relay_states.c.relay.in_(sorted(forgotten)))
                )
            for relay, learned in lessons.items():
                values = {"learned": dict(learned), "learned_at": now}
                connection.execute(
                    update(relay_states).where(relay_states.c.relay == relay).values(values)
                    if relay in known
                    else insert(relay_states).values(relay=relay, **values)
                )

    def load_lessons(self) -> dict[str, Lesson]:
        """Load what earlier runs learned about the pace of relays and domains."""
        with self._database.reading() as connection:
            return {
                row.relay: Lesson(learned=row.learned, learned_at=row.learned_at)
                for row in connection.execute(select(relay_states))
            }

    def expire(self, run: Run, now: datetime) -> int:
        """Give up what is still open once the edition's `not_after` has passed."""
        with self._database.writing() as connection:
            self._assert_fence(connection, run)
            return connection.execute(_EXPIRE, _of(run) | {"now": now}).rowcount

    def next_due(self, run: Run) -> datetime | None:
        """Tell when the next open delivery is due, or None when none is open."""
        with self._database.reading() as connection:
            found: datetime | None = connection.execute(_NEXT_DUE, _of(run)).scalar()
            return found

    def release(self, run: Run, now: datetime, progress: Mapping[str, Any] | None = None) -> bool:
        """End the run. True when no row is left open: then, and only then, it is sent.

        `progress` is how it stood at its end. An edition that was paused or cancelled meanwhile
        stays that; a cancelled one has no row left open either.
        """
        with self._database.writing() as connection:
            state = self._assert_fence(connection, run)
            if state == "cancelled":
                close_cancelled(connection, run.edition_id, now)
            is_open = connection.execute(_ANY_OPEN, _of(run)).first() is not None
            is_sent = state == "sending" and not is_open
            if is_sent:
                connection.execute(
                    update(editions)
                    .where(editions.c.id == run.edition_id)
                    .values(state="sent", sent_at=now)
                )
                tell_of_edition(connection, run.edition_id, "sent", now=now)
            connection.execute(
                update(runs)
                .where(runs.c.edition_id == run.edition_id)
                .values(holder="", lease_until=None, **({"progress": progress} if progress else {}))
            )
        return is_sent

    # -- within a transaction ------------------------------------------------------------------

    @staticmethod
    def _assert_fence(connection: Connection, run: Run) -> str:
        """Return the edition's state, if the run still holds it."""
        row = connection.execute(_FENCE, _of(run)).one()
        if row.fence != run.fence or row.holder != run.holder:
            raise taken_over()
        return str(row.state)

    def _recover(self, connection: Connection, run: Run, now: datetime) -> None:
        """Judge what earlier runs left: `sending` is in doubt, `leased` never left."""
        doubt_left(connection, run.edition_id, now)
        connection.execute(_GIVE_BACK_LEFT, _of(run) | {"now": now})
        if self._retries_doubt:
            connection.execute(_RETRY_DOUBTS, _of(run) | {"now": now})


_WAVES = tables.waves.c


def _chosen_hour(*, is_sqlite: bool) -> tuple[Any, Any]:
    """Give the expressions of the zone and the clock that a reader chose; "" for none."""
    choices = subscribers.c.choices
    return (
        read_value(choices, "timezone", is_sqlite=is_sqlite),
        read_value(choices, "send_at", is_sqlite=is_sqlite),
    )


def _count_hours(
    connection: Connection, is_in_audience: Any, *, follows_zones: bool
) -> dict[Hour, int]:
    """Count the readers of each hour that is chosen; of each zone too where they are followed.

    Most chose neither: their choices are only searched for the words, and not parsed.
    """
    chose = mentions("send_at", "timezone") if follows_zones else mentions("send_at")
    zone, clock = _chosen_hour(is_sqlite=connection.dialect.name == "sqlite")
    counted = (
        select(zone.label("zone"), clock.label("clock"), func.count())
        .where(is_in_audience, chose)
        .group_by("zone", "clock")
    )
    return {Hour(zone=z, clock=c): n for z, c, n in connection.execute(counted)}


def _store_waves(connection: Connection, edition_id: int, planned: Sequence[Wave]) -> None:
    if planned:
        connection.execute(
            insert(tables.waves),
            [
                {
                    "edition_id": edition_id,
                    "zone": wave.hour.zone,
                    "clock": wave.hour.clock,
                    "readers": wave.readers,
                    "due_at": wave.due_at,
                    "begins_at": wave.begins_at,
                }
                for wave in planned
            ],
        )


def _build_due_at(edition_id: int, at_once: Any, *, is_sqlite: bool) -> Any:
    """Give the expression for when a reader's copy is due, by the waves that were stored."""
    zone, clock = _chosen_hour(is_sqlite=is_sqlite)
    begins_at = (
        select(_WAVES.begins_at)
        .where(_WAVES.edition_id == edition_id, _WAVES.zone == zone, _WAVES.clock == clock)
        .scalar_subquery()
    )
    chose = mentions("send_at", "timezone")
    return case((chose, func.coalesce(begins_at, at_once)), else_=at_once)


def _is_in(connection: Connection, edition_id: int, audience: Audience, now: datetime) -> Any:
    """Give the condition that a reader who is active is in the audience of an edition."""
    kind, day = connection.execute(
        select(editions.c.kind, editions.c.date).where(editions.c.id == edition_id)
    ).one()
    is_sqlite = connection.dialect.name == "sqlite"
    return and_(
        is_mailed(connection, kind, day, audience),
        build_condition(audience.segment, now, is_sqlite=is_sqlite),
    )


def _take_back_lost(
    connection: Connection, run: Run, rows: Sequence[Row[Any]]
) -> dict[int, set[str]]:
    """Take off copies that were never tried what was to come to their readers, and did not.

    From its first attempt on nothing of a copy changes. Gives the names of editions, by reader.
    """
    had = {row.subscriber_id: read_had(row.had) for row in rows if row.had and not row.attempts}
    names = frozenset().union(*had.values())
    dates = {named[0] for name in names if (named := parse_edition_name(name))}
    if not dates:
        return {}
    found = connection.execute(_NOT_OVER_BEFORE, _of(run) | {"dates": sorted(dates)})
    ids = {row.id: name_edition(row.date, row.kind) for row in found}
    lost: dict[int, set[str]] = {}
    for row in connection.execute(_NOT_SENT, {"editions": [*ids], "readers": [*had]}):
        if (name := ids[row.edition_id]) in had[row.subscriber_id]:
            lost.setdefault(row.subscriber_id, set()).add(name)
    changed = [
        _of(run) | {"of": reader, "names": " ".join(sorted(had[reader] - gone))}
        for reader, gone in lost.items()
    ]
    if changed:
        connection.execute(_HAD, changed)
    return lost


def _job(row: Row[Any], had: frozenset[str]) -> Job:
    return Job(
        reader=Reader(
            subscriber_id=row.subscriber_id,
            email=row.email,
            name=row.name,
            choices=Choices.from_document(row.choices),
            fields=row.fields,
            had=had,
        ),
        attempts=row.attempts,
    )


# -- statements ------------------------------------------------------------------------------------


def _of(run: Run) -> dict[str, Any]:
    return {"edition": run.edition_id, "mine": run.fence}


def _in_state(*states: str) -> Any:
    quoted: list[Any] = [literal_column(f"'{state}'") for state in sorted(states)]
    return _D.state == quoted[0] if len(quoted) == 1 else _D.state.in_(quoted)


def _build_due(state: State) -> Any:
    """Find the first due rows of one state, in the index's own order: nothing is sorted."""
    found = (
        select(_D.next_attempt_at, _D.subscriber_id)
        .where(_OF_EDITION, _in_state(state), _IS_OPEN, _D.next_attempt_at <= _NOW)
        .order_by(_D.next_attempt_at, _D.subscriber_id)
        .limit(bindparam("most"))
    )
    return select(found.subquery())


_D, _THIS = deliveries.c, editions.alias("this")
_NOW = bindparam("now", type_=Instant)
_OF_EDITION = _D.edition_id == bindparam("edition")
_IS_OPEN = text(f"({is_in(OPEN_STATES)})")

_FENCE = (
    select(runs.c.fence, runs.c.holder, editions.c.state)
    .join_from(runs, editions)
    .where(runs.c.edition_id == bindparam("edition"))
    # The lock keeps a take-over out until this transaction ends; SQLite, where a writing
    # transaction is alone anyway, ignores it.
    .with_for_update(read=True, of=runs)
)
_IS_OVER = (
    select(editions.c.id)
    .join_from(runs, editions)
    .where(
        editions.c.id == bindparam("edition"),
        or_(editions.c.state == "sent", runs.c.counts.is_not(None)),
    )
)
_DUE = union_all(*map(_build_due, sorted(origins(State.LEASED)))).subquery()
_LEASE = (
    update(deliveries)
    .where(
        _OF_EDITION,
        _D.subscriber_id.in_(
            select(_DUE.c.subscriber_id)
            .order_by(_DUE.c.next_attempt_at, _DUE.c.subscriber_id)
            .limit(bindparam("most"))
        ),
    )
    .values(
        state=case((is_suppressed(_D.email_key), State.SUPPRESSED.value), else_=State.LEASED.value),
        fence=bindparam("mine"),
        changed_at=_NOW,
    )
    .returning(
        _D.subscriber_id, _D.email, _D.name, _D.choices, _D.fields, _D.had, _D.attempts, _D.state
    )
)
_GIVE_BACK = (
    update(deliveries)
    .where(_OF_EDITION, _D.fence == bindparam("mine"), in_state(State.LEASED))
    .values(state=State.PENDING.value, changed_at=_NOW)
)
_KEY_OF = select(_D.email_key).where(_OF_EDITION, _D.subscriber_id == bindparam("of"))
_NOT_OVER_BEFORE = select(editions.c.id, editions.c.date, editions.c.kind).where(
    editions.c.date.in_(bindparam("dates", expanding=True)),
    or_(
        editions.c.sent_at.is_(None),
        editions.c.sent_at
        >= select(_THIS.c.dated_at).where(_THIS.c.id == bindparam("edition")).scalar_subquery(),
    ),
)
_NOT_SENT = select(_D.edition_id, _D.subscriber_id).where(
    _D.edition_id.in_(bindparam("editions", expanding=True)),
    _D.subscriber_id.in_(bindparam("readers", expanding=True)),
    _D.state.in_([State.FAILED, State.EXPIRED, State.SUPPRESSED]),
)
_HAD = (
    update(deliveries)
    .where(_OF_EDITION, _D.subscriber_id == bindparam("of"))
    .values(had=bindparam("names"))
)
_STATE = select(editions.c.state).where(editions.c.id == bindparam("edition"))
_PUT_OFF = (
    update(deliveries)
    .where(
        _OF_EDITION,
        _D.subscriber_id == bindparam("of"),
        _D.fence == bindparam("mine"),
        _in_state(State.LEASED),
    )
    .values(
        state=State.PENDING.value,
        changed_at=_NOW,
        next_attempt_at=bindparam("due", type_=Instant),
    )
)
_EXPIRE = (
    update(deliveries)
    .where(_OF_EDITION, in_state(*sorted(origins(State.EXPIRED) & OPEN)))
    .values(state=State.EXPIRED.value, changed_at=_NOW)
)
_NEXT_DUE = select(func.min(_D.next_attempt_at)).where(_OF_EDITION, _IS_OPEN)
_ANY_OPEN = select(_D.subscriber_id).where(_OF_EDITION, _IS_OPEN).limit(1)
_RETRY_DOUBTS = (
    update(deliveries)
    .where(_OF_EDITION, _in_state(State.IN_DOUBT))
    .values(state=State.PENDING.value, changed_at=_NOW)
)
_GIVE_BACK_LEFT = (
    update(deliveries)
    .where(_OF_EDITION, _D.fence < bindparam("mine"), in_state(State.LEASED))
    .values(state=State.PENDING.value, changed_at=_NOW)
)
