from __future__ import annotations

from itertools import pairwise, product
from typing import get_args

import pytest

from newsletter.editions.lifecycle import MOVES, RELEASED, EditionState, move
from newsletter.errors import IllegalMove

STATES: tuple[EditionState, ...] = get_args(EditionState)


@pytest.mark.parametrize(
    "life",
    [
        "draft ready approved sending sent",
        "sending sent sending sent",
        "sending sent sending paused cancelled",
        "draft ready draft ready approved sending paused sending sent",
        "held draft held cancelled draft",
        "draft ready held draft",
        "sending cancelled",
        "paused cancelled held",
    ],
)
def test_lives_an_edition_may_lead(life: str) -> None:
    states: list[EditionState] = [
        state for word in life.split() for state in STATES if state == word
    ]
    for state, to in pairwise(states):
        assert move(state, to) == to


@pytest.mark.parametrize(("state", "to"), list(product(STATES, STATES)))
def test_a_move_that_the_table_lacks_is_refused(state: EditionState, to: EditionState) -> None:
    if to in MOVES[state]:
        assert move(state, to) == to
    else:
        with pytest.raises(IllegalMove) as caught:
            move(state, to, name="the edition of 2026-03-02")
        sentence = f"the edition of 2026-03-02 cannot go from {state} to {to}."
        assert str(caught.value) == sentence


def test_nothing_is_mailed_that_was_not_approved() -> None:
    assert [state for state in STATES if "sending" in MOVES[state]] == [
        "approved",
        "paused",
        "sent",
    ]
    assert [state for state in STATES if "approved" in MOVES[state]] == ["ready"]


def test_content_that_readers_may_have_never_becomes_a_draft_again() -> None:
    for state in RELEASED:
        assert not MOVES[state] & {"draft", "ready", "held"}
    assert MOVES["sent"] == {"sending"}
