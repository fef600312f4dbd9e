"""Signing up by oneself: asked for, mailed, confirmed; and the record of consent that it leaves.

    asked ──▶ mailed ──▶ confirmed      a row of `sign_ups`, kept with the reader as the proof
        └──▶ (deleted)                  nothing came of it: nobody is to learn why

1. `store_ask` writes down what a form said, and nothing else: the same work for every address, so
   that neither the answer nor the time it takes tells who is on the list.
2. `settle_asks` decides afterwards what comes of it. A mail goes to who is not on the list yet, to
   one address once in 24 hours and three times in 30 days, whoever asks.
3. `confirm` makes a reader, by the button behind the mail's link, and by nothing else.

Who may come back, and how:

- who left, or whose mail bounced: by confirming, if they asked after that;
- who was erased: likewise. They are nobody to us; that they ask, and confirm, is a new consent, and
  ends the memory of the old wish;
- who complained, whom the operator keeps out, and who asked not to be asked again: not at all. They
  get no mail, and no form tells them so; the operator may add them again, but for a complaint.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from limits import RateLimitItem, RateLimitItemPerDay
from sqlalchemy import Connection, Row, delete, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from newsletter.audience.address import Address
from newsletter.audience.entry import Entry, Tally, store_entries
from newsletter.audience.leaving import BY_THEMSELVES
from newsletter.audience.pseudonyms import Pseudonyms
from newsletter.audience.reader import Choices
from newsletter.audience.subscribers import read_subscriber
from newsletter.audience.suppression import (
    NEVER_MAILED,
    find_suppression,
    keep_intents_out,
    keep_suppressions_out,
    lift_suppression,
    suppress,
)
from newsletter.store import Database
from newsletter.store.happenings import tell_of_readers
from newsletter.store.limits import has_room, take
from newsletter.store.tables import sign_ups, subscribers, wordings

CONFIRM_WITHIN = timedelta(days=7)
"""How long a mail's link confirms."""
WAITS_AT_MOST = timedelta(days=1)
"""How long a sign-up waits for its domain to have room; then it is dropped."""
WAIT = timedelta(minutes=5)
"""When one that waits is looked at again."""
ADDRESS_LIMITS: tuple[RateLimitItem, ...] = (RateLimitItemPerDay(1), RateLimitItemPerDay(3, 30))
"""How often one address is mailed, whoever asks."""
_BATCH = 50
"""Sign-ups decided in one transaction: it keeps others waiting for some hundredths of a second."""
_SETTLE_ALONE = text("SELECT pg_advisory_xact_lock(7310579608)")
"""Any number will do that no other program in the database uses."""
_SOURCE_CHARACTERS = 300
_AGENT_CHARACTERS = 300

