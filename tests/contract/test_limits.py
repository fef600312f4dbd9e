"""Limits in the database: exact to the second, whatever is restarted."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from limits import RateLimitItemPerDay, RateLimitItemPerHour
from sqlalchemy import Connection, func, select

from newsletter.store import Database
from newsletter.store.limits import TableStorage, forget_hits, has_room, take
from newsletter.store.tables import limit_hits

ONCE_A_DAY, THRICE_A_MONTH = RateLimitItemPerDay(1), RateLimitItemPerDay(3, 30)
BOTH = (ONCE_A_DAY, THRICE_A_MONTH)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def hit(database: Database, now: datetime, key: str = "a") -> bool:
    with database.writing() as connection:
        return take(connection, BOTH, key, now=now)


def count(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(limit_hits)) or 0


def test_a_window_moves_and_does_not_begin_anew(backend: Database, now: datetime) -> None:
    """Three in thirty days are three in any thirty days, not three and three at their seam."""
    taken = [hour for hour in range(0, 24 * 65, 6) if hit(backend, now + timedelta(hours=hour))]
    assert taken == [0, 24, 48, 720, 744, 768, 1440, 1464, 1488]


def test_to_the_second(backend: Database, now: datetime) -> None:
    assert hit(backend, now)
    assert not hit(backend, now + DAY - SECOND)
    assert hit(backend, now + DAY)


def test_what_one_limit_refuses_counts_against_none(backend: Database, now: datetime) -> None:
    assert hit(backend, now)
    with backend.reading() as connection:
        before = count(connection)
    assert not hit(backend, now + SECOND)
    with backend.reading() as connection:
        assert count(connection) == before
        assert not has_room(connection, BOTH, "a", now=now + SECOND)
        assert has_room(connection, BOTH, "b", now=now + SECOND)
        assert count(connection) == before


def test_what_is_rolled_back_was_not_counted(backend: Database, now: datetime) -> None:
    class Fault(Exception):
        pass

    with pytest.raises(Fault), backend.writing() as connection:  # noqa: PT012
        assert take(connection, BOTH, "a", now=now)
        raise Fault
    assert hit(backend, now)


def test_keys_do_not_share(backend: Database, now: datetime) -> None:
    assert hit(backend, now, "a")
    assert hit(backend, now, "b")
    assert not hit(backend, now, "a")


def test_what_counts_no_more_is_forgotten(backend: Database, now: datetime) -> None:
    with backend.writing() as connection:
        take(connection, (RateLimitItemPerHour(5),), "a", now=now)
        take(connection, (THRICE_A_MONTH,), "a", now=now)
        forget_hits(connection, now + timedelta(hours=1))
        assert count(connection) == 1
        forget_hits(connection, now + timedelta(days=30))
        assert count(connection) == 0


def test_the_rest_of_what_a_storage_has(backend: Database, now: datetime) -> None:
    with backend.writing() as connection:
        storage = TableStorage(connection, now)
        assert storage.check()
        assert (storage.get("k"), storage.get_expiry("k")) == (0, now.timestamp())
        assert storage.incr("k", 60, 2) == 2
        assert storage.get_expiry("k") == (now + 60 * SECOND).timestamp()
        assert storage.get_moving_window("k", 5, 60) == (now.timestamp(), 2)
        storage.clear("k")
        assert storage.get("k") == 0
        storage.incr("l", 60)
        assert storage.reset() == 1
