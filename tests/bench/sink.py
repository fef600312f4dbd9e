"""Postfix's smtp-sink on a free port of loopback, for one run.

It is one thread and saturates, so what it takes itself is told beside every rate. What it
counted is what a contestant must have sent.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.contestants import find_program

HOST = "127.0.0.1"
_TRIES = 5
_START_SECONDS = 10.0


@dataclass(slots=True)
class Sink:
    """A running sink; `messages` and `cpu_seconds` are told once it has ended."""

    port: int
    messages: int = 0
    cpu_seconds: float = 0.0


@contextlib.contextmanager
def run_sink() -> Iterator[Sink]:
    """Start a sink; end it with the block. Raises `RuntimeError` when there is none."""
    program = find_program("smtp-sink")
    if program is None:
        raise RuntimeError("there is no smtp-sink; apt-get install postfix")
    with tempfile.TemporaryFile() as counters:
        for _ in range(_TRIES):  # another program may take the port first
            sink = Sink(port=_find_free_port())
            command = [str(program), "-c", "-m", "2000", f"inet:{HOST}:{sink.port}", "2000"]
            if os.geteuid() == 0:  # it refuses to run as root
                command[1:1] = ["-u", "nobody"]
            process = subprocess.Popen(command, stdout=counters, stderr=subprocess.DEVNULL)
            if _wait_until_it_listens(sink.port, process):
                break
        else:
            raise RuntimeError(f"smtp-sink does not start: {' '.join(command)}")
        try:
            yield sink
        finally:
            os.kill(process.pid, signal.SIGTERM)  # without reaping it, as terminate() might
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            sink.cpu_seconds = used.ru_utime + used.ru_stime
            counters.seek(0)
            shown = re.findall(rb"mesg=(\d+)", counters.read())
            sink.messages = int(shown[-1]) if shown else 0


def _find_free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    patience = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < patience:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1) as client:
            client.settimeout(_START_SECONDS)
            return client.recv(3) == b"220"
        time.sleep(0.01)
    if process.poll() is None:
        process.kill()
        process.wait()
    return False
