"""What came back of editions, and whether it counts: bounces."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from newsletter.cli.asked import JsonOption, YesOption, confirm, find_asked_edition
from newsletter.cli.session import Session
from newsletter.cli.tables import shown_count
from newsletter.editions.shelf import EditionRecord, list_editions
from newsletter.errors import RefusedError
from newsletter.feedback.guard import Returns, Word, read_returns, settle_bounces
from newsletter.store import Database


def bounces(
    ctx: typer.Context,
    edition: Annotated[
        str,
        typer.Argument(metavar="EDITION", help="One edition alone, by its date or its number."),
    ] = "",
    count: Annotated[
        bool, typer.Option("--count", help="Its bounces count: dead addresses are taken off.")
    ] = False,
    leave: Annotated[
        bool, typer.Option("--leave", help="Its bounces do not count: who was taken off is back.")
    ] = False,
    limit: Annotated[int, typer.Option(help="How many editions.", min=1)] = 7,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what came back of recent editions, and say whether it counts where it is doubted."""
    session: Session = ctx.obj
    if count and leave:
        raise typer.BadParameter("give one of --count and --leave")
    if (count or leave) and not edition:
        raise typer.BadParameter("--count and --leave need the EDITION that they are for")
    changed = 0
    with session.database() as database:
        found = _read(database, edition, limit)
        if count or leave:
            word: Word = "count" if count else "leave"
            ((record, returns),) = found
            _check(record, returns)
            if not yes:
                question = f"{_describe(record, returns)} {_QUESTIONS[word]}"
                confirm(session, question, declined="Nothing was changed.", as_json=as_json)
            changed = settle_bounces(database, record, word, by=session.actor, now=session.now())
            found = _read(database, edition, limit)
    if as_json:
        document: dict[str, Any] = {"editions": [_document(*each) for each in found]}
        session.print_json(document | ({"changed": changed} if count or leave else {}))
        return
    if count or leave:
        done = "taken off the list" if count else "back on the list"
        session.out.print(f"{shown_count(changed, 'reader')} {done}.")
        return
    if not found:
        session.out.print("Nothing was sent yet.")
        return
    session.out.print(_build_table(found))
    for record, returns in reversed(found):
        if returns.guard.sentence:
            said = f"{record.name}: {returns.guard.sentence}."
            session.out.print(said, markup=False, soft_wrap=True)


_QUESTIONS: dict[Word, str] = {
    "count": "Take off who counts as dead by them?",
    "leave": "Leave them uncounted, and bring back who was taken off by them alone?",
}


def _read(database: Database, edition: str, limit: int) -> list[tuple[EditionRecord, Returns]]:
    with database.reading() as connection:
        if edition:
            records = [find_asked_edition(connection, edition)]
        else:
            recent = list_editions(connection, limit, with_planned=False)
            records = [record for record in recent if record.dated_at is not None]
        return [(record, read_returns(connection, record.id)) for record in records]


def _check(record: EditionRecord, returns: Returns) -> None:
    if not returns.dead + returns.other:
        raise RefusedError(f"nothing came back of the edition of {record.name}")


def _describe(record: EditionRecord, returns: Returns) -> str:
    back = returns.dead + returns.other
    return f"{back:,} of {returns.accepted:,} copies of {record.name} came back."


def _build_table(found: list[tuple[EditionRecord, Returns]]) -> Table:
    table = Table("Edition", box=None, pad_edge=False)
    for name in ("Accepted", "No such mailbox", "Other bounces", "Share", "Complaints"):
        table.add_column(name, justify="right")
    table.add_column("Most from")
    table.add_column("Bounces are")
    for record, returns in found:
        table.add_row(
            record.name,
            f"{returns.accepted:,}",
            f"{returns.dead:,}",
            f"{returns.other:,}",
            f"{returns.share:.1%}",
            f"{returns.complaints:,}",
            ", ".join(f"{domain} {number:,}" for domain, number in returns.domains),
            returns.guard.state,
        )
    return table


def _document(record: EditionRecord, returns: Returns) -> dict[str, Any]:
    guard = returns.guard
    return {
        "edition": record.name,
        "accepted": returns.accepted,
        "dead": returns.dead,
        "other": returns.other,
        "share": round(returns.share, 4),
        "complaints": returns.complaints,
        "domains": dict(returns.domains),
        "guard": guard.state,
        "doubted_at": guard.tripped_at.isoformat() if guard.tripped_at else None,
        "sentence": guard.sentence,
        "decided_by": guard.decided_by,
    }
