"""Leaving the list as readers, mail programs and scanners do it: over HTTP, on a sent edition."""

from __future__ import annotations

import logging
from datetime import timedelta

import httpx2
import pytest
from lxml import html as lxml_html
from sqlalchemy import select

from newsletter.audience.pseudonyms import Pseudonyms
from newsletter.audience.subscribers import remove_subscriber
from newsletter.mail.tokens import Keyring, Purpose, TokenSigner, sign_until_later
from newsletter.press import Press
from newsletter.settings import load_settings
from newsletter.store.tables import suppressions
from newsletter.web.app import serving
from tests.acceptance.project import KEY, Project
from tests.integration.web.stage import Stage

NOBODY = Pseudonyms([b"nobody was erased with this key"])
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def forms(answer: httpx2.Response) -> dict[str, dict[str, str]]:
    """Give the forms of a page: where each is sent to, and what is filled in."""
    tree = lxml_html.document_fromstring(answer.text)
    return {
        form.get("action", ""): {
            field.get("name", ""): field.get("value", "")
            for field in form.iter("input")
            if field.get("type") == "hidden"
        }
        for form in tree.iter("form")
    }


def test_looking_changes_nothing(stage: Stage) -> None:
    before = stage.everything()
    link = stage.link()
    for _again in range(3):
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"):
            answer = stage.web.request(method, link)
            assert answer.status_code == (200 if method in ("GET", "HEAD") else 405)
    for path in ("/back", "/reason"):
        assert stage.web.get(link + path).status_code == 405
    assert stage.everything() == before
    assert "r…@example.org" in stage.web.get(link).text
    assert "reader1@" not in stage.web.get(link).text


@pytest.mark.parametrize("as_multipart", [False, True])
def test_one_click_leaves_before_it_answers(stage: Stage, as_multipart: bool) -> None:
    link = stage.link()
    for _again in range(3):
        if as_multipart:
            parts = {name: (None, value) for name, value in ONE_CLICK.items()}
            answer = stage.web.post(link, files=parts)
        else:
            answer = stage.web.post(link, data=ONE_CLICK)
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
        assert stage.status() == "unsubscribed"
    assert stage.detail() == "by the reader, by one-click"
    assert (stage.status(2), stage.status(3)) == ("active", "active")


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ({"Content-Type": "application/x-www-form-urlencoded"}, b""),
        ({"Content-Type": "text/plain"}, b"List-Unsubscribe=One-Click"),
        ({"Content-Type": "multipart/form-data"}, b"no boundary"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--y\r\nbroken"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"a=1&" * 4_000),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"\xff\xfe=\x00"),
        (
            {
                "Content-Type": "application/x-www-form-urlencoded",
                "Origin": "https://mail.example",
                "Cookie": "a=b",
            },
            b"List-Unsubscribe=One-Click&more=1",
        ),
    ],
)
def test_whatever_a_mail_program_sends_counts(
    stage: Stage, headers: dict[str, str], content: bytes
) -> None:
    answer = stage.web.post(stage.link(), headers=headers, content=content)
    assert answer.status_code == 200
    assert stage.status() == "unsubscribed"


def test_the_button_leaves_and_one_click_takes_it_back(stage: Stage) -> None:
    link = stage.link()
    ((action, filled),) = forms(stage.web.get(link)).items()
    left = stage.web.post(action, data=filled)
    assert stage.detail() == "by the reader, by link"
    said = forms(left)
    assert set(said) == {f"{link}/back", f"{link}/reason"}
    back = stage.web.post(f"{link}/back", data=said[f"{link}/back"])
    assert (back.status_code, stage.status()) == (200, "active")
    with stage.database.reading() as connection:
        assert connection.execute(select(suppressions)).all() == []
    assert "You are subscribed" in back.text
    again = stage.web.post(f"{link}/back", data=said[f"{link}/back"])  # pressed twice
    assert (again.status_code, stage.status()) == (200, "active")


def test_taking_back_is_for_who_has_just_left_by_themselves(stage: Stage) -> None:
    link = stage.link()
    form = forms(stage.web.post(link, data=ONE_CLICK))[f"{link}/back"]
    stage.clock.now += timedelta(minutes=61)
    assert stage.web.post(f"{link}/back", data=form).status_code == 200
    assert stage.status() == "unsubscribed"

    other = stage.link(2)
    form = forms(stage.web.post(other, data=ONE_CLICK))[f"{other}/back"]
    assert stage.web.post(f"{link}/back", data=form).status_code == 404  # of another reader
    remove_subscriber(stage.database, "reader3@example.org", now=stage.clock.now, pseudonyms=NOBODY)
    third = stage.link(3)
    form = forms(stage.web.get(third))[f"{third}/back"]
    stage.web.post(f"{third}/back", data=form)
    assert stage.status(3) == "unsubscribed", "an operator took them off"


