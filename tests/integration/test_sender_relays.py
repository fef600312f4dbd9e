"""Runs over several relays, and what a run leaves for the next one and for people."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from newsletter.delivery import dispatch, sender
from newsletter.delivery.channel import build_opener
from newsletter.delivery.dispatch import DomainLimits, RelayLimits
from newsletter.delivery.guards import AlertKind
from newsletter.delivery.ledger import Ledger
from newsletter.delivery.lifecycle import State
from newsletter.delivery.sender import Sender
from newsletter.delivery.shift import Lane, Policy, Surroundings
from newsletter.errors import RelayRefusedUs
from newsletter.smtp.relay import parse_relay
from newsletter.store import Database
from newsletter.store.tables import alerts, attempts, deliveries, editions, relay_states
from newsletter.store.tables import suppressions as suppressed
from tests.integration.editions import make_addresser
from tests.integration.runs import Edition, Server


@pytest.fixture
def other() -> Iterator[Server]:
    with Server() as running:
        yield running


def run_over(
    edition: Edition,
    *relays: tuple[Server, float],
    domains: Sequence[DomainLimits] = (),
    on_progress: Callable[[Counter[State]], None] = lambda _tally: None,
    rate: float = 0,
) -> bool:
    """Run over relays, each with its weight; they are called relay1, relay2 and so on."""

    async def go() -> bool:
        ledger = Ledger(edition.database)
        lanes = [
            Lane(
                limits=RelayLimits(name=f"relay{n}", connections=2, weight=weight, rate=rate),
                open_channel=build_opener(parse_relay(relay.url), ehlo_name="news.example"),
            )
            for n, (relay, weight) in enumerate(relays, 1)
        ]
        return await Sender(
            ledger=ledger,
            run=ledger.take(edition.id, "test", datetime.now(UTC)),
            lanes=lanes,
            address=make_addresser(edition.id).address,
            policy=Policy(
                not_after=edition.now + edition.not_after,
                retry_after=timedelta(seconds=0.2),
                domains=tuple(domains),
            ),
            around=Surroundings(
                now=lambda: datetime.now(UTC), monotonic=time.monotonic, spread=random.random
            ),
            on_progress=on_progress,
        ).send()

    return asyncio.run(go())


def alerts_of(edition: Edition) -> list[str]:
    with edition.database.reading() as connection:
        return list(connection.scalars(select(alerts.c.kind).order_by(alerts.c.id)))


def dead_addresses(edition: Edition) -> int:
    with edition.database.reading() as connection:
        return len(connection.scalars(select(suppressed.c.email_key)).all())


# -- several relays --------------------------------------------------------------------------------


def test_relays_share_by_weight_and_nobody_gets_two(
    database: Database, server: Server, other: Server
) -> None:
    edition = Edition(database, 120)
    assert run_over(edition, (server, 3), (other, 1), rate=200)
    assert edition.counts == {State.ACCEPTED: 120}
    kept = server.kept + other.kept
    assert set(kept.values()) == {1}
    # By weight as long as each keeps up, which on a busy machine is not for long.
    assert other.kept.total() <= server.kept.total() < 110
    with database.reading() as connection:
        vias = connection.scalars(select(attempts.c.via)).all()
    by_relay = Counter(via.partition(" ")[0] for via in vias)
    assert by_relay == {"relay1": server.kept.total(), "relay2": other.kept.total()}


def test_one_that_stands_by_gets_nothing_while_the_first_is_well(
    database: Database, server: Server, other: Server
) -> None:
    edition = Edition(database, 40)
    assert run_over(edition, (server, 1), (other, 0))
    assert (server.kept.total(), other.kept.total()) == (40, 0)


def test_failing_over_sends_nothing_twice(
    database: Database, server: Server, other: Server
) -> None:
    """The first relay keeps messages and hangs up without a word: those are held in doubt."""
    edition = Edition(database, 60)
    server.at_dot = lambda _who, _n: "drop" if server.kept.total() >= 10 else ""
    assert run_over(edition, (server, 1), (other, 0))
    counts = edition.counts
    assert counts[State.ACCEPTED] + counts[State.IN_DOUBT] == 60
    assert other.kept
    assert set((server.kept + other.kept).values()) == {1}
    assert counts[State.IN_DOUBT] == server.kept.total() - 10
    assert alerts_of(edition) == [AlertKind.RELAY]


def test_a_relay_that_refuses_us_retires_and_the_other_goes_on(
    database: Database, server: Server, other: Server
) -> None:
    edition = Edition(database, 40)
    server.at_mail = lambda: "550 5.7.1 We do not know you" if server.kept.total() >= 5 else ""
    assert run_over(edition, (server, 1), (other, 1))
    assert edition.counts == {State.ACCEPTED: 40}
    assert set((server.kept + other.kept).values()) == {1}
    assert alerts_of(edition) == [AlertKind.RELAY]


def test_the_run_ends_when_every_relay_refuses_us(
    database: Database, server: Server, other: Server
) -> None:
    edition = Edition(database, 20)
    server.at_mail = other.at_mail = lambda: "550 5.7.1 We do not know you"
    with pytest.raises(RelayRefusedUs, match="refuses us at MAIL"):
        run_over(edition, (server, 1), (other, 1))
    assert edition.is_free
    assert not server.kept + other.kept


# -- pause and cancel ------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["paused", "cancelled"])
@pytest.mark.parametrize("waits_for", ["rate", "deferred row"])
def test_a_halt_ends_a_run_that_waits_within_a_moment(
    database: Database, server: Server, state: str, waits_for: str
) -> None:
    edition = Edition(database, 5)
    if waits_for == "deferred row":
        server.at_rcpt = lambda _who, _n: "450 4.2.0 Later"

    def halt(_sender: Sender) -> None:
        with database.writing() as connection:
            connection.execute(update(editions).values(state=state))

    def waits() -> bool:
        return edition.tries >= 5 if waits_for == "deferred row" else server.kept.total() == 1

    is_sent, seconds = edition.run_until(
        server,
        waits,
        halt,
        retry_after=3600,
        per_second=0.01 if waits_for == "rate" else 0,
    )
    assert not is_sent
    assert seconds < 4 * sender.LOOK_SECONDS
    assert edition.is_free
    assert edition.state == state


# -- what is left for the next run and for people --------------------------------------------------


def test_addresses_that_are_dead_are_suppressed_when_the_run_is_over(
    database: Database, server: Server
) -> None:
    edition = Edition(database, 40)
    server.at_rcpt = lambda who, _n: "550 5.1.1 No such user" if "reader7@" in who else ""
    during: list[int] = []
    assert edition.run(server, on_progress=lambda _tally: during.append(dead_addresses(edition)))
    assert edition.counts == {State.ACCEPTED: 39, State.FAILED: 1}
    assert set(during) == {0}
    with database.reading() as connection:
        (row,) = connection.execute(select(suppressed)).all()
    assert (row.email_key, row.reason) == ("reader7@example.org", "bounced")


def test_many_dead_addresses_are_our_fault_and_none_is_suppressed(
    database: Database, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those refused before the guards began to doubt, and many heartbeats before."""
    monkeypatch.setattr(sender, "LEASE", timedelta(seconds=0.4))
    edition = Edition(database, 60)
    server.slow_mail = lambda: 0.05
    server.at_rcpt = lambda _who, _n: "550 5.1.1 No such user"
    with pytest.raises(RelayRefusedUs, match="not to exist"):
        edition.run(server)
    assert edition.is_free
    assert edition.counts[State.FAILED] >= 10
    assert dead_addresses(edition) == 0
    assert alerts_of(edition) == [AlertKind.DEAD]


