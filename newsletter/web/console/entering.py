"""Logging in and out, and setting up with a link.

GET  /login           asks for address, password and code, or for a passkey
POST /login           the same answer, after the same work, whatever of them is wrong
GET  /login/passkey   what the browser is to have a passkey sign; nothing is kept of it
POST /login/passkey   what it signed, in the place of all three
GET  /setup/TOKEN     shows the picture for an app and asks for a password; changes nothing
POST /setup/TOKEN     keeps both, shows the recovery codes once, and logs in
POST /logout
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files

from fastapi import FastAPI, Request
from sqlalchemy import Connection
from starlette.responses import Response

from newsletter.errors import InputError, NewsletterError
from newsletter.press import Press
from newsletter.store.audit import Actor, note
from newsletter.web.console.challenges import (
    ask_to_log_in,
    check_signed,
    find_site,
    make_challenge,
    read_answer,
)
from newsletter.web.console.delays import Bucket, charge, choose_buckets, forgive
from newsletter.web.console.gate import Visit
from newsletter.web.console.members import (
    Kept,
    build_account,
    find_invited,
    find_kept,
    is_right,
    make_password_hash,
    set_up,
    take_code,
    takes_password,
)
from newsletter.web.console.pages import HEADERS, Frame
from newsletter.web.console.passkeys import find_holder, take
from newsletter.web.console.proofs import Vault, build_address, draw, find_step, show_secret
from newsletter.web.console.sessions import (
    end_session,
    forget_old,
    mark_browser,
    open_session,
    read_mark,
)
from newsletter.web.visitor import find_network

log = logging.getLogger("newsletter.web")

_WRONG = "Address, password or code is wrong, or the code was used before."
_REFUSED = {
    "again": "This was used already; do it once more.",
    "copied": "This passkey may be in two hands: its counter has gone back. Log in with your "
    "password, and remove it.",
}
"""Why a passkey that signed is not taken."""


def add_entrance(app: FastAPI, press: Press, frame: Frame, vault: Vault) -> None:
    """Add the pages of entering."""
    database, settings = press.database, press.settings
    script = (files("newsletter.web.console") / "passkeys.js").read_bytes()

    @app.get("/login")
    def ask(request: Request) -> Response:
        visit: Visit = request.state.visit
        onward = check_onward(request.query_params.get("next", ""), frame.root)
        if visit.session:
            return frame.lead("/")
        return show_login(visit, onward=onward, problem="", email="")

    def show_login(visit: Visit, *, status: int = 200, **shown: str) -> Response:
        oidc = settings.console.oidc
        provider = oidc.name if oidc.issuer else ""
        fault = find_site(visit.origin).fault
        return frame.show(
            "login.html.j2",
            visit,
            status=status,
            provider=provider,
            only=oidc.only,
            fault=fault,
            **shown,
        )

    def count_try(visit: Visit, email: str, kept: Kept | None) -> tuple[tuple[Bucket, ...], int]:
        """Count a try before it is judged; give by what, and the seconds that it has to wait."""
        mark = read_mark(press.keyring, kept, visit.cookies["known"])
        bits = {"v4": settings.signup.network_v4, "v6": settings.signup.network_v6}
        buckets = choose_buckets(build_account(email), find_network(visit.address, **bits), mark)
        with database.writing() as connection:
            wait = charge(connection, buckets, press.now())
        return buckets, math.ceil(wait.total_seconds())

    def put_off(visit: Visit, seconds: int, **shown: str) -> Response:
        problem = f"Too many tries; the next one is read in {seconds:,} seconds."
        answer = show_login(visit, status=429, problem=problem, **shown)
        answer.headers["Retry-After"] = str(seconds)
        return answer

    def let_in(
        connection: Connection, visit: Visit, kept: Kept, buckets: Sequence[Bucket], detail: str
    ) -> str:
        """Open the session of who was right, and note that; give its token."""
        now = press.now()
        token = enter(connection, visit, kept, now=now)
        forgive(connection, buckets)
        forget_old(connection, settings.console, now)
        actor = Actor(who=kept.member.name, origin=visit.address)
        note(connection, actor, "login", f"member {kept.member.id}", now=now, detail=detail)
        return token

    def lead_on(visit: Visit, kept: Kept, token: str, onward: str) -> Response:
        answer = frame.lead(onward.removeprefix(frame.root) or "/")
        remember(answer, visit, press, kept, token)
        return answer

    @app.post("/login")
    def log_in(request: Request) -> Response:
        visit: Visit = request.state.visit
        form, now = visit.form, press.now()
        email = form.get("email", "").strip()[:320]
        shown = {"onward": check_onward(form.get("next", ""), frame.root), "email": email}
        with database.reading() as connection:
            kept = find_kept(connection, email=email)
        buckets, seconds = count_try(visit, email, kept)
        if seconds:
            return put_off(visit, seconds, **shown)
        is_known = is_right(kept, form.get("password", "")[:1000])
        if not is_known or kept is None or not takes_password(kept.member, settings.console):
            return show_login(visit, status=403, problem=_WRONG, **shown)
        with database.writing() as connection:
            is_taken = take_code(connection, kept, form.get("code", "")[:100], vault=vault, now=now)
            if is_taken:
                token = let_in(connection, visit, kept, buckets, "")
        if not is_taken:
            return show_login(visit, status=403, problem=_WRONG, **shown)
        return lead_on(visit, kept, token, shown["onward"])

    @app.get("/login/passkey")
    def ask_for_passkey(request: Request) -> Response:
        visit: Visit = request.state.visit
        challenge = make_challenge(press.keyring, "log in", visit.form_token, press.now())
        asked = ask_to_log_in(find_site(visit.origin), challenge)
        answer = Response(asked, media_type="application/json", headers=HEADERS)
        if visit.new_form_cookie:
            visit.keep(answer, "form", visit.new_form_cookie)
        return answer

    @app.post("/login/passkey")
    def log_in_by_passkey(request: Request) -> Response:
        visit: Visit = request.state.visit
        form, now = visit.form, press.now()
        shown = {"onward": check_onward(form.get("next", ""), frame.root), "email": ""}

        def refuse(problem: str) -> Response:
            return show_login(visit, status=403, problem=problem, **shown)

        holder = None
        try:
            said = read_answer(form.get("answer", ""))
            with database.reading() as connection:
                holder = find_holder(connection, said.id)
        except InputError:
            said = None
        kept = holder.kept if holder else None
        buckets, seconds = count_try(visit, kept.member.email if kept else "", kept)
        if seconds:
            return put_off(visit, seconds, **shown)
        if said is None or holder is None or kept is None:
            return refuse("This passkey is not known here.")
        if not takes_password(kept.member, settings.console):
            return refuse(f"Log in with {settings.console.oidc.name}: passkeys are not taken here.")
        try:
            signed = check_signed(
                said,
                public_key=holder.public_key,
                handle=holder.handle,
                site=find_site(visit.origin),
                keyring=press.keyring,
                browser=visit.form_token,
                now=now,
            )
        except InputError as error:
            log.warning("a passkey was refused: %s %r", error, error.__cause__)
            return refuse(write_sentence(error))
        actor = Actor(who=kept.member.name, origin=visit.address)
        with database.writing() as connection:
            taken = take(connection, holder, signed, actor=actor, now=now)
            if taken == "taken":
                detail = f"by passkey {holder.passkey.name}"
                token = let_in(connection, visit, kept, buckets, detail)
        if taken != "taken":
            return refuse(_REFUSED[taken])
        return lead_on(visit, kept, token, shown["onward"])

    @app.get("/passkeys.js")
    def give_script() -> Response:
        return Response(script, media_type="text/javascript; charset=utf-8", headers=HEADERS)

    @app.get("/setup/{token}")
    def ask_to_set_up(request: Request, token: str) -> Response:
        return show_setup(request.state.visit, token, problem="")

    def find_with_link(connection: Connection, token: str) -> Kept | None:
        kept = find_invited(connection, token, press.now())
        return kept if kept and takes_password(kept.member, settings.console) else None

    def show_setup(visit: Visit, token: str, *, problem: str) -> Response:
        with database.reading() as connection:
            kept = find_with_link(connection, token)
        secret = vault.open(kept.second_factor) if kept else None
        if kept is None or secret is None:
            text = "This link was used already, or is too old. Ask for a new one."
            if settings.console.oidc.only:
                text = f"Log in with {settings.console.oidc.name}: passwords are not taken here."
            return frame.show("told.html.j2", visit, status=404, title="No such link", text=text)
        issuer = settings.publication.name
        return frame.show(
            "setup.html.j2",
            visit,
            status=400 if problem else 200,
            problem=problem,
            person=kept.member,
            picture=draw(build_address(secret, issuer=issuer, email=kept.member.email)),
            secret=" ".join(_in_fours(show_secret(secret))),
        )

    @app.post("/setup/{token}")
    def finish_setup(request: Request, token: str) -> Response:
        visit: Visit = request.state.visit
        form, now = visit.form, press.now()
        with database.reading() as connection:
            kept = find_with_link(connection, token)
        secret = vault.open(kept.second_factor) if kept else None
        if kept is None or secret is None:
            return show_setup(visit, token, problem="")
        try:
            hashed = make_password_hash(
                form.get("password", ""), form.get("repeated", ""), kept.member
            )
            step = find_step(secret, form.get("code", "")[:100], now, after=0)
            if step is None:
                raise InputError(
                    "the code is not the one that your app shows now",
                    mend="see that your clock is right, and type the next one",
                )
        except InputError as error:
            return show_setup(visit, token, problem=write_sentence(error))
        actor = Actor(who=kept.member.name, origin=visit.address)
        with database.writing() as connection:
            member, codes = set_up(connection, token, hashed, step, actor=actor, now=now)
            kept = find_kept(connection, member_id=member.id)
            assert kept is not None
            entered = enter(connection, visit, kept, now=now)
        answer = frame.show("codes.html.j2", visit, codes=codes)
        remember(answer, visit, press, kept, entered)
        return answer

    @app.post("/logout")
    def log_out(request: Request) -> Response:
        visit: Visit = request.state.visit
        with database.writing() as connection:
            end_session(connection, visit.cookies["session"])
        answer = frame.lead("/login")
        visit.keep(answer, "session", "")
        return answer


def enter(connection: Connection, visit: Visit, kept: Kept, *, now: datetime) -> str:
    """Open a session in the place of whatever session the browser had."""
    if visit.cookies["session"]:
        end_session(connection, visit.cookies["session"])
    return open_session(connection, kept.member.id, now=now)


def remember(answer: Response, visit: Visit, press: Press, kept: Kept, token: str) -> None:
    """Have the browser keep its session, and that it has logged in."""
    visit.keep(answer, "session", token)
    visit.keep(answer, "known", mark_browser(press.keyring, kept), lasting=True)
    visit.keep(answer, "form", "")


def check_onward(path: str, root: str) -> str:
    """Give where to go after the login if that is a page of the console, else "". Pure."""
    is_ours = path.startswith(f"{root}/") and path.isprintable() and path.isascii()
    return path if is_ours and "\\" not in path and "//" not in path else ""


def _in_fours(text: str) -> list[str]:
    return [text[start : start + 4] for start in range(0, len(text), 4)]


def write_sentence(error: NewsletterError) -> str:
    """Write an error as a page says it. Pure."""
    said = str(error)
    return said[:1].upper() + said[1:]
