"""Fit the weights of `editions.likeness` to the pairs for tuning: `python -m tests.stories`.

What the rest of the day says is fitted to days on which pieces are missing at random as well: most
events of a real day have one piece, which has no likelier one beside it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import combinations

from newsletter.editions.likeness import MOST_APART, MOST_ODDS, Corpus
from newsletter.editions.stories import find_pairs
from tests.stories.pairs import read_pieces

Row = tuple[bool, Sequence[float]]
Ends = tuple[bool, int, int]

SHRINKING = 0.5
STEPS = 12  # Newton's: more than enough
KEPT = (1.0, 0.7, 0.5, 0.3)  # shares of the pieces of a day that is thinned


def fit(rows: Sequence[Row]) -> list[float]:
    """Fit a logistic regression with weights kept small, all but the first."""
    size = len(rows[0][1])
    kept = [1e-6, *[SHRINKING] * (size - 1)]
    weights = [0.0] * size
    for _ in range(STEPS):
        slope = [k * w for k, w in zip(kept, weights, strict=True)]
        bend = [[k * (n == m) for m in range(size)] for n, k in enumerate(kept)]
        for is_same, measures in rows:
            odds = sum(w * m for w, m in zip(weights, measures, strict=True))
            likely = 1 / (1 + math.exp(-odds))
            for n, measure in enumerate(measures):
                slope[n] += (likely - is_same) * measure
                for m, other in enumerate(measures):
                    bend[n][m] += likely * (1 - likely) * measure * other
        weights = [w - s for w, s in zip(weights, solve(bend, slope), strict=True)]
    return weights


def solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Solve linear equations of a matrix that is symmetric and positive."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for n, row in enumerate(rows):
        for other in rows[n + 1 :]:
            share = other[n] / row[n]
            for m in range(n, len(row)):
                other[m] -= share * row[m]
    found = [0.0] * len(rows)
    for n in reversed(range(len(rows))):
        known = sum(rows[n][m] * found[m] for m in range(n + 1, len(rows)))
        found[n] = (rows[n][-1] - known) / rows[n][n]
    return found


def build_pairs_of_day() -> tuple[Corpus, list[Ends]]:
    """Give the pieces for tuning as one day, and its pairs, labelled or alike at first sight."""
    pieces = sorted((p for p in read_pieces() if not p.is_held_out), key=lambda piece: piece.at)
    corpus = Corpus((piece.brief, piece.at) for piece in pieces)
    alike = set(find_pairs(corpus, corpus.described))
    return corpus, [
        (pieces[one].told == pieces[other].told, one, other)
        for one, other in combinations(range(len(pieces)), 2)
        if (one, other) in alike or pieces[one].subject == pieces[other].subject
    ]


def build_shortfalls(odds: Sequence[float], pairs: Sequence[Ends], keep: float) -> list[Row]:
    """Give a thinned day's pairs: the odds, and what these fall short of each piece's best."""
    chance = random.Random(f"{keep}")
    places = sorted({n for _, *ends in pairs for n in ends})
    kept = {n for n in places if chance.random() < keep}
    best: dict[int, float] = {}
    for (_, *ends), how in zip(pairs, odds, strict=True):
        for n in ends if kept.issuperset(ends) else ():
            best[n] = max(best.get(n, how), how)
    return [
        (is_same, (1.0, how, sum(best[n] - how for n in ends)))
        for (is_same, *ends), how in zip(pairs, odds, strict=True)
        if kept.issuperset(ends)
    ]


def main() -> None:
    corpus, pairs = build_pairs_of_day()
    told = corpus.described
    # What a rule keeps apart needs no weights.
    pairs = [pair for pair in pairs if corpus.likeness(told[pair[1]], told[pair[2]])]
    rows = []
    for is_same, one, other in pairs:
        apart = min(abs(told[one].at - told[other].at), MOST_APART)
        rows.append((is_same, corpus._measure(told[one], told[other], apart)))
    weights = [round(weight, 2) for weight in fit(rows)]
    print("_WEIGHTS", weights)
    odds = [sum(w * m for w, m in zip(weights, row, strict=True)) for _, row in rows]
    odds = [min(max(each, -MOST_ODDS), MOST_ODDS) for each in odds]
    thinned = [row for keep in KEPT for row in build_shortfalls(odds, pairs, keep)]
    print("_OF_DAY", [round(weight, 2) for weight in fit(thinned)])


if __name__ == "__main__":
    main()
