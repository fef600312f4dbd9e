"""The operators' console."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, field_validator

from newsletter.settings.values import Duration, Line, Section

_MINUTE = timedelta(minutes=1)


class Console(Section):
    """Where operators reach the console, and how long they stay logged in."""

    url: Line = Field(
        default="",
        description="Address that the console is reached at, without /console, where it is not "
        "publication.url; https only, but on this machine.",
    )
    idle: Duration = Field(
        default=timedelta(hours=12),
        ge=_MINUTE,
        description="Who does nothing for this long is logged out.",
    )
    longest: Duration = Field(
        default=timedelta(days=7),
        ge=_MINUTE,
        description="Longest that anybody stays logged in.",
    )

    @field_validator("url")
    @classmethod
    def _is_secure(cls, url: str) -> str:
        if url and not url.startswith("https://"):
            raise ValueError('must be such as "https://console.news.example"')
        return url.rstrip("/")
