"""Candidates → stories: pieces about one event become one, and a returning story is recognised.

Two pieces are one story where `likeness` says so, or an operator's rule, of which the newest of a
pair counts. They are joined from the likeliest pair down, and only where every piece of the one
group is like every piece of the other: a chain of small steps (A like B, B like C) never joins A
and C. So a piece that a rule keeps from one of a group is kept from all of it. What a rule joins
is joined last, with all that the two have gathered until then.

An outlet that writes two pieces means two: pieces of one outlet are one story only where they say
the same, or stand on the same page, or an operator says so.

Only pieces that share a word that is rare on that day are compared, so that cost grows with the
number of pieces and not with its square. The result does not depend on their order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from newsletter.briefs.sources.identity import canonical_link, is_alike
from newsletter.editions.likeness import Corpus, Described
from newsletter.editions.story import Candidate, Earlier, Story

ALIKE = 0.7
"""From which likeness on two pieces are one story."""
LEAST_ALIKE = 0.5
"""The least likeness of two pieces in one story."""
AKIN = 0.75
"""From which kinship on a story is taken to go on from an earlier edition."""
_RARE_WORDS = 8  # of a piece: what it is looked up by
_MOST_SHARING = 60  # pieces with one word; more say that it is not rare

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An operator's word that two briefs are one story, or are not."""

    kind: Literal["merge", "split"]
    one: int
    other: int
    """Numbers of stored briefs."""


def group_stories(
    candidates: Sequence[Candidate],
    *,
    rules: Sequence[Rule] = (),
    earlier: Sequence[Earlier] = (),
) -> tuple[Story, ...]:
    """Make stories of candidates; `rules` are in the order in which they were made."""
    pieces = sorted(candidates, key=_lead_first)
    corpus = Corpus((piece.brief, piece.published_at) for piece in pieces)
    ruled = {_pair(rule.one, rule.other): rule.kind for rule in rules}
    groups = _Groups(pieces, corpus, ruled)
    for position, other in _find_doubles(pieces):
        groups.join(position, other, is_sure=True)
    likely = [
        (-likeness, one, other)
        for one, other in _find_pairs(corpus)
        if (likeness := groups.likeness(one, other)) >= ALIKE
    ]
    for _, one, other in sorted(likely):
        groups.join(one, other)
    at = {piece.brief_id: position for position, piece in enumerate(pieces)}
    for (one, other), kind in ruled.items():
        if kind == "merge" and one in at and other in at:
            groups.join(at[one], at[other], is_sure=True)
    tellers = _Tellers(earlier)
    return tuple(
        Story(
            lead=pieces[members[0]],
            others=tuple(pieces[n] for n in members[1:]),
            why=_explain([corpus.described[n] for n in members]) if members[1:] else "",
            earlier=tellers.find(pieces[members[0]], ruled),
        )
        for members in groups.list()
    )


class _Groups:
    """Pieces by position, joined into groups as long as every two of a group agree."""

    def __init__(
        self, pieces: Sequence[Candidate], corpus: Corpus, ruled: Mapping[Pair, str]
    ) -> None:
        self._pieces, self._corpus, self._ruled = pieces, corpus, ruled
        self._outlets = [_list_outlets(piece) for piece in pieces]
        self._of = list(range(len(pieces)))
        self._members = {n: [n] for n in range(len(pieces))}

    def rule(self, one: int, other: int) -> str | None:
        return self._ruled.get(_pair(self._pieces[one].brief_id, self._pieces[other].brief_id))

    def likeness(self, one: int, other: int) -> float:
        if self._outlets[one] == self._outlets[other]:
            return 0.0
        return self._corpus.likeness(self._corpus.described[one], self._corpus.described[other])

    def join(self, one: int, other: int, *, is_sure: bool = False) -> None:
        """Join the groups of two pieces, unless two of their pieces speak against it."""
        left, right = self._of[one], self._of[other]
        if left == right:
            return
        for a in self._members[left]:
            for b in self._members[right]:
                rule = self.rule(a, b)
                if rule == "split" or (
                    not is_sure and rule is None and self.likeness(a, b) < LEAST_ALIKE
                ):
                    return
        self._members[left] = sorted(self._members[left] + self._members.pop(right))
        for n in self._members[left]:
            self._of[n] = left

    def list(self) -> list[list[int]]:
        """Give the groups by their first piece, which leads."""
        return sorted(self._members.values())


