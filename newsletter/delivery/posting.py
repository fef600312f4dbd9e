"""What webhooks are told: signed, tried again for a day, and each thing told at least once.

    POST  the event as JSON
    Webhook-Id: 4711                      the event's number, the same at every attempt
    Webhook-Timestamp: 1764133200         seconds since 1970, of this attempt
    Webhook-Signature: v1=HEX             HMAC-SHA256 of "TIMESTAMP.BODY" with the secret

A status of 2xx is a yes. Anything else is tried again, and each hook for itself: while one does
not answer the others are told. What waits is in the database, so a killed process loses nothing;
killed between the yes and its record it tells the same thing, with the same id, once more.

Of several processes on one database one tells a hook at a time: it takes what is due for a while
(a lease), and its answer counts only while nobody took it over (the fence).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from newsletter.delivery.holder import is_gone
from newsletter.errors import SourceError
from newsletter.store.tables import posts

TRIED_FOR = timedelta(days=1)
_FIRST_PAUSE = timedelta(seconds=10)
_LONGEST_PAUSE = timedelta(hours=2)
_SAID_CHARACTERS = 300

_P = posts.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """Something that a webhook is to be told."""

    id: int
    hook: str
    number: int
    body: bytes
    attempts: int
    made_at: datetime
    holder: str
    fence: int
    """Counts how often it was taken: an answer of whoever has an older one comes too late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostView:
    """How it stands with something that a webhook is told."""

    hook: str
    number: int
    state: str
    attempts: int
    said: str
    made_at: datetime
    look_at: datetime


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """Give the value of Webhook-Signature. Pure."""
    signed = f"{timestamp}.".encode() + body
    return f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def build_headers(post: Post, secret: str, now: datetime) -> dict[str, str]:
    """Build the headers of an attempt. Pure."""
    timestamp = int(now.timestamp())
    return {
        "Content-Type": "application/json",
        "Webhook-Id": str(post.number),
        "Webhook-Timestamp": str(timestamp),
        "Webhook-Signature": sign(secret, timestamp, post.body),
    }


def decide_pause(attempts: int) -> timedelta:
    """Decide how long to wait after so many attempts: twice as long each time, two hours at most.

    Pure.
    """
    doublings: int = 2 ** min(attempts - 1, 20)
    return min(_FIRST_PAUSE * doublings, _LONGEST_PAUSE)


def find_due_posts(connection: Connection, now: datetime) -> list[Post]:
    """Find what each hook is told next: the oldest that is due, one for each hook.

    Nothing for a hook that is being told something at this moment, by whatever process.
    """
    held = connection.execute(
        select(_P.hook, _P.holder).where(_P.state == "waiting", _P.leased_until > now)
    )
    busy = {row.hook for row in held if not is_gone(row.holder)}
    first = (
        select(func.min(_P.id))
        .where(_P.state == "waiting", _P.look_at <= now, _P.hook.not_in(busy))
        .group_by(_P.hook)
        .scalar_subquery()
    )
    rows = connection.execute(select(posts).where(_P.id.in_(first)).order_by(_P.id))
    return [
        Post(
            id=row.id,
            hook=row.hook,
            number=row.number,
            body=bytes(row.body),
            attempts=row.attempts,
            made_at=row.made_at,
            holder=row.holder,
            fence=row.fence,
        )
        for row in rows
    ]


def take_post(
    connection: Connection, post: Post, holder: str, now: datetime, *, lease: timedelta
) -> Post | None:
    """Take what was found due, to tell it within the lease; None where another was quicker."""
    taken = connection.execute(
        update(posts)
        .where(_P.id == post.id, _P.state == "waiting", _P.fence == post.fence)
        .values(holder=holder, leased_until=now + lease, fence=post.fence + 1)
    )
    return replace(post, holder=holder, fence=post.fence + 1) if taken.rowcount else None


def record_answer(connection: Connection, post: Post, problem: str, now: datetime) -> None:
    """Record what came of an attempt; `problem` is "" where the hook has it now.

    Nothing where somebody else took it meanwhile, since the lease was over.
    """
    attempts = post.attempts + 1
    values: dict[str, object] = {
        "attempts": attempts,
        "changed_at": now,
        "said": problem[:_SAID_CHARACTERS],
        "holder": "",
        "leased_until": None,
    }
    if not problem:
        values |= {"state": "taken", "body": None}
    elif now - post.made_at >= TRIED_FOR:
        values |= {"state": "failed", "body": None}
    else:
        values["look_at"] = min(now + decide_pause(attempts), post.made_at + TRIED_FOR)
    is_mine = (_P.id == post.id) & (_P.state == "waiting") & (_P.fence == post.fence)
    connection.execute(update(posts).where(is_mine).values(values))


def tell_hook(
    post: Post, secret: str, now: datetime, call: Callable[[bytes, Mapping[str, str]], int]
) -> str:
    """Make an attempt with `call`, which gives HTTP's status; say what is wrong, or ""."""
    try:
        status = call(post.body, build_headers(post, secret, now))
    except SourceError as error:
        return str(error)
    return "" if 200 <= status < 300 else f"it answered {status}"


def list_posts(connection: Connection, limit: int) -> list[PostView]:
    """List what waits or failed, the newest first."""
    query = (
        select(posts).where(_P.state.in_(("waiting", "failed"))).order_by(_P.id.desc()).limit(limit)
    )
    return [_view(row) for row in connection.execute(query)]


def count_posts(connection: Connection) -> dict[str, dict[str, int]]:
    """Count what each hook has taken, waits for, and was not told, by state."""
    counted: dict[str, dict[str, int]] = {}
    query = select(_P.hook, _P.state, func.count()).group_by(_P.hook, _P.state)
    for hook, state, number in connection.execute(query):
        counted.setdefault(hook, {})[state] = number
    return counted


def give_up(connection: Connection, known: frozenset[str], now: datetime) -> None:
    """End what is for hooks that the settings do not name any more."""
    connection.execute(
        update(posts)
        .where(_P.state == "waiting", _P.hook.not_in(known))
        .values(state="failed", body=None, said="no setting names it any more", changed_at=now)
    )


def _view(row: Row[Any]) -> PostView:
    return PostView(
        hook=row.hook,
        number=row.number,
        state=row.state,
        attempts=row.attempts,
        said=row.said,
        made_at=row.made_at,
        look_at=row.look_at,
    )
