"""SPF (RFC 7208): whether the record can be evaluated at all, and whom it lets send.

Evaluated is not one message but the record: every mechanism is followed, since a receiver
may have to. Of a macro only the lookup is counted: what it stands for is a message's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network

from newsletter.doctor.check import Check, skipped, wanting, well, wrong
from newsletter.doctor.names import Address, Names

MOST_LOOKUPS = 10  # RFC 7208 §4.6.4
MOST_VOID = 2
_MOST_EXCHANGES = 10
_TERM = re.compile(
    r"(?P<sign>[+?~-]?)(?P<name>all|include|a|mx|ptr|ip4|ip6|exists)"
    r"(?::(?P<value>[^/\s]+(?:/\d{1,3})?))?(?P<length>(?:/\d{1,3})?(?://\d{1,3})?)",
    re.IGNORECASE,
)
_MODIFIER = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_.-]*)=(?P<value>\S*)")
Network = IPv4Network | IPv6Network


class Broken(Exception):
    """The record is a permanent error to whoever evaluates it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A mechanism or a modifier of a record."""

    sign: str
    name: str
    value: str
    lengths: tuple[int | None, int | None] = (None, None)
    """Of the prefix for IPv4 and IPv6, where they are given."""


@dataclass(slots=True)
class Evaluated:
    """What came of following a record."""

    lookups: int = 0
    void: int = 0
    allowed: list[Network] = field(default_factory=list)
    includes: list[str] = field(default_factory=list)
    has_macros: bool = False
    default: str = ""
    """The sign of its `all`, or of the record that it redirects to; "" for none."""


def find_record(texts: Sequence[str]) -> str:
    """Find the record among a name's texts; "" for none. Raises `Broken` for several."""
    found = [text for text in texts if re.match(r"v=spf1(?: |$)", text, re.IGNORECASE)]
    if len(found) > 1:
        raise Broken("there are two SPF records")
    return found[0] if found else ""


def parse_record(record: str) -> Iterator[Term]:
    """Yield the terms of a record. Raises `Broken` for what is none."""
    for word in record.split()[1:]:
        if matched := _MODIFIER.fullmatch(word):
            yield Term(sign="", name=f"{matched['name'].lower()}=", value=matched["value"])
        elif matched := _TERM.fullmatch(word):
            yield _read_mechanism(word, matched)
        else:
            raise Broken(f"{word[:40]!r} is no term of SPF")


def _read_mechanism(word: str, matched: re.Match[str]) -> Term:
    name, value = matched["name"].lower(), matched["value"] or ""
    first, _, second = matched["length"].partition("//")
    if name in ("a", "mx") and "/" in value:
        value, _, length = value.partition("/")
        first = f"/{length}"
    if name in ("include", "exists", "ip4", "ip6") and not value:
        raise Broken(f"{word[:40]!r} names nothing")
    lengths = (int(first.strip("/")) if first else None, int(second) if second else None)
    if name in ("ip4", "ip6"):
        value = f"{value}{matched['length']}"
    return Term(sign=matched["sign"] or "+", name=name, value=value, lengths=lengths)


def evaluate(names: Names, domain: str) -> Evaluated:
    """Follow the record of a domain. Raises `Broken`, or `Unanswered` where the DNS is silent."""
    result = Evaluated()
    record = find_record(names.texts(domain))
    if not record:
        raise Broken("there is no SPF record")
    result.default = _follow(names, domain, record, "+", result, depth=0)
    return result


def _follow(
    names: Names, domain: str, record: str, sign: str, result: Evaluated, *, depth: int
) -> str:
    """Follow one record's terms; give the sign of its `all`."""
    terms = list(parse_record(record))
    default = ""
    for term in terms:
        allows = sign == term.sign == "+"
        if term.name in ("include", "a", "mx", "ptr", "exists"):
            _count(result)
        target = term.value or domain
        if "%" in target and term.name not in ("ip4", "ip6"):
            result.has_macros = True
            continue
        match term.name:
            case "all":
                return term.sign
            case "ip4" | "ip6":
                network = _read_network(target)
                if allows:
                    result.allowed.append(network)
            case "a" | "mx":
                found = _find_addresses(names, term.name, target, result)
                if allows:
                    result.allowed += [_widen(address, term.lengths) for address in found]
            case "include":
                result.includes.append(target.lower())
                _include(names, target, term.sign if sign == "+" else sign, result, depth=depth)
    redirect = next((term.value for term in terms if term.name == "redirect="), "")
    if redirect:
        _count(result)
        if "%" in redirect:
            result.has_macros = True
            return default
        further = find_record(names.texts(redirect))
        if not further:
            raise Broken(f"it redirects to {redirect}, which has no SPF record")
        result.includes.append(redirect.lower())
        return _follow(names, redirect, further, sign, result, depth=depth + 1)
    return default


