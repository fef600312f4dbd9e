"""What a feed of any kind says, as text: the form in which the feed parser hands it over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a feed. HTML is already reduced to text; nothing else is tidied yet."""

    id: str = ""
    link: str = ""
    title: str = ""
    summary: str = ""
    content: str = ""
    published_seconds: float | None = None
    """Since 1970, UTC."""
    topics: tuple[str, ...] = ()
    author: str = ""
    outlet: str = ""
    """The name of the source that the entry itself gives."""
    original_link: str = ""
    """The story that the entry is about, if it is not its own page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFeed:
    """A feed as read."""

    format: str
    """Such as "rss20" or "atom10"; empty for a document that is no feed."""
    entries: tuple[Entry, ...] = ()
    left_out: int = 0
    """Entries beyond the ceiling."""
    flaw: str = ""
    """Why the document is not well-formed, if it is not."""

    def to_document(self) -> dict[str, Any]:
        """Give the feed as JSON."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> ParsedFeed:
        """Read what `to_document` wrote."""
        entries: Iterable[dict[str, Any]] = document.pop("entries")
        return cls(
            entries=tuple(
                Entry(**{**entry, "topics": tuple(entry["topics"])}) for entry in entries
            ),
            **document,
        )
