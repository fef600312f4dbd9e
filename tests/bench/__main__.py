"""`python -m tests.bench`: the sender side by side with its peers, and what is claimed of it."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench.audience import AudienceRun, run_audience
from tests.bench.claims import CLAIMS, SCENARIOS, Scenario, judge_claims
from tests.bench.contestants import (
    CACHE,
    POSTGRESQL_MEND,
    VARIANTS,
    Contestant,
    find_contestants,
    find_program,
    read_postfix_version,
    read_postgresql_version,
)
from tests.bench.figures import Run, summarize
from tests.bench.machine import Machine, read_machine
from tests.bench.product import build_message
from tests.bench.race import Plan, run_scenario
from tests.bench.report import build_report
from tests.postgres import Server, find_programs

_POSTGRESQL = {"shared_buffers": "512MB", "max_wal_size": "4GB"}
"""What anybody would set who has a million readers; the rest is as it comes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked, print the report, and give the exit code."""
    options = _parse(arguments)
    if find_program("smtp-sink") is None:
        _say("There is no smtp-sink, into which everybody sends; apt-get install postfix.")
        return 1
    scenarios = [each for each in SCENARIOS if each.name in options.only]
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder, _postgresql() as server:
        runs, contestants, machine = _measure(options, scenarios, server, Path(folder))
    races = {name: [r for r in found if isinstance(r, Run)] for name, found in runs.items()}
    versions = {each.name: each.version for each in contestants}
    versions["smtp-sink"] = f"Postfix {read_postfix_version()}"
    if server:
        told = ", ".join(f"{name} {value}" for name, value in _POSTGRESQL.items())
        versions["PostgreSQL"] = f"{read_postgresql_version()}, {told}"
    reference = next(iter(VARIANTS))
    audience = [run for found in runs.values() for run in found if isinstance(run, AudienceRun)]
    enough: dict[str, Sequence[Any]] = dict(races)
    enough["audience"] = [run for run in audience if run.readers >= _WHOLE["readers"]]
    report = build_report(
        {name: summarize(found, reference) for name, found in races.items()},
        audience,
        judge_claims([c for c in CLAIMS if c.scenario in options.only], enough),
        extent=f"{options.rounds} rounds, at most {options.messages:,} messages in a run",
        machine=machine,
        versions=versions,
        reference=reference,
    )
    print(report, end="")
    if options.markdown:
        options.markdown.write_text(report)
    if options.json:
        options.json.write_text(_dump(machine, versions, runs))
    wanted = sum(len(each.contestants) for each in scenarios) * options.rounds
    return 0 if sum(map(len, runs.values())) == wanted else 1


def _measure(
    options: argparse.Namespace, scenarios: Sequence[Scenario], server: str, folder: Path
) -> tuple[dict[str, list[Run | AudienceRun]], list[Contestant], Machine]:
    wanted = {name for each in scenarios for name in each.contestants}
    contestants, missing = find_contestants(sorted(wanted), server)
    for each in missing:
        _say(f"{each.name} is left out: {each.mend}")
    plan = Plan(
        contestants={each.name: each for each in contestants},
        rounds=options.rounds,
        messages=options.messages,
        folder=folder,
    )
    machine = read_machine(folder)
    runs: dict[str, list[Run | AudienceRun]] = {}
    with _stoppable():
        for scenario in scenarios:
            found = runs.setdefault(scenario.name, [])
            if scenario.setting is None:
                servers = {"sqlite": ""} | ({"postgresql": server} if server else {})
                found.extend(
                    run_audience(
                        servers,
                        rounds=options.rounds,
                        readers=options.readers,
                        folder=folder,
                        say=_say,
                    )
                )
                continue
            message = build_message(scenario.setting.size_kb * 1024)
            plan.message_path(scenario.setting).write_bytes(message)
            for run in run_scenario(plan, scenario.setting, scenario.contestants, _say):
                found.append(run)
    return runs, contestants, machine


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        _say("Stopped; this is what there is.")


@contextlib.contextmanager
def _postgresql() -> Iterator[str]:
    """Run a PostgreSQL server of the benchmark's own; give its URL, or "" without one."""
    if find_programs() is None:
        _say(f"PostgreSQL is left out: {POSTGRESQL_MEND}")
        yield ""
        return
    with Server(durable=True, settings=_POSTGRESQL) as server:
        yield server.url


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [each.name for each in SCENARIOS]
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=names, metavar="SCENARIO",
        help=f"of {', '.join(names)}",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, help="how often each runs (3)")
    parser.add_argument("--messages", type=int, help="most messages in a run (20000)")
    parser.add_argument("--readers", type=int, help="of a large audience (1000000)")
    parser.add_argument("--quick", action="store_true", help="other defaults: done in two minutes")
    parser.add_argument("--json", type=Path, help="write every run into this file")
    parser.add_argument("--markdown", type=Path, help="write the report into this file as well")
    options = parser.parse_args(arguments)
    defaults = _QUICK if options.quick else _WHOLE
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


_WHOLE: dict[str, Any] = {
    "only": [each.name for each in SCENARIOS],
    "rounds": 3,
    "messages": 20_000,
    "readers": 1_000_000,
}
_QUICK: dict[str, Any] = {
    "only": ["loopback", "near", "windowed", "audience"],
    "rounds": 1,
    "messages": 1_000,
    "readers": 50_000,
}


def _dump(machine: Machine, versions: dict[str, str], runs: dict[str, Any]) -> str:
    document = {
        "machine": asdict(machine),
        "versions": versions,
        "runs": {name: [asdict(run) for run in found] for name, found in runs.items()},
    }
    return json.dumps(document, indent=1) + "\n"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
