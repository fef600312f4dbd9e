"""The schedule over a day of hours: each reader gets theirs when their clock shows the hour."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select, update

from newsletter.delivery import sender
from newsletter.delivery.lifecycle import State
from newsletter.settings import Settings
from newsletter.store import Database
from newsletter.store.tables import deliveries, subscribers
from tests.integration.house import House, open_at_seven, said
from tests.integration.runs import Server

ZONES = (
    *("Pacific/Niue", "Pacific/Honolulu", "America/Anchorage", "America/Los_Angeles"),
    *("America/Denver", "America/Chicago", "America/New_York", "America/Halifax"),
    *("America/St_Johns", "America/Sao_Paulo", "Atlantic/Azores", "Europe/London"),
    *("Europe/Berlin", "Europe/Athens", "Africa/Nairobi", "Asia/Tehran", "Asia/Dubai"),
    *("Asia/Kolkata", "Asia/Kathmandu", "Asia/Dhaka", "Asia/Shanghai", "Asia/Tokyo"),
    *("Australia/Lord_Howe", "Pacific/Chatham"),
)
CLOCKS = (
    *("00:00", "00:30", "03:15", "05:00", "06:30", "07:00"),
    *("08:45", "12:00", "17:30", "20:00", "22:10", "23:59"),
)
# Saturday, 07:00 in New York; its clocks, and those of Chatham's neighbours not, go back at night.
RELEASED = datetime(2026, 10, 31, 11, tzinfo=UTC)


def settle(house: House) -> Settings:
    document = house.press.settings.model_dump()
    document["publication"]["timezone"] = "America/New_York"
    return Settings.model_validate(document | {"secret_key": "k" * 40, "root": house.root})


def first_shown(zone: str, clock: str) -> datetime:
    """Look at the zone's clock minute by minute, which is slow, and cannot be wrong."""
    moment = RELEASED
    while f"{moment.astimezone(ZoneInfo(zone)):%H:%M}" != clock:
        moment += timedelta(minutes=1)
    return moment


def test_24_zones_with_12_hours_each_within_two_minutes_over_a_change_of_clocks(
    tmp_path: Path,
    database: Database,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="newsletter")
    monkeypatch.setattr(sender, "LOOK_SECONDS", 0.02)
    house = open_at_seven(tmp_path, database, server.url, len(ZONES) * len(CLOCKS) + 1)
    chosen = dict(enumerate(product(ZONES, CLOCKS), 1))
    with database.writing() as connection:
        for number, (zone, clock) in chosen.items():
            choices = {"timezone": zone, "send_at": clock}
            connection.execute(
                update(subscribers).where(subscribers.c.id == number).values(choices=choices)
            )
    press = house.press
    press = type(press)(settle(house), press.database, press.now)
    house.now = RELEASED - timedelta(minutes=30)
    house.write_brief()
    house.now = RELEASED + timedelta(seconds=3)  # the schedule wakes a moment after its time
    came: dict[str, list[datetime]] = {}

    def note(recipient: str, _attempt: int) -> str:
        came.setdefault(recipient, []).append(house.now)
        return ""

    server.at_dot = note

    def turn_the_clock() -> bool:
        """Once nothing is due, go to just before the next hour, then to it."""
        with database.reading() as connection:
            open_rows = select(func.min(deliveries.c.next_attempt_at)).where(
                deliveries.c.state.in_(["pending", "leased", "sending", "deferred"])
            )
            due = connection.scalar(open_rows)
        if due is not None and due > house.now:
            before = due - timedelta(seconds=1)
            house.now = due if house.now >= before else before
        return said(caplog, ": sent: 289 accepted")

    house.keep(turn_the_clock, press, seconds=300)
    assert house.counts() == {State.ACCEPTED: 289}
    late = {}
    for number, (zone, clock) in chosen.items():
        (moment,) = came[f"reader{number}@example.org"]
        late[zone, clock] = moment - first_shown(zone, clock)
    assert min(late.values()) >= timedelta(0)
    assert max(late.values()) <= timedelta(minutes=2)
    assert came["reader289@example.org"][0] - RELEASED < timedelta(minutes=2)
    assert len({moment for moments in came.values() for moment in moments}) > 100
