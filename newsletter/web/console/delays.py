"""What slows down who guesses, and locks nobody out.

Every try is counted before it is judged, so that many at once are not one. Past a few, each
failure doubles how long the next try has to wait, up to a most; what is tried while it waits is
refused, unread. What is counted:

- a browser that logged in as this person before: by itself, so that nobody else's guesses are
  ever in its way;
- anybody else: by account and network together, by network, and, far more patiently, by account
  from anywhere.

Failures are forgotten after a day without one; `newsletter team reset` gives a way in at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, select, text, update

from newsletter.store.tables import Instant, login_delays

FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """What tries are counted by."""

    key: str
    free: int
    """How many failures cost nothing."""
    most: timedelta
    """The longest wait."""
    is_shared: bool = False
    """Whether others are counted by it as well."""


def choose_buckets(account: str, network: str, browser: str) -> tuple[Bucket, ...]:
    """Choose by what a try is counted; `browser` is the mark of a known one, or "". Pure."""
    quarter = timedelta(minutes=15)
    if browser:
        return (Bucket(key=_name("browser", browser), free=5, most=quarter),)
    return (
        Bucket(key=_name("pair", account, network), free=5, most=quarter),
        Bucket(key=_name("network", network), free=30, most=quarter, is_shared=True),
        Bucket(key=_name("account", account), free=100, most=timedelta(minutes=1)),
    )


def decide_wait(failures: int, since: timedelta, bucket: Bucket) -> timedelta:
    """Decide how long until the next try, after so many failures. Pure."""
    if failures <= bucket.free or since >= FORGOTTEN_AFTER:
        return timedelta(0)
    doublings = min(failures - bucket.free - 1, 20)
    return max(timedelta(0), min(timedelta(seconds=2**doublings), bucket.most) - since)


def charge(connection: Connection, buckets: Sequence[Bucket], now: datetime) -> timedelta:
    """Count a try, unless it has to wait; return how long. Within a writing transaction."""
    keys = [bucket.key for bucket in buckets]
    connection.execute(delete(login_delays).where(login_delays.c.failed_at < now - FORGOTTEN_AFTER))
    rows = connection.execute(
        select(login_delays)
        .where(login_delays.c.key.in_(keys))
        .order_by(login_delays.c.key)
        .with_for_update()
    ).all()
    found = {row.key: row for row in rows}
    waits: list[timedelta] = [
        decide_wait(found[b.key].failures, now - found[b.key].failed_at, b)
        for b in buckets
        if b.key in found
    ]
    if longest := max(waits, default=timedelta(0)):
        return longest
    for key in sorted(keys):
        connection.execute(_COUNT, {"key": key, "now": now})
    return timedelta(0)


def forgive(connection: Connection, buckets: Sequence[Bucket]) -> None:
    """Forget the failures of who was right; of a shared bucket only this try."""
    for bucket in buckets:
        of_this = login_delays.c.key == bucket.key
        if bucket.is_shared:
            connection.execute(
                update(login_delays)
                .where(of_this, login_delays.c.failures > 0)
                .values(failures=login_delays.c.failures - 1)
            )
        else:
            connection.execute(delete(login_delays).where(of_this))


def _name(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


_COUNT = text(
    "INSERT INTO login_delays (key, failures, failed_at) VALUES (:key, 1, :now)"
    " ON CONFLICT (key) DO UPDATE"
    " SET failures = login_delays.failures + 1, failed_at = excluded.failed_at"
).bindparams(bindparam("now", type_=Instant))
