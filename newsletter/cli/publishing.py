"""The way of an edition up to its mailing, but for `preview`: gather, check."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import Progress
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
from newsletter.cli.tables import findings_table, link_documents, links_table
from newsletter.errors import SourceError
from newsletter.publish import Press, Printed, ask_links, check_fit_to_send, list_links, look_over
from newsletter.publish import gather as gather_sources
from newsletter.render.preflight import Answer, Finding, Link, join_reports, judge_answers


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


def check(
    ctx: typer.Context,
    day: DateOption = None,
    links: Annotated[
        bool, typer.Option("--links", help="Ask every page that the mail leads to.")
    ] = False,
    allow_private: Annotated[
        bool,
        typer.Option("--allow-private", help="With --links: also pages of private networks."),
    ] = False,
    in_browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Judge the mail in Chromium as well.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Run the preflight checks on the edition, and list its links. Mails nobody."""
    session: Session = ctx.obj
    if allow_private and not links:
        raise typer.BadParameter("goes with --links", param_hint="--allow-private")
    with session.database() as database:
        press = Press(session.settings, database, session.now)
        printed = prepare_edition(session, press, day, as_json=as_json)
        if printed is None:
            return
        listed = list_links(press, printed)
        answers = _ask(session, press, listed, allow_private=allow_private) if links else ()
        seen = _look_over(session, press, printed) if in_browser else ()
    asked = [judge_answers(answers)] if links else []
    printed = replace(printed, findings=join_reports(printed.findings, seen, asked))
    if as_json:
        session.print_json(edition_document(printed) | {"links": link_documents(listed, answers)})
    else:
        session.out.print(links_table(listed, answers))
        session.out.print(findings_table(printed.findings))
    check_fit_to_send(printed)
    if not as_json:
        session.out.print(what_next(printed))


def _ask(
    session: Session, press: Press, links: tuple[Link, ...], *, allow_private: bool
) -> tuple[Answer, ...]:
    """Ask the pages, and show how far it is."""
    watched = session.err.is_terminal
    with Progress(console=session.err, transient=True, disable=not watched) as progress:
        task = progress.add_task("Asking", total=len(links))
        return ask_links(
            press,
            links,
            allow_private=allow_private,
            on_answer=lambda _answer: progress.advance(task),
        )


def _look_over(session: Session, press: Press, printed: Printed) -> tuple[Finding, ...]:
    """Judge the mail in Chromium, and show in which look."""
    with session.err.status("Starting Chromium …") as status:
        return look_over(press, printed, on_look=lambda name: status.update(f"Looking: {name} …"))


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
