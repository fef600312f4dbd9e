"""Fit the weights of `editions.likeness` to the tuning half: `python -m tests.stories`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from newsletter.editions.likeness import MOST_APART
from tests.stories.pairs import build_pairs

STEPS = 2_500
PACE = 0.012
SHRINKING = 0.5


def fit(rows: Sequence[tuple[bool, Sequence[float]]]) -> list[float]:
    """Fit a logistic regression with weights kept small."""
    weights = [0.0] * len(rows[0][1])
    for _ in range(STEPS):
        slope = [SHRINKING * weight for weight in weights]
        slope[0] = 0.0
        for is_same, measures in rows:
            odds = sum(w * m for w, m in zip(weights, measures, strict=True))
            error = 1 / (1 + math.exp(-odds)) - is_same
            for n, measure in enumerate(measures):
                slope[n] += error * measure
        weights = [w - PACE * s for w, s in zip(weights, slope, strict=True)]
    return weights


def main() -> None:
    corpus, pairs = build_pairs(held_out=False)
    rows = []
    for pair in pairs:
        one, other = pair.described
        apart = min(abs(one.at - other.at), MOST_APART)
        rows.append((pair.is_same, corpus._measure(one, other, apart)))
    print(", ".join(f"{weight:.2f}" for weight in fit(rows)))


if __name__ == "__main__":
    main()
