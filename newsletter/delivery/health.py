"""Whether the relay is well enough to go on. Pure: times are seconds of a monotonic clock."""

from __future__ import annotations

PATIENCE_SECONDS = 120.0
"""How long a relay that worked may be unreachable before the run gives up."""
MAX_LOSSES_IN_A_ROW = 20
"""So many connections lost without one message accepted: the relay is not well. With many
connections it is two of each, since a restart of the relay ends all of them at once."""
_LONGEST_PAUSE_SECONDS = 30.0


class Health:
    """What the connections of one run found out about the relay together."""

    def __init__(self, connections: int = 1) -> None:
        self._max_losses = max(MAX_LOSSES_IN_A_ROW, 2 * connections)
        self._connected = 0
        self._ever_connected = False
        self._failures = 0
        self._down_since: float | None = None
        self._losses = 0

    def opened(self) -> None:
        """Note that a connection is ready."""
        self._connected += 1
        self._ever_connected = True
        self._failures = 0
        self._down_since = None

    def closed(self) -> None:
        """Note that a connection has ended, whoever ended it."""
        self._connected -= 1

    def accepted(self) -> None:
        """Note that a message was accepted."""
        self._losses = 0

    def lost(self) -> bool:
        """Note a connection that broke within a message; True when that is once too often."""
        self._losses += 1
        return self._losses >= self._max_losses

    def unreachable(self, now: float) -> float | None:
        """Decide what to do when no connection opens: seconds to pause, or None to give up.

        A relay that never answered in this run is a mistake to report at once. One that takes
        no more connections while others work is only full.
        """
        self._failures += 1
        if not self._connected:
            if not self._ever_connected:
                return None
            self._down_since = now if self._down_since is None else self._down_since
            if now - self._down_since > PATIENCE_SECONDS:
                return None
        return float(min(2 ** min(self._failures, 10) / 4, _LONGEST_PAUSE_SECONDS))
