"""What a send depends on, looked at: doctor."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from newsletter.cli.asked import JsonOption
from newsletter.cli.session import Session
from newsletter.doctor.check import Check, Verdict, has_failed
from newsletter.doctor.visit import look_at
from newsletter.store import Database, open_database

_STYLES: dict[Verdict, str] = {
    "pass": "green",
    "warn": "bold yellow",
    "fail": "bold red",
    "skip": "dim",
}


def doctor(
    ctx: typer.Context,
    name_server: Annotated[
        str,
        typer.Option("--nameserver", metavar="ADDRESS[:PORT]", help="Ask this server the DNS."),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Look at settings, database, relays, DNS, web address and clock, and say how to mend each.

    Nobody is mailed; a database that is not there yet is made. It fails (1) where something must
    be mended.
    """
    session: Session = ctx.obj
    settings = session.settings

    def open_ours() -> Database:
        return open_database(settings.database_url, durability=settings.delivery.durability)

    try:
        checks = list(
            look_at(
                settings,
                session.config_path,
                open_database=open_ours,
                name_server=name_server,
                now=session.now,
            )
        )
    except ValueError:
        raise typer.BadParameter("is no address", param_hint="--nameserver") from None
    if as_json:
        session.print_json(
            [
                {
                    "check": check.name,
                    "verdict": check.verdict,
                    "sentence": check.sentence,
                    "mend": check.mend,
                }
                for check in checks
            ]
        )
    else:
        session.out.print(_table(checks))
    if has_failed(checks):
        raise typer.Exit(1)


def _table(checks: list[Check]) -> Table:
    table = Table(title="What a send depends on", title_justify="left")
    table.add_column("Check", no_wrap=True)
    table.add_column("Verdict", no_wrap=True)
    table.add_column("What was found, and how to mend it", overflow="fold")
    for check in checks:
        mend = f"\n→ {check.mend}" if check.mend else ""
        verdict = Text(check.verdict, style=_STYLES[check.verdict])
        table.add_row(check.name, verdict, Text(check.sentence + mend))
    return table
