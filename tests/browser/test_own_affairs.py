"""Choosing days, pausing, muting, moving, being erased: in a browser, by keyboard, no scripts."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from playwright.sync_api import Browser, BrowserContext

from newsletter.audience.subscribers import find_subscriber
from newsletter.mail.tokens import Purpose, sign_until_later
from newsletter.press.settling import build_settler
from tests.browser.chromium import LOOKS, NEEDS_CHROMIUM
from tests.browser.test_reader_pages import (  # noqa: F401 - fixtures
    address,
    browser,
    judge,
    plain,
    preferences,
    press_to,
)
from tests.integration.web.conftest import sent, stage  # noqa: F401 - fixtures
from tests.integration.web.stage import Stage

pytestmark = NEEDS_CHROMIUM


def wish(stage: Stage, email: str = "new@example.net") -> str:  # noqa: F811
    """Ask for another address; give the link that its mail has."""
    stage.web.post(f"{preferences(stage)}/address", data={"email": email})
    build_settler(stage.press)()
    token = sign_until_later(
        1,
        Purpose.MOVE,
        stage.clock.now,
        keyring=stage.press.keyring,
        list_id=stage.press.settings.publication.list_id,
    )
    return f"/a/{token}"


@LOOKS
def test_every_page_is_for_everybody(
    browser: Browser,  # noqa: F811
    stage: Stage,  # noqa: F811
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    own = preferences(stage)
    stage.web.post(own, data={"paused_until": f"{stage.press.today() + timedelta(days=9)}"})
    for path in (own, f"{own}/erase", f"{own}/address", wish(stage), "/links", "/nowhere"):
        page.goto(address(stage, path))
        assert judge(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    for path, filled in ((f"{own}/address", "no address"), ("/links", "reader2@example.org")):
        page.goto(address(stage, path))
        page.locator("form").evaluate("form => form.noValidate = true")
        page.get_by_label("address").fill(filled)
        page.locator("form button").click()
        assert judge(page) == [], path
    for path in (wish(stage), f"{own}/erase"):
        page.goto(address(stage, path))
        page.locator("form button").click()
        assert judge(page) == [], path
    assert stage.status() == "erased"
    context.close()


def test_days_a_pause_and_a_muted_story_by_keyboard(
    plain: BrowserContext,  # noqa: F811
    stage: Stage,  # noqa: F811
) -> None:
    page = plain.new_page()
    page.goto(address(stage, preferences(stage)))
    shown = page.frame_locator("iframe")
    shown.get_by_role("heading", name="Library Opens on Sundays").wait_for()
    press_to(page, "Sunday").press(" ")
    page.get_by_label("At what time").select_option("06:00")
    page.get_by_label("Time zone").select_option("Europe/Berlin")
    until = stage.press.today() + timedelta(days=20)
    page.get_by_label("Pause until this day").fill(until.isoformat())
    press_to(page, "Library Opens on Sundays").press(" ")
    press_to(page, "Show me first").press("Enter")
    shown.get_by_role("heading", name="Library Opens on Sundays").wait_for(state="detached")
    shown.get_by_role("heading", name="North Quay Reopens Early").wait_for()
    reader = find_subscriber(stage.database, "reader1@example.org")
    assert reader is not None
    assert reader.choices.days == (), "showing keeps nothing"
    page.get_by_role("button", name="Save").press("Enter")
    page.get_by_text("Saved.").wait_for()
    page.get_by_text("there is a pause").wait_for()
    reader = find_subscriber(stage.database, "reader1@example.org")
    assert reader is not None
    assert reader.choices.days == ("mon", "tue", "wed", "thu", "fri", "sat")
    assert (reader.choices.send_at, reader.choices.timezone) == ("06:00", "Europe/Berlin")
    assert reader.paused_until == until
    assert len(reader.choices.muted) == 1
    assert not page.get_by_label("Sunday", exact=True).is_checked()
    assert page.get_by_label("Library Opens on Sundays").is_checked()


def test_what_is_held_is_kept_and_then_erased_by_keyboard(
    plain: BrowserContext,  # noqa: F811
    stage: Stage,  # noqa: F811
) -> None:
    page = plain.new_page()
    page.goto(address(stage, preferences(stage)))
    button = press_to(page, "Download it")
    with page.expect_download() as download:
        button.press("Enter")
    assert "reader1@example.org" in download.value.path().read_text()
    press_to(page, "Erase everything about me").press("Enter")
    page.get_by_role("heading", name="Erase everything?").wait_for()
    assert stage.status() == "active"
    press_to(page, "Erase everything").press("Enter")
    page.get_by_role("heading", name="Everything is erased").wait_for()
    assert stage.status() == "erased"


def test_another_address_by_keyboard(
    plain: BrowserContext,  # noqa: F811
    stage: Stage,  # noqa: F811
) -> None:
    page = plain.new_page()
    page.goto(address(stage, preferences(stage)))
    press_to(page, "Read at another address").press("Enter")
    page.get_by_label("Your new address").fill("new@example.net")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Look into your new mailbox").wait_for()
    page.goto(address(stage, wish(stage)))
    press_to(page, "Yes, send them here").press("Enter")
    page.get_by_role("heading", name="Your new address is kept").wait_for()
    assert find_subscriber(stage.database, "new@example.net") is not None
