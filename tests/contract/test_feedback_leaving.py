"""Whoever a message's word names is off the list, and nobody else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from newsletter.errors import StorageError
from newsletter.feedback.hearing import Heard, Listener
from newsletter.mail import Keyring
from newsletter.mail.tokens import Purpose, TokenSigner
from newsletter.store import Database
from newsletter.store.tables import subscribers, suppressions
from tests.contract.desk import Desk

NOW = datetime(2026, 11, 26, 7, tzinfo=UTC)
LIST_ID = "daily.news.example"
OLD, NEW = b"o" * 40, b"n" * 40


def sign(number: int, purpose: Purpose = Purpose.UNSUBSCRIBE, key: bytes = NEW) -> str:
    ring = Keyring([key])
    return TokenSigner(ring, ring.newest, purpose, list_id=LIST_ID, edition_id=1).sign(number)


def hear(database: Database, word: str, head: str = "") -> Heard:
    listener = Listener(
        database=database,
        keyring=Keyring([NEW, OLD]),
        list_id=LIST_ID,
        bounce_address="bounce+*@news.example",
        now=lambda: NOW,
    )
    return listener.hear(
        f"{head}From: reader2@example.org\r\nSubject: unsubscribe {word}\r\n\r\n".encode()
    )


def statuses(database: Database) -> list[str]:
    with database.reading() as connection:
        query = select(subscribers.c.status).order_by(subscribers.c.id)
        return list(connection.scalars(query))


@pytest.fixture
def readers(backend: Database) -> Database:
    Desk(backend, NOW).store_readers(3)
    return backend


def test_who_the_word_names_leaves_whoever_wrote(readers: Database) -> None:
    assert hear(readers, sign(1)) == Heard(left=1)
    assert statuses(readers) == ["unsubscribed", "active", "active"]
    with readers.reading() as connection:
        (row,) = connection.execute(select(suppressions))
    assert (row.email_key, row.reason) == ("reader1@example.org", "unsubscribed")
    assert row.detail == "by the reader, by mail"
    assert hear(readers, sign(1)) == Heard(left=1), "leaving twice is leaving once"
    assert hear(readers, sign(3, key=OLD)) == Heard(left=1), "an old key still leaves"
    assert statuses(readers) == ["unsubscribed", "active", "unsubscribed"]


@pytest.mark.parametrize(
    "word",
    [
        sign(1)[:-1] + "A",
        sign(1, Purpose.PREFERENCES),
        sign(1, key=b"x" * 40),
        "a" * 43,
    ],
)
def test_a_word_that_is_not_ours_takes_nobody_off(readers: Database, word: str) -> None:
    assert hear(readers, word) == Heard(reason="its word is damaged, or not ours")
    assert statuses(readers) == ["active"] * 3


def test_an_automatic_reply_takes_nobody_off(readers: Database) -> None:
    heard = hear(readers, sign(1), "Auto-Submitted: auto-replied\r\n")
    assert heard == Heard(reason="it is an automatic reply")
    assert statuses(readers) == ["active"] * 3


def test_who_was_erased_is_off_already(readers: Database) -> None:
    assert hear(readers, sign(77)) == Heard(left=1)
    assert statuses(readers) == ["active"] * 3


def test_a_database_that_cannot_be_written_takes_nobody_off(
    readers: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: Database) -> object:
        raise StorageError("the disk is full")

    monkeypatch.setattr(Database, "writing", refuse)
    with pytest.raises(StorageError):
        hear(readers, sign(1))
