"""What bounces mean, as a table: when an address is dead, and when it is our own fault."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from newsletter.feedback.judging import Sent, decide_dead, distrust_domain, distrust_edition
from newsletter.feedback.report import Finding

NOW = datetime(2026, 11, 30, 7, tzinfo=UTC)
MEANING = {"D": Finding.ADDRESS, "s": Finding.MESSAGE, ".": None}


def read(days: str) -> list[Sent]:
    """Read a copy a day, the last today: D = no such mailbox, s = soft, . = arrived, - = none."""
    ages = range(len(days) - 1, -1, -1)
    return [
        Sent(at=NOW - timedelta(days=age), bounce=MEANING[day])
        for age, day in zip(ages, days, strict=True)
        if day != "-"
    ]


@pytest.mark.parametrize(
    ("days", "why"),
    [
        ("", ""),
        ("....D", ""),
        ("...DD", "2 copies within 30 days, as to no such mailbox"),
        ("D.....................D", "2 copies within 30 days, as to no such mailbox"),
        ("D" + "." * 29 + "D", "2 copies within 30 days, as to no such mailbox"),
        ("D" + "." * 30 + "D", ""),
        ("ssssssssssssss", ""),  # thirteen days from the first to the last
        ("sssssssssssssss", "15 of 15 copies over 14 days"),
        ("s--------------s", ""),
        ("s---s---s---s---", ""),
        ("s---s---s---s---s", "5 of 5 copies over 16 days"),
        ("s...s...s...s...s", ""),
        (".....s-.-s-.-s-.-s-.-s", "5 of 9 copies over 16 days"),
        ("s-.-s-.-s-.-s-.-s......", "5 of 9 copies over 16 days"),
        ("D---s---s---s---s", "5 of 5 copies over 16 days"),
        ("s" + "-" * 30 + "ssss", ""),  # the first is too long ago
    ],
)
def test_when_an_address_is_dead(days: str, why: str) -> None:
    copies = read(days)
    assert decide_dead(copies, NOW) == why
    Random(days).shuffle(copies)
    assert decide_dead(copies, NOW) == why, "in whatever order"


@pytest.mark.parametrize(
    ("dead", "back", "first", "why"),
    [
        (19, 19, 100, ""),
        (20, 20, 400, ""),
        (21, 21, 400, "21 of 400 copies came back as to no such mailbox"),
        (20, 20, 399, "20 of 399 copies came back as to no such mailbox"),
        (100, 900, 2_000, ""),
        (101, 101, 2_000, "101 of the first 2,000 copies came back as to no such mailbox"),
        (0, 4, 4, ""),
        (4, 5, 5, "5 of 5 copies came back"),
        (0, 5, 10, ""),
        (0, 6, 10, "6 of 10 copies came back"),
        (0, 1_000, 2_000, ""),
        (0, 1_001, 2_000, "1,001 of the first 2,000 copies came back"),
    ],
)
def test_when_an_edition_is_doubted(dead: int, back: int, first: int, why: str) -> None:
    assert distrust_edition(dead=dead, back=back, first=first) == why


def test_when_a_domain_is_doubted() -> None:
    assert not distrust_domain("b.example", dead=9, copies=9)
    assert not distrust_domain("b.example", dead=10, copies=50)
    said = "11 of 50 copies to b.example came back as to no such mailbox"
    assert distrust_domain("b.example", dead=11, copies=50) == said
