"""An unsubscribe that is committed before an intent is obeyed by it, to the transaction (G7).

Two transactions at once, each stopped where it hurts: what the one has not committed the
other must wait for, on PostgreSQL as on SQLite.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import event

from newsletter.audience.importer import import_subscribers
from newsletter.audience.subscribers import find_subscriber, remove_subscriber
from newsletter.audience.suppression import suppress
from newsletter.delivery.journal import Journal
from newsletter.delivery.ledger import Grant, Intent, Run
from newsletter.delivery.lifecycle import State
from newsletter.store import Database
from tests.audience import PSEUDONYMS
from tests.contract.aside import Aside
from tests.contract.desk import Desk

READER = "reader1@example.org"


@pytest.fixture
def desk(backend: Database, now: datetime) -> Desk:
    return Desk(backend, now)


@contextmanager
def after_first(database: Database, beginning: str, act: Callable[[], None]) -> Iterator[None]:
    """Act once, between the first statement that begins so and whatever follows it."""
    waiting = [act]

    def executed(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if waiting and statement.startswith(beginning):
            waiting.pop()()

    event.listen(database.engine, "after_cursor_execute", executed)
    try:
        yield
    finally:
        event.remove(database.engine, "after_cursor_execute", executed)
    assert not waiting, f"no statement begins with {beginning}"


def lease_one(desk: Desk) -> tuple[int, Run, list[Intent]]:
    desk.store_readers(1)
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    (job,) = desk.lease_all(run)
    return edition_id, run, [Intent(subscriber_id=job.reader.subscriber_id, number=1, via="r")]


def test_an_intent_waits_for_a_suppression_under_way_and_obeys_it(desk: Desk) -> None:
    edition_id, run, intents = lease_one(desk)
    asking = Aside(lambda: desk.ledger().record(run, [], intents, desk.now))
    with desk.database.writing() as connection:
        suppress(connection, [READER], "unsubscribed", desk.now)
        asking.start()
        assert asking.waits()
    assert asking.result() == {1: Grant.SUPPRESSED}
    assert desk.states(edition_id) == {1: State.SUPPRESSED}


def test_a_suppression_waits_for_an_intent_under_way(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    edition_id, run, intents = lease_one(desk)
    leaving = Aside(
        lambda: remove_subscriber(desk.database, READER, now=desk.now, pseudonyms=PSEUDONYMS)
    )

    def leave() -> None:
        leaving.start()
        assert leaving.waits(), "it was committed before the intent that does not know of it"

    def move_and_leave(journal: Journal, *given: Any) -> Any:
        moved = move(journal, *given)
        leave()
        return moved

    move = Journal._move
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "_move", move_and_leave)
        assert desk.ledger().record(run, [], intents, desk.now) == {1: Grant.GIVEN}
    assert leaving.result()
    assert desk.states(edition_id) == {1: State.SENDING}


def test_an_import_and_an_unsubscribe_do_not_wait_for_each_other(desk: Desk) -> None:
    desk.store_readers(2)
    rows = f"email,name,status\n{READER},Ada,\nreader2@example.org,,complained\n"
    leaving = Aside(
        lambda: remove_subscriber(desk.database, READER, now=desk.now, pseudonyms=PSEUDONYMS)
    )

    def leave() -> None:
        leaving.start()
        assert leaving.waits()

    with after_first(desk.database, "UPDATE subscribers", leave):
        report = import_subscribers(
            desk.database, io.BytesIO(rows.encode()), now=desk.now, pseudonyms=PSEUDONYMS
        )
    assert leaving.result()
    assert (report.updated, report.kept_out) == (1, {"complained": 1})
    reader = find_subscriber(desk.database, READER)
    assert reader is not None
    assert (reader.name, reader.status) == ("Ada", "unsubscribed")
