"""The audience over the API: a scope of its own, a page of a hundred at most, each page noted."""

from __future__ import annotations

from datetime import UTC
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection, select, update
from starlette.exceptions import HTTPException

from newsletter.audience.address import build_key, parse_address
from newsletter.audience.cells import format_list, parse_choices, parse_text
from newsletter.audience.entry import Entry
from newsletter.audience.reader import Choices, Subscriber
from newsletter.audience.subscribers import BY_OPERATOR, add_subscriber, read_subscriber
from newsletter.audience.suppression import keep_intents_out, suppress
from newsletter.delivery.inquiry import tell_story
from newsletter.editions.shelf import list_editions
from newsletter.press import Press
from newsletter.store.audit import note
from newsletter.store.tables import subscribers, suppressions
from newsletter.web.api import models
from newsletter.web.api.cursors import read_cursor
from newsletter.web.api.gate import build_etag, caller_of, check_match
from newsletter.web.forms import Number

_EDITIONS_TOLD = 30
_S = subscribers.c


def add_audience(router: APIRouter, press: Press) -> None:
    """Add the routes of readers and of suppressions."""
    database = press.database

    @router.get("/audience", response_model=models.ReaderPage)
    def list_readers(
        request: Request,
        cursor: models.Cursor = None,
        limit: models.Limit = 50,
        email: Annotated[str, Query(max_length=320, pattern=models.TEXT)] = "",
        status: Annotated[str, Query(max_length=20, pattern="^[a-z]*$")] = "",
    ) -> Any:
        """List readers in the order in which they came; with `email` the one who has it."""
        query = select(_S.id, _S.email_key).order_by(_S.id).limit(limit + 1)
        after = read_cursor(cursor) if cursor is not None else 0
        query = query.where(_S.id > after)
        if email:
            query = query.where(_S.email_key == parse_address(email).key)
        if status:
            query = query.where(_S.status == status)
        with database.reading() as connection:
            rows = connection.execute(query).all()
            listed = [show(read_key(connection, row.email_key)) for row in rows[:limit]]
        if listed:
            with database.writing() as connection:
                detail = f"{len(listed)} readers, from number {listed[0]['id']} on"
                actor = caller_of(request).actor
                note(connection, actor, "audience.list", "audience", now=press.now(), detail=detail)
        more = str(rows[limit - 1].id) if len(rows) > limit else None
        return {"readers": listed, "next": more}

    @router.post("/audience", response_model=models.Reader, status_code=HTTPStatus.CREATED)
    def add_reader(asked: models.ReaderAdded, request: Request, response: Response) -> Any:
        """Add a reader who said somewhere that they want it, or lay this over an active one."""
        consent_at = asked.consent_at
        if consent_at is not None and consent_at.tzinfo is None:
            consent_at = consent_at.replace(tzinfo=UTC)
        entry = Entry(
            address=parse_address(asked.email),
            name=parse_text(asked.name, "name"),
            choices=parse_chosen(asked.choices),
            consent_at=consent_at.astimezone(UTC) if consent_at else press.now(),
            consent_source=parse_text(asked.consent_source, "consent_source"),
        )
        now = press.now()
        reader = add_subscriber(database, entry, now=now, pseudonyms=press.pseudonyms)
        with database.writing() as connection:
            actor = caller_of(request).actor
            note(connection, actor, "reader.add", f"reader {reader.id}", now=now)
        document = show(reader)
        response.headers["ETag"] = build_etag(document)
        return document

    @router.get("/audience/{reader_id}", response_model=models.Reader)
    def get_reader(reader_id: Number, response: Response) -> Any:
        """Give one reader."""
        with database.reading() as connection:
            document = show(find(connection, reader_id))
        response.headers["ETag"] = build_etag(document)
        return document

    @router.get("/audience/{reader_id}/story", response_model=models.Story)
    def get_story(reader_id: Number) -> Any:
        """Tell what the latest editions were to one reader."""
        with database.reading() as connection:
            reader = find(connection, reader_id)
            story = tell_story(
                connection,
                parse_address(reader.email).key,
                list_editions(connection, _EDITIONS_TOLD),
                pseudonyms=press.pseudonyms,
            )
        chapters = [
            {
                "edition": chapter.edition.name,
                "state": chapter.copy.state.value if chapter.copy else "",
                "reply": chapter.copy.reply if chapter.copy else "",
                "absence": chapter.absence,
                "attempts": [
                    {
                        "started_at": attempt.started_at.isoformat(),
                        "ended_at": attempt.ended_at.isoformat(),
                        "outcome": attempt.outcome.value,
                        "reply": attempt.reply,
                    }
                    for attempt in chapter.attempts
                ],
            }
            for chapter in story.chapters
        ]
        reason = story.suppressed.reason if story.suppressed else ""
        return {"reader": show(reader), "suppressed": reason, "chapters": chapters}

    @router.patch("/audience/{reader_id}", response_model=models.Reader)
    def change_reader(
        reader_id: Number, asked: models.ReaderChanged, request: Request, response: Response
    ) -> Any:
        """Change a reader's name, choices or pause; needs If-Match. An address is not changed."""
        now = press.now()
        values: dict[str, Any] = {"updated_at": now}
        if asked.name is not None:
            values["name"] = parse_text(asked.name, "name")
        if asked.choices is not None:
            values["choices"] = parse_chosen(asked.choices).to_document()
        if "paused_until" in asked.model_fields_set:
            values["paused_until"] = asked.paused_until
        with database.writing() as connection:
            # Of two that saw the same the second waits here, and sees what the first made of it.
            connection.execute(select(_S.id).where(_S.id == reader_id).with_for_update())
            before = show(find(connection, reader_id))
            check_match(request, build_etag(before))
            connection.execute(update(subscribers).where(_S.id == reader_id).values(values))
            document = show(find(connection, reader_id))
            note(
                connection,
                caller_of(request).actor,
                "reader.change",
                f"reader {reader_id}",
                now=now,
                detail=", ".join(sorted(asked.model_fields_set)),
            )
        response.headers["ETag"] = build_etag(document)
        return document

    @router.delete("/audience/{reader_id}", status_code=HTTPStatus.NO_CONTENT)
    def remove_reader(reader_id: Number, request: Request) -> None:
        """Take a reader off the list, and keep the address from being imported again."""
        now = press.now()
        with database.writing() as connection:
            keep_intents_out(connection)  # and whoever moves: the address is theirs until the end
            reader = find(connection, reader_id)
            check_match(request, build_etag(show(reader)), required=False)
            key = build_key(reader.email)
            suppress(connection, [key], "unsubscribed", now, detail=BY_OPERATOR)
            actor = caller_of(request).actor
            note(connection, actor, "reader.remove", f"reader {reader_id}", now=now)

    @router.get("/suppressions", response_model=models.SuppressedPage)
    def list_suppressions(cursor: models.Cursor = None, limit: models.Limit = 50) -> Any:
        """List addresses that must not be mailed; those that were erased have no name here."""
        columns = suppressions.c
        query = (
            select(suppressions)
            .where(columns.reason != "erased", columns.email_key > (cursor or ""))
            .order_by(columns.email_key)
            .limit(limit + 1)
        )
        with database.reading() as connection:
            rows = connection.execute(query).all()
        listed = [
            {
                "email": row.email_key,
                "reason": row.reason,
                "detail": row.detail,
                "since": row.suppressed_at,
            }
            for row in rows[:limit]
        ]
        more = rows[limit - 1].email_key if len(rows) > limit else None
        return {"suppressions": listed, "next": more}

    @router.post("/suppressions", status_code=HTTPStatus.NO_CONTENT)
    def add_suppression(asked: models.SuppressionAsked, request: Request) -> None:
        """Keep an address from being mailed, whether it is on the list or not."""
        key, actor = parse_address(asked.email).key, caller_of(request).actor
        detail = parse_text(asked.detail, "detail") or f"by {actor.who}"
        with database.writing() as connection:
            suppress(connection, [key], "manual", press.now(), detail=detail)
            reader = read_subscriber(connection, key)
            target = f"reader {reader.id}" if reader else "an address that is not on the list"
            note(connection, actor, "audience.suppress", target, now=press.now())

    def find(connection: Connection, reader_id: int) -> Subscriber:
        key = connection.scalar(select(_S.email_key).where(_S.id == reader_id))
        if key is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such reader.")
        return read_key(connection, key)


def read_key(connection: Connection, key: str) -> Subscriber:
    """Read a reader who is there."""
    found = read_subscriber(connection, key)
    assert found is not None
    return found


def parse_chosen(chosen: models.Choices) -> Choices:
    """Read choices by the rules of an import; raises `AudienceError`."""
    given = chosen.model_dump()
    minutes = given.pop("minutes")
    cells = {
        name: format_list(value) if isinstance(value, list) else value
        for name, value in given.items()
    }
    return parse_choices(**cells, minutes=str(minutes or ""))


def show(reader: Subscriber) -> dict[str, Any]:
    """Give a reader as JSON."""
    paused_until = reader.paused_until.isoformat() if reader.paused_until else None
    return {**reader.to_document(), "paused_until": paused_until}
