"""Postfix goes down in the middle of a run and comes back: nobody twice, nobody forgotten.

The truth is in the mailboxes: Postfix names every message that it said yes to (its queue id),
tells us that name, and writes it into the message. NEWSLETTER_TEST_RESTARTS makes it a long
proof, in which it goes down that many times:

    NEWSLETTER_TEST_RESTARTS=20 pytest tests/integration/servers/test_postfix_restart.py
"""

from __future__ import annotations

import os
import random
import re
from functools import partial
from pathlib import Path

import pytest

from newsletter.delivery.lifecycle import State
from tests.integration.servers.conftest import StartPostfix, Trust
from tests.integration.servers.daemon import wait_until
from tests.integration.servers.dovecot import USER
from tests.integration.servers.mailbox import Stored
from tests.integration.servers.postfix import Postfix
from tests.integration.servers.publication import Publication

RESTARTS = int(os.environ.get("NEWSLETTER_TEST_RESTARTS", "2"))


def make(
    root: Path,
    postfix: Postfix,
    trust: Trust,
    readers: dict[str, str],
    connections: int,
    window: int,
) -> Publication:
    return Publication(
        root,
        relay=f"smtp://{USER}@localhost:{postfix.port}",
        readers=readers,
        connections=connections,
        delivery=f'ca_file = "{trust.authority}"\nretry_after = "1s"\nwindow = {window}\n',
    )


def crowd(count: int) -> dict[str, str]:
    return {f"reader{n}@example.org": f"Reader {n}" for n in range(1, count + 1)}


def queue_ids(publication: Publication) -> dict[str, str]:
    """What Postfix called each accepted message when it said yes, by address."""
    found = {}
    for email, told in publication.attempts.items():
        for outcome, reply in told:
            if outcome == State.ACCEPTED:
                queued = re.fullmatch(r"250 2\.0\.0 Ok: (?:\d+ bytes )?queued as (\w+)", reply)
                assert queued is not None, reply
                assert email not in found
                found[email] = queued[1]
    return found


def is_so_far(postfix: Postfix, count: int) -> bool:
    return postfix.log.count(" message-id=<") >= count


def kept(stored: list[Stored]) -> dict[str, set[str]]:
    """The names of what is in each mailbox.

    A copy that Postfix itself delivered twice, since it was killed between the mailbox and its
    own queue, has one name still: it was handed over once.
    """
    names: dict[str, set[str]] = {}
    for one in stored:
        names.setdefault(one.recipient, set()).add(one.queue_id)
    return names


@pytest.mark.parametrize("window", [1, 8])
def test_twenty_connections_at_once(
    tmp_path: Path, start_postfix: StartPostfix, trust: Trust, window: int
) -> None:
    readers = crowd(250)
    postfix = start_postfix(readers=readers)
    publication = make(tmp_path / "publication", postfix, trust, readers, 20, window)
    assert publication.send().counts == {State.ACCEPTED: len(readers)}
    stored = postfix.stored
    assert len(stored) == len(readers)
    assert ("bdat=" in postfix.log) == (window > 1)
    assert kept(stored) == {email: {name} for email, name in queue_ids(publication).items()}


@pytest.mark.parametrize("window", [1, 8])
@pytest.mark.parametrize("violently", [False, True], ids=["stopped", "killed"])
def test_a_restart_in_the_middle(
    tmp_path: Path, start_postfix: StartPostfix, trust: Trust, *, violently: bool, window: int
) -> None:
    readers, connections, moments = crowd(150 + 50 * RESTARTS), 4, random.Random(20261125)
    postfix = start_postfix(readers=readers)
    publication = make(tmp_path / "publication", postfix, trust, readers, connections, window)
    with publication.project.running("send", "--yes") as sending:
        for restart in range(RESTARTS):
            goal = 50 * (restart + 1) + moments.randrange(50)
            wait_until(partial(is_so_far, postfix, goal), f"{goal} messages")
            if violently:
                postfix.kill()
            else:
                postfix.stop()
            assert sending.poll() is None, "there was work left"
            postfix.start()
        _, remarks = sending.communicate(timeout=300)
        assert sending.returncode == 0, remarks
    stored = kept(postfix.stored)
    doubtful = {doubt.email for doubt in publication.doubts}
    accepted = queue_ids(publication)
    assert publication.counts == {
        state: count
        for state, count in ((State.ACCEPTED, len(accepted)), (State.IN_DOUBT, len(doubtful)))
        if count
    }
    assert accepted.keys() | doubtful == readers.keys()
    assert not accepted.keys() & doubtful
    assert len(doubtful) <= connections * window * RESTARTS
    assert all(len(names) == 1 for names in stored.values()), "handed over twice"
    for email, name in accepted.items():
        assert stored[email] == {name}, "recorded as accepted, but not so"
    assert stored.keys() <= accepted.keys() | doubtful
