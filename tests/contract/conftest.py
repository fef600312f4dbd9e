"""The databases that a contract is tested on: SQLite always, PostgreSQL where there is one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from newsletter.store import Database, open_database

POSTGRES = "NEWSLETTER_TEST_POSTGRES"
BACKENDS = ["sqlite", "postgres"] if os.environ.get(POSTGRES) else ["sqlite"]
_MARKED = [pytest.param(b, marks=pytest.mark.postgres) if b == "postgres" else b for b in BACKENDS]


@contextmanager
def open_backend(name: str, folder: Path) -> Iterator[Database]:
    """Open a new, empty database of one kind and remove it afterwards."""
    if name == "sqlite":
        database = open_database(f"sqlite:///{folder / 'contract.db'}", durability="process")
        yield database
        database.close()
        return
    url = make_url(os.environ[POSTGRES]).set(drivername="postgresql+psycopg")
    schema = f"newsletter_test_{secrets.token_hex(6)}"
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    try:
        own = url.update_query_dict({"options": f"-csearch_path={schema}"})
        database = open_database(own.render_as_string(hide_password=False))
        yield database
        database.close()
    finally:
        with server.connect() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        server.dispose()


@pytest.fixture(params=_MARKED)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with open_backend(request.param, tmp_path) as database:
        yield database
