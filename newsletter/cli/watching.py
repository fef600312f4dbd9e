"""What an operator can ask: status."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from newsletter.audience.subscribers import count_by_status
from newsletter.cli.session import Session
from newsletter.cli.tables import counts_document, outcome_table
from newsletter.delivery.ledger import Ledger
from newsletter.editions.shelf import list_editions


def status(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(help="How many editions.", min=1)] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Show the latest editions and what became of every delivery."""
    session: Session = ctx.obj
    with session.database() as database:
        ledger = Ledger(database)
        readers = count_by_status(database)
        with database.reading() as connection:
            records = list_editions(connection, limit)
        counts = {record.id: ledger.counts(record.id) for record in records}
        doubts = {record.id: ledger.doubts(record.id) for record in records}
        reasons = {record.id: ledger.failures(record.id) for record in records[:1]}
    if as_json:
        session.print_json(
            {
                "subscribers": readers,
                "editions": [
                    {
                        "id": record.id,
                        "date": record.date.isoformat(),
                        "kind": record.kind,
                        "state": record.state,
                        "reason": record.reason,
                        "subject": record.subject,
                        "audience": sum(counts[record.id].values()),
                        "counts": counts_document(counts[record.id]),
                        "doubts": [
                            {
                                "email": doubt.email,
                                "since": doubt.since.isoformat(),
                                "via": doubt.via,
                                "reply": doubt.reply,
                            }
                            for doubt in doubts[record.id]
                        ],
                    }
                    for record in records
                ],
            }
        )
        return
    shown = ", ".join(f"{count:,} {name}" for name, count in sorted(readers.items()))
    session.out.print(f"Readers: {shown or 'none yet'}")
    if not records:
        session.out.print("No edition yet. `newsletter preview` shows what the first would be.")
        return
    table = Table(title="Editions", title_justify="left")
    for heading in ("Date", "State"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Subject", overflow="fold")
    for heading in ("Audience", "Accepted", "In doubt"):
        table.add_column(heading, justify="right")
    for record in records:
        tally = counts_document(counts[record.id])
        table.add_row(
            record.date.isoformat(),
            record.state,
            escape(record.subject or record.reason),
            f"{sum(tally.values()):,}",
            f"{tally['accepted']:,}",
            f"{tally['in_doubt']:,}",
        )
    session.out.print(table)
    newest = records[0]
    if counts[newest.id]:
        session.out.print(outcome_table(counts[newest.id], reasons[newest.id]))
    for doubt in doubts[newest.id][:20]:
        session.out.print(
            f"In doubt: {escape(doubt.email)} since {doubt.since:%Y-%m-%d %H:%M:%S} UTC "
            f"via {escape(doubt.via)}: {escape(doubt.reply)}"
        )
