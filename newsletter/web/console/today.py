"""The day: what was gathered, the coming edition with its briefs in order, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import unified_diff
from typing import cast, get_args

from fastapi import FastAPI, Request
from sqlalchemy import Connection
from starlette.responses import Response

from newsletter.briefs.health import TROUBLE, judge_source
from newsletter.briefs.text_writer import format_text
from newsletter.briefs.watch import load_facts
from newsletter.editions.desk import list_waiting
from newsletter.editions.lifecycle import UNDER_WAY, UNSENT
from newsletter.editions.placing import Move, list_fixed, move_brief
from newsletter.editions.review import list_texts
from newsletter.editions.seconding import list_open
from newsletter.editions.shelf import EditionRecord, find_edition, list_editions
from newsletter.editions.verdicts import (
    Reviewed,
    find_said_of_edition,
    find_text,
    load_reviewed,
    load_said,
    load_told,
    read_rules,
    store_verdict,
)
from newsletter.errors import InputError, RefusedError, TemporaryError
from newsletter.press import Press
from newsletter.press.composing import compose, render
from newsletter.publish import prepare
from newsletter.web.console.editions import read_tally
from newsletter.web.console.gate import Visit
from newsletter.web.console.pages import Frame

_EDITIONS_LOOKED_AT = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldView:
    """A brief of the edition, in its place."""

    reviewed: Reviewed
    is_fixed: bool
    form: str
    why: str


def add_today(app: FastAPI, press: Press, frame: Frame) -> None:
    """Add the pages of the day."""
    database = press.database

    @app.get("/")
    def show_today(request: Request) -> Response:
        now, settings = press.now(), press.settings
        with database.reading() as connection:
            facts = load_facts(connection, settings, now=now)
            record = find_edition(connection, press.today())
            recent = list_editions(connection, _EDITIONS_LOOKED_AT)
            told: list[ToldView] = []
            if record and record.state in UNSENT:
                fixed = list_fixed(connection)
                told = [
                    ToldView(reviewed=each, is_fixed=each.brief_id in fixed, form="", why="")
                    for each in load_told(connection, record.id, read_rules(settings))
                ]
            asked = list_open(connection, record.id) if record and told else ()
            waiting = list_waiting(connection, settings, now=now)
            said = find_said_of_edition(connection, record.id) if record and told else None
            under_way = [
                (each, read_tally(connection, each, now))
                for each in recent
                if each.state in UNDER_WAY
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
            waiting=[each for each in waiting if each.brief_id not in in_edition],
            waits_in=sum(each.reviewed.judgement.state == "waiting" for each in told),
            under_way=under_way,
            trouble=[(f.name, h) for f, h in judged if h.status in TROUBLE],
            sources_count=len(judged),
            last_read=max((f.last_success_at for f in facts if f.last_success_at), default=None),
            items_of_week=sum(f.items_of_week for f in facts),
            send_at=settings.schedule.send_at,
            zone=settings.publication.timezone,
        )

    @app.post("/gather")
    def gather_anew(request: Request) -> Response:
        mine = replace(press, actor=request.state.visit.actor)
        prepared = prepare(mine, press.today())
        if prepared.printed is None and prepared.composed.outcome == "held":
            record = prepared.composed.record
            raise TemporaryError(f"the edition is held: {record.reason if record else ''}")
        return frame.lead("/")

    @app.post("/briefs/{brief_id}/move")
    def move(request: Request, brief_id: int) -> Response:
        visit: Visit = request.state.visit
        asked = visit.form.get("move", "")
        if asked not in get_args(Move):
            raise InputError("nothing was moved", mend="say where to")
        with database.writing() as connection:
            record = find_edition(connection, press.today())
            if record is None or record.state not in UNSENT:
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
        return frame.lead(f"/#brief-{brief_id}")

    @app.get("/briefs/{brief_id}")
    def show_brief(request: Request, brief_id: int) -> Response:
        with database.reading() as connection:
            found = _find(connection, press, brief_id)
            said = load_said(connection, [brief_id]).get(brief_id, [])
            before = find_text(connection, brief_id, said[-1].content_hash) if said else None
        changes: list[str] = []
        if before:
            texts = list(list_texts(before)), list(list_texts(found.document))
            changes = list(unified_diff(*texts, lineterm="", n=1))[2:]
        return frame.show(
            "brief.html.j2",
            request.state.visit,
            found=found,
            said=said,
            changes=changes,
            text=format_text([found.brief], vocabulary=press.settings.vocabulary),
        )

    @app.post("/briefs/{brief_id}/judge")
    def judge(request: Request, brief_id: int) -> Response:
        visit: Visit = request.state.visit
        form = visit.form
        verdict, note = form.get("verdict", ""), form.get("note", "").strip()[:500]
        if verdict not in ("approved", "rejected"):
            raise InputError("nothing was said of it", mend="approve it or reject it")
        if verdict == "rejected" and not note:
            raise InputError("a rejection needs a reason", mend="say why, for whoever wrote it")
        with database.writing() as connection:
            found = _find(connection, press, brief_id)
            if found.content_hash != form.get("seen"):
                raise TemporaryError("the brief was changed since you saw it", mend="read it again")
            store_verdict(
                connection,
                [found],
                "approved" if verdict == "approved" else "rejected",
                by=visit.actor,
                now=press.now(),
                note=note,
            )
            record = find_edition(connection, press.today())
        if verdict == "rejected" and record and record.state in UNSENT:
            remake(replace(press, actor=visit.actor), record)
        return frame.lead("/")


def remake(press: Press, record: EditionRecord) -> None:
    """Compose and render an edition anew of what was gathered; no source is asked."""
    composed = compose(press, record.date, None, kind=record.kind)
    if composed.edition is not None:
        render(press, composed)


def _find(connection: Connection, press: Press, brief_id: int) -> Reviewed:
    found = load_reviewed(connection, [brief_id], read_rules(press.settings)).get(brief_id)
    if found is None:
        raise RefusedError("there is no such brief", mend="look at the day again")
    return found
