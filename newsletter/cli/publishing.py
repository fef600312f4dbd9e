"""The way of an edition up to its mailing, but for `preview`: gather, check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from newsletter.briefs.gather import SourceReport
from newsletter.cli.asked import (
    BriefOption,
    DateOption,
    JsonOption,
    KindOption,
    check_briefs,
    check_daily,
)
from newsletter.cli.edition import (
    edition_document,
    look_at_edition,
    placings_table,
    prepare_edition,
    print_remarks,
    what_next,
)
from newsletter.cli.session import Session
from newsletter.cli.tables import findings_table, link_documents, links_table
from newsletter.editions.explain import PLACES
from newsletter.errors import Problem, SourceError, TemplateError
from newsletter.press import Press
from newsletter.press.checking import ask_links, check_fit_to_send, list_links
from newsletter.press.composing import gather as gather_sources
from newsletter.press.explaining import Explained, explain
from newsletter.render.preflight import Answer, Link, join_reports, judge_answers


def gather(
    ctx: typer.Context,
    explained: Annotated[
        bool,
        typer.Option(
            "--explain", help="Say where each item goes today, and why; composes nothing."
        ),
    ] = False,
    kind: KindOption = "daily",
    as_json: JsonOption = False,
) -> None:
    """Read every source and store what is new."""
    session: Session = ctx.obj
    check_daily(kind)
    told: Explained | None = None
    with session.database() as database:
        press = Press(session.settings, database, session.now)
        with session.err.status("Reading sources …"):
            reports = gather_sources(press)
            if explained:
                told = explain(press, reports, kind)
    documents = [_report_document(report) for report in reports]
    if as_json:
        session.print_json(
            _explained_document(told) | {"sources": documents} if told else documents
        )
    else:
        session.out.print(_report_table(reports))
    if told and not as_json:
        session.out.print(_explained_table(told))
        if told.remark:
            session.err.print(told.remark, markup=False, soft_wrap=True)
    print_remarks(session, reports)
    if reports and not any(report.is_read for report in reports):
        raise SourceError("no source was read", mend="see the reasons above; nothing is lost")


def check(
    ctx: typer.Context,
    day: DateOption = None,
    kind: KindOption = "daily",
    brief: BriefOption = None,
    links: Annotated[
        bool, typer.Option("--links", help="Ask every page that the mail leads to.")
    ] = False,
    allow_private: Annotated[
        bool,
        typer.Option("--allow-private", help="With --links: also pages of private networks."),
    ] = False,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Show it in Chromium, if there is one.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Run the preflight checks on the edition, and list its links. Mails nobody."""
    session: Session = ctx.obj
    if allow_private and not links:
        raise typer.BadParameter("goes with --links", param_hint="--allow-private")
    brief_ids = check_briefs(brief, kind)
    with session.database() as database:
        press = Press(session.settings, database, session.now)
        try:
            printed = prepare_edition(
                session, press, day, kind=kind, brief_ids=brief_ids, as_json=as_json
            )
        except TemplateError as error:
            _print_problems(session, error.problems, as_json=as_json)
            raise
        if printed is None:
            return
        if browser:
            printed = look_at_edition(session, press, printed)
        listed = list_links(press, printed)
        answers = _ask(session, press, listed, allow_private=allow_private) if links else ()
    if links:
        findings = join_reports(printed.findings, [judge_answers(answers)])
        printed = replace(printed, findings=findings)
    if as_json:
        session.print_json(edition_document(printed) | {"links": link_documents(listed, answers)})
    else:
        if printed.edition.briefs:
            session.out.print(placings_table(printed))
        session.out.print(links_table(listed, answers))
        session.out.print(findings_table(printed.findings))
    check_fit_to_send(printed)
    if not as_json:
        session.out.print(what_next(printed))


def _print_problems(session: Session, problems: Sequence[Problem], *, as_json: bool) -> None:
    """Show everything that is wrong with the templates; without them there is nothing to check."""
    if as_json:
        faults = [asdict(problem) for problem in problems]
        session.print_json({"outcome": "template_error", "problems": faults})
        return
    table = Table(title="Templates", title_justify="left")
    for heading in ("File", "Line", "What is wrong"):
        table.add_column(heading, overflow="fold")
    for problem in problems:
        mend = f"\n→ {problem.mend}" if problem.mend else ""
        line = "" if problem.line is None else str(problem.line)
        file = Path(problem.file or "")
        if file.is_relative_to(session.settings.root):
            file = file.relative_to(session.settings.root)
        table.add_row(escape(str(file)), line, escape(problem.problem + mend))
    session.out.print(table)


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


def _explained_document(told: Explained) -> dict[str, Any]:
    return {
        "date": told.day.isoformat(),
        "edition": told.edition,
        "outcome": told.outcome,
        "items": [asdict(line) for line in told.lines],
    }


def _explained_table(told: Explained) -> Table:
    """Show every item under its place."""
    table = Table(title=f"What goes into the edition of {told.edition}", title_justify="left")
    table.add_column("Item", overflow="fold", ratio=5)
    table.add_column("Came", overflow="fold", ratio=2)
    table.add_column("Why here", overflow="fold", ratio=5)
    for place, lines in groupby(told.lines, key=lambda line: line.place):
        mine = list(lines)
        words = PLACES.get(place, place)
        heading = f"{words[:1].upper()}{words[1:]} ({len(mine):,})"
        table.add_section()
        table.add_row(Text(heading, style="bold"), "", "")
        for line in mine:
            table.add_row(
                escape(line.title or line.source),
                escape(line.came or ("" if line.place in ("failed", "unreadable") else "waited")),
                escape(line.why),
            )
    return table


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
