"""The heartbeat: an outside service is called while all is well, and tells when that stops.

It is the one alarm that does not depend on this process, this machine or its network.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from newsletter.briefs.fetcher import call
from newsletter.errors import SourceError
from newsletter.settings import Alerts
from newsletter.watch.ways import AGENT, NotTold, name_place, say_mend

_PATIENCE_SECONDS = 10.0


class Heartbeat:
    """Calls the outside service, not more often than it should."""

    def __init__(self, rules: Alerts, call_out: Callable[[], None] | None = None) -> None:
        """Raise `ConfigurationError` for an address that is none."""
        self._every: timedelta = rules.heartbeat_every
        self._called_at: datetime | None = None
        self._call = call_out or build_call(rules)

    def beat(self, now: datetime, *, at_once: bool = False) -> None:
        """Call the service if it is time, or `at_once`. Raises `NotTold`; then it is tried again.

        A clock that was set back is no reason to be silent.
        """
        before = self._called_at
        if before and not at_once and before <= now < before + self._every:
            return
        self._call()
        self._called_at = now


def build_call(rules: Alerts) -> Callable[[], None]:
    """Build what calls the service; nothing, where none is named."""
    url = rules.heartbeat_url
    if not url:
        return lambda: None
    place = name_place(url, "alerts.heartbeat_url")

    def call_out() -> None:
        try:
            answer = call(
                url,
                allow_private=rules.allow_private,
                timeout_seconds=_PATIENCE_SECONDS,
                user_agent=AGENT,
            )
        except SourceError as error:
            raise NotTold(
                f"the heartbeat at {place} {error.problem}", mend=say_mend(error)
            ) from None
        if not 200 <= answer.status < 300:
            raise NotTold(f"the heartbeat at {place} answered {answer.status}")

    return call_out
