"""Which stories an edition tells, and in what order; each choice with its reason. Pure.

A story's rank is a sum of points, so that it can be told in a sentence:

    priority      2 for each step that an editor gave
    outlets       1 each time their number doubles: 2, 4, 8 outlets that report by themselves
    recency       1 at the cut-off, half of it every 12 hours before
    analysis      2
    source        its weight in the settings, less the 1 that every source has
    a repeat      -4, for a story that an edition had before and of which nothing is new

Pinned ones come before all others. What the pieces say counts, and never the order in which
they came: equal ones stand by title, then by the number they are stored under.

Then the edition is made varied. One outlet tells at most a share of it, and one topic at most a
number of its briefs; no topic comes a third time in a row where another is at hand. An editor's
pin is exempt. Shares need a whole: they are kept in editions of five briefs and more, and where
there are outlets enough to keep them.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from rapidfuzz import fuzz

from newsletter.briefs.model import Brief, Source
from newsletter.editions.model import Prominence, Report
from newsletter.editions.story import Candidate, Story
from newsletter.settings import EditionSettings

HALF_LIFE = timedelta(hours=12)
LEAST_SHARED = 5
"""Briefs from which on an edition can be shared among outlets."""
LONGEST_RUN = 2
"""Briefs of one topic beside each other."""

_PRIORITY_POINTS = 2.0
_ANALYSIS_POINTS = 2.0
_REPEAT_POINTS = -4.0
_SYNDICATED_PERCENT = 92  # one outlet's text in another, with a word changed here and there
_NEWS_SHARE = 0.1  # of a text's words: fewer new ones are another way to say the same
_WORD = re.compile(r"\w+")
_MIRRORS = re.compile(r"^(?:www\d?|m|mobile|amp)\.(?=.+\.)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A story with its points, and why it has them."""

    story: Story
    points: float
    outlet: str
    """Who tells it, folded; "" where nobody is named."""
    topic: str
    """What it is about, folded; "" for nothing in particular."""
    why: str
    """For operators, e.g. "pinned; 4 outlets; 2 h old"."""

    @property
    def is_pinned(self) -> bool:
        """Whether an editor wants it first."""
        return self.story.lead.brief.pinned


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A story that finds no place, and the rule that it finds none by."""

    ranked: Ranked
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The stories of an edition, in order, and those that it leaves out."""

    chosen: tuple[Ranked, ...]
    left_out: tuple[LeftOut, ...]


def rank_stories(
    stories: Iterable[Story], *, cut_off: datetime, weights: Mapping[str, float]
) -> tuple[Ranked, ...]:
    """Rank stories, the first one first; `weights` are the sources', by name."""
    ranked = (_rank(story, cut_off, weights) for story in stories)
    return tuple(sorted(ranked, key=_order))


def choose_stories(ranked: Sequence[Ranked], rules: EditionSettings) -> Choice:
    """Choose the edition's stories from ranked ones: as many as there is room for, and varied.

    What other editions told takes no room from what is new to all, since only some readers get
    it: the edition has what is chosen with it, and what would be without.
    """
    whole = _choose(ranked, rules)
    new = [each for each in ranked if not each.story.lead.had_in]
    if len(new) == len(ranked):
        return whole
    without = _choose(new, rules)
    wanted = [*map(id, whole.chosen), *map(id, without.chosen)]
    chosen = [each for each in ranked if id(each) in wanted]
    return Choice(
        chosen=tuple(chosen if rules.sections else _break_runs(chosen)),
        left_out=tuple(left for left in whole.left_out if id(left.ranked) not in wanted),
    )


def _choose(ranked: Sequence[Ranked], rules: EditionSettings) -> Choice:
    most = min(len(ranked), rules.max_briefs)
    share = rules.max_outlet_share
    outlets = {each.outlet for each in ranked if each.outlet}
    is_shared = len(ranked) >= LEAST_SHARED and len(outlets) >= math.ceil(1 / share)
    chosen: list[Ranked] = []
    reasons: dict[int, str] = {}
    for size in range(most, -1, -1):
        # Of a smaller edition the same share is fewer briefs.
        cap = max(1, math.floor(share * max(size, LEAST_SHARED))) if is_shared else len(ranked)
        chosen, reasons = _take(ranked, rules, size, cap)
        if len(chosen) == size:
            break
    left_out = tuple(
        LeftOut(ranked=each, why=reasons[n]) for n, each in enumerate(ranked) if n in reasons
    )
    order = chosen if rules.sections else _break_runs(chosen)
    return Choice(chosen=tuple(order), left_out=left_out)


def decide_prominence(position: int, rules: EditionSettings) -> Prominence:
    """Decide the most that any reader gets of the brief at a position, from 0."""
    if rules.full_briefs is None or position < rules.full_briefs:
        return "full"
    if rules.standard_briefs is None or position < rules.full_briefs + rules.standard_briefs:
        return "standard"
    return "one-line"


def find_section(brief: Brief, rules: EditionSettings) -> str:
    """Find the heading that a brief stands under: the first that has one of its topics."""
    topics = {_fold(topic) for topic in brief.topics}
    for heading, matching in rules.sections:
        if not topics.isdisjoint(map(_fold, matching)):
            return heading
    return ""


def list_reports(story: Story) -> tuple[Report, ...]:
    """List who else reported a story: each outlet once, none that the lead names itself."""
    seen = {outlet_of(source) for source in story.lead.brief.sources}
    reports = []
    for candidate in _in_order(story.others):
        for source in _sources_of(candidate):
            outlet = outlet_of(source)
            if outlet and outlet not in seen:
                seen.add(outlet)
                name = source.name or outlet
                link = source.url or candidate.brief.link
                reports.append(Report(outlet=name, title=candidate.brief.title, url=link))
    return tuple(reports)


