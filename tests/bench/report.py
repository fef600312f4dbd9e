"""Figures as Markdown, which is also what the screen shows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

from tests.bench.figures import Summary
from tests.bench.machine import Machine

_Column = tuple[str, Callable[[Summary], str]]


def build_report(
    summaries: Sequence[Summary],
    *,
    machine: Machine,
    versions: Mapping[str, str],
    reference: str,
) -> str:
    """Build the whole report: the machine, the contestants, a table for each setting."""
    return "\n".join(_build_lines(summaries, machine, versions, reference)) + "\n"


def _build_lines(
    summaries: Sequence[Summary], machine: Machine, versions: Mapping[str, str], reference: str
) -> Iterator[str]:
    yield "# Benchmarks"
    yield ""
    yield "Made by `python -m tests.bench`, which anyone can repeat. Every contestant sends the"
    yield "same message into Postfix's smtp-sink, in turn, round after round; figures are medians,"
    yield f'in brackets the slowest and the fastest round. "{reference} is" is how many times'
    yield "faster the product is, and how many times its CPU time the other takes, each the median"
    yield "of the ratios within a round. CPU is in seconds for 1,000 messages. smtp-sink is one"
    yield 'thread: where "sink busy" nears 100 % it is the sink that was measured.'
    yield ""
    yield f"- {machine.measured_at}; {machine.processor}, {machine.cores} cores; {machine.system}"
    yield f"- load before the start: {machine.load:.2f} (an idle machine has about 0)"
    yield f"- one fsync of this disk takes {machine.fsync_ms:.2f} ms"
    yield f"- Python {machine.python}"
    yield from (f"- {name}: {version}" for name, version in versions.items())
    for setting, group in groupby(summaries, key=lambda summary: summary.setting):
        yield ""
        yield f"## {setting.size_kb} KB, {setting.delay_ms} ms, {setting.connections} connections"
        yield ""
        yield from _build_table(list(group), _choose_columns(setting.delay_ms, reference))
    yield from _build_notes(summaries)


def _choose_columns(delay_ms: int, reference: str) -> list[_Column]:
    columns: list[_Column] = [
        ("", lambda s: s.contestant),
        ("messages/s", _format_rate),
        ("per connection", lambda s: f"{s.rate / s.setting.connections:,.1f}"),
        (f"{reference} is", lambda s: _format_ratio(s.rate_ratio)),
        ("CPU", lambda s: f"{s.cpu_per_thousand:.3f}"),
        ("CPU, times its", lambda s: _format_ratio(s.cpu_ratio)),
        ("CPU of the sink", lambda s: f"{s.sink_cpu_per_thousand:.3f}"),
        ("sink busy", lambda s: f"{s.sink_busy:.0%}"),
    ]
    if delay_ms:
        columns += [
            ("proxy busy", lambda s: f"{s.proxy_busy:.0%}"),
            ("round trips a message", lambda s: f"{s.round_trips_per_message:.2f}"),
        ]
    return columns


def _format_rate(summary: Summary) -> str:
    if summary.rounds == 1:
        return f"{summary.rate:,.0f}"
    return f"{summary.rate:,.0f} ({summary.lowest_rate:,.0f}–{summary.highest_rate:,.0f})"


def _format_ratio(ratio: float | None) -> str:
    if ratio is None:
        return "–"
    return f"{ratio:.2f} ×" if ratio < 10 else f"{ratio:.1f} ×"


def _build_table(summaries: Sequence[Summary], columns: Sequence[_Column]) -> Iterator[str]:
    rows = [[head for head, _ in columns]]
    rows += [[show(summary) for _, show in columns] for summary in summaries]
    widths = [max(3, *(len(row[n]) for row in rows)) for n in range(len(columns))]
    for number, row in enumerate(rows):
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        cells[0] = row[0].ljust(widths[0])
        yield f"| {' | '.join(cells)} |"
        if number == 0:
            rules = ["-" * (width - 1) + ":" for width in widths]
            yield f"| {' | '.join(['-' * widths[0], *rules[1:]])} |"


def _build_notes(summaries: Sequence[Summary]) -> Iterator[str]:
    telling = [summary for summary in summaries if summary.peak_mb]
    if telling:
        yield ""
        yield "## The product beside its rate"
        yield ""
        columns: list[_Column] = [
            ("", lambda s: s.contestant),
            ("KB", lambda s: str(s.setting.size_kb)),
            ("ms", lambda s: str(s.setting.delay_ms)),
            ("connections", lambda s: str(s.setting.connections)),
            ("enrolled in s", lambda s: f"{s.enrol_seconds:.2f}"),
            ("first message after s", lambda s: f"{s.first_message_seconds:.2f}"),
            ("most memory, MB", lambda s: f"{s.peak_mb:.0f}"),
        ]
        yield from _build_table(telling, columns)