class _Tellers:
    """The stories of earlier editions, to be found by what goes on from them."""

    def __init__(self, earlier: Sequence[Earlier]) -> None:
        self._earlier = sorted(earlier, key=lambda e: (e.day, e.brief_id), reverse=True)

    def find(self, candidate: Candidate, ruled: Mapping[Pair, str]) -> Earlier | None:
        """Find the latest edition's brief that a candidate goes on from."""
        free = []
        for each in self._earlier:
            rule = ruled.get(_pair(candidate.brief_id, each.brief_id))
            if rule == "merge":
                return each
            if rule is None:
                free.append(each)
        if not free:
            return None
        at = candidate.published_at
        corpus = Corpus([(candidate.brief, at), *((each.brief, at) for each in free)])
        own, *theirs = corpus.described
        return next(
            (
                each
                for each, described in zip(free, theirs, strict=True)
                if own.names & described.names and corpus.kinship(own, described) >= AKIN
            ),
            None,
        )


def _find_pairs(corpus: Corpus) -> Iterator[Pair]:
    """Give the pairs that share a rare word, each once."""
    sharing: defaultdict[str, list[int]] = defaultdict(list)
    for position, described in enumerate(corpus.described):
        rarest = sorted(described.words, key=lambda w: (corpus.frequencies[w], w))
        shared = [word for word in rarest if corpus.frequencies[word] > 1]
        for word in shared[:_RARE_WORDS]:
            sharing[word].append(position)
    seen: set[Pair] = set()
    for _, positions in sorted(sharing.items()):
        if len(positions) <= _MOST_SHARING:
            seen.update(combinations(positions, 2))
    yield from sorted(seen)


def _find_doubles(pieces: Sequence[Candidate]) -> Iterator[Pair]:
    """Give pieces that are one by their very text, or by their page where the texts are alike."""
    texts: dict[tuple[str, str], int] = {}
    pages: dict[str, int] = {}
    for position, piece in enumerate(pieces):
        first = texts.setdefault(_said(piece), position)
        if first != position:
            yield first, position
        if not (link := canonical_link(piece.brief.link)):
            continue
        first = pages.setdefault(link, position)
        if first != position and is_alike(pieces[first].brief, piece.brief):
            yield first, position


def _lead_first(candidate: Candidate) -> tuple[bool, int, bool, float, str, int]:
    """Put the piece that tells a story best first: pinned, weighed, with analysis, the earliest."""
    brief = candidate.brief
    return (
        not brief.pinned,
        -brief.priority,
        not brief.has_analysis,
        candidate.published_at.timestamp(),
        brief.title,
        candidate.brief_id,
    )


def _list_outlets(piece: Candidate) -> tuple[str, frozenset[str]]:
    """Name who tells a piece: the source that brought it, and the outlets that it names."""
    return piece.source, frozenset(_fold(source.name) for source in piece.brief.sources)


def _said(piece: Candidate) -> tuple[str, str]:
    return _fold(piece.brief.title), _fold(piece.brief.summary)


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())


def _pair(one: int, other: int) -> Pair:
    return (one, other) if one < other else (other, one)


def _explain(members: Iterable[Described]) -> str:
    """Say what all pieces of a story share."""
    pieces = list(members)
    names = frozenset.intersection(*(each.names for each in pieces))
    numbers = frozenset.intersection(*(each.numbers for each in pieces))
    words = frozenset.intersection(*(each.words for each in pieces)) - names
    shared = [
        f"{what} {', '.join(sorted(found)[:3])}"
        for what, found in (("names", names), ("numbers", numbers), ("words", words))
        if found
    ]
    return f"they share the {' and the '.join(shared)}" if shared else "an operator joined them"
