"""New databases for the tests: copies of one that was made once, with its tables."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path

from newsletter.store import Database, open_database
from newsletter.store.database import Durability


def open_new_database(path: Path, *, durability: Durability = "process") -> Database:
    """Open a new SQLite database at `path`; to go through every migration takes ten times as long.

    How one is made from nothing is what tests/integration/test_store.py proves.
    """
    path.write_bytes(_with_tables())
    return open_database(f"sqlite:///{path}", durability=durability)


def copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite database with what its log has, which a copy of the file alone leaves out."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


@cache
def _with_tables() -> bytes:
    with tempfile.TemporaryDirectory(prefix="newsletter-tables-") as folder:
        path = Path(folder) / "newsletter.db"
        open_database(f"sqlite:///{path}", durability="process").close()
        return path.read_bytes()
