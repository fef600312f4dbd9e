"""Readers who chose an hour are due at it, on both databases; counts and plan stay together."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

import pytest

from newsletter.delivery.inquiry import count_ahead, load_waves, read_rate
from newsletter.delivery.ledger import Ledger
from newsletter.delivery.waves import Hour, Release, plan_waves
from newsletter.store import Database
from tests.contract.desk import Desk

SEVEN = Hour(zone="America/New_York", clock="07:00")


@pytest.fixture
def settled(backend: Database, now: datetime) -> Desk:
    desk = Desk(backend, now)
    choices = [
        {},
        {"send_at": "09:00"},
        {"send_at": "09:00", "timezone": "Asia/Tokyo"},
        {"timezone": "Asia/Tokyo"},
        {"topics": ['"send_at":"x"'], "language": "de"},
        {"send_at": "09:00", "timezone": "Asia/Tokyo"},
        {"send_at": "09:00", "rhythm": "weekly"},  # not of this edition
    ]
    for number, chosen in enumerate(choices, 1):
        desk.store_reader(number, choices=chosen)
    desk.store_reader(8, choices={"send_at": "09:00"}, status="unsubscribed")
    desk.store_reader(9, choices={"send_at": "09:00"})
    desk.suppress(9)
    return desk


def enrol(desk: Desk, *, follows_zones: bool = False) -> tuple[int, dict[int, datetime]]:
    edition_id = desk.store_edition()
    release = Release(at=desk.now, own=SEVEN)
    plan = partial(plan_waves, release=release, now=desk.now)
    with desk.database.writing() as connection:
        audience = Ledger.enrol(
            connection, edition_id, desk.now, plan=plan, follows_zones=follows_zones
        )
    due = {row.subscriber_id: row.next_attempt_at for row in desk.rows(edition_id)}
    assert audience == len(due) == 6
    return edition_id, due


@pytest.mark.parametrize("follows_zones", [False, True])
def test_each_is_due_at_the_hour_that_they_chose(settled: Desk, follows_zones: bool) -> None:
    edition_id, due = enrol(settled, follows_zones=follows_zones)
    with settled.database.reading() as connection:
        waves = {wave.hour: wave for wave in load_waves(connection, edition_id)}
        everybody, counted = Ledger.count_hours(
            connection, "daily", settled.now.date(), follows_zones=follows_zones
        )
        ahead = count_ahead(connection, edition_id, settled.now)
    assert (everybody, counted) == (6, {hour: wave.readers for hour, wave in waves.items()})
    here, there = Hour(zone="", clock="09:00"), Hour(zone="Asia/Tokyo", clock="09:00")
    zone_alone = Hour(zone="Asia/Tokyo", clock="")
    expected = {1: settled.now, 2: waves[here].due_at, 5: settled.now}
    expected |= dict.fromkeys((3, 6), waves[there].due_at)
    expected[4] = waves[zone_alone].due_at if follows_zones else settled.now
    assert due == expected
    assert waves[there].readers == 2
    assert settled.now < waves[here].due_at
    assert ahead == (4 if follows_zones else 3)


def test_a_run_takes_a_wave_when_it_is_due_and_is_not_over_before(settled: Desk) -> None:
    edition_id, due = enrol(settled)
    ledger, run = settled.ledger(), settled.take(edition_id)
    at_once = ledger.lease(run, 100, settled.now).jobs
    assert {job.reader.subscriber_id for job in at_once} == {1, 4, 5}
    ledger.give_back(run, settled.now)
    assert ledger.next_due(run) == settled.now
    last = max(due.values())
    before = ledger.lease(run, 100, last - timedelta(seconds=1)).jobs
    assert len(before) < 6
    assert not ledger.release(run, settled.now, {"accepted": 10, "busy_seconds": 4.0})
    assert settled.edition(edition_id).state == "sending"
    with settled.database.reading() as connection:
        assert read_rate(connection) == 2.5
