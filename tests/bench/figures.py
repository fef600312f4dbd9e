"""What a run gave, and what several of them say together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Setting:
    """What every contestant is asked to do alike, and who takes the mail.

    A delay before smtp-sink is the proxy's; the chunking sink has one of its own.
    """

    size_kb: int
    delay_ms: int
    connections: int
    sink: Literal["smtp-sink", "chunking sink"] = "smtp-sink"

    def __str__(self) -> str:
        return f"{self.size_kb} KB, {self.delay_ms} ms, {self.connections} connections, {self.sink}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One contestant's one run."""

    contestant: str
    setting: Setting
    round: int
    messages: int
    seconds: float
    cpu_seconds: float
    """Of the sending process, its threads and children, while the clock ran."""
    sink_cpu_seconds: float = 0.0
    proxy_cpu_seconds: float = 0.0
    round_trips: int = 0
    peak_mb: float = 0.0
    """The most memory the sender had; 0 where it does not tell."""

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def rate_per_connection(self) -> float:
        """Messages a second over each connection."""
        return self.rate / self.setting.connections

    @property
    def round_trips_per_message(self) -> float:
        """How often a message had to wait for the path; greetings and partings are shared out."""
        return self.round_trips / self.messages

    @property
    def sink_cpu_per_thousand(self) -> float:
        """CPU seconds of the sink for 1,000 messages."""
        return 1000 * self.sink_cpu_seconds / self.messages

    @property
    def cpu_per_thousand(self) -> float:
        """CPU seconds of the sender for 1,000 messages."""
        return 1000 * self.cpu_seconds / self.messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One contestant in one setting: medians over the rounds."""

    contestant: str
    setting: Setting
    rounds: int
    rate: float
    lowest_rate: float
    highest_rate: float
    cpu_per_thousand: float
    sink_cpu_per_thousand: float
    sink_busy: float
    """The part of the time for which the sink, a single thread, was at work: near 1 it is the sink
    that was measured."""
    proxy_busy: float
    round_trips_per_message: float
    peak_mb: float
    rate_ratio: float | None
    """How many times faster the reference is: the median of the ratios within each round."""
    cpu_ratio: float | None
    """How many times the reference's CPU time it takes."""


def summarize(runs: Iterable[Run], reference: str) -> list[Summary]:
    """Summarize runs by setting and contestant, in the order in which they first came."""
    groups: dict[tuple[Setting, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.setting, run.contestant), []).append(run)
    return [
        _summarize_group(group, groups.get((setting, reference), ()))
        for (setting, _), group in groups.items()
    ]


def _summarize_group(runs: Sequence[Run], references: Sequence[Run]) -> Summary:
    by_round = {run.round: run for run in references}
    pairs = [(by_round[run.round], run) for run in runs if run.round in by_round]
    rates = [run.rate for run in runs]
    return Summary(
        contestant=runs[0].contestant,
        setting=runs[0].setting,
        rounds=len(runs),
        rate=median(rates),
        lowest_rate=min(rates),
        highest_rate=max(rates),
        cpu_per_thousand=median(run.cpu_per_thousand for run in runs),
        sink_cpu_per_thousand=median(run.sink_cpu_per_thousand for run in runs),
        sink_busy=median(run.sink_cpu_seconds / run.seconds for run in runs),
        proxy_busy=median(run.proxy_cpu_seconds / run.seconds for run in runs),
        round_trips_per_message=median(run.round_trips_per_message for run in runs),
        peak_mb=median(run.peak_mb for run in runs),
        rate_ratio=median(mine.rate / run.rate for mine, run in pairs) if pairs else None,
        cpu_ratio=median(run.cpu_per_thousand / mine.cpu_per_thousand for mine, run in pairs)
        if pairs
        else None,
    )
