"""What is wrong, as one thing that stands until it has ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Everything that an alarm can be about."""

    EDITION_LATE = "edition_late"
    """It was not begun by its time."""
    EDITION_STUCK = "edition_stuck"
    """It was begun, and stands still while readers are due."""
    EDITION_HELD = "edition_held"
    EDITION_PAUSED = "edition_paused"
    RELAY = "relay"
    """What a run said of its relay or of readers' providers."""
    FAILURES = "failures"
    BOUNCES = "bounces"
    """So much of an edition came back that it waits for a person's word whether it counts."""
    GATHER = "gather"
    SOURCE = "source"
    DATABASE = "database"
    DISK = "disk"
    SCHEDULE = "schedule"


GRAVE = frozenset(
    {
        Kind.EDITION_LATE,
        Kind.EDITION_STUCK,
        Kind.EDITION_HELD,
        Kind.DATABASE,
        Kind.SCHEDULE,
    }
)
"""With one of these the heartbeat stops: readers wait, or will."""


class Cause(StrEnum):
    """Why something does not move."""

    APPROVAL = "approval"
    CONTENT = "content"
    """The preflight, a note that cannot be read, a template."""
    DATABASE = "database"
    DISK = "disk"
    INSTALLATION = "installation"
    """The database is not the one that was sent from last."""
    LIMIT = "limit"
    """A relay or a provider puts us off, or we keep to a rate of our own."""
    NOBODY = "nobody"
    """No process sends it."""
    PAUSE = "pause"
    RELAY_REFUSES = "relay_refuses"
    RELAY_UNREACHABLE = "relay_unreachable"
    SOURCE = "source"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One thing that is wrong. `key` names what it is about: the same thing has one alarm."""

    key: str
    kind: Kind
    cause: Cause
    sentence: str
    """Whole, with the mend; without readers' addresses."""


def is_well(alarms: Iterable[Alarm]) -> bool:
    """Tell whether no alarm says that readers wait, or will."""
    return not any(alarm.kind in GRAVE for alarm in alarms)
