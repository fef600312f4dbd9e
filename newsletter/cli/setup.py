"""Starting out: init, and the database's version."""

from __future__ import annotations

import os
import secrets
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from newsletter.cli.session import Session
from newsletter.cli.tables import shown_count
from newsletter.errors import RefusedError, TemporaryError

if TYPE_CHECKING:
    from newsletter.store import Database

db = typer.Typer(help="The database.", no_args_is_help=True)

_FILES = ("newsletter.toml", "subscribers.csv", "briefs/welcome.txt", "notes/example.md")
_TEMPLATES_NOTE = """\
A file here comes before the shipped template of the same name. To change one part, copy it
from the shipped templates (`partials/…`) to the same place here, and edit the copy;
`newsletter preview` shows what it does.
"""


def init(
    ctx: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make or to fill.")],
) -> None:
    """Make a publication to start from: settings, a key, a sample brief, one reader."""
    session: Session = ctx.obj
    taken = [name for name in (*_FILES, ".env") if (directory / name).exists()]
    if taken:
        raise RefusedError(
            f"{directory / taken[0]} exists already", mend="name an empty folder, or remove it"
        )
    try:
        for name in _FILES:
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with as_file(files("newsletter.cli") / "starter" / name) as source:
                target.write_bytes(source.read_bytes())
        (directory / "templates").mkdir(exist_ok=True)
        (directory / "templates" / "README.txt").write_text(_TEMPLATES_NOTE, encoding="utf-8")
        _write_key(directory / ".env")
    except OSError as error:
        raise RefusedError(
            f"cannot be made ({error.strerror})", file=directory, mend="name another folder"
        ) from None
    session.out.print(
        f"Made a publication in {escape(str(directory))}. Next:\n"
        f"  cd {escape(str(directory))}\n"
        "  newsletter subscribers import subscribers.csv\n"
        "  newsletter preview --open\n"
        "  newsletter send            (into the folder outbox, until you name a relay)",
        soft_wrap=True,
    )


def _write_key(path: Path) -> None:
    """Write the signing key, readable by its owner alone."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(f"NEWSLETTER_SECRET_KEY={secrets.token_urlsafe(32)}\n")


@db.command()
def upgrade(ctx: typer.Context) -> None:
    """Bring the database to this program's version; safe to repeat."""
    from newsletter.store.database import connect_database, shown_url, upgrade_database

    session: Session = ctx.obj
    url = session.settings.database_url
    database = connect_database(url)
    try:
        upgrade_database(database)
        _index(database)
    finally:
        database.close()
    session.out.print(f"{escape(shown_url(url))} is up to date.", soft_wrap=True)


@db.command()
def reindex(ctx: typer.Context) -> None:
    """Make the index of the archive's search anew, edition by edition."""
    from newsletter.editions.search import empty_index

    session: Session = ctx.obj
    with session.database() as database:
        with database.writing() as connection:
            empty_index(connection)
        count = _index(database)
    session.out.print(f"The search looks into {shown_count(count, 'edition')}.")


def _index(database: Database) -> int:
    """Put into the search what is not in it, an edition a transaction; return how many."""
    from newsletter.editions.search import index_edition, list_unindexed

    with database.reading() as connection:
        missing = list_unindexed(connection)
    for edition_id in missing:
        with database.writing() as connection:
            index_edition(connection, edition_id)
    return len(missing)


@db.command()
def prune(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Forget what is older than [retention] says; small steps, which no send waits for."""
    from newsletter.delivery.retention import prune as forget

    session: Session = ctx.obj
    with session.database() as database:
        done = forget(database, session.settings.retention, now=session.now())
    if as_json:
        session.print_json({"forgotten": done.rows, "has_traces": done.has_traces})
    else:
        forgotten = ", ".join(f"{what} {rows:,}" for what, rows in done.rows.items() if rows)
        session.out.print(f"Forgotten: {forgotten or 'nothing was old enough'}.")
    if done.has_traces:
        raise TemporaryError(
            "the database's file may hold traces of erased readers while an edition is being sent",
            mend="run the same command once it is sent",
        )
