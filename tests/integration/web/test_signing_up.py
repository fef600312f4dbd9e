"""Subscribing as readers, other sites, programs and attackers do it: over HTTP, mail and all."""

from __future__ import annotations

import base64
import logging
import re
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy

import httpx2
import pytest
from sqlalchemy import func, select

from newsletter.audience.erasure import erase_reader
from newsletter.audience.holdings import read_holdings
from newsletter.audience.signing_up import CONFIRM_WITHIN
from newsletter.audience.subscribers import find_subscriber, remove_subscriber
from newsletter.audience.suppression import suppress
from newsletter.mail import decode_message
from newsletter.mail.tokens import Purpose, sign_until_later
from newsletter.settings import SignUp, load_settings
from newsletter.store.tables import notices, sign_ups, suppressions, wordings
from newsletter.web.app import serving
from newsletter.web.pages import read_claim
from tests.acceptance.project import Project
from tests.integration.runs import Server
from tests.integration.web.stage import Stage, work
from tests.integration.web.test_leaving import forms

NEW = "new.reader@example.net"
DAY = timedelta(days=1)


def subscribe(stage: Stage, email: str = NEW, **more: str) -> httpx2.Response:
    """Fill in the form of another site."""
    return stage.web.post("/subscribe", data={"email": email, **more})


def link_of(relay: Server, email: str = NEW) -> str:
    """Give the path of the latest mail's link."""
    found = set()
    for content in relay.contents[email]:
        found |= set(re.findall(r"https://news\.example(/c/[\w-]+)", decode_message(content)[0]))
    (link,) = found
    return str(link)


def ask_by_mail(stage: Stage, relay: Server, email: str = NEW) -> str:
    relay.contents.pop(email, None)
    assert subscribe(stage, email).status_code == 200
    work(stage, relay)
    return link_of(relay, email)


def status(stage: Stage, email: str = NEW) -> str:
    found = find_subscriber(stage.database, email)
    return found.status if found else "unknown"


def count(stage: Stage, table: object = sign_ups) -> int:
    with stage.database.reading() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0  # type: ignore[arg-type]


def everything(stage: Stage) -> object:
    return stage.everything()


# -- the way in ------------------------------------------------------------------------------------


def test_nobody_is_a_reader_before_the_button_is_pressed(stage: Stage, relay: Server) -> None:
    page = stage.web.get("/subscribe", headers={"Referer": "https://news.example/editions?x=1"})
    ((action, filled),) = forms(page).items()
    assert filled["source"] == "https://news.example/editions"
    stage.clock.now += timedelta(seconds=5)
    asked = stage.web.post(action, data={**filled, "email": NEW})
    assert (asked.status_code, "Look into your mailbox" in asked.text) == (200, True)
    assert "set-cookie" not in asked.headers
    assert (status(stage), relay.kept) == ("unknown", {})
    work(stage, relay)
    assert (status(stage), relay.kept[NEW]) == ("pending", 1)
    link = link_of(relay)

    before = everything(stage)
    for _again in range(3):
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"):
            answer = stage.web.request(method, link)
            assert answer.status_code == (200 if method in ("GET", "HEAD") else 405)
        assert stage.web.get(f"{link}/never").status_code == 405
    assert everything(stage) == before

    question = stage.web.get(link)
    assert "n…@example.net" in question.text
    assert NEW not in question.text
    button, never = forms(question).items()
    assert never[0] == f"{link}/never"
    for _again in range(2):
        done = stage.web.post(button[0], data=button[1])
        assert (done.status_code, status(stage)) == (200, "active")
        assert "You are subscribed" in done.text
    reader = find_subscriber(stage.database, NEW)
    assert reader is not None
    assert reader.consent_at == stage.clock.now
    assert reader.consent_source == "sign-up 1, confirmed by mail"

    (preferences,) = re.findall(r'href="(/p/[\w-]+)"', done.text)
    assert "Editions go to n…@example.net." in stage.web.get(preferences).text
    (leave,) = re.findall(r'href="(/u/[\w-]+)"', done.text)
    stage.web.post(leave)
    assert status(stage) == "unsubscribed"


