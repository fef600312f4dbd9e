"""The console in a browser: for everybody, by keyboard, without scripts, and a send as it moves."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import insert, update

from newsletter.delivery import interest
from newsletter.delivery.interest import Followed, add_clicks
from newsletter.editions.shelf import EditionRecord, change_state, find_edition
from newsletter.feedback.bounces import MASS_BOUNCE
from newsletter.feedback.hearing import Listener
from newsletter.press.delivering import deliver
from newsletter.render.browser import find_chromium
from newsletter.store.tables import alerts, deliveries
from tests.browser.chromium import LOOKS, NEEDS_CHROMIUM
from tests.browser.test_reader_pages import FLAGS, judge, press_to
from tests.integration.console.conftest import gathered, quick_hashes, stage  # noqa: F401
from tests.integration.console.stage import PASSWORD, Stage
from tests.reports import LIST_ID, PATTERN, RING, build_bounce, build_return_path

pytestmark = NEEDS_CHROMIUM
EVERY_PAGE = os.environ.get("NEWSLETTER_TEST_PAGES") == "all"
"""Whether each page is looked at both ways; else one half of them this way, the other that."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(find_chromium()), args=FLAGS)
        yield opened
        opened.close()


def enter(page: Page) -> None:
    """Press Enter on what leads to another page, and be there."""
    with page.expect_navigation():
        page.locator(":focus").press("Enter")


def set_up(page: Page, stage: Stage, name: str) -> None:  # noqa: F811
    """Set somebody up by keyboard."""
    page.goto(stage.address + stage.invite(name, "admin"))
    press_to(page, "The code that it shows now")
    page.keyboard.type(stage.code(name))
    for words in ("Password, 12", "The same once more"):
        press_to(page, words)
        page.keyboard.type(PASSWORD)
    enter(page)
    page.get_by_role("heading", name="Recovery codes").wait_for()


def send(page: Page, stage: Stage) -> None:  # noqa: F811
    """Send the edition by keyboard, from the day's page."""
    page.goto(stage.address + "/console/")
    press_to(page, "Approve or send")
    enter(page)
    press_to(page, "I looked at it and am sure").press(" ")
    press_to(page, "Send to 3 readers now")
    enter(page)
    page.get_by_role("heading", name="How far it is").wait_for()


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the team sign on by a provider, too; nobody does here, so that there need be none."""
    for name, value in (
        ("ISSUER", "https://id.news.example"),
        ("CLIENT_ID", "c"),
        ("CLIENT_SECRET", "s"),
    ):
        monkeypatch.setenv(f"NEWSLETTER_CONSOLE__OIDC__{name}", value)


@LOOKS
@pytest.mark.usefixtures("provider")  # before the stage, which reads the settings
def test_every_page_is_for_everybody(
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
    stage: Stage,  # noqa: F811
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    """Axe finds nothing serious, and nothing is wider than the screen."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    found: dict[str, list[str]] = {}

    def look(name: str) -> None:
        wide = page.evaluate("document.documentElement.scrollWidth")
        faults = [*judge(page), *([f"{wide} pixels wide"] if wide > width else [])]
        if faults:
            found[name] = faults

    day = stage.press.today()
    page.goto(stage.address + stage.invite("Berta", "viewer"))
    look("setup")
    page.goto(stage.address + "/console/login")
    assert page.get_by_role("link", name="Log in with").is_visible()
    look("login")
    set_up(page, stage, "Ada")
    look("codes")
    one: tuple[str, ...] = (
        "",
        f"editions/{day}/send",
        f"editions/{day}/cancel",
        "sources",
        "you",
        "briefs/1",
    )
    one += (f"editions/{day}/preflight", "readers?q=reader", "nowhere")
    other: tuple[str, ...] = (
        "",
        "editions",
        f"editions/{day}",
        "readers/1",
        "settings",
        "audit?verify=1",
    )
    other += (f"editions/{day}/preview?form=plain",)
    for path in dict.fromkeys(one + other) if EVERY_PAGE else one if width < 1000 else other:
        page.goto(f"{stage.address}/console/{path}")
        look(path)
    page.goto(stage.address + "/console/team")
    for summary in page.locator("summary").all():
        summary.click()
    look("team, opened")
    send(page, stage)
    with stage.database.reading() as connection:
        record = find_edition(connection, day)
    assert record
    deliver_apart(stage)
    clicked = {
        Followed(record.id, 1, "quay.example/ferries-at-noon"): 40,
        Followed(record.id, 2, f"/editions/{day}#brief-2"): 12,
    }
    with stage.database.writing() as connection:
        for reader, state in ((1, "in_doubt"), (2, "failed")):
            values = {"state": state, "reply": "550 5.1.1 no such user"}
            connection.execute(
                update(deliveries).where(deliveries.c.subscriber_id == reader).values(values)
            )
        add_clicks(connection, clicked)
    come_back(stage, record, 3)
    monkeypatch.setattr(interest, "FEWEST", 1)
    page.goto(f"{stage.address}/console/editions/{day}")
    page.get_by_role("heading", name="What readers follow").wait_for()
    assert page.get_by_role("button", name="They do not count").is_visible()
    look("an edition with trouble")
    assert found == {}
    context.close()


