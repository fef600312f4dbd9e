"""What somebody looks after for themselves: password, recovery codes and passkeys.

GET  /you                  all of it
POST /you/password         a new one; every other browser is logged out
POST /you/codes            new recovery codes, shown once
POST /you/passkeys         asks the browser to make a passkey
POST /you/passkeys/keep    keeps what it made
POST /you/passkeys/remove  takes one away; every other browser is logged out

Each change asks for the password once more; to keep a passkey it is asked for before one is made,
and the challenge that was given out then is the proof of it.
"""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from starlette.responses import Response

from newsletter.errors import InputError, RefusedError
from newsletter.press import Press
from newsletter.render.context import clean_line
from newsletter.web.console.challenges import (
    Site,
    ask_to_make,
    check_made,
    find_site,
    make_challenge,
)
from newsletter.web.console.delays import charge, choose_buckets, forgive
from newsletter.web.console.entering import remember, write_sentence
from newsletter.web.console.gate import Visit
from newsletter.web.console.members import (
    Kept,
    change_password,
    count_recovery_codes,
    find_kept,
    is_right,
    make_password_hash,
    renew_codes,
    takes_password,
)
from newsletter.web.console.pages import Frame
from newsletter.web.console.passkeys import (
    add_passkey,
    check_name,
    give_handle,
    list_ids,
    list_passkeys,
    remove_passkeys,
)
from newsletter.web.console.sessions import open_session
from newsletter.web.forms import read_number

log = logging.getLogger("newsletter.web")

_WRONG = "That is not your password now."


def add_yourself(app: FastAPI, press: Press, frame: Frame) -> None:
    """Add the page of whoever is logged in."""
    database, settings = press.database, press.settings

    @app.get("/you")
    def show_self(request: Request) -> Response:
        return show_you(request.state.visit)

    def show_you(visit: Visit, *, problem: str = "") -> Response:
        site = find_site(visit.origin)
        takes = visit.member.has_password and takes_password(visit.member, settings.console)
        with database.reading() as connection:
            left = count_recovery_codes(connection, visit.member.id)
            found = list_passkeys(connection, visit.member.id)
        return frame.show(
            "you.html.j2",
            visit,
            status=400 if problem else 200,
            codes_left=left,
            passkeys=found,
            takes_passkeys=takes,
            site=site,
            problem=problem,
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
            return show_you(visit, problem=_WRONG)
        try:
            hashed = make_password_hash(
                form.get("password", ""), form.get("repeated", ""), visit.member
            )
        except InputError as error:
            return show_you(visit, problem=write_sentence(error))
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
            return show_you(visit, problem=_WRONG)
        with database.writing() as connection:
            codes = renew_codes(connection, visit.member, actor=visit.actor, now=press.now())
        return frame.show("codes.html.j2", visit, codes=codes)

    def check_passkeys_taken(visit: Visit) -> Site:
        """Give where a passkey is made; raises `RefusedError` where none is taken."""
        site = find_site(visit.origin)
        if site.fault:
            raise RefusedError(site.fault)
        if not takes_password(visit.member, settings.console):
            raise RefusedError(
                "passkeys are not taken here", mend=f"log in with {settings.console.oidc.name}"
            )
        return site

    @app.post("/you/passkeys")
    def ask_for_passkey(request: Request) -> Response:
        visit: Visit = request.state.visit
        try:
            site = check_passkeys_taken(visit)
            name = check_name(visit.form.get("name", ""))
        except (InputError, RefusedError) as error:
            return show_you(visit, problem=write_sentence(error))
        if prove(visit) is None:
            return show_you(visit, problem=_WRONG)
        with database.writing() as connection:
            handle = give_handle(connection, visit.member)
            known = list_ids(connection, visit.member.id, site.name)
        options = ask_to_make(
            site,
            make_challenge(press.keyring, "add", visit.form_token, press.now()),
            publication=clean_line(settings.publication.name),
            name=visit.member.name,
            email=visit.member.email,
            handle=handle,
            known=known,
        )
        return frame.show("passkey.html.j2", visit, name=name, site=site, options=options)

    @app.post("/you/passkeys/keep")
    def keep_passkey(request: Request) -> Response:
        visit: Visit = request.state.visit
        form, now = visit.form, press.now()
        try:
            site = check_passkeys_taken(visit)
            made = check_made(
                form.get("answer", ""),
                site=site,
                keyring=press.keyring,
                browser=visit.form_token,
                now=now,
            )
            with database.writing() as connection:
                add_passkey(
                    connection,
                    visit.member,
                    form.get("name", ""),
                    made,
                    site=site.name,
                    actor=visit.actor,
                    now=now,
                )
        except (InputError, RefusedError) as error:
            log.warning("a new passkey was refused: %s %r", error, error.__cause__)
            return show_you(visit, problem=write_sentence(error))
        return frame.lead("/you")

    @app.post("/you/passkeys/remove")
    def remove_passkey(request: Request) -> Response:
        visit: Visit = request.state.visit
        asked = visit.form.get("passkey", "")
        kept = prove(visit)
        if kept is None:
            return show_you(visit, problem=_WRONG)
        with database.writing() as connection:
            removed = remove_passkeys(
                connection,
                visit.member,
                only=read_number(asked),
                actor=visit.actor,
                now=press.now(),
            )
            if removed:
                token = open_session(connection, visit.member.id, now=press.now())
        if not removed:
            return show_you(visit, problem="You have no such passkey; it may be gone already.")
        answer = frame.lead("/you")
        remember(answer, visit, press, kept, token)
        return answer
