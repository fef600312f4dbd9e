"""What the proofs of the public pages share: the links there are, and a client that logs nothing.

The client is http.client: the test's own would write the addresses that it asks into logs, which
are what is looked at.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterable, Mapping
from email import message_from_bytes, policy
from html import unescape
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from newsletter.mail import decode_message
from newsletter.press import Press
from newsletter.web.app import build_app

HOME = "https://news.example"
_LINK = re.compile(r"""(?:href|action|src)=["']([^"']+)["']""")


class Client:
    """One connection that is kept, as a mail program's or a scanner's."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        assert parts.hostname
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)

    def ask(self, method: str, path: str, form: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Send a request; give status and body."""
        body = None if form is None else urlencode(form)
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if form is not None else {}
        try:
            self._connection.request(method, path, body=body, headers=headers)
            answer = self._connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):
            # A server closes a connection on which a page failed before; this request it never saw.
            self._connection.close()
            self._connection.request(method, path, body=body, headers=headers)
            answer = self._connection.getresponse()
        return answer.status, answer.read().decode()

    def close(self) -> None:
        self._connection.close()


def list_links(mails: Iterable[bytes]) -> list[str]:
    """List the paths of our own that messages lead to: by header, by HTML and by text."""
    found: set[str] = set()
    for mail in mails:
        message = message_from_bytes(mail, policy=policy.default)
        headers = " ".join(str(value) for _, value in message.items())
        plain, html = decode_message(mail)
        for text in (headers, plain, unescape(html)):
            found |= set(re.findall(rf"{re.escape(HOME)}(/[^\s\"'<>,]*)", text))
    return sorted(found)


def list_links_of_page(html: str) -> list[str]:
    """List the paths that a page leads to, forms included: a scanner asks for all it finds."""
    links = {unescape(link) for link in _LINK.findall(html)}
    return sorted({link.partition("#")[0] for link in links if link.startswith("/")})


class _Open(FastAPI):
    """An application that describes its pages too, and not its API alone."""

    def include_router(self, router: APIRouter, **options: Any) -> None:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.methods:
                route.methods.discard("HEAD")  # it would have the name of GET, and answers as that
        super().include_router(router, **options | {"include_in_schema": True})


def describe_all(press: Press) -> dict[str, Any]:
    """Give the program's description of whatever it serves, pages and API."""
    with patch("newsletter.web.app.FastAPI", _Open):
        return build_app(press).openapi()


def list_token_routes(press: Press) -> list[tuple[str, str]]:
    """List method and path of whatever takes a token, with `{token}` where it stands."""
    return [
        (method.upper(), path)
        for path, operations in describe_all(press)["paths"].items()
        for method in operations
        if "{token}" in path
    ]
