"""The hot path of the ledger: outcomes and intents of all connections, in one transaction.

    BEGIN ─ fence? ─ move rows ─ write attempts ─ COMMIT        five statements, whatever the number

A group is moved by one UPDATE from a list of values, not by one for each message: the time of
a commit is then the database's own, and on PostgreSQL a group is one round trip. Every move
names the state and the attempt that it starts from, so a row that is not where this run left
it stays as it is. Nearly always all of them move, and their number says so; else all is taken
back and done once more one by one, to know which did not.

Statements go straight to the driver, over a connection that a run keeps: they are the same
few every time, and what SQLAlchemy adds to one would be most of its cost.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Any

from newsletter.audience.suppression import ORDER_LOCK
from newsletter.delivery.entries import Grant, Intent, Outcome, Run
from newsletter.delivery.lifecycle import MOVES, State
from newsletter.errors import IllegalMove, LeaseLost
from newsletter.store import Database
from newsletter.store.database import BUSY_SECONDS
from newsletter.store.tables import to_micros

MOST_AT_ONCE = 400
"""Rows in one statement: SQLite takes 32,766 values, and every number of rows is a text of its
own to be parsed once."""

_MOVE = (
    *("bigint", "text", "int", "text", "int", "text", "text", "bigint", "bigint"),
)  # subscriber, came from, attempts before, goes to, attempts, reply, via, due, at
_ATTEMPT_COLUMNS = "edition_id, subscriber_id, number, via, started_at, ended_at, outcome, reply"
_SUPPRESSED = "EXISTS (SELECT 1 FROM suppressions AS s WHERE s.email_key = deliveries.email_key)"


class _Busy(Exception):
    """Another process writes just now."""


class _Odd(Exception):
    """Not every row was where this run left it."""


class Journal:
    """Commits of one run. Made, used and closed by one thread at a time."""

    def __init__(self, database: Database, run: Run, *, retries_doubt: bool) -> None:
        self._database, self._run, self._retries_doubt = database, run, retries_doubt
        self._connection: Any = None
        self._is_patient = True

    @property
    def is_quick(self) -> bool:
        """Whether a commit takes no longer than handing it to a thread would."""
        return self._database.commits_at_once

    def try_record(
        self, outcomes: Sequence[Outcome], intents: Sequence[Intent], now: datetime
    ) -> dict[int, Grant] | None:
        """Do what `record` does, or nothing and give None where another writes just now."""
        try:
            return self._record(outcomes, intents, now, is_patient=False)
        except _Busy:
            return None

    def record(
        self, outcomes: Sequence[Outcome], intents: Sequence[Intent], now: datetime
    ) -> dict[int, Grant]:
        """Commit what became of some messages and the intent to send others, together.

        Returns the answer to each intent, by subscriber; the end of a message may be written
        only where it is `GIVEN`. Raises `LeaseLost`, having changed nothing, when the fence is
        not ours any more or an outcome is of a delivery that this run does not hold.
        """
        return self._record(outcomes, intents, now, is_patient=True)

    def _record(
        self,
        outcomes: Sequence[Outcome],
        intents: Sequence[Intent],
        now: datetime,
        *,
        is_patient: bool,
    ) -> dict[int, Grant]:
        assert len({i.subscriber_id for i in intents}) == len(intents), "one intent a delivery"
        try:
            with self._writing(is_patient) as cursor:
                return self._write(cursor, outcomes, intents, now, one_by_one=False)
        except _Odd:  # a row is not where it should be: again then, to know which
            with self._writing(is_patient) as cursor:
                return self._write(cursor, outcomes, intents, now, one_by_one=True)

    def close(self) -> None:
        """Give the connection back; the next commit would take another."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.invalidate()  # it is set up for a run, and nobody else should get it

    # -- within a transaction ------------------------------------------------------------------

    @contextmanager
    def _writing(self, is_patient: bool) -> Iterator[Any]:
        with self._database.turn(is_patient=is_patient) as is_ours, self._database.plain_words():
            if not (is_ours or is_patient):
                raise _Busy
            try:
                if self._connection is None:
                    self._connection = self._database.engine.raw_connection()
                    self._settle_in()
                cursor = self._connection.cursor()
                try:
                    self._begin(cursor, is_patient)
                    yield cursor
                    self._connection.commit()
                finally:
                    cursor.close()
            except _Busy:
                raise
            except _Odd:
                self._connection.rollback()
                raise
            except BaseException:
                self._give_up()
                raise

    def _settle_in(self) -> None:
        """Leave checkpoints, which wait for the disk, to the thread that leases (SQLite)."""
        if self._database.is_sqlite:
            self._connection.cursor().execute("PRAGMA wal_autocheckpoint = 0")

    def _begin(self, cursor: Any, is_patient: bool) -> None:
        if not self._database.is_sqlite:
            return  # psycopg says BEGIN by itself
        self._be(cursor, is_patient=is_patient)
        try:
            cursor.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            # The low byte: there is more than one way to be busy, such as BUSY_RECOVERY.
            if is_patient or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            raise _Busy from None

    def _be(self, cursor: Any, *, is_patient: bool) -> None:
        """Wait for another writer from now on, or do not."""
        if self._database.is_sqlite and is_patient is not self._is_patient:
            seconds = BUSY_SECONDS if is_patient else 0
            cursor.execute(f"PRAGMA busy_timeout = {int(1000 * seconds)}")
            self._is_patient = is_patient

    def _give_up(self) -> None:
        """Undo, and believe the connection no more: what broke may be its other end."""
        connection, self._connection, self._is_patient = self._connection, None, True
        if connection is not None:
            connection.invalidate()

    def _read_state(self, cursor: Any) -> str:
        """Read the edition's state, if the run still holds it."""
        cursor.execute(_fence_statement(self._database.is_sqlite), (self._run.edition_id,))
        fence, holder, state, *_ = cursor.fetchone()
        if fence != self._run.fence or holder != self._run.holder:
            raise taken_over()
        return str(state)

    def _write(
        self,
        cursor: Any,
        outcomes: Sequence[Outcome],
        intents: Sequence[Intent],
        now: datetime,
        *,
        one_by_one: bool,
    ) -> dict[int, Grant]:
        is_sending = self._read_state(cursor) == "sending"
        ends = list(map(_conclude, outcomes))
        at = to_micros(now)
        begins = [_begin(intent, at) for intent in intents] if is_sending else []
        readers = (intent.subscriber_id for intent in intents)
        grants = dict.fromkeys(readers, Grant.GIVEN if is_sending else Grant.HALTED)
        if one_by_one:
            if not all(self._move(cursor, [end]) for end in ends):
                raise taken_over()
            for intent, begin in zip(intents, begins, strict=is_sending):
                if not self._move(cursor, [begin]):
                    grants[intent.subscriber_id] = self._explain(cursor, intent, at)
        elif self._move(cursor, ends + begins) < len(ends) + len(begins):
            raise _Odd
        if outcomes:
            self._write_attempts(cursor, outcomes)
            if self._retries_doubt and is_sending:
                self._put_back(cursor, outcomes, at)
        return grants

    def _move(self, cursor: Any, moves: Sequence[tuple[Any, ...]]) -> int:
        """Move rows, each from where it must be; tell how many did move."""
        moved = 0
        for first in range(0, len(moves), MOST_AT_ONCE):
            group = moves[first : first + MOST_AT_ONCE]
            statement = _move_statement(len(group), self._database.is_sqlite)
            values = [*chain.from_iterable(group), self._run.edition_id, self._run.fence]
            cursor.execute(statement, values)
            moved += cursor.rowcount
        return moved

    def _write_attempts(self, cursor: Any, outcomes: Sequence[Outcome]) -> None:
        for first in range(0, len(outcomes), MOST_AT_ONCE):
            group = outcomes[first : first + MOST_AT_ONCE]
            values = [
                value
                for o in group
                for value in (
                    self._run.edition_id,
                    o.subscriber_id,
                    o.number,
                    o.via,
                    to_micros(o.started_at),
                    to_micros(o.ended_at),
                    o.state.value,
                    o.reply,
                )
            ]
            cursor.execute(_attempts_statement(len(group), self._database.is_sqlite), values)

    def _put_back(self, cursor: Any, outcomes: Sequence[Outcome], at: int) -> None:
        """Put what is in doubt back, due when its outcome says."""
        doubts = [
            (
                *(o.subscriber_id, State.IN_DOUBT.value, o.number, State.PENDING.value),
                *(o.number, o.reply, o.via, to_micros(o.next_attempt_at), at),
            )
            for o in outcomes
            if o.state is State.IN_DOUBT
        ]
        self._move(cursor, doubts)

    def _explain(self, cursor: Any, intent: Intent, at: int) -> Grant:
        """Tell why an intent does not stand; take the reader out if suppressed meanwhile."""
        cursor.execute(
            _drop_statement(self._database.is_sqlite),
            (at, self._run.edition_id, intent.subscriber_id, self._run.fence),
        )
        return Grant.SUPPRESSED if cursor.rowcount else Grant.HALTED


