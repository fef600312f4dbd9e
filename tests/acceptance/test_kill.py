"""kill -9 at random moments, the same command again: nobody twice, nobody forgotten.

NEWSLETTER_TEST_KILLS and NEWSLETTER_TEST_READERS make it a long proof:

    NEWSLETTER_TEST_KILLS=100 NEWSLETTER_TEST_READERS=20000 pytest tests/acceptance/test_kill.py
"""

from __future__ import annotations

import os
import random
from pathlib import Path

from tests.acceptance.project import Project
from tests.acceptance.sink import Sink

KILLS = int(os.environ.get("NEWSLETTER_TEST_KILLS", "10"))
READERS = int(os.environ.get("NEWSLETTER_TEST_READERS", "5000"))
CONNECTIONS = 10


def test_a_killed_send_is_resumed_and_nobody_gets_two(tmp_path: Path) -> None:
    moments = random.Random(20261123)
    with Sink(tmp_path) as sink:
        project = Project(tmp_path / "publication", relay=sink.url, connections=CONNECTIONS)
        project.write_brief()
        project.import_readers(READERS)
        # Any moment of what is left, each kill leaving work for those after it.
        for kill in range(KILLS):
            done = sum(sink.accepted.values())
            goal = done + moments.randrange(1, max(2, (READERS - done) // (KILLS - kill)))
            with project.running("send", "--yes"):
                assert sink.wait_for(goal, seconds=60), goal
            counts = project.counts()
            assert sum(counts.values()) == READERS
            assert counts["sending"] <= CONNECTIONS

        last = project.run("send", "--yes")
        assert last.code == 0, last.err
        accepted = sink.accepted

    status = project.run("status", "--json").document["editions"][0]
    doubtful = {doubt["email"] for doubt in status["doubts"]}
    assert status["state"] == "sent"
    assert sum(status["counts"].values()) == READERS
    assert status["counts"]["accepted"] + status["counts"]["in_doubt"] == READERS
    assert len(doubtful) == status["counts"]["in_doubt"] <= KILLS * CONNECTIONS
    assert max(accepted.values()) == 1
    everyone = {f"reader{n}@example.org" for n in range(1, READERS + 1)}
    assert everyone - accepted.keys() <= doubtful, "lost and not listed"
    assert len(everyone - doubtful) == status["counts"]["accepted"]
    assert everyone - doubtful <= accepted.keys(), "recorded as accepted, but never accepted"
