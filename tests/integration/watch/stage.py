"""A publication that is watched: real database, relay and receivers, and a clock to set."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from newsletter.press import Press
from newsletter.schedule import Keeper
from newsletter.settings import Settings
from newsletter.store import Database
from newsletter.watch.pulse import Pulse
from newsletter.watch.register import Standing, list_alarms
from newsletter.watch.watchdog import Watchdog
from tests.acceptance.project import BRIEF
from tests.integration.editions import store_readers

DAY = date(2026, 11, 23)
SEVEN = datetime(2026, 11, 23, 7, tzinfo=UTC)
SECRET = "a-secret-of-the-receiver"


class Ward:
    """What is watched."""

    def __init__(
        self, root: Path, opened: Database, *, relay: str, readers: int = 3, **more: Any
    ) -> None:
        self.now, self.root, self.database, self.pulse = SEVEN, root, opened, Pulse()
        (root / "briefs").mkdir()
        brief = root / "briefs" / "quay.txt"
        brief.write_text(f"{BRIEF.format(title='North Quay Reopens')}\n")
        moment = (SEVEN - timedelta(hours=1)).timestamp()
        os.utime(brief, (moment, moment))
        if readers:
            store_readers(opened, readers, SEVEN)
        self.settings = Settings.model_validate(
            {
                "publication": {
                    "sender": "Harbor Daily <daily@news.example>",
                    "list_id": "daily.news.example",
                    "url": "https://news.example",
                    "postal_address": "14 Quay Street",
                },
                "sources": [{"kind": "folder", "path": "briefs"}],
                "delivery": {"relay": relay, "connections": 2},
                "secret_key": "k" * 40,
                "root": root,
                **more,
            }
        )

    @property
    def press(self) -> Press:
        return Press(self.settings, self.database, lambda: self.now)

    def watchdog(self, **parts: Any) -> Watchdog:
        return Watchdog(self.press, self.pulse, **parts)

    def keep(self, until: Callable[[], bool], seconds: float = 30) -> None:
        """Keep the schedule until something holds."""

        async def whole() -> None:
            keeper = Keeper(self.press, self.pulse)
            kept = asyncio.create_task(keeper.keep())
            end = time.monotonic() + seconds
            while not until():
                assert time.monotonic() < end, "it never happened"
                await asyncio.sleep(0.01)
            keeper.stop()
            await kept

        asyncio.run(whole())

    def standing(self) -> dict[str, Standing]:
        with self.database.reading() as connection:
            return {alarm.key: alarm for alarm in list_alarms(connection)}


def alerts_to(url: str, **more: Any) -> dict[str, Any]:
    """Give the settings of alerts that are posted to a receiver on loopback."""
    return {"webhook_url": url, "webhook_secret": SECRET, "allow_private": True, **more}
