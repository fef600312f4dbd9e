"""A reader's choices by the link of a mail."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from typing import Literal

import pytest
from lxml import html as lxml_html

from newsletter.audience.reader import RHYTHMS, Choices, Rhythm
from newsletter.audience.subscribers import find_subscriber
from newsletter.mail import decode_message
from newsletter.web.preferences import read_choices
from tests.integration.web.stage import Stage

LENSES = ("Household Impact", "America First View", "Institutional View")


def link_of(stage: Stage, number: int = 1) -> str:
    for mail in stage.mails:
        if f"reader{number}@" in str(message_from_bytes(mail, policy=policy.default)["To"]):
            found = re.search(r"https://news\.example(/p/[\w-]+)", decode_message(mail)[1])
            assert found
            return found[1]
    raise LookupError(number)


def choices(stage: Stage, number: int = 1) -> Choices:
    found = find_subscriber(stage.database, f"reader{number}@example.org")
    assert found
    return found.choices


def test_what_is_chosen_is_kept_and_shown(stage: Stage) -> None:
    link = link_of(stage)
    before = stage.everything()
    page = stage.web.get(link)
    assert page.status_code == 200
    assert stage.everything() == before
    assert "reader1@" not in page.text
    saved = stage.web.post(
        link,
        data={
            "name": "Ada\r\nBcc: x",
            "lens:Institutional View": "1",
            "lens:Household Impact": "2",
            "lens:Unknown View": "1",
            "detail": "standard",
            "minutes": "10",
            "format": "text",
            "language": "de",
            "status": "pending",
            "topic": "<script>alert(1)</script>",
        },
    )
    assert saved.status_code == 200
    assert "Gespeichert." in saved.text
    assert choices(stage) == Choices(
        lenses=("Institutional View", "Household Impact"),
        detail="standard",
        minutes=10,
        format="text",
        language="de",
    )
    found = find_subscriber(stage.database, "reader1@example.org")
    assert found is not None
    assert (found.name, found.status) == ("Ada Bcc: x", "active")
    assert choices(stage, 2) == Choices()
    tree = lxml_html.document_fromstring(stage.web.get(link).text)
    ticked = [e.get("value") for e in tree.iter("input") if e.get("checked") is not None]
    ticked += [e.get("value") for e in tree.iter("option") if e.get("selected") is not None]
    assert {"standard", "10", "text", "de"} <= set(ticked)


def test_the_choices_that_the_form_has_not_stay(stage: Stage) -> None:
    with stage.database.writing() as connection:
        connection.exec_driver_sql(
            """UPDATE subscribers SET choices = '{"timezone":"Europe/Berlin"}' WHERE id = 1"""
        )
    number = find_subscriber(stage.database, "reader1@example.org")
    assert number is not None
    assert number.id == 1
    stage.web.post(link_of(stage), data={"minutes": "3"})
    assert choices(stage) == Choices(timezone="Europe/Berlin", minutes=3)


def test_the_preview_follows_the_choices_and_stores_nothing(stage: Stage) -> None:
    link = link_of(stage)
    before = stage.everything()
    whole = stage.web.get(f"{link}/preview")
    short = stage.web.get(f"{link}/preview", params={"detail": "one-line", "language": "es"})
    plain = stage.web.get(f"{link}/preview", params={"format": "text"})
    assert stage.everything() == before
    assert "Household Impact" in whole.text
    assert "Household Impact" not in short.text
    assert "En esta edición" in short.text
    assert plain.headers["content-type"].startswith("text/plain")
    assert "sandbox" in whole.headers["content-security-policy"]
    own = link.removeprefix("/p/")
    assert own not in whole.text, "a link of the preview must not act for the reader"
    for path in re.findall(r"https://news\.example(/[up]/[\w-]+)", whole.text):
        stage.web.post(path, data={"List-Unsubscribe": "One-Click"})
    assert stage.status() == "active"


def test_a_damaged_link_shows_nothing(stage: Stage) -> None:
    link = link_of(stage)
    unsubscribe = stage.link().replace("/u/", "/p/")
    for bad in (link[:-1], link[:-2] + "AA", unsubscribe, "/p/x"):
        for answer in (
            stage.web.get(bad),
            stage.web.post(bad, data={"detail": "full"}),
            stage.web.get(f"{bad}/preview"),
        ):
            assert answer.status_code == 404
    assert choices(stage) == Choices()


@pytest.mark.parametrize(
    ("said", "before", "offered", "after"),
    [
        ("weekly", "", RHYTHMS, "weekly"),
        ("hourly", "both", RHYTHMS, "both"),
        ("", "both", RHYTHMS, "both"),
        ("weekly", "both", (), "both"),
    ],
)
def test_how_often(
    said: str, before: Rhythm | Literal[""], offered: tuple[Rhythm, ...], after: str
) -> None:
    chosen = read_choices(
        [("rhythm", said)], topics=[], lenses=[], languages=[], rhythms=offered, rhythm=before
    )
    assert chosen.rhythm == after


@pytest.mark.parametrize(
    ("pairs", "chosen"),
    [
        ([], Choices()),
        ([("detail", "everything"), ("minutes", "7"), ("format", "pdf")], Choices()),
        ([("topic", "ports"), ("topic", "ports"), ("topic", "oil")], Choices(topics=("ports",))),
        ([("lens:Institutional View", "-1"), ("lens:Household Impact", "x")], Choices()),
        ([("lens:Institutional View", "9" * 5000)], Choices()),
        ([("lens:Institutional View", "²")], Choices()),
        ([("language", "xx"), ("language", "de")], Choices(language="de")),
    ],
)
def test_what_is_not_offered_is_passed_over(pairs: list[tuple[str, str]], chosen: Choices) -> None:
    offered = read_choices(pairs, topics=["ports"], lenses=LENSES, languages=["en", "de"])
    assert offered == chosen
