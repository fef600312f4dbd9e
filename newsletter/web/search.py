"""The search over all editions that readers may have.

    GET /search?q=WORDS&page=N

A form of the page sends it: no script, no cookie, and nothing of what is looked for is kept. What
a query may cost is bounded (`editions.search`), and so are its length and its pages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.responses import Response

from newsletter.editions.search import HITS_A_PAGE, Hit, find
from newsletter.editions.wording import QUERY_CHARACTERS, Fragment
from newsletter.press import Press
from newsletter.render.addresses import SEARCH_PATH, brief_path, edition_path
from newsletter.render.context import clean_line, clean_paragraphs
from newsletter.render.languages import write_date
from newsletter.render.web import choose_headline
from newsletter.web.pages import Pages

_PAGE = re.compile("[1-9][0-9]{0,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HitView:
    """What was found, as a page shows it."""

    title: str
    url: str
    date: str
    date_text: str
    excerpt: tuple[Fragment, ...]
    corrected: tuple[str, ...]


def build_search(press: Press, pages: Pages) -> APIRouter:
    """Build the page of the search."""
    router = APIRouter()

    @router.get(SEARCH_PATH)
    def search(q: str = "", page: str = "") -> Response:
        query = clean_line(q[:QUERY_CHARACTERS])
        number = int(page) if _PAGE.fullmatch(page) else 1
        with press.database.reading() as connection:
            found = find(connection, query, number)
        has_next = number * HITS_A_PAGE < found.total
        return pages.show(
            "search.html.j2",
            query=query,
            total=found.total,
            is_cut=found.is_cut,
            hits=tuple(_see(press, pages, hit) for hit in found.hits),
            previous_url=_page_url(pages, query, number - 1) if number > 1 else "",
            next_url=_page_url(pages, query, number + 1) if has_next else "",
        )

    return router


def _see(press: Press, pages: Pages, hit: Hit) -> HitView:
    written = write_date(hit.day, press.settings.publication.language)
    path = brief_path(hit.day, hit.number, hit.kind)
    return HitView(
        title=clean_line(hit.title if hit.number else choose_headline(hit.title, hit.lead))
        or written,
        url=pages.root + (path if hit.number else edition_path(hit.day, hit.kind)),
        date=hit.day.isoformat(),
        date_text=written,
        excerpt=hit.excerpt,
        corrected=tuple(part for text in hit.corrected for part in clean_paragraphs(text)),
    )


def _page_url(pages: Pages, query: str, page: int) -> str:
    return f"{pages.root}{SEARCH_PATH}?{urlencode({'q': query, 'page': page})}"
