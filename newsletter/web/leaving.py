"""Leaving by the link of a mail: a page with a button, and one click (RFC 8058).

    GET  /u/TOKEN          asks; changes nothing, since scanners and previews follow links
    POST /u/TOKEN          leaves, and has left before it answers; by the button of that page, or
                           by a mail program, which sends nothing but List-Unsubscribe=One-Click:
                           no cookie, no login, no check of where it comes from, no redirect
    POST /u/TOKEN/back     takes it back: the page after leaving has a token of its own for that
    POST /u/TOKEN/reason   says why, afterwards and only if the reader wants to

A reader who has left already, or was erased, is told the same as one who leaves now.
"""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from newsletter.audience.leaving import (
    Leaver,
    find_leaver,
    leave,
    note_reason,
    take_back,
)
from newsletter.mail.tokens import Claim, Purpose, sign_until_later
from newsletter.press import Press
from newsletter.web.forms import read_form
from newsletter.web.pages import Pages, read_claim

BACK_WITHIN = timedelta(hours=1)
_ONE_CLICK = ("List-Unsubscribe", "One-Click")


def build_leaving(press: Press, pages: Pages) -> APIRouter:
    """Build the pages of leaving."""
    router = APIRouter()
    list_id = press.settings.publication.list_id

    def show_left(token: str, claim: Claim, leaver: Leaver | None, *, thanked: bool) -> Response:
        back = sign_until_later(
            claim.subscriber_id,
            Purpose.RETURN,
            press.now(),
            keyring=press.keyring,
            list_id=list_id,
        )
        return pages.show(
            "left.html.j2",
            language=leaver.language if leaver else "",
            address=mask(leaver.email) if leaver else "",
            back_url=f"{pages.root}/u/{token}/back" if leaver else "",
            back=back,
            reason_url=f"{pages.root}/u/{token}/reason",
            is_thanked=thanked,
        )

    @router.get("/u/{token}")
    def ask(token: str) -> Response:
        claim = read_claim(press, token, Purpose.UNSUBSCRIBE)
        if claim is None:
            return pages.show_damaged()
        leaver = find_leaver(press.database, claim.subscriber_id)
        if leaver is None or not leaver.is_reading:
            return show_left(token, claim, leaver, thanked=False)
        return pages.show(
            "leave.html.j2",
            language=leaver.language,
            address=mask(leaver.email),
            leave_url=f"{pages.root}/u/{token}",
        )

    @router.post("/u/{token}")
    async def do_leave(token: str, request: Request) -> Response:
        form = await read_form(request)

        def act() -> Response:
            claim = read_claim(press, token, Purpose.UNSUBSCRIBE)
            if claim is None:
                return pages.show_damaged()
            one_click = _ONE_CLICK in form.items()
            leave(
                press.database,
                claim.subscriber_id,
                "one-click" if one_click else "link",
                now=press.now(),
            )
            leaver = find_leaver(press.database, claim.subscriber_id)
            return show_left(token, claim, leaver, thanked=False)

        return await run_in_threadpool(act)

    @router.post("/u/{token}/back")
    async def come_back(token: str, request: Request) -> Response:
        form = await read_form(request)

        def act() -> Response:
            claim = read_claim(press, token, Purpose.UNSUBSCRIBE)
            back = read_claim(press, form.get("back", ""), Purpose.RETURN)
            if claim is None or back is None or back.subscriber_id != claim.subscriber_id:
                return pages.show_damaged()
            leaver = find_leaver(press.database, claim.subscriber_id)
            if not back.is_fresh(press.now(), BACK_WITHIN) or not take_back(
                press.database, claim.subscriber_id, now=press.now()
            ):
                return show_left(token, claim, leaver, thanked=False)
            assert leaver is not None
            return pages.show(
                "back.html.j2",
                language=leaver.language,
                address=mask(leaver.email),
                leave_url=f"{pages.root}/u/{token}",
            )

        return await run_in_threadpool(act)

    @router.post("/u/{token}/reason")
    async def say_why(token: str, request: Request) -> Response:
        form = await read_form(request)

        def act() -> Response:
            claim = read_claim(press, token, Purpose.UNSUBSCRIBE)
            if claim is None:
                return pages.show_damaged()
            note_reason(press.database, claim.subscriber_id, form.get("reason", ""))
            leaver = find_leaver(press.database, claim.subscriber_id)
            return show_left(token, claim, leaver, thanked=True)

        return await run_in_threadpool(act)

    return router


def mask(email: str) -> str:
    """Show an address to its owner without telling it to whoever else has the link."""
    local, _, domain = email.rpartition("@")
    return f"{local[:1]}…@{domain}"
