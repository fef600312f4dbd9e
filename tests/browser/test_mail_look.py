"""The mail in a browser: on a phone, in both schemes, with its styles gone."""

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from newsletter.audience.reader import Choices
from newsletter.briefs.model import Brief, Perspective, Point, Source
from newsletter.editions.model import Edition, Window
from newsletter.render.compile import compile_edition
from newsletter.render.preview import decode_part
from newsletter.render.selection import Selector
from newsletter.render.templates import find_templates
from newsletter.settings import EditionSettings, Publication, Vocabulary

CHROMIUM = (
    os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None,
        reason="needs Chromium: `apt-get install chromium`, or name its file in CHROMIUM",
    ),
]

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

# For each text that is seen: its colour, the colour behind it, its size. Contrast by WCAG 2.2.
SEEN = """() => {
  const rgb = s => (s.match(/[\\d.]+/g) || []).map(Number);
  const light = c => {
    const [r, g, b] = c.slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = e => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = [];
  for (let node; node = walker.nextNode();) {
    const e = node.parentElement, text = node.data.trim();
    if (!text || !e.checkVisibility() || getComputedStyle(e).display === 'none') continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    seen.push({text, size: parseFloat(getComputedStyle(e).fontSize),
               contrast: (a + 0.05) / (b + 0.05)});
  }
  return seen;
}"""


def make_html() -> str:
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


@pytest.fixture(scope="module")
def html() -> str:
    return make_html()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def show(browser: Browser, html: str, *, width: int, scheme: Literal["light", "dark"]) -> Page:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.route("**", lambda route: route.abort())
    page.set_content(html)
    return page


def seen(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(SEEN)
    assert len(found) > 40
    return found


@pytest.mark.parametrize("width", [320, 640])
def test_nothing_scrolls_sideways(browser: Browser, html: str, width: int) -> None:
    page = show(browser, html, width=width, scheme="light")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("document.compatMode") == "CSS1Compat"
    page.close()


def test_on_a_phone_no_text_is_smaller_than_16_pixels(browser: Browser, html: str) -> None:
    page = show(browser, html, width=320, scheme="light")
    assert [text for text in seen(page) if text["size"] < 16] == []
    page.close()


def test_nothing_is_requested(browser: Browser, html: str) -> None:
    page = browser.new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.route("**", lambda route: route.abort())
    page.set_content(html, wait_until="load")
    page.close()
    assert requests == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_schemes(
    browser: Browser, html: str, scheme: Literal["light", "dark"]
) -> None:
    page = show(browser, html, width=640, scheme=scheme)
    assert [text for text in seen(page) if text["contrast"] < 4.5] == []
    ground = page.evaluate("getComputedStyle(document.querySelector('.page')).backgroundColor")
    assert (ground == "rgb(22, 21, 19)") == (scheme == "dark")
    page.close()


def test_text_has_contrast_where_outlook_recolours(browser: Browser, html: str) -> None:
    marked = html.replace("<body", "<body data-ogsc data-ogsb", 1)
    page = show(browser, marked, width=640, scheme="light")
    assert [text for text in seen(page) if text["contrast"] < 4.5] == []
    page.close()


def test_it_reads_in_order_when_the_style_block_is_dropped(browser: Browser, html: str) -> None:
    page = show(browser, html, width=320, scheme="light")
    page.evaluate("document.querySelectorAll('style').forEach(style => style.remove())")
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    found = seen(page)
    assert [text for text in found if text["size"] < 16 or text["contrast"] < 4.5] == []
    text = page.inner_text("body")
    order = ["Morning Ledger", "In this edition", "Original reporting", "AI-assisted analysis"]
    order += ["You are up to date", "Unsubscribe"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    page.close()


def test_links_are_a_thumb_apart_on_a_phone(browser: Browser, html: str) -> None:
    page = show(browser, html, width=320, scheme="light")
    heights = page.evaluate(
        "[...document.querySelectorAll('li, a.way')].map(e => e.getBoundingClientRect().height)"
    )
    assert len(heights) > 5
    assert min(heights) >= 24
    page.close()
