"""What an edition is: the digest of one editorial date, composed but not yet rendered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from newsletter.briefs.model import Brief, Picture

Kind = str
"""What an edition is of its date. Each kind has at most one edition a date.

It is "daily", "weekly", "special", "correction", or the name of a further daily edition. Daily
ones (`settings.is_daily`) claim their briefs, each from what no other of its series has
(`Settings.series_of`), and so does a special edition; what another series told before they tell
to who was not sent that (`Placing.had_in`). The weekly round-up takes its briefs from the week's
editions, and does the same. A correction goes to those who had what it corrects.
"""

_NAME = re.compile(r"(\d{4}-\d\d-\d\d)(?:-([a-z][a-z0-9]{0,19}))?", re.ASCII)

Outcome = Literal["happened", "moved", "expired"]
"""What became of what readers were told to watch.

Moved: a later brief goes on with the story, which says no more than that. Happened: an operator
says so. Expired: its time passed.
"""

Prominence = Literal["full", "standard", "one-line"]
"""The most that any reader gets of a brief."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The half-open span [start, cut_off) of a day's news, in aware UTC."""

    start: datetime
    cut_off: datetime

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.cut_off


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What the editor says to the readers of this edition. Paragraphs as in a brief."""

    text: str
    heading: str = ""
    by: str = ""
    """Who signs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sponsor:
    """Who pays for a block in the edition, and what they say in it."""

    name: str
    text: str
    url: str
    picture: Picture | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What an earlier edition got wrong."""

    text: str
    day: date | None = None
    """The date of the edition that it corrects."""
    link: str = ""
    """Where the corrected text stands."""
    is_owed: bool = False
    """Only readers who were sent the edition of `day` get it."""
    kind: Kind = "daily"
    """The kind of the edition of `day`."""
    number: int = 0
    """The number there of the brief that was wrong; 0 for none of them."""
    title: str = ""
    """The title of that brief."""
    correction_id: int = 0
    """Its row in the database; 0 for one from a notes file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Another outlet's piece on the same story."""

    outlet: str
    title: str
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """How a brief stands in an edition, and why."""

    section: str = ""
    """The heading that it stands under; "" for none."""
    prominence: Prominence = "full"
    also: tuple[Report, ...] = ()
    """Who else reported the story."""
    why: str = ""
    """Why it stands here, in one sentence, for operators."""
    is_late: bool = False
    """It was published in time for an earlier edition, and came too late for it."""
    moved: str = ""
    """What changed since the edition of `had_on`, in an editor's words; "" where nobody said."""
    had_on: date | None = None
    """The date of the edition that had the story before."""
    had_kind: Kind = "daily"
    """The kind of that edition."""
    had_number: int = 0
    """The number of the story's brief there; 0 where it is not known."""
    had_title: str = ""
    """The title of that brief."""
    had_in: tuple[str, ...] = ()
    """The names of editions of other series that told this very brief: who was sent one of them
    does not get it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What an earlier edition told readers to watch, and what became of it."""

    text: str
    """What was said then."""
    title: str
    """The title of the brief that said it."""
    day: date
    """The date of the edition that said it."""
    outcome: Outcome
    news: str = ""
    """What is known now; "" for what expired."""
    kind: Kind = "daily"
    """The kind of the edition of `day`."""
    said_number: int = 0
    """The number there of the brief that said it."""
    number: int = 0
    """The number of the brief in this edition that goes on with the story; 0 for none."""
    topics: tuple[str, ...] = ()
    """Who wants none of these does not get it."""
    promise_id: int = 0
    """Its row in the database."""
    had_in: tuple[str, ...] = ()
    """The names of editions of other series that told this: who was sent one does not get it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """One edition's content, in reading order. A quiet day's edition has no briefs."""

    date: date
    kind: Kind = "daily"
    window: Window
    subject: str
    preheader: str
    briefs: tuple[Brief, ...]
    left_out: int = 0
    """How many briefs of the window found no room."""
    note: Note | None = None
    sponsor: Sponsor | None = None
    corrections: tuple[Correction, ...] = ()
    placings: tuple[Placing, ...] = ()
    """One for each of `briefs`; an edition of an earlier version has none."""
    watching: tuple[Watched, ...] = ()
    sections: tuple[str, ...] = ()
    """The headings that its briefs stand under, in order; what has none stands behind them."""

    def placing(self, position: int) -> Placing:
        """Give how the brief at a position stands."""
        return self.placings[position] if self.placings else Placing()


def name_edition(day: date, kind: Kind) -> str:
    """Name an edition in addresses and commands: 2026-11-23, 2026-11-23-evening."""
    return day.isoformat() if kind == "daily" else f"{day.isoformat()}-{kind}"


def parse_edition_name(name: str) -> tuple[date, Kind] | None:
    """Read what `name_edition` writes, and "…-daily"; None for any other text."""
    found = _NAME.fullmatch(name)
    try:
        return (date.fromisoformat(found[1]), found[2] or "daily") if found else None
    except ValueError:
        return None


def list_owed_for(edition: Edition) -> tuple[str, ...]:
    """List the names of the editions whose readers are owed a correction in this one."""
    return tuple(
        sorted({name_edition(c.day, c.kind) for c in edition.corrections if c.is_owed and c.day})
    )


def list_referred_to(edition: Edition) -> tuple[str, ...]:
    """List the names of editions on which depends what a reader gets of this one."""
    had = {name for names in _list_had(edition) for name in names}
    return tuple(sorted({*list_owed_for(edition), *had}))


def list_repeated(edition: Edition) -> tuple[tuple[str, ...], ...]:
    """List for all that an edition tells which editions told it; none if it tells more.

    Who was sent one of each has all of it, but for a correction that is owed to them.
    """
    is_new = edition.note or any(not each.is_owed for each in edition.corrections)
    had = {*_list_had(edition)}
    return () if is_new or () in had else tuple(sorted(had))


def _list_had(edition: Edition) -> list[tuple[str, ...]]:
    """List which editions told each brief, and each thing that is still watched."""
    placings = [edition.placing(position) for position in range(len(edition.briefs))]
    return [each.had_in for each in placings] + [each.had_in for each in edition.watching]
