"""A command run in a terminal, with somebody who reads and types."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def _heed_interrupts() -> None:
    """Undo what a shell does to commands in the background: in a terminal Ctrl-C counts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """Run a command on a pseudo-terminal of its own while the `with` block lasts."""

    def __init__(self, command: list[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        self._screen, side = pty.openpty()
        try:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**env, "TERM": "xterm"},
                stdin=side,
                stdout=side,
                stderr=side,
                start_new_session=True,
                preexec_fn=_heed_interrupts,
            )
        finally:
            os.close(side)
        self.shown = ""
        """All that was shown so far, without colours and cursor movements."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._screen)

    def wait_for(self, text: str, *, seconds: float = 120) -> str:
        """Read until `text` is shown; give all that was shown."""
        end = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < end, f"no {text!r} in: {self.shown}"
            assert self._read(), f"it ended without {text!r}: {self.shown}"
        return self.shown

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def end(self, *, seconds: float = 180, pressing_again: bool = False) -> int:
        """Read to the end; give the exit code.

        A Ctrl-C between a question and the reading of its answer is heeded by Python only with
        the next key: so a person presses it again.
        """
        end, again = time.monotonic() + seconds, time.monotonic() + 5
        while self._read():
            assert time.monotonic() < end, f"it does not end: {self.shown}"
            if pressing_again and time.monotonic() > again:
                self.interrupt()
                again = time.monotonic() + 5
        return self._process.wait(timeout=30)

    def _read(self) -> bool:
        if not select.select([self._screen], [], [], 1)[0]:
            return True
        try:
            data = os.read(self._screen, 65536)
        except OSError:  # Linux's way to say that the other side is closed
            return False
        self.shown += _ESCAPES.sub("", data.decode(errors="replace"))
        return bool(data)
