"""Passkeys in a browser that has an authenticator: made, used and taken away, by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, sync_playwright

from newsletter.render.browser import find_chromium
from newsletter.web.console.members import find_member
from newsletter.web.console.passkeys import Made, add_passkey
from tests.acceptance.project import Project
from tests.browser.chromium import LOOKS, NEEDS_CHROMIUM
from tests.browser.test_console import enter, set_up
from tests.browser.test_reader_pages import FLAGS, judge, press_to
from tests.integration.console.conftest import gathered, open_stage, quick_hashes  # noqa: F401
from tests.integration.console.stage import PASSWORD, TEST, Stage

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(find_chromium()), args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def here(gathered: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:  # noqa: F811
    """A console, reached by its name on this machine; everybody who comes is somebody new."""
    with open_stage(gathered, tmp_path_factory.mktemp("here")) as opened:
        yield replace(opened, address=opened.address.replace("127.0.0.1", "localhost"))


def be(context: BrowserContext, here: Stage, name: str) -> Page:
    """Be somebody who is logged in."""
    here.enter(name, "admin")
    token = here.give_session(name)
    context.add_cookies([{"name": "newsletter-session", "value": token, "url": here.address}])
    return context.new_page()


def give_authenticator(context: BrowserContext, page: Page) -> tuple[CDPSession, str]:
    """Give the browser a device that verifies whoever is there."""
    devtools = context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    added = devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return devtools, added["authenticatorId"]


def add(page: Page, stage: Stage, name: str) -> None:
    """Go by keyboard to where the browser is to make a passkey."""
    page.goto(stage.address + "/console/you")
    press_to(page, "Its name, such as the device")
    page.keyboard.type(name)
    press_to(page, "Your password")
    page.keyboard.type(PASSWORD)
    enter(page)
    page.get_by_role("heading", name=f"A passkey: {name}").wait_for()
    assert page.evaluate("document.activeElement.innerText") == "Make the passkey"


def log_out(page: Page, stage: Stage) -> None:
    page.goto(stage.address + "/console/you")
    press_to(page, "Log out")
    enter(page)
    page.get_by_role("heading", name="Log in").wait_for()


def test_a_passkey_is_made_used_and_taken_away_by_keyboard(browser: Browser, here: Stage) -> None:
    """Under the page's own policy, which lets nothing else run or load."""
    context = browser.new_context()
    page = context.new_page()
    faults: list[str] = []
    asked: list[str] = []
    page.on("console", lambda said: faults.append(said.text) if "Policy" in said.text else None)
    page.on("request", lambda request: asked.append(request.url))
    devtools, device = give_authenticator(context, page)
    set_up(page, here, "Ada")
    add(page, here, "Laptop")
    enter(page)
    page.get_by_text("not used yet").wait_for()
    add(page, here, "Laptop again")
    page.keyboard.press("Enter")
    page.get_by_text("This device has a passkey of yours").wait_for()
    held = devtools.send("WebAuthn.getCredentials", {"authenticatorId": device})["credentials"]
    (credential,) = held
    assert (credential["isResidentCredential"], credential["rpId"]) == (True, "localhost")
    assert "ada" not in credential["userHandle"].lower()

    log_out(page, here)
    verified = {"authenticatorId": device, "isUserVerified": False}
    devtools.send("WebAuthn.setUserVerified", verified)
    press_to(page, "Log in with a passkey").press("Enter")
    page.get_by_text("No passkey was used").wait_for()
    devtools.send("WebAuthn.setUserVerified", {**verified, "isUserVerified": True})
    enter(page)
    page.get_by_role("link", name="Ada, admin").wait_for()

    page.goto(here.address + "/console/you")
    page.get_by_text("last used").wait_for()
    press_to(page, "Laptop").press("Space")
    press_to(page, "Your password")
    page.keyboard.type(PASSWORD)
    enter(page)
    page.get_by_role("heading", name="Add a passkey").wait_for()
    assert page.get_by_text("Laptop").count() == 0
    log_out(page, here)
    press_to(page, "Log in with a passkey")
    enter(page)
    page.get_by_text("This passkey is not known here.").wait_for()
    assert faults == []
    assert {url.startswith(here.address) for url in asked} == {True}
    context.close()


def test_without_scripts_the_password_is_left(browser: Browser, here: Stage) -> None:
    context = browser.new_context()
    context.route("**/*.js", lambda route: route.abort())
    page = be(context, here, "Berta")
    page.goto(here.address + "/console/you")
    page.get_by_role("heading", name="Passkeys").wait_for()
    assert not page.get_by_role("button", name="Add a passkey").is_visible()
    log_out(page, here)
    assert page.get_by_role("button", name="Log in", exact=True).is_visible()
    assert not page.get_by_role("button", name="Log in with a passkey").is_visible()
    context.close()


@LOOKS
def test_pages_with_passkeys_are_for_everybody(
    browser: Browser,
    here: Stage,
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page = be(context, here, f"Carl{width}")
    give_authenticator(context, page)
    found: dict[str, list[str]] = {}

    def look(name: str) -> None:
        wide = page.evaluate("document.documentElement.scrollWidth")
        faults = [*judge(page), *([f"{wide} pixels wide"] if wide > width else [])]
        if faults:
            found[name] = faults

    names = ("Telefon", "Donaudampfschifffahrtsgesellschaftskapitänsrechner", "מחשב")
    with here.database.writing() as connection:
        carl = find_member(connection, f"Carl{width}")
        for name in names:
            id_ = f"{width} {name}"
            made = Made(credential_id=id_, public_key=b"", counter=0, challenge=id_.encode())
            site, now = "a-long-name-of-a-console.news.example", here.clock.now
            add_passkey(connection, carl, name, made, site=site, actor=TEST, now=now)
    add(page, here, names[1])
    look("making one")
    page.goto(here.address + "/console/you")
    look("some")
    page.context.clear_cookies()
    page.goto(here.address + "/console/login")
    page.get_by_role("button", name="Log in with a passkey").click()
    page.get_by_text("No passkey was used").wait_for()
    look("refused")
    assert found == {}
    context.close()
