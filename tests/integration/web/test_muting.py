"""A brief's story or topic is left out for a week, by the link below it in the mail."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from email import message_from_bytes, policy

import pytest

from newsletter.audience.reader import Choices, Mute
from newsletter.audience.subscribers import find_subscriber
from newsletter.editions.shelf import load_content
from newsletter.mail import decode_message
from newsletter.press.composing import lay_out
from newsletter.render.preview import decode_part
from newsletter.render.selection import Selector
from newsletter.web.muting import add_mute
from newsletter.web.offers import MUTED_FOR
from tests.integration.web.stage import Stage

_LINK = re.compile(r"https://news\.example(/p/[\w-]{43}/mute/\d+)(?!\w)")


def links(stage: Stage, number: int = 1) -> tuple[list[str], list[str]]:
    """List the links of a reader's mail that mute: in its plain text, and in its HTML."""
    for mail in stage.mails:
        if f"reader{number}@" in str(message_from_bytes(mail, policy=policy.default)["To"]):
            plain, html = decode_message(mail)
            return _LINK.findall(plain), _LINK.findall(html)
    raise LookupError(number)


def muted(stage: Stage, number: int = 1) -> tuple[str, ...]:
    found = find_subscriber(stage.database, f"reader{number}@example.org")
    assert found
    return found.choices.muted


def test_every_brief_of_the_mail_has_its_link_in_both_parts(stage: Stage) -> None:
    plain, html = links(stage)
    assert plain == html
    assert [link.rpartition("/")[2] for link in plain] == ["1", "2"]
    assert links(stage, 2)[0] != plain


def test_looking_changes_nothing_and_the_button_leaves_out(stage: Stage) -> None:
    link = links(stage)[0][0]
    before = stage.everything()
    page = stage.web.get(link)
    assert page.status_code == 200
    assert stage.web.head(link).status_code in (200, 405)
    assert stage.everything() == before
    offered = re.findall(r'name="mute" value="([^"]+)"', page.text)
    assert offered[0].startswith("story:")
    said = stage.web.post(link, data={"mute": offered[0]})
    assert "Left out for a week" in said.text
    until = stage.press.today() + MUTED_FOR
    assert muted(stage) == (str(Mute(what=offered[0], until=until)),)
    assert muted(stage, 2) == ()
    # The same again, a day later, is not left out twice, and the page of choices shows it.
    stage.clock.now += timedelta(days=1)
    stage.web.post(link, data={"mute": offered[0]})
    assert muted(stage) == (str(Mute(what=offered[0], until=until + timedelta(days=1))),)
    choices = stage.web.get(link.partition("/mute/")[0]).text
    assert f'value="{offered[0]}" checked' in choices


@pytest.mark.parametrize("what", ["", "story:999", "topic:made up", "story:1 topic:x"])
def test_what_the_brief_is_not_about_is_not_left_out(stage: Stage, what: str) -> None:
    link = links(stage)[0][0]
    assert "Nothing on this for a week?" in stage.web.post(link, data={"mute": what}).text
    assert muted(stage) == ()


def test_a_link_of_another_purpose_edition_or_brief_leads_nowhere(stage: Stage) -> None:
    link = links(stage)[0][0]
    leaving = stage.link().removeprefix("/u/")
    for wrong in (
        link[:-1] + "0",
        link[:-1] + "3",
        link[:-1] + "x",
        f"/p/{leaving}/mute/1",
        link.replace("/p/", "/p/x"),
    ):
        assert stage.web.get(wrong).status_code == 404
        assert stage.web.post(wrong, data={"mute": "story:1"}).status_code == 404
    assert muted(stage) == ()


def test_without_pages_the_mail_has_no_such_link(stage: Stage) -> None:
    settings = stage.press.settings
    with stage.database.reading() as connection:
        edition = load_content(connection, 1)

    def count(listen: str) -> int:
        web = settings.web.model_copy(update={"listen": listen})
        press = replace(stage.press, settings=settings.model_copy(update={"web": web}))
        compiled = lay_out(press, edition)
        return sum(
            decode_part(part, {}, Selector(compiled).select(Choices())).count("/mute/")
            for part in (compiled.html, compiled.plain)
        )

    assert count("127.0.0.1:8000") == 4
    assert count("") == 0


def test_of_what_is_left_out_twice_the_later_counts() -> None:
    day = date(2026, 11, 26)
    first = add_mute(Choices(), Mute(what="topic:markets", until=day))
    again = add_mute(first, Mute(what="topic:markets", until=day + timedelta(days=1)))
    assert again.muted == ("2026-11-27 topic:markets",)
