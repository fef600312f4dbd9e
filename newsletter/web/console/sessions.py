"""Who is logged in: a random token in a cookie, its hash in the database.

A session ends after `console.idle` without a request and after `console.longest` in any case; a
login, a new password and a new role never go on with the token that was there before. When a
browser was last seen is written at most once a minute.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select, update

from newsletter.mail.tokens import Keyring
from newsletter.settings.console import Console
from newsletter.store import Database
from newsletter.store.tables import members, sessions
from newsletter.web.console.members import Kept, Member, read_member
from newsletter.web.console.proofs import hash_token, make_token

_WRITTEN_EVERY = timedelta(minutes=1)
_USE = b"known browser"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A browser that is logged in."""

    member: Member
    token_hash: str
    opened_at: datetime


def open_session(connection: Connection, member_id: int, *, now: datetime) -> str:
    """Open a session; return its token, which nothing else keeps."""
    token = make_token()
    connection.execute(
        insert(sessions).values(
            token_hash=hash_token(token), member_id=member_id, opened_at=now, seen_at=now
        )
    )
    return token


def find_session(
    database: Database, token: str, *, settings: Console, now: datetime, touch: bool = True
) -> Session | None:
    """Find a session that is good still, and note that its browser was seen unless told not to."""
    c, token_hash = sessions.c, hash_token(token)
    with database.reading() as connection:
        row = connection.execute(
            select(c.member_id, c.opened_at, c.seen_at)
            .join(members, members.c.id == c.member_id)
            .where(c.token_hash == token_hash, members.c.disabled_at.is_(None))
        ).one_or_none()
        if row is None:
            return None
        member = read_member(connection, row.member_id)
    if now >= row.seen_at + settings.idle or now >= row.opened_at + settings.longest:
        with database.writing() as connection:
            connection.execute(delete(sessions).where(c.token_hash == token_hash))
        return None
    if touch and now - row.seen_at >= _WRITTEN_EVERY:
        with database.writing() as connection:
            connection.execute(
                update(sessions).where(c.token_hash == token_hash).values(seen_at=now)
            )
    return Session(member=member, token_hash=token_hash, opened_at=row.opened_at)


def end_session(connection: Connection, token: str) -> None:
    """End a session, if it is one."""
    connection.execute(delete(sessions).where(sessions.c.token_hash == hash_token(token)))


def forget_old(connection: Connection, settings: Console, now: datetime) -> None:
    """Forget the sessions that ended by themselves."""
    c = sessions.c
    over = (c.seen_at <= now - settings.idle) | (c.opened_at <= now - settings.longest)
    connection.execute(delete(sessions).where(over))


def build_form_token(token: str) -> str:
    """Build what a form of this session carries: another site cannot know it. Pure."""
    return hmac.new(token.encode(), b"form", hashlib.sha256).hexdigest()


# -- browsers that logged in before ----------------------------------------------------------------


def mark_browser(keyring: Keyring, kept: Kept) -> str:
    """Make the mark of a browser that has logged in as somebody; a new password voids it."""
    nonce = make_token()
    return f"{nonce}.{_sign(keyring, keyring.newest, kept, nonce)}"


def read_mark(keyring: Keyring, kept: Kept | None, mark: str) -> str:
    """Give what tells this browser apart, or "" where it never logged in as this person."""
    nonce, _, signature = mark.partition(".")
    if kept is None or not kept.password or not nonce:
        return ""
    for key_id in keyring.ids:
        right = _sign(keyring, key_id, kept, nonce)
        if hmac.compare_digest(right.encode(), signature.encode()):
            return nonce
    return ""


def _sign(keyring: Keyring, key_id: bytes, kept: Kept, nonce: str) -> str:
    said = f"{kept.member.id}\n{kept.password}\n{nonce}".encode()
    return hmac.digest(keyring.derive(key_id, _USE), said, hashlib.sha256).hex()
