"""The way of an edition, by hand: gather, preview, check, send."""

from __future__ import annotations

import asyncio
import signal
import sys
import webbrowser
from collections import Counter
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from newsletter.audience.address import parse_address
from newsletter.audience.reader import Choices, Reader
from newsletter.audience.subscribers import count_by_status, find_subscriber
from newsletter.briefs.gather import SourceReport
from newsletter.cli.session import Session
from newsletter.cli.tables import counts_document, findings_table, outcome_table, shown_count
from newsletter.delivery.lifecycle import FINAL, State
from newsletter.delivery.sender import Sender
from newsletter.editions.shelf import read_edition
from newsletter.errors import RefusedError, SourceError, TemporaryError
from newsletter.mail import decode_message
from newsletter.publish import (
    Delivered,
    Prepared,
    Press,
    Printed,
    check_fit_to_send,
    prepare,
    publish,
    sample_message,
    send_test,
)
from newsletter.publish import gather as gather_sources

DateOption = Annotated[
    datetime | None,
    typer.Option("--date", formats=["%Y-%m-%d"], help="Editorial date; default today."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def gather(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Read every source and store what is new."""
    session: Session = ctx.obj
    with session.database() as database:
        press = Press(session.settings, database, session.now)
        with session.err.status("Reading sources …"):
            reports = gather_sources(press)
    if as_json:
        session.print_json([_report_document(report) for report in reports])
    else:
        session.out.print(_report_table(reports))
        _print_remarks(session, reports)
    if reports and all(report.status == "failed" for report in reports):
        raise SourceError("every source failed", mend="see the reasons above; nothing is lost")


def preview(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("preview"),
    to: Annotated[str, typer.Option(help="Show this reader's copy.")] = "",
    day: DateOption = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the edition as a reader would get it: HTML, plain text and .eml. Mails nobody."""
    session: Session = ctx.obj
    with session.database() as database:
        press = Press(session.settings, database, session.now)
        printed = _printed(session, _prepare(session, press, day), as_json=as_json)
        if printed is None:
            return
        reader = _reader(press, to)
        content = sample_message(press, printed, reader).content
    plain, html = decode_message(content)
    out.mkdir(parents=True, exist_ok=True)
    stem = out / printed.edition.date.isoformat()
    files = {".html": html.encode(), ".txt": plain.encode(), ".eml": content}
    written = [Path(f"{stem}{suffix}") for suffix in files]
    for path, data in zip(written, files.values(), strict=True):
        path.write_bytes(data)
    if as_json:
        session.print_json(_edition_document(printed) | {"files": [str(path) for path in written]})
    else:
        _print_edition(session, printed)
        for path in written:
            session.out.print(f"Wrote {path}", soft_wrap=True)
    if open_it:
        webbrowser.open(written[0].absolute().as_uri())


def check(ctx: typer.Context, day: DateOption = None, as_json: JsonOption = False) -> None:
    """Run the preflight checks on the edition. Mails nobody."""
    session: Session = ctx.obj
    with session.database() as database:
        press = Press(session.settings, database, session.now)
        printed = _printed(session, _prepare(session, press, day), as_json=as_json)
    if printed is None:
        return
    if as_json:
        session.print_json(_edition_document(printed))
    else:
        session.out.print(findings_table(printed.findings))
    check_fit_to_send(printed)


def send(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show all, mail nobody.")] = False,
    test: Annotated[str, typer.Option(help="Mail one marked copy to this address only.")] = "",
    day: DateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send the day's edition to every active reader, once; also goes on with a stopped send."""
    session: Session = ctx.obj
    with session.database() as database:
        press = Press(session.settings, database, session.now)
        if test:
            parse_address(test)
        if not dry_run:
            press.open_channel()  # a relay URL that is wrong shows before anything is gathered
        printed = _printed(session, _prepare(session, press, day), as_json=as_json)
        if printed is None:
            return
        if not as_json:
            _print_edition(session, printed)
        if printed.record.state == "sent":
            _print_outcome(session, press, printed, as_json=as_json)
            return
        if test:
            words = asyncio.run(send_test(press, printed, parse_address(test).email))
            session.out.print(f"Sent one test copy to {escape(test)}: {escape(words)}")
            return
        audience = _audience(press, printed)
        if printed.record.state in ("draft", "ready"):
            if not as_json:
                session.out.print(findings_table(printed.findings, only_trouble=True))
            if dry_run:
                _print_dry_run(session, printed, audience, as_json=as_json)
                return
            check_fit_to_send(printed)
        elif dry_run:
            _print_outcome(session, press, printed, as_json=as_json)
            return
        if audience == 0:
            raise RefusedError(
                "there is no active reader",
                mend="add some with `newsletter subscribers import FILE`",
            )
        if not yes:
            _ask(printed, audience)
        delivered = _deliver(session, press, printed, audience)
        _print_outcome(session, press, printed, as_json=as_json)
        if not delivered.is_sent:
            raise TemporaryError(
                "stopped before the end", mend="the same command goes on; nobody is mailed twice"
            )


# -- the steps of a command ------------------------------------------------------------------------


def _prepare(session: Session, press: Press, day: datetime | None) -> Prepared:
    chosen = day.date() if day else press.today()
    with session.err.status("Gathering, composing, rendering …"):
        return prepare(press, chosen)


def _printed(session: Session, prepared: Prepared, *, as_json: bool) -> Printed | None:
    """Give the edition, or say why there is none; a held one raises."""
    composed = prepared.composed
    _print_remarks(session, prepared.reports)
    if composed.counts.get("too_old"):
        session.err.print(
            f"{shown_count(composed.counts['too_old'], 'brief')} older than the window "
            "left out; give a brief a newer date to have it in."
        )
    if composed.outcome == "held":
        reason = composed.record.reason if composed.record else ""
        raise TemporaryError(f"the edition is held: {reason}", mend="mend it and try again")
    if prepared.printed is None:
        if as_json:
            session.print_json({"outcome": composed.outcome})
        else:
            session.out.print("Nothing new since the last edition, so nothing is sent.")
    return prepared.printed


def _audience(press: Press, printed: Printed) -> int:
    if printed.record.state in ("draft", "ready"):
        return count_by_status(press.database).get("active", 0)
    return sum(press.ledger.counts(printed.record.id).values())


def _ask(printed: Printed, audience: int) -> None:
    if not sys.stdin.isatty():
        raise RefusedError("nobody is here to say yes", mend="add --yes to send without asking")
    verb = "Send" if printed.record.state in ("draft", "ready") else "Go on sending"
    typer.confirm(f"{verb} to {shown_count(audience, 'reader')}?", abort=True)


def _deliver(session: Session, press: Press, printed: Printed, audience: int) -> Delivered:
    """Deliver with a progress bar; Ctrl-C and SIGTERM end the run in order."""
    before = press.ledger.counts(printed.record.id)
    done = sum(count for state, count in before.items() if state in FINAL)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=session.err) as progress:
        task = progress.add_task("Sending", total=audience, completed=done)

        def show(tally: Counter[State]) -> None:
            final = sum(count for state, count in tally.items() if state in FINAL)
            waiting = tally[State.DEFERRED]
            progress.update(
                task,
                completed=done + final,
                description=f"Sending ({waiting} put off so far)" if waiting else "Sending",
            )

        async def run() -> Delivered:
            return await publish(press, printed, on_start=_stop_on_signal, on_progress=show)

        return asyncio.run(run())


def _stop_on_signal(sender: Sender) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # no such handlers on Windows
            loop.add_signal_handler(number, sender.stop)


def _reader(press: Press, to: str) -> Reader:
    if not to:
        return Reader(subscriber_id=0, email="reader@example.org", choices=Choices())
    found = find_subscriber(press.database, to)
    if found is None:
        raise RefusedError(f"no reader has the address {to}", mend="see `newsletter subscribers`")
    return Reader(
        subscriber_id=found.id,
        email=found.email,
        name=found.name,
        choices=found.choices,
        fields=found.fields,
    )


# -- what is shown ---------------------------------------------------------------------------------


def _print_edition(session: Session, printed: Printed) -> None:
    table = Table(
        title=f"Edition of {printed.edition.date}", show_header=False, title_justify="left"
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    table.add_row("Subject", escape(printed.edition.subject))
    table.add_row("Preheader", escape(printed.edition.preheader))
    for number, brief in enumerate(printed.edition.briefs, 1):
        table.add_row(f"{number}", escape(brief.title))
    if printed.edition.left_out:
        table.add_row("", f"{printed.edition.left_out} more found no room")
    session.out.print(table)


def _print_dry_run(session: Session, printed: Printed, audience: int, *, as_json: bool) -> None:
    if as_json:
        session.print_json(_edition_document(printed) | {"audience": audience, "dry_run": True})
    else:
        session.out.print(f"Dry run: {shown_count(audience, 'reader')} would be mailed; none was.")


def _print_outcome(session: Session, press: Press, printed: Printed, *, as_json: bool) -> None:
    ledger, edition_id = press.ledger, printed.record.id
    counts = ledger.counts(edition_id)
    if as_json:
        session.print_json(_edition_document(printed) | _state_document(press, printed, counts))
        return
    session.out.print(outcome_table(counts, ledger.failures(edition_id)))
    accepted = shown_count(counts.get(State.ACCEPTED, 0), "reader")
    if printed.record.state == "sent":
        session.out.print(
            f"The edition of {printed.record.date} was sent already, to {accepted}: "
            "nothing was sent now."
        )


def _state_document(press: Press, printed: Printed, counts: dict[State, int]) -> dict[str, Any]:
    with press.database.reading() as connection:
        record = read_edition(connection, printed.record.id)
    return {
        "state": record.state,
        "audience": sum(counts.values()),
        "counts": counts_document(counts),
        "sent_now": printed.record.state != "sent",
    }


def _edition_document(printed: Printed) -> dict[str, Any]:
    return {
        "outcome": "edition" if printed.edition.briefs else "quiet_day",
        "id": printed.record.id,
        "date": printed.edition.date.isoformat(),
        "state": printed.record.state,
        "subject": printed.edition.subject,
        "preheader": printed.edition.preheader,
        "briefs": [brief.title for brief in printed.edition.briefs],
        "left_out": printed.edition.left_out,
        "findings": [
            {
                "number": finding.number,
                "name": finding.name,
                "status": finding.status,
                "detail": finding.detail,
                "mend": finding.mend,
            }
            for finding in printed.findings
        ],
    }


def _report_document(report: SourceReport) -> dict[str, Any]:
    return {
        "source": report.name,
        "status": report.status,
        "found": report.found,
        "new": report.new,
        "changed": report.changed,
        "problems": list(report.problems),
        "warnings": [str(warning) for warning in report.warnings],
        "error": report.error,
    }


def _report_table(reports: tuple[SourceReport, ...]) -> Table:
    table = Table(title="Sources", title_justify="left")
    for heading in ("Source", "Status"):
        table.add_column(heading, overflow="fold")
    for heading in ("Found", "New", "Changed"):
        table.add_column(heading, justify="right")
    for report in reports:
        table.add_row(
            escape(report.name),
            report.status,
            str(report.found),
            str(report.new),
            str(report.changed),
        )
    return table


def _print_remarks(session: Session, reports: tuple[SourceReport, ...]) -> None:
    for report in reports:
        if report.status == "failed":
            session.err.print(f"[bold]{escape(report.name)}[/]: {escape(report.error)}")
        for remark in (*report.problems, *(str(warning) for warning in report.warnings)):
            session.err.print(f"{escape(report.name)}: {escape(remark)}")
