"""What the tests here have in common: they need Chromium, and a mail to look at."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from itertools import count, product
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page

from newsletter.audience.reader import Choices
from newsletter.briefs.model import Brief, Perspective, Point, Source
from newsletter.editions.model import Edition, Window
from newsletter.render.browser import find_fault
from newsletter.render.compile import compile_edition
from newsletter.render.preview import decode_part
from newsletter.render.selection import Selector
from newsletter.render.templates import find_templates
from newsletter.settings import EditionSettings, Publication, Vocabulary

NEEDS_CHROMIUM = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(find_fault(axe=True)), reason=find_fault(axe=True) or "all is there"),
]

_BOTH = [(320, "dark"), (1280, "light")]
_ALL = list(product((320, 1280), ("light", "dark")))
LOOKS = pytest.mark.parametrize(
    ("width", "scheme"), _ALL if os.environ.get("NEWSLETTER_TEST_LOOKS") == "all" else _BOTH
)
"""Each width in pixels and each colour scheme; with NEWSLETTER_TEST_LOOKS=all each with each."""
SHOTS = os.environ.get("NEWSLETTER_TEST_SHOTS", "")
"""A folder for a picture of every page that is judged, to be looked at."""
_taken = count(1)


def picture(page: Page) -> None:
    """Take a picture of a page where pictures are wanted, named by page, width and scheme."""
    if not SHOTS:
        return
    size, path = page.viewport_size, urlsplit(page.url).path.strip("/").replace("/", "_")
    is_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    name = f"{path[:50]}-{size['width'] if size else 0}-{'dark' if is_dark else 'light'}"
    page.screenshot(path=f"{SHOTS}/{name}-{next(_taken):03}.png", full_page=True)


def make_html() -> str:
    """Lay out a mail that has one of everything, and words that are hard to fit in."""
    long_word = "Donaudampfschifffahrtsgesellschaftskapitänswitwenrente"
    full = Brief(
        title=f"Harbor city approves deeper port, says {long_word}",
        summary="The council voted on a berth, and the first ships are expected in spring.",
        why_it_matters="A port that cannot take large ships loses its routes to the next one.",
        quick_take=(
            Point(label="Money Angle", text="Bonds carry most of the cost over twenty years."),
            Point(label="What to Watch Next", text="Whether the permit comes before March."),
        ),
        perspectives=(
            Perspective(lens="Household Impact", text="Prices of imports could ease a little."),
            Perspective(
                lens="Civil Liberties View", text="No civil-liberties issue is implicated."
            ),
            Perspective(lens="Adversary View", text="State media may call it a subsidy."),
        ),
        sources=(Source(name="harborpost.example", url="https://harborpost.example/1"),),
        topics=("Economy",),
        link="https://news.example/news/1",
    )
    plain = Brief(
        title="ميناء المدينة يوافق على التوسعة",
        summary="وافق المجلس على المشروع بأغلبية سبعة أصوات.",
        sources=(Source(name="sahil.example"),),
    )
    edition = Edition(
        date=date(2026, 11, 23),
        window=Window(
            start=datetime(2026, 11, 22, tzinfo=UTC), cut_off=datetime(2026, 11, 23, tzinfo=UTC)
        ),
        subject="Harbor vote",
        preheader="Also today: seed prices, and night trains return",
        briefs=(full, plain, full),
        left_out=4,
    )
    publication = Publication(
        name="Morning Ledger",
        sender="Ledger <ledger@news.example>",
        list_id="daily.news.example",
        url="https://news.example",
        postal_address="1 Example Street, Springfield",
    )
    compiled = compile_edition(
        edition,
        publication=publication,
        vocabulary=Vocabulary(),
        templates=find_templates(),
        settings=EditionSettings(),
    )
    values = {
        "email": "a-reader-with-quite-a-long-address@reader.example",
        "web_url": "https://news.example/e/1",
        "preferences_url": "https://news.example/p/1",
        "unsubscribe_url": "https://news.example/u/1",
        "brief_count": "3",
        "minutes": "5",
        "word_count": "1,198",
    }
    return decode_part(compiled.html, values, Selector(compiled).select(Choices()))
