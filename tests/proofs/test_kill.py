"""kill -9 at random moments, and the send again: nobody twice, nobody forgotten (G1 to G5).

NEWSLETTER_TEST_KILLS (of each of the six: 1, 20 and 50 connections on SQLite and PostgreSQL)
and NEWSLETTER_TEST_READERS make it the long proof; -s shows what came of it:

    NEWSLETTER_TEST_KILLS=300 NEWSLETTER_TEST_READERS=20000 pytest -s tests/proofs/test_kill.py
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from newsletter.delivery.lifecycle import State
from tests.acceptance.project import Project
from tests.proofs.sink import Sink
from tests.proofs.stage import Stage

KILLS = int(os.environ.get("NEWSLETTER_TEST_KILLS", "2"))
READERS = int(os.environ.get("NEWSLETTER_TEST_READERS", "400"))


def send_and_kill(stage: Stage, kills: int, moments: random.Random) -> int:
    """Kill so many sends, each at any moment of what is left; tell the most it left unknown."""
    sink, most, doubts = stage.sink, 0, 0
    for kill in range(kills):
        done = len(sink.copies)
        goal = done + moments.randrange(max(2, (stage.readers - done) // (kills - kill)))
        with stage.start() as sender:
            while len(sink.copies) < goal and sender.is_running:
                time.sleep(0.001)
            time.sleep(moments.choice((0, moments.random() / 50)))
        counts = stage.check()
        unknown = counts[State.SENDING] + counts[State.IN_DOUBT]
        if stage.in_doubt == "hold":
            assert 0 <= unknown - doubts <= stage.most_under_way, "more in doubt than under way"
            doubts = unknown
        most = max(most, counts[State.SENDING])
    return most


def send_to_the_end(stage: Stage) -> Counter[State]:
    with stage.start() as sender:
        assert sender.wait(seconds=600) == {"is_sent": True}
    return stage.check_end()


def describe(stage: Stage, kills: int, most: int, counts: Counter[State]) -> None:
    copies = sum(stage.sink.kept.values())
    kind = "SQLite" if stage.database.is_sqlite else "PostgreSQL"
    print(
        f"\n{kind}, {stage.connections} connections, {stage.in_doubt}: {kills} kills over "
        f"{stage.readers} readers: {counts[State.ACCEPTED]} accepted, {counts[State.IN_DOUBT]} "
        f"in doubt (at most {most} a kill), {copies - len(stage.sink.kept)} extra copies, "
        f"{stage.readers - len(stage.sink.kept)} without one, all of them listed"
    )


@pytest.mark.parametrize("connections", [1, 20, 50])
def test_a_killed_send_goes_on_and_nobody_gets_two(
    stage: Stage, tmp_path: Path, connections: int
) -> None:
    with Sink(tmp_path, put_off=25 if connections == 20 else 0) as sink:
        stage.begin(
            sink,
            readers=READERS,
            connections=connections,
            durability="full" if connections == 50 else "process",  # SQLite's two ways to commit
        )
        most = send_and_kill(stage, KILLS, random.Random(connections))
        counts = send_to_the_end(stage)
    describe(stage, KILLS, most, counts)
    assert max(sink.kept.values()) == 1
    assert counts[State.IN_DOUBT] <= KILLS * connections


def test_a_window_leaves_so_many_in_doubt_a_connection(stage: Stage, tmp_path: Path) -> None:
    with Sink(tmp_path, offers=("PIPELINING", "CHUNKING", "8BITMIME")) as sink:
        stage.begin(sink, readers=READERS, connections=5, window=8)
        most = send_and_kill(stage, KILLS, random.Random(8))
        counts = send_to_the_end(stage)
    describe(stage, KILLS, most, counts)
    assert max(sink.kept.values()) == 1
    assert most > 5, "the window was never used"


def test_whoever_is_in_doubt_is_tried_again_under_retry(stage: Stage, tmp_path: Path) -> None:
    with Sink(tmp_path, put_off=25, drop=50) as sink:
        stage.begin(sink, readers=READERS, connections=20, in_doubt="retry")
        most = send_and_kill(stage, KILLS, random.Random(20261123))
        counts = send_to_the_end(stage)
    describe(stage, KILLS, most, counts)
    assert counts == {State.ACCEPTED: READERS}
    assert len(sink.kept) == READERS


def test_the_same_command_goes_on_after_a_kill(tmp_path: Path) -> None:
    readers, connections = 400, 10
    with Sink(tmp_path) as sink:
        project = Project(tmp_path / "publication", relay=sink.url, connections=connections)
        project.write_brief()
        project.import_readers(readers)
        with project.running("send", "--yes"):
            assert sink.wait_for(50)
        counts = project.counts()
        assert sum(counts.values()) == readers
        assert counts["sending"] <= connections
        last = project.run("send", "--yes")
        assert last.code == 0, last.err
        status = project.run("status", "--json").document["editions"][0]
        kept = sink.kept
    doubtful = {doubt["email"] for doubt in status["doubts"]}
    everyone = {f"reader{n}@example.org" for n in range(1, readers + 1)}
    assert status["state"] == "sent"
    assert status["counts"]["accepted"] + status["counts"]["in_doubt"] == readers
    assert len(doubtful) == status["counts"]["in_doubt"] <= connections
    assert max(kept.values()) == 1
    assert everyone - kept.keys() <= doubtful, "lost and not listed"
    assert everyone - doubtful <= kept.keys(), "recorded as accepted, but never accepted"
