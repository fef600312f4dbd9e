"""Read an address as people write it, and decide whether it can be mailed.

The rules are our own because address libraries refuse the reserved example domains, which
this product's samples and tests live on, or look domains up. What is accepted:

- local part: a dot-atom (RFC 5321 §4.1.2), also beyond ASCII (RFC 6531 §3.3), at most 64
  octets; a quoted one is refused, since hosts are told not to make them (§4.1.2);
- domain: a host name with a dot (RFC 1123 §2.1), an international one as A-labels (RFC 5891),
  so that only a local part beyond ASCII ever needs SMTPUTF8;
- both together at most 254 octets (RFC 3696 erratum 1690).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import idna

from newsletter.errors import AudienceError

_LOCAL_OCTETS = 64
_ADDRESS_OCTETS = 254
_EDGES = " \t\r\n\f\v\u00a0\u200b\u2028\u2029\u202f\u3000\ufeff"
"""What pasting leaves around an address: spaces, line ends, zero-width space, BOM."""

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+"  # RFC 5322 §3.2.3, RFC 6531 §3.3
_DOT_ATOM = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_DOTLESS = frozenset({"example"})  # RFC 2606 §2; any other name without a dot is a local host
_MAILBOX = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]*)>", re.DOTALL)
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Address:
    """An address that can be mailed, and the key that tells whether two are the same."""

    email: str
    """As mailed: the local part in NFC with its own capitals, the domain in A-labels."""
    key: str
    """As compared: `email` in lower case."""


def parse_address(text: str) -> Address:
    """Read a bare address; blanks around it are dropped.

    Raises `AudienceError` with the reason and the mend.
    """
    trimmed = text.strip(_EDGES)
    local, at, domain = trimmed.rpartition("@")
    if not at or not local or not domain:
        missing = (
            'there is no "@"'
            if not at
            else f"nothing stands {'after' if local else 'before'} the @"
        )
        raise _refusal(trimmed, missing, "write it as name@domain")
    if len(trimmed) > _ADDRESS_OCTETS:  # before anything slower looks at it
        raise _refusal(trimmed, f"it is longer than {_ADDRESS_OCTETS} characters")
    if not local.isascii():
        local = unicodedata.normalize("NFC", local)
    if problem := _local_problem(local):
        raise _refusal(trimmed, problem)
    host = _parse_domain(domain, trimmed)
    email = f"{local}@{host}"
    if len(email.encode()) > _ADDRESS_OCTETS:
        raise _refusal(trimmed, f"it is longer than {_ADDRESS_OCTETS} octets")
    return Address(email, build_key(email))


def build_key(email: str) -> str:
    """Give the form of a mailable address that is compared: the same for the same reader."""
    return email.lower() if email.isascii() else unicodedata.normalize("NFC", email.lower())


def split_mailbox(text: str) -> tuple[str, str]:
    """Split `Name <address>` into its two texts, neither checked; a bare text has no name."""
    if match := _MAILBOX.fullmatch(text.strip(_EDGES)):
        return match["name"].strip().strip('"').strip(), match["address"]
    return "", text


def format_excerpt(text: str) -> str:
    """Quote foreign text for a message: short, on one line, nothing invisible."""
    short = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in short)
    return f'"{shown}"'


def find_unprintable(text: str) -> str:
    """Name the first character that no address and no value may hold, e.g. U+0007, or ""."""
    if text.isprintable() and "\ufffd" not in text:
        return ""
    for character in text:
        # Controls, surrogates, private use, unassigned; line and paragraph separators.
        if unicodedata.category(character) in _NEVER or character == "\ufffd":
            return f"U+{ord(character):04X}"
    return ""


_NEVER = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})


def _local_problem(local: str) -> str:
    """Say why a local part cannot be mailed, or ""."""
    if len(local.encode("utf-8", "surrogatepass")) > _LOCAL_OCTETS:
        return f"the part before the @ is longer than {_LOCAL_OCTETS} octets"
    if not local.isascii():
        if found := find_unprintable(local):
            return f"it holds the character {found}"
        for character in local:
            if unicodedata.category(character) in {"Cf", "Zs"}:
                return f"it holds the invisible character U+{ord(character):04X}"
    if _DOT_ATOM.fullmatch(local):
        return ""
    if local.startswith('"'):
        return "a quoted part before the @ is not supported"
    if ".." in local or local.startswith(".") or local.endswith("."):
        return "a dot stands at an end or beside another before the @"
    if "@" in local:
        return "there is more than one @"
    bad = next(c for c in local if not re.fullmatch(_ATOM, c) and c != ".")
    if bad in ",;":
        return "it looks like several addresses"
    named = {" ": "a space"}.get(bad, bad if bad.isprintable() else f"U+{ord(bad):04X}")
    return f"it holds {named}"


def _parse_domain(domain: str, address: str) -> str:
    """Give a domain in lower-case A-labels."""
    host = domain.lower()
    if not host.isascii() or "xn--" in host:
        try:
            host = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
        except UnicodeError:  # IDNAError is one; so is what a lone surrogate raises
            raise _refusal(
                address, "its domain is not an international domain name (RFC 5891)"
            ) from None
    if host.startswith("["):
        raise _refusal(address, "an IP address in place of a domain is not supported")
    if not _DOMAIN.fullmatch(host):
        raise _refusal(address, f"{format_excerpt(domain)} is not a domain name")
    if "." not in host and host not in _DOTLESS:
        raise _refusal(address, f"its domain {format_excerpt(domain)} has no dot")
    if host.rpartition(".")[2].isdigit():
        raise _refusal(address, "its domain ends in a number")
    return host


def _refusal(address: str, reason: str, mend: str = "correct the address") -> AudienceError:
    return AudienceError(
        f"{format_excerpt(address)} cannot be mailed: {reason}", field="email", mend=mend
    )
