"""A reader's choices → the blocks that they get: by topic, lens, detail and time. Pure.

The budget is kept from the top: every brief that a reader gets is worth a line, so room for
those lines is set aside first; then the first briefs are told in full as long as room is left,
those after them at standard length, and the rest in one line. What finds no room even for its
line is counted. 1,200 words (5 minutes) are so 3 full briefs, 4 standard ones and 8 lines.

The same is done with bytes, since a mail that is too large is clipped, and the way out of the
list with it. No choice can make a mail too large.
"""

from __future__ import annotations

import quopri
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from newsletter.audience.reader import DETAILS, Choices, Detail
from newsletter.render.compiled import (
    WORDS_PER_MINUTE,
    Begin,
    Block,
    CompiledEdition,
    Headline,
    Node,
    Part,
    Phrase,
    build_tree,
)
from newsletter.render.context import text_direction
from newsletter.render.languages import SOURCE, Language, match_language

MAX_HTML_BYTES = 100_000
"""Decoded. Gmail clips a message near 102 KB, and the way out of the list with it."""
LARGE_HTML_BYTES = 80_000
"""What briefs may fill: some clients add to a mail before they clip it."""
LEAST_LENSES = 2
"""One lens alone would be an opinion."""

_FORMS: dict[Detail, str] = {"full": "full", "standard": "standard", "one-line": "line"}
_BUDGET_WORDS = 240  # a minute: 1,200 words in 5 minutes, which 238 a minute round to
_STORY = re.compile(
    r"(?:contents|full|standard|line|perspectives|lens|silent|quiet|correction|watching):\d"
)
_SECTIONS = frozenset(
    (
        *("contents", "section:standard", "section:line", "more", "nothing", "nothing:new"),
        *("corrections", "section:watching"),
    )
)
_HEADING = "section:topic:"
_SLOT_BYTES = 200  # room for a reader's value: a signed link is the longest
_PHRASE_BYTES = 80  # room for words of the interface
_SELECTIONS_KEPT = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What one reader gets of a compiled edition."""

    hidden: frozenset[str]
    """The blocks that the reader does not get; one that no choice is about is never among them."""
    ranks: Mapping[str, int]
    """Where the reader wants a lens, by the key of its block."""
    language: Language
    """Of the interface."""
    isolates: bool
    """Whether the interface is written in the other direction than the edition."""
    counts: Mapping[str, int]
    """`compiled.COUNTS`: briefs, words, minutes, and what is on the web alone."""
    forms: tuple[Detail | None, ...]
    """How much of each brief; None for one that is left out."""
    headline: Headline
    """The subject and the preheader."""

    def wants(self, key: str) -> bool:
        """Say whether the reader gets a block."""
        return key not in self.hidden


@dataclass(frozen=True, slots=True)
class _Cost:
    words: int = 0
    size: int = 0

    def __add__(self, other: _Cost) -> _Cost:
        return _Cost(self.words + other.words, self.size + other.size)

    def __sub__(self, other: _Cost) -> _Cost:
        return _Cost(self.words - other.words, self.size - other.size)

    def fits(self, room: _Cost) -> bool:
        return self.words <= room.words and self.size <= room.size


class Selector:
    """Selects from one compiled edition; the same choices get the same."""

    def __init__(self, compiled: CompiledEdition) -> None:
        self._compiled = compiled
        self._topics = [frozenset(map(_fold, story.topics)) for story in compiled.stories]
        self._languages = {SOURCE: Language(), **compiled.languages}
        self._sizes: dict[str, int] = {}
        self._lenses: dict[int, list[str]] = {}
        self._silent: dict[int, list[str]] = {}
        _weigh(build_tree(compiled.html.pieces), "", self._sizes)
        self.frame_size = sum(  # decoded bytes of HTML without a brief
            s for key, s in self._sizes.items() if not _STORY.match(key)
        )
        keys = _block_keys(compiled.html, compiled.plain)
        self._laid_out = frozenset(("", *keys))
        self._choosable = frozenset(
            k for k in keys if k in _SECTIONS or _STORY.match(k) or k.startswith(_HEADING)
        )
        for key in keys:
            sort, _, rest = key.partition(":")
            if sort in ("lens", "quiet"):
                found = self._lenses if sort == "lens" else self._silent
                found.setdefault(int(rest.partition(":")[0]), []).append(key)
        self._select = lru_cache(_SELECTIONS_KEPT)(self._select_anew)

    def select(
        self,
        choices: Choices,
        had: frozenset[str] = frozenset(),
        muted: frozenset[str] = frozenset(),
    ) -> Selection:
        """Give what a reader with these choices gets, who was sent the editions of `had`.

        `muted` is what they want nothing of on the edition's date (`Choices.muted_on`).
        """
        compiled = self._compiled
        return self._select(
            choices.topics,
            choices.lenses,
            choices.detail or compiled.detail,
            choices.minutes or compiled.minutes,
            match_language(choices.language, compiled.languages) if choices.language else "",
            had,
            muted,
        )

    def select_everything(self) -> Selection:
        """Give what a reader gets who wants all there is, as far as a mail can hold it."""
        owed = frozenset(filter(None, self._compiled.owed))
        return self._select((), (), "full", 0, "", owed, frozenset())

    def _select_anew(
        self,
        topics: tuple[str, ...],
        lenses: tuple[str, ...],
        detail: Detail,
        minutes: int,
        language: str,
        had: frozenset[str],
        muted: frozenset[str],
    ) -> Selection:
        compiled = self._compiled
        wanted = self._choose_briefs(topics, had, muted)
        order = list(dict.fromkeys(map(_fold, lenses)))
        chosen = {position: self._choose_lenses(position, order) for position in wanted}
        beside = self._choose_corrections(had) | self._choose_watched(topics, had, muted)
        frame = _Cost(compiled.words.get("", 0), self.frame_size)
        frame = sum((self._cost(key) for key in beside), frame)
        room = _Cost(minutes * _BUDGET_WORDS or 10**9, LARGE_HTML_BYTES) - frame
        most = self._list_prominences(had)
        forms = _fit(
            [self._costs(n, chosen[n], min(detail, most[n], key=DETAILS.index)) for n in wanted],
            room,
        )
        blocks: set[str] = set()
        for position, form in zip(wanted, forms, strict=False):
            blocks |= {f"{_FORMS[form]}:{position}", f"contents:{position}"}
            if form == "full":
                blocks |= self._lens_blocks(position, chosen[position])
                blocks.add(compiled.stories[position].heading)
        given = dict(zip(wanted, forms, strict=False))
        again = sum(bool(story.had_in & had) for story in compiled.stories)  # they had it
        left_out = compiled.left_out + len(compiled.stories) - again - len(forms)
        is_all_had = bool(again) and again == len(compiled.stories)
        blocks |= _choose_sections(forms, left_out=left_out, is_all_had=is_all_had) | beside
        hidden = self._choosable - blocks
        code = match_language(language or compiled.language, self._languages) or SOURCE
        words = sum(
            count for key, count in compiled.words.items() if key in self._laid_out - hidden
        )
        return Selection(
            hidden=hidden,
            ranks={key: n for keys in chosen.values() for n, key in enumerate(keys)}
            if order
            else {},
            language=self._languages[code],
            isolates=text_direction(code) != text_direction(compiled.language),
            counts={
                "brief_count": len(forms),
                "word_count": words,
                "minutes": max(1, round(words / WORDS_PER_MINUTE)),
                "left_out": left_out,
            },
            forms=tuple(given.get(position) for position in range(len(compiled.stories))),
            headline=self._choose_headline(had),
        )

    def _choose_briefs(
        self, topics: tuple[str, ...], had: frozenset[str], muted: frozenset[str]
    ) -> list[int]:
        wanted = {_fold(topic) for topic in topics}
        unwanted = _fold_topics(muted)
        chosen = [
            position
            for position, topics_of in enumerate(self._topics)
            if (not wanted or wanted & topics_of)
            and not unwanted & topics_of
            and f"story:{self._compiled.stories[position].story_id}" not in muted
            and not self._compiled.stories[position].had_in & had
        ]
        return chosen[: self._compiled.most or None]

    def _list_prominences(self, had: frozenset[str]) -> dict[int, Detail]:
        """List the most that a reader gets of each brief, by its position."""
        stories = self._compiled.stories
        standing = [
            position
            for position, story in enumerate(stories)
            if not (self._compiled.closes_gaps and story.had_in & had)
        ]
        return dict(zip(standing, (story.prominence for story in stories), strict=False))

    def _choose_headline(self, had: frozenset[str]) -> Headline:
        compiled = self._compiled
        if compiled.rest and any(story.had_in & had for story in compiled.stories):
            return compiled.rest
        return Headline(subject=compiled.subject, preheader=compiled.preheader)

    def _choose_corrections(self, had: frozenset[str]) -> set[str]:
        owed = {
            f"correction:{n}"
            for n, edition in enumerate(self._compiled.owed)
            if not edition or edition in had
        }
        return owed | {"corrections"} if owed else owed

    def _choose_watched(
        self, topics: tuple[str, ...], had: frozenset[str], muted: frozenset[str]
    ) -> set[str]:
        wanted, unwanted = {_fold(topic) for topic in topics}, _fold_topics(muted)
        told = self._compiled.watched_in or (frozenset(),) * len(self._compiled.watched)
        chosen = {
            f"watching:{n}"
            for n, (own, had_in) in enumerate(zip(self._compiled.watched, told, strict=True))
            if not had_in & had
            and (not wanted or not own or wanted & set(map(_fold, own)))
            and not unwanted & set(map(_fold, own))
        }
        return chosen | {"section:watching"} if chosen else chosen

    def _choose_lenses(self, position: int, order: list[str]) -> list[str]:
        """Choose a brief's lenses, in the reader's order, then those that make up the least."""
        speaking = self._lenses.get(position, [])
        silent = self._silent.get(position, [])
        if not order:
            return [*speaking, *silent]
        mine = [key for lens in order for key in speaking if _fold(_lens_of(key)) == lens]
        others = (key for key in speaking if key not in mine)
        mine += [key for key, _ in zip(others, range(LEAST_LENSES - len(mine)), strict=False)]
        return mine + [key for lens in order for key in silent if _fold(_lens_of(key)) == lens]

    def _costs(self, position: int, lenses: list[str], most: Detail) -> dict[Detail, _Cost]:
        """Give what each form of a brief costs that the reader may get."""
        story = self._compiled.stories[position]
        allowed = DETAILS[: DETAILS.index(most) + 1]
        listed = _Cost(0, self._sizes.get(f"contents:{position}", 0))
        costs = {
            form: listed + self._cost(f"{_FORMS[form]}:{position}")
            for form in allowed
            if form != "full" or story.has_more
        }
        if "full" in costs:
            inner = self._lens_blocks(position, lenses)
            costs["full"] = sum((self._cost(key) for key in inner), costs["full"])
        return costs

    def _cost(self, key: str) -> _Cost:
        return _Cost(self._compiled.words.get(key, 0), self._sizes.get(key, 0))

    def _lens_blocks(self, position: int, lenses: list[str]) -> set[str]:
        around = {f"perspectives:{position}"} if lenses else set()
        if any(key.startswith("quiet:") for key in lenses):
            around.add(f"silent:{position}")
        return {*lenses, *around}


def _fit(costs: Sequence[Mapping[Detail, _Cost]], room: _Cost) -> list[Detail]:
    """Fit the first briefs into the room, the longest forms first; the others are left out."""
    shown = 0
    for cost in costs:
        line = cost["one-line"]
        if not line.fits(room):
            break
        room -= line
        shown += 1
    forms: list[Detail] = ["one-line"] * shown
    for form in reversed(DETAILS[1:]):
        whole = room
        for position, cost in enumerate(costs[:shown]):
            if form not in cost or forms[position] != "one-line":
                continue
            longer = cost[form] - cost["one-line"]
            if longer.fits(room):
                room -= longer
                forms[position] = form
            elif longer.fits(
                whole
            ):  # else it is too long for any mail of these, and the next may do
                break
    return forms


def _choose_sections(
    forms: Sequence[Detail], *, left_out: int, is_all_had: bool = False
) -> set[str]:
    """Choose what stands around the briefs: a heading only above briefs, and below others."""
    sections = {"contents"} if len(forms) > 1 else set()
    if left_out:
        sections.add("more")
    if "standard" in forms and "full" in forms:
        sections.add("section:standard")
    if "one-line" in forms:
        sections.add("section:line")
    if not forms:
        sections.add("nothing:new" if is_all_had else "nothing")
    return sections


def _weigh(nodes: Iterable[Node], key: str, sizes: dict[str, int]) -> None:
    """Add up the bytes in each block, inner blocks not counted; "" is what all readers get."""
    sizes.setdefault(key, 0)
    for node in nodes:
        if isinstance(node, Block):
            _weigh(node.nodes, node.key, sizes)
        elif isinstance(node, bytes):
            sizes[key] += len(quopri.decodestring(node))
        else:
            sizes[key] += _PHRASE_BYTES if isinstance(node, Phrase) else _SLOT_BYTES


def _block_keys(*parts: Part) -> list[str]:
    """Give each key once, in the order of the parts."""
    return list(
        dict.fromkeys(
            piece.key for part in parts for piece in part.pieces if isinstance(piece, Begin)
        )
    )


def _lens_of(key: str) -> str:
    return key.split(":", 2)[2]


def _fold_topics(muted: Iterable[str]) -> set[str]:
    """Give the topics that are muted, as topics are compared."""
    return {_fold(what.removeprefix("topic:")) for what in muted if what.startswith("topic:")}


def _fold(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