def outlet_of(source: Source) -> str:
    """Give what an outlet is known by: its host without "www.", else its name, folded."""
    host = _host(source.url) or (source.name if "." in source.name else "")
    return _MIRRORS.sub("", _fold(host)).rstrip(".") or _fold(source.name)


def count_outlets(story: Story) -> int:
    """Count the outlets that report a story by themselves; whoever copies adds nothing."""
    texts: list[str] = []
    outlets: set[str] = set()
    for candidate in _in_order((story.lead, *story.others)):
        text = _fold(candidate.brief.summary)
        if any(fuzz.ratio(text, other) >= _SYNDICATED_PERCENT for other in texts):
            continue
        texts.append(text)
        outlets |= set(map(outlet_of, _sources_of(candidate))) - {""}
    return max(1, len(outlets))


def has_news(brief: Brief, earlier: Brief) -> bool:
    """Decide whether a brief tells anything that an earlier one on its story did not."""
    told, before = ({*_WORD.findall(_fold(f"{b.title} {b.summary}"))} for b in (brief, earlier))
    return len(told - before) > _NEWS_SHARE * len(told)


def _rank(story: Story, cut_off: datetime, weights: Mapping[str, float]) -> Ranked:
    lead = story.lead
    brief = lead.brief
    newest = max(each.published_at for each in (lead, *story.others))
    age = max(cut_off - newest, timedelta())
    outlets = count_outlets(story)
    weight = weights.get(lead.source, 1)
    is_repeat = story.earlier is not None and not has_news(brief, story.earlier.brief)
    points = (
        _PRIORITY_POINTS * brief.priority
        + math.log2(outlets)
        + 0.5 ** (age / HALF_LIFE)
        + _ANALYSIS_POINTS * brief.has_analysis
        + weight
        - 1
        + _REPEAT_POINTS * is_repeat
    )
    reasons = (
        "pinned" if brief.pinned else "",
        f"priority {brief.priority}" if brief.priority else "",
        f"{outlets} outlets" if outlets > 1 else "",
        _say_age(age),
        "has analysis" if brief.has_analysis else "",
        f"source weight {weight:g}" if weight != 1 else "",
        "late for an earlier edition" if lead.standing == "late" else "",
        "nothing new since the edition that had it" if is_repeat else "",
    )
    return Ranked(
        story=story,
        points=round(points, 9),  # the last bits are the machine's
        outlet=next(filter(None, map(outlet_of, _sources_of(lead))), ""),
        topic=_fold(brief.topics[0]) if brief.topics else "",
        why="; ".join(filter(None, reasons)),
    )


def _order(ranked: Ranked) -> tuple[bool, int, float, str, int]:
    brief = ranked.story.lead.brief
    pinned_by = -brief.priority if brief.pinned else 0
    return not brief.pinned, pinned_by, -ranked.points, brief.title, ranked.story.lead.brief_id


def _take(
    ranked: Sequence[Ranked], rules: EditionSettings, size: int, cap: int
) -> tuple[list[Ranked], dict[int, str]]:
    """Take the first stories that the rules allow; the others by position, with the rule."""
    chosen: list[Ranked] = []
    reasons: dict[int, str] = {}
    outlets: Counter[str] = Counter()
    topics: Counter[str] = Counter()
    for position, each in enumerate(ranked):
        before = outlets[each.outlet], topics[each.topic]
        if each.outlet and cap < size and before[0] >= cap and not each.is_pinned:
            reasons[position] = (
                f"{each.outlet} has {before[0]} of {size} briefs already "
                f"(edition.max_outlet_share = {rules.max_outlet_share:g})"
            )
        elif each.topic and 0 < rules.max_per_topic <= before[1] and not each.is_pinned:
            topic = each.story.lead.brief.topics[0]
            reasons[position] = (
                f"{before[1]} on {topic} come before it "
                f"(edition.max_per_topic = {rules.max_per_topic})"
            )
        elif len(chosen) == size:
            reasons[position] = _no_room(position, size, rules)
        else:
            chosen.append(each)
            outlets[each.outlet] += 1
            topics[each.topic] += 1
    return chosen, reasons


def _no_room(position: int, size: int, rules: EditionSettings) -> str:
    if size == rules.max_briefs:
        return f"no room: it ranks {position + 1}, and edition.max_briefs is {size}"
    return (
        f"no room: with more than {size} briefs one outlet would have more of them than "
        f"edition.max_outlet_share = {rules.max_outlet_share:g} allows"
    )


def _break_runs(chosen: Sequence[Ranked]) -> list[Ranked]:
    """Bring the next story on something else forward where a topic would come a third time."""
    waiting = list(chosen)
    order: list[Ranked] = []
    while waiting:
        last = {each.topic for each in order[-LONGEST_RUN:]}
        tired = last.pop() if len(order) >= LONGEST_RUN and len(last) == 1 else ""
        fitting = (
            n
            for n, each in enumerate(waiting)
            if each.is_pinned or not tired or each.topic != tired
        )
        order.append(waiting.pop(next(fitting, 0)))
    return order


def _in_order(candidates: Iterable[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda each: (each.published_at, each.brief_id))


def _sources_of(candidate: Candidate) -> tuple[Source, ...]:
    """Give a brief's sources; for one that names none the host of its own page."""
    if candidate.brief.sources:
        return candidate.brief.sources
    host = _host(candidate.brief.link)
    return (Source(name=_MIRRORS.sub("", host), url=candidate.brief.link),) if host else ()


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _say_age(age: timedelta) -> str:
    hours = round(age / timedelta(hours=1))
    return f"{hours} h old" if hours else "less than an hour old"


def _fold(text: str) -> str:
    """Fold case, width and white space, which tell no two texts apart."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
