"""Candidates in, stories out: five outlets' pieces on one event are one story. Pure.

Pieces of the same title and summary are one. Of all others only those are compared that share
rare words, so that the cost grows with the day and not with its square. Pairs that tell one event
(`likeness`) and whose titles bear it out are joined, the likeliest first, and never by a chain:
two groups become one only if each piece of the one could be the same as each piece of the other,
and on the mean is. Pieces that an operator, a text or a page made one count as one there.

A wrong join takes a story from readers, one that is missed shows them two that are alike. So what
is likely and not sure is never joined: it is suggested to an editor, whose word makes it a rule.

An operator's rule wins over likeness, and of two that contradict each other the newer one. Rules
name briefs, so a rule holds for whatever is grouped with them later.

An outlet that writes two pieces means two: pieces of one outlet are one story only where they say
the same, or stand on the same page, or an operator says so.

A story that an edition had before is no piece of the old one: it is new, and names what it
returns to. What stands every day under the same heading ("Morning briefing, Tuesday") neither
is the same story nor returns.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import cache
from itertools import product
from statistics import fmean
from typing import Literal

from newsletter.briefs.sources.identity import canonical_link, is_alike
from newsletter.editions.likeness import Corpus, Described, is_column
from newsletter.editions.story import Candidate, Earlier, Story, Suggestion

ALIKE = 0.8
"""From this likeness on two pieces tell one event, where their titles bear it out."""
LEAST_ALIKE = 0.3
"""Below this likeness two pieces are never in one story, whatever stands between them."""
MEAN_ALIKE = 0.6
"""Two groups are one story only from this likeness on, as the mean of every piece with every."""
LIKELY = 0.5
"""Above this likeness two stories are suggested to be one: it is likelier than not."""
MOST_SUGGESTED = 12
"""How many suggestions an editor has to look at for an edition."""
RETURNS = 0.8
"""From this kinship on a story is one that an edition had before."""

_KEYS = 12  # the rarest words of a piece, by which others are found
_NEIGHBOURS = 12  # pieces with the same key that a piece is compared with, the next ones in time
_SHARED_KEYS = 3  # that two have at least in common to be compared
_SHARED_KEYS_SUGGESTED = 2  # fewer in one edition, which is short
_CERTAIN = 2.0  # an operator's word, above every likelihood

RuleKind = Literal["merge", "split"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An operator's word that two briefs are one story, or two."""

    kind: RuleKind
    one: int
    other: int
    """Numbers of stored briefs."""


class _Groups:
    """Which pieces are one story so far, and which may never be. Pieces go by their place."""

    def __init__(self, count: int) -> None:
        self.members = {n: [n] for n in range(count)}
        self.of = list(range(count))
        self.apart: dict[int, set[int]] = defaultdict(set)
        self.why: dict[int, str] = {}

    def join(self, one: int, other: int, why: str) -> None:
        one, other = sorted((self.of[one], self.of[other]))
        if one == other:
            return
        moved = self.members.pop(other)
        for piece in moved:
            self.of[piece] = one
        self.members[one] += moved
        for group in self.apart.pop(other, set()):
            self.apart[group].discard(other)
            self.part(one, group)
        self.why[one] = self.why.get(one) or self.why.get(other) or why
        self.why.pop(other, None)

    def part(self, one: int, other: int) -> None:
        self.apart[one].add(other)
        self.apart[other].add(one)

    def are_apart(self, one: int, other: int) -> bool:
        return self.of[other] in self.apart.get(self.of[one], ())


def group_stories(
    candidates: Iterable[Candidate],
    *,
    rules: Sequence[Rule] = (),
    earlier: Sequence[Earlier] = (),
) -> tuple[Story, ...]:
    """Group candidates to stories: the same ones for the same candidates in whatever order.

    `rules` are in the order in which they were made. `earlier` is what recent editions told.
    """
    pieces = sorted(candidates, key=_order)
    before = sorted(earlier, key=lambda each: (each.day, each.story_id, each.brief_id))
    corpus = Corpus(
        (
            *((each.brief, each.published_at) for each in pieces),
            *((each.brief, datetime.combine(each.day, time(), UTC)) for each in before),
        )
    )
    groups = _Groups(len(pieces))
    numbers: dict[int, int] = {}
    for n, piece in enumerate(pieces):
        numbers.setdefault(piece.brief_id, n)
    _obey(rules, numbers, groups)
    _join_doubles(pieces, groups)
    _join_pages(pieces, groups)
    _join_alike(pieces, corpus, groups)
    returning = _find_returning(pieces, before, corpus, _ruled(rules))
    made = (
        _build_story([pieces[n] for n in members], groups.why.get(group, ""), returning)
        for group, members in groups.members.items()
    )
    return tuple(sorted(made, key=lambda story: _lead_first(story.lead)))


