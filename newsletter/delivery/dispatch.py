"""Which delivery may begin now, over which relay. Pure: the caller brings the clock.

    put ─▶ ready ─▶ take ─▶ in hand ─▶ done ─▶ gates and guards learn
              │       ▲
              └ parked┘   its domain may not be given more now; nobody waits behind it

A seat is one connection's place at one relay. `take` tells it to connect, what to send, or
how long to wait; who waits takes again after any other call here, or when that time is up. A
delivery is handed out only to a seat with an open connection, so that failing over is nothing
but another seat taking what this one never had.

With no limit set and nobody complaining there are no gates but the relays' own, and taking
and ending a message costs the same few steps whatever is queued: nothing is ever searched.
Each delivery is set aside at most once, and taken from there when its domain's turn comes.

Domains are not grouped by their mail exchangers, which would need the DNS: a provider that
hosts ten domains has ten gates. Which of a relay's addresses is well is the connection's
affair, not this room's.

This file is over 300 lines because it is one bookkeeping.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from newsletter.delivery.entries import Job
from newsletter.delivery.guards import Action, Alert, AlertKind, Guards
from newsletter.delivery.lifecycle import State
from newsletter.delivery.pacing import START, Gate
from newsletter.delivery.retry import Reason, Scope, Verdict

PATIENCE_SECONDS = 120.0
"""How long a relay that worked may be unreachable before the run gives up."""
RELAY_FAILURES = 10
"""So many failures in a row open a relay's breaker. With many connections it is two of each,
since a restart of the relay ends all of them at once."""
RELAY_PAUSE_SECONDS, LONGEST_RELAY_PAUSE_SECONDS = 30.0, 600.0
DOMAIN_FAILURES = 5
DOMAIN_PAUSE_SECONDS, LONGEST_DOMAIN_PAUSE_SECONDS = 300.0, 3600.0
IDENTITY_PAUSE_SECONDS = 3600.0
"""A provider that refuses our identity is asked again so often: somebody may have mended it."""
LONGEST_RECONNECT_SECONDS = 30.0
SHARE_SECONDS = 1.0
"""A relay that begins nothing for so long holds no other one back."""
KEEP_PARKED = 100
"""Parked deliveries of one domain that are worth keeping at hand."""
_SWEEP_AT = 1000
"""So many domains with a gate are looked through for those that need none any more."""
_FULL_AGAIN_SECONDS = 5.0  # a guess: when a domain with enough under way has room for the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLimits:
    """What an operator allows for one relay.

    Relays share the messages by weight as long as each keeps up; one of weight 0 stands by
    until no relay with a weight is well.
    """

    name: str
    connections: int
    rate: float = 0
    """Messages a second; 0 = as the relay allows."""
    weight: float = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainLimits:
    """What an operator allows for a recipient's domain, over all relays; "*" is any other."""

    domain: str
    connections: int = 0
    """Messages under way at once; 0 = no limit."""
    rate: float = 0
    """Messages a second; 0 = no limit."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing may begin for so many seconds, or until something changes if that is sooner."""

    seconds: float


class Connect(Enum):
    """There is something to send: open a connection, tell the seat, and take again."""

    CONNECT = "connect"


CONNECT: Final = Connect.CONNECT
FOR_EVER: Final = Wait(math.inf)


class _Link(Enum):
    CLOSED = 0
    OPENING = 1
    OPEN = 2


