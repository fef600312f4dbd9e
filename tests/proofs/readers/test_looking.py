"""Looking changes nothing: scanners and previews follow every link of a mail, and run its pages.

Every link of real messages, of their headers too, and every link of the pages behind them, is
asked for by GET, HEAD and OPTIONS; a Chromium opens each, runs whatever would run, and waits
without a click. After it every table of the database is as it was. Where clicks are counted, a
browser's GET of a counted link adds one to the figure of that link, and nothing else changes: its
HEAD and OPTIONS, and any GET of a program, change nothing. In its short form each link
is asked once by each and Chromium waits a moment; the long form asks 10,000 times in all, some
minutes long, has Chromium wait ten seconds, and says what it did:

    NEWSLETTER_TEST_LOOKING=all pytest -s tests/proofs/readers/test_looking.py
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from playwright.sync_api import sync_playwright
from sqlalchemy import select

from newsletter.render.browser import find_chromium
from newsletter.store.tables import clicks
from newsletter.web.clicks import WAITS
from tests.browser.chromium import NEEDS_CHROMIUM
from tests.browser.test_reader_pages import FLAGS
from tests.integration.web.stage import Stage
from tests.proofs.readers.links import Client, list_links, list_links_of_page

LONG = os.environ.get("NEWSLETTER_TEST_LOOKING") == "all"
REQUESTS = 3_334 if LONG else 0
"""By each of three methods, or 0 for once a link."""
WAIT_MILLISECONDS = 10_000 if LONG else 500
METHODS = ("GET", "HEAD", "OPTIONS")
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def client(stage: Stage) -> Iterator[Client]:
    opened = Client(str(stage.web.base_url))
    yield opened
    opened.close()


def list_all_links(stage: Stage, client: Client) -> list[str]:
    """List the links of the mails, and those of the pages that they lead to."""
    links = list_links(stage.mails)
    pages = [client.ask("GET", link)[1] for link in links]
    return sorted({*links, *(link for page in pages for link in list_links_of_page(page))})


def test_no_request_that_looks_changes_anything(
    stage: Stage,
    client: Client,
) -> None:
    before = stage.everything()
    links = list_all_links(stage, client)
    for beginning in ("/u/", "/p/", "/f/", "/editions", "/search"):
        assert any(link.startswith(beginning) for link in links), beginning
    statuses: Counter[tuple[str, int]] = Counter()
    for method in METHODS:
        for number in range(REQUESTS or len(links)):
            status, _ = client.ask(method, links[number % len(links)])
            statuses[method, status] += 1
    assert stage.everything() == before
    assert not any(status >= 500 for _, status in statuses)
    print(f"\n{len(links)} links, {sum(statuses.values()):,} requests, 0 changes: {statuses}")
    client.ask("POST", stage.link(), {"List-Unsubscribe": "One-Click"})
    assert stage.everything() != before, "a change would have been seen"


def test_with_counting_on_a_look_adds_to_the_figures_of_links_and_to_nothing_else(
    counting: Stage,
) -> None:
    client = Client(str(counting.web.base_url))
    before, all_before = counting.everything(but="clicks"), counting.everything()
    links = list_links(counting.mails[:1])
    counted = [link for link in links if link.startswith("/go/")]
    assert len(counted) == 7
    for method in METHODS:
        for link in links:
            client.ask(method, link)
    client.close()
    counting.clock.now += WAITS
    time.sleep(1.5)  # it is added up once a second
    assert counting.everything() == all_before, "a program looked"
    answer = counting.web.get(counted[0], headers={"User-Agent": FIREFOX})
    assert answer.status_code == 302
    counting.clock.now += WAITS
    deadline = time.monotonic() + 60
    while counting.everything() == all_before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert counting.everything(but="clicks") == before
    with counting.database.reading() as connection:
        assert connection.scalars(select(clicks.c.number)).all() == [1]


@pytest.mark.parametrize("_browser", [pytest.param("chromium", marks=NEEDS_CHROMIUM)])
def test_no_browser_that_waits_changes_anything(
    stage: Stage,
    client: Client,
    _browser: str,
) -> None:
    before = stage.everything()
    links = list_all_links(stage, client)
    home = str(stage.web.base_url).rstrip("/")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(find_chromium()), args=FLAGS)
        context = chromium.new_context()
        pages = [context.new_page() for _ in links]
        for page, link in zip(pages, links, strict=True):
            page.goto(home + link, wait_until="commit")
        pages[0].wait_for_timeout(WAIT_MILLISECONDS)
        assert not context.cookies()
        chromium.close()
    assert stage.everything() == before
    print(f"\n{len(links)} pages were open for {WAIT_MILLISECONDS / 1000:g} s, 0 changes")
