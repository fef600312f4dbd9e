"""Makes the console's pages: their frame, what they tell the browser, and where they lead.

The console's templates are the shipped ones: a publication's own folder changes what readers
see, and not what an operator approves it by.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from starlette.responses import HTMLResponse, RedirectResponse, Response

from newsletter.press import Press
from newsletter.render.context import build_look, clean_line
from newsletter.render.templates import find_templates
from newsletter.web.console.gate import FORM_FIELD, Visit
from newsletter.web.console.roles import ROLES, may

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # without one a browser sends no Origin with a form
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}
"""What every answer of the console tells the browser."""


_WAYS = (
    ("Today", "/", ("today", "brief", "mend")),
    ("Editions", "/editions", ("editions", "edition", "send", "cancel", "preview", "preflight")),
    ("Readers", "/readers", ("readers", "reader")),
    ("Sources", "/sources", ("sources",)),
    ("Settings", "/settings", ("settings",)),
    ("Team", "/team", ("team",)),
    ("Audit", "/audit", ("audit",)),
)
"""What leads around: a name, a path, and the templates of its pages."""


class NavView(NamedTuple):
    """A way to another page."""

    text: str
    url: str
    is_here: bool


class Frame:
    """Makes pages of the console."""

    def __init__(self, press: Press, root: str) -> None:
        self._press = press
        self._templates = find_templates()
        self.root = root
        """What the paths of the console begin with."""
        look = {"look": build_look(press.settings.look)}
        self.style = self._templates.render("console/style.css.j2", look, {}, {})

    def show(
        self, template: str, visit: Visit | None, *, status: int = 200, **variables: Any
    ) -> Response:
        """Answer with a page; `visit` is None for a request that was not let through."""
        session = visit.session if visit else None
        role = session.member.role if session else None
        shared = {
            "publication": clean_line(self._press.settings.publication.name),
            "root": self.root,
            "form_field": FORM_FIELD,
            "form_token": visit.form_token if visit else "",
            "member": session.member if session else None,
            "may": {each: role is not None and may(role, each) for each in ROLES},
            "ways": [
                NavView(text, self.root + path, template.partition(".")[0] in pages)
                for text, path, pages in _WAYS
                if text != "Team" or role == "admin"
            ],
        }
        functions = {"moment": self._write_moment, "count": "{:,}".format}
        html = self._templates.render(f"console/{template}", {**shared, **variables}, functions, {})
        response = HTMLResponse(html, status_code=status, headers=HEADERS)
        if visit and visit.is_https:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        if visit and visit.new_form_cookie:
            visit.keep(response, "form", visit.new_form_cookie)
        return response

    def lead(self, path: str) -> Response:
        """Lead on to a page of the console, with GET."""
        return RedirectResponse(self.root + path, status_code=303, headers=HEADERS)

    def _write_moment(self, instant: datetime | None) -> str:
        zone = self._press.settings.publication.zone
        return f"{instant.astimezone(zone):%Y-%m-%d %H:%M}" if instant else "–"
