"""`newsletter.toml` and the environment → frozen settings. One table of name, default, unit, help.

This file is longer than most: it *is* the table. Every field carries its help, and the
README's table of settings is made from it (`describe_settings`), so an undocumented setting
fails a test. Order of precedence: environment (`NEWSLETTER_DELIVERY__RELAY`), then a `.env`
file beside `newsletter.toml`, then `newsletter.toml`, then the default.
"""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from datetime import time, timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo, available_timezones

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from newsletter.errors import ConfigurationError

CONFIG_NAME = "newsletter.toml"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONGEST = timedelta(days=3650)
_ADDRESS = r"(?!.{255})[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"
_SENDER = re.compile(rf"(?P<name>[^<>]*)<(?P<mailbox>{_ADDRESS})>|(?P<bare>{_ADDRESS})")
# What may stand within <> in a List- field (RFC 2369 §2) without being encoded there.
_URL = re.compile(
    r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d+)?(?:/[\w.~!$&*+=:@%/-]*)?", re.ASCII
)
_MAX_URL_CHARACTERS = 500
# Stricter than the web: no user, no port, nothing that two programs could split differently.
# What the mail loads must come from exactly the host that the operator allows.
_PICTURE_URL = re.compile(
    r"https://([a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+)/[^\s\\\"<>]*", re.ASCII | re.IGNORECASE
)
_FONT = r"-?[A-Za-z][A-Za-z0-9]*(?:[ -][A-Za-z0-9]+)*"
_GENERIC_FONTS = ("serif", "sans-serif", "monospace", "system-ui")
_LEAST_CONTRAST = 4.5  # WCAG 2.2, level AA, for text


# A variable of the environment in a setting that is a secret: "Bearer {NEWS_TOKEN}".
VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)
BRIEF_PARTS = (
    *("title", "summary", "content", "why_it_matters", "quick_take", "perspectives", "sources"),
    *("disclosure", "id", "link", "topics", "author", "published_at", "not_before", "expires_at"),
    *("priority", "pinned", "drafted_by"),
)
"""What a record of another system can say about a brief: its schema's fields, and its content."""


def parse_duration(value: object) -> timedelta:
    """Read "90s", "5m", "6h" or "2d"; a bare number is seconds."""
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,6})?)\s*([smhd]?)\s*", str(value), re.ASCII)
    if not match:
        raise ValueError('must be a duration such as "90s", "5m", "6h" or "2d"')
    duration = float(match[1]) * _UNITS[match[2] or "s"]
    if duration > _LONGEST.total_seconds():
        raise ValueError(f"must be at most {_LONGEST.days} days")
    return timedelta(seconds=duration)


def parse_days(value: object) -> tuple[str, ...]:
    """Read "mon-fri", "mon,wed,sat", "sat-mon" or a list into weekday names in their order."""
    parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    chosen: set[str] = set()
    for part in (str(each).lower().replace(" ", "") for each in parts):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            raise ValueError('must name weekdays such as "mon-fri" or "mon,wed,sat"')
        start, end = _DAYS.index(first), _DAYS.index(last or first)
        chosen.update(_DAYS[i % 7] for i in range(start, end + 1 if end >= start else end + 8))
    return tuple(day for day in _DAYS if day in chosen)


def parse_command(value: object) -> tuple[str, ...]:
    """Read a program and its arguments: a list, or a line with quotes as a shell reads them."""
    try:
        parts = value if isinstance(value, (list, tuple)) else shlex.split(str(value))
    except ValueError:
        raise ValueError("must close its quotes") from None
    return tuple(map(str, parts))


