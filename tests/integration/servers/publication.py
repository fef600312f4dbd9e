"""A publication that signs with both kinds of keys and returns bounces to each copy."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select

from newsletter.audience.importer import import_subscribers
from newsletter.audience.reader import Reader
from newsletter.audience.subscribers import list_subscribers
from newsletter.delivery.inquiry import Doubt, list_doubts
from newsletter.delivery.lifecycle import State
from newsletter.mail import Message
from newsletter.press import Delivered, Press
from newsletter.press.addressing import addresser
from newsletter.publish import prepare, publish
from newsletter.settings import load_settings
from newsletter.store import open_database
from newsletter.store.tables import attempts, deliveries
from tests.acceptance.project import KEY, Project
from tests.audience import PSEUDONYMS
from tests.integration.servers.dovecot import PASSWORD
from tests.integration.servers.signatures import write_keys

READERS = {
    "reader1@example.org": "Reader 1",
    "reader2@example.org": "",
    "reader3@example.org": 'Ada "Quay" O\'Brien, Jr. (harbor); x',
    "reader4@example.org": "Jürgen Öst",
    "reader5@example.org": "東京の読者 " * 6,
    "o'brien+daily@example.org": "A name that is long enough to be folded " * 3,
}
"""Addresses and names that a server may be tempted to write anew."""


class Publication:
    """Settings, a brief and readers on disk, and the way of `newsletter send` through them."""

    def __init__(
        self,
        root: Path,
        *,
        relay: str,
        readers: Mapping[str, str] = READERS,
        connections: int = 2,
        delivery: str = "",
        password: str = PASSWORD,
    ) -> None:
        """`readers` are names by address; `delivery` adds lines to those settings."""
        root.mkdir()
        self.root = root
        self.project = Project(
            root, relay=relay, connections=connections, delivery=delivery, more=write_keys(root)
        )
        config = self.project.config
        config.write_text(
            config.read_text().replace(
                "[publication]", '[publication]\nbounce_address = "bounce+*@news.example"'
            )
        )
        self.set_password(password)
        self.project.write_brief()
        rows = root / "readers.csv"
        with rows.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("email", "name"))
            writer.writerows(readers.items())
        with self.press() as press:
            report = import_subscribers(
                press.database, rows, now=press.now(), pseudonyms=PSEUDONYMS
            )
        assert report.added == len(readers), report

    def set_password(self, password: str) -> None:
        env = self.root / ".env"
        env.write_text(
            f"NEWSLETTER_SECRET_KEY={KEY}\nNEWSLETTER_DELIVERY__RELAY_PASSWORD='{password}'\n"
        )
        env.chmod(0o600)

    @contextmanager
    def press(self) -> Iterator[Press]:
        settings = load_settings(self.project.config, environment=False)
        database = open_database(settings.database_url, durability="process")
        try:
            yield Press(settings, database, lambda: datetime.now(UTC))
        finally:
            database.close()

    def send(self) -> Delivered:
        """Send the day's edition, or go on with it."""
        with self.press() as press:
            printed = prepare(press, press.today()).printed
            assert printed is not None
            return asyncio.run(publish(press, printed))

    @property
    def counts(self) -> dict[State, int]:
        with self.press() as press:
            return press.ledger.counts(edition_id=1)

    @property
    def doubts(self) -> list[Doubt]:
        with self.press() as press, press.database.reading() as connection:
            return list_doubts(connection, edition_id=1)

    @property
    def attempts(self) -> dict[str, list[tuple[str, str]]]:
        """Outcome and the relay's words of each try, in order, by address."""
        told: dict[str, list[tuple[str, str]]] = {}
        with self.press() as press, press.database.reading() as connection:
            rows = connection.execute(
                select(deliveries.c.email, attempts.c.outcome, attempts.c.reply)
                .join(attempts, attempts.c.subscriber_id == deliveries.c.subscriber_id)
                .order_by(attempts.c.number)
            )
            for email, outcome, reply in rows:
                told.setdefault(email, []).append((outcome, reply))
        return told

    @property
    def copies(self) -> dict[str, Message]:
        """Each reader's copy of the edition, made again, by address."""
        with self.press() as press:
            maker = addresser(press, edition_id=1)
            return {
                who.email: maker.address(
                    Reader(
                        subscriber_id=who.id,
                        email=who.email,
                        name=who.name,
                        choices=who.choices,
                        fields=who.fields,
                    )
                )
                for who in list_subscribers(press.database)
            }
