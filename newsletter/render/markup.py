r"""MJML into HTML, with errors that name the template's file and line.

The compiler (mrml) lets unknown tags vanish, misplaced ones produce broken tables, and gives
no line with its errors. So each tag of a template carries a source mark through Jinja:
`\x02FILE:LINE\x03`, put ahead of the tag while the template is parsed (control characters
cannot come from data, the context drops them). Here the marks are read and taken out, the
markup is checked, and only then compiled.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from mjml import mjml2html

from newsletter.errors import TemplateError

_TAG_START = re.compile(r"(?=</?[A-Za-z])")
_MARK = re.compile("\x02([^\x03]*):(\\d+)\x03")
_TOKEN = re.compile(
    r"""<!--.*?-->
      | <(?P<close>/?)(?P<tag>[A-Za-z][\w:-]*)
        (?:[^<>"']|"[^"]*"|'[^']*')*+ >""",
    re.DOTALL | re.VERBOSE,
)
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr")
)
_CSS_ESCAPE = re.compile(r"\\(?:([0-9A-Fa-f]{1,6})\s?|(.))")

_ROWS = frozenset(("mj-column", "mj-hero"))
_PARENTS = {
    "mjml": frozenset(("",)),
    "mj-head": frozenset(("mjml",)),
    "mj-body": frozenset(("mjml",)),
    "mj-attributes": frozenset(("mj-head",)),
    "mj-breakpoint": frozenset(("mj-head",)),
    "mj-preview": frozenset(("mj-head",)),
    "mj-style": frozenset(("mj-head",)),
    "mj-title": frozenset(("mj-head",)),
    "mj-all": frozenset(("mj-attributes",)),
    "mj-class": frozenset(("mj-attributes",)),
    "mj-wrapper": frozenset(("mj-body",)),
    "mj-section": frozenset(("mj-body", "mj-wrapper")),
    "mj-hero": frozenset(("mj-body", "mj-wrapper")),
    "mj-group": frozenset(("mj-section",)),
    "mj-column": frozenset(("mj-section", "mj-group")),
    "mj-text": _ROWS,
    "mj-button": _ROWS,
    "mj-divider": _ROWS,
    "mj-image": _ROWS,
    "mj-spacer": _ROWS,
    "mj-table": _ROWS,
    "mj-raw": frozenset(("mj-head", "mj-body", "mj-wrapper", "mj-section", "mj-group")) | _ROWS,
}
_HOLD_HTML = frozenset(("mj-button", "mj-raw", "mj-style", "mj-table", "mj-text"))
_REFUSED = {
    "mj-accordion": "it loads pictures from another host",
    "mj-carousel": "it loads pictures from another host",
    "mj-font": "it loads a font from another host",
    "mj-html-attributes": "the compiler does not know it",
    "mj-include": 'use {% include "NAME" %}',
    "mj-social": "it loads pictures from another host",
}


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
class _Place:
    """Where a tag was written."""

    file: Path
    line: int | None

    def refuse(self, problem: str, mend: str = "") -> NoReturn:
        raise TemplateError(problem, file=self.file, line=self.line, mend=mend)


@dataclass(frozen=True, slots=True)
class _Open:
    tag: str
    place: _Place
    at: int


@dataclass(slots=True)
class _Source:
    """Marked-up text without its marks, and the place of each tag."""

    text: str
    offsets: list[int] = field(default_factory=list)
    places: list[_Place] = field(default_factory=list)

    @classmethod
    def read(cls, marked: str, main: Path) -> _Source:
        source = cls("", [0], [_Place(main, None)])
        pieces, length, end = [], 0, 0
        for mark in _MARK.finditer(marked):
            pieces.append(marked[end : mark.start()])
            length += len(pieces[-1])
            source.offsets.append(length)
            source.places.append(_Place(Path(mark[1]), int(mark[2])))
            end = mark.end()
        source.text = "".join(pieces) + marked[end:]
        return source

    def place(self, offset: int) -> _Place:
        return self.places[bisect_right(self.offsets, offset) - 1]


def build_html(marked: str, main: Path) -> str:
    """Compile rendered MJML that carries source marks; `main` is the template that it is of.

    Raises `TemplateError` for an unknown, misplaced or unclosed tag, and for whatever the
    compiler refuses.
    """
    source = _Source.read(marked, main)
    _check(source)
    try:
        # The compiler takes blanks between two tags of the head only if a newline comes first;
        # fonts={}, or it adds links to a foreign font host.
        text = re.sub(r"(?<=>)[ \t](?=\s*</?mj)", "\n", source.text)
        html: str = mjml2html(text, fonts={}, disable_comments=False)
    except ValueError as error:
        place = _Place(main, None)
        if at := re.search(r"position (\d+)", str(error)):
            before = source.text.encode()[: int(at[1])]  # the compiler counts bytes
            place = source.place(len(before.decode(errors="ignore")))
        place.refuse(f"MJML cannot be compiled ({error})")
    return html


def _check(source: _Source) -> None:
    """Refuse tags that are unknown, misplaced, crossed or left open."""
    stack: list[_Open] = []
    end = 0
    for token in _TOKEN.finditer(source.text):
        if "<" in source.text[end : token.start()]:
            source.place(end - 1).refuse("a bare < follows this tag", "write it as &lt;")
        end = token.end()
        tag = (token["tag"] or "").lower()
        if not tag:
            continue
        place = source.place(token.start())
        if token["close"]:
            if not stack or stack[-1].tag != tag:
                inner = [f", but <{o.tag}> of line {o.place.line} is open" for o in stack[-1:]]
                place.refuse("".join([f"</{tag}> closes nothing", *inner]))
            opened = stack.pop()
            if tag in {"mj-style", "style"}:
                _check_style(source.text[opened.at : token.start()], opened.place)
            continue
        _check_place(tag, stack[-1].tag if stack else "", place)
        if not token[0].endswith("/>") and tag not in _VOID:
            stack.append(_Open(tag, place, token.end()))
    if stack:
        stack[-1].place.refuse(f"<{stack[-1].tag}> is never closed")


def _check_place(tag: str, parent: str, place: _Place) -> None:
    if tag in _REFUSED:
        place.refuse(f"<{tag}> is not for mail from here", _REFUSED[tag])
    if not tag.startswith("mj"):
        if parent.startswith("mj") and parent not in _HOLD_HTML:
            place.refuse(f"<{tag}> stands in <{parent}>", "put it into <mj-text> or <mj-raw>")
        return
    if tag not in _PARENTS:
        place.refuse(f"<{tag}> is no MJML tag", "check its spelling")
    if parent == "mj-attributes" and tag not in {"mjml", "mj-head"}:
        return
    if parent not in _PARENTS[tag]:
        wanted = " or ".join(f"<{p}>" if p else "no other tag" for p in sorted(_PARENTS[tag]))
        place.refuse(
            f"<{tag}> stands in {f'<{parent}>' if parent else 'no tag'}",
            f"it belongs into {wanted}",
        )


def _check_style(css: str, place: _Place) -> None:
    plain = _CSS_ESCAPE.sub(lambda e: chr(int(e[1], 16) % 0x110000) if e[1] else e[2], css)
    if "@import" in plain.lower():
        place.refuse("a style fetches another with @import", "write its rules out here")
