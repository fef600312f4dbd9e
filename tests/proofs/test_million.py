"""An import of many readers, one in twenty of them bad: its report is exact, and its undoing.

The command line is run as an operator runs it, and what its process took is measured. In its short
form two thousand rows; the long form a million, within 60 seconds of processor time and 200 MB,
and it says what it took:

    NEWSLETTER_TEST_IMPORT=all pytest -s tests/proofs/test_million.py
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import select

from newsletter.store import open_database
from newsletter.store.tables import subscribers
from tests.acceptance.project import Project

LONG = os.environ.get("NEWSLETTER_TEST_IMPORT") == "all"
ROWS = 1_000_000 if LONG else 2_000
EVERY = 20
"""Which of the rows are bad: 5 %."""
MOST_SECONDS, MOST_MB = 60, 200
BAD = (
    "no address at all,Reader,form",
    ",Nobody,form",
    "a b@example.org,Blank,form",
    "reader@,No domain,form",
    "reader@example.org\x07,Bell,form",
)
THERE_BEFORE = 10
"""Readers whom the import finds, and whose name it changes."""


def write_file(path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("email,name,consent_source\n")
        for number in range(1, ROWS + 1):
            if number % EVERY:
                file.write(f"reader{number}@example.org,Reader {number},form\n")
            else:
                file.write(BAD[number // EVERY % len(BAD)] + "\n")


def list_readers(project: Project) -> Iterator[tuple[Any, ...]]:
    """List all that is kept of readers, but when it was written last."""
    columns = [column for column in subscribers.c if column.name != "updated_at"]
    database = open_database(f"sqlite:///{project.root / 'newsletter.db'}")
    with database.reading() as connection:
        query = select(*columns).order_by(subscribers.c.id).execution_options(yield_per=10_000)
        yield from map(tuple, connection.execute(query))
    database.close()


def test_a_long_list_is_imported_and_undone_exactly(tmp_path: Path) -> None:
    project = Project(tmp_path)
    before_path = tmp_path / "before.csv"
    before_path.write_text(
        "email,name,consent_source\n"
        + "".join(f"reader{n}@example.org,Before {n},form\n" for n in range(1, THERE_BEFORE + 1))
    )
    assert project.run("subscribers", "import", str(before_path)).code == 0
    before = list(list_readers(project))
    write_file(tmp_path / "long.csv")
    taken = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    ran = project.run_apart(
        "subscribers", "import", str(tmp_path / "long.csv"), "--json", seconds=1_800
    )
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ran.code == 0, ran.err
    report = ran.document
    bad = ROWS // EVERY
    assert (report["rows"], report["bad"]) == (ROWS, bad)
    assert (report["added"], report["updated"]) == (ROWS - bad - THERE_BEFORE, THERE_BEFORE)
    assert [row["line"] for row in report["bad_rows"]][:3] == [
        EVERY + 1,
        2 * EVERY + 1,
        3 * EVERY + 1,
    ]
    assert sum(1 for _ in list_readers(project)) == ROWS - bad
    (first,) = islice(list_readers(project), 1)
    assert "Reader 1" in first
    undone = project.run_apart(
        "subscribers", "undo", str(report["import"]), "--yes", "--json", seconds=1_800
    )
    assert undone.code == 0, undone.err
    assert list(list_readers(project)) == before
    processor = (after.ru_utime + after.ru_stime) - (taken.ru_utime + taken.ru_stime)
    peak_mb = after.ru_maxrss / 1024
    print(
        f"\n{ROWS:,} rows, {bad:,} bad: {seconds:.1f} s, {processor:.1f} s of processor time, "
        f"at most {peak_mb:.0f} MB; undone"
    )
    if LONG:  # another's load makes the clock run on, and not the processor's time
        assert processor < MOST_SECONDS
        assert peak_mb < MOST_MB
