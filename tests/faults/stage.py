"""Playing a case of the fault matrix: a scripted relay, a real run over it, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import selectors
import socket
import ssl
import time
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Literal
from unittest import mock

from sqlalchemy import delete, insert, select, update

from newsletter.audience.reader import Reader
from newsletter.delivery.channel import OpenChannel, build_opener
from newsletter.delivery.dispatch import RelayLimits
from newsletter.delivery.inquiry import list_reasons
from newsletter.delivery.ledger import Ledger
from newsletter.delivery.lifecycle import FINAL, State
from newsletter.delivery.sender import Sender
from newsletter.delivery.shift import Lane, Policy, Surroundings
from newsletter.errors import ConfigurationError, NewsletterError, TemporaryError
from newsletter.mail import Message
from newsletter.smtp.connection import Timeouts
from newsletter.smtp.protocol import WireLines
from newsletter.smtp.relay import parse_relay
from newsletter.smtp.tokens import TokenCommand
from newsletter.store import Database
from newsletter.store.tables import (
    alerts,
    attempts,
    deliveries,
    editions,
    relay_states,
    subscribers,
    suppressions,
)
from tests.databases import open_new_database
from tests.integration.editions import make_addresser, store_approved_edition
from tests.integration.runs import Edition
from tests.relays import HOST, Authority, Script, ScriptedRelay

PATIENT = Timeouts(
    connect=10, greeting=10, hello=10, mail=10, rcpt=10, data=10, block=10, dot=10, quit=0.2
)
"""Ceilings that no relay reaches unless a case means it to, however busy the machine."""
LOGIN = ("user@news.example", "secret")
OFFERS = ("SIZE 50000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
HUGE = WireLines((b"x" * 76 + b"\r\n") * 100_000)  # more than any kernel buffers
READERS = tuple(f"reader{number}@example.org" for number in range(1, 4))

End = Literal["sent", "later", "stop", "waits"]
"""All settled; ended to be tried again; ended for a person to mend; still waiting when asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A row of the matrix, or a part of one: what the relay does, and what must become of it."""

    row: int
    behaviour: str
    required: str
    """The row's own words: DEFER, FAIL-rcpt, FAIL-msg, UNKNOWN, SENT, STOP, BREAK."""
    end: End
    first: tuple[State, ...] = ()
    """The outcomes of the attempts at the first reader, in their order."""
    counts: dict[State, int] | None = None
    """How the audience must stand when the run has ended; None = see `first` and `end`."""
    suppressed: tuple[str, ...] = ()
    alert: str = ""
    """The kind of an alert that must be stored."""
    says: str = ""
    """Words of the error that ends the run."""
    check: Callable[[Observed], str] = lambda _observed: ""
    """What else must be true: a complaint, or nothing."""
    # what the relay is
    script: Script = field(default_factory=dict)
    offers: tuple[str, ...] = OFFERS
    tls: Literal["", "valid", "expired", "wrong host", "unknown authority", "old"] = ""
    implicit: bool = False
    login: bool = False
    url: Callable[[str], str] = lambda url: url
    receive_buffer_bytes: int = 0
    window: int = 1
    """Over 1: the relay offers CHUNKING, and so many messages may be under way."""
    tokens: tuple[str, ...] = ()
    """What the operator's command prints when it is asked for an access token, one after another;
    the last again and again. With any, the login is by XOAUTH2."""
    first_address: Script | None = None
    """What another relay plays, at the first of two addresses that the name has."""
    around: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext
    # what the run is
    pipelining: tuple[bool, ...] = (False, True)
    readers: tuple[str, ...] = READERS
    connections: int = 1
    per_second: float = 0
    retry_after: float = 0.05
    huge: bool = False
    warps: bool = False
    """Whether time jumps ahead while nobody has anything to do; then a day takes seconds."""
    hours: float = 16
    """How long the edition's mail may be tried."""
    stop_after: float = 0
    """Seconds without any progress after which a run that waits is asked to stop."""
    timeouts: Timeouts = PATIENT
    within: float = 5
    """Seconds that it may take: its ceilings, with room for a busy machine."""

    @property
    def name(self) -> str:
        return f"{self.row} {self.behaviour}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What came of a case."""

    end: End
    error: NewsletterError | None
    states: dict[str, State]
    """Where each reader stands."""
    first: tuple[State, ...]
    replies: tuple[str, ...]
    tries: int
    suppressed: tuple[str, ...]
    alerts: tuple[tuple[str, str], ...]
    reported: tuple[tuple[State, str, int], ...]
    """What an operator is shown of it: state, the relay's words, how many."""
    due_in: timedelta
    """When the first reader is due again, from the end of the last attempt."""
    relay: ScriptedRelay
    seconds: float
    peak_bytes: int

    @property
    def counts(self) -> dict[State, int]:
        return dict(Counter(self.states.values()))

    def describe(self) -> str:
        """Say it in the matrix's words, as far as it has some."""
        ends = {"later": "run ends, try later", "stop": "STOP", "waits": "waits", "sent": ""}
        runs = [(str(state), len([*same])) for state, same in groupby(self.first)]
        states = [f"{state} ×{n}" if n > 1 else state for state, n in runs] or ["not begun"]
        kinds = [f"alert {kind}" for kind in sorted({kind for kind, _ in self.alerts})]
        return "; ".join(part for part in (", ".join(states), ends[self.end], *kinds) if part)


