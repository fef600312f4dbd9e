"""How many a send would mail, for a page that must not keep anybody waiting for it.

Everybody who would be mailed is counted, by their choices and pauses and what they were sent
before: with a million readers that takes about a second. So a count that took long is shown again
for a minute, with its time. What is decided by a count is counted anew.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from newsletter.audience.segment import Segment
from newsletter.press import Press, Printed
from newsletter.press.approving import count_audience

_KEPT_SECONDS = 60.0
_LONG_SECONDS = 0.1
"""A count that takes less is never kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How many would be mailed, and when that was counted."""

    readers: int
    at: datetime
    is_kept: bool = False
    """Whether it was counted for an earlier look."""


class Audiences:
    """The counts of one process. Safe to be used by several threads at once."""

    def __init__(self, press: Press) -> None:
        self._press = press
        self._kept: dict[tuple[int, str, str], tuple[float, Counted]] = {}

    def show(self, printed: Printed, seen: str, segment: Segment | None = None) -> Counted:
        """Give the count for an edition of the content hash `seen`, a minute old at most."""
        key = (printed.record.id, seen, str(segment or ""))
        until, counted = self._kept.get(key, (0.0, None))
        if counted and time.monotonic() < until:
            return counted
        return self.count(printed, seen, segment)

    def count(self, printed: Printed, seen: str, segment: Segment | None = None) -> Counted:
        """Count anew."""
        began = time.monotonic()
        readers = count_audience(self._press, printed, segment)
        now, at = time.monotonic(), self._press.now()
        kept = {key: each for key, each in list(self._kept.items()) if each[0] > now}
        key = (printed.record.id, seen, str(segment or ""))
        kept.pop(key, None)
        if now - began > _LONG_SECONDS:
            kept[key] = now + _KEPT_SECONDS, Counted(readers=readers, at=at, is_kept=True)
        self._kept = kept
        return Counted(readers=readers, at=at)
