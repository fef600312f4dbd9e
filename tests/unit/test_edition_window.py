from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.editions.model import Window
from newsletter.editions.window import (
    STANDINGS,
    Standing,
    classify_candidate,
    decide_cut_off,
    decide_window,
    format_counts,
    local_date,
)
from newsletter.errors import RefusedError

NEW_YORK = ZoneInfo("America/New_York")
BERLIN = ZoneInfo("Europe/Berlin")
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
INSTANT = timedelta(microseconds=1)


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


# -- the cut-off -------------------------------------------------------------------------------


def test_todays_cut_off_is_the_moment_of_composing() -> None:
    now = utc(2026, 3, 2, 12, 1)
    assert decide_cut_off(date(2026, 3, 2), now=now, zone=NEW_YORK) == now


def test_today_is_the_publications_day_not_utcs() -> None:
    now = utc(2026, 3, 3, 3)  # 22:00 on the 2nd in New York
    assert local_date(now, NEW_YORK) == date(2026, 3, 2)
    assert decide_cut_off(date(2026, 3, 2), now=now, zone=NEW_YORK) == now
    with pytest.raises(RefusedError, match="2026-03-03 has not begun in America/New_York"):
        decide_cut_off(date(2026, 3, 3), now=now, zone=NEW_YORK)


def test_a_future_day_is_refused_with_what_to_choose() -> None:
    with pytest.raises(RefusedError) as caught:
        decide_cut_off(date(2026, 3, 4), now=utc(2026, 3, 2, 12), zone=BERLIN)
    assert "choose 2026-03-02 or an earlier date" in str(caught.value)


def test_the_cut_off_is_utc_whatever_zone_now_came_in() -> None:
    now = datetime(2026, 3, 2, 7, tzinfo=NEW_YORK)
    cut_off = decide_cut_off(date(2026, 3, 2), now=now, zone=NEW_YORK)
    assert (cut_off, cut_off.tzinfo) == (utc(2026, 3, 2, 12), UTC)


@pytest.mark.parametrize(
    ("zone", "day", "end"),
    [
        (NEW_YORK, date(2026, 3, 7), utc(2026, 3, 8, 5)),
        (NEW_YORK, date(2026, 3, 8), utc(2026, 3, 9, 4)),  # 23 hours long
        (NEW_YORK, date(2026, 10, 31), utc(2026, 11, 1, 4)),
        (NEW_YORK, date(2026, 11, 1), utc(2026, 11, 2, 5)),  # 25 hours long
        (BERLIN, date(2026, 3, 28), utc(2026, 3, 28, 23)),
        (BERLIN, date(2026, 3, 29), utc(2026, 3, 29, 22)),
        (BERLIN, date(2026, 10, 24), utc(2026, 10, 24, 22)),
        (BERLIN, date(2026, 10, 25), utc(2026, 10, 25, 23)),
    ],
)
def test_a_past_day_ends_at_its_local_midnight(zone: ZoneInfo, day: date, end: datetime) -> None:
    assert decide_cut_off(day, now=utc(2027, 1, 1), zone=zone) == end


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("America/Santiago", date(2026, 9, 5)),  # the clock goes from 24:00 to 01:00
        ("America/Santiago", date(2026, 4, 4)),  # and from 24:00 back to 23:00
        ("America/Havana", date(2026, 3, 7)),  # from 00:00 to 01:00
        ("America/Havana", date(2026, 11, 1)),  # from 01:00 back to 00:00
        ("Africa/Cairo", date(2026, 4, 23)),
        ("Asia/Beirut", date(2026, 3, 28)),
    ],
)
def test_where_midnight_is_skipped_or_comes_twice_the_day_still_ends_at_its_end(
    name: str, day: date
) -> None:
    zone = ZoneInfo(name)
    for ending in (day - DAY, day, day + DAY):
        end = decide_cut_off(ending, now=utc(2027, 1, 1), zone=zone)
        assert local_date(end - INSTANT, zone) == ending
        assert local_date(end, zone) == ending + DAY


# -- the window --------------------------------------------------------------------------------


