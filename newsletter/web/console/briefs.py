"""One brief: its text, an editor's mends, a person's word on it, and which story it is of.

What mends or judges a text carries the hash of the one that was looked at. Where it is another by
now, nothing is stored: whoever mended it gets their own words back in the form, beside what
somebody else made of it meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced
from difflib import unified_diff
from typing import Any, cast

from fastapi import FastAPI, Request
from sqlalchemy import Connection
from starlette.responses import Response

from newsletter.briefs.document import brief_from_document
from newsletter.briefs.mending import mend_document
from newsletter.briefs.model import Brief
from newsletter.briefs.text_writer import format_text
from newsletter.editions.mending import check_mendable, mend_brief
from newsletter.editions.model import Kind
from newsletter.editions.review import list_texts
from newsletter.editions.shelf import EditionRecord, find_coming
from newsletter.editions.stories import RuleKind
from newsletter.editions.storylines import Piece, list_pieces, store_rule
from newsletter.editions.verdicts import (
    Reviewed,
    find_text,
    load_reviewed,
    load_said,
    read_rules,
    store_verdict,
)
from newsletter.errors import BriefError, InputError, RefusedError, Untimely
from newsletter.press import Press
from newsletter.press.composing import compose, render
from newsletter.web.console.gate import Visit
from newsletter.web.console.pages import Frame
from newsletter.web.forms import Number, read_number

_CHANGED = (
    "Somebody changed this brief while you wrote, and nothing of yours is lost: it stands in "
)
_CHANGED += "the form. Below is in which lines the two differ; take over what you want, then save."


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A brief's words as they stand in the form."""

    title: str
    update: str
    summary: str
    why_it_matters: str
    points: Sequence[tuple[str, str]]
    """Label and text."""
    lenses: Sequence[tuple[str, str, str]]
    """Lens, descriptor and text."""

    @property
    def mends(self) -> dict[str, Any]:
        """Give the fields of a brief's document."""
        return {
            "title": self.title,
            "update": self.update,
            "summary": self.summary,
            "why_it_matters": self.why_it_matters,
            "quick_take": [{"label": label, "text": text} for label, text in self.points],
            "perspectives": [
                {"lens": lens, "descriptor": descriptor, "text": text}
                for lens, descriptor, text in self.lenses
            ],
        }


def draft_of(brief: Brief) -> Draft:
    """Give the words of a brief. Pure."""
    return Draft(
        title=brief.title,
        update=brief.update,
        summary=brief.summary,
        why_it_matters=brief.why_it_matters,
        points=[(point.label, point.text) for point in brief.quick_take],
        lenses=[(each.lens, each.descriptor, each.text) for each in brief.perspectives],
    )


def read_draft(pairs: Sequence[tuple[str, str]]) -> Draft:
    """Read what was written into the form; a row without a word is left out. Pure."""
    said = {key: value.strip() for key, value in pairs}

    def rows(*names: str) -> list[tuple[str, ...]]:
        columns = [[value.strip() for key, value in pairs if key == name] for name in names]
        return [row for row in zip(*columns, strict=False) if any(row)]

    return Draft(
        title=said.get("title", ""),
        update=said.get("update", ""),
        summary=said.get("summary", ""),
        why_it_matters=said.get("why_it_matters", ""),
        points=cast("list[tuple[str, str]]", rows("point", "point_text")),
        lenses=cast("list[tuple[str, str, str]]", rows("lens", "descriptor", "lens_text")),
    )