def taken_over() -> LeaseLost:
    """Build what says that the edition is not ours any more."""
    return LeaseLost("another process has taken this edition over, so this one stopped")


_ENDS = {  # what an attempt may end as, with its intent and without
    True: MOVES[State.SENDING],
    False: MOVES[State.SENDING] & MOVES[State.LEASED],
}
_LEASED, _SENDING = State.LEASED.value, State.SENDING.value


def _conclude(outcome: Outcome) -> tuple[Any, ...]:
    came_from = _SENDING if outcome.intended else _LEASED
    if outcome.state not in _ENDS[outcome.intended]:
        raise IllegalMove("a delivery", came_from, outcome.state)
    return (
        outcome.subscriber_id,
        came_from,
        outcome.number if outcome.intended else outcome.number - 1,
        outcome.state.value,
        outcome.number,
        outcome.reply,
        outcome.via,
        to_micros(outcome.next_attempt_at),
        to_micros(outcome.ended_at),
    )


def _begin(intent: Intent, at: int) -> tuple[Any, ...]:
    return (
        *(intent.subscriber_id, _LEASED, intent.number - 1, _SENDING),
        *(intent.number, "", intent.via, None, at),
    )


# -- statements: one text for both databases but for its marks -------------------------------------


def _fence_statement(is_sqlite: bool) -> str:
    # The locks keep a take-over and suppressions out until this transaction ends; in SQLite a
    # writing transaction is alone anyway. The moves come after: they see what was committed
    # by whoever held a lock before.
    lock = "" if is_sqlite else f", pg_advisory_xact_lock_shared({ORDER_LOCK})"
    ending = "?" if is_sqlite else "%s FOR SHARE OF runs"
    return f"""
        SELECT runs.fence, runs.holder, editions.state{lock}
        FROM runs JOIN editions ON editions.id = runs.edition_id
        WHERE runs.edition_id = {ending}"""  # noqa: S608


