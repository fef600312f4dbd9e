"""What every ledger keeps, whichever database is below: one suite, run over each backend.

This file is long because it is the promise of delivery, clause by clause; a random walk over
the whole of it against a model in memory is in test_ledger_model.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, update

from newsletter.audience.reader import RHYTHMS, Choices
from newsletter.delivery.audience import Audience
from newsletter.delivery.holder import describe_self
from newsletter.delivery.inquiry import list_doubts, list_reasons
from newsletter.delivery.journal import _move_statement
from newsletter.delivery.ledger import LEASE, Grant, Intent, Job, Ledger, Outcome, Run
from newsletter.delivery.lifecycle import OPEN, State
from newsletter.errors import AlreadyRunning, IllegalMove, LeaseLost, RefusedError, StorageError
from newsletter.store import Database
from newsletter.store.tables import OPEN_STATES, TROUBLED_STATES, deliveries, subscribers
from tests.contract.desk import Desk

SECOND = timedelta(seconds=1)
HERE = describe_self()
ELSEWHERE = "other.example 0-0 1|1|1"


@pytest.fixture
def desk(backend: Database, now: datetime) -> Desk:
    return Desk(backend, now)


def ids(jobs: Sequence[Job]) -> list[int]:
    return [job.reader.subscriber_id for job in jobs]


def intend(job: Job, via: str = "relay #1") -> Intent:
    return Intent(subscriber_id=job.reader.subscriber_id, number=job.attempts + 1, via=via)


def conclude(desk: Desk, job: Job, state: State, **changed: Any) -> Outcome:
    outcome = Outcome(
        subscriber_id=job.reader.subscriber_id,
        number=job.attempts + 1,
        via="relay #1",
        state=state,
        reply=f"words for {state}",
        started_at=desk.now - SECOND,
        ended_at=desk.now,
        next_attempt_at=desk.now + timedelta(minutes=5) if state is State.DEFERRED else desk.now,
        intended=True,
    )
    return replace(outcome, **changed)


# -- the audience ----------------------------------------------------------------------------------


def test_only_active_and_unsuppressed_readers_are_enrolled(desk: Desk) -> None:
    for number, status in enumerate(
        ("active", "pending", "unsubscribed", "bounced", "complained", "active"), start=1
    ):
        desk.store_reader(number, status=status)
    desk.suppress(6)
    edition_id, audience = desk.approve()
    assert audience == 1
    assert desk.states(edition_id) == {1: State.PENDING}
    assert desk.ledger().counts(edition_id) == {State.PENDING: 1}


def test_the_audience_is_frozen_with_its_choices(desk: Desk) -> None:
    desk.store_reader(1, name="Ada", choices={"topics": ["harbour"]}, fields={"city": "Port Alder"})
    edition_id, _ = desk.approve()
    desk.store_reader(2)
    with desk.database.writing() as connection:
        connection.execute(
            update(subscribers)
            .where(subscribers.c.id == 1)
            .values(email="new@example.org", name="Eve", choices={}, fields={}, status="bounced")
        )
    (job,) = desk.lease_all(desk.take(edition_id))
    assert job.reader.email == "reader1@example.org"
    assert job.reader.name == "Ada"
    assert job.reader.choices.topics == ("harbour",)
    assert job.reader.fields == {"city": "Port Alder"}
    assert job.attempts == 0


def test_what_readers_were_sent_before_is_frozen_too(desk: Desk) -> None:
    desk.store_readers(4)
    earlier, _ = desk.approve()
    for number, state in enumerate(("accepted", "in_doubt", "failed", "suppressed"), 1):
        desk.set_delivery(earlier, number, state=state)
    desk.store_reader(5)
    edition_id = desk.store_edition()
    day, unknown = desk.now.date(), desk.now.date() - timedelta(days=9)
    with desk.database.writing() as connection:
        Ledger.enrol(connection, edition_id, desk.now, refers_to=(f"{unknown}", f"{day}"))
    desk.set_delivery(earlier, 1, state="bounced")  # whatever becomes of it now
    had = {
        job.reader.subscriber_id: job.reader.had for job in desk.lease_all(desk.take(edition_id))
    }
    nothing: frozenset[str] = frozenset()
    assert had == {1: {f"{day}"}, 2: {f"{day}"}, 3: nothing, 4: nothing, 5: nothing}


def test_what_was_to_come_and_did_not_is_held_back_from_no_copy_that_was_never_tried(
    desk: Desk,
) -> None:
    ends = ("failed", "expired", "suppressed", "accepted", "in_doubt", "deferred", "failed")
    desk.store_readers(len(ends))
    tried = len(ends)
    over, _ = desk.approve()
    earlier, _ = desk.approve()
    edition_id = desk.store_edition()
    days = [f"{desk.edition(each).date}" for each in (over, earlier)]
    with desk.database.writing() as connection:
        Ledger.enrol(connection, edition_id, desk.now, refers_to=days)
    desk.set_edition(over, state="sent", sent_at=desk.now - SECOND)
    desk.set_edition(edition_id, dated_at=desk.now)
    desk.set_delivery(over, 1, state="failed")  # of what was over nothing is asked again
    desk.set_delivery(edition_id, tried, state="deferred", attempts=1)
    for number, state in enumerate(ends, 1):
        desk.set_delivery(earlier, number, state=state)

    def read() -> tuple[dict[int, frozenset[str]], dict[int, frozenset[str]]]:
        run = desk.take(edition_id)
        jobs = desk.lease_all(run)
        desk.ledger().give_back(run, desk.now)
        desk.ledger().release(run, desk.now)
        return (
            {job.reader.subscriber_id: job.reader.had for job in jobs},
            {row.subscriber_id: frozenset(row.had.split()) for row in desk.rows(edition_id)},
        )

    leased, kept = read()
    both, one = frozenset(days), frozenset(days[:1])
    assert leased == kept == {1: one, 2: one, 3: one, 4: both, 5: both, 6: both, tried: both}
    desk.set_delivery(earlier, 6, state="expired")  # this one's copy was given back untried
    leased, kept = read()
    assert leased == kept == {1: one, 2: one, 3: one, 4: both, 5: both, 6: one, tried: both}


def enrolled(
    desk: Desk,
    kind: str,
    *repeats: tuple[date, ...],
    owed_for: date | None = None,
    is_for_all: bool = False,
) -> list[int]:
    edition_id = desk.store_edition()
    desk.set_edition(edition_id, kind=kind)
    asked = Audience(
        repeats=[tuple(map(str, days)) for days in repeats],
        owed_for=[str(owed_for)] if owed_for else [],
        is_for_all=is_for_all,
    )
    with desk.database.writing() as connection:
        expected = Ledger.count_audience(connection, edition_id, desk.now, asked)
        assert Ledger.enrol(connection, edition_id, desk.now, asked) == expected
    jobs = desk.lease_all(desk.take(edition_id))
    return sorted(job.reader.subscriber_id for job in jobs)


def test_each_kind_of_edition_goes_to_those_who_chose_its_rhythm(desk: Desk) -> None:
    desk.store_reader(1, choices=Choices(detail="full").to_document())
    for number, rhythm in enumerate(RHYTHMS, 2):
        desk.store_reader(number, choices=Choices(detail="full", rhythm=rhythm).to_document())
    sly = ('"rhythm":"weekly"', '","rhythm":"weekly', "%", '\\","rhythm":"weekly"')
    desk.store_reader(5, choices=Choices(topics=sly, timezone="UTC").to_document())
    desk.store_reader(6, choices=Choices(rhythm="weekly").to_document(), status="unsubscribed")
    for kind in ("daily", "special"):
        assert enrolled(desk, kind) == [1, 2, 4, 5]
    assert enrolled(desk, "weekly") == [3, 4]


def test_a_further_edition_goes_to_who_chose_it_or_to_all_who_did_not_refuse_it(
    desk: Desk,
) -> None:
    chosen: list[Choices] = [
        Choices(),
        Choices(editions=("evening",)),
        Choices(editions=("noon", "no evening"), detail="full"),
        Choices(rhythm="weekly"),
        Choices(rhythm="weekly", editions=("evening",)),
        Choices(rhythm="both", editions=("evening", "no noon")),
        Choices(editions=("evenings",), topics=("evening", '"editions":["evening"]')),
        Choices(editions=("evening",), days=("sun",)),  # none of these is a Sunday's
    ]
    for number, choices in enumerate(chosen, 1):
        desk.store_reader(number, choices=choices.to_document())
    assert enrolled(desk, "evening") == [2, 5, 6]
    assert enrolled(desk, "evening", is_for_all=True) == [1, 2, 5, 6, 7]
    assert enrolled(desk, "noon") == [3]
    assert enrolled(desk, "noon", is_for_all=True) == [1, 2, 3, 7]


def test_which_edition_of_a_day_a_reader_was_sent_is_told_apart(desk: Desk) -> None:
    desk.store_readers(2)
    for kind, reader in (("daily", 1), ("evening", 2)):
        edition_id, _ = desk.approve()
        desk.set_edition(edition_id, kind=kind, date=desk.now.date())
        for number in (1, 2):
            state = "accepted" if number == reader else "failed"
            desk.set_delivery(edition_id, number, state=state)
    names = (f"{desk.now.date()}", f"{desk.now.date()}-evening")
    edition_id = desk.store_edition()
    with desk.database.writing() as connection:
        Ledger.enrol(connection, edition_id, desk.now, refers_to=names)
    had = [job.reader.had for job in desk.lease_all(desk.take(edition_id))]
    assert had == [{names[0]}, {names[1]}]


@pytest.mark.parametrize("kind", ["weekly", "daily"])
def test_who_was_sent_all_that_an_edition_tells_is_not_enrolled(desk: Desk, kind: str) -> None:
    for number in range(1, 6):
        desk.store_reader(number, choices=Choices(rhythm="both").to_document())
    one, two = desk.now.date(), desk.now.date() + timedelta(days=1)
    nobody = one - timedelta(days=9)  # an edition that there is not
    for states in (
        ("accepted", "in_doubt", "accepted", "failed", "bounced"),
        ("accepted", "accepted", "expired", "suppressed", "accepted"),
    ):
        edition_id, _ = desk.approve()
        for number, state in enumerate(states, 1):
            desk.set_delivery(edition_id, number, state=state)
    assert enrolled(desk, kind, (one,), (two,)) == [3, 4, 5]
    assert enrolled(desk, kind, (one,)) == [4, 5]
    assert enrolled(desk, kind, (one, two)) == [4]  # either told it
    assert enrolled(desk, kind) == [1, 2, 3, 4, 5]
    assert enrolled(desk, kind, (one,), (nobody,)) == [1, 2, 3, 4, 5]
    assert enrolled(desk, kind, (one,), owed_for=two) == [1, 2, 4, 5]  # it corrects that one
    desk.set_delivery(edition_id, 4, state="deferred")  # it may still come
    assert enrolled(desk, kind, (two,)) == [3]


@pytest.mark.parametrize("rhythm", ["", "weekly"])
def test_a_correction_goes_to_exactly_those_who_were_sent_what_was_wrong(
    desk: Desk, rhythm: str
) -> None:
    """Every state that a copy can be in, for a reader of every status, suppressed or not."""
    cases = [
        (state, status, is_suppressed)
        for state in (*State, None)
        for status in ("active", "pending", "unsubscribed", "bounced", "complained")
        for is_suppressed in (False, True)
    ]
    desk.store_readers(len(cases))
    wrong, _ = desk.approve()
    other, _ = desk.approve()  # that all of them had it says nothing
    _d, _s = deliveries.c, subscribers.c
    with desk.database.writing() as connection:
        had = update(deliveries).where(_d.edition_id == other)
        connection.execute(had.values(state="accepted"))
        connection.execute(update(subscribers).values(choices={"rhythm": rhythm}))
        for number, (state, status, _) in enumerate(cases, 1):
            its = (_d.edition_id == wrong) & (_d.subscriber_id == number)
            copy = update(deliveries).values(state=state) if state else delete(deliveries)
            connection.execute(copy.where(its))
            connection.execute(update(subscribers).where(_s.id == number).values(status=status))
    for number, (_, _, is_suppressed) in enumerate(cases, 1):
        if is_suppressed:
            desk.suppress(number)
    edition_id = desk.store_edition()
    desk.set_edition(edition_id, kind="correction")
    with desk.database.writing() as connection:
        asked = Audience(only_had=(wrong,))
        counted = Ledger.count_audience(connection, edition_id, desk.now, asked)
        enrolled = Ledger.enrol(connection, edition_id, desk.now, asked)
    exactly = {
        cases.index((state, "active", False)) + 1 for state in (State.ACCEPTED, State.IN_DOUBT)
    }
    assert counted == enrolled == 2
    assert set(desk.states(edition_id)) == exactly


def test_a_correction_of_nothing_goes_to_nobody(desk: Desk) -> None:
    desk.store_readers(2)
    edition_id = desk.store_edition()
    desk.set_edition(edition_id, kind="correction")
    with desk.database.writing() as connection:
        assert Ledger.enrol(connection, edition_id, desk.now) == 0


def test_enrolling_belongs_to_the_callers_transaction(desk: Desk) -> None:
    desk.store_reader(1)
    edition_id = desk.store_edition()

    def enrol_and_fail() -> None:
        with desk.database.writing() as connection:
            assert Ledger.enrol(connection, edition_id, desk.now) == 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        enrol_and_fail()
    assert desk.states(edition_id) == {}


def test_an_edition_is_enrolled_once(desk: Desk) -> None:
    desk.store_reader(1)
    edition_id, _ = desk.approve()

    def enrol_again() -> None:
        with desk.database.writing() as connection:
            Ledger.enrol(connection, edition_id, desk.now)

    with pytest.raises(StorageError):
        enrol_again()
    assert len(desk.states(edition_id)) == 1


# -- the right to send -----------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["draft", "ready", "held", "paused", "sent", "cancelled"])
def test_only_an_approved_edition_is_taken(desk: Desk, state: str) -> None:
    edition_id, _ = desk.approve()
    desk.set_edition(edition_id, state=state)
    with pytest.raises(RefusedError, match=f"is {state}; only an approved one"):
        desk.take(edition_id)
    assert desk.edition(edition_id).state == state
    assert desk.edition(edition_id).fence == 0


def test_taking_begins_the_sending(desk: Desk) -> None:
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    assert run == Run(edition_id=edition_id, fence=1, holder=HERE)
    row = desk.edition(edition_id)
    assert (row.state, row.fence, row.holder) == ("sending", 1, HERE)
    assert row.lease_until == desk.now + LEASE


def test_a_living_holder_keeps_others_out(desk: Desk) -> None:
    edition_id, _ = desk.approve()
    for holder in (HERE, ELSEWHERE):
        run = desk.ledger().take(edition_id, holder, desk.now)
        with pytest.raises(AlreadyRunning, match="is sending this edition"):
            desk.take(edition_id, after=LEASE - SECOND)
        desk.ledger().renew(run, desk.now)
        desk.ledger().release(run, desk.now)
        desk.set_edition(edition_id, state="sending")


def test_renewing_keeps_the_lease_alive(desk: Desk) -> None:
    edition_id, _ = desk.approve()
    run = desk.ledger().take(edition_id, ELSEWHERE, desk.now)
    desk.ledger().renew(run, desk.now + LEASE - SECOND)
    with pytest.raises(AlreadyRunning):
        desk.take(edition_id, after=LEASE + SECOND)
    assert desk.take(edition_id, after=LEASE * 2).fence == 2


def test_a_lease_that_ran_out_is_taken_over(desk: Desk) -> None:
    edition_id, _ = desk.approve()
    desk.ledger().take(edition_id, ELSEWHERE, desk.now)
    assert desk.take(edition_id, after=LEASE).fence == 2


def test_a_holder_that_is_gone_is_taken_over_at_once(desk: Desk) -> None:
    machine, number, started = HERE.split("|")
    gone = f"{machine}|{number}|{int(started) - 1}"
    edition_id, _ = desk.approve()
    desk.ledger().take(edition_id, gone, desk.now)
    assert desk.take(edition_id).fence == 2


def test_a_released_edition_is_taken_at_once(desk: Desk) -> None:
    desk.store_reader(1)
    edition_id, _ = desk.approve()
    assert not desk.ledger().release(desk.take(edition_id), desk.now)
    assert desk.take(edition_id).fence == 2


OLD_RUN: dict[str, Callable[[Desk, Run, Job, Job], object]] = {
    "renew": lambda desk, run, _leased, _sending: desk.ledger().renew(run, desk.now),
    "lease": lambda desk, run, _leased, _sending: desk.ledger().lease(run, 10, desk.now),
    "give_back": lambda desk, run, _leased, _sending: desk.ledger().give_back(run, desk.now),
    "expire": lambda desk, run, _leased, _sending: desk.ledger().expire(run, desk.now),
    "release": lambda desk, run, _leased, _sending: desk.ledger().release(run, desk.now),
    "record nothing": lambda desk, run, _leased, _sending: desk.ledger().record(
        run, [], [], desk.now
    ),
    "record an intent": lambda desk, run, leased, _sending: desk.ledger().record(
        run, [], [intend(leased)], desk.now
    ),
    "record an outcome": lambda desk, run, _leased, sending: desk.ledger().record(
        run, [conclude(desk, sending, State.ACCEPTED)], [], desk.now
    ),
}


@pytest.mark.parametrize("end", ["taken over", "released"])
@pytest.mark.parametrize("call", OLD_RUN.values(), ids=OLD_RUN.keys())
def test_an_old_run_can_do_nothing(
    desk: Desk, call: Callable[[Desk, Run, Job, Job], object], end: str
) -> None:
    desk.store_readers(4)
    edition_id, _ = desk.approve()
    old = desk.take(edition_id)
    leased, sending = desk.ledger().lease(old, 2, desk.now).jobs
    desk.ledger().record(old, [], [intend(sending)], desk.now)
    if end == "released":
        desk.ledger().release(old, desk.now)
    else:
        new = desk.take(edition_id, after=LEASE)
        desk.ledger().lease(new, 1, desk.now)
    before = desk.snapshot()
    with pytest.raises(LeaseLost):
        call(desk, old, leased, sending)
    assert desk.snapshot() == before


# -- leasing ---------------------------------------------------------------------------------------


def test_leases_come_in_order_up_to_their_limit(desk: Desk) -> None:
    desk.store_readers(7)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    taken = [ids(desk.ledger().lease(run, 3, desk.now).jobs) for _ in range(4)]
    assert taken == [[1, 2, 3], [4, 5, 6], [7], []]
    assert desk.ledger().counts(edition_id) == {State.LEASED: 7}


def test_what_is_due_longest_comes_first(desk: Desk) -> None:
    desk.store_readers(3)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    first, second, _third = desk.lease_all(run)
    deferred = [
        conclude(desk, job, State.DEFERRED, intended=False, next_attempt_at=desk.now + pause)
        for job, pause in ((first, 9 * SECOND), (second, 5 * SECOND))
    ]
    desk.ledger().record(run, deferred, [], desk.now)
    desk.ledger().give_back(run, desk.now)
    assert [ids(desk.ledger().lease(run, 1, desk.now + 9 * SECOND).jobs) for _ in range(3)] == [
        [3],
        [2],
        [1],
    ]


def test_deferred_mail_waits_until_it_is_due(desk: Desk) -> None:
    desk.store_readers(1)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    (job,) = desk.lease_all(run)
    desk.ledger().record(run, [], [intend(job)], desk.now)
    desk.ledger().record(run, [conclude(desk, job, State.DEFERRED)], [], desk.now)
    due = desk.now + timedelta(minutes=5)
    assert desk.ledger().next_due(run) == due
    assert not desk.ledger().lease(run, 10, due - SECOND).jobs
    (again,) = desk.ledger().lease(run, 10, due).jobs
    assert again == replace(job, attempts=1)


def test_a_suppressed_reader_drops_out_of_a_lease(desk: Desk) -> None:
    desk.store_readers(3)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    desk.suppress(2)
    leased = desk.ledger().lease(run, 10, desk.now)
    assert ids(leased.jobs) == [1, 3]
    assert leased.suppressed == 1
    assert desk.states(edition_id)[2] is State.SUPPRESSED


def test_what_is_given_back_is_leased_again(desk: Desk) -> None:
    desk.store_readers(3)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    jobs = desk.lease_all(run)
    desk.ledger().record(run, [], [intend(jobs[0])], desk.now)
    desk.ledger().give_back(run, desk.now)
    assert desk.states(edition_id) == {1: State.SENDING, 2: State.PENDING, 3: State.PENDING}
    assert desk.lease_all(run) == jobs[1:]


def test_editions_do_not_touch_each_other(desk: Desk) -> None:
    desk.store_readers(2)
    (one, _), (two, _) = desk.approve(), desk.approve()
    run_one, run_two = desk.take(one), desk.take(two)
    jobs = desk.lease_all(run_one)
    desk.lease_all(run_two)
    desk.ledger().record(run_one, [], [intend(jobs[0])], desk.now)
    desk.ledger().give_back(run_one, desk.now)
    assert desk.states(two) == {1: State.LEASED, 2: State.LEASED}
    assert desk.ledger().expire(run_one, desk.now) == 1
    desk.take(one, after=LEASE)
    assert desk.states(two) == {1: State.LEASED, 2: State.LEASED}


# -- intents and outcomes --------------------------------------------------------------------------


def test_an_intent_is_granted_and_recorded(desk: Desk) -> None:
    desk.store_readers(2)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    one, two = desk.lease_all(run)
    assert desk.ledger().record(
        run, [], [intend(one, "relay #1"), intend(two, "relay #2")], desk.now
    ) == {1: Grant.GIVEN, 2: Grant.GIVEN}
    rows = desk.rows(edition_id)
    assert [(row.state, row.attempts, row.via) for row in rows] == [
        ("sending", 1, "relay #1"),
        ("sending", 1, "relay #2"),
    ]
    assert not desk.attempts(edition_id), "an attempt is written with its outcome"


@pytest.mark.parametrize("state", [State.ACCEPTED, State.DEFERRED, State.FAILED, State.IN_DOUBT])
def test_an_outcome_is_recorded_with_its_attempt(desk: Desk, state: State) -> None:
    desk.store_readers(1)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    (job,) = desk.lease_all(run)
    desk.ledger().record(run, [], [intend(job)], desk.now)
    outcome = conclude(desk, job, state)
    assert desk.ledger().record(run, [outcome], [], desk.now) == {}
    (row,) = desk.rows(edition_id)
    assert (row.state, row.attempts, row.reply) == (state, 1, outcome.reply)
    assert row.next_attempt_at == outcome.next_attempt_at
    (attempt,) = desk.attempts(edition_id)
    assert (attempt.number, attempt.outcome, attempt.reply) == (1, state, outcome.reply)
    assert (attempt.via, attempt.started_at, attempt.ended_at) == (
        outcome.via,
        outcome.started_at,
        outcome.ended_at,
    )


@pytest.mark.parametrize("state", [State.DEFERRED, State.FAILED])
def test_a_refusal_before_the_dot_needs_no_intent(desk: Desk, state: State) -> None:
    desk.store_readers(1)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    (job,) = desk.lease_all(run)
    desk.ledger().record(run, [conclude(desk, job, state, intended=False)], [], desk.now)
    (row,) = desk.rows(edition_id)
    assert (row.state, row.attempts) == (state, 1)
    assert len(desk.attempts(edition_id)) == 1


def test_outcomes_and_intents_share_a_commit(desk: Desk) -> None:
    desk.store_readers(2)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    one, two = desk.lease_all(run)
    desk.ledger().record(run, [], [intend(one)], desk.now)
    granted = desk.ledger().record(
        run, [conclude(desk, one, State.ACCEPTED)], [intend(two)], desk.now
    )
    assert granted == {2: Grant.GIVEN}
    assert desk.states(edition_id) == {1: State.ACCEPTED, 2: State.SENDING}


def test_a_suppression_between_lease_and_intent_is_obeyed(desk: Desk) -> None:
    desk.store_readers(3)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    jobs = desk.lease_all(run)
    desk.suppress(2)
    granted = desk.ledger().record(run, [], [intend(job) for job in jobs], desk.now)
    assert granted == {1: Grant.GIVEN, 2: Grant.SUPPRESSED, 3: Grant.GIVEN}
    assert desk.states(edition_id) == {1: State.SENDING, 2: State.SUPPRESSED, 3: State.SENDING}
    assert [row.attempts for row in desk.rows(edition_id)] == [1, 0, 1]


def test_a_suppression_after_the_intent_lets_the_answer_stand(desk: Desk) -> None:
    desk.store_readers(1)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    (job,) = desk.lease_all(run)
    desk.ledger().record(run, [], [intend(job)], desk.now)
    desk.suppress(1)
    desk.ledger().record(run, [conclude(desk, job, State.DEFERRED)], [], desk.now)
    assert desk.states(edition_id) == {1: State.DEFERRED}
    leased = desk.ledger().lease(run, 10, desk.now + timedelta(hours=1))
    assert (leased.jobs, leased.suppressed) == ((), 1)


@pytest.mark.parametrize("state", ["paused", "cancelled"])
def test_an_edition_that_is_halted_grants_nothing_but_takes_answers(desk: Desk, state: str) -> None:
    desk.store_readers(2)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    one, two = desk.lease_all(run)
    desk.ledger().record(run, [], [intend(one)], desk.now)
    desk.set_edition(edition_id, state=state)
    granted = desk.ledger().record(
        run, [conclude(desk, one, State.ACCEPTED)], [intend(two)], desk.now
    )
    assert granted == {2: Grant.HALTED}
    assert desk.states(edition_id) == {1: State.ACCEPTED, 2: State.LEASED}
    desk.ledger().give_back(run, desk.now)
    assert not desk.ledger().release(run, desk.now)
    assert desk.edition(edition_id).state == state


def test_a_grant_is_given_for_one_move_and_once(desk: Desk) -> None:
    desk.store_readers(4)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    one, two, three = desk.ledger().lease(run, 3, desk.now).jobs
    desk.ledger().record(run, [], [intend(one), intend(three)], desk.now)
    desk.ledger().record(run, [conclude(desk, three, State.FAILED)], [], desk.now)
    not_leased = Intent(subscriber_id=4, number=1, via="x")
    unknown = Intent(subscriber_id=99, number=1, via="x")
    granted = desk.ledger().record(
        run, [], [intend(one), intend(two), intend(three), not_leased, unknown], desk.now
    )
    assert granted == {
        1: Grant.HALTED,
        2: Grant.GIVEN,
        3: Grant.HALTED,
        4: Grant.HALTED,
        99: Grant.HALTED,
    }
    assert desk.states(edition_id) == {
        1: State.SENDING,
        2: State.SENDING,
        3: State.FAILED,
        4: State.PENDING,
    }


OUTCOMES = {State.ACCEPTED, State.DEFERRED, State.FAILED, State.IN_DOUBT}


@pytest.mark.parametrize("intended", [True, False])
@pytest.mark.parametrize("state", State)
def test_no_outcome_makes_an_illegal_move(desk: Desk, state: State, intended: bool) -> None:
    legal = OUTCOMES if intended else {State.DEFERRED, State.FAILED}
    desk.store_readers(2)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    one, two = desk.lease_all(run)
    if intended:
        desk.ledger().record(run, [], [intend(one), intend(two)], desk.now)
    outcomes = [
        conclude(desk, one, State.FAILED, intended=intended),
        conclude(desk, two, state, intended=intended),
    ]
    before = desk.snapshot()
    if state in legal:
        desk.ledger().record(run, outcomes, [], desk.now)
        assert desk.states(edition_id)[2] is state
    else:
        with pytest.raises(IllegalMove):
            desk.ledger().record(run, outcomes, [], desk.now)
        assert desk.snapshot() == before, "the good outcome beside it was not recorded either"


NOT_OURS: dict[str, Callable[[Desk, Job, Job, Job], Outcome]] = {
    "leased, said to be intended": lambda desk, _sending, leased, _settled: conclude(
        desk, leased, State.ACCEPTED
    ),
    "intended, said to be only leased": lambda desk, sending, _leased, _settled: conclude(
        desk, sending, State.FAILED, intended=False
    ),
    "settled already": lambda desk, _sending, _leased, settled: conclude(
        desk, settled, State.ACCEPTED
    ),
    "never leased": lambda desk, _sending, leased, _settled: conclude(
        desk, leased, State.FAILED, subscriber_id=5, intended=False
    ),
    "unknown reader": lambda desk, sending, _leased, _settled: conclude(
        desk, sending, State.ACCEPTED, subscriber_id=99
    ),
    "another attempt": lambda desk, sending, _leased, _settled: conclude(
        desk, sending, State.ACCEPTED, number=2
    ),
    "another attempt before the dot": lambda desk, _sending, leased, _settled: conclude(
        desk, leased, State.FAILED, number=2, intended=False
    ),
}


@pytest.mark.parametrize("build", NOT_OURS.values(), ids=NOT_OURS.keys())
def test_an_outcome_that_is_not_ours_takes_the_whole_group_back(
    desk: Desk, build: Callable[[Desk, Job, Job, Job], Outcome]
) -> None:
    desk.store_readers(5)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    sending, leased, settled, good = desk.ledger().lease(run, 4, desk.now).jobs
    desk.ledger().record(run, [], [intend(job) for job in (sending, settled, good)], desk.now)
    desk.ledger().record(run, [conclude(desk, settled, State.ACCEPTED)], [], desk.now)
    outcomes = [conclude(desk, good, State.ACCEPTED), build(desk, sending, leased, settled)]
    before = desk.snapshot()
    with pytest.raises(LeaseLost):
        desk.ledger().record(run, outcomes, [intend(leased)], desk.now)
    assert desk.snapshot() == before


# -- after a death ---------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["hold", "retry"])
def test_what_a_dead_run_left_is_judged_by_its_rows(desk: Desk, policy: Any) -> None:
    desk.store_readers(5)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    sending, leased, accepted, deferred = desk.ledger().lease(run, 4, desk.now).jobs
    desk.ledger().record(
        run, [], [intend(job, "relay #7") for job in (sending, accepted, deferred)], desk.now
    )
    desk.ledger().record(
        run,
        [conclude(desk, accepted, State.ACCEPTED), conclude(desk, deferred, State.DEFERRED)],
        [],
        desk.now,
    )
    intended_at, later = desk.now, desk.now + LEASE
    desk.ledger(in_doubt=policy).take(edition_id, HERE, later)
    doubtful = State.IN_DOUBT if policy == "hold" else State.PENDING
    assert desk.states(edition_id) == {
        1: doubtful,
        2: State.PENDING,
        3: State.ACCEPTED,
        4: State.DEFERRED,
        5: State.PENDING,
    }
    (attempt,) = (row for row in desk.attempts(edition_id) if row.subscriber_id == 1)
    assert (attempt.number, attempt.outcome, attempt.via) == (1, "in_doubt", "relay #7")
    assert (attempt.started_at, attempt.ended_at) == (intended_at, later)
    assert "died" in attempt.reply
    with desk.database.reading() as connection:
        doubts = list_doubts(connection, edition_id)
    if policy == "hold":
        (doubt,) = doubts
        assert (doubt.subscriber_id, doubt.email) == (1, "reader1@example.org")
        assert (doubt.via, doubt.reply, doubt.since) == ("relay #7", attempt.reply, later)
    else:
        assert doubts == []
    assert ids([leased]) == [2]


def test_under_hold_what_is_in_doubt_stays_so_over_further_runs(desk: Desk) -> None:
    desk.store_readers(1)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    (job,) = desk.lease_all(run)
    desk.ledger().record(run, [], [intend(job)], desk.now)
    for number in range(1, 4):
        run = desk.take(edition_id, after=LEASE * number)
        assert not desk.lease_all(run, after=timedelta(days=1))
    assert desk.states(edition_id) == {1: State.IN_DOUBT}
    assert len(desk.attempts(edition_id)) == 1
    assert desk.ledger().release(run, desk.now), "in doubt is a final state"


def test_under_retry_a_doubt_is_tried_again_when_it_is_due(desk: Desk) -> None:
    desk.store_readers(2)
    edition_id, _ = desk.approve()
    ledger = desk.ledger(in_doubt="retry")
    run = ledger.take(edition_id, HERE, desk.now)
    one, two = ledger.lease(run, 2, desk.now).jobs
    ledger.record(run, [], [intend(one), intend(two)], desk.now)
    due = desk.now + timedelta(minutes=5)
    ledger.record(
        run,
        [
            conclude(desk, one, State.IN_DOUBT, next_attempt_at=due),
            conclude(desk, two, State.ACCEPTED),
        ],
        [],
        desk.now,
    )
    assert desk.states(edition_id) == {1: State.PENDING, 2: State.ACCEPTED}
    assert not ledger.lease(run, 10, due - SECOND).jobs
    (again,) = ledger.lease(run, 10, due).jobs
    assert again == replace(one, attempts=1)
    ledger.record(run, [], [intend(again)], due)
    ledger.record(run, [conclude(desk, again, State.ACCEPTED)], [], due)
    assert [(row.number, row.outcome) for row in desk.attempts(edition_id)] == [
        (1, "in_doubt"),
        (1, "accepted"),
        (2, "accepted"),
    ]


def test_a_suppressed_reader_is_not_tried_again_after_a_doubt(desk: Desk) -> None:
    desk.store_readers(1)
    edition_id, _ = desk.approve()
    ledger = desk.ledger(in_doubt="retry")
    run = ledger.take(edition_id, HERE, desk.now)
    (job,) = ledger.lease(run, 1, desk.now).jobs
    ledger.record(run, [], [intend(job)], desk.now)
    desk.suppress(1)
    run = ledger.take(edition_id, ELSEWHERE, desk.now + LEASE)
    assert ledger.lease(run, 1, desk.now + LEASE).suppressed == 1


# -- the end ---------------------------------------------------------------------------------------


def test_an_edition_is_sent_only_when_no_row_is_open(desk: Desk) -> None:
    desk.store_readers(len(State))
    edition_id, _ = desk.approve()
    for number, state in enumerate(State, start=1):
        desk.set_delivery(edition_id, number, state=state.value, fence=1)
    for number, state in enumerate(State, start=1):
        if state in OPEN:
            run = desk.take(edition_id)
            for other in range(1, len(State) + 1):
                open_state = state.value if other == number else "accepted"
                desk.set_delivery(edition_id, other, state=open_state, attempts=run.fence)
            assert not desk.ledger().release(run, desk.now)
            assert desk.edition(edition_id).state == "sending"
            assert desk.edition(edition_id).holder == ""
    run = desk.take(edition_id)
    for number, state in enumerate(State, start=1):
        final = "accepted" if state in OPEN else state.value
        desk.set_delivery(edition_id, number, state=final)
    assert desk.ledger().next_due(run) is None
    assert desk.ledger().release(run, desk.now + SECOND)
    row = desk.edition(edition_id)
    assert (row.state, row.sent_at, row.lease_until) == ("sent", desk.now + SECOND, None)


def test_a_run_that_ends_in_a_cancelled_edition_leaves_no_row_open(desk: Desk) -> None:
    desk.store_readers(4)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    one, two, _three, _four = desk.lease_all(run)
    desk.ledger().record(run, [], [intend(one), intend(two)], desk.now)
    desk.set_edition(edition_id, state="cancelled")
    desk.ledger().record(run, [conclude(desk, one, State.ACCEPTED)], [], desk.now)
    desk.ledger().give_back(run, desk.now)
    assert not desk.ledger().release(run, desk.now)
    assert desk.states(edition_id) == {
        1: State.ACCEPTED,
        2: State.IN_DOUBT,
        3: State.EXPIRED,
        4: State.EXPIRED,
    }
    assert [(row.subscriber_id, row.outcome) for row in desk.attempts(edition_id)] == [
        (1, "accepted"),
        (2, "in_doubt"),
    ]


@pytest.mark.parametrize("state", ["paused", "cancelled"])
def test_an_edition_halted_with_nothing_open_stays_halted(desk: Desk, state: str) -> None:
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    desk.set_edition(edition_id, state=state)
    assert not desk.ledger().release(run, desk.now)
    row = desk.edition(edition_id)
    assert (row.state, row.sent_at, row.holder) == (state, None, "")


def test_what_is_still_open_expires_but_never_an_intent(desk: Desk) -> None:
    desk.store_readers(5)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    sending, _leased, deferred, accepted = desk.ledger().lease(run, 4, desk.now).jobs
    desk.ledger().record(run, [], [intend(sending), intend(accepted)], desk.now)
    desk.ledger().record(
        run,
        [
            conclude(desk, deferred, State.DEFERRED, intended=False),
            conclude(desk, accepted, State.ACCEPTED),
        ],
        [],
        desk.now,
    )
    assert desk.ledger().expire(run, desk.now) == 3
    assert desk.states(edition_id) == {
        1: State.SENDING,
        2: State.EXPIRED,
        3: State.EXPIRED,
        4: State.ACCEPTED,
        5: State.EXPIRED,
    }
    assert not desk.ledger().release(run, desk.now)


def test_counts_sum_to_the_audience_and_failures_say_why(desk: Desk) -> None:
    desk.store_readers(9)
    edition_id, audience = desk.approve()
    run = desk.take(edition_id)
    jobs = desk.lease_all(run)
    desk.ledger().record(run, [], [intend(job) for job in jobs[:7]], desk.now)
    states = [State.FAILED] * 3 + [State.ACCEPTED] * 2 + [State.DEFERRED, State.IN_DOUBT]
    outcomes = [conclude(desk, job, state) for job, state in zip(jobs, states, strict=False)]
    desk.ledger().record(run, outcomes, [], desk.now)
    counts = desk.ledger().counts(edition_id)
    assert sum(counts.values()) == audience == 9
    assert counts == {
        State.FAILED: 3,
        State.ACCEPTED: 2,
        State.DEFERRED: 1,
        State.IN_DOUBT: 1,
        State.LEASED: 2,
    }
    with desk.database.reading() as connection:
        assert list_reasons(connection, edition_id) == [
            (State.FAILED, "words for failed", 3),
            (State.DEFERRED, "words for deferred", 1),
            (State.IN_DOUBT, "words for in_doubt", 1),
        ]
        assert list_reasons(connection, edition_id, limit=1) == [
            (State.FAILED, "words for failed", 3)
        ]


def test_the_counts_of_a_sent_edition_are_the_same_and_read_no_accepted_row(desk: Desk) -> None:
    desk.store_readers(6)
    edition_id, audience = desk.approve()
    states = [State.ACCEPTED] * 3 + [State.FAILED, State.BOUNCED, State.IN_DOUBT]
    for number, state in enumerate(states, start=1):
        desk.set_delivery(edition_id, number, state=state.value)
    exact = desk.ledger().counts(edition_id)
    desk.set_edition(edition_id, state="sent")
    assert desk.ledger().counts(edition_id) == exact == Counter(states)
    assert sum(exact.values()) == audience
    if desk.database.is_sqlite:
        with desk.watch_plans() as plans:
            desk.ledger().counts(edition_id)
        steps = [step for plan in plans for step in plan if "deliveries" in step]
        assert len(steps) == len(OPEN_STATES) + len(TROUBLED_STATES)
        assert all("INDEX ix_deliveries_" in step for step in steps), steps


def test_the_history_outlives_the_reader(desk: Desk) -> None:
    desk.store_readers(1)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    with desk.database.writing() as connection:
        connection.execute(delete(subscribers))
    (job,) = desk.lease_all(run)
    assert desk.ledger().record(run, [], [intend(job)], desk.now) == {1: Grant.GIVEN}


def test_what_a_run_asks_does_not_grow_with_the_audience(desk: Desk) -> None:
    if not desk.database.is_sqlite:
        pytest.skip("the plan of a small table says nothing on PostgreSQL")
    desk.store_readers(3)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    (job,) = desk.ledger().lease(run, 1, desk.now).jobs
    with desk.watch_plans() as plans:
        desk.ledger().lease(run, 1, desk.now)
        desk.ledger().record(run, [], [intend(job)], desk.now)
        desk.ledger().record(run, [conclude(desk, job, State.ACCEPTED)], [], desk.now)
        desk.ledger().next_due(run)
        desk.ledger().expire(run, desk.now)
        desk.ledger().release(run, desk.now)
    assert len(plans) == 4, "a journal's statements go to the driver"
    for rows in (1, 20):
        statement = f"EXPLAIN QUERY PLAN {_move_statement(rows, True)}"
        with desk.database.reading() as connection:
            nothing = (None,) * (9 * rows + 2)
            steps = connection.exec_driver_sql(statement, nothing).all()
        plans.append([step[3] for step in steps])
    for plan in plans:
        found = [step for step in plan if "deliveries" in step]
        assert found
        for step in found:
            assert "ix_deliveries_open (edition_id=? AND state=?" in step or (
                "PRIMARY KEY (edition_id=? AND subscriber_id=?)" in step
            ), plan
