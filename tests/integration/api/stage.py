"""A publication whose API is served over HTTP, and programs with keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import func, select

from newsletter.orders import carry_out_due
from newsletter.press import Press
from newsletter.store import Database
from newsletter.store.audit import Actor
from newsletter.store.tables import api_keys
from newsletter.web.console.keys import SCOPES, end_key, make_key
from tests.integration.web.stage import Clock

TEST = Actor(who="test")


@dataclass
class Stage:
    """A publication whose API is served."""

    address: str
    database: Database
    clock: Clock
    press: Press
    outbox: Path
    clients: list[httpx2.Client] = field(default_factory=list)

    def key(self, *scopes: str) -> str:
        with self.database.writing() as connection:
            return make_key(connection, "desk", scopes or SCOPES, actor=TEST, now=self.clock.now)

    def end_keys(self) -> None:
        with self.database.writing() as connection:
            for number in connection.scalars(select(api_keys.c.id)):
                end_key(connection, number, actor=TEST, now=self.clock.now)

    def client(self, key: str = "", **headers: str) -> httpx2.Client:
        sent = {"Authorization": f"Bearer {key}"} if key else {}
        client = httpx2.Client(
            base_url=f"{self.address}/api/v1/",
            headers={**sent, **headers},
            trust_env=False,
            timeout=60,
        )
        self.clients.append(client)
        return client

    def program(self, *scopes: str) -> httpx2.Client:
        """Give a client with a new key; without scopes one that may do everything."""
        return self.client(self.key(*scopes))

    def carry_out(self) -> int:
        """Carry out what was asked, as `serve` does."""
        return carry_out_due(self.press)

    def count(self, table: Any) -> int:
        with self.database.reading() as connection:
            return connection.scalar(select(func.count()).select_from(table)) or 0

    def mails(self) -> list[Path]:
        return sorted(self.outbox.glob("**/*.eml"))


@contextmanager
def closing(stage: Stage) -> Iterator[Stage]:
    try:
        yield stage
    finally:
        for client in stage.clients:
            client.close()
