"""Import a subscriber file of any length, and say exactly what became of each row.

Rows are laid over the list in the order of the file by the rule that `entry.py` opens with,
a few thousand in one transaction. An import that is killed leaves whole transactions behind
and can simply be run again: what is there already counts as unchanged. Memory does not grow
with the file, but for eight bytes a row that tell whether an address came before.

Every import has a number, under which it can be taken back (`undo.py`): the readers that it
brought bear it, and what it changed of others is kept in `import_changes`. All of that is in
the transaction of the rows themselves, so an unfinished import can be undone as well. A dry
run reads the same way and writes nothing.
"""

from __future__ import annotations

import csv
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from newsletter.audience.cells import defuse, parse_text, undo_defusing
from newsletter.audience.columns import REJECT_COLUMNS, Columns, build_columns, parse_row
from newsletter.audience.entry import BLOCKED, Entry, Plan, Tally, plan_entries
from newsletter.audience.foreign import Table, read_table
from newsletter.audience.imports import ImportLog, open_log
from newsletter.audience.pseudonyms import Pseudonyms
from newsletter.audience.records import Record, read_records
from newsletter.audience.suppression import keep_intents_out
from newsletter.errors import AudienceError
from newsletter.store import Database

KEPT_REPORTS = 1_000
"""How many bad and repeated rows a report lists; all are counted."""
_CLOCKS_APART = timedelta(days=1)
"""A moment without an offset may be of any zone."""
_BATCH_ENTRIES = 10_000
_BATCH_CHARACTERS = 8_000_000


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out."""

    line: int
    """Number of its first physical line in the file, from 1."""
    reason: str
    """One sentence: the column, what is wrong with it, and the mend."""


@dataclass(frozen=True, slots=True)
class ChangedReader:
    """A reader who was on the list, and what is different now."""

    email: str
    values: Mapping[str, tuple[Any, Any]]
    """Before and after, by field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What became of the rows: each is counted once, and the counts sum to `rows`."""

    number: int | None
    """Under which it can be undone; None for a dry run."""
    service: str
    """Whose export it is, e.g. "Mailchimp"; "" for any other table."""
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
    changed_fields: Mapping[str, int]
    """Of how many readers each field was changed, e.g. "choices.topics"."""
    changed: tuple[ChangedReader, ...]
    """The first of them."""
    kept_out_readers: tuple[tuple[str, str], ...]
    """Address and reason, the first of them."""
    own_fields: tuple[str, ...]
    """What the operator's own columns are called in templates, as `fields.NAME`."""

    def to_document(self) -> dict[str, Any]:
        """Give the report as JSON."""
        return {
            "import": self.number,
            "dry_run": self.number is None,
            "service": self.service,
            "rows": self.rows,
            "added": self.added,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "repeated": self.repeated,
            "kept_out": dict(self.kept_out),
            "bad": self.bad,
            "bad_rows": [{"line": row.line, "reason": row.reason} for row in self.bad_rows],
            "repeated_lines": list(self.repeated_lines),
            "changed_fields": dict(self.changed_fields),
            "changed": [
                {"email": reader.email, "changes": {k: list(v) for k, v in reader.values.items()}}
                for reader in self.changed
            ],
            "kept_out_readers": [
                {"email": email, "reason": reason} for email, reason in self.kept_out_readers
            ],
            "own_fields": list(self.own_fields),
        }


