"""What operators decide, over each backend: nobody is lost, nobody is sent a second copy."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from newsletter.delivery import settle
from newsletter.delivery.inquiry import DEAD_ADDRESS_CODES, Unreached, count_unreached
from newsletter.delivery.ledger import Grant, Intent, Outcome
from newsletter.delivery.lifecycle import State
from newsletter.delivery.retry import Scope, judge_reply
from newsletter.errors import LeaseLost, RefusedError
from newsletter.smtp.protocol import Phase, Reply
from newsletter.store import Database
from newsletter.store.audit import Actor
from newsletter.store.tables import decisions
from tests.contract.desk import Desk

WHO = "anna@desk"
ACTOR = Actor(who=WHO)
SECOND = timedelta(seconds=1)
HOURS = timedelta(hours=16)
ELSEWHERE = "other.example 0-0 1|1|1"


class Office(Desk):
    """A desk with an operator at it."""

    def pause(self, edition_id: int) -> bool:
        with self.database.writing() as connection:
            return settle.pause(connection, edition_id, by=ACTOR, now=self.now)

    def resume(self, edition_id: int) -> bool:
        with self.database.writing() as connection:
            return settle.resume(connection, edition_id, by=ACTOR, now=self.now)

    def cancel(self, edition_id: int, *, after: timedelta = timedelta(0)) -> settle.Cancelled:
        with self.database.writing() as connection:
            return settle.cancel(connection, edition_id, by=ACTOR, now=self.now + after)

    def conclude(self, edition_id: int, verdict: settle.Verdict, *readers: int) -> int:
        with self.database.writing() as connection:
            return settle.settle_doubts(
                connection,
                edition_id,
                verdict,
                dict.fromkeys(readers, "the log"),
                by=ACTOR,
                now=self.now,
                not_after=self.now + HOURS,
            )

    def put_back(self, edition_id: int, *, including_dead: bool = False) -> settle.PutBack:
        with self.database.writing() as connection:
            return settle.put_back(
                connection,
                edition_id,
                including_dead=including_dead,
                by=ACTOR,
                now=self.now,
                not_after=self.now + HOURS,
            )

    def decisions(self, edition_id: int) -> list[tuple[str, int | None, str]]:
        """Give what was decided, of whom, and the details; who and when is checked."""
        with self.database.reading() as connection:
            rows = connection.execute(
                select(decisions).where(decisions.c.edition_id == edition_id).order_by("id")
            ).all()
        assert {(row.decided_by, row.decided_at) for row in rows} <= {(WHO, self.now)}
        return [(row.action, row.subscriber_id, row.detail) for row in rows]

    def spread(self, edition_id: int, *states: State) -> None:
        """Put reader after reader into these states."""
        for number, state in enumerate(states, start=1):
            self.set_delivery(edition_id, number, state=state.value)

    def counts(self, edition_id: int) -> Counter[State]:
        return Counter(self.states(edition_id).values())


@pytest.fixture
def office(backend: Database, now: datetime) -> Office:
    return Office(backend, now)


# -- pause and resume ------------------------------------------------------------------------------


def test_a_pause_refuses_every_intent_from_its_commit_on_and_a_resume_grants_them(
    office: Office,
) -> None:
    office.store_readers(2)
    edition_id, _ = office.approve()
    run = office.take(edition_id)
    first, second = office.lease_all(run)
    ledger = office.ledger()

    def ask(subscriber_id: int) -> Grant:
        intent = Intent(subscriber_id=subscriber_id, number=1, via="relay #1")
        return ledger.record(run, [], [intent], office.now)[subscriber_id]

    assert ask(first.reader.subscriber_id) is Grant.GIVEN
    assert office.pause(edition_id)
    assert ask(second.reader.subscriber_id) is Grant.HALTED
    assert office.resume(edition_id)
    assert ask(second.reader.subscriber_id) is Grant.GIVEN
    assert office.decisions(edition_id) == [
        ("pause", None, "was sending"),
        ("resume", None, "was paused"),
    ]


def test_twice_is_as_good_as_once(office: Office) -> None:
    office.store_readers(1)
    edition_id, _ = office.approve()
    office.take(edition_id)
    assert [office.pause(edition_id), office.pause(edition_id)] == [True, False]
    assert [office.resume(edition_id), office.resume(edition_id)] == [True, False]
    assert [office.cancel(edition_id).changed, office.cancel(edition_id).changed] == [True, False]
    actions = [action for action, _, _ in office.decisions(edition_id)]
    assert actions == ["pause", "resume", "cancel"]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("draft", "is a draft, so there is nothing to pause"),
        ("approved", "is approved, so there is nothing to pause"),
        ("sent", "is sent, so there is nothing to pause"),
        ("cancelled", "is cancelled, so there is nothing to pause"),
    ],
)
def test_what_is_not_being_sent_is_not_paused(office: Office, state: str, said: str) -> None:
    office.store_readers(1)
    edition_id, _ = office.approve()
    office.set_edition(edition_id, state=state)
    before = office.snapshot()
    with pytest.raises(RefusedError, match=said):
        office.pause(edition_id)
    assert office.snapshot() == before
    assert office.decisions(edition_id) == []


def test_what_to_do_about_a_round_up_names_the_round_up(office: Office) -> None:
    """Its date alone is the daily edition's name: the command would send that one."""
    office.store_readers(1)
    edition_id, _ = office.approve()
    office.set_edition(edition_id, kind="weekly", state="draft")
    name = f"{office.now.date()}-weekly"
    with pytest.raises(RefusedError, match=f"the edition of {name} is a draft") as refused:
        office.pause(edition_id)
    assert f"`newsletter send --date {office.now.date()} --kind weekly` sends it" in str(
        refused.value
    )
    office.set_edition(edition_id, state="paused")
    with pytest.raises(RefusedError, match=f"`newsletter resume {name}` first"):
        office.put_back(edition_id)


