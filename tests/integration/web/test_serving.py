"""How pages are served, whatever is on them."""

from __future__ import annotations

import time

from tests.integration.web.stage import Stage

PATIENCE_SECONDS = 0.040
"""How long a machine waits to acknowledge: what is held back for that is never sooner (Linux)."""


def test_no_answer_waits_for_the_one_who_asked_to_acknowledge_its_head(stage: Stage) -> None:
    took = []
    for _ in range(20):  # over one connection, whose beginning is acknowledged at once
        began = time.perf_counter()
        assert stage.web.get("/u/nobody").text
        took.append(time.perf_counter() - began)
    assert min(took[10:]) < PATIENCE_SECONDS, "a loaded machine is slow at times, but not always"
