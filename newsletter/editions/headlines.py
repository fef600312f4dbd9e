"""Subject and preheader: what a reader sees of an edition before opening it.

Both are made of headlines, the preheader at need of summaries, and never of analysis: what is
not fact has no place where its label cannot stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date

import regex

from newsletter.briefs.model import Brief
from newsletter.editions.model import Kind
from newsletter.settings import KINDS, Publication

SUBJECT_GRAPHEMES = 60
PREHEADER_LEAST_CHARACTERS = 40
PREHEADER_MOST_CHARACTERS = 110
_TOP = 3
_CLUSTER_CHARACTERS = 16  # of a grapheme: above any emoji, below a tower of combining marks

_BREAKS = regex.compile(r"[\p{Cc}\p{Z}]+")
_UNSAFE = regex.compile(r"[\p{Cs}\u202A-\u202E\u2066-\u2069]")  # surrogates, bidi overrides
_CLUSTER = regex.compile(r"\X")


def format_subject(
    briefs: Sequence[Brief], *, publication: Publication, day: date, kind: Kind = "daily"
) -> str:
    """Join those of the top headlines that fit into 60 graphemes.

    A further daily edition says its name before them, so that it is told from the daily one.
    Without a headline it is the publication's name and the date.
    """
    mark = _mark(publication, kind)
    told = _choose_told(briefs, mark)
    if told:
        joined = mark + "; ".join(_clean(briefs[position].title) for position in told)
        return _cut(joined, SUBJECT_GRAPHEMES, count_graphemes)
    dated = f", {day}"
    return _cut(_clean(publication.name), SUBJECT_GRAPHEMES - len(dated), count_graphemes) + dated


def format_preheader(
    briefs: Sequence[Brief], *, publication: Publication, day: date, kind: Kind = "daily"
) -> str:
    """Tell in 40 to 110 characters of other stories than the subject's, where there are any."""
    if not briefs:
        return "There is nothing new to report since the last edition."
    told = _choose_told(briefs, _mark(publication, kind))
    others = [brief for position, brief in enumerate(briefs) if position not in told]
    first, *titles = _clean_all(brief.title for brief in others) or [""]
    text = _cut(first, PREHEADER_MOST_CHARACTERS, len)
    for title in titles:
        if len(longer := f"{text}; {title}") <= PREHEADER_MOST_CHARACTERS:
            text = longer
    last_resort = format_plain_preheader(publication, day)
    summaries = _clean_all(brief.summary for brief in (*others, *(briefs[i] for i in told)))
    for more in (*summaries, last_resort):
        if len(text) >= PREHEADER_LEAST_CHARACTERS:
            break
        text = _cut(f"{text} – {more}" if text else more, PREHEADER_MOST_CHARACTERS, len)
    return text


def format_plain_preheader(publication: Publication, day: date) -> str:
    """Give a preheader that names no story."""
    name = _cut(_clean(publication.name), SUBJECT_GRAPHEMES, len)
    return f"{name}, {day}: the news of the day in brief"


def format_correction(
    text: str, title: str, *, label: str, publication: Publication, day: date
) -> tuple[str, str]:
    """Give the subject and the preheader of a correction's own mail.

    `title` is that of the brief that was wrong in the edition of `day`, "" where it was none.
    """
    name = _cut(_clean(publication.name), SUBJECT_GRAPHEMES, len)
    wrong = _clean(title) or f"{name}, {day}"
    subject = _cut(f"{_clean(label)}: {wrong}", SUBJECT_GRAPHEMES, count_graphemes)
    preheader = _cut(_clean(text), PREHEADER_MOST_CHARACTERS, len)
    if len(preheader) < PREHEADER_LEAST_CHARACTERS:
        preheader = _cut(
            f"{preheader} – {name}, the edition of {day}, set right",
            PREHEADER_MOST_CHARACTERS,
            len,
        )
    return subject, preheader


def count_graphemes(text: str) -> int:
    """Count what a reader takes for characters (Unicode UAX #29)."""
    return len(_CLUSTER.findall(text))


def _mark(publication: Publication, kind: Kind) -> str:
    """Give what the subject begins with: of a further daily edition its name."""
    if kind in KINDS:
        return ""
    return _cut(_clean(publication.name), SUBJECT_GRAPHEMES // 2, count_graphemes) + ": "


def _choose_told(briefs: Sequence[Brief], mark: str = "") -> tuple[int, ...]:
    """Choose the positions of the briefs whose headlines, after a mark, make the subject.

    The first headline always does, though it may have to be cut; another of the top ones
    does where it fits in whole.
    """
    told: list[int] = []
    room = SUBJECT_GRAPHEMES - count_graphemes(mark)
    for position, brief in enumerate(briefs[:_TOP]):
        title = _clean(brief.title)
        size = count_graphemes(f"; {title}" if told else title)
        if title and (not told or size <= room):
            told.append(position)
            room -= size
    return tuple(told)


def _clean(text: str) -> str:
    """Make one line of `text`, without what could break a header or turn its direction."""
    line = _BREAKS.sub(" ", _UNSAFE.sub("", text)).strip()
    return _CLUSTER.sub(lambda cluster: cluster[0][:_CLUSTER_CHARACTERS], line)


def _clean_all(texts: Iterable[str]) -> list[str]:
    """Clean texts, and leave out those of which nothing is left."""
    return [line for text in texts if (line := _clean(text))]


def _cut(text: str, limit: int, measure: Callable[[str], int]) -> str:
    """Cut `text` to `limit` at the end of a word; where there is none, after a grapheme."""
    if measure(text) <= limit:
        return text
    end, room = 0, limit - len("…")
    for cluster in _CLUSTER.finditer(text):
        room -= measure(cluster[0])
        if room < 0:
            break
        end = cluster.end()
    head = text[:end]
    if not text[end:].startswith(" ") and " " in head:
        head = head[: head.rindex(" ")]
    return head.rstrip(" ,;:–—-") + "…"
