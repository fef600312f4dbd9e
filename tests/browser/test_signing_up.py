"""Subscribing in a browser: by keyboard, without scripts, from another site, for everybody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from newsletter.audience.subscribers import find_subscriber, remove_subscriber
from tests.browser.chromium import LOOKS, NEEDS_CHROMIUM
from tests.browser.test_reader_pages import (  # noqa: F401 - fixtures
    address,
    browser,
    judge,
    plain,
    press_to,
)
from tests.integration.runs import Server
from tests.integration.web.conftest import relay, sent, stage  # noqa: F401 - fixtures
from tests.integration.web.stage import Stage, work
from tests.integration.web.test_signing_up import NEW, ask_by_mail, link_of

pytestmark = NEEDS_CHROMIUM
README = Path(__file__).parents[2] / "README.md"


def look_at(page: Page, name: str, width: int) -> None:
    assert judge(page) == [], name
    assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    assert page.locator("script").count() == 0


@LOOKS
def test_every_page_of_subscribing_is_for_everybody(
    browser: Browser,  # noqa: F811
    stage: Stage,  # noqa: F811
    relay: Server,  # noqa: F811
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()

    def see(name: str) -> None:
        look_at(page, f"{name}-{scheme}-{width}", width)

    page.goto(address(stage, "/subscribe"))
    see("subscribe")
    page.get_by_label("Your mail address").fill("a@b")
    stage.clock.now += timedelta(seconds=5)
    page.get_by_role("button", name="Subscribe").click()
    see("subscribe-fault")
    page.goto(address(stage, "/subscribe?language=he"))
    see("subscribe-he")
    page.goto(address(stage, "/subscribe"))
    stage.clock.now += timedelta(seconds=5)
    page.get_by_label("Your mail address").fill("other@example.net")
    page.get_by_role("button", name="Subscribe").click()
    see("asked")
    link, never = ask_by_mail(stage, relay), ask_by_mail(stage, relay, "third@example.net")
    page.goto(address(stage, link))
    see("confirm")
    page.get_by_role("button", name="Yes, send it to me").click()
    see("confirmed")
    page.goto(address(stage, never))
    page.get_by_role("button", name="Never ask this address again").click()
    see("never")
    pseudonyms = stage.press.pseudonyms
    stage.clock.now += timedelta(minutes=1)
    remove_subscriber(stage.database, NEW, now=stage.clock.now, pseudonyms=pseudonyms)
    page.goto(address(stage, link))
    page.get_by_role("button", name="Yes, send it to me").click()
    see("over")
    context.close()


def test_a_reader_subscribes_and_confirms_by_keyboard_alone(
    plain: BrowserContext,  # noqa: F811
    stage: Stage,  # noqa: F811
    relay: Server,  # noqa: F811
) -> None:
    page = plain.new_page()
    page.goto(address(stage, "/subscribe"))
    press_to(page, "Your mail address")
    page.keyboard.type(NEW)
    stage.clock.now += timedelta(seconds=5)
    page.keyboard.press("Tab")  # past the field that only programs fill in
    said = page.evaluate("document.activeElement.innerText")
    assert said == "Subscribe"
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Look into your mailbox").wait_for()
    work(stage, relay)
    page.goto(address(stage, link_of(relay)))
    press_to(page, "Yes, send it to me").press("Enter")
    page.get_by_role("heading", name="You are subscribed").wait_for()
    press_to(page, "Choose what you get").press("Enter")
    page.get_by_role("heading", name="Your digest").wait_for()
    reader = find_subscriber(stage.database, NEW)
    assert reader is not None
    assert reader.status == "active"
    assert plain.cookies() == []


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_about: Any) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path, stage: Stage) -> Iterator[str]:  # noqa: F811
    """Another site, with the form that the README gives."""
    (form,) = re.findall(r"```html\n(<form .*?</form>)\n```", README.read_text(), re.DOTALL)
    ours = form.replace("https://news.example", str(stage.web.base_url).rstrip("/"))
    folder = tmp_path / "site"
    folder.mkdir()
    head = '<!doctype html><html lang="en"><title>Another site</title>'
    (folder / "index.html").write_text(f"{head}<main><h1>Ours</h1>{ours}</main>")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_readmes_form_on_another_site_subscribes(
    plain: BrowserContext,  # noqa: F811
    stage: Stage,  # noqa: F811
    relay: Server,  # noqa: F811
    site: str,
) -> None:
    page = plain.new_page()
    page.goto(site)
    assert judge(page) == []
    page.get_by_label("Mail address").fill(NEW)
    page.get_by_role("button").click()
    page.get_by_role("heading", name="Look into your mailbox").wait_for()
    work(stage, relay)
    page.goto(address(stage, link_of(relay)))
    page.get_by_role("button", name="Yes, send it to me").press("Enter")
    page.get_by_role("heading", name="You are subscribed").wait_for()


def test_a_scanner_that_opens_the_mails_link_confirms_nothing(
    browser: Browser,  # noqa: F811
    stage: Stage,  # noqa: F811
    relay: Server,  # noqa: F811
) -> None:
    link = ask_by_mail(stage, relay)
    context = browser.new_context()
    page = context.new_page()
    before = stage.everything()
    for _again in range(3):
        page.goto(address(stage, link))
        page.wait_for_timeout(500)
    assert stage.everything() == before
    context.close()