def test_a_first_edition_looks_back_by_hours_that_pass_not_by_the_clock_on_the_wall() -> None:
    now = datetime(2026, 3, 8, 7, tzinfo=NEW_YORK)
    window = decide_window(
        date(2026, 3, 8), now=now, zone=NEW_YORK, previous_cut_off=None, lookback=DAY
    )
    assert window == Window(start=utc(2026, 3, 7, 11), cut_off=utc(2026, 3, 8, 11))


def test_missed_days_are_covered_since_the_window_begins_at_the_previous_cut_off() -> None:
    window = decide_window(
        date(2026, 3, 9),
        now=utc(2026, 3, 9, 11),
        zone=NEW_YORK,
        previous_cut_off=utc(2026, 3, 2, 12),
        lookback=DAY,
    )
    assert window == Window(start=utc(2026, 3, 2, 12), cut_off=utc(2026, 3, 9, 11))


def test_a_window_never_ends_before_it_begins() -> None:
    """As after a publication moved from Auckland to Honolulu."""
    window = decide_window(
        date(2026, 3, 2),
        now=utc(2026, 3, 2, 12),
        zone=ZoneInfo("Pacific/Honolulu"),
        previous_cut_off=utc(2026, 3, 2, 13),
        lookback=DAY,
    )
    assert window.start == window.cut_off == utc(2026, 3, 2, 12)


# -- the standing of a brief -------------------------------------------------------------------

START, CUT_OFF = utc(2026, 3, 2, 12), utc(2026, 3, 3, 12)


@pytest.mark.parametrize(
    ("published_at", "first_seen_at", "standing", "in_first"),
    [
        # Published in the window: it is in, whenever it was seen.
        (START, START, "in", "in"),
        (START, START - HOUR, "in", "in"),
        (CUT_OFF - INSTANT, CUT_OFF - INSTANT, "in", "in"),
        (CUT_OFF - HOUR, CUT_OFF + DAY, "in", "in"),
        # Published before it, seen in it.
        (START - INSTANT, START, "late", "too_old"),
        (START - INSTANT, CUT_OFF, "late", "too_old"),
        (START - DAY, START + HOUR, "late", "too_old"),
        (START - DAY - INSTANT, START + HOUR, "too_old", "too_old"),
        # Seen when an earlier edition could take it, and none did: a clock was wrong.
        (START - HOUR, START - INSTANT, "late", "too_old"),
        (START - DAY - HOUR, START - INSTANT, "too_old", "too_old"),
        # Or it was there before the first edition, and older than that looked back.
        (START - 10 * DAY - INSTANT, START - 10 * DAY, "too_old", "too_old"),
        # Seen after the window, which was made up for, or a clock was set back: nothing waits.
        (START - HOUR, CUT_OFF + INSTANT, "late", "too_old"),
        # Dated in the future.
        (CUT_OFF, CUT_OFF - INSTANT, "not_yet", "not_yet"),
        (CUT_OFF, CUT_OFF + INSTANT, "not_yet", "not_yet"),
        (CUT_OFF + INSTANT, CUT_OFF, "not_yet", "not_yet"),
        (CUT_OFF + 300 * DAY, START, "not_yet", "not_yet"),
        # Undated, and gathered at the very moment of composing.
        (CUT_OFF, CUT_OFF, "in", "in"),
    ],
)
def test_standing(
    published_at: datetime, first_seen_at: datetime, standing: Standing, in_first: Standing
) -> None:
    window = Window(start=START, cut_off=CUT_OFF)
    for beginning, expected in ((START - 10 * DAY, standing), (None, in_first)):
        found = classify_candidate(
            published_at=published_at,
            first_seen_at=first_seen_at,
            window=window,
            made_at=CUT_OFF,
            lookback=DAY,
            beginning=beginning,
        )
        assert found == expected


