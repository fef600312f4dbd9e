"""Whatever somebody with a session sends to the console, nothing of ours fails.

schemathesis makes requests of every page and form of the console, such as they are meant and such
as they are not, and each is sent over HTTP with the session of an admin, the token of its forms
and the right origin: so it comes through the gate, and to what is behind it. Some of what it sends
is what the pages would send at that moment. About 150 by default; the long form says how many were
answered how:

    NEWSLETTER_TEST_API=all pytest -s tests/proofs/test_console_requests.py
"""

from __future__ import annotations

import os
from collections import Counter
from math import ceil
from typing import Any

import pytest
import requests
from fastapi.openapi.utils import get_openapi
from schemathesis import GenerationMode
from sqlalchemy import update

from newsletter.editions.shelf import find_edition
from newsletter.editions.verdicts import read_edition_hash
from newsletter.store.tables import members
from newsletter.web.console.roles import ROLES
from newsletter.web.console.sessions import build_form_token
from tests.asking import ask_each, list_operations
from tests.integration.console.conftest import gathered, quick_hashes, stage  # noqa: F401
from tests.integration.console.stage import PASSWORD, Stage

LONG = os.environ.get("NEWSLETTER_TEST_API") == "all"
CASES = 24_000 if LONG else 100
MODES = ((GenerationMode.POSITIVE, 0.8), (GenerationMode.NEGATIVE, 0.2))
UNASKED = {
    "/editions/{name}/events": "a stream that lasts as long as the send",
    "/editions/{name}/check": "a browser of its own for each",
}
"""What is looked at elsewhere, and why not here."""
LAST = ("/editions/{name}/cancel", "/editions/{name}/confirm", "/editions/{name}/send")
"""What leaves nothing to be done with the edition."""
CHOICES: dict[str, list[str]] = {
    "verdict": ["approved", "rejected", "accepted", "retry"],
    "sure": ["yes"],
    "role": list(ROLES),
    "rule": ["merge", "split"],
    "move": ["up", "down", "top", "free", "drop", "back"],
    "scope": ["briefs:read", "send"],
    "password": [PASSWORD],
    "current": [PASSWORD],
    "email": ["ada@news.example"],
    "reader": ["1", "2"],
    "other": ["1", "2", "3"],
    "at": ["2026-11-26T12:00", "2100-01-01T00:00"],
}
TEXTS: tuple[str, ...] = ("name", "note", "title", "summary", "why_it_matters", "changes", "base")
TEXTS += ("repeated", "code", "next", "ask", "audience", "label-0", "text-0", "including_dead")
TEXTS += ("override", "answer", "passkey")
SEARCHED = ("/readers", "/audit", "/editions/{name}/preview", "/editions/{name}/copy")


def describe(stage: Stage, seen: str) -> dict[str, Any]:  # noqa: F811
    """Give a description of the console, with the fields of all its forms in each."""
    document = get_openapi(title="console", version="1", routes=stage.app.routes)
    text = {"type": "string"}
    fields: dict[str, Any] = {
        name: {"anyOf": [{"enum": good}, text]}
        for name, good in {**CHOICES, "seen": [seen]}.items()
    }
    form = {"type": "object", "properties": {**dict.fromkeys(TEXTS, text), **fields}}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method == "post":
                content = {"application/x-www-form-urlencoded": {"schema": form}}
                operation["requestBody"] = {"content": content}
            elif path in (
                "/readers",
                "/audit",
                "/editions/{name}/preview",
                "/editions/{name}/copy",
            ):
                operation.setdefault("parameters", []).extend(
                    {"name": name, "in": "query", "schema": text}
                    for name in ("q", "before", "target", "verify", "reader", "form", "scheme")
                )
    return {**document, "paths": {k: v for k, v in document["paths"].items() if k not in UNASKED}}


def is_form(operation: Any) -> bool:
    """Tell whether an operation takes what a form sends; to gather takes nothing, and long."""
    return bool(operation.method.upper() == "POST" and operation.path != "/gather")


def test_nothing_that_somebody_with_a_session_sends_makes_the_console_fail(
    stage: Stage,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    stage.enter("Ada", "admin")
    for name in ("Berta", "Carl"):
        stage.invite(name, "viewer")
    day = stage.press.today()
    with stage.database.reading() as connection:
        record = find_edition(connection, day)
        assert record
        seen = read_edition_hash(connection, record.id) or ""
    operations = list_operations(describe(stage, seen))
    operations.sort(key=lambda each: each.path in LAST)
    varied = [each for each in operations if "{" in each.path or is_form(each)]
    good: dict[str, list[Any]] = {
        "name": [day.isoformat(), f"{day}-weekly"],
        "brief_id": [1, 2, 3],
        "reader_id": [1, 2, 3],
        "member_id": [2, 3],
    }
    session, statuses = requests.Session(), Counter[int]()
    session.trust_env = False
    token = ""

    def enter() -> None:
        """Have Ada logged in, whatever she did to herself."""
        nonlocal token
        with stage.database.writing() as connection:
            mended = {"role": "admin", "disabled_at": None}
            connection.execute(update(members).where(members.c.name == "Ada").values(mended))
        token = stage.give_session("Ada")
        session.headers.update({"Cookie": f"newsletter-session={token}", "Origin": stage.address})

    enter()

    def send(case: Any) -> None:
        number = statuses.total()
        for name, values in good.items() if number % 4 else ():
            if name in (case.path_parameters or {}):
                case.path_parameters[name] = values[number % len(values)]
        if isinstance(case.body, dict):
            case.body["form_token"] = build_form_token(token)
        answer = case.call(
            base_url=f"{stage.address}/console",
            session=session,
            timeout=120,
            allow_redirects=False,
        )
        statuses[answer.status_code] += 1
        assert answer.status_code < 500, f"{answer.text} {case.as_curl_command()}"
        location = str(answer.headers.get("location", [""])[0])
        if answer.status_code == 401 or "/console/login" in location:
            enter()

    def count(operation: Any, share: float) -> int:
        return ceil(CASES * share / len(varied)) if operation in varied else 1

    ask_each(operations, MODES if LONG else MODES[:1], count, send)
    session.close()
    print(f"\n{len(operations)} operations, {statuses.total():,} requests: {dict(statuses)}")
    assert statuses.total() > CASES / 2
    assert statuses[200] > CASES / 10, "some were good"
    assert statuses[303] > CASES / 100, "some forms did what they are for"
