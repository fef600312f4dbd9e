"""`newsletter subscribers clean`: addresses that are probably no use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from newsletter.cli.asked import JsonOption, YesOption, confirm
from newsletter.cli.session import Session
from newsletter.cli.tables import shown_count

if TYPE_CHECKING:
    from newsletter.audience.cleaning import Problem

_KINDS = ("syntax", "typo", "role", "disposable", "dead")
_SHOWN = 50


def clean(
    ctx: typer.Context,
    dns: Annotated[
        bool, typer.Option("--dns", help="Ask the DNS which domains take no mail.")
    ] = False,
    nameserver: Annotated[
        str,
        typer.Option(metavar="ADDRESS[:PORT]", help="With --dns: ask this server."),
    ] = "",
    suppress: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND", help="Keep addresses of this kind out from now on; may be repeated."
        ),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND", help="Take readers of this kind off the list; may be repeated."
        ),
    ] = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """List addresses that are probably no use; changes nothing unless it is told what.

    The kinds are syntax, typo (of a big domain), role, disposable, and dead, with --dns.
    """
    from newsletter.audience.cleaning import (  # not for `list`: it takes long to import
        build_resolver,
        delete_readers,
        find_problems,
        suppress_addresses,
    )

    session: Session = ctx.obj
    for kind in (*(suppress or ()), *(remove or ())):
        if kind not in _KINDS:
            raise typer.BadParameter(f"{kind!r} is none of {', '.join(_KINDS)}")
    both = set(suppress or ()) & set(remove or ())
    if both:
        raise typer.BadParameter(f"is given for {both.pop()} twice", param_hint="--remove")
    if nameserver and not dns:
        raise typer.BadParameter("goes with --dns", param_hint="--nameserver")
    if "dead" in (*(suppress or ()), *(remove or ())) and not dns:
        raise typer.BadParameter("dead domains are found with --dns", param_hint="--suppress")
    resolver = None
    if dns:
        try:
            resolver = build_resolver(nameserver)
        except ValueError as error:
            raise typer.BadParameter(
                f"{nameserver!r}: {error}", param_hint="--nameserver"
            ) from None
    with session.database() as database:
        with _show_progress(session) as on_progress:
            found = list(find_problems(database, resolver=resolver, on_progress=on_progress))
        if not as_json:
            _print_problems(session, found)
        kept_out = [problem for problem in found if problem.kind in (suppress or ())]
        out = {problem.subscriber_id for problem in kept_out}
        removed = [
            problem
            for problem in found
            if problem.kind in (remove or ()) and problem.subscriber_id not in out
        ]
        if (kept_out or removed) and not yes:
            confirm(
                session,
                f"Keep {len(out):,} out from now on, and take "
                f"{shown_count(len({p.subscriber_id for p in removed}), 'reader')} off the list?",
                declined="Nothing was changed.",
                as_json=as_json,
            )
        suppressed = suppress_addresses(database, kept_out, session.now())
        deleted = delete_readers(database, removed)
    if as_json:
        session.print_json(_build_document(found, suppressed, deleted))
    elif suppress or remove:
        session.out.print(f"{suppressed:,} kept out from now on, {deleted:,} taken off the list.")


@contextmanager
def _show_progress(session: Session) -> Iterator[Callable[[int], None]]:
    columns = (SpinnerColumn(), TextColumn("{task.completed:,} addresses looked at"))
    watched = session.err.is_terminal
    with Progress(*columns, console=session.err, transient=True, disable=not watched) as progress:
        task = progress.add_task("")
        yield lambda judged: progress.update(task, completed=judged)


def _print_problems(session: Session, found: Sequence[Problem]) -> None:
    if not found:
        session.out.print("Every address looks right.")
        return
    table = Table("Address", "Kind", "What is wrong")
    table.columns[0].overflow = "fold"
    for problem in found[:_SHOWN]:
        table.add_row(Text(problem.email), problem.kind, Text(problem.said))
    session.out.print(table)
    if (more := len(found) - table.row_count) > 0:
        session.out.print(f"and {more:,} more; --json has all")
    counts = Counter(problem.kind for problem in found)
    session.out.print(", ".join(f"{kind} {count:,}" for kind, count in counts.most_common()))


def _build_document(found: Sequence[Problem], suppressed: int, deleted: int) -> dict[str, Any]:
    return {
        "problems": [
            {"email": problem.email, "kind": problem.kind, "said": problem.said}
            for problem in found
        ],
        "suppressed": suppressed,
        "removed": deleted,
    }
