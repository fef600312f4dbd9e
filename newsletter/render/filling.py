"""A part and a selection → what the readers of that selection share, and holes for their own."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from newsletter.render.columns import wrap_text
from newsletter.render.compiled import (
    COUNTS,
    HEADLINE_SLOTS,
    Flow,
    Node,
    Phrase,
    Slot,
    arrange,
    build_tree,
)
from newsletter.render.selection import Selection
from newsletter.render.wire import encode_text, encode_value

_PARAGRAPHS_KEPT = 4096  # readers of one language share them, whatever else they chose
_HOLE = re.compile("\x02([0-9]+)\x03")  # no text has control characters: `context` drops them
_MARK = _HOLE.pattern.replace("(", "(?:")

_ISOLATE, _END_ISOLATE = "\u2068", "\u2069"
"""Around words that run the other way: what stands beside them stays in its place (UAX #9)."""


def fill_shared(
    nodes: Sequence[Node], selection: Selection, values: Mapping[str, str], *, escaped: bool
) -> Iterator[bytes | Slot]:
    """Choose blocks, say the interface's words, and fill the slots that `values` or counts fill.

    `escaped` for HTML. Gives bytes in wire form, and the slots that are left.
    """
    for node in arrange(nodes, selection.wants, selection.ranks):
        if isinstance(node, bytes):
            yield node
        elif isinstance(node, Flow):
            yield from _fill_flow(node, selection, values)
        else:
            said = _say(node, selection, values)
            if isinstance(said, Slot):
                yield said
            else:
                yield _encode(said, escaped=escaped)


def _say(hole: Slot | Phrase, selection: Selection, values: Mapping[str, str]) -> str | Slot:
    if isinstance(hole, Phrase):
        said = selection.language.say(hole.text, hole.plural, _number_of(hole, selection))
        return f"{_ISOLATE}{said}{_END_ISOLATE}" if selection.isolates else said
    if hole.name in HEADLINE_SLOTS:
        return str(getattr(selection.headline, hole.name))
    if hole.name in COUNTS:
        return selection.language.write_number(selection.counts[hole.name])
    return values.get(hole.name) or hole


def _number_of(phrase: Phrase, selection: Selection) -> int | None:
    if phrase.count.isdecimal():
        return int(phrase.count)
    return selection.counts[phrase.count] if phrase.count else None


def _fill_flow(
    flow: Flow, selection: Selection, values: Mapping[str, str]
) -> Iterator[bytes | Slot]:
    slots: list[Slot] = []
    text = ""
    for part in arrange(build_tree(flow.parts), selection.wants, selection.ranks):
        said = part if isinstance(part, str) else _say(part, selection, values)
        if isinstance(said, Slot):
            slots.append(said)
            said = f"\x02{len(slots) - 1}\x03"
        text += said
    for piece in _lay_out(text, flow.first, flow.rest):
        yield slots[piece] if isinstance(piece, int) else piece


@lru_cache(_PARAGRAPHS_KEPT)
def _lay_out(text: str, first: str, rest: str) -> tuple[bytes | int, ...]:
    """Wrap a paragraph: bytes in wire form, and the number of each slot where it stands."""
    wrapped = wrap_text(text, first, rest, mark=_MARK)
    pieces = enumerate(_HOLE.split(wrapped))
    return tuple(int(p) if n % 2 else encode_text(p) for n, p in pieces if p)


@lru_cache(_PARAGRAPHS_KEPT)
def _encode(said: str, *, escaped: bool) -> bytes:
    return encode_value(html.escape(said) if escaped else said)