class _Relay:
    """One relay: its gate counts seats at work, its reach the connections."""

    __slots__ = (
        "connected",
        "down_since",
        "ever_connected",
        "gate",
        "is_plain",
        "last_start",
        "limits",
        "opening",
        "refusals",
        "retry_at",
        "share",
    )

    def __init__(self, limits: RelayLimits, *, is_alone: bool) -> None:
        self.limits = limits
        self.is_plain = is_alone and limits.rate <= 0
        """Whether nothing but its gate decides."""
        self.gate = Gate(
            limits.connections,
            limits.rate,
            tolerance=max(RELAY_FAILURES, 2 * limits.connections),
            pause=RELAY_PAUSE_SECONDS,
            longest_pause=LONGEST_RELAY_PAUSE_SECONDS,
        )
        self.connected = self.opening = 0
        self.ever_connected = False
        self.refusals = 0
        """Connections in a row that did not open."""
        self.down_since: float | None = None
        self.retry_at = -math.inf
        self.share = 0.0
        """Messages begun, by weight."""
        self.last_start = -math.inf

    @property
    def is_well(self) -> bool:
        """Whether it works, or has not been tried yet."""
        return not self.gate.open_until and (self.connected > 0 or not self.refusals)

    def is_hopeless(self, now: float) -> bool:
        """Whether it is not worth waiting for: never there, or gone for too long."""
        if self.connected or not self.refusals:
            return False
        if not self.ever_connected:
            return True
        return self.down_since is not None and now - self.down_since > PATIENCE_SECONDS

    def holds_back_others(self, now: float) -> bool:
        """Whether what it has not begun yet is its share, and not what it cannot do."""
        gate = self.gate
        if not self.connected or gate.open_until or now - self.last_start >= SHARE_SECONDS:
            return False
        return gate.allowed >= gate.most if not gate.has_room else gate.ready_at(now) <= now


class _Domain:
    """One domain's gate, and what waits at it."""

    __slots__ = ("answering", "gate", "name", "parked", "wakes_at")

    def __init__(self, name: str, gate: Gate) -> None:
        self.name, self.gate = name, gate
        self.answering = 0
        """Messages under way whose complaints were answered by a halving already."""
        self.parked: deque[Job] = deque()
        self.wakes_at = math.inf
        """When it is looked at again: -inf = at the next take, inf = when one of its is done."""

    def claim(self, now: float) -> None:
        self.gate.in_hand += 1
        self.gate.claim_start(now)


class Seat:
    """One connection's place at a relay, made by `Dispatcher.seat`. What is in it is the desk's."""

    __slots__ = ("held", "link", "penalty", "place")

    def __init__(self, place: _Relay) -> None:
        self.place = place
        self.held: deque[Job] = deque()
        self.link = _Link.CLOSED
        self.penalty = 0
        """The mark of the relay's gate when the last message, or the connecting, began."""

    @property
    def relay(self) -> str:
        """The relay's name."""
        return self.place.limits.name


