"""Charts: minutes become few bars, nothing is lost, and each bar fits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from newsletter.web.console.charts import BARS, ENDS, build_time_chart, list_classes

START = datetime(2026, 11, 23, 7, tzinfo=UTC)
COUNTS = st.dictionaries(st.sampled_from(ENDS), st.integers(1, 10**6), min_size=1)


@given(st.dictionaries(st.integers(0, 200_000), COUNTS, min_size=1, max_size=50))
def test_every_attempt_is_in_one_bar(counted: dict[int, dict[str, int]]) -> None:
    minutes = [(START + timedelta(minutes=m), counted[m]) for m in sorted(counted)]
    chart = build_time_chart(minutes)
    assert 1 <= len(chart.bars) <= BARS
    assert sum(bar.total for bar in chart.bars) == sum(sum(c.values()) for c in counted.values())
    assert chart.bars[0].begins_at == minutes[0][0]
    for bar in chart.shown:
        parts = bar.stack(chart.highest)
        assert all(top >= -1e-6 and height > 0 for _, top, height in parts)
        assert abs(parts[0][1] + parts[0][2] - 100) < 1e-6, "the first stands on the ground"


def test_a_pause_is_seen_as_one() -> None:
    chart = build_time_chart(
        [(START, {"accepted": 5}), (START + timedelta(minutes=3), {"failed": 1})]
    )
    assert [bar.total for bar in chart.bars] == [5, 0, 0, 1]
    assert (chart.step_minutes, chart.highest) == (1, 5)
    assert chart.bars[3].stack(5) == [("failed", 80.0, 20.0)]
    assert build_time_chart([]).bars == ()


def test_replies_are_shares_of_all() -> None:
    assert list_classes({"5": 1, "2": 3}) == [
        ("2yz", "taken", 3, 75.0),
        ("5yz", "refused", 1, 25.0),
    ]
    assert list_classes({}) == []