def import_subscribers(
    database: Database,
    source: Path | BinaryIO,
    *,
    now: datetime,
    pseudonyms: Pseudonyms,
    consent_source: str = "",
    needs_consent: bool = False,
    renamed: Mapping[str, str] | None = None,
    made_by: str = "",
    dry_run: bool = False,
    on_progress: Callable[[int], None] | None = None,
    rejects: TextIO | None = None,
) -> ImportReport:
    """Import the CSV file at, or in, `source`.

    `consent_source` counts for rows that name none; where it `needs_consent`, a new reader
    without one is a bad row, and a file that has no such column is refused. `renamed` are
    columns by the file's heading. `on_progress` is told how many bytes have been read so far.
    To `rejects` (opened with `newline=""`) go all bad rows as CSV, with line and reason before
    the row's own cells; once mended, that file can be imported as it is. A `dry_run` finds out
    the same and changes nothing.

    Raises `AudienceError` naming the file for one that cannot be used at all: nothing of it
    was imported then, unless reading failed halfway. A repeat is safe in every case.
    """
    if isinstance(source, Path):
        with _open(source) as stream:
            return import_subscribers(
                database,
                stream,
                now=now,
                pseudonyms=pseudonyms,
                consent_source=consent_source,
                needs_consent=needs_consent,
                renamed=renamed,
                made_by=made_by,
                dry_run=dry_run,
                on_progress=on_progress,
                rejects=rejects,
            )
    file = str(getattr(source, "name", ""))
    try:
        consent_source = parse_text(consent_source, "consent_source")
        records = read_records(source, on_progress=on_progress)
        heading = next(records, None)
        if heading is None:
            raise AudienceError("is empty", mend="put the names of the columns into line 1")
        table, columns = _read_columns(heading, file, renamed or {})
        says_so = consent_source or "consent_source" in columns.known or table.nobody_agrees
        if needs_consent and not says_so:
            raise AudienceError(
                "says nowhere where its readers agreed to be mailed",
                field="consent_source",
                mend='add --consent-source "web form 2025" or a column consent_source',
            )
        log = None if dry_run else open_log(database, file, consent_source, made_by, now)
        run = _Import(
            database,
            table,
            columns,
            now,
            pseudonyms=pseudonyms,
            consent_source=consent_source,
            needs_consent=needs_consent,
            log=log,
        )
        if rejects:
            run.reject = _open_rejects(rejects, heading.cells)
        for record in records:
            run.take(record)
        run.flush()
        if log:
            log.finish(now)
    except AudienceError as error:
        error.file = getattr(source, "name", None)
        raise
    return run.report()


def _read_columns(heading: Record, file: str, renamed: Mapping[str, str]) -> tuple[Table, Columns]:
    try:
        if heading.problem:
            raise AudienceError(heading.problem, mend="correct the line of headings")
        table = read_table(heading.cells, file=file, renamed=renamed)
        return table, build_columns(table.headings)
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

    def forget(self, key: str) -> None:
        """Have the address count as new again."""
        hashed = hash(key)
        self._buckets[hashed & 0xFFFF].remove(hashed)


