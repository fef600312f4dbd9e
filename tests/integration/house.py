"""A publication whose schedule is kept, over a real database, by a clock that can be set."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from newsletter.delivery.ledger import Ledger
from newsletter.delivery.lifecycle import State
from newsletter.editions.model import parse_edition_name
from newsletter.editions.shelf import EditionRecord, find_edition, list_editions
from newsletter.press import Press
from newsletter.schedule import Keeper
from newsletter.settings import Settings
from newsletter.store import Database
from tests.acceptance.project import BRIEF
from tests.integration.editions import store_readers

BERLIN = ZoneInfo("Europe/Berlin")
DAY = date(2026, 11, 23)
TODAY = f"{DAY}"
SEVEN = datetime(2026, 11, 23, 6, tzinfo=UTC)  # 07:00 in Berlin


class House:
    """A publication in Berlin with a folder of briefs; `now` is what its clock shows."""

    def __init__(self, root: Path, database: Database, relay: str, now: datetime) -> None:
        self.root, self.database, self.relay, self.now = root, database, relay, now
        (root / "briefs").mkdir()
        self.press = self.open()

    def open(self, **more: Any) -> Press:
        """Open it with other settings than before, by their tables."""
        settings = Settings.model_validate(
            {
                "publication": {
                    "name": "Harbor Daily",
                    "sender": "Harbor Daily <daily@news.example>",
                    "list_id": "daily.news.example",
                    "url": "https://news.example",
                    "timezone": "Europe/Berlin",
                    "postal_address": "14 Quay Street",
                },
                "sources": [{"kind": "folder", "path": "briefs"}],
                "delivery": {"relay": self.relay, "connections": 2},
                "secret_key": "k" * 40,
                "root": self.root,
                **more,
            }
        )
        self.press = Press(settings, self.database, lambda: self.now)
        return self.press

    def at(self, day: date, clock: str) -> None:
        """Set the clock to an hour of Berlin."""
        self.now = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=BERLIN).astimezone(UTC)

    def write_brief(self) -> None:
        """Put a brief that was published an hour before `SEVEN` into the folder."""
        path = self.root / "briefs" / "quay.txt"
        path.write_text(f"{BRIEF.format(title='North Quay Reopens')}\n")
        moment = (SEVEN - timedelta(hours=1)).timestamp()
        os.utime(path, (moment, moment))

    def keep(
        self, until: Callable[[], bool], *presses: Press, seconds: float = 60
    ) -> tuple[list[bool], float]:
        """Keep the schedule, as processes that start, and stop them once something holds.

        Gives for each whether it left anything behind, and how long they took to stop.
        """

        async def whole() -> tuple[list[bool], float]:
            keepers = [Keeper(replace(press)) for press in presses or [self.press]]
            kept = [asyncio.create_task(keeper.keep()) for keeper in keepers]
            end = time.monotonic() + seconds
            while not until() and time.monotonic() < end:  # noqa: ASYNC110 - others bring it
                await asyncio.sleep(0.01)
            began = time.monotonic()
            for keeper in keepers:
                keeper.stop()
            left_behind = list(await asyncio.gather(*kept))
            assert began < end, "it never happened"
            return left_behind, time.monotonic() - began

        return asyncio.run(whole())

    def find(self, name: str) -> EditionRecord | None:
        """Find an edition by its name."""
        named = parse_edition_name(name)
        assert named is not None
        with self.database.reading() as connection:
            return find_edition(connection, *named)

    def state(self, name: str) -> str:
        """Give an edition's state; "" where there is none."""
        found = self.find(name)
        return found.state if found else ""

    def send(self, name: str) -> None:
        """Keep the schedule until an edition is sent."""
        self.keep(lambda: self.state(name) == "sent")

    def counts(self) -> dict[State, int]:
        """Count the deliveries of the only edition, by state."""
        with self.database.reading() as connection:
            (record,) = list_editions(connection, 2)
        return Ledger(self.database).counts(record.id)


def open_at_seven(root: Path, database: Database, relay: str, readers: int = 3) -> House:
    """Open a house at `SEVEN` with a brief and as many readers."""
    house = House(root, database, relay, SEVEN)
    house.write_brief()
    store_readers(database, readers, SEVEN)
    return house


def said(caplog: pytest.LogCaptureFixture, words: str) -> bool:
    """Tell whether a line of our own log has these words."""
    ours = (record for record in caplog.records if record.name.startswith("newsletter"))
    return any(words in record.getMessage() for record in ours)
