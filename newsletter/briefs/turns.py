"""Whose turn it is at a server: requests to one of them keep a gap, those to others do not wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Turns:
    """The turns of one gathering, whose sources are read side by side."""

    def __init__(
        self,
        gap_seconds: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._gap_seconds = gap_seconds
        self._monotonic, self._sleep = monotonic, sleep
        self._free_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def wait(self, server: str) -> None:
        """Return when it is the caller's turn at a server, such as "wire.example"."""
        with self._lock:
            now = self._monotonic()
            turn = max(now, self._free_at.get(server, now))
            self._free_at[server] = turn + self._gap_seconds
        if turn > now:
            self._sleep(turn - now)
