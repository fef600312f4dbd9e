"""The stage, and the table that is printed at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.stage import Case, Observed, Stage

_LINE = "fault matrix"
"""What a test's report calls its line: so it arrives from whichever process ran the test."""
_FORM = "{:>3}  {:<44} {:<34} {:<44} {:>5} {:>6}  {}"

Report = Callable[..., None]


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Give what takes a case's line for the table."""

    def add(
        case: Case, observed: Observed, grown: int, complaints: list[str], *, pipelining: bool
    ) -> None:
        mark = " (pipelining)" if pipelining and len(case.pipelining) > 1 else ""
        line = (
            case.row,
            f"{case.behaviour}{mark}",
            case.required,
            observed.describe(),
            f"{observed.seconds:.1f}",
            f"{grown / 1000:.0f}",
            "FAIL" if complaints else "pass",
        )
        request.node.user_properties.append((_LINE, line))

    return add


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("faults"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines: list[tuple[Any, ...]] = [
        tuple(value)
        for reports in terminalreporter.stats.values()
        for told in reports
        if getattr(told, "when", "") == "call"
        for name, value in told.user_properties
        if name == _LINE
    ]
    if not lines:
        return
    terminalreporter.section("fault matrix")
    heads = ("row", "the relay", "required", "observed", "s", "KB", "")
    terminalreporter.write_line(_FORM.format(*heads))
    for line in sorted(lines, key=lambda line: line[0]):
        terminalreporter.write_line(_FORM.format(*line))
    passed = sum(line[-1] == "pass" for line in lines)
    rows = len({line[0] for line in lines})
    terminalreporter.write_line(f"{passed} of {len(lines)} pass; {rows} rows of the matrix")
