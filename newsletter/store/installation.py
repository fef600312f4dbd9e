"""Whether this is the database that this machine sent from last, or an older copy of it.

A backup knows nothing of the editions that were sent after it was made: a schedule that went on
with it would send them again. So each run is counted, in the database and in a small file beside
`newsletter.toml`, which no backup of the database brings back:

    file          database       what it is
    none          never used     new here: both begin
    same id       same or more   the database that it should be
    same id       fewer runs     an older copy was restored
    none, other   used           it was used elsewhere: moved here, or restored

In the last two nothing is sent until a person has said so (`adopt`). What was under way is
paused then, and no edition up to that day is begun by the schedule: each may have been sent.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from sqlalchemy import Connection, insert, select, update

from newsletter.errors import StorageError, UnfamiliarDatabase
from newsletter.store.database import Database
from newsletter.store.tables import installations


@dataclass(frozen=True, slots=True)
class Seen:
    """Which database a machine sent from last, and how many runs that had begun."""

    database: str
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What a database knows of itself; `id` is "" before its first run."""

    id: str = ""
    runs: int = 0
    sent_until: date | None = None
    """The schedule begins no edition up to this day: it may have been sent."""


def judge(found: Installation, seen: Seen | None) -> str:
    """Say why the database cannot be trusted to know what was sent; "" where it can. Pure."""
    if not found.id:
        return ""
    if seen is None:
        return "was not used on this machine before"
    if seen.database != found.id:
        return "is not the one that this machine sent from last"
    if seen.runs > found.runs:
        lost = seen.runs - found.runs
        return f"is an older copy: {lost} {'run' if lost == 1 else 'runs'} of this machine are lost"
    return ""


def read_installation(connection: Connection) -> Installation:
    """Read what the database knows of itself."""
    row = connection.execute(select(installations)).first()
    if row is None:
        return Installation()
    return Installation(id=row.id, runs=row.runs, sent_until=row.sent_until)


def check_familiar(connection: Connection, file: Path) -> Installation:
    """Give what the database knows of itself; raises `UnfamiliarDatabase`."""
    found = read_installation(connection)
    if reason := judge(found, read_seen(file)):
        raise UnfamiliarDatabase(
            f"the database {reason}: what it does not know of may have been sent",
            mend="`newsletter db adopt` says that it is the one to go on with",
        )
    return found


def begin_run(database: Database, file: Path) -> None:
    """Count a run, in the database and then in the file; raises `UnfamiliarDatabase`."""
    with database.writing() as connection:
        found = check_familiar(connection, file)
        if found.id:
            connection.execute(update(installations).values(runs=found.runs + 1))
        else:
            found = Installation(id=secrets.token_hex(8))
            connection.execute(insert(installations).values(id=found.id, runs=1))
    write_seen(file, Seen(found.id, found.runs + 1))


def adopt(connection: Connection, seen: Seen | None, sent_until: date | None) -> Seen:
    """Take the database as the one to go on with; give what the file is to hold.

    A copy that is older than what this machine sent gets an id of its own, so that a machine
    that still has the newer one does not take this for it.
    """
    found = read_installation(connection)
    is_older = seen is not None and seen.database == found.id and seen.runs > found.runs
    new = Seen(secrets.token_hex(8) if is_older or not found.id else found.id, found.runs + 1)
    values = {"id": new.database, "runs": new.runs, "sent_until": sent_until or found.sent_until}
    statement = update(installations) if found.id else insert(installations)
    connection.execute(statement.values(values))
    return new


def read_seen(file: Path) -> Seen | None:
    """Read the file; None where there is none. Raises `StorageError` for one that is damaged."""
    try:
        document = json.loads(file.read_bytes())
        return Seen(str(document["database"]), int(document["runs"]))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"cannot be read ({error.strerror})", file=file) from None
    except (ValueError, KeyError, TypeError):
        raise StorageError(
            "is damaged", file=file, mend="remove it, then run `newsletter db adopt`"
        ) from None


def write_seen(file: Path, seen: Seen) -> None:
    """Write the file, whole or not at all."""
    part = file.with_name(f"{file.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with part.open("w", encoding="ascii") as writing:
            json.dump({"database": seen.database, "runs": seen.runs}, writing)
            writing.flush()
            os.fsync(writing.fileno())
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageError(
            f"cannot be written ({error.strerror})",
            file=file,
            mend="it guards against a restored backup; make its folder writable, or name another "
            "place in database.installation",
        ) from None
