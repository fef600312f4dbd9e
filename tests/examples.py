"""How many examples a law is tried on: a quarter of them by default, and of the same ones always.

NEWSLETTER_TEST_EXAMPLES=all tries every one, as after a change of what the law is about.
"""

from __future__ import annotations

import os

ALL = os.environ.get("NEWSLETTER_TEST_EXAMPLES") == "all"


def examples(number: int) -> int:
    """Give how many of `number` examples to try."""
    return number if ALL else max(number // 4, 10)
