"""A sender in a process of its own, for tests to kill: what `newsletter send` does, at once.

The processes are forked from one that has imported everything and opened nothing, so that a
send begins after hundredths of a second where an interpreter would need one or two.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from newsletter.delivery import ledger
from newsletter.delivery.sender import Sender
from newsletter.editions.shelf import read_edition
from newsletter.errors import NewsletterError
from newsletter.press import Press, approving, delivering
from newsletter.settings import load_settings
from newsletter.store import database as store
from newsletter.store import open_database
from tests.acceptance.project import KEY
from tests.proofs.snares import Met, Snare

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["pytest", "psycopg", __name__])


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One send."""

    config: Path
    edition_id: int
    said: Path
    """Where the process says what it came to; empty if it was killed."""
    note: Path
    """Where its snare says whom it met."""
    snare: Snare | None = None
    """Where it is to kill itself."""
    lease_seconds: float = 0
    """How long its right to send lasts without a heartbeat, if not as long as usual; a writing
    transaction may then stand still for half as long."""


class Driver:
    """A sending process. What still runs at the end of the `with` block is killed."""

    def __init__(self, order: Order) -> None:
        self._order = order
        order.said.write_bytes(b"")
        order.note.unlink(missing_ok=True)
        self._process: ForkServerProcess = _CONTEXT.Process(target=drive, args=(order,))
        self._process.start()

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def is_running(self) -> bool:
        return self._process.is_alive()

    @property
    def met(self) -> Met | None:
        """Whom the snare met; None if it has not sprung."""
        if not self._order.note.exists():
            return None
        met: Met = json.loads(self._order.note.read_text())
        return met

    @property
    def number(self) -> int:
        """The process's."""
        assert self._process.pid is not None
        return self._process.pid

    def send_signal(self, number: int) -> None:
        os.kill(self.number, number)

    def kill(self) -> None:
        """Kill it (-9), and wait until it has gone."""
        self._process.kill()
        self._process.join()

    def wait(self, seconds: float = 120) -> dict[str, Any]:
        """Wait for its end; give what it said: `error` or `is_sent`. Nothing if killed."""
        self._process.join(seconds)
        assert not self._process.is_alive(), "it does not end"
        said = self._order.said.read_text()
        if self._process.exitcode == -signal.SIGKILL:
            assert not said, said
            return {}
        assert self._process.exitcode == 0, said
        document: dict[str, Any] = json.loads(said)
        return document


def drive(order: Order) -> None:
    """Send as ordered; called in the new process."""
    with order.said.open("w", buffering=1) as said:
        os.dup2(said.fileno(), sys.stderr.fileno())  # a traceback is told as well
        os.environ["NEWSLETTER_SECRET_KEY"] = KEY
        if order.lease_seconds:
            _set_lease(order.lease_seconds)
            store.STANDSTILL_SECONDS = order.lease_seconds / 2
        if order.snare is not None:
            order.snare.set(order.note)
        said.write(json.dumps(asyncio.run(_send(order))))


async def _send(order: Order) -> dict[str, Any]:
    settings = load_settings(order.config)
    database = open_database(settings.database_url, durability=settings.delivery.durability)
    try:
        press = Press(settings, database, lambda: datetime.now(UTC))
        with database.reading() as connection:
            record = read_edition(connection, order.edition_id)
        if record.state == "ready":
            approving.approve(press, record)
        delivered = await delivering.deliver(press, record, on_start=_stop_on_sigterm)
    except NewsletterError as error:
        return {"error": type(error).__name__, "words": str(error)}
    finally:
        database.close()
    return {"is_sent": delivered.is_sent}


def _stop_on_sigterm(sender: Sender) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, sender.stop)


def _set_lease(seconds: float) -> None:
    """Set the lease's length wherever it was imported to."""
    before, after = ledger.LEASE, timedelta(seconds=seconds)
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType) and vars(module).get("LEASE") is before:
            vars(module)["LEASE"] = after
