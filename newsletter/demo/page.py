"""The local web page of the demo: what arrived in the mailbox, as HTML, text and source."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse

from newsletter.demo.export import format_name
from newsletter.demo.mailbox import Mailbox
from newsletter.demo.message import ReceivedMessage, format_inert_html, parse_message
from newsletter.demo.views import (
    MAIL_POLICY,
    PAGE_POLICY,
    Row,
    format_list,
    format_message,
    format_missing,
)

_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningPage:
    """A page that is being served at `url`."""

    url: str
    thread: threading.Thread

    def wait(self) -> None:
        """Block until Ctrl-C, or until the server ends by itself."""
        with suppress(KeyboardInterrupt):
            while self.thread.is_alive():
                self.thread.join(0.5)


@contextmanager
def serve_page(
    mailbox: Mailbox, *, host: str = "127.0.0.1", port: int = 0
) -> Iterator[RunningPage]:
    """Serve the mailbox's page while the `with` block lasts; port 0 takes a free one."""
    with socket.create_server((host, port)) as listener:
        config = uvicorn.Config(
            build_page(mailbox),
            access_log=False,
            http="h11",
            lifespan="off",
            log_config=None,
            loop="asyncio",
            server_header=False,
            timeout_graceful_shutdown=5,
            ws="none",
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="page", daemon=True
        )
        # The socket listens already: whoever is quicker than the server waits in its queue.
        url = f"http://{host}:{listener.getsockname()[1]}/"
        thread.start()
        try:
            yield RunningPage(url=url, thread=thread)
        finally:
            server.should_exit = True
            thread.join()


def build_page(mailbox: Mailbox) -> FastAPI:
    """Make the web application for a mailbox, running or not."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    def find(number: int) -> tuple[ReceivedMessage, int]:
        messages = mailbox.messages
        if not 1 <= number <= len(messages):
            raise HTTPException(404)
        return messages[number - 1], len(messages)

    @app.get("/")
    def show_list() -> Response:
        return _page(
            format_list(
                [
                    Row(
                        message=message,
                        opened=parse_message(message.raw),
                        href=f"/messages/{message.number}",
                    )
                    for message in mailbox.messages
                ]
            )
        )

    @app.get("/messages/{number:int}")
    def show_html(number: int) -> Response:
        message, count = find(number)
        return _page(format_message(message, "", count=count))

    @app.get("/messages/{number:int}/plain")
    def show_plain(number: int) -> Response:
        message, count = find(number)
        return _page(format_message(message, "/plain", count=count))

    @app.get("/messages/{number:int}/source")
    def show_source(number: int) -> Response:
        message, count = find(number)
        return _page(format_message(message, "/source", count=count))

    @app.get("/messages/{number:int}/content.html")
    def give_content(number: int) -> Response:
        message, _ = find(number)
        html = format_inert_html(parse_message(message.raw).html)
        return HTMLResponse(html, headers=_HEADERS | {"Content-Security-Policy": MAIL_POLICY})

    @app.get("/messages/{number:int}/message.eml")
    def give_source(number: int) -> Response:
        message, _ = find(number)
        headers = {"Content-Disposition": f'attachment; filename="{format_name(message)}.eml"'}
        return Response(message.raw, media_type="message/rfc822", headers=_HEADERS | headers)

    @app.exception_handler(404)
    def show_missing(request: Request, error: Exception) -> Response:
        return _page(format_missing(), status=404)

    return app


def _page(html: str, *, status: int = 200) -> Response:
    headers = _HEADERS | {"Content-Security-Policy": PAGE_POLICY}
    return HTMLResponse(html, status_code=status, headers=headers)
