"""Markdown: the text format with front matter, wrapped paragraphs and inline markup.

Headings, bullets, bold labels and front matter are the text format's own already. What remains
is to join wrapped lines and to take links, emphasis and comments out of the running text, since
a brief is plain. Underscores within words and lone asterisks are text.
"""

from __future__ import annotations

import re

from newsletter.briefs.lexicon import Kind, Lexicon
from newsletter.briefs.model import Parsed
from newsletter.briefs.normalise import normalise
from newsletter.briefs.text import parse_lines, read_lines
from newsletter.errors import BriefError
from newsletter.settings import Vocabulary

_LINK = re.compile(r"!?\[([^\[\]]{1,500})\]\([^()\s]{1,2000}(?:\s+\"[^\"]{0,500}\")?\)")
_AUTOLINK = re.compile(r"<(https?://[^\s<>]{1,2000})>")
_STRONG = re.compile(r"(?<![\w\\])(\*\*|__)(?=\S)([^*_]{1,1000})(?<=\S)\1(?!\w)")
_EMPHASIS = re.compile(r"(?<![\w\\*])\*(?=[^\s*])([^*]{1,1000})(?<=[^\s*])\*(?![\w*])")
_UNDERSCORES = re.compile(r"(?<![\w\\])_(?=[^\s_])([^_]{1,1000})(?<=[^\s_])_(?!\w)")
_CODE = re.compile(r"(?<!`)`([^`]{1,500})`(?!`)")
_ESCAPE = re.compile(r"(?<=.)\\([!-/:-@\[-`{-~])")


def parse_markdown(data: bytes | str, *, vocabulary: Vocabulary, file: str) -> Parsed:
    """Read every brief of a Markdown file; raises `BriefError` as `parse_text` does."""
    normalised = normalise(data, file=file)
    raw_lines = _without_comments("\n".join(normalised.lines)).split("\n")
    lexicon = Lexicon(vocabulary)
    lines = []
    for line in read_lines(raw_lines, lexicon, file=file):
        if line.kind in {Kind.FRONT, Kind.RULE, Kind.ORNAMENT}:
            lines.append(line)
        elif plain := lexicon.read(line.number, _plain(raw_lines[line.number - 1].strip())):
            lines.append(plain)
    if not lines:
        raise BriefError("is empty", file=file, mend="write a headline and a summary into it")
    return parse_lines(
        lines, vocabulary=vocabulary, file=file, wrapped=True, warnings=normalised.warnings
    )


def _without_comments(text: str) -> str:
    """Blank comments out, but keep their line breaks: they count the lines."""
    kept, at = [], 0
    while (begin := text.find("<!--", at)) >= 0 and (end := text.find("-->", begin)) >= 0:
        kept += [text[at:begin], "\n" * text.count("\n", begin, end)]
        at = end + 3
    return "".join([*kept, text[at:]])


def _plain(line: str) -> str:
    """Take the inline markup out of a line."""
    line = _AUTOLINK.sub(r"\1", _LINK.sub(r"\1", line))
    line = _EMPHASIS.sub(r"\1", _STRONG.sub(r"\2", line))
    return _ESCAPE.sub(r"\1", _CODE.sub(r"\1", _UNDERSCORES.sub(r"\1", line)))
