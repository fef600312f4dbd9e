"""Which delivery may begin now, over which relay: limits, learning, and nobody forgotten."""

from __future__ import annotations

import math
import random
from collections import Counter, deque
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.audience.reader import Reader
from newsletter.delivery.dispatch import (
    CONNECT,
    DOMAIN_FAILURES,
    DOMAIN_PAUSE_SECONDS,
    FOR_EVER,
    IDENTITY_PAUSE_SECONDS,
    KEEP_PARKED,
    PATIENCE_SECONDS,
    RELAY_FAILURES,
    RELAY_PAUSE_SECONDS,
    Dispatcher,
    DomainLimits,
    RelayLimits,
    Seat,
    Wait,
)
from newsletter.delivery.entries import Job
from newsletter.delivery.guards import Action, Alert, AlertKind
from newsletter.delivery.lifecycle import State
from newsletter.delivery.retry import ACCEPTED, Reason, Scope, Verdict

DOMAIN_SLOWER = Verdict(State.DEFERRED, Scope.DOMAIN, Reason.THROTTLED)
RELAY_SLOWER = Verdict(State.DEFERRED, Scope.RELAY, Reason.THROTTLED)
RELAY_BUSY = Verdict(State.DEFERRED, Scope.RELAY, Reason.BUSY)
LOST = Verdict(State.DEFERRED, Scope.RELAY, Reason.LOST)
IDENTITY = Verdict(State.DEFERRED, Scope.DOMAIN, Reason.IDENTITY)
UNWANTED = Verdict(State.FAILED, Scope.MESSAGE, Reason.UNWANTED)
DEAD = Verdict(State.FAILED, Scope.RECIPIENT, Reason.DEAD)
GREY = Verdict(State.DEFERRED, Scope.RECIPIENT, Reason.GREYLISTED)


def make_jobs(count: int, domain: str = "a.example", *, first: int = 0) -> list[Job]:
    return [
        Job(reader=Reader(subscriber_id=n, email=f"r{n}@{domain}"), attempts=0)
        for n in range(first, first + count)
    ]


def alone(connections: int = 10, **limits: float) -> RelayLimits:
    return RelayLimits(name="relay", connections=connections, **limits)


class Desk:
    """A dispatcher, its seats, and a clock."""

    def __init__(
        self,
        *relays: RelayLimits,
        domains: Iterable[DomainLimits] = (),
        seats: int | None = None,
        now: float = 1000.0,
    ) -> None:
        self.dispatcher = Dispatcher(relays or (alone(),), domains)
        self.seats = {
            limits.name: [
                self.dispatcher.seat(limits.name) for _ in range(seats or limits.connections)
            ]
            for limits in relays or (alone(),)
        }
        self.now = now
        self.alerts: list[Alert] = []

    def take(self, seat: Seat) -> Job | Wait:
        """Take, having connected if that is what is asked."""
        found = self.dispatcher.take(seat, self.now)
        if found is CONNECT:
            self.dispatcher.connected(seat)
            return self.take(seat)
        assert isinstance(found, Job | Wait)
        return found

    def take_all(self, relay: str = "relay") -> list[tuple[Seat, Job]]:
        """Let every seat with empty hands take what it may."""
        return [
            (seat, job)
            for seat in self.seats[relay]
            if not seat.held and isinstance(job := self.take(seat), Job)
        ]

    def take_one(self, relay: str = "relay") -> tuple[Seat, Job]:
        """Let the first seat with empty hands that may take one."""
        for seat in self.seats[relay]:
            if not seat.held and isinstance(job := self.take(seat), Job):
                return seat, job
        raise AssertionError("nothing may begin")

    def done(self, seat: Seat, job: Job, verdict: Verdict | None = ACCEPTED) -> None:
        alert = self.dispatcher.done(seat, job, verdict, self.now, "the relay's words")
        self.alerts += [alert] if alert else []

    def end(self, taken: list[tuple[Seat, Job]], verdict: Verdict | None = ACCEPTED) -> None:
        for seat, job in taken:
            self.done(seat, job, verdict)

    def warm_up(self, domain: str = "warm.example") -> None:
        """Have slow start behind us."""
        self.dispatcher.put(make_jobs(40, domain, first=10_000))
        while taken := self.take_all():
            self.end(taken)


