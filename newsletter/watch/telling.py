"""One sentence for those who look after the publication, and when it is tried again. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

Way = Literal["mail", "webhook", "apprise"]
State = Literal["raised", "ended", "trial"]

GIVEN_UP_AFTER = timedelta(days=1)
"""A sentence that could not be told for so long is news no more."""
CLAIMED_FOR = timedelta(minutes=5)
"""So long a telling is left to whoever has begun it; longer than any way takes."""
_FIRST_PAUSE = timedelta(seconds=30)
_LONGEST_PAUSE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """One sentence by one way."""

    alarm_id: int
    """0 for what is not kept in the database."""
    key: str
    kind: str
    what: str
    """raised/CAUSE, or ended; with the alarm's number it names the telling."""
    way: Way
    sentence: str
    made_at: datetime
    attempts: int = 0

    @property
    def state(self) -> State:
        """Whether something is wrong, or is no more."""
        if self.kind == "trial":
            return "trial"
        return "ended" if self.what == "ended" else "raised"

    @property
    def id(self) -> str:
        """What a receiver knows it by when it comes twice."""
        return f"{self.alarm_id}-{self.made_at:%Y%m%dT%H%M%S}-{self.what.replace('/', '-')}"


def decide_next_try(telling: Telling, now: datetime) -> datetime | None:
    """Decide when a telling that failed now is tried again; None for never."""
    if now - telling.made_at >= GIVEN_UP_AFTER:
        return None
    pause: timedelta = _FIRST_PAUSE * 2 ** min(telling.attempts, 10)
    return now + min(pause, _LONGEST_PAUSE)


def build_document(telling: Telling, publication: str) -> dict[str, Any]:
    """Build what is posted to a webhook."""
    return {
        "id": telling.id,
        "publication": publication,
        "state": telling.state,
        "kind": telling.kind,
        "about": telling.key,
        "sentence": telling.sentence,
        "at": telling.made_at.isoformat(),
    }


def build_subject(telling: Telling, publication: str) -> str:
    """Build the subject of a mail, or the title of a message."""
    said = {"raised": "Alert", "ended": "Over", "trial": "Trial"}[telling.state]
    return f"[{publication}] {said}: {telling.kind.replace('_', ' ')}"
