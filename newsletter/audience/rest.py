"""When a reader wants no mail: until a date, or on other weekdays than those they chose.

Both go by the edition's date, so a pause ends by itself, and a reader's own time zone changes
nothing. A pause holds for every kind of edition. Weekdays hold for what is new: the round-up is
chosen for itself and comes on one day, and a correction goes to whoever was told the wrong thing.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import and_, or_

from newsletter.audience.segment_sql import build_list, mentions
from newsletter.settings import WEEKDAYS, is_daily
from newsletter.store.tables import subscribers


def weekday(day: date) -> str:
    """Name the weekday of a date as `Choices.days` does."""
    return WEEKDAYS[day.weekday()]


def is_by_day(kind: str) -> bool:
    """Tell whether a kind of edition comes on a reader's weekdays alone."""
    return kind == "special" or is_daily(kind)


def wants_mail(kind: str, day: date, *, is_sqlite: bool) -> Any:
    """Give the condition that a row of `subscribers` wants the edition of a kind and date."""
    paused_until = subscribers.c.paused_until
    is_awake = or_(paused_until.is_(None), paused_until <= day)
    if not is_by_day(kind):
        return is_awake
    # Most chose no days: their choices are only searched for the word, and not parsed.
    return and_(is_awake, or_(~mentions("days"), build_list("days", weekday(day), is_sqlite)))