# -- slow start ------------------------------------------------------------------------------------


def test_slow_start_is_over_after_a_few_messages() -> None:
    desk = Desk()
    desk.dispatcher.put(make_jobs(100))
    sizes = []
    while taken := desk.take_all():
        sizes.append(len(taken))
        desk.end(taken)
    assert sizes[:4] == [2, 4, 8, 10]
    assert set(sizes[4:-1]) == {10}


def test_the_first_connection_is_opened_alone() -> None:
    desk = Desk()
    desk.dispatcher.put(make_jobs(5))
    first, second, *_ = desk.seats["relay"]
    assert desk.dispatcher.take(first, desk.now) is CONNECT
    assert desk.dispatcher.take(second, desk.now) == FOR_EVER
    desk.dispatcher.connected(first)
    assert desk.dispatcher.take(second, desk.now) is CONNECT


def test_no_more_connections_are_opened_than_there_is_work() -> None:
    desk = Desk()
    desk.warm_up()
    for seat in desk.seats["relay"]:
        desk.dispatcher.disconnected(seat)
    desk.dispatcher.put(make_jobs(1))
    first, second, *_ = desk.seats["relay"]
    assert desk.dispatcher.take(first, desk.now) is CONNECT
    assert desk.dispatcher.take(second, desk.now) == FOR_EVER
    desk.dispatcher.disconnected(first)  # cancelled while it was opened
    assert desk.dispatcher.take(second, desk.now) is CONNECT


def test_nothing_to_do_waits_for_ever() -> None:
    desk = Desk()
    assert desk.take(desk.seats["relay"][0]) == FOR_EVER


# -- halving ---------------------------------------------------------------------------------------


def test_too_fast_halves_once_whatever_was_under_way() -> None:
    desk = Desk()
    desk.warm_up()
    desk.dispatcher.put(make_jobs(100))
    taken = desk.take_all()
    assert len(taken) == 10
    desk.end(taken[:5], RELAY_SLOWER)
    desk.end(taken[5:])
    assert len(desk.take_all()) == 5


def test_what_was_halved_grows_again_by_cohorts() -> None:
    desk = Desk()
    desk.warm_up()
    desk.dispatcher.put(make_jobs(1000))
    taken = desk.take_all()
    desk.end(taken[:1], RELAY_SLOWER)
    desk.end(taken[1:])
    sizes: list[int] = []
    while (taken := desk.take_all()) and len(sizes) < 40:
        sizes.append(len(taken))
        desk.end(taken)
    assert sizes[0] == 5
    assert sizes == sorted(sizes)
    assert sizes.count(6) == 2, "two cohorts after one halving"
    assert sizes[-1] == 10


def test_a_domain_that_finds_us_too_fast_is_halved_and_the_others_go_on() -> None:
    desk = Desk()
    desk.warm_up()
    desk.dispatcher.put(make_jobs(60))
    desk.dispatcher.put(make_jobs(60, "b.example", first=100))
    taken = desk.take_all()
    desk.end(taken[:2], DOMAIN_SLOWER)
    desk.end(taken[2:], GREY)
    names = Counter(job.reader.email.split("@")[1] for _, job in desk.take_all())
    assert names == {"a.example": 5, "b.example": 5}
    assert desk.dispatcher.parked == 45


def test_it_never_falls_below_one() -> None:
    desk = Desk()
    desk.dispatcher.put(make_jobs(30))
    for _ in range(4):
        desk.end(desk.take_all(), RELAY_SLOWER)
    assert len(desk.take_all()) == 1


# -- the breaker -----------------------------------------------------------------------------------


def break_domain(desk: Desk) -> None:
    desk.dispatcher.put(make_jobs(DOMAIN_FAILURES))
    for _ in range(DOMAIN_FAILURES):
        desk.done(*desk.take_one(), DOMAIN_SLOWER)