def test_what_was_learned_about_a_relay_outlives_the_run(
    database: Database, server: Server
) -> None:
    edition = Edition(database, 30)
    complaints = ["421 4.7.0 Too fast"]
    server.at_mail = lambda: complaints.pop() if complaints and server.kept.total() > 20 else ""
    assert edition.run(server, connections=6)

    def lesson() -> object:
        with database.reading() as connection:
            return connection.scalar(
                select(relay_states.c.learned).where(relay_states.c.relay == "relay")
            )

    learned = lesson()
    assert isinstance(learned, dict)
    assert learned["penalties"] >= 1
    with database.writing() as connection:
        connection.execute(update(editions).values(state="sending"))
        connection.execute(update(deliveries).values(state="pending"))
    # A run that is stopped before it began forgets nothing.
    assert not edition.run(server, connections=6, on_start=lambda running: running.stop())
    assert lesson() == learned
    seen: list[int] = []

    def watch(running: Sender) -> None:
        desk = running._shift.desk
        restore = desk.restore

        def restored(*what: object, **more: object) -> None:
            restore(*what, **more)  # type: ignore[arg-type]
            seen.append(desk._relays["relay"].gate.allowed)

        desk.restore = restored  # type: ignore[method-assign]
        running.stop()

    assert not edition.run(
        server,
        connections=6,
        on_start=watch,
    )
    assert seen == [learned["allowed"]]


def test_what_waits_for_its_domain_goes_back_into_the_ledger(
    database: Database, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "MOST_PARKED", 10)
    monkeypatch.setattr(dispatch, "KEEP_PARKED", 5)
    monkeypatch.setattr(sender, "BATCH", 20)
    edition = Edition(database, 60)
    put_off: list[int] = []
    real = Ledger.put_off

    def watch(ledger: Ledger, run: object, rows: list[object], now: datetime) -> None:
        put_off.append(len(rows))
        real(ledger, run, rows, now)  # type: ignore[arg-type]

    monkeypatch.setattr(Ledger, "put_off", watch)
    monkeypatch.setattr(dispatch, "_FULL_AGAIN_SECONDS", 0.2)
    limits = [DomainLimits(domain="example.org", rate=30)]
    assert run_over(edition, (server, 1), domains=limits)
    assert edition.counts == {State.ACCEPTED: 60}
    assert set(server.kept.values()) == {1}
    assert sum(put_off) > 0
    starts = sorted(server.times)
    assert starts[-1] - starts[0] >= 59 / 30 - 0.1
