"""What is wrong and who is told: alerts; and the dashboard of its figures."""

from __future__ import annotations

import secrets as random
import sys
from datetime import timedelta
from importlib.resources import files
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.table import Table
from rich.text import Text

from newsletter.cli.asked import JsonOption
from newsletter.cli.session import Session
from newsletter.cli.tables import shown_moment
from newsletter.errors import RefusedError
from newsletter.watch.looking import read_beat
from newsletter.watch.register import Standing, list_alarms
from newsletter.watch.telling import Telling
from newsletter.watch.ways import build_ways, describe_failure

_LATELY = timedelta(days=1)


def alerts(
    ctx: typer.Context,
    test: Annotated[
        bool, typer.Option("--test", help="Send a trial by every way that the settings name.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what is wrong now, what was in the last day, and who was told of it."""
    session: Session = ctx.obj
    if test:
        _try_every_way(session, as_json=as_json)
        return
    now = session.now()
    with session.database() as database, database.reading() as connection:
        found = list_alarms(connection, ended_since=now - _LATELY)
        looked_at = read_beat(connection)
    if as_json:
        session.print_json(
            {
                "looked_at": looked_at and looked_at.isoformat(),
                "alerts": [_document(each) for each in found],
            }
        )
        return
    zone = session.settings.publication.zone
    if found:
        session.out.print(_table(found, zone))
    else:
        session.out.print("Nothing is wrong, and nothing was in the last day.")
    looked = f"last looked at {shown_moment(looked_at, zone)}" if looked_at else "never looked yet"
    session.out.print(f"`newsletter serve` {looked}.", markup=False)
    if not build_ways(session.settings):
        session.out.print(
            "Nobody is told: name a way in [alerts] of newsletter.toml.", markup=False
        )


def dashboard() -> None:
    """Print a Grafana dashboard of the figures at /metrics, to be imported there."""
    sys.stdout.write((files("newsletter.watch") / "dashboard.json").read_text(encoding="utf-8"))


def _try_every_way(session: Session, *, as_json: bool) -> None:
    """Send a trial by every way, and fail if one of them does not take it."""
    ways, now = build_ways(session.settings), session.now()
    if not ways:
        raise RefusedError(
            "no way to tell anybody is named", mend="name one in [alerts] of newsletter.toml"
        )
    failed: dict[str, str] = {}
    for way, tell in ways.items():
        trial = Telling(
            alarm_id=0,
            key=f"trial/{random.token_hex(4)}",
            kind="trial",
            what="trial",
            way=way,
            sentence="This is a trial: nothing is wrong.",
            made_at=now,
        )
        try:
            tell(trial)
        except Exception as error:  # noqa: BLE001 - a library of the way may raise anything
            failed[way] = describe_failure(error)
    if as_json:
        session.print_json({way: failed.get(way, "") for way in ways})
    else:
        for way in ways:
            said = f"not told: {failed[way]}" if way in failed else "took the trial"
            session.out.print(f"{way}: {said}", markup=False, soft_wrap=True)
    if failed:
        raise RefusedError(
            f"{len(failed)} of {len(ways)} ways did not take the trial",
            mend="correct them in [alerts]",
        )


def _table(found: tuple[Standing, ...], zone: ZoneInfo) -> Table:
    table = Table(title="Alerts", title_justify="left")
    table.add_column("Since", no_wrap=True)
    table.add_column("Until", no_wrap=True)
    table.add_column("What", overflow="fold")
    table.add_column("Told by", overflow="fold")
    for each in found:
        untold = [f"not yet by {way}" for way, _ in each.untold]
        table.add_row(
            shown_moment(each.raised_at, zone),
            shown_moment(each.ended_at, zone) if each.ended_at else Text("stands", "bold red"),
            Text(each.sentence),
            ", ".join([*each.told, *untold]) or "the log alone",
        )
    return table


def _document(each: Standing) -> dict[str, Any]:
    return {
        "about": each.key,
        "kind": each.kind,
        "sentence": each.sentence,
        "raised_at": each.raised_at.isoformat(),
        "ended_at": each.ended_at and each.ended_at.isoformat(),
        "told_by": list(each.told),
        "untold": dict(each.untold),
    }
