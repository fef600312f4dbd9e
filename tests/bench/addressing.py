"""What one reader's copy costs to make: `python -m tests.bench.addressing`.

The demo's edition, 50 KB a message, unsigned. Readers who chose the same share a plan; each of
the others has one of their own made, which is the dearest case.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from newsletter.audience.reader import Choices, Reader
from newsletter.mail import Addresser, Keyring, build_letterhead
from tests.demo_edition import print_demo
from tests.integration.test_choices import draw_reader

ROUNDS = 5


def build_addresser(directory: Path) -> Addresser:
    """Make what addresses the demo's edition."""
    settings, printed = print_demo(directory)
    keyring = Keyring([b"k" * 40])
    letterhead = build_letterhead(
        settings.publication,
        edition_id=1,
        day=date(2026, 11, 23),
        dated_at=datetime(2026, 11, 23, 7, tzinfo=UTC),
        key_id=keyring.newest,
    )
    return Addresser(printed.compiled, letterhead, keyring)


def measure(address: Callable[[Reader], object], readers: Sequence[Reader]) -> float:
    """Give the CPU time of one copy in microseconds: the best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for reader in readers:
            address(reader)
        best = min(best, time.process_time() - start)
    return best / len(readers) * 1e6


def main() -> None:
    """Print both costs."""
    with TemporaryDirectory() as directory:
        addresser = build_addresser(Path(directory))
        chance = random.Random(4)
        same = [
            Reader(subscriber_id=n, email=f"reader{n}@example.org", choices=Choices(minutes=3))
            for n in range(1, 5001)
        ]
        own = [draw_reader(number, chance) for number in range(1, 1001)]
        size = len(addresser.address(same[0]).content)
        print(f"{size:,} bytes, {ROUNDS} rounds, CPU time of one copy:")
        print(f"  who chose the same      {measure(addresser.address, same):6.1f} us")
        print(f"  each chose differently  {measure(addresser.address, own):6.1f} us")


if __name__ == "__main__":
    main()