@pytest.mark.parametrize("state", ["draft", "approved", "sent", "cancelled"])
def test_only_what_is_paused_is_resumed(office: Office, state: str) -> None:
    """Above all not a sent edition, though it may be sent again for those put back."""
    office.store_readers(1)
    edition_id, _ = office.approve()
    office.set_edition(edition_id, state=state)
    with pytest.raises(RefusedError, match="not paused"):
        office.resume(edition_id)
    assert office.edition(edition_id).state == state


# -- cancel ----------------------------------------------------------------------------------------


def test_a_cancellation_without_a_sender_ends_every_open_delivery(office: Office) -> None:
    office.store_readers(6)
    edition_id, _ = office.approve()
    office.set_edition(edition_id, state="sending")
    office.spread(
        edition_id, *(State.ACCEPTED, State.FAILED, State.PENDING, State.LEASED, State.DEFERRED)
    )
    office.set_delivery(edition_id, 6, state="sending", attempts=1, via="relay #1")

    done = office.cancel(edition_id)

    assert done == settle.Cancelled(changed=True, expired=3, in_doubt=1, sender_is_alive=False)
    assert office.states(edition_id) == {
        1: State.ACCEPTED,
        2: State.FAILED,
        3: State.EXPIRED,
        4: State.EXPIRED,
        5: State.EXPIRED,
        6: State.IN_DOUBT,
    }
    replies = {row.reply for row in office.rows(edition_id) if row.state == State.EXPIRED}
    assert replies == {"cancelled by an operator"}
    (attempt,) = office.attempts(edition_id)
    assert (attempt.subscriber_id, attempt.number, attempt.outcome) == (6, 1, State.IN_DOUBT)
    edition = office.edition(edition_id)
    assert (edition.state, edition.reason) == ("cancelled", f"cancelled by {WHO}")


def test_what_a_running_sender_has_under_way_is_left_to_it(office: Office) -> None:
    office.store_readers(4)
    edition_id, _ = office.approve()
    run = office.take(edition_id)
    ledger = office.ledger()
    under_way = ledger.lease(run, 2, office.now).jobs
    number = under_way[0].reader.subscriber_id
    intent = Intent(subscriber_id=number, number=1, via="relay #1")
    ledger.record(run, [], [intent], office.now)

    done = office.cancel(edition_id)

    assert done == settle.Cancelled(changed=True, expired=2, in_doubt=0, sender_is_alive=True)
    assert sum(office.counts(edition_id).values()) == 4
    outcome = Outcome(
        subscriber_id=number,
        number=1,
        via="relay #1",
        state=State.ACCEPTED,
        reply="250 OK",
        started_at=office.now,
        ended_at=office.now,
        next_attempt_at=office.now,
        intended=True,
    )
    ledger.record(run, [outcome], [], office.now)  # its answer still counts
    ledger.give_back(run, office.now)
    ledger.release(run, office.now)
    office.cancel(edition_id)  # what it gave back is closed at the latest now
    assert office.counts(edition_id) == {State.ACCEPTED: 1, State.EXPIRED: 3}
    assert office.edition(edition_id).state == "cancelled"


