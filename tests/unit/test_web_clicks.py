"""Which clicks count: one of a network and browser on a link in a day, and none of a program."""

from __future__ import annotations

import gc
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from newsletter.delivery.interest import Followed
from newsletter.web.clicks import SEVERAL, WAITS, ClickCounter
from newsletter.web.scanners import is_ahead, is_program

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
ENGINE = "AppleWebKit/537.36 (KHTML, like Gecko)"
APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X)"
BROWSERS = (
    FIREFOX,
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {ENGINE} Chrome/142.0.0.0 Edg/142.0.0.0",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {APPLE} Version/18.5 Safari/605.1.15",
    f"{PHONE} {APPLE} Version/18.5 Mobile/15E148 Safari/604.1 DuckDuckGo/7",
    f"Mozilla/5.0 (Linux; Android 10; K) {ENGINE} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile",
    f"Mozilla/5.0 (Linux; Android 14; Pixel 8; wv) {ENGINE} Version/4.0 Chrome/141.0.0.0 Mobile",
)
PROGRAMS = (
    "",
    "  ",
    "curl/8.5.0",
    "python-requests/2.32",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; BingPreview/1.0b)",
    "facebookexternalhit/1.1",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "WhatsApp/2.23.20.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/130.0.0.0 Safari/537.36",
    "Go-http-client/2.0",
    "Barracuda Sentinel (EE)",
)


@dataclass
class Clock:
    now: datetime

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 11, 23, 7, tzinfo=UTC))


@pytest.fixture
def counter(clock: Clock) -> ClickCounter:
    return ClickCounter(clock)


def follow(
    counter: ClickCounter, link: str, *, edition: int = 1, network: int = 1, agent: str = FIREFOX
) -> None:
    followed = Followed(edition, 1, link)
    counter.click(followed, network=f"192.0.{network}.0/24", agent=agent)


def taken(counter: ClickCounter) -> list[str]:
    return [click.followed.link for click in counter.take()]


def test_a_click_counts_once_it_has_waited(counter: ClickCounter, clock: Clock) -> None:
    follow(counter, "a")
    assert taken(counter) == []
    clock.now += WAITS
    assert taken(counter) == ["a"]
    assert taken(counter) == []


def test_a_second_one_that_day_does_not_count_and_the_next_day_it_does(
    counter: ClickCounter, clock: Clock
) -> None:
    for _ in range(3):
        follow(counter, "a")
        clock.now += WAITS
    follow(counter, "a", network=2)
    follow(counter, "a", agent=BROWSERS[1])
    clock.now += WAITS
    assert taken(counter) == ["a"] * 3, "of three networks and browsers"
    clock.now += timedelta(days=1)
    follow(counter, "a")
    clock.now += WAITS
    assert taken(counter) == ["a"]


def test_who_follows_several_links_at_once_is_a_program(
    counter: ClickCounter, clock: Clock
) -> None:
    for link in "abcdef"[: SEVERAL - 1]:
        follow(counter, link, network=2)
    for link in "abcdef"[:SEVERAL]:
        follow(counter, link)
    clock.now += WAITS
    follow(counter, "g")
    follow(counter, "a", edition=2)
    clock.now += WAITS
    assert sorted(taken(counter)) == ["a", "a", "b"], "two of a person, one of another edition"


def test_who_reads_one_after_the_other_is_none(counter: ClickCounter, clock: Clock) -> None:
    for link in "abcdef":
        follow(counter, link)
        clock.now += WAITS / 2
    clock.now += WAITS
    assert taken(counter) == [*"abcdef"]


def test_what_cannot_be_stored_is_given_again(counter: ClickCounter, clock: Clock) -> None:
    follow(counter, "a")
    clock.now += WAITS
    clicks = counter.take()
    counter.put_back(clicks)
    assert counter.take() == clicks


def test_an_end_in_order_loses_nothing(counter: ClickCounter) -> None:
    follow(counter, "a")
    assert [click.followed.link for click in counter.take(all_of_them=True)] == ["a"]
    assert counter.take(all_of_them=True) == []


def test_no_memory_of_who_is_who_outlives_the_day(counter: ClickCounter, clock: Clock) -> None:
    """The clock alone does it: the round of the counter looks at it once a second."""

    def remembered() -> set[bytes]:
        held = gc.get_referents(counter, *gc.get_referents(counter))
        held += [each for one in held if isinstance(one, (set, dict)) for each in one]
        return {each for each in held if isinstance(each, bytes)}

    clock.now = clock.now.replace(hour=23, minute=59, second=59)
    for link in "abc":
        follow(counter, link)
    follow(counter, "a", network=2)
    before = remembered()
    assert len(before) >= 6  # the key, four clicks, a program, somebody who waits
    clock.now += timedelta(seconds=1)
    assert taken(counter) == ["a"], "what waited counts"
    assert not remembered() & before


def test_a_flood_takes_no_more_memory_than_it_may(clock: Clock) -> None:
    counter = ClickCounter(clock, kept=100)
    for network in range(150):
        follow(counter, "a", network=network)
    clock.now += WAITS
    assert len(counter.take()) == 100


def test_a_burst_of_threads_is_counted_to_the_last(counter: ClickCounter) -> None:
    def burst(first: int) -> None:
        for network in range(first, first + 50):
            follow(counter, "a", network=network)
            follow(counter, "a", network=0)

    threads = [threading.Thread(target=burst, args=(1 + 50 * number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counter.take(all_of_them=True)) == 401


@pytest.mark.parametrize("agent", BROWSERS)
def test_a_browser_is_no_program(agent: str) -> None:
    assert not is_program(agent)


@pytest.mark.parametrize("agent", PROGRAMS)
def test_a_program_is_known_by_its_name(agent: str) -> None:
    assert is_program(agent)


def test_what_is_fetched_ahead_is_known() -> None:
    assert is_ahead({"sec-purpose": "prefetch;prerender"})
    assert is_ahead({"purpose": "Prefetch"})
    assert is_ahead({"x-moz": "prefetch"})
    assert not is_ahead({"sec-fetch-mode": "navigate"})
