"""The editorial day: where its news begins and ends, and which briefs belong to it.

An edition's window is [the previous edition's cut-off, its own cut-off), so that the windows
of successive editions tile time whatever days were missed. Five kinds of brief do not fit a
rule that looks at the time of publication alone:

- one that was published in time but came late (a slow feed, an item of the minute of the
  cut-off) is taken by the next edition, if it was published at most `lookback` before that
  edition's window, or before it was first seen;
- one that is older than that (a new feed full of old items) is left alone;
- one dated in the future waits for its day;
- one under embargo waits as well, and is new on the day on which the embargo ends;
- one that has expired is left alone.

That no brief is in two editions of a series is not promised here but by the table of claimed
briefs: an edition claims all that it could have, what found no room too. The rules above promise
that each is in one. A clock that was wrong for a while moves windows, and so puts briefs between
them: whatever no edition claimed and was news when it came is late, and not lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from newsletter.editions.model import Window
from newsletter.errors import RefusedError

Standing = Literal[
    "in", "late", "too_old", "not_yet", "embargoed", "expired", "unreviewed", "rejected"
]

STANDINGS: Mapping[Standing, str] = {
    "in": "in the window",
    "late": "late for an earlier edition",
    "too_old": "older than the window",
    "not_yet": "not yet published",
    "embargoed": "under embargo",
    "expired": "expired",
    "unreviewed": "not reviewed in time",
    "rejected": "rejected by a reviewer",
}
"""Every standing, and how it is said to a person after a number."""


def local_date(now: datetime, zone: ZoneInfo) -> date:
    """Give the date that calendars in `zone` show at `now`."""
    return now.astimezone(zone).date()


def decide_cut_off(day: date, *, now: datetime, zone: ZoneInfo) -> datetime:
    """Decide where the news of `day` ends: now for today, the end of the day for a past one.

    Raises `RefusedError` for a day that has not begun in `zone`.
    """
    today = local_date(now, zone)
    if day > today:
        raise RefusedError(
            f"{day} has not begun in {zone.key}", mend=f"choose {today} or an earlier date"
        )
    return now.astimezone(UTC) if day == today else _start_of_day(day + timedelta(days=1), zone)


def decide_window(
    day: date,
    *,
    now: datetime,
    zone: ZoneInfo,
    previous_cut_off: datetime | None,
    lookback: timedelta,
) -> Window:
    """Decide the span of news of `day`; without an earlier edition it is `lookback` long."""
    cut_off = decide_cut_off(day, now=now, zone=zone)
    start = cut_off - lookback if previous_cut_off is None else previous_cut_off.astimezone(UTC)
    # A publication that moved west, or a clock set back, can have cut off later than this.
    return Window(start=min(start, cut_off), cut_off=cut_off)


def classify_candidate(
    *,
    published_at: datetime,
    first_seen_at: datetime,
    window: Window,
    made_at: datetime,
    lookback: timedelta,
    beginning: datetime | None,
    not_before: datetime | None = None,
    expires_at: datetime | None = None,
) -> Standing:
    """Classify a brief that no edition has claimed, for one that is made at a moment.

    That is the cut-off, or later where the edition of a past day is made up for. `beginning` is
    where the first window of all began; None makes this edition the first, which takes nothing
    late.
    """
    if expires_at is not None and expires_at <= made_at:
        return "expired"
    if not_before is not None and not_before > window.cut_off:
        return "embargoed"
    if published_at >= window.cut_off:
        # An undated brief carries the moment it was seen. Where one reading of the clock
        # serves gathering and composing that moment is the cut-off itself.
        undated = published_at == first_seen_at == window.cut_off
        return "in" if undated else "not_yet"
    due_at = published_at if not_before is None else max(published_at, not_before)
    if due_at >= window.start:
        return "in"
    if beginning is None:
        return "too_old"
    was_news = first_seen_at - due_at <= lookback
    if first_seen_at >= window.start:
        return "late" if was_news or window.start - due_at <= lookback else "too_old"
    return "late" if was_news and due_at >= beginning else "too_old"


def format_counts(counts: Mapping[Standing, int]) -> str:
    """Write counts for a person, e.g. "12 in the window, 3 older than the window"."""
    told = [f"{counts[key]} {words}" for key, words in STANDINGS.items() if counts.get(key)]
    return ", ".join(told) or "no briefs"


def _start_of_day(day: date, zone: ZoneInfo) -> datetime:
    """Give the first instant of a local day.

    Of a midnight that comes twice fold 0 is the earlier one. Of a midnight that is skipped,
    fold 0 with the offset before the change is the very instant of the change (PEP 495).
    """
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)