def test_a_sender_given_up_by_a_cancellation_can_do_nothing_any_more(office: Office) -> None:
    office.store_readers(2)
    edition_id, _ = office.approve()
    ledger = office.ledger()
    run = ledger.take(edition_id, ELSEWHERE, office.now)
    job, _ = ledger.lease(run, 10, office.now).jobs
    number = job.reader.subscriber_id
    ledger.record(run, [], [Intent(subscriber_id=number, number=1, via="r #1")], office.now)
    later = timedelta(minutes=5)

    done = office.cancel(edition_id, after=later)

    assert (done.in_doubt, done.expired, done.sender_is_alive) == (1, 1, False)
    with pytest.raises(LeaseLost):
        ledger.record(run, [], [], office.now + later)


def test_one_that_nobody_was_enrolled_for_is_cancelled_too(office: Office) -> None:
    edition_id = office.store_edition()
    office.set_edition(edition_id, state="draft")
    done = office.cancel(edition_id)
    assert done == settle.Cancelled(changed=True, expired=0, in_doubt=0, sender_is_alive=False)
    assert office.decisions(edition_id) == [("cancel", None, "was draft")]


def test_what_is_sent_is_not_cancelled(office: Office) -> None:
    office.store_readers(1)
    edition_id, _ = office.approve()
    office.set_edition(edition_id, state="sent")
    with pytest.raises(RefusedError, match="is sent, so there is nothing left to cancel"):
        office.cancel(edition_id)


# -- settling doubts -------------------------------------------------------------------------------


def doubted(office: Office, readers: int = 3) -> int:
    office.store_readers(readers)
    edition_id, _ = office.approve()
    office.spread(edition_id, *[State.IN_DOUBT] * readers)
    office.set_edition(edition_id, state="sent", sent_at=office.now, not_after=office.now + SECOND)
    return edition_id


def test_a_doubt_is_settled_once_and_each_is_noted(office: Office) -> None:
    edition_id = doubted(office)
    assert office.conclude(edition_id, "accepted", 1, 2) == 2
    assert office.conclude(edition_id, "again", 1, 3) == 1
    assert office.states(edition_id) == {1: State.ACCEPTED, 2: State.ACCEPTED, 3: State.PENDING}
    assert office.decisions(edition_id) == [
        ("resolve", 1, "accepted: the log"),
        ("resolve", 2, "accepted: the log"),
        ("resolve", 3, "again: the log"),
    ]


def test_accepting_leaves_a_sent_edition_sent_and_again_lets_it_be_sent(office: Office) -> None:
    edition_id = doubted(office)
    office.conclude(edition_id, "accepted", 1)
    assert office.edition(edition_id).state == "sent"
    office.conclude(edition_id, "again", 2)
    edition = office.edition(edition_id)
    assert (edition.state, edition.sent_at) == ("sending", None)
    assert edition.not_after == office.now + HOURS
    (job,) = office.lease_all(office.take(edition_id))
    assert job.reader.subscriber_id == 2


def test_again_within_an_editions_time_does_not_lengthen_it(office: Office) -> None:
    edition_id = doubted(office)
    for state in ("sending", "paused"):
        office.set_delivery(edition_id, 1, state="in_doubt")
        office.set_edition(edition_id, state=state)
        office.conclude(edition_id, "again", 1)
        edition = office.edition(edition_id)
        assert (edition.state, edition.not_after) == (state, office.now + SECOND)


def test_nobody_is_mailed_a_cancelled_edition_but_a_doubt_may_be_accepted(office: Office) -> None:
    edition_id = doubted(office)
    office.set_edition(edition_id, state="cancelled")
    with pytest.raises(RefusedError, match="is cancelled, so nobody is mailed it any more"):
        office.conclude(edition_id, "again", 1)
    assert office.states(edition_id)[1] is State.IN_DOUBT
    assert office.conclude(edition_id, "accepted", 1) == 1
    assert office.edition(edition_id).state == "cancelled"


