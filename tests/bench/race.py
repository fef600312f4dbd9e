"""The race: in every setting and round each contestant once, in turn (A B C A B C …).

Every run has a sink of its own, and a delay proxy of its own where smtp-sink is behind a delay,
each in its own process. A run counts only if the sink took as many messages as the contestant
says.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.companion import run_companion
from tests.bench.contestants import ROOT, Contestant
from tests.bench.figures import Run, Setting
from tests.bench.sink import HOST, run_sink

_PATIENCE_SECONDS = 900
_FEWEST = 500
"""Messages of a run without a delay: fewer would show how programs start."""
_LONGEST_MS = 24_000
"""With a delay a connection sends what takes this long at one round trip a message, …"""
_MOST_A_CONNECTION = 400
"""… and at most so many. Fewer would show how programs start: the product tries a relay with one
connection, then with as many as have answered, so that ten are at work after fifteen round trips,
eleven of which each of them misses on the average. And it opens a new connection after each
hundred messages, which costs four, where the others keep theirs for ever. All of it is in its
figures."""


class RunFailed(Exception):
    """A contestant did not do what it was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is run, where."""

    contestants: Mapping[str, Contestant]
    """Those that can be had."""
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


def run_scenario(
    plan: Plan, setting: Setting, names: Sequence[str], say: Callable[[str], None]
) -> Iterator[Run]:
    """Run a scenario; a run that fails is said, and not among the results."""
    for number in range(1, plan.rounds + 1):
        for name in names:
            if name not in plan.contestants:
                continue
            try:
                run = run_once(plan, plan.contestants[name], setting, number)
            except RunFailed as failure:
                say(f"{setting}, round {number}: {name} failed: {failure}")
            else:
                say(f"{setting}, round {number}: {name}: {run.rate:,.0f}/s")
                yield run


def run_once(plan: Plan, contestant: Contestant, setting: Setting, number: int) -> Run:
    """Run one contestant once; raises `RunFailed`."""
    messages = plan.count_messages(contestant, setting)
    order = messages, plan.message_path(setting)
    if not contestant.sends:
        told, counted = _run_contestant(contestant, 0, setting, *order), {}
    else:
        with open_way(setting) as way:
            told = _run_contestant(contestant, way.port, setting, *order)
        counted = dict(way.counted)
        taken = counted.pop("messages")
        if told["messages"] < messages or taken != told["messages"]:
            raise RunFailed(
                f"asked for {messages}, says it sent {told['messages']}, the sink took {taken}"
            )
    return Run(contestant=contestant.name, setting=setting, round=number, **counted, **told)


@dataclass(slots=True)
class Way:
    """The way into the sink; what was counted on it is known once it has ended."""

    port: int
    counted: Mapping[str, Any]


@contextlib.contextmanager
def open_way(setting: Setting) -> Iterator[Way]:
    """Start a sink, and what stands before it; end them with the block."""
    delay = str(setting.delay_ms)
    if setting.sink == "chunking sink":
        with run_companion("chunking_sink", delay) as companion:
            way = Way(companion.port, {})
            yield way
        way.counted = {
            "messages": companion.counted["messages"],
            "sink_cpu_seconds": companion.counted["cpu_seconds"],
            "round_trips": companion.counted["round_trips"],
        }
        return
    with run_sink() as sink:
        if not setting.delay_ms:  # the proxy would be what is measured
            way = Way(sink.port, {})
            yield way
        else:
            with run_companion("proxy", HOST, str(sink.port), delay) as companion:
                way = Way(companion.port, {})
                yield way
            way.counted = {
                "proxy_cpu_seconds": companion.counted["cpu_seconds"],
                "round_trips": companion.counted["round_trips"],
            }
    way.counted = {
        **way.counted,
        "messages": sink.messages,
        "sink_cpu_seconds": sink.cpu_seconds,
    }


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
