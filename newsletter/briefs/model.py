r"""What a brief is: one story of the day, with the parts that a reader sees.

A `Brief` is plain text throughout: no markup, paragraphs separated by one blank line
(`"\n\n"`), no line break within a paragraph, NFC, no control characters. The formats in
this room promise that; renderers rely on it and escape everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from newsletter.errors import BriefError


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One labelled line of the quick take, e.g. "Who Loses"."""

    label: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Perspective:
    """One lens on the story. An empty text means the file stopped after the descriptor."""

    lens: str
    descriptor: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the original reporting stands: a domain or a plain name, and its address if known."""

    name: str
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture beside a text: where it is fetched from, what it shows, its size in pixels."""

    url: str
    alt: str
    width: int
    height: int
    caption: str = ""
    credit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """One story. Only title and summary are certain; everything else may be empty."""

    title: str
    summary: str
    why_it_matters: str = ""
    quick_take: tuple[Point, ...] = ()
    perspectives: tuple[Perspective, ...] = ()
    sources: tuple[Source, ...] = ()
    disclosure: str = ""
    """The disclosure as the document had it; empty when it had none (the edition adds its own)."""
    id: str = ""
    link: str = ""
    """The publication's own page for this brief, or the feed entry's address."""
    topics: tuple[str, ...] = ()
    author: str = ""
    published_at: datetime | None = None
    """Aware UTC: front matter, sidecar, feed entry, else the file's own time."""
    picture: Picture | None = None
    """Only where the operator gives one, and never needed for a fact."""
    not_before: datetime | None = None
    """Aware UTC: the embargo. No edition that cuts off or is sent earlier may have the brief."""
    expires_at: datetime | None = None
    """Aware UTC: from then on no edition may have the brief."""
    priority: int = 0
    """An editor's weight from -9 to 9; 0 for nearly all."""
    pinned: bool = False
    """An editor wants it first, whatever the others weigh."""
    update: str = ""
    """What changed since the story was told before, in an editor's words; one line."""
    drafted_by: Literal["", "ai"] = ""
    """"ai" for a brief whose analysis a machine drafted: where review is required, a person reads
    it whatever its source."""

    @property
    def has_analysis(self) -> bool:
        """Whether the brief carries anything that the disclosure must be shown for."""
        return bool(self.why_it_matters or self.quick_take or self.perspectives)


@dataclass(frozen=True, slots=True, kw_only=True)
class BriefWarning:
    """Something odd that did not stop the import. `code` is one of a closed vocabulary."""

    code: str
    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What a document held: its briefs in order, each with the warnings about it."""

    briefs: tuple[Brief, ...]
    warnings: tuple[tuple[BriefWarning, ...], ...]
    """`warnings[i]` belongs to `briefs[i]`."""
    problems: tuple[BriefError, ...] = ()
    """What stood in the document but could not be imported; the briefs beside it were."""
