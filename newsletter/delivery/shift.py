"""What the connections of one run share: the policy, the clocks, the queue, the counts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from newsletter.audience.reader import Reader
from newsletter.delivery.channel import OpenChannel
from newsletter.delivery.health import Health
from newsletter.delivery.ledger import Job, Outcome
from newsletter.delivery.lifecycle import State
from newsletter.delivery.pacing import Pace
from newsletter.delivery.recorder import Recorder
from newsletter.mail import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a run behaves, from the operator's settings."""

    connections: int
    per_second: float
    not_after: datetime
    retry_after: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The clocks and the randomness, injected. `monotonic` gives seconds, `spread` [0, 1)."""

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    spread: Callable[[], float]


@dataclass(slots=True, kw_only=True)
class Shift:
    """What the connections of one run share."""

    relay_name: str
    open_channel: OpenChannel
    address: Callable[[Reader], Message]
    policy: Policy
    around: Surroundings
    recorder: Recorder
    renew: Callable[[], Awaitable[None]]
    """Renew the lease and set `lease_ends`; raises `LeaseLost` if another has taken over."""
    lease_ends: float
    """Monotonic seconds; no dot is written after it, even if the ledger would still agree."""
    pace: Pace
    health: Health
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set: begin nothing new."""
    reaching: asyncio.Lock = field(default_factory=asyncio.Lock)
    reached: bool = False
    """Whether a connection was ever opened; until then they are tried one at a time."""
    jobs: asyncio.Queue[Job | None] = field(default_factory=asyncio.Queue)
    unsettled: int = 0
    """Leased jobs whose outcome is not recorded yet."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    committed: set[asyncio.Task[None] | None] = field(default_factory=set)
    """Workers between the intent and the answer: they must not be cancelled lightly."""
    unrecorded: list[Outcome] = field(default_factory=list)
    """What the database refused to record; tried once more when everything has ended."""
    tally: Counter[State] = field(default_factory=Counter)
    on_progress: Callable[[Counter[State]], None] = lambda _tally: None

    def settle(self, state: State, count: int = 1) -> None:
        """Count a job as done with."""
        self.tally[state] += count
        self.on_progress(self.tally)

    def settle_job(self, state: State) -> None:
        """Count a leased job as done with, and tell whoever waits for that."""
        self.leave_job()
        self.settle(state)

    def leave_job(self) -> None:
        """Leave a leased job to the ledger, and tell whoever waits for that."""
        self.unsettled -= 1
        self.settled.set()
