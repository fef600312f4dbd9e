"""The life of a delivery: one table, and nothing moves but by it.

    pending ──▶ leased ──▶ sending ──▶ accepted ──▶ bounced
          ▲        │          ├──────▶ failed
          └────────┤          ├──────▶ in_doubt
                   │          └──────▶ deferred ──▶ leased
                   └── refused before the dot ──▶ deferred | failed
    pending | leased | deferred ──▶ suppressed | expired
    in_doubt ──▶ accepted | pending      settled by an operator, or tried again by the policy
    accepted ──▶ bounced             when mail comes back that only this copy can have caused
    failed | expired ──▶ pending         by an operator's word: `send --retry-failed`

`leased` is a row that a running sender has taken up; nothing of it is committed to the
relay, so it may always go back. `sending` is the intent: from here the final dot may have
left, and only the relay's answer, or an operator, may say what became of it. A lease that
runs out goes back to `pending`; a `sending` whose sender died goes to `in_doubt`. No operator
may send again what was accepted, or to whom left the list: those have no way back.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from newsletter.errors import IllegalMove


class State(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    LEASED = "leased"
    SENDING = "sending"
    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"
    BOUNCED = "bounced"


_S = State
MOVES: dict[State, frozenset[State]] = {
    _S.PENDING: frozenset({_S.LEASED, _S.SUPPRESSED, _S.EXPIRED}),
    _S.LEASED: frozenset(
        {_S.PENDING, _S.SENDING, _S.DEFERRED, _S.FAILED, _S.SUPPRESSED, _S.EXPIRED}
    ),
    _S.SENDING: frozenset({_S.ACCEPTED, _S.DEFERRED, _S.FAILED, _S.IN_DOUBT}),
    _S.DEFERRED: frozenset({_S.LEASED, _S.SUPPRESSED, _S.EXPIRED}),
    _S.IN_DOUBT: frozenset({_S.ACCEPTED, _S.PENDING}),
    _S.ACCEPTED: frozenset({_S.BOUNCED}),
    _S.FAILED: frozenset({_S.PENDING}),
    _S.SUPPRESSED: frozenset(),
    _S.EXPIRED: frozenset({_S.PENDING}),
    _S.BOUNCED: frozenset(),
}

FINAL = frozenset({_S.ACCEPTED, _S.FAILED, _S.IN_DOUBT, _S.SUPPRESSED, _S.EXPIRED, _S.BOUNCED})
"""What ends an edition. In doubt, failed and expired stay so until somebody decides otherwise."""

OPEN = frozenset(State) - FINAL
"""States that keep an edition from being sent."""


def count_open(counts: Mapping[State, int]) -> int:
    """Count the deliveries that still want work."""
    return sum(count for state, count in counts.items() if state in OPEN)


def check_move(state: State, to: State) -> State:
    """Return `to` if the table has that move; raise `IllegalMove` if not."""
    if to not in MOVES[state]:
        raise IllegalMove("a delivery", state, to)
    return to


def origins(to: State) -> frozenset[State]:
    """Name the states that may become `to`: the WHERE of every UPDATE."""
    return frozenset(state for state, goals in MOVES.items() if to in goals)
