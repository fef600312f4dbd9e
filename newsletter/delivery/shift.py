"""What the connections of one run share: the policy, the clocks, the desk, the counts."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from newsletter.audience.reader import Reader
from newsletter.delivery.channel import OpenChannel
from newsletter.delivery.dispatch import Dispatcher, DomainLimits, RelayLimits
from newsletter.delivery.entries import Job, Outcome
from newsletter.delivery.guards import Action, Alert, AlertKind
from newsletter.delivery.lifecycle import State
from newsletter.delivery.recorder import Recorder
from newsletter.errors import NewsletterError, RelayRefusedUs, RelayUnavailable
from newsletter.events import Event, about
from newsletter.mail import Message

log = logging.getLogger("newsletter.delivery")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A relay as a run uses it."""

    limits: RelayLimits
    open_channel: OpenChannel

    @property
    def name(self) -> str:
        """What the relay is called in the ledger and in sentences."""
        return self.limits.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a run behaves, from the operator's settings."""

    not_after: datetime
    retry_after: timedelta
    domains: tuple[DomainLimits, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The clocks and the randomness, injected. `monotonic` gives seconds, `spread` [0, 1)."""

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    spread: Callable[[], float]


@dataclass(slots=True, kw_only=True)
class Shift:
    """What the connections of one run share."""

    desk: Dispatcher
    """Decides what may begin now, and over which relay."""
    address: Callable[[Reader], Message]
    pool: Executor | None = None
    """Where messages are made, if that takes long enough to be done beside."""
    policy: Policy
    around: Surroundings
    recorder: Recorder
    renew: Callable[[], Awaitable[None]]
    """Renew the lease and set `lease_ends`; raises `LeaseLost` if another has taken over."""
    lease_ends: float = -math.inf
    """Monotonic seconds; no message is ended after it, even if the ledger would still agree."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set: begin nothing new."""
    is_finished: bool = False
    """Whether nothing is left to begin: connections part, and are not cut."""
    failure: Exception | None = None
    """What made the run fail: the first that did."""
    edition: str = ""
    """The edition's number, for the log."""
    relays: int = 1
    unsettled: int = 0
    """Leased jobs whose outcome is not recorded yet."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    committed: set[asyncio.Task[None] | None] = field(default_factory=set)
    """Workers between an intent and its answer: they must not be cancelled lightly."""
    refusing: dict[str, NewsletterError] = field(default_factory=dict)
    """Relays that refuse us in this run, by name, and how."""
    unrecorded: list[Outcome] = field(default_factory=list)
    """What the database refused to record; tried once more when everything has ended."""
    dead: list[tuple[Reader, str]] = field(default_factory=list)
    """Readers whose address is said not to exist, and the relay's words."""
    alerts: list[Alert] = field(default_factory=list)
    """What a person must know and the ledger does not have yet."""
    tally: Counter[State] = field(default_factory=Counter)
    replies: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Replies by relay and first digit; "" for what was no reply."""
    domains: Counter[tuple[str, State]] = field(default_factory=Counter)
    """Attempts by the reader's domain and what became of them, as they come."""
    on_progress: Callable[[Counter[State]], None] = lambda _tally: None
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)

    # -- the desk ------------------------------------------------------------------------------

    def put(self, jobs: tuple[Job, ...]) -> None:
        """Take in leased jobs."""
        self.desk.put(jobs)
        self.stir()

    @property
    def idle(self) -> int:
        """How many wait at the desk."""
        return len(self._waiting)

    def stir(self) -> None:
        """Let whoever waits at the desk look again."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                _wake(future)

    async def wait(self, seconds: float) -> None:
        """Wait for news of the desk, or for so many seconds."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._waiting.append(future)
        timer = None
        if seconds < math.inf:
            timer = loop.call_later(seconds, _wake, future)
        try:
            await future
        finally:
            if timer is not None:
                timer.cancel()

    # -- the counts ----------------------------------------------------------------------------

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

    # -- what a person must know ---------------------------------------------------------------

    def alert(self, alert: Alert) -> None:
        """Tell a person, and end the run if the alert asks for that."""
        log.warning("%s", alert.sentence, extra=about(Event.RELAY_ALERT, edition=self.edition))
        self.alerts.append(alert)
        if alert.action is Action.STOP:
            is_passing = alert.kind is AlertKind.RELAY
            self.fail((RelayUnavailable if is_passing else RelayRefusedUs)(alert.sentence))

    def fail(self, error: Exception) -> None:
        """End the run, in order; whoever started it is told the first reason."""
        self.failure = self.failure or error
        self.stopping.set()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