class Dispatcher:
    """The desk at which all connections of a run take their work."""

    def __init__(self, relays: Iterable[RelayLimits], domains: Iterable[DomainLimits] = ()) -> None:
        self.guards = Guards()
        relays = tuple(relays)
        self._relays = {limits.name: _Relay(limits, is_alone=len(relays) == 1) for limits in relays}
        self._weighted = [relay for relay in self._relays.values() if relay.limits.weight > 0]
        self._lead = 1 / min((relay.limits.weight for relay in self._weighted), default=1)
        self._most = sum(relay.limits.connections for relay in self._relays.values())
        self._limits = {limits.domain.lower(): limits for limits in domains}
        self._any = self._limits.pop("*", None)
        self._has_limits = bool(self._limits) or self._any is not None
        self._seats: list[Seat] = []
        self._opening = 0
        self._in_hand = 0
        self._ready: deque[Job] = deque()
        self._parked = 0
        self._domains: dict[str, _Domain] = {}
        self._sweep_at = _SWEEP_AT
        self._awake: deque[_Domain] = deque()
        self._timed: list[tuple[float, int, _Domain]] = []
        self._serial = 0

    def seat(self, relay: str) -> Seat:
        """Give a place at a relay to one connection, for as long as the run lasts."""
        seat = Seat(self._relays[relay])
        self._seats.append(seat)
        return seat

    # -- what there is -------------------------------------------------------------------------

    @property
    def queued(self) -> int:
        """Deliveries that wait for a connection alone: the number to fill up from the ledger."""
        return len(self._ready)

    @property
    def parked(self) -> int:
        """Deliveries that wait for their domain."""
        return self._parked

    @property
    def in_hand(self) -> int:
        """Deliveries taken and not done."""
        return self._in_hand

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return sum(relay.connected for relay in self._relays.values())

    def explain_wait(self, now: float) -> str:
        """Say in words what holds the run back, if anything but the wire does."""
        said = []
        for relay in self._relays.values():
            name, gate = relay.limits.name, relay.gate
            if gate.open_until > now:
                said.append(f"{name} is left alone for {gate.open_until - now:.0f} s")
            elif not relay.connected and relay.refusals:
                said.append(f"{name} cannot be reached")
            elif gate.allowed < gate.most and gate.penalty:
                said.append(f"{name} bears {gate.allowed} connections of {gate.most}")
            elif self._ready and gate.next_start > now:
                said.append(f"{name} is sent {relay.limits.rate:g} a second")
        if self._parked:
            said.append(f"{self._parked} wait for their domain")
        return "; ".join(said)

    def put(self, jobs: Iterable[Job]) -> None:
        """Take in deliveries, in the order in which they should begin."""
        self._ready.extend(jobs)

    def drain(self) -> list[Job]:
        """Give up everything that has not begun."""
        drained = [job for domain in self._domains.values() for job in domain.parked]
        drained.extend(self._ready)
        self._ready.clear()
        for domain in self._domains.values():
            domain.parked.clear()
        self._parked = 0
        return drained

    def shed(self, now: float) -> list[tuple[Job, float]]:
        """Give up what is parked and cannot begin soon: each, and in how many seconds it may.

        For the caller to put off in the ledger when `parked` has grown large: the domain that
        waits may be half of the audience, and memory must not hold it.
        """
        shed: list[tuple[Job, float]] = []
        if self._parked <= KEEP_PARKED:
            return shed
        for domain in self._domains.values():
            for place in range(len(domain.parked) - 1, KEEP_PARKED - 1, -1):
                seconds = max(domain.gate.seconds_until(place, now), _FULL_AGAIN_SECONDS)
                shed.append((domain.parked.pop(), seconds))
        self._parked -= len(shed)
        return shed

    # -- for the connections -------------------------------------------------------------------

    def take(self, seat: Seat, now: float) -> Job | Connect | Wait:
        """Take the next delivery, having none in hand; or learn what is to be done first."""
        return self._take(seat, now) if seat.link is _Link.OPEN else self._may_connect(seat, now)

    def take_at_once(self, seat: Seat, now: float) -> Job | None:
        """Take one more for the same connection, before the last is done, if it may begin now."""
        found = self._take(seat, now) if seat.link is _Link.OPEN else FOR_EVER
        return None if isinstance(found, Wait) else found

    def done(
        self, seat: Seat, job: Job, verdict: Verdict | None, now: float, said: object = ""
    ) -> Alert | None:
        """Give back what a delivery held, and learn from its verdict.

        None means that it was given back unsent: its row, too, is the caller's. `said` are
        the relay's words, for people. An alert, if any, is the caller's to log, store and,
        where it says so, stop for.
        """
        relay, held = seat.place, seat.held
        if held[0] is job:
            held.popleft()
        else:
            del held[next(place for place, other in enumerate(held) if other is job)]
        self._in_hand -= 1
        if not held:
            relay.gate.in_hand -= 1
        name = job.reader.domain
        domain = self._domains.get(name) if self._domains else None
        if domain is not None:
            domain.gate.in_hand -= 1
        alert = None
        if verdict is not None:
            if verdict.state is State.ACCEPTED:
                relay.gate.succeeded(now)
                if domain is not None:
                    domain.gate.succeeded(now)
                self.guards.accepted(name)
            else:
                alert = self._learn(seat, name, verdict, now, said)
                domain = self._domains.get(name)
        if domain is not None:
            self._stir(domain, now)
        return alert

    def connected(self, seat: Seat) -> None:
        """Note that the connection is ready for messages."""
        self.disconnected(seat)
        seat.link = _Link.OPEN
        relay = seat.place
        relay.connected += 1
        relay.ever_connected = True
        relay.refusals = 0
        relay.down_since = None
        relay.retry_at = -math.inf

    def disconnected(self, seat: Seat) -> None:
        """Note that the connection is gone, whoever ended it, or that its opening was given up."""
        if seat.link is _Link.OPEN:
            seat.place.connected -= 1
        elif seat.link is _Link.OPENING:
            seat.place.opening -= 1
            self._opening -= 1
        seat.link = _Link.CLOSED

    def unreachable(self, seat: Seat, now: float) -> float | None:
        """Note that no connection opens: seconds until the next try, or None to give up the run.

        A relay that was never there is a mistake to report at once, and one that stays away
        for long is not worth waiting for, unless another relay is. One that takes no more
        connections while others work is only full. `take` asks to wait by itself.
        """
        self.disconnected(seat)
        relay, gate = seat.place, seat.place.gate
        relay.refusals += 1
        pause = float(min(2 ** min(relay.refusals, 10) / 4, LONGEST_RECONNECT_SECONDS))
        relay.retry_at = now + pause
        if relay.connected:
            if seat.penalty == gate.penalty:
                gate.limit(relay.connected)
            return pause
        if relay.ever_connected and relay.down_since is None:
            relay.down_since = now
        return None if all(r.is_hopeless(now) for r in self._relays.values()) else pause

    # -- across restarts -----------------------------------------------------------------------

    def snapshot(self, now: float) -> dict[str, dict[str, Any]]:
        """Give what was learned: by a relay's name, or a domain with its "@"."""
        gates = {name: relay.gate for name, relay in self._relays.items()}
        gates |= {f"@{name}": domain.gate for name, domain in self._domains.items()}
        learned = {name: gate.snapshot(now) for name, gate in gates.items()}
        return {name: lesson for name, lesson in learned.items() if lesson}

    def restore(
        self, learned: Mapping[str, Mapping[str, Any]], now: float, *, age_seconds: float = 0
    ) -> None:
        """Take up what `snapshot` gave, so many seconds ago. What is not known here is left."""
        for name, lesson in learned.items():
            if name.startswith("@"):
                self._domain(name[1:]).gate.restore(lesson, now, age_seconds)
            elif name in self._relays:
                self._relays[name].gate.restore(lesson, now, age_seconds)

    # -- what may begin ------------------------------------------------------------------------

    def _take(self, seat: Seat, now: float) -> Job | Wait:
        relay = seat.place
        gate, held = relay.gate, seat.held
        if not self._ready and not self._parked:
            return FOR_EVER
        if gate.open_until:
            if gate.open_until > now:
                return Wait(gate.open_until - now)
            if gate.in_hand:  # one message tries it
                return FOR_EVER
        # A seat at work counts once, however many messages it has under way.
        elif gate.in_hand - bool(held) >= gate.allowed:
            return FOR_EVER
        if not relay.is_plain and (wait := self._wait_of(relay, now)) > 0:
            return Wait(wait)
        job = self._pick(now)
        if job is None:
            return self._wait_for_domains(now)
        if not relay.is_plain:
            gate.claim_start(now)
            self._count_share(relay, now)
        if not held:
            gate.in_hand += 1
        held.append(job)
        seat.penalty = gate.penalty
        self._in_hand += 1
        return job

    def _may_connect(self, seat: Seat, now: float) -> Connect | Wait:
        relay = seat.place
        gate = relay.gate
        self._wake(now)
        if self._opening >= len(self._ready) + len(self._awake):
            return self._wait_for_domains(now)
        if now < max(relay.retry_at, gate.open_until):
            return Wait(max(relay.retry_at, gate.open_until) - now)
        # Only the first connection tells whether the relay is there; the others wait for it.
        most = (1 if gate.open_until else gate.allowed) if relay.connected else 1
        if relay.connected + relay.opening >= most:
            return FOR_EVER
        if not relay.is_plain and (wait := self._wait_of(relay, now)) > 0:
            return Wait(wait)
        relay.opening += 1
        self._opening += 1
        seat.link, seat.penalty = _Link.OPENING, gate.penalty
        return CONNECT

    def _wait_of(self, relay: _Relay, now: float) -> float:
        """Tell how long a relay with room must wait: for its rate, its turn or its share."""
        if relay.gate.next_start > now:
            return relay.gate.next_start - now
        if relay.limits.weight <= 0:
            return math.inf if any(other.is_well for other in self._weighted) else 0
        for other in self._weighted:
            if (
                other is not relay
                and relay.share - other.share > self._lead
                and other.holds_back_others(now)
            ):
                return other.last_start + SHARE_SECONDS - now
        return 0

    def _count_share(self, relay: _Relay, now: float) -> None:
        if relay.limits.weight <= 0:
            return
        if now - relay.last_start >= SHARE_SECONDS:  # what it missed meanwhile is not made up for
            others = [r.share for r in self._weighted if r is not relay and r.connected]
            relay.share = max(relay.share, min(others, default=0.0))
        relay.share += 1 / relay.limits.weight
        relay.last_start = now

    def _pick(self, now: float) -> Job | None:
        """Pick the oldest delivery whose domain may be given one more now."""
        ready, awake = self._ready, self._awake
        if not self._domains and not self._has_limits:
            return ready.popleft() if ready else None
        self._wake(now)
        while awake:
            domain = awake.popleft()
            domain.wakes_at = math.inf
            if not domain.parked:
                continue
            if (at := domain.gate.ready_at(now)) > now:
                self._set_aside(domain, at)
                continue
            self._parked -= 1
            job = domain.parked.popleft()
            domain.claim(now)
            if domain.parked:  # the others that are awake come first
                domain.wakes_at = -math.inf
                awake.append(domain)
            return job
        while ready:
            job = ready.popleft()
            at_domain = self._find_domain(job)
            if at_domain is None:
                return job
            at = at_domain.gate.ready_at(now)
            if at <= now and not at_domain.parked:
                at_domain.claim(now)
                return job
            if not at_domain.parked:
                self._set_aside(at_domain, at)
            at_domain.parked.append(job)
            self._parked += 1
        return None

    def _set_aside(self, domain: _Domain, at: float) -> None:
        """Look at a domain again at a time, or when one of its messages is done."""
        domain.wakes_at = at
        if at < math.inf:
            self._serial += 1
            heapq.heappush(self._timed, (at, self._serial, domain))

    def _wake(self, now: float) -> None:
        timed = self._timed
        while timed and (timed[0][0] <= now or timed[0][0] != timed[0][2].wakes_at):
            at, _, domain = heapq.heappop(timed)
            if at == domain.wakes_at:
                domain.wakes_at = -math.inf
                self._awake.append(domain)

    def _wait_for_domains(self, now: float) -> Wait:
        return Wait(max(self._timed[0][0] - now, 0)) if self._timed else FOR_EVER

    # -- what came of it -----------------------------------------------------------------------

    def _learn(
        self, seat: Seat, name: str, verdict: Verdict, now: float, said: object
    ) -> Alert | None:
        """Learn from whatever is no success."""
        alert = self.guards.note(name, verdict, said)
        if verdict.scope is Scope.RELAY:
            return self._blame_relay(seat, verdict, now, said)
        if verdict.reason is Reason.FAULT:  # nobody was asked
            return alert
        gate = seat.place.gate
        if 0 < gate.open_until <= now:  # it was tried, and answers about something else
            gate.close()
        if verdict.scope is Scope.DOMAIN or (
            verdict.reason is Reason.UNWANTED and self.guards.is_unwelcome(name)
        ):
            breaks = self._blame_domain(self._domain(name), verdict, now, said)
            return alert or breaks
        domain = self._domains.get(name)
        if domain is not None and 0 < domain.gate.open_until <= now:
            domain.gate.close()
        return alert

    def _blame_relay(self, seat: Seat, verdict: Verdict, now: float, said: object) -> Alert | None:
        relay, gate = seat.place, seat.place.gate
        if verdict.reason is Reason.THROTTLED and seat.penalty == gate.penalty:
            gate.slowed(gate.in_hand + (not seat.held))
        if not gate.failed(now):
            return None
        name = relay.limits.name
        others = any(r.is_well for r in self._relays.values() if r is not relay)
        if verdict.reason is Reason.LOST and not others:
            return Alert(
                kind=AlertKind.RELAY,
                action=Action.STOP,
                about=name,
                sentence=f"{name} keeps breaking off ({said}): mend the relay and run the same "
                "command again; nobody gets a second copy",
            )
        if gate.times_open > 1:
            return None
        meanwhile = "others take over" if others else "nobody is failed for it"
        return Alert(
            kind=AlertKind.RELAY,
            action=Action.BREAK,
            about=name,
            sentence=f"{name} puts everything off ({said}): it is tried again from time to time, "
            f"and {meanwhile}",
        )

    def _blame_domain(
        self, domain: _Domain, verdict: Verdict, now: float, said: object
    ) -> Alert | None:
        gate = domain.gate
        if verdict.reason is Reason.IDENTITY:
            gate.break_off(now, IDENTITY_PAUSE_SECONDS)
            return None
        if verdict.reason is Reason.UNWANTED:
            gate.break_off(now)
            return None
        # One halving answers all that was under way when it came.
        if domain.answering > 0:
            domain.answering -= 1
        else:
            domain.answering = gate.in_hand
            gate.slowed(gate.in_hand + 1)
        if not gate.failed(now) or gate.times_open > 1:
            return None
        return Alert(
            kind=AlertKind.DOMAIN,
            action=Action.BREAK,
            about=domain.name,
            sentence=f"{domain.name} puts everything off ({said}): its readers wait, and it is "
            "tried again from time to time",
        )

    # -- domains -------------------------------------------------------------------------------

    def _find_domain(self, job: Job) -> _Domain | None:
        """Find the domain of a delivery, if it has a gate or needs one."""
        name = job.reader.domain
        domain = self._domains.get(name)
        if domain is None and (self._any is not None or name in self._limits):
            return self._domain(name)
        return domain

    def _domain(self, name: str) -> _Domain:
        """Find a domain, or give it a gate."""
        if (found := self._domains.get(name)) is not None:
            return found
        limits = self._limits.get(name, self._any)
        most = (limits.connections if limits else 0) or self._most
        gate = Gate(
            most,
            limits.rate if limits else 0,
            start=START if limits and limits.connections else most,
            tolerance=DOMAIN_FAILURES,
            pause=DOMAIN_PAUSE_SECONDS,
            longest_pause=LONGEST_DOMAIN_PAUSE_SECONDS,
        )
        gate.in_hand = sum(job.reader.domain == name for seat in self._seats for job in seat.held)
        domain = self._domains[name] = _Domain(name, gate)
        return domain

    def _stir(self, domain: _Domain, now: float) -> None:
        """Look at a domain again at the next take, or forget a gate that holds nobody back."""
        if domain.parked:
            if domain.wakes_at > -math.inf:
                domain.wakes_at = -math.inf
                self._awake.append(domain)
        elif not self._has_limits:
            if domain.gate.is_blank(now):
                del self._domains[domain.name]
        elif len(self._domains) > self._sweep_at:
            kept = {n: d for n, d in self._domains.items() if d.parked or not d.gate.is_blank(now)}
            self._domains = kept
            self._sweep_at = max(_SWEEP_AT, 2 * len(kept))
