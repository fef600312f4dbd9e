"""Counted links: the same for every reader of an edition.

GET  /go/TOKEN?to=LINK   leads to the link that the token signs; counts it, and sets no cookie
HEAD /go/TOKEN?to=LINK   leads there; counts nothing

The link stands in the address, so it leads where it led whatever becomes of its edition; and
since it is signed, nobody can have our name lead to a page of theirs.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from newsletter.delivery.interest import Followed
from newsletter.errors import InputError
from newsletter.mail.tokens import read_link
from newsletter.press import Press
from newsletter.render.addresses import COUNTED_PATH, expand_link
from newsletter.render.context import clean_url
from newsletter.web.clicks import ClickCounter
from newsletter.web.pages import Pages
from newsletter.web.scanners import is_ahead, is_program
from newsletter.web.visitor import Visitors

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}


def build_going(press: Press, pages: Pages, counter: ClickCounter) -> APIRouter:
    """Build what counted links lead through."""
    router = APIRouter()
    settings = press.settings
    visitors = Visitors(settings)
    keyring, list_id = press.keyring, settings.publication.list_id
    root = clean_url(settings.publication.url)

    @router.get(COUNTED_PATH + "/{token}")
    def go(token: str, request: Request, to: str = "") -> Response:
        try:
            claim = read_link(token, to, keyring=keyring, list_id=list_id)
        except InputError:
            return pages.show("astray.html.j2", status=404)
        agent = request.headers.get("user-agent", "")
        is_nobody = request.method == "HEAD" or is_program(agent) or is_ahead(request.headers)
        if settings.web.counts_clicks and not is_nobody:
            followed = Followed(claim.edition_id, claim.brief, to)
            counter.click(followed, network=visitors.read_network(request), agent=agent)
        return RedirectResponse(expand_link(to, root), status_code=302, headers=_HEADERS)

    return router
