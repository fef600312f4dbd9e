"""What an edition is composed of: candidates, and the stories that they tell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from newsletter.briefs.model import Brief
from newsletter.editions.model import Kind
from newsletter.editions.window import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A stored brief, and whether an edition may have it. Times are aware UTC."""

    brief_id: int
    published_at: datetime
    brief: Brief
    source: str = ""
    """The name of the source that brought it."""
    first_seen_at: datetime | None = None
    standing: Standing = "in"
    had_in: tuple[str, ...] = ()
    """The names of editions of other series that tell it, the earliest first."""
    story_id: int | None = None
    """The story that those told it of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """How a released edition told a story before."""

    story_id: int
    day: date
    kind: Kind = "daily"
    brief: Brief
    brief_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Candidates about one event: the one that tells it, and other outlets' pieces."""

    lead: Candidate
    others: tuple[Candidate, ...] = ()
    why: str = ""
    """Why these are one story, in one sentence, for operators; "" for a single one."""
    earlier: Earlier | None = None
    """The last edition that had the story, where it returns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """Two stories of an edition that may be one, each by the piece that leads it."""

    one: Candidate
    other: Candidate
    likeness: float
    """How likely they are one, from 0 to 1."""
    why: str
    """What they share, for operators."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """Where a candidate went, and why: one line of `gather --explain`."""

    candidate: Candidate
    place: str
    """"full", "standard", "one-line", "also", "left out", or its standing."""
    why: str
    """A sentence for operators."""
