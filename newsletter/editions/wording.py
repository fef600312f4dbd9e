"""Texts as a search sees them: which words they have, and which part of them to show. Pure.

Any language that a publication uses, and the same in both databases: letters are folded (case,
width, accents, the points of Hebrew and Arabic); where words are written without blanks between
them, as in Chinese, Japanese and Thai, every two neighbours are a word. Nothing is stemmed: a
word that is looked for also finds those that begin with it.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import regex

from newsletter.editions.model import Edition

QUERY_CHARACTERS = 200
QUERY_WORDS = 8
PREFIX_LETTERS = 3
"""From how many letters on a word finds those that begin with it."""

_WORD_CHARACTERS = 40
_MOST_WEIGHT = 255
_EXCERPT_CHARACTERS = 260
_BEFORE_CHARACTERS = 60

_DENSE = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_RUNS = regex.compile(
    rf"(?V1)(?P<dense>[{_DENSE}]+)|(?P<word>[[\p{{L}}\p{{M}}\p{{N}}]--[{_DENSE}]]+)"
)
# Marks that a writer may leave out. Those of Indian scripts are vowels, and stay.
_MARKS = regex.compile("[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670]")


class Place(NamedTuple):
    """A word, folded, and where it stands in its text."""

    word: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """A part of an excerpt; `is_hit` where it is what was looked for."""

    text: str
    is_hit: bool


def split_words(text: str) -> Iterator[Place]:
    """Split a text into words; where they are not apart, into every two neighbours."""
    for run in _RUNS.finditer(text):
        if run["dense"]:
            for at in range(run.start(), run.end()):
                end = min(at + 2, run.end())
                yield Place(_fold(text[at:end]), at, end)
            continue
        word = _fold(run[0])[:_WORD_CHARACTERS]
        if word and (len(word) > 1 or word.isdigit() or not word.isascii()):  # no "s" of "it's"
            yield Place(word, run.start(), run.end())


def read_query(text: str) -> tuple[str, ...]:
    """Read which words are looked for, each once; of a long query the first ones."""
    words = []
    for run in _RUNS.finditer(text[:QUERY_CHARACTERS]):
        found = [place.word for place in split_words(run[0])]
        # The last neighbour of a run has none: alone it would ask for the end of a run.
        words += found[:-1] if run["dense"] and len(found) > 1 else found
    return tuple(dict.fromkeys(words))[:QUERY_WORDS]


def is_prefix(word: str) -> bool:
    """Tell whether a word that is looked for also finds those that begin with it."""
    dense = _RUNS.match(word)
    return len(word) >= PREFIX_LETTERS or bool(dense and dense["dense"] and len(word) == 1)


def weigh_words(texts: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Weigh the words of texts, each with what a word in it weighs."""
    weights: Counter[str] = Counter()
    for text, weight in texts:
        for place in split_words(text):
            weights[place.word] += weight
    return {word: min(weight, _MOST_WEIGHT) for word, weight in weights.items()}


def list_texts(
    edition: Edition, number: int, corrected: Sequence[str] = ()
) -> list[tuple[str, int]]:
    """List the texts of brief `number`, or with 0 of the edition as such, each with its weight.

    `corrected` is what was found wrong in it since.
    """
    texts = [(text, 5) for text in corrected]
    if not number:
        note = edition.note
        said = (note.heading, note.text, note.by) if note else ()
        texts += [(edition.subject, 4), (edition.date.isoformat(), 2), *((t, 2) for t in said)]
        return texts + [(correction.text, 2) for correction in edition.corrections]
    brief, placing = edition.briefs[number - 1], edition.placing(number - 1)
    texts += [(brief.title, 8), (brief.summary, 3), (brief.update, 2), (brief.author, 2)]
    texts += ((topic, 4) for topic in brief.topics)
    texts += ((source.name, 3) for source in brief.sources)
    texts += ((f"{report.outlet} {report.title}", 2) for report in placing.also)
    texts.append((brief.why_it_matters, 1))
    texts += ((point.text, 1) for point in brief.quick_take)
    texts += ((lens.text, 1) for lens in brief.perspectives)
    if brief.picture:
        texts.append((f"{brief.picture.alt} {brief.picture.caption}", 1))
    return texts


def list_prose(edition: Edition, number: int) -> list[str]:
    """List the paragraphs that an excerpt may be taken from, the most telling first."""
    if not number:
        said = [edition.note.text] if edition.note else []
        told = [correction.text for correction in edition.corrections]
        titles = [" · ".join(brief.title for brief in edition.briefs)]
        texts = [*said, *told, *titles]
    else:
        brief = edition.briefs[number - 1]
        texts = [brief.summary, brief.why_it_matters]
        texts += (point.text for point in brief.quick_take)
        texts += (lens.text for lens in brief.perspectives)
    return [part for text in texts for part in text.split("\n\n") if part]


def build_excerpt(paragraphs: Sequence[str], words: Sequence[str]) -> tuple[Fragment, ...]:
    """Take the paragraph that has most of the words, and of it what stands about the first."""
    best, hits = next(iter(paragraphs), ""), list[Place]()
    found = 0
    for paragraph in paragraphs:
        places = [place for place in split_words(paragraph) if find_word(place.word, words)]
        different = len({find_word(place.word, words) for place in places})
        if different > found:
            best, hits, found = paragraph, places, different
    start = _find_start(best, hits[0].start if hits else 0)
    end = start + _EXCERPT_CHARACTERS
    if end < len(best):
        end = max(best.rfind(" ", start, end), *(hit.end for hit in hits[:1]), start + 1)
    shown: list[Fragment] = [Fragment(text="… ", is_hit=False)] if start else []
    at = start
    for hit in hits:
        if at <= hit.start and hit.end <= end:
            shown.append(Fragment(text=best[at : hit.start], is_hit=False))
            shown.append(Fragment(text=best[hit.start : hit.end], is_hit=True))
            at = hit.end
        elif hit.start < at < hit.end <= end:  # of neighbours the second begins within the first
            shown.append(Fragment(text=best[at : hit.end], is_hit=True))
            at = hit.end
    tail = best[at:end] + (" …" if end < len(best) else "")
    return tuple(part for part in (*shown, Fragment(text=tail, is_hit=False)) if part.text)


def find_word(word: str, looked_for: Sequence[str]) -> str:
    """Find which of the words that are looked for a word answers; "" for none."""
    return next((w for w in looked_for if w == word or (is_prefix(w) and word.startswith(w))), "")


def count_searched(edition: Edition) -> int:
    """Count the briefs of an edition that can be found in it: a round-up repeats others'."""
    return 0 if edition.kind == "weekly" else len(edition.briefs)


def rate(weights: Mapping[str, float], rarity: Mapping[str, float]) -> float:
    """Rate how well something answers: by each word's weight in it, and by how rare it is."""
    return sum(rarity[word] * weight / (weight + 4) for word, weight in weights.items())


def _find_start(text: str, hit: int) -> int:
    """Find where an excerpt begins: at a word, not long before what was found."""
    if hit <= _BEFORE_CHARACTERS:
        return 0
    blank = text.find(" ", hit - _BEFORE_CHARACTERS, hit)
    return blank + 1 if blank >= 0 else hit


def _fold(word: str) -> str:
    folded = unicodedata.normalize("NFKC", word).casefold()
    bare = _MARKS.sub("", unicodedata.normalize("NFD", folded))
    return unicodedata.normalize("NFC", bare)
