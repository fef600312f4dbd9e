"""The team and the keys of programs: who is there, and who may do what. For admins."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from fastapi import FastAPI, Request
from sqlalchemy import Connection
from starlette.responses import Response

from newsletter.press import Press
from newsletter.web.console.gate import Visit
from newsletter.web.console.keys import SCOPES, end_key, list_keys, make_key
from newsletter.web.console.members import (
    SETUP_WITHIN,
    add_member,
    change_role,
    disable_member,
    list_members,
    read_member,
    reset_member,
    write_setup_url,
)
from newsletter.web.console.pages import Frame
from newsletter.web.console.proofs import Vault
from newsletter.web.console.roles import MEANING, ROLES, Role
from newsletter.web.forms import Number


def add_team(app: FastAPI, press: Press, frame: Frame, vault: Vault) -> None:
    """Add the pages of the team."""
    database = press.database

    def show(visit: Visit, *, link: str = "", linked: str = "", key: str = "") -> Response:
        with database.reading() as connection:
            team, keys = list_members(connection), list_keys(connection)
        return frame.show(
            "team.html.j2",
            visit,
            team=team,
            keys=keys,
            roles=[(role, MEANING[role]) for role in ROLES],
            scopes=SCOPES,
            link=link,
            linked=linked,
            within=SETUP_WITHIN.days,
            key=key,
        )

    def change(work: Callable[[Connection], object]) -> Response:
        with database.writing() as connection:
            work(connection)
        return frame.lead("/team")

    @app.get("/team")
    def show_team(request: Request) -> Response:
        return show(request.state.visit)

    @app.post("/team")
    def add(request: Request) -> Response:
        visit: Visit = request.state.visit
        form = visit.form
        with database.writing() as connection:
            member, token = add_member(
                connection,
                form.get("name", ""),
                form.get("email", ""),
                cast("Role", form.get("role", "")),
                vault=vault,
                actor=visit.actor,
                now=press.now(),
            )
        return show(visit, link=write_setup_url(press.settings, token), linked=member.name)

    @app.post("/team/{member_id}/role")
    def give_role(request: Request, member_id: Number) -> Response:
        visit: Visit = request.state.visit
        role = cast("Role", visit.form.get("role", ""))
        return change(
            lambda connection: change_role(
                connection,
                read_member(connection, member_id),
                role,
                actor=visit.actor,
                now=press.now(),
            )
        )

    @app.post("/team/{member_id}/disable")
    def disable(request: Request, member_id: Number) -> Response:
        visit: Visit = request.state.visit
        return change(
            lambda connection: disable_member(
                connection, read_member(connection, member_id), actor=visit.actor, now=press.now()
            )
        )

    @app.post("/team/{member_id}/reset")
    def reset(request: Request, member_id: Number) -> Response:
        visit: Visit = request.state.visit
        with database.writing() as connection:
            member = read_member(connection, member_id)
            token = reset_member(
                connection, member, vault=vault, actor=visit.actor, now=press.now()
            )
        return show(visit, link=write_setup_url(press.settings, token), linked=member.name)

    @app.post("/keys")
    def add_key(request: Request) -> Response:
        visit: Visit = request.state.visit
        scopes = [value for name, value in visit.pairs if name == "scope"]
        name = visit.form.get("name", "")
        with database.writing() as connection:
            key = make_key(connection, name, scopes, actor=visit.actor, now=press.now())
        return show(visit, key=key)

    @app.post("/keys/{key_id}/end")
    def finish_key(request: Request, key_id: Number) -> Response:
        visit: Visit = request.state.visit
        return change(
            lambda connection: end_key(connection, key_id, actor=visit.actor, now=press.now())
        )
