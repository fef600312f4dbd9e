"""Which words mean nearly the same, and how nearly: a table of 14,000 English word stems.

`kindred.txt.gz` has a line for each stem: the stem, then its nearest ones, each with a digit, 5 to
9 tenths ("walkout strik6 stoppag6"). `tests.stories.kindred` made it out of two free works, and
`kindred-license.txt` has their terms: GloVe, word vectors out of news and encyclopaedias, says how
near two words stand; WordNet says which share a meaning, and which are opposites: never near.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from importlib.resources import files


def read_kindred(meaning: Callable[[str], str]) -> Mapping[str, Mapping[str, float]]:
    """Read the table; `meaning` gives the stem that stands for another."""
    packed = (files("newsletter.editions") / "kindred.txt.gz").read_bytes()
    found: dict[str, dict[str, float]] = {}
    for line in gzip.decompress(packed).decode("ascii").splitlines():
        word, *near = line.split()
        one = meaning(word)
        for each in near:
            other, nearness = meaning(each[:-1]), int(each[-1]) / 10
            if one != other:
                for here, there in ((one, other), (other, one)):
                    kin = found.setdefault(here, {})
                    kin[there] = max(nearness, kin.get(there, 0.0))
    return found
