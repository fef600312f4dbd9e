"""The web copy of editions: web."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from newsletter.cli.asked import JsonOption
from newsletter.cli.session import Session
from newsletter.cli.tables import shown_count
from newsletter.errors import RefusedError
from newsletter.press import Press
from newsletter.press.site import write_web
from newsletter.render.site import Written


def web(
    ctx: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Folder to write to; default web.folder."),
    ] = None,
    day: Annotated[
        datetime | None,
        typer.Option(
            "--date",
            formats=["%Y-%m-%d"],
            metavar="YYYY-MM-DD",
            help="Only the edition of this date and those beside it; default all.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the web copy: a page of every edition that was approved, of every brief, and feeds."""
    session: Session = ctx.obj
    with session.database() as database:
        press = Press(session.settings, database, session.now)
        into = folder or press.web_folder
        if into is None:
            raise RefusedError(
                "no folder is named",
                mend="add one, `newsletter web DIR`, or set web.folder in newsletter.toml",
            )
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        watched = session.err.is_terminal
        with Progress(
            *columns, console=session.err, transient=True, disable=not watched
        ) as progress:
            task = progress.add_task("Writing editions", total=None)

            def show(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            written = write_web(press, into, day=day.date() if day else None, on_edition=show)
    if as_json:
        session.print_json(_document(into, written))
        return
    session.out.print(_told(into, written), markup=False, soft_wrap=True)
    if written.editions:
        latest = f"{session.settings.publication.url}{written.latest}"
        session.out.print(
            f"Where your web server shows this folder as {session.settings.publication.url}, "
            f"the latest of them is {latest}",
            markup=False,
            soft_wrap=True,
        )


def _told(folder: Path, written: Written) -> str:
    if not written.editions and not written.removed:
        return "No edition was approved yet, so there is nothing to write; drafts have no pages."
    told = (
        f"{shown_count(len(written.editions), 'edition')} in {folder}: "
        f"{shown_count(len(written.written), 'file')} written, {written.unchanged:,} as before"
    )
    if written.removed:
        told += f", {len(written.removed):,} of cancelled editions taken down"
    return f"{told}."


def _document(folder: Path, written: Written) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "editions": [day.isoformat() for day in written.editions],
        "written": list(written.written),
        "unchanged": written.unchanged,
        "removed": list(written.removed),
    }
