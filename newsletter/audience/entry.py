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

from sqlalchemy import Connection, Row, TextClause, select, text

from newsletter.audience.address import Address
from newsletter.audience.pseudonyms import Pseudonyms
from newsletter.audience.reader import Choices, Status
from newsletter.audience.suppression import STATUSES_BY_WEIGHT, read_all_reasons, suppress
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an entry changes of a reader who is on the list."""

    subscriber_id: int
    email: str
    import_id: int | None
    """The import that brought the reader."""
    updated_at: datetime
    """When the reader was changed last."""
    values: Mapping[str, tuple[Any, Any]]
    """Before and after by name: "name", "choices.topics", "fields.city"; None is no value."""
    row: Mapping[str, Any]
    """The row as it is to be."""


@dataclass(slots=True, kw_only=True)
class Plan:
    """What entries come to; nothing of it is written yet."""

    added: dict[str, Entry] = field(default_factory=dict)
    changed: dict[str, Change] = field(default_factory=dict)
    kept_out: dict[str, str] = field(default_factory=dict)
    """What speaks against each."""
    blocked: dict[BlockedStatus, list[str]] = field(
        default_factory=lambda: {status: [] for status in BLOCKED}
    )
    """Who is to be suppressed because their own row says so."""

    def forget(self, key: str) -> None:
        """Leave out one that was to be added."""
        del self.added[key]


def plan_entries(
    connection: Connection, entries: Mapping[str, Entry], tally: Tally, *, pseudonyms: Pseudonyms
) -> Plan:
    """Find out what entries come to, and count it into `tally`.

    `entries` are by `Address.key`, a few thousand at most (they become parameters).
    """
    plan = Plan()
    if not entries:
        return plan
    reasons = read_all_reasons(connection, list(entries), pseudonyms=pseudonyms)
    query = select(subscribers).where(subscribers.c.email_key.in_(list(entries)))
    found = {row.email_key: row for row in connection.execute(query)}
    for key, entry in entries.items():
        known = found.get(key)
        against = reasons.get(key) or (known.status if known else "active")
        if against != "active":
            tally.kept_out[against] += 1
            plan.kept_out[key] = against
        else:
            change = known and _build_change(known, entry)
            if known is None:
                plan.added[key] = entry
            elif change:
                plan.changed[key] = change
            if entry.status in BLOCKED:
                plan.kept_out[key] = entry.status
            tally.count(entry, is_known=known is not None, is_changed=change is not None)
        if entry.status in BLOCKED and against != "erased":
            plan.blocked[entry.status].append(key)
    return plan


def store_plan(
    connection: Connection, plan: Plan, now: datetime, *, import_id: int | None = None
) -> None:
    """Lay planned entries over the list."""
    if plan.added:
        rows = [_build_row(entry, now, import_id) for entry in plan.added.values()]
        _execute_many(connection, _INSERT, rows)
    if plan.changed:
        at = to_micros(now)
        rows = [{**change.row, "updated_at": at} for change in plan.changed.values()]
        _execute_many(connection, _UPDATE, rows)
    for status, those in plan.blocked.items():
        suppress(connection, those, status, now, detail="said so in an imported row")


def store_entries(
    connection: Connection,
    entries: Mapping[str, Entry],
    now: datetime,
    tally: Tally,
    *,
    pseudonyms: Pseudonyms,
) -> None:
    """Lay entries over the list, and count into `tally` what became of them."""
    store_plan(connection, plan_entries(connection, entries, tally, pseudonyms=pseudonyms), now)


def _execute_many(
    connection: Connection, statement: TextClause, rows: list[dict[str, Any]]
) -> None:
    """Execute for each row: SQLite's driver takes names as they stand, so nothing rewrites them."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(statement.text, rows)
    else:
        connection.execute(statement, rows)


_INSERT = text(
    "INSERT INTO subscribers (email, email_key, name, status, choices, fields, consent_at,"
    " consent_source, created_at, updated_at, import_id) VALUES (:email, :email_key, :name,"
    " :status, :choices, :fields, :consent_at, :consent_source, :created_at, :updated_at,"
    " :import_id)"
    " ON CONFLICT (email_key) DO NOTHING"
)
_UPDATE = text(
    "UPDATE subscribers SET email = :email, name = :name, choices = :choices, fields = :fields,"
    " consent_at = :consent_at, consent_source = :consent_source, updated_at = :updated_at"
    " WHERE id = :id AND status = 'active'"
)


def _build_row(entry: Entry, now: datetime, import_id: int | None) -> dict[str, Any]:
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
        "import_id": import_id,
    }


@lru_cache(maxsize=4096)
def _write_choices(choices: Choices) -> str:
    return write_document(choices.to_document())


def _build_change(known: Row[Any], entry: Entry) -> Change | None:
    """Lay an entry over an active reader's row; None when that changes nothing."""
    before = read_values(known)
    after = before | {
        "email": entry.address.email,
        **{f"choices.{name}": value for name, value in entry.choices.to_document().items()},
        **{f"fields.{name}": value for name, value in entry.fields.items()},
    }
    if entry.name:
        after["name"] = entry.name
    if entry.consent_at:
        after["consent_at"] = to_micros(entry.consent_at)
    if entry.consent_source:
        after["consent_source"] = entry.consent_source
    if before == after:
        return None
    return Change(
        subscriber_id=known.id,
        email=entry.address.email,
        import_id=known.import_id,
        updated_at=known.updated_at,
        values={
            name: (before.get(name), value)
            for name, value in after.items()
            if before.get(name) != value
        },
        row=build_values(known.id, after),
    )


def read_values(row: Row[Any]) -> dict[str, Any]:
    """Give what an entry can change of a reader's row, as one flat mapping."""
    return {
        "email": row.email,
        "name": row.name,
        "consent_at": None if row.consent_at is None else to_micros(row.consent_at),
        "consent_source": row.consent_source,
        **{f"choices.{name}": value for name, value in row.choices.items()},
        **{f"fields.{name}": value for name, value in row.fields.items()},
    }


def build_values(subscriber_id: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a flat mapping back into what is stored; None is no value."""

    def under(prefix: str) -> str:
        found = {
            name.removeprefix(prefix): value
            for name, value in values.items()
            if name.startswith(prefix) and value is not None
        }
        return write_document(found)

    return {
        "id": subscriber_id,
        "email": values["email"],
        "name": values["name"],
        "choices": under("choices."),
        "fields": under("fields."),
        "consent_at": values["consent_at"],
        "consent_source": values["consent_source"],
    }
