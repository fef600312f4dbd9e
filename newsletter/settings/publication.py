"""Who publishes, and in which words."""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field

from newsletter.settings.values import ADDRESS, Address, Line, Section, single_line

_SENDER = re.compile(rf"(?P<name>[^<>]*)<(?P<mailbox>{ADDRESS})>|(?P<bare>{ADDRESS})")
# What may stand within <> in a List- field (RFC 2369 §2) without being encoded there.
_URL = re.compile(
    r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d+)?(?:/[\w.~!$&*+=:@%/-]*)?", re.ASCII
)
_MAX_URL_CHARACTERS = 500


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _check_zone(value: str) -> str:
    if value not in _zones():
        raise ValueError('must be an IANA time zone such as "Europe/Berlin"')
    return value


def _check_sender(value: str) -> str:
    if not _SENDER.fullmatch(single_line(value).strip()):
        raise ValueError(
            'must be an ASCII address such as "Brief <brief@news.example>" (xn-- for other domains)'
        )
    return value


def _split_sender(value: str) -> tuple[str, str]:
    """Split `Name <address>` into name and address; the name may stand in quotes."""
    match = _SENDER.fullmatch(value.strip())
    assert match, "checked when the settings were read"
    name = (match["name"] or "").strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    return name, match["mailbox"] or match["bare"]


def _check_list_id(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+", value):
        raise ValueError('must look like a host name, such as "daily.news.example" (RFC 2919)')
    return value


def _check_url(value: str) -> str:
    if not _URL.fullmatch(value) or len(value) > _MAX_URL_CHARACTERS:
        raise ValueError(
            'must be a web address such as "https://news.example" (xn-- and %XX for other letters)'
        )
    return value.rstrip("/")


class Publication(Section):
    """Who publishes."""

    name: Line = Field(default="My Daily Brief", description="The name that readers see.")
    sender: Annotated[str, AfterValidator(_check_sender)] = Field(
        description="From: a name and an address on your own domain."
    )
    reply_to: Address = Field(default="", description="Reply-To, if it is not the sender.")
    list_id: Annotated[str, AfterValidator(_check_list_id)] = Field(
        description="List-Id (RFC 2919); never change it, readers' filters hang on it."
    )
    url: Annotated[str, AfterValidator(_check_url)] = Field(
        description="Public address that links in the mail begin with."
    )
    timezone: Annotated[str, AfterValidator(_check_zone)] = Field(
        default="UTC", description="IANA time zone of the editorial day."
    )
    language: Line = Field(default="en", description="Language of the mail (BCP 47).")
    postal_address: Line = Field(
        default="", description="Postal address at the foot of every mail; many laws ask for it."
    )
    unsubscribe_address: Address = Field(
        default="",
        description="Mailbox of the mailto unsubscribe; default unsubscribe@ your domain.",
    )
    bounce_address: Address = Field(
        default="",
        description="Envelope sender, where bounces go; default the sender's address. A * in it "
        "becomes a token of each copy, bounce+*@news.example, and only then are bounces known.",
    )

    @property
    def zone(self) -> ZoneInfo:
        """The time zone as an object."""
        return ZoneInfo(self.timezone)

    @property
    def sender_address(self) -> str:
        """The bare address of `sender`."""
        return _split_sender(self.sender)[1]

    @property
    def sender_name(self) -> str:
        """The display name of `sender`, else the publication's own."""
        return _split_sender(self.sender)[0] or self.name

    @property
    def sender_domain(self) -> str:
        """The domain of `sender`, which identifies our messages."""
        return self.sender_address.rpartition("@")[2]


class LensSettings(Section):
    """One lens of the perspectives."""

    name: Line = Field(description="The lens's label.")
    descriptor: Line = Field(default="", description="The fixed line under the label.")
    caveat: Line = Field(default="", description="A caveat shown wherever the lens is shown.")


_LENSES = (
    LensSettings(
        name="Household Impact",
        descriptor="How this affects family budgets, jobs, and day-to-day life.",
    ),
    LensSettings(
        name="America First View",
        descriptor="How this lands for readers prioritizing American sovereignty, borders, "
        "and domestic industry.",
    ),
    LensSettings(
        name="Institutional View",
        descriptor="How established institutions -- agencies, courts, allied governments -- "
        "are likely to frame it.",
    ),
    LensSettings(
        name="Civil Liberties View",
        descriptor="How this reads through the lens of constitutional rights, free speech, "
        "and due process.",
    ),
    LensSettings(
        name="National Security View",
        descriptor="How this matters for defense posture, intelligence, and adversary deterrence.",
    ),
    LensSettings(
        name="Adversary View",
        descriptor="How foreign rivals are likely to frame this story. Not presented as fact and "
        "does not reflect the views of AFBytes.",
        caveat="Not presented as fact and does not reflect the views of the publication.",
    ),
)


class Vocabulary(Section):
    """The publication's own words: how a brief is labelled in documents and in the mail."""

    brand: Line = Field(default="AFBytes Brief", description="The line that marks a brief.")
    why_heading: Line = Field(default="Why this matters", description="Heading of that part.")
    quick_take_heading: Line = Field(default="Quick take", description="Heading of that part.")
    points: tuple[Line, ...] = Field(
        default=(
            "Money Angle",
            "Market Impact",
            "Who Benefits",
            "Who Loses",
            "What to Watch Next",
        ),
        description="Labels of the quick take, in order.",
    )
    perspectives_heading: Line = Field(
        default="Perspectives on this story", description="Heading of that part."
    )
    disclaimer: Line = Field(
        default="AI-generated analytical lenses meant to encourage you to think across multiple "
        "frames. Not attributed to any individual; not presented as fact.",
        description="The line under the perspectives heading.",
    )
    lenses: tuple[LensSettings, ...] = Field(
        default=_LENSES, description="The lenses, in order: name, descriptor, caveat."
    )
    sponsor_label: Annotated[Line, Field(min_length=1)] = Field(
        default="Sponsor", description="What every sponsor's block is labelled with."
    )
    correction_label: Annotated[Line, Field(min_length=1)] = Field(
        default="Correction",
        description="What the subject of a correction's own mail begins with.",
    )
    other_heading: Annotated[Line, Field(min_length=1)] = Field(
        default="Other news", description="Heading of what belongs to none of edition.sections."
    )
    disclosure: Line = Field(
        default="AFBytes analysis is AI-assisted and generated from source metadata, article "
        "summaries, and topic context. It is intended to help readers think through "
        "implications, not replace the original reporting from {sources}. See our AI and "
        "Summary Disclosure for details.",
        description="The disclosure; {sources} stands for the outlets.",
    )

    @property
    def watch_label(self) -> str:
        """The label of what to watch next, the last of the points; "" where there is none."""
        return self.points[-1] if self.points else ""
