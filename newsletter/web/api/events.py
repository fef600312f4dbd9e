"""The feed of what happened, read on from a cursor."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from newsletter.delivery.feed import has_new, list_events, number_new
from newsletter.press import Press
from newsletter.web.api import models
from newsletter.web.api.cursors import read_cursor
from newsletter.web.api.gate import caller_of


def add_events(router: APIRouter, press: Press) -> None:
    """Add the route of events."""
    database = press.database

    @router.get("/events", response_model=models.EventPage)
    def list_happenings(
        request: Request, cursor: models.Cursor = None, limit: models.Limit = 100
    ) -> Any:
        """Give what happened since a cursor, the earliest first; ask again with `next`.

        Readers are named by number; their addresses are for keys with the scope audience:read.
        """
        after = read_cursor(cursor) if cursor is not None else 0
        with database.reading() as connection:
            is_new = has_new(connection)
        if is_new:
            with database.writing() as connection:
                number_new(connection, press.settings.webhooks, press.now())
        with database.reading() as connection:
            events = list_events(
                connection,
                after=after,
                limit=limit,
                with_addresses="audience:read" in caller_of(request).key.scopes,
            )
        last = events[-1].number if events else after
        return {"events": [event.to_document() for event in events], "next": str(last)}
