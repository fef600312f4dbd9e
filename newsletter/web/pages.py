"""How a page of the public side is made and answered: templates, words, headers.

No page sets a cookie, runs a script or loads anything from elsewhere. Its address may hold a
token, so it tells no other site where a reader came from, and nobody keeps a copy of it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from functools import lru_cache
from typing import Any

from starlette.responses import HTMLResponse

from newsletter.editions.model import Edition, Window
from newsletter.errors import InputError
from newsletter.mail.tokens import Claim, Purpose, read_token
from newsletter.press import Press
from newsletter.render.addresses import ARCHIVE_PATH
from newsletter.render.context import clean_line
from newsletter.render.web import Site, open_site

_LANGUAGES_KEPT = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class FormView:
    """What a template of a form sees of its page; `web/leave.html.j2` documents it."""

    title: str
    style: str
    home: str
    search: str
    links: str
    """Where new links are asked for."""


class Pages:
    """Makes the pages of one publication, each in its reader's language."""

    def __init__(self, press: Press) -> None:
        self._press = press
        self._site = lru_cache(_LANGUAGES_KEPT)(self._open_site)
        self._site("")  # a fault in a template shows at the start

    @property
    def root(self) -> str:
        """What the paths of all pages begin with."""
        return self._site("").root

    def show(
        self, template: str, *, language: str = "", status: int = 200, **variables: Any
    ) -> HTMLResponse:
        """Answer with a page; `variables` are what its template uses besides `page`."""
        html = self.write(template, language=language, **variables)
        headers = build_headers(self._site(language))
        return HTMLResponse(html + "\n", status_code=status, headers=headers)

    def show_damaged(self) -> HTMLResponse:
        """Answer for a link that was cut off or changed, or leads nowhere any more."""
        return self.show("damaged.html.j2", status=404)

    def write(self, template: str, *, language: str = "", **variables: Any) -> str:
        """Run a template; `variables` are what it uses besides `page`."""
        site = self._site(language)
        now = self._press.now()
        nothing = Edition(
            date=now.date(),
            window=Window(start=now - timedelta(days=1), cut_off=now),
            subject="",
            preheader="",
            briefs=(),
        )
        context = site.see(nothing)
        page = FormView(
            title=clean_line(site.publication.name),
            style=site.style,
            home=site.root + ARCHIVE_PATH,
            search=site.search,
            links=f"{site.root}/links",
        )
        shared = {each.name: getattr(context, each.name) for each in fields(context)}
        return site.render(f"web/{template}", {**shared, "page": page, **variables})

    def _open_site(self, language: str) -> Site:
        settings = self._press.settings
        publication = settings.publication
        if language:
            publication = publication.model_copy(update={"language": language})
        return open_site(
            publication=publication,
            vocabulary=settings.vocabulary,
            templates=self._press.templates,
            look=settings.look,
            picture_hosts=settings.edition.picture_hosts,
            is_served=True,
        )


def read_claim(press: Press, token: str, purpose: Purpose) -> Claim | None:
    """Read the token of a link; None for one that is damaged, or of another purpose or list."""
    try:
        return read_token(
            token, purpose, keyring=press.keyring, list_id=press.settings.publication.list_id
        )
    except InputError:
        return None


def build_headers(site: Site) -> dict[str, str]:
    """Give what every page of the public side tells the browser."""
    return {
        "Cache-Control": "no-store",
        "Content-Security-Policy": (
            f"{site.policy}; form-action 'self'; frame-src 'self'; frame-ancestors 'none'"
        ),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex",
    }