def suggest_merges(
    stories: Sequence[Sequence[Candidate]],
    *,
    rules: Sequence[Rule] = (),
    most: int = MOST_SUGGESTED,
) -> tuple[Suggestion, ...]:
    """Suggest which stories that an edition tells apart may be one, at `most` the likeliest.

    The likeliest come first. A story is its pieces, the first of which leads it. Of two that an
    operator said are two nothing is suggested.
    """
    pieces = sorted((piece for story in stories for piece in story), key=_order)
    story_of = {piece.brief_id: n for n, story in enumerate(stories) for piece in story}
    parted = {
        frozenset(map(story_of.get, pair))
        for pair, kind in _ruled(rules).items()
        if kind == "split"
    }
    corpus = Corpus((piece.brief, piece.published_at) for piece in pieces)
    likeness = _compare(pieces, corpus)
    nearest: dict[tuple[int, int], tuple[float, str]] = {}
    for one, other in _find_pairs(corpus, corpus.described, _SHARED_KEYS_SUGGESTED):
        left, right = sorted(story_of[pieces[n].brief_id] for n in (one, other))
        how = likeness(one, other)
        so_far, _ = nearest.get((left, right), (LIKELY, ""))
        if left != right and frozenset((left, right)) not in parted and how > so_far:
            nearest[left, right] = how, _say_shared(pieces, corpus, one, other)
    best = sorted(nearest.items(), key=lambda each: (-each[1][0], each[0]))
    return tuple(
        Suggestion(one=stories[left][0], other=stories[right][0], likeness=how, why=why)
        for (left, right), (how, why) in best[:most]
    )


def _lead_first(candidate: Candidate) -> tuple[bool, int, bool, float, str, int]:
    """Put the piece that tells a story best first.

    That is what an editor pinned or gave priority, then what has analysis. Among equals the
    earliest leads: it is whose story it was.
    """
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


def _order(candidate: Candidate) -> tuple[datetime, str, str, int]:
    brief = candidate.brief
    return candidate.published_at, brief.title, brief.summary, candidate.brief_id


def _obey(rules: Sequence[Rule], numbers: Mapping[int, int], groups: _Groups) -> None:
    """Apply the rules about pieces at hand, the newest first; what contradicts one is dropped."""
    for rule in reversed(rules):
        one, other = numbers.get(rule.one), numbers.get(rule.other)
        if one is None or other is None or one == other:
            continue
        if rule.kind == "merge" and not groups.are_apart(one, other):
            groups.join(one, other, "an operator merged them")
        elif rule.kind == "split" and groups.of[one] != groups.of[other]:
            groups.part(groups.of[one], groups.of[other])


def _join_doubles(pieces: Sequence[Candidate], groups: _Groups) -> None:
    first: dict[tuple[str, str], list[int]] = {}
    for n, piece in enumerate(pieces):
        others = first.setdefault((_fold(piece.brief.title), _fold(piece.brief.summary)), [])
        double = next((other for other in others if not groups.are_apart(n, other)), None)
        if double is None:
            others.append(n)
        else:
            groups.join(double, n, "the same title and summary")


def _join_pages(pieces: Sequence[Candidate], groups: _Groups) -> None:
    """Join pieces on one page, unless the page was used again for something else."""
    first: dict[str, int] = {}
    for n, piece in enumerate(pieces):
        link = canonical_link(piece.brief.link)
        other = first.setdefault(link, n) if link else n
        if not groups.are_apart(n, other) and is_alike(pieces[other].brief, piece.brief):
            groups.join(other, n, "the same page")


def _join_alike(pieces: Sequence[Candidate], corpus: Corpus, groups: _Groups) -> None:
    described, likeness = corpus.described, _compare(pieces, corpus)
    units = {unit: tuple(members) for unit, members in groups.members.items()}
    unit_of = tuple(groups.of)  # what is joined so far is surely one, however unlike it looks
    found = [
        (-how, (one, other))
        for one, other in _find_pairs(corpus, described[: len(pieces)], _SHARED_KEYS)
        if (how := likeness(one, other)) >= ALIKE
        and corpus.is_borne_out(described[one], described[other])
    ]
    for _, (one, other) in sorted(found):
        left, right = groups.of[one], groups.of[other]
        if left == right or groups.are_apart(one, other):
            continue
        sides = ({unit_of[n] for n in groups.members[group]} for group in (left, right))
        between = [
            max(likeness(*pair) for pair in product(units[a], units[b])) for a, b in product(*sides)
        ]
        if min(between) >= LEAST_ALIKE and fmean(between) >= MEAN_ALIKE:
            groups.join(one, other, _say_shared(pieces, corpus, one, other))


