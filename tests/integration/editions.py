"""An approved edition without the rooms above delivery: a small compiled edition and readers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import insert

from newsletter.delivery.ledger import Ledger
from newsletter.mail import Addresser, Keyring, build_letterhead
from newsletter.render.compiled import CompiledEdition, Part, Slot
from newsletter.render.wire import encode_text
from newsletter.settings import Publication
from newsletter.store import Database
from newsletter.store.tables import editions, subscribers

KEYRING = Keyring([b"k" * 40])
PUBLICATION = Publication(
    name="Harbor Daily",
    sender="Harbor Daily <daily@news.example>",
    list_id="daily.news.example",
    url="https://news.example",
)


def store_readers(database: Database, count: int, now: datetime) -> None:
    """Store active readers reader1@example.org, reader2@example.org, …"""
    rows = [
        {
            "email": f"reader{number}@example.org",
            "email_key": f"reader{number}@example.org",
            "name": f"Reader {number}",
            "status": "active",
            "choices": {},
            "fields": {},
            "created_at": now,
            "updated_at": now,
        }
        for number in range(1, count + 1)
    ]
    with database.writing() as connection:
        connection.execute(insert(subscribers), rows)


def store_approved_edition(
    database: Database, now: datetime, *, not_after: timedelta = timedelta(hours=16)
) -> int:
    """Store an approved edition with its audience frozen; give its id."""
    with database.writing() as connection:
        edition_id: int = connection.execute(
            insert(editions)
            .values(
                date=now.date(),
                state="approved",
                window_start=now - timedelta(days=1),
                cut_off=now,
                created_at=now,
                dated_at=now,
                not_after=now + not_after,
            )
            .returning(editions.c.id)
        ).scalar_one()
        Ledger.enrol(connection, edition_id, now)
    return edition_id


def make_addresser(edition_id: int, now: datetime | None = None, *, words: int = 50) -> Addresser:
    """Make what addresses readers of that edition."""
    compiled = CompiledEdition(
        subject="Port reopens; Library open on Sundays",
        preheader="Other stories of the day",
        language="en",
        html=Part(
            kind="html",
            pieces=(
                encode_text("<p>Dear "),
                Slot("name", "reader"),
                encode_text("</p><p>" + "word " * words + '</p><a href="'),
                Slot("unsubscribe_url"),
                encode_text('">Leave</a>\n', ends=True),
            ),
        ),
        plain=Part(
            kind="plain",
            pieces=(
                encode_text("Dear "),
                Slot("name", "reader"),
                encode_text("\nLeave: "),
                Slot("unsubscribe_url"),
                encode_text("\n", ends=True),
            ),
        ),
        words={"": 5},
    )
    moment = now or datetime(2026, 11, 23, 7, tzinfo=UTC)
    letterhead = build_letterhead(
        PUBLICATION,
        edition_id=edition_id,
        day=moment.date(),
        dated_at=moment,
        key_id=KEYRING.newest,
    )
    return Addresser(compiled, letterhead, KEYRING)
