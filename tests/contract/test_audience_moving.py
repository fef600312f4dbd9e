"""A reader who moves keeps their copies; no mail begins to who has left, whatever their address."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, select

from newsletter.audience.address import parse_address
from newsletter.audience.importer import import_subscribers
from newsletter.audience.leaving import leave
from newsletter.audience.moving import MOVED, Moved, Wish, ask_to_move, move, settle_moves
from newsletter.audience.subscribers import read_subscriber
from newsletter.audience.suppression import suppress
from newsletter.delivery.entries import Grant, Intent
from newsletter.delivery.lifecycle import State
from newsletter.store import Database
from newsletter.store.tables import address_changes, suppressions
from tests.audience import PSEUDONYMS
from tests.contract.aside import Aside
from tests.contract.desk import Desk

NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)
OLD, NEW = "reader1@example.org", "New.Home@example.net"


@pytest.fixture
def desk(backend: Database) -> Desk:
    return Desk(backend, NOW)


def go(desk: Desk, email: str = NEW, number: int = 1) -> Moved | None:
    """Ask for an address and confirm it."""
    with desk.database.writing() as connection:
        ask_to_move(connection, number, parse_address(email), NOW)
        wish = connection.scalar(
            select(address_changes.c.id)
            .where(address_changes.c.subscriber_id == number)
            .order_by(address_changes.c.id.desc())
        )
    assert wish
    with desk.database.writing() as connection:
        return move(connection, wish, now=NOW, pseudonyms=PSEUDONYMS)


def reasons(desk: Desk) -> dict[str, tuple[str, str]]:
    with desk.database.reading() as connection:
        return {
            row.email_key: (row.reason, row.detail)
            for row in connection.execute(select(suppressions))
        }


def test_a_copy_that_waits_goes_to_the_new_address(desk: Desk) -> None:
    desk.store_readers(2)
    edition_id, _ = desk.approve()
    assert go(desk) is not None
    jobs = desk.lease_all(desk.take(edition_id))
    assert [job.reader.email for job in jobs] == [NEW, "reader2@example.org"]


def test_a_copy_that_was_begun_goes_where_it_went_and_leaving_holds_for_it(desk: Desk) -> None:
    desk.store_readers(2)
    edition_id, _ = desk.approve()
    desk.set_delivery(edition_id, 1, state="deferred", attempts=1)
    go(desk)
    run = desk.take(edition_id)
    jobs = desk.lease_all(run)
    assert [job.reader.email for job in jobs] == [OLD, "reader2@example.org"]
    leave(desk.database, 1, "link", now=NOW)
    intent = Intent(subscriber_id=1, number=2, via="relay #1")
    granted = desk.ledger().record(run, [], [intent], NOW)
    assert granted[1] is not Grant.GIVEN
    assert desk.states(edition_id)[1] is State.SUPPRESSED


def test_a_copy_that_was_begun_is_still_sent(desk: Desk) -> None:
    desk.store_readers(1)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    (job,) = desk.lease_all(run)
    go(desk)
    intent = Intent(subscriber_id=1, number=1, via="relay #1")
    assert desk.ledger().record(run, [], [intent], NOW)[1] is Grant.GIVEN
    desk.ledger().remember(run, [], [(job.reader, "550 5.1.1 no such user")], {}, NOW)
    assert NEW.lower() not in reasons(desk), "that the old mailbox is dead says nothing of the new"


def test_what_was_sent_stays_as_it_was(desk: Desk) -> None:
    desk.store_readers(1)
    edition_id, _ = desk.approve()
    desk.set_delivery(edition_id, 1, state="accepted", attempts=1)
    desk.set_edition(edition_id, state="sent")
    go(desk)
    (row,) = desk.rows(edition_id)
    assert (row.email, row.email_key) == (OLD, OLD)


def test_the_old_address_comes_in_by_no_import_and_is_the_readers_again_if_they_ask(
    desk: Desk,
) -> None:
    desk.store_readers(1)
    moved = go(desk)
    assert moved is not None
    assert (moved.former.email, moved.wish.address.email) == (OLD, NEW)
    assert reasons(desk) == {OLD: ("unsubscribed", MOVED)}
    stream = io.BytesIO(f"email\n{OLD}\n".encode())
    import_subscribers(desk.database, stream, now=NOW, pseudonyms=PSEUDONYMS)
    with desk.database.reading() as connection:
        assert read_subscriber(connection, OLD) is None
    assert go(desk, OLD) is not None
    assert reasons(desk) == {NEW.lower(): ("unsubscribed", MOVED)}
    with desk.database.reading() as connection:
        back = read_subscriber(connection, OLD)
    assert back is not None
    assert (back.id, back.status) == (1, "active")


@pytest.mark.parametrize("reason", ["unsubscribed", "manual", "bounced", "complained"])
def test_a_suppressed_address_is_nobodys_new_one(desk: Desk, reason: str) -> None:
    desk.store_readers(1)
    with desk.database.writing() as connection:
        suppress(connection, [NEW.lower()], reason, NOW)  # type: ignore[arg-type]
    assert go(desk) is None
    with desk.database.reading() as connection:
        assert read_subscriber(connection, OLD) is not None


def test_a_sign_up_that_nobody_confirmed_is_theirs(desk: Desk) -> None:
    desk.store_readers(1)
    desk.store_reader(2, email=NEW, email_key=NEW.lower(), status="pending")
    desk.store_reader(3, status="unsubscribed")
    assert go(desk) is not None
    assert go(desk, "reader3@example.org") is None
    with desk.database.reading() as connection:
        reader = read_subscriber(connection, NEW.lower())
    assert reader is not None
    assert (reader.id, reader.status) == (1, "active")


def test_the_audience_of_a_later_edition_has_the_new_address(desk: Desk) -> None:
    desk.store_readers(1)
    go(desk)
    desk.now += timedelta(days=1)
    edition_id, audience = desk.approve()
    assert audience == 1
    assert [row.email_key for row in desk.rows(edition_id)] == [NEW.lower()]


def test_who_leaves_while_they_move_has_left_at_the_new_address_too(desk: Desk) -> None:
    desk.store_readers(1)
    with desk.database.writing() as connection:
        ask_to_move(connection, 1, parse_address(NEW), NOW)
        wish = connection.execute(select(address_changes.c.id)).scalar_one()
    leaving = Aside(lambda: leave(desk.database, 1, "link", now=NOW))
    with desk.database.writing() as connection:
        assert move(connection, wish, now=NOW, pseudonyms=PSEUDONYMS)
        leaving.start()
        assert leaving.waits()
    leaving.result()
    with desk.database.reading() as connection:
        reader = read_subscriber(connection, NEW.lower())
    assert reader is not None
    assert reader.status == "unsubscribed"
    assert reasons(desk)[NEW.lower()] == ("unsubscribed", "by the reader, by link")


def test_of_two_that_settle_at_once_neither_takes_the_others_link_back(desk: Desk) -> None:
    desk.store_readers(1)
    with desk.database.writing() as connection:
        ask_to_move(connection, 1, parse_address(NEW), NOW)
    mailed = []

    def settle(mail: Callable[[Connection, Wish], None]) -> None:
        settle_moves(desk.database, mail, now=NOW, pseudonyms=PSEUDONYMS, secret=b"secret")

    other = Aside(lambda: settle(lambda _connection, wish: mailed.append(("other", wish.number))))

    def mail(_connection: Connection, wish: Wish) -> None:
        mailed.append(("first", wish.number))
        other.start()
        assert other.waits()

    settle(mail)
    other.result()
    ((who, number),) = mailed
    assert who == "first"
    with desk.database.writing() as connection:
        assert move(connection, number, now=NOW, pseudonyms=PSEUDONYMS), "its link is good"
