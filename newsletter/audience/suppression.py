"""Addresses that must not be mailed, and why. A suppression outlives the reader's row.

A graver reason replaces a lighter one and never the other way round, so that a bounce after
an unsubscribe cannot make the address look merely broken. Suppressing an address also ends
the reader's `active` status: an active reader is never a suppressed one. The sender asks
`suppressions` by `email_key` itself, so a suppression holds from its commit on.

That is exact. Whoever suppresses and whoever commits intents keep each other out until their
commits, by `ORDER_LOCK`: else PostgreSQL, which lets transactions overlap, could let an
intent look before a suppression's commit and be committed after it. On SQLite a writing
transaction is alone anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from sqlalchemy import Connection, delete, select, text, update

from newsletter.audience.pseudonyms import Pseudonyms
from newsletter.audience.reader import Status
from newsletter.store.happenings import tell_of_readers
from newsletter.store.tables import subscribers, suppressions, to_micros

Reason = Literal["bounced", "unsubscribed", "manual", "complained", "erased"]
REASONS: tuple[Reason, ...] = get_args(Reason)
"""Every reason, the graver the later."""
FINAL_REASONS: frozenset[Reason] = frozenset({"complained", "erased"})
"""Reasons that no operator can lift."""
NEVER_MAILED: frozenset[Reason] = frozenset({"complained", "manual"})
"""Reasons that keep single mails out, too. Who left, or whose mail bounced, may ask for one; who
was erased is nobody to us until they do."""

STATUSES_BY_WEIGHT: tuple[Status, ...] = (
    "active",
    "pending",
    "bounced",
    "unsubscribed",
    "complained",
)
"""Every status, the more it speaks against mailing the later."""

_STATUS_AFTER: dict[Reason, Status] = {
    "bounced": "bounced",
    "unsubscribed": "unsubscribed",
    "manual": "unsubscribed",
    "complained": "complained",
    "erased": "unsubscribed",
}

_MOST_PARAMETERS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """Why an address must not be mailed, and since when."""

    reason: Reason
    detail: str
    since: datetime


ORDER_LOCK = 7_310_579_603
"""PostgreSQL's advisory lock that a suppression takes alone, and the intents of runs share. Any
number will do that no other program in the database uses."""
_KEEP_OUT = text(f"SELECT pg_advisory_xact_lock({ORDER_LOCK})")
_KEEP_SUPPRESSIONS_OUT = text(f"SELECT pg_advisory_xact_lock_shared({ORDER_LOCK})")

AUDIENCE_LOCK = 7_310_579_604
"""The one that whoever freezes an audience shares, and who takes readers off the list takes."""
_KEEP_AUDIENCES_OUT = text(f"SELECT pg_advisory_xact_lock({AUDIENCE_LOCK})")
_FREEZE_AUDIENCE = text(f"SELECT pg_advisory_xact_lock_shared({AUDIENCE_LOCK})")

_INSERT = text(
    "INSERT INTO suppressions (email_key, reason, detail, suppressed_at)"
    " VALUES (:email_key, :reason, :detail, :suppressed_at) ON CONFLICT (email_key) DO NOTHING"
)


def suppress(
    connection: Connection,
    email_keys: Sequence[str],
    reason: Reason,
    now: datetime,
    detail: str = "",
) -> None:
    """Keep addresses from being mailed, from this transaction's commit on. Idempotent.

    `email_keys` are `Address.key`s, a few thousand at most (they become parameters). A
    transaction that has written anything else before calls `keep_intents_out` before that.
    """
    if not email_keys:
        return
    keep_intents_out(connection)
    row = {"reason": reason, "detail": detail, "suppressed_at": to_micros(now)}
    connection.execute(_INSERT, [{"email_key": key, **row} for key in email_keys])
    # Only after the insert: on PostgreSQL it waits for whoever suppresses the same address.
    lighter = REASONS[: REASONS.index(reason)]
    connection.execute(
        update(suppressions)
        .where(suppressions.c.email_key.in_(email_keys), suppressions.c.reason.in_(lighter))
        .values(reason=reason, detail=detail, suppressed_at=now)
    )
    status = _STATUS_AFTER[reason]
    overruled = STATUSES_BY_WEIGHT[: STATUSES_BY_WEIGHT.index(status)]
    changed = connection.scalars(
        update(subscribers)
        .where(subscribers.c.email_key.in_(email_keys), subscribers.c.status.in_(overruled))
        .values(status=status, updated_at=now)
        .returning(subscribers.c.id)
    )
    tell_of_readers(connection, changed.all(), status, now=now)


def keep_intents_out(connection: Connection) -> None:
    """Wait for the intents under way, and let no other begin before this transaction ends.

    Comes before every other write of its transaction, or two of them could wait for each
    other's rows and locks for ever.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_KEEP_OUT)


def keep_suppressions_out(connection: Connection) -> None:
    """Wait for suppressions under way, and let none begin before this transaction ends.

    For an intent that is to ask afterwards whether its address may be mailed.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_KEEP_SUPPRESSIONS_OUT)


def keep_audiences_out(connection: Connection) -> None:
    """Wait for audiences that are being frozen, and let none be before this transaction ends.

    So no copy is made of a row that is gone. Comes before `keep_intents_out`.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_KEEP_AUDIENCES_OUT)


def freeze_audience(connection: Connection) -> None:
    """Wait for whoever takes readers off the list, and let nobody do it until this is over."""
    if connection.dialect.name == "postgresql":
        connection.execute(_FREEZE_AUDIENCE)


def lift_suppression(connection: Connection, email_key: str) -> None:
    """Let an address be mailed again; whether that is allowed is the caller's to know."""
    connection.execute(delete(suppressions).where(suppressions.c.email_key == email_key))


def read_reasons(connection: Connection, email_keys: Sequence[str]) -> dict[str, Reason]:
    """Tell which of these addresses (a few thousand at most) are suppressed, and why."""
    query = select(suppressions.c.email_key, suppressions.c.reason)
    return {
        row.email_key: row.reason
        for row in connection.execute(query.where(suppressions.c.email_key.in_(email_keys)))
    }


def read_all_reasons(
    connection: Connection, email_keys: Sequence[str], *, pseudonyms: Pseudonyms
) -> dict[str, Reason]:
    """Do what `read_reasons` does, and know those again who were erased."""
    reasons = read_reasons(connection, email_keys)
    erased = {name: key for key in email_keys for name in pseudonyms.list_all(key)}
    names = list(erased)
    for first in range(0, len(names), _MOST_PARAMETERS):
        for name in read_reasons(connection, names[first : first + _MOST_PARAMETERS]):
            reasons[erased[name]] = "erased"
    return reasons


def find_suppression(
    connection: Connection, email_key: str, *, pseudonyms: Pseudonyms
) -> Suppressed | None:
    """Tell why an address is kept out, erased ones included; None for one that is not."""
    names = [email_key, *pseudonyms.list_all(email_key)]
    found = connection.execute(
        select(suppressions).where(suppressions.c.email_key.in_(names))
    ).all()
    if not found:
        return None
    gravest = max(found, key=lambda row: REASONS.index(row.reason))
    return Suppressed(reason=gravest.reason, detail=gravest.detail, since=gravest.suppressed_at)
