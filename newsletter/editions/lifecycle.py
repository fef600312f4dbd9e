"""The life of an edition, as one table of moves.

    held ◄────────────┬───────┐ gathering failed
     │ it works again │       │
     └─────────────► draft ⇄ ready ──► approved ──► sending ⇄ paused
                      ▲                              ▲ │
    cancelled ────────┘ made again     tried again   └─┴──► sent
        ▲
        └─── from every state but sent

A draft becomes ready when it is rendered and checked, and a ready edition a draft when it is
composed again. From approved on the content is fixed: readers may have it. A cancelled edition
is made again (or held) only where nobody was enrolled for it; the shelf sees to that. A sent
edition is being sent again only where an operator puts back readers whom it did not reach
(`resolve --again`, `send --retry-failed`); nobody else of its audience gets anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from newsletter.errors import IllegalMove

EditionState = Literal[
    "draft", "ready", "approved", "sending", "paused", "sent", "cancelled", "held"
]

MOVES: Mapping[EditionState, frozenset[EditionState]] = {
    "draft": frozenset({"ready", "held", "cancelled"}),
    "ready": frozenset({"draft", "approved", "held", "cancelled"}),
    "approved": frozenset({"sending", "cancelled"}),
    "sending": frozenset({"paused", "sent", "cancelled"}),
    "paused": frozenset({"sending", "cancelled"}),
    "sent": frozenset({"sending"}),
    "cancelled": frozenset({"draft", "held"}),
    "held": frozenset({"draft", "cancelled"}),
}
"""Where each state may go. A move that is not here does not exist."""

UNSENT: frozenset[EditionState] = frozenset({"draft", "ready"})
"""The states in which an edition is made, and can be approved."""
UNDER_WAY: frozenset[EditionState] = frozenset({"approved", "sending", "paused"})
"""The states in which readers wait for an edition that is theirs."""
RELEASED: frozenset[EditionState] = frozenset({"approved", "sending", "paused", "sent"})
"""The states in which the content is fixed."""


def move(state: EditionState, to: EditionState, *, name: str = "an edition") -> EditionState:
    """Give the state after a move; raises `IllegalMove` for one that the table does not have."""
    if to not in MOVES[state]:
        raise IllegalMove(name, state, to)
    return to
