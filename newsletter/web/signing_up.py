"""Subscribing: a page, a form for other sites, an endpoint for programs, and the confirmation.

GET  /subscribe               the form
POST /subscribe               from it, or from a form on another site
POST /api/v1/subscriptions    the same for programs, as JSON
GET  /c/TOKEN                 the page behind the mail's link: asks; changes nothing
POST /c/TOKEN                 confirms: from here on editions are sent
POST /c/TOKEN/never           it was somebody else: the address is not asked again
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import Message

from newsletter.render.addresses import SUBSCRIBE_PATH
from newsletter.web.forms import MAX_FORM_BYTES, read_form
from newsletter.web.signing_desk import SigningDesk, clean_source


class SubscriptionRequest(BaseModel):
    """Asks for the digest to be sent to an address; it is confirmed by mail first."""

    model_config = ConfigDict(extra="forbid")

    email: Annotated[str, Field(max_length=320, examples=["reader@example.org"])]
    language: Annotated[
        str, Field(max_length=35, description="Language of the mail, such as `de`.")
    ] = ""
    source: Annotated[
        str, Field(max_length=300, description="The page that it was asked for on.")
    ] = ""


class SubscriptionAsked(BaseModel):
    """The same for every address, whatever is known of it."""

    status: Literal["asked"] = "asked"


class SubscriptionRefused(BaseModel):
    """Why nothing was asked for: the address, its domain, or too many from one network."""

    error: Literal["address", "domain", "network"]


class BoundedRoute(APIRoute):
    """A route that reads no more of a request than it can be about."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Give what answers a request, whose body ends the answering where it is too long."""
        answer = super().get_route_handler()

        async def answer_bounded(request: Request) -> Response:
            received = 0

            async def receive() -> Message:
                nonlocal received
                message = await request.receive()
                received += len(message.get("body", b""))
                if received > MAX_FORM_BYTES:
                    raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                return message

            return await answer(Request(request.scope, receive))

        return answer_bounded


def build_signing_up(desk: SigningDesk) -> APIRouter:
    """Build the pages of subscribing."""
    router = APIRouter()

    @router.get(SUBSCRIBE_PATH)
    def show(request: Request) -> Response:
        language = desk.choose_language(request, request.query_params.get("language", ""))
        source = clean_source(request.headers.get("referer", ""))
        return desk.show_form({"source": source}, language)

    @router.post(SUBSCRIBE_PATH)
    async def ask(request: Request) -> Response:
        form = await read_form(request)
        return await run_in_threadpool(desk.take_form, request, form)

    @router.get("/c/{token}")
    def look(token: str) -> Response:
        return desk.look(token)

    @router.post("/c/{token}")
    async def confirm(token: str, request: Request) -> Response:
        form = await read_form(request)
        return await run_in_threadpool(desk.confirm, token, request, form)

    @router.post("/c/{token}/never")
    def refuse(token: str) -> Response:
        return desk.refuse(token)

    return router


def build_subscriptions(desk: SigningDesk) -> APIRouter:
    """Build the endpoint of subscribing, for programs and for scripts of other sites."""
    router = APIRouter(route_class=BoundedRoute, tags=["subscriptions"])
    anywhere = {"Access-Control-Allow-Origin": "*"}  # there is no session to misuse

    @router.post(
        "/api/v1/subscriptions",
        status_code=HTTPStatus.ACCEPTED,
        response_model=SubscriptionAsked,
        responses={
            400: {"model": SubscriptionRefused, "description": "Not an address that is taken"},
            429: {"model": SubscriptionRefused, "description": "Too many from one network"},
        },
    )
    def subscribe(asked: SubscriptionRequest, request: Request) -> Response:
        """Ask for the digest; who owns the address confirms it by mail."""
        source = asked.source or request.headers.get("origin", "")
        fault = desk.take(
            request,
            asked.email,
            "api",
            desk.match_language(asked.language),
            clean_source(source),
            "",
        )
        said: BaseModel = SubscriptionAsked()
        status = HTTPStatus.ACCEPTED
        if fault:
            said = SubscriptionRefused.model_validate({"error": fault})
            status = HTTPStatus.TOO_MANY_REQUESTS if fault == "network" else HTTPStatus.BAD_REQUEST
        return JSONResponse(said.model_dump(), status_code=status, headers=anywhere)

    @router.options("/api/v1/subscriptions", include_in_schema=False)
    def allow() -> Response:
        allowed = {
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": "Content-Type",
            "Access-Control-Max-Age": "86400",
        }
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=anywhere | allowed)

    return router
