"""Opening the database, and the two ways to use it: `reading()` and `writing()`.

SQLite runs in WAL mode, but only once the file is known to be ours: the mode is written into
its header, and a database that is refused stays as it was. A writing transaction begins with
BEGIN IMMEDIATE: one that read first and wrote later would fail with "database is locked"
whenever another writer came in between, however long it was ready to wait.

On PostgreSQL a writing transaction may not stand still for long: a process that is frozen in
the middle of one, or a machine that is gone, would keep its locks, and nobody could take its
edition over or unsubscribe. The server ends it, and nothing of it was written.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from newsletter.errors import ConfigurationError, DatabaseVersionError, StorageError

Durability = Literal["full", "process"]
BUSY_SECONDS = 30.0
"""How long a writer waits for another before it gives up (SQLite)."""
STANDSTILL_SECONDS = 10.0
"""How long a writing transaction may do nothing (PostgreSQL); less than a sender's lease lasts."""


class Database:
    """One database, opened. Safe to share between threads; a connection is not."""

    def __init__(self, engine: Engine, *, durability: Durability = "full") -> None:
        self.engine = engine
        self.durability = durability
        self._turn = threading.Lock()

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite (else PostgreSQL)."""
        return self.engine.dialect.name == "sqlite"

    @property
    def commits_at_once(self) -> bool:
        """Whether a commit waits neither for disk nor network: a thread costs more."""
        return self.is_sqlite and self.durability == "process"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection within one consistent read; whatever it writes is rolled back."""
        with self.plain_words(), self.engine.connect() as connection:
            if not self.is_sqlite:  # SQLite reads like that anyway
                connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
                # It keeps nobody out, and whom its rows are for may be slow.
                connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            yield connection

    @contextmanager
    def turn(self, *, is_patient: bool = True) -> Iterator[bool]:
        """Take turns with the other writers of this process (SQLite); tell whether it is ours.

        SQLite itself asks again at growing intervals: whoever writes now and then would lose
        against a sender that writes all the time, for hundreds of milliseconds. Another process
        is still waited for in that way.
        """
        if not self.is_sqlite:
            yield True
            return
        is_ours = self._turn.acquire(timeout=BUSY_SECONDS if is_patient else 0)
        try:
            yield is_ours
        finally:
            if is_ours:
                self._turn.release()

    @contextmanager
    def writing(self, *, in_bulk: bool = False, discarded: bool = False) -> Iterator[Connection]:
        """Give a connection within one transaction: committed at the end, or nothing at all.

        What is `discarded` is rolled back at its end, to see what would come of it. What is
        written `in_bulk` SQLite copies from its log into the file later, with others' smaller
        commits, and not within this one's.
        """
        with self.turn(), self.plain_words(), self.engine.connect() as connection:
            connection.execution_options(newsletter_writing=True)
            put_off = _checkpoints_put_off(connection, in_bulk and self.is_sqlite)
            with put_off, connection.begin() as transaction:
                yield connection
                if discarded:
                    transaction.rollback()

    @contextmanager
    def plain_words(self) -> Iterator[None]:
        """Turn what this database's driver raises within the block into `StorageError`."""
        driver = self.engine.dialect.loaded_dbapi
        try:
            yield
        except (DBAPIError, driver.Error) as error:
            raise storage_error(getattr(error, "orig", None) or error) from error

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def open_database(url: str, *, durability: Durability = "full") -> Database:
    """Open the database at `url`; a new, empty one gets its tables.

    Raises `DatabaseVersionError` when its schema is not this program's, `ConfigurationError`
    for a URL that cannot be used, `StorageError` when the disk or the server refuses.
    """
    database = connect_database(url, durability=durability)
    try:
        with database.reading() as connection:
            found = _read_revision(connection)
        if found == "":
            upgrade_database(database)
        elif found != max(_revisions()):
            raise DatabaseVersionError(
                "is of an older version than this program",
                file=shown_url(url),
                mend="run `newsletter db upgrade`",
            )
        _enter_wal(database)
    except BaseException:
        database.close()
        raise
    return database


