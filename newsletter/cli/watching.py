"""What an operator can ask: status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape
from rich.table import Table

from newsletter.audience.subscribers import count_by_status
from newsletter.cli.session import Session
from newsletter.cli.tables import (
    count_open,
    counts_document,
    outcome_table,
    shown_count,
    shown_outcome,
    shown_readers,
)
from newsletter.delivery.ledger import Doubt, Ledger
from newsletter.delivery.lifecycle import State
from newsletter.editions.shelf import EditionRecord, list_editions

_SHOWN_DOUBTS = 20


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
        reasons = {record.id: ledger.failures(record.id) for record in records}
    if as_json:
        documents = [
            _edition_document(record, counts[record.id], reasons[record.id], doubts[record.id])
            for record in records
        ]
        session.print_json({"subscribers": readers, "editions": documents})
        return
    session.out.print(f"Readers: {shown_readers(readers)}")
    if not records:
        session.out.print("No edition yet. `newsletter preview` shows what the first would be.")
        return
    session.out.print(_editions_table(records, counts))
    mailed = next((record for record in records if counts[record.id]), None)
    if mailed:
        title = f"Deliveries of {mailed.date}"
        session.out.print(outcome_table(counts[mailed.id], reasons[mailed.id], title=title))
    _print_doubts(session, [doubt for record in records for doubt in doubts[record.id]])
    zone = session.settings.publication.zone
    told = [record for record in records if record in (records[0], mailed) or _is_open(record)]
    for record in reversed(told):
        session.out.print(
            f"{record.date}: {_what_next(record, counts[record.id], zone)}", markup=False
        )


def _is_open(record: EditionRecord) -> bool:
    return record.state in ("approved", "sending")


def _what_next(record: EditionRecord, counts: Mapping[State, int], zone: ZoneInfo) -> str:
    """Say how an edition stands, and which command takes it further."""
    command = f"`newsletter send --date {record.date}`"
    match record.state:
        case "draft":
            return f"a draft, made anew with the latest briefs until {command} sends it."
        case "ready":
            return f"ready; `newsletter serve` sends it at its time, {command} at once."
        case "held":
            return f"held: {record.reason.rstrip('.')}. Once that is mended: {command}."
        case "cancelled":
            return f"dropped: {record.reason.rstrip('.')}."
        case "sent":
            return f"sent at {_moment(record.sent_at, zone)}. {shown_outcome(counts)}"
        case "approved" | "sending":
            return (
                f"{shown_count(count_open(counts), 'reader')} still without it. Unless a send is "
                f"running now, {command} goes on; what is not sent by "
                f"{_moment(record.not_after, zone)} is given up."
            )
        case state:
            return f"{state}."


def _moment(instant: datetime | None, zone: ZoneInfo) -> str:
    return f"{instant.astimezone(zone):%Y-%m-%d %H:%M %Z}" if instant else "an unknown time"


def _editions_table(
    records: Sequence[EditionRecord], counts: Mapping[int, Mapping[State, int]]
) -> Table:
    """Show an edition a line; columns of trouble only where there is some."""
    in_doubt = {id_: tally.get(State.IN_DOUBT, 0) for id_, tally in counts.items()}
    lost = {
        id_: tally.get(State.FAILED, 0) + tally.get(State.EXPIRED, 0)
        for id_, tally in counts.items()
    }
    trouble = [
        (name, of) for name, of in (("In doubt", in_doubt), ("Failed", lost)) if any(of.values())
    ]
    table = Table(title="Editions", title_justify="left")
    table.add_column("Date", no_wrap=True)
    table.add_column("State", no_wrap=True)
    table.add_column("Accepted", justify="right", no_wrap=True)
    for name, _ in trouble:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Subject", overflow="fold")
    for record in records:
        tally = counts[record.id]
        accepted = f"{tally.get(State.ACCEPTED, 0):,} of {sum(tally.values()):,}" if tally else "–"
        table.add_row(
            record.date.isoformat(),
            record.state,
            accepted,
            *(f"{of[record.id]:,}" for _, of in trouble),
            escape(record.subject),
        )
    return table


def _print_doubts(session: Session, doubts: Sequence[Doubt]) -> None:
    """List by name who may have a copy or not: the relay's own log knows."""
    if not doubts:
        return
    table = Table(title="In doubt: the relay's log knows whether it took these")
    table.title_justify = "left"
    for heading in ("Reader", "Since (UTC)", "Through", "What came back"):
        table.add_column(heading, overflow="fold")
    for doubt in doubts[:_SHOWN_DOUBTS]:
        table.add_row(
            escape(doubt.email),
            f"{doubt.since:%Y-%m-%d %H:%M:%S}",
            escape(doubt.via),
            escape(doubt.reply),
        )
    session.out.print(table)
    if (more := len(doubts) - _SHOWN_DOUBTS) > 0:
        session.out.print(f"and {more:,} more; `newsletter status --json` lists all")


def _edition_document(
    record: EditionRecord,
    counts: Mapping[State, int],
    reasons: Sequence[tuple[State, str, int]],
    doubts: Sequence[Doubt],
) -> dict[str, Any]:
    return {
        "id": record.id,
        "date": record.date.isoformat(),
        "kind": record.kind,
        "state": record.state,
        "reason": record.reason,
        "subject": record.subject,
        "sent_at": record.sent_at and record.sent_at.isoformat(),
        "audience": sum(counts.values()),
        "counts": counts_document(counts),
        "replies": [
            {"state": state.value, "reply": reply, "count": count}
            for state, reply, count in reasons
        ],
        "doubts": [
            {
                "email": doubt.email,
                "since": doubt.since.isoformat(),
                "via": doubt.via,
                "reply": doubt.reply,
            }
            for doubt in doubts
        ],
    }
