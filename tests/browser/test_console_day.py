"""A whole day by keyboard, as each role: one server and one browser from the morning to the result.

What each role may is in the table of routes; here people do it. On its way every kind of page is
judged by axe, in light and dark in turn, and with NEWSLETTER_TEST_PAGES=all in both.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import update

from newsletter.delivery.results import add_up_editions
from newsletter.editions.shelf import change_state, find_edition
from newsletter.press.delivering import deliver
from newsletter.store.tables import deliveries
from newsletter.web.console.roles import Role
from tests.acceptance.project import Project
from tests.browser.chromium import NEEDS_CHROMIUM
from tests.browser.test_console import enter
from tests.browser.test_reader_pages import browser, judge, press_to  # noqa: F401
from tests.integration.console.conftest import (
    LIKELY,
    gathered,  # noqa: F401
    likely_one_story,
    open_stage,
)
from tests.integration.console.stage import Stage

pytestmark = NEEDS_CHROMIUM
BOTH_SCHEMES = os.environ.get("NEWSLETTER_TEST_PAGES") == "all"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@pytest.fixture(scope="module")
def stage(
    gathered: Project,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    with open_stage(gathered, tmp_path_factory.mktemp("day")) as opened:
        yield opened


class Desk:
    """Somebody of the team at their browser."""

    def __init__(self, browser: Browser, stage: Stage, name: str, role: Role) -> None:  # noqa: F811
        stage.invite(name, role)
        self._stage = stage
        self._context = browser.new_context(
            viewport={"width": 1280, "height": 900}, bypass_csp=True
        )
        cookie = {"name": "newsletter-session", "value": stage.give_session(name)}
        self._context.add_cookies([{**cookie, "url": stage.address}])  # type: ignore[typeddict-item]
        self.page: Page = self._context.new_page()
        self.judged = 0

    def open(self, path: str) -> int:
        answer = self.page.goto(f"{self._stage.address}/console/{path}")
        assert answer
        return answer.status

    def press(self, words: str) -> None:
        """Go to what says some words by keyboard, and on by it."""
        press_to(self.page, words)
        enter(self.page)

    def judge(self) -> None:
        """Let axe judge the page that is looked at."""
        self.judged += 1
        for scheme in SCHEMES if BOTH_SCHEMES else (SCHEMES[self.judged % 2],):
            self.page.emulate_media(color_scheme=scheme)
            assert judge(self.page) == [], (scheme, self.page.url)

    def close(self) -> None:
        self._context.close()


def test_a_day_of_the_whole_team(browser: Browser, stage: Stage) -> None:  # noqa: F811
    day = stage.press.today()
    vera, ed = Desk(browser, stage, "Vera", "viewer"), Desk(browser, stage, "Ed", "editor")
    sue, ada = Desk(browser, stage, "Sue", "sender"), Desk(browser, stage, "Ada", "admin")

    # The viewer sees the day, and can do nothing about it.
    vera.open("")
    vera.judge()
    expect(vera.page.locator("main button")).to_have_count(0)
    assert vera.open(f"editions/{day}/send") == 403
    assert vera.open("briefs/1/edit") == 403

    # The editor gathers, mends a brief, approves it and moves it.
    ed.open("")
    ed.press("Gather and make the edition anew")
    first = ed.page.locator(".told h3").first.inner_text()
    ed.press("Edit " + first)
    ed.judge()
    press_to(ed.page, "Title").press("Control+A")
    ed.page.keyboard.type("Ferries sail again")
    enter(ed.page)
    ed.page.get_by_role("heading", name="Mended here").wait_for()
    ed.judge()
    ed.press("Approve as it stands")
    titles = ed.page.locator(".told h3").all_inner_texts()
    assert "Ferries sail again" in titles
    ed.press("Down")
    assert ed.page.locator(".told h3").all_inner_texts()[:2] == [titles[1], titles[0]]
    ed.judge()
    assert ed.open(f"editions/{day}/send") == 403

    # The sender approves, tests, and sends.
    sue.open("")
    sue.press("Approve or send")
    sue.judge()
    sue.press("Mail a test copy")
    expect(sue.page.get_by_role("status")).to_contain_text("Mailed one test copy to sue@")
    sue.press("Approve as it stands")
    expect(sue.page.get_by_text("Approved as it stands by Sue")).to_be_visible()
    press_to(sue.page, "I looked at it and am sure").press(" ")
    sue.press("Send to 3 readers now")
    sue.page.get_by_text("0 of 3 readers have it; 3 wait.").wait_for()

    # They watch, pause and resume; the page moves by itself.
    with stage.database.reading() as connection:
        record = find_edition(connection, day)
    assert record
    with stage.database.writing() as connection:
        change_state(connection, record.id, "sending", now=stage.clock.now)
    sue.page.get_by_role("button", name="Pause within a second").wait_for()
    sue.press("Pause within a second")
    sue.judge()
    sue.press("Resume: 3 readers wait")
    sue.page.get_by_role("button", name="Pause within a second").wait_for()
    vera.open(f"editions/{day}")
    sender = threading.Thread(target=lambda: asyncio.run(deliver(stage.press, record)))
    sender.start()
    sender.join()
    for desk in (vera, sue):
        desk.page.get_by_role("heading", name="What became of it").wait_for()

    # One answer was lost: they settle it, and read the result.
    with stage.database.writing() as connection:
        connection.execute(
            update(deliveries)
            .where(deliveries.c.subscriber_id == 2)
            .values(state="in_doubt", reply="the connection broke")
        )
    add_up_editions(stage.database, stage.clock.now)
    sue.open(f"editions/{day}")
    sue.judge()
    sue.press("The relay took them")
    expect(sue.page.get_by_text("3 of 3 readers have it; 0 wait.")).to_be_visible()
    vera.open(f"editions/{day}")
    press_to(vera.page, "As a table").press("Enter")
    expect(vera.page.get_by_role("table").filter(has_text="Put off").first).to_be_visible()
    vera.judge()

    # The administrator finds all of it in the audit, and adds somebody.
    ada.open("audit?verify=1")
    for action in ("brief.mend", "brief.approved", "edition.test", "edition.pause"):
        expect(ada.page.get_by_text(action, exact=True).first).to_be_visible()
    ada.judge()
    ada.press("Team")
    ada.judge()
    for desk in (vera, ed, sue, ada):
        desk.close()


def test_an_editor_answers_what_may_be_one_story(
    browser: Browser,  # noqa: F811
    gathered: Project,  # noqa: F811
    tmp_path: Path,
) -> None:
    with open_stage(gathered, tmp_path) as stage, likely_one_story(gathered):
        ed = Desk(browser, stage, "Ed", "editor")
        ed.open("")
        ed.press("Gather and make the edition anew")
        asked = ed.page.get_by_role("region", name="Maybe one story")
        expect(asked.get_by_role("listitem")).to_have_count(1)
        for _ in SCHEMES:
            ed.judge()
        ed.press("No, they are two")
        expect(ed.page.locator("#edition")).to_be_focused()
        expect(asked).to_have_count(0)
        for title in LIKELY.values():
            expect(ed.page.locator(".told h3").get_by_text(title, exact=True)).to_have_count(1)
        ed.close()