def test_the_record_of_consent_says_who_when_where_and_which_words(
    stage: Stage, relay: Server
) -> None:
    page = stage.web.get("/subscribe?language=de", headers={"Referer": "https://a.example/b"})
    ((action, filled),) = forms(page).items()
    stage.clock.now += timedelta(seconds=5)
    asked_at = stage.clock.now
    data = {**filled, "email": NEW}
    stage.web.post(action, data=data, headers={"User-Agent": "Browser/1"})
    work(stage, relay)
    (content,) = relay.contents[NEW]
    assert "Bitte bestätigen" in str(message_from_bytes(content, policy=policy.default)["Subject"])
    stage.clock.now += timedelta(hours=1)
    link = link_of(relay)
    stage.web.post(link, data={}, headers={"User-Agent": "Other/2"})
    with stage.database.reading() as connection:
        held = read_holdings(connection, NEW, pseudonyms=stage.press.pseudonyms)
        stored = connection.execute(select(wordings).where(wordings.c.language == "de")).one()
    assert held is not None
    (record,) = held["signed_up"]
    assert record["state"] == "confirmed"
    assert (record["asked_at"], record["confirmed_at"]) == (
        asked_at.isoformat(),
        stage.clock.now.isoformat(),
    )
    assert (record["asked_by"], record["source"]) == ("page", "https://a.example/b")
    assert (record["network"], record["confirmed_network"]) == ("127.0.0.0/24", "127.0.0.0/24")
    assert (record["agent"], record["confirmed_agent"]) == ("Browser/1", "Other/2")
    assert record["wording"] == record["confirmed_wording"] == stored.version
    assert record["wording_text"] == stored.text
    assert stored.text.startswith("Ich möchte Harbor Daily per Mail.")
    assert stored.text in page.text
    (mailed,) = held["notices"]
    assert (mailed["kind"], mailed["state"]) == ("confirmation", "accepted")
    assert link.removeprefix("/c/") not in str(held)
    reader = find_subscriber(stage.database, NEW)
    assert reader is not None
    assert reader.choices.language == "de"


def test_what_is_not_to_be_kept_is_not(stage: Stage, relay: Server) -> None:
    signup = SignUp(keep_network=False, keep_agent=False)
    with other(stage, signup) as web:
        web.post("/subscribe", data={"email": NEW})
    with stage.database.reading() as connection:
        row = connection.execute(select(sign_ups)).one()
    assert (row.network, row.agent) == ("", "")


def other(stage: Stage, signup: SignUp, proxies: int = 0) -> Other:
    return Other(stage, signup, proxies)


class Other:
    """The same publication's pages with other settings."""

    def __init__(self, stage: Stage, signup: SignUp, proxies: int) -> None:
        settings = stage.press.settings
        web = settings.web.model_copy(update={"proxies": proxies})
        changed = settings.model_copy(update={"signup": signup, "web": web})
        self._serving = serving(replace(stage.press, settings=changed), "127.0.0.1:0")

    def __enter__(self) -> httpx2.Client:
        self._web = httpx2.Client(base_url=self._serving.__enter__(), trust_env=False, timeout=60)
        return self._web

    def __exit__(self, *about: object) -> None:
        self._web.close()
        self._serving.__exit__(None, None, None)


def test_a_program_asks_by_json(stage: Stage, relay: Server) -> None:
    path = "/api/v1/subscriptions"
    answer = stage.web.post(path, json={"email": NEW, "language": "es-MX"})
    assert (answer.status_code, answer.json()) == (202, {"status": "asked"})
    assert answer.headers["access-control-allow-origin"] == "*"
    work(stage, relay)
    (content,) = relay.contents[NEW]
    assert str(message_from_bytes(content, policy=policy.default)["Subject"]).startswith("Confirme")
    refused = stage.web.post(path, json={"email": "nobody"})
    assert (refused.status_code, refused.json()) == (400, {"error": "address"})
    wrongs: list[object] = [{}, {"email": 7}, {"email": NEW, "more": 1}, [], {"email": "a" * 321}]
    for wrong in wrongs:
        assert stage.web.post(path, json=wrong).status_code == 422
    assert stage.web.post(path, content=b"{" * 20_000).status_code in (400, 413)
    allowed = stage.web.options(path)
    assert (allowed.status_code, allowed.headers["access-control-allow-methods"]) == (204, "POST")
    described = stage.web.get("/api/v1/openapi.json").json()
    operation = described["paths"][path]["post"]
    assert set(operation["responses"]) == {"202", "400", "422", "429"}
    open_to_all = {
        name
        for name, operations in described["paths"].items()
        if not all("security" in each for each in operations.values())
    }
    assert open_to_all == {path}


