"""The store: versions, transactions, and what a refusing disk leaves behind."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, event, func, insert, select
from sqlalchemy.exc import StatementError

from newsletter.errors import ConfigurationError, DatabaseVersionError, StorageError
from newsletter.store import Database, open_database
from newsletter.store import database as store_database
from newsletter.store.database import connect_database, shown_url, storage_error, upgrade_database
from newsletter.store.tables import (
    from_micros,
    metadata,
    suppressions,
    to_micros,
    write_document,
)


def suppress(connection: Connection, number: int, detail: str = "") -> None:
    connection.execute(
        insert(suppressions).values(
            email_key=f"reader{number}@example.org",
            reason="manual",
            detail=detail,
            suppressed_at=datetime(2026, 11, 23, tzinfo=UTC),
        )
    )


def count(database: Database) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(suppressions)).scalar_one()


def pragma(database: Database, name: str) -> Any:
    with database.reading() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


# -- versions --------------------------------------------------------------------------------------


NEWEST = max(store_database._revisions())


def test_migrations_lead_to_the_tables_of_the_program(database: Database) -> None:
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_a_migrations_file_is_called_after_its_revision() -> None:
    scripts = ScriptDirectory(str(store_database._MIGRATIONS))
    assert {script.revision for script in scripts.walk_revisions()} == store_database._revisions()
    assert scripts.get_current_head() == max(store_database._revisions())


def test_an_edition_that_is_being_sent_survives_the_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "before.db"
    with closing(connect(path)) as database:
        config = Config()
        config.set_main_option("script_location", str(store_database._MIGRATIONS))
        with database.writing() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            for statement in (
                (
                    "INSERT INTO editions (id, date, state, window_start, cut_off, created_at, "
                    "fence, holder, lease_until) "
                    "VALUES (1, '2026-11-23', 'sending', 1, 2, 3, 4, 'me', 5)"
                ),
                (
                    "INSERT INTO deliveries (edition_id, subscriber_id, email, email_key, name, "
                    "choices, fields, state, attempts, next_attempt_at, fence, changed_at, via, "
                    "reply) VALUES (1, 7, 'a@b.example', 'a@b.example', 'A', '{}', '{}', "
                    "'sending', 2, 6, 4, 7, 'relay #1', '450 Later')"
                ),
                (
                    "INSERT INTO attempts (edition_id, subscriber_id, number, via, started_at, "
                    "ended_at, outcome, reply) "
                    "VALUES (1, 7, 1, 'relay #1', 8, 9, 'deferred', '450')"
                ),
                (
                    "INSERT INTO subscribers (id, email, email_key, name, status, choices, fields, "
                    "consent_at, consent_source, created_at, updated_at) VALUES "
                    "(7, 'A@b.example', 'a@b.example', 'A', 'active', '{}', '{}', 1, 'me', 2, 3)"
                ),
            ):
                connection.exec_driver_sql(statement)
        upgrade_database(database)
        with database.reading() as connection:
            run = connection.exec_driver_sql("SELECT * FROM runs").one()
            row = connection.exec_driver_sql("SELECT * FROM deliveries").one()
            attempt = connection.exec_driver_sql("SELECT * FROM attempts").one()
            reader = connection.exec_driver_sql("SELECT * FROM subscribers").one()
    assert tuple(run) == (1, 4, "me", 5, 1, None, None, None)
    assert tuple(row) == (
        *(1, 7, "a@b.example", "a@b.example", "A", "{}", "{}", "sending", 2, 6, 4, 7),
        *("relay #1", "450 Later", ""),
    )
    assert tuple(attempt) == (1, 7, 1, "relay #1", 8, 9, "deferred", "450")
    assert tuple(reader) == (
        *(7, "A@b.example", "a@b.example", "A", "active", "{}", "{}", 1, "me", 2, 3, None, None),
    )


def test_what_found_no_room_before_the_upgrade_does_not_come_back(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "before.db")) as database:
        config = Config()
        config.set_main_option("script_location", str(store_database._MIGRATIONS))
        with database.writing() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0002")
            editions_before = ((1, "sent", 10, 20), (2, "sent", 20, 30), (3, "cancelled", 30, 40))
            for number, state, start, cut_off in editions_before:
                connection.exec_driver_sql(
                    "INSERT INTO editions (id, date, state, window_start, cut_off, created_at) "
                    f"VALUES ({number}, '2026-11-2{number}', '{state}', {start}, {cut_off}, 1)"
                )
            for number, published, seen in (
                *((1, 15, 15), (2, 16, 16), (3, 25, 26)),
                *((4, 5, 5), (5, 35, 35), (6, 29, 31)),  # old, of the cancelled one, late
            ):
                connection.exec_driver_sql(
                    "INSERT INTO briefs (id, source, origin, published_at, first_seen_at, "
                    "changed_at, document, warnings) "
                    f"VALUES ({number}, 'a', 'b', {published}, {seen}, 1, '{{}}', '[]')"
                )
            connection.exec_driver_sql(
                "INSERT INTO edition_briefs (brief_id, edition_id, position) VALUES (1, 1, 0)"
            )
        upgrade_database(database)
        with database.reading() as connection:
            claims = connection.exec_driver_sql(
                "SELECT brief_id, series, edition_id, position FROM edition_briefs ORDER BY 1"
            ).all()
    assert [tuple(claim) for claim in claims] == [
        (1, "news", 1, 0),
        (2, "news", 2, None),
        (3, "news", 2, None),
    ]


def _parts(sql: str) -> list[str]:
    """Split a statement at its outer brackets and at the commas between these."""
    head, body, tail = re.fullmatch(r"([^(]*)\((.*)\)([^)]*)", sql, re.DOTALL).groups()  # type: ignore[union-attr]
    return [head, tail, *re.split(r",(?![^(]*\))", body)]


def read_schema(connection: Connection) -> dict[str, str]:
    """Give each table's and index's SQL, blanks and quotes aside, its columns in any order."""
    rows = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND type <> 'trigger'"
    )
    return {
        name: " | ".join(sorted(re.sub(r'[\s"]+', " ", part).strip() for part in _parts(sql)))
        for name, sql in rows
        if name != "alembic_version"
    }


def test_migrations_write_the_same_sql_conditions_and_all(database: Database) -> None:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.connect() as made, database.reading() as migrated:
        assert read_schema(migrated) == read_schema(made)
    engine.dispose()


def test_a_new_database_gets_its_tables_and_keeps_them(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    for expected in (0, 1):
        database = open_database(url)
        assert count(database) == expected
        with database.writing() as connection:
            suppress(connection, expected)
        database.close()


def refuse(path: Path, *, error: type[Exception] = DatabaseVersionError) -> str:
    """Open a database that must be refused, and see that not a byte of it changed."""
    before = path.read_bytes()
    with pytest.raises(error) as opened:
        open_database(f"sqlite:///{path}")
    assert path.read_bytes() == before
    assert [child.name for child in path.parent.iterdir()] == [path.name]
    assert "\n" not in str(opened.value)
    return str(opened.value)


def connect(path: Path) -> Database:
    return connect_database(f"sqlite:///{path}")


def make_database(path: Path, *statements: str) -> Path:
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
    return path


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = make_database(tmp_path / "other.db", "CREATE TABLE songs (title TEXT)")
    said = refuse(path)
    assert said == (
        f"sqlite:///{path}: holds the tables of another program; nothing was changed; "
        "name another database in database.url."
    )
    with pytest.raises(DatabaseVersionError), closing(connect(path)) as database:
        upgrade_database(database)


def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "newer.db"
    open_database(f"sqlite:///{path}").close()
    make_database(path, "UPDATE alembic_version SET version_num = '9999'")
    assert f"is of a newer version (9999) than this program knows ({NEWEST})" in refuse(path)
    with (
        pytest.raises(DatabaseVersionError, match="install the newer program"),
        closing(connect(path)) as database,
    ):
        upgrade_database(database)


@pytest.fixture
def later_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the program be of a version with one migration more."""
    migrations = tmp_path / "later" / "migrations"
    shutil.copytree(store_database._MIGRATIONS, migrations)
    (migrations / "versions" / "9998_more.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision = '9998'\ndown_revision = '{NEWEST}'\n"
        "def upgrade():\n    op.create_table('more', sa.Column('id', sa.Integer))\n"
    )
    monkeypatch.setattr(store_database, "_MIGRATIONS", migrations)