@pytest.mark.parametrize(
    ("published_at", "first_seen_at", "not_before", "standing"),
    [
        # The embargo ends after the cut-off, or later: it waits, however old it is.
        (CUT_OFF - HOUR, CUT_OFF - HOUR, CUT_OFF + INSTANT, "embargoed"),
        (START - 9 * DAY, START - 9 * DAY, CUT_OFF + 9 * DAY, "embargoed"),
        (CUT_OFF + HOUR, CUT_OFF - HOUR, CUT_OFF + DAY, "embargoed"),
        # It ends in the window: the brief is new, though published and seen long before.
        (START - 9 * DAY, START - 9 * DAY, CUT_OFF, "in"),
        (START - 9 * DAY, START - 9 * DAY, START, "in"),
        (CUT_OFF - HOUR, CUT_OFF - HOUR, START - DAY, "in"),
        # It ended before the window, and the brief came only now: late, by the embargo's end.
        (START - 9 * DAY, START + HOUR, START - HOUR, "late"),
        (START - 9 * DAY, START + HOUR, START - 2 * DAY, "too_old"),
        # It is dated after its own embargo: the later of the two counts.
        (CUT_OFF + HOUR, CUT_OFF - HOUR, START, "not_yet"),
    ],
)
def test_an_embargo_counts_as_the_time_of_publication(
    published_at: datetime, first_seen_at: datetime, not_before: datetime, standing: Standing
) -> None:
    found = classify_candidate(
        published_at=published_at,
        first_seen_at=first_seen_at,
        window=Window(start=START, cut_off=CUT_OFF),
        made_at=CUT_OFF,
        lookback=DAY,
        beginning=START - 10 * DAY,
        not_before=not_before,
    )
    assert found == standing


@pytest.mark.parametrize(
    ("expires_at", "standing"),
    [(CUT_OFF - INSTANT, "expired"), (CUT_OFF, "expired"), (CUT_OFF + INSTANT, "in")],
)
@pytest.mark.parametrize("beginning", [None, START - DAY])
def test_what_expires_by_the_cut_off_is_in_no_edition(
    expires_at: datetime, standing: Standing, beginning: datetime | None
) -> None:
    found = classify_candidate(
        published_at=START,
        first_seen_at=START,
        window=Window(start=START, cut_off=CUT_OFF),
        made_at=CUT_OFF,
        lookback=DAY,
        beginning=beginning,
        expires_at=expires_at,
    )
    assert found == standing


def test_a_past_day_that_is_made_up_for_has_nothing_that_expired_since() -> None:
    found = classify_candidate(
        published_at=START,
        first_seen_at=START,
        window=Window(start=START, cut_off=CUT_OFF),
        made_at=CUT_OFF + 2 * DAY,
        lookback=DAY,
        beginning=None,
        expires_at=CUT_OFF + DAY,
    )
    assert found == "expired"


def test_counts_are_said_in_words() -> None:
    assert format_counts({"in": 12, "late": 0, "too_old": 3, "not_yet": 1}) == (
        "12 in the window, 3 older than the window, 1 not yet published"
    )
    assert format_counts(dict.fromkeys(STANDINGS, 0)) == "no briefs"


# -- a whole history ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    published_at: datetime
    first_seen_at: datetime


@dataclass(frozen=True, slots=True)
class Making:
    """That an edition of a day was made, and when."""

    day: date
    now: datetime