def come_back(stage: Stage, record: EditionRecord, reader: int) -> None:  # noqa: F811
    """Have a reader's copy come back, and the edition's bounces doubted."""
    listener = Listener(
        database=stage.database,
        keyring=RING,
        list_id=LIST_ID,
        bounce_address=PATTERN,
        now=stage.clock,
    )
    assert listener.hear(build_bounce(build_return_path(record.id, reader))).bounced
    told = "61 of the first 900 copies came back as to no such mailbox"
    with stage.database.writing() as connection:
        connection.execute(
            insert(alerts).values(
                edition_id=record.id, raised_at=stage.clock.now, kind=MASS_BOUNCE, sentence=told
            )
        )


def deliver_apart(stage: Stage) -> None:  # noqa: F811
    """Deliver what was approved, as a running `serve` does; in a thread that has no loop."""
    with stage.database.reading() as connection:
        record = find_edition(connection, stage.press.today())
    assert record
    thread = threading.Thread(target=lambda: asyncio.run(deliver(stage.press, record)))
    thread.start()
    thread.join()


def test_a_day_by_keyboard_and_without_scripts(browser: Browser, stage: Stage) -> None:  # noqa: F811
    context = browser.new_context(viewport={"width": 320, "height": 900})
    context.route("**/*.js", lambda route: route.abort())
    page = context.new_page()
    set_up(page, stage, "Ada")
    page.goto(stage.address + "/console/")
    titles = page.locator(".told h3").all_inner_texts()
    press_to(page, "Down")
    enter(page)
    assert page.locator(".told h3").all_inner_texts()[:2] == [titles[1], titles[0]]
    send(page, stage)
    page.get_by_text("0 of 3 readers have it; 3 wait.").wait_for()
    deliver_apart(stage)
    page.reload()
    page.get_by_text("3 of 3 readers have it; 0 wait.").wait_for()
    press_to(page, "Log out")
    enter(page)
    page.get_by_role("heading", name="Log in").wait_for()
    page.goto(stage.address + "/console/")
    assert "/login?" in page.url
    context.close()


def test_a_send_is_seen_as_it_moves(browser: Browser, stage: Stage) -> None:  # noqa: F811
    """With the script and under the page's own policy; nothing else runs or is loaded."""
    context = browser.new_context()
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    set_up(page, stage, "Ada")
    send(page, stage)
    with stage.database.reading() as connection:
        record = find_edition(connection, stage.press.today())
    assert record
    moved = (deliveries.c.subscriber_id == 1, deliveries.c.edition_id == record.id)
    with stage.database.writing() as connection:
        connection.execute(update(deliveries).where(*moved).values(state="accepted"))
    page.get_by_text("1 of 3 readers have it; 2 wait.").wait_for()
    with stage.database.writing() as connection:
        change_state(connection, record.id, "sending", now=stage.clock.now)
    page.get_by_role("button", name="Pause within a second").wait_for()
    page.goto(f"{stage.address}/console/editions/{record.name}/preview?width=phone&scheme=dark")
    frame = page.frame_locator("iframe")
    frame.get_by_role("heading", name="North Quay Reopens Early").first.wait_for()
    ground = frame.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
    assert ground != "rgb(255, 255, 255)"
    assert faults == []
    context.close()
