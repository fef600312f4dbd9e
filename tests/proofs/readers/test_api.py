"""Whatever is sent to the public pages and the API, nothing of ours fails.

The description that the program gives of itself (OpenAPI) is completed with what forms send and
with links that are good, and schemathesis makes requests of it, such as it describes and such as
it does not. Each is sent over HTTP to the real server. A few hundred by default; 20,000 are the
long form, which says how many of what were answered how:

    NEWSLETTER_TEST_API=all pytest -s tests/proofs/readers/test_api.py
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest
import requests
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, openapi

from newsletter.mail.tokens import Purpose
from newsletter.web.app import build_app
from tests.integration.web.stage import Stage
from tests.proofs.readers.test_tokens import sign

CASES = 20_000 if os.environ.get("NEWSLETTER_TEST_API") == "all" else 300
FIELDS = (
    *("List-Unsubscribe", "back", "reason", "name", "topic", "lens:Household Impact", "detail"),
    *("minutes", "language", "rhythm", "format", "verdict", "lens", "sentence", "email"),
)
"""What our forms send; they are read by hand, so that the description does not name them."""


def describe(app: FastAPI, stage: Stage) -> dict[str, Any]:
    """Give the program's description, completed: forms, good links, dates and numbers."""
    described = app.openapi()
    day = stage.clock.now.date().isoformat()
    good = {
        "token": [sign(stage.press, purpose) for purpose in Purpose],
        "day": [day, f"{day}-weekly", "2020-01-01"],
        "number": ["1", "2", "3"],
    }
    form = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in FIELDS}
        | {"verdict": {"anyOf": [{"enum": ["useful", "unfair"]}, {"type": "string"}]}},
    }
    kinds = ("application/x-www-form-urlencoded", "multipart/form-data")
    for operations in described["paths"].values():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                if known := good.get(parameter["name"]):
                    some = {"type": "string", "minLength": 1}
                    parameter["schema"] = {"anyOf": [{"enum": known}, some]}
            if method == "post" and "requestBody" not in operation:
                operation["requestBody"] = {"content": {kind: {"schema": form} for kind in kinds}}
    return described


def test_nothing_that_is_sent_makes_the_server_fail(stage: Stage) -> None:
    app = build_app(stage.press)
    found = openapi.from_dict(describe(app, stage)).get_all_operations()
    operations = [result.ok() for result in found]
    assert len(operations) >= 15
    base, session = str(stage.web.base_url).rstrip("/"), requests.Session()
    session.trust_env = False
    statuses: Counter[int] = Counter()
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    each = -(-CASES // (len(operations) * len(modes)))
    for operation in operations:
        for mode in modes:

            @settings(
                max_examples=each,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(operation.as_strategy(generation_mode=mode))
            def send(case: Any) -> None:
                answer = case.call(
                    base_url=base, session=session, timeout=60, allow_redirects=False
                )
                statuses[answer.status_code] += 1
                assert answer.status_code < 500, case.as_curl_command()

            try:
                send()
            except Unsatisfiable:  # nothing of it can be wrong: it has neither names nor fields
                assert mode is GenerationMode.NEGATIVE, operation.label
    session.close()
    print(f"\n{len(operations)} operations, {statuses.total():,} requests: {dict(statuses)}")
    assert statuses.total() > CASES / 3
    assert statuses[200], "some were good"


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no proxy of the machine stand between."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
