"""The operators' console."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from newsletter.settings.values import Duration, Hosts, Line, Section

_MINUTE = timedelta(minutes=1)


def _list_pairs(value: object) -> object:
    return tuple(value.items()) if isinstance(value, dict) else value


Roles = Annotated[
    tuple[tuple[Line, Literal["viewer", "editor", "sender", "admin"]], ...],
    BeforeValidator(_list_pairs),
]


def is_safe_address(url: str) -> bool:
    """Tell whether an address is of https, or of this machine itself. Pure."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return bool(parts.hostname)
    try:
        return parts.scheme == "http" and ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


class Oidc(Section):
    """A provider of OpenID Connect, whose word lets members into the console."""

    issuer: Line = Field(
        default="",
        description="Address of a provider of OpenID Connect, exactly as it names itself; with one "
        "members whose address it has verified log in there, and need no password or code here.",
    )
    client_id: Line = Field(default="", description="What the provider knows this console by.")
    client_secret: SecretStr = Field(
        default=SecretStr(""),
        description="What it is known by in secret; give it in "
        "NEWSLETTER_CONSOLE__OIDC__CLIENT_SECRET.",
    )
    name: Line = Field(default="your account", description="What the login calls the provider.")
    allowed_domains: Hosts = Field(
        default=(),
        description="Domains of addresses that are let in by the provider; none = any, of those "
        "who are on the team already.",
    )
    claim: Line = Field(
        default="groups", description="Claim of the provider that console.oidc.roles goes by."
    )
    roles: Roles = Field(
        default=(),
        description='Table of value of the claim = role, such as { news-desk = "editor" }: adds '
        "who is not on the team yet, in one of console.oidc.allowed_domains, and follows the "
        "claim from then on; empty = nobody is added. Who was added by hand keeps their role.",
    )
    only: bool = Field(
        default=False,
        description="Whether passwords are taken no more, but those of admins who were added, or "
        "given a new link, on the command line: the way in while the provider is away.",
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Oidc:
        if not self.issuer:
            if self.only:
                raise ValueError("only needs issuer: nobody could log in")
            return self
        if not is_safe_address(self.issuer):
            raise ValueError('issuer must be such as "https://login.news.example"')
        if not self.client_id or not self.client_secret.get_secret_value():
            raise ValueError(
                "issuer needs client_id, and client_secret in "
                "NEWSLETTER_CONSOLE__OIDC__CLIENT_SECRET"
            )
        if self.roles and not self.allowed_domains:
            raise ValueError("roles needs allowed_domains: name those whose people are added")
        return self


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
    oidc: Oidc = Oidc()

    @field_validator("url")
    @classmethod
    def _is_secure(cls, url: str) -> str:
        if url and not url.startswith("https://"):
            raise ValueError('must be such as "https://console.news.example"')
        return url.rstrip("/")
