"""Attacks on subscribing, over HTTP and with real mail: bombing a mailbox, finding out readers.

`NEWSLETTER_TEST_SIGN_UPS=all` runs the long forms: 10,000 sign-ups each, 2,000 pairs.
"""

from __future__ import annotations

import itertools
import math
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import func, select

from newsletter.audience.erasure import erase_reader
from newsletter.audience.subscribers import find_subscriber, remove_subscriber
from newsletter.audience.suppression import suppress
from newsletter.press import Press
from newsletter.press.notices import send_notices
from newsletter.press.signing_up import build_sign_up_settler
from newsletter.settings import SignUp, load_settings
from newsletter.store import open_database
from newsletter.store.tables import sign_ups
from newsletter.web.app import serving
from tests.acceptance.project import KEY, Project
from tests.integration.runs import Server
from tests.integration.web.stage import Clock

IS_LONG = os.environ.get("NEWSLETTER_TEST_SIGN_UPS") == "all"
FLOOD = 10_000 if IS_LONG else 45
PAIRS = 2_000 if IS_LONG else 50
LEAST_P = 0.01
ROUNDS = 3
"""Chance alone finds a difference at p < 0.01 in one round of a hundred; in three, in a million."""


class Stand:
    """A publication's pages, its worker and its relay."""

    def __init__(self, press: Press, web: httpx2.Client, relay: Server, clock: Clock) -> None:
        self.press, self.web, self.relay, self.clock = press, web, relay, clock
        self._settle = build_sign_up_settler(press)

    def subscribe(self, email: str, network: int = 1) -> httpx2.Response:
        """Have somebody of a network (10.x.y.0/24) subscribe an address."""
        address = f"10.{network >> 8 & 255}.{network & 255}.7"
        headers = {"X-Forwarded-For": address}
        return self.web.post("/subscribe", data={"email": email}, headers=headers)

    def work(self) -> None:
        """Decide about all that was asked, and send what is due."""
        while self.count_asked():
            self._settle()
        send_notices(self.press)

    def count_asked(self) -> int:
        query = select(func.count()).where(
            sign_ups.c.state == "asked", sign_ups.c.look_at <= self.clock()
        )
        with self.press.database.reading() as connection:
            return connection.scalar(query) or 0


@pytest.fixture
def clock(now: datetime) -> Clock:
    return Clock(now)


@pytest.fixture
def stand(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Stand]:
    monkeypatch.setenv("NEWSLETTER_SECRET_KEY", KEY)
    monkeypatch.setattr("newsletter.delivery.courier.GAP_SECONDS", 0.0)
    settings = load_settings(Project(tmp_path / "project").config)
    signup = SignUp(**getattr(request, "param", {}))
    with Server() as relay:
        delivery = settings.delivery.model_copy(update={"relay": relay.url})
        web_settings = settings.web.model_copy(update={"proxies": 1})
        changed = {"delivery": delivery, "signup": signup, "web": web_settings}
        settings = settings.model_copy(update=changed)
        database = open_database(f"sqlite:///{tmp_path / 'news.db'}", durability="process")
        press = Press(settings, database, clock)
        with (
            serving(press, "127.0.0.1:0") as address,
            httpx2.Client(base_url=address, trust_env=False, timeout=60) as web,
        ):
            yield Stand(press, web, relay, clock)
        database.close()


# -- bombing ---------------------------------------------------------------------------------------


def test_one_address_asked_for_by_ten_thousand_networks_is_mailed_once_a_day(stand: Stand) -> None:
    said = Counter(stand.subscribe("victim@example.net", n).status_code for n in range(FLOOD))
    assert said == {200: FLOOD}
    for _day in range(3):
        stand.work()
        stand.clock.now += timedelta(hours=1)
        stand.subscribe("victim@example.net", 1)
        stand.work()
        stand.clock.now += timedelta(hours=23)
        stand.subscribe("victim@example.net", 2)
    assert stand.relay.kept == {"victim@example.net": 3}


@pytest.mark.parametrize("stand", [{"per_network": "20/hour; 60/day"}], indirect=True)
def test_one_network_gets_few_mails_out_whatever_it_asks_for(stand: Stand) -> None:
    said = Counter(stand.subscribe(f"victim{n}@example.net").status_code for n in range(FLOOD))
    assert said == {200: 20, 429: FLOOD - 20}
    stand.work()
    assert sum(stand.relay.kept.values()) == 20
    assert max(stand.relay.kept.values()) == 1


