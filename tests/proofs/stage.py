"""A publication with readers and an approved edition, to be sent again and again.

The edition is composed, rendered and approved once, by the product; what a test begins with
is its audience, enrolled anew. What stands in the ledger is read here with statements of the
tests' own, and judged beside what the sink took in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
from sqlalchemy import delete, insert, select, text, update

from newsletter.audience.reader import Choices, Reader
from newsletter.delivery.ledger import Ledger
from newsletter.delivery.lifecycle import FINAL, State
from newsletter.editions.shelf import change_state
from newsletter.press import Press
from newsletter.press.addressing import addresser
from newsletter.press.approving import approve
from newsletter.publish import prepare
from newsletter.settings import load_settings
from newsletter.store import Database, open_database
from newsletter.store.tables import (
    attempts,
    deliveries,
    editions,
    runs,
    subscribers,
    suppressions,
)
from tests.acceptance.project import KEY, Project
from tests.postgres import open_schema
from tests.proofs.driver import Driver, Order
from tests.proofs.sink import Copy, Sink, digest
from tests.proofs.snares import Snare

BACKENDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
KEPT = ("kept", "lost")


@dataclass(frozen=True, slots=True)
class Row:
    """How one delivery stands."""

    state: State
    doubts: int
    """Attempts that were recorded as in doubt."""


class Stage:
    """One publication, on one database."""

    def __init__(self, root: Path, url: str) -> None:
        self.url = url
        self.root = root
        self._started = 0
        self._write_settings("eml:outbox")
        self.project.write_brief()
        self.database: Database = open_database(url, durability="process")
        now = datetime.now(UTC)
        with self.database.writing() as connection:
            connection.execute(insert(subscribers), [_reader_row(1, now)])
        prepared = prepare(self.press, self.press.today())
        assert prepared.printed is not None
        self.edition_id = prepared.printed.record.id
        approve(self.press, prepared.printed.record)

    def close(self) -> None:
        self.database.close()

    @property
    def press(self) -> Press:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("NEWSLETTER_SECRET_KEY", KEY)
            settings = load_settings(self.project.config)
        return Press(settings, self.database, lambda: datetime.now(UTC))

    def begin(
        self,
        sink: Sink,
        *,
        readers: int,
        connections: int = 10,
        in_doubt: Literal["hold", "retry"] = "hold",
        durability: Literal["full", "process"] = "process",
        window: int = 1,
        is_approved: bool = True,
    ) -> None:
        """Forget what was sent, and enrol so many readers anew, unless the sender is to do it."""
        self.readers, self.connections, self.in_doubt = readers, connections, in_doubt
        self.most_under_way = connections * window
        self.sink = sink
        self._write_settings(sink.url, connections, in_doubt, durability, window)
        now = datetime.now(UTC)
        with self.database.writing() as connection:
            for table in (attempts, deliveries, runs, suppressions, subscribers):
                connection.execute(delete(table))
            rows = [_reader_row(number, now) for number in range(1, readers + 1)]
            for first in range(0, readers, 1000):
                connection.execute(insert(subscribers), rows[first : first + 1000])
            state = "approved" if is_approved else "ready"
            connection.execute(update(editions).values(state=state, sent_at=None))
            if is_approved:
                assert Ledger.enrol(connection, self.edition_id, now) == readers
        if not self.database.is_sqlite and readers > 1000:  # as autovacuum does in time
            with self.database.writing() as connection:
                connection.execute(text("ANALYZE deliveries"))

    def start(self, *, snare: Snare | None = None, lease_seconds: float = 0) -> Driver:
        """Start a sender; use it as a `with` block, which kills what still runs at its end."""
        self._started += 1
        return Driver(
            Order(
                config=self.project.config,
                edition_id=self.edition_id,
                said=self.root / f"sender-{self._started}.json",
                note=self.root / f"snare-{self._started}.json",
                snare=snare,
                lease_seconds=lease_seconds,
            )
        )

    # -- what stands ---------------------------------------------------------------------------

    @property
    def edition_state(self) -> str:
        with self.database.reading() as connection:
            return str(connection.scalar(select(editions.c.state)))

    def set_state(self, state: Literal["paused", "sending"]) -> None:
        """Pause or resume, as an operator does."""
        with self.database.writing() as connection:
            change_state(connection, self.edition_id, state, now=datetime.now(UTC))

    def rows(self) -> dict[str, Row]:
        """Give every delivery, by address."""
        _d, _a = deliveries.c, attempts.c
        with self.database.reading() as connection:
            doubts = Counter(
                connection.scalars(select(_a.subscriber_id).where(_a.outcome == "in_doubt"))
            )
            found = connection.execute(select(_d.email, _d.subscriber_id, _d.state))
            return {r.email: Row(State(r.state), doubts[r.subscriber_id]) for r in found}

    def check(self) -> Counter[State]:
        """Check G1 to G5 as they must hold at every moment; give the counts.

        No sender may run: what a killed one handed over is waited for.
        """
        self.sink.wait_until_quiet()
        rows = self.rows()
        counts = Counter(row.state for row in rows.values())
        kept = self.sink.kept
        assert len(rows) == self.readers == sum(counts.values()), counts
        assert counts[State.SENDING] <= self.most_under_way, counts
        for address, row in rows.items():
            copies = kept[address]
            if row.state is State.ACCEPTED:
                assert copies >= 1, f"{address} is recorded as accepted, and never was"
            allowed = {State.ACCEPTED, State.SENDING, State.IN_DOUBT}
            assert not copies or row.doubts or row.state in allowed, (address, row, copies)
            under_way = row.state is State.SENDING
            allowance = 1 if self.in_doubt == "hold" else 1 + row.doubts + under_way
            assert copies <= allowance, (address, row, copies)
        assert kept.keys() <= rows.keys()
        check_bytes(self.sink.copies)
        return counts

    def check_end(self) -> Counter[State]:
        """Check that the edition is sent, and everybody accounted for; give the counts."""
        counts = self.check()
        assert self.edition_state == "sent"
        assert counts.keys() <= FINAL
        rows, kept = self.rows(), self.sink.kept
        listed = {a for a, row in rows.items() if row.doubts or row.state is State.SUPPRESSED}
        assert rows.keys() - kept.keys() <= listed, "lost, and not listed"
        settled = (State.ACCEPTED, State.IN_DOUBT, State.SUPPRESSED)
        assert sum(counts[state] for state in settled) == self.readers
        self._check_given_back()
        return counts

    def _check_given_back(self) -> None:
        """Check that what readers got is what the product gives back as their copy today."""
        make = addresser(self.press, self.edition_id).address
        came = {copy.recipient: copy for copy in self.sink.copies}
        for number in range(1, self.readers + 1, max(1, self.readers // 200)):
            address = f"reader{number}@example.org"
            if address in came:
                reader = Reader(
                    subscriber_id=number, email=address, name=f"Reader {number}", choices=Choices()
                )
                content = bytes(make(reader).content)
                assert came[address].digest == digest(content), address

    def _write_settings(
        self,
        relay: str,
        connections: int = 1,
        in_doubt: str = "hold",
        durability: str = "process",
        window: int = 1,
    ) -> None:
        self.project = Project(
            self.root,
            relay=relay,
            connections=connections,
            durability=durability,
            more=f'[database]\nurl = "{self.url}"',
            delivery=f'in_doubt = "{in_doubt}"\nretry_after = "1s"\nwindow = {window}',
        )


def check_bytes(copies: list[Copy]) -> None:
    """Check that every copy of one reader is the same, and no two readers' are."""
    seen: dict[str, tuple[str, str]] = {}
    for copy in copies:
        mark = (copy.digest, copy.message_id)
        assert seen.setdefault(copy.recipient, mark) == mark, copy.recipient
    assert len(set(seen.values())) == len(seen)


@contextmanager
def open_stage(root: Path, url: str) -> Iterator[Stage]:
    """Make a stage on the database at `url`, or in a schema of its own there."""
    if url.startswith("sqlite"):
        stage = Stage(root, url)
        yield stage
        stage.close()
        return
    with open_schema(url) as own:
        stage = Stage(root, own)
        yield stage
        stage.close()


def _reader_row(number: int, now: datetime) -> dict[str, object]:
    return {
        "id": number,
        "email": f"reader{number}@example.org",
        "email_key": f"reader{number}@example.org",
        "name": f"Reader {number}",
        "status": "active",
        "choices": {},
        "fields": {},
        "created_at": now,
        "updated_at": now,
    }
