"""How fast one destination may be given messages: the rate of a gate."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.delivery.pacing import Gate


def gate(rate: float) -> Gate:
    return Gate(10, rate, tolerance=5, pause=30, longest_pause=600)


def claim(at: Gate, now: float) -> float:
    """Wait for the next start and take it; return how many seconds from `now` it lay."""
    start = max(at.ready_at(now), now)
    at.claim_start(start)
    return start - now


def test_without_a_rate_nothing_waits() -> None:
    free = gate(0)
    assert [claim(free, now) for now in (5.0, 5.0, 5.0)] == [0, 0, 0]


def test_starts_are_spaced_evenly() -> None:
    spaced = gate(10)
    assert [round(claim(spaced, 100.0), 6) for _ in range(4)] == [0, 0.1, 0.2, 0.3]
    assert claim(spaced, 100.35) == pytest.approx(0.05)


def test_idle_time_is_not_saved_up() -> None:
    spaced = gate(10)
    claim(spaced, 100.0)
    assert [round(claim(spaced, 200.0), 6) for _ in range(3)] == [0, 0.1, 0.2]


@given(st.floats(0.1, 1000), st.lists(st.floats(0, 2), min_size=2, max_size=40))
def test_no_second_sees_more_than_the_rate(rate: float, gaps: list[float]) -> None:
    spaced, now, starts = gate(rate), 1000.0, []
    for gap in gaps:
        now += gap
        delay = claim(spaced, now)
        assert delay >= 0
        starts.append(now + delay)
    for earlier, later in pairwise(starts):
        assert later - earlier >= 1 / rate - 1e-6
