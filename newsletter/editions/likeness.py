"""How likely two pieces tell one event: names, numbers and words that they share. Pure.

Two outlets tell an event in words of their own, and what they share is who, where and how many;
two events of one day may share many words and differ in just these. So a piece is described by

    words     what it says, stems of news words joined with others of the same meaning
    names     words that are never written small on that day
    numbers   as they stand; those of one digit count little

and two pieces by thirteen measures of these, each with a weight. The sum of weights is the
logarithm of the odds that they tell one event (a logistic regression over half of the labelled
pairs in `tests/stories`; the other half says how well it does). Rare words weigh more than
frequent ones: "strike" says little on a day with five strikes.

English words that mean nearly the same count as the same, by as much as they are near (`kindred`);
of other languages only words themselves.

Likeness alone joins two events of one kind on one day, as much of what is said of one fire is true
of another. So titles have a say of their own (`Corpus.is_borne_out`).

What is said against a pair weighs as much as what is said for it: numbers that differ, names that
only one has, opposite words ("rise", "fall"), hours between them, a preview beside a result, the
market's move beside its cause. They are never one event a day apart, nor where their titles name
different days, say the opposite, undo what the other tells ("missing", "found"; "warning",
"warning lifted"; "not" turns a word round) or tell of other things of one kind (cocoa, coffee).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise

from newsletter.briefs.model import Brief
from newsletter.editions.kindred import read_kindred

MOST_APART = timedelta(hours=24)
_LONG = timedelta(hours=12)  # from here on, later tells no more against a pair

_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?")
_SENTENCE = re.compile(r"(?<=[.!?:;])\s+")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")
_UNSPACED = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
_ENDINGS = ("ings", "ing", "ers", "er", "ies", "ied", "ed", "es", "s")
_SAME_TEXT = 0.5  # of the words of two summaries, shared ones
_IN_TITLE = 1.0  # of a side: its words stand in the title, not in the summary alone
_TITLES_SHARE = 0.2  # of the words of two titles, shared ones: less bears nothing out
_SAME_TITLE = 0.8  # from here on they are one title, even one without a name
_NAME_CHARACTERS = 5  # Europe and European are one name


def _list_words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words that any text has, in the languages that the program speaks.
_COMMON = _list_words(
    """
    a an the and or but of to in on at by for from with as is are was were be been has have had it
    its his her their they he she who which that this these those will would may can could after
    before than then when while more most over under into out up down off about not no said says
    say also one two first new all some any between during against per cent percent it's there
    where what how if so three four five six seven eight nine ten
    der die das und oder ein eine einen einem einer des dem den im am auf an zu zum zur mit von
    vom für ist sind war nach bis aus sich nicht bei ab mehr
    el la los las un una y o de del en por para con se su que al es tras lo
    """
)
_CALENDAR = _list_words(
    """
    monday tuesday wednesday thursday friday saturday sunday january february march april june
    july august september october november december montag dienstag mittwoch donnerstag freitag
    samstag sonntag lunes martes miércoles jueves viernes sábado domingo
    """
)
# What desks write for the same thing; the first word of a line stands for all of it.
_SAME = """
    strike walkout walk stoppage
    earthquake quake tremor jolt shake shook
    profit income earnings
    stock share equity equities
    rise rose climb gain jump surge soar rally lift up higher raise increase grow grew growth
    fall fell drop slide slid sink sank lose lost loss slump plunge decline down lower shrink dip
    approve approval pass clear green
    reject refuse block turn deny void forbid ban
    buy purchase acquire takeover merge merger
    free freed release rescue save
    kidnap seize abduct hostage
    kill dead die death deadly
    hurt injure injury wound
    evacuate evacuation flee displace force
    fire blaze wildfire flames
    flood flooding water
    storm typhoon hurricane
    win won beat defeat victory
    name appoint pick choose chose lead head
    resign quit step leave oust
    law bill act rule legislation
    court judge justice ruling
    vote ballot poll election elect
    rate borrowing interest
    price cost
    car auto vehicle carmaker
    firm company maker business
    drug pill medicine treatment
    trial study research
    hack hacker breach attack stolen steal copied
    launch start liftoff
    delay postpone put
    close shut closure
    open reopen resume return
    recall pull
    school pupil classroom student teacher
    police officer
    jury juror
    guilty convict conviction
    acquit cleared innocent
    plane airline carrier flight
    ship vessel boat ferry
    train rail railway
    crash collide collision
    power electricity blackout outage grid
    government ministry minister state official
    worker employee staff labor union
    pay wage salary
    deal agreement contract accord
    talk negotiation
    record highest
    child children kid baby
    sick ill case patient
    town city village
    find found discover detect
    sue lawsuit
    warn warning alert
