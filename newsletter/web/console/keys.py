"""Keys of programs: hashed, each with the scopes that it is for.

A key is shown once, when it is made. It is 256 bits behind "nl_", so that a scanner of secrets
recognises one that was published.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

from sqlalchemy import Connection, insert, select, update

from newsletter.errors import InputError
from newsletter.store.audit import Actor, note
from newsletter.store.tables import api_keys
from newsletter.web.console.proofs import hash_token, make_token

Scope = Literal[
    "briefs:read",
    "briefs:write",
    "editions:read",
    "audience:read",
    "audience:write",
    "send",
    "events:read",
]
SCOPES: tuple[Scope, ...] = get_args(Scope)

PREFIX = "nl_"
_NAME_CHARACTERS = 60
_WRITTEN_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key, without what it is."""

    id: int
    name: str
    scopes: tuple[str, ...]
    made_at: datetime
    made_by: str
    used_at: datetime | None
    ended_at: datetime | None


def name_holder(name: str) -> str:
    """Name what a key of this name is noted as. Pure."""
    return f"key {name}"


def is_behind(connection: Connection, who: str, member: str) -> bool:
    """Tell whether what a key did may be a member's doing, who made one of that name."""
    made = select(api_keys.c.name).where(api_keys.c.made_by == member)
    return who in {name_holder(name) for name in connection.scalars(made)}


def make_key(
    connection: Connection, name: str, scopes: Iterable[str], *, actor: Actor, now: datetime
) -> str:
    """Make a key for some scopes; return it, the only time."""
    wanted = tuple(dict.fromkeys(scopes))
    if not wanted or set(wanted) - set(SCOPES):
        raise InputError("a key is for one scope or more", mend=f"choose from {', '.join(SCOPES)}")
    shown = " ".join(name.split())
    if not shown or len(shown) > _NAME_CHARACTERS or not shown.isprintable():
        raise InputError("a key has a name of 1 to 60 characters", mend="say what it is for")
    key = PREFIX + make_token()
    made = connection.execute(
        insert(api_keys)
        .values(name=shown, key_hash=hash_token(key), scopes=wanted, made_at=now, made_by=actor.who)
        .returning(api_keys.c.id)
    ).scalar_one()
    detail = f"{shown}: {', '.join(wanted)}"
    note(connection, actor, "key.make", f"key {made}", now=now, detail=detail)
    return key


def end_key(connection: Connection, key_id: int, *, actor: Actor, now: datetime) -> bool:
    """End a key; False where it was ended before."""
    of_this = (api_keys.c.id == key_id) & api_keys.c.ended_at.is_(None)
    ended = connection.execute(update(api_keys).where(of_this).values(ended_at=now)).rowcount
    if ended:
        note(connection, actor, "key.end", f"key {key_id}", now=now)
    return bool(ended)


def find_key(
    connection: Connection,
    key: str,
    *,
    scope: Scope | None = None,
    now: datetime,
    is_noted: bool = True,
) -> Key | None:
    """Find a key that is good for a scope, and note its use; within a writing transaction.

    Without a scope, whatever it is good for. Its use need not be noted (`is_noted`).
    """
    if not key.startswith(PREFIX):
        return None
    of_this = (api_keys.c.key_hash == hash_token(key)) & api_keys.c.ended_at.is_(None)
    row = connection.execute(select(*_COLUMNS).where(of_this)).mappings().one_or_none()
    if row is None or (scope and scope not in row["scopes"]):
        return None
    if is_noted and (row["used_at"] is None or now - row["used_at"] >= _WRITTEN_EVERY):
        connection.execute(update(api_keys).where(of_this).values(used_at=now))
    return _key(row)


def list_keys(connection: Connection) -> tuple[Key, ...]:
    """List the keys, the newest first."""
    rows = connection.execute(select(*_COLUMNS).order_by(api_keys.c.id.desc())).mappings()
    return tuple(map(_key, rows))


_COLUMNS = [column for column in api_keys.c if column.name != "key_hash"]


def _key(row: object) -> Key:
    values = dict(row)  # type: ignore[call-overload]
    scopes: Collection[str] = values.pop("scopes")
    return Key(scopes=tuple(scopes), **values)
