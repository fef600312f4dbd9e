"""`newsletter subscribers`: the group, and export, list, add, remove."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.table import Table
from rich.text import Text

from newsletter.audience.columns import build_columns, parse_row
from newsletter.audience.exporter import export_subscribers
from newsletter.audience.holdings import read_holdings
from newsletter.audience.pseudonyms import Pseudonyms
from newsletter.audience.reader import Status, Subscriber
from newsletter.audience.segment import parse_segment
from newsletter.audience.subscribers import (
    Selection,
    add_subscriber,
    count_by_status,
    count_subscribers,
    find_subscriber,
    list_subscribers,
    remove_subscriber,
)
from newsletter.cli.asked import SegmentOption
from newsletter.cli.cleaning import clean
from newsletter.cli.erasing import erase
from newsletter.cli.importing import import_, imports, undo
from newsletter.cli.session import Session
from newsletter.cli.tables import shown_readers
from newsletter.cli.writing import build_write_error
from newsletter.errors import RefusedError
from newsletter.store import Database

subscribers = typer.Typer(
    name="subscribers",
    help="The readers: import, export, list, add, remove, clean, erase.",
    no_args_is_help=True,
)
subscribers.command("import")(import_)
subscribers.command("imports")(imports)
subscribers.command("undo")(undo)
subscribers.command("erase")(erase)
subscribers.command("clean")(clean)

_SHOWN_READERS = 100


@subscribers.command("export")
def export(
    ctx: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="File; default standard output.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only readers of this status.")] = None,
    segment: SegmentOption = "",
    everything: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="All that is held about one address, as JSON."),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Export readers as CSV that a spreadsheet opens safely and `import` reads back."""
    session: Session = ctx.obj
    if everything and (status or segment):
        raise typer.BadParameter("is about one address alone", param_hint="--everything")
    which = _select(session, status, segment)
    with session.database() as database:
        if everything:
            _export_everything(session, database, everything, file, force=force)
            return
        if file is None:
            export_subscribers(database, sys.stdout, which)
            return
        with _replace_file(file, force=force) as stream:
            count = export_subscribers(database, stream, which)
    session.err.print(Text(f"{count:,} readers written to {file}."))


@subscribers.command("list")
def list_(
    ctx: typer.Context,
    status: Annotated[Status | None, typer.Option(help="Only readers of this status.")] = None,
    segment: SegmentOption = "",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Most readers shown; default 100, with --json all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list as JSON.")] = False,
) -> None:
    """List readers in the order in which they came."""
    session: Session = ctx.obj
    with session.database() as database:
        which = _select(session, status, segment)
        readers = list_subscribers(database, which)
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
        total = count_subscribers(database, which)
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
        stored = add_subscriber(
            database,
            entry,
            now=session.now(),
            pseudonyms=Pseudonyms(session.settings.secret_keys),
            again=again,
        )
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
    pseudonyms = Pseudonyms(session.settings.secret_keys)
    with session.database() as database:
        for address in addresses:
            removed = remove_subscriber(database, address, now=session.now(), pseudonyms=pseudonyms)
            said = "removed" if removed else "was no reader; it is kept out from now on"
            session.out.print(Text(f"{address} {said}."))


def _select(session: Session, status: Status | None, segment: str) -> Selection:
    parsed = parse_segment(segment) if segment else None
    return Selection(status=status, segment=parsed, now=session.now())


def _export_everything(
    session: Session, database: Database, address: str, file: Path | None, *, force: bool
) -> None:
    """Write what is held about one address; the answer to "what do you know about me?"."""
    with database.reading() as connection:
        pseudonyms = Pseudonyms(session.settings.secret_keys)
        found = read_holdings(connection, address, pseudonyms=pseudonyms)
    if found is None:
        raise RefusedError(
            f"nothing is held about {address}", mend="see `newsletter subscribers list`"
        )
    if file is None:
        session.print_json(found)
        return
    with _replace_file(file, force=force, encoding="utf-8") as stream:
        stream.write(json.dumps(found, ensure_ascii=False, indent=2) + "\n")
    session.err.print(Text(f"All that is held about {address} is in {file}."))


def _split_pair(value: str) -> tuple[str, str]:
    column, equals, content = value.partition("=")
    if not equals:
        raise typer.BadParameter(f"{value!r} has no =", param_hint="--set")
    return column, content


@contextmanager
def _replace_file(path: Path, *, force: bool, encoding: str = "utf-8-sig") -> Iterator[TextIO]:
    """Write a file that is there whole or not at all, readable by its owner alone."""
    if path.exists() and not force:
        raise RefusedError("exists already", file=path, mend="name another file, or add --force")
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        unfinished = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding=encoding, newline="") as stream:
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
        sys.stdout.write(separator + json.dumps(reader.to_document(), ensure_ascii=False))
        separator = ",\n"
    sys.stdout.write("[]\n" if separator == "[\n" else "\n]\n")
