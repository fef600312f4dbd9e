"""What may be told of how often links were followed: nothing that gives a small figure away."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.delivery.interest import FEWEST, hide_small

Figures = dict[str, int]
NAMES = "abcdef"


@pytest.mark.parametrize(
    ("figures", "told", "others"),
    [
        ({}, {}, 0),
        ({"a": 20, "b": 31}, {"b": 31, "a": 20}, 0),
        ({"a": 19}, {}, 0),
        ({"a": 5, "b": 14}, {}, 0),
        ({"a": 5, "b": 15}, {}, 20),
        ({"a": 5, "b": 15, "c": 40}, {"c": 40}, 20),
        ({"a": 5, "c": 40}, {}, 45),  # a alone would be the difference
        ({"a": 5, "b": 9, "c": 21, "d": 22}, {"d": 22}, 35),
        ({"a": 5, "b": 21, "c": 21, "d": 22}, {"d": 22}, 47),  # b or c would say which is first
        ({"a": 19, "b": 19, "c": 50}, {}, 88),  # 38 of two could only be 19 and 19
        ({"a": 0, "b": 30}, {"b": 30}, 0),
    ],
)
def test_what_is_small_stands_in_a_sum(figures: Figures, told: Figures, others: int) -> None:
    assert hide_small(figures) == (told, others)
    assert list(hide_small(figures)[0]) == list(told), "the most first"


@given(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 60), max_size=6))
def test_nothing_small_is_told_and_nothing_is_lost_or_made_up(figures: Figures) -> None:
    told, others = hide_small(figures)
    assert all(number >= FEWEST and figures[name] == number for name, number in told.items())
    assert others == 0 or others >= FEWEST
    hidden = {name: n for name, n in figures.items() if n and name not in told}
    assert len(hidden) != 1 or not others
    if others or told or sum(figures.values()) >= FEWEST:
        assert sum(told.values()) + others == sum(figures.values())
    else:
        assert (told, others) == ({}, 0)


@pytest.mark.parametrize(("fewest", "groups", "most"), [(3, 3, 9), (3, 4, 7), (5, 3, 13)])
def test_no_hidden_figure_follows_from_what_is_told(fewest: int, groups: int, most: int) -> None:
    """Whoever knows the rule, and all that is told, still has a choice for every hidden figure.

    All there is is gone through: each way in which so many groups can have been followed.
    """
    seen: dict[tuple[tuple[tuple[str, int], ...], int], list[tuple[int, ...]]] = defaultdict(list)
    for numbers in product(range(most + 1), repeat=groups):
        figures = dict(zip(NAMES, numbers, strict=False))
        told, others = hide_small(figures, fewest)
        seen[tuple(sorted(told.items())), others].append(numbers)
    assert len(seen) > most
    for answer, possible in seen.items():
        for place, name in enumerate(NAMES[:groups]):
            could_be = {numbers[place] for numbers in possible}
            is_told = name in dict(answer[0])
            assert is_told or could_be == {0} or len(could_be) > 1, (answer, possible)


def list_alternatives(figures: Mapping[str, int], name: str, other: str) -> Iterator[Figures]:
    """Give what else it could have been: clicks of one hidden group were those of another."""
    for moved in range(-figures[name], figures[other] + 1):
        if moved:
            yield {**figures, name: figures[name] + moved, other: figures[other] - moved}


@given(st.dictionaries(st.sampled_from(NAMES), st.integers(1, 70), max_size=6))
def test_each_hidden_figure_of_an_edition_could_be_another(figures: Figures) -> None:
    answer = hide_small(figures)
    hidden = [name for name in figures if name not in answer[0]]
    for name in hidden:
        # One that nobody followed can be anything as long as the sum stays untold.
        others = [other for other in hidden if other != name]
        could_be = [{**figures, name: figures[name] - 1}, {**figures, name: figures[name] + 1}]
        could_be += [each for other in others for each in list_alternatives(figures, name, other)]
        assert any(hide_small(each) == answer for each in could_be), (figures, name)
