"""Every route × role × way of asking: refused unless the table says otherwise."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from dataclasses import replace

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import update

from newsletter.store.tables import editions
from newsletter.web.app import build_app
from newsletter.web.console.roles import NEEDS, ROLES, may
from newsletter.web.console.sessions import build_form_token
from tests.integration.console.stage import Stage

EVERY_ROLE = os.environ.get("NEWSLETTER_TEST_MATRIX") == "all"
"""Whether forged forms are tried with every role, and every method; else with the one that may
everything, and some."""
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
SOME_METHODS = ("GET", "POST", "DELETE")
BEFORE_LOGIN = ("/login", "/login/passkey", "/setup/{token}")


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Give the method and the path of every route that the application has."""
    for route in app.routes:
        assert isinstance(route, APIRoute), f"{route} is not looked at by the gate"
        for method in route.methods or ():
            yield method, route.path


def fill(path: str) -> str:
    """Give an address of a route: of things that are there, or of nothing at all."""
    return "/console" + re.sub(r"\{\w+\}", "1", path)


def is_denied(answer: httpx2.Response) -> bool:
    to_login = answer.status_code == 303 and "/console/login?" in answer.headers["location"]
    return to_login or answer.status_code in (401, 403, 405)


def test_the_table_names_exactly_the_routes_there_are(stage: Stage) -> None:
    assert set(routes(stage.app)) == set(NEEDS)


def test_every_route_for_every_role_and_way_of_asking(stage: Stage) -> None:
    stage.invite("spare", "viewer")  # member 1, who is disabled and reset on the way
    for each in ROLES:
        stage.invite(f"{each} one", each)
    with stage.database.writing() as connection:  # to gather is then to look
        connection.execute(update(editions).values(state="sent"))
    wrong: list[tuple[object, ...]] = []
    asked = 0
    with httpx2.Client(base_url=stage.address, trust_env=False, timeout=60) as web:

        def ask(method: str, path: str, token: str, **changed: str | None) -> httpx2.Response:
            nonlocal asked
            asked += 1
            web.cookies.clear()
            cookie = f"newsletter-session={token}" if token else ""
            form = {"form_token": build_form_token(token)} | {
                k: v for k, v in changed.items() if k == "form_token" and v is not None
            }
            headers = {"Origin": changed.get("origin", stage.address), "Cookie": cookie}
            sent = {k: v for k, v in headers.items() if v}
            data = form if method not in ("GET", "HEAD", "OPTIONS") else None
            return web.request(method, path, data=data, headers=sent)

        for (method, path), need in NEEDS.items():
            address = fill(path)
            for role in (None, *ROLES):
                token = stage.give_session(f"{role} one") if role else ""
                allowed = need == "anyone" or (role is not None and may(role, need))
                if method == "POST" and path in BEFORE_LOGIN:
                    continue  # looked at below: their forms belong to a cookie of their own
                answer = ask(method, address, token)
                if is_denied(answer) == allowed or answer.status_code >= 500:
                    wrong.append((method, path, role, answer.status_code))
                if method == "GET" or not (role == "admin" or (role and EVERY_ROLE)):
                    continue
                changes: tuple[dict[str, str | None], ...] = (
                    {"origin": "https://evil.example"},
                    {"origin": "null"},
                    {"origin": None},
                    {"form_token": ""},
                    {"form_token": build_form_token("another")},
                )
                for changed in changes:
                    token = stage.give_session(f"{role} one")
                    answer = ask(method, address, token, **changed)
                    if answer.status_code != 403:
                        wrong.append((method, path, role, changed, answer.status_code))
            others = set(METHODS if EVERY_ROLE else SOME_METHODS)
            others -= {m for m, p in NEEDS if p == path}
            for other in others:
                token = stage.give_session("admin one")
                answer = ask(other, address, token)
                if answer.status_code != 405:
                    wrong.append((other, path, "wrong method", answer.status_code))
    assert not wrong
    assert asked > 8 * len(NEEDS)


