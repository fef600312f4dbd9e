"""When each reader's copy is due: at the hour of their own clock that they chose. Pure.

An edition is sent in waves, one for each hour and zone that readers chose. A wave is due when
that zone's clock first shows the hour once the edition is there; so of an edition of 07:00 in
New York a reader in Tokyo who wants it at 07:00 gets it eleven hours later. Everybody who chose
no hour is in the first wave, at once.

A wave begins at its hour, or, where everybody is to have it *by* then, so much earlier as its
readers take at the rate that earlier runs had; never before the edition is there. Waves that
would be under way together are planned one behind the other, from the last one backwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

GRACE = timedelta(minutes=2)
"""What is accepted so soon after its hour is in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """An hour as readers chose it: a zone such as "Asia/Tokyo" and a clock such as "07:00".

    An empty one of the two is the publication's own.
    """

    zone: str
    clock: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """The readers of one hour."""

    hour: Hour
    readers: int
    due_at: datetime
    begins_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When a wave should be through, and how many of its readers get theirs too late."""

    wave: Wave
    ends_at: datetime
    late: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """When an edition is there, and how its waves are planned from that."""

    at: datetime
    """The moment that the schedule set for it, aware UTC, whenever it is really sent."""
    own: Hour
    """The publication's zone, and the hour of the edition."""
    by_the_hour: bool = False
    """Whether everybody is to have it by the hour, rather than from it on."""


def find_due(hour: Hour, release: Release) -> datetime:
    """Find when a zone's clock first shows the hour, from the edition's release on; aware UTC.

    An hour that a clock skips in spring is taken as if the clock had not been put forward, and
    of one that it shows twice in autumn the first counts.
    """
    zone = ZoneInfo(hour.zone or release.own.zone)
    clock = time.fromisoformat(hour.clock or release.own.clock)
    day: date = release.at.astimezone(zone).date()
    while (due := datetime.combine(day, clock, tzinfo=zone).astimezone(UTC)) < release.at:
        day += timedelta(days=1)
    return due


def plan_waves(
    chosen: Mapping[Hour, int], release: Release, *, now: datetime, per_second: float = 0
) -> tuple[Wave, ...]:
    """Plan the waves of an edition, in the order in which they are due.

    `chosen` are the readers of each hour. Where all are to have it by their hour, `per_second`
    is the rate that can be counted on; with 0, an unknown one, each wave begins at its hour.
    """
    due = {hour: find_due(hour, release) for hour in chosen}
    waves = [
        Wave(hour=hour, readers=chosen[hour], due_at=at, begins_at=max(at, now))
        for hour, at in sorted(due.items(), key=lambda item: (item[1], item[0].zone))
    ]
    if not release.by_the_hour or per_second <= 0:
        return tuple(waves)
    planned: list[Wave] = []
    for wave in reversed(waves):
        ends = min(wave.due_at, planned[-1].begins_at) if planned else wave.due_at
        begins = ends - timedelta(seconds=wave.readers / per_second)
        planned.append(replace(wave, begins_at=max(begins, now)))
    return tuple(reversed(planned))


def forecast(
    waves: Iterable[Wave], *, now: datetime, per_second: float, at_once: int = 0
) -> tuple[Forecast, ...]:
    """Say when each wave should be through at a rate, and whom it then reaches too late.

    The waves are sent one behind the other, as they begin, after those `at_once`.
    """
    free_at = now + timedelta(seconds=at_once / per_second)
    told: list[Forecast] = []
    for wave in sorted(waves, key=lambda each: (each.begins_at, each.due_at, each.hour.zone)):
        begins = max(free_at, wave.begins_at)
        free_at = begins + timedelta(seconds=wave.readers / per_second)
        in_time = (wave.due_at + GRACE - begins).total_seconds() * per_second
        late = wave.readers - min(wave.readers, max(0, int(in_time)))
        told.append(Forecast(wave=wave, ends_at=free_at, late=late))
    return tuple(sorted(told, key=lambda each: (each.wave.due_at, each.wave.hour.zone)))


def find_next_hour(waves: Iterable[Wave], now: datetime) -> datetime | None:
    """Find when the next wave begins; None where none is ahead."""
    return min((wave.begins_at for wave in waves if wave.begins_at > now), default=None)


def measure_rate(runs: Sequence[tuple[int, float]]) -> float:
    """Give the messages a second of earlier runs, each its messages and busy seconds; 0 = unknown.

    It is the middle one, so that one bad morning does not move everybody's hour.
    """
    rates = sorted(accepted / busy for accepted, busy in runs if accepted and busy > 0)
    return rates[(len(rates) - 1) // 2] if rates else 0
