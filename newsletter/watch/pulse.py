"""That this process lives: what its schedule last did, in memory, for whoever watches it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping

from newsletter.delivery.lifecycle import State

MOST_SILENT_SECONDS = 180.0
"""The schedule looks around every half minute; one that was silent for so long stands still."""


class Pulse:
    """What the schedule tells of itself. Written by its thread and read by others."""

    def __init__(self) -> None:
        self._beat_at = time.monotonic()
        self._is_keeping = False
        self._faults: dict[str, Exception] = {}
        self._done: set[str] = set()
        self._replies: list[Counter[tuple[str, str]]] = []
        self._tallies: dict[int, Counter[State]] = {}
        self.stirred = threading.Event()
        """Set when something was done that a watcher should look at now."""

    def beat(self) -> None:
        """Tell that the schedule turns."""
        self._beat_at, self._is_keeping = time.monotonic(), True

    @property
    def silent_seconds(self) -> float:
        """How long ago the schedule last told that it turns."""
        return time.monotonic() - self._beat_at

    @property
    def is_keeping(self) -> bool:
        """Whether a schedule was begun, and turns."""
        return self._is_keeping and self.silent_seconds <= MOST_SILENT_SECONDS

    def failed(self, name: str, error: Exception) -> None:
        """Keep why the edition of that name, or "gather", could not be done now."""
        self._faults = {**self._faults, name: error}

    def done(self, name: str) -> None:
        """Forget why: it was done, also where nothing was new and so no edition was made."""
        self._done.add(name)
        self._faults = {key: fault for key, fault in self._faults.items() if key != name}
        self.stirred.set()

    def is_done(self, name: str) -> bool:
        """Tell whether this process has done what there was to do for the edition of a name."""
        return name in self._done

    @property
    def faults(self) -> Mapping[str, Exception]:
        """What could not be done, by name, and why."""
        return self._faults

    def follow(self, tally: Counter[State]) -> None:
        """Follow the counts of a run, which go on changing; cheap to be called for each message."""
        self._tallies[id(tally)] = tally

    def follow_replies(self, replies: Counter[tuple[str, str]]) -> None:
        """Follow the replies of a run's relays, which go on coming."""
        self._replies.append(replies)

    @property
    def replies(self) -> Mapping[tuple[str, str], int]:
        """Replies since this process began, by relay and first digit."""
        total: Counter[tuple[str, str]] = Counter()
        for replies in list(self._replies):
            total.update(dict(replies))
        return total

    @property
    def outcomes(self) -> Mapping[State, int]:
        """What became of deliveries since this process began."""
        total: Counter[State] = Counter()
        for tally in list(self._tallies.values()):
            total.update(dict(tally))
        return total
