"""A reader's own affairs by the link of a mail: what is held about them, and erasing it.

    POST /p/TOKEN/held     everything that is held, as JSON to keep
    GET  /p/TOKEN/erase    asks; changes nothing
    POST /p/TOKEN/erase    erases, and has erased before it answers

The link is that of the choices: one that only leaves opens none of this.
"""

from __future__ import annotations

import json
import threading
from http import HTTPStatus

from fastapi import APIRouter, Request
from limits import RateLimitItem, RateLimitItemPerHour
from starlette.responses import Response

from newsletter.audience.choosing import Chooser, find_chooser
from newsletter.audience.erasure import erase_reader
from newsletter.audience.holdings import read_holdings
from newsletter.audience.signing_up import name_counted
from newsletter.mail.tokens import Purpose
from newsletter.press import Press
from newsletter.press.signing_up import derive_secret
from newsletter.store.limits import take
from newsletter.web.leaving import mask
from newsletter.web.pages import Pages, read_claim
from newsletter.web.visitor import Visitors

PER_NETWORK: tuple[RateLimitItem, ...] = (RateLimitItemPerHour(30),)
"""How often one network may ask for either."""


def build_affairs(press: Press, pages: Pages) -> APIRouter:
    """Build the pages of what is held, and of erasing it."""
    router = APIRouter()
    erasing = threading.Lock()
    visitors = Visitors(press.settings)
    secret = derive_secret(press)

    def find(token: str) -> Chooser | None:
        claim = read_claim(press, token, Purpose.PREFERENCES)
        return find_chooser(press.database, claim.subscriber_id) if claim else None

    def has_room(request: Request) -> bool:
        """Count a request against its network, whose work is more than a page's."""
        network = name_counted(secret, "affairs", visitors.read_network(request))
        with press.database.writing() as connection:
            return take(connection, PER_NETWORK, network, now=press.now())

    def show_crowded(chooser: Chooser) -> Response:
        return pages.show(
            "too_many.html.j2",
            language=chooser.reader.choices.language,
            status=HTTPStatus.TOO_MANY_REQUESTS,
        )

    @router.post("/p/{token}/held")
    def show_held(token: str, request: Request) -> Response:
        chooser = find(token)
        if chooser is None:
            return pages.show_damaged()
        if not has_room(request):
            return show_crowded(chooser)
        with press.database.reading() as connection:
            held = read_holdings(connection, chooser.reader.email, pseudonyms=press.pseudonyms)
        return Response(
            json.dumps(held, ensure_ascii=False, indent=2) + "\n",
            media_type="application/json",
            headers={
                "Cache-Control": "no-store",
                "Content-Disposition": 'attachment; filename="held-about-me.json"',
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
            },
        )

    @router.get("/p/{token}/erase")
    def ask_to_erase(token: str) -> Response:
        chooser = find(token)
        if chooser is None:
            return pages.show_damaged()
        return pages.show(
            "erase.html.j2",
            language=chooser.reader.choices.language,
            address=mask(chooser.reader.email),
            erase_url=f"{pages.root}/p/{token}/erase",
            back_url=f"{pages.root}/p/{token}",
        )

    @router.post("/p/{token}/erase")
    def do_erase(token: str, request: Request) -> Response:
        chooser = find(token)
        if chooser is None:
            return pages.show_damaged()
        if not has_room(request):
            return show_crowded(chooser)
        with erasing:  # each writes the database's file anew; the schedule does what it leaves
            erase_reader(
                press.database, chooser.reader.email, now=press.now, pseudonyms=press.pseudonyms
            )
        return pages.show("erased.html.j2", language=chooser.reader.choices.language)

    return router
