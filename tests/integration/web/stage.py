"""A publication whose edition three readers have, and its pages, served over HTTP."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from email import message_from_bytes, policy

import httpx2
from sqlalchemy import select

from newsletter.audience.subscribers import find_subscriber
from newsletter.mail import decode_message
from newsletter.press import Press
from newsletter.press.notices import send_notices
from newsletter.press.settling import build_settler
from newsletter.store import Database
from newsletter.store.tables import metadata, suppressions
from tests.integration.runs import Server


@dataclass
class Clock:
    now: datetime

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Stage:
    """A publication whose edition three readers have, its pages served."""

    database: Database
    web: httpx2.Client
    clock: Clock
    press: Press
    mails: list[bytes]

    def link(self, number: int = 1) -> str:
        """Give the path of the link that leaves, as the header of a reader's mail has it."""
        for mail in self.mails:
            message = message_from_bytes(mail, policy=policy.default)
            if f"reader{number}@" in str(message["To"]):
                (url,) = re.findall(r"<(https://[^>]+)>", str(message["List-Unsubscribe"]))
                return str(url).removeprefix("https://news.example")
        raise LookupError(number)

    def feedback(self, number: int = 1) -> str:
        """Give the path of the link by which a reader's mail asks what they think."""
        for mail in self.mails:
            message = message_from_bytes(mail, policy=policy.default)
            if f"reader{number}@" in str(message["To"]):
                said = decode_message(mail)[0]
                (path,) = re.findall(r"https://news\.example(/f/[\w-]+)", said)
                return str(path)
        raise LookupError(number)

    def status(self, number: int = 1) -> str:
        found = find_subscriber(self.database, f"reader{number}@example.org")
        return found.status if found else "erased"

    def detail(self) -> str:
        with self.database.reading() as connection:
            return str(connection.scalar(select(suppressions.c.detail)))

    def everything(self, *, but: str = "") -> list[list[tuple[object, ...]]]:
        with self.database.reading() as connection:
            return [
                sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
                for table in metadata.sorted_tables
                if table.name != but
            ]


def work(stage: Stage, relay: Server) -> None:
    """Do what `newsletter serve` does beside the pages: decide, and send."""
    delivery = stage.press.settings.delivery.model_copy(update={"relay": relay.url})
    settings = stage.press.settings.model_copy(update={"delivery": delivery})
    press = replace(stage.press, settings=settings)
    build_settler(press)()
    with ThreadPoolExecutor(1) as pool:  # a browser's driver has a loop in this thread
        pool.submit(send_notices, press).result()