class _Import:
    """One import as it goes on."""

    def __init__(
        self,
        database: Database,
        table: Table,
        columns: Columns,
        now: datetime,
        *,
        pseudonyms: Pseudonyms,
        consent_source: str,
        needs_consent: bool,
        log: ImportLog | None,
    ) -> None:
        self.reject: Callable[[Record, str], None] = lambda record, reason: None
        self._database = database
        self._table = table
        self._columns = columns
        self._now = now
        self._pseudonyms = pseudonyms
        self._consent_source = consent_source
        self._needs_consent = needs_consent
        self._log = log
        self._rows = self._bad = self._repeated = 0
        self._bad_rows: list[BadRow] = []
        self._repeated_lines: list[int] = []
        self._tally = Tally()
        self._changed_fields: Counter[str] = Counter()
        self._changed: list[ChangedReader] = []
        self._kept_out: list[tuple[str, str]] = []
        self._own_fields = dict.fromkeys(name for name, _ in columns.own)
        self._seen = _Seen()
        self._batch: dict[str, Entry] = {}
        self._stored_before: set[str] = set()
        """Those of the batch that an earlier batch had as well."""
        self._without_consent: dict[str, Record] = {}
        self._batch_characters = 0

    def take(self, record: Record) -> None:
        """Read one row; store the batch when it is large enough."""
        self._rows += 1
        try:
            entry = self._parse(record)
        except AudienceError as error:
            self._refuse(record, str(error))
            return
        key = entry.address.key
        earlier = self._batch.get(key)
        if not self._seen.add(key):
            self._repeated += 1
            if self._repeated <= KEPT_REPORTS:
                self._repeated_lines.append(record.line)
            if earlier is None:
                self._stored_before.add(key)
        elif self._needs_consent and not entry.consent_source and entry.status not in BLOCKED:
            self._without_consent[key] = record
        self._batch[key] = earlier.overlay(entry) if earlier else entry
        self._batch_characters += sum(map(len, record.cells))
        if len(self._batch) >= _BATCH_ENTRIES or self._batch_characters >= _BATCH_CHARACTERS:
            self.flush()

    def _parse(self, record: Record) -> Entry:
        if record.problem:
            raise AudienceError(record.problem, mend="correct the row")
        cells, fields = self._table.read(record.cells)
        entry = parse_row(self._columns, cells)
        if entry.consent_at and entry.consent_at > self._now + _CLOCKS_APART:
            raise AudienceError(
                f"{entry.consent_at:%Y-%m-%d} is still to come",
                field="consent_at",
                mend="write when the reader agreed",
            )
        if fields:
            checked = {name: parse_text(value, name) for name, value in fields.items()}
            entry = replace(entry, fields={**checked, **entry.fields})
            self._own_fields.update(dict.fromkeys(checked))
        if self._consent_source and not entry.consent_source:
            entry = replace(entry, consent_source=self._consent_source)
        return entry

    def _refuse(self, record: Record, reason: str) -> None:
        self._bad += 1
        if self._bad <= KEPT_REPORTS:
            self._bad_rows.append(BadRow(record.line, reason))
        self.reject(record, reason)

    def flush(self) -> None:
        """Store the batch, in one transaction; in a dry run, only find out what it comes to."""
        again = {key: self._batch.pop(key) for key in self._stored_before}
        is_dry = self._log is None
        with self._database.reading() if is_dry else self._database.writing() as connection:
            if not is_dry and any(
                e.status in BLOCKED for e in (*self._batch.values(), *again.values())
            ):
                keep_intents_out(connection)
            plan = plan_entries(connection, self._batch, self._tally, pseudonyms=self._pseudonyms)
            self._turn_away(plan)
            self._note(plan)
            if self._log:
                self._log.store(connection, plan)
                if again:  # counted as repeated
                    plan = plan_entries(connection, again, Tally(), pseudonyms=self._pseudonyms)
                    self._log.store(connection, plan, again=True)
                self._log.count(connection, self._counts())
        self._batch.clear()
        self._stored_before.clear()
        self._without_consent.clear()
        self._batch_characters = 0

    def _turn_away(self, plan: Plan) -> None:
        """Refuse who is new and whose consent nobody named."""
        for key, record in self._without_consent.items():
            if key in plan.added and not plan.added[key].consent_source:
                plan.forget(key)
                self._tally.added -= 1
                self._seen.forget(key)
                self._refuse(
                    record,
                    "consent_source: says nowhere where this reader agreed; "
                    "fill it in, or add --consent-source.",
                )

    def _note(self, plan: Plan) -> None:
        """Keep for the report what is changed, and who is kept out."""
        for key, change in plan.changed.items():
            self._changed_fields.update(change.values.keys())
            if len(self._changed) < KEPT_REPORTS:
                self._changed.append(ChangedReader(self._batch[key].address.email, change.values))
        for key, reason in plan.kept_out.items():
            if len(self._kept_out) >= KEPT_REPORTS:
                break
            self._kept_out.append((self._batch[key].address.email, reason))

    def _counts(self) -> dict[str, Any]:
        return {
            "rows": self._rows,
            "added": self._tally.added,
            "updated": self._tally.updated,
            "unchanged": self._tally.unchanged,
            "repeated": self._repeated,
            "kept_out": dict(self._tally.kept_out),
            "bad": self._bad,
        }

    def report(self) -> ImportReport:
        """Sum up."""
        return ImportReport(
            number=self._log.number if self._log else None,
            service=self._table.service.name if self._table.service else "",
            **self._counts(),
            bad_rows=tuple(sorted(self._bad_rows, key=lambda row: row.line)),
            repeated_lines=tuple(self._repeated_lines),
            changed_fields=dict(self._changed_fields),
            changed=tuple(self._changed),
            kept_out_readers=tuple(self._kept_out),
            own_fields=tuple(self._own_fields),
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
