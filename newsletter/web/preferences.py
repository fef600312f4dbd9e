"""A reader's choices by the link of a mail: without an account, and without a script.

    GET  /p/TOKEN            the form, filled in with what is chosen; changes nothing
    GET  /p/TOKEN/preview    the latest edition as it would be with the choices in the address;
                             the form shows it in a frame of its own page, and nothing is stored
    POST /p/TOKEN            stores the choices

What the form does not offer is passed over: a value that somebody made up changes nothing.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import urlencode

from babel import Locale, UnknownLocaleError
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from newsletter.audience.choosing import find_reader, lay_over, store_choices
from newsletter.audience.reader import (
    DETAILS,
    FORMATS,
    MINUTES,
    RHYTHMS,
    Choices,
    Reader,
    Rhythm,
)
from newsletter.editions.shelf import find_latest_released, list_topics
from newsletter.mail import Addresser, decode_message
from newsletter.mail.tokens import Claim, Purpose, TokenSigner
from newsletter.press import Press
from newsletter.press.addressing import addresser
from newsletter.render.context import clean_line
from newsletter.render.languages import SOURCE, match_language, read_catalogues
from newsletter.web.forms import read_pairs
from newsletter.web.leaving import mask
from newsletter.web.pages import Pages, read_claim

_EDITIONS_LOOKED_AT = 30
_TOPICS_OFFERED = 40
_NAME_CHARACTERS = 200
_KEPT_SECONDS = 60.0
_RANK = re.compile("[1-9][0-9]?")

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionView:
    """One answer that a form offers."""

    value: str
    text: str
    is_chosen: bool
    rank: int = 0
    """Of a lens: where the reader wants it; 0 for one that they do not want."""


def build_preferences(press: Press, pages: Pages) -> APIRouter:
    """Build the pages of choosing."""
    router = APIRouter()
    list_id = press.settings.publication.list_id
    lenses = tuple(lens.name for lens in press.settings.vocabulary.lenses)
    languages = (SOURCE, *read_catalogues(press.templates.directories, {}).by_code)
    rhythms = RHYTHMS if press.settings.weekly.day else ()  # without a round-up there is no choice
    topics = _Topics(press)
    latest = lru_cache(2)(lambda edition_id: addresser(press, edition_id))

    def read(token: str) -> tuple[Claim, Reader, bool] | None:
        claim = read_claim(press, token, Purpose.PREFERENCES)
        found = find_reader(press.database, claim.subscriber_id) if claim else None
        return (claim, *found) if claim and found else None

    def choose(pairs: Pairs, reader: Reader) -> Choices:
        offered = (*topics.list(), *reader.choices.topics)
        return read_choices(
            pairs,
            topics=offered,
            lenses=lenses,
            languages=languages,
            rhythms=rhythms,
            rhythm=reader.choices.rhythm,
        )

    def show(
        token: str, claim: Claim, reader: Reader, *, is_reading: bool, is_saved: bool = False
    ) -> Response:
        choices = reader.choices
        signer = TokenSigner(
            press.keyring,
            press.keyring.newest,
            Purpose.UNSUBSCRIBE,
            list_id=list_id,
            edition_id=claim.edition_id,
        )
        offered = dict.fromkeys((*choices.topics, *topics.list()))
        with press.database.reading() as connection:
            edition = find_latest_released(connection)
        form = _write_choices(choices, reader.name)
        return pages.show(
            "preferences.html.j2",
            language=choices.language,
            address=mask(reader.email),
            called=reader.name,
            is_reading=is_reading,
            is_saved=is_saved,
            save_url=f"{pages.root}/p/{token}",
            preview_url=f"{pages.root}/p/{token}/preview" if edition else "",
            preview_query=urlencode(form),
            leave_url=f"{pages.root}/u/{signer.sign(reader.subscriber_id)}",
            topics=_options(offered, choices.topics),
            lenses=_ranked(lenses, choices.lenses),
            details=_options(DETAILS, [choices.detail or press.settings.edition.detail]),
            minutes=_options(map(str, MINUTES), [str(choices.minutes)]),
            rhythms=_options(rhythms, [choices.rhythm or "daily"]),
            formats=_options(FORMATS, [choices.format or "html"]),
            languages=[
                OptionView(value=code, text=_name_language(code), is_chosen=code == chosen)
                for chosen in [_chosen_language(choices.language, press, languages)]
                for code in languages
            ],
        )

    def show_gone() -> Response:
        return pages.show("damaged.html.j2", status=404)

    @router.get("/p/{token}")
    def ask(token: str) -> Response:
        found = read(token)
        if found is None:
            return show_gone()
        claim, reader, is_reading = found
        return show(token, claim, reader, is_reading=is_reading)

    @router.post("/p/{token}")
    async def save(token: str, request: Request) -> Response:
        pairs = await read_pairs(request)

        def act() -> Response:
            found = read(token)
            if found is None:
                return show_gone()
            claim, reader, is_reading = found
            name = clean_line(dict(pairs).get("name", ""))[:_NAME_CHARACTERS]
            stored = store_choices(
                press.database,
                claim.subscriber_id,
                name,
                choose(pairs, reader),
                now=press.now(),
            )
            if stored is None:
                return show_gone()
            return show(token, claim, stored, is_reading=is_reading, is_saved=True)

        return await run_in_threadpool(act)

    @router.get("/p/{token}/preview")
    def preview(token: str, request: Request) -> Response:
        found = read(token)
        with press.database.reading() as connection:
            edition = find_latest_released(connection)
        if found is None or edition is None:
            return show_gone()
        _, reader, _ = found
        pairs = request.query_params.multi_items()
        # Of nobody: whoever follows a link of the preview must not leave the list by it.
        shown = replace(
            reader,
            subscriber_id=0,
            name=clean_line(dict(pairs).get("name", ""))[:_NAME_CHARACTERS],
            choices=lay_over(reader.choices, choose(pairs, reader)),
        )
        return _show_copy(latest(edition.id), shown, press)

    return router


def read_choices(
    pairs: Pairs,
    *,
    topics: Iterable[str],
    lenses: Iterable[str],
    languages: Iterable[str],
    rhythms: Iterable[Rhythm] = (),
    rhythm: Rhythm | Literal[""] = "",
) -> Choices:
    """Read what a form says; whatever is not offered is passed over. Pure.

    `rhythm` is what stays where the form has no choice of it.
    """
    last = dict(pairs)
    known_topics = set(topics)
    ranks = {
        lens: int(rank) for lens in lenses if _RANK.fullmatch(rank := last.get(f"lens:{lens}", ""))
    }
    details = [each for each in DETAILS if each == last.get("detail")]
    formats = [each for each in FORMATS if each == last.get("format")]
    return Choices(
        topics=tuple(dict.fromkeys(v for k, v in pairs if k == "topic" and v in known_topics)),
        lenses=tuple(sorted(ranks, key=lambda lens: ranks[lens])),
        detail=details[0] if details else "",
        minutes=next((each for each in MINUTES if str(each) == last.get("minutes")), 0),
        format=formats[0] if formats else "",
        language=next((each for each in languages if each == last.get("language")), ""),
        rhythm=next((each for each in rhythms if each == last.get("rhythm")), rhythm),
    )


class _Topics:
    """The topics that there are, looked up once a minute."""

    def __init__(self, press: Press) -> None:
        self._press = press
        self._lock = threading.Lock()
        self._found: tuple[float, tuple[str, ...]] | None = None

    def list(self) -> tuple[str, ...]:
        with self._lock:
            if self._found is None or time.monotonic() - self._found[0] > _KEPT_SECONDS:
                with self._press.database.reading() as connection:
                    listed = list_topics(connection, _EDITIONS_LOOKED_AT)
                self._found = time.monotonic(), listed[:_TOPICS_OFFERED]
            return self._found[1]


def _write_choices(choices: Choices, name: str) -> list[tuple[str, str]]:
    """Write choices as the form would send them: what the frame shows at first."""
    pairs = [("name", name), *(("topic", topic) for topic in choices.topics)]
    pairs += ((f"lens:{lens}", str(rank)) for rank, lens in enumerate(choices.lenses, 1))
    others: dict[str, Any] = {
        "detail": choices.detail,
        "minutes": choices.minutes,
        "format": choices.format,
        "language": choices.language,
        "rhythm": choices.rhythm,
    }
    return pairs + [(key, str(value)) for key, value in others.items() if value]


def _options(values: Iterable[str], chosen: Iterable[str]) -> list[OptionView]:
    wanted = set(chosen)
    return [OptionView(value=v, text=v, is_chosen=v in wanted) for v in values]


def _ranked(lenses: Sequence[str], chosen: Sequence[str]) -> list[OptionView]:
    """Give the lenses, those that the reader wants first, each with its rank."""
    folded = {lens.casefold(): lens for lens in lenses}
    order = [folded[c.casefold()] for c in chosen if c.casefold() in folded]
    ranks = {lens: rank for rank, lens in enumerate(dict.fromkeys(order), 1)}
    return [
        OptionView(value=lens, text=lens, is_chosen=lens in ranks, rank=ranks.get(lens, 0))
        for lens in sorted(lenses, key=lambda lens: ranks.get(lens, len(lenses) + 1))
    ]


def _chosen_language(wanted: str, press: Press, languages: Sequence[str]) -> str:
    return match_language(wanted or press.settings.publication.language, languages) or SOURCE


def _name_language(code: str) -> str:
    """Name a language in itself."""
    try:
        name = Locale.parse(code, sep="-").get_display_name(code) or code
    except (ValueError, UnknownLocaleError):
        name = code
    return name[:1].upper() + name[1:]


def _show_copy(maker: Addresser, reader: Reader, press: Press) -> Response:
    plain, html = decode_message(maker.address(reader).content)
    hosts = press.settings.edition.picture_hosts
    pictures = " ".join(f"https://{host}" for host in hosts) or "'none'"
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'unsafe-inline'; img-src {pictures}; "
            "sandbox; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
        ),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex",
    }
    if html:
        return HTMLResponse(html, headers=headers)
    return Response(plain, media_type="text/plain; charset=utf-8", headers=headers)
