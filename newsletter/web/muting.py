"""Leaving a brief's story or topic out for a week, by the link that stands below it in the mail.

    GET  /p/TOKEN/mute/3   asks which of the two; changes nothing
    POST /p/TOKEN/mute/3   leaves it out, of editions that are approved from then on

The link is that of the choices, which names the edition, and the number of the brief in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from newsletter.audience.choosing import Chooser, find_chooser, store_choices
from newsletter.audience.reader import Choices, Mute
from newsletter.editions.shelf import find_released_content, list_story_ids
from newsletter.mail.tokens import Purpose
from newsletter.press import Press
from newsletter.render.context import clean_line
from newsletter.render.languages import SOURCE, match_language, read_catalogues, write_date
from newsletter.web.forms import read_form
from newsletter.web.offers import MUTED_FOR
from newsletter.web.pages import Pages, read_claim

_NUMBER = re.compile("[1-9][0-9]?")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A brief that a reader wants less of."""

    chooser: Chooser
    title: str
    story: str
    """As `Mute` names it; "" for a brief of no story."""
    topics: Mapping[str, str]
    """Its topics, as `Mute` names them, and how they are called."""


def build_muting(press: Press, pages: Pages) -> APIRouter:
    """Build the page of leaving a brief's story or topic out."""
    router = APIRouter()
    languages = (SOURCE, *read_catalogues(press.templates.directories, {}).by_code)

    def find(token: str, number: str) -> _Asked | None:
        claim = read_claim(press, token, Purpose.PREFERENCES)
        chooser = find_chooser(press.database, claim.subscriber_id) if claim else None
        if claim is None or chooser is None or not _NUMBER.fullmatch(number):
            return None
        with press.database.reading() as connection:
            edition = find_released_content(connection, claim.edition_id)
            stories = list_story_ids(connection, claim.edition_id)
        position = int(number) - 1
        if edition is None or position >= len(edition.briefs):
            return None
        brief = edition.briefs[position]
        story_id = stories[position] if position < len(stories) else 0
        topics = filter(None, map(clean_line, brief.topics))
        return _Asked(
            chooser=chooser,
            title=clean_line(brief.title),
            story=f"story:{story_id}" if story_id else "",
            topics={f"topic:{topic}": topic for topic in topics},
        )

    def show(token: str, number: str, asked: _Asked, *, what: str = "") -> Response:
        """Ask, or say that `what` is left out."""
        choices = asked.chooser.reader.choices
        language = match_language(
            choices.language or press.settings.publication.language, languages
        )
        return pages.show(
            "mute.html.j2",
            language=choices.language,
            brief_title=asked.title,
            story=asked.story,
            topics=asked.topics,
            muted=asked.topics.get(what, asked.title) if what else "",
            until=write_date(press.today() + MUTED_FOR, language or SOURCE),
            mute_url=f"{pages.root}/p/{token}/mute/{number}",
            choices_url=f"{pages.root}/p/{token}",
        )

    @router.get("/p/{token}/mute/{number}")
    def ask(token: str, number: str) -> Response:
        asked = find(token, number)
        return show(token, number, asked) if asked else pages.show_damaged()

    @router.post("/p/{token}/mute/{number}")
    async def mute(token: str, number: str, request: Request) -> Response:
        form = await read_form(request)

        def act() -> Response:
            asked = find(token, number)
            if asked is None:
                return pages.show_damaged()
            what = form.get("mute", "")
            if not what or what not in (asked.story, *asked.topics):
                return show(token, number, asked)
            chooser = asked.chooser
            stored = store_choices(
                press.database,
                chooser.reader.subscriber_id,
                chooser.reader.name,
                add_mute(chooser.reader.choices, Mute(what=what, until=press.today() + MUTED_FOR)),
                paused_until=chooser.paused_until,
                now=press.now(),
            )
            return show(token, number, asked, what=what) if stored else pages.show_damaged()

        return await run_in_threadpool(act)

    return router


def add_mute(choices: Choices, mute: Mute) -> Choices:
    """Give choices that leave one thing more out; one that was left out, until then. Pure."""
    others = (each for each in choices.muted if Mute.parse(each).what != mute.what)
    return replace(choices, muted=(*others, str(mute)))
