"""What an edition is: the digest of one editorial date, composed but not yet rendered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from newsletter.briefs.model import Brief, Picture

Kind = Literal["daily"]


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
