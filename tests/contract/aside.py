"""Work that goes on beside a test, in a transaction of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

WAITS_SECONDS = 0.5
"""Whoever does not end for so long is taken to wait; on this machine it would take 0.01."""


class Aside:
    """Work in another thread, and so in another transaction."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._answer: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self._answer = self._work()
        except BaseException as error:  # noqa: BLE001 - `result` raises it
            self._error = error

    def start(self) -> None:
        self._thread.start()

    def waits(self) -> bool:
        self._thread.join(WAITS_SECONDS)
        return self._thread.is_alive()

    def result(self) -> Any:
        self._thread.join(60)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error
        return self._answer
