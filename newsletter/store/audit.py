"""What was done, by whom and from where: rows that are only ever added, each sealed by the last.

An entry is written in the transaction of what it tells, so that neither is there without the
other. It holds SHA-256 of itself and of the entry before it; whoever changes, removes or slips
one in has to make all later ones anew, and `verify` finds out unless they did, the head among
them. Against that there is the number and hash of an entry, kept elsewhere: a chain that was
made anew does not have it.

Whoever adds locks the one row of `audit_head` first and holds it until they commit, so that two
cannot follow the same entry. To hold it briefly, and never while waiting for another lock, note
last what a transaction did.

No entry holds a reader's address: readers are named by number, and erasing one changes nothing
here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from newsletter.store.tables import audit, audit_head, to_micros, write_document

BEGINNING = "0" * 64
"""What the first entry follows."""
COMMAND_LINE = "command line"
"""The origin of what was done there."""
_PAGE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who does something, and from where."""

    who: str
    """A name of the team, user@host of the command line, or the schedule."""
    origin: str = COMMAND_LINE
    """Else a network address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that was done."""

    id: int
    at: datetime
    who: str
    origin: str
    action: str
    """What it was: "edition.pause"."""
    target: str
    """What it was done to: "edition 2026-11-23", "reader 17"."""
    detail: str
    before: str
    after: str
    previous: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What became of reading the whole chain."""

    entries: int
    hash: str
    """Of the last entry that is in order."""
    fault: str = ""
    """What is not in order; "" where everything is."""


def note(
    connection: Connection,
    actor: Actor,
    action: str,
    target: str,
    *,
    now: datetime,
    detail: str = "",
    before: Any = None,
    after: Any = None,
) -> None:
    """Add an entry, within the transaction of what it tells, as the last of its statements.

    Of `before` and `after`, documents, the hashes are kept.
    """
    head = connection.execute(
        select(audit_head.c.last_id, audit_head.c.hash).with_for_update()
    ).one()
    values = {
        "id": head.last_id + 1,
        "at": now,
        "who": actor.who,
        "origin": actor.origin,
        "action": action,
        "target": target,
        "detail": detail,
        "before": hash_document(before),
        "after": hash_document(after),
        "previous": head.hash,
    }
    values["hash"] = _seal(values)
    connection.execute(insert(audit).values(values))
    connection.execute(update(audit_head).values(last_id=values["id"], hash=values["hash"]))


def hash_document(document: Any) -> str:
    """Name a document by its SHA-256 in hexadecimal; "" for None."""
    if document is None:
        return ""
    return hashlib.sha256(write_document(document).encode()).hexdigest()


def list_entries(
    connection: Connection, limit: int, *, target: str = "", before_id: int = 0
) -> tuple[Entry, ...]:
    """List the newest entries, the latest first; all, or those about one target."""
    statement = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if target:
        statement = statement.where(audit.c.target == target)
    if before_id:
        statement = statement.where(audit.c.id < before_id)
    return tuple(Entry(**row) for row in connection.execute(statement).mappings())


def verify(connection: Connection, *, known: tuple[int, str] | None = None) -> Verified:
    """Read the whole chain; `known` is the number and hash of an entry that was kept elsewhere."""
    last_id, last_hash = 0, BEGINNING
    for entry in _read_all(connection):
        fault = _find_fault(entry, last_id, last_hash)
        if not fault and known and entry.id == known[0] and entry.hash != known[1]:
            fault = f"entry {entry.id} is not the one whose hash was kept"
        if fault:
            return Verified(entries=last_id, hash=last_hash, fault=fault)
        last_id, last_hash = entry.id, entry.hash
    head = connection.execute(select(audit_head.c.last_id, audit_head.c.hash)).one_or_none()
    fault = ""
    if head is None:
        fault = "the head of the chain is gone"
    elif (head.last_id, head.hash) != (last_id, last_hash):
        fault = f"there were {head.last_id:,} entries, and {last_id:,} are left"
    elif known and known[0] > last_id:
        fault = f"entry {known[0]}, whose hash was kept, is not there"
    return Verified(entries=last_id, hash=last_hash, fault=fault)


def _read_all(connection: Connection) -> Iterator[Entry]:
    last_id = 0
    while (
        page := connection.execute(
            select(audit).where(audit.c.id > last_id).order_by(audit.c.id).limit(_PAGE)
        )
        .mappings()
        .all()
    ):
        for row in page:
            yield Entry(**row)
        last_id = page[-1]["id"]


def _find_fault(entry: Entry, last_id: int, last_hash: str) -> str:
    """Say what is wrong with an entry that follows another; "" where nothing is. Pure."""
    if entry.id != last_id + 1:
        return f"entry {last_id + 1} is missing"
    if entry.previous != last_hash:
        return f"entry {entry.id} does not follow the one before it"
    values = asdict(entry)
    if _seal(values) != values["hash"]:
        return f"entry {entry.id} was changed after it was written"
    return ""


def _seal(values: dict[str, Any]) -> str:
    """Give the hash of an entry with all that it says."""
    said = {key: value for key, value in values.items() if key != "hash"}
    return hash_document({**said, "at": to_micros(said["at"])})
