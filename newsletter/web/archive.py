"""The editions on the web, as `newsletter web DIR` writes them, made when somebody asks.

    GET /editions, /editions/feed.xml …, /editions/DATE, /editions/DATE/briefs/N

What was made is kept for a minute, and an edition is there as soon as it is approved: its mail
links to it.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from newsletter.press import Press
from newsletter.press.site import build_web
from newsletter.render.addresses import ARCHIVE_PATH
from newsletter.render.web import FEEDS, file_of

_KEPT_SECONDS = 60.0
_EDITIONS_KEPT = 32
_TYPES = {feed.url: feed.type for feed in FEEDS}


class _Copies:
    """What was made lately, by the day of the edition; None is the list of all and the feeds."""

    def __init__(self, press: Press) -> None:
        self._press = press
        self._made: OrderedDict[date | None, tuple[float, Mapping[str, bytes]]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, day: date | None, name: str) -> bytes | None:
        """Give a file of an edition, or of all; None where it does not exist."""
        with self._lock:  # of many who ask at once, one has it made
            made = self._made.get(day)
            if made is None or not made[1] or time.monotonic() - made[0] > _KEPT_SECONDS:
                made = time.monotonic(), build_web(self._press, day)
                self._made[day] = made
            self._made.move_to_end(day)
            while len(self._made) > _EDITIONS_KEPT:
                self._made.popitem(last=False)
            return made[1].get(name)


def build_archive(press: Press, root: str) -> APIRouter:
    """Build the pages of editions and briefs, and the feeds; `root` is what paths begin with."""
    router = APIRouter()
    copies = _Copies(press)

    def answer(request: Request, day: date | None, path: str) -> Response:
        kind = _TYPES.get(path)
        name = path.lstrip("/") if kind else file_of(path)
        data = copies.find(day, name)
        if data is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        headers = {
            "Cache-Control": "public, max-age=60",
            "ETag": f'"{hashlib.sha256(data).hexdigest()[:32]}"',
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "strict-origin-when-cross-origin",
        }
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        media = f"{kind or 'text/html'}; charset=utf-8"
        return Response(data, media_type=media, headers=headers)

    @router.get("/")
    def show_home() -> Response:
        return RedirectResponse(root + ARCHIVE_PATH, status_code=302)

    @router.get(ARCHIVE_PATH)
    def show_list(request: Request) -> Response:
        return answer(request, None, ARCHIVE_PATH)

    for feed in FEEDS:

        def show_feed(request: Request, path: str = feed.url) -> Response:
            return answer(request, None, path)

        router.add_api_route(feed.url, show_feed)

    @router.get(ARCHIVE_PATH + "/{day}")
    def show_edition(request: Request, day: str) -> Response:
        return answer(request, _read_day(day), f"{ARCHIVE_PATH}/{day}")

    @router.get(ARCHIVE_PATH + "/{day}/briefs/{number}")
    def show_brief(request: Request, day: str, number: str) -> Response:
        return answer(request, _read_day(day), f"{ARCHIVE_PATH}/{day}/briefs/{number}")

    return router


def _read_day(text: str) -> date:
    """Read the date that an edition's address begins with; its kind may follow."""
    with suppress(ValueError):
        day = date.fromisoformat(text[:10])
        if day.isoformat() == text[:10]:
            return day
    raise HTTPException(HTTPStatus.NOT_FOUND)
