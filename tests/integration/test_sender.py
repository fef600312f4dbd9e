"""A run over an edition against a real SMTP server that misbehaves on purpose."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from newsletter.audience.suppression import suppress
from newsletter.delivery.inquiry import list_doubts
from newsletter.delivery.ledger import Ledger
from newsletter.delivery.lifecycle import State
from newsletter.delivery.sender import Sender
from newsletter.errors import LeaseLost, NewsletterError, RelayRefusedUs, RelayUnavailable
from newsletter.store import Database
from newsletter.store.tables import deliveries
from tests.integration.runs import Edition, Server


@pytest.fixture(params=[False, True], ids=["one by one", "pipelining"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(pipelining=request.param) as running:
        yield running


def test_everybody_gets_one(database: Database, server: Server) -> None:
    edition = Edition(database, 220)
    assert edition.run(server)
    assert edition.counts == {State.ACCEPTED: 220}
    assert edition.state == "sent"
    assert set(server.kept.values()) == {1}
    assert len(server.kept) == 220
    assert server.connections <= 3 + 220 // 100  # reused, and not for ever
    assert edition.attempts(7) == [("accepted", "250 2.0.0 Kept")]


def test_what_is_put_off_is_tried_again_with_the_same_bytes(
    database: Database, server: Server
) -> None:
    edition = Edition(database, 20)
    server.at_rcpt = lambda who, n: "450 4.2.0 Later" if "reader3@" in who and n < 3 else ""
    server.at_dot = lambda who, n: "451 4.3.0 Busy" if "reader5@" in who and n == 1 else ""
    assert edition.run(server)
    assert edition.counts == {State.ACCEPTED: 20}
    assert edition.attempts(3) == [
        ("deferred", "450 4.2.0 Later"),
        ("deferred", "450 4.2.0 Later"),
        ("accepted", "250 2.0.0 Kept"),
    ]
    assert len(server.contents["reader5@example.org"]) == 1


def test_a_refusal_costs_its_reader_only(database: Database, server: Server) -> None:
    edition = Edition(database, 20)
    refusals = {"reader3@example.org": "550 5.1.1 No such user", "reader4@example.org": "552 5.2.2"}
    server.at_rcpt = lambda who, _n: refusals.get(who, "")
    server.at_dot = lambda who, _n: "554 5.7.1 Unwanted" if "reader5@" in who else ""
    assert edition.run(server)
    assert edition.counts == {State.ACCEPTED: 17, State.FAILED: 3}
    assert edition.attempts(3) == [("failed", "550 5.1.1 No such user")]
    assert edition.state == "sent"


def test_a_drop_after_the_dot_is_in_doubt_and_held(database: Database, server: Server) -> None:
    edition = Edition(database, 20)
    server.at_dot = lambda who, _n: "drop" if who == "reader3@example.org" else ""
    assert edition.run(server)
    assert edition.counts == {State.ACCEPTED: 19, State.IN_DOUBT: 1}
    assert set(server.kept.values()) == {1}
    with database.reading() as connection:
        (doubt,) = list_doubts(connection, edition.id)
    assert doubt.email == "reader3@example.org"
    with pytest.raises(NewsletterError, match="is sent"):
        edition.run(server)


def test_the_policy_retry_tries_it_once_more_with_the_same_bytes(
    database: Database, server: Server
) -> None:
    edition = Edition(database, 20)
    server.at_dot = lambda who, n: "drop" if "reader3@" in who and n == 1 else ""
    assert edition.run(server, ledger=Ledger(database, in_doubt="retry"))
    assert edition.counts == {State.ACCEPTED: 20}
    assert server.kept["reader3@example.org"] == 2
    assert len(server.contents["reader3@example.org"]) == 1
    assert [outcome for outcome, _ in edition.attempts(3)] == ["in_doubt", "accepted"]


def test_a_refusal_of_ourselves_stops_and_costs_nobody(database: Database, server: Server) -> None:
    edition = Edition(database, 50)
    server.at_mail = lambda: "550 5.7.1 We do not know you"
    with pytest.raises(RelayRefusedUs, match="refuses us at MAIL"):
        edition.run(server)
    assert edition.state == "sending"
    assert set(edition.counts) <= {State.PENDING, State.DEFERRED}
    server.at_mail = lambda: ""
    assert edition.run(server)
    assert edition.counts == {State.ACCEPTED: 50}


def test_a_relay_that_only_breaks_off_ends_the_run_and_loses_nobody(
    database: Database, server: Server
) -> None:
    edition = Edition(database, 60)
    server.at_dot = lambda _who, _n: "drop"
    with pytest.raises(RelayUnavailable, match="keeps breaking off"):
        edition.run(server)
    counts = edition.counts
    assert sum(counts.values()) == 60
    assert counts[State.IN_DOUBT] == sum(server.kept.values()) <= 25
    assert max(server.kept.values()) == 1


def test_whoever_leaves_while_it_is_sent_gets_none(database: Database, server: Server) -> None:
    edition = Edition(database, 300)
    left = {f"reader{n}@example.org" for n in range(100, 301)}
    moment: list[int] = []

    def leave(tally: Counter[State]) -> None:
        if tally[State.ACCEPTED] >= 20 and not moment:
            with database.writing() as connection:
                suppress(connection, sorted(left), "unsubscribed", datetime.now(UTC))
            moment.append(sum(server.kept.values()))

    assert edition.run(server, on_progress=leave)
    counts = edition.counts
    assert counts == {State.ACCEPTED: 99, State.SUPPRESSED: 201}
    assert not left & server.kept.keys()


def test_stop_ends_in_order_and_the_next_run_goes_on(database: Database, server: Server) -> None:
    edition = Edition(database, 200)
    senders: list[Sender] = []

    def stop(tally: Counter[State]) -> None:
        if tally[State.ACCEPTED] >= 50:
            senders[0].stop()

    began = time.monotonic()
    assert not edition.run(server, on_start=senders.append, on_progress=stop)
    assert time.monotonic() - began < 10
    counts = edition.counts
    assert counts.keys() == {State.ACCEPTED, State.PENDING}
    assert counts[State.ACCEPTED] == sum(server.kept.values()) < 200
    assert edition.state == "sending"
    assert edition.run(server)
    assert edition.counts == {State.ACCEPTED: 200}
    assert set(server.kept.values()) == {1}


def test_after_its_time_it_is_given_up_and_said(database: Database, server: Server) -> None:
    edition = Edition(database, 10, hours=5 / 3600)
    server.at_rcpt = lambda who, _n: "450 4.2.0 Never" if "reader1@" in who else ""
    assert edition.run(server)
    assert edition.counts == {State.ACCEPTED: 9, State.EXPIRED: 1}
    assert edition.state == "sent"


def test_a_run_that_is_taken_over_sends_no_more(database: Database, server: Server) -> None:
    edition = Edition(database, 150)
    seen: list[int] = []

    def take_over(tally: Counter[State]) -> None:
        if tally[State.ACCEPTED] >= 30 and not seen:
            edition.let_lease_run_out()
            Ledger(database).take(edition.id, "another", datetime.now(UTC))
            seen.append(sum(server.kept.values()))

    with pytest.raises(LeaseLost):
        edition.run(server, on_progress=take_over)
    # Dots whose intent was committed before the take-over may still arrive, one a connection.
    assert sum(server.kept.values()) <= seen[0] + 3
    with database.reading() as connection:
        fences = set(connection.scalars(select(deliveries.c.fence).distinct()))
    assert max(fences) == 1
    edition.let_lease_run_out()
    assert edition.run(server)
    assert max(server.kept.values()) == 1
    assert sum(edition.counts.values()) == 150
