"""The memory of which addresses of a relay's name failed lately."""

from __future__ import annotations

import socket

from newsletter.smtp.addresses import Address, Addresses

A, B, C = (Address(family=socket.AF_INET, place=(f"192.0.2.{number}", 25)) for number in (1, 2, 3))


def test_without_failures_the_resolvers_order_stands() -> None:
    assert Addresses().choose([B, A, C], 0) == [B, A, C]


def test_what_failed_is_left_alone_for_a_minute() -> None:
    addresses = Addresses()
    addresses.failed(A, 100)
    assert addresses.choose([A, B, C], 100) == [B, C]
    assert addresses.choose([A, B, C], 159.9) == [B, C]
    assert addresses.choose([A, B, C], 160) == [A, B, C]


def test_where_all_have_failed_all_are_tried_the_first_to_be_well_again_first() -> None:
    addresses = Addresses()
    for now, address in enumerate((C, A, B)):
        addresses.failed(address, now)
    assert addresses.choose([A, B, C], 10) == [C, A, B]
    assert addresses.choose([A], 10) == [A]


def rest_seconds(addresses: Addresses, now: float) -> float:
    """Have A fail; give how long it is left alone."""
    addresses.failed(A, now)
    return next(s for s in range(2000) if addresses.choose([A, B], now + s) == [A, B])


def test_each_failure_doubles_the_time_up_to_ten_minutes() -> None:
    addresses, now, seconds = Addresses(), 0.0, []
    for _ in range(6):
        seconds.append(rest_seconds(addresses, now))
        now += seconds[-1]
    assert seconds == [60, 120, 240, 480, 600, 600]


def test_what_many_connections_meet_at_once_counts_once() -> None:
    addresses = Addresses()
    assert addresses.failed(A, 5)
    assert not any(addresses.failed(A, now) for now in (5, 5, 30))
    assert addresses.choose([A, B], 64) == [B]
    assert addresses.choose([A, B], 65) == [A, B]


def test_what_works_again_is_as_good_as_new() -> None:
    addresses = Addresses()
    addresses.failed(A, 0)
    addresses.failed(A, 60)
    addresses.worked(A)
    assert addresses.choose([A, B], 61) == [A, B]
    assert rest_seconds(addresses, 61) == 60
