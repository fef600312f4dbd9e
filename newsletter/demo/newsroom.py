"""An invented newsroom: a project of twelve briefs that is always today's, and its two feeds.

The files under `briefs/` and `feeds/` are templates in one thing only: their dates count back
from a given moment, since an edition has room for the last day's briefs alone.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from datetime import datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Self

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_HERE = Path(__file__).parent
_FEEDS = {"/wire.xml": "application/rss+xml", "/islands.json": "application/feed+json"}
# Text and HTML briefs carry no date: the reader of a folder takes the file's own time.
_MINUTES_OLD = {
    "shore-power": 20,
    "chip-packaging-plant": 45,
    "council-and-library": 90,
    "grocery-prices": 170,
    "weekly-pill": 215,
}


def write_newsroom(
    directory: Path, *, now: datetime, smtp_port: int, feed_port: int, secret_key: str
) -> Path:
    """Lay out a project in `directory` and give the path of its `newsletter.toml`.

    `now` is aware; no brief is older than eight hours then. Relay and feeds are ports of this
    machine.
    """
    environment = _open_templates(now)
    briefs = directory / "briefs"
    briefs.mkdir(parents=True)
    for template in sorted((_HERE / "briefs").iterdir()):
        written = briefs / template.name
        text = environment.get_template(f"briefs/{template.name}").render()
        written.write_text(text, encoding="utf-8", newline="\n")
        moment = (now - timedelta(minutes=_MINUTES_OLD[template.stem])).timestamp()
        os.utime(written, (moment, moment))
    shutil.copyfile(_find_subscribers(), directory / "subscribers.csv")
    secret = directory / ".env"
    secret.touch(mode=0o600)
    secret.write_text(f"NEWSLETTER_SECRET_KEY={secret_key}\n", encoding="utf-8")
    config = directory / "newsletter.toml"
    filled = environment.get_template(config.name).render(smtp_port=smtp_port, feed_port=feed_port)
    config.write_text(filled, encoding="utf-8", newline="\n")
    return config


class FeedServer:
    """Serve the two feeds on loopback while the `with` block lasts, each with an ETag."""

    def __init__(self, *, now: datetime) -> None:
        environment = _open_templates(now)
        self._feeds = {
            path: environment.get_template(f"feeds{path}").render().encode() for path in _FEEDS
        }
        self.port = 0
        """The port, once the server runs."""

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.feeds = self._feeds
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="feeds"
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingMixIn, HTTPServer):
    feeds: dict[str, bytes]

    def server_bind(self) -> None:
        """Bind without HTTPServer's look-up of this machine's name, which may ask DNS."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "localhost", self.server_address[1]


class _Handler(BaseHTTPRequestHandler):
    timeout = 5
    server: _Server

    def do_GET(self) -> None:
        body = self.server.feeds.get(self.path)
        if body is None:
            self.send_error(404)
            return
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        unchanged = self.headers.get("If-None-Match") == etag
        self.send_response(304 if unchanged else 200)
        self.send_header("ETag", etag)
        if not unchanged:
            self.send_header("Content-Type", f"{_FEEDS[self.path]}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not unchanged:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the demo's terminal belongs to its report."""


def _open_templates(now: datetime) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - plain text, TOML, JSON and XML; the values are dates and ports
    )
    environment.globals["ago"] = lambda minutes: now - timedelta(minutes=minutes)
    environment.filters["rfc3339"] = lambda moment: moment.isoformat(timespec="seconds")
    environment.filters["rfc5322"] = format_datetime
    return environment


def _find_subscribers() -> Path:
    """Find the sample readers: inside the wheel, or at the top of a checkout."""
    name = "subscribers.example.csv"
    shipped = _HERE / name
    return shipped if shipped.is_file() else _HERE.parents[1] / name
