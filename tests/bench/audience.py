"""The size of the audience: enrolling a million, and going on after a kill.

Readers are stored and the edition enrolled in this process; those who send are processes of
their own, so that what they say of their memory is about sending. To resume in the middle
half of the readers are set accepted, a sender is started, killed with -9 while it sends, and
the next one is timed from its start (the interpreter's) to its first committed acceptance.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from newsletter.store import Database, open_database
from tests.bench.contestants import ROOT
from tests.bench.figures import Setting
from tests.bench.product import EDITION_ID, build_message, enrol, new_database, store_readers
from tests.bench.race import RunFailed, open_way
from tests.bench.sink import HOST

_SETTING = Setting(size_kb=4, delay_ms=0, connections=10)
_SENT_AFTER = 20_000
"""Messages that the second sender sends."""
_PATIENCE_SECONDS = 300.0
_SENDING_SECONDS = 1.0
"""How long the first one sends before it is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceRun:
    """One audience, enrolled and sent to in part."""

    contestant: str
    """Which database: "sqlite" or "postgresql"."""
    round: int
    readers: int
    import_seconds: float
    enrol_seconds: float
    resume_seconds: float
    peak_mb: float


def run_audience(
    servers: dict[str, str], *, rounds: int, readers: int, folder: Path, say: Callable[[str], None]
) -> Iterator[AudienceRun]:
    """Run each database in turn; `servers` has the URL of each one's server, "" for SQLite."""
    for number in range(1, rounds + 1):
        for name, server in servers.items():
            try:
                with new_database(server, folder) as url:
                    run = _run_once(name, url, number, readers, folder)
            except RunFailed as failure:
                say(f"{readers:,} readers, round {number}: {name} failed: {failure}")
                continue
            say(
                f"{readers:,} readers, round {number}: {name}: enrolled in "
                f"{run.enrol_seconds:.2f} s, resumed in {run.resume_seconds:.2f} s, "
                f"{run.peak_mb:.0f} MB"
            )
            yield run


def _run_once(name: str, url: str, number: int, readers: int, folder: Path) -> AudienceRun:
    now = datetime.now(UTC)
    began = time.perf_counter()
    database = open_database(url)
    store_readers(database, readers, now)
    _settle(database)
    import_seconds = time.perf_counter() - began
    enrol_seconds = enrol(database, now)
    _accept_half(database, readers)
    _settle(database)
    path = folder / f"message-{_SETTING.size_kb}kb.eml"
    path.write_bytes(build_message(_SETTING.size_kb * 1024))
    with open_way(_SETTING) as way:
        command = [sys.executable, "-m", "tests.bench.product", HOST, str(way.port)]
        command += [str(_SETTING.connections), "{}", str(path), "--standing", f"--database={url}"]
        with _sender(command, readers) as first:
            _read(first)
            time.sleep(_SENDING_SECONDS)
            first.kill()
        began_at = time.time()
        with _sender(command, _SENT_AFTER) as second:
            resume_seconds = _read(second)["first_accepted_at"] - began_at
            peak_mb = _read(second)["peak_mb"]
    return AudienceRun(
        contestant=name,
        round=number,
        readers=readers,
        import_seconds=import_seconds,
        enrol_seconds=enrol_seconds,
        resume_seconds=resume_seconds,
        peak_mb=peak_mb,
    )


def _settle(database: Database) -> None:
    """Let the database come to rest, as it would have hours after an import."""
    connection: Any = database.engine.raw_connection()
    if database.is_sqlite:
        connection.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    else:
        connection.driver_connection.autocommit = True
        for table in ("subscribers", "deliveries"):
            connection.driver_connection.execute(f"VACUUM (ANALYZE) {table}")
    connection.invalidate()
    database.close()


def _accept_half(database: Database, readers: int) -> None:
    with database.writing() as connection:
        connection.execute(
            text(
                "UPDATE deliveries SET state = 'accepted', attempts = 1, reply = '250 2.0.0 Ok'"
                " WHERE edition_id = :edition AND subscriber_id <= :half"
            ),
            {"edition": EDITION_ID, "half": readers // 2},
        )


@contextlib.contextmanager
def _sender(command: list[str], messages: int) -> Iterator[subprocess.Popen[str]]:
    """Start a sender, and wait for its end after the block; not for ever."""
    filled = [word.format(messages) if word == "{}" else word for word in command]
    with subprocess.Popen(filled, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        patience = threading.Timer(_PATIENCE_SECONDS, process.kill)
        patience.start()
        try:
            yield process
            process.wait()
        finally:
            patience.cancel()
            process.kill()


def _read(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RunFailed(f"a sender ended without a word (exit code {process.wait()})")
    said: dict[str, Any] = json.loads(line)
    return said
