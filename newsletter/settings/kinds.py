"""The kinds of edition: those that there always are, and further daily ones by name. Pure."""

from __future__ import annotations

NOT_DAILY = ("weekly", "special", "correction")
"""The kinds that do not tell the news of a day."""
KINDS = ("daily", *NOT_DAILY)
"""The kinds that are there whatever the settings say."""


def is_daily(kind: str) -> bool:
    """Tell whether a kind tells the news of a day: the daily edition, or a further one.

    Such an edition is made of what came since the last one of its kind and no other has; it is
    kept by the schedule, reviewed, and carries the corrections of its kind.
    """
    return kind not in NOT_DAILY


def is_optional(kind: str) -> bool:
    """Tell whether readers say of a kind if they want it: the round-up, and further daily ones."""
    return kind == "weekly" or kind not in KINDS
