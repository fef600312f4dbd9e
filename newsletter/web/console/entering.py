"""Logging in and out, setting up with a link, and what somebody looks after for themselves.

GET  /login           asks for address, password and code
POST /login           the same answer, after the same work, whatever of them is wrong
GET  /setup/TOKEN     shows the picture for an app and asks for a password; changes nothing
POST /setup/TOKEN     keeps both, shows the recovery codes once, and logs in
POST /logout
GET  /you             password and recovery codes
"""

from __future__ import annotations

import math
from datetime import datetime

from fastapi import FastAPI, Request
from sqlalchemy import Connection
from starlette.responses import Response

from newsletter.errors import InputError, NewsletterError
from newsletter.press import Press
from newsletter.store.audit import Actor, note
from newsletter.web.console.delays import charge, choose_buckets, forgive
from newsletter.web.console.gate import Visit
from newsletter.web.console.members import (
    Kept,
    change_password,
    count_recovery_codes,
    find_invited,
    find_kept,
    is_right,
    make_password_hash,
    renew_codes,
    set_up,
    take_code,
    takes_password,
)
from newsletter.web.console.pages import Frame
from newsletter.web.console.proofs import Vault, build_address, draw, find_step, show_secret
from newsletter.web.console.sessions import (
    end_session,
    forget_old,
    mark_browser,
    open_session,
    read_mark,
)
from newsletter.web.visitor import find_network

_WRONG = "Address, password or code is wrong, or the code was used before."


def add_entrance(app: FastAPI, press: Press, frame: Frame, vault: Vault) -> None:
    """Add the pages of entering."""
    database, settings = press.database, press.settings

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
        return frame.show(
            "login.html.j2", visit, status=status, provider=provider, only=oidc.only, **shown
        )

    @app.post("/login")
    def log_in(request: Request) -> Response:
        visit: Visit = request.state.visit
        form, now = visit.form, press.now()
        email = form.get("email", "").strip()[:320]
        onward = check_onward(form.get("next", ""), frame.root)

        def refuse(problem: str, status: int) -> Response:
            return show_login(visit, status=status, onward=onward, problem=problem, email=email)

        with database.reading() as connection:
            kept = find_kept(connection, email=email)
        mark = read_mark(press.keyring, kept, visit.cookies["known"])
        bits = {"v4": settings.signup.network_v4, "v6": settings.signup.network_v6}
        buckets = choose_buckets(email.lower(), find_network(visit.address, **bits), mark)
        with database.writing() as connection:
            wait = charge(connection, buckets, now)
        if wait:
            seconds = math.ceil(wait.total_seconds())
            answer = refuse(f"Too many tries; the next one is read in {seconds:,} seconds.", 429)
            answer.headers["Retry-After"] = str(seconds)
            return answer
        is_known = is_right(kept, form.get("password", "")[:1000])
        if not is_known or kept is None or not takes_password(kept.member, settings.console):
            return refuse(_WRONG, 403)
        with database.writing() as connection:
            is_taken = take_code(connection, kept, form.get("code", "")[:100], vault=vault, now=now)
            if is_taken:
                token = enter(connection, visit, kept, now=now)
                forgive(connection, buckets)
                forget_old(connection, settings.console, now)
                actor = Actor(who=kept.member.name, origin=visit.address)
                note(connection, actor, "login", f"member {kept.member.id}", now=now)
        if not is_taken:
            return refuse(_WRONG, 403)
        answer = frame.lead(onward.removeprefix(frame.root) or "/")
        remember(answer, visit, press, kept, token)
        return answer

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
            return show_setup(visit, token, problem=_sentence(error))
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

    @app.get("/you")
    def show_self(request: Request) -> Response:
        return show_you(request.state.visit)

    def show_you(visit: Visit, *, problem: str = "", done: str = "", status: int = 200) -> Response:
        with database.reading() as connection:
            left = count_recovery_codes(connection, visit.member.id)
        return frame.show(
            "you.html.j2", visit, status=status, codes_left=left, problem=problem, done=done
        )

    def prove(visit: Visit) -> Kept | None:
        """Ask for the password once more; guesses are counted as those at the login are."""
        now = press.now()
        with database.writing() as connection:
            kept = find_kept(connection, member_id=visit.member.id)
            mark = f"session of {visit.member.id}"
            wait = charge(connection, choose_buckets("", "", mark), now)
        if wait or not is_right(kept, visit.form.get("current", "")[:1000]):
            return None
        with database.writing() as connection:
            forgive(connection, choose_buckets("", "", mark))
        return kept

    @app.post("/you/password")
    def keep_password(request: Request) -> Response:
        visit: Visit = request.state.visit
        form, now = visit.form, press.now()
        if prove(visit) is None:
            return show_you(visit, problem="That is not your password now.", status=400)
        try:
            hashed = make_password_hash(
                form.get("password", ""), form.get("repeated", ""), visit.member
            )
        except InputError as error:
            return show_you(visit, problem=_sentence(error), status=400)
        with database.writing() as connection:
            change_password(connection, visit.member, hashed, actor=visit.actor, now=now)
            kept = find_kept(connection, member_id=visit.member.id)
            assert kept is not None
            token = open_session(connection, visit.member.id, now=now)
        answer = frame.lead("/you")
        remember(answer, visit, press, kept, token)
        return answer

    @app.post("/you/codes")
    def make_codes(request: Request) -> Response:
        visit: Visit = request.state.visit
        if prove(visit) is None:
            return show_you(visit, problem="That is not your password now.", status=400)
        with database.writing() as connection:
            codes = renew_codes(connection, visit.member, actor=visit.actor, now=press.now())
        return frame.show("codes.html.j2", visit, codes=codes)


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


def _sentence(error: NewsletterError) -> str:
    said = str(error)
    return said[:1].upper() + said[1:]
