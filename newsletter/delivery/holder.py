"""Who holds a run: naming this process so that another can tell whether it is gone.

A lease that runs out is the rule; this is its short cut. On one machine a killed sender is
recognised at once, and the same command goes on without waiting for the lease. A wrong
answer here is harmless: every intent asserts the fence, so a holder that was given up
wrongly can send nothing more.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path


def describe_self() -> str:
    """Name this process: machine, boot, process space, number and start time."""
    return f"{_machine()}|{os.getpid()}|{_start_time(os.getpid())}"


def describe_operator() -> str:
    """Name who runs this process, as the system knows them: user@host."""
    try:
        import pwd

        user = pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):  # Windows; a user of a container that has no name
        user = str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "unknown")
    return f"{user}@{socket.gethostname()}"


def is_gone(holder: str) -> bool:
    """Tell whether the named process certainly runs no more; False when one cannot know."""
    machine, _, rest = holder.partition("|")
    number, _, started = rest.partition("|")
    if machine != _machine() or not number.isdigit() or not started:
        return False
    return _start_time(int(number)) != started


def shown_holder(holder: str) -> str:
    """Say it for people."""
    machine, _, rest = holder.partition("|")
    return f"process {rest.partition('|')[0]} on {machine.partition(' ')[0]}"


def _machine() -> str:
    """Name the host, its boot, and the process space that numbers are good in."""
    boot = _read("/proc/sys/kernel/random/boot_id")
    try:
        space = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        space = 0
    return f"{socket.gethostname()} {boot} {space}"


def _start_time(number: int) -> str:
    """Read when a process started, in ticks since boot (proc(5), field 22); "" if unknown."""
    stat = _read(f"/proc/{number}/stat")
    fields = stat.rpartition(")")[2].split()  # the name before may hold anything
    # A zombie has ended and only waits for its parent to notice.
    return "" if len(fields) < 20 or fields[0] == "Z" else fields[19]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