def test_a_domain_that_puts_everything_off_is_left_alone_and_then_tried_with_one() -> None:
    desk = Desk(alone(4))
    desk.warm_up()
    break_domain(desk)
    assert [alert.kind for alert in desk.alerts] == [AlertKind.DOMAIN]
    desk.dispatcher.put(make_jobs(20))
    desk.dispatcher.put(make_jobs(2, "b.example", first=50))
    taken = desk.take_all()
    assert {job.reader.email[-9:] for _, job in taken} == {"b.example"}, "nobody waits behind it"
    desk.end(taken)
    assert desk.take(desk.seats["relay"][0]) == Wait(DOMAIN_PAUSE_SECONDS)
    desk.now += DOMAIN_PAUSE_SECONDS
    (probe,) = desk.take_all()
    desk.done(*probe, DOMAIN_SLOWER)
    assert desk.take(desk.seats["relay"][0]) == Wait(2 * DOMAIN_PAUSE_SECONDS)
    desk.now += 2 * DOMAIN_PAUSE_SECONDS
    (probe,) = desk.take_all()
    desk.done(*probe)
    assert len(desk.take_all()) == 1, "it is well again, and begins slowly"
    assert len(desk.alerts) == 1, "told once"


def test_a_relay_that_puts_everything_off_is_left_alone() -> None:
    desk = Desk(alone(3))
    desk.dispatcher.put(make_jobs(100))
    for _ in range(RELAY_FAILURES):
        desk.done(*desk.take_one(), RELAY_BUSY)
    (alert,) = desk.alerts
    assert (alert.kind, alert.action, alert.about) == (AlertKind.RELAY, Action.BREAK, "relay")
    assert "the relay's words" in alert.sentence
    assert desk.take(desk.seats["relay"][0]) == Wait(RELAY_PAUSE_SECONDS)
    desk.now += RELAY_PAUSE_SECONDS
    (probe,) = desk.take_all()
    assert desk.dispatcher.take_at_once(probe[0], desk.now) is None, "one message tries it"
    desk.done(*probe)
    assert len(desk.take_all()) == 2


def test_a_relay_that_only_breaks_off_ends_the_run() -> None:
    desk = Desk(alone(3))
    desk.dispatcher.put(make_jobs(100))
    for _ in range(RELAY_FAILURES):
        seat, job = desk.take_one()
        desk.dispatcher.disconnected(seat)
        desk.done(seat, job, LOST)
    (alert,) = desk.alerts
    assert (alert.kind, alert.action) == (AlertKind.RELAY, Action.STOP)
    assert "keeps breaking off" in alert.sentence


def test_the_more_connections_the_more_may_break_at_once() -> None:
    desk = Desk(alone(50))
    desk.dispatcher.put(make_jobs(200))
    for _ in range(99):
        desk.done(*desk.take_one(), LOST)
    assert desk.alerts == []
    desk.done(*desk.take_one(), LOST)
    assert [alert.action for alert in desk.alerts] == [Action.STOP]


def test_an_answer_about_a_reader_shows_that_a_broken_relay_works() -> None:
    desk = Desk(alone(3))
    desk.dispatcher.put(make_jobs(100))
    for _ in range(RELAY_FAILURES):
        desk.done(*desk.take_one(), RELAY_BUSY)
    desk.now += RELAY_PAUSE_SECONDS
    (probe,) = desk.take_all()
    desk.done(*probe, DEAD)
    assert len(desk.take_all()) == 1


def test_a_provider_that_refuses_our_identity_waits_for_an_hour() -> None:
    desk = Desk()
    desk.warm_up()
    desk.dispatcher.put(make_jobs(30))
    desk.dispatcher.put(make_jobs(3, "b.example", first=50))
    taken = desk.take_all()
    desk.end(taken[:1], IDENTITY)
    desk.end(taken[1:2])  # what another message got proves nothing now
    desk.end(taken[2:], IDENTITY)
    assert [(alert.kind, alert.about) for alert in desk.alerts] == [
        (AlertKind.IDENTITY, "a.example")
    ]
    taken = desk.take_all()
    assert {job.reader.email[-9:] for _, job in taken} == {"b.example"}
    desk.end(taken)
    assert desk.take(desk.seats["relay"][0]) == Wait(IDENTITY_PAUSE_SECONDS)


