"""`newsletter subscribers import|imports|undo`: files of readers, and taking them back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TextIO

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from newsletter.audience.foreign import parse_renaming
from newsletter.audience.importer import ImportReport, import_subscribers
from newsletter.audience.imports import ImportRecord, find_import, list_imports, undo_import
from newsletter.audience.pseudonyms import Pseudonyms
from newsletter.cli.asked import JsonOption, YesOption, confirm
from newsletter.cli.session import Session
from newsletter.cli.tables import shown_count, shown_moment
from newsletter.cli.writing import build_write_error
from newsletter.errors import RefusedError

_SHOWN_ROWS = 20
_STATES = {
    "running": "unfinished",  # or under way: from here nobody can tell
    "finished": "finished",
    "undoing": "undone in part",
    "undone": "undone",
    "closed": "too old to be undone",
}


def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV file, or - for standard input.")],
    consent_source: Annotated[
        str,
        typer.Option(
            metavar="WHERE", help='Where its readers agreed to be mailed: "web form 2025".'
        ),
    ] = "",
    mapped: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="THEIRS=OURS",
            help='What a column is here: "Their Column=email"; may be repeated.',
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change, change nothing.")
    ] = False,
    rejects: Annotated[
        Path | None, typer.Option(help="New file for all bad rows, to be mended and imported.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Import readers from a CSV file; bad rows are reported and the others go on.

    Exports of Mailchimp, Substack, Ghost and listmonk are recognised. Ends with 1 only when
    every row was bad.
    """
    session: Session = ctx.obj
    source = sys.stdin.buffer if file == Path("-") else file
    renamed = dict(map(parse_renaming, mapped or ()))
    pseudonyms = Pseudonyms(session.settings.secret_keys)
    with (
        session.database() as database,
        _open_rejects(rejects) as bad_rows,
        _show_reading(session, source) as on_progress,
    ):
        report = import_subscribers(
            database,
            source,
            now=session.now(),
            pseudonyms=pseudonyms,
            consent_source=consent_source,
            needs_consent=True,
            renamed=renamed,
            made_by=session.actor.who,
            dry_run=dry_run,
            on_progress=on_progress,
            rejects=bad_rows,
        )
    if as_json:
        session.print_json(report.to_document())
    else:
        _print_report(session, report, rejects)
    if report.bad and report.bad == report.rows:
        raise typer.Exit(1)