@pytest.mark.parametrize("state", [s for s in State if s is not State.IN_DOUBT])
def test_only_a_doubt_is_settled(office: Office, state: State) -> None:
    edition_id = doubted(office, 1)
    office.spread(edition_id, state)
    before = office.snapshot()
    assert office.conclude(edition_id, "again", 1) == 0
    assert office.conclude(edition_id, "accepted", 1) == 0
    assert office.snapshot() == before


# -- trying again ----------------------------------------------------------------------------------


def troubled(office: Office) -> int:
    """Enrol seven: one expired, failed for the message, dead, kept out twice, two not to touch."""
    office.store_readers(7)
    edition_id, _ = office.approve()
    office.spread(
        edition_id,
        *(State.EXPIRED, State.FAILED, State.FAILED, State.FAILED, State.EXPIRED),
        *(State.ACCEPTED, State.IN_DOUBT),
    )
    office.set_delivery(edition_id, 2, reply="552 5.2.2 mailbox full", attempts=3)
    office.set_delivery(edition_id, 3, reply="550 5.1.1 no such user")
    office.set_delivery(edition_id, 4, reply="554 5.7.1 spam")
    office.suppress(4)
    office.suppress(5)
    office.set_edition(edition_id, state="sent", sent_at=office.now, not_after=office.now - SECOND)
    return edition_id


def test_who_failed_or_came_too_late_is_put_back_but_nobody_dead_or_kept_out(
    office: Office,
) -> None:
    edition_id = troubled(office)
    with office.database.reading() as connection:
        unreached = count_unreached(connection, edition_id)
    assert unreached == Unreached(failed=1, expired=1, dead=1, suppressed=2)

    assert office.put_back(edition_id) == settle.PutBack(failed=1, expired=1)

    moved = {number for number, s in office.states(edition_id).items() if s is State.PENDING}
    assert moved == {1, 2}
    assert office.rows(edition_id)[1].attempts == 3, "attempts go on counting"
    edition = office.edition(edition_id)
    assert (edition.state, edition.sent_at) == ("sending", None)
    assert edition.not_after == office.now + HOURS
    assert office.decisions(edition_id) == [
        ("retry_failed", None, "1 failed and 1 expired put back")
    ]
    assert office.put_back(edition_id).total == 0, "and not twice"
    assert len(office.decisions(edition_id)) == 1
    assert len(office.lease_all(office.take(edition_id))) == 2


def test_the_dead_are_tried_only_where_that_is_said(office: Office) -> None:
    edition_id = troubled(office)
    assert office.put_back(edition_id, including_dead=True) == settle.PutBack(failed=2, expired=1)
    assert office.states(edition_id)[3] is State.PENDING
    assert office.states(edition_id)[4] is State.FAILED


def test_with_nobody_to_try_a_sent_edition_stays_sent(office: Office) -> None:
    office.store_readers(1)
    edition_id, _ = office.approve()
    office.spread(edition_id, State.ACCEPTED)
    office.set_edition(edition_id, state="sent", sent_at=office.now)
    before = office.snapshot()
    assert office.put_back(edition_id).total == 0
    assert office.snapshot() == before


@pytest.mark.parametrize("state", ["approved", "paused", "cancelled"])
def test_nobody_is_put_back_in_an_edition_that_is_not_sent(office: Office, state: str) -> None:
    edition_id = troubled(office)
    office.set_edition(edition_id, state=state)
    before = office.snapshot()
    with pytest.raises(RefusedError, match=f"is {state}"):
        office.put_back(edition_id)
    assert office.snapshot() == before


@pytest.mark.parametrize("code", DEAD_ADDRESS_CODES)
def test_dead_means_here_what_it_means_to_the_sender(office: Office, code: str) -> None:
    reply = Reply(550, (f"{code} no such user",))
    verdict = judge_reply(Phase.RCPT, reply)
    assert (verdict.state, verdict.scope) == (State.FAILED, Scope.RECIPIENT)
    office.store_readers(3)
    edition_id, _ = office.approve()
    office.spread(edition_id, *[State.FAILED] * 3)
    for number, said in enumerate((str(reply), f"553 {code}", f"550 {code}9 other"), start=1):
        office.set_delivery(edition_id, number, reply=said)
    with office.database.reading() as connection:
        unreached = count_unreached(connection, edition_id)
    assert (unreached.dead, unreached.failed) == (2, 1)
