"""What was found wrong in an edition after readers had it: correct."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from newsletter.briefs.normalise import plain_text
from newsletter.cli.asked import JsonOption, YesOption, confirm, find_asked_edition
from newsletter.cli.edition import edition_document, edition_table, look_at_edition
from newsletter.cli.session import Session
from newsletter.cli.tables import (
    counts_document,
    findings_table,
    outcome_table,
    shown_count,
    shown_moment,
    shown_outcome,
)
from newsletter.delivery.inquiry import list_reasons
from newsletter.delivery.lifecycle import State
from newsletter.editions.corrections import (
    Made,
    Severity,
    Wrong,
    check_all_sent,
    find_wrong,
    list_corrections,
    store_correction,
)
from newsletter.editions.model import name_edition
from newsletter.editions.notes import MOST_CHARACTERS
from newsletter.errors import RefusedError, TemporaryError
from newsletter.press import Press
from newsletter.press.approving import count_audience, nobody_to_mail
from newsletter.press.checking import check_fit_to_send
from newsletter.press.site import write_web
from newsletter.publish import prepare_correction, publish
from newsletter.settings import is_daily

_WORD = "correct"
"""What a person types before readers are mailed a correction."""


def correct(
    ctx: typer.Context,
    edition: Annotated[
        str,
        typer.Argument(
            metavar="[EDITION]", help="The wrong one: its date (of another kind DATE-KIND)."
        ),
    ] = "",
    brief: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", min=1, help="Which of its briefs; default none."),
    ] = None,
    severity: Annotated[
        Literal["minor", "normal", "severe"],
        typer.Option(
            help="minor: its web pages; normal: also the next edition of its kind, for who had it; "
            "severe: also a mail of its own to those, now."
        ),
    ] = "normal",
    text: Annotated[str, typer.Option(help="What is right, in a sentence or two.")] = "",
    listed: Annotated[
        bool, typer.Option("--list", help="List the corrections there are, of EDITION or all.")
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Correct an edition that readers have; what they were sent stays as it is."""
    session: Session = ctx.obj
    if listed:
        _list(session, edition, as_json=as_json)
        return
    said = _check(edition, text)
    with session.database() as database:
        press = Press(session.settings, database, session.now)
        with database.reading() as connection:
            record = find_asked_edition(connection, edition)
            wrong = find_wrong(connection, record.date, record.kind, brief or 0)
            if severity == "severe":
                check_all_sent(connection, wrong)
        _check_severity(wrong, severity)
        if severity == "severe":
            _send(session, press, wrong, said, yes=yes, as_json=as_json)
            return
        if not as_json:
            session.out.print(_question_table(wrong, severity, said))
        if not yes:
            confirm(
                session,
                "Publish this correction?",
                declined="Nothing was published.",
                as_json=as_json,
            )
        with database.writing() as connection:
            number = store_correction(
                connection, wrong, severity, said, by=session.actor, now=session.now()
            )
        _write_web(press, wrong)
    if as_json:
        session.print_json({"id": number, **_wrong_document(wrong, severity, said)})
        return
    session.out.print(f"Correction {number} {_BECOMES[severity]}.", soft_wrap=True)


_BECOMES: dict[Severity, str] = {
    "minor": "stands on the web pages of that edition",
    "normal": "stands on the web pages of that edition, and at the top of the next daily one for "
    "those who were sent it",
}


# -- the steps -------------------------------------------------------------------------------------


def _check(edition: str, text: str) -> str:
    if not edition:
        raise typer.BadParameter("name the edition that was wrong", param_hint="EDITION")
    said = plain_text(text)
    if not said:
        raise typer.BadParameter("say what is right", param_hint="--text")
    if len(said) > MOST_CHARACTERS["text"]:
        raise typer.BadParameter(
            f"has {len(said):,} characters, and there is room for {MOST_CHARACTERS['text']:,}",
            param_hint="--text",
        )
    return said


def _check_severity(wrong: Wrong, severity: Severity) -> None:
    if severity == "normal" and not is_daily(wrong.kind):
        raise RefusedError(
            f"the next edition cannot tell who was sent the edition of {wrong.name}",
            mend="use --severity severe, which mails exactly those, or --severity minor",
        )


