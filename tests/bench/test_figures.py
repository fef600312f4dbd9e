from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.contestants import Contestant
from tests.bench.figures import Run, Setting, summarize
from tests.bench.machine import Machine
from tests.bench.race import Plan
from tests.bench.report import build_report

SETTING = Setting(size_kb=46, delay_ms=20, connections=10)


def make_run(contestant: str, number: int, seconds: float, cpu_seconds: float = 0.5) -> Run:
    return Run(
        contestant=contestant,
        setting=SETTING,
        round=number,
        messages=1000,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        sink_cpu_seconds=0.25,
        round_trips=2000,
    )


def test_medians_and_the_ratios_of_runs_side_by_side() -> None:
    # The machine halves its speed in the second round; a ratio of medians would not notice.
    runs = [
        make_run("ours", 1, 1.0, 0.1),
        make_run("theirs", 1, 4.0, 0.3),
        make_run("ours", 2, 2.0, 0.1),
        make_run("theirs", 2, 8.0, 0.4),
        make_run("ours", 3, 1.0, 0.1),
        make_run("theirs", 3, 5.0, 0.5),
    ]
    ours, theirs = summarize(runs, "ours")
    assert (ours.rate, ours.lowest_rate, ours.highest_rate) == (1000, 500, 1000)
    assert (ours.rate_ratio, ours.cpu_ratio) == (1, 1)
    assert theirs.rate == 200
    assert theirs.rate_ratio == 4
    assert theirs.cpu_ratio == pytest.approx(4)
    assert theirs.cpu_per_thousand == 0.4
    assert theirs.sink_busy == 0.05
    assert theirs.round_trips_per_message == 2


def test_a_round_that_failed_for_one_is_no_pair() -> None:
    runs = [make_run("ours", 1, 1.0), make_run("theirs", 1, 4.0), make_run("theirs", 2, 40.0)]
    _, theirs = summarize(runs, "ours")
    assert (theirs.rounds, theirs.rate_ratio) == (2, 4)


def test_without_the_reference_or_in_another_setting_there_is_no_ratio() -> None:
    elsewhere = replace(make_run("ours", 1, 1.0), setting=replace(SETTING, delay_ms=80))
    for summary in summarize([make_run("theirs", 1, 1.0), elsewhere], "ours")[:1]:
        assert (summary.rate_ratio, summary.cpu_ratio) == (None, None)


MACHINE = Machine(
    measured_at="2026-11-23 07:00 UTC",
    processor="a processor",
    cores=2,
    system="a system",
    python="3.11",
    load=0.1,
    fsync_ms=3,
)


def test_the_report_is_a_table_of_one_width() -> None:
    summaries = summarize([make_run("ours", 1, 1.0), make_run("the others", 1, 40.0)], "ours")
    report = build_report(
        {"near": summaries},
        (),
        (),
        extent="1 round",
        machine=MACHINE,
        versions={"ours": "1", "the others": "2"},
        reference="ours",
    )
    table = [line for line in report.splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert len({len(line) for line in table}) == 1
    assert "| the others |" in table[3]
    assert " 40.0 × |" in table[3]
    assert "## near: 46 KB, 20 ms, 10 connections, smtp-sink" in report


@pytest.mark.parametrize(
    ("share", "delay_ms", "connections", "messages"),
    [
        (1.0, 0, 10, 20_000),
        (0.1, 0, 10, 2_000),
        (0.001, 0, 10, 500),
        (1.0, 20, 10, 4_000),
        (0.1, 20, 100, 20_000),
        (1.0, 80, 10, 3_000),
    ],
)
def test_runs_last_seconds(share: float, delay_ms: int, connections: int, messages: int) -> None:
    contestant = Contestant(name="ours", command=(), version="1", share=share)
    setting = Setting(size_kb=46, delay_ms=delay_ms, connections=connections)
    plan = Plan(contestants={}, rounds=1, messages=20_000, folder=Path())
    assert plan.count_messages(contestant, setting) == messages
