"""What is claimed is judged by what was measured, and by nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench.claims import (
    CLAIMS,
    SCENARIOS,
    Check,
    Claim,
    Figure,
    Median,
    Ratio,
    ShareOfCeiling,
    Worst,
    judge_claims,
)
from tests.bench.contestants import _FINDERS
from tests.bench.figures import Run, Setting
from tests.bench.report import build_report
from tests.bench.test_figures import MACHINE

SETTING = Setting(size_kb=46, delay_ms=0, connections=10)


def make_run(contestant: str, number: int, rate: float) -> Run:
    return Run(
        contestant=contestant,
        setting=SETTING,
        round=number,
        messages=1000,
        seconds=1000 / rate,
        cpu_seconds=0.2,
        sink_cpu_seconds=0.1,
    )


RUNS = [
    *(make_run("ours", 1, 1000), make_run("theirs", 1, 2000)),
    *(make_run("ours", 2, 500), make_run("theirs", 2, 500)),  # a slower machine in this round
    *(make_run("ours", 3, 1000), make_run("theirs", 3, 1250)),
    make_run("theirs", 4, 9999),
]


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        (Median("ours", "rate"), 1000),
        (Worst("rate"), 9999),
        (Ratio("ours", "theirs", "rate"), 0.8),
        (Ratio("ours", "nobody", "rate"), None),
        (Median("nobody", "rate"), None),
    ],
)
def test_figures_are_medians_and_ratios_those_within_rounds(
    figure: Figure, value: float | None
) -> None:
    assert figure.measure(RUNS) == pytest.approx(value)


def test_the_ceiling_of_signed_mail_is_what_two_cores_leave() -> None:
    signatures = replace(make_run("alone", 1, 2000), cpu_seconds=1.0, sink_cpu_seconds=0)
    # 1 ms a signature on 2 cores, 0.2 ms the sender and 0.1 ms the sink: 1,538 a second.
    runs = [make_run("signed", 1, 769), make_run("plain", 1, 4000), signatures]
    share = ShareOfCeiling("signed", "plain", "alone").measure(runs)
    assert share == pytest.approx(0.5, rel=0.01)


def test_one_check_of_several_is_enough_and_what_was_not_measured_is_not_judged() -> None:
    fast = Check(Median("ours", "rate", "/s"), "≥", 3000)
    near = Check(Ratio("ours", "theirs", "rate"), "≥", 0.5)
    few = Check(Median("ours", "rate", "/s"), "≤", 999)
    claims = [
        Claim("either", "here", (fast, near)),
        Claim("neither", "here", (fast, few)),
        Claim("elsewhere", "there", (fast,)),
    ]
    verdicts = judge_claims(claims, {"here": RUNS})
    assert [verdict.is_met for verdict in verdicts] == [True, False, None]
    report = build_report(
        {}, (), verdicts, extent="", machine=MACHINE, versions={}, reference="ours"
    )
    told = [line for line in report.splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in told[1:]]
    assert cells == [
        ["either", "≥ 3,000 /s or ≥ 0.5 ×", "1,000 /s or 0.80 ×", "yes"],
        ["neither", "≥ 3,000 /s or ≤ 999 /s", "1,000 /s or 1,000 /s", "**no**"],
        ["elsewhere", "≥ 3,000 /s", "–", "–"],
    ]


def test_every_claim_is_about_somebody_who_runs_where_it_says() -> None:
    scenarios = {scenario.name: scenario for scenario in SCENARIOS}
    for claim in CLAIMS:
        running = scenarios[claim.scenario].contestants
        for check in claim.checks:
            for field in ("contestant", "to", "unsigned", "signatures"):
                assert getattr(check.figure, field, running[0]) in running
    for scenario in SCENARIOS:
        if scenario.setting is not None:
            assert set(scenario.contestants) <= _FINDERS.keys()
