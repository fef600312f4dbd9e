"""Every route, with every kind of key: denied unless the table says otherwise."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

import httpx2
import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from sqlalchemy import select

from newsletter.store.audit import list_entries
from newsletter.store.tables import api_keys
from newsletter.web.api.problems import MEDIA_TYPE
from newsletter.web.api.scopes import NEEDS
from newsletter.web.app import build_app, serving
from newsletter.web.console.keys import SCOPES
from tests.integration.api.stage import Stage

PARTS = {"{brief_id}": "1", "{name}": "2026-11-23", "{order_id}": "1", "{reader_id}": "1"}


def ask(client: httpx2.Client, method: str, path: str) -> httpx2.Response:
    for part, value in PARTS.items():
        path = path.replace(part, value)
    return client.request(method, path.lstrip("/"), json={})


def is_problem(answer: httpx2.Response, status: int) -> bool:
    document = answer.json()
    return (
        answer.status_code == document["status"] == status
        and answer.headers["content-type"] == MEDIA_TYPE
        and document["detail"].endswith(".")
    )


def test_the_table_names_exactly_the_routes_that_there_are(stage: Stage) -> None:
    routes = {
        (method, route.path.removeprefix("/api/v1"))
        for context in iter_route_contexts(build_app(stage.press).routes)
        for route in [context.original_route]
        if isinstance(route, APIRoute) and route.path.startswith("/api/v1/")
        for method in route.methods or ()
    }
    public = {("POST", "/subscriptions"), ("OPTIONS", "/subscriptions"), ("GET", "/docs")}
    assert routes - public == set(NEEDS)


def test_a_route_that_the_table_does_not_name_is_for_nobody(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("newsletter.web.api.gate.NEEDS", {})
    assert is_problem(stage.program().get("briefs"), 403)


def test_every_route_asks_for_a_key_and_for_its_scope(stage: Stage) -> None:
    nobody, stranger = stage.client(), stage.client("nl_" + "x" * 43)
    basic = stage.client(Authorization="Basic bmxfOg==")
    others = {scope: stage.program(*(s for s in SCOPES if s != scope)) for scope in SCOPES}
    right = {scope: stage.program(scope) for scope in SCOPES}
    for (method, path), scope in NEEDS.items():
        for client in (nobody, stranger, basic):
            answer = ask(client, method, path)
            assert is_problem(answer, 401), (method, path)
            assert answer.headers["www-authenticate"] == "Bearer"
        assert is_problem(ask(others[scope], method, path), 403), (method, path)
        answer = ask(right[scope], method, path)
        assert answer.status_code not in (401, 403, 405, 500), (method, path, answer.text)
    stage.end_keys()
    for (method, path), scope in NEEDS.items():
        assert is_problem(ask(right[scope], method, path), 401), (method, path)


def test_a_key_in_the_address_is_none(stage: Stage) -> None:
    key = stage.key()
    assert is_problem(stage.client().get("briefs", params={"key": key, "access_token": key}), 401)


def test_a_key_is_asked_for_before_anything_is_read(stage: Stage) -> None:
    answer = stage.client().post("briefs", content=b"{" * 2_000_000)
    assert is_problem(answer, 401)


def test_what_is_too_large_is_not_read(stage: Stage) -> None:
    assert is_problem(stage.program().post("briefs", content=b" " * 1_100_000), 413)


def test_a_cursor_that_no_text_of_a_database_can_be_is_none(stage: Stage) -> None:
    """PostgreSQL takes no NUL; that is the asker's fault, and not its own."""
    program = stage.program()
    for things in ("suppressions", "audience", "briefs", "editions"):
        assert is_problem(program.get(f"{things}?cursor=%00"), 422)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"title": "\\ud800", "summary": "x"}'])
def test_what_is_no_brief_is_said_in_one_sentence(stage: Stage, body: bytes) -> None:
    answer = stage.program().post(
        "briefs", content=body, headers={"Content-Type": "application/json"}
    )
    assert is_problem(answer, 422), answer.text


def test_an_unknown_path_is_a_problem_too(stage: Stage) -> None:
    assert is_problem(stage.client().get("nothing"), 404)
    assert is_problem(stage.client().delete("briefs"), 405)
    assert is_problem(stage.client().get("/api/v2/briefs"), 404)


def test_a_key_has_a_limit_of_its_own(stage: Stage) -> None:
    settings = stage.press.settings
    few = settings.api.model_copy(update={"per_key": "3/minute"})
    press = replace(stage.press, settings=settings.model_copy(update={"api": few}))
    with serving(press, "127.0.0.1:0") as address:
        stage.address = address
        first, second = stage.program("briefs:read"), stage.program("briefs:read")
        statuses = [first.get("briefs").status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        assert is_problem(first.get("briefs"), 429)
        assert first.get("briefs").headers["retry-after"] == "60"
        assert second.get("briefs").status_code == 200
        stage.clock.now += timedelta(seconds=61)
        assert first.get("briefs").status_code == 200


def test_no_key_is_in_the_log_the_database_or_an_answer(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = stage.key()
    client = stage.client(key)
    answers = [
        client.get("briefs"),
        client.get("nothing"),
        client.post("briefs", json={"title": 1}),
        stage.client(key + "x").get("briefs"),
    ]
    assert not any(key in answer.text for answer in answers)
    assert key not in caplog.text
    with stage.database.reading() as connection:
        rows = connection.execute(select(api_keys)).all()
    assert rows
    assert key not in repr(rows)


def test_the_document_tells_of_every_route_and_the_page_needs_no_script(stage: Stage) -> None:
    document = stage.client().get("openapi.json").json()
    told = {
        (method.upper(), path.removeprefix("/api/v1"))
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert told == {*NEEDS, ("POST", "/subscriptions")}
    answer = stage.client().get("docs")
    assert answer.status_code == 200
    page = answer.text
    assert "<script" not in page
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "https://" not in page
    assert all(path.partition("{")[0] in page for _, path in NEEDS)


def test_the_audit_says_where_a_program_asked_from_behind_ones_own_proxy(stage: Stage) -> None:
    settings = stage.press.settings
    web = settings.web.model_copy(update={"proxies": 1})
    press = replace(stage.press, settings=settings.model_copy(update={"web": web}))
    claimed = {"X-Forwarded-For": "192.0.2.66, 198.51.100.7"}
    stage.client(stage.key(), **claimed).get("audience")
    with serving(press, "127.0.0.1:0") as address:
        stage.address = address
        stage.client(stage.key(), **claimed).get("audience")
    with stage.database.reading() as connection:
        listed = [e for e in list_entries(connection, 10) if e.action == "audience.list"]
    assert [entry.origin for entry in listed] == ["198.51.100.7", "127.0.0.1"]
