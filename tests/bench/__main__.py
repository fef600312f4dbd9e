"""`python -m tests.bench`: the product's sender side by side with its peers."""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

from tests.bench.contestants import (
    CACHE,
    VARIANTS,
    Contestant,
    find_contestants,
    find_program,
    read_postfix_version,
)
from tests.bench.figures import Run, Setting, summarize
from tests.bench.machine import Machine, read_machine
from tests.bench.product import build_message
from tests.bench.race import Plan, run_race
from tests.bench.report import build_report


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked, print the report, and give the exit code."""
    options = _parse(arguments)
    if find_program("smtp-sink") is None:
        _say("There is no smtp-sink, into which everybody sends; apt-get install postfix.")
        return 1
    try:
        contestants, missing = find_contestants(options.only)
    except ValueError as error:
        _say(f"--only: {error}")
        return 2
    for each in missing:
        _say(f"{each.name} is left out: {each.mend}")
    CACHE.mkdir(parents=True, exist_ok=True)
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        plan = Plan(
            settings=[
                Setting(size_kb=size_kb, delay_ms=delay_ms, connections=connections)
                for size_kb, delay_ms, connections in product(
                    options.sizes, options.delays, options.connections
                )
            ],
            contestants=[_with_audience(each, options.audience) for each in contestants],
            rounds=options.rounds,
            messages=options.messages,
            folder=Path(folder),
        )
        for setting in plan.settings:
            plan.message_path(setting).write_bytes(build_message(setting.size_kb * 1024))
        machine = read_machine(plan.folder)
        try:
            runs.extend(run_race(plan, _say))
        except KeyboardInterrupt:
            _say("Stopped; this is what there is.")
    versions = {each.name: each.version for each in contestants}
    versions["smtp-sink"] = f"Postfix {read_postfix_version()}"
    reference = next(iter(VARIANTS))
    report = build_report(
        summarize(runs, reference), machine=machine, versions=versions, reference=reference
    )
    print(report, end="")
    if options.markdown:
        options.markdown.write_text(report)
    if options.json:
        options.json.write_text(_dump(machine, versions, runs))
    return 0 if len(runs) == len(plan.settings) * plan.rounds * len(contestants) else 1


def _with_audience(contestant: Contestant, audience: int) -> Contestant:
    if contestant.name not in VARIANTS or not audience:
        return contestant
    return replace(contestant, command=(*contestant.command, f"--audience={audience}"))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--sizes", type=_numbers, help="of a message, in KB (4,46,90)")
    parser.add_argument("--delays", type=_numbers, help="round trips, in ms (0,20,80)")
    parser.add_argument("--connections", type=_numbers, help="at once (10,50,100)")
    parser.add_argument("--messages", type=int, help="most messages in a run (20000)")
    parser.add_argument("--rounds", type=int, help="how often each runs (3)")
    parser.add_argument("--audience", type=int, default=0, help="readers enrolled, if more")
    parser.add_argument("--only", type=_names, default=(), help="contestants, by name")
    parser.add_argument("--quick", action="store_true", help="other defaults: done in a minute")
    parser.add_argument("--json", type=Path, help="write every run into this file")
    parser.add_argument("--markdown", type=Path, help="write the report into this file as well")
    options = parser.parse_args(arguments)
    defaults = _QUICK if options.quick else _WHOLE
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


_WHOLE = {
    "sizes": [4, 46, 90],
    "delays": [0, 20, 80],
    "connections": [10, 50, 100],
    "messages": 20_000,
    "rounds": 3,
}
_QUICK = {"sizes": [46], "delays": [0, 20], "connections": [10], "messages": 1000, "rounds": 1}


def _numbers(value: str) -> list[int]:
    if not re.fullmatch(r"\d{1,6}(,\d{1,6})*", value):
        raise argparse.ArgumentTypeError('must be whole numbers, such as "4,46,90"')
    return [int(each) for each in value.split(",")]


def _names(value: str) -> list[str]:
    return value.split(",")


def _dump(machine: Machine, versions: dict[str, str], runs: Sequence[Run]) -> str:
    document = {
        "machine": asdict(machine),
        "versions": versions,
        "runs": [asdict(run) for run in runs],
    }
    return json.dumps(document, indent=1) + "\n"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
