"""What readers do by themselves, in a browser: by keyboard, without scripts, for everybody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Locator, Page, sync_playwright
from sqlalchemy import select

from newsletter.audience.subscribers import find_subscriber
from newsletter.mail import decode_message
from newsletter.render.browser import find_chromium
from newsletter.store.tables import answers
from tests.browser.chromium import LOOKS, NEEDS_CHROMIUM, picture
from tests.integration.web.conftest import sent, stage  # noqa: F401 - fixtures
from tests.integration.web.stage import Stage

pytestmark = NEEDS_CHROMIUM
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(find_chromium()), args=FLAGS)
        yield opened
        opened.close()


def preferences(stage: Stage) -> str:  # noqa: F811
    for mail in stage.mails:
        text = decode_message(mail)[0]
        if b"reader1@" in mail and (found := re.search(r"https://news\.example(/p/[\w-]+)", text)):
            return found[1]
    raise LookupError


def address(stage: Stage, path: str) -> str:  # noqa: F811
    return str(stage.web.base_url).rstrip("/") + path


def judge(page: Page) -> list[str]:
    """Give what axe finds serious or worse."""
    picture(page)
    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {v['help']}" for v in found if v["impact"] in ("serious", "critical")]


@LOOKS
def test_every_page_is_for_everybody(
    browser: Browser,
    stage: Stage,  # noqa: F811
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    day = stage.clock.now.date()
    read_on = (
        *("/editions", "/search", "/search?q=quay", "/search?q=zeppelin"),
        *(f"/editions/{day}/briefs/2", f"/editions/{day}/briefs/2/feedback"),
        *(stage.feedback(), f"{stage.feedback()}/2"),
    )
    for path in (stage.link(), preferences(stage), "/nowhere", *read_on):
        page.goto(address(stage, path))
        assert judge(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    page.goto(address(stage, stage.link()))
    page.click("button")
    assert judge(page) == []
    context.close()


def press_to(page: Page, words: str) -> Locator:
    """Tab on until what has the focus says some words, and give it; fails if nothing does.

    What is pressed next is pressed on what this gives: where the focus has just come out of a
    frame, which is another process, the page's keyboard may still type into that.
    """
    for _ in range(60):
        page.keyboard.press("Tab")
        said = page.evaluate(
            "(e => e.innerText || e.labels?.[0]?.innerText || '')(document.activeElement)"
        )
        if words in " ".join(said.split()):
            return page.locator(":focus")
    pytest.fail(f"{words!r} cannot be reached by keyboard")


@pytest.fixture
def plain(browser: Browser) -> Iterator[BrowserContext]:
    """Without scripts; what a test asks of the page itself still runs."""
    context = browser.new_context(viewport={"width": 320, "height": 900})
    context.route("**/*.js", lambda route: route.abort())
    yield context
    context.close()


def test_a_reader_leaves_and_comes_back_by_keyboard(
    plain: BrowserContext,
    stage: Stage,  # noqa: F811
) -> None:
    page = plain.new_page()
    page.goto(address(stage, stage.link()))
    assert page.locator("script").count() == 0
    press_to(page, "Unsubscribe").press("Enter")
    page.get_by_role("heading", name="You are off the list").wait_for()
    assert stage.status() == "unsubscribed"
    press_to(page, "Subscribe again").press("Enter")
    page.get_by_role("heading", name="You are subscribed").wait_for()
    assert stage.status() == "active"


def test_a_reader_sees_what_a_choice_means_before_it_is_kept(
    plain: BrowserContext,
    stage: Stage,  # noqa: F811
) -> None:
    page = plain.new_page()
    page.goto(address(stage, preferences(stage)))
    shown = page.frame_locator("iframe")
    shown.get_by_text("Household Impact").first.wait_for()
    page.get_by_label("One line", exact=True).press(" ")
    press_to(page, "Show me first").press("Enter")
    shown.get_by_text("In one line").first.wait_for()
    assert shown.get_by_text("Household Impact").count() == 0
    reader = find_subscriber(stage.database, "reader1@example.org")
    assert reader is not None
    assert reader.choices.detail == "", "showing keeps nothing"
    page.get_by_role("button", name="Save").press("Enter")
    page.get_by_text("Saved.").wait_for()
    reader = find_subscriber(stage.database, "reader1@example.org")
    assert reader is not None
    assert reader.choices.detail == "one-line"


def test_a_reader_finds_a_brief_by_keyboard_and_says_what_they_think(
    plain: BrowserContext,
    stage: Stage,  # noqa: F811
) -> None:
    page = plain.new_page()
    page.goto(address(stage, "/editions"))
    assert page.locator("script").count() == 0
    press_to(page, "Search the editions")
    page.keyboard.type("market traders")
    page.keyboard.press("Enter")
    page.get_by_text("2 results").wait_for()
    assert page.locator("mark").first.inner_text() == "Market"
    press_to(page, "North Quay Reopens Early").press("Enter")
    page.get_by_role("heading", name="How we know").wait_for()
    press_to(page, "Tell us what you think of it").press("Enter")
    page.get_by_role("heading", name="What do you think?").wait_for()
    press_to(page, "Useful").press("ArrowDown")
    page.keyboard.press("ArrowDown")
    press_to(page, "The brief as a whole").press("ArrowDown")
    press_to(page, "A sentence, if you like")
    page.keyboard.type("Who says so?")
    press_to(page, "Send").press("Enter")
    page.get_by_role("heading", name="Thank you").wait_for()
    with stage.database.reading() as connection:
        (said,) = connection.execute(select(answers))
    assert (said.verdict, said.lens) == ("unfair", "Household Impact")
    assert (said.sentence, said.voice) == ("Who says so?", None)


def test_a_scanner_that_opens_every_link_changes_nothing(
    browser: Browser,
    stage: Stage,  # noqa: F811
) -> None:
    context = browser.new_context()
    page = context.new_page()
    before = stage.everything()
    home = "https://news.example"
    for mail in stage.mails:
        text = "".join(decode_message(mail))
        for url in sorted(set(re.findall(rf"{home}(/[upf]/[\w-]+)", text))):
            page.goto(address(stage, url))
            page.wait_for_timeout(300)
    assert stage.everything() == before
    context.close()