def test_every_page_of_the_archive_leads_to_it(stage: Stage) -> None:
    day = stage.clock.now.date()
    for path in ("/editions", f"/editions/{day}", f"/editions/{day}/briefs/1"):
        assert 'href="/subscribe"' in stage.web.get(path).text, path


def test_it_can_be_switched_off(stage: Stage) -> None:
    with other(stage, SignUp(enabled=False)) as web:
        assert "/subscribe" not in web.get("/editions").text
        for path in ("/subscribe", "/api/v1/subscriptions", "/c/token"):
            assert web.post(path, data={"email": NEW}).status_code == 404


# -- what is not taken -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "email", ["", "nobody", "a@b", "a b@c.example", "a@[1.2.3.4]", "x" * 16_000 + "@example.net"]
)
def test_what_is_no_address_is_asked_for_again(stage: Stage, email: str) -> None:
    answer = subscribe(stage, email)
    assert answer.status_code == 422
    if len(email) < 16_000:
        assert 'aria-invalid="true"' in answer.text
    assert count(stage) == 0


def test_a_program_that_fills_in_every_field_is_told_what_it_likes_to_hear(stage: Stage) -> None:
    answer = subscribe(stage, website="https://spam.example")
    assert (answer.status_code, count(stage)) == (200, 0)
    assert answer.content == subscribe(stage).content


def test_a_form_that_comes_back_at_once_or_too_late_is_shown_again(stage: Stage) -> None:
    ((action, filled),) = forms(stage.web.get("/subscribe")).items()
    data = {**filled, "email": NEW}
    stage.clock.now += timedelta(seconds=0.9)
    for _again in range(2):
        answer = stage.web.post(action, data=data)
        assert (answer.status_code, count(stage)) == (200, 0)
        assert "Please press the button once more." in answer.text
        assert f'value="{NEW}"' in answer.text
    stage.clock.now += timedelta(seconds=1.1)
    late = {**forms(answer)[action], "email": NEW}
    assert stage.web.post(action, data=data).status_code == 200
    assert count(stage) == 1
    stage.clock.now += timedelta(days=1, seconds=2)
    assert "once more" in stage.web.post(action, data=late).text
    forged = {**filled, "stamp": filled["stamp"][:-2] + "AA", "email": NEW}
    assert "once more" in stage.web.post(action, data=forged).text
    assert count(stage) == 1


def test_throw_away_mailboxes_are_not_taken(stage: Stage) -> None:
    file = stage.press.settings.root / "refused.txt"
    file.write_text("# ours\nThrown.example\n\ngone.example # since May\n", encoding="utf-8")
    signup = SignUp(refused_domains=("away.example",), refused_domains_file="refused.txt")
    with other(stage, signup) as web:
        for domain in ("away.example", "deep.away.example", "thrown.example", "gone.example"):
            answer = web.post("/subscribe", data={"email": f"a@{domain}"})
            assert (answer.status_code, "throw-away" in answer.text) == (422, True)
        assert web.post("/subscribe", data={"email": "a@notaway.example"}).status_code == 200
    assert count(stage) == 1


def test_one_network_may_ask_so_often_and_a_header_makes_it_no_other(stage: Stage) -> None:
    signup = SignUp(per_network="3/hour")
    with other(stage, signup) as web:
        said = [
            web.post(
                "/subscribe",
                data={"email": f"a{n}@example.net"},
                headers={"X-Forwarded-For": f"10.0.{n}.1"},
            ).status_code
            for n in range(5)
        ]
    assert said == [200, 200, 200, 429, 429]
    with other(stage, signup) as web:  # after a restart
        refused = web.post("/subscribe", data={"email": NEW})
        assert (refused.status_code, "try again in an hour" in refused.text) == (429, True)
        stage.clock.now += timedelta(hours=1)
        assert web.post("/subscribe", data={"email": NEW}).status_code == 200
    with other(stage, signup, proxies=1) as web:
        said = [
            web.post(
                "/subscribe",
                data={"email": f"b{n}@example.net"},
                headers={"X-Forwarded-For": f"{n}.2.3.4, 198.51.{n // 3}.{n}"},
            ).status_code
            for n in range(5)
        ]
    assert said == [200] * 5


