"""What editions told readers to watch next, and what became of it: promises."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from newsletter.cli.asked import JsonOption
from newsletter.cli.session import Session
from newsletter.editions.model import name_edition
from newsletter.editions.promises import Promise, list_promises, settle_promise

promises = typer.Typer(
    help="What editions told readers to watch next, and what became of it.",
    invoke_without_command=True,
)


@promises.callback()
def list_(
    ctx: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what moved, happened or expired.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List what readers were told to watch and is still open."""
    if ctx.invoked_subcommand is not None:
        return
    session: Session = ctx.obj
    today = session.now().astimezone(session.settings.publication.zone).date()
    with session.database() as database, database.reading() as connection:
        found = list_promises(connection, today, with_settled=everything)
    if as_json:
        session.print_json({"promises": [_document(promise) for promise in found]})
    elif found:
        session.out.print(_table(found))
    else:
        session.out.print("Nothing that readers were told to watch is open.")


@promises.command()
def settle(
    ctx: typer.Context,
    promise_id: Annotated[int, typer.Argument(metavar="ID", help="The promise's number.")],
    happened: Annotated[bool, typer.Option("--happened", help="It happened.")] = False,
    expired: Annotated[bool, typer.Option("--expired", help="It came to nothing.")] = False,
    news: Annotated[
        str, typer.Option(help="With --happened: what readers are told in the next edition.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Say what became of something that readers were told to watch."""
    session: Session = ctx.obj
    if happened == expired:
        raise typer.BadParameter("say one of the two", param_hint="--happened or --expired")
    told = " ".join(news.split())
    if happened and not told:
        raise typer.BadParameter("readers are told what happened, so say it", param_hint="--news")
    if expired and told:
        raise typer.BadParameter("goes with --happened", param_hint="--news")
    outcome: Literal["happened", "expired"] = "happened" if happened else "expired"
    with session.database() as database, database.writing() as connection:
        promise = settle_promise(
            connection,
            promise_id,
            outcome,
            news=told,
            by=session.actor,
            now=session.now(),
        )
    if as_json:
        session.print_json(_document(promise))
    elif happened:
        session.out.print(
            f"Promise {promise_id} happened; the next edition says so under Still watching.",
            soft_wrap=True,
        )
    else:
        session.out.print(f"Promise {promise_id} expired; readers are not told.")


def _table(found: tuple[Promise, ...]) -> Table:
    table = Table(title="Still watching", title_justify="left")
    table.add_column("ID", justify="right", no_wrap=True)
    table.add_column("Said on", no_wrap=True)
    for heading in ("To watch", "Brief", "State"):
        table.add_column(heading, overflow="fold")
    table.add_column("Expires", no_wrap=True)
    for each in found:
        table.add_row(
            str(each.id),
            name_edition(each.day, each.kind),
            escape(each.text),
            escape(each.title),
            escape(f"{each.state}: {each.news}" if each.news else each.state),
            each.expires_on.isoformat(),
        )
    return table


def _document(promise: Promise) -> dict[str, Any]:
    return {
        "id": promise.id,
        "date": promise.day.isoformat(),
        "kind": promise.kind,
        "brief": promise.number,
        "title": promise.title,
        "text": promise.text,
        "state": promise.state,
        "expires_on": promise.expires_on.isoformat(),
        "news": promise.news,
        "settled_by": promise.settled_by,
        "is_told": promise.is_told,
    }
