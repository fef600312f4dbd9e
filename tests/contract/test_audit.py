"""The audit's chain, on both databases: nobody forks it, and nobody changes it unseen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Delete, Update, delete, insert, select, text, update

from newsletter.errors import StorageError
from newsletter.store import Database
from newsletter.store.audit import BEGINNING, Actor, list_entries, note, verify
from newsletter.store.tables import audit, audit_head, relay_states, to_micros
from tests.contract.conftest import audit_unlocked

NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)
ADA = Actor(who="Ada", origin="203.0.113.9")


def write(database: Database, count: int) -> None:
    for number in range(count):
        with database.writing() as connection:
            note(connection, ADA, "edition.pause", f"edition {number}", now=NOW, before={"a": 1})


@pytest.fixture
def database(backend: Database) -> Database:
    return backend


@pytest.fixture
def unlocked(database: Database) -> Iterator[Database]:
    """A database whose own refusal to change the audit somebody has taken away."""
    with audit_unlocked(database):
        yield database


def test_what_is_noted_is_read_again_and_in_order(database: Database) -> None:
    with database.reading() as connection:
        empty = verify(connection)
    assert (empty.entries, empty.hash, empty.fault) == (0, BEGINNING, "")
    write(database, 3)
    with database.reading() as connection:
        found = verify(connection)
        entries = list_entries(connection, 2)
        about = list_entries(connection, 9, target="edition 1")
    assert (found.entries, found.fault) == (3, "")
    assert [(e.id, e.target, e.who, e.origin, e.at) for e in entries] == [
        (3, "edition 2", "Ada", "203.0.113.9", NOW),
        (2, "edition 1", "Ada", "203.0.113.9", NOW),
    ]
    assert [entry.id for entry in about] == [2]
    assert entries[0].previous == entries[1].hash
    assert len(entries[0].before) == 64
    assert entries[0].after == ""


def test_an_entry_is_there_with_what_it_tells_or_not_at_all(database: Database) -> None:
    row = {"relay": "r", "learned": {}, "learned_at": NOW}
    with database.writing(discarded=True) as connection:
        connection.execute(insert(relay_states).values(row))
        note(connection, ADA, "x", "y", now=NOW)
    with database.reading() as connection:
        assert connection.execute(select(relay_states)).all() == []
        assert verify(connection).entries == 0
    write(database, 1)
    with database.reading() as connection:
        assert verify(connection) == verify(connection, known=None)
        assert verify(connection).entries == 1


def test_many_writers_at_once_make_one_chain(database: Database) -> None:
    failed: list[BaseException] = []

    def work() -> None:
        try:
            write(database, 25)
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with database.reading() as connection:
        found = verify(connection)
    assert (found.entries, found.fault) == (200, "")


@pytest.mark.parametrize("statement", [update(audit).values(who="Eve"), delete(audit)])
def test_the_database_itself_refuses_to_change_it(
    database: Database, statement: Update | Delete
) -> None:
    write(database, 2)
    with (
        pytest.raises(StorageError, match="only ever added"),
        database.writing() as connection,
    ):
        connection.execute(statement)
    with database.reading() as connection:
        assert verify(connection).entries == 2


@pytest.mark.parametrize(
    "column", ["at", "who", "origin", "action", "target", "detail", "before", "after"]
)
def test_any_change_is_found(unlocked: Database, column: str) -> None:
    write(unlocked, 3)
    value = to_micros(NOW + timedelta(microseconds=1)) if column == "at" else "changed"
    with unlocked.writing() as connection:
        connection.execute(
            text(f'UPDATE audit SET "{column}" = :value WHERE id = 2'), {"value": value}
        )
    with unlocked.reading() as connection:
        assert verify(connection).fault == "entry 2 was changed after it was written"


def test_what_is_removed_slipped_in_or_cut_off_is_found(unlocked: Database) -> None:
    write(unlocked, 4)
    with unlocked.reading() as connection:
        last = verify(connection)
        entries = list_entries(connection, 9)
    with unlocked.writing(discarded=True) as connection:
        connection.execute(delete(audit).where(audit.c.id == 2))
        assert verify(connection).fault == "entry 2 is missing"
    with unlocked.writing(discarded=True) as connection:
        connection.execute(delete(audit).where(audit.c.id == 4))
        assert verify(connection).fault == "there were 4 entries, and 3 are left"
    with unlocked.writing(discarded=True) as connection:
        connection.execute(update(audit).where(audit.c.id == 3).values(previous="0" * 63 + "1"))
        assert verify(connection).fault == "entry 3 does not follow the one before it"
    with unlocked.writing() as connection:  # made anew, and the head with it
        connection.execute(delete(audit).where(audit.c.id > 2))
        connection.execute(update(audit_head).values(last_id=2, hash=entries[2].hash))
    with unlocked.reading() as connection:
        assert verify(connection).fault == ""
        known = (last.entries, last.hash)
        assert "whose hash was kept" in verify(connection, known=known).fault
    write(unlocked, 3)
    with unlocked.writing() as connection:
        note(connection, Actor(who="Eve"), "other", "", now=NOW)
    with unlocked.reading() as connection:
        assert verify(connection).fault == ""
        assert verify(connection, known=(5, "0" * 64)).fault.startswith("entry 5 is not the one")
