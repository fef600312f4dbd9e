"""A random walk over the whole ledger, step by step beside a model that fits in memory.

The model is what the promise says, without a database: a state, a due time and a number of
attempts for each reader. Whatever sequence of leases, intents, answers, deaths, suppressions
and pauses comes, both must agree, no row may make a move that the lifecycle's table does not
have, and the counts must sum to the audience.
"""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from newsletter.delivery.ledger import LEASE, Grant, Intent, Job, Ledger, Outcome, Run
from newsletter.delivery.lifecycle import MOVES, OPEN, State
from newsletter.errors import IllegalMove, LeaseLost, RefusedError
from newsletter.store import Database
from tests.contract.conftest import empty
from tests.contract.desk import Desk
from tests.examples import examples

READERS = range(1, 7)
readers = st.sets(st.sampled_from(READERS), min_size=1)
S = State


class LedgerWalk(RuleBasedStateMachine):
    """One edition's life; `policy` and `database` come from the test."""

    database: ClassVar[Database]

    def __init__(self) -> None:
        super().__init__()
        empty(self.database)
        self.desk = Desk(self.database, datetime(2026, 11, 23, 7, tzinfo=UTC))
        self.desk.store_readers(len(READERS))
        self.edition_id, audience = self.desk.approve()
        assert audience == len(READERS)
        self.states = dict.fromkeys(READERS, S.PENDING)
        self.seen = dict(self.states)
        self.due = dict.fromkeys(READERS, self.desk.now)
        self.tries = dict.fromkeys(READERS, 0)
        self.concluded: Counter[int] = Counter()
        self.suppressed: set[int] = set()
        self.edition = "approved"
        self.run: Run | None = None
        self.old_runs: list[Run] = []

    @initialize(retries=st.booleans())
    def choose_policy(self, retries: bool) -> None:
        self.retries = retries
        self.ledger: Ledger = self.desk.ledger("retry" if retries else "hold")

    @property
    def now(self) -> datetime:
        return self.desk.now

    def of_state(self, *states: State) -> list[int]:
        return [reader for reader in READERS if self.states[reader] in states]

    def settle_doubts(self) -> None:
        if self.retries:
            for reader in self.of_state(S.IN_DOUBT):
                self.states[reader] = S.PENDING

    # -- the world -----------------------------------------------------------------------------

    @rule(seconds=st.integers(1, 100))
    def time_passes(self, seconds: int) -> None:
        self.desk.now += timedelta(seconds=seconds)

    @rule(reader=st.sampled_from(READERS))
    def reader_is_suppressed(self, reader: int) -> None:
        if reader not in self.suppressed:
            self.suppressed.add(reader)
            self.desk.suppress(reader)

    @precondition(lambda self: self.edition in ("sending", "paused"))
    @rule()
    def operator_pauses_or_resumes(self) -> None:
        self.edition = "paused" if self.edition == "sending" else "sending"
        self.desk.set_edition(self.edition_id, state=self.edition)

    # -- runs ----------------------------------------------------------------------------------

    @precondition(lambda self: self.edition in ("approved", "sending"))
    @rule()
    def sender_dies_and_another_takes_over(self) -> None:
        if self.run:
            self.old_runs.append(self.run)
            self.desk.now += LEASE * 2
        self.run = self.ledger.take(self.edition_id, f"run {len(self.old_runs)}", self.now)
        self.edition = "sending"
        for reader in self.of_state(S.SENDING):
            self.states[reader] = S.IN_DOUBT
            self.due[reader] = self.now
            self.concluded[reader] += 1
        for reader in self.of_state(S.LEASED):
            self.states[reader] = S.PENDING
        self.settle_doubts()

    @precondition(lambda self: self.edition in ("paused", "sent"))
    @rule()
    def nobody_can_take_it(self) -> None:
        with pytest.raises(RefusedError):
            self.ledger.take(self.edition_id, "another", self.now + LEASE * 9)

    @precondition(lambda self: self.old_runs)
    @rule(data=st.data(), reader=st.sampled_from(READERS))
    def old_run_comes_back(self, data: st.DataObject, reader: int) -> None:
        run = data.draw(st.sampled_from(self.old_runs))
        intent = Intent(subscriber_id=reader, number=self.tries[reader] + 1, via="late")
        calls: list[Any] = [
            lambda: self.ledger.renew(run, self.now),
            lambda: self.ledger.lease(run, 3, self.now),
            lambda: self.ledger.give_back(run, self.now),
            lambda: self.ledger.expire(run, self.now),
            lambda: self.ledger.release(run, self.now),
            lambda: self.ledger.record(run, [], [intent], self.now),
            lambda: self.ledger.record(run, [self.outcome(reader, S.ACCEPTED)], [], self.now),
        ]
        before = self.desk.snapshot()
        with pytest.raises(LeaseLost):
            data.draw(st.sampled_from(calls))()
        assert self.desk.snapshot() == before

    @precondition(lambda self: self.run)
    @rule()
    def run_gives_back(self) -> None:
        assert self.run
        self.ledger.give_back(self.run, self.now)
        for reader in self.of_state(S.LEASED):
            self.states[reader] = S.PENDING

    @precondition(lambda self: self.run)
    @rule()
    def run_ends(self) -> None:
        assert self.run
        is_sent = self.ledger.release(self.run, self.now)
        assert is_sent == (self.edition == "sending" and not self.of_state(*OPEN))
        if is_sent:
            self.edition = "sent"
        self.old_runs.append(self.run)
        self.run = None

    @precondition(lambda self: self.run)
    @rule()
    def not_after_has_passed(self) -> None:
        assert self.run
        expired = self.of_state(S.PENDING, S.LEASED, S.DEFERRED)
        assert self.ledger.expire(self.run, self.now) == len(expired)
        self.states |= dict.fromkeys(expired, S.EXPIRED)

    # -- messages ------------------------------------------------------------------------------

    @precondition(lambda self: self.run)
    @rule(limit=st.integers(1, 4))
    def run_leases(self, limit: int) -> None:
        assert self.run
        waiting = self.of_state(S.PENDING, S.DEFERRED)
        due = sorted((self.due[r], r) for r in waiting if self.due[r] <= self.now)[:limit]
        leased = self.ledger.lease(self.run, limit, self.now)
        expected = sorted(reader for _, reader in due if reader not in self.suppressed)
        assert [job.reader.subscriber_id for job in leased.jobs] == expected
        assert leased.suppressed == len(due) - len(expected)
        for job in leased.jobs:
            self.check_job(job)
        for _, reader in due:
            self.states[reader] = S.SUPPRESSED if reader in self.suppressed else S.LEASED

    def check_job(self, job: Job) -> None:
        assert job.attempts == self.tries[job.reader.subscriber_id]
        assert job.reader.email == f"reader{job.reader.subscriber_id}@example.org"

    def outcome(self, reader: int, state: State, pause: int = 0) -> Outcome:
        intended = self.states[reader] is S.SENDING
        return Outcome(
            subscriber_id=reader,
            number=self.tries[reader] + (0 if intended else 1),
            via="relay",
            state=state,
            reply=str(state),
            started_at=self.now,
            ended_at=self.now,
            next_attempt_at=self.now + timedelta(seconds=pause),
            intended=intended,
        )

    @precondition(lambda self: self.run)
    @rule(asked=readers, data=st.data(), pause=st.integers(0, 50))
    def run_records(self, asked: set[int], data: st.DataObject, pause: int) -> None:
        """Record answers for some rows and ask for others, in one commit."""
        assert self.run
        outcomes = []
        for reader in self.of_state(S.SENDING, S.LEASED):
            goals = [None, S.DEFERRED, S.FAILED]
            if self.states[reader] is S.SENDING:
                goals += [S.ACCEPTED, S.IN_DOUBT]
            state = data.draw(st.sampled_from(goals))
            if state and reader not in asked:
                outcomes.append(self.outcome(reader, state, pause))
        intents = [Intent(subscriber_id=r, number=self.tries[r] + 1, via="r") for r in asked]
        granted = self.ledger.record(self.run, outcomes, intents, self.now)
        for outcome in outcomes:
            self.states[outcome.subscriber_id] = outcome.state
            self.due[outcome.subscriber_id] = outcome.next_attempt_at
            self.tries[outcome.subscriber_id] = outcome.number
            self.concluded[outcome.subscriber_id] += 1
        self.settle_doubts()
        assert set(granted) == asked
        for reader in asked:
            if self.edition != "sending" or self.states[reader] is not S.LEASED:
                assert granted[reader] is Grant.HALTED
            elif reader in self.suppressed:
                assert granted[reader] is Grant.SUPPRESSED
                self.states[reader] = S.SUPPRESSED
            else:
                assert granted[reader] is Grant.GIVEN
                self.states[reader] = S.SENDING
                self.tries[reader] += 1

    @precondition(lambda self: self.run)
    @rule(reader=st.sampled_from(READERS), state=st.sampled_from(State), intended=st.booleans())
    def run_records_nonsense(self, reader: int, state: State, intended: bool) -> None:
        assert self.run
        came_from = S.SENDING if intended else S.LEASED
        legal = {S.DEFERRED, S.FAILED} | ({S.ACCEPTED, S.IN_DOUBT} if intended else set())
        if self.states[reader] is came_from and state in legal:
            return
        nonsense = Outcome(
            subscriber_id=reader,
            number=self.tries[reader] + (0 if intended else 1),
            via="relay",
            state=state,
            reply="",
            started_at=self.now,
            ended_at=self.now,
            next_attempt_at=self.now,
            intended=intended,
        )
        before = self.desk.snapshot()
        with pytest.raises((IllegalMove, LeaseLost)):
            self.ledger.record(self.run, [nonsense], [], self.now)
        assert self.desk.snapshot() == before

    # -- what always holds ---------------------------------------------------------------------

    @invariant()
    def ledger_and_model_agree(self) -> None:
        rows = {row.subscriber_id: row for row in self.desk.rows(self.edition_id)}
        assert {reader: State(row.state) for reader, row in rows.items()} == self.states
        assert {reader: row.attempts for reader, row in rows.items()} == self.tries
        assert {reader: row.next_attempt_at for reader, row in rows.items()} == self.due
        assert self.desk.edition(self.edition_id).state == self.edition

    @invariant()
    def every_move_was_a_legal_one(self) -> None:
        for reader, state in self.states.items():
            before = self.seen[reader]
            # Within one transaction a row may make two moves, each of them legal.
            steps = {before} | MOVES[before] | {to for via in MOVES[before] for to in MOVES[via]}
            assert state in steps, f"{before} became {state}"
            assert state is before or before in OPEN or self.retries, "final states are final"
        self.seen = dict(self.states)

    @invariant()
    def counts_sum_to_the_audience(self) -> None:
        counts = self.desk.ledger().counts(self.edition_id)
        assert sum(counts.values()) == len(READERS)
        assert counts == Counter(self.states.values())

    @invariant()
    def every_attempt_is_kept(self) -> None:
        kept = Counter(row.subscriber_id for row in self.desk.attempts(self.edition_id))
        assert kept == self.concluded


def test_ledger_and_model_agree_whatever_happens(backend: Database) -> None:
    class Walk(LedgerWalk):
        database = backend

    run_state_machine_as_test(
        Walk,
        settings=settings(
            max_examples=int(os.environ.get("NEWSLETTER_TEST_WALKS", examples(60))),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
