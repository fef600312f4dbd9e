"""How often a connection waits for the path: counted at the relay, whatever a flight takes."""

from __future__ import annotations

import asyncio

import pytest

from newsletter.delivery import worker
from newsletter.delivery.lifecycle import State
from newsletter.store import Database
from tests.bench.chunking_sink import ChunkingSink
from tests.integration.runs import Edition


def test_a_message_costs_one_flight_and_a_parting_none(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "MESSAGES_PER_CONNECTION", 5)
    edition = Edition(database, 12)

    async def send() -> ChunkingSink:
        async with ChunkingSink() as relay:
            url = f"smtp://127.0.0.1:{relay.port}?tls=none"
            assert await edition.sender(url, connections=1).send()
        return relay

    relay = asyncio.run(send())
    assert edition.counts == {State.ACCEPTED: 12}
    assert (relay.messages, relay.connections) == (12, 3)
    # Each connection says EHLO, and MAIL, RCPT and DATA once alone; two part with a dot, the
    # third learns of the end only after it.
    assert relay.round_trips == 12 + 3 * 2 + 1
