"""When each reader gets an edition: waves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import typer
from rich.table import Table

from newsletter.cli.asked import DateOption, JsonOption, KindOption
from newsletter.cli.session import Session
from newsletter.cli.tables import shown_count, shown_moment
from newsletter.delivery.inquiry import load_waves, read_rate, read_run
from newsletter.delivery.waves import Forecast, Wave, forecast, plan_waves
from newsletter.editions.lifecycle import RELEASED
from newsletter.editions.model import Kind
from newsletter.editions.shelf import find_edition
from newsletter.errors import RefusedError


def waves(
    ctx: typer.Context,
    day: DateOption = None,
    kind: KindOption = "daily",
    as_json: JsonOption = False,
) -> None:
    """Show the hours at which readers get an edition, and who would get it late."""
    from newsletter.press import Press
    from newsletter.press.approving import find_release

    session: Session = ctx.obj
    with session.database() as database, database.reading() as connection:
        press = Press(session.settings, database, session.now)
        now = press.now()
        of = day.date() if day else press.today()
        rate = read_rate(connection)
        record = find_edition(connection, of, kind)
        if record and record.state in RELEASED:
            planned = load_waves(connection, record.id)
            run = read_run(connection, record.id, now)
            everybody = run.audience if run else 0
        else:
            release = find_release(press, of, kind, record.send_at if record else None)
            if release is None:
                raise RefusedError(
                    "every reader gets such an edition at once",
                    mend='see schedule.reader_hours, and "newsletter send", which heeds no hour',
                )
            everybody, chosen = press.ledger.count_hours(
                connection, kind, of, follows_zones=session.settings.schedule.follow_zones
            )
            planned = plan_waves(chosen, release, now=max(now, release.at), per_second=rate)
            now = max(now, release.at)
    at_once = everybody - sum(wave.readers for wave in planned)
    told = forecast(planned, now=now, per_second=rate, at_once=at_once) if rate else ()
    if as_json:
        session.print_json(_document(of, kind, at_once, planned, told, rate))
        return
    zone = session.settings.publication.zone
    session.out.print(_table(planned, told, zone, title=f"Edition of {of:%Y-%m-%d}"))
    session.out.print(_sentence(at_once, planned, told, rate), soft_wrap=True)


def _table(
    planned: Sequence[Wave], told: Sequence[Forecast], zone: ZoneInfo, *, title: str
) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("Hour", "Zone", "Here", "Begins", "Through by"):
        table.add_column(name, no_wrap=name != "Zone")
    table.add_column("Readers", justify="right")
    table.add_column("Late", justify="right")
    ends = {each.wave: each for each in told}
    for wave in planned:
        end = ends.get(wave)
        table.add_row(
            wave.hour.clock or "send_at",
            wave.hour.zone or "the publication's",
            shown_moment(wave.due_at, zone),
            shown_moment(wave.begins_at, zone),
            shown_moment(end.ends_at, zone) if end else "",
            f"{wave.readers:,}",
            f"{end.late:,}" if end else "",
        )
    return table


def _sentence(at_once: int, planned: Sequence[Wave], told: Sequence[Forecast], rate: float) -> str:
    others = f"{shown_count(at_once, 'reader')} {'gets' if at_once == 1 else 'get'} it at once."
    if not planned:
        return f"{others} Nobody chose an hour."
    if not rate:
        return f"{others} No run has measured a rate yet, so nobody can say who gets it late."
    late = sum(each.late for each in told)
    who = f"{late:,} would get it late" if late else "Nobody would get it late"
    return f"{others} {who} at {rate:,.1f} messages a second, as earlier runs had."


def _document(
    of: date,
    kind: Kind,
    at_once: int,
    planned: Sequence[Wave],
    told: Sequence[Forecast],
    rate: float,
) -> dict[str, Any]:
    ends = {each.wave: each for each in told}

    def shown(wave: Wave) -> dict[str, Any]:
        end = ends.get(wave)
        return {
            "zone": wave.hour.zone,
            "clock": wave.hour.clock,
            "readers": wave.readers,
            "due_at": wave.due_at.isoformat(),
            "begins_at": wave.begins_at.isoformat(),
            "ends_at": end and end.ends_at.isoformat(),
            "late": end and end.late,
        }

    return {
        "date": of.isoformat(),
        "kind": kind,
        "at_once": at_once,
        "per_second": rate,
        "waves": [shown(wave) for wave in planned],
    }
