"""The machine that figures are of: what it is, and how fast its disk answers."""

from __future__ import annotations

import os
import platform
import re
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

_WRITES = 40
_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a table says about where it was made."""

    measured_at: str
    processor: str
    cores: int
    system: str
    python: str
    load: float
    """Processes that wanted a core, over the minute before the start: near 0 on an idle machine."""
    fsync_ms: float
    """Median time for one page to reach the disk."""


def read_machine(folder: Path) -> Machine:
    """Look at this machine, and at the disk of that folder."""
    return Machine(
        measured_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        processor=_read_processor(),
        cores=len(os.sched_getaffinity(0)),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        load=os.getloadavg()[0],
        fsync_ms=1000 * measure_fsync_seconds(folder),
    )


def measure_fsync_seconds(folder: Path) -> float:
    """Append a page to a file and wait for the disk, again and again; the median."""
    seconds = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(_WRITES):
            file.write(os.urandom(_PAGE_BYTES))
            began = time.perf_counter()
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - began)
    return median(seconds)


def _read_processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()
