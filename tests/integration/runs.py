"""Runs over an approved edition against a real SMTP server that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy import select, update

from newsletter.audience.reader import Reader
from newsletter.delivery.channel import OpenChannel, build_opener
from newsletter.delivery.dispatch import RelayLimits
from newsletter.delivery.journal import Journal
from newsletter.delivery.ledger import Ledger, Run
from newsletter.delivery.lifecycle import State
from newsletter.delivery.sender import Sender
from newsletter.delivery.shift import Lane, Policy, Surroundings
from newsletter.mail import Message
from newsletter.smtp.relay import parse_relay
from newsletter.store import Database
from newsletter.store.tables import attempts, deliveries, editions, runs
from tests.integration.editions import make_addresser, store_approved_edition, store_readers

Answer = Callable[[str, int], str]


class Server:
    """An SMTP server on loopback; `at_…` say what each recipient's tries are told.

    An answer is a reply, "drop" (keep the message, say nothing, hang up), or "" for 250. The
    `slow_…` are seconds that it thinks before; after `idle_seconds` it hangs up.
    """

    def __init__(self, *, idle_seconds: float = 300, pipelining: bool = False) -> None:
        self.idle_seconds = idle_seconds
        self._pipelining = pipelining
        self.slow_mail: Callable[[], float] = lambda: 0
        self.slow_dot: Callable[[], float] = lambda: 0
        self.times: list[float] = []
        """When each message was begun, by the monotonic clock."""
        self.open = 0
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
        return _Dialogue(self, loop=self._loop, ident="server", timeout=self.idle_seconds)

    async def handle_EHLO(  # noqa: N802 - aiosmtpd finds its hooks by the verb's name
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        session.host_name = hostname
        offer = ["250-PIPELINING"] if self._pipelining else []
        return [*responses[:-1], *offer, responses[-1]]

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.times.append(time.monotonic())
        await asyncio.sleep(self.slow_mail())
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
        await asyncio.sleep(self.slow_dot())
        if answer == "drop":
            transport: Any = server.transport
            transport.abort()
        return answer or "250 2.0.0 Kept"


class _Dialogue(SMTP):
    def connection_made(self, transport: Any) -> None:
        self.event_handler.open += 1
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.event_handler.open -= 1
        super().connection_lost(error)


class ThreadedJournal(Journal):
    """Commits from the recorder's thread, as one that waits for the disk does."""

    @property
    def is_quick(self) -> bool:
        return False


class LedgerWith(Ledger):
    """A ledger whose runs record through a journal of another kind."""

    def __init__(self, database: Database, journal: type[Journal]) -> None:
        super().__init__(database)
        self._journal = journal

    def open_journal(self, run: Run) -> Journal:
        return self._journal(self._database, run, retries_doubt=self._retries_doubt)


class Edition:
    """An approved edition to N readers, and runs over it."""

    def __init__(self, database: Database, readers: int, *, hours: float = 16) -> None:
        self.database = database
        self.now = datetime.now(UTC)
        store_readers(database, readers, self.now)
        self.not_after = timedelta(hours=hours)
        self.id = store_approved_edition(database, self.now, not_after=self.not_after)

    def sender(
        self,
        url: str,
        *,
        connections: int = 3,
        per_second: float = 0,
        retry_after: float = 0.2,
        holder: str = "test",
        ledger: Ledger | None = None,
        limit: Callable[[OpenChannel], OpenChannel] = lambda opener: opener,
        address: Callable[[Reader], Message] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        on_progress: Callable[[Counter[State]], None] = lambda _tally: None,
    ) -> Sender:
        """Take the edition and build the sender of it."""
        ledger = ledger or Ledger(self.database)
        return Sender(
            ledger=ledger,
            run=ledger.take(self.id, holder, datetime.now(UTC)),
            lanes=[
                Lane(
                    limits=RelayLimits(name="relay", connections=connections, rate=per_second),
                    open_channel=limit(build_opener(parse_relay(url), ehlo_name="news.example")),
                )
            ],
            address=address or make_addresser(self.id).address,
            policy=Policy(
                not_after=self.now + self.not_after,
                retry_after=timedelta(seconds=retry_after),
            ),
            around=Surroundings(
                now=lambda: datetime.now(UTC), monotonic=monotonic, spread=random.random
            ),
            on_progress=on_progress,
        )

    def run(
        self,
        server: Server,
        *,
        on_start: Callable[[Sender], None] = lambda _sender: None,
        **options: Any,
    ) -> bool:
        """Run over it; `options` are those of `sender`."""

        async def go() -> bool:
            sender = self.sender(server.url, **options)
            on_start(sender)
            return await sender.send()

        return asyncio.run(go())

    def run_until(
        self, server: Server, moment: Callable[[], bool], act: Callable[[Sender], None], **more: Any
    ) -> tuple[bool, float]:
        """Run, and act on the sender when a moment has come; tell the seconds it took to end."""

        async def go() -> tuple[bool, float]:
            sender = self.sender(server.url, **more)
            sending = asyncio.create_task(sender.send())
            while not moment() and not sending.done():  # noqa: ASYNC110 - another thread brings it
                await asyncio.sleep(0.005)
            began = time.monotonic()
            act(sender)
            return await sending, time.monotonic() - began

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
                update(runs).values(lease_until=datetime.now(UTC) - timedelta(seconds=1))
            )

    def attempts(self, subscriber: int) -> list[tuple[str, str]]:
        with self.database.reading() as connection:
            rows = connection.execute(
                select(attempts.c.outcome, attempts.c.reply)
                .where(attempts.c.subscriber_id == subscriber)
                .order_by(attempts.c.number)
            )
            return [(row.outcome, row.reply) for row in rows]

    @property
    def tries(self) -> int:
        """Attempts recorded for all readers."""
        with self.database.reading() as connection:
            return len(connection.scalars(select(attempts.c.number)).all())

    @property
    def is_free(self) -> bool:
        """Whether the last run gave the edition back, with nothing half done."""
        with self.database.reading() as connection:
            holder = connection.scalar(select(runs.c.holder).where(runs.c.edition_id == self.id))
            states = set(connection.scalars(select(deliveries.c.state).distinct()))
        return not holder and not states & {"leased", "sending"}
