"""What the tests here have in common: a relay that counts what it is handed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.runs import Server


@pytest.fixture
def server() -> Iterator[Server]:
    """Give a relay that runs while the test does."""
    with Server() as running:
        yield running
