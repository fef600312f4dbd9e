"""Server programs of the system, run privately: a folder and a session of processes each."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

HOST = "127.0.0.1"
PACKAGES = "postfix dovecot-core dovecot-lmtpd opendkim"
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
_CEILING_SECONDS = 120


def find_program(name: str) -> str:
    """Give a program's path, or skip the test and say how to get it."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        pytest.skip(f"there is no {name} here: apt-get install {PACKAGES}")
    return found


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Make a folder that a server's own users can reach, as they cannot reach pytest's.

    In memory where that can be: a server may be killed here, but no power is ever lost.
    """
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="newsletter-", dir=place) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def free_port() -> int:
    """Find a port for a server that cannot choose one itself."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


def wait_until(
    true: Callable[[], bool], what: str, *, seconds: float = _CEILING_SECONDS, every: float = 0.01
) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(every)


def greets(port: int) -> bool:
    """Whether something answers there and says 220."""
    try:
        with socket.create_connection((HOST, port), timeout=5) as sock:
            return sock.recv(3) == b"220"
    except OSError:
        return False


class Daemon:
    """A server in the foreground, in a session of its own.

    What it starts stays in that session, so that all of it can be ended and none be missed.
    A guard beside it does so if this process dies before.
    """

    def __init__(self, command: Sequence[str], *, log: Path) -> None:
        self._command, self._log = command, log
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def start(self, ready: Callable[[], bool]) -> None:
        """Start it and wait until it is ready."""
        assert self._process is None
        with self._log.open("ab") as log:
            self._process = process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._guard = subprocess.Popen(
            ["sh", "-c", 'read -r _; kill -s KILL -- "-$1"', "guard", str(process.pid)],
            stdin=subprocess.PIPE,  # its end comes when we are gone, however we went
            start_new_session=True,
        )
        try:
            wait_until(lambda: process.poll() is not None or ready(), "a server starts")
            assert process.poll() is None, "a server ended at once"
        except BaseException as error:
            self.kill()
            error.add_note(self._log.read_text(errors="replace"))
            raise

    def stop(self) -> None:
        """End it in order, and whatever of it is left then by force."""
        assert self._process is not None
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self.kill()

    def kill(self) -> None:
        """End all of it at once, as a machine's failure would."""
        process, self._process = self._process, None
        guard, self._guard = self._guard, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            wait_until(lambda: not _living(process.pid), "a server's processes end")
        if guard is not None:
            guard.kill()
            guard.communicate()


def _living(session: int) -> list[str]:
    """List the processes of a session that still run (proc(5): fields 3 and 6)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = stat.read_text(errors="replace").rpartition(")")
            state, _parent, _group, its_session, *_ = rest.split()
            if int(its_session) == session and state not in "ZX":
                found.append(f"{name})")
    return found
