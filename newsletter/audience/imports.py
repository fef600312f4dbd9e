"""The imports there were: what each brought and changed, and how it is taken back.

    running ─▶ finished ─▶ undoing ─▶ undone        (an import that was killed stays running)
          └──────┴─▶ closed    when the values before it are no longer kept (`retention.imports`)

A reader who was brought bears the import's number, and every row that an import writes has
its `started_at` as `updated_at`: a reader with another `updated_at` was changed since. Of
readers who were there before, the values before and after are kept, field by field. So an
undo is exact, whatever happened meanwhile: it takes back what still stands, leaves what
somebody else has touched, and says so. Nobody who was in the audience of an edition since is
removed. What an import suppressed stays suppressed: who left elsewhere has left.

An undo works in small transactions, and goes on where it was killed. The importer commits
nothing more once an undo has begun.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, insert, select, text, update

from newsletter.audience.entry import Plan, build_values, read_values, store_plan
from newsletter.audience.suppression import keep_audiences_out
from newsletter.errors import AudienceError, RefusedError
from newsletter.store import Database
from newsletter.store.audit import Actor, note
from newsletter.store.tables import (
    deliveries,
    editions,
    import_changes,
    imports,
    subscribers,
    to_micros,
    write_document,
)

KEPT_REPORTS = 1_000
"""How many readers a report names; all are counted."""
_BATCH_ROWS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRecord:
    """One import, as the list of them has it."""

    number: int
    file: str
    state: str
    """running (unless it is under way: killed), finished, undoing, undone, closed."""
    started_at: datetime
    ended_at: datetime | None
    made_by: str
    consent_source: str
    counts: Mapping[str, Any]
    """What became of its rows, as in `ImportReport`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoReport:
    """What an undo did."""

    removed: int
    """Readers whom the import had brought."""
    restored: int
    """Readers who were there before, and have all or some of their old values again."""
    kept: tuple[tuple[str, str], ...]
    """Address and reason of who was not taken back, or not wholly; the first of them."""
    kept_total: int


class ImportLog:
    """Writes down what an import does, in the transactions of the import itself."""

    def __init__(self, database: Database, number: int, now: datetime) -> None:
        self.number = number
        self._database = database
        self._now = now

    def store(self, connection: Connection, plan: Plan, *, again: bool = False) -> None:
        """Carry out a plan, and keep what is needed to take it back.

        `again` where this import may have changed some of these readers before.
        """
        store_plan(connection, plan, self._now, import_id=self.number)
        changes = [c for c in plan.changed.values() if c.import_id != self.number]
        if not changes:
            return
        earlier = self._read_earlier(connection, [c.subscriber_id for c in changes], again)
        rows = []
        for change in changes:
            first = earlier.get(change.subscriber_id)
            values: dict[str, Any] = {name: list(pair) for name, pair in change.values.items()}
            if first:
                for name, (before, _) in first.changes.items():
                    values[name] = [before, values[name][1] if name in values else _]
            rows.append(
                {
                    "import_id": self.number,
                    "subscriber_id": change.subscriber_id,
                    "updated_at": to_micros(first.updated_at if first else change.updated_at),
                    "changes": write_document(values),
                }
            )
        connection.execute(_KEEP_CHANGE, rows)

    def _read_earlier(
        self, connection: Connection, readers: list[int], again: bool
    ) -> dict[int, Row[Any]]:
        if not again:
            return {}
        query = select(import_changes).where(
            import_changes.c.import_id == self.number, import_changes.c.subscriber_id.in_(readers)
        )
        return {row.subscriber_id: row for row in connection.execute(query)}

    def count(self, connection: Connection, counts: Mapping[str, Any]) -> None:
        """Keep how far the import is; raises `AudienceError` where it is being undone."""
        query = update(imports).where(imports.c.id == self.number, imports.c.state == "running")
        if not connection.execute(query.values(counts=dict(counts))).rowcount:
            raise AudienceError(
                f"import {self.number} was undone while it ran", mend="import the file again"
            )

    def finish(self, now: datetime) -> None:
        """Say that all rows were read."""
        with self._database.writing() as connection:
            query = update(imports).where(imports.c.id == self.number, imports.c.state == "running")
            connection.execute(query.values(state="finished", ended_at=now))


def open_log(
    database: Database, file: str, consent_source: str, made_by: str, now: datetime
) -> ImportLog:
    """Give an import its number."""
    with database.writing() as connection:
        number: int = connection.execute(
            insert(imports)
            .values(
                file=file,
                state="running",
                started_at=now,
                made_by=made_by,
                consent_source=consent_source,
                counts={},
            )
            .returning(imports.c.id)
        ).scalar_one()
        if made_by:
            note(connection, Actor(who=made_by), "readers.import", f"import {number}", now=now)
    return ImportLog(database, number, now)


def list_imports(database: Database) -> list[ImportRecord]:
    """List the imports there were, the latest first."""
    with database.reading() as connection:
        rows = connection.execute(select(imports).order_by(imports.c.id.desc())).all()
    return [_build_record(row) for row in rows]


def find_import(connection: Connection, number: int) -> ImportRecord:
    """Find an import by its number; raises `RefusedError` where there is none."""
    row = connection.execute(select(imports).where(imports.c.id == number)).one_or_none()
    if row is None:
        raise RefusedError(
            f"there is no import {number}", mend="`newsletter subscribers imports` lists them"
        )
    return _build_record(row)


