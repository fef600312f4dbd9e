"""Counted links: where they lead, which clicks count, and what the figures survive."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from html import unescape

import httpx2
import pytest
from sqlalchemy import delete, select

from newsletter.mail import decode_message
from newsletter.press import Press
from newsletter.press.site import build_web
from newsletter.store.tables import clicks, editions
from newsletter.web.app import serving
from newsletter.web.clicks import WAITS
from tests.integration.web.stage import Stage

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
BROWSER = {"User-Agent": FIREFOX}
GO = re.compile(r"https://news\.example(/go/[^\s\"<>]+)")
RAIL = "rail.example/story?a=1&b=2"


@pytest.fixture
def links(counting: Stage) -> dict[str, str]:
    """The counted links of the mails, by what they lead to."""
    found = {path for mail in counting.mails for path in list_counted(mail)}
    return {str(httpx2.URL(path).params["to"]): path for path in found}


def list_counted(mail: bytes) -> set[str]:
    plain, html = decode_message(mail)
    return {*GO.findall(plain), *GO.findall(unescape(html))}


def figures(stage: Stage) -> dict[str, int]:
    with stage.database.reading() as connection:
        return {row.link: row.number for row in connection.execute(select(clicks))}


@contextmanager
def one_process(press: Press) -> Iterator[httpx2.Client]:
    """Serve the pages as one process does from its start to its end in order."""
    proxied = press.settings.web.model_copy(update={"proxies": 1})
    press = replace(press, settings=press.settings.model_copy(update={"web": proxied}))
    with (
        serving(press, "127.0.0.1:0") as address,
        httpx2.Client(base_url=address, trust_env=False, timeout=60, headers=BROWSER) as web,
    ):
        yield web


def of_network(number: int) -> dict[str, str]:
    return {"X-Forwarded-For": f"198.{18 + number // 256}.{number % 256}.7"}


def test_every_reader_has_the_same_links_and_each_leads_where_it_says(
    counting: Stage, links: dict[str, str]
) -> None:
    assert len({frozenset(list_counted(mail)) for mail in counting.mails}) == 1
    day = counting.press.today()
    assert links.keys() == {
        *(
            f"{name}.example/{path}"
            for name in ("rail", "seed")
            for path in ("story?a=1&b=2", "wire")
        ),
        *(f"/editions/{day}#brief-{number}" for number in (1, 2, 3)),
    }
    for link, path in links.items():
        for method in ("GET", "HEAD"):
            answer = counting.web.request(method, path)
            home = "https://news.example" if link.startswith("/") else "https://"
            assert (answer.status_code, answer.headers["location"]) == (302, home + link)
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["cache-control"] == "no-store"
            assert "set-cookie" not in answer.headers
            assert answer.content == b""
    assert counting.web.options(links[RAIL]).status_code == 405


def test_no_link_leads_anywhere_that_was_not_signed(counting: Stage, links: dict[str, str]) -> None:
    token = links[RAIL].removeprefix("/go/").partition("?")[0]
    wrong = [
        f"/go/{token}?to=evil.example/",
        f"/go/{token}?to=rail.example/story",
        f"/go/{token}?to={RAIL}",  # its & begins another parameter
        f"/go/{token}",
        f"/go/{token[:-1]}?to=rail.example/story%3Fa=1%26b=2",
        f"/go/{'A' * 35}?to=/editions",
        "/go/x?to=//evil.example",
        "/go/?to=evil.example",
    ]
    for path in wrong:
        answer = counting.web.get(path, headers=BROWSER)
        assert answer.status_code == 404
        assert "location" not in answer.headers
        assert 'href="https://news.example"' in answer.text or path.startswith("/go/?")
        assert "evil.example" not in answer.text
    appended = counting.web.get(f"{links[RAIL]}&utm_source=x&fbclid=y")
    assert appended.headers["location"] == f"https://{RAIL}"


def test_one_click_of_a_network_and_browser_on_a_link_counts_and_nothing_ahead_or_of_programs(
    counting: Stage, links: dict[str, str]
) -> None:
    rail, page = links[RAIL], links[f"/editions/{counting.press.today()}#brief-1"]
    with one_process(counting.press) as web:
        for _ in range(3):
            web.get(rail, headers=of_network(1))
        web.get(page, headers=of_network(1))
        web.get(rail, headers=of_network(2))
        web.get(rail, headers=of_network(2) | {"User-Agent": FIREFOX.replace("140", "139")})
        web.head(rail, headers=of_network(3))
        web.options(rail, headers=of_network(3))
        web.get(rail, headers=of_network(3) | {"Sec-Purpose": "prefetch;prerender"})
        web.get(rail, headers=of_network(3) | {"Purpose": "prefetch"})
        web.get(rail, headers=of_network(3) | {"User-Agent": "curl/8.5.0"})
        web.get(rail, headers=of_network(3) | {"User-Agent": ""})
        for path in links.values():  # a filter that calls itself a browser
            web.get(path, headers=of_network(4))
    assert figures(counting) == {RAIL: 3, f"/editions/{counting.press.today()}#brief-1": 1}


def test_a_click_is_added_within_seconds_and_not_while_it_waits(
    counting: Stage, links: dict[str, str]
) -> None:
    counting.web.get(links[RAIL], headers=BROWSER)
    time.sleep(0.1)
    assert figures(counting) == {}
    counting.clock.now += WAITS
    deadline = time.monotonic() + 60
    while not figures(counting) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert figures(counting) == {RAIL: 1}


def test_a_burst_is_counted_to_the_last_and_goes_on_after_a_restart(
    counting: Stage, links: dict[str, str]
) -> None:
    def burst(web: httpx2.Client, first: int) -> None:
        for number in range(first, first + 15):
            assert web.get(links[RAIL], headers=of_network(number)).status_code == 302

    for run in (1, 2):
        with one_process(counting.press) as web:
            threads = [
                threading.Thread(target=burst, args=(web, 1_000 * run + 15 * thread))
                for thread in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert figures(counting) == {RAIL: 60 * run}


def test_a_link_leads_on_and_counts_for_nobody_too_early_with_counting_off_and_without_its_edition(
    counting: Stage, links: dict[str, str]
) -> None:
    def follow(press: Press) -> None:
        with one_process(press) as web:
            assert web.get(links[RAIL]).headers["location"] == f"https://{RAIL}"
        assert figures(counting) == {}

    press, later = counting.press, counting.clock.now
    with counting.database.reading() as connection:
        number, dated_at = connection.execute(select(editions.c.id, editions.c.dated_at)).one()
    assert dated_at is not None
    counting.clock.now = dated_at
    follow(press)
    counting.clock.now = later
    off = press.settings.web.model_copy(update={"count_clicks": False})
    follow(replace(press, settings=press.settings.model_copy(update={"web": off})))
    with counting.database.writing() as connection:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        for name in ("edition_briefs", "runs", "results", "manifests"):
            connection.exec_driver_sql(f"DELETE FROM {name} WHERE edition_id = {number}")
        connection.execute(delete(editions))
    follow(press)


def test_readers_are_told_and_the_web_copy_leads_directly(counting: Stage, stage: Stage) -> None:
    said = "How often a link is followed is counted; who follows it is not."
    for opened, is_told in ((counting, True), (stage, False)):
        plain, html = decode_message(opened.mails[0])
        choices = re.findall(r"https://news\.example(/p/[\w-]+)", plain)[0]
        for text in (plain, html, opened.web.get(choices).text):
            assert (said in text) == is_told
    files = build_web(counting.press, counting.press.today())
    assert files
    assert not [name for name, data in files.items() if b"/go/" in data]
    assert any(b"https://rail.example/story" in data for data in files.values())
