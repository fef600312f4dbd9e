"""Who reads: a subscriber, what they chose, and the reader that an edition is frozen for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

Status = Literal["pending", "active", "unsubscribed", "bounced", "complained"]
Detail = Literal["one-line", "standard", "full"]
Format = Literal["html", "text"]
Rhythm = Literal["daily", "weekly", "both"]

DETAILS: tuple[Detail, ...] = ("one-line", "standard", "full")
FORMATS: tuple[Format, ...] = ("html", "text")
RHYTHMS: tuple[Rhythm, ...] = ("daily", "weekly", "both")
MINUTES = (3, 5, 10)


def refusal(kind: str) -> str:
    """Write that a reader does not want a further daily edition, as `Choices.editions` has it."""
    return f"no {kind}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    """What a reader wants nothing of for a while; it ends by itself."""

    what: str
    """ "topic:NAME", or "story:" and the story's number."""
    until: date
    """The date of the first edition that has it again."""

    def __str__(self) -> str:
        return f"{self.until.isoformat()} {self.what}"

    @classmethod
    def parse(cls, text: str) -> Mute:
        """Read what `str` wrote."""
        day, _, what = text.partition(" ")
        return cls(what=what, until=date.fromisoformat(day))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a reader chose; an empty value means the publication's own default."""

    language: str = ""
    timezone: str = ""
    topics: tuple[str, ...] = ()
    lenses: tuple[str, ...] = ()
    detail: Detail | Literal[""] = ""
    minutes: int = 0
    format: Format | Literal[""] = ""
    send_at: str = ""
    """Local time of day, "HH:MM"."""
    days: tuple[str, ...] = ()
    """Weekdays of the daily and special editions that are for the reader, further ones too."""
    rhythm: Rhythm | Literal[""] = ""
    """Which editions: the daily one, the week's round-up, or both."""
    editions: tuple[str, ...] = ()
    """Further daily editions that they want beside those, such as "evening"; or, where one comes
    to all who take the daily one, do not want: "no evening" (`refusal`)."""
    muted: tuple[str, ...] = ()
    """What is left out until an edition's date, such as "2026-12-03 topic:markets" (`Mute`)."""

    def muted_on(self, day: date) -> frozenset[str]:
        """Give what the edition of a day leaves out, such as "topic:markets" and "story:17"."""
        return frozenset(mute.what for mute in map(Mute.parse, self.muted) if day < mute.until)

    def to_document(self) -> dict[str, Any]:
        """Give the choices as JSON, leaving out what was not chosen."""
        pairs = ((name, getattr(self, name)) for name in self.__dataclass_fields__)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in pairs if v}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Choices:
        """Read what `to_document` wrote; keys of later versions are ignored."""
        known: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in document.items()
            if name in cls.__dataclass_fields__
        }
        return cls(**known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """A reader as the list knows them."""

    id: int
    email: str
    name: str
    status: Status
    choices: Choices
    fields: Mapping[str, str] = field(default_factory=dict)
    """The operator's own columns, by name; usable in templates as `fields.NAME`."""
    consent_at: datetime | None = None
    consent_source: str = ""
    created_at: datetime
    paused_until: date | None = None
    """The date of the first edition that they want again."""

    def to_document(self) -> dict[str, Any]:
        """Give the reader as JSON; moments in ISO 8601."""
        return {
            "id": self.id,
            "email": self.email,
            "name": self.name,
            "status": self.status,
            "choices": self.choices.to_document(),
            "fields": dict(self.fields),
            "consent_at": self.consent_at and self.consent_at.isoformat(),
            "consent_source": self.consent_source,
            "created_at": self.created_at.isoformat(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One recipient of one edition, frozen when the audience was."""

    subscriber_id: int
    email: str
    name: str = ""
    choices: Choices = Choices()
    fields: Mapping[str, str] = field(default_factory=dict)
    had: frozenset[str] = frozenset()
    """The names of the editions that this one refers to and that the reader was sent by then, or
    was still to be sent."""

    @property
    def domain(self) -> str:
        """What is behind the "@" of the address: whom its provider is known by."""
        return self.email.rpartition("@")[2].lower()