@pytest.mark.parametrize("path", [fill(path) for path in BEFORE_LOGIN])
def test_a_form_before_the_login_is_of_our_page_and_this_browser(stage: Stage, path: str) -> None:
    stage.invite("Ada", "admin")
    person = stage.person()
    own = str(person.web.base_url).rstrip("/")
    for origin, carried in (
        (own, ""),
        (own, "0" * 64),
        ("https://evil.example", person.token("/console/login")),
        ("null", person.token("/console/login")),
    ):
        answer = person.web.post(path, data={"form_token": carried}, headers={"Origin": origin})
        assert answer.status_code == 403, (origin, carried)
        assert "Address, password or code" not in answer.text
        assert "This passkey" not in answer.text
    stranger = stage.person()
    carried = person.token("/console/login")
    stranger.get("/console/login")
    stranger.post(path, form_token=carried)
    assert stranger.answer is not None
    assert stranger.answer.status_code == 403


def test_a_route_that_is_not_in_the_table_is_refused_to_everybody(stage: Stage) -> None:
    """Whoever adds a page and forgets the table has a page that nobody sees."""
    app = build_app(stage.press)
    mount = next(route for route in app.routes if getattr(route, "path", "") == "/console")
    console: FastAPI = mount.app  # type: ignore[attr-defined]

    @console.get("/forgotten")
    def forgotten() -> str:
        return "secret"

    stage.invite("Ada", "admin")
    cookie = {"Cookie": f"newsletter-session={stage.give_session('Ada')}"}
    answer = ask(app, cookie, "/console/forgotten")
    assert answer.status_code == 403
    assert "secret" not in answer.text


def test_there_is_no_console_without_a_team(stage: Stage) -> None:
    person = stage.person()
    assert person.get("/console/login").status_code == 404
    assert person.get("/console/style.css").status_code == 404
    stage.invite("Ada", "admin")
    assert person.get("/console/login").status_code == 200


def behind(stage: Stage, proxies: int) -> FastAPI:
    """Build what is served behind so many proxies."""
    settings = stage.press.settings
    web = settings.web.model_copy(update={"proxies": proxies})
    return build_app(replace(stage.press, settings=settings.model_copy(update={"web": web})))


def ask(app: FastAPI, headers: dict[str, str], path: str = "/console/login") -> httpx2.Response:
    """Ask from this machine, as a proxy on it does."""

    async def look() -> httpx2.Response:
        transport = httpx2.ASGITransport(app, client=("127.0.0.1", 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as web:
            return await web.get(path, headers=headers)

    return asyncio.run(look())


@pytest.mark.parametrize(
    ("host", "forwarded", "is_served"),
    [
        ("127.0.0.1:8000", {}, True),
        ("localhost:8000", {}, True),
        ("news.example", {"X-Forwarded-Proto": "https"}, True),
        ("news.example", {}, False),  # in the clear
        ("evil.example", {}, False),  # a name that somebody pointed at this machine
        ("evil.example", {"X-Forwarded-Proto": "https"}, False),
        ("127.0.0.1:8000", {"X-Forwarded-For": "203.0.113.9"}, False),
    ],
)
def test_only_over_https_at_our_own_name_or_on_this_machine(
    stage: Stage, host: str, forwarded: dict[str, str], is_served: bool
) -> None:
    stage.invite("Ada", "admin")
    headers = {"Host": host, **forwarded}
    assert ask(behind(stage, 1), headers).status_code == (200 if is_served else 421)
    if forwarded:
        assert ask(behind(stage, 0), headers).status_code == 421, "nobody's word is taken"


def test_what_every_answer_tells_the_browser(stage: Stage) -> None:
    stage.invite("Ada", "admin")
    https = {"Host": "news.example", "X-Forwarded-Proto": "https"}
    proxied = behind(stage, 1)
    for path in ("/login", "/team", "/nowhere", "/style.css"):
        answer = ask(proxied, https, "/console" + path)
        policy = answer.headers["content-security-policy"]
        assert "'unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
    (cookie,) = ask(proxied, https).headers.get_list("set-cookie")
    name, _, rest = cookie.partition("=")
    assert name == "__Host-newsletter-form"
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= set(rest.split("; "))
    assert "Domain" not in rest