class Audience(Edition):
    """An approved edition to these readers."""

    def __init__(self, database: Database, readers: Sequence[str], hours: float = 16) -> None:
        self.database = database
        self.now = datetime.now(UTC)
        self.not_after = timedelta(hours=hours)
        rows = [
            {
                "email": email,
                "email_key": email,
                "name": "",
                "status": "active",
                "choices": {},
                "fields": {},
                "created_at": self.now,
                "updated_at": self.now,
            }
            for email in readers
        ]
        with database.writing() as connection:
            connection.execute(insert(subscribers), rows)
        self.id = store_approved_edition(database, self.now, not_after=self.not_after)

    def reopen(self) -> None:
        """Let a person have mended what was wrong: everything open is due, nothing is feared."""
        with self.database.writing() as connection:
            connection.execute(update(editions).values(state="sending"))
            connection.execute(update(deliveries).values(next_attempt_at=self.now))
            connection.execute(delete(relay_states))

    def observe(
        self,
        end: End,
        error: NewsletterError | None,
        relay: ScriptedRelay,
        *,
        seconds: float,
        peak_bytes: int,
    ) -> Observed:
        with self.database.reading() as connection:
            tried = connection.execute(
                select(attempts).order_by(attempts.c.subscriber_id, attempts.c.number)
            ).all()
            left = connection.scalars(
                select(suppressions.c.email_key).order_by(suppressions.c.email_key)
            ).all()
            reported = list_reasons(connection, self.id)
            told = connection.execute(select(alerts.c.kind, alerts.c.sentence)).all()
            rows = connection.execute(
                select(
                    deliveries.c.email, deliveries.c.state, deliveries.c.next_attempt_at
                ).order_by(deliveries.c.subscriber_id)
            ).all()
            reported = list_reasons(connection, self.id)
        first = [row for row in tried if row.subscriber_id == 1]
        return Observed(
            end=end,
            error=error,
            states={row.email: State(row.state) for row in rows},
            first=tuple(State(row.outcome) for row in first),
            replies=tuple(row.reply for row in first),
            tries=len(tried),
            suppressed=tuple(left),
            reported=tuple(reported),
            alerts=tuple((row.kind, row.sentence) for row in told),
            due_in=rows[0].next_attempt_at - first[-1].ended_at if first else timedelta(0),
            relay=relay,
            seconds=seconds,
            peak_bytes=peak_bytes,
        )


