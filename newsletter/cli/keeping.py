"""The database: db upgrade, reindex, prune, adopt."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from newsletter.cli.asked import JsonOption, YesOption, confirm
from newsletter.cli.session import Session
from newsletter.cli.tables import shown_count
from newsletter.editions.search import empty_index, index_edition, list_unindexed
from newsletter.errors import TemporaryError
from newsletter.press import Press
from newsletter.press.adopting import adopt_database, look_before
from newsletter.store import Database

db = typer.Typer(help="The database.", no_args_is_help=True)


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
    session: Session = ctx.obj
    with session.database() as database:
        with database.writing() as connection:
            empty_index(connection)
        count = _index(database)
    session.out.print(f"The search looks into {shown_count(count, 'edition')}.")


def _index(database: Database) -> int:
    """Put into the search what is not in it, an edition a transaction; return how many."""
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


@db.command()
def adopt(
    ctx: typer.Context,
    nothing_lost: Annotated[
        bool,
        typer.Option("--nothing-lost", help="It is the latest state, only moved to this machine."),
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Go on with a database that was restored from a backup, or moved to this machine."""
    session: Session = ctx.obj
    with session.database() as database:
        press = Press(session.settings, database, session.now)
        reason = look_before(press)
        if reason and not yes:
            confirm(
                session,
                f"The database {reason}. {_what_adopting_does(press, nothing_lost)} Go on with it?",
                declined="Nothing is sent from it.",
                as_json=as_json,
            )
        paused = adopt_database(press, nothing_lost=nothing_lost) if reason else ()
    if as_json:
        session.print_json({"adopted": bool(reason), "reason": reason, "paused": list(paused)})
        return
    if not reason:
        session.out.print("It is the database that this machine sent from last; nothing is to do.")
        return
    session.out.print("This machine goes on with it.")
    for name in paused:
        session.out.print(
            f"{name}: paused; `newsletter resume {name}` sends it to those who have not got it by "
            f"what the database knows, `newsletter cancel {name}` to nobody else.",
            soft_wrap=True,
        )


def _what_adopting_does(press: Press, nothing_lost: bool) -> str:
    if nothing_lost:
        return "You say that it knows of everything that was sent."
    return (
        "What was under way in it is paused, and the schedule begins no edition up to "
        f"{press.today()}: each may have been sent. `newsletter send` still does."
    )
