"""Plain text in columns: what fits into a line of a mail, wide characters counted as two."""

from __future__ import annotations

from collections.abc import Iterator
from unicodedata import category, east_asian_width

import regex

COLUMNS = 78

# Scripts without spaces may break between any two characters but these (after UAX #14).
_NEVER_FIRST = frozenset(
    "、。，．・：；？！」』）】〉》〕］｝ー々ぁぃぅぇぉっゃゅょァィゥェォッャュョ"
)
_NEVER_LAST = frozenset("「『（【〈《〔［｛")


def count_columns(text: str) -> int:
    """Count the columns that `text` takes in a terminal's fixed-width font (UAX #11)."""
    return sum(
        0 if category(c) in {"Mn", "Me", "Cf"} else 2 if east_asian_width(c) in "WF" else 1
        for c in text
    )


def wrap_text(
    text: str, first: str = "", rest: str = "", *, width: int = COLUMNS, mark: str = "(?!)"
) -> str:
    """Wrap one paragraph to `width` columns; `first` and `rest` indent its lines.

    Only an address may stand over the edge: a broken link is worse than a long line. What
    the pattern `mark` matches takes no room and is never broken.
    """
    indent = max(count_columns(first), count_columns(rest))
    lines: list[str] = [""]
    used, gap = 0, ""
    for piece in _pieces(text, width - indent, mark):
        if piece == " ":
            gap = piece
            continue
        columns = count_columns(regex.sub(mark, "", piece))
        if used and used + len(gap) + columns > width - indent:
            lines.append("")
            used, gap = 0, ""
        if not used:
            gap = ""
        lines[-1] += gap + piece
        used += len(gap) + columns
        gap = ""
    return first + ("\n" + rest).join(lines)


def _pieces(text: str, room: int, mark: str) -> Iterator[str]:
    """Yield single spaces and the runs that stay together on a line."""
    run, columns, may_cut = "", 0, True
    before = ""
    atoms = rf"(?P<mark>{mark})|(?P<space>[ \t\n]+)|(?P<address>https?://\S+)|(?P<sign>\X)"
    for match in regex.finditer(atoms, text):
        atom, kind = match[0], match.lastgroup
        if kind == "space":
            if run:
                yield run
            yield " "
            run, columns, may_cut, before = "", 0, True, ""
            continue
        if kind == "mark":
            run += atom
            continue
        wide = kind == "sign" and east_asian_width(atom[0]) in "WF"
        breakable = wide or (before and east_asian_width(before[0]) in "WF")
        if atom in _NEVER_FIRST or before in _NEVER_LAST:
            breakable = False
        may_cut = may_cut and kind == "sign"
        if run and (breakable or (may_cut and columns + count_columns(atom) > room)):
            yield run
            run, columns, may_cut = "", 0, kind == "sign"
        run += atom
        columns += count_columns(atom)
        before = atom if kind == "sign" else "/"
    if run:
        yield run
