"""The life of a delivery: the table of DESIGN, move by move."""

from __future__ import annotations

import pytest

from newsletter.delivery.lifecycle import FINAL, MOVES, OPEN, State, check_move, origins
from newsletter.errors import IllegalMove
from newsletter.store.tables import OPEN_STATES

LEGAL = {
    "pending": "leased suppressed expired",
    "leased": "pending sending deferred failed suppressed expired",
    "sending": "accepted deferred failed in_doubt",
    "deferred": "leased suppressed expired",
    "in_doubt": "accepted pending",
    "accepted": "bounced",
    "failed": "pending",
    "suppressed": "",
    "expired": "pending",
    "bounced": "",
}
PAIRS = [(State(a), State(b)) for a in LEGAL for b in LEGAL]


def test_every_state_is_in_the_table() -> None:
    assert set(MOVES) == set(State) == {State(name) for name in LEGAL}


@pytest.mark.parametrize(("state", "to"), PAIRS)
def test_legal_moves_are_made_and_illegal_ones_raise(state: State, to: State) -> None:
    if to in LEGAL[state].split():
        assert check_move(state, to) is to
        assert state in origins(to)
    else:
        with pytest.raises(IllegalMove) as caught:
            check_move(state, to)
        assert str(caught.value) == f"a delivery cannot go from {state} to {to}."
        assert state not in origins(to)


def test_the_table_cannot_be_changed_through_what_it_gives() -> None:
    for state in State:
        assert isinstance(MOVES[state], frozenset)


def test_open_and_final_share_all_states_out() -> None:
    assert set(State) == OPEN | FINAL
    assert not OPEN & FINAL
    assert set(OPEN_STATES) == OPEN, "the partial index covers the open states"


def test_what_a_reader_has_or_does_not_want_has_no_way_back_to_the_sender() -> None:
    seen, reached = set(), {State.ACCEPTED, State.SUPPRESSED}
    while reached:
        seen |= reached
        reached = {to for state in reached for to in MOVES[state]} - seen
    assert seen == {State.ACCEPTED, State.SUPPRESSED, State.BOUNCED}


def test_only_an_intent_leads_to_the_relays_verdicts() -> None:
    for verdict in (State.ACCEPTED, State.IN_DOUBT):
        assert origins(verdict) - {State.IN_DOUBT} == {State.SENDING}