def test_an_older_database_is_refused_until_it_is_upgraded(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / "older.db"
    database = open_database(f"sqlite:///{path}")
    with database.writing() as connection:
        suppress(connection, 1)
    database.close()
    request.getfixturevalue("later_program")
    said = refuse(path)
    assert said.endswith("is of an older version than this program; run `newsletter db upgrade`.")
    for _again in range(2):
        older = connect_database(f"sqlite:///{path}")
        upgrade_database(older)
        older.close()
    upgraded = open_database(f"sqlite:///{path}")
    assert count(upgraded) == 1
    upgraded.close()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "subscribers.csv"
    path.write_text("email,name\n" + "ada@example.org,Ada\n" * 100)
    said = refuse(path, error=StorageError)
    assert "file is not a database" in said
    assert "name the right file" in said


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://news@db.example/news", "mysql is neither SQLite nor PostgreSQL"),
        ("no url", "cannot be used"),
        ("sqlite:////no/such/folder/news.db", "the folder /no/such/folder does not exist"),
    ],
)
def test_addresses_that_cannot_be_used(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_database(url)
    assert str(caught.value).startswith("database.url: ")
    assert said in str(caught.value)


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="check the permissions"):
        open_database(f"sqlite:///{tmp_path}")


def test_a_password_is_not_shown() -> None:
    assert (
        shown_url("postgresql://news:hunter2@db.example/n") == "postgresql://news:***@db.example/n"
    )


