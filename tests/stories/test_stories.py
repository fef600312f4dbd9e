"""Pieces become stories: the labelled pairs, an operator's rules, and any order of candidates."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.briefs.model import Brief, Point
from newsletter.editions.stories import ALIKE, Rule, group_stories
from newsletter.editions.story import Candidate, Earlier, Story
from tests.stories.pairs import Piece, build_pairs, read_pieces

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def score(*, held_out: bool) -> tuple[float, float, list[str]]:
    """Give precision, recall and what was wrong, of one half of the pairs."""
    corpus, pairs = build_pairs(held_out=held_out)
    right = wrong = missed = 0
    told = []
    for pair in pairs:
        likeness = corpus.likeness(*pair.described)
        taken = likeness >= ALIKE
        right += taken and pair.is_same
        wrong += taken and not pair.is_same
        missed += pair.is_same and not taken
        if taken != pair.is_same:
            titles = f'"{pair.one.brief.title}" / "{pair.other.brief.title}"'
            told.append(f"{likeness:.2f} {'same' if pair.is_same else 'not the same'}: {titles}")
    return right / (right + wrong), right / (right + missed), told


def test_there_are_pairs_enough() -> None:
    halves = [build_pairs(held_out=held_out)[1] for held_out in (False, True)]
    assert sum(map(len, halves)) >= 300
    for half in halves:
        assert len(half) >= 150
        assert sum(pair.is_same for pair in half) >= 60


def test_the_pairs_that_were_held_out(capsys: pytest.CaptureFixture[str]) -> None:
    precision, recall, _ = score(held_out=True)
    with capsys.disabled():
        print(f"\nheld-out pairs: precision {precision:.3f}, recall {recall:.3f}")
    # What is aimed at is 0.98 at 0.85; this is what words alone reach, and it must not get worse.
    assert precision >= 0.93
    assert recall >= 0.80


def test_the_pairs_for_tuning() -> None:
    precision, recall, told = score(held_out=False)
    assert (precision, recall) >= (0.98, 0.80), "\n".join(told)


def candidates(pieces: list[Piece]) -> list[Candidate]:
    return [
        Candidate(brief_id=n, published_at=piece.at, brief=piece.brief, source="feeds")
        for n, piece in enumerate(pieces, 1)
    ]


def shape(stories: tuple[Story, ...]) -> list[tuple[int, ...]]:
    return [(s.lead.brief_id, *sorted(o.brief_id for o in s.others)) for s in stories]


DAY = candidates(
    [
        piece
        for subject, pieces in groupby(read_pieces(), key=lambda piece: piece.subject)
        if subject in {"port-strike", "quakes", "stocks-day", "ceo", "japanese", "cocoa", "zoo"}
        for piece in pieces
    ]
)


@given(st.permutations(DAY))
def test_any_order_makes_the_same_stories(shuffled: list[Candidate]) -> None:
    assert group_stories(shuffled) == group_stories(DAY)


def test_every_candidate_is_in_one_story() -> None:
    stories = group_stories(DAY)
    told = sorted(each.brief_id for s in stories for each in (s.lead, *s.others))
    assert told == sorted(each.brief_id for each in DAY)
    assert all(s.why for s in stories if s.others)


def brief(title: str, summary: str, **more: object) -> Brief:
    return Brief(title=title, summary=summary, **more)  # type: ignore[arg-type]


def candidate(number: int, told: Brief, hours: float = 0) -> Candidate:
    at = NOON + timedelta(hours=hours)
    return Candidate(brief_id=number, published_at=at, brief=told, source=f"feed {number}")


STRIKE = (
    brief("Dockers strike at Port Alder", "About 2,300 dockers stopped work at Port Alder."),
    brief("Port Alder dockers walk out", "Some 2,300 longshoremen at Port Alder stopped work."),
    brief("Strike closes Port Alder", "The 2,300 dockers of Port Alder stopped work on Monday."),
)


def test_five_outlets_tell_one_story() -> None:
    told = [candidate(n, each, n) for n, each in enumerate((*STRIKE, *STRIKE[:2]), 1)]
    assert shape(group_stories(told)) == [(1, 2, 3, 4, 5)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Stocks rise", "Stocks fall"),
        ("Senate passes budget", "Senate rejects budget"),
        ("Quake of 6.2 shakes Peru", "Quake of 5.1 shakes Chile"),
        ("Morning briefing, Tuesday", "Morning briefing, Wednesday"),
    ],
)
def test_opposites_and_series_are_not_one_story(one: str, other: str) -> None:
    told = [
        candidate(1, brief(one, f"{one} today.")),
        candidate(2, brief(other, f"{other} today.")),
    ]
    assert len(group_stories(told)) == 2


def test_two_pieces_of_one_outlet_are_two_stories() -> None:
    told = [replace(candidate(n, each, n), source="feed") for n, each in enumerate(STRIKE, 1)]
    assert len(group_stories(told)) == 3
    assert len(group_stories([*told, replace(told[0], brief_id=9)])) == 3


def test_a_day_apart_is_never_one_event() -> None:
    told = [candidate(1, STRIKE[0]), candidate(2, STRIKE[1], 24)]
    assert len(group_stories(told)) == 2


def test_the_same_page_or_the_same_text_is_one_story() -> None:
    link = "https://news.example/a?utm_source=x"
    told = [
        candidate(1, brief("Port reopens", "Ships are back.", link="https://news.example/a")),
        candidate(2, brief("The port reopens", "Ships are back at all berths.", link=link)),
        candidate(3, brief("PORT  reopens", "Ships are back.")),
        candidate(4, brief("Library opens", "Readers rejoice.", link=link)),
    ]
    assert sorted(map(sorted, shape(group_stories(told)))) == [[1, 2, 3], [4]]


def test_who_leads() -> None:
    take = (Point(label="Who Loses", text="Carriers."),)
    told = [
        candidate(1, STRIKE[0], 0),
        candidate(2, replace(STRIKE[1], quick_take=take), 1),
        candidate(3, replace(STRIKE[2], priority=1), 2),
    ]
    assert shape(group_stories(told)) == [(3, 1, 2)]
    assert shape(group_stories(told[:2])) == [(2, 1)]


def test_an_operators_word_counts() -> None:
    told = [candidate(n, each, n) for n, each in enumerate(STRIKE, 1)]
    other = candidate(4, brief("Library opens on Sundays", "Readers in Elmira rejoice."))
    split = Rule(kind="split", one=1, other=2)
    assert shape(group_stories(told, rules=[split])) in ([(1, 3), (2,)], [(1,), (2, 3)])
    merge = Rule(kind="merge", one=4, other=1)
    assert [sorted(each) for each in shape(group_stories([*told, other], rules=[merge]))] == [
        [1, 2, 3, 4]
    ]
    again = [split, Rule(kind="merge", one=2, other=1)]
    assert shape(group_stories(told, rules=again)) == [(1, 2, 3)], "the newest counts"


def test_a_story_that_goes_on_is_known_again() -> None:
    yesterday = Earlier(story_id=7, day=date(2026, 11, 22), brief=STRIKE[0], brief_id=90)
    older = replace(yesterday, day=date(2026, 11, 20), brief_id=80)
    goes_on = candidate(
        1, brief("Port Alder dockers return to work", "The strike of 2,300 dockers ended.")
    )
    new = candidate(2, brief("Library opens on Sundays", "Readers in Elmira rejoice."))
    found = {
        s.lead.brief_id: s.earlier
        for s in group_stories([goes_on, new], earlier=[older, yesterday])
    }
    assert found == {1: yesterday, 2: None}
    kept_apart = Rule(kind="split", one=90, other=1)
    (story,) = group_stories([goes_on], earlier=[yesterday], rules=[kept_apart])
    assert story.earlier is None


def test_nothing_makes_no_story() -> None:
    assert group_stories([]) == ()