def _compare(pieces: Sequence[Candidate], corpus: Corpus) -> Callable[[int, int], float]:
    """Give what tells how likely two pieces, by their places, are about one event."""
    outlets = [_list_outlets(piece) for piece in pieces]

    @cache
    def compare(one: int, other: int) -> float:
        if outlets[one] == outlets[other] or is_column(pieces[one].brief, pieces[other].brief):
            return 0.0
        return corpus.likeness(corpus.described[one], corpus.described[other])

    return lambda one, other: compare(min(one, other), max(one, other))


def _say_shared(pieces: Sequence[Candidate], corpus: Corpus, one: int, other: int) -> str:
    brief = pieces[min(one, other)].brief
    told = f"{brief.title}. {brief.summary}"
    shared = corpus.name_shared(corpus.described[one], corpus.described[other], told)
    return f"both tell of {shared}" if shared else "they say the same"


def _find_pairs(
    corpus: Corpus, described: Sequence[Described], least: int
) -> Iterator[tuple[int, int]]:
    """Find pairs that share at `least` so many rare words; each only with neighbours in time."""
    holders: dict[str, list[int]] = defaultdict(list)
    for n, piece in enumerate(described):
        for key in _keys(corpus, piece):
            holders[key].append(n)
    shared: Counter[tuple[int, int]] = Counter()
    for places in holders.values():  # in the order of time, as the pieces are
        for at, n in enumerate(places):
            shared.update((n, other) for other in places[at + 1 : at + 1 + _NEIGHBOURS])
    return (pair for pair, count in shared.items() if count >= least)


def _keys(corpus: Corpus, piece: Described) -> list[str]:
    """Give the rarest words that a piece shares with any other."""
    shared = (word for word in piece.words if corpus.frequencies[word] > 1)
    return sorted(shared, key=lambda word: (corpus.frequencies[word], word))[:_KEYS]


def _find_returning(
    pieces: Sequence[Candidate],
    earlier: Sequence[Earlier],
    corpus: Corpus,
    ruled: Mapping[frozenset[int], RuleKind],
) -> Mapping[int, tuple[float, Earlier]]:
    """Find for each piece, by its brief's number, the earlier story that it goes on with."""
    holders: dict[str, list[int]] = defaultdict(list)
    told = corpus.described[len(pieces) :]
    for n, described in enumerate(told):
        for key in _keys(corpus, described):
            holders[key].append(n)
    place = {each.brief_id: n for n, each in enumerate(earlier)}
    merged: dict[int, set[int]] = defaultdict(set)
    for pair, kind in ruled.items():
        for brief_id in pair if kind == "merge" else ():
            merged[brief_id] |= {place[other] for other in pair - {brief_id} if other in place}
    found: dict[int, tuple[float, Earlier]] = {}
    for piece, described in zip(pieces, corpus.described, strict=False):
        near = Counter(n for key in described.words for n in holders.get(key, ())[-_NEIGHBOURS:])
        likely = {n for n, count in near.items() if count >= _SHARED_KEYS}
        for n in likely | merged.get(piece.brief_id, set()):
            before = earlier[n]
            rule = ruled.get(frozenset((piece.brief_id, before.brief_id)))
            if rule == "split" or (rule is None and is_column(piece.brief, before.brief)):
                continue
            kin = _CERTAIN if rule == "merge" else corpus.kinship(described, told[n])
            best = found.get(piece.brief_id)
            if kin >= RETURNS and (best is None or _is_closer((kin, before), best)):
                found[piece.brief_id] = (kin, before)
    return found


def _is_closer(one: tuple[float, Earlier], other: tuple[float, Earlier]) -> bool:
    """Decide which story a piece rather goes on with: the likelier one, then the newer one."""

    def key(found: tuple[float, Earlier]) -> tuple[float, datetime, int]:
        day = datetime.combine(found[1].day, time(), UTC)
        return round(found[0], 9), day, found[1].brief_id

    return key(one) > key(other)


def _ruled(rules: Sequence[Rule]) -> Mapping[frozenset[int], RuleKind]:
    """Give the newest word on each two briefs."""
    return {frozenset((rule.one, rule.other)): rule.kind for rule in rules}


def _build_story(
    members: Iterable[Candidate], why: str, returning: Mapping[int, tuple[float, Earlier]]
) -> Story:
    lead, *others = sorted(members, key=_lead_first)
    best: tuple[float, Earlier] | None = None
    for each in (lead, *others):
        found = returning.get(each.brief_id)
        if found and (best is None or _is_closer(found, best)):
            best = found
    return Story(
        lead=lead,
        others=tuple(others),
        why=why if others else "",
        earlier=best[1] if best else None,
    )


def _fold(text: str) -> str:
    """Fold case, width and white space, which tell no two texts apart."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
