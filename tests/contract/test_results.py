"""What becomes of an edition, added up once, on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert

from newsletter.delivery.results import AGAIN, DomainResult, Result, add_up_editions, find_result
from newsletter.store import Database
from newsletter.store.tables import attempts
from tests.contract.desk import Desk

MINUTE = timedelta(minutes=1)
FULL = "452 4.2.2 READER is full"


@pytest.fixture
def desk(backend: Database, now: datetime) -> Desk:
    return Desk(backend, now.replace(second=0, microsecond=0))


def send(desk: Desk) -> int:
    """Give a sent edition: a large domain, one that is full, and two readers of their own."""
    addresses = [f"reader{n}@large.example" for n in range(1, 8)]
    addresses += [f"r{n}@Full.Example" for n in range(1, 6)]
    addresses += ["own@alone.example", "erased-pseudonym"]
    for number, email in enumerate(addresses, start=1):
        desk.store_reader(number, email=email, email_key=email)
    edition_id, audience = desk.approve()
    assert audience == len(addresses)
    rows = []
    for number, email in enumerate(addresses, start=1):
        state, reply = "accepted", "250 2.0.0 ok"
        if "Full" in email and number < 12:
            state, reply = "failed", f"452 4.2.2 {email} is full"
        if number == 13:
            state, reply = "failed", "550 5.1.1 no own here"
        if number == 7:
            state, reply = "in_doubt", "the connection broke"
        desk.set_delivery(edition_id, number, state=state, reply=reply)
        ended_at = desk.now + MINUTE * (number % 3)
        rows.append(
            {
                "edition_id": edition_id, "subscriber_id": number, "number": 1, "via": "relay",
                "started_at": ended_at, "ended_at": ended_at + timedelta(seconds=59),
                "outcome": state, "reply": reply,
            }
        )  # fmt: skip
    with desk.database.writing() as connection:
        connection.execute(insert(attempts), rows)
    desk.set_edition(edition_id, state="sent", sent_at=desk.now + 3 * MINUTE)
    return edition_id


def look(desk: Desk, edition_id: int) -> Result:
    with desk.database.reading() as connection:
        found = find_result(connection, edition_id)
    assert found is not None
    return found


def test_an_edition_is_added_up_by_minute_class_and_domain(desk: Desk) -> None:
    edition_id = send(desk)
    later = desk.now + 5 * MINUTE
    assert add_up_editions(desk.database, later) == 1
    result = look(desk, edition_id)
    assert [(minute, sum(counts.values())) for minute, counts in result.minutes] == [
        (desk.now, 4),
        (desk.now + MINUTE, 5),
        (desk.now + 2 * MINUTE, 5),
    ]
    assert result.replies == {"2": 8, "4": 4, "5": 1, "": 1}
    assert list(result.domains) == [
        DomainResult(domain="large.example", readers=7, counts={"in_doubt": 1}, words=""),
        DomainResult(domain="full.example", readers=5, counts={"failed": 4}, words=FULL),
        DomainResult(domain="", readers=2, counts={"failed": 1}, words=""),
    ]
    assert [each.accepted for each in result.domains] == [6, 1, 1]


def test_it_is_added_up_again_where_its_counts_moved_but_not_all_the_time(desk: Desk) -> None:
    edition_id = send(desk)
    later = desk.now + 5 * MINUTE
    assert add_up_editions(desk.database, later) == 1
    assert add_up_editions(desk.database, later + AGAIN) == 0, "nothing moved"
    desk.set_delivery(edition_id, 1, state="bounced")
    assert add_up_editions(desk.database, later + MINUTE) == 0, "not so soon"
    assert look(desk, edition_id).made_at == later
    assert add_up_editions(desk.database, later + AGAIN) == 1
    assert look(desk, edition_id).domains[0].counts == {"bounced": 1, "in_doubt": 1}
    desk.set_edition(edition_id, sent_at=later + AGAIN + MINUTE)  # it was taken up again
    assert add_up_editions(desk.database, later + AGAIN + 2 * MINUTE) == 1
