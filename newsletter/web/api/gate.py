"""What stands before every route of the API.

In this order, each with an answer of its own:

1. the table of scopes: a route that it does not name is refused (403), whoever asks;
2. the key, of `Authorization: Bearer KEY` and from nowhere else (401);
3. the key's limit (429);
4. the key's scope (403);
5. the body's size (413).

Only then is the request read. No key is ever written to a log or repeated in an answer.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from limits import parse_many
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Message

from newsletter.press import Press
from newsletter.store.audit import Actor
from newsletter.store.limits import take
from newsletter.store.tables import write_document
from newsletter.web.api.problems import HEADERS, answer_error, answer_problem
from newsletter.web.api.scopes import NEEDS
from newsletter.web.console.keys import Key, find_key, name_holder
from newsletter.web.visitor import Visitors

log = logging.getLogger("newsletter.web")

_ASK = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A program that was let through."""

    key: Key
    address: str

    @property
    def actor(self) -> Actor:
        """Who is noted for what is done."""
        return Actor(who=name_holder(self.key.name), origin=self.address)

    @property
    def source(self) -> str:
        """What briefs are known by that it brings: no source of the settings, so never trusted."""
        return f"api: {self.key.name}"

    def whose(self, press: Press) -> Press:
        """Give the press as this program works it."""
        return replace(press, actor=self.actor)


class Gate:
    """Lets a request through, or not."""

    def __init__(self, press: Press, root: str) -> None:
        self._press, self._root = press, root
        self._limits = tuple(parse_many(press.settings.api.per_key))
        self._visitors = Visitors(press.settings)

    def admit(self, request: Request) -> Caller:
        """Judge a request by its route and its key."""
        path = str(request.scope["route"].path).removeprefix(self._root)
        need = NEEDS.get((request.method, path))
        if need is None:
            raise HTTPException(HTTPStatus.FORBIDDEN, "This is for nobody.")
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise HTTPException(
                HTTPStatus.UNAUTHORIZED, "Send a key as `Authorization: Bearer KEY`.", _ASK
            )
        now = self._press.now()
        with self._press.database.reading() as connection:
            # A wrong one costs no write.
            is_known = find_key(connection, secret.strip(), now=now, is_noted=False) is not None
        if not is_known:
            raise HTTPException(HTTPStatus.UNAUTHORIZED, "There is no such key.", _ASK)
        with self._press.database.writing() as connection:
            key = find_key(connection, secret.strip(), now=now)
            if key is None:  # it was ended this very moment
                raise HTTPException(HTTPStatus.UNAUTHORIZED, "There is no such key.", _ASK)
            is_for_this = need in key.scopes
            is_within = take(connection, self._limits, f"key {key.id}", now=now)
        if not is_within:
            seconds = max(limit.get_expiry() for limit in self._limits)
            raise HTTPException(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"More than {self._press.settings.api.per_key} of this key.",
                {"Retry-After": str(seconds)},
            )
        if not is_for_this:
            raise HTTPException(HTTPStatus.FORBIDDEN, f"This is for keys with the scope {need}.")
        return Caller(key=key, address=self._visitors.read_address(request) or "unknown")

    def build_route_class(self) -> type[APIRoute]:
        """Build the class of routes that this gate stands before."""
        gate, most = self, self._press.settings.api.max_bytes

        class GuardedRoute(APIRoute):
            """A route that is for keys alone, and says no with problem+json."""

            def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
                answer = super().get_route_handler()

                async def answer_guarded(request: Request) -> Response:
                    try:
                        caller = await run_in_threadpool(gate.admit, request)
                        bounded = Request(request.scope, _bound(request, most))
                        bounded.state.caller = caller
                        response = await answer(bounded)
                    except Exception as error:
                        said = answer_error(error)
                        if said is None:
                            log.error("a request of the API failed: %r", type(error).__name__)  # noqa: TRY400
                            log.debug("where it failed", exc_info=error)
                            said = answer_problem(500, "A fault of this program; it is in the log.")
                        return said
                    response.headers.update({**HEADERS, **dict(response.headers)})
                    return response

                return answer_guarded

        return GuardedRoute


def caller_of(request: Request) -> Caller:
    """Give the program that a request is of."""
    caller: Caller = request.state.caller
    return caller


def build_etag(document: Any) -> str:
    """Give the entity tag of a document: what If-Match compares."""
    return f'"{hashlib.sha256(write_document(document).encode()).hexdigest()[:32]}"'


def check_match(request: Request, etag: str, *, required: bool = True) -> None:
    """Refuse a change of what is not any more as its caller saw it (If-Match)."""
    sent = request.headers.get("if-match", "")
    if not sent:
        if not required:
            return
        raise HTTPException(
            HTTPStatus.PRECONDITION_REQUIRED, "Send If-Match with the ETag that you saw."
        )
    if etag not in (tag.strip() for tag in sent.split(",")):
        raise HTTPException(
            HTTPStatus.PRECONDITION_FAILED, "It was changed since you looked at it."
        )


def _bound(request: Request, most: int) -> Callable[[], Coroutine[Any, Any, Message]]:
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > most:
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {most:,} bytes."
            )
        return message

    return receive
