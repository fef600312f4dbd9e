"""Ask the DNS, and tell "there is none" from "nobody answered"."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import dns.exception
import dns.rdatatype
import dns.resolver

Address = IPv4Address | IPv6Address

_SECONDS = 4.0


class Unanswered(Exception):
    """The DNS does not answer: nothing is known."""


class Names:
    """What is asked: this machine's own name servers, or one at ADDRESS or ADDRESS:PORT."""

    def __init__(self, server: str = "") -> None:
        """Raise `ValueError` for what is no address, `Unanswered` where no server is known."""
        try:
            self._resolver = dns.resolver.Resolver(configure=not server)
        except dns.resolver.NoResolverConfiguration:
            raise Unanswered("this machine knows no name server") from None
        if server:
            host, _, port = server.rpartition(":") if server.count(":") == 1 else (server, "", "")
            self._resolver.nameservers = [str(ip_address(host or server))]
            self._resolver.port = int(port) if port else 53
        self._resolver.lifetime = _SECONDS
        self._resolver.timeout = _SECONDS / 2
        self._known: dict[tuple[str, str], list[Any]] = {}
        self._silence = ""
        """What came of the first question, where that was no answer: no more is asked then."""

    def texts(self, name: str) -> list[str]:
        """Give the TXT records of a name, each joined; none where there are none."""
        return [
            b"".join(record.strings).decode("utf-8", "replace") for record in self._ask(name, "TXT")
        ]

    def exchanges(self, name: str) -> list[str]:
        """Give the mail exchanges of a name, the preferred first; "" for the null MX."""
        records = sorted(self._ask(name, "MX"), key=lambda record: record.preference)
        return [record.exchange.to_text(omit_final_dot=True).strip(".") for record in records]

    def addresses(self, name: str) -> list[Address]:
        """Give the addresses of a name, of both kinds."""
        return [
            ip_address(record.address) for kind in ("A", "AAAA") for record in self._ask(name, kind)
        ]

    def _ask(self, name: str, kind: str) -> list[Any]:
        key = (name.lower().rstrip("."), kind)
        if self._silence:
            raise Unanswered(self._silence)
        if key not in self._known:
            try:
                self._known[key] = list(self._resolver.resolve(f"{key[0]}.", kind, search=False))
            except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
                self._known[key] = []
            except (dns.resolver.NoNameservers, dns.exception.Timeout) as error:
                said = f"nobody answers about {key[0]} ({_why(error)})"
                if not self._known:
                    self._silence = said
                raise Unanswered(said) from None
            except (dns.exception.DNSException, UnicodeError) as error:
                raise Unanswered(f"{key[0]} cannot be asked for ({type(error).__name__})") from None
        return self._known[key]


LookUp = Callable[[str], list[str]]
"""Give the TXT records of a name."""


def _why(error: Exception) -> str:
    return "no answer in time" if isinstance(error, dns.exception.Timeout) else "servers fail"