def parse_hosts(value: object) -> tuple[str, ...]:
    """Read host names: a list, or one line with commas between."""
    parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    hosts = [str(part).strip().lower() for part in parts]
    for host in filter(None, hosts):
        if not re.fullmatch(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+", host, re.ASCII):
            raise ValueError('must be names of hosts such as "pictures.example", without https://')
    return tuple(filter(None, hosts))


def parse_clock(value: object) -> time:
    """Read "06:00" as a local time of day."""
    if isinstance(value, time):
        return value
    match = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", str(value).strip())
    if not match:
        raise ValueError('must be a time of day such as "06:00"')
    return time(int(match[1]), int(match[2]))


def _since_midnight(clock: time) -> timedelta:
    return timedelta(hours=clock.hour, minutes=clock.minute)


def _check_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError('must be an IANA time zone such as "Europe/Berlin"')
    return value


def _check_sender(value: str) -> str:
    if not _SENDER.fullmatch(_single_line(value).strip()):
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


def _check_address(value: str) -> str:
    if value and not re.fullmatch(_ADDRESS, value):
        raise ValueError('must be a bare ASCII address such as "brief@news.example"')
    return value


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


def check_picture_url(url: str) -> str:
    """Give back the address of a picture that mail can show; raises `ValueError` for another."""
    if not _PICTURE_URL.fullmatch(url):
        raise ValueError('must be such as "https://pictures.example/harbor.jpg"')
    if re.search(r"\.svgz?(?:[?#]|$)", url, re.IGNORECASE):
        raise ValueError("leads to an SVG, which mail does not show; use PNG or JPEG")
    return url


def picture_host(url: str) -> str:
    """Give the host that an address is fetched from; it was checked when it was read."""
    match = _PICTURE_URL.fullmatch(url)
    assert match, url
    return match[1].lower()


def check_alt(alt: str) -> str:
    """Give back what a picture shows in words; raises `ValueError` where nobody said it."""
    if not alt.strip():
        raise ValueError("is missing")
    if re.search(r"\.(?:avif|bmp|gif|heic|jpe?g|png|svg|tiff?|webp)$", alt, re.IGNORECASE):
        raise ValueError("is a file name; say in it what the picture shows")
    return alt


def _check_colour(value: str) -> str:
    """Write a colour as #rrggbb, which every mail client takes."""
    if not re.fullmatch(r"#(?:[0-9A-Fa-f]{3}){1,2}", value, re.ASCII):
        raise ValueError('must be a colour such as "#9a2617"')
    digits = value[1:].lower()
    return "#" + (digits if len(digits) == 6 else "".join(digit * 2 for digit in digits))


def contrast(one: str, other: str) -> float:
    """Measure the contrast of two colours, from 1 to 21 (WCAG 2.2)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    shares = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return sum(w * s for w, s in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _check_fonts(value: str) -> str:
    """Write a font stack in one way, each name in quotes that needs them.

    It goes into style sheets as it is, so a name is letters, digits, single blanks and hyphens.
    """
    names = [name.strip() for name in value.split(",")]
    bare = [name[1:-1] if name[:1] == name[-1:] and name[:1] in "'\"" else name for name in names]
    if not all(re.fullmatch(_FONT, name, re.ASCII) for name in bare):
        raise ValueError("must be names of fonts such as \"Georgia, 'Times New Roman', serif\"")
    if bare[-1].lower() not in _GENERIC_FONTS:
        raise ValueError(f"must end with one of {', '.join(_GENERIC_FONTS)}, which everybody has")
    return ",".join(f"'{name}'" if " " in name else name for name in bare)


def _check_secret(value: str) -> str:
    if value and not VARIABLE.search(value):
        raise ValueError(
            'must name a variable in braces, such as "{NEWS_TOKEN}"; the secret itself goes into '
            "the environment or .env"
        )
    return value


def _check_fields(value: Mapping[str, str]) -> Mapping[str, str]:
    for part in value:
        if part not in BRIEF_PARTS:
            raise ValueError(f'"{part}" is no part of a brief; they are {", ".join(BRIEF_PARTS)}')
    return value


def _check_senders(value: tuple[str, ...]) -> tuple[str, ...]:
    for sender in value:
        if not re.fullmatch(_ADDRESS, sender if sender[:1] != "@" else f"a{sender}"):
            raise ValueError('must be addresses, or domains such as "@agency.example"')
    if not value:
        raise ValueError('must name who may send briefs, such as "desk@agency.example"')
    return tuple(sender.lower() for sender in value)


def _check_query_url(value: str) -> str:
    if not re.match(r"sqlite:///.|postgresql://", _single_line(value)):
        raise ValueError('must be such as "sqlite:///file.db" or "postgresql://user@host/name"')
    if re.match(r"postgresql://[^/?]*:[^/?@]*@", value) or re.search(r"[?&]password=", value):
        raise ValueError('carries a password; write password = "{NEWS_PASSWORD}" instead')
    return value


def _single_line(value: str) -> str:
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ValueError("must be one line without control characters")
    return value


def parse_sections(value: object) -> object:
    """Read sections: headings that are topics, or a table of heading = topics.

    Gives pairs of a heading and its topics, in order.
    """
    if isinstance(value, str):
        value = list(filter(None, (name.strip() for name in value.split(","))))
    pairs = list(value.items()) if isinstance(value, dict) else value
    if not isinstance(pairs, list | tuple):
        return value  # pydantic says what is wrong with it
    return tuple((one, (one,)) if isinstance(one, str) else one for one in pairs)


def _check_sections(
    sections: tuple[tuple[str, tuple[str, ...]], ...],
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    headings = [heading.casefold() for heading, _ in sections]
    if not all(headings) or not all(topics and all(topics) for _, topics in sections):
        raise ValueError("has a heading, or a topic, that is empty")
    if len({*headings}) < len(headings):
        raise ValueError("has a heading twice")
    return sections


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Clock = Annotated[time, BeforeValidator(parse_clock)]
Days = Annotated[tuple[str, ...], BeforeValidator(parse_days)]
Command = Annotated[tuple[str, ...], BeforeValidator(parse_command)]
Hosts = Annotated[tuple[str, ...], BeforeValidator(parse_hosts)]
Line = Annotated[str, AfterValidator(_single_line)]
Sections = Annotated[
    tuple[tuple[Line, tuple[Line, ...]], ...],
    BeforeValidator(parse_sections),
    AfterValidator(_check_sections),
]
Address = Annotated[str, AfterValidator(_check_address)]
Secret = Annotated[Line, AfterValidator(_check_secret)]
Colour = Annotated[str, AfterValidator(_check_colour)]
Fonts = Annotated[str, Field(max_length=200), AfterValidator(_check_fonts)]
PictureUrl = Annotated[Line, Field(max_length=2_000), AfterValidator(check_picture_url)]
_SECOND = timedelta(seconds=1)


class Section(BaseModel):
    """A table of `newsletter.toml`: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
        "becomes a token of each copy: bounce+*@news.example.",
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


class SourceSettings(Section):
    """What every kind of source has; another package's kind inherits from it as well.

    `place` is what reports call a source that has no name of its own, such as its address.
    """

    kind: Line = Field(description="The kind of the source.")
    name: Line = Field(default="", description="What reports call the source; default its place.")
    weight: float = Field(
        default=1, ge=0, le=5, description="How much its briefs count when they are ranked."
    )
    trusted: bool = Field(
        default=False,
        description="Whether its briefs need no review where review.required is set; what "
        "drafted_by says a machine drafted is reviewed all the same.",
    )
    stale_after: Duration | None = Field(
        default=None,
        description="How long nothing new may come before it is an alarm, 0 = for ever; default "
        "three times the usual gap.",
    )

    @property
    def place(self) -> str:
        """Where the source is, without a secret."""
        raise NotImplementedError


class FolderSource(SourceSettings):
    """A folder of brief files."""

    kind: Literal["folder"] = Field(description="Makes the source a folder of brief files.")
    name: Line = Field(default="", description="What reports call the source; default its path.")
    path: Path = Field(description="Folder, relative to newsletter.toml.")

    @property
    def place(self) -> str:
        """Its path."""
        return str(self.path)


class WebSource(SourceSettings):
    """What the kinds have that fetch from the web."""

    name: Line = Field(default="", description="What reports call the source; default its url.")
    url: Line = Field(description="Address, http or https.")
    allow_private: bool = Field(
        default=False, description="Allow addresses of private networks and this machine."
    )
    timeout: Duration = Field(
        default=timedelta(seconds=20), ge=_SECOND, description="Ceiling on a whole fetch."
    )
    max_bytes: int = Field(
        default=5_000_000, ge=1_000, description="Ceiling on an answer's size, unpacked, in bytes."
    )

    @property
    def place(self) -> str:
        """Its address."""
        return self.url


class FeedSource(WebSource):
    """An RSS, Atom or JSON feed."""

    kind: Literal["feed"] = Field(description="Makes the source an RSS, Atom or JSON feed.")
    url: Line = Field(description="Address of the feed, http or https.")
    timeout: Duration = Field(
        default=timedelta(seconds=20), ge=_SECOND, description="Ceiling on the whole fetch."
    )
    max_bytes: int = Field(
        default=5_000_000, ge=1_000, description="Ceiling on the feed's size, unpacked, in bytes."
    )


class ApiSource(WebSource):
    """An HTTP API that answers in JSON."""

    kind: Literal["api"] = Field(description="Makes the source an HTTP API that answers in JSON.")
    url: Line = Field(description="Address of the list of items, http or https.")
    authorization: Secret = Field(
        default="",
        description='What the header carries, with a variable of the environment in it: "Bearer '
        '{NEWS_TOKEN}".',
    )
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,60}$")] = Field(
        default="Authorization", description="The header that carries `authorization`."
    )
    items: Line = Field(
        default="",
        description='Path of the list in the answer: "data.items" or "/data/items"; empty = the '
        "answer is the list.",
    )
    fields: Annotated[Mapping[str, Line], AfterValidator(_check_fields)] = Field(
        default={},
        description="Path in an item of each part of a brief: title, summary, content (a text of "
        "which the summary is made), link, id, topics, …; default the part's own name.",
    )
    paging: Literal["none", "cursor", "page", "link"] = Field(
        default="none",
        description="How to get the next page: by the cursor at `next`, by number, or by the "
        "address at `next`, or in the Link header if `next` is empty.",
    )
    next: Line = Field(default="", description="Path of the next cursor or address in the answer.")
    parameter: Line = Field(
        default="", description="Query parameter of the cursor or the page; default its name."
    )
    first_page: int = Field(default=1, ge=0, le=1, description="Number of the first page.")
    max_pages: int = Field(default=10, ge=1, le=1_000, description="Most pages a gathering.")
    resume: bool = Field(
        default=False,
        description="Begin at the last gathering's last cursor, where the API continues from it.",
    )

    @model_validator(mode="after")
    def _cursor_has_a_path(self) -> Self:
        if self.paging == "cursor" and not self.next:
            raise ValueError('with paging = "cursor" needs next, the path of the cursor')
        if self.resume and self.paging != "cursor":
            raise ValueError('with resume = true needs paging = "cursor"')
        return self


