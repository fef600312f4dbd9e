"""How fast, and how much at once, one destination may be given. Pure.

A destination is a relay or a recipient's domain. Its gate knows what an operator allows and
what the destination has shown to bear:

    slow start   it begins with two at once and gains one with each success, so that a healthy
                 one has all that is allowed after a few messages
    halving      when it says that we are too fast it keeps half of what was under way; from
                 then on each one more costs a cohort of successes, a longer one each time
    breaker      after so many failures in a row that were its own it is left alone, then tried
                 with one message; each failed try doubles the pause

Times are seconds of any monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

START = 2
_MAX_PENALTIES = 6  # a cohort is at most so often doubled: 64 successes for each one at once


class Gate:
    """What may be under way to one destination now.

    `in_hand` counts what is: the caller keeps it, since for a relay it is connections at work
    and for a domain messages.
    """

    __slots__ = (
        "_cohort",
        "_failures",
        "_interval",
        "_longest_pause",
        "_pause",
        "_penalties",
        "_start",
        "_tolerance",
        "allowed",
        "in_hand",
        "most",
        "next_start",
        "open_until",
        "penalty",
        "times_open",
    )

    def __init__(
        self,
        most: int,
        rate: float,
        *,
        start: int = START,
        tolerance: int,
        pause: float,
        longest_pause: float,
    ) -> None:
        """Allow `most` at once, from `start` on, and `rate` a second unless that is 0.

        `tolerance` failures in a row open the breaker for `pause` seconds, then for double.
        """
        self.most = most
        """The configured number."""
        self._start = self.allowed = min(start, most)
        """How many at once it has shown to bear."""
        self.in_hand = 0
        self.open_until = 0.0
        """When an open breaker lets one try; 0 while it is closed."""
        self.next_start = -math.inf
        """When the rate allows the next start."""
        self._interval = 1 / rate if rate > 0 else 0.0
        self._cohort = 0
        self._penalties = 0
        self.penalty = 0
        """A mark that changes with each halving.

        One halving answers everything that began before it: a relay that restarts complains
        to every connection.
        """
        self._failures = 0
        self.times_open = 0
        """How often in a row the breaker has opened."""
        self._tolerance, self._pause, self._longest_pause = tolerance, pause, longest_pause

    # -- what may begin ------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether one more may be under way, whenever it may begin."""
        return self.in_hand < (1 if self.open_until else self.allowed)

    def ready_at(self, now: float) -> float:
        """Tell when one more may begin: not after `now`, a time to come, or never by itself."""
        if self.open_until > now:
            return self.open_until
        return self.next_start if self.has_room else math.inf

    def seconds_until(self, place: int, now: float) -> float:
        """Estimate when the n-th that waits may begin, as far as that follows from the clock."""
        return max(self.open_until, self.next_start, now) - now + place * self._interval

    def claim_start(self, now: float) -> None:
        """Take the next start of the rate."""
        if self._interval:
            self.next_start = max(now, self.next_start) + self._interval

    # -- what came of it -----------------------------------------------------------------------

    def succeeded(self, now: float) -> None:
        """Note a success: no failure before it counts, and it earns more at once.

        One that comes while the breaker is open began before that, and proves nothing.
        """
        if self.open_until > now:
            return
        self._failures = self.times_open = 0
        if self.open_until:
            self.close()
        if self.allowed >= self.most:
            return
        self._cohort += 1
        if self._penalties and self._cohort < self.allowed << self._penalties:
            return
        self._cohort = 0
        self.allowed += 1
        if self.allowed == self.most:
            self._penalties = 0

    def slowed(self, under_way: int) -> None:
        """Note that it finds us too fast with so many under way."""
        self.limit(under_way // 2)

    def limit(self, at_once: int) -> None:
        """Allow no more than so many at once, until successes have earned more."""
        at_once = max(at_once, 1)
        if at_once < self.allowed:
            self.allowed = at_once
            self._penalties = min(self._penalties + 1, _MAX_PENALTIES)
        self.penalty += 1
        self._cohort = 0

    def failed(self, now: float) -> bool:
        """Note a failure of its own; tell whether that has opened the breaker."""
        self._failures += 1
        if self.open_until > now:  # it began before the breaker opened
            return False
        if not self.open_until and self._failures < self._tolerance:
            return False
        self.break_off(now)
        return True

    def break_off(self, now: float, seconds: float = 0) -> None:
        """Open the breaker: for so long, or as long as it is its turn."""
        if not seconds and self.open_until <= now:
            seconds = min(self._pause * 2 ** min(self.times_open, 12), self._longest_pause)
            self.times_open += 1
        self.open_until = max(self.open_until, now + seconds)

    def close(self) -> None:
        """Close the breaker, and begin slowly again."""
        self.open_until = 0.0
        self.allowed = 1
        self._failures = self._cohort = 0

    # -- across restarts -----------------------------------------------------------------------

    def is_blank(self, now: float) -> bool:
        """Whether a new gate would behave the same."""
        return (
            self.in_hand == 0
            and self.allowed >= self._start
            and not self._failures
            and not self._penalties
            and not self.open_until
            and self.next_start <= now
        )

    def snapshot(self, now: float) -> dict[str, Any]:
        """Give what it has learned; empty where that is nothing."""
        learned: dict[str, Any] = {}
        if self._penalties:
            learned |= {"allowed": self.allowed, "penalties": self._penalties}
        if self.open_until:
            waits = max(self.open_until - now, 0)
            learned |= {"open_seconds": waits, "times_open": self.times_open}
        return learned

    def restore(self, learned: Mapping[str, Any], now: float, age_seconds: float) -> None:
        """Take up what `snapshot` gave, so many seconds ago."""
        if "penalties" in learned:
            self.allowed = max(1, min(int(learned["allowed"]), self.most))
            self._penalties = min(max(int(learned["penalties"]), 0), _MAX_PENALTIES)
        if "open_seconds" in learned:
            waits = max(float(learned["open_seconds"]) - age_seconds, 0)
            self.times_open = int(learned["times_open"])
            # Not 0 even if its time has come: it is tried with one message first.
            self.open_until = now + waits or math.ulp(0)
