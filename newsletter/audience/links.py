"""New links for a reader whose own are gone: asked for by address, mailed to nobody but readers.

1. `store_link_ask` writes down what a form said: the same work for every address, so that neither
   the answer nor the time it takes tells who is on the list.
2. `settle_link_asks` decides afterwards: a mail goes to who is a reader, to one address once in 24
   hours and three times in 30 days, whoever asks. What was asked is forgotten then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from limits import RateLimitItem
from sqlalchemy import Connection, Row, delete, insert, select

from newsletter.audience.address import Address
from newsletter.audience.signing_up import ADDRESS_LIMITS, name_counted
from newsletter.store import Database
from newsletter.store.limits import take
from newsletter.store.tables import link_asks, subscribers

_BATCH = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class LinksWanted:
    """A reader who is to be mailed new links."""

    ask_id: int
    subscriber_id: int
    address: Address
    language: str


def store_link_ask(
    connection: Connection,
    address: Address,
    now: datetime,
    *,
    limits: Sequence[RateLimitItem],
    key: str,
) -> bool:
    """Write down that links were asked for; False where the network `key` names asked too often."""
    if not take(connection, limits, key, now=now):
        return False
    connection.execute(insert(link_asks).values(email_key=address.key, asked_at=now))
    return True


def settle_link_asks(
    database: Database,
    mail: Callable[[Connection, LinksWanted], None],
    *,
    now: datetime,
    secret: bytes,
) -> None:
    """Decide what comes of what was asked; `mail` is given each reader who is to be mailed.

    It is called within the transaction that decides. `secret` is for `name_counted`.
    """
    asked = select(link_asks).order_by(link_asks.c.id).limit(_BATCH)
    with database.reading() as connection:
        rows = connection.execute(asked).all()
    for row in rows:
        with database.writing() as connection:
            taken = connection.execute(delete(link_asks).where(link_asks.c.id == row.id))
            wanted = _find_reader(connection, row)
            counted = name_counted(secret, "links", row.email_key)
            if taken.rowcount and wanted and take(connection, ADDRESS_LIMITS, counted, now=now):
                mail(connection, wanted)


def _find_reader(
    connection: Connection, ask: Row[*tuple[int, str, datetime]]
) -> LinksWanted | None:
    row = connection.execute(
        select(subscribers).where(
            subscribers.c.email_key == ask.email_key, subscribers.c.status == "active"
        )
    ).one_or_none()
    if row is None:
        return None
    return LinksWanted(
        ask_id=ask.id,
        subscriber_id=row.id,
        address=Address(row.email, row.email_key),
        language=row.choices.get("language", ""),
    )
