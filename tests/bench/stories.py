"""`python -m tests.bench.stories [ITEMS ...]`: what grouping a day's items costs, in CPU time."""

from __future__ import annotations

import random
import sys
import time
from datetime import UTC, datetime, timedelta

from newsletter.briefs.model import Brief, Source
from newsletter.editions.stories import group_stories
from newsletter.editions.story import Candidate

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PIECES = 3  # of each event, by outlets of their own


def build_day(items: int) -> list[Candidate]:
    """Build a day: each event has its names and numbers, and shares its words with all others."""
    chance = random.Random(items)
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    # Words as a language has them: the n-th is 1/n as frequent as the first.
    words = ["".join(chance.choices(syllables, k=3)) for _ in range(20_000)]
    weights = [1 / (n + 10) for n in range(len(words))]
    day = []
    for event in range(items // PIECES + 1):
        names = ["".join(chance.choices(syllables, k=4)).title() for _ in range(3)]
        number = str(chance.randint(10, 9_999))
        core = chance.choices(words, weights, k=10)
        for piece in range(PIECES):
            said = [*names[:2], *chance.sample(core, 6), *chance.choices(words, weights, k=8)]
            title = f"{names[0]} {' '.join(chance.sample(core, 5))}"
            day.append(
                Candidate(
                    brief_id=event * PIECES + piece,
                    published_at=NOON - timedelta(minutes=event * 600 // (items // PIECES + 1)),
                    brief=Brief(
                        title=title,
                        summary=f"It is {' '.join(said)} {number}.",
                        sources=(Source(name=f"outlet{piece}.example"),),
                    ),
                )
            )
    return day[:items]


def main() -> None:
    """Group days of the sizes that are asked, and print what that took."""
    for items in map(int, sys.argv[1:] or ("1000", "10000", "100000")):
        day = build_day(items)
        began = time.process_time()
        stories = group_stories(day)
        took = time.process_time() - began
        print(
            f"{items:>7,} items: {took:6.2f} s of CPU, {took / items * 1e6:5.0f} µs an item, "
            f"{len(stories):,} stories"
        )


if __name__ == "__main__":
    main()
