"""A relay that takes every copy and sends every one back, heard while the edition is being sent."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from newsletter.delivery.inquiry import list_alerts
from newsletter.delivery.lifecycle import State
from newsletter.feedback.guard import read_guard
from newsletter.feedback.hearing import Listener
from newsletter.store import Database, open_database
from newsletter.store.tables import subscribers, suppressions
from tests.integration.runs import Edition, Server
from tests.postgres import open_schema
from tests.reports import LIST_ID, PATTERN, RING, build_bounce, build_return_path

READERS = 400


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        database = open_database(f"sqlite:///{tmp_path / 'newsletter.db'}", durability="process")
        yield database
        database.close()
        return
    with open_schema(request.getfixturevalue("postgres_url")) as url:
        database = open_database(url)
        yield database
        database.close()


class Returning:
    """Hears a bounce of every copy that the relay took, as soon as it did."""

    def __init__(self, database: Database, edition: Edition) -> None:
        self.taken: queue.Queue[str] = queue.Queue()
        self.heard = 0
        self._edition_id = edition.id
        self._listener = Listener(
            database=database,
            keyring=RING,
            list_id=LIST_ID,
            bounce_address=PATTERN,
            now=lambda: datetime.now(UTC),
        )
        with database.reading() as connection:
            rows = connection.execute(select(subscribers.c.id, subscribers.c.email))
            self._numbers = {row.email: row.id for row in rows}
        self._is_over = threading.Event()
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._go)
        self._thread.start()

    def end(self) -> None:
        """Hear what is left, and raise what went wrong."""
        self._is_over.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        for error in self._errors:
            raise error

    def _go(self) -> None:
        try:
            while True:
                try:
                    email = self.taken.get(timeout=0.05)
                except queue.Empty:
                    if self._is_over.is_set():
                        return
                    continue
                path = build_return_path(self._edition_id, self._numbers[email])
                while (heard := self._listener.hear(build_bounce(path))).is_early:
                    time.sleep(0.01)
                assert heard.bounced, heard
                self.heard += 1
        except BaseException as error:  # noqa: BLE001 - `end` raises it
            self._errors.append(error)


def test_the_send_stops_and_nobody_is_taken_off(opened: Database) -> None:
    edition = Edition(opened, READERS)
    returning = Returning(opened, edition)

    def take(recipient: str, _attempt: int) -> str:
        returning.taken.put(recipient)
        return ""

    with Server() as server:
        server.at_dot = take
        server.slow_dot = lambda: 0.02
        is_sent = edition.run(server)
    returning.end()
    assert not is_sent
    assert edition.state == "paused"
    assert edition.is_free
    counts = edition.counts
    assert sum(counts.values()) == READERS
    assert counts[State.PENDING] > 0, "it stopped on its way"
    assert counts[State.BOUNCED] == returning.heard == sum(server.kept.values())
    assert max(server.kept.values()) == 1
    with opened.reading() as connection:
        assert connection.execute(select(suppressions)).all() == []
        assert read_guard(connection, edition.id).waits
        (alert,) = list_alerts(connection, edition.id)
    assert "came back" in alert.sentence
