"""Signing on by a provider's word: there, back once, and who that is on the team.

GET /sign-on       sends the browser to the provider
GET /sign-on/back  where the provider sends it back to: a session, or one sentence why not

Who is known by the provider's own name for them is that member for ever. Who is not yet is looked
for by the address that the provider has verified; a member whom it knows by another name is never
given to somebody who has their old address. Who is on no list is let in only as
`console.oidc.roles` says.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from fastapi import FastAPI, Request
from sqlalchemy import Connection, delete, insert
from starlette.responses import RedirectResponse, Response

from newsletter.errors import InputError, RefusedError
from newsletter.press import Press
from newsletter.settings.console import Oidc
from newsletter.store.audit import Actor, note
from newsletter.store.tables import sign_ons
from newsletter.web.console.entering import check_onward, enter, remember
from newsletter.web.console.gate import Visit
from newsletter.web.console.members import (
    Member,
    add_known,
    bind_identity,
    change_role,
    find_kept,
    find_known,
    read_member,
)
from newsletter.web.console.pages import HEADERS, Frame
from newsletter.web.console.proofs import Vault, hash_token, make_token
from newsletter.web.console.provider import Person, Provider
from newsletter.web.console.roles import ROLES, Role
from newsletter.web.console.sessions import forget_old

log = logging.getLogger("newsletter.web")

_WITHIN = timedelta(minutes=10)
"""How long somebody may take at the provider."""


def add_sign_on(app: FastAPI, press: Press, frame: Frame, vault: Vault) -> None:
    """Add the way to the provider and back."""
    database, settings = press.database, press.settings
    oidc = settings.console.oidc
    provider = Provider(oidc)

    def find_way_back(request: Request, visit: Visit) -> str:
        own = settings.console.url or settings.publication.url
        base = own if visit.is_https else f"http://{request.headers.get('host', '')}"
        return f"{base.rstrip('/')}{frame.root}/sign-on/back"

    def refuse(visit: Visit, text: str, status: int) -> Response:
        answer = frame.show(
            "told.html.j2", visit, status=status, title="That did not work", text=text
        )
        visit.keep(answer, "flow", "")
        return answer

    @app.get("/sign-on")
    def leave_for_provider(request: Request) -> Response:
        visit: Visit = request.state.visit
        if not oidc.issuer:
            return refuse(visit, "There is no provider to sign on by.", 404)
        now, token = press.now(), make_token()
        address = provider.build_address(token, find_way_back(request, visit), now)
        onward = check_onward(request.query_params.get("next", ""), frame.root)
        with database.writing() as connection:
            connection.execute(delete(sign_ons).where(sign_ons.c.begun_at <= now - _WITHIN))
            connection.execute(
                insert(sign_ons).values(token_hash=hash_token(token), onward=onward, begun_at=now)
            )
        answer = RedirectResponse(address, status_code=303, headers=HEADERS)
        visit.keep(answer, "flow", token)
        return answer

    @app.get("/sign-on/back")
    def come_back(request: Request) -> Response:
        visit: Visit = request.state.visit
        if not oidc.issuer:
            return refuse(visit, "There is no provider to sign on by.", 404)
        now, token = press.now(), visit.cookies["flow"]
        try:
            onward = take(token, now)
            given = dict(request.query_params)
            person = provider.read_answer(token, given, find_way_back(request, visit), now)
            with database.writing() as connection:
                actor = Actor(who=f"{oidc.issuer}", origin=visit.address)
                member = admit(connection, person, oidc, vault=vault, actor=actor, now=now)
                kept = find_kept(connection, member_id=member.id)
                assert kept is not None
                session = enter(connection, visit, kept, now=now)
                forget_old(connection, settings.console, now)
                actor = Actor(who=member.name, origin=visit.address)
                note(
                    connection,
                    actor,
                    "login",
                    f"member {member.id}",
                    now=now,
                    detail=f"by {oidc.issuer}",
                )
        except (InputError, RefusedError) as error:
            log.warning("a sign-on was refused: %s", error)
            said = str(error)
            return refuse(visit, f"{said[:1].upper()}{said[1:]}", 400)
        answer = frame.lead(onward.removeprefix(frame.root) or "/")
        remember(answer, visit, press, kept, session)
        visit.keep(answer, "flow", "")
        return answer

    def take(token: str, now: datetime) -> str:
        """Use up a sign-on that was begun; give where it was to lead."""
        with database.writing() as connection:
            row = connection.execute(
                delete(sign_ons)
                .where(sign_ons.c.token_hash == hash_token(token))
                .returning(sign_ons.c.onward, sign_ons.c.begun_at)
            ).one_or_none()
        if not token or row is None or row.begun_at <= now - _WITHIN:
            raise InputError("this sign-on was used already, or is too old", mend="begin it again")
        return str(row.onward)


def choose_role(person: Person, oidc: Oidc) -> Role | None:
    """Choose the highest role that a claim gives; None for none. Pure."""
    values = person.list_values(oidc.claim)
    given: list[Role] = [role for value, role in oidc.roles if value in values]
    return max(given, key=ROLES.index, default=None)


def admit(
    connection: Connection,
    person: Person,
    oidc: Oidc,
    *,
    vault: Vault,
    actor: Actor,
    now: datetime,
) -> Member:
    """Say which member a person is, added or given another role where the claim says so.

    Raises `RefusedError` for who is nobody here.
    """
    role = choose_role(person, oidc)
    found = find_known(connection, person.identity)
    if found is None:
        kept = find_kept(connection, email=person.email)
        if kept is None:
            if role is None:
                raise _refuse()
            return add_known(
                connection, person.email, person.identity, role, vault=vault, actor=actor, now=now
            )
        found = kept.member
        if not found.disabled_at:
            bind_identity(connection, found, person.identity, actor=actor, now=now)
    if found.disabled_at or (found.is_mapped and role is None):
        raise _refuse()
    if found.is_mapped and role is not None:
        change_role(connection, found, role, actor=actor, now=now)
    return read_member(connection, found.id)


def _refuse() -> RefusedError:
    return RefusedError(
        "the provider vouches for you, but you are not on the team", mend="an admin can add you"
    )