Way = Literal["page", "form", "api"]
"""Our own page, a form on another site, a program."""
Outcome = Literal["confirmed", "over", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """What a form asks consent to."""

    language: str
    text: str

    @property
    def number(self) -> int:
        """Its version as a number of 63 bits, for a token: another text has another one."""
        digest = hashlib.sha256(f"{self.language}\n{self.text}".encode()).digest()
        return int.from_bytes(digest[:8]) >> 1

    @property
    def version(self) -> str:
        """Its version as it is stored."""
        return write_version(self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Where somebody came from, as far as the settings have it kept."""

    network: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a form said."""

    address: Address
    way: Way
    language: str = ""
    source: str = ""
    """The page that the form stood on."""
    visit: Visit = Visit()
    wording: str = ""
    """The version of what it asked consent to; "" for another site's own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailing:
    """A sign-up that is to be mailed."""

    sign_up_id: int
    address: Address
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUp:
    """A sign-up that a link names."""

    id: int
    email: str
    language: str
    is_open: bool
    """Whether it waits to be confirmed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """What came of pressing the button."""

    outcome: Outcome
    """`over`: too late, left since, or kept out; `unknown`: there is no such sign-up any more."""
    subscriber_id: int = 0
    email: str = ""
    language: str = ""


def write_version(number: int) -> str:
    """Write a wording's number as its version."""
    return f"{number:016x}"


def store_wordings(database: Database, used: Sequence[Wording], now: datetime) -> None:
    """Keep what the forms ask consent to, each text once, for as long as the database lasts."""
    with database.reading() as connection:
        known = set(connection.scalars(select(wordings.c.version)))
    new = [
        {"version": w.version, "language": w.language, "text": w.text, "first_used_at": now}
        for w in used
        if w.version not in known
    ]
    if new:
        with database.writing() as connection:
            make = sqlite.insert if database.is_sqlite else postgresql.insert
            connection.execute(make(wordings).on_conflict_do_nothing(), new)


def store_ask(
    connection: Connection, ask: Ask, now: datetime, *, limits: Sequence[RateLimitItem], key: str
) -> bool:
    """Write down what a form said; False where its network has asked too often.

    `key` names the network, for its `limits`. Nothing here depends on the address.
    """
    if not take(connection, limits, key, now=now):
        return False
    connection.execute(
        insert(sign_ups).values(
            email=ask.address.email,
            email_key=ask.address.key,
            state="asked",
            language=ask.language,
            asked_at=now,
            look_at=now,
            asked_by=ask.way,
            source=ask.source[:_SOURCE_CHARACTERS],
            network=ask.visit.network,
            agent=ask.visit.agent[:_AGENT_CHARACTERS],
            wording=ask.wording,
        )
    )
    return True


def settle_asks(
    database: Database,
    mail: Callable[[Connection, Mailing], None],
    *,
    now: datetime,
    pseudonyms: Pseudonyms,
    per_domain: Sequence[RateLimitItem],
    secret: bytes,
    most_batches: int = 20,
) -> int:
    """Decide what comes of what was asked; `mail` is given each that is to be mailed.

    It is called within the transaction that decides. `secret` is for `name_counted`. Gives how
    many were decided: those beyond `most_batches` wait for the next call.
    """
    decided = 0
    while most_batches and (batch := _find_asked(database, now)):
        most_batches -= 1
        with database.writing() as connection:
            keep_suppressions_out(connection)
            if not database.is_sqlite:  # one at a time: two could wait for each other's counts
                connection.execute(_SETTLE_ALONE)
            for number in batch:
                row = connection.execute(
                    select(sign_ups)
                    .where(sign_ups.c.id == number, sign_ups.c.state == "asked")
                    .with_for_update()
                ).one_or_none()
                if row is not None:
                    _settle(connection, row, mail, now, pseudonyms, per_domain, secret)
        decided += len(batch)
    return decided


def find_sign_up(database: Database, number: int) -> SignUp | None:
    """Find the sign-up that a link names; None where it was forgotten."""
    with database.reading() as connection:
        row = connection.execute(select(sign_ups).where(sign_ups.c.id == number)).one_or_none()
    if row is None or row.state == "asked":
        return None
    return SignUp(id=row.id, email=row.email, language=row.language, is_open=row.state == "mailed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A sign-up as a person is told of it."""

    state: str
    asked_at: datetime
    way: str
    source: str
    network: str
    confirmed_at: datetime | None
    wording: str
    """What was agreed to: the words behind the mail's link, else those of the form."""


def list_sign_ups(connection: Connection, key: str) -> list[Told]:
    """List the sign-ups of an address, the earliest first."""
    texts = {row.version: row.text for row in connection.execute(select(wordings))}
    query = select(sign_ups).where(sign_ups.c.email_key == key).order_by(sign_ups.c.id)
    return [
        Told(
            state=row.state,
            asked_at=row.asked_at,
            way=row.asked_by,
            source=row.source,
            network=row.network,
            confirmed_at=row.confirmed_at,
            wording=texts.get(row.confirmed_wording or row.wording, ""),
        )
        for row in connection.execute(query)
    ]


def confirm(
    database: Database,
    number: int,
    visit: Visit,
    wording: str,
    *,
    in_time: bool,
    now: datetime,
    pseudonyms: Pseudonyms,
) -> Confirmed:
    """Make a reader of who signed up; idempotent. Who has left since is not brought back.

    `in_time` is whether the link was mailed within `CONFIRM_WITHIN`; one that has been confirmed
    says so for ever.
    """
    with database.writing() as connection:
        keep_intents_out(connection)  # and whoever suppresses: none is lifted unseen
        row = _read_mailed(connection, number)
        if row is None:
            return Confirmed(outcome="unknown")
        over = Confirmed(outcome="over", email=row.email, language=row.language)
        if row.state == "mailed":
            if not (in_time and _may_confirm(connection, row, pseudonyms)):
                return over
            _make_reader(connection, row, now, pseudonyms)
            connection.execute(
                update(sign_ups)
                .where(sign_ups.c.id == number)
                .values(
                    state="confirmed",
                    confirmed_at=now,
                    confirmed_network=visit.network,
                    confirmed_agent=visit.agent[:_AGENT_CHARACTERS],
                    confirmed_wording=wording,
                )
            )
        reader = read_subscriber(connection, row.email_key)
    if reader is None or reader.status != "active":
        return over
    return Confirmed(
        outcome="confirmed",
        subscriber_id=reader.id,
        email=reader.email,
        language=row.language,
    )


def refuse(database: Database, number: int, *, now: datetime) -> bool:
    """See to it that who did not sign up is not asked again; False for a sign-up that is gone.

    Nothing happens to who has confirmed: that one leaves as readers do.
    """
    with database.writing() as connection:
        keep_intents_out(connection)
        row = _read_mailed(connection, number)
        if row is None:
            return False
        known = read_subscriber(connection, row.email_key)
        if row.state == "mailed" and not (known and known.status == "active"):
            detail = f"{BY_THEMSELVES}: not to be asked again"
            suppress(connection, [row.email_key], "manual", now, detail=detail)
    return True


def name_counted(secret: bytes, kind: str, what: str) -> str:
    """Name what a limit counts without saying it: the count outlives an erasure."""
    return hmac.digest(secret, f"{kind}:{what}".encode(), hashlib.sha256)[:16].hex()


# -- what comes of an ask --------------------------------------------------------------------------


def _find_asked(database: Database, now: datetime) -> list[int]:
    _u = sign_ups.c
    query = (
        select(_u.id)
        .where(_u.state == "asked", _u.look_at <= now)
        .order_by(_u.look_at, _u.id)
        .limit(_BATCH)
    )
    with database.reading() as connection:
        return list(connection.scalars(query))


def _settle(
    connection: Connection,
    row: Row[Any],
    mail: Callable[[Connection, Mailing], None],
    now: datetime,
    pseudonyms: Pseudonyms,
    per_domain: Sequence[RateLimitItem],
    secret: bytes,
) -> None:
    mine = sign_ups.c.id == row.id
    address = Address(row.email, row.email_key)
    domain = name_counted(secret, "domain", row.email_key.rpartition("@")[2])
    counted = name_counted(secret, "address", row.email_key)
    kept_out = find_suppression(connection, row.email_key, pseudonyms=pseudonyms)
    known = read_subscriber(connection, row.email_key)
    status = known.status if known else ""
    if (
        (kept_out and kept_out.reason in NEVER_MAILED)
        or status in ("active", "complained")
        or not has_room(connection, ADDRESS_LIMITS, counted, now=now)
    ):
        connection.execute(delete(sign_ups).where(mine))
        return
    if not take(connection, per_domain, domain, now=now):
        if now - row.asked_at >= WAITS_AT_MOST:
            connection.execute(delete(sign_ups).where(mine))
        else:
            connection.execute(update(sign_ups).where(mine).values(look_at=now + WAIT))
        return
    if not take(connection, ADDRESS_LIMITS, counted, now=now):
        connection.execute(delete(sign_ups).where(mine))
        return
    if known is None and kept_out is None:
        entry = Entry(
            address=address,
            choices=Choices(language=row.language),
            status="pending",
        )
        store_entries(connection, {row.email_key: entry}, now, Tally(), pseudonyms=pseudonyms)
    connection.execute(update(sign_ups).where(mine).values(state="mailed"))
    mail(connection, Mailing(sign_up_id=row.id, address=address, language=row.language))


# -- confirming ------------------------------------------------------------------------------------


def _read_mailed(connection: Connection, number: int) -> Row[Any] | None:
    return connection.execute(
        select(sign_ups)
        .where(sign_ups.c.id == number, sign_ups.c.state != "asked")
        .with_for_update()
    ).one_or_none()


def _may_confirm(connection: Connection, row: Row[Any], pseudonyms: Pseudonyms) -> bool:
    kept_out = find_suppression(connection, row.email_key, pseudonyms=pseudonyms)
    known = read_subscriber(connection, row.email_key)
    if kept_out and (kept_out.reason in NEVER_MAILED or kept_out.since > row.asked_at):
        return False
    return known is None or known.status != "complained"


def _make_reader(
    connection: Connection, row: Row[Any], now: datetime, pseudonyms: Pseudonyms
) -> None:
    """Make an active reader, whatever the address was before; what they had chosen stays."""
    for name in (row.email_key, *pseudonyms.list_all(row.email_key)):
        lift_suppression(connection, name)
    was_known = connection.execute(
        update(subscribers)
        .where(subscribers.c.email_key == row.email_key)
        .values(status="active", updated_at=now)
    ).rowcount
    entry = Entry(
        address=Address(row.email, row.email_key),
        choices=Choices() if was_known else Choices(language=row.language),
        consent_at=now,
        consent_source=f"sign-up {row.id}, confirmed by mail",
    )
    store_entries(connection, {row.email_key: entry}, now, Tally(), pseudonyms=pseudonyms)
    reader = read_subscriber(connection, row.email_key)
    assert reader is not None
    tell_of_readers(connection, [reader.id], "active", now=now)
