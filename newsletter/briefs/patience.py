"""How long a source that failed is left alone: pure.

A server that names a time (Retry-After) is obeyed by everybody, to the second. Where it names
none, the schedule waits of its own accord: an edition that is held for its sources tries again
each minute, and a server in trouble needs no such help. The wait doubles with each failure and is
different for each source, so that those which fell together are not asked together. It stays
short, because an edition that waits for the source is late by it. A person who asks is not made
to wait: they have a reason to look now.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(minutes=30)
_DOUBLINGS = 10  # a minute, doubled so often, is past the longest pause


def decide_next_attempt(failures: int, last_attempt_at: datetime, spread: float) -> datetime:
    """Decide when a source that failed `failures` times in a row is asked again.

    `spread`, from 0 to 1, shortens the pause by up to a half.
    """
    times = 1 << min(max(failures - 1, 0), _DOUBLINGS)
    pause = min(FIRST_PAUSE * times, LONGEST_PAUSE)
    return last_attempt_at + pause * (1 - spread / 2)


def build_spread(name: str, failures: int) -> float:
    """Give a source's own spread: another for each failure, and the same whoever asks."""
    return random.Random(f"{name} {failures}").random()  # noqa: S311 - no secret