@lru_cache(MOST_AT_ONCE)
def _move_statement(rows: int, is_sqlite: bool) -> str:
    mark = "?" if is_sqlite else "%s"
    row = f"({', '.join([mark] * len(_MOVE))})"
    # PostgreSQL takes the types of a list of values from its first row.
    first = row if is_sqlite else f"({', '.join(f'%s::{kind}' for kind in _MOVE)})"
    # Both databases call a list's columns column1 to column9; a WITH could name them, but
    # Python's sqlite3 counts the rows of statements that begin with UPDATE alone.
    return f"""
        UPDATE deliveries SET
            state = column4, attempts = column5, via = column7, changed_at = column9,
            reply = CASE column4 WHEN 'sending' THEN reply ELSE column6 END,
            next_attempt_at = coalesce(column8, next_attempt_at)
        FROM (VALUES {", ".join([first] + [row] * (rows - 1))}) AS moves
        WHERE edition_id = {mark} AND subscriber_id = column1 AND fence = {mark}
            AND state = column2 AND attempts = column3
            AND (column4 <> 'sending' OR NOT {_SUPPRESSED})"""  # noqa: S608 - marks and literals


@lru_cache(MOST_AT_ONCE)
def _attempts_statement(rows: int, is_sqlite: bool) -> str:
    row = f"({', '.join(['?' if is_sqlite else '%s'] * 8)})"
    values = ", ".join([row] * rows)
    return f"INSERT INTO attempts ({_ATTEMPT_COLUMNS}) VALUES {values}"  # noqa: S608


def _drop_statement(is_sqlite: bool) -> str:
    mark = "?" if is_sqlite else "%s"
    return f"""
        UPDATE deliveries SET state = 'suppressed', changed_at = {mark}
        WHERE edition_id = {mark} AND subscriber_id = {mark} AND fence = {mark}
            AND state = 'leased' AND {_SUPPRESSED}"""  # noqa: S608
