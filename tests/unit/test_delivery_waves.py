"""When copies are due: hours of readers' own clocks, and what a rate makes of them."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.delivery.waves import (
    GRACE,
    Hour,
    Release,
    Wave,
    find_due,
    forecast,
    measure_rate,
    plan_waves,
)

NEW_YORK = Hour(zone="America/New_York", clock="07:00")
RELEASE = Release(at=datetime(2026, 11, 23, 12, tzinfo=UTC), own=NEW_YORK)
MANY_ZONES = (
    *("America/New_York", "Europe/Berlin", "Asia/Tokyo", "Asia/Kathmandu", "America/St_Johns"),
    *("Australia/Lord_Howe", "Pacific/Chatham", "Pacific/Apia", "Pacific/Niue", "UTC"),
)


@pytest.mark.parametrize(
    ("zone", "clock", "due"),
    [
        ("", "07:00", "2026-11-23T12:00"),  # the edition's own hour: at once
        ("", "06:59", "2026-11-24T11:59"),
        ("Asia/Tokyo", "07:00", "2026-11-23T22:00"),
        ("Europe/Berlin", "14:30", "2026-11-23T13:30"),
        ("Europe/Berlin", "", "2026-11-24T06:00"),  # followed by its zone
        ("Asia/Kathmandu", "17:45", "2026-11-23T12:00"),
        ("Pacific/Kiritimati", "02:00", "2026-11-23T12:00"),
    ],
)
def test_the_first_time_that_a_clock_shows_the_hour(zone: str, clock: str, due: str) -> None:
    found = find_due(Hour(zone=zone, clock=clock), RELEASE)
    assert found == datetime.fromisoformat(due).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("released", "due"),
    [
        ("2026-10-31T11:00", "2026-11-01T05:30"),  # 01:30 occurs twice: the first
        ("2027-03-13T12:00", "2027-03-14T06:30"),  # the night before spring
    ],
)
def test_a_night_of_change_in_new_york(released: str, due: str) -> None:
    release = Release(at=datetime.fromisoformat(released).replace(tzinfo=UTC), own=NEW_YORK)
    found = find_due(Hour(zone="", clock="01:30"), release)
    assert found == datetime.fromisoformat(due).replace(tzinfo=UTC)


def test_an_hour_that_a_clock_skips_comes_an_hour_later_by_it() -> None:
    release = Release(at=datetime(2027, 3, 13, 12, tzinfo=UTC), own=NEW_YORK)
    found = find_due(Hour(zone="", clock="02:30"), release)
    assert found.astimezone(ZoneInfo("America/New_York")).time() == time(3, 30)


@given(
    zone=st.sampled_from(MANY_ZONES),
    clock=st.times().map(lambda t: f"{t:%H:%M}"),
    minutes=st.integers(0, 3 * 365 * 24 * 60),
)
def test_it_is_within_a_day_and_never_before_the_edition(
    zone: str, clock: str, minutes: int
) -> None:
    released = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    due = find_due(Hour(zone=zone, clock=clock), Release(at=released, own=NEW_YORK))
    assert timedelta(0) <= due - released <= timedelta(hours=25)
    shown = f"{due.astimezone(ZoneInfo(zone)):%H:%M}"
    skipped = datetime.fromisoformat(f"{due.astimezone(ZoneInfo(zone)):%Y-%m-%d}T{clock}")
    occurs = skipped.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).astimezone(ZoneInfo(zone))
    assert shown == clock or occurs.replace(tzinfo=None) != skipped


TOKYO_7, TOKYO_8 = Hour(zone="Asia/Tokyo", clock="07:00"), Hour(zone="Asia/Tokyo", clock="08:00")


def test_from_the_hour_a_wave_begins_at_it() -> None:
    planned = plan_waves({TOKYO_8: 5, TOKYO_7: 3}, RELEASE, now=RELEASE.at, per_second=1)
    assert [(w.hour, w.readers) for w in planned] == [(TOKYO_7, 3), (TOKYO_8, 5)]
    assert all(wave.begins_at == wave.due_at for wave in planned)


def test_by_the_hour_waves_are_planned_backwards_one_behind_the_other() -> None:
    release = Release(at=RELEASE.at, own=NEW_YORK, by_the_hour=True)
    chosen = {TOKYO_7: 600, TOKYO_8: 7200}
    first, last = plan_waves(chosen, release, now=release.at, per_second=1)
    assert last.begins_at == last.due_at - timedelta(hours=2)
    assert first.begins_at == last.begins_at - timedelta(minutes=10)
    told = forecast((first, last), now=release.at, per_second=1)
    assert [each.late for each in told] == [0, 0]
    assert [each.ends_at for each in told] == [last.begins_at, last.due_at]


def test_no_wave_begins_before_the_edition_is_there_and_who_is_late_is_told() -> None:
    release = Release(at=RELEASE.at, own=NEW_YORK, by_the_hour=True)
    soon = Hour(zone="", clock="08:00")
    (wave,) = plan_waves({soon: 7200}, release, now=release.at, per_second=1)
    assert wave.begins_at == release.at
    (told,) = forecast([wave], now=release.at, per_second=1)
    assert told.late == 7200 - 3600 - int(GRACE.total_seconds())
    (told,) = forecast([wave], now=release.at, per_second=1, at_once=1800)
    assert told.late == 7200 - 1800 - int(GRACE.total_seconds())


def test_an_unknown_rate_begins_at_the_hour() -> None:
    release = Release(at=RELEASE.at, own=NEW_YORK, by_the_hour=True)
    (wave,) = plan_waves({TOKYO_7: 600}, release, now=release.at)
    assert wave.begins_at == wave.due_at


def test_after_a_late_start_what_is_past_is_due_now() -> None:
    late = RELEASE.at + timedelta(hours=3)
    (wave,) = plan_waves({Hour(zone="", clock="08:00"): 1}, RELEASE, now=late)
    assert (wave.due_at, wave.begins_at) == (RELEASE.at + timedelta(hours=1), late)


@given(
    readers=st.lists(st.integers(1, 50_000), min_size=1, max_size=8),
    rate=st.floats(0.5, 5000),
)
def test_a_plan_by_the_hour_is_never_later_than_one_from_it(
    readers: list[int], rate: float
) -> None:
    chosen = {Hour(zone="", clock=f"{8 + n:02}:00"): count for n, count in enumerate(readers)}
    lates = []
    for by_the_hour in (False, True):
        release = Release(at=RELEASE.at, own=NEW_YORK, by_the_hour=by_the_hour)
        planned = plan_waves(chosen, release, now=release.at, per_second=rate)
        assert all(release.at <= wave.begins_at <= wave.due_at for wave in planned)
        told = forecast(planned, now=release.at, per_second=rate)
        lates.append(sum(each.late for each in told))
    assert lates[1] <= lates[0]


def test_the_rate_is_the_middle_one_of_those_that_were_measured() -> None:
    assert measure_rate([]) == measure_rate([(0, 0), (5, 0)]) == 0
    assert measure_rate([(100, 10), (100, 1), (1, 10), (0, 5)]) == 10
    assert measure_rate([(100, 10), (100, 1)]) == 10  # of two, the slower


def test_a_forecast_takes_waves_as_they_begin() -> None:
    early = Wave(hour=TOKYO_7, readers=2, due_at=RELEASE.at, begins_at=RELEASE.at)
    assert forecast([early], now=RELEASE.at, per_second=1)[0].late == 0
