"""Figures as Markdown, which is also what the screen shows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from tests.bench.audience import AudienceRun
from tests.bench.claims import Check, Verdict
from tests.bench.figures import Summary
from tests.bench.machine import Machine

T = TypeVar("T")
_Columns = Sequence[tuple[str, Callable[[T], str]]]


def build_report(
    summaries: Mapping[str, Sequence[Summary]],
    audience: Sequence[AudienceRun],
    verdicts: Sequence[Verdict],
    *,
    extent: str,
    machine: Machine,
    versions: Mapping[str, str],
    reference: str,
) -> str:
    """Build the whole report: the machine, the contestants, each scenario, the claims."""
    lines = _build_lines(summaries, audience, verdicts, extent, machine, versions, reference)
    return "\n".join(lines) + "\n"


def _build_lines(
    summaries: Mapping[str, Sequence[Summary]],
    audience: Sequence[AudienceRun],
    verdicts: Sequence[Verdict],
    extent: str,
    machine: Machine,
    versions: Mapping[str, str],
    reference: str,
) -> Iterator[str]:
    yield from _INTRODUCTION.format(reference=reference).splitlines()
    yield f"- {machine.measured_at}; {machine.processor}, {machine.cores} cores; {machine.system}"
    yield f"- {extent}"
    yield f"- load before the start: {machine.load:.2f} (an idle machine has about 0)"
    yield f"- one fsync of this disk takes {machine.fsync_ms:.2f} ms"
    yield f"- Python {machine.python}"
    yield from (f"- {name}: {version}" for name, version in versions.items())
    for name, group in summaries.items():
        if group:
            yield from ("", f"## {name}: {group[0].setting}", "")
            yield from _build_table(group, _choose_columns(group[0].setting.delay_ms, reference))
    yield from _compare_ways(summaries.get("near", ()), summaries.get("windowed", ()))
    if audience:
        yield from ("", f"## audience: {audience[0].readers:,} readers", "")
        yield from _build_table(audience, _AUDIENCE)
    if verdicts:
        yield from ("", "## What is claimed", "")
        yield from _build_table(verdicts, _CLAIMS)


def _compare_ways(proxied: Sequence[Summary], delayed: Sequence[Summary]) -> Iterator[str]:
    """Lay side by side what the same contestants did over both ways to have a delay."""
    rates = {summary.contestant: summary.rate for summary in delayed}
    both = [summary for summary in proxied if summary.contestant in rates]
    if both:
        yield from ("", "## Both ways to have a delay: messages/s", "")
        columns: _Columns[Summary] = (
            ("", lambda s: s.contestant),
            ("proxy and smtp-sink", lambda s: f"{s.rate:,.0f}"),
            ("the sink's own delay", lambda s: f"{rates[s.contestant]:,.0f}"),
        )
        yield from _build_table(both, columns)


_INTRODUCTION = """\
# Benchmarks

Made by `python -m tests.bench`, which anyone can repeat. In every scenario each contestant sends
the same message in turn, round after round; figures are medians, in brackets the slowest and
the fastest round. "{reference} is" is how many times faster the product is, and "CPU, times
its" how many times its CPU time the other takes, each the median of the ratios within a round.
CPU is in seconds for 1,000 messages.

Mail goes into Postfix's smtp-sink, behind a proxy where there is a delay, or into the chunking
sink, which is the project's own and delays its answers itself. Both sinks are one thread: where
"sink busy" nears 100 % it is the sink that was measured, and all share the cores named here.

"""
_AUDIENCE: _Columns[AudienceRun] = (
    ("", lambda run: run.contestant),
    ("round", lambda run: str(run.round)),
    ("stored in s", lambda run: f"{run.import_seconds:.2f}"),
    ("enrolled in s", lambda run: f"{run.enrol_seconds:.2f}"),
    ("first message after a kill in s", lambda run: f"{run.resume_seconds:.2f}"),
    ("most memory of a sender, MB", lambda run: f"{run.peak_mb:.0f}"),
)
_CLAIMS: _Columns[Verdict] = (
    ("claim", lambda verdict: verdict.claim.sentence),
    ("target", lambda verdict: " or ".join(check.target for check in verdict.claim.checks)),
    ("measured", lambda verdict: " or ".join(_show_measured(verdict))),
    ("met", lambda verdict: {True: "yes", False: "**no**", None: "–"}[verdict.is_met]),
)


def _show_measured(verdict: Verdict) -> Iterator[str]:
    for check, value in zip(verdict.claim.checks, verdict.measured, strict=True):
        yield _show_value(check, value)


def _show_value(check: Check, value: float | None) -> str:
    if value is None:
        return "–"
    shown = (
        f"{value:,.2f}" if abs(value) < 10 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
    )
    return f"{shown} {check.figure.unit}".rstrip()


def _choose_columns(delay_ms: int, reference: str) -> _Columns[Summary]:
    columns: list[tuple[str, Callable[[Summary], str]]] = [
        ("", lambda s: s.contestant),
        ("messages/s", _format_rate),
        ("per connection", lambda s: f"{s.rate / s.setting.connections:,.1f}"),
        (f"{reference} is", lambda s: _format_ratio(s.rate_ratio)),
        ("CPU", lambda s: f"{s.cpu_per_thousand:.3f}"),
        ("CPU, times its", lambda s: _format_ratio(s.cpu_ratio)),
        ("CPU of the sink", lambda s: f"{s.sink_cpu_per_thousand:.3f}"),
        ("sink busy", lambda s: f"{s.sink_busy:.0%}"),
        ("most MB", lambda s: f"{s.peak_mb:.0f}" if s.peak_mb else "–"),
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


def _build_table(rows: Sequence[T], columns: _Columns[T]) -> Iterator[str]:
    cells = [[head for head, _ in columns]]
    cells += [[show(row) for _, show in columns] for row in rows]
    widths = [max(3, *(len(line[n]) for line in cells)) for n in range(len(columns))]
    for number, line in enumerate(cells):
        shown = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
        shown[0] = line[0].ljust(widths[0])
        yield f"| {' | '.join(shown)} |"
        if number == 0:
            rules = ["-" * (width - 1) + ":" for width in widths]
            yield f"| {' | '.join(['-' * widths[0], *rules[1:]])} |"
