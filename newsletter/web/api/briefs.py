"""Briefs over the API: read, and brought like those of a source, by the same rules.

What a key brings is of a source of its own, which no setting trusts: it waits for review where
that is required.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response
from sqlalchemy import Connection, select
from starlette.exceptions import HTTPException

from newsletter.briefs.document import brief_from_document
from newsletter.briefs.gather import ItemReport, store_item
from newsletter.briefs.sources.reading import Item
from newsletter.editions.verdicts import Reviewed, load_reviewed, read_rules
from newsletter.errors import RefusedError
from newsletter.press import Press
from newsletter.store.audit import note
from newsletter.store.happenings import tell_of_brief
from newsletter.store.tables import briefs
from newsletter.web.api import models
from newsletter.web.api.cursors import read_cursor
from newsletter.web.api.gate import Caller, build_etag, caller_of, check_match
from newsletter.web.forms import Number

_SCHEMA = {"description": "A brief, by the published schema of briefs.", "type": "object"}
Document = Annotated[dict[str, Any], Body(json_schema_extra=_SCHEMA)]


def add_briefs(router: APIRouter, press: Press) -> None:
    """Add the routes of briefs."""
    database, rules = press.database, read_rules(press.settings)

    @router.get("/briefs", response_model=models.BriefPage)
    def list_briefs(
        cursor: models.Cursor = None,
        limit: models.Limit = 50,
        source: Annotated[str, Query(max_length=300, pattern=models.TEXT)] = "",
    ) -> Any:
        """List briefs, the latest to come first."""
        query = select(briefs.c.id).order_by(briefs.c.id.desc()).limit(limit + 1)
        if cursor is not None:
            query = query.where(briefs.c.id < read_cursor(cursor))
        if source:
            query = query.where(briefs.c.source == source)
        with database.reading() as connection:
            numbers = list(connection.scalars(query))
            loaded = load_reviewed(connection, numbers[:limit], rules)
            listed = [show(connection, loaded[number]) for number in numbers[:limit]]
        more = str(numbers[limit - 1]) if len(numbers) > limit else None
        return {"briefs": listed, "next": more}

    @router.get("/briefs/{brief_id}", response_model=models.Brief)
    def get_brief(brief_id: Number, response: Response) -> Any:
        """Give one brief."""
        with database.reading() as connection:
            document = find(connection, brief_id)
        response.headers["ETag"] = build_etag(document)
        return document

    @router.post(
        "/briefs",
        response_model=models.BriefStored,
        status_code=HTTPStatus.CREATED,
        responses={200: {"model": models.BriefStored, "description": "It was known before"}},
    )
    def bring_brief(brief: Document, request: Request, response: Response) -> Any:
        """Bring a brief: stored as a source's would be, and the same one again is known again."""
        return bring(caller_of(request), brief, response)

    @router.put("/briefs/{brief_id}", response_model=models.BriefStored)
    def change_brief(
        brief_id: Number, brief: Document, request: Request, response: Response
    ) -> Any:
        """Bring another text for a brief that this key brought; needs If-Match."""
        return bring(caller_of(request), brief, response, brief_id, request)

    def bring(
        caller: Caller,
        document: dict[str, Any],
        response: Response,
        brief_id: int | None = None,
        request: Request | None = None,
    ) -> Any:
        brief = brief_from_document(document, file="the brief")
        item = Item(brief=brief, origin=caller.actor.who)
        now = press.now()
        with database.writing() as connection:
            if brief_id is not None and request is not None:
                # Of two that saw the same the second waits here, and sees what the first made.
                connection.execute(
                    select(briefs.c.id).where(briefs.c.id == brief_id).with_for_update()
                )
                before = find(connection, brief_id)
                check_match(request, build_etag(before))
                if before["source"] != caller.source:
                    raise RefusedError(f"brief {brief_id} is of the source {before['source']}")
            report = store_item(connection, item, source=caller.source, now=now, brief_id=brief_id)
            stored = check_stored(report)
            shown = find(connection, stored)
            if report.outcome in ("new", "changed"):
                tell_of_brief(connection, stored, report.outcome, now=now)
                target = f"brief {stored}"
                action = "brief.bring"
                note(
                    connection,
                    caller.actor,
                    action,
                    target,
                    now=now,
                    detail=report.outcome,
                    after=shown["brief"],
                )
        response.status_code = HTTPStatus.CREATED if report.outcome == "new" else HTTPStatus.OK
        response.headers["ETag"] = build_etag(shown)
        return {**shown, "outcome": report.outcome}

    def find(connection: Connection, brief_id: int) -> dict[str, Any]:
        found = load_reviewed(connection, [brief_id], rules).get(brief_id)
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such brief.")
        return show(connection, found)

    def show(connection: Connection, reviewed: Reviewed) -> dict[str, Any]:
        row = connection.execute(
            select(briefs.c.changed_at, briefs.c.not_before).where(briefs.c.id == reviewed.brief_id)
        ).one()
        return {
            "id": reviewed.brief_id,
            "source": reviewed.source,
            "origin": reviewed.origin,
            "published_at": reviewed.published_at.isoformat(),
            "changed_at": row.changed_at.isoformat(),
            "not_before": row.not_before.isoformat() if row.not_before else None,
            "review": reviewed.judgement.state,
            "brief": dict(reviewed.document),
        }


def check_stored(report: ItemReport) -> int:
    """Give the brief that came of it; raises `RefusedError` for a text that came too late."""
    if report.outcome == "fixed":
        raise RefusedError(
            f"brief {report.brief_id} is in an edition: its readers have the earlier text",
            mend="correct it with `newsletter correct`",
        )
    assert report.brief_id is not None, "one item repeats no other"
    return report.brief_id