"""
# What speaks of opposite events where one piece has a word of one side and the other of the other.
_OPPOSITES = """
    rise rose climb gain jump surge up high record grow grew higher more increase lift soar rally
    raise rebound recover
    | fall fell drop slide slid sink sank lose lost loss slump down low plunge decline cut weaken
    less lower shrink slip dip tumble crash

    approve accept pass back uphold upheld agree clear win won green allow elect adopt support yes
    confirm
    | reject refuse block fail void strike forbid forbade ban deny setback stop stopped drop cancel
    oppose no veto halt suspend scrap

    walk strike shut close closed halt begin begins start launch impose
    | return end ended reopen resume back restart over lift lifted lower finish

    missing search lost silent vanish disappear trapped stolen steal theft thieves hijack seized
    hostage stuck block
    > found alive surface recover turn free freed release reopen open refloated

    warning alert alarm notice curfew order ban lockdown quarantine emergency restriction
    > lift lifted clear

    erupt spew | calm subside

    launch unveil debut | delay postpone scrap recall

    cancel delay postpone suspend halt outage blackout ground
    > resume restart restore reopen again

    free freed release rescue save saved acquit clear cleared not
    | kidnap seize held convict guilty sentence jail arrest charge

    hold held keep unchanged steady stay | cut lower raise hike reduce

    birth born alive survive safe | die death dead kill killed

    deny denied reject rejects false refuse remain stay
    | resign topple oust quit quits admit confirm step

    win won beat victory champion | lose lost out injury defeat eliminated

    arrest detain charge accuse indict suspect
    | sentence convict guilty acquit jail prison

    recover improve stable discharge | die death worsen critical

    hire create add expand | layoff slash axe shed close shut

    profit surplus | loss deficit

    beat exceed | miss disappoint

    join enter arrive | leave exit withdraw depart

    bid consider talk propose seek | complete seal clinch abandon scrap

    legal permit allow | illegal ban forbid outlaw

    agree agreed truce ceasefire peace deal | break collapse breaks shelling fail war attack
"""


# Things of one kind, a kind a line: where one title has one and the other another they differ.
_KINDS = """
    men women
    boy girl
    north south east west northern southern eastern western
    physics chemistry medicine literature
    gold silver copper platinum oil gas coal wheat cocoa coffee sugar corn
    panda elephant tiger lion bear wolf whale shark dolphin giraffe gorilla rhino horse penguin
    cod herring mackerel salmon tuna
    bus train tram plane ship ferry truck helicopter submarine
    malaria measles polio cholera influenza flu ebola covid dengue mpox tuberculosis cancer
    earthquake flood wildfire storm volcano avalanche landslide tornado drought heatwave
    doctor nurse teacher pilot driver miner actor writer musician farmer docker nurse postman
    school hospital church mosque synagogue theatre museum airport prison
    rent mortgage tax pension wage
    football tennis hockey basketball cricket rugby golf cycling
    semifinal quarterfinal
    beer wine milk cheese yoghurt spinach meat chicken
"""
# What a title says of what is still to come, and of markets: a price moves because something
# happened, and that is another event.
_AHEAD = _list_words(
    """
    expect expected expects due set plans plan today tonight tomorrow ready readies awaits ahead
    preview may could soon upcoming looks scheduled
    """
)
_MARKET = _list_words(
    """
    stock stocks share shares equities index currency crude ounce barrel traders investors lira
    peso rupee yen euro pound falls slides climbs slips rebounds plunge plunges tumbles rally
    rallies
    """
)
_NUMERALS = """
    three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty
"""
_NOT = frozenset({"not", "never", "won't"})
_NUMBER_WORDS = {
    word: str(n)
    for n, word in enumerate(
        _NUMERALS.split(),
        start=3,
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a piece says, in the terms that two are compared in."""

    words: frozenset[str]
    title_words: frozenset[str]
    names: frozenset[str]
    numbers: frozenset[str]
    title_claims: frozenset[str]
    """The names and numbers that the title has."""
    dates: frozenset[str]
    """The days and months that the title names."""
    sides: tuple[tuple[float, float], ...]
    """How much it has of each side of each pair of opposites."""
    title_things: frozenset[str]
    things: frozenset[str]
    """What it has of things of which there are other kinds."""
    is_ahead: bool
    """Whether the title tells what is still to come."""
    is_market: bool
    """Whether the title tells of a price or a market."""
    at: datetime


