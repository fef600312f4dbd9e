from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from newsletter.audience.address import parse_address
from newsletter.audience.entry import Entry, Tally, store_entries
from newsletter.audience.reader import Choices, Status
from newsletter.audience.subscribers import (
    Selection,
    add_subscriber,
    count_by_status,
    find_subscriber,
    list_subscribers,
    remove_subscriber,
)
from newsletter.audience.suppression import (
    FINAL_REASONS,
    REASONS,
    Reason,
    read_reasons,
    suppress,
)
from newsletter.errors import AudienceError
from newsletter.store import Database
from newsletter.store.database import connect_database
from newsletter.store.tables import metadata, suppressions
from tests.audience import PSEUDONYMS

NOW = datetime(2025, 6, 1, 6, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
ANA = Entry(address=parse_address("Ana@b.example"), name="Ana", choices=Choices(minutes=5))
KEY = ANA.address.key


@pytest.fixture
def database() -> Iterator[Database]:
    database = connect_database("sqlite://")
    with database.writing() as connection:
        metadata.create_all(connection)
    yield database
    database.close()


def reason(database: Database, key: str = KEY) -> str | None:
    with database.reading() as connection:
        return read_reasons(connection, [key]).get(key)


def status(database: Database) -> str:
    found = find_subscriber(database, KEY)
    assert found is not None
    return found.status


def keep_out(database: Database, why: Reason, *, now: datetime = NOW) -> None:
    with database.writing() as connection:
        suppress(connection, [KEY], why, now, detail=f"because {why}")


def test_adds_finds_and_updates(database: Database) -> None:
    added = add_subscriber(database, ANA, now=NOW, pseudonyms=PSEUDONYMS)
    assert (added.email, added.name, added.status) == ("Ana@b.example", "Ana", "active")
    assert find_subscriber(database, " aNA@B.example ") == added
    again = add_subscriber(
        database,
        replace(ANA, name="", choices=Choices(detail="full")),
        now=LATER,
        pseudonyms=PSEUDONYMS,
    )
    assert again == replace(added, choices=Choices(minutes=5, detail="full"))


def test_finds_nobody(database: Database) -> None:
    assert find_subscriber(database, "no@b.example") is None


def test_removing_unsubscribes_and_suppresses_and_can_be_repeated(database: Database) -> None:
    add_subscriber(database, ANA, now=NOW, pseudonyms=PSEUDONYMS)
    assert remove_subscriber(database, "ANA@b.example", now=NOW, pseudonyms=PSEUDONYMS)
    assert not remove_subscriber(database, "ana@b.example", now=LATER, pseudonyms=PSEUDONYMS)
    assert (status(database), reason(database)) == ("unsubscribed", "unsubscribed")
    with database.reading() as connection:
        assert connection.execute(suppressions.select()).one().suppressed_at == NOW


def test_removing_an_unknown_address_suppresses_it(database: Database) -> None:
    assert not remove_subscriber(database, "no@b.example", now=NOW, pseudonyms=PSEUDONYMS)
    assert reason(database, "no@b.example") == "unsubscribed"


def test_removing_what_is_no_address_is_refused(database: Database) -> None:
    with pytest.raises(AudienceError, match="cannot be mailed"):
        remove_subscriber(database, "no", now=NOW, pseudonyms=PSEUDONYMS)


@pytest.mark.parametrize("why", REASONS)
def test_adding_a_suppressed_address_is_refused(database: Database, why: Reason) -> None:
    add_subscriber(database, ANA, now=NOW, pseudonyms=PSEUDONYMS)
    keep_out(database, why)
    before = list(list_subscribers(database))
    for again in (False, True):
        with pytest.raises(AudienceError, match=rf"kept out \({why}\)|needs the source"):
            add_subscriber(database, ANA, now=LATER, again=again, pseudonyms=PSEUDONYMS)
    assert list(list_subscribers(database)) == before
    assert reason(database) == why


@pytest.mark.parametrize("why", REASONS)
def test_a_reader_who_asks_again_comes_back_unless_it_is_final(
    database: Database, why: Reason
) -> None:
    add_subscriber(database, ANA, now=NOW, pseudonyms=PSEUDONYMS)
    keep_out(database, why)
    entry = replace(ANA, consent_source="letter of 3 May")
    if why in FINAL_REASONS:
        with pytest.raises(AudienceError, match="final"):
            add_subscriber(database, entry, now=LATER, again=True, pseudonyms=PSEUDONYMS)
        assert reason(database) == why
        return
    back = add_subscriber(database, entry, now=LATER, again=True, pseudonyms=PSEUDONYMS)
    assert (back.status, back.consent_source, back.consent_at) == (
        "active",
        "letter of 3 May",
        LATER,
    )
    assert reason(database) is None


@pytest.mark.parametrize("why", ["pending", "bounced", "unsubscribed", "complained"])
def test_a_status_alone_keeps_out_too(database: Database, why: Status) -> None:
    entries = {KEY: replace(ANA, status=why)}
    with database.writing() as connection:
        store_entries(connection, entries, NOW, Tally(), pseudonyms=PSEUDONYMS)
        connection.execute(suppressions.delete())
    with pytest.raises(AudienceError, match=f"kept out .{why}"):
        add_subscriber(database, ANA, now=LATER, pseudonyms=PSEUDONYMS)
    entry = replace(ANA, consent_source="letter")
    if why == "complained":
        with pytest.raises(AudienceError, match="final"):
            add_subscriber(database, entry, now=LATER, again=True, pseudonyms=PSEUDONYMS)
    else:
        assert (
            add_subscriber(database, entry, now=LATER, again=True, pseudonyms=PSEUDONYMS).status
            == "active"
        )


def test_a_suppressed_address_without_a_row_comes_back_as_a_new_reader(database: Database) -> None:
    remove_subscriber(database, "ana@b.example", now=NOW, pseudonyms=PSEUDONYMS)
    entry = replace(ANA, consent_source="letter", consent_at=NOW)
    back = add_subscriber(database, entry, now=LATER, again=True, pseudonyms=PSEUDONYMS)
    assert (back.status, back.consent_at, back.created_at) == ("active", NOW, LATER)


@pytest.mark.parametrize("first", REASONS)
@pytest.mark.parametrize("second", REASONS)
def test_only_a_graver_reason_replaces_another(
    database: Database, first: Reason, second: Reason
) -> None:
    add_subscriber(database, ANA, now=NOW, pseudonyms=PSEUDONYMS)
    keep_out(database, first)
    keep_out(database, second, now=LATER)
    graver = max(first, second, key=REASONS.index)
    with database.reading() as connection:
        row = connection.execute(suppressions.select()).one()
    assert (row.reason, row.detail) == (graver, f"because {graver}")
    assert row.suppressed_at == (NOW if graver == first else LATER)
    weights = ("bounced", "unsubscribed", "complained")
    each = [w if w in weights else "unsubscribed" for w in (first, second)]
    assert status(database) == max(each, key=weights.index)


def test_suppressing_nobody_is_nothing(database: Database) -> None:
    with database.writing() as connection:
        suppress(connection, [], "manual", NOW)
    assert reason(database) is None


def test_lists_in_pages_and_counts(database: Database) -> None:
    addresses = [parse_address(f"r{n:04}@b.example") for n in range(2_001)]
    entries = {
        a.key: Entry(address=a, status="pending" if n % 2 else "active")
        for n, a in enumerate(addresses)
    }
    with database.writing() as connection:
        store_entries(connection, entries, NOW, Tally(), pseudonyms=PSEUDONYMS)
    assert [r.email for r in list_subscribers(database)] == [a.email for a in addresses]
    assert len(list(list_subscribers(database, Selection(status="pending")))) == 1_000
    assert count_by_status(database) == {
        "pending": 1_000,
        "active": 1_001,
        "unsubscribed": 0,
        "bounced": 0,
        "complained": 0,
    }


def test_a_list_half_read_lets_others_write(database: Database) -> None:
    add_subscriber(database, ANA, now=NOW, pseudonyms=PSEUDONYMS)
    listing = list_subscribers(database)
    next(listing)
    add_subscriber(
        database, Entry(address=parse_address("bo@b.example")), now=NOW, pseudonyms=PSEUDONYMS
    )
    assert [reader.email for reader in listing] == ["bo@b.example"]