def _send(
    session: Session, press: Press, wrong: Wrong, text: str, *, yes: bool, as_json: bool
) -> None:
    """Mail a correction to exactly those who were sent what was wrong."""
    printed = prepare_correction(press, wrong, text)
    if session.settings.edition.browser_checks:
        printed = look_at_edition(session, press, printed)
    audience = count_audience(press, printed)
    if not as_json:
        session.out.print(edition_table(printed, audience=f"{audience:,}"))
        session.out.print(findings_table(printed.findings, only_trouble=True))
        session.out.print(
            f"{shown_count(audience, 'reader')} who were sent the edition of {wrong.name} would "
            "be mailed this now.",
            soft_wrap=True,
        )
    check_fit_to_send(printed)
    if not audience:
        raise nobody_to_mail("correction")
    if not yes:
        _ask_for_word(session, audience, as_json=as_json)
    done = asyncio.run(publish(press, printed))
    _write_web(press, wrong)
    with press.database.reading() as connection:
        reasons = list_reasons(connection, done.record.id)
    if as_json:
        session.print_json(
            edition_document(printed)
            | {
                "state": done.record.state,
                "audience": sum(done.counts.values()),
                "counts": counts_document(done.counts),
            }
        )
    else:
        session.out.print(outcome_table(done.counts, reasons))
        session.out.print(shown_outcome(done.counts))
        if done.counts.get(State.IN_DOUBT):
            options = done.record.options
            session.out.print(f"`newsletter resolve {options}` lists who is in doubt.")
    if not done.is_sent:
        raise TemporaryError(
            "stopped before the end",
            mend=f"`newsletter send {done.record.options}` goes on, and mails nobody twice",
        )


def _ask_for_word(session: Session, audience: int, *, as_json: bool) -> None:
    """Return once the word is typed; a mail of its own is not sent on a slip of a finger."""
    if as_json or not sys.stdin.isatty():
        raise RefusedError("nobody is here to say yes", mend="add --yes to go on without asking")
    try:
        typed = typer.prompt(
            f'Type "{_WORD}" to mail {shown_count(audience, "reader")} now',
            default="",
            show_default=False,
            err=True,
        )
    except typer.Abort:
        session.err.print()
        typed = ""
    if typed.strip() != _WORD:
        session.err.print("Nobody was mailed, and nothing was published.")
        raise typer.Exit(1)


def _write_web(press: Press, wrong: Wrong) -> None:
    """Write the pages anew of what was wrong, where there is a folder for them."""
    if press.web_folder is not None:
        write_web(press, press.web_folder, day=wrong.day)


# -- what is shown ---------------------------------------------------------------------------------


def _list(session: Session, edition: str, *, as_json: bool) -> None:
    with session.database() as database, database.reading() as connection:
        wrong_id = find_asked_edition(connection, edition).id if edition else None
        found = list_corrections(connection, wrong_id)
    if as_json:
        session.print_json({"corrections": [_document(made) for made in found]})
        return
    if not found:
        session.out.print("There is no correction.")
        return
    zone = session.settings.publication.zone
    table = Table(title="Corrections", title_justify="left")
    for heading in ("ID", "Made", "Edition", "Brief", "Severity", "Text", "Told in"):
        table.add_column(heading, overflow="fold")
    for made in found:
        table.add_row(
            str(made.id),
            shown_moment(made.made_at, zone),
            name_edition(made.day, made.kind),
            escape(f"{made.number} {made.title}" if made.number else ""),
            made.severity,
            escape(made.text),
            made.carried_in or _WAITING[made.severity],
        )
    session.out.print(table)


_WAITING: dict[Severity, str] = {
    "minor": "the web alone",
    "normal": "waits for the next edition",
    "severe": "nobody: it was cancelled",
}


def _question_table(wrong: Wrong, severity: Severity, text: str) -> Table:
    table = Table(title="Correction", show_header=False, title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("Edition", wrong.name)
    if wrong.number:
        table.add_row(f"Brief {wrong.number}", escape(wrong.title))
    table.add_row("Severity", severity)
    table.add_row("Text", escape(text))
    return table


def _wrong_document(wrong: Wrong, severity: Severity, text: str) -> dict[str, Any]:
    return {
        "date": wrong.day.isoformat(),
        "kind": wrong.kind,
        "brief": wrong.number,
        "title": wrong.title,
        "severity": severity,
        "text": text,
    }


def _document(made: Made) -> dict[str, Any]:
    return {
        "id": made.id,
        "date": made.day.isoformat(),
        "kind": made.kind,
        "brief": made.number,
        "title": made.title,
        "severity": made.severity,
        "text": made.text,
        "made_at": made.made_at.isoformat(),
        "made_by": made.made_by,
        "carried_in": made.carried_in,
    }
