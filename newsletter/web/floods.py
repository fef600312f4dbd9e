"""How often somebody may do something within an hour; kept in memory alone, and within bounds."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime

_KEPT = 10_000


class Floodgate:
    """Counts by whom, in hours of the clock; safe to share between threads."""

    def __init__(self, now: Callable[[], datetime], *, each: int, all_together: int) -> None:
        self._now = now
        self._each = each
        self._all_together = all_together
        self._hour = -1
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def lets_in(self, who: str) -> bool:
        """Count one more of somebody; tell whether that is still within the limits."""
        with self._lock:
            hour = int(self._now().timestamp()) // 3600
            if hour != self._hour:
                self._hour = hour
                self._counts.clear()
            is_full = self._counts.total() >= self._all_together
            if is_full or self._counts[who] >= self._each:
                return False
            if who in self._counts or len(self._counts) < _KEPT:
                self._counts[who] += 1
                return True
            return False