def imports(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List the imports there were, with the number under which each can be undone."""
    session: Session = ctx.obj
    with session.database() as database:
        found = list_imports(database)
    if as_json:
        session.print_json([_build_document(record) for record in found])
        return
    if not found:
        session.out.print("Nothing was imported yet.")
        return
    zone = session.settings.publication.zone
    table = Table("Import", "File", "When", "By", "State", "Added", "Updated", "Bad")
    for record in found:
        counts = record.counts
        table.add_row(
            str(record.number),
            Text(record.file),
            shown_moment(record.started_at, zone),
            Text(record.made_by),
            _STATES[record.state],
            *(f"{counts.get(name, 0):,}" for name in ("added", "updated", "bad")),
        )
    session.out.print(table)
    if any(record.state == "running" for record in found):
        session.out.print(
            "An unfinished one is under way, or was killed: import its file again, "
            "or undo what it did."
        )


def undo(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(metavar="IMPORT", help="The import's number.")],
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take back what an import added and changed, but for what was changed or mailed since."""
    session: Session = ctx.obj
    with session.database() as database:
        with database.reading() as connection:
            record = find_import(connection, number)
        if not yes and record.state not in ("undone", "closed"):
            counts = record.counts
            confirm(
                session,
                f"Undo the import of {record.file or 'standard input'} "
                f"({counts.get('added', 0):,} added, {counts.get('updated', 0):,} updated)?",
                declined="Nothing was undone.",
                as_json=as_json,
            )
        with _show_undoing(session) as on_progress:
            report = undo_import(
                database, number, now=session.now(), by=session.actor, on_progress=on_progress
            )
    if as_json:
        session.print_json(
            {
                "import": number,
                "removed": report.removed,
                "restored": report.restored,
                "kept": report.kept_total,
                "kept_readers": [{"email": e, "reason": reason} for e, reason in report.kept],
            }
        )
        return
    session.out.print(
        f"Import {number} is undone: {shown_count(report.removed, 'reader')} removed, "
        f"{report.restored:,} given their old values again. "
        "Whom it suppressed stays suppressed.",
        soft_wrap=True,
    )
    if report.kept_total:
        table = Table("Address", "Why", title="Not taken back", title_justify="left")
        for email, why in report.kept[:_SHOWN_ROWS]:
            table.add_row(Text(email), Text(why))
        session.out.print(table)
        _print_rest(session, report.kept_total - table.row_count)


# -- progress and files ----------------------------------------------------------------------------


@contextmanager
def _show_reading(
    session: Session, source: Path | BinaryIO
) -> Iterator[Callable[[int], None] | None]:
    """Show how far a file has been read, if anybody watches."""
    if not session.err.is_terminal:
        yield None
        return
    size = source.stat().st_size if isinstance(source, Path) and source.is_file() else None
    columns = (TextColumn("Importing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=session.err, transient=True) as progress:
        task = progress.add_task("", total=size)
        yield lambda read_bytes: progress.update(task, completed=read_bytes)


@contextmanager
def _show_undoing(session: Session) -> Iterator[Callable[[int], None]]:
    columns = (SpinnerColumn(), TextColumn("Undoing: {task.completed:,} readers seen"))
    watched = session.err.is_terminal
    with Progress(*columns, console=session.err, transient=True, disable=not watched) as progress:
        task = progress.add_task("")
        yield lambda seen: progress.update(task, completed=seen)


@contextmanager
def _open_rejects(path: Path | None) -> Iterator[TextIO | None]:
    """Open a new file for rejected rows; it goes again if there were none."""
    if path is None:
        yield None
        return
    try:
        stream = path.open("x", encoding="utf-8-sig", newline="")
    except FileExistsError:
        raise RefusedError("exists already", file=path, mend="name another file") from None
    except OSError as error:
        raise build_write_error(path, error) from None
    try:
        with stream:
            yield stream
    except OSError as error:
        raise build_write_error(path, error) from None
    finally:
        if path.stat().st_size == 0:
            path.unlink()


# -- what is shown ---------------------------------------------------------------------------------


def _build_document(record: ImportRecord) -> dict[str, Any]:
    return {
        "import": record.number,
        "file": record.file,
        "state": record.state,
        "started_at": record.started_at.isoformat(),
        "ended_at": record.ended_at and record.ended_at.isoformat(),
        "by": record.made_by,
        "consent_source": record.consent_source,
        "counts": dict(record.counts),
    }


def _print_report(session: Session, report: ImportReport, rejects: Path | None) -> None:
    title = "Dry run: nothing was changed" if report.number is None else f"Import {report.number}"
    title += f", {report.service} export" if report.service else ""
    session.out.print(Text(f"{title}."))
    table = Table(show_footer=True)
    table.add_column("Rows", footer="all")
    table.add_column("Number", footer=f"{report.rows:,}", justify="right")
    for label, count in (
        ("added", report.added),
        ("updated", report.updated),
        ("unchanged", report.unchanged),
        ("repeated in the file", report.repeated),
        *((f"kept out: {reason}", count) for reason, count in sorted(report.kept_out.items())),
        ("bad", report.bad),
    ):
        if count:
            table.add_row(label, f"{count:,}")
    session.out.print(table)
    if report.own_fields:
        names = ", ".join(f"fields.{name}" for name in report.own_fields)
        session.out.print(Text(f"Own columns, for templates: {names}"))
    if report.number is None:
        _print_changes(session, report)
    elif report.added or report.updated:
        session.out.print(f"`newsletter subscribers undo {report.number}` takes it back.")
    if not report.bad:
        return
    bad = Table("Line", "Reason", title="Bad rows", title_justify="left")
    for row in report.bad_rows[:_SHOWN_ROWS]:
        bad.add_row(str(row.line), Text(row.reason))
    session.out.print(bad)
    if (more := report.bad - bad.row_count) > 0:
        session.out.print(f"and {more:,} more" + ("" if rejects else "; --rejects FILE writes all"))
    if rejects:
        session.out.print(Text(f"All bad rows are in {rejects}; mend it and import it."))


def _print_changes(session: Session, report: ImportReport) -> None:
    """Say what a dry run would change, and whom it would leave out."""
    if report.changed:
        fields = ", ".join(f"{name} {n:,}" for name, n in sorted(report.changed_fields.items()))
        title = f"Changes, by field: {fields}"
        table = Table("Address", "Changes", title=title, title_justify="left")
        for reader in report.changed[:_SHOWN_ROWS]:
            table.add_row(Text(reader.email), Text(_shown_values(reader.values)))
        session.out.print(table)
        _print_rest(session, report.updated - table.row_count)
    if report.kept_out_readers:
        table = Table("Address", "Why", title="Kept out", title_justify="left")
        for email, reason in report.kept_out_readers[:_SHOWN_ROWS]:
            table.add_row(Text(email), reason)
        session.out.print(table)
        _print_rest(session, sum(report.kept_out.values()) - table.row_count)


def _shown_values(values: Mapping[str, tuple[Any, Any]]) -> str:
    return "; ".join(
        f"{name}: {_shown(before)} → {_shown(after)}" for name, (before, after) in values.items()
    )


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "nothing" if value in (None, "") else str(value)


def _print_rest(session: Session, more: int) -> None:
    if more > 0:
        session.out.print(f"and {more:,} more")
