"""For machines that watch: whether the process lives and is ready, and its figures.

    /healthz    200 while the process answers
    /readyz     200 while the database can be read and the schedule turns, else 503
    /metrics    figures for Prometheus; for this machine alone, or on an address of its own

On the public address /metrics is refused to whoever comes through a web server in front: that
one calls from this machine, too.
"""

from __future__ import annotations

import time
from ipaddress import ip_address

from fastapi import APIRouter, FastAPI, Request
from sqlalchemy import text
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from newsletter.errors import StorageError
from newsletter.press import Press
from newsletter.watch.figures import CONTENT_TYPE, Figures
from newsletter.watch.pulse import Pulse

_HANDED_ON = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def build_health(press: Press, pulse: Pulse) -> APIRouter:
    """Build the pages that say whether the process lives and is ready; they say no more."""
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def live() -> Response:
        return PlainTextResponse("alive\n", headers={"Cache-Control": "no-store"})

    @router.get("/readyz")
    async def ready() -> Response:
        checks = {
            "database": await run_in_threadpool(_can_read, press),
            "schedule": pulse.is_keeping,
        }
        return JSONResponse(
            {name: "ready" if is_ready else "not ready" for name, is_ready in checks.items()},
            status_code=200 if all(checks.values()) else 503,
            headers={"Cache-Control": "no-store"},
        )

    return router


def build_metrics(figures: Figures, *, for_anybody: bool) -> APIRouter:
    """Build the page of figures: `for_anybody` who reaches it, or for this machine alone."""
    router = APIRouter(include_in_schema=False)

    @router.get("/metrics")
    async def metrics(request: Request) -> Response:
        if not for_anybody and not is_of_this_machine(request):
            raise HTTPException(404)
        body = await run_in_threadpool(figures.write)
        return Response(body, media_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})

    return router


def build_metrics_app(figures: Figures) -> FastAPI:
    """Build what listens at an address of its own."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(build_metrics(figures, for_anybody=True))
    return app


def is_of_this_machine(request: Request) -> bool:
    """Tell whether a request comes from a program on this machine, and on nobody's behalf.

    The name that it asks for must be this machine's, too: a page of another site may have had
    a browser here ask (DNS rebinding).
    """
    if request.client is None or any(name in request.headers for name in _HANDED_ON):
        return False
    return _is_loopback(request.client.host) and _is_loopback(request.url.hostname or "")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _can_read(press: Press) -> bool:
    try:
        with press.database.reading() as connection:
            connection.execute(text("SELECT 1"))
    except StorageError:
        return False
    return True


class Timing:
    """Measures how long each answer took to begin, by its route: addresses hold tokens."""

    def __init__(self, app: ASGIApp, figures: Figures) -> None:
        self._app, self._figures = app, figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = getattr(scope.get("route"), "path", None)
                route = "none" if path is None else f"{scope.get('root_path', '')}{path}"
                method = scope["method"] if scope["method"] in _METHODS else "other"
                status = f"{message['status'] // 100}xx"
                taken = time.perf_counter() - began
                self._figures.requests.labels(route, method, status).observe(taken)
            await send(message)

        await self._app(scope, receive, answer)