class PageSource(WebSource):
    """A web page that is a story, or that links to stories."""

    kind: Literal["page"] = Field(
        description="Makes the source a web page; needs the extra `pages`."
    )
    links: Line = Field(
        default="",
        description='Which of its links are stories, such as "/news/*"; empty = the page is one '
        "itself.",
    )
    max_pages: int = Field(default=20, ge=1, le=1_000, description="Most new pages a gathering.")
    gap: Duration = Field(default=_SECOND, description="Time between two pages.")


class SitemapSource(WebSource):
    """A sitemap or news sitemap, or an index of such."""

    kind: Literal["sitemap"] = Field(
        description="Makes the source a (news) sitemap; needs the extra `pages`."
    )
    url: Line = Field(description="Address of the sitemap or of an index of sitemaps.")
    links: Line = Field(
        default="", description='Which of its pages are stories, such as "/news/*"; empty = all.'
    )
    max_sitemaps: int = Field(
        default=5, ge=1, le=100, description="Most sitemaps of an index, the newest first."
    )
    look_back: Duration = Field(
        default=timedelta(days=2), description="How old a page may be by the sitemap's own date."
    )
    max_pages: int = Field(default=20, ge=1, le=1_000, description="Most new pages a gathering.")
    gap: Duration = Field(default=_SECOND, description="Time between two pages.")