def make_editions(
    briefs: list[Seen],
    makings: list[Making],
    *,
    zone: ZoneInfo,
    lookback: timedelta,
    claiming: bool,
) -> tuple[list[list[date]], datetime]:
    """Make editions one after another; give each brief's editions, and the first one's cut-off.

    Unless `claiming`, a brief stays on offer when an edition has it, and the windows alone must
    keep it out of the others.
    """
    cut_offs: dict[date, datetime] = {}
    starts: dict[date, datetime] = {}
    editions: list[list[date]] = [[] for _ in briefs]
    waiting = sorted(range(len(briefs)), key=lambda i: briefs[i].first_seen_at, reverse=True)
    gathered: list[int] = []
    for making in makings:
        while waiting and briefs[waiting[-1]].first_seen_at <= making.now:
            gathered.append(waiting.pop())
        before = [day for day in cut_offs if day < making.day]
        previous = cut_offs[max(before)] if before else None
        window = decide_window(
            making.day, now=making.now, zone=zone, previous_cut_off=previous, lookback=lookback
        )
        cut_offs[making.day], starts[making.day] = window.cut_off, window.start
        beginning = min((starts[day] for day in before), default=None)
        if beginning and not claiming:
            beginning = window.start
        on_offer = []
        for i in gathered:
            standing = classify_candidate(
                published_at=briefs[i].published_at,
                first_seen_at=briefs[i].first_seen_at,
                window=window,
                made_at=making.now,
                lookback=lookback,
                beginning=beginning,
            )
            if standing in ("in", "late"):
                editions[i].append(making.day)
            if not (claiming and editions[i]) and briefs[i].published_at > making.now - 40 * DAY:
                on_offer.append(i)
        gathered = on_offer
    return editions, min(cut_offs.values())


ZONES = st.sampled_from([NEW_YORK, BERLIN, ZoneInfo("America/Santiago"), ZoneInfo("UTC")])
ORIGIN = utc(2026, 3, 1)
OFFSETS = st.integers(0, 30 * 86_400).map(lambda seconds: timedelta(seconds=seconds))
DELAYS = st.integers(-3 * 86_400, 2 * 86_400).map(lambda seconds: timedelta(seconds=seconds))


@given(
    zone=ZONES,
    arrivals=st.lists(st.tuples(OFFSETS, DELAYS), max_size=30),
    moments=st.lists(st.tuples(OFFSETS, st.integers(0, 3)), min_size=1, max_size=12),
    lookback=st.sampled_from([6 * HOUR, DAY, 3 * DAY]),
)
def test_every_brief_seen_in_time_is_in_exactly_one_edition(
    zone: ZoneInfo,
    arrivals: list[tuple[timedelta, timedelta]],
    moments: list[tuple[timedelta, int]],
    lookback: timedelta,
) -> None:
    """Whatever days were missed, made late in the day, or made up for days afterwards."""
    briefs = [Seen(ORIGIN + seen + delay, ORIGIN + seen) for seen, delay in arrivals]
    makings: list[Making] = []
    for moment, days_late in sorted(moments):
        now = ORIGIN + moment
        day = local_date(now, zone) - days_late * DAY
        if day not in {making.day for making in makings}:
            makings.append(Making(day, now))
    # The edition that catches up with everything, future-dated briefs included.
    last = max(making.now for making in makings) + 60 * DAY
    makings.append(Making(local_date(last, zone), last))

    found, first_cut_off = make_editions(
        briefs, makings, zone=zone, lookback=lookback, claiming=True
    )

    first_now = makings[0].now
    for brief, editions in zip(briefs, found, strict=True):
        in_time = brief.published_at >= brief.first_seen_at - lookback
        if in_time and brief.first_seen_at > max(first_now, first_cut_off):
            assert len(editions) == 1


@pytest.mark.parametrize("zone", [NEW_YORK, BERLIN])
def test_ten_years_with_missed_days_lose_no_brief_and_repeat_none(zone: ZoneInfo) -> None:
    rng = random.Random(2026)
    first_day, days = date(2026, 1, 1), 3652
    makings = []
    for number in range(days):
        if number == 0 or number == days - 1 or rng.random() > 0.1:
            day = first_day + number * DAY
            minute = time(7, rng.randrange(60), rng.randrange(60))
            makings.append(Making(day, datetime.combine(day, minute, tzinfo=zone).astimezone(UTC)))
    span = (makings[-1].now - makings[0].now) // INSTANT
    briefs = []
    for _ in range(4 * days):
        seen = makings[0].now + rng.randrange(1, span) * INSTANT
        published = seen - rng.random() * DAY if rng.random() > 0.02 else seen + rng.random() * DAY
        briefs.append(Seen(min(published, makings[-1].now - INSTANT), seen))

    found, _ = make_editions(briefs, makings, zone=zone, lookback=DAY, claiming=False)

    assert [len(editions) for editions in found] == [1] * len(briefs)