def add_briefs(app: FastAPI, press: Press, frame: Frame) -> None:
    """Add the pages of a brief."""
    database = press.database

    @app.get("/briefs/{brief_id}")
    def show_brief(request: Request, brief_id: Number) -> Response:
        with database.reading() as connection:
            found = _find(connection, press, brief_id)
            said = load_said(connection, [brief_id]).get(brief_id, [])
            before = find_text(connection, brief_id, said[-1].content_hash) if said else None
            record = _coming(connection, press, brief_id)
            pieces = list_pieces(connection, record.id) if record else ()
        return frame.show(
            "brief.html.j2",
            request.state.visit,
            found=found,
            said=said,
            changes=_compare(before, found.document),
            mends=_compare(found.source_document, found.document),
            text=format_text([found.brief], vocabulary=press.settings.vocabulary),
            **_sort_pieces(pieces, brief_id),
        )

    # -- its words ---------------------------------------------------------------------------------

    def show_form(
        visit: Visit, found: Reviewed, draft: Draft, *, said: str = "", differ: Sequence[str] = ()
    ) -> Response:
        return frame.show(
            "mend.html.j2",
            visit,
            status=409 if said else 200,
            found=found,
            draft=draft,
            said=said,
            differ=differ,
        )

    @app.get("/briefs/{brief_id}/edit")
    def ask_for_words(request: Request, brief_id: Number) -> Response:
        with database.reading() as connection:
            found = _find(connection, press, brief_id)
            check_mendable(connection, brief_id)
        brief = found.brief
        if found.source_document is not None and request.query_params.get("from") == "source":
            brief = brief_from_document(found.source_document, file="the brief")
        return show_form(request.state.visit, found, draft_of(brief))

    @app.post("/briefs/{brief_id}/edit")
    def mend(request: Request, brief_id: Number) -> Response:
        visit: Visit = request.state.visit
        draft = read_draft(visit.pairs)
        with database.writing() as connection:
            found = _find(connection, press, brief_id)
            if found.content_hash != visit.form.get("seen"):
                return show_form(visit, found, draft, said=_CHANGED, differ=_differ(found, draft))
            try:
                changed = mend_brief(
                    connection, found, draft.mends, by=visit.actor, now=press.now()
                )
            except BriefError as error:
                return show_form(visit, found, draft, said=f"Nothing is stored: {error}")
            record = _coming(connection, press, brief_id)
        if changed and record:
            remake(replaced(press, actor=visit.actor), record)
        return frame.lead(f"/briefs/{brief_id}")

    # -- its story ---------------------------------------------------------------------------------

    @app.post("/briefs/{brief_id}/story")
    def rule(request: Request, brief_id: Number) -> Response:
        visit: Visit = request.state.visit
        kind, other = visit.form.get("rule", ""), read_number(visit.form.get("other", ""))
        if kind not in ("merge", "split") or not other:
            raise InputError("nothing was merged", mend="choose the other brief")
        with database.writing() as connection:
            record = _coming(connection, press, brief_id)
            if record is None:
                raise RefusedError("there is no edition whose stories could be changed")
            store_rule(
                connection,
                cast("RuleKind", kind),
                brief_id,
                other,
                by=visit.actor,
                now=press.now(),
            )
        remake(replaced(press, actor=visit.actor), record)
        if visit.form.get("from") == "day":
            return frame.lead(f"{day_path(record.kind)}#edition")
        return frame.lead(f"/briefs/{brief_id}#story")

    # -- a person's word ---------------------------------------------------------------------------

    @app.post("/briefs/{brief_id}/judge")
    def judge(request: Request, brief_id: Number) -> Response:
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
                raise Untimely("the brief was changed since you saw it", mend="read it again")
            store_verdict(
                connection,
                [found],
                "approved" if verdict == "approved" else "rejected",
                by=visit.actor,
                now=press.now(),
                note=note,
            )
            record = _coming(connection, press, brief_id)
        if verdict == "rejected" and record:
            remake(replaced(press, actor=visit.actor), record)
        return frame.lead("/")


def remake(press: Press, record: EditionRecord) -> None:
    """Compose and render an edition anew of what was gathered; no source is asked."""
    composed = compose(press, record.date, None, kind=record.kind)
    if composed.edition is not None:
        render(press, composed)


def day_path(kind: Kind) -> str:
    """Give the path of the day's page that shows an edition of a kind."""
    return "/" if kind == "daily" else f"/?kind={kind}"


def _coming(connection: Connection, press: Press, brief_id: int) -> EditionRecord | None:
    """Find the day's edition that has a brief, unless it is not made anew any more."""
    record = find_coming(connection, press.today(), brief_id)
    return None if record is None or record.is_planned else record


def _find(connection: Connection, press: Press, brief_id: int) -> Reviewed:
    found = load_reviewed(connection, [brief_id], read_rules(press.settings)).get(brief_id)
    if found is None:
        raise RefusedError("there is no such brief", mend="look at the day again")
    return found


def _sort_pieces(pieces: Sequence[Piece], brief_id: int) -> dict[str, Any]:
    """Tell the pieces of a brief's own story from the leads of all others."""
    own = next((each.story_id for each in pieces if each.brief_id == brief_id), None)
    return {
        "with_it": [p for p in pieces if p.story_id == own and p.brief_id != brief_id],
        "others": [p for p in pieces if p.story_id != own and p.leads],
        "is_placed": own is not None,
    }


def _differ(found: Reviewed, draft: Draft) -> list[str]:
    """List the lines in which a brief as it is now and what somebody wrote differ."""
    try:
        return _compare(found.document, mend_document(found.document, draft.mends))
    except BriefError:  # what they wrote is no brief yet: show what is there
        return [f"-{line}" for line in list_texts(found.document)]


def _compare(before: Any, after: Any) -> list[str]:
    """Compare two documents line by line; empty where there is only one of them."""
    if not before:
        return []
    texts = list(list_texts(before)), list(list_texts(after))
    return list(unified_diff(*texts, lineterm="", n=1))[2:]
