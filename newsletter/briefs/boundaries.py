"""Where one brief of a document ends and the next begins."""

from __future__ import annotations

from collections.abc import Sequence

from newsletter.briefs.lexicon import HEADINGS, LABELS, Kind, Line
from newsletter.briefs.normalise import fold

_PASSED_OVER = frozenset({Kind.FURNITURE, Kind.ORNAMENT})
_UNCOUNTED = _PASSED_OVER | {Kind.RULE, Kind.FRONT}
_SETTLED = LABELS | {Kind.BRAND, Kind.FOOTER}
_LONGEST_TITLE_COMPARED = 1_000


def split_briefs(lines: Sequence[Line]) -> list[Sequence[Line]]:
    """Cut a document into its briefs.

    A brief begins at front matter; at the title line ahead of a brand line; and after a `---`
    that is followed by what looks like a brief of its own. Text ahead of the first title is
    part of the first brief, unless it has headings and so is a brief without a brand line.
    """
    starts = [0]
    branded = any(line.kind is Kind.BRAND for line in lines)
    settled = False  # whether the present brief has its brand line or any label
    parts = 0  # how many lines of the present brief say something
    for i, line in enumerate(lines):
        begins = None
        if line.kind is Kind.FRONT:
            begins = i
        elif line.kind is Kind.RULE and parts > 1:  # else it underlines the title
            begins = i if _brief_follows(lines, i, branded=branded) else None
        elif line.kind is Kind.BRAND and settled:
            begins = _title_ahead(lines, i, starts[-1])
        if begins is not None and begins > starts[-1]:
            starts.append(begins)
            settled, parts = False, 0
        settled = settled or line.kind in _SETTLED
        parts += line.kind not in _UNCOUNTED
    return [lines[a:b] for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)]


def is_title_again(line: Line, title: str) -> bool:
    """Whether a line repeats a title, as web pages do."""
    return (
        line.kind is Kind.TEXT
        and not line.verbatim
        and len(title) <= _LONGEST_TITLE_COMPARED
        and len(line.text) <= _LONGEST_TITLE_COMPARED
        and fold(line.text) == fold(title)
    )


def _brief_follows(lines: Sequence[Line], rule: int, *, branded: bool) -> bool:
    """Whether title and summary follow a `---`; else it only parts the sections of a brief."""
    seen = 0
    for i in range(rule + 1, len(lines)):
        kind = lines[i].kind
        if kind in {Kind.RULE, Kind.FRONT}:
            break
        if kind in _PASSED_OVER:
            continue
        seen += 1
        if seen == 1 and kind is Kind.BRAND:  # its title is missing; better to say so than go on
            return True
        if seen <= 2 and kind not in {Kind.TEXT, Kind.BRAND}:
            return False
        if seen >= 2 and (not branded or kind in HEADINGS | {Kind.BRAND}):
            return True
    return False


def _title_ahead(lines: Sequence[Line], brand: int, start: int) -> int | None:
    """Find where a further brand line's brief begins; None if that line is only repeated."""
    title = _before(lines, brand, start, _PASSED_OVER)
    if title < start or lines[title].kind is not Kind.TEXT:
        return None
    first = _before(lines, title, start, _PASSED_OVER | {Kind.BRAND})
    if first < start or not is_title_again(lines[first], lines[title].text):
        return title
    ahead = _before(lines, first, start, _PASSED_OVER | {Kind.FRONT, Kind.RULE})
    return None if ahead < start else first


def _before(lines: Sequence[Line], i: int, start: int, passed: frozenset[Kind]) -> int:
    """Give the index of the nearest line ahead of `i` that is not passed over."""
    i -= 1
    while i >= start and lines[i].kind in passed:
        i -= 1
    return i
