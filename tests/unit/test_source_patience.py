"""How long a source that failed is left alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from newsletter.briefs.patience import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    build_spread,
    decide_next_attempt,
)

NOW = datetime(2026, 11, 2, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("failures", "minutes"),
    [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30), (1_000_000, 30)],
)
def test_the_pause_doubles_up_to_a_ceiling(failures: int, minutes: int) -> None:
    pause = timedelta(minutes=minutes)
    assert decide_next_attempt(failures, NOW, 0.0) == NOW + pause
    assert decide_next_attempt(failures, NOW, 1.0) == NOW + pause / 2


def test_the_first_pause_is_over_when_an_edition_is_tried_again() -> None:
    assert FIRST_PAUSE <= timedelta(minutes=1) < LONGEST_PAUSE


def test_sources_that_fell_together_are_asked_apart() -> None:
    spreads = [build_spread(f"feed {number}", 3) for number in range(200)]
    assert all(0 <= spread < 1 for spread in spreads)
    tenths = [sum(int(spread * 10) == n for spread in spreads) for n in range(10)]
    assert min(tenths) >= 5
    assert build_spread("feed 1", 3) == spreads[1]
    assert build_spread("feed 1", 4) != spreads[1]
