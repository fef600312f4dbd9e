"""Editions over the API: read, sent, paused, resumed, cancelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from sqlalchemy import Connection, select
from starlette.exceptions import HTTPException

from newsletter.audience.address import parse_address
from newsletter.audience.segment import parse_segment
from newsletter.delivery import settle
from newsletter.delivery.inquiry import count_states, list_reasons, load_waves, read_run
from newsletter.delivery.interest import Interest, read_interest
from newsletter.delivery.words import explain_outcome
from newsletter.editions.content import edition_to_document
from newsletter.editions.plan import check_moment
from newsletter.editions.review import hash_edition
from newsletter.editions.shelf import EditionRecord, find_edition, load_content, read_edition
from newsletter.orders import Order, OrderKind, find_order, store_order
from newsletter.press import Press
from newsletter.press.site import write_web
from newsletter.store.tables import editions
from newsletter.web.api import models
from newsletter.web.api.cursors import read_cursor
from newsletter.web.api.gate import Caller, caller_of, check_match
from newsletter.web.api.names import read_named, split_name
from newsletter.web.forms import Number

Token = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Of your choice: asked again with the same one, it is the same order. Needed.",
    ),
]
Seen = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=100,
        description="The ETag of the content that is to be sent; without it the edition is made "
        "anew first, as `newsletter send` does.",
    ),
]


def add_editions(router: APIRouter, press: Press) -> None:
    """Add the routes of editions."""
    database = press.database

    @router.get("/editions", response_model=models.EditionPage)
    def list_all(cursor: models.Cursor = None, limit: models.Limit = 20) -> Any:
        """List editions, the latest to be made first."""
        query = select(editions.c.id).order_by(editions.c.id.desc()).limit(limit + 1)
        if cursor is not None:
            query = query.where(editions.c.id < read_cursor(cursor))
        with database.reading() as connection:
            numbers = list(connection.scalars(query))
            listed = [show(connection, read_edition(connection, each)) for each in numbers[:limit]]
        return {
            "editions": listed,
            "next": str(numbers[limit - 1]) if len(numbers) > limit else None,
        }

    @router.get("/editions/{name}", response_model=models.Edition)
    def get_one(name: str) -> Any:
        """Give one edition, and how its copies stand."""
        with database.reading() as connection:
            return show(connection, read_named(connection, name))

    @router.get("/editions/{name}/content", response_model=dict[str, Any])
    def get_content(name: str, response: Response) -> Any:
        """Give what an edition tells; its ETag is what a send may ask for with If-Match."""
        with database.reading() as connection:
            record = read_named(connection, name)
            hashed = find_hash(connection, record)
            if not hashed:
                raise HTTPException(HTTPStatus.NOT_FOUND, "There is nothing in this edition.")
            document = edition_to_document(load_content(connection, record.id))
        response.headers["ETag"] = f'"{hashed}"'
        return document

    @router.get("/editions/{name}/failures", response_model=models.Failures)
    def get_failures(name: str) -> Any:
        """Say why copies did not arrive, in the relay's words."""
        with database.reading() as connection:
            reasons = list_reasons(connection, read_named(connection, name).id, 100)
        return {
            "failures": [
                {
                    "state": state.value,
                    "reply": reply,
                    "copies": count,
                    "meaning": explain_outcome(state, reply),
                }
                for state, reply, count in reasons
            ]
        }

    @router.get("/editions/{name}/waves", response_model=models.Waves)
    def get_waves(name: str) -> Any:
        """Say when an edition's readers are due."""
        with database.reading() as connection:
            waves = load_waves(connection, read_named(connection, name).id)
        return {
            "waves": [
                {
                    "timezone": wave.hour.zone,
                    "clock": wave.hour.clock,
                    "readers": wave.readers,
                    "due_at": wave.due_at,
                    "begins_at": wave.begins_at,
                }
                for wave in waves
            ]
        }

    @router.get("/editions/{name}/interest", response_model=models.Interest)
    def get_interest(name: str) -> Any:
        """Say which sections and links readers follow; small figures stand in one sum."""
        with database.reading() as connection:
            record = read_named(connection, name)
            url = press.settings.publication.url
            found = read_interest(connection, record.id, url=url) or Interest()
        return {
            "clicks": found.clicks,
            "sections": [asdict(each) for each in found.sections],
            "others": found.others,
        }

    def show(connection: Connection, record: EditionRecord) -> dict[str, Any]:
        run = read_run(connection, record.id, press.now())
        counts = count_states(connection, record.id)
        return {
            "name": record.name,
            "date": record.date,
            "kind": record.kind,
            "state": record.state,
            "reason": record.reason,
            "subject": record.subject,
            "window_start": record.window.start,
            "cut_off": record.window.cut_off,
            "dated_at": record.dated_at,
            "send_at": record.send_at,
            "sent_at": record.sent_at,
            "content_hash": find_hash(connection, record),
            "audience": run.audience if run else 0,
            "counts": {state.value: count for state, count in counts.items()},
        }


