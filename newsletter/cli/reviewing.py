"""What a person reads and approves before it may be sent: review, and its own commands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import unified_diff
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection

from newsletter.briefs.text_writer import format_text
from newsletter.cli.asked import JsonOption, YesOption, confirm, find_asked_edition
from newsletter.cli.session import Session
from newsletter.cli.tables import shown_count, shown_moment
from newsletter.editions.desk import list_waiting
from newsletter.editions.lifecycle import UNSENT
from newsletter.editions.review import Judgement, Verdict, list_texts
from newsletter.editions.shelf import find_edition, load_content
from newsletter.editions.verdicts import (
    Reviewed,
    approve_edition,
    find_said_of_edition,
    find_text,
    load_reviewed,
    load_said,
    load_told,
    read_edition_hash,
    read_rules,
    store_verdict,
)
from newsletter.editions.window import local_date
from newsletter.errors import RefusedError, TemporaryError
from newsletter.press import Press
from newsletter.press.seconding import ask_for_its_time
from newsletter.publish import print_standing

_HASH_CHARACTERS = 8
"""How much of a hash people see: enough to tell a brief's texts apart."""

review = typer.Typer(
    name="review",
    help="What waits for a person's word before it is sent: list, show, approve, reject.",
    invoke_without_command=True,
)
_Brief = Annotated[
    str,
    typer.Argument(metavar="ID", help="The brief's number; ID:HASH means it only as it was seen."),
]
_Briefs = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID…", help="Numbers; ID:HASH means a brief only as it was seen."),
]


