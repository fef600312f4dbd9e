"""How the sources fare: sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import typer
from rich.table import Table
from rich.text import Text

from newsletter.briefs.health import TROUBLE, Facts, Health, estimate_gap, judge_source, say_span
from newsletter.briefs.watch import load_facts
from newsletter.cli.asked import JsonOption
from newsletter.cli.session import Session
from newsletter.settings import source_name

_STYLES = {"failing": "bold red", "stale": "bold yellow", "waiting": "yellow", "ok": "green"}


def sources(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Show every source: when it was last read, what came of it, and what is wrong with it."""
    session: Session = ctx.obj
    settings, now = session.settings, session.now()
    kinds = {source_name(source): source.kind for source in settings.sources}
    with session.database() as database, database.reading() as connection:
        facts = load_facts(connection, settings, now=now)
    judged = [(each, judge_source(each, now)) for each in facts]
    judged.sort(key=lambda pair: _rank(pair[1]))
    if as_json:
        session.print_json([_document(*pair, kinds[pair[0].name]) for pair in judged])
        return
    if not judged:
        session.out.print("There is no source; add [[sources]] to newsletter.toml.", markup=False)
        return
    zone = settings.publication.zone
    session.out.print(_table(judged, kinds, zone))
    for each, health in judged:
        if health.sentence:
            session.out.print(f"{each.name}: {health.sentence}", markup=False, soft_wrap=True)


def _rank(health: Health) -> int:
    return TROUBLE.index(health.status) if health.status in TROUBLE else len(TROUBLE)


def _table(
    judged: Sequence[tuple[Facts, Health]], kinds: Mapping[str, str], zone: ZoneInfo
) -> Table:
    table = Table(title="Sources", title_justify="left")
    table.add_column("Source", overflow="fold")
    for heading in ("Kind", "Status"):
        table.add_column(heading, no_wrap=True)
    for heading in ("Last read", "Last new item", "Usual gap"):
        table.add_column(heading, overflow="fold")
    table.add_column("In 7 days", justify="right")
    table.add_column("Fails since", overflow="fold")
    for facts, health in judged:
        gap = estimate_gap(facts.arrivals)
        table.add_row(
            Text(facts.name),
            kinds[facts.name],
            Text(health.status, style=_STYLES.get(health.status, "")),
            _shown(facts.last_success_at, zone),
            _shown(facts.newest_item_at, zone),
            say_span(gap) if gap else "–",
            f"{facts.items_of_week:,}",
            _shown(facts.failing_since, zone),
        )
    return table


def _shown(moment: datetime | None, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}" if moment else "–"


def _document(facts: Facts, health: Health, kind: str) -> dict[str, Any]:
    gap = estimate_gap(facts.arrivals)
    return {
        "source": facts.name,
        "kind": kind,
        "status": health.status,
        "sentence": health.sentence,
        "last_success_at": facts.last_success_at and facts.last_success_at.isoformat(),
        "newest_item_at": facts.newest_item_at and facts.newest_item_at.isoformat(),
        "usual_gap_seconds": gap and int(gap.total_seconds()),
        "items_of_week": facts.items_of_week,
        "failing_since": facts.failing_since and facts.failing_since.isoformat(),
        "failures": facts.failures,
        "error": facts.last_error,
    }
