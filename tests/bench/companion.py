"""Programs that serve beside a run, each in a process of its own: they say their port, serve
until their standard input ends, and say then what they counted and what CPU time they took.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

from tests.bench.contestants import ROOT


class Server(Protocol):
    """What serves while its block lasts."""

    port: int

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...
    def count(self) -> Mapping[str, int]: ...


@dataclass(slots=True)
class Companion:
    """One that is running; what it counted is known once it has ended."""

    port: int
    counted: Mapping[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def run_companion(module: str, *arguments: str) -> Iterator[Companion]:
    """Run one of this folder's modules while the block lasts."""
    command = [sys.executable, "-m", f"tests.bench.{module}", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        companion = Companion(json.loads(process.stdout.readline())["port"])
        try:
            yield companion
        finally:
            process.stdin.close()
            companion.counted = json.loads(process.stdout.readline())


async def serve_until_input_ends(server: Server) -> None:
    """Be such a program."""
    async with server:
        print(json.dumps({"port": server.port}), flush=True)
        before = _cpu_seconds()  # what it took to start is nobody's mail
        await asyncio.to_thread(sys.stdin.read)
        counted = {**server.count(), "cpu_seconds": _cpu_seconds() - before}
        print(json.dumps(counted), flush=True)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