def add_sends(router: APIRouter, press: Press) -> None:
    """Add the routes that send, and what an operator decides about a send."""
    database = press.database
    taken: dict[str, Any] = {
        "response_model": models.OrderTaken,
        "status_code": HTTPStatus.ACCEPTED,
    }

    @router.post("/editions/{name}/send", **taken)
    def send(
        name: str,
        request: Request,
        asked: models.SendAsked | None = None,
        token: Token = None,
        seen: Seen = None,
    ) -> Any:
        """Have an edition sent, once for each Idempotency-Key; see what became of it at /sends.

        Where none is there it is made first. What waits for review is not sent. With `at` the order
        is done once the edition is made, and planned for that moment.
        """
        wanted = asked or models.SendAsked()
        if wanted.segment:
            parse_segment(wanted.segment)
        day, kind = split_name(name)
        press.settings.check_kind(kind)
        if wanted.at is None:
            check_day(day, press.today())
        else:
            check_moment(wanted.at, press.now())
        if wanted.briefs and kind != "special":
            raise HTTPException(HTTPStatus.CONFLICT, "Only a special edition is made of briefs.")
        content = seen.strip('"') if seen else ""

        def check(connection: Connection) -> None:
            if seen is None:
                return
            record = find_edition(connection, day, kind)
            check_match(request, f'"{find_hash(connection, record) if record else ""}"')

        given: dict[str, Any] = {
            "overrides": wanted.overrides,
            "segment": wanted.segment,
            "seen": content,
        }
        if wanted.at:
            given["at"] = wanted.at.astimezone(UTC).isoformat()
        if wanted.briefs:
            given["briefs"] = wanted.briefs
        return take(caller_of(request), token, "send", name, given, check)

    @router.post("/editions/{name}/test", **taken)
    def test(name: str, request: Request, asked: models.TestAsked, token: Token = None) -> Any:
        """Have one marked copy mailed to one address, once for each Idempotency-Key."""
        email = parse_address(asked.email).email
        split_name(name)

        def check(connection: Connection) -> None:
            record = read_named(connection, name)
            if not find_hash(connection, record) or not record.has_compiled:
                raise HTTPException(HTTPStatus.CONFLICT, "There is nothing in this edition yet.")

        with database.reading() as connection:
            record = find_edition(connection, *split_name(name))
            seen = find_hash(connection, record) if record else ""
        return take(
            caller_of(request), token, "test", name, {"email": email}, check, {"seen": seen}
        )

    @router.get("/sends/{order_id}", response_model=models.Order)
    def get_order(order_id: Number, request: Request) -> Any:
        """Say what became of what this key asked to be sent."""
        order = find_order(database, caller_of(request).key.id, order_id)
        if order is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "This key asked for no such thing.")
        return show_order(order) | {
            "state": order.state,
            "said": order.said,
            "changed_at": order.changed_at,
        }

    @router.post("/editions/{name}/pause", response_model=models.EditionChanged)
    def pause(name: str, request: Request) -> Any:
        """Pause an edition that is being sent; whoever has it has it."""
        return decide(settle.pause, name, request)

    @router.post("/editions/{name}/resume", response_model=models.EditionChanged)
    def resume(name: str, request: Request) -> Any:
        """Let a paused edition go on."""
        return decide(settle.resume, name, request)

    @router.post("/editions/{name}/cancel", response_model=models.EditionChanged)
    def cancel(name: str, request: Request) -> Any:
        """Cancel an edition for good: whoever was not sent it gets nothing."""

        def cancel_it(connection: Connection, edition_id: int, **how: Any) -> bool:
            return settle.cancel(connection, edition_id, **how).changed

        answer = decide(cancel_it, name, request)
        if press.web_folder is not None:  # an edition that nobody has is taken down
            write_web(press, press.web_folder)
        return answer

    def decide(work: Callable[..., bool], name: str, request: Request) -> dict[str, Any]:
        with database.writing() as connection:
            record = read_named(connection, name)
            actor = caller_of(request).actor
            changed = work(connection, record.id, by=actor, now=press.now())
            state = read_edition(connection, record.id).state
        return {"name": record.name, "state": state, "changed": changed}

    def take(
        caller: Caller,
        token: str | None,
        kind: OrderKind,
        name: str,
        asked: dict[str, Any],
        check: Callable[[Connection], None],
        also: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        if token is None:
            raise HTTPException(
                HTTPStatus.BAD_REQUEST, "Send an Idempotency-Key of your choice as a header."
            )
        now = press.now()
        order = store_order(
            database,
            caller.key.id,
            token,
            kind,
            name,
            asked,
            also or {},
            actor=caller.actor,
            check=check,
            now=now,
        )
        return show_order(order)


def show_order(order: Order) -> dict[str, Any]:
    """Give what an order is, as it is answered the first time and ever after."""
    return {
        "id": order.id,
        "kind": order.kind,
        "edition": order.edition,
        "asked_at": order.asked_at,
    }


def find_hash(connection: Connection, record: EditionRecord) -> str:
    """Give the hash of what readers get of an edition; "" while there is nothing."""
    content = connection.scalar(select(editions.c.content).where(editions.c.id == record.id))
    return hash_edition(content) if content else ""


def check_day(day: date, today: date) -> None:
    """Refuse to make an edition of a day that is far away. Pure."""
    if abs((day - today).days) > _FAR_DAYS:
        raise HTTPException(
            HTTPStatus.CONFLICT, f"{day} is more than {_FAR_DAYS} days from today, {today}."
        )


_FAR_DAYS = 7
"""A date that was mistyped is no edition."""
