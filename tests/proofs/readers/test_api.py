"""Whatever is sent to the public pages and the API, nothing of ours fails.

The description that the program gives of itself (OpenAPI) is completed with what forms send and
with links that are good, and schemathesis makes requests of it, such as it describes and such as
it does not. Each is sent over HTTP to the real server. About a hundred by default; 20,000 are the
long form, which says how many of what were answered how:

    NEWSLETTER_TEST_API=all pytest -s tests/proofs/readers/test_api.py
"""

from __future__ import annotations

import os
from collections import Counter
from math import ceil
from typing import Any

import pytest
import requests
from schemathesis import GenerationMode

from newsletter.mail.tokens import Purpose
from newsletter.press import Press
from tests.asking import ask_each, list_operations
from tests.integration.web.stage import Stage
from tests.proofs.readers.links import describe_all
from tests.proofs.readers.test_tokens import sign

CASES = 24_000 if os.environ.get("NEWSLETTER_TEST_API") == "all" else 100
MODES = ((GenerationMode.POSITIVE, 0.8), (GenerationMode.NEGATIVE, 0.2))
FIELDS = (
    *("List-Unsubscribe", "back", "reason", "name", "topic", "lens:Household Impact", "detail"),
    *("minutes", "language", "rhythm", "format", "verdict", "lens", "sentence", "email"),
)
"""What our forms send; they are read by hand, so that the description does not name them."""


def describe(press: Press) -> dict[str, Any]:
    """Give the program's description, completed with what its forms send."""
    described = describe_all(press)
    form = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in FIELDS}
        | {"verdict": {"anyOf": [{"enum": ["useful", "unfair"]}, {"type": "string"}]}},
    }
    kinds = ("application/x-www-form-urlencoded", "multipart/form-data")
    for operations in described["paths"].values():
        for method, operation in operations.items():
            if method == "post" and "requestBody" not in operation:
                operation["requestBody"] = {"content": {kind: {"schema": form} for kind in kinds}}
    return described


def list_good(stage: Stage) -> dict[str, list[str]]:
    """List what leads somewhere, by the name of the part of an address that it is."""
    day = stage.clock.now.date().isoformat()
    tokens = [sign(stage.press, purpose) for purpose in Purpose]
    return {"token": tokens, "day": [day, f"{day}-weekly"], "number": ["1", "2"]}


def test_nothing_that_is_sent_makes_the_server_fail(stage: Stage) -> None:
    operations = list_operations(describe(stage.press))
    assert len(operations) >= 15
    good, many = list_good(stage), [each for each in operations if is_varied(each)]
    base, session = str(stage.web.base_url).rstrip("/"), requests.Session()
    session.trust_env = False
    statuses: Counter[int] = Counter()

    def send(case: Any) -> None:
        number = statuses.total()
        for name, values in good.items() if number % 4 else ():
            if name in (case.path_parameters or {}):
                case.path_parameters[name] = values[number // 4 % len(values)]
        answer = case.call(base_url=base, session=session, timeout=60, allow_redirects=False)
        statuses[answer.status_code] += 1
        assert answer.status_code < 500, case.as_curl_command()

    def count(operation: Any, share: float) -> int:
        return ceil(CASES * share / len(many)) if operation in many else 1

    ask_each(operations, MODES, count, send)
    session.close()
    print(f"\n{len(operations)} operations, {statuses.total():,} requests: {dict(statuses)}")
    assert statuses.total() > CASES / 3
    assert statuses[200], "some were good"


def is_varied(operation: Any) -> bool:
    """Tell whether requests of an operation can differ."""
    declared = operation.definition.raw
    return bool(declared.get("parameters") or declared.get("requestBody"))


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no proxy of the machine stand between."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
