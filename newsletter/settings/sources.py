"""Where briefs come from: a model for each kind of source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SerializeAsAny, model_validator

from newsletter.settings.mailbox import Mailbox
from newsletter.settings.values import ADDRESS, SECOND, Duration, Line, Section, single_line

# A variable of the environment in a setting that is a secret: "Bearer {NEWS_TOKEN}".
VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)
BRIEF_PARTS = (
    *("title", "summary", "content", "why_it_matters", "quick_take", "perspectives", "sources"),
    *("disclosure", "id", "link", "topics", "author", "published_at", "not_before", "expires_at"),
    *("priority", "pinned", "drafted_by"),
)
"""What a record of another system can say about a brief: its schema's fields, and its content."""


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
        if not re.fullmatch(ADDRESS, sender if sender[:1] != "@" else f"a{sender}"):
            raise ValueError('must be addresses, or domains such as "@agency.example"')
    if not value:
        raise ValueError('must name who may send briefs, such as "desk@agency.example"')
    return tuple(sender.lower() for sender in value)


def _check_query_url(value: str) -> str:
    if not re.match(r"sqlite:///.|postgresql://", single_line(value)):
        raise ValueError('must be such as "sqlite:///file.db" or "postgresql://user@host/name"')
    if re.match(r"postgresql://[^/?]*:[^/?@]*@", value) or re.search(r"[?&]password=", value):
        raise ValueError('carries a password; write password = "{NEWS_PASSWORD}" instead')
    return value


def _check_web_address(value: str) -> str:
    if not re.match(r"https?://[^/?#]", value, re.IGNORECASE):
        raise ValueError('must begin with "https://" or "http://", and a host')
    return value


Secret = Annotated[Line, AfterValidator(_check_secret)]
WebAddress = Annotated[Line, AfterValidator(_check_web_address)]


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
    url: WebAddress = Field(description="Address, http or https.")
    allow_private: bool = Field(
        default=False, description="Allow addresses of private networks and this machine."
    )
    timeout: Duration = Field(
        default=timedelta(seconds=20), ge=SECOND, description="Ceiling on a whole fetch."
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
    url: WebAddress = Field(description="Address of the feed, http or https.")
    timeout: Duration = Field(
        default=timedelta(seconds=20), ge=SECOND, description="Ceiling on the whole fetch."
    )
    max_bytes: int = Field(
        default=5_000_000, ge=1_000, description="Ceiling on the feed's size, unpacked, in bytes."
    )


class ApiSource(WebSource):
    """An HTTP API that answers in JSON."""

    kind: Literal["api"] = Field(description="Makes the source an HTTP API that answers in JSON.")
    url: WebAddress = Field(description="Address of the list of items, http or https.")
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
    gap: Duration = Field(default=SECOND, description="Time between two pages.")


class SitemapSource(WebSource):
    """A sitemap or news sitemap, or an index of such."""

    kind: Literal["sitemap"] = Field(
        description="Makes the source a (news) sitemap; needs the extra `pages`."
    )
    url: WebAddress = Field(description="Address of the sitemap or of an index of sitemaps.")
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
    gap: Duration = Field(default=SECOND, description="Time between two pages.")


class MailboxSource(Mailbox, SourceSettings):
    """A mailbox, read by IMAP."""

    kind: Literal["mailbox"] = Field(
        description="Makes the source a mailbox, read by IMAP and left as it is."
    )
    name: Line = Field(
        default="", description="What reports call the source; default user, host and folder."
    )
    password: Secret = Field(
        description='The password\'s variable of the environment: "{MAIL_PASSWORD}".'
    )
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
        default=timedelta(seconds=20), ge=SECOND, description="Ceiling on the whole query."
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


def source_name(source: SourceSettings) -> str:
    """Give the name that reports and the database know a source by."""
    return source.name or source.place