# -- who may come back -----------------------------------------------------------------------------


def test_who_left_comes_back_by_confirming_and_by_nothing_else(stage: Stage, relay: Server) -> None:
    email = "reader1@example.org"
    now = stage.clock.now
    remove_subscriber(stage.database, email, now=now, pseudonyms=stage.press.pseudonyms)
    stage.clock.now += timedelta(minutes=1)
    link = ask_by_mail(stage, relay, email)
    assert status(stage, email) == "unsubscribed"
    stage.web.post(link)
    assert status(stage, email) == "active"
    with stage.database.reading() as connection:
        assert connection.execute(select(suppressions)).all() == []


def test_a_link_asked_for_before_leaving_brings_nobody_back(stage: Stage, relay: Server) -> None:
    first = ask_by_mail(stage, relay)
    stage.clock.now += DAY
    second = ask_by_mail(stage, relay)
    stage.web.post(first)
    stage.clock.now += timedelta(minutes=1)
    pseudonyms = stage.press.pseudonyms
    remove_subscriber(stage.database, NEW, now=stage.clock.now, pseudonyms=pseudonyms)
    for link in (first, second):
        answer = stage.web.post(link)
        assert (answer.status_code, status(stage)) == (200, "unsubscribed")
        assert "This link is used up" in answer.text


def test_an_erased_reader_who_asks_and_confirms_consents_anew(stage: Stage, relay: Server) -> None:
    email = "reader2@example.org"
    old = find_subscriber(stage.database, email)
    erase_reader(
        stage.database,
        email,
        now=stage.clock,
        pseudonyms=stage.press.pseudonyms,
        sleep=lambda _seconds: None,
    )
    link = ask_by_mail(stage, relay, email)
    assert status(stage, email) == "unknown", "a stranger's word makes no row of them"
    stage.web.post(link)
    new = find_subscriber(stage.database, email)
    assert old is not None
    assert new is not None
    assert (new.status, new.id != old.id) == ("active", True)
    with stage.database.reading() as connection:
        assert connection.execute(select(suppressions)).all() == []


def test_who_complained_is_not_mailed_and_told_the_same(stage: Stage, relay: Server) -> None:
    email = "reader3@example.org"
    with stage.database.writing() as connection:
        suppress(connection, [email], "complained", stage.clock.now)
    assert subscribe(stage, email).content == subscribe(stage).content
    work(stage, relay)
    assert (relay.kept, count(stage)) == ({NEW: 1}, 1)


def test_a_complaint_after_the_mail_ends_it(stage: Stage, relay: Server) -> None:
    link = ask_by_mail(stage, relay)
    with stage.database.writing() as connection:
        suppress(connection, [NEW], "complained", stage.clock.now)
    assert "This link is used up" in stage.web.post(link).text
    assert status(stage) == "complained"


def test_who_does_not_want_to_be_asked_is_not_asked_again(stage: Stage, relay: Server) -> None:
    link = ask_by_mail(stage, relay)
    for _again in range(2):
        assert "You are not asked again" in stage.web.post(f"{link}/never").text
    assert status(stage) == "unsubscribed"
    assert "This link is used up" in stage.web.post(link).text
    stage.clock.now += timedelta(days=2)
    subscribe(stage)
    work(stage, relay)
    assert relay.kept[NEW] == 1


def test_never_takes_nobody_off_who_has_confirmed(stage: Stage, relay: Server) -> None:
    link = ask_by_mail(stage, relay)
    stage.web.post(link)
    stage.web.post(f"{link}/never")
    assert status(stage) == "active"


def test_a_link_lasts_a_week_and_what_it_did_for_ever(stage: Stage, relay: Server) -> None:
    link = ask_by_mail(stage, relay)
    other_link = ask_by_mail(stage, relay, "other@example.net")
    stage.web.post(other_link)
    stage.clock.now += CONFIRM_WITHIN + timedelta(seconds=1)
    assert "This link is used up" in stage.web.get(link).text
    assert "This link is used up" in stage.web.post(link).text
    assert status(stage) == "pending"
    again = stage.web.post(other_link).text
    assert "You are subscribed" in again
    assert "/p/" not in again, "an old link gives no way to the choices"