def _include(names: Names, target: str, sign: str, result: Evaluated, *, depth: int) -> None:
    record = find_record(names.texts(target))
    if not record:
        raise Broken(f"it includes {target}, which has no SPF record")
    _follow(names, target, record, sign, result, depth=depth + 1)


def _find_addresses(names: Names, kind: str, target: str, result: Evaluated) -> list[Address]:
    if kind == "a":
        found = names.addresses(target)
    else:
        exchanges = [host for host in names.exchanges(target) if host]
        if len(exchanges) > _MOST_EXCHANGES:
            raise Broken(f"mx:{target} has more than {_MOST_EXCHANGES} mail exchanges")
        found = [address for host in exchanges for address in names.addresses(host)]
    if not found:
        result.void += 1
        if result.void > MOST_VOID:
            raise Broken(f"more than {MOST_VOID} of its names lead nowhere")
    return found


def _count(result: Evaluated) -> None:
    result.lookups += 1
    if result.lookups > MOST_LOOKUPS:
        raise Broken(f"it takes more than {MOST_LOOKUPS} lookups")


def _read_network(value: str) -> Network:
    try:
        return ip_network(value, strict=False)
    except ValueError:
        raise Broken(f"{value[:40]!r} is no network") from None


def _widen(address: Address, lengths: tuple[int | None, int | None]) -> Network:
    length = lengths[0] if address.version == 4 else lengths[1]
    return ip_network(
        f"{address}/{address.max_prefixlen if length is None else length}", strict=False
    )


def check_spf(names: Names, domain: str, *, relay_host: str, relay_is_local: bool) -> Check:
    """Check the record of the envelope sender's domain. Raises `Unanswered`.

    `relay_host` is where mail is handed to: its own addresses, or a record that is its
    operator's, should be allowed; "" where mail stays in a folder.
    """
    name = "spf"
    try:
        found = evaluate(names, domain)
    except Broken as error:
        return wrong(
            name,
            f"SPF of {domain}: {error}.",
            f"publish one TXT record at {domain} such as "
            '"v=spf1 include:YOUR-RELAY -all", within 10 lookups',
        )
    used = f"{found.lookups} of {MOST_LOOKUPS} lookups"
    if found.default == "+":
        return wrong(name, f"SPF of {domain} lets everybody send (+all).", "end it with -all")
    if found.default in ("", "?"):
        return wanting(
            name,
            f"SPF of {domain} says nothing of who else may not send ({used}).",
            "end it with -all or ~all",
        )
    said = f"SPF of {domain} can be evaluated ({used})"
    if not relay_host:
        return well(name, f"{said}.")
    if relay_is_local:
        return well(name, f"{said}; the relay is on this machine, and its way out is not known.")
    if _is_of_same_owner(relay_host, found.includes):
        return well(name, f"{said} and includes the relay's operator.")
    addresses = names.addresses(relay_host)
    if addresses and all(_is_allowed(each, found.allowed) for each in addresses):
        return well(name, f"{said} and allows {relay_host}.")
    if found.has_macros:
        return skipped(name, f"{said}; whom its macros allow only a message can tell.")
    return wanting(
        name,
        f"{said}, but does not name {relay_host}.",
        "add the include that its operator gives, unless mail leaves from other addresses",
    )


def _is_allowed(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == each.version and address in each for each in networks)


def _is_of_same_owner(host: str, includes: Sequence[str]) -> bool:
    """Tell whether an included name shares the relay's domain: its last two labels or more."""
    owner = ".".join(host.lower().rstrip(".").split(".")[-2:])
    return any(each == owner or each.endswith(f".{owner}") for each in includes)
