"""What programs may do, and where they are told what happened."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from newsletter.settings.signup import Limits
from newsletter.settings.sources import Secret
from newsletter.settings.values import SECOND, Duration, Line, Section

EVENTS = (
    *("edition.ready", "edition.approved", "edition.sending", "edition.paused"),
    *("edition.sent", "edition.cancelled", "edition.held"),
    *("reader.subscribed", "reader.unsubscribed", "reader.bounced", "reader.complained"),
    "brief.stored",
)
"""What programs can be told of."""


def _check_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError('must be such as "https://desk.example/hook"')
    return value


def _split(value: object) -> Any:
    return value.replace(",", " ").split() if isinstance(value, str) else value


def _check_events(events: tuple[str, ...]) -> tuple[str, ...]:
    groups = {f"{event.partition('.')[0]}.*" for event in EVENTS}
    for event in events:
        if event not in EVENTS and event not in groups:
            raise ValueError(f'"{event}" is none of {", ".join((*EVENTS, *sorted(groups)))}')
    return events


class Api(Section):
    """The API under /api/v1 for programs that have a key."""

    enabled: bool = Field(
        default=True, description="Whether programs with a key are answered at /api/v1."
    )
    per_key: Limits = Field(
        default="600/minute", description="How many requests of one key are answered."
    )
    max_bytes: int = Field(
        default=1_000_000, ge=1_000, description="Ceiling on the size of a request, in bytes."
    )
    send_within: Duration = Field(
        default=timedelta(hours=1),
        ge=SECOND,
        description="How long a send that a program asked for is tried while no relay can be "
        "reached.",
    )
    keep: Duration = Field(
        default=timedelta(days=90),
        ge=timedelta(days=2),
        description="How long it is kept what happened, what was asked to be sent, and what "
        "webhooks were told.",
    )


class Webhook(Section):
    """An address that is told what happens."""

    url: Annotated[Line, AfterValidator(_check_url)] = Field(
        description="Address that is told what happens, with POST."
    )
    events: Annotated[tuple[Line, ...], BeforeValidator(_split), AfterValidator(_check_events)] = (
        Field(
            default=(),
            description="What it is told of, such as edition.sent or reader.*; default all.",
        )
    )
    secret: Secret = Field(
        description="What its messages are signed with; names a variable in braces, such as "
        '"{HOOK_SECRET}".'
    )
    allow_private: bool = Field(
        default=False, description="Allow addresses of private networks and this machine."
    )
    timeout: Duration = Field(
        default=timedelta(seconds=10), ge=SECOND, description="Ceiling on one request."
    )

    @property
    def label(self) -> str:
        """What the database and people know it by: its address may hold a secret."""
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        digest = hashlib.sha256(self.url.encode()).hexdigest()[:8]
        return f"{parts.scheme}://{parts.hostname}{port} ({digest})"

    def wants(self, kind: str) -> bool:
        """Tell whether it is told of what is of a kind."""
        group = f"{kind.partition('.')[0]}.*"
        return not self.events or kind in self.events or group in self.events