def test_a_domain_that_wants_none_of_it_is_tried_one_at_a_time() -> None:
    desk = Desk()
    desk.warm_up()
    desk.dispatcher.put(make_jobs(30))
    taken = desk.take_all()
    desk.end(taken[:5], UNWANTED)
    desk.end(taken[5:])
    assert [(alert.kind, alert.action) for alert in desk.alerts] == [
        (AlertKind.UNWANTED, Action.BREAK)
    ]
    assert desk.take(desk.seats["relay"][0]) == Wait(DOMAIN_PAUSE_SECONDS)
    desk.now += DOMAIN_PAUSE_SECONDS
    (probe,) = desk.take_all()
    desk.done(*probe, UNWANTED)
    assert desk.take(desk.seats["relay"][0]) == Wait(2 * DOMAIN_PAUSE_SECONDS)


# -- what an operator allows -----------------------------------------------------------------------


def test_the_rate_holds_over_all_connections() -> None:
    desk = Desk(alone(5, rate=10))
    desk.warm_up()
    desk.now += 10
    desk.dispatcher.put(make_jobs(20))
    assert len(desk.take_all()) == 1
    (wait,) = {desk.take(seat) for seat in desk.seats["relay"] if not seat.held}
    assert isinstance(wait, Wait)
    assert wait.seconds == pytest.approx(0.1)
    desk.now += 0.1
    assert len(desk.take_all()) == 1
    desk.now += 10
    assert len(desk.take_all()) == 1, "idle time is not saved up"


def test_a_domains_limits_hold_over_all_relays() -> None:
    relays = [RelayLimits(name=name, connections=5) for name in ("one", "two")]
    desk = Desk(*relays, domains=[DomainLimits(domain="A.example", connections=3, rate=1000)])
    desk.dispatcher.put(make_jobs(40))
    desk.dispatcher.put(make_jobs(200, "b.example", first=100))
    held: list[tuple[Seat, Job]] = []
    for _ in range(300):
        desk.now += 0.002
        held += desk.take_all("one") + desk.take_all("two")
        under_way = sum(job.reader.email.endswith("@a.example") for _, job in held)
        assert under_way <= 3
        if held:
            desk.done(*held.pop(0))
    assert not held
    assert desk.dispatcher.in_hand == desk.dispatcher.queued == desk.dispatcher.parked == 0


def test_a_domains_rate_wakes_it_in_time() -> None:
    desk = Desk(domains=[DomainLimits(domain="*", rate=2)])
    desk.dispatcher.put(make_jobs(3))
    (first,) = desk.take_all()
    desk.done(*first)
    assert desk.take(desk.seats["relay"][0]) == Wait(0.5)
    desk.now += 0.5
    (second,) = desk.take_all()
    desk.done(*second)


def test_one_more_at_once_counts_for_rate_and_domain() -> None:
    desk = Desk(domains=[DomainLimits(domain="a.example", connections=1)])
    desk.dispatcher.put(make_jobs(2))
    desk.dispatcher.put(make_jobs(1, "b.example", first=9))
    seat, first = desk.take_one()
    other = desk.dispatcher.take_at_once(seat, desk.now)
    assert other
    assert other.reader.email == "r9@b.example"
    assert desk.dispatcher.take_at_once(seat, desk.now) is None
    assert desk.dispatcher.parked == 1
    desk.done(seat, first)
    third = desk.dispatcher.take_at_once(seat, desk.now)
    assert third
    assert third.reader.email == "r1@a.example"
    desk.done(seat, third)
    desk.done(seat, other)
    assert desk.dispatcher.in_hand == 0


def test_a_rate_leaves_no_room_for_one_more_at_once() -> None:
    desk = Desk(alone(1, rate=10))
    desk.dispatcher.put(make_jobs(3))
    ((seat, _),) = desk.take_all()
    assert desk.dispatcher.take_at_once(seat, desk.now) is None
    desk.now += 0.11
    assert desk.dispatcher.take_at_once(seat, desk.now)


# -- several relays --------------------------------------------------------------------------------


def two(first: float, second: float, **more: float) -> Desk:
    return Desk(
        RelayLimits(name="one", connections=4, weight=first),
        RelayLimits(name="two", connections=4, weight=second, **more),
    )


def test_relays_share_by_weight() -> None:
    desk = two(3, 1)
    desk.dispatcher.put(make_jobs(400))
    shares: Counter[str] = Counter()
    for _ in range(1000):
        desk.now += 0.01
        for name in ("two", "one"):
            taken = desk.take_all(name)
            shares[name] += len(taken)
            desk.end(taken)
    assert shares.total() == 400
    assert shares["one"] == pytest.approx(300, abs=5)