def test_folders_with_odd_names_work(tmp_path: Path) -> None:
    folder = tmp_path / "Zeitung & Söhne 100% #1"
    folder.mkdir()
    database = open_database(f"sqlite:///{folder / 'news.db'}")
    assert count(database) == 0
    database.close()
    assert (folder / "news.db").exists()


def test_two_programs_may_create_it_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    failures: list[Exception] = []

    def open_it() -> None:
        try:
            open_database(url).close()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test reports it
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    opened = open_database(url)
    assert count(opened) == 0
    opened.close()


def test_opening_waits_for_who_writes_a_file_that_is_not_in_wal_mode_yet(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'news.db'}"
    open_database(url).close()
    other = sqlite3.connect(tmp_path / "news.db", isolation_level=None, check_same_thread=False)
    other.execute("PRAGMA journal_mode = DELETE")
    other.execute("BEGIN IMMEDIATE")
    done = threading.Timer(0.2, lambda: other.execute("COMMIT"))
    done.start()
    open_database(url).close()  # SQLite itself gives up at once here
    done.join()
    other.close()
    with closing(sqlite3.connect(tmp_path / "news.db")) as after:
        assert after.execute("PRAGMA journal_mode").fetchone() == ("wal",)


# -- transactions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("process", 1)])
def test_sqlite_is_as_durable_as_asked_on_every_connection(
    tmp_path: Path, durability: store_database.Durability, synchronous: int
) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'news.db'}", durability=durability)
    with database.reading() as first, database.reading() as second:
        for connection in (first, second):
            for name, value in (
                ("synchronous", synchronous),
                ("journal_mode", "wal"),
                ("foreign_keys", 1),
            ):
                assert connection.exec_driver_sql(f"PRAGMA {name}").scalar() == value
    database.close()


def test_the_default_survives_a_power_loss(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'news.db'}")
    assert pragma(database, "synchronous") == 2
    database.close()


def test_reading_never_writes(database: Database) -> None:
    with database.reading() as connection:
        suppress(connection, 1)
        assert connection.execute(select(suppressions)).all()
    assert count(database) == 0


def test_writing_commits_at_the_end(database: Database) -> None:
    with database.writing() as connection:
        suppress(connection, 1)
        assert count(database) == 0, "another connection sees nothing of it yet"
    assert count(database) == 1


def test_writing_leaves_nothing_when_it_fails(database: Database) -> None:
    def write(numbers: list[int], failure: Exception | None = None) -> None:
        with database.writing() as connection:
            for number in numbers:
                suppress(connection, number)
            if failure:
                raise failure

    with pytest.raises(RuntimeError):
        write([1, 2], RuntimeError())
    with pytest.raises(StorageError, match="UNIQUE"):
        write([1, 1])
    assert count(database) == 0


def test_a_reader_sees_one_moment_while_others_write(database: Database) -> None:
    with database.reading() as reader:
        query = select(func.count()).select_from(suppressions)
        assert reader.execute(query).scalar_one() == 0
        with database.writing() as connection:
            suppress(connection, 1)
        assert reader.execute(query).scalar_one() == 0
    assert count(database) == 1


def test_writers_take_turns_even_after_reading_first(database: Database) -> None:
    """Without BEGIN IMMEDIATE all but one of these would fail as "database is locked"."""
    start = threading.Barrier(4)

    def add(number: int) -> None:
        start.wait()
        for turn in range(10):
            with database.writing() as connection:
                connection.execute(select(suppressions)).all()
                suppress(connection, number * 100 + turn)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(database) == 40


