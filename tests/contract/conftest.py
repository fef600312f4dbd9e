"""The databases that every contract is tested on: SQLite and PostgreSQL.

Each is made once a session and emptied for every test: to make one takes far longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import delete, insert, text

from newsletter.store import Database, open_database
from newsletter.store.audit import BEGINNING
from newsletter.store.tables import audit_head, metadata
from tests.postgres import open_schema


@pytest.fixture(
    scope="session", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def standing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """A database with its tables, of one kind and then the other."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("contract") / "contract.db"
        database = open_database(f"sqlite:///{path}", durability="process")
        yield database
        database.close()
        return
    with open_schema(request.getfixturevalue("postgres_url")) as url:
        database = open_database(url)
        yield database
        database.close()


@pytest.fixture
def backend(standing: Database) -> Database:
    """That database, empty."""
    empty(standing)
    return standing


def empty(database: Database) -> None:
    """Delete every row, and let numbers begin again at one."""
    tables = list(reversed(metadata.sorted_tables))
    with audit_unlocked(database), database.writing() as connection:
        if database.is_sqlite:
            for table in tables:
                connection.execute(delete(table))
            connection.execute(text("DELETE FROM sqlite_sequence"))
        else:
            names = ", ".join(table.name for table in tables)
            connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
        connection.execute(insert(audit_head).values(id=1, last_id=0, hash=BEGINNING))


@contextmanager
def audit_unlocked(database: Database) -> Iterator[None]:
    """Take away for a while that the database refuses to change the audit."""
    if not database.is_sqlite:
        with database.writing() as connection:
            connection.execute(text("ALTER TABLE audit DISABLE TRIGGER USER"))
        yield
        with database.writing() as connection:
            connection.execute(text("ALTER TABLE audit ENABLE TRIGGER USER"))
        return
    with database.writing() as connection:
        made = connection.execute(
            text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        ).all()
        for name, _ in made:
            connection.execute(text(f"DROP TRIGGER {name}"))
    yield
    with database.writing() as connection:
        # A pooled connection that had them before would say that they are there still.
        connection.execute(text("SELECT count(*) FROM sqlite_master"))
        for _, statement in made:
            connection.execute(text(statement))
