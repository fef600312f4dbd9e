"""A reader's choices by the link of a mail: without an account, and without a script.

    GET  /p/TOKEN            the form, filled in with what is chosen; changes nothing
    GET  /p/TOKEN/preview    the latest edition as it would be with the choices in the address;
                             the form shows it in a frame of its own page, and nothing is stored
    POST /p/TOKEN            stores the choices

What else the page leads to (what is held, erasure, another address) is in `affairs`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import urlencode
from zoneinfo import available_timezones

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from newsletter.audience.choosing import Chooser, find_chooser, store_choices
from newsletter.audience.reader import DETAILS, FORMATS, MINUTES, RHYTHMS, Choices, Mute, Reader
from newsletter.editions.shelf import (
    find_latest_released,
    list_told,
    list_topics,
    name_stories,
)
from newsletter.mail import Addresser, decode_message
from newsletter.mail.tokens import Claim, Purpose, sign_one
from newsletter.press import Press
from newsletter.press.addressing import addresser
from newsletter.render.context import clean_line
from newsletter.render.languages import SOURCE, match_language, read_catalogues, write_date
from newsletter.web.forms import read_pairs
from newsletter.web.leaving import mask
from newsletter.web.offers import (
    LONGEST_PAUSE,
    Offer,
    OptionView,
    Pairs,
    build_days,
    build_hours,
    build_mutes,
    build_options,
    build_zones,
    list_zones,
    name_language,
    rank_lenses,
    read_choices,
    read_pause,
    takes_edition,
    write_choices,
)
from newsletter.web.pages import Pages, build_copy_policy, read_claim

_EDITIONS_LOOKED_AT = 30
_TOPICS_OFFERED = 40
_NAME_CHARACTERS = 200
_KEPT_SECONDS = 60.0


def build_preferences(press: Press, pages: Pages) -> APIRouter:
    """Build the pages of choosing."""
    router = APIRouter()
    settings = press.settings
    list_id = settings.publication.list_id
    languages = (SOURCE, *read_catalogues(press.templates.directories, {}).by_code)
    offered = Offer(
        lenses=tuple(lens.name for lens in settings.vocabulary.lenses),
        languages=languages,
        rhythms=RHYTHMS if settings.weekly.day else (),  # without a round-up there is no choice
        editions={each.name: settings.is_for_all(each.name) for each in settings.editions},
        zones=list_zones(available_timezones()),
    )
    obeys_hours = settings.schedule.reader_hours != "off"
    lately = _Lately(press)
    latest = lru_cache(2)(lambda edition_id: addresser(press, edition_id))

    def read(token: str) -> tuple[Claim, Chooser] | None:
        claim = read_claim(press, token, Purpose.PREFERENCES)
        found = find_chooser(press.database, claim.subscriber_id) if claim else None
        return (claim, found) if claim and found else None

    def offer() -> Offer:
        told = lately.look()
        return replace(offered, topics=told.topics, news=told.news)

    def show(token: str, claim: Claim, chooser: Chooser, *, is_saved: bool = False) -> Response:
        reader, choices, today = chooser.reader, chooser.reader.choices, press.today()
        leaving = sign_one(
            reader.subscriber_id,
            Purpose.UNSUBSCRIBE,
            keyring=press.keyring,
            list_id=list_id,
            edition_id=claim.edition_id,
        )
        on_offer = offer()
        with press.database.reading() as connection:
            edition = find_latest_released(connection)
        language = match_language(choices.language or settings.publication.language, languages)
        pause = chooser.paused_until
        pause = pause if pause and today < pause else None
        return pages.show(
            "preferences.html.j2",
            language=choices.language,
            address=mask(reader.email),
            called=reader.name,
            is_reading=chooser.is_reading,
            is_saved=is_saved,
            save_url=f"{pages.root}/p/{token}",
            held_url=f"{pages.root}/p/{token}/held",
            move_url=f"{pages.root}/p/{token}/address",
            erase_url=f"{pages.root}/p/{token}/erase",
            preview_url=f"{pages.root}/p/{token}/preview" if edition else "",
            preview_query=urlencode(write_choices(choices, reader.name)),
            leave_url=f"{pages.root}/u/{leaving}",
            topics=build_options(
                dict.fromkeys((*choices.topics, *on_offer.topics)), choices.topics
            ),
            lenses=rank_lenses(on_offer.lenses, choices.lenses),
            details=build_options(DETAILS, [choices.detail or settings.edition.detail]),
            minutes=build_options(map(str, MINUTES), [str(choices.minutes)]),
            rhythms=build_options(on_offer.rhythms, [choices.rhythm or "daily"]),
            editions=[
                OptionView(
                    value=each.name,
                    text=f"{clean_line(settings.publication_of(each.name).name)}, "
                    f"{each.send_at:%H:%M}",
                    is_chosen=takes_edition(
                        choices, each.name, is_for_all=on_offer.editions[each.name]
                    ),
                )
                for each in settings.editions
            ],
            days=build_days(choices.days, language or SOURCE),
            hours=build_hours(choices.send_at) if obeys_hours else (),
            own_hour=f"{settings.schedule.send_at:%H:%M}",
            zones=build_zones(on_offer.zones, choices.timezone),
            own_zone=settings.publication.timezone,
            paused_until=pause.isoformat() if pause else "",
            paused_until_text=write_date(pause, language or SOURCE) if pause else "",
            first_day=today.isoformat(),
            last_day=(today + LONGEST_PAUSE).isoformat(),
            has_counting=settings.web.counts_clicks,
            mutes=build_mutes(
                {**_name_muted(press, choices), **on_offer.news},
                choices.muted,
                today,
                language or SOURCE,
            ),
            formats=build_options(FORMATS, [choices.format or "html"]),
            languages=[
                OptionView(value=code, text=name_language(code), is_chosen=code == language)
                for code in languages
            ],
        )

    @router.get("/p/{token}")
    def ask(token: str) -> Response:
        found = read(token)
        return show(token, *found) if found else pages.show_damaged()

    @router.post("/p/{token}")
    async def save(token: str, request: Request) -> Response:
        pairs = await read_pairs(request)

        def act() -> Response:
            found = read(token)
            if found is None:
                return pages.show_damaged()
            claim, chooser = found
            before, today = chooser.reader.choices, press.today()
            stored = store_choices(
                press.database,
                claim.subscriber_id,
                _read_name(pairs, chooser.reader),
                read_choices(pairs, offer(), before, today=today),
                paused_until=read_pause(pairs, chooser.paused_until, today=today),
                now=press.now(),
            )
            if stored is None:
                return pages.show_damaged()
            return show(token, claim, stored, is_saved=True)

        return await run_in_threadpool(act)

    @router.get("/p/{token}/preview")
    def preview(token: str, request: Request) -> Response:
        found = read(token)
        with press.database.reading() as connection:
            edition = find_latest_released(connection)
        if found is None or edition is None:
            return pages.show_damaged()
        reader = found[1].reader
        pairs = request.query_params.multi_items()
        # Of nobody: whoever follows a link of the preview must not leave the list by it.
        shown = replace(
            reader,
            subscriber_id=0,
            name=_read_name(pairs, reader),
            choices=read_choices(pairs, offer(), reader.choices, today=press.today()),
        )
        return _show_copy(latest(edition.id), shown, press)

    return router


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    topics: tuple[str, ...]
    """Of many editions."""
    news: Mapping[str, str]
    """The stories and topics of the last one, as `Mute` names them, and how they are called."""


class _Lately:
    """What editions told lately, looked up once a minute."""

    def __init__(self, press: Press) -> None:
        self._press = press
        self._lock = threading.Lock()
        self._found: tuple[float, _Told] | None = None

    def look(self) -> _Told:
        with self._lock:
            if self._found is None or time.monotonic() - self._found[0] > _KEPT_SECONDS:
                self._found = time.monotonic(), self._read()
            return self._found[1]

    def _read(self) -> _Told:
        with self._press.database.reading() as connection:
            latest = find_latest_released(connection)
            stories = list_told(connection, latest.id) if latest else ()
            own = list_topics(connection, 1)
            topics = list_topics(connection, _EDITIONS_LOOKED_AT)
        news = {f"story:{number}": title for number, title in stories}
        news |= {f"topic:{topic}": topic for topic in own[:_TOPICS_OFFERED]}
        return _Told(topics=topics[:_TOPICS_OFFERED], news=news)


def _read_name(pairs: Pairs, reader: Reader) -> str:
    name = dict(pairs).get("name")
    return reader.name if name is None else clean_line(name)[:_NAME_CHARACTERS]


def _name_muted(press: Press, choices: Choices) -> dict[str, str]:
    """Say how what a reader muted is called, also where no edition has it just now."""
    muted = [Mute.parse(each).what.partition(":") for each in choices.muted]
    numbers = [int(name) for kind, _, name in muted if kind == "story"]
    titles: Mapping[int, str] = {}
    if numbers:
        with press.database.reading() as connection:
            titles = name_stories(connection, numbers)
    return {
        f"{kind}:{name}": titles.get(int(name), "") if kind == "story" else name
        for kind, _, name in muted
        if kind != "story" or int(name) in titles
    }


def _show_copy(maker: Addresser, reader: Reader, press: Press) -> Response:
    plain, html = decode_message(maker.address(reader).content)
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": build_copy_policy(press.settings.edition.picture_hosts),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex",
    }
    if html:
        return HTMLResponse(html, headers=headers)
    return Response(plain, media_type="text/plain; charset=utf-8", headers=headers)
