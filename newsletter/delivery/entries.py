"""What a run writes into the ledger, and what it is answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from newsletter.audience.reader import Reader
from newsletter.delivery.lifecycle import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The right to send an edition. `fence` grows with every run; an old one can do nothing."""

    edition_id: int
    fence: int
    holder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A leased delivery."""

    reader: Reader
    attempts: int
    """How many attempts there were before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """Deliveries taken up, and how many dropped out because their address is suppressed."""

    jobs: tuple[Job, ...]
    suppressed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """The end of this attempt's message is about to be written."""

    subscriber_id: int
    number: int
    via: str


class Grant(Enum):
    """The ledger's answer to an intent."""

    GIVEN = "given"
    SUPPRESSED = "suppressed"
    HALTED = "halted"
    """The edition is not being sent any more: paused or cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an attempt. `intended` tells whether its intent had been committed."""

    subscriber_id: int
    number: int
    via: str
    state: State
    reply: str
    started_at: datetime
    ended_at: datetime
    next_attempt_at: datetime
    intended: bool
