"""What is only looked at: sources, settings, and the audit."""

from __future__ import annotations

import re
from itertools import groupby

from fastapi import FastAPI, Request
from starlette.responses import Response

from newsletter.briefs.health import TROUBLE, Health, estimate_gap, judge_source, say_span
from newsletter.briefs.watch import load_facts
from newsletter.press import Press
from newsletter.settings import source_name
from newsletter.settings.effective import list_effective
from newsletter.store.audit import list_entries, verify
from newsletter.web.console.pages import Frame
from newsletter.web.forms import read_number

_ENTRIES = 100


def add_looking(app: FastAPI, press: Press, frame: Frame) -> None:
    """Add the pages of sources, settings and the audit."""
    database, settings = press.database, press.settings

    @app.get("/sources")
    def show_sources(request: Request) -> Response:
        now = press.now()
        kinds = {source_name(source): source.kind for source in settings.sources}
        with database.reading() as connection:
            facts = load_facts(connection, settings, now=now)
        judged = sorted(
            ((each, judge_source(each, now)) for each in facts), key=lambda pair: _rank(pair[1])
        )
        return frame.show(
            "sources.html.j2",
            request.state.visit,
            sources=[
                (each, health, kinds[each.name], say_span(gap) if gap else "")
                for each, health in judged
                for gap in (estimate_gap(each.arrivals),)
            ],
        )

    @app.get("/settings")
    def show_settings(request: Request) -> Response:
        listed = list_effective(settings)
        rooms = [
            (room, list(rows))
            for room, rows in groupby(listed, key=lambda row: re.split(r"[. ]", row.name)[0])
        ]
        return frame.show("settings.html.j2", request.state.visit, rooms=rooms)

    @app.get("/audit")
    def show_audit(request: Request) -> Response:
        asked = request.query_params
        before = asked.get("before", "")
        target = asked.get("target", "").replace("\0", "")[:200]
        with database.reading() as connection:
            entries = list_entries(
                connection,
                _ENTRIES,
                target=target,
                before_id=read_number(before),
            )
            verified = verify(connection) if asked.get("verify") else None
        return frame.show(
            "audit.html.j2",
            request.state.visit,
            entries=entries,
            target=target,
            verified=verified,
            older=entries[-1].id if len(entries) == _ENTRIES else 0,
        )


def _rank(health: Health) -> int:
    return TROUBLE.index(health.status) if health.status in TROUBLE else len(TROUBLE)