class MailboxSource(SourceSettings):
    """A mailbox, read by IMAP."""

    kind: Literal["mailbox"] = Field(
        description="Makes the source a mailbox, read by IMAP and left as it is."
    )
    name: Line = Field(
        default="", description="What reports call the source; default user, host and folder."
    )
    host: Line = Field(description="Name of the IMAP server.")
    port: int = Field(default=0, ge=0, le=65535, description="Its port; 0 = 993, or 143.")
    tls: Literal["implicit", "starttls", "none"] = Field(
        default="implicit",
        description="How the connection is made safe; none only with allow_private.",
    )
    user: Line = Field(description="Who logs in.")
    password: Secret = Field(
        description='The password\'s variable of the environment: "{MAIL_PASSWORD}".'
    )
    folder: Line = Field(default="INBOX", description="The mailbox's folder.")
    senders: Annotated[tuple[Line, ...], AfterValidator(_check_senders)] = Field(
        description="Who may send briefs: addresses, or domains such as @agency.example."
    )
    authenticated_by: Line = Field(
        default="",
        description="Take only mail that the server of this name found genuine (the "
        "Authentication-Results that it adds); empty = whatever From says.",
    )
    look_back: Duration = Field(
        default=timedelta(days=7), description="How old mail the first gathering may take."
    )
    max_messages: int = Field(default=50, ge=1, le=1_000, description="Most messages a gathering.")
    max_bytes: int = Field(
        default=5_000_000, ge=1_000, description="Ceiling on a message's size, in bytes."
    )
    ca_file: Path | None = Field(
        default=None, description="Certificates to trust instead of the system's."
    )
    allow_private: bool = Field(
        default=False, description="Allow addresses of private networks and this machine."
    )
    timeout: Duration = Field(
        default=timedelta(seconds=60), ge=_SECOND, description="Ceiling on the whole reading."
    )

    @property
    def place(self) -> str:
        """Who reads which folder where."""
        return f"{self.user}@{self.host}/{self.folder}"

    @model_validator(mode="after")
    def _password_is_safe(self) -> Self:
        if self.tls == "none" and not self.allow_private:
            raise ValueError('with tls = "none" needs allow_private = true: the password is bare')
        return self


class QuerySource(SourceSettings):
    """Another database, asked by SQL."""

    kind: Literal["query"] = Field(
        description="Makes the source a query of another database, which is only read."
    )
    name: Line = Field(default="", description="What reports call the source; default its url.")
    url: Annotated[str, AfterValidator(_check_query_url)] = Field(
        description="The database: sqlite:///file.db or postgresql://user@host/name (extra "
        "`postgres`), without a password."
    )
    password: Secret = Field(
        default="", description='The password\'s variable of the environment: "{NEWS_PASSWORD}".'
    )
    sql: str = Field(
        min_length=1,
        description="One SELECT whose columns are called as the parts of a brief: SELECT headline "
        "AS title, lead AS summary FROM stories.",
    )
    max_rows: int = Field(default=1_000, ge=1, le=100_000, description="Ceiling on the rows.")
    max_bytes: int = Field(
        default=5_000_000, ge=1_000, description="Ceiling on the size of all rows, in bytes."
    )
    timeout: Duration = Field(
        default=timedelta(seconds=20), ge=_SECOND, description="Ceiling on the whole query."
    )

    @property
    def place(self) -> str:
        """Its address."""
        return self.url


SOURCES: Mapping[str, type[SourceSettings]] = {
    "folder": FolderSource,
    "feed": FeedSource,
    "api": ApiSource,
    "page": PageSource,
    "sitemap": SitemapSource,
    "mailbox": MailboxSource,
    "query": QuerySource,
}
"""The kinds that are built in; others come from entry points of the group `SOURCES_GROUP`."""
SOURCES_GROUP = "newsletter.sources"


def load_foreign_kind(kind: str) -> Any:
    """Load what another package declares as a kind of source: its `SourceKind`.

    Nothing of a package is loaded before a configuration names its kind. Raises `ValueError`
    if there is none, or not one.
    """
    found = entry_points(group=SOURCES_GROUP, name=kind)
    if not found:
        known = sorted({*SOURCES, *entry_points(group=SOURCES_GROUP).names})
        raise ValueError(f'"{kind}" is no kind of source; the kinds are {", ".join(known)}')
    if len(found) > 1:
        packages = ", ".join(sorted(point.dist.name for point in found if point.dist))
        raise ValueError(f'"{kind}" is a kind of several packages ({packages}); remove all but one')
    (point,) = found
    try:
        loaded = point.load()
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise ValueError(f'the package of kind "{kind}" cannot be loaded ({said})') from error
    model = getattr(loaded, "settings", None)
    if isinstance(model, type) and issubclass(model, SourceSettings):
        return loaded
    raise ValueError(f'the package of kind "{kind}" gives no SourceKind ({point.value})')


def _read_source(value: object) -> object:
    """Read a table of `[[sources]]` by the model of its kind."""
    if not isinstance(value, Mapping):
        return value
    kind = value.get("kind")
    if not isinstance(kind, str) or not kind:
        raise ValueError(f"has no kind; set kind to one of {', '.join(SOURCES)}")
    model = SOURCES.get(kind) or load_foreign_kind(kind).settings
    return model.model_validate(value)


AnySource = Annotated[SerializeAsAny[SourceSettings], BeforeValidator(_read_source)]


class DkimKey(Section):
    """A key that signs the mail (RFC 6376); leave it out where the relay signs."""

    selector: Line = Field(description="Its selector: SELECTOR._domainkey.DOMAIN in the DNS.")
    key_file: Path = Field(
        description="PEM file of the private key, RSA of 2048 bits or Ed25519; mode 0600."
    )
    domain: Line = Field(default="", description="Signing domain; default the sender's.")


class Schedule(Section):
    """When `newsletter serve` acts, in the publication's time zone."""

    gather_at: Clock = Field(default=time(6, 0), description="When the day's briefs are gathered.")
    send_at: Clock = Field(default=time(7, 0), description="When the edition is sent.")
    days: Days = Field(default=_DAYS, description="Weekdays with an edition, by name.")
    max_lateness: Duration = Field(
        default=timedelta(hours=6),
        description="How late a missed send may still start after send_at.",
    )