def connect_database(url: str, *, durability: Durability = "full") -> Database:
    """Connect without looking at the schema: for `db upgrade` and tests."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        elif parsed.get_backend_name() != "sqlite":
            raise ArgumentError(f"{parsed.get_backend_name()} is neither SQLite nor PostgreSQL")
        engine = create_engine(parsed)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigurationError(
            f"cannot be used ({error})",
            field="database.url",
            mend='write "sqlite:///newsletter.db" or "postgresql://user@host/name"',
        ) from None
    if parsed.get_backend_name() == "sqlite":
        path = Path(parsed.database or "")
        if not path.parent.is_dir():
            raise ConfigurationError(
                f"the folder {path.parent} does not exist", field="database.url", mend="make it"
            )
        _tune_sqlite(engine, durability)
    else:
        _tune_postgresql(engine)
    return Database(engine, durability=durability)


def upgrade_database(database: Database) -> None:
    """Bring the schema to this program's version, in one transaction.

    Raises `DatabaseVersionError`, and changes nothing, when the database is not this
    program's or of a newer version.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with database.writing() as connection:
        if not database.is_sqlite:  # of two programs that start at once, one waits here
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})"))
        _read_revision(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    _enter_wal(database)


def shown_url(url: str) -> str:
    """Give a database URL without its password."""
    return make_url(url).render_as_string(hide_password=True)


_MIGRATIONS = Path(__file__).parent / "migrations"
_ASK_AGAIN_SECONDS = 0.01
_UPGRADE_LOCK = 7_310_579_602  # any number that no other program on the server uses


def _revisions() -> set[str]:
    """Give the versions that this program knows, by the names of their files: 0001_first….py.

    Not asked of Alembic, which is loaded where there is something to upgrade, and only there.
    """
    return {path.name[:4] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py")}


def _read_revision(connection: Connection) -> str:
    """Read which of our versions the schema is of; "" for a database without tables."""
    tables = inspect(connection).get_table_names()
    if not tables:
        return ""
    known = "alembic_version" in tables
    found = connection.scalar(text("SELECT version_num FROM alembic_version")) if known else None
    place = connection.engine.url.render_as_string(hide_password=True)
    if found is None:
        raise DatabaseVersionError(
            "holds the tables of another program; nothing was changed",
            file=place,
            mend="name another database in database.url",
        )
    if found not in _revisions():
        raise DatabaseVersionError(
            f"is of a newer version ({found}) than this program knows "
            f"({max(_revisions())}); nothing was changed",
            file=place,
            mend="install the newer program",
        )
    return str(found)


def _enter_wal(database: Database) -> None:
    """Write SQLite's journal mode into the file, where it is not yet."""
    if not database.is_sqlite:
        return
    with database.plain_words():
        connection = database.engine.raw_connection()
        try:
            mode = _set_journal_mode(connection.cursor())
        finally:
            connection.close()
    if mode not in ("wal", "memory"):
        raise ConfigurationError(
            f"is on a file system without shared memory (journal mode {mode})",
            field="database.url",
            mend="put the database on a local disk",
        )


def _set_journal_mode(cursor: Any) -> str:
    """Ask until nobody else is in the file: SQLite does not wait here, whatever its timeout is."""
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > give_up:
                raise
            time.sleep(_ASK_AGAIN_SECONDS)
        else:
            (mode,) = cursor.fetchone() or ("",)
            return str(mode)


@contextmanager
def _checkpoints_put_off(connection: Connection, wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    driver: Any = connection.connection.driver_connection
    (pages,) = driver.execute("PRAGMA wal_autocheckpoint").fetchone()
    driver.execute("PRAGMA wal_autocheckpoint = 0")
    try:
        yield
    finally:
        driver.execute(f"PRAGMA wal_autocheckpoint = {int(pages)}")


def _tune_sqlite(engine: Engine, durability: Durability) -> None:
    synchronous = "FULL" if durability == "full" else "NORMAL"

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("newsletter_writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _tune_postgresql(engine: Engine) -> None:
    milliseconds = int(STANDSTILL_SECONDS * 1000)
    # It warns of what fails while an error ends a statement, and that error is told.
    logging.getLogger("psycopg").setLevel(logging.ERROR)

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.autocommit = True
        connection.execute(f"SET idle_in_transaction_session_timeout = {milliseconds}")
        connection.autocommit = False


def storage_error(error: BaseException) -> StorageError:
    """Say in one sentence what the driver complained about."""
    said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    mend = "nothing was recorded halfway; try again"
    if "full" in said or "No space" in said:
        mend = "free some space and run the same command again; nothing was recorded halfway"
    elif "readonly" in said or "read-only" in said or "unable to open" in said:
        mend = "check the permissions of the database's folder"
    elif "malformed" in said or "not a database" in said:
        mend = "name the right file, or restore the last backup"
    return StorageError(f"the database refused ({said})", field="database.url", mend=mend)
