"""The way of an edition up to its mailing, but for `preview`: gather, check."""

from __future__ import annotations

from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from newsletter.briefs.gather import SourceReport
from newsletter.cli.asked import DateOption, JsonOption
from newsletter.cli.edition import (
    edition_document,
    prepare_edition,
    print_remarks,
    what_next,
)
from newsletter.cli.session import Session
from newsletter.cli.tables import findings_table
from newsletter.errors import SourceError
from newsletter.publish import Press, check_fit_to_send
from newsletter.publish import gather as gather_sources


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
    print_remarks(session, reports)
    if reports and all(report.status == "failed" for report in reports):
        raise SourceError("every source failed", mend="see the reasons above; nothing is lost")


def check(ctx: typer.Context, day: DateOption = None, as_json: JsonOption = False) -> None:
    """Run the preflight checks on the edition. Mails nobody."""
    session: Session = ctx.obj
    with session.database() as database:
        press = Press(session.settings, database, session.now)
        printed = prepare_edition(session, press, day, as_json=as_json)
    if printed is None:
        return
    if as_json:
        session.print_json(edition_document(printed))
    else:
        session.out.print(findings_table(printed.findings))
    check_fit_to_send(printed)
    if not as_json:
        session.out.print(what_next(printed))


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
