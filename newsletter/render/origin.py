r"""Where each tag of a rendered template was written: file and line, carried through Jinja.

While a `*.mjml.j2` file is parsed, each of its tags gets a source mark put ahead:
`\x02FILE:LINE\x03`. Control characters cannot come from data (the context drops them), so
whatever is marked was written by a person in a template, and the marks can be taken out again.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream

from newsletter.errors import Problem

_TAG_START = re.compile(r"(?=</?[A-Za-z])")
_MARK = re.compile("\x02([^\x03]*):(\\d+)\x03")


class MarkSources(Extension):
    """Put a source mark ahead of each tag in the templates named `*.mjml.j2`."""

    def filter_stream(self, stream: TokenStream) -> TokenStream | Iterator[Token]:
        """Mark the text between Jinja's own tags."""
        if not (stream.name or "").endswith(".mjml.j2"):
            return stream
        return self._mark(stream)

    def _mark(self, stream: TokenStream) -> Iterator[Token]:
        for token in stream:
            if token.type != "data":
                yield token
                continue
            line = token.lineno
            marked: list[str] = []
            for piece in _TAG_START.split(token.value):
                marked.append(f"\x02{stream.filename}:{line}\x03{piece}" if marked else piece)
                line += piece.count("\n")
            yield Token(token.lineno, "data", "".join(marked))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tag was written; the line is None ahead of the first tag."""

    file: Path
    line: int | None

    def say(self, problem: str, mend: str = "") -> Problem:
        """Say what is wrong here."""
        return Problem(problem, file=str(self.file), line=self.line, mend=mend)


@dataclass(frozen=True, slots=True)
class Source:
    """Rendered text without its marks, and the place of each tag."""

    text: str
    offsets: tuple[int, ...]
    places: tuple[Place, ...]

    @classmethod
    def read(cls, marked: str, main: Path) -> Source:
        """Take the marks out; text ahead of the first one counts as `main`'s."""
        offsets, places = [0], [Place(main, None)]
        pieces, length, end = [], 0, 0
        for mark in _MARK.finditer(marked):
            pieces.append(marked[end : mark.start()])
            length += len(pieces[-1])
            offsets.append(length)
            places.append(Place(Path(mark[1]), int(mark[2])))
            end = mark.end()
        return cls("".join(pieces) + marked[end:], tuple(offsets), tuple(places))

    def place(self, offset: int) -> Place:
        """Say where the tag at `offset`, or the last one ahead of it, was written."""
        return self.places[bisect_right(self.offsets, offset) - 1]
