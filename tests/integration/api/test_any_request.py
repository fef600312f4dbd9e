"""Whatever a program with a key sends, nothing of ours fails.

schemathesis makes requests of the document that the program gives of itself, such as it describes
and such as it does not; each goes over HTTP, with a key that may do everything, while what is
asked to be sent is carried out. 200 by default; the long form says how many were answered how:

    NEWSLETTER_TEST_API=all pytest -s tests/integration/api/test_any_request.py
"""

from __future__ import annotations

import os
from collections import Counter
from datetime import timedelta
from math import ceil
from typing import Any

import pytest
import requests
from schemathesis import GenerationMode

from newsletter.briefs.document import brief_schema
from newsletter.press.webhooks import Teller
from newsletter.web.api.scopes import NEEDS
from tests.asking import ask_each, list_operations
from tests.integration.api.stage import Stage

CASES = 23_000 if os.environ.get("NEWSLETTER_TEST_API") == "all" else 200
MODES = ((GenerationMode.POSITIVE, 0.7), (GenerationMode.NEGATIVE, 0.3))
GAP = timedelta(seconds=0.15)
"""Of the clock, between two requests: less than the limit of a key."""
CARRIED_OUT_EVERY = 100


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def describe(stage: Stage) -> dict[str, Any]:
    """Give the document, with the schema of briefs in it, and without what needs no key."""
    document: dict[str, Any] = stage.client().get("openapi.json").json()
    briefs = {key: value for key, value in brief_schema().items() if key not in ("$id", "$schema")}
    document["paths"].pop("/api/v1/subscriptions")
    for operation in (each for path in document["paths"].values() for each in path.values()):
        operation.pop("security")  # else keys are made up
    for method, path in (("post", "/api/v1/briefs"), ("put", "/api/v1/briefs/{brief_id}")):
        body = document["paths"][path][method]["requestBody"]
        body["content"]["application/json"]["schema"] = briefs
    return document


def test_nothing_that_a_program_sends_makes_the_server_fail(stage: Stage) -> None:
    operations = list_operations(describe(stage))
    assert len(operations) == len(NEEDS)
    session = requests.Session()
    session.trust_env = False
    key = {"Authorization": f"Bearer {stage.key()}"}
    today = stage.press.today().isoformat()
    good: dict[str, list[Any]] = {
        "name": [today, f"{today}-weekly"],
        "reader_id": [1, 2, 3],
        "brief_id": [1, 2, 3],
    }
    tags: dict[str, str] = {}
    statuses: Counter[int] = Counter()
    teller = Teller(stage.press)

    def send(case: Any) -> None:
        number = statuses.total()
        stage.clock.now += GAP
        for name, values in good.items() if number % 4 else ():
            if name in (case.path_parameters or {}):
                case.path_parameters[name] = values[number % len(values)]
        if number % 2 and case.formatted_path in tags:
            case.headers["If-Match"] = tags[case.formatted_path]
        answer = case.call(base_url=stage.address, session=session, headers=key, timeout=120)
        statuses[answer.status_code] += 1
        assert answer.status_code < 500, f"{answer.text} {case.as_curl_command()}"
        if answer.status_code >= 400:
            problem = answer.json()
            assert problem["status"] == answer.status_code
            assert problem["detail"], case.as_curl_command()
        if tag := answer.headers.get("etag"):
            tags[case.formatted_path] = str(tag[0] if isinstance(tag, list) else tag)
        if number % CARRIED_OUT_EVERY == 0:
            stage.carry_out()
            teller.tell_due()

    def count(_operation: Any, share: float) -> int:
        return ceil(CASES * share / len(operations))

    ask_each(operations, MODES, count, send)
    session.close()
    print(f"\n{len(operations)} operations, {statuses.total():,} requests: {dict(statuses)}")
    assert statuses.total() > CASES / 2
    assert not statuses[401] + statuses[403]
    assert statuses[200], "some were good"
