"""Fit the weights of `editions.likeness`, and score them: `python -m tests.stories`.

Weights are fitted to the older set alone. Fitted to both they find most of the fresh pairs, and
join unrelated pieces of a day by the dozen: outlets that tell an event each from a side of its own
share hardly more words than two events do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from newsletter.editions.likeness import MOST_APART
from tests.stories.pairs import SETS, build_pairs
from tests.stories.scores import count_unrelated, score_stories

SHRINKING = 0.5
STEPS = 25  # Newton's: more than enough


def fit(rows: Sequence[tuple[bool, Sequence[float]]]) -> list[float]:
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


def main() -> None:
    """Print the weights that fit best, and how well those do that are in the program."""
    corpus, pairs = build_pairs("pieces", held_out=False)
    rows = []
    for pair in pairs:
        one, other = pair.described
        apart = min(abs(one.at - other.at), MOST_APART)
        rows.append((pair.is_same, corpus._measure(one, other, apart)))
    print("weights:", ", ".join(f"{weight:.2f}" for weight in fit(rows)))
    for name in SETS:
        for held_out in (False, True):
            half = "held out" if held_out else "for tuning"
            print(f"{name}, {half}: {score_stories(name, held_out=held_out)}")
    joined, whole = count_unrelated()
    print(f"of {whole} unrelated pieces of one day {joined} are joined to another")


if __name__ == "__main__":
    main()
