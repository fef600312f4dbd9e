"""Import a subscriber file of any length, and say exactly what became of each row.

Rows are laid over the list in the order of the file by the rule that `entry.py` opens with,
a few thousand in one transaction. An import that is killed leaves whole transactions behind
and can simply be run again: what is there already counts as unchanged. Memory does not grow
with the file, but for eight bytes a row that tell whether an address came before.
"""

from __future__ import annotations

import csv
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from newsletter.audience.cells import defuse, undo_defusing
from newsletter.audience.columns import REJECT_COLUMNS, Columns, build_columns, parse_row
from newsletter.audience.entry import BLOCKED, Entry, Tally, store_entries
from newsletter.audience.records import Record, read_records
from newsletter.audience.suppression import keep_intents_out
from newsletter.errors import AudienceError
from newsletter.store import Database

KEPT_REPORTS = 1_000
"""How many bad and repeated rows a report lists; all are counted."""
_BATCH_ENTRIES = 10_000
_BATCH_CHARACTERS = 8_000_000


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out."""

    line: int
    """Number of its first physical line in the file, from 1."""
    reason: str
    """One sentence: the column, what is wrong with it, and the mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What became of the rows: each is counted once, and the counts sum to `rows`."""

    rows: int
    added: int
    updated: int
    unchanged: int
    repeated: int
    """Rows whose address came earlier in the file; where they give a value, it counts."""
    kept_out: Mapping[str, int]
    """Rows that were not let in, by what speaks against it, e.g. "unsubscribed"."""
    bad: int
    bad_rows: tuple[BadRow, ...]
    """The first of them."""
    repeated_lines: tuple[int, ...]
    """The first of them."""
    own_fields: tuple[str, ...]
    """What the operator's own columns are called in templates, as `fields.NAME`."""

    def to_document(self) -> dict[str, Any]:
        """Give the report as JSON."""
        return {
            "rows": self.rows,
            "added": self.added,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "repeated": self.repeated,
            "kept_out": dict(self.kept_out),
            "bad": self.bad,
            "bad_rows": [{"line": row.line, "reason": row.reason} for row in self.bad_rows],
            "repeated_lines": list(self.repeated_lines),
            "own_fields": list(self.own_fields),
        }


def import_subscribers(
    database: Database,
    source: Path | BinaryIO,
    *,
    now: datetime,
    on_progress: Callable[[int], None] | None = None,
    rejects: TextIO | None = None,
) -> ImportReport:
    """Import the CSV file at, or in, `source`.

    `on_progress` is told how many bytes have been read so far. To `rejects` (opened with
    `newline=""`) go all bad rows as CSV, with line and reason before the row's own cells;
    once mended, that file can be imported as it is. Raises `AudienceError` naming the file
    for one that cannot be used at all: nothing of it was imported then, unless reading failed
    halfway. A repeat is safe in every case.
    """
    if isinstance(source, Path):
        with _open(source) as stream:
            return import_subscribers(
                database, stream, now=now, on_progress=on_progress, rejects=rejects
            )
    try:
        records = read_records(source, on_progress=on_progress)
        heading = next(records, None)
        if heading is None:
            raise AudienceError("is empty", mend="put the names of the columns into line 1")
        run = _Import(database, _read_columns(heading), now)
        if rejects:
            run.reject = _open_rejects(rejects, heading.cells)
        for record in records:
            run.take(record)
        run.flush()
    except AudienceError as error:
        error.file = getattr(source, "name", None)
        raise
    return run.report()


def _read_columns(heading: Record) -> Columns:
    try:
        if heading.problem:
            raise AudienceError(heading.problem, mend="correct the line of headings")
        return build_columns(heading.cells)
    except AudienceError as error:
        error.line = heading.line
        raise


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise AudienceError(
            f"cannot be read ({error.strerror})", file=path, mend="check its name and permissions"
        ) from None


class _Seen:
    """The addresses met so far, as hashes of eight bytes: a set would take some 150 each."""

    def __init__(self) -> None:
        self._buckets: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))

    def add(self, key: str) -> bool:
        """Remember an address; tell whether it is new."""
        hashed = hash(key)
        bucket = self._buckets[hashed & 0xFFFF]
        if hashed in bucket:
            return False
        bucket.append(hashed)
        return True


class _Import:
    """One import as it goes on."""

    def __init__(self, database: Database, columns: Columns, now: datetime) -> None:
        self.reject: Callable[[Record, str], None] = lambda record, reason: None
        self._database = database
        self._columns = columns
        self._now = now
        self._rows = self._bad = self._repeated = 0
        self._bad_rows: list[BadRow] = []
        self._repeated_lines: list[int] = []
        self._tally = Tally()
        self._seen = _Seen()
        self._batch: dict[str, Entry] = {}
        self._stored_before: set[str] = set()
        """Those of the batch that an earlier batch had as well."""
        self._batch_characters = 0

    def take(self, record: Record) -> None:
        """Read one row; store the batch when it is large enough."""
        self._rows += 1
        try:
            if record.problem:
                raise AudienceError(record.problem, mend="correct the row")
            entry = parse_row(self._columns, record.cells)
        except AudienceError as error:
            self._bad += 1
            if self._bad <= KEPT_REPORTS:
                self._bad_rows.append(BadRow(record.line, str(error)))
            self.reject(record, str(error))
            return
        key = entry.address.key
        earlier = self._batch.get(key)
        if not self._seen.add(key):
            self._repeated += 1
            if self._repeated <= KEPT_REPORTS:
                self._repeated_lines.append(record.line)
            if earlier is None:
                self._stored_before.add(key)
        self._batch[key] = earlier.overlay(entry) if earlier else entry
        self._batch_characters += sum(map(len, record.cells))
        if len(self._batch) >= _BATCH_ENTRIES or self._batch_characters >= _BATCH_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Store the batch, in one transaction."""
        again = {key: self._batch.pop(key) for key in self._stored_before}
        with self._database.writing() as connection:
            if any(e.status in BLOCKED for e in (*self._batch.values(), *again.values())):
                keep_intents_out(connection)
            store_entries(connection, self._batch, self._now, self._tally)
            store_entries(connection, again, self._now, Tally())  # counted as repeated
        self._batch.clear()
        self._stored_before.clear()
        self._batch_characters = 0

    def report(self) -> ImportReport:
        """Sum up."""
        return ImportReport(
            rows=self._rows,
            added=self._tally.added,
            updated=self._tally.updated,
            unchanged=self._tally.unchanged,
            repeated=self._repeated,
            kept_out=dict(self._tally.kept_out),
            bad=self._bad,
            bad_rows=tuple(self._bad_rows),
            repeated_lines=tuple(self._repeated_lines),
            own_fields=tuple(name for name, _ in self._columns.own),
        )


def _open_rejects(stream: TextIO, headings: Sequence[str]) -> Callable[[Record, str], None]:
    """Give what writes a rejected row; the first one brings the headings with it."""
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
    headed = False

    def reject(record: Record, reason: str) -> None:
        nonlocal headed
        if not headed:
            writer.writerow(_format_rejected([*REJECT_COLUMNS, *headings]))
            headed = True
        writer.writerow(_format_rejected([str(record.line), reason, *record.cells]))

    return reject


def _format_rejected(cells: Sequence[str]) -> Iterator[str]:
    for cell in cells:
        text = defuse(undo_defusing(cell.strip()))  # defused before or not, it is so once now
        yield text.encode("utf-8", "backslashreplace").decode()  # bytes of no encoding
