"""How fast: messages a second over all connections, as an operator set it. Pure."""

from __future__ import annotations


class Pace:
    """Spaces the starts of messages evenly. Times are seconds of any monotonic clock."""

    def __init__(self, per_second: float) -> None:
        self._interval = 1 / per_second if per_second > 0 else 0.0
        self._next = 0.0

    def claim_at_once(self, now: float) -> bool:
        """Claim the next start if it is now; tell whether it was."""
        return self._next <= now and self.claim(now) <= 0

    def claim(self, now: float) -> float:
        """Claim the next start; return how many seconds from `now` it lies."""
        start = max(now, self._next)
        self._next = start + self._interval
        return start - now
