"""What it runs on: database, web server, folders."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from newsletter.settings.values import SECOND, Duration, Line, Section


class Database(Section):
    """Where everything is kept."""

    url: Line = Field(
        default="sqlite:///newsletter.db",
        repr=False,  # it may hold a password
        description="Database: sqlite:///FILE, relative to newsletter.toml, or "
        "postgresql://user@host/name, for which install the extra postgres.",
    )
    installation: Line = Field(
        default=".installation",
        description="Small file, relative to newsletter.toml, that tells a restored backup from "
        "the database that was sent from last; keep it out of backups. Empty = no such check.",
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
    answers: Duration = Field(
        default=timedelta(days=365),
        description="What readers think of briefs (`newsletter feedback`); 0 = for ever.",
    )
    pending: Duration = Field(
        default=timedelta(days=7),
        description="A sign-up, or a new address, that nobody confirmed; 0 = for ever.",
    )


class Web(Section):
    """Where `newsletter serve` listens, and where the web copy goes."""

    listen: Line = Field(
        default="127.0.0.1:8000",
        description="Address and port of the pages that mails link to; empty = serve none.",
    )
    proxies: int = Field(
        default=0,
        ge=0,
        le=10,
        description="How many proxies of yours stand in front; each adds the address that it was "
        "asked from to X-Forwarded-For. With 0 nobody's word is taken for that.",
    )
    folder: Line = Field(
        default="",
        description="Folder that publication.url serves, relative to newsletter.toml: each "
        "edition's pages are written there before it is mailed; empty = nowhere.",
    )
    count_clicks: bool = Field(
        default=False,
        description="Links of a mail to sources and to the edition's briefs lead through the pages "
        "above, which count how often each is followed, and not by whom.",
    )

    @property
    def counts_clicks(self) -> bool:
        """Whether links are counted: only where there are pages that they can lead through."""
        return self.count_clicks and bool(self.listen)


class Templates(Section):
    """An operator's own templates."""

    path: Path = Field(
        default=Path("templates"),
        description="Folder whose files come before the shipped ones of the same name.",
    )
    timeout: Duration = Field(
        default=timedelta(seconds=10),
        ge=SECOND,
        le=timedelta(hours=1),
        description="Longest that templates of your own may take to lay out an edition.",
    )
    max_memory_mb: int = Field(
        default=512,
        ge=128,
        le=65_536,
        description="Most memory that templates of your own may take, in MB.",
    )
