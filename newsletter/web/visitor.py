"""Where a request comes from, as far as that may be known and is kept: of readers only a network.

Whoever asks can write X-Forwarded-For. Its last entries are those of one's own proxies, each of
which adds whom it was asked by: so the setting says how many there are, and only that many from
the end are believed.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterable

from starlette.requests import Request

from newsletter.audience.signing_up import Visit
from newsletter.render.languages import match_language
from newsletter.settings import Settings

log = logging.getLogger("newsletter.web")

_UNKNOWN = "unknown"
_LANGUAGES_READ = 10


class Visitors:
    """Tells where requests come from, by the settings."""

    def __init__(self, settings: Settings) -> None:
        self._proxies, self._signup = settings.web.proxies, settings.signup
        self._is_told = False

    def read_address(self, request: Request) -> str:
        """Tell the address that a request came from; "" where nobody knows it."""
        peer = request.client.host if request.client else ""
        forwarded = ",".join(request.headers.getlist("x-forwarded-for"))
        if forwarded and not self._proxies:
            self._tell_once()
        return choose_address(peer, forwarded, self._proxies)

    def read_network(self, request: Request) -> str:
        """Tell the network that a request came from, such as "192.0.2.0/24"."""
        address = self.read_address(request)
        return find_network(address, v4=self._signup.network_v4, v6=self._signup.network_v6)

    def read_visit(self, request: Request) -> Visit:
        """Tell what is kept of where a request came from."""
        agent = request.headers.get("user-agent", "")
        return Visit(
            network=self.read_network(request) if self._signup.keep_network else "",
            agent="".join(c for c in agent if c.isprintable()) if self._signup.keep_agent else "",
        )

    def _tell_once(self) -> None:
        if not self._is_told:
            log.warning(
                "a proxy stands in front, and web.proxies is 0: all readers count as one network; "
                "set it to the number of your proxies"
            )
            self._is_told = True


def choose_address(peer: str, forwarded: str, proxies: int) -> str:
    """Choose whose address counts: the peer's, or what the outermost of our proxies saw. Pure."""
    entries = [entry.strip() for entry in forwarded.split(",") if entry.strip()]
    seen = [*entries, peer]
    return seen[max(len(seen) - 1 - proxies, 0)]


def find_network(address: str, *, v4: int, v6: int) -> str:
    """Give the network that an address is in, by so many bits; "unknown" for no address. Pure."""
    text = address.strip("[]").partition("%")[0]
    if text.count(":") == 1:  # with a port, as some proxies write it
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return _UNKNOWN
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    bits = v4 if found.version == 4 else v6
    return str(ipaddress.ip_network((found, bits), strict=False))


def choose_language(asked: str, accepted: str, languages: Iterable[str]) -> str:
    """Choose a page's language: what is asked for, else what the browser says; "" if none. Pure."""
    known = tuple(languages)
    wanted = [part.partition(";")[0].strip() for part in accepted.split(",")[:_LANGUAGES_READ]]
    for each in (asked, *wanted):
        if found := match_language(each[:35], known) if each else "":
            return found
    return ""