class Weekly(Section):
    """The week's round-up, for readers who chose it."""

    day: Literal["", "mon", "tue", "wed", "thu", "fri", "sat", "sun"] = Field(
        default="",
        description="Weekday of the week's round-up, by name; empty = only by hand.",
    )
    send_at: Clock = Field(default=time(9, 0), description="When the round-up is sent.")
    max_briefs: int = Field(
        default=10, ge=1, le=60, description="Most briefs in a round-up; the rest is counted."
    )


class Review(Section):
    """What somebody must approve before `newsletter serve` sends it."""

    required: bool = Field(
        default=False,
        description="Whether serve sends only briefs that somebody approved; whoever types "
        "`newsletter send` and says yes approves what it shows.",
    )
    deadline: Duration = Field(
        default=timedelta(0),
        description="How long before schedule.send_at the review ends: what is not approved by "
        "then is left out.",
    )
    floor: int = Field(
        default=1,
        ge=1,
        le=60,
        description="Fewest approved briefs; with fewer, and others waiting, the edition is held "
        "until somebody approves them.",
    )


class Gathering(Section):
    """How sources are read."""

    gap: Duration = Field(
        default=timedelta(seconds=1),
        description="Least time between two requests to one server, within a gathering.",
    )


class EditionSettings(Section):
    """What goes into an edition."""

    lookback: Duration = Field(
        default=timedelta(hours=24), description="How far the first edition looks back."
    )
    quiet_day: Literal["skip", "note"] = Field(
        default="skip", description="Without briefs: send nothing, or a quiet-day note."
    )
    max_briefs: int = Field(
        default=20, ge=1, le=60, description="Most briefs in one edition; the rest is counted."
    )
    max_outlet_share: float = Field(
        default=0.4,
        gt=0,
        le=1,
        description="Most of an edition of 5 briefs and more that one outlet may tell, where there "
        "are outlets enough; 1 = all of it.",
    )
    max_per_topic: int = Field(
        default=0, ge=0, description="Most briefs with the same first topic; 0 = any number."
    )
    full_briefs: int | None = Field(
        default=None,
        ge=0,
        description="Most briefs told in full to any reader; default as many as there is room for.",
    )
    standard_briefs: int | None = Field(
        default=None,
        ge=0,
        description="Most briefs after edition.full_briefs at standard length, the others in one "
        "line; default as many as there is room for.",
    )
    sections: Sections = Field(
        default=(),
        description="Headings between the full briefs, in order: a list of topics, or a table of "
        'heading = topics, such as { Money = ["Markets", "Jobs"] }.',
    )
    browser_checks: bool = Field(
        default=True,
        description="Whether a browser looks at the mail before it is sent, where there is one.",
    )
    notes: Path = Field(
        default=Path("notes"),
        description="Folder of what you add to an edition, in a file named by its date: a note, "
        "a sponsor, corrections.",
    )
    watch_days: int = Field(
        default=21,
        ge=1,
        le=366,
        description="For how many days what a brief tells readers to watch next is waited for.",
    )
    expired_watched: int = Field(
        default=0,
        ge=0,
        le=10,
        description="Most of what came to nothing that an edition tells under Still watching.",
    )
    picture_hosts: Hosts = Field(
        default=(),
        description="Hosts that the mail may load pictures from; none = no pictures are shown.",
    )
    detail: Literal["one-line", "standard", "full"] = Field(
        default="full", description="The most that readers get of a brief who chose nothing."
    )
    minutes: int = Field(
        default=5,
        ge=0,
        le=60,
        description="What readers who chose nothing have time for: the first briefs stand in "
        "full, the others shorter; 0: as long as it takes.",
    )

    @model_validator(mode="after")
    def _counts_from_full(self) -> EditionSettings:
        if self.standard_briefs is not None and self.full_briefs is None:
            raise ValueError("standard_briefs needs full_briefs, which it counts on from")
        return self


class LogoSettings(Section):
    """The publication's logo, at the head of the mail."""

    url: PictureUrl = Field(description="Its picture, on one of edition.picture_hosts.")
    url_dark: PictureUrl | None = Field(
        default=None, description="Its twin in the dark; default the same."
    )
    width: int = Field(
        ge=1, le=560, description="Its width in the mail, in pixels; the column has 560."
    )
    height: int = Field(ge=1, le=1_000, description="Its height in the mail, in pixels.")
    alt: Annotated[Line, AfterValidator(check_alt)] = Field(
        description="What it says, for who does not see it."
    )
    replaces_name: bool = Field(
        default=False, description="Whether it shows the name itself, so that the text can go."
    )


