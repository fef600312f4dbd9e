"""The hot path of the ledger: outcomes and intents of all connections, in one transaction.

    BEGIN ─ fence? ─ move rows ─ write attempts ─ COMMIT        five statements, whatever the number

A group is moved by one UPDATE from a list of values, not by one for each message: the time of
a commit is then the database's own, and on PostgreSQL a group is one round trip. Every move
names the state and the attempt that it starts from, so a row that is not where this run left
it stays as it is; the rows that did move are what the database gives back.

Statements go straight to the driver, over a connection that a run keeps: they are the same
few every time, and what SQLAlchemy adds to one would be most of its cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any

from newsletter.audience.suppression import ORDER_LOCK
from newsletter.delivery.entries import Grant, Intent, Outcome, Run
from newsletter.delivery.lifecycle import MOVES, State, check_move
from newsletter.errors import IllegalMove, LeaseLost
from newsletter.store import Database
from newsletter.store.tables import to_micros

MOST_AT_ONCE = 400
"""Rows in one statement: SQLite takes 32,766 values, and every number of rows is a text of its
own to be parsed once."""

_MOVE = (
    *("bigint", "text", "int", "text", "int", "text", "text", "bigint", "bigint"),
)  # subscriber, came from, attempts before, goes to, attempts, reply, via, due, at
_ATTEMPT_COLUMNS = "edition_id, subscriber_id, number, via, started_at, ended_at, outcome, reply"
_SUPPRESSED = "EXISTS (SELECT 1 FROM suppressions AS s WHERE s.email_key = deliveries.email_key)"


class Journal:
    """Commits of one run. Made, used and closed by one thread at a time."""

    def __init__(self, database: Database, run: Run, *, retries_doubt: bool) -> None:
        self._database, self._run, self._retries_doubt = database, run, retries_doubt
        self._connection: Any = None

    def record(
        self, outcomes: Sequence[Outcome], intents: Sequence[Intent], now: datetime
    ) -> dict[int, Grant]:
        """Commit what became of some messages and the intent to send others, together.

        Returns the answer to each intent, by subscriber; the end of a message may be written
        only where it is `GIVEN`. Raises `LeaseLost`, having changed nothing, when the fence is
        not ours any more or an outcome is of a delivery that this run does not hold.
        """
        grants = dict.fromkeys((intent.subscriber_id for intent in intents), Grant.HALTED)
        assert len(grants) == len(intents), "one intent a delivery"
        with self._writing() as cursor:
            state = self._read_state(cursor)
            moves = [_conclude(outcome) for outcome in outcomes]
            if state == "sending":
                at = to_micros(now)
                moves += [_begin(intent, at) for intent in intents]
            moved = self._move(cursor, moves)
            if not moved.issuperset((outcome.subscriber_id, 0) for outcome in outcomes):
                raise taken_over()
            self._write_attempts(cursor, outcomes)
            if self._retries_doubt:
                self._put_back(cursor, outcomes, now)
            grants |= {i: Grant.GIVEN for i in grants if (i, 1) in moved}
            if len(moved) < len(moves):
                refused = [i for i, grant in grants.items() if grant is Grant.HALTED]
                dropped = self._drop_suppressed(cursor, refused, now)
                grants |= dict.fromkeys(dropped, Grant.SUPPRESSED)
        return grants

    def close(self) -> None:
        """Give the connection back; the next commit would take another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # -- within a transaction ------------------------------------------------------------------

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        with self._database.plain_words():
            if self._connection is None:
                self._connection = self._database.engine.raw_connection()
            try:
                cursor = self._connection.cursor()
                try:
                    if self._database.is_sqlite:
                        cursor.execute("BEGIN IMMEDIATE")
                    yield cursor
                    self._connection.commit()
                finally:
                    cursor.close()
            except BaseException:
                self._give_up()
                raise

    def _give_up(self) -> None:
        """Undo, and believe the connection no more: what broke may be its other end."""
        connection, self._connection = self._connection, None
        connection.invalidate()

    def _read_state(self, cursor: Any) -> str:
        """Read the edition's state, if the run still holds it."""
        cursor.execute(_fence_statement(self._database.is_sqlite), (self._run.edition_id,))
        fence, holder, state, *_ = cursor.fetchone()
        if fence != self._run.fence or holder != self._run.holder:
            raise taken_over()
        return str(state)

    def _move(self, cursor: Any, moves: Sequence[tuple[Any, ...]]) -> set[tuple[int, int]]:
        """Move rows, each from where it must be; give those that did move, 1 for an intent."""
        moved: set[tuple[int, int]] = set()
        for first in range(0, len(moves), MOST_AT_ONCE):
            group = moves[first : first + MOST_AT_ONCE]
            values = [value for move in group for value in move]
            statement = _move_statement(len(group), self._database.is_sqlite)
            cursor.execute(statement, (*values, self._run.edition_id, self._run.fence))
            moved.update(map(tuple, cursor.fetchall()))
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

    def _put_back(self, cursor: Any, outcomes: Sequence[Outcome], now: datetime) -> None:
        """Put what is in doubt back, due when its outcome says."""
        doubts = [o for o in outcomes if o.state is State.IN_DOUBT]
        at = to_micros(now)
        self._move(
            cursor,
            [
                (
                    *(o.subscriber_id, State.IN_DOUBT.value, o.number, State.PENDING.value),
                    *(o.number, o.reply, o.via, to_micros(o.next_attempt_at), at),
                )
                for o in doubts
            ],
        )

    def _drop_suppressed(self, cursor: Any, readers: Sequence[int], now: datetime) -> list[int]:
        """Take those out whose intent did not stand because their address is suppressed."""
        dropped = []
        for reader in readers:
            cursor.execute(
                _drop_statement(self._database.is_sqlite),
                (to_micros(now), self._run.edition_id, reader, self._run.fence),
            )
            if cursor.rowcount:
                dropped.append(reader)
        return dropped


def taken_over() -> LeaseLost:
    """Build what says that the edition is not ours any more."""
    return LeaseLost("another process has taken this edition over, so this one stopped")


def _conclude(outcome: Outcome) -> tuple[Any, ...]:
    came_from = State.SENDING if outcome.intended else State.LEASED
    if outcome.state not in MOVES[State.SENDING]:
        raise IllegalMove("a delivery", came_from, outcome.state)
    check_move(came_from, outcome.state)
    return (
        outcome.subscriber_id,
        came_from.value,
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
        *(intent.subscriber_id, State.LEASED.value, intent.number - 1, State.SENDING.value),
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
    return f"""
        WITH moves (subscriber, came_from, before, goal, number, said, by_way_of, due, at)
        AS (VALUES {", ".join([first] + [row] * (rows - 1))})
        UPDATE deliveries SET
            state = goal, attempts = number, via = by_way_of, changed_at = at,
            reply = CASE goal WHEN 'sending' THEN reply ELSE said END,
            next_attempt_at = coalesce(due, next_attempt_at)
        FROM moves
        WHERE edition_id = {mark} AND subscriber_id = subscriber AND fence = {mark}
            AND state = came_from AND attempts = before
            AND (goal <> 'sending' OR NOT {_SUPPRESSED})
        RETURNING subscriber_id, CASE state WHEN 'sending' THEN 1 ELSE 0 END"""  # noqa: S608 - marks and literals of this file


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