def test_an_erasure_takes_the_sign_up_along(stage: Stage, relay: Server) -> None:
    link = ask_by_mail(stage, relay)
    erase_reader(
        stage.database,
        NEW,
        now=stage.clock,
        pseudonyms=stage.press.pseudonyms,
        sleep=lambda _seconds: None,
    )
    assert (count(stage), count(stage, notices)) == (0, 0)
    assert stage.web.post(link).status_code == 404
    assert status(stage) == "unknown"


# -- how often anybody is mailed -------------------------------------------------------------------


def test_an_address_is_mailed_once_a_day_and_three_times_a_month(
    stage: Stage, relay: Server
) -> None:
    mailed: list[int] = []
    began = stage.clock.now
    for hour in (0, 8, 23, 24, 47, 48, 72, 719, 720, 743, 744, 768, 792):
        stage.clock.now = began + timedelta(hours=hour)
        subscribe(stage)
        work(stage, relay)
        if relay.kept[NEW] > len(mailed):
            mailed.append(hour)
    assert mailed == [0, 24, 48, 720, 744, 768]


def test_erasing_does_not_let_an_address_be_mailed_more_often(stage: Stage, relay: Server) -> None:
    for _again in range(3):
        subscribe(stage)
        work(stage, relay)
        erase_reader(
            stage.database,
            NEW,
            now=stage.clock,
            pseudonyms=stage.press.pseudonyms,
            sleep=lambda _seconds: None,
        )
    assert relay.kept[NEW] == 1


# -- links and logs --------------------------------------------------------------------------------


def test_every_flipped_bit_and_every_other_purpose_is_refused(stage: Stage, relay: Server) -> None:
    link = ask_by_mail(stage, relay)
    token = link.removeprefix("/c/")
    raw = base64.urlsafe_b64decode(token + "=")
    before = everything(stage)
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        forged = base64.urlsafe_b64encode(bytes(flipped)).rstrip(b"=").decode()
        assert read_claim(stage.press, forged, Purpose.CONFIRM) is None, bit
        if bit % 8 == bit // 8 % 8:  # one of each byte all the way
            assert stage.web.post(f"/c/{forged}").status_code == 404, bit
    for purpose in Purpose:
        forged = sign_until_later(
            1,
            purpose,
            stage.clock.now,
            keyring=stage.press.keyring,
            list_id=stage.press.settings.publication.list_id,
        )
        if purpose is not Purpose.CONFIRM:
            assert stage.web.post(f"/c/{forged}").status_code == 404, purpose
    for path in ("/p/", "/u/"):
        assert stage.web.post(path + token).status_code == 404
    assert everything(stage) == before


def test_a_link_outlives_the_key_as_long_as_that_is_kept(
    stage: Stage, relay: Server, sent: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = ask_by_mail(stage, relay)
    old = stage.press.settings.secret_key.get_secret_value()
    new = "another-key-0123456789abcdef-0123456789"
    for keys, outcome in ((new, 404), (f"{new},{old}", 200)):
        monkeypatch.setenv("NEWSLETTER_SECRET_KEY", keys)
        press = replace(stage.press, settings=load_settings(sent.config))
        with (
            serving(press, "127.0.0.1:0") as address,
            httpx2.Client(base_url=address, trust_env=False, timeout=60) as web,
        ):
            assert web.post(link).status_code == outcome
    assert status(stage) == "active"


def test_no_log_has_an_address_or_a_token(
    stage: Stage, relay: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    link = ask_by_mail(stage, relay)
    stage.web.get(link)
    stage.web.post(link)
    subscribe(stage, "wrong@")
    relay.at_rcpt = lambda recipient, _attempt: f"550 5.1.1 {recipient} is unknown"
    subscribe(stage, "third@example.net")
    work(stage, relay)
    ours = [r for r in caplog.records if not r.name.startswith(("httpx", "httpcore", "mail.log"))]
    said = "\n".join(record.getMessage() for record in ours)
    for secret in (link.removeprefix("/c/"), "new.reader", "wrong@", "third@"):
        assert secret not in said
