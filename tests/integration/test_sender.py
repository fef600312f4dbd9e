"""A run over an edition against a real SMTP server that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy import select, update

from newsletter.audience.suppression import suppress
from newsletter.delivery.channel import build_opener
from newsletter.delivery.ledger import Ledger
from newsletter.delivery.lifecycle import State
from newsletter.delivery.sender import Sender
from newsletter.delivery.worker import Policy, Surroundings
from newsletter.errors import LeaseLost, NewsletterError, RelayRefusedUs, RelayUnavailable
from newsletter.smtp.relay import parse_relay
from newsletter.store import Database
from newsletter.store.tables import attempts, deliveries, editions
from tests.integration.editions import make_addresser, store_approved_edition, store_readers

Answer = Callable[[str, int], str]


class Server:
    """An SMTP server on loopback; `answers` says what each recipient's tries are told.

    An answer is a reply, "drop" (keep the message, say nothing, hang up), or "" for 250.
    """

    def __init__(self) -> None:
        self.at_mail: Callable[[], str] = lambda: ""
        self.at_rcpt: Answer = lambda _recipient, _attempt: ""
        self.at_dot: Answer = lambda _recipient, _attempt: ""
        self.kept: Counter[str] = Counter()
        self.contents: dict[str, set[bytes]] = {}
        self.connections = 0
        self._tries: Counter[str] = Counter()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        server = await self._loop.create_server(self._connect, "127.0.0.1", 0)
        self.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}?tls=none"
        self._ready.set()
        await self._closing.wait()
        server.close()

    def _connect(self) -> SMTP:
        self.connections += 1
        return SMTP(self, loop=self._loop, ident="server")

    async def handle_MAIL(  # noqa: N802 - aiosmtpd finds its hooks by the verb's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if refusal := self.at_mail():
            return refusal
        envelope.mail_from = address
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self._tries[address] += 1
        if refusal := self.at_rcpt(address, self._tries[address]):
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        (recipient,) = envelope.rcpt_tos
        answer = self.at_dot(recipient, self._tries[recipient])
        if not answer or answer == "drop":
            self.kept[recipient] += 1
            self.contents.setdefault(recipient, set()).add(bytes(envelope.original_content or b""))
        if answer == "drop":
            transport: Any = server.transport
            transport.abort()
        return answer or "250 2.0.0 Kept"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


class Edition:
    """An approved edition to N readers, and runs over it."""

    def __init__(self, database: Database, readers: int, *, hours: float = 16) -> None:
        self.database = database
        self.now = datetime.now(UTC)
        store_readers(database, readers, self.now)
        self.not_after = timedelta(hours=hours)
        self.id = store_approved_edition(database, self.now, not_after=self.not_after)

    def run(
        self,
        server: Server,
        *,
        connections: int = 3,
        holder: str = "test",
        in_doubt: Literal["hold", "retry"] = "hold",
        on_start: Callable[[Sender], None] = lambda _sender: None,
        on_progress: Callable[[Counter[State]], None] = lambda _tally: None,
    ) -> bool:
        async def go() -> bool:
            ledger = Ledger(self.database, in_doubt=in_doubt)
            sender = Sender(
                ledger=ledger,
                run=ledger.take(self.id, holder, datetime.now(UTC)),
                open_channel=build_opener(parse_relay(server.url), ehlo_name="news.example"),
                relay_name="relay",
                address=make_addresser(self.id).address,
                policy=Policy(
                    connections=connections,
                    per_second=0,
                    not_after=self.now + self.not_after,
                    retry_after=timedelta(seconds=0.2),
                ),
                around=Surroundings(
                    now=lambda: datetime.now(UTC),
                    monotonic=time.monotonic,
                    spread=random.random,
                ),
                on_progress=on_progress,
            )
            on_start(sender)
            return await sender.send()

        return asyncio.run(go())

    @property
    def counts(self) -> dict[State, int]:
        return Ledger(self.database).counts(self.id)

    @property
    def state(self) -> str:
        with self.database.reading() as connection:
            return str(connection.scalar(select(editions.c.state).where(editions.c.id == self.id)))

    def let_lease_run_out(self) -> None:
        with self.database.writing() as connection:
            connection.execute(
                update(editions).values(lease_until=datetime.now(UTC) - timedelta(seconds=1))
            )

    def attempts(self, subscriber: int) -> list[tuple[str, str]]:
        with self.database.reading() as connection:
            rows = connection.execute(
                select(attempts.c.outcome, attempts.c.reply)
                .where(attempts.c.subscriber_id == subscriber)
                .order_by(attempts.c.number)
            )
            return [(row.outcome, row.reply) for row in rows]


def test_everybody_gets_one(database: Database, server: Server) -> None:
    edition = Edition(database, 250)
    assert edition.run(server)
    assert edition.counts == {State.ACCEPTED: 250}
    assert edition.state == "sent"
    assert set(server.kept.values()) == {1}
    assert len(server.kept) == 250
    assert server.connections <= 3 + 250 // 100  # reused, and not for ever
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
    (doubt,) = Ledger(database).doubts(edition.id)
    assert doubt.email == "reader3@example.org"
    with pytest.raises(NewsletterError, match="is sent"):
        edition.run(server)


def test_the_policy_retry_tries_it_once_more_with_the_same_bytes(
    database: Database, server: Server
) -> None:
    edition = Edition(database, 20)
    server.at_dot = lambda who, n: "drop" if "reader3@" in who and n == 1 else ""
    assert edition.run(server, in_doubt="retry")
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
    edition = Edition(database, 1200)
    left = {f"reader{n}@example.org" for n in range(700, 1201)}
    moment: list[int] = []

    def leave(tally: Counter[State]) -> None:
        if tally[State.ACCEPTED] >= 20 and not moment:
            with database.writing() as connection:
                suppress(connection, sorted(left), "unsubscribed", datetime.now(UTC))
            moment.append(sum(server.kept.values()))

    assert edition.run(server, on_progress=leave)
    counts = edition.counts
    assert counts == {State.ACCEPTED: 699, State.SUPPRESSED: 501}
    assert not left & server.kept.keys()


def test_stop_ends_in_order_and_the_next_run_goes_on(database: Database, server: Server) -> None:
    edition = Edition(database, 400)
    senders: list[Sender] = []

    def stop(tally: Counter[State]) -> None:
        if tally[State.ACCEPTED] >= 50:
            senders[0].stop()

    began = time.monotonic()
    assert not edition.run(server, on_start=senders.append, on_progress=stop)
    assert time.monotonic() - began < 10
    counts = edition.counts
    assert counts.keys() == {State.ACCEPTED, State.PENDING}
    assert counts[State.ACCEPTED] == sum(server.kept.values()) < 400
    assert edition.state == "sending"
    assert edition.run(server)
    assert edition.counts == {State.ACCEPTED: 400}
    assert set(server.kept.values()) == {1}


def test_after_its_time_it_is_given_up_and_said(database: Database, server: Server) -> None:
    edition = Edition(database, 10, hours=1 / 3600)
    server.at_rcpt = lambda who, _n: "450 4.2.0 Never" if "reader1@" in who else ""
    assert edition.run(server)
    assert edition.counts == {State.ACCEPTED: 9, State.EXPIRED: 1}
    assert edition.state == "sent"


def test_a_run_that_is_taken_over_sends_no_more(database: Database, server: Server) -> None:
    edition = Edition(database, 600)
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
    assert sum(edition.counts.values()) == 600
