"""Signing up on both databases: what comes of it for whoever the address belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from limits import RateLimitItem, RateLimitItemPerHour
from sqlalchemy import Connection, func, select

from newsletter.audience.address import parse_address
from newsletter.audience.erasure import erase_reader
from newsletter.audience.signing_up import (
    WAIT,
    WAITS_AT_MOST,
    Ask,
    Confirmed,
    Mailing,
    Visit,
    Wording,
    confirm,
    find_sign_up,
    list_sign_ups,
    refuse,
    settle_asks,
    store_ask,
    store_wordings,
)
from newsletter.audience.subscribers import find_subscriber
from newsletter.audience.suppression import Reason, suppress
from newsletter.store import Database
from newsletter.store.tables import happenings, limit_hits, sign_ups, suppressions
from tests.audience import PSEUDONYMS

EMAIL = "reader@example.org"
MANY = (RateLimitItemPerHour(1_000),)
WORDS = Wording(language="en", text="I want it.")
MINUTE = timedelta(minutes=1)


def ask(database: Database, now: datetime, email: str = EMAIL) -> bool:
    asked = Ask(
        address=parse_address(email),
        way="page",
        source="https://news.example/",
        visit=Visit(network="192.0.2.0/24", agent="Browser/1"),
        wording=WORDS.version,
    )
    with database.writing() as connection:
        return store_ask(connection, asked, now, limits=MANY, key="network")


def settle(
    database: Database, now: datetime, per_domain: Sequence[RateLimitItem] = MANY
) -> list[Mailing]:
    mailed: list[Mailing] = []

    def mail(_connection: Connection, mailing: Mailing) -> None:
        mailed.append(mailing)

    settle_asks(
        database,
        mail,
        now=now,
        pseudonyms=PSEUDONYMS,
        per_domain=per_domain,
        secret=b"secret",
    )
    return mailed


def press(database: Database, number: int, now: datetime, *, in_time: bool = True) -> Confirmed:
    visit = Visit(network="198.51.100.0/24", agent="Browser/2")
    return confirm(
        database, number, visit, WORDS.version, in_time=in_time, now=now, pseudonyms=PSEUDONYMS
    )


def status(database: Database) -> str:
    found = find_subscriber(database, EMAIL)
    return found.status if found else "unknown"


def count_suppressions(database: Database) -> int:
    with database.reading() as connection:
        return connection.scalar(select(func.count()).select_from(suppressions)) or 0


def test_from_asking_to_reading(backend: Database, now: datetime) -> None:
    store_wordings(backend, [WORDS], now)
    store_wordings(backend, [WORDS, Wording(language="de", text="Ich will.")], now + MINUTE)
    assert ask(backend, now)
    assert status(backend) == "unknown"
    (mailing,) = settle(backend, now + MINUTE)
    assert status(backend) == "pending"
    assert settle(backend, now + MINUTE) == []
    later = now + 2 * MINUTE
    confirmed = press(backend, mailing.sign_up_id, later)
    assert (confirmed.outcome, status(backend)) == ("confirmed", "active")
    assert press(backend, mailing.sign_up_id, later + MINUTE, in_time=False) == confirmed
    with backend.reading() as connection:
        (told,) = list_sign_ups(connection, EMAIL)
        happened = connection.execute(select(happenings.c.kind, happenings.c.at)).all()
    assert [tuple(row) for row in happened] == [("reader.subscribed", later)]
    assert (told.asked_at, told.confirmed_at, told.wording) == (now, later, "I want it.")
    assert (told.way, told.network) == ("page", "192.0.2.0/24")


def test_of_many_asks_for_one_address_one_is_mailed(backend: Database, now: datetime) -> None:
    for _again in range(120):
        assert ask(backend, now)
    assert len(settle(backend, now)) == 1
    with backend.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(sign_ups)) == 1
        hits = select(func.count()).where(limit_hits.c.key.contains("reader"))
        assert connection.scalar(hits) == 0, "a limit names nobody"


@pytest.mark.parametrize(
    ("reason", "is_mailed"),
    [
        ("unsubscribed", True),
        ("bounced", True),
        ("complained", False),
        ("manual", False),
    ],
)
def test_who_was_kept_out_may_come_back_or_not(
    backend: Database, now: datetime, reason: Reason, is_mailed: bool
) -> None:
    with backend.writing() as connection:
        suppress(connection, [EMAIL], reason, now)
    ask(backend, now + MINUTE)
    mailed = settle(backend, now + MINUTE)
    assert bool(mailed) is is_mailed
    assert status(backend) == "unknown"
    if mailed:
        press(backend, mailed[0].sign_up_id, now + 2 * MINUTE)
        assert (status(backend), count_suppressions(backend)) == ("active", 0)


@pytest.mark.parametrize("reason", ["unsubscribed", "bounced", "complained", "manual"])
def test_what_came_between_asking_and_confirming_ends_it(
    backend: Database, now: datetime, reason: Reason
) -> None:
    ask(backend, now)
    (mailing,) = settle(backend, now)
    with backend.writing() as connection:
        suppress(connection, [EMAIL], reason, now + MINUTE)
    assert press(backend, mailing.sign_up_id, now + 2 * MINUTE).outcome == "over"
    assert (status(backend) == "active", count_suppressions(backend)) == (False, 1)


def test_an_erasure_ends_it_and_a_new_wish_ends_the_erasure(
    backend: Database, now: datetime
) -> None:
    ask(backend, now)
    (mailing,) = settle(backend, now)
    erase_reader(
        backend, EMAIL, now=lambda: now, pseudonyms=PSEUDONYMS, sleep=lambda _seconds: None
    )
    assert find_sign_up(backend, mailing.sign_up_id) is None
    assert press(backend, mailing.sign_up_id, now).outcome == "unknown"
    assert not refuse(backend, mailing.sign_up_id, now=now)
    later = now + timedelta(days=1)
    ask(backend, later)
    (again,) = settle(backend, later)
    assert again.sign_up_id > mailing.sign_up_id, "nobody gets the number in an old link"
    assert status(backend) == "unknown"
    assert press(backend, again.sign_up_id, later).outcome == "confirmed"
    assert (status(backend), count_suppressions(backend)) == ("active", 0)


def test_what_finds_no_room_for_its_domain_waits_and_is_given_up_after_a_day(
    backend: Database, now: datetime
) -> None:
    few = (RateLimitItemPerHour(1),)
    for name in ("a", "b", "c"):
        ask(backend, now, f"{name}@example.org")
    assert [m.address.email for m in settle(backend, now, few)] == ["a@example.org"]
    assert settle(backend, now + WAIT, few) == []
    hour = now + timedelta(hours=1)
    assert [m.address.email for m in settle(backend, hour, few)] == ["b@example.org"]
    with backend.writing() as connection:  # the rest of the day others are quicker
        connection.execute(sign_ups.update().values(look_at=now + WAITS_AT_MOST))
    ask(backend, now, "d@example.org")
    settle(backend, now + WAITS_AT_MOST - MINUTE, few)
    assert settle(backend, now + WAITS_AT_MOST, few) == []
    with backend.reading() as connection:
        waiting = connection.scalar(select(func.count()).where(sign_ups.c.state == "asked"))
    assert waiting == 0


def test_too_late_is_over_and_never_is_never(backend: Database, now: datetime) -> None:
    ask(backend, now)
    (mailing,) = settle(backend, now)
    assert press(backend, mailing.sign_up_id, now, in_time=False).outcome == "over"
    assert status(backend) == "pending"
    assert refuse(backend, mailing.sign_up_id, now=now)
    assert press(backend, mailing.sign_up_id, now).outcome == "over"
    assert status(backend) == "unsubscribed"
