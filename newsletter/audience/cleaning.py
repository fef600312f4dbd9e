"""Addresses that are probably no use: what is wrong with each, and how sure that is.

    syntax      email-validator refuses it: stricter than the import, which must not lose readers
    typo        one slip away from a domain that very many readers have, and none of its own
    role        read by whoever is on duty, who may never have agreed
    disposable  from a service of addresses for an hour
    dead        the domain does not exist or takes no mail, as the DNS says (RFC 5321 §5.1,
                RFC 7505); only looked up when asked, one question a domain

Nothing is taken off the list because of it unless an operator says so, kind by kind: a typo is
a guess, and "info@" may be the only address that somebody has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, get_args

import dns.exception
import dns.resolver
from email_validator import (
    EmailNotValidError,
    EmailUndeliverableError,
    caching_resolver,
    validate_email,
)
from rapidfuzz.distance import OSA
from sqlalchemy import delete

from newsletter.audience.address import build_key
from newsletter.audience.subscribers import Selection, list_subscribers
from newsletter.audience.suppression import (
    keep_audiences_out,
    keep_intents_out,
    suppress,
)
from newsletter.store import Database
from newsletter.store.tables import subscribers

Kind = Literal["syntax", "typo", "role", "disposable", "dead"]
KINDS: tuple[Kind, ...] = get_args(Kind)

DNS_SECONDS = 5
"""How long a name server may take before the domain counts as unknown, which is not dead."""
_AT_ONCE = 16
_BATCH_ROWS = 1_000

_BIG = (
    *("gmail.com", "yahoo.com", "hotmail.com", "outlook.com", "icloud.com", "aol.com"),
    *("live.com", "msn.com", "googlemail.com", "protonmail.com", "comcast.net", "verizon.net"),
    *("sbcglobal.net", "bellsouth.net", "hotmail.co.uk", "yahoo.co.uk", "btinternet.com"),
    *("web.de", "gmx.de", "gmx.net", "t-online.de", "freenet.de", "orange.fr", "wanadoo.fr"),
    *("laposte.net", "libero.it", "yahoo.fr", "yahoo.de", "hotmail.fr", "hotmail.de"),
)
_NO_TYPOS = frozenset(
    {
        *("ymail.com", "mail.com", "email.com", "gmx.com", "gmx.at", "gmx.ch", "gmx.us"),
        *("aol.de", "aol.fr", "live.de", "live.fr", "live.nl", "live.it", "live.ca", "live.be"),
        *("yahoo.ca", "yahoo.co", "yahoo.es", "yahoo.it", "yahoo.in", "rocketmail.com"),
        *("hotmail.it", "hotmail.es", "hotmail.ca", "outlook.fr", "outlook.de", "outlook.es"),
        *("me.com", "mac.com", "msn.de", "mns.com", "pm.me", "proton.me", "protonmail.ch"),
        *("web.com", "web.se", "we.de", "libero.com", "orange.com", "laposte.fr", "freenet.com"),
    }
)
"""Domains one letter from a big one that are somebody's own."""
_ROLES = frozenset(
    {
        *("abuse", "admin", "administrator", "billing", "contact", "editor", "enquiries", "help"),
        *("hostmaster", "hr", "info", "inquiries", "jobs", "mail", "marketing", "media", "news"),
        *("newsletter", "no-reply", "noc", "noreply", "office", "orders", "postmaster", "press"),
        *("privacy", "root", "sales", "security", "service", "support", "team", "webmaster"),
    }
)
_DISPOSABLE = frozenset(
    {
        *("10minutemail.com", "33mail.com", "discard.email", "dispostable.com", "fakeinbox.com"),
        *("getairmail.com", "getnada.com", "grr.la", "guerrillamail.com", "guerrillamail.net"),
        *("guerrillamailblock.com", "mailcatch.com", "maildrop.cc", "mailinator.com"),
        *("mailnesia.com", "mintemail.com", "moakt.com", "mohmal.com", "mytemp.email"),
        *("sharklasers.com", "spam4.me", "spamgourmet.com", "temp-mail.org", "tempail.com"),
        *("tempmail.com", "tempr.email", "throwawaymail.com", "trashmail.com", "trashmail.de"),
        *("yopmail.com", "yopmail.fr", "wegwerfmail.de"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with one reader's address."""

    subscriber_id: int
    email: str
    kind: Kind
    said: str


def judge_address(email: str) -> Iterator[tuple[Kind, str]]:
    """Say what is wrong with an address, without asking anybody."""
    try:
        validate_email(email, check_deliverability=False, allow_smtputf8=True)
    except EmailNotValidError as error:
        yield "syntax", str(error)
    local, _, domain = email.lower().rpartition("@")
    if big := find_meant_domain(domain):
        yield "typo", f"probably {local}@{big}"
    if local.partition("+")[0] in _ROLES:
        yield "role", f"{local}@ is read by whoever is on duty"
    if domain in _DISPOSABLE:
        yield "disposable", f"{domain} gives out addresses for an hour"


@lru_cache(maxsize=65_536)
def find_meant_domain(domain: str) -> str:
    """Give the big domain that was probably meant, one slip away; "" for any other domain."""
    if domain in _NO_TYPOS or domain in _BIG:
        return ""
    return next((big for big in _BIG if OSA.distance(domain, big, score_cutoff=1) == 1), "")


def build_resolver(server: str = "") -> Any:
    """Build what asks the DNS: this machine's own name servers, or one, as ADDRESS or ADDRESS:PORT.

    Raises `ValueError` for what is no address.
    """
    if not server:
        return caching_resolver(timeout=DNS_SECONDS)
    address, _, port = server.rpartition(":") if server.count(":") == 1 else (server, "", "")
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [address or server]
    resolver.port = int(port) if port else 53
    return caching_resolver(timeout=DNS_SECONDS, dns_resolver=resolver)


def find_dead(domain: str, resolver: Any) -> str:
    """Say why a domain takes no mail; "" for one that does, or that nobody answered about."""
    try:
        validate_email(
            f"postmaster@{domain}",
            check_deliverability=True,
            dns_resolver=resolver,
            globally_deliverable=False,  # which domains are looked at all is `judge_address`'s
        )
    except EmailUndeliverableError as error:
        answered = (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer)
        # Whatever else went wrong on the way says nothing about the domain.
        unknown = error.__cause__ is not None and not isinstance(error.__cause__, answered)
        return "" if unknown else str(error)
    except EmailNotValidError:
        return ""  # it is listed for that
    return ""


def find_problems(
    database: Database,
    *,
    resolver: Any = None,
    on_progress: Callable[[int], None] = lambda _done: None,
) -> Iterator[Problem]:
    """Judge the addresses of all readers who are active or pending, in their order.

    With a `resolver` the DNS is asked about each domain, once. `on_progress` is told how many
    readers were judged.
    """
    known: dict[str, str] = {}
    judged = 0
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        for batch in _batches(database):
            if resolver is not None:
                domains = sorted({_domain(email) for _, email in batch} - known.keys())
                answers = pool.map(lambda domain: find_dead(domain, resolver), domains)
                known.update(zip(domains, answers, strict=True))
            for number, email in batch:
                found = [*judge_address(email)]
                if dead := known.get(_domain(email)):
                    found.append(("dead", dead))
                for kind, said in found:
                    yield Problem(subscriber_id=number, email=email, kind=kind, said=said)
            judged += len(batch)
            on_progress(judged)


def suppress_addresses(database: Database, problems: Sequence[Problem], now: datetime) -> int:
    """Keep these addresses out from now on, as removed by an operator; give their number."""
    by_said: dict[str, list[str]] = {}
    for problem in problems:
        detail = f"cleaned: {problem.kind}"
        by_said.setdefault(detail, []).append(build_key(problem.email))
    for detail, keys in by_said.items():
        for batch in _cut(keys):
            with database.writing() as connection:
                suppress(connection, batch, "manual", now, detail=detail)
    return len({problem.subscriber_id for problem in problems})


def delete_readers(database: Database, problems: Sequence[Problem]) -> int:
    """Take these readers off the list, so that a mended address can be imported; give their number.

    Copies of an edition that is being sent are not called back by that.
    """
    gone = 0
    for batch in _cut(sorted({problem.subscriber_id for problem in problems})):
        with database.writing() as connection:
            keep_audiences_out(connection)
            keep_intents_out(connection)
            where = subscribers.c.id.in_(batch)
            gone += connection.execute(delete(subscribers).where(where)).rowcount
    return gone


def _batches(database: Database) -> Iterator[list[tuple[int, str]]]:
    for status in ("active", "pending"):
        batch: list[tuple[int, str]] = []
        for reader in list_subscribers(database, Selection(status=status)):
            batch.append((reader.id, reader.email))
            if len(batch) == _BATCH_ROWS:
                yield batch
                batch = []
        if batch:
            yield batch


def _cut(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[first : first + _BATCH_ROWS] for first in range(0, len(items), _BATCH_ROWS))


def _domain(email: str) -> str:
    return email.rpartition("@")[2].lower()
