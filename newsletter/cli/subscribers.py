"""`newsletter subscribers import|export|list|add|remove`."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TextIO

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from newsletter.audience.columns import build_columns, parse_row
from newsletter.audience.exporter import export_subscribers
from newsletter.audience.importer import ImportReport, import_subscribers
from newsletter.audience.reader import Status, Subscriber
from newsletter.audience.subscribers import (
    add_subscriber,
    count_by_status,
    find_subscriber,
    list_subscribers,
    remove_subscriber,
)
from newsletter.cli.session import Session
from newsletter.cli.tables import shown_readers
from newsletter.cli.writing import build_write_error
from newsletter.errors import RefusedError

subscribers = typer.Typer(
    name="subscribers", help="The readers: import, export, list, add, remove.", no_args_is_help=True
)

_SHOWN_BAD_ROWS = 20
_SHOWN_READERS = 100


@subscribers.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV file, or - for standard input.")],
    rejects: Annotated[
        Path | None, typer.Option(help="New file for all bad rows, to be mended and imported.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Import readers from a CSV file; bad rows are reported and the others go on.

    Ends with 1 only when every row was bad.
    """
    session: Session = ctx.obj
    source = sys.stdin.buffer if file == Path("-") else file
    with (
        session.database() as database,
        _open_rejects(rejects) as bad_rows,
        _show_progress(session, source) as on_progress,
    ):
        report = import_subscribers(
            database, source, now=session.now(), on_progress=on_progress, rejects=bad_rows
        )
    if as_json:
        session.print_json(report.to_document())
    else:
        _print_report(session, report, rejects)
    if report.bad and report.bad == report.rows:
        raise typer.Exit(1)


@subscribers.command("export")
def export(
    ctx: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="File; default standard output.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only readers of this status.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Export readers as CSV that a spreadsheet opens safely and `import` reads back."""
    session: Session = ctx.obj
    with session.database() as database:
        if file is None:
            export_subscribers(database, sys.stdout, status=status)
            return
        with _replace_file(file, force=force) as stream:
            count = export_subscribers(database, stream, status=status)
    session.err.print(Text(f"{count:,} readers written to {file}."))


@subscribers.command("list")
def list_(
    ctx: typer.Context,
    status: Annotated[Status | None, typer.Option(help="Only readers of this status.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Most readers shown; default 100, with --json all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list as JSON.")] = False,
) -> None:
    """List readers in the order in which they came."""
    session: Session = ctx.obj
    with session.database() as database:
        readers = list_subscribers(database, status=status)
        if as_json:
            _print_list_as_json(islice(readers, limit))
            return
        table = Table("Address", "Name", "Status", "Since")
        table.columns[0].overflow = "fold"
        for reader in islice(readers, limit or _SHOWN_READERS):
            table.add_row(
                Text(reader.email),
                Text(reader.name),
                reader.status,
                f"{reader.created_at:%Y-%m-%d}",
            )
        counts = count_by_status(database)
    total = counts[status] if status else sum(counts.values())
    session.out.print(table)
    session.out.print(f"{table.row_count:,} of {total:,} shown ({shown_readers(counts)})")


@subscribers.command("add")
def add(
    ctx: typer.Context,
    address: Annotated[str, typer.Argument(help='Address, or "Name <address>".')],
    name: Annotated[str, typer.Option(help="The reader's name.")] = "",
    consent_source: Annotated[str, typer.Option(help="Where the reader asked for it.")] = "",
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="COLUMN=VALUE", help="Any other column of the CSV; may be repeated."
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Bring back a reader who left and asked to return.")
    ] = False,
) -> None:
    """Add a reader, or give an active one other values."""
    session: Session = ctx.obj
    pairs = [_split_pair(value) for value in values or ()]
    columns = build_columns(["email", "name", "consent_source", *[column for column, _ in pairs]])
    entry = parse_row(columns, [address, name, consent_source, *[value for _, value in pairs]])
    with session.database() as database:
        known = find_subscriber(database, entry.address.email)
        stored = add_subscriber(database, entry, now=session.now(), again=again)
    if known is None:
        said = "added"
    elif known == stored:
        said = "is on the list already; nothing changed"
    else:
        said = "updated" if known.status == stored.status else "brought back"
    session.out.print(Text(f"{stored.email} {said} ({stored.status})."))


@subscribers.command("remove")
def remove(
    ctx: typer.Context,
    addresses: Annotated[list[str], typer.Argument(help="Addresses.", metavar="ADDRESS...")],
) -> None:
    """Unsubscribe readers, and keep their addresses out of every later import."""
    session: Session = ctx.obj
    with session.database() as database:
        for address in addresses:
            removed = remove_subscriber(database, address, now=session.now())
            said = "removed" if removed else "was no reader; it is kept out from now on"
            session.out.print(Text(f"{address} {said}."))


def _split_pair(value: str) -> tuple[str, str]:
    column, equals, content = value.partition("=")
    if not equals:
        raise typer.BadParameter(f"{value!r} has no =", param_hint="--set")
    return column, content


@contextmanager
def _show_progress(
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


@contextmanager
def _replace_file(path: Path, *, force: bool) -> Iterator[TextIO]:
    """Write a file that is there whole or not at all, readable by its owner alone."""
    if path.exists() and not force:
        raise RefusedError("exists already", file=path, mend="name another file, or add --force")
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        unfinished = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8-sig", newline="") as stream:
                yield stream
        except BaseException:
            unfinished.unlink()
            raise
        unfinished.replace(path)
    except OSError as error:
        raise build_write_error(path, error) from None


def _print_list_as_json(readers: Iterable[Subscriber]) -> None:
    """Print a JSON list, one reader a line: however long it is, it is never held whole."""
    separator = "[\n"
    for reader in readers:
        sys.stdout.write(separator + json.dumps(_build_document(reader), ensure_ascii=False))
        separator = ",\n"
    sys.stdout.write("[]\n" if separator == "[\n" else "\n]\n")


def _build_document(reader: Subscriber) -> dict[str, Any]:
    return {
        "id": reader.id,
        "email": reader.email,
        "name": reader.name,
        "status": reader.status,
        "choices": reader.choices.to_document(),
        "fields": dict(reader.fields),
        "consent_at": reader.consent_at and reader.consent_at.isoformat(),
        "consent_source": reader.consent_source,
        "created_at": reader.created_at.isoformat(),
    }


def _print_report(session: Session, report: ImportReport, rejects: Path | None) -> None:
    table = Table(title="Import", title_justify="left", show_footer=True)
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
    if not report.bad:
        return
    bad = Table("Line", "Reason", title="Bad rows", title_justify="left")
    for row in report.bad_rows[:_SHOWN_BAD_ROWS]:
        bad.add_row(str(row.line), Text(row.reason))
    session.out.print(bad)
    if (more := report.bad - bad.row_count) > 0:
        session.out.print(f"and {more:,} more" + ("" if rejects else "; --rejects FILE writes all"))
    if rejects:
        session.out.print(Text(f"All bad rows are in {rejects}; mend it and import it."))
