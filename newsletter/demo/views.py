"""Received messages as web pages: the list, one message, and what a browser may do with them.

Pages hold no script and ask nobody else for anything; their one style sheet is inline, named
in the policy by its hash, so that an exported list is a single file.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from newsletter.demo.message import (
    OpenedMessage,
    ReceivedMessage,
    format_source,
    format_visible,
    parse_message,
)

_PAGES = Path(__file__).parent / "pages"
_STYLE = (_PAGES / "style.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

PAGE_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of our own pages."""

MAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
    "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
"""Content-Security-Policy of a message's own HTML, which is not trusted."""

_TABS = (("HTML", ""), ("Plain text", "/plain"), ("Source", "/source"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the list: a message, where its subject links to, and further links."""

    message: ReceivedMessage
    opened: OpenedMessage
    href: str
    others: tuple[tuple[str, str], ...] = ()


def format_list(rows: Sequence[Row]) -> str:
    """Give the page that lists messages."""
    return _ENVIRONMENT.get_template("list.html.j2").render(rows=rows)


def format_message(message: ReceivedMessage, path: str, *, count: int) -> str:
    """Give a message's page; `path` is its tab ("", "/plain", "/source"), `count` all messages."""
    opened = parse_message(message.raw)
    texts = {"/plain": format_visible(opened.plain), "/source": format_source(message.raw)}
    return _ENVIRONMENT.get_template("message.html.j2").render(
        message=message, opened=opened, path=path, text=texts.get(path), tabs=_TABS, count=count
    )


def format_missing() -> str:
    """Give the page for an address that leads nowhere."""
    return _ENVIRONMENT.get_template("missing.html.j2").render()


def _format_clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S} UTC"


def _format_size(raw: bytes) -> str:
    return f"{len(raw)} bytes" if len(raw) < 1_000 else f"{round(len(raw) / 1_000)} KB"


def _open_pages() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["style"] = Markup(_STYLE)  # noqa: S704 - our own file
    environment.filters |= {
        "clock": _format_clock,
        "size": _format_size,
        "visible": format_visible,
    }
    return environment


_ENVIRONMENT = _open_pages()
