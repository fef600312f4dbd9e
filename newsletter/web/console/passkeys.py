"""The passkeys of the team as they are kept: added, taken once, taken away.

Every function that changes something works within the caller's writing transaction and notes it
in the audit. What is kept is public: a copy of it lets nobody in.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Connection, bindparam, delete, func, insert, select, text, update

from newsletter.errors import InputError, RefusedError
from newsletter.store.audit import Actor, note
from newsletter.store.tables import Instant, members, passkeys, taken_challenges
from newsletter.web.console.members import Kept, Member, end_all, find_kept

_HANDLE_BYTES = 32
_NAME_CHARACTERS = 60
_KEPT_FOR = timedelta(days=1)
"""Far longer than a challenge is good for: the clocks of several machines may differ."""

_P = passkeys.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Passkey:
    """A passkey as its owner sees it."""

    id: int
    name: str
    site: str
    """The name of the host that it is good at."""
    made_at: datetime
    used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Whose a passkey is, and what is kept to judge what it signed."""

    passkey: Passkey
    kept: Kept
    public_key: bytes
    handle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A passkey that a browser has made."""

    credential_id: str
    public_key: bytes
    counter: int
    challenge: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What a passkey has signed."""

    counter: int
    challenge: bytes


def list_passkeys(connection: Connection, member_id: int) -> tuple[Passkey, ...]:
    """List somebody's passkeys, the oldest first."""
    rows = connection.execute(select(*_SHOWN).where(_P.member_id == member_id).order_by(_P.id))
    return tuple(Passkey(**row) for row in rows.mappings())


def list_ids(connection: Connection, member_id: int, site: str) -> tuple[str, ...]:
    """List what devices call somebody's passkeys of a site, as base64url."""
    of_them = (_P.member_id == member_id) & (_P.site == site)
    return tuple(connection.scalars(select(_P.credential_id).where(of_them).order_by(_P.id)))


def count_passkeys(connection: Connection) -> Mapping[int, int]:
    """Count the passkeys of each member who has any, by their number."""
    rows = connection.execute(select(_P.member_id, func.count()).group_by(_P.member_id))
    return dict(map(tuple, rows))


def find_holder(connection: Connection, credential_id: str) -> Holder | None:
    """Find whose a passkey is; None where it is nobody's who is let in."""
    row = connection.execute(
        select(*_SHOWN, _P.public_key, _P.member_id, members.c.handle)
        .join(members, members.c.id == _P.member_id)
        .where(_P.credential_id == credential_id, members.c.disabled_at.is_(None))
    ).one_or_none()
    kept = find_kept(connection, member_id=row.member_id) if row else None
    if row is None or kept is None:
        return None
    shown = {column.name: getattr(row, column.name) for column in _SHOWN}
    return Holder(passkey=Passkey(**shown), kept=kept, public_key=row.public_key, handle=row.handle)


def give_handle(connection: Connection, member: Member) -> str:
    """Give what devices know a member by: random, the same for all of their passkeys."""
    made = urlsafe_b64encode(secrets.token_bytes(_HANDLE_BYTES)).rstrip(b"=").decode()
    of_this = members.c.id == member.id
    connection.execute(update(members).where(of_this, members.c.handle == "").values(handle=made))
    return str(connection.execute(select(members.c.handle).where(of_this)).scalar_one())


def check_name(name: str) -> str:
    """Give the name of a passkey as it is shown; raises `InputError`."""
    shown = " ".join(name.split())
    if not shown or len(shown) > _NAME_CHARACTERS or not shown.isprintable():
        raise InputError(
            f"a passkey has a name of 1 to {_NAME_CHARACTERS} characters", mend="say where it is"
        )
    return shown


def add_passkey(
    connection: Connection,
    member: Member,
    name: str,
    made: Made,
    *,
    site: str,
    actor: Actor,
    now: datetime,
) -> None:
    """Keep a passkey that somebody has made; raises `InputError` and `RefusedError`."""
    shown = check_name(name)
    is_known = connection.scalar(select(_P.id).where(_P.credential_id == made.credential_id))
    if is_known or not _use_up(connection, made.challenge, now):
        raise RefusedError("this passkey was added already", mend="look at your page")
    connection.execute(
        insert(passkeys).values(
            member_id=member.id,
            name=shown,
            site=site,
            credential_id=made.credential_id,
            public_key=made.public_key,
            counter=made.counter,
            made_at=now,
        )
    )
    note(connection, actor, "passkey.add", f"member {member.id}", now=now, detail=shown)


def take(
    connection: Connection,
    holder: Holder,
    signed: Signed,
    *,
    actor: Actor,
    now: datetime,
) -> Literal["taken", "again", "copied"]:
    """Take what a passkey signed; "again" where that was taken before, or the passkey away.

    "copied" where its counter did not go on, which the audit keeps: somebody else may sign with
    the same key. A counter that was and is 0 is none (WebAuthn 6.1.1).
    """
    if not _use_up(connection, signed.challenge, now):
        return "again"
    of_this, has_none = _P.id == holder.passkey.id, (_P.counter == 0) & (signed.counter == 0)
    goes_on = update(passkeys).where(of_this, (_P.counter < signed.counter) | has_none)
    if connection.execute(goes_on.values(counter=signed.counter, used_at=now)).rowcount:
        return "taken"
    before = connection.scalar(select(_P.counter).where(of_this))
    if before is None:
        return "again"
    detail = f"{holder.passkey.name}: its counter is {signed.counter:,} after {before:,}"
    target = f"member {holder.kept.member.id}"
    note(connection, actor, "passkey.refused", target, now=now, detail=detail)
    return "copied"


def remove_passkeys(
    connection: Connection,
    member: Member,
    *,
    only: int | None = None,
    actor: Actor,
    now: datetime,
) -> int:
    """Take away all passkeys of somebody, or `only` one; give how many there were.

    All sessions of theirs end with it: where a device was lost one may be open there.
    """
    of_them = _P.member_id == member.id
    if only is not None:
        of_them &= _P.id == only
    names = list(connection.scalars(select(_P.name).where(of_them).order_by(_P.id)))
    if names:
        connection.execute(delete(passkeys).where(of_them))
        end_all(connection, member.id)
        target, detail = f"member {member.id}", ", ".join(names)
        note(connection, actor, "passkey.remove", target, now=now, detail=detail)
    return len(names)


def _use_up(connection: Connection, challenge: bytes, now: datetime) -> bool:
    """Note that a challenge was signed; False where it was before."""
    c = taken_challenges.c
    connection.execute(delete(taken_challenges).where(c.taken_at <= now - _KEPT_FOR))
    named = {"challenge_hash": hashlib.sha256(challenge).hexdigest(), "now": now}
    return bool(connection.execute(_USE_UP, named).rowcount)


_SHOWN = (_P.id, _P.name, _P.site, _P.made_at, _P.used_at)
_USE_UP = text(
    "INSERT INTO taken_challenges (challenge_hash, taken_at) VALUES (:challenge_hash, :now)"
    " ON CONFLICT (challenge_hash) DO NOTHING"
).bindparams(bindparam("now", type_=Instant))