class WarpSelector(selectors.DefaultSelector):
    """Waits a moment for something to happen, and then jumps ahead: further each time."""

    MOMENT_SECONDS = 0.01

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0.0
        self._jump = 1.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= self.MOMENT_SECONDS:
            return super().select(timeout)
        events = super().select(self.MOMENT_SECONDS)
        if events:
            self._jump = 1.0
        else:
            self.ahead += min(timeout - self.MOMENT_SECONDS, self._jump)
            self._jump *= 2
        return events


class WarpLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer while nothing happens."""

    def __init__(self) -> None:
        self._warp = WarpSelector()
        super().__init__(self._warp)

    def time(self) -> float:
        return super().time() + self._warp.ahead


class Stage:
    """Plays cases; a certificate authority and databases in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._authority = Authority(directory)
        self._baselines: dict[tuple[object, ...], int] = {}
        self._runs = 0

    def play(self, case: Case, *, pipelining: bool) -> Observed:
        """Run over the case's relay, and observe."""
        with self._database() as database, self._relay(case, pipelining) as relay:
            edition = Audience(database, case.readers, case.hours)
            return self._run(case, edition, relay)

    def play_and_go_on(self, case: Case, *, pipelining: bool) -> tuple[Observed, str]:
        """Play, then run again with a polite relay: nobody may be lost by it, nor mailed twice.

        Gives what was observed, and a complaint about the second run if there is one.
        """
        with self._database() as database:
            edition = Audience(database, case.readers, case.hours)
            with self._relay(case, pipelining) as relay, self._first_address(case, relay):
                observed = self._run(case, edition, relay)
            if observed.end == "sent":
                return observed, ""
            before = observed.counts
            edition.reopen()
            polite = replace(
                Case(row=0, behaviour="", required="", end="sent"),
                readers=case.readers,
                huge=case.huge,
                timeouts=Timeouts(),
                within=60,
            )
            with self._relay(polite, pipelining) as second:
                again = self._run(polite, edition, second)
            copies = Counter(taken.recipient for taken in (*relay.accepted, *second.accepted))
            wanted = Counter({s: n for s, n in before.items() if s in FINAL})
            wanted[State.ACCEPTED] += len(case.readers) - wanted.total()
            if again.end != "sent" or again.counts != +wanted:
                return observed, f"the next run left {again.counts}"
            doubled = [recipient for recipient, count in copies.items() if count > 1]
            return observed, f"two copies to {doubled}" if doubled else ""

    def measure_baseline(self, case: Case, *, pipelining: bool) -> int:
        """Tell the peak memory of a run like this over a relay that behaves."""
        kind = (case.huge, len(case.readers), case.connections, bool(case.tls), pipelining)
        if kind not in self._baselines:
            polite = replace(
                Case(row=0, behaviour="", required="", end="sent"),
                readers=case.readers,
                connections=case.connections,
                huge=case.huge,
                tls="valid" if case.tls else "",
            )
            self.play(polite, pipelining=pipelining)  # what is kept for ever is kept now
            self._baselines[kind] = self.play(polite, pipelining=pipelining).peak_bytes
        return self._baselines[kind]

    # -- the parts -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _database(self) -> Iterator[Database]:
        self._runs += 1
        database = open_new_database(self._directory / f"{self._runs}.db")
        try:
            yield database
        finally:
            database.close()

    @contextlib.contextmanager
    def _first_address(self, case: Case, relay: ScriptedRelay) -> Iterator[None]:
        """Have every name mean two addresses, the first of which is another relay's."""
        if case.first_address is None:
            yield
            return
        with ScriptedRelay(case.first_address) as other:
            found = [
                (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (HOST, port))
                for port in (other.port, relay.port)
            ]
            with mock.patch("socket.getaddrinfo", return_value=found):
                yield

    def _relay(self, case: Case, pipelining: bool) -> ScriptedRelay:
        offers = (*case.offers, "PIPELINING") if pipelining else case.offers
        return ScriptedRelay(
            case.script,
            offers=(*offers, "CHUNKING") if case.window > 1 else offers,
            tls=self._certificate(case),
            implicit=case.implicit,
            login=LOGIN if case.login else None,
            receive_buffer_bytes=case.receive_buffer_bytes,
        )

    def _certificate(self, case: Case) -> ssl.SSLContext | None:
        if not case.tls:
            return None
        name = "other.example" if case.tls == "wrong host" else HOST
        context = self._authority.issue(name, expired=case.tls == "expired")
        if case.tls == "old":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
            context.set_ciphers("ALL:@SECLEVEL=0")
        return context

    def _opener(self, case: Case, url: str) -> OpenChannel:
        url = case.url(url)
        return build_opener(
            parse_relay(
                f"{url}&auth=xoauth2" if case.tokens else url,
                password=LOGIN[1] if "@" in url and not case.tokens else "",
            ),
            ehlo_name="news.example",
            ca_file=None if case.tls == "unknown authority" else self._authority.ca_file,
            timeouts=case.timeouts,
            window=case.window,
            tokens=self._token_command(case.tokens) if case.tokens else None,
        )

    def _token_command(self, tokens: Sequence[str]) -> TokenCommand:
        """Build a command that prints one token after another."""
        rest = self._directory / f"{self._runs}.tokens"
        rest.write_text("".join(f"{token}\n" for token in tokens))
        script = f"head -n1 {rest}; test $(wc -l < {rest}) -lt 2 || sed -i 1d {rest}"
        return TokenCommand(["/bin/sh", "-c", script])

    def _run(self, case: Case, edition: Audience, relay: ScriptedRelay) -> Observed:
        address = make_addresser(edition.id).address

        def address_huge(reader: Reader) -> Message:
            message = address(reader)
            return replace(message, content=HUGE)

        loop = WarpLoop() if case.warps else asyncio.new_event_loop()
        started_at, started = edition.now, loop.time()
        ledger = Ledger(edition.database)

        stop: list[Callable[[], None]] = []
        timers: list[asyncio.TimerHandle] = []

        def wait_and_stop(_tally: Counter[State]) -> None:
            while timers:
                timers.pop().cancel()
            if case.stop_after:
                timers.append(loop.call_later(case.stop_after, stop[0]))

        async def go() -> bool:
            sender = Sender(
                ledger=ledger,
                run=ledger.take(edition.id, "test", edition.now),
                lanes=[
                    Lane(
                        limits=RelayLimits(
                            name="relay", connections=case.connections, rate=case.per_second
                        ),
                        open_channel=self._opener(case, relay.url),
                    )
                ],
                address=address_huge if case.huge else address,
                policy=Policy(
                    not_after=edition.now + edition.not_after,
                    retry_after=timedelta(seconds=case.retry_after),
                ),
                around=Surroundings(
                    now=lambda: started_at + timedelta(seconds=loop.time() - started),
                    monotonic=loop.time,
                    spread=random.Random(1).random,
                ),
                on_progress=wait_and_stop,
            )
            stop.append(sender.stop)
            async with asyncio.timeout(None if case.warps else 2 * case.within):
                return await sender.send()

        error: NewsletterError | None = None
        is_sent = False
        tracemalloc.start()
        began, before = time.monotonic(), tracemalloc.get_traced_memory()[0]
        try:
            with case.around(), asyncio.Runner(loop_factory=lambda: loop) as runner:
                is_sent = runner.run(go())
        except NewsletterError as caught:
            error = caught
        except TimeoutError:
            pass  # it waits, and for longer than it may
        finally:
            seconds = time.monotonic() - began
            peak = tracemalloc.get_traced_memory()[1] - before
            tracemalloc.stop()
        end: End = "sent" if is_sent else "waits"
        if isinstance(error, ConfigurationError) or edition.state == "paused":
            end = "stop"
        elif isinstance(error, TemporaryError):
            end = "later"
        elif error is not None:
            raise error
        return edition.observe(end, error, relay, seconds=seconds, peak_bytes=peak)