class Look(Section):
    """Colours and fonts of the mail. What is read must stand out from what it stands on."""

    accent: Colour = Field(default="#9a2617", description="Links and the masthead's rule.")
    accent_dark: Colour = Field(default="#f09a84", description="Its twin in the dark.")
    ground: Colour = Field(default="#fdfcf9", description="Ground of the mail.")
    ground_dark: Colour = Field(default="#161513", description="Its twin in the dark.")
    tint: Colour = Field(default="#f4f1e9", description="Ground of analysis.")
    tint_dark: Colour = Field(default="#211f1b", description="Its twin in the dark.")
    ink: Colour = Field(default="#1e1b17", description="Text.")
    ink_dark: Colour = Field(default="#ece7dd", description="Its twin in the dark.")
    muted: Colour = Field(default="#625b50", description="Small print.")
    muted_dark: Colour = Field(default="#ada596", description="Its twin in the dark.")
    hairline: Colour = Field(default="#d9d3c5", description="Rules between stories.")
    hairline_dark: Colour = Field(default="#413d36", description="Its twin in the dark.")
    serif: Fonts = Field(
        default="Georgia,'Times New Roman',serif",
        description="Fonts of headlines and summaries; nothing is loaded, readers have them.",
    )
    sans: Fonts = Field(
        default="-apple-system,'Segoe UI',Roboto,Arial,sans-serif",
        description="Fonts of everything else.",
    )
    logo: LogoSettings | None = Field(default=None, description="A table of its own.")

    @model_validator(mode="after")
    def _is_readable(self) -> Look:
        for scheme in ("", "_dark"):
            for text in ("ink", "muted", "accent"):
                for ground in ("ground", "tint"):
                    names = text + scheme, ground + scheme
                    ratio = contrast(*(getattr(self, name) for name in names))
                    if ratio < _LEAST_CONTRAST:
                        # Rounded down: 4.49 is not 4.5.
                        raise ValueError(
                            f"{names[0]} on {names[1]} has a contrast of {int(ratio * 100) / 100}, "
                            f"and text needs {_LEAST_CONTRAST}; choose colours further apart"
                        )
        return self


SHIPPED_LOOK = Look()
"""What a mail looks like where nobody said otherwise."""


class Delivery(Section):
    """How mail leaves."""

    relay: Line = Field(
        default="",
        repr=False,  # it may hold a password before anybody has refused that
        description="smtp://, smtps:// or lmtp:// with user@host:port and "
        "?tls=none|starttls|implicit and ?auth=xoauth2|oauthbearer; or maildir:DIR or eml:DIR.",
    )
    relay_password: SecretStr = Field(
        default=SecretStr(""),
        description="The relay's password; give it in NEWSLETTER_DELIVERY__RELAY_PASSWORD.",
    )
    token_command: Command = Field(
        default=(),
        description="Program and arguments, no shell, that prints the access token for "
        "?auth=xoauth2 or oauthbearer; run beside newsletter.toml.",
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file of authorities to trust for the relay, if private."
    )
    ehlo_name: Line = Field(
        default="", description="Name given in EHLO; default the sender's domain."
    )
    connections: int = Field(
        default=10, ge=1, le=1000, description="Connections to the relay at once."
    )
    rate: float = Field(
        default=0,
        ge=0,
        allow_inf_nan=False,
        description="Messages a second, all connections; 0 = as the relay allows.",
    )
    in_doubt: Literal["hold", "retry"] = Field(
        default="hold",
        description="A message that the relay took without answering: hold it, or try again.",
    )
    durability: Literal["full", "process"] = Field(
        default="full",
        description="What the ledger survives: full = power loss, process = a killed process.",
    )
    not_after: Duration = Field(
        default=timedelta(hours=16),
        ge=_SECOND,
        description="An edition's mail is given up this long after the send began.",
    )
    retry_after: Duration = Field(
        default=timedelta(minutes=5),
        ge=_SECOND,
        description="First pause before deferred mail is tried again; it grows from there.",
    )
    window: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Messages under way at once over a connection, where the relay offers "
        "CHUNKING; as many may be in doubt when it breaks.",
    )
    dsn: bool = Field(
        default=False,
        description="Ask for notifications of failures (DSN, RFC 3461) where they are offered.",
    )


class RelaySettings(Section):
    """One more relay, beside `delivery.relay`: it shares the mail, or stands by."""

    url: Line = Field(
        repr=False, description="Where it is, as in delivery.relay: smtp://user@host:587."
    )
    password_file: Path | None = Field(
        default=None, description="File that holds the relay's password; mode 0600."
    )
    connections: int = Field(default=10, ge=1, le=1000, description="Connections to it at once.")
    rate: float = Field(
        default=0,
        ge=0,
        allow_inf_nan=False,
        description="Messages a second; 0 = as the relay allows.",
    )
    weight: float = Field(
        default=1,
        ge=0,
        allow_inf_nan=False,
        description="Its share, where delivery.relay has 1; 0 = only while no other is well.",
    )


class DomainSettings(Section):
    """How much the readers of one domain may be sent, over all relays."""

    domain: Line = Field(description='Domain of recipients, or "*" for every other one.')
    connections: int = Field(
        default=0, ge=0, le=1000, description="Messages under way at once; 0 = no limit."
    )
    rate: float = Field(
        default=0, ge=0, allow_inf_nan=False, description="Messages a second; 0 = no limit."
    )


class Database(Section):
    """Where everything is kept."""

    url: Line = Field(
        default="sqlite:///newsletter.db",
        repr=False,  # it may hold a password
        description="Database: sqlite:///FILE, relative to newsletter.toml, or "
        "postgresql://user@host/name, for which install the extra postgres.",
    )


class Retention(Section):
    """How long what is no longer needed is kept; `newsletter db prune` forgets it then."""

    attempts: Duration = Field(
        default=timedelta(days=90),
        description="Each try of a delivery, and the relay's words, are kept this long; "
        "0 = for ever.",
    )
    deliveries: Duration = Field(
        default=timedelta(days=730),
        description="Who was sent an edition, and what became of it; then only the counts are "
        "left. 0 = for ever.",
    )
    gatherings: Duration = Field(
        default=timedelta(days=90),
        description="What each gathering of a source brought; 0 = for ever.",
    )
    imports: Duration = Field(
        default=timedelta(days=90),
        description="How long an import of readers can be undone; 0 = for ever.",
    )
    pending: Duration = Field(
        default=timedelta(days=7),
        description="A sign-up that nobody confirmed; 0 = for ever.",
    )