def test_a_relay_that_stalls_holds_nobody_back() -> None:
    desk = two(1, 1)
    desk.dispatcher.put(make_jobs(400))
    for _ in range(8):
        desk.end(desk.take_all("one"))
        desk.end(desk.take_all("two"))
    desk.end(desk.take_all("one"))
    assert desk.take_all("two")  # and now it is silent
    begun = 0
    for _ in range(100):
        desk.now += 0.1
        taken = desk.take_all("one")
        begun += len(taken)
        desk.end(taken)
    assert begun > 300


def test_a_relay_that_stands_by_works_only_while_no_other_is_well() -> None:
    desk = two(1, 0)
    desk.dispatcher.put(make_jobs(100))
    standby = desk.seats["two"][0]
    desk.end(desk.take_all("one"))
    assert desk.take(standby) == FOR_EVER
    for seat in desk.seats["one"]:
        desk.dispatcher.disconnected(seat)
    first = desk.seats["one"][0]
    assert desk.dispatcher.take(first, desk.now) is CONNECT
    assert desk.take(standby) == FOR_EVER
    pause = desk.dispatcher.unreachable(first, desk.now)
    assert pause
    job = desk.take(standby)
    assert isinstance(job, Job)
    desk.done(standby, job)
    assert desk.dispatcher.take(first, desk.now) == Wait(pause)
    desk.now += pause
    job = desk.take(first)
    assert isinstance(job, Job)
    desk.done(first, job)
    assert desk.take(standby) == FOR_EVER


def test_a_relay_that_was_never_there_does_not_matter_while_another_is() -> None:
    desk = two(1, 0)
    desk.dispatcher.put(make_jobs(10))
    first, standby = desk.seats["one"][0], desk.seats["two"][0]
    assert desk.dispatcher.take(first, desk.now) is CONNECT
    assert desk.dispatcher.unreachable(first, desk.now) is not None
    assert desk.dispatcher.take(standby, desk.now) is CONNECT
    assert desk.dispatcher.unreachable(standby, desk.now) is None, "none is there"


def test_a_relay_whose_breaker_is_open_leaves_the_work_to_the_other() -> None:
    desk = two(1, 0)
    desk.dispatcher.put(make_jobs(100))
    for _ in range(RELAY_FAILURES):
        desk.done(*desk.take_one("one"), LOST)
    assert [alert.action for alert in desk.alerts] == [Action.BREAK]
    assert len(desk.take_all("two")) == 2
    assert desk.take_all("one") == []


# -- is it there? ----------------------------------------------------------------------------------


def test_a_relay_that_never_answered_is_reported_at_once() -> None:
    desk = Desk()
    assert desk.dispatcher.unreachable(desk.seats["relay"][0], desk.now) is None


def test_a_relay_that_worked_is_given_time() -> None:
    desk = Desk()
    desk.dispatcher.put(make_jobs(10))
    seat = desk.seats["relay"][0]
    assert isinstance(desk.take(seat), Job)
    desk.dispatcher.disconnected(seat)
    pauses, began = [], desk.now
    while (pause := desk.dispatcher.unreachable(seat, desk.now)) is not None:
        pauses.append(pause)
        assert desk.dispatcher.take(seat, desk.now) == Wait(pause)
        desk.now += pause
        assert desk.dispatcher.take(seat, desk.now) is CONNECT
    assert desk.now - began > PATIENCE_SECONDS
    assert pauses == sorted(pauses)
    assert pauses[0] == 0.5
    assert max(pauses) == 30.0


def test_coming_back_resets_the_patience() -> None:
    desk = Desk()
    seat = desk.seats["relay"][0]
    for now in (0.0, PATIENCE_SECONDS * 2):
        desk.dispatcher.connected(seat)
        assert desk.dispatcher.unreachable(seat, now) == 0.5


