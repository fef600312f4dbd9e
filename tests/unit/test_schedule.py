"""When a send is due: clocks that change, midnights, weekdays; and what a log may say."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.events import mask_addresses
from newsletter.schedule import find_due_day, is_due
from newsletter.settings import Schedule

NEW_YORK, BERLIN = ZoneInfo("America/New_York"), ZoneInfo("Europe/Berlin")


def make_schedule(at: str, *, lateness: str = "6h", days: str = "mon-sun") -> Schedule:
    return Schedule.model_validate({"send_at": at, "max_lateness": lateness, "days": days})


def due(schedule: Schedule, zone: ZoneInfo, *moment: int) -> date | None:
    """Ask at a moment given in UTC."""
    return find_due_day(
        schedule,
        schedule.send_at,
        datetime(*moment, tzinfo=UTC).astimezone(zone),  # type: ignore[arg-type, misc]
    )


def test_due_from_the_minute_until_it_is_too_late() -> None:
    schedule = make_schedule("07:00")
    monday = date(2026, 11, 23)
    assert due(schedule, BERLIN, 2026, 11, 23, 5, 59, 59) is None
    assert due(schedule, BERLIN, 2026, 11, 23, 6, 0, 0) == monday
    assert due(schedule, BERLIN, 2026, 11, 23, 12, 0, 0) == monday
    assert due(schedule, BERLIN, 2026, 11, 23, 12, 0, 1) is None


def test_without_lateness_it_still_has_its_minute() -> None:
    schedule = make_schedule("07:00", lateness="0s")
    assert due(schedule, BERLIN, 2026, 11, 23, 6, 0, 1) == date(2026, 11, 23)
    assert due(schedule, BERLIN, 2026, 11, 23, 6, 1, 1) is None


def test_an_edition_of_late_evening_is_still_yesterdays_after_midnight() -> None:
    schedule = make_schedule("23:30")
    assert due(schedule, BERLIN, 2026, 11, 23, 23, 10) == date(2026, 11, 23)  # 00:10 on the 24th
    assert due(schedule, BERLIN, 2026, 11, 24, 4, 31) is None
    assert due(schedule, BERLIN, 2026, 11, 24, 22, 30) == date(2026, 11, 24)


def test_the_latest_of_several_is_due() -> None:
    schedule = make_schedule("07:00", lateness="3d", days="mon,tue")
    assert due(schedule, BERLIN, 2026, 11, 24, 5, 0) == date(2026, 11, 23)  # Tuesday, too early
    assert due(schedule, BERLIN, 2026, 11, 24, 7, 0) == date(2026, 11, 24)
    assert due(schedule, BERLIN, 2026, 11, 27, 5, 59) == date(2026, 11, 24)  # Friday
    assert due(schedule, BERLIN, 2026, 11, 27, 6, 1) is None


def test_the_weekday_is_that_of_the_edition() -> None:
    schedule = make_schedule("23:30", days="fri")
    assert due(schedule, BERLIN, 2026, 11, 27, 23, 0) == date(2026, 11, 27)  # Saturday, 00:00
    assert due(schedule, BERLIN, 2026, 11, 26, 23, 0) is None  # Friday, 00:00: Thursday's


def test_a_holiday_has_no_edition_of_its_year_or_of_every_year() -> None:
    schedule = Schedule.model_validate({"holidays": "2026-11-23, 12-25"})
    days = [date(2026, 11, 23), date(2027, 11, 23), date(2026, 12, 25), date(2031, 12, 25)]
    assert [schedule.has_edition(day) for day in days] == [False, True, False, False]
    assert due(schedule, BERLIN, 2026, 11, 23, 6, 30) is None
    with pytest.raises(ValueError, match='must be dates such as "2026-12-24", or "12-25"'):
        Schedule.model_validate({"holidays": ["12-32"]})


@pytest.mark.parametrize(
    ("zone", "first"),
    [
        (NEW_YORK, datetime(2026, 3, 8, 7, 30, tzinfo=UTC)),
        (BERLIN, datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
    ],
)
def test_a_time_that_a_spring_night_skips_comes_an_hour_later(
    zone: ZoneInfo, first: datetime
) -> None:
    """02:30 does not exist: the clock goes from 02:00 to 03:00."""
    schedule = make_schedule("02:30", lateness="1h")
    day = first.astimezone(zone).date()
    for seconds, expected in ((-1, False), (0, True), (3600, True), (3601, False)):
        now = (first + timedelta(seconds=seconds)).astimezone(zone)
        assert is_due(schedule, schedule.send_at, day, now) is expected


@pytest.mark.parametrize(
    ("zone", "at", "first"),
    [
        (NEW_YORK, "01:30", datetime(2026, 11, 1, 5, 30, tzinfo=UTC)),
        (BERLIN, "02:30", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
    ],
)
def test_a_time_that_an_autumn_night_has_twice_counts_from_the_first(
    zone: ZoneInfo, at: str, first: datetime
) -> None:
    schedule = make_schedule(at, lateness="90m")
    day = first.astimezone(zone).date()
    for seconds, expected in ((-1, False), (0, True), (3600, True), (5400, True), (5401, False)):
        now = (first + timedelta(seconds=seconds)).astimezone(zone)
        assert is_due(schedule, schedule.send_at, day, now) is expected


@given(
    st.integers(0, 2 * 366 * 24 * 60),
    st.times(),
    st.sampled_from([NEW_YORK, BERLIN, ZoneInfo("Pacific/Apia"), ZoneInfo("UTC")]),
    st.integers(0, 200),
)
def test_what_is_found_due_is_due_and_never_of_a_day_to_come(
    minutes: int, at: time, zone: ZoneInfo, hours: int
) -> None:
    schedule = make_schedule("07:00", lateness=f"{hours}h")
    now = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)).astimezone(zone)
    day = find_due_day(schedule, at, now)
    if hours > 25:
        assert day is not None
    if day is not None:
        assert day <= now.date()
        assert is_due(schedule, at, day, now)
        assert not any(
            is_due(schedule, at, later, now)
            for later in (day + timedelta(days=n) for n in range(1, 4))
        )


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "554 5.7.1 <reader@example.org>: denied",
            "554 5.7.1 <r…@example.org>: denied",
        ),
        ("smtp://user@relay.example:587 refused", "smtp://u…@relay.example:587 refused"),
        ("an at @ alone, and a@", "an at @ alone, and a@"),
        ("x.y+z@a.example, ü@b.example", "x…@a.example, ü…@b.example"),
        ("100% of it", "100% of it"),
    ],
)
def test_mailboxes_are_masked(said: str, shown: str) -> None:
    assert mask_addresses(said) == shown
