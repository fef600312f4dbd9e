"""What one row of a file says about a reader, and how it is laid over what is known.

One rule, for a row of a file as for `subscribers add`:

- an unknown address becomes a reader with the row's status, `active` unless it says another;
- an active reader takes over every value that the row gives; an empty one changes nothing;
- a suppressed address, and a reader who is not active, is kept out: nothing changes. No row
  ever brings anybody back;
- a row whose own status speaks against mailing is obeyed, and remembered as a suppression.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import Connection, Row, select, text

from newsletter.audience.address import Address
from newsletter.audience.reader import Choices, Status
from newsletter.audience.suppression import STATUSES_BY_WEIGHT, read_reasons, suppress
from newsletter.store.tables import subscribers, to_micros, write_document

BlockedStatus = Literal["bounced", "unsubscribed", "complained"]
BLOCKED: tuple[BlockedStatus, ...] = ("bounced", "unsubscribed", "complained")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One reader as a row describes them, already checked."""

    address: Address
    name: str = ""
    choices: Choices = field(default_factory=Choices)
    fields: Mapping[str, str] = field(default_factory=dict)
    """Own columns that have a value."""
    consent_at: datetime | None = None
    consent_source: str = ""
    status: Status = "active"
    created_at: datetime | None = None
    """Since when the reader is on the list, if not only now."""

    def overlay(self, later: Entry) -> Entry:
        """Join two rows for one address into one that has the effect of both, in turn."""
        status = self.status
        if later.status in BLOCKED:
            status = max(status, later.status, key=STATUSES_BY_WEIGHT.index)
        if self.status != "active":
            return replace(self, status=status)
        return Entry(
            address=later.address,
            name=later.name or self.name,
            choices=Choices.from_document(self.choices.to_document() | later.choices.to_document()),
            fields={**self.fields, **later.fields},
            consent_at=later.consent_at or self.consent_at,
            consent_source=later.consent_source or self.consent_source,
            status=status,
            created_at=self.created_at,
        )


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the entries so far."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    kept_out: Counter[str] = field(default_factory=Counter)
    """By the suppression's reason, else by the reader's or the row's status."""

    def count(self, entry: Entry, *, is_known: bool, is_changed: bool) -> None:
        """Count an entry that nothing but its own status may speak against."""
        if entry.status in BLOCKED:
            self.kept_out[entry.status] += 1
        elif not is_known:
            self.added += 1
        elif is_changed:
            self.updated += 1
        else:
            self.unchanged += 1


def store_entries(
    connection: Connection, entries: Mapping[str, Entry], now: datetime, tally: Tally
) -> None:
    """Lay entries over the list, and count into `tally` what became of them.

    `entries` are by `Address.key`, a few thousand at most (they become parameters).
    """
    if not entries:
        return
    keys = list(entries)
    reasons = read_reasons(connection, keys)
    found = {
        row.email_key: row
        for row in connection.execute(select(subscribers).where(subscribers.c.email_key.in_(keys)))
    }
    added: list[dict[str, Any]] = []
    updated: list[dict[str, Any]] = []
    blocked: dict[BlockedStatus, list[str]] = {status: [] for status in BLOCKED}
    for key, entry in entries.items():
        known = found.get(key)
        against = reasons.get(key) or (known.status if known else "active")
        if against != "active":
            tally.kept_out[against] += 1
        else:
            row = _build_change(known, entry, now) if known else _build_row(entry, now)
            if row is not None:
                (updated if known else added).append(row)
            tally.count(entry, is_known=known is not None, is_changed=row is not None)
        if entry.status in BLOCKED:
            blocked[entry.status].append(key)
    if added:
        connection.execute(_INSERT, added)
    if updated:
        connection.execute(_UPDATE, updated)
    for status, those in blocked.items():
        suppress(connection, those, status, now, detail="said so in an imported row")


_INSERT = text(
    "INSERT INTO subscribers (email, email_key, name, status, choices, fields, consent_at,"
    " consent_source, created_at, updated_at) VALUES (:email, :email_key, :name, :status,"
    " :choices, :fields, :consent_at, :consent_source, :created_at, :updated_at)"
    " ON CONFLICT (email_key) DO NOTHING"
)
_UPDATE = text(
    "UPDATE subscribers SET email = :email, name = :name, choices = :choices, fields = :fields,"
    " consent_at = :consent_at, consent_source = :consent_source, updated_at = :updated_at"
    " WHERE id = :id AND status = 'active'"
)


def _build_row(entry: Entry, now: datetime) -> dict[str, Any]:
    return {
        "email": entry.address.email,
        "email_key": entry.address.key,
        "name": entry.name,
        "status": entry.status,
        "choices": _write_choices(entry.choices),
        "fields": write_document(entry.fields) if entry.fields else "{}",
        "consent_at": None if entry.consent_at is None else to_micros(entry.consent_at),
        "consent_source": entry.consent_source,
        "created_at": to_micros(entry.created_at or now),
        "updated_at": to_micros(now),
    }


@lru_cache(maxsize=4096)
def _write_choices(choices: Choices) -> str:
    return write_document(choices.to_document())


def _build_change(known: Row[Any], entry: Entry, now: datetime) -> dict[str, Any] | None:
    """Lay an entry over an active reader's row; None when that changes nothing."""
    before = (
        known.email,
        known.name,
        known.choices,
        known.fields,
        known.consent_at,
        known.consent_source,
    )
    after = (
        entry.address.email,
        entry.name or known.name,
        known.choices | entry.choices.to_document(),
        known.fields | entry.fields,
        entry.consent_at or known.consent_at,
        entry.consent_source or known.consent_source,
    )
    if before == after:
        return None
    email, name, choices, fields, consent_at, consent_source = after
    return {
        "id": known.id,
        "email": email,
        "name": name,
        "choices": write_document(choices),
        "fields": write_document(fields),
        "consent_at": None if consent_at is None else to_micros(consent_at),
        "consent_source": consent_source,
        "updated_at": to_micros(now),
    }
