"""A process that stands still in a transaction keeps nobody out for long (PostgreSQL)."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import text

from newsletter.errors import StorageError
from newsletter.store import Database, open_database
from newsletter.store import database as store

NOTHING = text("SELECT 1")


def test_a_writer_that_stands_still_is_ended_and_a_reader_is_not(
    backend: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend.is_sqlite:
        pytest.skip("SQLite has one lock, and whoever is frozen keeps it: the others wait")
    monkeypatch.setattr(store, "STANDSTILL_SECONDS", 0.2)
    slow = open_database(backend.engine.url.render_as_string(hide_password=False))
    try:
        with slow.reading() as connection:
            connection.execute(NOTHING)
            time.sleep(0.6)
            connection.execute(NOTHING)
        with pytest.raises(StorageError, match="idle-in-transaction"):
            stand_still(slow)
        with slow.writing() as connection:  # the next one has a connection that works
            assert connection.execute(NOTHING).scalar() == 1
    finally:
        slow.close()


def stand_still(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(NOTHING)
        time.sleep(0.6)
        connection.execute(NOTHING)
