"""New links, and another address: what a reader asks for on a page and gets by mail.

GET  /links             asks for an address
POST /links             takes one: the same answer for every address that can be mailed
GET  /p/TOKEN/address   asks for the address to read at from now on
POST /p/TOKEN/address   takes it: the same answer for every address
GET  /a/TOKEN           the page behind the link in the mail to that address; changes nothing
POST /a/TOKEN           the reader has the new address from here on; the old one is told
GET  /a/TOKEN/back      the page behind the link in that mail; changes nothing
POST /a/TOKEN/back      the reader has the old address again
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from limits import RateLimitItem, RateLimitItemPerDay, parse_many
from starlette.responses import Response

from newsletter.audience.address import Address, parse_address
from newsletter.audience.choosing import Chooser, find_chooser
from newsletter.audience.links import store_link_ask
from newsletter.audience.moving import CONFIRM_WITHIN, UNDO_WITHIN, ask_to_move, find_wish, move
from newsletter.audience.signing_up import name_counted
from newsletter.errors import AudienceError
from newsletter.mail.tokens import Purpose
from newsletter.press import Press
from newsletter.press.settling import tell_former_address
from newsletter.press.signing_up import derive_secret
from newsletter.render.languages import SOURCE, read_catalogues
from newsletter.store.limits import take
from newsletter.web.forms import read_form
from newsletter.web.leaving import mask
from newsletter.web.pages import Pages, read_claim
from newsletter.web.signing_desk import HONEYPOT
from newsletter.web.visitor import Visitors, choose_language

_WISHES: tuple[RateLimitItem, ...] = (RateLimitItemPerDay(5),)
"""How many new addresses a reader may ask for."""


def build_links(press: Press, pages: Pages) -> APIRouter:
    """Build the pages of new links and of another address."""
    router = APIRouter()
    visitors = Visitors(press.settings)
    languages = (SOURCE, *read_catalogues(press.templates.directories, {}).by_code)
    per_network = tuple(parse_many(press.settings.signup.per_network))
    secret = derive_secret(press)

    def find_language(request: Request) -> str:
        return choose_language("", request.headers.get("accept-language", ""), languages)

    def show_links(
        language: str, *, email: str = "", fault: str = "", status: int = 200
    ) -> Response:
        return pages.show(
            "links.html.j2",
            language=language,
            status=status,
            links_url=f"{pages.root}/links",
            email=email[:320],
            fault=fault,
            honeypot=HONEYPOT,
        )

    @router.get("/links")
    def ask_for_address(request: Request) -> Response:
        return show_links(find_language(request))

    @router.post("/links")
    async def take_address(request: Request) -> Response:
        form = await read_form(request)

        def act() -> Response:
            email, language = form.get("email", ""), find_language(request)
            address = read_address(form)
            if address is None:
                return show_links(
                    language, email=email, fault="address", status=HTTPStatus.UNPROCESSABLE_ENTITY
                )
            if not form.get(HONEYPOT):
                network = name_counted(secret, "network", visitors.read_network(request))
                with press.database.writing() as connection:
                    is_taken = store_link_ask(
                        connection, address, press.now(), limits=per_network, key=network
                    )
                if not is_taken:
                    return show_links(
                        language, email=email, fault="network", status=HTTPStatus.TOO_MANY_REQUESTS
                    )
            return pages.show("links_sent.html.j2", language=language)

        return await run_in_threadpool(act)

    def find(token: str) -> Chooser | None:
        claim = read_claim(press, token, Purpose.PREFERENCES)
        found = find_chooser(press.database, claim.subscriber_id) if claim else None
        return found if found and found.is_reading else None

    def show_move(token: str, chooser: Chooser, *, email: str = "", fault: str = "") -> Response:
        return pages.show(
            "move.html.j2",
            language=chooser.reader.choices.language,
            status=HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            address=mask(chooser.reader.email),
            move_url=f"{pages.root}/p/{token}/address",
            back_url=f"{pages.root}/p/{token}",
            email=email[:320],
            fault=fault,
        )

    @router.get("/p/{token}/address")
    def ask_for_new_address(token: str) -> Response:
        chooser = find(token)
        return show_move(token, chooser) if chooser else pages.show_damaged()

    @router.post("/p/{token}/address")
    async def take_new_address(token: str, request: Request) -> Response:
        form = await read_form(request)

        def act() -> Response:
            chooser = find(token)
            if chooser is None:
                return pages.show_damaged()
            address = read_address(form)
            if address is None:
                return show_move(token, chooser, email=form.get("email", ""), fault="address")
            number, now = chooser.reader.subscriber_id, press.now()
            counted = name_counted(secret, "wishes", str(number))
            with press.database.writing() as connection:
                if take(connection, _WISHES, counted, now=now):
                    ask_to_move(connection, number, address, now)
            return pages.show(
                "move_asked.html.j2",
                language=chooser.reader.choices.language,
                back_url=f"{pages.root}/p/{token}",
            )

        return await run_in_threadpool(act)

    def show_new(token: str, purpose: Purpose, *, is_pressed: bool) -> Response:
        """Show what a link to an address leads to, and do what its button says."""
        claim = read_claim(press, token, purpose)
        if claim is None:
            return pages.show_damaged()
        is_undo = purpose is Purpose.UNDO
        is_fresh = claim.is_fresh(press.now(), UNDO_WITHIN if is_undo else CONFIRM_WITHIN)
        if is_pressed and is_fresh:
            with press.database.writing() as connection:
                moved = move(
                    connection,
                    claim.subscriber_id,
                    now=press.now(),
                    pseudonyms=press.pseudonyms,
                )
                if moved is not None:
                    shown = mask(moved.wish.address.email)
                    tell_former_address(press, connection, moved, shown)
        with press.database.reading() as connection:
            wish = find_wish(connection, claim.subscriber_id)
        if wish is None or (wish.undoes is not None) != is_undo:
            return pages.show_damaged()
        is_open = is_fresh and not is_pressed
        if not (wish.is_done or (is_open and wish.is_active)):
            return pages.show_damaged()
        asks = "move_back.html.j2" if is_undo else "move_confirm.html.j2"
        return pages.show(
            "moved.html.j2" if wish.is_done else asks,
            language=wish.language,
            address=mask(wish.address.email),
            confirm_url=f"{pages.root}/a/{token}" + ("/back" if is_undo else ""),
        )

    @router.get("/a/{token}")
    def look(token: str) -> Response:
        return show_new(token, Purpose.MOVE, is_pressed=False)

    @router.post("/a/{token}")
    def confirm(token: str) -> Response:
        return show_new(token, Purpose.MOVE, is_pressed=True)

    @router.get("/a/{token}/back")
    def look_back(token: str) -> Response:
        return show_new(token, Purpose.UNDO, is_pressed=False)

    @router.post("/a/{token}/back")
    def go_back(token: str) -> Response:
        return show_new(token, Purpose.UNDO, is_pressed=True)

    return router


def read_address(form: Mapping[str, str]) -> Address | None:
    """Read the address of a form; None for what cannot be mailed."""
    try:
        return parse_address(form.get("email", ""))
    except AudienceError:
        return None