def test_a_reason_is_kept_once_it_is_one_of_ours(stage: Stage) -> None:
    link = stage.link()
    stage.web.post(f"{link}/reason", data={"reason": "too long"})
    assert stage.detail() == "None", "who has not left has no reason"
    stage.web.post(link, data=ONE_CLICK)
    stage.web.post(f"{link}/reason", data={"reason": "<script>"})
    assert stage.detail() == "by the reader, by one-click"
    for reason in ("too long", "too many"):
        answer = stage.web.post(f"{link}/reason", data={"reason": reason})
        assert "Thank you for saying why." in answer.text
    assert stage.detail() == "by the reader, by one-click; too many"


def test_a_token_that_is_changed_anywhere_is_refused(stage: Stage) -> None:
    link = stage.link()
    token = link.removeprefix("/u/")
    for place in range(len(token)):
        for bit in (1, 2, 16):
            changed = chr(ord(token[place]) ^ bit)
            bad = token[:place] + changed + token[place + 1 :]
            answer = stage.web.post("/u/" + bad.replace("/", "_"), data=ONE_CLICK)
            assert answer.status_code in (404, 405), bad
    assert [stage.status(n) for n in (1, 2, 3)] == ["active"] * 3


def test_a_token_of_another_purpose_list_or_key_is_refused(stage: Stage) -> None:
    keyring, list_id = stage.press.keyring, stage.press.settings.publication.list_id
    stranger = Keyring([b"another secret of thirty-two bytes"])
    for ring, purpose, name in (
        (keyring, Purpose.PREFERENCES, list_id),
        (keyring, Purpose.UNSUBSCRIBE, "other.news.example"),
        (stranger, Purpose.UNSUBSCRIBE, list_id),
    ):
        signer = TokenSigner(ring, ring.newest, purpose, list_id=name, edition_id=1)
        assert stage.web.post(f"/u/{signer.sign(1)}", data=ONE_CLICK).status_code == 404
    back = sign_until_later(1, Purpose.RETURN, stage.clock.now, keyring=keyring, list_id=list_id)
    assert stage.web.post(f"/u/{back}", data=ONE_CLICK).status_code == 404
    assert stage.status() == "active"


def test_a_link_outlives_the_key_that_signed_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, sent: Project
) -> None:
    monkeypatch.setenv("NEWSLETTER_SECRET_KEY", f"a-newer-key-0123456789abcdef0123456789,{KEY}")
    press = Press(load_settings(sent.config), stage.database, stage.clock)
    with serving(press, "127.0.0.1:0") as address:
        answer = httpx2.post(address + stage.link(), data=ONE_CLICK, trust_env=False)
    assert (answer.status_code, stage.status()) == (200, "unsubscribed")


def test_who_was_erased_has_left(stage: Stage) -> None:
    link = stage.link()
    with stage.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM subscribers WHERE id = 1")
    for answer in (stage.web.get(link), stage.web.post(link, data=ONE_CLICK)):
        assert answer.status_code == 200
        assert "You are off the list" in answer.text


def test_no_page_sets_a_cookie_or_loads_anything(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    link = stage.link()
    with caplog.at_level(logging.DEBUG):
        answers = [
            stage.web.get(link),
            stage.web.post(link, data=ONE_CLICK),
            stage.web.get("/nowhere"),
            stage.web.get("/u/short"),
        ]
    for answer in answers:
        assert "set-cookie" not in answer.headers
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        policy_of = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy_of
        assert "frame-ancestors 'none'" in policy_of
        tree = lxml_html.document_fromstring(answer.text)
        assert not tree.xpath("//script | //*[@src] | //link")
    token = link.removeprefix("/u/")
    ours = [r for r in caplog.records if r.name.startswith(("newsletter", "uvicorn", "fastapi"))]
    assert not any(token in record.getMessage() for record in ours)


def test_pages_speak_the_readers_language(stage: Stage) -> None:
    with stage.database.writing() as connection:
        connection.exec_driver_sql(
            """UPDATE subscribers SET choices = '{"language":"he"}' WHERE id = 1"""
        )
    asked = stage.web.get(stage.link()).text
    assert '<html lang="he" dir="rtl">' in asked
    assert "לבטל את המינוי?" in asked


def test_the_editions_are_there(stage: Stage) -> None:
    day = stage.clock.now.date().isoformat()
    page = stage.web.get(f"/editions/{day}")
    assert page.status_code == 200
    assert "North Quay Reopens Early" in page.text
    for path in ("/editions", f"/editions/{day}/briefs/2", "/editions/feed.xml"):
        answer = stage.web.get(path)
        assert answer.status_code == 200, path
        again = stage.web.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert (
        stage.web.get("/editions/feed.xml")
        .headers["content-type"]
        .startswith("application/rss+xml")
    )
    for path in ("/editions/2020-01-01", f"/editions/{day}/briefs/9", "/editions/20261126"):
        assert stage.web.get(path).status_code == 404
    assert stage.web.get("/").headers["location"] == "/editions"
