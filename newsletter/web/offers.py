"""What the form of a reader's choices offers, and what it says when it is sent. Pure.

What the form does not offer is passed over: a value that somebody made up changes nothing. Nor
does what a form does not ask about at all, such as one of an operator's own template: boxes that
are not ticked are not sent, so a form names those that it asks about (`asked`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from babel import Locale, UnknownLocaleError

from newsletter.audience.reader import (
    DETAILS,
    FORMATS,
    MINUTES,
    Choices,
    Mute,
    Rhythm,
    refusal,
)
from newsletter.render.languages import write_date
from newsletter.settings import WEEKDAYS

MUTED_FOR = timedelta(days=7)
LONGEST_PAUSE = timedelta(days=366)
HOURS = tuple(f"{hour:02}:00" for hour in range(24))
_RANK = re.compile("[1-9][0-9]?")
_REGIONS = (
    *("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe"),
    *("Indian", "Pacific"),
)

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a reader may choose from."""

    topics: tuple[str, ...] = ()
    lenses: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    rhythms: tuple[Rhythm, ...] = ()
    editions: Mapping[str, bool] = field(default_factory=dict)
    """Further daily editions, and whether each is for all who take the daily one."""
    zones: tuple[str, ...] = ()
    news: Mapping[str, str] = field(default_factory=dict)
    """What may be muted, as `Mute` names it, and how it is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionView:
    """One answer that a form offers."""

    value: str
    text: str
    is_chosen: bool
    rank: int = 0
    """Of a lens: where the reader wants it; 0 for one that they do not want."""
    until: str = ""
    """Of what is muted: the date of the first edition that has it again."""
    group: str = ""
    """Of a time zone: its part of the world."""


def read_choices(pairs: Pairs, offer: Offer, before: Choices, *, today: date) -> Choices:
    """Read what a form says; what it does not ask about stays as it was."""
    last = dict(pairs)
    asked = {value for name, value in pairs if name == "asked"}
    topics = {*offer.topics, *before.topics}
    ranks = {
        lens: int(rank)
        for lens in offer.lenses
        if _RANK.fullmatch(rank := last.get(f"lens:{lens}", ""))
    }
    details = [each for each in DETAILS if each == last.get("detail")]
    formats = [each for each in FORMATS if each == last.get("format")]
    days = tuple(day for day in WEEKDAYS if ("day", day) in pairs)
    send_at, zone = last.get("send_at", before.send_at), last.get("timezone", before.timezone)
    return replace(
        before,
        topics=tuple(dict.fromkeys(v for k, v in pairs if k == "topic" and v in topics)),
        lenses=tuple(sorted(ranks, key=lambda lens: ranks[lens])),
        detail=details[0] if details else "",
        minutes=next((each for each in MINUTES if str(each) == last.get("minutes")), 0),
        format=formats[0] if formats else "",
        language=next((each for each in offer.languages if each == last.get("language")), ""),
        rhythm=next((each for each in offer.rhythms if each == last.get("rhythm")), before.rhythm),
        editions=_read_editions(pairs, offer, before) if "editions" in asked else before.editions,
        days=before.days if "days" not in asked else () if days == WEEKDAYS else days,
        send_at=send_at if send_at in ("", *HOURS) else before.send_at,
        timezone=zone if zone == "" or zone in offer.zones else before.timezone,
        muted=_read_muted(pairs, offer, before, today) if "muted" in asked else before.muted,
    )


def _read_editions(pairs: Pairs, offer: Offer, before: Choices) -> tuple[str, ...]:
    """Read which further editions are wanted; where nothing changes, nothing is said anew."""
    said = before.editions
    for kind, is_for_all in offer.editions.items():
        is_wanted = ("edition", kind) in pairs
        if is_wanted == takes_edition(before, kind, is_for_all=is_for_all):
            continue
        said = tuple(each for each in said if each not in (kind, refusal(kind)))
        if is_wanted or is_for_all:
            said = (*said, kind if is_wanted else refusal(kind))
    return said


def takes_edition(choices: Choices, kind: str, *, is_for_all: bool) -> bool:
    """Tell whether a reader takes a further daily edition."""
    if not is_for_all or kind in choices.editions:
        return kind in choices.editions
    return choices.rhythm != "weekly" and refusal(kind) not in choices.editions


def _read_muted(pairs: Pairs, offer: Offer, before: Choices, today: date) -> tuple[str, ...]:
    """Read what is to be left out: for a week from now on, or as long as it was to be before."""
    mutes = {mute.what: mute for mute in map(Mute.parse, before.muted) if today < mute.until}
    wanted = dict.fromkeys(value for name, value in pairs if name == "mute")
    return tuple(
        str(mutes.get(what) or Mute(what=what, until=today + MUTED_FOR))
        for what in wanted
        if what in mutes or what in offer.news
    )


def read_pause(pairs: Pairs, before: date | None, *, today: date) -> date | None:
    """Read until when no edition is to come; None for one that is not to be, or is over."""
    text = dict(pairs).get("paused_until")
    if text is None:
        return before
    with suppress(ValueError):
        until = date.fromisoformat(text)
        if today < until <= today + LONGEST_PAUSE:
            return until
    return None


def write_choices(choices: Choices, name: str) -> list[tuple[str, str]]:
    """Write choices as the form would send them: what the frame shows at first."""
    pairs = [("name", name), *(("topic", topic) for topic in choices.topics)]
    pairs += ((f"lens:{lens}", str(rank)) for rank, lens in enumerate(choices.lenses, 1))
    pairs += (("asked", "muted"), *(("mute", Mute.parse(each).what) for each in choices.muted))
    others: dict[str, Any] = {
        "detail": choices.detail,
        "minutes": choices.minutes,
        "format": choices.format,
        "language": choices.language,
        "rhythm": choices.rhythm,
    }
    return pairs + [(key, str(value)) for key, value in others.items() if value]


# -- what a template sees --------------------------------------------------------------------------


def build_options(values: Iterable[str], chosen: Iterable[str]) -> list[OptionView]:
    """Give answers of which any may be chosen."""
    wanted = set(chosen)
    return [OptionView(value=v, text=v, is_chosen=v in wanted) for v in values]


def rank_lenses(lenses: Sequence[str], chosen: Sequence[str]) -> list[OptionView]:
    """Give the lenses, those that the reader wants first, each with its rank."""
    folded = {lens.casefold(): lens for lens in lenses}
    order = [folded[c.casefold()] for c in chosen if c.casefold() in folded]
    ranks = {lens: rank for rank, lens in enumerate(dict.fromkeys(order), 1)}
    return [
        OptionView(value=lens, text=lens, is_chosen=lens in ranks, rank=ranks.get(lens, 0))
        for lens in sorted(lenses, key=lambda lens: ranks.get(lens, len(lenses) + 1))
    ]


def build_days(chosen: Sequence[str], language: str) -> list[OptionView]:
    """Give the weekdays, each in the words of a language; all where none is chosen."""
    names = _parse_locale(language).days["stand-alone"]["wide"]
    return [
        OptionView(value=day, text=str(names[n]), is_chosen=not chosen or day in chosen)
        for n, day in enumerate(WEEKDAYS)
    ]


def build_hours(chosen: str) -> list[OptionView]:
    """Give the hours of the day, and the one that is chosen if it is another."""
    return build_options(sorted({*HOURS, chosen} - {""}), [chosen])


def build_zones(zones: Sequence[str], chosen: str) -> list[OptionView]:
    """Give the time zones, each with its part of the world, by which they are in order."""
    return [
        OptionView(
            value=zone,
            text=zone.partition("/")[2].replace("_", " ") or zone,
            is_chosen=zone == chosen,
            group=zone.partition("/")[0] if "/" in zone else "",
        )
        for zone in dict.fromkeys((*zones, *([chosen] if chosen else [])))
    ]


def list_zones(known: Iterable[str]) -> tuple[str, ...]:
    """Choose, of all names of time zones, those that people know: UTC, and places."""
    return ("UTC", *sorted(zone for zone in known if zone.partition("/")[0] in _REGIONS))


def build_mutes(
    news: Mapping[str, str], muted: Sequence[str], today: date, language: str
) -> list[OptionView]:
    """Give what may be muted; what is muted already says until when."""
    until = {mute.what: mute.until for mute in map(Mute.parse, muted) if today < mute.until}
    return [
        OptionView(
            value=what,
            text=text,
            is_chosen=what in until,
            until=write_date(until[what], language) if what in until else "",
        )
        for what, text in news.items()
    ]


def name_language(code: str) -> str:
    """Name a language in itself."""
    try:
        name = Locale.parse(code, sep="-").get_display_name(code) or code
    except (ValueError, UnknownLocaleError):
        name = code
    return name[:1].upper() + name[1:]


def _parse_locale(language: str) -> Locale:
    try:
        return Locale.parse(language, sep="-")
    except (ValueError, UnknownLocaleError):
        return Locale.parse("en")
