"""Relay URLs: where mail is handed to, and under which protection.

smtp://user@host:587            STARTTLS required (the default of smtp://)
smtp://host:25?tls=none         in the clear; a password then goes to loopback only
smtps://user@host:465           TLS from the first byte (RFC 8314 §3)
lmtp://host:24  lmtp:///socket  a local mail store (RFC 2033), in the clear
maildir:DIR                     a Maildir on this machine
eml:DIR                         a folder of .eml files
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from newsletter.errors import ConfigurationError

Tls = Literal["none", "starttls", "implicit"]
_PORTS = {"smtp": 587, "smtps": 465, "lmtp": 24}


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """A relay URL, read. `path` is a folder, or LMTP's socket."""

    kind: Literal["smtp", "lmtp", "maildir", "eml"]
    host: str = ""
    port: int = 0
    path: Path | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    tls: Tls = "none"

    @property
    def is_local(self) -> bool:
        """Whether what is said to it stays on this machine."""
        if self.path is not None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        if self.kind in ("maildir", "eml"):
            return f"{self.kind}:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{self.path or f'{host}:{self.port}'}"


def parse_relay(url: str, *, password: str = "", root: Path = Path()) -> Relay:
    """Read a relay URL; folders are relative to `root`. Raises `ConfigurationError`."""
    scheme, colon, rest = url.partition(":")
    if not colon:
        raise _wrong("is missing" if not url else f"{url!r} is no relay URL")
    if scheme in ("maildir", "eml"):
        if not rest:
            raise _wrong(f"names no folder after {scheme}:")
        return Relay(kind="maildir" if scheme == "maildir" else "eml", path=root / rest)
    if scheme not in _PORTS:
        raise _wrong(f"{scheme}: is no kind of relay")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS[scheme]
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise _wrong(f"cannot be read ({error})") from None
    if unknown := sorted(options.keys() - {"tls"}):
        raise _wrong(f"has an unknown option {unknown[0]!r}")
    if parts.password is not None:
        raise ConfigurationError(
            "holds a password",
            field="delivery.relay",
            mend="keep it out of the file: set NEWSLETTER_DELIVERY__RELAY_PASSWORD",
        )
    if scheme == "lmtp" and parts.path.strip("/"):
        return Relay(kind="lmtp", path=Path(unquote(parts.path)))
    if not host:
        raise _wrong("names no host")
    tls = options.get("tls", {"smtps": "implicit", "smtp": "starttls", "lmtp": "none"}[scheme])
    if tls not in ("none", "starttls", "implicit"):
        raise _wrong(f"says tls={tls}")
    relay = Relay(
        kind="lmtp" if scheme == "lmtp" else "smtp",
        host=host,
        port=port,
        user=unquote(parts.username or ""),
        password=password,
        tls="none" if tls == "none" else "implicit" if tls == "implicit" else "starttls",
    )
    if relay.user and relay.tls == "none" and not relay.is_local:
        raise ConfigurationError(
            "would send the password in the clear",
            field="delivery.relay",
            mend="drop ?tls=none, or drop the user",
        )
    return relay


def _wrong(problem: str) -> ConfigurationError:
    return ConfigurationError(
        problem,
        field="delivery.relay",
        mend='write for example "smtp://user@relay.example:587" or "eml:outbox"; '
        "the options are ?tls=none, starttls or implicit",
    )