def undo_import(
    database: Database,
    number: int,
    *,
    now: datetime,
    by: Actor | None = None,
    on_progress: Callable[[int], None] = lambda _done: None,
) -> UndoReport:
    """Take back what an import brought and changed, as far as nobody has touched it since.

    `on_progress` is told how many readers were seen so far. Raises `RefusedError` for an
    import that is not there or was undone before; one whose undo was killed goes on.
    """
    with database.writing() as connection:
        record = find_import(connection, number)
        if record.state == "undone":
            assert record.ended_at is not None
            raise RefusedError(
                f"import {number} was undone on {record.ended_at:%Y-%m-%d at %H:%M} UTC"
            )
        if record.state == "closed":
            raise RefusedError(
                f"import {number} is older than retention.imports: what was there before it is "
                "no longer known"
            )
        connection.execute(update(imports).where(imports.c.id == number).values(state="undoing"))
        if by:
            note(connection, by, "readers.undo-import", f"import {number}", now=now)
    run = _Undo(database, record, now, on_progress)
    run.remove_readers()
    run.restore_values()
    with database.writing() as connection:
        connection.execute(
            update(imports).where(imports.c.id == number).values(state="undone", ended_at=now)
        )
    return run.report()


class _Undo:
    """One undo as it goes on."""

    def __init__(
        self,
        database: Database,
        record: ImportRecord,
        now: datetime,
        on_progress: Callable[[int], None],
    ) -> None:
        self._database, self._record, self._now = database, record, now
        self._on_progress = on_progress
        self._seen = self._removed = self._restored = self._kept_total = 0
        self._kept: list[tuple[str, str]] = []

    def remove_readers(self) -> None:
        """Remove who came with the import, is as it left them, and was in no audience since."""
        after = 0
        while True:
            with self._database.writing() as connection:
                keep_audiences_out(connection)
                rows = connection.execute(self._brought(after)).all()
                if not rows:
                    return
                unchanged = []
                for row in rows:
                    if row.was_enrolled:
                        self._keep(row.email, "was in the audience of an edition since")
                    elif row.updated_at != self._record.started_at:
                        self._keep(row.email, "was changed since")
                    else:
                        unchanged.append(row.id)
                connection.execute(delete(subscribers).where(subscribers.c.id.in_(unchanged)))
            self._removed += len(unchanged)
            after = rows[-1].id
            self._tell(len(rows))

    def _brought(self, after: int) -> Any:
        _s = subscribers.c
        # An edition's Date, the moment its audience was frozen, is in whole seconds.
        since = self._record.started_at - timedelta(seconds=1)
        enrolled = exists().where(
            deliveries.c.edition_id.in_(select(editions.c.id).where(editions.c.dated_at >= since)),
            deliveries.c.subscriber_id == _s.id,
        )
        return (
            select(_s.id, _s.email, _s.updated_at, enrolled.label("was_enrolled"))
            .where(_s.import_id == self._record.number, _s.id > after)
            .order_by(_s.id)
            .limit(_BATCH_ROWS)
        )

    def restore_values(self) -> None:
        """Give readers who were there before their old values again, where the new ones stand."""
        after = 0
        while True:
            with self._database.writing() as connection:
                query = (
                    select(import_changes)
                    .where(
                        import_changes.c.import_id == self._record.number,
                        import_changes.c.subscriber_id > after,
                    )
                    .order_by(import_changes.c.subscriber_id)
                    .limit(_BATCH_ROWS)
                )
                rows = connection.execute(query).all()
                if not rows:
                    return
                self._restore(connection, rows)
            after = rows[-1].subscriber_id
            self._tell(len(rows))

    def _restore(self, connection: Connection, changed: list[Row[Any]] | Any) -> None:
        numbers = [row.subscriber_id for row in changed]
        query = select(subscribers).where(subscribers.c.id.in_(numbers))
        found = {row.id: row for row in connection.execute(query)}
        written = []
        for change in changed:
            reader = found.get(change.subscriber_id)
            if reader is None:
                continue
            values = read_values(reader)
            old = {
                name: before
                for name, (before, after) in change.changes.items()
                if values.get(name) == after
            }
            if len(old) < len(change.changes):
                names = ", ".join(sorted(change.changes.keys() - old.keys()))
                self._keep(reader.email, f"has other values since: {names}")
            if not old:
                continue
            untouched = reader.updated_at == self._record.started_at
            at = change.updated_at if untouched else self._now
            row = build_values(reader.id, values | old)
            written.append({**row, "updated_at": to_micros(at)})
        if written:
            connection.execute(_RESTORE, written)
        connection.execute(
            delete(import_changes).where(
                import_changes.c.import_id == self._record.number,
                import_changes.c.subscriber_id.in_(numbers),
            )
        )
        self._restored += len(written)

    def _keep(self, email: str, why: str) -> None:
        self._kept_total += 1
        if len(self._kept) < KEPT_REPORTS:
            self._kept.append((email, why))

    def _tell(self, rows: int) -> None:
        self._seen += rows
        self._on_progress(self._seen)

    def report(self) -> UndoReport:
        return UndoReport(
            removed=self._removed,
            restored=self._restored,
            kept=tuple(self._kept),
            kept_total=self._kept_total,
        )


def _build_record(row: Row[Any]) -> ImportRecord:
    return ImportRecord(
        number=row.id,
        file=row.file,
        state=row.state,
        started_at=row.started_at,
        ended_at=row.ended_at,
        made_by=row.made_by,
        consent_source=row.consent_source,
        counts=row.counts,
    )


_KEEP_CHANGE = text(
    "INSERT INTO import_changes (import_id, subscriber_id, updated_at, changes)"
    " VALUES (:import_id, :subscriber_id, :updated_at, :changes)"
    " ON CONFLICT (import_id, subscriber_id) DO UPDATE SET changes = excluded.changes"
)
_RESTORE = text(
    "UPDATE subscribers SET email = :email, name = :name, choices = :choices, fields = :fields,"
    " consent_at = :consent_at, consent_source = :consent_source, updated_at = :updated_at"
    " WHERE id = :id"
)
