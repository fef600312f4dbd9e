"""The web copy in a browser: on a phone and a desk, in both schemes, without scripts, on paper."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, sync_playwright

from newsletter.briefs.model import Brief, Source
from newsletter.editions.model import Edition
from newsletter.render.browser import find_chromium
from newsletter.render.templates import find_templates
from newsletter.render.web import Listed, Published, build_archive, build_edition, open_site
from newsletter.settings import Look, Vocabulary
from tests.browser.chromium import LOOKS, NEEDS_CHROMIUM
from tests.unit.test_render_extras import LOGO, PICTURE, WHOLE
from tests.unit.test_render_web import BRIEF, EDITION, NOON, PLAIN, PUBLICATION, site

pytestmark = NEEDS_CHROMIUM
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]

Scheme = Literal["light", "dark"]

HOME = "https://news.example"
TOP = f"{HOME}/editions/2026-11-23"
PAGES = {"edition": TOP, "brief": f"{TOP}/briefs/1", "archive": f"{HOME}/editions"}
LONG = Brief(
    title="Donaudampfschifffahrtsgesellschaftskapitänswitwenrente wird zum ersten Mal seit "
    "Jahrzehnten erhöht",
    summary="The council voted on a berth for deeper ships, and the first of them are expected in "
    "spring, when the new cranes are to be ready as well. " * 4,
    sources=(Source(name="x" * 90, url="https://harbor.example/" + "y" * 90),),
    topics=("Verkehrsinfrastrukturfinanzierungsgesellschaft",),
)
ARABIC = Brief(
    title="ميناء المدينة يوافق على التوسعة",
    summary="وافق المجلس على المشروع بأغلبية سبعة أصوات.",
    sources=(Source(name="sahil.example", url="https://sahil.example/1"),),
    topics=("اقتصاد",),
)
TALK = replace(
    BRIEF,
    why_it_matters="A port that cannot take large ships loses its routes to the next one, and the "
    "town with them; the council had put the question off for eleven years. " * 2,
)

# The longest line of each paragraph of prose, in characters.
LONGEST_LINES = """() => [...document.querySelectorAll('p:not(.source, footer *), dd')].map(p => {
  const walker = document.createTreeWalker(p, NodeFilter.SHOW_TEXT), range = document.createRange();
  const lines = new Map();
  for (let node; node = walker.nextNode();)
    for (let i = 0; i < node.length; i++) {
      range.setStart(node, i); range.setEnd(node, i + 1);
      const top = Math.round(range.getBoundingClientRect().bottom / 6);
      lines.set(top, (lines.get(top) || 0) + 1);
    }
  return Math.max(...lines.values());
})"""


def build(**publication: Any) -> dict[str, bytes]:
    own = site(**publication)
    published = Published(
        edition=replace(EDITION, briefs=(TALK, LONG, ARABIC, PLAIN)),
        published_at=NOON,
        previous=Listed(date=date(2026, 11, 22), title=LONG.title),
        next=Listed(date=date(2026, 11, 24), title="Night trains"),
    )
    listed = (
        Listed(date=date(2026, 11, 24), title=LONG.title),
        Listed(date=date(2026, 11, 23), title=own.headline(published.edition)),
    )
    files = build_edition(own, published)
    return files | build_archive(own, own.see(published.edition), listed)


FILES = build()
WHOLE_TOP = f"{HOME}/editions/{WHOLE.date}"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def build_whole_edition(edition: Edition) -> dict[str, bytes]:
    logo = {**LOGO, "url_dark": "https://pictures.example/night.png"}
    own = open_site(
        publication=PUBLICATION,
        vocabulary=Vocabulary(sponsor_label="Advertisement"),
        templates=find_templates(),
        look=Look.model_validate({"logo": logo}),
        picture_hosts=("pictures.example",),
    )
    files = build_edition(own, Published(edition=edition, published_at=NOON))
    listed = (Listed(date=edition.date, title=own.headline(edition)),)
    return files | build_archive(own, own.see(edition), listed)


WHOLE_FILES = build_whole_edition(
    replace(WHOLE, briefs=(replace(TALK, picture=PICTURE), LONG, WHOLE.briefs[0]))
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        yield browser
        browser.close()


def await_pictures(page: Page) -> None:
    """Wait until each picture was loaded or refused.

    Not by `wait_for_function`: what it was not shown at once it asks again by `eval`, which
    the page's own policy forbids.
    """
    page.evaluate(
        "Promise.all([...document.images].map(i => i.complete || new Promise("
        "done => { i.addEventListener('load', done); i.addEventListener('error', done); })))"
    )


@contextmanager
def shown(
    browser: Browser,
    url: str,
    *,
    width: int = 1280,
    scheme: Scheme = "light",
    scripts: bool = True,
    files: dict[str, bytes] = FILES,
) -> Iterator[tuple[Page, list[str]]]:
    """Show a page at its own address; the requests that it makes are listed."""
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
        java_script_enabled=scripts,
    )
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        path = route.request.url.removeprefix(f"{HOME}/").partition("#")[0]
        data = files.get(f"{path}/index.html")
        if urlsplit(route.request.url).hostname == "pictures.example":
            route.fulfill(body=PIXEL, content_type="image/png")
        elif data is None:
            route.abort()
        else:
            route.fulfill(body=data, content_type="text/html; charset=utf-8")

    context.route("**", answer)
    page = context.new_page()
    page.goto(url, wait_until="load")
    yield page, asked
    context.close()


@LOOKS
def test_axe_finds_nothing_serious(browser: Browser, width: int, scheme: Scheme) -> None:
    for name, url in PAGES.items():
        with shown(browser, url, width=width, scheme=scheme) as (page, _):
            ground = page.evaluate(
                "getComputedStyle(document.documentElement).backgroundColor"
            )  # the style sheet passed the page's own policy
            assert ground == ("rgb(22, 21, 19)" if scheme == "dark" else "rgb(253, 252, 249)")
            found = Axe().run(page).response["violations"]
            serious = [v for v in found if v["impact"] in ("serious", "critical")]
            assert serious == [], f"{name}: {serious}"
            assert [v["id"] for v in found] == [], name  # nor anything less


@LOOKS
def test_axe_finds_nothing_with_all_that_an_operator_adds(
    browser: Browser, width: int, scheme: Scheme
) -> None:
    urls = [WHOLE_TOP, f"{WHOLE_TOP}/briefs/1", f"{HOME}/editions"]
    for url in urls:
        with shown(browser, url, width=width, scheme=scheme, files=WHOLE_FILES) as (page, asked):
            for picture in page.locator("img").all():
                picture.scroll_into_view_if_needed()
            await_pictures(page)
            loaded = page.evaluate("[...document.images].map(i => i.naturalWidth)")
            assert loaded == [1] * len(loaded), url
            assert page.evaluate("document.documentElement.scrollWidth") == width
            found = Axe().run(page).response["violations"]
            assert [(v["id"], v["nodes"][0]["html"]) for v in found] == [], url
            logo = "night" if scheme == "dark" else "logo"
            pictures = [each for each in asked if "/editions" not in each]
            assert f"https://pictures.example/{logo}.png" in pictures
            assert {urlsplit(each).hostname for each in pictures} == {"pictures.example"}


def test_pictures_keep_their_place_and_a_page_its_shape(browser: Browser) -> None:
    for width, room in ((1280, 608), (320, 280)):
        with shown(browser, WHOLE_TOP, width=width, files=WHOLE_FILES) as (page, _):
            picture = page.locator("article img").first
            box = picture.bounding_box()
            assert box is not None
            assert round(box["width"]) == room
            # What a browser keeps free until it knows better.
            assert picture.evaluate("i => getComputedStyle(i).aspectRatio") == "auto 608 / 342"


def test_a_picture_of_another_host_is_refused(browser: Browser) -> None:
    foreign = replace(PICTURE, url="https://tracker.example/pixel.png")
    edition = replace(WHOLE, briefs=(replace(TALK, picture=foreign), WHOLE.briefs[0]))
    with shown(browser, WHOLE_TOP, files=build_whole_edition(edition)) as (page, asked):
        refused = page.evaluate(
            "new Promise((done, fail) => { document.addEventListener('securitypolicyviolation',"
            " e => done([e.blockedURI, e.effectiveDirective]));"
            " setTimeout(() => fail(new Error('nothing was refused')), 5000);"
            " for (const i of document.images) { i.loading = 'eager'; i.src = i.src; } })"
        )
        assert refused == ["https://tracker.example/pixel.png", "img-src"]
        await_pictures(page)
        assert any("pictures.example" in each for each in asked)
        assert not any("tracker.example" in each for each in asked)
        assert page.locator(f"img[src='{foreign.url}']").get_attribute("alt") == foreign.alt


def test_nothing_scrolls_sideways(browser: Browser) -> None:
    for url in (*PAGES.values(), f"{TOP}/briefs/2"):
        for width in (320, 480, 1280):
            with shown(browser, url, width=width) as (page, _):
                assert page.evaluate("document.documentElement.scrollWidth") == width, url
        with shown(browser, url, width=640) as (page, _):  # twice the size of text
            page.evaluate("document.documentElement.style.fontSize = '200%'")
            assert page.evaluate("document.documentElement.scrollWidth") == 640, url


def test_nothing_is_asked_of_anybody_and_no_cookie_is_set(browser: Browser) -> None:
    for url in PAGES.values():
        with shown(browser, url) as (page, asked):
            assert asked == [url]
            assert page.context.cookies() == []
            assert page.evaluate("document.cookie") == ""


def test_it_works_without_scripts(browser: Browser) -> None:
    with shown(browser, TOP, width=320, scripts=False) as (page, asked):
        page.click("nav.contents a[href='#brief-3']")
        assert page.url == f"{TOP}#brief-3"
        box = page.locator("#brief-3").bounding_box()
        assert box is not None
        assert 0 <= box["y"] < 60
        page.click("#brief-3 h2 a")
        assert page.url == f"{TOP}/briefs/3"
        page.click("a[rel=next]")
        assert page.url == f"{TOP}/briefs/4"
        page.click("footer a:text('All editions')")
        page.click("main a >> nth=1")
        assert page.url == TOP
    assert len(asked) == 5


def test_the_keyboard_reaches_the_content_first(browser: Browser) -> None:
    with shown(browser, TOP) as (page, _):
        page.keyboard.press("Tab")
        box = page.locator(".skip").bounding_box()
        assert box is not None
        assert box["y"] >= 0  # it shows itself
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "content"


def test_lines_are_short_enough_to_read(browser: Browser) -> None:
    for width, shortest in ((320, 20), (1280, 50)):
        with shown(browser, TOP, width=width) as (page, _):
            lines = page.evaluate(LONGEST_LINES)
            assert shortest <= max(lines) <= 70


def test_on_a_phone_no_text_is_small_and_links_are_a_thumb_apart(browser: Browser) -> None:
    for url in PAGES.values():
        with shown(browser, url, width=320) as (page, _):
            sizes = page.evaluate(
                "[...document.body.querySelectorAll('*')]"
                ".map(e => parseFloat(getComputedStyle(e).fontSize))"
            )
            assert min(sizes) >= 16
            heights = page.evaluate(
                "[...document.querySelectorAll('a.way, nav.around a')]"
                ".map(e => e.getBoundingClientRect().height)"
            )
            assert min(heights) >= 44
            rows = page.evaluate(
                "[...document.querySelectorAll('li')].map(e => e.getBoundingClientRect().height)"
            )
            assert min(rows, default=24) >= 24


def test_right_to_left_is_mirrored(browser: Browser) -> None:
    with shown(browser, PAGES["edition"], files=build(language="he")) as (page, _):
        assert page.evaluate("document.documentElement.scrollWidth") == 1280
        edges = page.evaluate(
            "(s => [s.borderLeftWidth, s.borderRightWidth])"
            "(getComputedStyle(document.querySelector('.analysis')))"
        )
        assert edges == ["0px", "3px"]
        assert page.evaluate("getComputedStyle(document.body).direction") == "rtl"
        ends = page.evaluate(
            "['prev', 'next'].map(r => document.querySelector(`a[rel=${r}]`)"
            ".getBoundingClientRect().left)"
        )
        assert ends[0] > ends[1]  # what comes next stands on the left


def test_on_paper_there_is_text_and_no_way_around(browser: Browser) -> None:
    with shown(browser, TOP, scheme="dark") as (page, _):
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == (
            "rgb(255, 255, 255)"
        )
        for hidden in (".skip", "nav.contents", "nav.around", ".ways"):
            assert not page.locator(hidden).is_visible()
        shown_after = page.evaluate(
            "getComputedStyle(document.querySelector('.source a'), '::after').content"
        )
        assert "post.example/1" in shown_after
        assert page.locator(".analysis").first.is_visible()
