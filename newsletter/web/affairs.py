"""A reader's own affairs by the link of a mail: what is held about them, and erasing it.

    POST /p/TOKEN/held     everything that is held, as JSON to keep
    GET  /p/TOKEN/erase    asks; changes nothing
    POST /p/TOKEN/erase    erases, and has erased before it answers

The link is that of the choices: one that only leaves opens none of this.
"""

from __future__ import annotations

import json
import threading
import time

from fastapi import APIRouter
from starlette.background import BackgroundTask
from starlette.responses import Response

from newsletter.audience.choosing import Chooser, find_chooser
from newsletter.audience.erasure import erase_reader
from newsletter.audience.holdings import read_holdings
from newsletter.mail.tokens import Purpose
from newsletter.press import Press
from newsletter.web.leaving import mask
from newsletter.web.pages import Pages, read_claim

_AGAIN_SECONDS = 60.0
_TIMES_AGAIN = 15  # a relay may take ten minutes for its last answer


def build_affairs(press: Press, pages: Pages) -> APIRouter:
    """Build the pages of what is held, and of erasing it."""
    router = APIRouter()
    erasing = threading.Lock()

    def find(token: str) -> Chooser | None:
        claim = read_claim(press, token, Purpose.PREFERENCES)
        return find_chooser(press.database, claim.subscriber_id) if claim else None

    def erase(email: str) -> bool:
        """Erase; tell whether nothing is left to be done."""
        with erasing:  # each writes the database's file anew
            done = erase_reader(press.database, email, now=press.now, pseudonyms=press.pseudonyms)
        return not (done.is_under_way or done.has_traces)

    def erase_again(email: str) -> None:
        """Go on where an edition that is being sent left something to be done."""
        for _ in range(_TIMES_AGAIN):
            time.sleep(_AGAIN_SECONDS)
            if erase(email):
                return

    @router.post("/p/{token}/held")
    def show_held(token: str) -> Response:
        chooser = find(token)
        if chooser is None:
            return pages.show_damaged()
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
    def do_erase(token: str) -> Response:
        chooser = find(token)
        if chooser is None:
            return pages.show_damaged()
        email = chooser.reader.email
        is_done = erase(email)
        answer = pages.show("erased.html.j2", language=chooser.reader.choices.language)
        if not is_done:
            answer.background = BackgroundTask(erase_again, email)
        return answer

    return router