class Web(Section):
    """Where `newsletter serve` listens, and where the web copy goes."""

    listen: Line = Field(
        default="127.0.0.1:8000",
        description="Address and port of the pages that mails link to; empty = serve none.",
    )
    folder: Line = Field(
        default="",
        description="Folder that publication.url serves, relative to newsletter.toml: each "
        "edition's pages are written there before it is mailed; empty = nowhere.",
    )


class Templates(Section):
    """An operator's own templates."""

    path: Path = Field(
        default=Path("templates"),
        description="Folder whose files come before the shipped ones of the same name.",
    )
    timeout: Duration = Field(
        default=timedelta(seconds=10),
        ge=_SECOND,
        le=timedelta(hours=1),
        description="Longest that templates of your own may take to lay out an edition.",
    )
    max_memory_mb: int = Field(
        default=512,
        ge=128,
        le=65_536,
        description="Most memory that templates of your own may take, in MB.",
    )


class Settings(BaseSettings):
    """Everything an operator can set, read once at start and frozen."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="NEWSLETTER_",
        env_nested_delimiter="__",
        enable_decoding=False,  # NEWSLETTER_SCHEDULE__DAYS=mon-fri is no JSON
        env_file_encoding="utf-8-sig",
        dotenv_filtering="match_prefix",
        hide_input_in_errors=True,
    )

    publication: Publication
    vocabulary: Vocabulary = Vocabulary()
    sources: tuple[AnySource, ...] = ()
    gathering: Gathering = Gathering()
    schedule: Schedule = Schedule()
    weekly: Weekly = Weekly()
    review: Review = Review()
    edition: EditionSettings = EditionSettings()
    look: Look = Look()
    delivery: Delivery = Delivery()
    relays: tuple[RelaySettings, ...] = ()
    domains: tuple[DomainSettings, ...] = ()
    dkim: tuple[DkimKey, ...] = ()
    database: Database = Database()
    retention: Retention = Retention()
    web: Web = Web()
    templates: Templates = Templates()
    secret_key: SecretStr = Field(
        default=SecretStr(""),
        description="Signs links and Message-IDs; NEWSLETTER_SECRET_KEY, newest first, "
        "old ones after commas.",
    )
    root: Path = Field(default=Path(), exclude=True, repr=False)
    """Directory of `newsletter.toml`; relative paths start there. Not a setting."""

    @field_validator("sources")
    @classmethod
    def _names_are_unique(cls, sources: tuple[SourceSettings, ...]) -> tuple[SourceSettings, ...]:
        names = [source_name(source) for source in sources]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f'two are called "{name}"; give one a name of its own')
        return sources

    @field_validator("review")
    @classmethod
    def _review_ends_on_its_day(cls, review: Review, info: ValidationInfo) -> Review:
        schedule = info.data.get("schedule")  # not there if it is wrong itself
        if schedule and _since_midnight(schedule.send_at) < review.deadline:
            raise ValueError("deadline reaches into the day before schedule.send_at; choose less")
        return review

    @field_validator("look")
    @classmethod
    def _logo_is_allowed(cls, look: Look, info: ValidationInfo) -> Look:
        edition = info.data.get("edition")  # not there if it is wrong itself
        if look.logo and edition:
            for url in filter(None, (look.logo.url, look.logo.url_dark)):
                if (host := picture_host(url)) not in edition.picture_hosts:
                    raise ValueError(
                        f'the logo is on {host}; add "{host}" to edition.picture_hosts'
                    )
        return look

    @property
    def review_ends_at(self) -> time:
        """When the review of a day's edition ends, in the publication's time zone."""
        left = _since_midnight(self.schedule.send_at) - self.review.deadline
        return time(*divmod(int(left.total_seconds()) // 60, 60))

    @property
    def weekly_schedule(self) -> Schedule | None:
        """When the round-up is due, by the rules of all editions; None where it is not set."""
        if not self.weekly.day:
            return None
        own = {"days": (self.weekly.day,), "send_at": self.weekly.send_at}
        return self.schedule.model_copy(update=own)

    document: ClassVar[dict[str, Any]] = {}
    reads_environment: ClassVar[bool] = True

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the document read by `load_settings` below the environment."""
        toml = InitSettingsSource(settings_cls, cls.document)
        if not cls.reads_environment:
            return init_settings, dotenv_settings, toml
        return init_settings, env_settings, dotenv_settings, toml

    def path(self, path: str | Path) -> Path:
        """Resolve a path of the configuration against the configuration's own directory."""
        return self.root / path

    @property
    def database_url(self) -> str:
        """The database URL with a relative SQLite path made absolute."""
        prefix = "sqlite:///"
        url = self.database.url
        if url.startswith(prefix) and url != prefix and not url.startswith(prefix + ":memory:"):
            return prefix + str(self.path(url.removeprefix(prefix)).absolute())
        return url

    @property
    def secret_keys(self) -> tuple[bytes, ...]:
        """The signing keys, newest first."""
        keys = [key.strip() for key in self.secret_key.get_secret_value().split(",")]
        return tuple(key.encode() for key in keys if key)


def source_name(source: SourceSettings) -> str:
    """Give the name that reports and the database know a source by."""
    return source.name or source.place


def read_environment(root: Path) -> Mapping[str, str]:
    """Read the variables that a source's secrets may be in: the environment's, then `.env`'s.

    Raises `ConfigurationError` for a `.env` that cannot be read.
    """
    file = root / ".env"
    try:
        beside = dotenv_values(file, encoding="utf-8-sig", interpolate=False)
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError("cannot be read", file=file, mend="save it as UTF-8") from None
    return {**{name: value or "" for name, value in beside.items()}, **os.environ}


