"""What several commands are asked alike: which edition, JSON or a table, with a question or not."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from sqlalchemy import Connection

from newsletter.cli.session import Session
from newsletter.editions.model import Kind, name_edition, parse_edition_name
from newsletter.editions.shelf import (
    EditionRecord,
    find_edition,
    list_editions,
    list_editions_of_day,
    read_edition,
)
from newsletter.errors import RefusedError
from newsletter.settings.kinds import KINDS, is_daily

RECENT_EDITIONS = 30
"""How far back a command looks for the edition it is for, if none is named."""


def check_kind(ctx: typer.Context, kind: str | None) -> str | None:
    """Give back the kind of edition that somebody named; one that nobody knows is refused."""
    if kind is None or kind in KINDS:  # then the settings need not be read for it
        return kind
    session: Session = ctx.obj
    try:
        return session.settings.check_kind(kind)
    except RefusedError as error:
        raise typer.BadParameter(str(error)) from None


DateOption = Annotated[
    datetime | None,
    typer.Option(
        "--date",
        formats=["%Y-%m-%d"],
        metavar="YYYY-MM-DD",
        help="Editorial date; default today.",
    ),
]
AtOption = Annotated[
    str,
    typer.Option(
        metavar="MOMENT",
        help='Have `serve` send it then, as it stands: "2026-11-27 15:00" by the publication\'s '
        "clock, or 15:00 for the next time that it shows that.",
    ),
]
BriefOption = Annotated[
    list[int] | None,
    typer.Option(metavar="NUMBER", help="With --kind special: a brief of it; may be given again."),
]
AnyKindOption = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        callback=check_kind,
        help="Only editions of this kind; with --date default daily.",
    ),
]
LatestDateOption = Annotated[
    datetime | None,
    typer.Option(
        "--date",
        formats=["%Y-%m-%d"],
        metavar="YYYY-MM-DD",
        help="Editorial date; default the latest that fits.",
    ),
]
KindOption = Annotated[
    str,
    typer.Option(
        "--kind",
        metavar="KIND",
        callback=check_kind,
        help="daily, a further daily edition by its name, weekly, special, or correction, for one "
        "under way.",
    ),
]
EditionArgument = Annotated[
    str,
    typer.Argument(
        metavar="EDITION",
        help="Its date, YYYY-MM-DD (of another kind YYYY-MM-DD-KIND), or its number.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
SegmentOption = Annotated[
    str,
    typer.Option(
        metavar="SEGMENT", help='Only some readers: "topics:markets language:de active:<90d".'
    ),
]


def parse_moment(text: str, now: datetime, zone: ZoneInfo) -> datetime:
    """Read a moment, aware UTC: a date with a time, or a time of day alone for the next such.

    Without an offset of its own it is by the clock of `zone`: of an hour that this shows twice
    the first, and one that it skips as if it had not been put forward. Raises
    `typer.BadParameter` for any other text.
    """
    try:
        if len(text.strip()) <= len("15:00"):
            clock = time.fromisoformat(text.strip())
            day = now.astimezone(zone).date()
            moment = datetime.combine(day, clock, tzinfo=zone)
            if moment.timestamp() <= now.timestamp():
                moment = datetime.combine(day + timedelta(days=1), clock, tzinfo=zone)
        else:
            moment = datetime.fromisoformat(text.strip())
            if len(text.strip()) <= len("2026-11-27"):
                raise ValueError(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f'{text!r} is no moment such as "2026-11-27 15:00"', param_hint="--at"
        ) from None


def check_daily(kind: Kind) -> None:
    """Refuse a kind of edition that is not made of what was gathered for a day."""
    if not is_daily(kind):
        raise typer.BadParameter("is for a daily edition", param_hint="--kind")


def check_briefs(brief_ids: list[int] | None, kind: Kind) -> tuple[int, ...]:
    """Give the briefs that somebody named; only a special edition is made of such."""
    if brief_ids and kind != "special":
        raise typer.BadParameter("goes with --kind special", param_hint="--brief")
    return tuple(brief_ids or ())


def find_asked_edition(connection: Connection, asked: str) -> EditionRecord:
    """Find the edition that somebody named by its date or its number."""
    if named := parse_edition_name(asked):
        return find_edition_of(connection, *named)
    try:
        day = date.fromisoformat(asked)
    except ValueError:
        if not (asked.isascii() and asked.isdigit()):
            raise typer.BadParameter(
                f"{asked!r} is neither a date such as 2026-03-02 nor a number",
                param_hint="EDITION",
            ) from None
        return read_edition(connection, int(asked))
    return find_edition_of(connection, day)


def find_edition_of(connection: Connection, day: date, kind: Kind = "daily") -> EditionRecord:
    """Find the edition of a day; raises `RefusedError` where there is none."""
    found = find_edition(connection, day, kind)
    if found is None:
        raise RefusedError(
            f"there is no edition of {name_edition(day, kind)}",
            mend="`newsletter status` lists those there are",
        )
    return found


def list_editions_of(connection: Connection, day: date) -> tuple[EditionRecord, ...]:
    """List the editions of a day, of whatever kind; raises `RefusedError` where there is none."""
    return list_editions_of_day(connection, day) or (find_edition_of(connection, day),)


def find_enrolled_edition(
    connection: Connection, day: datetime | None, kind: Kind | None = None
) -> EditionRecord:
    """Find the edition of a day, or the latest one of a kind; it must have an audience."""
    if day is not None:
        found = find_edition_of(connection, day.date(), kind or "daily")
        if found.dated_at is None:
            raise RefusedError(f"the edition of {found.name} is {found.state}: it has no readers")
        return found
    recent = list_editions(connection, RECENT_EDITIONS)
    fitting = (record for record in recent if kind is None or record.kind == kind)
    latest = next((record for record in fitting if record.dated_at is not None), None)
    if latest is None:
        raise RefusedError("no edition was sent yet", mend="see `newsletter status`")
    return latest


def confirm(session: Session, question: str, *, declined: str, as_json: bool) -> None:
    """Return on a yes, else say what did not happen and exit with 1.

    The question goes where remarks go: the output may be a file.
    """
    if as_json or not sys.stdin.isatty():
        raise RefusedError("nobody is here to say yes", mend="add --yes to go on without asking")
    try:
        if typer.confirm(question, err=True):
            return
    except typer.Abort:  # Ctrl-C, or the end of the input
        session.err.print()
    session.err.print(declined, markup=False, soft_wrap=True)
    raise typer.Exit(1)