class Corpus:
    """The pieces of one day: which words are rare, and which are names."""

    def __init__(self, briefs: Iterable[tuple[Brief, datetime]]) -> None:
        pieces = list(briefs)
        self._small = frozenset(
            _stem(word)
            for brief, _ in pieces
            for text in (brief.title, brief.summary)
            for word in _WORD.findall(_normal(text))
            if word[0].islower()
        )
        self.described = tuple(self._describe(brief, at) for brief, at in pieces)
        self._names = Counter(name for each in self.described for name in each.names)
        self.frequencies = Counter(word for each in self.described for word in each.words)
        self._weights = {
            word: math.log(1 + len(pieces) / count) for word, count in self.frequencies.items()
        }

    def likeness(self, one: Described, other: Described) -> float:
        """Give how likely two pieces tell one event, from 0 to 1."""
        apart = abs(one.at - other.at)
        another_date = one.dates and other.dates and not one.dates & other.dates
        if apart >= MOST_APART or another_date:
            return 0.0
        if _are_titles_opposed(one, other) or _are_rivals(one, other) or _is_form(one, other):
            return 0.0
        odds = sum(w * m for w, m in zip(_WEIGHTS, self._measure(one, other, apart), strict=True))
        return 1 / (1 + math.exp(-odds))

    def is_borne_out(self, one: Described, other: Described) -> bool:
        """Decide whether their titles bear out that two pieces tell one event.

        The titles share words, and something that one of them names or counts is in the other
        piece too, unless they are the same title nearly word for word. Nor does each of them name
        or count what the other piece does not: two fires are told in the same words, and each
        names its town.
        """
        news = one.title_claims - other.names - other.numbers
        more = other.title_claims - one.names - one.numbers
        has_shared = news < one.title_claims or more < other.title_claims
        same = self._dice(one.title_words, other.title_words)
        return not (news and more) and same >= (_TITLES_SHARE if has_shared else _SAME_TITLE)

    def kinship(self, one: Described, other: Described) -> float:
        """Give how likely two pieces belong to one story, whatever happened in between."""
        if _is_form(one, other):
            return 0.0
        measures = list(self._measure(one, other, timedelta(0)))
        for against in _AGAINST:
            measures[against] = 0.0
        odds = sum(w * m for w, m in zip(_WEIGHTS, measures, strict=True))
        return 1 / (1 + math.exp(-odds))

    def name_shared(self, one: Described, other: Described, text: str) -> str:
        """Name what two pieces share, the rarest first, as `text` writes it; "" for nothing."""
        names = one.names & other.names
        shared = names or one.title_words & other.title_words
        often = self._names if names else self.frequencies
        written = _find_written(text)
        found = sorted(shared, key=lambda word: (often[word], word))[:3]
        words = dict.fromkeys(written.get(word, word) for word in found)
        return ", ".join((*words, *sorted(one.numbers & other.numbers)[:2]))

    def weigh(self, word: str) -> float:
        """Give how much a word tells: the rarer the more."""
        return self._weights[word]

    def _measure(self, one: Described, other: Described, apart: timedelta) -> Sequence[float]:
        both_named = one.names and other.names
        shared_numbers = one.numbers & other.numbers
        clash = bool(one.numbers - other.numbers and other.numbers - one.numbers)
        return (
            1.0,
            (self._held(one.title_words, other.words) + self._held(other.title_words, one.words))
            / 2,
            len(one.names & other.names) / min(len(one.names), len(other.names))
            if both_named
            else 0.4,
            min(2.0, sum(1.0 if len(n) > 1 else 0.25 for n in shared_numbers)),
            float(clash and not shared_numbers),
            _count_opposites(one, other),
            self._dice(_without(one), _without(other)),
            float(bool(both_named) and not one.names & other.names),
            self._near(one.words, other.words, one.words, other.words),
            self._near(one.title_words, other.words, one.words, other.title_words),
            float(one.is_ahead != other.is_ahead),
            self._share_rare_names(one, other),
            min(apart, _LONG) / _LONG,
            float(one.is_market != other.is_market),
        )

    def _near(
        self,
        one: frozenset[str],
        told: frozenset[str],
        again: frozenset[str],
        other: frozenset[str],
    ) -> float:
        """Give how much of `one` is in `told` and of `other` in `again`, by near words too."""
        whole = self._sum(one) + self._sum(other)
        found = math.fsum(
            self._weights[word] * _find_nearest(word, words)
            for mine, words in ((one, told), (other, again))
            for word in mine
        )
        return found / whole if whole else 0.0

    def _share_rare_names(self, one: Described, other: Described) -> float:
        """Count the names that both have: 1 for one that no third piece has, less for others."""
        return math.fsum(sorted(1 / max(2, self._names[n]) for n in one.names & other.names))

    def _dice(self, one: frozenset[str], other: frozenset[str]) -> float:
        whole = self._sum(one) + self._sum(other)
        return 2 * self._sum(one & other) / whole if whole else 0.0

    def _held(self, title: frozenset[str], words: frozenset[str]) -> float:
        """Give the share of the shorter one that both have."""
        least = min(self._sum(title), self._sum(words))
        return self._sum(title & words) / least if least else 0.0

    def _sum(self, words: Iterable[str]) -> float:
        return math.fsum(
            map(self._weights.__getitem__, words)
        )  # the same in whatever order a set is read

    def _describe(self, brief: Brief, at: datetime) -> Described:
        title, summary = _normal(brief.title), _normal(brief.summary)
        in_title, in_all = _stems(title), _stems(title) | _stems(summary)
        names = frozenset(
            name[:_NAME_CHARACTERS]
            for name in (*_find_names(title), *_find_names(summary))
            if name not in self._small
        )
        return Described(
            words=frozenset(_MEANINGS.get(word, word) for word in in_all),
            title_words=frozenset(_MEANINGS.get(word, word) for word in in_title),
            names=names,
            title_claims=_list_claims(names, in_title, _find_numbers(title)),
            numbers=_find_numbers(f"{title} {summary}"),
            dates=frozenset(_WORD.findall(title.casefold())) & _CALENDAR,
            sides=_find_sides(title, summary),
            title_things=in_title & _THINGS,
            things=in_all & _THINGS,
            is_ahead=not _AHEAD.isdisjoint(title.casefold().split()),
            is_market=not _MARKET.isdisjoint(title.casefold().split()),
            at=at,
        )


