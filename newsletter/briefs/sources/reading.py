"""What every kind of source gives back, and what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from newsletter.briefs.model import Brief, BriefWarning
from newsletter.settings import Vocabulary


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceContext:
    """What a source needs to know besides its own settings."""

    root: Path
    """Directory that relative paths of the configuration start from."""
    vocabulary: Vocabulary
    user_agent: str
    """How we name ourselves to servers."""
    validators: Mapping[str, str] = field(default_factory=dict)
    """What the last successful reading of this source gave back as its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One brief as a source holds it now."""

    brief: Brief
    """Its `published_at` is the one that the document states, or None."""
    origin: str
    """The file or entry it came from, for people."""
    place: str = ""
    """Where in the source it stands, if a brief keeps its place when it is edited."""
    dated_at: datetime | None = None
    """The time of the thing that holds it, such as a file, for a brief that states none."""
    warnings: tuple[BriefWarning, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one source holds now. The items are in the source's own, repeatable order."""

    items: tuple[Item, ...] = ()
    problems: tuple[str, ...] = ()
    """A sentence for each document that had to be left out."""
    validators: Mapping[str, str] = field(default_factory=dict)
    """To be kept with the items, and handed to the next reading."""
    unchanged: bool = False
    """The source itself says that nothing changed since the last reading; `items` is empty."""
