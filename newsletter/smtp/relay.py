"""Relay URLs: where mail is handed to, and under which protection.

smtp://user@host:587            STARTTLS required (the default of smtp://)
smtp://host:25?tls=none         in the clear; a password then goes to loopback only
smtps://user@host:465           TLS from the first byte (RFC 8314 §3)
smtp://user@host?auth=xoauth2   a login by access token; also ?auth=oauthbearer (RFC 7628)
lmtp://host:24  lmtp:///socket  a local mail store (RFC 2033), in the clear
maildir:DIR                     a Maildir on this machine
eml:DIR                         a folder of .eml files
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from newsletter.errors import ConfigurationError

Tls = Literal["none", "starttls", "implicit"]
Auth = Literal["password", "xoauth2", "oauthbearer"]

_PORTS = {"smtp": 587, "smtps": 465, "lmtp": 24}
_TLS: dict[str, tuple[Tls, ...]] = {  # by scheme; the first is what holds without ?tls=
    "smtp": ("starttls", "none", "implicit"),
    "smtps": ("implicit",),
    "lmtp": ("none", "starttls", "implicit"),
}
_AUTH: tuple[Auth, ...] = ("password", "xoauth2", "oauthbearer")
_HOST = re.compile(r"(?!.*\.\.)[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
_EXAMPLE = 'write for example "smtp://user@relay.example:587" or "eml:outbox"'
_PASSWORD = "NEWSLETTER_DELIVERY__RELAY_PASSWORD"  # noqa: S105 - the name of a variable


def is_loopback(host: str) -> bool:
    """Tell whether a host, by name or address, is this machine. Pure: no name is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """A relay URL, read. `path` is a folder, or LMTP's socket.

    Raises `ConfigurationError` for credentials that would travel in the clear or cannot be said.
    """

    kind: Literal["smtp", "lmtp", "maildir", "eml"]
    host: str = ""
    port: int = 0
    path: Path | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    tls: Tls = "none"
    auth: Auth = "password"

    def __post_init__(self) -> None:
        if self.user and self.tls == "none" and not self.is_local:
            secret = "password" if self.auth == "password" else "access token"
            raise ConfigurationError(
                f"would send the {secret} in the clear",
                field="delivery.relay",
                mend="drop ?tls=none, or drop the user",
            )
        for secret, name in ((self.user, "delivery.relay"), (self.password, _PASSWORD)):
            if not _is_sayable(secret):
                raise ConfigurationError(
                    "the user or password holds a character that no login can say",
                    field=name,
                    mend="look for a line end or a byte that is not UTF-8",
                )

    @property
    def is_local(self) -> bool:
        """Whether what is said to it stays on this machine."""
        return self.path is not None or is_loopback(self.host)

    def __str__(self) -> str:
        if self.kind in ("maildir", "eml"):
            return f"{self.kind}:{self.path}"
        if self.path is not None:
            return f"{self.kind}://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "smtps" if self.kind == "smtp" and self.tls == "implicit" else self.kind
        return f"{scheme}://{host}:{self.port}"


def parse_relay(url: str, *, password: str = "", root: Path = Path()) -> Relay:
    """Read a relay URL; folders are relative to `root`. Raises `ConfigurationError`.

    No message repeats what might be a piece of a password.
    """
    url = url.strip()
    if not url:
        raise _wrong("is missing")
    scheme, colon, rest = url.partition(":")
    scheme = scheme.lower()
    if not colon:
        raise _wrong(f"{url!r} is no relay URL")
    if scheme in ("maildir", "eml"):
        folder = rest if rest.startswith("///") else rest.removeprefix("//")
        if not folder:
            raise _wrong(f"names no folder after {scheme}:")
        return Relay(kind="maildir" if scheme == "maildir" else "eml", path=root / folder)
    if scheme not in _PORTS or not rest.startswith("//"):
        known = "smtp://, smtps:// and lmtp://, maildir: and eml:"
        raise _wrong(f"does not begin with a kind of relay; there are {known}")
    try:
        parts = urlsplit(url)
        port = _PORTS[scheme] if parts.port is None else parts.port
        options = _read_options(parts)
    except ValueError:
        raise _wrong(
            "cannot be read as a URL",
            "percent-encode special characters of the user, and keep the password out of it",
        ) from None
    if parts.password is not None:
        raise _wrong("holds a password", f"take it out and set {_PASSWORD}")
    if unknown := sorted(options.keys() - {"tls", "auth"}):
        raise _wrong(f"has an unknown option {unknown[0]!r}", "there are ?tls= and ?auth=")
    wanted = options.get("tls", _TLS[scheme][0])
    tls = next((mode for mode in _TLS[scheme] if mode == wanted), None)
    if tls is None:
        allowed = " or ".join(_TLS[scheme])
        raise _wrong(f"says tls={wanted}", f"{scheme}:// takes ?tls={allowed}")
    said = options.get("auth", _AUTH[0])
    auth = next((way for way in _AUTH if way == said), None)
    if auth is None:
        raise _wrong(f"says auth={said}", f"there are ?auth={' and '.join(_AUTH)}")
    user = unquote(parts.username or "")
    if auth != "password" and not user:
        raise _wrong(f"says auth={said} and names no user", f"write {scheme}://USER@HOST")
    if scheme == "lmtp" and not parts.netloc and parts.path.strip("/"):
        if tls != "none":
            raise _wrong("asks for TLS on a socket of this machine", "drop ?tls=")
        return Relay(kind="lmtp", path=Path(unquote(parts.path)))
    if parts.path.strip("/"):
        raise _wrong("has a path after its host", "only lmtp:///SOCKET and folders have one")
    return Relay(
        kind="lmtp" if scheme == "lmtp" else "smtp",
        host=_read_host(parts.hostname or ""),
        port=port,
        user=user,
        password=password,
        tls=tls,
        auth=auth,
    )


def _read_options(parts: SplitResult) -> dict[str, str]:
    if parts.fragment:
        raise ValueError
    query = parts.query
    return dict(parse_qsl(query, strict_parsing=bool(query), keep_blank_values=True))


def _read_host(host: str) -> str:
    """Give a host name in A-labels (RFC 5890), or an IP address."""
    if not host:
        raise _wrong("names no host")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        name = host.encode("idna").decode()
    except UnicodeError:  # an empty label, one over 63 characters, or characters without IDNA form
        name = ""
    if not _HOST.fullmatch(name):
        raise _wrong(f"{host!r} is no host name")
    return name


def _is_sayable(secret: str) -> bool:
    """Whether it is UTF-8 without the control characters that would end or split it."""
    try:
        return not any(byte < 32 or byte == 127 for byte in secret.encode())
    except UnicodeEncodeError:
        return False


def _wrong(problem: str, mend: str = _EXAMPLE) -> ConfigurationError:
    return ConfigurationError(problem, field="delivery.relay", mend=mend)
