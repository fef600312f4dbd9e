"""How often something may happen, counted in the database: limits that outlive a restart.

The rules are those of the library `limits`, by its moving window: "3 per 30 days" is true of any
thirty days. Its storage is our own table, within the caller's transaction, so that what is counted
and what it was counted for are committed together, or not at all.

Keys are written as they are given: for an address give a keyed hash of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from limits import RateLimitItem
from limits.storage import MovingWindowSupport, Storage
from limits.strategies import MovingWindowRateLimiter
from sqlalchemy import Connection, delete, func, insert, select, text

from newsletter.store.tables import limit_hits

_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")
"""On PostgreSQL one transaction at a time counts against a key; on SQLite one writes at a time."""


def take(
    connection: Connection, limits: Sequence[RateLimitItem], key: str, *, now: datetime
) -> bool:
    """Count one against each limit of `key`; False, and nothing counted, where one is used up."""
    if connection.dialect.name == "postgresql":
        connection.execute(_ALONE, {"key": key})
    limiter = MovingWindowRateLimiter(TableStorage(connection, now))
    if not all(limiter.test(limit, key) for limit in limits):
        return False
    for limit in limits:
        limiter.hit(limit, key)
    return True


def has_room(
    connection: Connection, limits: Sequence[RateLimitItem], key: str, *, now: datetime
) -> bool:
    """Tell whether `take` would count one; nothing is counted."""
    limiter = MovingWindowRateLimiter(TableStorage(connection, now))
    return all(limiter.test(limit, key) for limit in limits)


def forget_hits(connection: Connection, now: datetime) -> None:
    """Forget what counts against no limit any more."""
    connection.execute(delete(limit_hits).where(limit_hits.c.until <= now))


class TableStorage(Storage, MovingWindowSupport):
    """The library's storage on our table, for the length of a transaction."""

    STORAGE_SCHEME = None  # it is handed over, and not named by an address

    def __init__(self, connection: Connection, now: datetime) -> None:
        super().__init__()
        self._connection, self._now = connection, now

    @property
    def base_exceptions(self) -> type[Exception]:
        """What the database raises: passed on as it is."""
        return Exception

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` if that many still fit into the last `expiry` seconds."""
        if self._count(key, expiry) + amount > limit:
            return False
        until = self._now + timedelta(seconds=expiry)
        rows = [{"key": key, "at": self._now, "until": until}] * amount
        self._connection.execute(insert(limit_hits), rows)
        return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Give the second in which what counts now began, and how much counts."""
        _h = limit_hits.c
        query = select(_h.at).where(_h.key == key, _h.at > self._since(expiry))
        first = self._connection.scalar(query.order_by(_h.at).limit(1))
        return (first or self._now).timestamp(), self._count(key, expiry)

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count without a limit; the moving window has no use for it."""
        self.acquire_entry(key, 2**62, expiry, amount)
        return self.get(key)

    def get(self, key: str) -> int:
        """Tell how much counts now."""
        _h = limit_hits.c
        query = select(func.count()).where(_h.key == key, _h.until > self._now)
        return self._connection.scalar(query) or 0

    def get_expiry(self, key: str) -> float:
        """Tell the second in which nothing counts any more."""
        _h = limit_hits.c
        query = select(_h.until).where(_h.key == key)
        latest = self._connection.scalar(query.order_by(_h.until.desc()).limit(1))
        return (latest or self._now).timestamp()

    def check(self) -> bool:
        """Tell that the storage is there: the transaction is open."""
        return True

    def reset(self) -> int | None:
        """Forget all that counts."""
        return self._connection.execute(delete(limit_hits)).rowcount

    def clear(self, key: str) -> None:
        """Forget what counts against one key."""
        self._connection.execute(delete(limit_hits).where(limit_hits.c.key == key))

    def _count(self, key: str, expiry: int) -> int:
        _h = limit_hits.c
        query = select(func.count()).where(_h.key == key, _h.at > self._since(expiry))
        return self._connection.scalar(query) or 0

    def _since(self, expiry: int) -> datetime:
        return self._now - timedelta(seconds=expiry)
