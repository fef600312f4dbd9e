"""Which pieces are one story, and an operator's word on it: stories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from newsletter.cli.asked import DateOption, JsonOption, KindOption, check_daily
from newsletter.cli.session import Session
from newsletter.editions.desk import compose_edition
from newsletter.editions.stories import suggest_merges
from newsletter.editions.story import Fate, Suggestion
from newsletter.editions.storylines import load_rules, store_rule

stories = typer.Typer(
    help="Which pieces the coming edition tells as one story.", invoke_without_command=True
)

BriefArgument = Annotated[int, typer.Argument(metavar="BRIEF", help="Number of a brief.")]


@stories.callback()
def list_(
    ctx: typer.Context,
    day: DateOption = None,
    kind: KindOption = "daily",
    as_json: JsonOption = False,
) -> None:
    """List the stories of a daily edition, each with all of its pieces. Changes nothing.

    Those that it tells apart and that may be one follow, the likeliest first.
    """
    if ctx.invoked_subcommand is not None:
        return
    check_daily(kind)
    session: Session = ctx.obj
    now = session.now()
    today = now.astimezone(session.settings.publication.zone).date()
    asked = day.date() if day else today
    with session.database() as database:
        composed = compose_edition(
            database, session.settings, day=asked, now=now, reports=None, kind=kind, dry=True
        )
        with database.reading() as connection:
            rules = load_rules(connection)
    told = group_fates(composed.fates)
    shown = [[fate.candidate for fate in each] for each in told if each[0].place != "left out"]
    maybe = suggest_merges(shown, rules=rules)
    if as_json:
        session.print_json(
            {
                "stories": [_document(each) for each in told],
                "maybe": [_suggested(each) for each in maybe],
            }
        )
    elif told:
        session.out.print(_table(told))
        if maybe:
            session.out.print(_maybe_table(maybe))
            session.out.print(
                "`newsletter stories merge` makes two one, `newsletter stories split` keeps them "
                "two and says no more of them.",
                markup=False,
                soft_wrap=True,
            )
    else:
        session.out.print("No story waits for that edition; `newsletter gather` reads the sources.")


@stories.command()
def merge(
    ctx: typer.Context, one: BriefArgument, other: BriefArgument, as_json: JsonOption = False
) -> None:
    """Make two pieces one story, and all that is like them."""
    _rule(ctx.obj, "merge", one, other, as_json=as_json)


@stories.command()
def split(
    ctx: typer.Context, one: BriefArgument, other: BriefArgument, as_json: JsonOption = False
) -> None:
    """Keep two pieces apart, and each with what is like it."""
    _rule(ctx.obj, "split", one, other, as_json=as_json)


def group_fates(fates: Sequence[Fate]) -> list[list[Fate]]:
    """Give each story's fates, its lead's first: those that it tells as well follow it."""
    told: list[list[Fate]] = []
    for fate in fates:
        if fate.place == "also" and told:
            told[-1].append(fate)
        elif fate.place in ("full", "standard", "one-line", "left out"):
            told.append([fate])
    return told


def _rule(
    session: Session, kind: Literal["merge", "split"], one: int, other: int, *, as_json: bool
) -> None:
    with session.database() as database, database.writing() as connection:
        titles = store_rule(connection, kind, one, other, by=session.actor, now=session.now())
    if as_json:
        session.print_json({"rule": kind, "briefs": [one, other], "titles": list(titles)})
        return
    how = "are one story" if kind == "merge" else "are two stories"
    session.out.print(
        f'"{titles[0]}" and "{titles[1]}" {how} from now on, in every edition that is not approved '
        "yet; the newest word on two briefs counts.",
        markup=False,
        soft_wrap=True,
    )


def _table(told: Sequence[Sequence[Fate]]) -> Table:
    table = Table(title="Stories", title_justify="left")
    table.add_column("Brief", justify="right", no_wrap=True)
    for heading in ("Title", "From", "Place", "Why"):
        table.add_column(heading, overflow="fold")
    for fates in told:
        for fate in fates:
            also = fate.place == "also"
            table.add_row(
                str(fate.candidate.brief_id),
                escape(("└ " if also else "") + fate.candidate.brief.title),
                escape(fate.candidate.source),
                fate.place,
                escape(fate.why),
                end_section=fate is fates[-1],
            )
    return table


def _maybe_table(maybe: Sequence[Suggestion]) -> Table:
    table = Table(title="Maybe one story", title_justify="left")
    for heading in ("Brief", "Title", "From", "Why"):
        table.add_column(heading, overflow="fold")
    for each in maybe:
        for candidate in (each.one, each.other):
            table.add_row(
                str(candidate.brief_id),
                escape(candidate.brief.title),
                escape(candidate.source),
                escape(each.why) if candidate is each.one else "",
                end_section=candidate is each.other,
            )
    return table


def _suggested(suggestion: Suggestion) -> dict[str, Any]:
    both = (suggestion.one, suggestion.other)
    return {
        "briefs": [each.brief_id for each in both],
        "titles": [each.brief.title for each in both],
        "likeness": round(suggestion.likeness, 2),
        "why": suggestion.why,
    }


def _document(fates: Sequence[Fate]) -> dict[str, Any]:
    lead, *others = fates
    return _piece(lead) | {"also": [_piece(other) for other in others]}


def _piece(fate: Fate) -> dict[str, Any]:
    return {
        "brief": fate.candidate.brief_id,
        "title": fate.candidate.brief.title,
        "source": fate.candidate.source,
        "place": fate.place,
        "why": fate.why,
    }
