"""Charts of what became of an edition, as numbers that a template draws. Pure.

A chart is inline SVG that takes its colours from the style sheet, light and dark; what it shows
stands beside it as a table as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

BARS = 60
"""At most so many bars."""
_STEPS_MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 1440)
ENDS = ("accepted", "deferred", "failed", "in_doubt")
"""The outcomes of attempts, from the ground up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A span of time, and how many attempts ended in it."""

    begins_at: datetime
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())

    def stack(self, highest: int) -> list[tuple[str, float, float]]:
        """Give each part as outcome, top and height, in hundredths of the chart's height."""
        heights = [100 * self.counts.get(end, 0) / highest for end in ENDS]
        tops = [100 - reached for reached in accumulate(heights)]
        return [part for part in zip(ENDS, tops, heights, strict=True) if part[2]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeChart:
    """Attempts over time."""

    step_minutes: int
    bars: tuple[Bar, ...]

    @property
    def highest(self) -> int:
        """The most in one bar; 1 where there is none."""
        return max((bar.total for bar in self.bars), default=0) or 1

    @property
    def shown(self) -> tuple[Bar, ...]:
        """The bars in which anything ended."""
        return tuple(bar for bar in self.bars if bar.total)


def build_time_chart(minutes: Sequence[tuple[datetime, Mapping[str, int]]]) -> TimeChart:
    """Put minutes together to spans, so that there are at most `BARS` of them; empty ones too."""
    if not minutes:
        return TimeChart(step_minutes=1, bars=())
    first, last = minutes[0][0], minutes[-1][0]
    length = (last - first) // timedelta(minutes=1) + 1
    fitting = (step for step in _STEPS_MINUTES if length <= step * BARS)
    step = next(fitting, -(-length // BARS))
    spans = [Counter[str]() for _ in range(-(-length // step))]
    for minute, counts in minutes:
        spans[(minute - first) // timedelta(minutes=step)].update(counts)
    return TimeChart(
        step_minutes=step,
        bars=tuple(
            Bar(begins_at=first + timedelta(minutes=step * at), counts=counts)
            for at, counts in enumerate(spans)
        ),
    )


_CLASSES = (
    ("2", "2yz", "taken"),
    ("4", "4yz", "not now"),
    ("5", "5yz", "refused"),
    ("", "none", "no reply"),
)


def list_classes(replies: Mapping[str, int]) -> list[tuple[str, str, int, float]]:
    """Give replies by class: class, what it means, how many, and the share in hundredths."""
    total = sum(replies.values()) or 1
    return [
        (name, meaning, replies[digit], 100 * replies[digit] / total)
        for digit, name, meaning in _CLASSES
        if replies.get(digit)
    ]
