"""What every kind of source gives back, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from newsletter.briefs.model import Brief, BriefWarning
from newsletter.briefs.turns import Turns
from newsletter.errors import SourceError
from newsletter.settings import VARIABLE, SourceSettings, Vocabulary


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
    turns: Turns | None = None
    """Whose turn it is at a server; of one gathering."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Where the secrets are that settings name in braces; never stored, never shown."""

    def secret(self, setting: str) -> str:
        """Fill in the variables of a setting: "Bearer {NEWS_TOKEN}".

        Where NEWS_TOKEN is not set, NEWS_TOKEN_FILE may name a file that holds it. Raises
        `SourceError` naming the variable.
        """
        return VARIABLE.sub(lambda found: self._variable(found[1]), setting)

    def _variable(self, name: str) -> str:
        value = self.environment.get(name, "")
        file = self.environment.get(f"{name}_FILE", "")
        if not value and file:
            try:
                value = (self.root / file).read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError):
                raise SourceError(f"the file that {name}_FILE names cannot be read") from None
        if not value:
            raise SourceError(f"{name} is not set", mend="put it into .env beside newsletter.toml")
        if not value.isprintable():
            raise SourceError(f"{name} is more than one line", mend="correct it")
        return value


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
    missing: str = ""
    """Why the rest is missing where only a part could be read, as a sentence. The items are
    stored all the same; the validators must then lead the next reading to the missing part."""
    pause_seconds: int = 0
    """How long the server that withheld the rest wants to be left alone; 0 where it did not say."""
    is_all: bool = False
    """The items are all that the source shows, seen before or not: none at all would be odd."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceKind:
    """A kind of source: the model of its settings, and what reads one.

    The reader gets an instance of that model. It raises `SourceError` when the source cannot
    be read at all; it touches no database of ours, so sources may be read side by side.
    """

    settings: type[SourceSettings]
    read: Callable[[Any, SourceContext], Reading]
