"""What programs are told and what they ask to be sent, on both databases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from newsletter.audience.address import parse_address
from newsletter.audience.entry import Entry
from newsletter.audience.leaving import leave, take_back
from newsletter.audience.subscribers import add_subscriber, remove_subscriber
from newsletter.delivery.feed import list_events, number_new
from newsletter.delivery.holder import describe_self
from newsletter.delivery.posting import find_due_posts, record_answer, take_post
from newsletter.errors import RefusedError
from newsletter.orders import store_order
from newsletter.settings import Webhook
from newsletter.store import Database
from newsletter.store.audit import Actor
from newsletter.store.happenings import tell_of_brief, tell_of_readers
from newsletter.store.tables import happenings, orders, posts
from tests.audience import PSEUDONYMS

NOW = datetime(2026, 11, 26, 6, tzinfo=UTC)
TEST = Actor(who="test")
LEASE = timedelta(seconds=40)
HOOKS = tuple(
    Webhook.model_validate({"url": f"https://{name}.example/", "secret": "{S}"})
    for name in ("desk", "archive")
)


def read_on(database: Database, after: int) -> list[int]:
    with database.writing() as connection:
        number_new(connection, HOOKS, NOW)
    with database.reading() as connection:
        events = list_events(connection, after=after, limit=100)
    return [event.detail["brief"] for event in events]


def test_what_commits_later_is_told_later_whatever_began_first(backend: Database) -> None:
    if backend.is_sqlite:
        pytest.skip("SQLite lets only one write")
    began, may_commit = threading.Event(), threading.Event()

    def slow() -> None:
        with backend.writing() as connection:
            tell_of_brief(connection, 1, "new", now=NOW)
            began.set()
            assert may_commit.wait(60)

    thread = threading.Thread(target=slow)
    thread.start()
    assert began.wait(60)
    with backend.writing() as connection:
        tell_of_brief(connection, 2, "new", now=NOW)
    assert read_on(backend, 0) == [2]
    may_commit.set()
    thread.join()
    assert read_on(backend, 1) == [1], "whoever read on from the last one has it"


def test_many_that_tell_and_number_at_once_leave_no_gap(backend: Database) -> None:
    def tell(number: int) -> None:
        with backend.writing() as connection:
            tell_of_brief(connection, number, "new", now=NOW)
        with backend.writing() as connection:
            number_new(connection, HOOKS, NOW)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(tell, range(40)))
    assert sorted(read_on(backend, 0)) == list(range(40))
    with backend.reading() as connection:
        numbers = connection.scalars(select(happenings.c.number)).all()
        assert connection.scalar(select(func.count()).select_from(posts)) == 80
    assert sorted(number or 0 for number in numbers) == list(range(1, 41))


def test_each_hook_has_its_own_next_one(backend: Database) -> None:
    with backend.writing() as connection:
        tell_of_readers(connection, [7, 8], "unsubscribed", now=NOW)
        number_new(connection, HOOKS, NOW)
        due = find_due_posts(connection, NOW)
        assert sorted((post.hook, post.number) for post in due) == sorted(
            (hook.label, 1) for hook in HOOKS
        )
        record_answer(connection, due[0], "", NOW)
        later = find_due_posts(connection, NOW)
    assert {(post.hook, post.number) for post in later} == {(due[0].hook, 2), (due[1].hook, 1)}


def test_who_comes_back_is_told_of_as_who_left_is(backend: Database) -> None:
    def add(source: str, *, again: bool = False) -> int:
        address = parse_address("reader@example.org")
        entry = Entry(address=address, consent_source=source)
        added = add_subscriber(backend, entry, now=NOW, pseudonyms=PSEUDONYMS, again=again)
        return added.id

    number = add("desk")
    leave(backend, number, "link", now=NOW)
    assert take_back(backend, number, now=NOW)
    assert take_back(backend, number, now=NOW), "again it changes nothing, and nothing is told"
    remove_subscriber(backend, "reader@example.org", now=NOW, pseudonyms=PSEUDONYMS)
    assert add("letter", again=True) == number
    assert add("another desk") == number, "another value is no coming back"
    with backend.reading() as connection:
        told = connection.execute(
            select(happenings.c.kind, happenings.c.subscriber_id).order_by(happenings.c.id)
        ).all()
    came, went = ("reader.subscribed", number), ("reader.unsubscribed", number)
    assert [tuple(row) for row in told] == [came, went, came, went, came]


def order(database: Database, asked: dict[str, Any], *, key: int = 1, token: str = "t") -> int:
    return store_order(
        database,
        key,
        token,
        "send",
        "2026-11-26",
        asked,
        {},
        actor=TEST,
        check=lambda _: None,
        now=NOW,
    ).id


def test_fifty_orders_at_once_are_one(backend: Database) -> None:
    with ThreadPoolExecutor(10) as pool:
        numbers = list(pool.map(lambda _: order(backend, {"overrides": []}), range(50)))
    assert len(set(numbers)) == 1
    with backend.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(orders)) == 1


def test_a_token_is_of_its_key_and_of_one_thing(backend: Database) -> None:
    first = order(backend, {"overrides": []})
    assert order(backend, {"overrides": []}, key=2) != first
    with pytest.raises(RefusedError, match="used for something else"):
        order(backend, {"overrides": ["links"]})


def test_a_thing_is_told_by_whoever_took_it_and_by_nobody_beside(backend: Database) -> None:
    with backend.writing() as connection:
        tell_of_readers(connection, [7, 8], "unsubscribed", now=NOW)
        number_new(connection, HOOKS[:1], NOW)
        (due,) = find_due_posts(connection, NOW)
        mine = take_post(connection, due, "one", NOW, lease=LEASE)
        assert mine is not None
        assert take_post(connection, due, "two", NOW, lease=LEASE) is None
        assert find_due_posts(connection, NOW) == [], "nor is the next thing told out of turn"
        # The first stood still until its lease was over; what it then says counts no more.
        (left,) = find_due_posts(connection, NOW + LEASE)
        theirs = take_post(connection, left, "two", NOW + LEASE, lease=LEASE)
        assert theirs is not None
        record_answer(connection, mine, "it answered 500", NOW + LEASE)
        assert find_due_posts(connection, NOW + LEASE) == []
        record_answer(connection, theirs, "", NOW + LEASE)
        (following,) = find_due_posts(connection, NOW + LEASE)
    assert (due.number, left.number, following.number) == (1, 1, 2)


def test_what_a_process_left_that_is_gone_is_taken_over_at_once(backend: Database) -> None:
    machine, number, _ = describe_self().split("|")
    with backend.writing() as connection:
        tell_of_readers(connection, [7], "unsubscribed", now=NOW)
        number_new(connection, HOOKS[:1], NOW)
        (due,) = find_due_posts(connection, NOW)
        assert take_post(connection, due, f"{machine}|{number}|1", NOW, lease=LEASE)
        assert [post.number for post in find_due_posts(connection, NOW)] == [1]
