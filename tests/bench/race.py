"""The race: in every setting and round each contestant once, in turn (A B C A B C …).

Every run has a sink of its own, and a delay proxy of its own where there is a delay, each in
its own process. A run counts only if the sink took as many messages as the contestant says.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.contestants import ROOT, Contestant
from tests.bench.figures import Run, Setting
from tests.bench.sink import HOST, run_sink

_PATIENCE_SECONDS = 900
_FEWEST = 500
"""Messages of a run without a delay: fewer would show how programs start."""
_LONGEST_MS = 4000
"""With a delay a connection sends what takes this long at one round trip a message, …"""
_MOST_A_CONNECTION = 100
"""… and at most so many, after which the product opens a new one."""


class RunFailed(Exception):
    """A contestant did not do what it was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is run."""

    settings: Sequence[Setting]
    contestants: Sequence[Contestant]
    rounds: int
    messages: int
    folder: Path
    """Where the messages lie, and the product makes its database."""

    def count_messages(self, contestant: Contestant, setting: Setting) -> int:
        """Decide how many messages a run has: enough for seconds, not for minutes."""
        if setting.delay_ms:
            each = max(1, min(_MOST_A_CONNECTION, _LONGEST_MS // setting.delay_ms))
            wanted = each * setting.connections
        else:
            wanted = max(_FEWEST, round(self.messages * contestant.share))
        return max(setting.connections, min(self.messages, wanted))

    def message_path(self, setting: Setting) -> Path:
        """Tell where the message of a setting lies."""
        return self.folder / f"message-{setting.size_kb}kb.eml"


def run_race(plan: Plan, say: Callable[[str], None]) -> Iterator[Run]:
    """Run everything; a run that fails is said, and not among the results."""
    for setting in plan.settings:
        for number in range(1, plan.rounds + 1):
            for contestant in plan.contestants:
                what = (
                    f"{setting.size_kb} KB, {setting.delay_ms} ms, {setting.connections} "
                    f"connections, round {number}: {contestant.name}"
                )
                try:
                    run = run_once(plan, contestant, setting, number)
                except RunFailed as failure:
                    say(f"{what} failed: {failure}")
                else:
                    say(f"{what}: {run.rate:,.0f}/s")
                    yield run


def run_once(plan: Plan, contestant: Contestant, setting: Setting, number: int) -> Run:
    """Run one contestant once; raises `RunFailed`."""
    messages = plan.count_messages(contestant, setting)
    with run_sink() as sink, _delayed(sink.port, setting.delay_ms) as path:
        told = _run_contestant(contestant, path.port, setting, messages, plan.message_path(setting))
    if told["messages"] < messages or sink.messages != told["messages"]:
        raise RunFailed(
            f"asked for {messages}, says it sent {told['messages']}, the sink took {sink.messages}"
        )
    return Run(
        contestant=contestant.name,
        setting=setting,
        round=number,
        sink_cpu_seconds=sink.cpu_seconds,
        proxy_cpu_seconds=path.counted.get("cpu_seconds", 0.0),
        round_trips=path.counted.get("round_trips", 0),
        **told,
    )


def _run_contestant(
    contestant: Contestant, port: int, setting: Setting, messages: int, path: Path
) -> dict[str, Any]:
    order = (HOST, port, setting.connections, messages, path)
    try:
        done = subprocess.run(
            [*contestant.command, *map(str, order)],
            cwd=ROOT,
            env=os.environ | dict(contestant.environment),
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RunFailed(f"not done after {_PATIENCE_SECONDS} seconds") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no words"]
        raise RunFailed(f"exit code {done.returncode} ({said[-1]})")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@dataclass(slots=True)
class _Path:
    """The way to the sink; what was counted on it is known once it has ended."""

    port: int
    counted: Mapping[str, Any]


@contextlib.contextmanager
def _delayed(port: int, delay_ms: int) -> Iterator[_Path]:
    if not delay_ms:  # the proxy would be what is measured
        yield _Path(port, {})
        return
    command = [sys.executable, "-m", "tests.bench.proxy", HOST, str(port), str(delay_ms)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        path = _Path(json.loads(process.stdout.readline())["port"], {})
        try:
            yield path
        finally:
            process.stdin.close()
            path.counted = json.loads(process.stdout.readline())