def test_another_process_sees_what_is_committed(database: Database, tmp_path: Path) -> None:
    with database.writing() as connection:
        suppress(connection, 1)
    program = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute(sys.argv[2]))"
    path = database.engine.url.database
    assert path
    query = "SELECT email_key FROM suppressions"
    found = subprocess.run(
        ["python", "-c", program, path, query], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "('reader1@example.org',)"


# -- disks that refuse -----------------------------------------------------------------------------


def fill(database: Database) -> StorageError:
    """Write until the disk refuses, a transaction of several rows at a time."""
    for turn in range(1000):
        before = count(database)
        try:
            with database.writing() as connection:
                for row in range(3):
                    suppress(connection, turn * 10 + row, "x" * 3000)
        except StorageError as error:
            assert count(database) == before, "nothing was recorded halfway"
            return error
    raise AssertionError("the disk never filled")


def test_a_full_database_refuses_in_one_sentence(database: Database) -> None:
    @event.listens_for(database.engine, "checkout")
    def _limit(connection: sqlite3.Connection, _record: object, _proxy: object) -> None:
        connection.execute("PRAGMA max_page_count = 80")

    error = fill(database)
    assert str(error) == (
        "database.url: the database refused (database or disk is full); free some space and run "
        "the same command again; nothing was recorded halfway."
    )
    assert error.exit_code == 75
    assert pragma(database, "integrity_check") == "ok"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_refuses_and_recovers(small_disk: Path) -> None:
    database = open_database(f"sqlite:///{small_disk / 'news.db'}")
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(300_000))
    error = fill(database)
    assert "full" in error.problem or "disk I/O" in error.problem
    before = count(database)
    ballast.unlink()
    with database.writing() as connection:
        suppress(connection, 99_999)
    assert count(database) == before + 1
    assert pragma(database, "integrity_check") == "ok"
    database.close()


def test_a_full_disk_at_creation_leaves_something_that_opens_later(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_020_000))
    url = f"sqlite:///{small_disk / 'news.db'}"
    with pytest.raises(StorageError):
        open_database(url)
    ballast.unlink()
    database = open_database(url)
    assert count(database) == 0
    database.close()


def test_the_drivers_words_become_one_sentence() -> None:
    for words, mend in (
        ("attempt to write a readonly database", "check the permissions"),
        ("unable to open database file", "check the permissions"),
        ("database disk image is malformed", "restore the last backup"),
        ("could not extend file: No space left on device\nHINT: x", "free some space"),
        ("database is locked", "try again"),
        ("", "OperationalError"),
    ):
        said = str(storage_error(sqlite3.OperationalError(words)))
        assert mend in said
        assert "\n" not in said


# -- columns ---------------------------------------------------------------------------------------


@given(st.datetimes(timezones=st.timezones()).filter(lambda moment: 1 < moment.year < 9999))
def test_instants_are_exact(moment: datetime) -> None:
    assert from_micros(to_micros(moment)) == moment.astimezone(UTC)
    assert from_micros(to_micros(moment)).tzinfo is UTC


def test_instants_come_back_in_utc_and_naive_ones_are_refused(database: Database) -> None:
    berlin = datetime(2026, 11, 23, 8, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))
    row = {"email_key": "a", "reason": "manual", "suppressed_at": berlin}
    with database.writing() as connection:
        connection.execute(insert(suppressions).values(row))
    with database.reading() as connection:
        found = connection.execute(select(suppressions.c.suppressed_at)).scalar_one()
    assert found == berlin
    assert found.tzinfo is UTC
    with pytest.raises(StatementError, match="offset-naive"), database.writing() as connection:
        connection.execute(
            insert(suppressions).values(row | {"suppressed_at": datetime(2026, 11, 23)})  # noqa: DTZ001 - the naive one
        )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), json_values, max_size=4))
def test_equal_documents_are_equal_bytes(document: dict[str, Any]) -> None:
    backwards = dict(reversed(document.items()))
    assert write_document(backwards) == write_document(document)


def test_writers_of_one_process_take_turns(database: Database) -> None:
    done: list[str] = []

    def write() -> None:
        with database.writing() as connection:
            suppress(connection, 1)
        done.append("the other")

    other = threading.Thread(target=write)
    with database.writing() as connection:
        suppress(connection, 2)
        other.start()
        with database.turn(is_patient=False) as is_ours:
            assert not is_ours, "who does not wait is told"
        done.append("the first")
    other.join(timeout=30)
    assert done == ["the first", "the other"]
    assert count(database) == 2
    with database.turn(is_patient=False) as is_ours:
        assert is_ours
