"""A reader's pause and weekdays are obeyed when an audience is frozen, and end by themselves."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from newsletter.audience.reader import Choices
from newsletter.audience.subscribers import read_subscriber
from newsletter.delivery.inquiry import explain_absence
from newsletter.delivery.ledger import Ledger
from newsletter.editions.shelf import read_edition
from newsletter.store import Database
from tests.contract.desk import Desk

MONDAY = datetime(2026, 11, 23, 7, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def desk(backend: Database) -> Desk:
    return Desk(backend, MONDAY)


def enrolled(desk: Desk, day: date, kind: str = "daily") -> list[int]:
    """Freeze the audience of an edition; tell who is in it."""
    desk.now += timedelta(days=30)  # so that no date is taken
    edition_id = desk.store_edition()
    desk.set_edition(edition_id, kind=kind, date=day)
    with desk.database.writing() as connection:
        expected = Ledger.count_audience(connection, edition_id, desk.now)
        assert Ledger.enrol(connection, edition_id, desk.now) == expected
    return [row.subscriber_id for row in desk.rows(edition_id)]


def test_a_pause_holds_until_its_day_for_every_kind_of_edition(desk: Desk) -> None:
    monday = MONDAY.date()
    both = Choices(rhythm="both").to_document()
    desk.store_reader(1, choices=both)
    desk.store_reader(2, choices=both, paused_until=monday + 2 * DAY)
    desk.store_reader(3, choices=both, paused_until=monday)
    for kind in ("daily", "special", "weekly"):
        assert enrolled(desk, monday + DAY, kind) == [1, 3], kind
    assert enrolled(desk, monday + 2 * DAY) == [1, 2, 3], "it ends by itself"


def test_weekdays_hold_for_what_is_new(desk: Desk) -> None:
    sly = Choices(topics=('"days":["tue"]', "mon", "tue"), rhythm="both")
    desk.store_reader(1, choices=sly.to_document())
    desk.store_reader(2, choices=Choices(days=("mon", "fri"), rhythm="both").to_document())
    desk.store_reader(3, choices=Choices(days=("tue",), topics=("mon", "fri")).to_document())
    monday = MONDAY.date()
    assert enrolled(desk, monday) == [1, 2]
    assert enrolled(desk, monday + DAY) == [1, 3]
    assert enrolled(desk, monday + DAY, "special") == [1, 3]
    assert enrolled(desk, monday + 3 * DAY) == [1]
    assert enrolled(desk, monday + 3 * DAY, "weekly") == [1, 2]


@pytest.mark.parametrize(
    ("reader", "why"),
    [
        ({"paused_until": date(2026, 12, 1)}, "paused until the edition of 2026-12-01; the"),
        ({"choices": {"days": ["tue", "sat"]}}, "chose other weekdays (tue, sat); the"),
    ],
)
def test_an_operator_is_told_why_such_a_reader_has_no_copy(
    desk: Desk, reader: dict[str, object], why: str
) -> None:
    desk.store_reader(1, created_at=MONDAY - DAY, **reader)
    desk.store_reader(2)
    edition_id = desk.store_edition()
    desk.set_edition(edition_id, date=MONDAY.date(), dated_at=MONDAY)
    with desk.database.writing() as connection:
        assert Ledger.enrol(connection, edition_id, MONDAY) == 1
        subscriber = read_subscriber(connection, "reader1@example.org")
        assert subscriber is not None
        record = read_edition(connection, edition_id)
    assert explain_absence(subscriber, None, record).startswith(why)
