"""The console as one application, to be mounted at /console beside the readers' pages."""

from __future__ import annotations

import logging

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from newsletter.errors import NewsletterError
from newsletter.press import Press
from newsletter.web.console.briefs import add_briefs
from newsletter.web.console.editions import add_editions
from newsletter.web.console.entering import add_entrance
from newsletter.web.console.gate import Gate
from newsletter.web.console.live import add_live
from newsletter.web.console.looking import add_looking
from newsletter.web.console.pages import HEADERS, Frame
from newsletter.web.console.preview import add_preview
from newsletter.web.console.proofs import Vault
from newsletter.web.console.readers import add_readers
from newsletter.web.console.signing_on import add_sign_on
from newsletter.web.console.team import add_team
from newsletter.web.console.today import add_today
from newsletter.web.console.yourself import add_yourself
from newsletter.web.statuses import choose_status

log = logging.getLogger("newsletter.web")

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#9a2617" '
    'd="M1 3h14v10H1z"/><path fill="none" stroke="#fff" d="m2 4 6 5 6-5"/></svg>'
)
_TITLES = {
    401: "Log in first",
    403: "This is not for you",
    404: "There is no such page",
    405: "Not like this",
    421: "Not this way",
}


def build_console(press: Press, root: str) -> FastAPI:
    """Build the console, whose paths begin with `root`."""
    frame, vault = Frame(press, root), Vault(press.keyring)
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        dependencies=[Depends(Gate(press, root).admit)],
    )
    add_entrance(app, press, frame, vault)
    add_sign_on(app, press, frame, vault)
    add_yourself(app, press, frame)
    add_today(app, press, frame)
    add_briefs(app, press, frame)
    add_editions(app, press, frame)
    add_preview(app, press, frame)
    add_live(app, press)
    add_readers(app, press, frame)
    add_looking(app, press, frame)
    add_team(app, press, frame, vault)

    @app.get("/style.css")
    def give_style() -> Response:
        return Response(frame.style, media_type="text/css", headers=HEADERS)

    @app.get("/icon.svg")
    def give_icon() -> Response:
        return Response(_ICON, media_type="image/svg+xml", headers=HEADERS)

    @app.exception_handler(HTTPException)
    def refuse(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if location := headers.get("Location"):
            return RedirectResponse(location, status_code=error.status_code, headers=HEADERS)
        title = _TITLES.get(error.status_code, "That did not work")
        return tell(request, title, error.detail, error.status_code)

    @app.exception_handler(RequestValidationError)
    def refuse_address(request: Request, _error: RequestValidationError) -> Response:
        return tell(request, _TITLES[404], "Its address is wrong.", 404)

    @app.exception_handler(NewsletterError)
    def explain(request: Request, error: NewsletterError) -> Response:
        said = str(error)
        title = "That did not work"
        return tell(request, title, said[:1].upper() + said[1:], choose_status(error))

    @app.exception_handler(Exception)
    def fail(request: Request, error: Exception) -> Response:
        log.error("a page of the console failed: %r", error)
        return tell(request, "A fault of this program", "It is in the log.", 500)

    def tell(request: Request, title: str, text: str, status: int) -> Response:
        visit = getattr(request.state, "visit", None)
        return frame.show("told.html.j2", visit, status=status, title=title, text=text)

    return app
