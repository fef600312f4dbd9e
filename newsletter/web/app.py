"""The public side as one application, and the server that runs it beside the schedule.

It runs in a thread with an event loop of its own: a send that is under way does not make a
reader wait who wants to leave.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from newsletter.errors import ConfigurationError, NewsletterError
from newsletter.events import Event, about
from newsletter.press import Press
from newsletter.watch.figures import Figures
from newsletter.watch.pulse import Pulse
from newsletter.web.affairs import build_affairs
from newsletter.web.api.app import PREFIX, add_documents, build_api
from newsletter.web.api.problems import answer_problem
from newsletter.web.archive import build_archive
from newsletter.web.clicks import ClickCounter, registering
from newsletter.web.console.app import build_console
from newsletter.web.feedback import build_feedback
from newsletter.web.going import build_going
from newsletter.web.leaving import build_leaving
from newsletter.web.links import build_links
from newsletter.web.muting import build_muting
from newsletter.web.pages import Pages
from newsletter.web.preferences import build_preferences
from newsletter.web.search import build_search
from newsletter.web.signing_desk import SigningDesk
from newsletter.web.signing_up import build_signing_up, build_subscriptions
from newsletter.web.watching import Timing, build_health, build_metrics

log = logging.getLogger("newsletter.web")


def build_app(
    press: Press,
    pulse: Pulse | None = None,
    figures: Figures | None = None,
    clicks: ClickCounter | None = None,
) -> FastAPI:
    """Build the application of a publication. Raises `TemplateError` for a fault in a template.

    With a schedule's `pulse` it tells whether it is ready, and with `figures` it keeps them; it
    hands `clicks` what is to be counted.
    """
    pages = Pages(press)
    app = FastAPI(
        title="Newsletter",
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{pages.root}/api/v1/openapi.json",
    )
    pages_only = (
        build_leaving(press, pages),
        build_preferences(press, pages),
        build_muting(press, pages),
        build_affairs(press, pages),
        build_links(press, pages),
        build_feedback(press, pages),
        build_search(press, pages),
        build_going(press, pages, clicks or ClickCounter(press.now)),
        build_archive(press, pages.root),
    )
    for router in pages_only:
        answer_heads(router)
        app.include_router(router, prefix=pages.root, include_in_schema=False)
    if press.settings.signup.enabled:
        desk = SigningDesk(press, pages)
        signing_up = build_signing_up(desk)
        answer_heads(signing_up)
        app.include_router(signing_up, prefix=pages.root, include_in_schema=False)
        app.include_router(build_subscriptions(desk), prefix=pages.root)

    api = f"{pages.root}{PREFIX}"
    if press.settings.api.enabled:
        app.include_router(build_api(press, pages.root))
    add_documents(app, api)

    console = f"{pages.root}/console"
    app.mount(console, build_console(press, console))
    if pulse is not None:
        app.include_router(build_health(press, pulse), include_in_schema=False)
    if figures is not None:
        app.add_middleware(Timing, figures=figures)
        if not press.settings.metrics.listen:
            metrics = build_metrics(figures, for_anybody=False)
            app.include_router(metrics, include_in_schema=False)

    @app.exception_handler(HTTPException)
    async def refuse(request: Request, error: HTTPException) -> Response:
        if request.url.path.startswith(f"{pages.root}/api/"):
            return answer_problem(error.status_code, f"{error.detail}.", error.headers)
        return pages.show("damaged.html.j2", status=error.status_code)

    @app.exception_handler(Exception)
    async def fail(_request: Request, error: Exception) -> Response:
        # Never the address: it may hold a token.
        said = error if isinstance(error, NewsletterError) else repr(error)
        log.error("a page failed: %s", said, extra=about(Event.PAGE_FAILED))
        return pages.show("failed.html.j2", status=503)

    return app


def answer_heads(router: APIRouter) -> None:
    """Have what answers GET answer HEAD as well (RFC 9110, 9.1)."""
    for route in router.routes:
        if isinstance(route, APIRoute) and route.methods and "GET" in route.methods:
            route.methods.add("HEAD")


@contextmanager
def serving(
    press: Press, listen: str, pulse: Pulse | None = None, figures: Figures | None = None
) -> Iterator[str]:
    """Serve the public side at "HOST:PORT" while the block lasts; give its address.

    Raises `ConfigurationError` for an address that cannot be had.
    """
    clicks = ClickCounter(press.now)
    app = build_app(press, pulse, figures, clicks)
    with ExitStack() as stack:
        if press.settings.web.counts_clicks:
            stack.enter_context(registering(clicks, press.database))
        yield stack.enter_context(running(app, listen, field="web.listen"))


@contextmanager
def running(app: FastAPI, listen: str, *, field: str) -> Iterator[str]:
    """Run an application at "HOST:PORT" while the block lasts; give its address.

    `field` is the setting that names it. Raises `ConfigurationError`.
    """
    host, port = parse_listen(listen, field=field)
    # Addresses hold tokens. Without handlers of its own uvicorn's logger would hand them upwards.
    logging.getLogger("uvicorn.access").disabled = True
    try:
        socket.getaddrinfo(host, port)  # its failures come out of the next line as numbers alone
        listener = socket.create_server((host, port), family=_family(host))
    except OSError as error:
        raise ConfigurationError(
            f"{listen} cannot be listened at ({_read_reason(error)})",
            field=field,
            mend='name a free one, or "" for no pages',
        ) from None
    # Heads and bodies are written one after the other: held back until the head is acknowledged
    # (RFC 896), each answer would take the other side's 40 ms of patience (RFC 1122). Connections
    # inherit this; asyncio sees to it only for listeners that it makes itself.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with listener:
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                access_log=False,
                http="h11",
                lifespan="off",
                log_config=None,
                loop="asyncio",
                proxy_headers=False,  # whom to believe is the setting's to say
                server_header=False,
                timeout_graceful_shutdown=2,
                ws="none",
            )
        )
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="web", daemon=True
        )
        thread.start()
        shown = f"[{host}]" if ":" in host else host
        try:
            yield f"http://{shown}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def parse_listen(listen: str, *, field: str = "web.listen") -> tuple[str, int]:
    """Read "HOST:PORT"; raises `ConfigurationError`."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ConfigurationError(
            f'"{listen}" is no address and port', field=field, mend='write "127.0.0.1:8000"'
        )
    return host.strip("[]") or "127.0.0.1", int(port)


def _read_reason(error: OSError) -> str:
    """Say why an address cannot be had; what a failed look-up has is no errno. Pure."""
    is_name = isinstance(error, socket.gaierror)
    return "there is no such host" if is_name else os.strerror(error.errno or 0).lower()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
