"""How a source fares, and what of that is told to an operator: pure; `watch` reads and keeps it.

A source is stale that was read and had nothing new for three times its usual gap. The usual gap
is the median of the times between gatherings that brought something. Nights and weekends are
longer, and no alarm: a quiet that a source has had three times before is a habit of it.

An alarm is told once. It is told again when the words of the error change, and taken back when
the source recovers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Literal

Status = Literal["ok", "new", "waiting", "stale", "failing"]
AlarmKind = Literal["source_stale", "source_failing", "source_back"]

TROUBLE: tuple[Status, ...] = ("failing", "stale", "waiting")
"""What an operator looks at first, the worst before."""

_FEWEST_ARRIVALS = 5
_GAPS_OF_QUIET = 3
_HABIT = 3
"""How often a quiet was there before for it to be a habit."""
_HABIT_MARGIN = 1.25
_LEAST_QUIET = timedelta(hours=12)
_LASTING_FAILURES = 3
_LASTING = timedelta(hours=24)
_SOME_TIME = timedelta(hours=1)
"""Three failures within minutes, of an edition that is tried again, say no more than one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a source. Times are aware UTC."""

    name: str
    last_success_at: datetime | None = None
    last_attempt_at: datetime | None = None
    last_error: str = ""
    """A whole sentence; "" where the last attempt succeeded."""
    failing_since: datetime | None = None
    failures: int = 0
    """Since the last success."""
    next_attempt_at: datetime | None = None
    arrivals: tuple[datetime, ...] = ()
    """When gatherings brought something new, the earliest first."""
    newest_item_at: datetime | None = None
    items_of_week: int = 0
    """New items of the last seven days."""
    stale_after: timedelta | None = None
    """An operator's word on how long it may be quiet; zero for ever."""
    told: str = ""
    """The alarm that is standing, as `Alarm.told` has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a source fares."""

    status: Status
    sentence: str
    is_alarming: bool = False
    """Whether an operator is told of it without asking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """What is told of a source."""

    kind: AlarmKind
    sentence: str
    told: str
    """What stands from now on; "" for nothing."""
    is_new: bool = True


def estimate_gap(arrivals: Sequence[datetime]) -> timedelta | None:
    """Estimate the usual time between arrivals; None where they are too few to tell."""
    if len(arrivals) < _FEWEST_ARRIVALS:
        return None
    return timedelta(seconds=median(_gaps(arrivals)))


def decide_limit(facts: Facts) -> timedelta | None:
    """Decide how long a source may have nothing new; None where nobody can say, or for ever."""
    if facts.stale_after is not None:
        return facts.stale_after or None
    gap = estimate_gap(facts.arrivals)
    if gap is None:
        return None
    gaps = sorted(_gaps(facts.arrivals))
    habit = timedelta(seconds=gaps[-_HABIT]) * _HABIT_MARGIN
    return max(gap * _GAPS_OF_QUIET, habit, _LEAST_QUIET)


def judge_source(facts: Facts, now: datetime) -> Health:
    """Judge how a source fares. How long it is quiet is known only from when it was last read."""
    if facts.last_attempt_at is None:
        return Health(status="new", sentence="It was not gathered yet.")
    if facts.last_error:
        return _judge_failing(facts, now)
    limit, newest, read_at = decide_limit(facts), facts.newest_item_at, facts.last_success_at
    if limit is not None and newest and read_at and read_at - newest > limit:
        gap = estimate_gap(facts.arrivals)
        usual = f"it usually has something every {say_span(gap)}" if gap else "that is too long"
        return Health(
            status="stale",
            sentence=f"Nothing new for {say_span(read_at - newest)}, and {usual}.",
            is_alarming=True,
        )
    if newest is None:
        return Health(status="new", sentence="It was read, and had nothing yet.")
    if len(facts.arrivals) < _FEWEST_ARRIVALS:
        return Health(status="new", sentence="It is too new to tell its usual gap.")
    return Health(status="ok", sentence="")


def decide_alarm(facts: Facts, health: Health) -> Alarm | None:
    """Decide what is told of a source now, or was told before and stands; None for nothing."""
    words = health.sentence[:1].lower() + health.sentence[1:]
    if health.is_alarming:
        kind: AlarmKind = "source_stale" if health.status == "stale" else "source_failing"
        told = "stale" if kind == "source_stale" else f"failing: {_without_numbers(facts)}"
        sentence = f"Source {facts.name}: {words}"
        return Alarm(kind=kind, sentence=sentence, told=told, is_new=told != facts.told)
    if facts.told and health.status in ("ok", "new"):
        was = "had nothing new for long" if facts.told == "stale" else "could not be read"
        sentence = f"Source {facts.name} is back: it {was}."
        return Alarm(kind="source_back", sentence=sentence, told="")
    return None


def say_span(span: timedelta) -> str:
    """Say a time span in its largest unit: "3 days", "5 hours", "40 minutes"."""
    minutes = max(1, round(span.total_seconds() / 60))
    for unit, length in (("day", 1440), ("hour", 60), ("minute", 1)):
        if minutes >= length and (unit != "day" or minutes >= 2 * length):
            count = round(minutes / length)
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    raise AssertionError("a minute at least")


def _judge_failing(facts: Facts, now: datetime) -> Health:
    since = facts.failing_since or facts.last_attempt_at or now
    age = now - since
    is_lasting = age >= _LASTING or (facts.failures >= _LASTING_FAILURES and age >= _SOME_TIME)
    error = facts.last_error
    if facts.next_attempt_at and facts.next_attempt_at > now and not is_lasting:
        until = f"{facts.next_attempt_at:%Y-%m-%d %H:%M} UTC"
        return Health(status="waiting", sentence=f"It is asked again at {until}: {error}")
    return Health(
        status="failing",
        sentence=f"It fails since {since:%Y-%m-%d %H:%M} UTC: {error}",
        is_alarming=is_lasting,
    )


def _gaps(arrivals: Sequence[datetime]) -> list[float]:
    return [(later - earlier).total_seconds() for earlier, later in pairwise(arrivals)]


def _without_numbers(facts: Facts) -> str:
    """Give the words of an error; ports, times and counts in it may differ each time."""
    return re.sub(r"\d+", "#", facts.last_error)
