"""What most tests start from: a real database and a moment in time."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings

from newsletter.store import Database
from tests.databases import open_new_database
from tests.examples import examples
from tests.postgres import find_server

# A browser takes seconds to look at a mail, and hundreds of tests send one; those in
# tests/browser have it look.
os.environ["NEWSLETTER_EDITION__BROWSER_CHECKS"] = "false"

# A loaded machine is slow at times, and that is no failure. The runs are the same every time.
settings.register_profile("newsletter", deadline=None, derandomize=True, max_examples=examples(100))
settings.load_profile("newsletter")


def pytest_collection_finish() -> None:
    """Leave what all tests share to the collector no more: it would look at it again and again.

    A run in this process finds that seen to, where it would else look through everything.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, *gc.get_threshold()[1:])


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_new_database(tmp_path / "newsletter.db")
    yield opened
    opened.close()


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 11, 23, 7, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Where a PostgreSQL server is; skips the test where there is none."""
    with find_server() as url:
        yield url
