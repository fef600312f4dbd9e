"""Slots, phrases and blocks: marks that a template leaves in its text, and the cut at them.

A mark is made of `[A-Z0-9_]` alone, so that it passes escaping, MJML, premailer and the
percent-encoding of addresses unchanged. It begins with a prefix that is derived from the
edition's content and occurs nowhere in it: no brief can imitate one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count as count_up
from typing import Literal

import jinja2
from markupsafe import Markup

from newsletter.render.columns import wrap_text
from newsletter.render.compiled import COUNTS, SLOTS, Begin, End, Flow, Phrase, Piece, Slot
from newsletter.render.languages import Catalogues
from newsletter.render.wire import encode_text

Cut = str | Slot | Phrase | Flow | Begin | End
"""Like `Piece`, but the text is not encoded yet."""


def derive_prefix(content: str) -> str:
    """Derive a prefix for marks that does not occur in `content`; the same one every time."""
    for attempt in count_up():
        digest = sha256(f"{attempt}:{content}".encode(errors="surrogatepass")).hexdigest()
        prefix = f"NL{digest[:16].upper()}"
        if prefix.lower() not in content.lower():
            return prefix
    raise AssertionError("count_up() does not end")


@dataclass(frozen=True, slots=True, kw_only=True)
class Markers:
    """Give out marks to one run of one template, and cut its text at them."""

    prefix: str
    kind: Literal["html", "plain"]
    catalogues: Catalogues
    _holes: list[Slot | Phrase | Flow] = field(default_factory=list)
    _blocks: list[str] = field(default_factory=list)
    _seen: set[int] = field(default_factory=set)

    @property
    def functions(self) -> dict[str, Callable[..., str]]:
        """What a template can call."""
        return {
            "slot": self.slot,
            "block": self.block,
            "_": self.say,
            "ngettext": self.say_number,
        }

    @property
    def filters(self) -> dict[str, Callable[..., str]]:
        """What a template can put behind a `|`, besides Jinja's own."""
        return {"wrap": self.wrap}

    @property
    def phrases(self) -> list[str]:
        """The English of all words of the interface that were asked for."""
        return [hole.text for hole in self._holes if isinstance(hole, Phrase)]

    @property
    def pattern(self) -> str:
        """Match any of these marks, and nothing else in the text."""
        return f"{self.prefix}([BDH])([0-9]+)E"

    def slot(self, name: str, default: str = "") -> str:
        """Stand for a reader's value: one of `SLOTS`, or `fields.NAME`."""
        if name not in SLOTS and not re.fullmatch(r"fields\.\S+", name):
            raise jinja2.TemplateRuntimeError(
                f"there is no slot {name!r}; there are {', '.join(SLOTS)} and fields.NAME"
            )
        return self._mark(Slot(name, default))

    def hold(self, slot: Slot) -> str:
        """Stand for what is not a template's to ask for."""
        return self._mark(slot)

    def say(self, text: str) -> str:
        """Say words of the interface in the reader's language; others stay as they are."""
        return self._mark(Phrase(text)) if self.catalogues.knows(text) else text

    def say_number(self, singular: str, plural: str, count: str | int) -> str:
        """Say a number with its words, `{n}` stands for it: one of the reader's by name, or any."""
        if isinstance(count, str) and count not in COUNTS:
            raise jinja2.TemplateRuntimeError(
                f"there is no number {count!r}; there are {', '.join(COUNTS)}"
            )
        return self._mark(Phrase(singular, plural, str(count)))

    def block(self, key: str, caller: Callable[[], str]) -> str:
        """Enclose what a reader may choose: whole rows of a column, or whole elements."""
        number = len(self._blocks)
        self._blocks.append(key)
        begin, end = f"{self.prefix}B{number}E", f"{self.prefix}D{number}E"
        if self.kind == "plain":
            return f"{begin}{caller()}{end}"
        # What a block encloses was escaped when the template made it.
        return Markup(f"<!--{begin}-->{caller()}<!--{end}-->")  # noqa: S704 -- see above

    def wrap(self, text: str, first: str = "", rest: str = "") -> str:
        """Break a paragraph's lines; one with words of the interface once they are known."""
        marks = re.finditer(f"{self.prefix}H([0-9]+)E", text)
        holes = [self._holes[int(mark[1])] for mark in marks]
        if not any(isinstance(hole, Phrase) for hole in holes):
            return wrap_text(text, first, rest, mark=self.pattern)
        if any(isinstance(hole, Flow) for hole in holes):
            raise jinja2.TemplateRuntimeError("a text is wrapped twice")
        return self._mark(Flow(tuple(self._cut_flow(text)), first, rest))

    def cut(self, text: str) -> tuple[Cut, ...]:
        """Cut `text` at its marks.

        Raises `ValueError` if a block was lost or two blocks cross, since a reader's
        selection would then not be what was chosen.
        """
        cuts = tuple(self._cut(text))
        if lost := {*range(len(self._blocks))} - self._seen:
            raise ValueError(f"the block {self._blocks[min(lost)]} was lost on the way")
        return cuts

    def _cut_flow(self, text: str) -> Iterator[str | Slot | Phrase | Begin | End]:
        return (cut for cut in self._cut(text) if cut != "" and not isinstance(cut, Flow))

    def _mark(self, hole: Slot | Phrase | Flow) -> str:
        self._holes.append(hole)
        return f"{self.prefix}H{len(self._holes) - 1}E"

    def _cut(self, text: str) -> Iterator[Cut]:
        pattern = re.compile(f"<!--{self.pattern}-->|{self.pattern}")
        opened: list[int] = []
        end = 0
        for mark in pattern.finditer(text):
            if mark.start() > end:
                yield text[end : mark.start()]
            end = mark.end()
            sort, number = mark[1] or mark[3], int(mark[2] or mark[4])
            if sort == "H":
                yield self._holes[number]
            elif sort == "B":
                if number in self._seen:
                    raise ValueError(f"the block {self._blocks[number]} stands there twice")
                self._seen.add(number)
                opened.append(number)
                yield Begin(self._blocks[number])
            elif opened and opened.pop() == number:
                yield End(self._blocks[number])
            else:
                raise ValueError(f"the block {self._blocks[number]} crosses another")
        if opened:
            raise ValueError(f"the block {self._blocks[min(opened)]} was lost on the way")
        yield text[end:]


def encode_cuts(cuts: tuple[Cut, ...]) -> tuple[Piece, ...]:
    """Bring the text into wire form; the last piece ends the document's last line."""
    last = len(cuts) - 1
    encoded = (
        encode_text(cut, ends=n == last) if isinstance(cut, str) else cut
        for n, cut in enumerate(cuts)
    )
    return tuple(piece for piece in encoded if piece != b"")
