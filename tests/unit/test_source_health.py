"""How a source fares, and what is told of it: once, and again when it changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from newsletter.briefs.health import (
    Facts,
    decide_alarm,
    decide_limit,
    estimate_gap,
    judge_source,
    say_span,
)

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)  # a Monday
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def every(gap: timedelta, count: int, *, last: datetime = NOW) -> tuple[datetime, ...]:
    return tuple(last - gap * (count - 1 - n) for n in range(count))


def facts(arrivals: tuple[datetime, ...], *, quiet: timedelta, **more: object) -> Facts:
    """Give what is known of a source that was last read so long after its newest item."""
    read_at = (arrivals[-1] if arrivals else NOW) + quiet
    known = Facts(
        name="wire",
        last_success_at=read_at,
        last_attempt_at=read_at,
        arrivals=arrivals,
        newest_item_at=arrivals[-1] if arrivals else None,
    )
    return replace(known, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arrivals", "quiet", "status"),
    [
        (every(DAY, 10), 2 * DAY, "ok"),
        (every(DAY, 10), 3 * DAY, "ok"),
        (every(DAY, 10), 3 * DAY + HOUR, "stale"),
        (every(7 * DAY, 6), 2 * DAY, "ok"),
        (every(7 * DAY, 6), 21 * DAY, "ok"),
        (every(7 * DAY, 6), 22 * DAY, "stale"),
        (every(HOUR, 30), 4 * HOUR, "ok"),  # three gaps are no time yet
        (every(HOUR, 30), 13 * HOUR, "stale"),
        (every(DAY, 4), 30 * DAY, "new"),
        ((), 30 * DAY, "new"),
    ],
)
def test_stale_is_three_usual_gaps(
    arrivals: tuple[datetime, ...], quiet: timedelta, status: str
) -> None:
    assert judge_source(facts(arrivals, quiet=quiet), NOW).status == status


def test_nights_and_weekends_are_no_alarm() -> None:
    """Something every two hours from 8 to 18, Monday to Friday, for four weeks."""
    hours = [
        NOW - n * DAY + timedelta(hours=h - 6)
        for n in range(28)
        for h in range(8, 19, 2)
        if (NOW - n * DAY).weekday() < 5
    ]
    arrivals = tuple(sorted(at for at in hours if at <= NOW - 2 * DAY))
    assert arrivals[-1].weekday() == 4
    assert estimate_gap(arrivals) == 2 * HOUR
    monday = NOW + 2 * HOUR - arrivals[-1]
    assert judge_source(facts(arrivals, quiet=monday), NOW).status == "ok"
    assert judge_source(facts(arrivals, quiet=monday + DAY), NOW).status == "stale"


def test_one_long_quiet_is_no_habit() -> None:
    arrivals = (*every(DAY, 10, last=NOW - 20 * DAY), *every(DAY, 10))
    assert decide_limit(facts(arrivals, quiet=DAY)) == 3 * DAY


def test_quiet_that_nobody_could_see_is_not_counted() -> None:
    """The machine was off for a week: what was last read is as fresh as it was then."""
    known = facts(every(DAY, 10), quiet=DAY)
    assert judge_source(known, NOW + 8 * DAY).status == "ok"


def test_an_operators_word_on_quiet_goes_first() -> None:
    known = facts(every(DAY, 10), quiet=2 * DAY, stale_after=DAY)
    assert judge_source(known, NOW).status == "stale"
    assert judge_source(replace(known, stale_after=timedelta(0)), NOW).status == "ok"


def failing(since: datetime, failures: int, **more: object) -> Facts:
    known = Facts(
        name="wire",
        last_success_at=since - HOUR,
        last_attempt_at=NOW,
        last_error="wire: the server answers 503.",
        failing_since=since,
        failures=failures,
    )
    return replace(known, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("since", "failures", "is_alarming"),
    [
        (NOW, 1, False),
        (NOW - 5 * HOUR, 2, False),
        (NOW - HOUR / 2, 20, False),  # a held edition, tried again every minute
        (NOW - HOUR, 3, True),
        (NOW - DAY, 2, True),
    ],
)
def test_errors_are_told_once_they_last(since: datetime, failures: int, is_alarming: bool) -> None:
    health = judge_source(failing(since, failures), NOW)
    assert (health.status, health.is_alarming) == ("failing", is_alarming)


def test_a_server_that_asked_to_wait_is_waited_for() -> None:
    health = judge_source(failing(NOW, 1, next_attempt_at=NOW + HOUR), NOW)
    assert (health.status, health.is_alarming) == ("waiting", False)
    assert "2026-11-23 07:00 UTC" in health.sentence


def tell(known: Facts) -> tuple[str, bool, Facts]:
    """Give the kind of the alarm, whether it is new, and what is known once it was told."""
    alarm = decide_alarm(known, judge_source(known, NOW))
    if alarm is None:
        return "", False, known
    return alarm.kind, alarm.is_new, replace(known, told=alarm.told)


def test_an_alarm_is_told_once_and_again_when_it_changes_or_is_over() -> None:
    kind, is_new, known = tell(failing(NOW - DAY, 5))
    assert (kind, is_new) == ("source_failing", True)
    again = replace(known, failures=6, last_error="wire: the server answers 502.")
    assert tell(again)[:2] == ("source_failing", False), "a number is no news"
    kind, is_new, known = tell(replace(known, last_error="wire: no such host."))
    assert (kind, is_new) == ("source_failing", True)
    kind, is_new, known = tell(facts(every(DAY, 10), quiet=5 * DAY, told=known.told))
    assert (kind, is_new) == ("source_stale", True)
    assert tell(known)[:2] == ("source_stale", False)
    once = replace(known, last_error="x.", failing_since=NOW, last_attempt_at=NOW, failures=1)
    assert tell(once) == ("", False, once), "one failure neither alarms nor clears"
    kind, is_new, known = tell(facts(every(DAY, 10), quiet=HOUR, told=known.told))
    assert (kind, is_new, known.told) == ("source_back", True, "")
    assert tell(known)[0] == ""


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (timedelta(seconds=5), "1 minute"),
        (timedelta(minutes=59), "59 minutes"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(hours=36), "36 hours"),
        (timedelta(days=7), "7 days"),
    ],
)
def test_spans_are_said_in_one_unit(span: timedelta, said: str) -> None:
    assert say_span(span) == said
