"""Readers: found by address, and one reader's whole story."""

from __future__ import annotations

from fastapi import FastAPI, Request
from sqlalchemy import Connection, or_, select
from starlette.responses import Response

from newsletter.audience.address import build_key
from newsletter.audience.subscribers import count_by_status
from newsletter.delivery.inquiry import tell_story
from newsletter.delivery.words import explain_outcome
from newsletter.editions.shelf import list_editions
from newsletter.errors import RefusedError
from newsletter.press import Press
from newsletter.store.tables import subscribers
from newsletter.web.console.pages import Frame
from newsletter.web.forms import Number

_FOUND = 50
_EDITIONS_TOLD = 30
_LAST = "\U0010ffff"


def add_readers(app: FastAPI, press: Press, frame: Frame) -> None:
    """Add the pages of readers."""
    database = press.database

    @app.get("/readers")
    def search(request: Request) -> Response:
        asked = request.query_params.get("q", "").replace("\0", "").strip()[:320]
        found = []
        if asked:
            with database.reading() as connection:
                found = find_readers(connection, asked)
        return frame.show(
            "readers.html.j2",
            request.state.visit,
            asked=asked,
            found=found,
            most=_FOUND,
            counts=count_by_status(database),
        )

    @app.get("/readers/{reader_id}")
    def show_reader(request: Request, reader_id: Number) -> Response:
        with database.reading() as connection:
            key = connection.scalar(
                select(subscribers.c.email_key).where(subscribers.c.id == reader_id)
            )
            if key is None:
                raise RefusedError(f"there is no reader {reader_id}", mend="search for the address")
            story = tell_story(
                connection,
                key,
                list_editions(connection, _EDITIONS_TOLD),
                pseudonyms=press.pseudonyms,
            )
        assert story.subscriber is not None
        return frame.show(
            "reader.html.j2",
            request.state.visit,
            story=story,
            reader=story.subscriber,
            choices=story.subscriber.choices.to_document(),
            meaning=lambda attempt: explain_outcome(attempt.outcome, attempt.reply),
        )


def find_readers(connection: Connection, asked: str) -> list[tuple[int, str, str, str]]:
    """Find readers whose address begins with some text: number, address, name, status."""
    key, c = build_key(asked), subscribers.c
    begins = (c.email_key >= key) & (c.email_key < key + _LAST)
    rows = connection.execute(
        select(c.id, c.email, c.name, c.status)
        .where(or_(c.email_key == key, begins))
        .order_by(c.email_key)
        .limit(_FOUND)
    )
    return [(row.id, row.email, row.name, row.status) for row in rows]
