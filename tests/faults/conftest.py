"""The stage, and the table that is printed at the end."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.faults.stage import Case, Observed, Stage


@dataclass(slots=True)
class Line:
    """One case as it was played."""

    case: Case
    observed: Observed
    grown: int
    passed: bool
    pipelining: bool


@dataclass(slots=True)
class Report:
    """What was played."""

    lines: list[Line] = field(default_factory=list)

    def add(
        self,
        case: Case,
        observed: Observed,
        grown: int,
        complaints: list[str],
        *,
        pipelining: bool,
    ) -> None:
        self.lines.append(Line(case, observed, grown, not complaints, pipelining))


REPORT = pytest.StashKey[Report]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REPORT] = Report()


@pytest.fixture
def report(pytestconfig: pytest.Config) -> Report:
    return pytestconfig.stash[REPORT]


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("faults"))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    lines = config.stash[REPORT].lines
    if not lines:
        return
    terminalreporter.section("fault matrix")
    form = "{:>3}  {:<44} {:<34} {:<44} {:>5} {:>6}  {}"
    heads = ("row", "the relay", "required", "observed", "s", "KB", "")
    terminalreporter.write_line(form.format(*heads))
    for line in sorted(lines, key=lambda line: line.case.row):
        case, observed = line.case, line.observed
        mark = " (pipelining)" if line.pipelining and len(case.pipelining) > 1 else ""
        terminalreporter.write_line(
            form.format(
                case.row,
                f"{case.behaviour}{mark}",
                case.required,
                observed.describe(),
                f"{observed.seconds:.1f}",
                f"{line.grown / 1000:.0f}",
                "pass" if line.passed else f"open: {case.not_yet}" if case.not_yet else "FAIL",
            )
        )
    passed = sum(line.passed for line in lines)
    rows = len({line.case.row for line in lines})
    terminalreporter.write_line(f"{passed} of {len(lines)} pass; {rows} rows of the matrix")
