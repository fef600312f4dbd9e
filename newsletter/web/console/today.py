"""The day: what was gathered, the coming edition with its briefs in order, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast, get_args

from fastapi import FastAPI, Request
from starlette.responses import Response

from newsletter.briefs.health import TROUBLE, judge_source
from newsletter.briefs.watch import load_facts
from newsletter.editions.desk import list_waiting
from newsletter.editions.lifecycle import UNDER_WAY, UNSENT
from newsletter.editions.model import Kind
from newsletter.editions.placing import Move, list_fixed, move_brief
from newsletter.editions.seconding import list_open
from newsletter.editions.shelf import find_coming, find_edition, list_editions
from newsletter.editions.storylines import Piece, list_pieces, list_suggestions
from newsletter.editions.verdicts import (
    Reviewed,
    find_said_of_edition,
    load_told,
    read_rules,
)
from newsletter.errors import InputError, RefusedError, Untimely
from newsletter.press import Press
from newsletter.publish import prepare
from newsletter.web.console.briefs import day_path, remake
from newsletter.web.console.editions import read_tally
from newsletter.web.console.gate import Visit
from newsletter.web.console.pages import Frame
from newsletter.web.console.roles import may
from newsletter.web.forms import Number

_EDITIONS_LOOKED_AT = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldView:
    """A brief of the edition, in its place."""

    reviewed: Reviewed
    is_fixed: bool
    also: Sequence[Piece]
    """What tells of the same story, and is named beside it."""


def add_today(app: FastAPI, press: Press, frame: Frame) -> None:
    """Add the pages of the day."""
    database = press.database

    @app.get("/")
    def show_today(request: Request) -> Response:
        now, settings = press.now(), press.settings
        kind = _read_kind(request, press)
        with database.reading() as connection:
            facts = load_facts(connection, settings, now=now)
            record = find_edition(connection, press.today(), kind)
            recent = list_editions(connection, _EDITIONS_LOOKED_AT, with_planned=False)
            told: list[ToldView] = []
            if record and record.state in UNSENT:
                fixed = list_fixed(connection)
                pieces = list_pieces(connection, record.id)
                story = {piece.brief_id: piece.story_id for piece in pieces}
                told = [
                    ToldView(
                        reviewed=each,
                        is_fixed=each.brief_id in fixed,
                        also=[
                            piece
                            for piece in pieces
                            if piece.story_id == story.get(each.brief_id) and not piece.leads
                        ],
                    )
                    for each in load_told(connection, record.id, read_rules(settings))
                ]
            is_asked = may(request.state.visit.member.role, "editor")  # others cannot answer
            maybe = (
                list_suggestions(connection, record.id)
                if is_asked and record and told and not record.is_planned
                else ()
            )
            asked = list_open(connection, record.id) if record and told else ()
            waiting = list_waiting(connection, settings, now=now)
            said = find_said_of_edition(connection, record.id) if record and told else None
            under_way = [
                (each, read_tally(connection, each)) for each in recent if each.state in UNDER_WAY
            ]
        in_edition = {each.reviewed.brief_id for each in told}
        judged = [(each, judge_source(each, now)) for each in facts]
        return frame.show(
            "today.html.j2",
            request.state.visit,
            day=press.today(),
            record=record,
            said=said,
            asked=asked,
            told=told,
            maybe=maybe,
            waiting=[each for each in waiting if each.brief_id not in in_edition],
            waits_in=sum(each.reviewed.judgement.state == "waiting" for each in told),
            under_way=under_way,
            trouble=[(f.name, h) for f, h in judged if h.status in TROUBLE],
            sources_count=len(judged),
            last_read=max((f.last_success_at for f in facts if f.last_success_at), default=None),
            items_of_week=sum(f.items_of_week for f in facts),
            kind=kind,
            kinds=settings.daily_kinds,
            send_at=(settings.find_schedule(kind) or settings.schedule).send_at,
            zone=settings.publication.timezone,
        )

    @app.post("/gather")
    def gather_anew(request: Request) -> Response:
        mine = replace(press, actor=request.state.visit.actor)
        kind = _read_kind(request, press)
        prepared = prepare(mine, press.today(), kind=kind)
        if prepared.printed is None and prepared.composed.outcome == "held":
            record = prepared.composed.record
            raise Untimely(f"the edition is held: {record.reason if record else ''}")
        return frame.lead(day_path(kind))

    @app.post("/briefs/{brief_id}/move")
    def move(request: Request, brief_id: Number) -> Response:
        visit: Visit = request.state.visit
        asked = visit.form.get("move", "")
        if asked not in get_args(Move):
            raise InputError("nothing was moved", mend="say where to")
        with database.writing() as connection:
            record = find_coming(connection, press.today(), brief_id)
            if record is None:
                raise RefusedError("there is no edition whose order could be changed")
            move_brief(
                connection,
                record.id,
                brief_id,
                cast("Move", asked),
                by=visit.actor,
                now=press.now(),
            )
        remake(replace(press, actor=visit.actor), record)
        return frame.lead(f"{day_path(record.kind)}#brief-{brief_id}")


def _read_kind(request: Request, press: Press) -> Kind:
    """Read which of the day's editions is looked at; the daily one where none is named."""
    kind = request.query_params.get("kind", "daily")
    if kind not in press.settings.daily_kinds:
        known = ", ".join(press.settings.daily_kinds)
        raise RefusedError(f'"{kind[:40]}" is no daily edition', mend=f"there is {known}")
    return kind