@pytest.mark.parametrize("stand", [{"per_domain": "30/hour"}], indirect=True)
def test_one_domain_gets_so_many_an_hour_and_nobody_there_two(stand: Stand) -> None:
    for n in range(FLOOD):
        assert stand.subscribe(f"victim{n}@example.net", n).status_code == 200
    assert stand.subscribe("elsewhere@example.org", 1).status_code == 200
    began = stand.clock.now
    for hour in range(3):
        stand.clock.now = began + timedelta(hours=hour)
        stand.work()
        mailed = {to: n for to, n in stand.relay.kept.items() if to.endswith("example.net")}
        assert len(mailed) == min(30 * (hour + 1), FLOOD), "those that wait are not lost"
        assert max(mailed.values()) == 1
    assert stand.relay.kept["elsewhere@example.org"] == 1, "another domain does not wait"
    stand.clock.now = began + timedelta(days=1, minutes=1)
    stand.work()
    stand.clock.now += timedelta(minutes=10)
    stand.work()
    with stand.press.database.reading() as connection:
        left = connection.scalar(select(func.count()).where(sign_ups.c.state == "asked"))
    assert left == 0, "what has waited a day is given up"
    assert max(stand.relay.kept.values()) == 1


# -- finding out readers ---------------------------------------------------------------------------

KNOWN = ("active", "pending", "unsubscribed", "complained", "erased")


def make_known(stand: Stand, email: str, what: str) -> None:
    """Bring an address into a state, each by the way that readers come into it."""
    press, now = stand.press, stand.clock()
    stand.subscribe(email, hash(email) & 0xFFFF)
    stand.work()
    if what == "pending":
        return
    if what == "erased":
        pseudonyms = press.pseudonyms
        erase_reader(
            press.database, email, now=stand.clock, pseudonyms=pseudonyms, sleep=lambda _s: None
        )
        return
    with press.database.writing() as connection:
        if what == "complained":
            suppress(connection, [email], "complained", now)
    if what == "unsubscribed":
        remove_subscriber(press.database, email, now=now, pseudonyms=press.pseudonyms)
    if what == "active":
        (content,) = stand.relay.contents[email]
        token = content.replace(b"=\r\n", b"").partition(b"https://news.example")[2].split()[0]
        assert stand.web.post(token.decode()).status_code == 200
        found = find_subscriber(press.database, email)
        assert found is not None
        assert found.status == "active"


@pytest.mark.parametrize("stand", [{"per_domain": "100000/hour"}], indirect=True)
def test_no_answer_tells_who_is_on_the_list(stand: Stand) -> None:
    """Pairs of a known address and an unknown one: the same bytes, and no difference in time."""
    known = []
    for n, what in itertools.product(range(max(PAIRS // 100, 2)), KNOWN):
        known.append(f"{what:.7}{n:04}@example.net")
        make_known(stand, known[-1], what)
    networks = itertools.count()

    def ask(email: str) -> tuple[float, tuple[int, bytes, list[str]]]:
        network = next(networks) & 0xFFFF
        began = time.perf_counter()
        answer = stand.subscribe(email, network)
        took = time.perf_counter() - began
        said = [f"{k}: {v}" for k, v in answer.headers.multi_items() if k != "date"]
        return took, (answer.status_code, answer.content, said)

    found: list[float] = []
    for round_number in range(ROUNDS):
        differences, answers = [], set()
        for n in range(PAIRS):
            pair = [known[n % len(known)], f"unknown{round_number}{n:04}@example.net"]
            if n % 2:
                pair.reverse()
            times = {}
            for email in pair:
                times[email], said = ask(email)
                answers.add(repr(said))
            of_known, of_unknown = sorted(times, key=lambda email: email not in known)
            differences.append(times[of_known] - times[of_unknown])
        assert len(answers) == 1
        found.append(wilcoxon(differences))
        if found[-1] > LEAST_P:
            break
    print(f"{PAIRS} pairs, p = {found}")
    assert max(found) > LEAST_P, found


def wilcoxon(differences: Sequence[float]) -> float:
    """Give the p of the signed-rank test, two-sided, by its normal approximation."""
    kept = sorted((d for d in differences if d), key=abs)
    n = len(kept)
    plus = sum(rank for rank, d in enumerate(kept, 1) if d > 0)
    mean, deviation = n * (n + 1) / 4, math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    return math.erfc(abs(plus - mean) / deviation / math.sqrt(2))


def test_the_rank_test_finds_what_there_is_to_find() -> None:
    noise = [math.sin(n * 12.9898) for n in range(500)]
    assert wilcoxon(noise) > LEAST_P
    assert wilcoxon([each + 0.2 for each in noise]) < LEAST_P