def test_a_relay_that_is_only_full_is_never_given_up_and_asked_for_less() -> None:
    desk = Desk()
    desk.warm_up()
    first, second, *others = desk.seats["relay"]
    for seat in (second, *others):
        desk.dispatcher.disconnected(seat)
    for _ in range(200):
        assert desk.dispatcher.unreachable(second, desk.now) is not None
        desk.now += 10
    desk.now += 60
    desk.dispatcher.put(make_jobs(5))
    assert isinstance(desk.take(first), Job)
    assert desk.take(second) == FOR_EVER


def test_the_patience_begins_when_the_last_connection_has_gone() -> None:
    desk = Desk()
    first, second = desk.seats["relay"][:2]
    desk.dispatcher.connected(first)
    assert desk.dispatcher.unreachable(second, 0.0) is not None
    desk.dispatcher.disconnected(first)
    assert desk.dispatcher.unreachable(second, PATIENCE_SECONDS * 2) is not None
    assert desk.dispatcher.unreachable(second, PATIENCE_SECONDS * 3.1) is None


# -- books -----------------------------------------------------------------------------------------


def test_what_was_not_begun_can_be_given_back() -> None:
    desk = Desk()
    break_domain(desk)
    jobs = make_jobs(10)
    desk.dispatcher.put([*jobs[:5], *make_jobs(1, "b.example", first=90), *jobs[5:]])
    ((seat, job),) = desk.take_all()
    desk.done(seat, job, None)
    assert sorted(j.reader.subscriber_id for j in desk.dispatcher.drain()) == list(range(10))
    assert desk.dispatcher.queued == desk.dispatcher.parked == desk.dispatcher.in_hand == 0
    desk.now += 10 * DOMAIN_PAUSE_SECONDS
    assert desk.take_all() == []


def test_memory_need_not_hold_a_domain_that_waits() -> None:
    desk = Desk()
    break_domain(desk)
    desk.dispatcher.put(make_jobs(KEEP_PARKED + 400))
    assert desk.take_all() == []
    shed = desk.dispatcher.shed(desk.now)
    assert len(shed) == 400
    assert {seconds for _, seconds in shed} == {DOMAIN_PAUSE_SECONDS}
    assert desk.dispatcher.parked == KEEP_PARKED
    assert desk.dispatcher.shed(desk.now) == []


def test_what_a_rate_cannot_take_is_spread_over_the_time_it_needs() -> None:
    desk = Desk(domains=[DomainLimits(domain="a.example", rate=2)])
    desk.dispatcher.put(make_jobs(KEEP_PARKED + 101))
    desk.take_all()
    seconds = [seconds for _, seconds in desk.dispatcher.shed(desk.now)]
    assert len(seconds) == 100
    assert min(seconds) == pytest.approx(KEEP_PARKED / 2 + 0.5)
    assert max(seconds) - min(seconds) == pytest.approx(99 / 2)


def test_what_was_learned_outlives_the_run() -> None:
    desk = Desk()
    desk.warm_up()
    break_domain(desk)
    desk.dispatcher.put(make_jobs(20, "b.example", first=200))
    taken = desk.take_all()
    desk.end(taken[:1], RELAY_SLOWER)
    desk.end(taken[1:])
    learned = desk.dispatcher.snapshot(desk.now)
    assert set(learned) == {"relay", "@a.example"}
    again = Desk(now=5.0)
    again.dispatcher.restore(learned | {"gone": {"allowed": 1, "penalties": 1}}, 5.0)
    assert again.dispatcher.snapshot(5.0) == learned
    again.dispatcher.put(make_jobs(20))
    again.dispatcher.put(make_jobs(20, "b.example", first=200))
    taken = again.take_all()
    assert len(taken) == 5
    assert {job.reader.email[-9:] for _, job in taken} == {"b.example"}
    later = Desk(now=5.0)
    later.dispatcher.restore(learned, 5.0, age_seconds=DOMAIN_PAUSE_SECONDS)
    later.dispatcher.put(make_jobs(20))
    assert len(later.take_all()) == 1, "its time has come: one message tries it"


def test_a_run_without_complaints_has_nothing_to_remember() -> None:
    desk = Desk()
    desk.warm_up()
    assert desk.dispatcher.snapshot(desk.now) == {}


def test_gates_that_hold_nobody_back_are_forgotten() -> None:
    desk = Desk(domains=[DomainLimits(domain="*", connections=50, rate=1000)])
    for n in range(5000):
        desk.dispatcher.put(make_jobs(1, f"d{n}.example"))
        desk.now += 1
        desk.end(desk.take_all())
    assert len(desk.dispatcher._domains) <= 2001


