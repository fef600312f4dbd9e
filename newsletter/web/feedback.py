"""What readers think of a brief: a page with a button, from a mail's link or from the web page.

    GET  /f/TOKEN                            which brief of the edition they speak of
    GET  /f/TOKEN/N                          asks: useful, too long, unfair; changes nothing
    POST /f/TOKEN/N                          keeps it, in the place of what they said before
    GET  /editions/DATE/briefs/N/feedback    asks whoever reads the page
    POST /editions/DATE/briefs/N/feedback    keeps it, of nobody

What is kept, and that it follows nobody, is told in `audience.answers`. Answers are limited by the
hour: by reader, for who has no link by network, and for those all together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from newsletter.audience.answers import (
    SENTENCE_CHARACTERS,
    Answer,
    Verdict,
    read_verdict,
    store_answer,
)
from newsletter.audience.choosing import find_chooser
from newsletter.briefs.implication import is_no_direct_implication
from newsletter.editions.model import KINDS, Edition, Kind, name_edition
from newsletter.editions.shelf import find_edition, find_released_content
from newsletter.mail.tokens import Claim, Purpose
from newsletter.press import Press
from newsletter.render.addresses import ARCHIVE_PATH, FEEDBACK_STEP, brief_path
from newsletter.render.context import clean_line
from newsletter.render.web import PageLink, choose_headline
from newsletter.web.floods import Floodgate
from newsletter.web.forms import read_form
from newsletter.web.pages import Pages, read_claim
from newsletter.web.visitor import Visitors

_NUMBER = re.compile("[1-9][0-9]?")
_BY_READER = 120
"""Answers an hour of one reader: each of twenty briefs and its lenses, and a change of mind."""
_BY_NETWORK = 30
_BY_ALL = 1_000
"""Answers an hour of all who have no link, so that nobody fills the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A brief that somebody speaks of, by which link, and who they are if that is known."""

    edition_id: int
    edition: Edition
    number: int
    url: str
    """Where its form is sent to."""
    subscriber_id: int | None = None
    language: str = ""

    @property
    def lenses(self) -> tuple[str, ...]:
        """The names of its perspectives, as the page shows them."""
        told = self.edition.briefs[self.number - 1].perspectives
        names = (clean_line(p.lens) for p in told if not is_no_direct_implication(p.text))
        return tuple(dict.fromkeys(filter(None, names)))


def build_feedback(press: Press, pages: Pages) -> APIRouter:
    """Build the pages of saying what one thinks."""
    router = APIRouter()
    readers = Floodgate(press.now, each=_BY_READER, all_together=50 * _BY_ALL)
    others = Floodgate(press.now, each=_BY_NETWORK, all_together=_BY_ALL)
    visitors = Visitors(press.settings)

    def show_gone() -> Response:
        return pages.show("damaged.html.j2", status=404)

    def show(asked: _Asked, *, status: int = 200, **variables: object) -> Response:
        brief = asked.edition.briefs[asked.number - 1]
        path = brief_path(asked.edition.date, asked.number, asked.edition.kind)
        given = {"send_url": "", "again_url": "", "is_too_much": False, **variables}
        return pages.show(
            "feedback.html.j2",
            language=asked.language,
            status=status,
            brief_title=clean_line(brief.title),
            brief_url=pages.root + path,
            lenses=asked.lenses,
            **given,
        )

    def find_claimed(token: str) -> tuple[Claim, Edition, bool, str] | None:
        """Find what a link is about, whether its reader is known still, and their language."""
        claim = read_claim(press, token, Purpose.FEEDBACK)
        if claim is None:
            return None
        with press.database.reading() as connection:
            edition = find_released_content(connection, claim.edition_id)
        if edition is None:
            return None
        reader = find_chooser(press.database, claim.subscriber_id)
        return claim, edition, reader is not None, reader.reader.choices.language if reader else ""

    def find_by_token(token: str, number: str) -> _Asked | None:
        found = find_claimed(token)
        if found is None or not _has(found[1], number):
            return None
        claim, edition, is_known, language = found
        return _Asked(
            edition_id=claim.edition_id,
            edition=edition,
            number=int(number),
            url=f"{pages.root}/f/{token}/{number}",
            subscriber_id=claim.subscriber_id if is_known else None,
            language=language,
        )

    def find_by_day(day: str, number: str) -> _Asked | None:
        named = _read_name(day)
        if named is None:
            return None
        with press.database.reading() as connection:
            record = find_edition(connection, *named)
            edition = find_released_content(connection, record.id) if record else None
        if record is None or edition is None or not _has(edition, number):
            return None
        path = brief_path(edition.date, int(number), edition.kind) + FEEDBACK_STEP
        return _Asked(
            edition_id=record.id, edition=edition, number=int(number), url=pages.root + path
        )

    def take(asked: _Asked | None, form: Mapping[str, str], host: str) -> Response:
        if asked is None:
            return show_gone()
        verdict = read_verdict(form.get("verdict", ""))
        if verdict is None:
            return show(asked, send_url=asked.url)
        of_reader = asked.subscriber_id is not None
        gate, who = (readers, str(asked.subscriber_id)) if of_reader else (others, host)
        if not gate.lets_in(who):
            return show(asked, status=429, is_too_much=True)
        _keep(press, asked, verdict, form)
        return show(asked, again_url=asked.url if of_reader else "")

    @router.get("/f/{token}")
    def choose(token: str) -> Response:
        found = find_claimed(token)
        if found is None:
            return show_gone()
        _, edition, _, language = found
        briefs = edition.briefs
        return pages.show(
            "briefs.html.j2",
            language=language,
            headline=choose_headline(edition.subject, briefs[0].title if briefs else ""),
            briefs=tuple(
                PageLink(title=clean_line(brief.title), url=f"{pages.root}/f/{token}/{number}")
                for number, brief in enumerate(briefs, 1)
            ),
        )

    @router.get("/f/{token}/{number}")
    def ask_reader(token: str, number: str) -> Response:
        asked = find_by_token(token, number)
        return show(asked, send_url=asked.url) if asked else show_gone()

    @router.post("/f/{token}/{number}")
    async def take_from_reader(token: str, number: str, request: Request) -> Response:
        form, host = await read_form(request), visitors.read_network(request)
        return await run_in_threadpool(lambda: take(find_by_token(token, number), form, host))

    @router.get(ARCHIVE_PATH + "/{day}/briefs/{number}" + FEEDBACK_STEP)
    def ask_anybody(day: str, number: str) -> Response:
        asked = find_by_day(day, number)
        return show(asked, send_url=asked.url) if asked else show_gone()

    @router.post(ARCHIVE_PATH + "/{day}/briefs/{number}" + FEEDBACK_STEP)
    async def take_from_anybody(day: str, number: str, request: Request) -> Response:
        form, host = await read_form(request), visitors.read_network(request)
        return await run_in_threadpool(lambda: take(find_by_day(day, number), form, host))

    return router


def _keep(press: Press, asked: _Asked, verdict: Verdict, form: Mapping[str, str]) -> None:
    lens = form.get("lens", "")
    answer = Answer(
        edition_id=asked.edition_id,
        number=asked.number,
        lens=lens if lens in asked.lenses else "",
        verdict=verdict,
        sentence=clean_line(form.get("sentence", ""))[:SENTENCE_CHARACTERS],
    )
    voices: tuple[str, ...] = ()
    if asked.subscriber_id is not None:
        voices = press.pseudonyms.list_voices(asked.subscriber_id, asked.edition_id, asked.number)
    with press.database.writing() as connection:
        store_answer(connection, answer, voices=voices, day=press.today())


def _has(edition: Edition, number: str) -> bool:
    return bool(_NUMBER.fullmatch(number)) and int(number) <= len(edition.briefs)


def _read_name(name: str) -> tuple[date, Kind] | None:
    """Read the name of an edition as its address has it."""
    try:
        day = date.fromisoformat(name[:10])
    except ValueError:
        return None
    kind = next((kind for kind in KINDS if name == name_edition(day, kind)), None)
    return (day, kind) if kind else None