def is_column(one: Brief, other: Brief) -> bool:
    """Decide whether two stand under one standing heading ("Morning briefing, Tuesday")."""
    headings = [_heading(brief.title) for brief in (one, other)]
    if not headings[0] or headings[0] != headings[1]:
        return False
    told, again = (_stems(_normal(brief.summary)) for brief in (one, other))
    return 2 * len(told & again) < _SAME_TEXT * (len(told) + len(again))


def _heading(title: str) -> tuple[str, ...]:
    """Give a title without what changes from day to day: dates, weekdays, numbers."""
    words = (word.casefold() for word in _WORD.findall(_normal(title)))
    return tuple(word for word in words if not word[0].isdigit() and word not in _CALENDAR)


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _stems(text: str) -> frozenset[str]:
    """Give the words that tell something; of scripts without blanks each two characters."""
    found: set[str] = set()
    for word in _WORD.findall(text):
        if _UNSPACED.search(word):
            found.update(word[n : n + 2] for n in range(max(1, len(word) - 1)))
        elif not word[0].isdigit() and len(word) > 1 and word.casefold() not in _COMMON:
            found.add(_stem(word))
    return frozenset(found)


@lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
    """Cut what English adds to a word; other languages lose little by it."""
    stem = word.casefold().replace("’", "'").removesuffix("'s")
    for ending in _ENDINGS:
        if stem.endswith(ending) and len(stem) - len(ending) >= 3:
            stem = stem[: -len(ending)]
            break
    if len(stem) > 3 and stem[-1] == stem[-2]:
        stem = stem[:-1]
    return stem.removesuffix("e") if len(stem) > 4 else stem


def _find_names(text: str) -> Iterable[str]:
    """Find capitalised words; a headline that capitalises all of them names nothing."""
    for sentence in _SENTENCE.split(text):
        words = _WORD.findall(sentence)
        capitals = [word for word in words if word[0].isupper()]
        if len(words) > 3 and len(capitals) > 0.7 * len(words):
            continue
        for word in capitals:
            if word.casefold() not in _COMMON and word.casefold() not in _CALENDAR:
                yield _stem(word)


def _find_written(text: str) -> Mapping[str, str]:
    """Give how a text writes what stands in a piece's words and names, where it first does."""
    written: dict[str, str] = {}
    for word in _WORD.findall(_normal(text)):
        stem = _stem(word)
        whole = re.sub("['’]s$", "", word)
        written.setdefault(_MEANINGS.get(stem, stem), whole)
        if word[0].isupper():
            written.setdefault(stem[:_NAME_CHARACTERS], whole)
    return written


def _list_claims(
    names: frozenset[str], title: frozenset[str], numbers: frozenset[str]
) -> frozenset[str]:
    """Give the names and numbers of a title but for what any piece may have: EU, AI, 3."""
    named = names & {word[:_NAME_CHARACTERS] for word in title}
    return frozenset(
        (*(name for name in named if len(name) > 2), *(n for n in numbers if len(n) > 1))
    )


