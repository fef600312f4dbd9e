"""How well the labelled pairs are told apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import combinations

from newsletter.editions.stories import group_stories, suggest_merges
from newsletter.editions.story import Candidate
from tests.stories.pairs import SETS, Pair, Piece, build_pairs, read_pieces

MOMENT = datetime(2026, 3, 2, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How well one half of the labelled pairs is decided."""

    right: int
    wrong: int
    missed: int
    suggested: int = 0
    """Of those missed, how many an editor is asked about."""
    questions: int = 0
    """How many suggestions there are."""
    told: list[str]

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong)

    @property
    def recall(self) -> float:
        return self.right / (self.right + self.missed)

    @property
    def recall_with_suggestions(self) -> float:
        return (self.right + self.suggested) / (self.right + self.missed)

    def __str__(self) -> str:
        same = self.right + self.missed
        parts = (
            f"{name} {part / whole:.3f} (95%: {low:.3f} to {high:.3f}; {part} of {whole})"
            for name, part, whole in (
                ("precision", self.right, self.right + self.wrong),
                ("recall", self.right, same),
                (f"with {self.questions} suggestions", self.right + self.suggested, same),
            )
            for low, high in [bounds(part, whole)]
        )
        return ", ".join(parts)


def bounds(part: int, whole: int) -> tuple[float, float]:
    """Give Wilson's interval of 95 percent for a share."""
    z = 1.96
    middle = part / whole + z * z / (2 * whole)
    reach = z * math.sqrt(part / whole * (1 - part / whole) / whole + (z / whole / 2) ** 2)
    return (middle - reach) / (1 + z * z / whole), (middle + reach) / (1 + z * z / whole)


def score_stories(name: str, *, held_out: bool) -> Score:
    """Group all pieces of a half as a day's; what is in one story and in two subjects is wrong.

    Each piece is given an outlet of its own: that no outlet tells an event twice would keep most
    events of a subject apart, as they come from the same few outlets, and is not to be credited.
    """
    pieces = [piece for piece in read_pieces(name) if piece.is_held_out is held_out]
    story: dict[tuple[str, str, str], int] = {}
    mixed = 0
    by_number = dict(enumerate(pieces, 1))
    alone = [replace(each, source=f"feed {each.brief_id}") for each in candidates(pieces)]
    made = [(each.lead, *each.others) for each in group_stories(alone)]
    for n, told in enumerate(made):
        members = [by_number[each.brief_id] for each in told]
        mixed += sum(a.subject != b.subject for a, b in combinations(members, 2))
        story.update({key(piece): n for piece in members})
    suggestions = suggest_merges(made, most=len(made))
    asked = {
        frozenset(
            story[key(by_number[each.brief_id])] for each in (suggestion.one, suggestion.other)
        )
        for suggestion in suggestions
    }
    _, pairs = build_pairs(name, held_out=held_out)

    def place(pair: Pair) -> frozenset[int]:
        return frozenset((story[key(pair.one)], story[key(pair.other)]))

    found = count(pairs, lambda pair: len(place(pair)) == 1)
    return replace(
        found,
        wrong=found.wrong + mixed,
        suggested=sum(pair.is_same and place(pair) in asked for pair in pairs),
        questions=len(suggestions),
    )


def count_unrelated() -> tuple[int, int]:
    """Give how many are joined of a day's pieces that tell of different things, and how many are.

    It has the first piece of each subject of both sets and halves, all at one moment. Most of a
    real day is unrelated; here some are of one kind (two wildfires, two drugs).
    """
    first = {p.subject: p for name in SETS for p in reversed(read_pieces(name))}
    told = [replace(each, published_at=MOMENT) for each in candidates(list(first.values()))]
    alone = [replace(each, source=f"feed {each.brief_id}") for each in told]
    return len(alone) - len(group_stories(alone)), len(alone)


def key(piece: Piece) -> tuple[str, str, str]:
    return piece.subject, piece.brief.title, piece.brief.sources[0].name


def count(pairs: list[Pair], is_taken: Callable[[Pair], bool]) -> Score:
    right = wrong = missed = 0
    told = []
    for pair in pairs:
        taken = is_taken(pair)
        right += taken and pair.is_same
        wrong += taken and not pair.is_same
        missed += pair.is_same and not taken
        if taken != pair.is_same:
            titles = f'"{pair.one.brief.title}" / "{pair.other.brief.title}"'
            told.append(f"{'same' if pair.is_same else 'not the same'}: {titles}")
    return Score(right=right, wrong=wrong, missed=missed, told=told)


def candidates(pieces: list[Piece]) -> list[Candidate]:
    return [
        Candidate(brief_id=n, published_at=piece.at, brief=piece.brief, source="feeds")
        for n, piece in enumerate(pieces, 1)
    ]