@review.callback()
def list_(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List the briefs that wait before the coming edition may have them."""
    if ctx.invoked_subcommand:
        return
    session: Session = ctx.obj
    with session.database() as database, database.reading() as connection:
        waiting = list_waiting(connection, session.settings, now=session.now())
    if as_json:
        session.print_json([_document(each) for each in waiting])
        return
    if not waiting:
        is_off = "" if session.settings.review.required else "; review.required is not set"
        session.out.print(f"No brief waits for a reviewer{is_off}.")
        return
    session.out.print(_waiting_table(waiting))
    session.out.print(
        "`newsletter review show ID` shows one whole; `newsletter review approve ID`, or --all, "
        "lets it go; `newsletter review reject ID --note WHY` keeps it out.",
        markup=False,
    )


@review.command("show")
def show(ctx: typer.Context, brief: _Brief, as_json: JsonOption = False) -> None:
    """Show a whole brief, its warnings, and what was changed since somebody judged it."""
    session: Session = ctx.obj
    with session.database() as database, database.reading() as connection:
        (found,) = _load(session, connection, [brief])
        said = load_said(connection, [found.brief_id]).get(found.brief_id, [])
        last = said[-1] if said else None
        before = last and find_text(connection, found.brief_id, last.content_hash)
    changes = _compare(before, found) if before else []
    if as_json:
        session.print_json(
            _document(found)
            | {
                "document": found.document,
                "warnings": [warning["message"] for warning in found.warnings],
                "changes": changes,
                "said": [
                    {
                        "verdict": each.verdict,
                        "by": each.decided_by,
                        "at": each.decided_at.isoformat(),
                        "note": each.note,
                        "hash": each.content_hash,
                    }
                    for each in said
                ],
            }
        )
        return
    zone = session.settings.publication.zone
    session.out.print(f"Brief {_name(found)} from {found.source}, {found.origin}", markup=False)
    session.out.print(f"Review: {_shown_state(found.judgement)}", markup=False)
    for each in said:
        note = f": {each.note}" if each.note else ""
        when = shown_moment(each.decided_at, zone)
        session.out.print(f"  {each.verdict} by {each.decided_by} at {when}{note}", markup=False)
    for warning in found.warnings:
        session.out.print(f"Warning: {warning['message']}", markup=False)
    session.out.print("")
    whole = format_text([found.brief], vocabulary=session.settings.vocabulary)
    session.out.print(whole, markup=False, soft_wrap=True)
    for line in changes:
        session.out.print(line, markup=False, soft_wrap=True)


@review.command("approve")
def approve(
    ctx: typer.Context,
    brief: _Briefs = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every brief that waits; asks first.")
    ] = False,
    note: Annotated[str, typer.Option(help="Kept with it.")] = "",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Approve briefs as they stand: an edit afterwards needs another word."""
    session: Session = ctx.obj
    if bool(brief) == everything:
        raise typer.BadParameter("name briefs, or give --all", param_hint="ID")
    asked = brief or []
    if everything:
        with session.database() as database, database.reading() as connection:
            waiting = list_waiting(connection, session.settings, now=session.now())
        asked = [f"{each.brief_id}:{each.content_hash}" for each in waiting]
        if waiting and not as_json:
            session.out.print(_waiting_table(waiting))
        if waiting and not yes:
            confirm(
                session,
                f"Approve {shown_count(len(waiting), 'brief')}?",
                declined="Nothing was approved.",
                as_json=as_json,
            )
    _judge(session, asked, "approved", note, as_json=as_json)


@review.command("reject")
def reject(
    ctx: typer.Context,
    brief: _Briefs = None,
    note: Annotated[str, typer.Option(help="Why; kept with it, and required.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Reject briefs: no edition has them until somebody approves them."""
    if not brief:
        raise typer.BadParameter("name briefs", param_hint="ID")
    if not note.strip():
        raise typer.BadParameter("say why, for whoever wrote it", param_hint="--note")
    _judge(ctx.obj, brief, "rejected", note.strip(), as_json=as_json)


@review.command("edition")
def edition(
    ctx: typer.Context,
    asked: Annotated[
        str | None,
        typer.Argument(metavar="[EDITION]", help="Its date or number; default today's."),
    ] = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Approve an edition as it stands, with the briefs it tells; made anew otherwise it waits."""
    session: Session = ctx.obj
    rules, zone = read_rules(session.settings), session.settings.publication.zone
    with session.database() as database:
        with database.reading() as connection:
            day = local_date(session.now(), zone)
            record = find_asked_edition(connection, asked) if asked else None
            record = record or find_edition(connection, day)
            if record is None or record.state not in UNSENT:
                state = f"is {record.state}" if record else "is not made yet"
                raise RefusedError(
                    f"the edition of {record.name if record else day} {state}: there is nothing "
                    "to approve",
                    mend="`newsletter preview` makes and shows today's",
                )
            content = load_content(connection, record.id)
            told = load_told(connection, record.id, rules)
            seen = read_edition_hash(connection, record.id)
            said = find_said_of_edition(connection, record.id)
        rejected = [each for each in told if each.judgement.state == "rejected"]
        if rejected:
            raise RefusedError(
                f'the edition of {record.name} holds "{rejected[0].brief.title[:60]}", which is '
                "rejected",
                mend="`newsletter preview` makes it anew without that",
            )
        if not as_json:
            session.out.print(_edition_table(record.name, content.subject, told))
        if said is None and not yes:
            confirm(
                session,
                "Approve it as it stands?",
                declined="Nothing was approved.",
                as_json=as_json,
            )
        waits = False
        if said is None:
            with database.writing() as connection:
                by, now = session.actor, session.now()
                approve_edition(connection, record.id, rules, by=by, now=now, seen=seen)
            press = Press(session.settings, database, session.now, by)
            waits = record.has_compiled and ask_for_its_time(press, print_standing(press, record))
    if as_json:
        document = {"date": record.date.isoformat(), "kind": record.kind, "hash": seen}
        session.print_json(document | {"verdict": "approved", "changed": said is None})
        return
    already = f" already, by {said.decided_by}" if said else ""
    session.out.print(
        f"The edition of {record.name} is approved as it stands{already}. If it is made anew with "
        "other content, that waits for approval.",
        markup=False,
    )
    if waits:
        session.out.print("It is sent once another person confirms it in the console.")


# -- the steps -------------------------------------------------------------------------------------


def _judge(
    session: Session, asked: Sequence[str], verdict: Verdict, note: str, *, as_json: bool
) -> None:
    """Keep a verdict about the briefs as they stand; all of them, or none."""
    with session.database() as database:
        with database.writing() as connection:
            found = _load(session, connection, asked)
            changed = [
                each
                for each in found
                if each.judgement.said is None
                or (each.judgement.state, each.judgement.said.note if note else "")
                != (verdict, note)
            ]
            by, now = session.actor, session.now()
            store_verdict(connection, changed, verdict, by=by, now=now, note=note)
        with database.reading() as connection:
            waiting = list_waiting(connection, session.settings, now=session.now())
    if as_json:
        session.print_json(
            {
                "verdict": verdict,
                "changed": [each.brief_id for each in changed],
                "briefs": [each.brief_id for each in found],
                "waiting": len(waiting),
            }
        )
        return
    for each in found:
        already = "" if each in changed else " already"
        session.out.print(f"{verdict.capitalize()}{already}: {_name(each)} {each.brief.title}")
    left = shown_count(len(waiting), "brief") if waiting else "No brief"
    session.out.print(f"{left} {'wait' if len(waiting) > 1 else 'waits'} for a reviewer.")


def _load(session: Session, connection: Connection, asked: Sequence[str]) -> list[Reviewed]:
    """Load the briefs that somebody named; each must still be as they saw it, if they say so."""
    names = [_parse_name(each) for each in asked]
    loaded = load_reviewed(
        connection, [number for number, _ in names], read_rules(session.settings)
    )
    found: dict[int, Reviewed] = {}
    for number, seen in names:
        if number not in loaded:
            raise RefusedError(
                f"there is no brief {number}", mend="`newsletter review` lists what waits"
            )
        if not loaded[number].content_hash.startswith(seen):
            raise TemporaryError(
                f"brief {number} was changed since you saw it",
                mend=f"`newsletter review show {number}` shows it as it is now",
            )
        found[number] = loaded[number]
    return list(found.values())


def _parse_name(asked: str) -> tuple[int, str]:
    match = re.fullmatch(r"(\d{1,15})(?::([0-9a-f]{4,64}))?", asked, re.ASCII)
    if match is None:
        raise typer.BadParameter(f"{asked!r} is no number of a brief", param_hint="ID")
    return int(match[1]), match[2] or ""


# -- what is shown ---------------------------------------------------------------------------------


def _name(reviewed: Reviewed) -> str:
    return f"{reviewed.brief_id}:{reviewed.content_hash[:_HASH_CHARACTERS]}"


def _shown_state(judgement: Judgement) -> str:
    if judgement.by_trust:
        return "approved, since its source is trusted"
    return f"{judgement.state}, {judgement.why}" if judgement.why else judgement.state


def _waiting_table(waiting: Sequence[Reviewed]) -> Table:
    table = Table(title="Waiting for a reviewer", title_justify="left")
    table.add_column("Brief", no_wrap=True)
    for heading in ("Title", "Source", "Why"):
        table.add_column(heading, overflow="fold")
    for each in waiting:
        why = each.judgement.why or ""
        row = (_name(each), each.brief.title, each.source, why)
        table.add_row(*map(Text, row))
    return table


def _edition_table(name: str, subject: str, told: Sequence[Reviewed]) -> Table:
    table = Table(title=f"Edition of {name}", title_justify="left")
    table.add_column("Brief", no_wrap=True)
    table.add_column("Title", overflow="fold")
    table.add_column("Review", overflow="fold")
    table.add_row("", Text(f"Subject: {subject}"), "")
    for each in told:
        table.add_row(*map(Text, (_name(each), each.brief.title, _shown_state(each.judgement))))
    return table


def _compare(before: object, now: Reviewed) -> list[str]:
    """Compare a brief's text with the one that somebody judged; empty where nothing changed."""
    assert isinstance(before, dict)
    return list(
        unified_diff(
            list(list_texts(before)),
            list(list_texts(now.document)),
            "as it was judged",
            "as it is now",
            lineterm="",
            n=1,
        )
    )


def _document(reviewed: Reviewed) -> dict[str, Any]:
    said = reviewed.judgement.said
    return {
        "id": reviewed.brief_id,
        "hash": reviewed.content_hash,
        "title": reviewed.brief.title,
        "source": reviewed.source,
        "origin": reviewed.origin,
        "published_at": reviewed.published_at.isoformat(),
        "state": reviewed.judgement.state,
        "why": reviewed.judgement.why,
        "decided_by": said.decided_by if said else None,
    }
