"""What takes long to find, for pages that must not keep anybody waiting for it.

Whom a send would mail is counted one by one, by their choices and pauses and what they were sent
before: with a million readers that takes about a second. Why copies did not arrive is read from
each copy that did not. So what took long is shown again for a minute. What is decided by a count
is counted anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, TypeVar

from newsletter.audience.segment import Segment
from newsletter.press import Press, Printed
from newsletter.press.approving import count_audience

What = TypeVar("What", bound=Hashable)
Found = TypeVar("Found")

_KEPT_SECONDS = 60.0
_LONG_SECONDS = 0.05
"""What takes less is never kept."""


class Kept(Generic[What, Found]):
    """What one process found. Safe to be used by several threads at once."""

    def __init__(self) -> None:
        self._kept: dict[What, tuple[float, Found]] = {}

    def show(self, what: What, find: Callable[[], Found]) -> tuple[Found, bool]:
        """Give what was found a minute ago at most, and whether it was for an earlier look."""
        until, *found = self._kept.get(what, (0.0,))
        if found and time.monotonic() < until:
            return found[0], True
        return self.renew(what, find), False

    def renew(self, what: What, find: Callable[[], Found]) -> Found:
        """Find it now."""
        began = time.monotonic()
        found = find()
        now = time.monotonic()
        kept = {key: each for key, each in list(self._kept.items()) if each[0] > now}
        kept.pop(what, None)
        if now - began > _LONG_SECONDS:
            kept[what] = now + _KEPT_SECONDS, found
        self._kept = kept
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How many would be mailed, and when that was counted."""

    readers: int
    at: datetime
    is_kept: bool = False
    """Whether it was counted for an earlier look."""


class Audiences:
    """The counts of one process."""

    def __init__(self, press: Press) -> None:
        self._press = press
        self._kept = Kept[tuple[int, str, str], Counted]()

    def show(self, printed: Printed, seen: str, segment: Segment | None = None) -> Counted:
        """Give the count for an edition of the content hash `seen`, a minute old at most."""
        counted, is_kept = self._kept.show(*self._ask(printed, seen, segment))
        return replace(counted, is_kept=is_kept)

    def count(self, printed: Printed, seen: str, segment: Segment | None = None) -> Counted:
        """Count anew."""
        return self._kept.renew(*self._ask(printed, seen, segment))

    def _ask(
        self, printed: Printed, seen: str, segment: Segment | None
    ) -> tuple[tuple[int, str, str], Callable[[], Counted]]:
        def count() -> Counted:
            readers = count_audience(self._press, printed, segment)
            return Counted(readers=readers, at=self._press.now())

        return (printed.record.id, seen, str(segment or "")), count
