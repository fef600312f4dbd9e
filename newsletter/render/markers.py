"""Slots and blocks: marks that a template leaves in its text, and the cut at those marks.

A mark is made of `[A-Z0-9_]` alone, so that it passes escaping, MJML, premailer and the
percent-encoding of addresses unchanged. It begins with a prefix that is derived from the
edition's content and occurs nowhere in it: no brief can imitate one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from typing import Literal

import jinja2
from markupsafe import Markup

from newsletter.render.compiled import SLOTS, Begin, End, Piece, Slot
from newsletter.render.wire import encode_text

Cut = str | Slot | Begin | End
"""Like `Piece`, but the text is not encoded yet."""


def derive_prefix(content: str) -> str:
    """Derive a prefix for marks that does not occur in `content`; the same one every time."""
    for attempt in count():
        digest = sha256(f"{attempt}:{content}".encode(errors="surrogatepass")).hexdigest()
        prefix = f"NL{digest[:16].upper()}"
        if prefix.lower() not in content.lower():
            return prefix
    raise AssertionError("count() does not end")


@dataclass(frozen=True, slots=True, kw_only=True)
class Markers:
    """Give out marks to one run of one template, and cut its text at them."""

    prefix: str
    kind: Literal["html", "plain"]
    _slots: list[Slot] = field(default_factory=list)
    _blocks: list[str] = field(default_factory=list)

    @property
    def pattern(self) -> str:
        """Match any of these marks, and nothing else in the text."""
        return f"{self.prefix}([BDS])([0-9]+)E"

    def slot(self, name: str, default: str = "") -> str:
        """Stand for a reader's value: one of `SLOTS`, or `fields.NAME`."""
        if name not in SLOTS and not re.fullmatch(r"fields\.\S+", name):
            raise jinja2.TemplateRuntimeError(
                f"there is no slot {name!r}; there are {', '.join(SLOTS)} and fields.NAME"
            )
        self._slots.append(Slot(name, default))
        return f"{self.prefix}S{len(self._slots) - 1}E"

    def block(self, key: str, caller: Callable[[], str]) -> str:
        """Enclose what a reader may choose: whole rows of a column, or whole elements."""
        number = len(self._blocks)
        self._blocks.append(key)
        begin, end = f"{self.prefix}B{number}E", f"{self.prefix}D{number}E"
        if self.kind == "plain":
            return f"{begin}{caller()}{end}"
        # What a block encloses was escaped when the template made it.
        return Markup(f"<!--{begin}-->{caller()}<!--{end}-->")  # noqa: S704 -- see above

    def cut(self, text: str) -> tuple[Cut, ...]:
        """Cut `text` at its marks.

        Raises `ValueError` if a block was lost or two blocks cross, since a reader's
        selection would then not be what was chosen.
        """
        pattern = re.compile(f"<!--{self.pattern}-->|{self.pattern}")
        cuts: list[Cut] = []
        open_blocks: list[int] = []
        seen: set[int] = set()
        end = 0
        for mark in pattern.finditer(text):
            if mark.start() > end:
                cuts.append(text[end : mark.start()])
            end = mark.end()
            sort, number = mark[1] or mark[3], int(mark[2] or mark[4])
            if sort == "S":
                cuts.append(self._slots[number])
            elif sort == "B":
                if number in seen:
                    raise ValueError(f"the block {self._blocks[number]} stands there twice")
                seen.add(number)
                open_blocks.append(number)
                cuts.append(Begin(self._blocks[number]))
            elif open_blocks and open_blocks.pop() == number:
                cuts.append(End(self._blocks[number]))
            else:
                raise ValueError(f"the block {self._blocks[number]} crosses another")
        if open_blocks or len(seen) < len(self._blocks):
            lost = set(range(len(self._blocks))) - seen | {*open_blocks}
            raise ValueError(f"the block {self._blocks[min(lost)]} was lost on the way")
        return (*cuts, text[end:])


def encode_cuts(cuts: tuple[Cut, ...]) -> tuple[Piece, ...]:
    """Bring the text into wire form; the last piece ends the document's last line."""
    last = len(cuts) - 1
    encoded = (
        encode_text(cut, ends=n == last) if isinstance(cut, str) else cut
        for n, cut in enumerate(cuts)
    )
    return tuple(piece for piece in encoded if piece != b"")