VERDICTS: list[Verdict | None] = [
    None,
    *[ACCEPTED] * 6,
    DOMAIN_SLOWER,
    RELAY_SLOWER,
    RELAY_BUSY,
    LOST,
    UNWANTED,
    DEAD,
    GREY,
    IDENTITY,
]


def play(
    seed: int, domains: Sequence[DomainLimits], rates: tuple[float, float]
) -> tuple[list[int], dict[str, dict[str, object]]]:
    """Play a run of random answers; check the limits at each step; give the order of starts."""
    chance = random.Random(seed)
    relays = (
        RelayLimits(name="one", connections=4, rate=rates[0], weight=2),
        RelayLimits(name="two", connections=2, rate=rates[1], weight=1),
    )
    desk = Desk(*relays, domains=domains)
    seats = [seat for group in desk.seats.values() for seat in group]
    waiting = deque(
        job for n in range(120) for job in make_jobs(1, f"{chance.choice('abcd')}.example", first=n)
    )
    held: list[tuple[Seat, Job]] = []
    order: list[int] = []
    starts: dict[str, float] = {}
    by_name = {limits.domain: limits for limits in domains}

    def begin(seat: Seat, job: Job) -> None:
        order.append(job.reader.subscriber_id)
        held.append((seat, job))
        domain = job.reader.email.split("@")[1]
        limits = by_name.get(domain, by_name.get("*"))
        under_way = sum(other.reader.email.endswith(domain) for _, other in held)
        assert not limits or not limits.connections or under_way <= limits.connections
        rates = {f"@{domain}": limits.rate if limits else 0}
        rates |= {relay.name: relay.rate for relay in relays if relay.name == seat.relay}
        for name, rate in rates.items():
            if rate and name in starts:
                assert desk.now - starts[name] >= 1 / rate - 1e-9
            starts[name] = desk.now
        at_work = {id(s) for s, _ in held if s.relay == seat.relay}
        assert len(at_work) <= {"one": 4, "two": 2}[seat.relay]

    while waiting or held or desk.dispatcher.queued or desk.dispatcher.parked:
        if waiting and chance.random() < 0.3:
            desk.dispatcher.put([waiting.popleft() for _ in range(min(7, len(waiting)))])
        seat = chance.choice(seats)
        if seat.held:
            if job := desk.dispatcher.take_at_once(seat, desk.now):
                begin(seat, job)
        elif isinstance(found := desk.take(seat), Job):
            begin(seat, found)
        if held and chance.random() < 0.7:
            taken = held.pop(chance.randrange(len(held)))
            verdict = chance.choice(VERDICTS) if len(order) < 110 else ACCEPTED
            if verdict is LOST:
                desk.dispatcher.disconnected(taken[0])
            desk.done(*taken, verdict)
        if not held and not waiting:
            waits = []
            for seat in seats:
                found = desk.take(seat)
                if isinstance(found, Job):
                    begin(seat, found)
                    break
                waits.append(found.seconds)
            else:
                if desk.dispatcher.queued or desk.dispatcher.parked:
                    assert math.isfinite(min(waits)), "somebody would wait for ever"
                    desk.now += min(waits)
        desk.now += chance.choice([0, 0.001, 0.05])
    assert desk.dispatcher.in_hand == 0
    return order, desk.dispatcher.snapshot(desk.now)


LIMITS = st.lists(
    st.builds(
        DomainLimits,
        domain=st.sampled_from(["*", "a.example", "b.example"]),
        connections=st.integers(0, 3),
        rate=st.sampled_from([0, 5, 100]),
    ),
    unique_by=lambda limits: limits.domain,
)
RATES = st.tuples(st.sampled_from([0, 20]), st.sampled_from([0, 20]))


@given(st.integers(0, 10**9), LIMITS, RATES)
def test_everybody_begins_once_within_the_limits_and_the_same_way_again(
    seed: int, domains: Sequence[DomainLimits], rates: tuple[float, float]
) -> None:
    order, learned = play(seed, domains, rates)
    assert sorted(order) == list(range(120))
    assert play(seed, domains, rates) == (order, learned)