def _number(text: str) -> str:
    return text.replace(",", "" if _THOUSANDS.fullmatch(text) else ".")


def _without(piece: Described) -> frozenset[str]:
    """Give the words that are no names."""
    return frozenset(word for word in piece.words if word[:_NAME_CHARACTERS] not in piece.names)


def _are_rivals(one: Described, other: Described) -> bool:
    """Decide whether two titles tell of things of one kind that are not the same."""
    return any(
        mine and theirs and mine.isdisjoint(other.things) and theirs.isdisjoint(one.things)
        for mine, theirs in (
            (one.title_things & kind, other.title_things & kind) for kind in _RIVALS
        )
    )


def _find_sides(title: str, summary: str) -> tuple[tuple[float, float], ...]:
    """Give how much a piece has of each side of each pair of opposites; "not" changes sides."""
    said, denied = _split_denied(title)
    also = _stems(title) | _stems(summary)
    found = []
    for left, right, is_undone in _SIDES:
        on_left, on_right = (
            1.0 * bool(said & here or denied & there) + 0.5 * bool((also - denied) & here)
            for here, there in ((left, right), (right, left))
        )
        found.append((0.0 if is_undone and on_right >= _IN_TITLE else on_left, on_right))
    return tuple(found)


def _split_denied(title: str) -> tuple[frozenset[str], frozenset[str]]:
    """Give the words that a title says, and those that follow a "not"."""
    words = _WORD.findall(title)
    after = [w for no, w in pairwise(words) if no.casefold() in _NOT]
    denied = _stems(" ".join(after))
    return _stems(title) - denied, denied


def _find_numbers(text: str) -> frozenset[str]:
    found = (_NUMBER_WORDS.get(w.casefold(), w) for w in _WORD.findall(text))
    return frozenset(_number(each) for each in found if each[0].isdigit())


def _find_nearest(word: str, words: frozenset[str]) -> float:
    if word in words:
        return 1.0
    kin = _kindred().get(word)
    return max((near for other, near in kin.items() if other in words), default=0.0) if kin else 0.0


@lru_cache(maxsize=1)
def _kindred() -> Mapping[str, Mapping[str, float]]:
    return read_kindred(lambda word: _MEANINGS.get(word, word))


def _are_titles_opposed(one: Described, other: Described) -> bool:
    """Decide whether one title says the opposite of the other: "Stocks rise", "Stocks fall"."""
    return any(
        (left >= _IN_TITLE > right and to_right >= _IN_TITLE > to_left)
        or (right >= _IN_TITLE > left and to_left >= _IN_TITLE > to_right)
        for (left, right), (to_left, to_right) in zip(one.sides, other.sides, strict=True)
    )


def _is_form(one: Described, other: Described) -> bool:
    """Decide whether two are one form, filled in for different things: the weather of two towns."""
    mine, theirs = one.words - other.words, other.words - one.words
    in_titles = mine <= one.title_words and theirs <= other.title_words
    return len(mine) == len(theirs) == 1 and in_titles


def _count_opposites(one: Described, other: Described) -> float:
    """Count where one piece stands on one side alone and the other on the other; 2 at most."""
    found = 0.0
    for (left, right), (to_left, to_right) in zip(one.sides, other.sides, strict=True):
        if (left and not right and to_right and not to_left) or (
            right and not left and to_left and not to_right
        ):
            found += min(1.5, max(left, right), max(to_left, to_right))
    return min(2.0, found)


_MEANINGS = {
    _stem(word): _stem(line.split()[0])
    for line in reversed(_SAME.strip().splitlines())
    for word in line.split()
}
_RIVALS = tuple(frozenset(map(_stem, line.split())) for line in _KINDS.strip().splitlines())
_THINGS = frozenset().union(*_RIVALS)
_SIDES = tuple(
    (frozenset(map(_stem, left.split())), frozenset(map(_stem, right.split())), by == ">")
    for left, by, right in (re.split("([|>])", pair) for pair in _OPPOSITES.split("\n\n"))
)
_WEIGHTS = (
    *(-2.92, 1.18, 2.03, 2.15, -0.99, -2.88, 1.76),
    *(-1.45, 2.43, 2.67, -0.73, 2.24, -6.41, -1.66),
)
"""In the order of `_measure`; `python -m tests.stories` fits them anew."""
_AGAINST = (4, 5, 10, 12, 13)
"""The measures that tell two events of one story apart."""