def load_settings(config: Path | None = None, *, environment: bool = True) -> Settings:
    """Read the configuration at `config`, or `newsletter.toml` here.

    Without `environment` only the files count: a demo must not be led astray to a real relay.
    Raises `ConfigurationError` naming file, field and mend.
    """
    path = config or Path(CONFIG_NAME)
    if path.is_dir():
        path /= CONFIG_NAME
    if not path.is_file():
        raise ConfigurationError(
            "there is no such file",
            file=path,
            mend="run `newsletter init DIR` to make one, or name it with --config",
        )
    root = path.absolute().parent
    env_file = root / ".env"
    toml = _read_toml(path)

    class _Located(Settings):
        model_config = SettingsConfigDict(env_file=env_file)
        document = toml
        reads_environment = environment

    try:
        found = _Located(root=root)  # type: ignore[call-arg]  # the rest comes from the sources
    except OSError as error:
        raise ConfigurationError(f"cannot be read ({error.strerror})", file=env_file) from None
    except UnicodeDecodeError:
        raise ConfigurationError("is not UTF-8", file=env_file, mend="save it as UTF-8") from None
    except ValidationError as error:
        variables: dict[str, Path | None] = {}
        variables |= dict.fromkeys(map(str.lower, dotenv_values(env_file)), env_file)
        if environment:
            variables |= dict.fromkeys(map(str.lower, os.environ))
        raise _explain(error, path, variables) from None
    if len(found.secret_keys) == 0 or min(len(key) for key in found.secret_keys) < 32:
        problem = "is missing" if not found.secret_keys else "is shorter than 32 characters"
        raise ConfigurationError(
            f"the signing key {problem}",
            field="NEWSLETTER_SECRET_KEY",
            mend=f'put one into {env_file}; `python -c "import secrets; '
            'print(secrets.token_urlsafe(32))"` makes one',
        )
    return found


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"cannot be read ({error.strerror})", file=path) from None
    except UnicodeDecodeError:
        raise ConfigurationError("is not UTF-8", file=path, mend="save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            f"is not TOML ({error})", file=path, mend="correct it there"
        ) from None
    if "root" in document:  # a field, but not a setting
        raise ConfigurationError("is not a setting", file=path, field="root", mend="remove it")
    return document


def _explain(
    error: ValidationError, path: Path, variables: Mapping[str, Path | None]
) -> ConfigurationError:
    """Turn pydantic's list into one sentence about its first entry.

    `variables` are those of `.env` and of the environment, in lower case: where a value came
    from one of them, the configuration file is not the place to mend it.
    """
    found = error.errors(include_url=False, include_input=False)
    # A misspelt key shows up twice: as unknown and as missing. Its spelling is the news.
    first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])
    file: Path | None = path
    field = _format_place(first["loc"])
    variable = "newsletter_" + "__".join(map(str, first["loc"]))
    if variable.lower() in variables:
        file, field = variables[variable.lower()], variable.upper()
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    message = first["msg"].removeprefix("Value error, ").replace("Input should", "must", 1)
    mend = ""
    if first["type"] == "extra_forbidden":
        message, mend = "is not a setting", "see the README's table of settings for its spelling"
    elif first["type"] == "missing":
        message, mend = "is required", "add it"
    elif first["type"] in {"model_type", "tuple_type"}:
        message, mend = "must be a table or a list", f"set it in {path.name}"
    return ConfigurationError(message + more, file=file, field=field, mend=mend)


def _format_place(loc: tuple[int | str, ...]) -> str:
    """Write `("sources", 0, "url")` as `sources #1.url`."""
    place = ""
    for part in loc:
        if isinstance(part, int):
            place += f" #{part + 1}"
        else:
            place += f".{part}" if place else part
    return place


class SettingRow(NamedTuple):
    """One row of the table of settings."""

    name: str
    default: str
    help: str


def describe_settings() -> Iterator[SettingRow]:
    """Yield every setting, dotted, with its default and help, in the file's order."""
    yield from _describe(Settings, "")
    yield from _describe(LensSettings, "vocabulary.lenses[].")
    yield from _describe(LogoSettings, "look.logo.")
    for kind, model in SOURCES.items():
        yield from _describe(model, f"sources[{kind}].")
    yield from _describe(RelaySettings, "relays[].")
    yield from _describe(DomainSettings, "domains[].")
    yield from _describe(DkimKey, "dkim[].")


def _describe(model: type[BaseModel], prefix: str) -> Iterator[SettingRow]:
    for name, field in model.model_fields.items():
        if field.exclude or name in ("sources", "dkim", "relays", "domains", "logo"):
            continue
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _describe(kind, f"{prefix}{name}.")
        else:
            default = "required" if field.is_required() else _shown(field.get_default())
            yield SettingRow(prefix + name, default, field.description or "")


def _shown(value: Any) -> str:
    if isinstance(value, timedelta):
        seconds = int(value.total_seconds())
        unit = next(u for u in "dhms" if seconds % _UNITS[u] == 0 or u == "s")
        return f"{seconds // _UNITS[unit]}{unit}"
    if isinstance(value, time):
        return value.strftime("%H:%M")
    if value == _DAYS:
        return "mon-sun"
    if isinstance(value, tuple):
        return ", ".join(v.name if isinstance(v, LensSettings) else str(v) for v in value)
    if isinstance(value, SecretStr) or value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
