"""A reader's choices by the link of a mail."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, time, timedelta
from email import message_from_bytes, policy
from typing import Any, Literal
from urllib.parse import urlencode

import httpx2
import pytest
from lxml import html as lxml_html

from newsletter.audience.reader import RHYTHMS, Choices, Rhythm
from newsletter.audience.subscribers import find_subscriber
from newsletter.mail import decode_message
from newsletter.settings import WEEKDAYS, FurtherEdition
from newsletter.web.app import serving
from newsletter.web.offers import Offer, read_choices, read_pause, takes_edition
from tests.integration.web.stage import Stage

TODAY = date(2026, 11, 26)
OF_DAYS = Choices(days=("mon", "sun"))
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
    stage.web.post(link_of(stage), data={"timezone": "Mars/Olympus"})
    assert choices(stage) == Choices(timezone="Europe/Berlin")


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
        [("rhythm", said)], Offer(rhythms=offered), Choices(rhythm=before), today=TODAY
    )
    assert chosen.rhythm == after


def test_further_editions_are_ticked_by_their_titles(stage: Stage) -> None:
    link = link_of(stage)
    assert "Further editions" not in stage.web.get(link).text
    evening = FurtherEdition(
        name="evening", title="Harbor <Evening>", gather_at=time(16, 30), send_at=time(17)
    )
    noon = FurtherEdition.model_validate(
        {"name": "noon", "gather_at": "11:30", "send_at": "12:00", "for": "all"}
    )
    settings = stage.press.settings.model_copy(update={"editions": (evening, noon)})
    with serving(replace(stage.press, settings=settings), "127.0.0.1:0") as address:
        web = httpx2.Client(base_url=address, trust_env=False, timeout=60)
        tree: Any = lxml_html.document_fromstring(web.get(link).text)
        labels = [e.getparent().text_content().strip()
                  for e in tree.xpath("//input[@name='edition']")]  # fmt: skip
        assert labels == ["Harbor <Evening>, 17:00", "Harbor Daily Noon, 12:00"]
        assert tree.xpath("//input[@name='edition'][@checked]/@value") == ["noon"]
        saved = web.post(link, data={"asked": "editions", "edition": "evening"})
        tree = lxml_html.document_fromstring(saved.text)
        assert tree.xpath("//input[@name='edition'][@checked]/@value") == ["evening"]
        web.close()
    assert choices(stage) == Choices(editions=("evening", "no noon"))


@pytest.mark.parametrize(
    ("ticked", "before", "after"),
    [
        # Evening is for those who choose it, noon for all who take the daily one.
        (("noon",), Choices(), ()),
        ((), Choices(), ("no noon",)),
        (("evening", "noon"), Choices(), ("evening",)),
        (("evening", "noon"), Choices(editions=("no noon",)), ("evening", "noon")),
        ((), Choices(editions=("evening", "no noon", "dawn")), ("no noon", "dawn")),
        ((), Choices(rhythm="weekly"), ()),
        (("noon", "dusk"), Choices(rhythm="weekly"), ("noon",)),
        ((), Choices(rhythm="weekly", editions=("noon",)), ("no noon",)),
    ],
)
def test_which_further_editions(
    ticked: tuple[str, ...], before: Choices, after: tuple[str, ...]
) -> None:
    offer = Offer(editions={"evening": False, "noon": True}, rhythms=RHYTHMS)
    pairs = [("asked", "editions"), *(("edition", kind) for kind in ticked)]
    chosen = read_choices(pairs, offer, before, today=TODAY)
    assert chosen.editions == after
    assert read_choices([("edition", "evening")], offer, before, today=TODAY) == before, "not asked"
    taken = {kind for kind, all_ in offer.editions.items()
             if takes_edition(chosen, kind, is_for_all=all_)}  # fmt: skip
    assert taken == {*ticked} & {*offer.editions}


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
        ([("day", "mon")], Choices()),
        ([("asked", "days"), ("day", "sun"), ("day", "mon"), ("day", "may")], OF_DAYS),
        ([("asked", "days"), *(("day", day) for day in WEEKDAYS)], Choices()),
        ([("send_at", "06:00"), ("timezone", "Europe/Rome")], Choices(send_at="06:00")),
        ([("send_at", "25:00"), ("timezone", "UTC")], Choices(timezone="UTC")),
        ([("mute", "story:7")], Choices()),
        ([("asked", "muted"), ("mute", "story:8"), ("mute", "topic:x")], Choices()),
        ([("asked", "muted"), ("mute", "story:7")], Choices(muted=("2026-12-03 story:7",))),
    ],
)
def test_what_is_not_offered_is_passed_over(pairs: list[tuple[str, str]], chosen: Choices) -> None:
    offer = Offer(
        topics=("ports",),
        lenses=LENSES,
        languages=("en", "de"),
        zones=("UTC",),
        news={"story:7": "The port reopens"},
    )
    assert read_choices(pairs, offer, Choices(), today=TODAY) == chosen


def test_what_is_muted_stays_so_until_its_day_and_is_let_in_again_before() -> None:
    before = Choices(muted=("2026-11-28 topic:oil", "2026-11-26 topic:gas"))
    asked = [("asked", "muted")]
    still = [*asked, ("mute", "topic:oil"), ("mute", "topic:gas")]
    assert read_choices(still, Offer(), before, today=TODAY).muted == ("2026-11-28 topic:oil",)
    assert read_choices(asked, Offer(), before, today=TODAY).muted == ()
    assert before.muted_on(date(2026, 11, 27)) == {"topic:oil"}
    assert before.muted_on(date(2026, 11, 28)) == frozenset()


@pytest.mark.parametrize(
    ("said", "until"),
    [
        ([("paused_until", "2026-12-24")], date(2026, 12, 24)),
        ([("paused_until", "")], None),
        ([("paused_until", "2026-11-26")], None),
        ([("paused_until", "2030-01-01")], None),
        ([("paused_until", "soon")], None),
        ([], date(2026, 11, 30)),
    ],
)
def test_a_pause(said: list[tuple[str, str]], until: date | None) -> None:
    assert read_pause(said, date(2026, 11, 30), today=TODAY) == until


def test_days_hour_zone_pause_and_what_is_muted_are_kept_and_shown(stage: Stage) -> None:
    link, today = link_of(stage), stage.press.today()
    tree: Any = lxml_html.document_fromstring(stage.web.get(link).text)
    (story, *others) = [e.get("value") for e in tree.xpath("//input[@name='mute']")]
    assert story.startswith("story:")
    assert others
    until = today + timedelta(days=30)
    saved = stage.web.post(
        link,
        data={
            "asked": ["days", "muted"],
            "day": ["mon", "wed"],
            "send_at": "06:00",
            "timezone": "Asia/Tokyo",
            "paused_until": until.isoformat(),
            "mute": story,
        },
    )
    assert f"Until {until:%A, %B} {until.day}, {until.year} there is a pause." in saved.text
    muted = (f"{today + timedelta(days=7)} {story}",)
    kept = Choices(days=("mon", "wed"), send_at="06:00", timezone="Asia/Tokyo", muted=muted)
    assert choices(stage) == kept
    found = find_subscriber(stage.database, "reader1@example.org")
    assert found is not None
    assert found.paused_until == until
    tree = lxml_html.document_fromstring(saved.text)
    assert tree.xpath("//input[@name='day'][@checked]/@value") == ["mon", "wed"]
    assert tree.xpath("//input[@name='mute'][@checked]/@value") == [story]
    assert tree.xpath("//option[@selected]/@value")[-3:-1] == ["06:00", "Asia/Tokyo"]
    assert tree.xpath("//input[@name='paused_until']/@value") == [until.isoformat()]


def headlines(stage: Stage, path: str) -> list[str]:
    tree: Any = lxml_html.document_fromstring(stage.web.get(path).text)
    return ["".join(each.itertext()).strip() for each in tree.iter("h2")]


def test_the_preview_leaves_out_what_is_muted(stage: Stage) -> None:
    link = link_of(stage)
    tree: Any = lxml_html.document_fromstring(stage.web.get(link).text)
    (box,) = tree.xpath("//label[contains(., 'Library Opens')]/input[@name='mute']")
    said = {"asked": "muted", "mute": box.get("value")}
    assert "Library Opens on Sundays" in headlines(stage, f"{link}/preview")
    without = headlines(stage, f"{link}/preview?{urlencode(said)}")
    assert without
    assert "Library Opens on Sundays" not in without
    stage.web.post(link, data=said)
    tree = lxml_html.document_fromstring(stage.web.get(link).text)
    (framed,) = tree.xpath("//iframe/@src")
    assert headlines(stage, framed) == without
