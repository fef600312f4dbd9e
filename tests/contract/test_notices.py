"""The queue of single mails: sent once, whatever dies, and never to who complained."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from newsletter.audience.address import parse_address
from newsletter.audience.suppression import Reason, suppress
from newsletter.delivery.holder import describe_self
from newsletter.delivery.lifecycle import State
from newsletter.delivery.notices import (
    DEAD_AFTER,
    Due,
    Notice,
    begin,
    count_notices,
    enqueue,
    find_due,
    find_next_look,
    list_notices,
    record_outcome,
    record_refusal,
    sweep,
)
from newsletter.store import Database
from newsletter.store.tables import notices

LINK = "https://news.example/c/token"
GONE = f"{describe_self().partition('|')[0]}|1|0"
"""A process of this machine that runs no more: number 1 began at another moment."""


def notice(now: datetime, number: int = 1, *, dedupe: str = "") -> Notice:
    return Notice(
        kind="confirmation",
        address=parse_address(f"reader{number}@example.org"),
        dedupe=dedupe or f"confirmation {number}",
        not_after=now + timedelta(days=1),
        fields={"confirm_url": LINK},
    )


def put(database: Database, now: datetime, number: int = 1) -> Due:
    with database.writing() as connection:
        assert enqueue(connection, notice(now, number), now)
    return due(database, now)


def due(database: Database, now: datetime) -> Due:
    found = look(database, now)
    assert found is not None
    return found


def look(database: Database, now: datetime) -> Due | None:
    with database.reading() as connection:
        return find_due(connection, now)


def intend(database: Database, due: Due, now: datetime) -> bool:
    with database.writing() as connection:
        return begin(connection, due, b"the bytes", now)


def conclude(database: Database, due: Due, state: State, now: datetime) -> None:
    with database.writing() as connection:
        later = now + timedelta(minutes=5)
        record_outcome(connection, due, state, "what was said", now=now, again_at=later)


def sweep_at(database: Database, now: datetime) -> None:
    with database.writing() as connection:
        sweep(connection, now)


def states(database: Database) -> dict[State, int]:
    with database.reading() as connection:
        return count_notices(connection)


def stored(database: Database) -> tuple[object, object]:
    with database.reading() as connection:
        row = connection.execute(select(notices.c.payload, notices.c.content)).one()
    return row.payload, row.content


def test_of_one_thing_there_is_one_notice(backend: Database, now: datetime) -> None:
    put(backend, now)
    with backend.writing() as connection:
        assert not enqueue(connection, notice(now, 2, dedupe="confirmation 1"), now)
        assert enqueue(connection, notice(now, 1, dedupe="confirmation 2"), now)
    assert states(backend) == {State.PENDING: 2}


def test_what_is_sent_is_settled_and_says_nothing_any_more(
    backend: Database, now: datetime
) -> None:
    first = put(backend, now)
    assert first.fields == {"confirm_url": LINK}
    assert intend(backend, first, now)
    assert stored(backend) == ({"confirm_url": LINK}, b"the bytes")
    assert look(backend, now) is None
    conclude(backend, first, State.ACCEPTED, now)
    assert (states(backend), stored(backend)) == ({State.ACCEPTED: 1}, ({}, None))
    with backend.reading() as connection:
        (shown,) = list_notices(connection)
        assert (shown.reply, shown.attempts) == ("what was said", 1)
        assert find_next_look(connection) is None


def test_of_two_who_prepared_it_one_may_send_it(backend: Database, now: datetime) -> None:
    one = put(backend, now)
    other = due(backend, now)
    assert intend(backend, one, now)
    assert not intend(backend, other, now)
    conclude(backend, one, State.DEFERRED, now)
    assert not intend(backend, other, now), "what it saw is not what there is now"
    assert states(backend) == {State.DEFERRED: 1}


def test_a_refusal_before_the_intent_counts_as_an_attempt(backend: Database, now: datetime) -> None:
    seen = put(backend, now)
    again = now + timedelta(minutes=5)
    with backend.writing() as connection:
        record_refusal(connection, seen, State.DEFERRED, "450 later", now=now, again_at=again)
        assert find_next_look(connection) == again
    assert look(backend, now) is None
    later = due(backend, again)
    assert (later.attempts, later.content) == (1, None)
    with backend.writing() as connection:
        record_refusal(connection, later, State.FAILED, "550 no", now=again, again_at=again)
    assert (states(backend), stored(backend)) == ({State.FAILED: 1}, ({}, None))


@pytest.mark.parametrize("is_told", [True, False])
def test_in_doubt_it_is_sent_once_more_with_the_same_bytes(
    backend: Database, now: datetime, is_told: bool
) -> None:
    """Whether the sender tells of the doubt or is gone, the same comes of it."""
    seen = put(backend, now)
    for doubt in (1, 2):
        assert intend(backend, seen, now)
        if is_told:
            conclude(backend, seen, State.IN_DOUBT, now)
        else:
            sweep_at(backend, now)
            assert states(backend) == {State.SENDING: 1}, "this process is alive"
            with backend.writing() as connection:
                connection.execute(update(notices).values(holder=GONE))
            sweep_at(backend, now)
        if doubt == 1:
            now += timedelta(minutes=5)
            seen = due(backend, now)
            assert (seen.attempts, seen.content) == (1, b"the bytes")
    assert (states(backend), stored(backend)) == ({State.IN_DOUBT: 1}, ({}, None))
    sweep_at(backend, now + timedelta(days=9))
    assert states(backend) == {State.IN_DOUBT: 1}


def test_the_sender_on_another_machine_has_time_for_its_answer(
    backend: Database, now: datetime
) -> None:
    seen = put(backend, now)
    assert intend(backend, seen, now)
    with backend.writing() as connection:
        connection.execute(update(notices).values(holder="elsewhere|1|2"))
    sweep_at(backend, now + DEAD_AFTER)
    assert states(backend) == {State.SENDING: 1}
    sweep_at(backend, now + DEAD_AFTER + timedelta(seconds=1))
    assert states(backend) == {State.PENDING: 1}
    conclude(backend, seen, State.ACCEPTED, now)  # it wakes up after all
    assert states(backend) == {State.PENDING: 1}


@pytest.mark.parametrize(
    ("reason", "may_go"),
    [
        ("complained", False),
        ("manual", False),
        ("unsubscribed", True),
        ("bounced", True),
    ],
)
def test_who_complained_before_the_intent_gets_none(
    backend: Database, now: datetime, reason: Reason, may_go: bool
) -> None:
    seen = put(backend, now)
    with backend.writing() as connection:
        suppress(connection, [seen.email_key], reason, now)
    assert intend(backend, seen, now) is may_go
    assert states(backend) == {State.SENDING if may_go else State.SUPPRESSED: 1}


def test_what_is_too_late_is_given_up(backend: Database, now: datetime) -> None:
    seen = put(backend, now)
    late = now + timedelta(days=1)
    assert look(backend, late) is None
    sweep_at(backend, late)
    assert (states(backend), stored(backend)) == ({State.EXPIRED: 1}, ({}, None))
    assert not intend(backend, seen, late)


def test_the_one_that_has_waited_longest_comes_first(backend: Database, now: datetime) -> None:
    with backend.writing() as connection:
        enqueue(connection, notice(now, 1), now + timedelta(seconds=1))
        enqueue(connection, notice(now, 2), now)
    assert due(backend, now + timedelta(minutes=1)).email == "reader2@example.org"
