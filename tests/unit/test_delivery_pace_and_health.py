"""How fast, and how long to put up with a relay."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.delivery.health import MAX_LOSSES_IN_A_ROW, PATIENCE_SECONDS, Health
from newsletter.delivery.pacing import Pace


def test_without_a_rate_nothing_waits() -> None:
    pace = Pace(0)
    assert [pace.claim(now) for now in (5.0, 5.0, 5.0)] == [0, 0, 0]


def test_starts_are_spaced_evenly() -> None:
    pace = Pace(10)
    assert [round(pace.claim(100.0), 6) for _ in range(4)] == [0, 0.1, 0.2, 0.3]
    assert pace.claim(100.35) == pytest.approx(0.05)


def test_idle_time_is_not_saved_up() -> None:
    pace = Pace(10)
    pace.claim(100.0)
    assert [round(pace.claim(200.0), 6) for _ in range(3)] == [0, 0.1, 0.2]


@given(st.floats(0.1, 1000), st.lists(st.floats(0, 2), min_size=2, max_size=40))
def test_no_second_sees_more_than_the_rate(rate: float, gaps: list[float]) -> None:
    pace, now, starts = Pace(rate), 1000.0, []
    for gap in gaps:
        now += gap
        delay = pace.claim(now)
        assert delay >= 0
        starts.append(now + delay)
    for earlier, later in pairwise(starts):
        assert later - earlier >= 1 / rate - 1e-6


def test_a_relay_that_never_answered_is_reported_at_once() -> None:
    assert Health().unreachable(0.0) is None


def test_a_relay_that_worked_is_given_time() -> None:
    health = Health()
    health.opened()
    health.closed()
    pauses, now = [], 1000.0
    while (pause := health.unreachable(now)) is not None:
        pauses.append(pause)
        now += pause
    assert now - 1000.0 > PATIENCE_SECONDS
    assert pauses == sorted(pauses)
    assert pauses[0] == 0.5
    assert max(pauses) == 30.0


def test_coming_back_resets_the_patience() -> None:
    health = Health()
    health.opened()
    health.closed()
    assert health.unreachable(0.0) == 0.5
    health.opened()
    health.closed()
    assert health.unreachable(PATIENCE_SECONDS * 2) == 0.5


def test_a_relay_that_is_only_full_is_never_given_up() -> None:
    health = Health()
    health.opened()
    for now in range(0, int(PATIENCE_SECONDS) * 3, 10):
        assert health.unreachable(float(now)) is not None


def test_the_patience_begins_when_the_last_connection_has_gone() -> None:
    health = Health()
    health.opened()
    assert health.unreachable(0.0) is not None
    health.closed()
    assert health.unreachable(PATIENCE_SECONDS * 2) is not None
    assert health.unreachable(PATIENCE_SECONDS * 3.1) is None


def test_losses_without_one_acceptance_are_too_many() -> None:
    health = Health()
    assert [health.lost() for _ in range(MAX_LOSSES_IN_A_ROW)].count(True) == 1
    health.accepted()
    assert not any(health.lost() for _ in range(MAX_LOSSES_IN_A_ROW - 1))
    assert health.lost()


def test_the_more_connections_the_more_may_break_at_once() -> None:
    health = Health(50)
    assert not any(health.lost() for _ in range(99))
    assert health.lost()
