"""One document of any format → its briefs: the door that sources come in by."""

from __future__ import annotations

import re
from dataclasses import replace

from newsletter.briefs.document import parse_json, parse_jsonl
from newsletter.briefs.lexicon import HEADINGS, Kind, Lexicon
from newsletter.briefs.markdown import parse_markdown
from newsletter.briefs.model import Brief, Parsed
from newsletter.briefs.normalise import decode, normalise, plain_line
from newsletter.briefs.page import looks_like_html, parse_fragment, parse_page, read_html_lines
from newsletter.briefs.text import parse_lines, parse_text, read_lines
from newsletter.errors import BriefError
from newsletter.settings import Vocabulary

_ELEMENT_END = re.compile(r"</[a-z][a-z0-9]*>|<br\s*/?>", re.IGNORECASE)
SUFFIXES = (".txt", ".md", ".json", ".jsonl", ".html", ".htm")


def parse_document(data: bytes, *, suffix: str, vocabulary: Vocabulary, file: str) -> Parsed:
    """Read a document by the suffix of its name, ".txt" and the like.

    Raises `BriefError` if nothing in it can be imported.
    """
    match suffix.casefold():
        case ".json":
            return parse_json(data, file=file)
        case ".jsonl":
            return parse_jsonl(data, file=file)
        case ".html" | ".htm":
            return parse_page(data, vocabulary=vocabulary, file=file)
        case ".txt" | ".md" if looks_like_html(decode(data, file=file)[0][:1_000]):
            return parse_page(data, vocabulary=vocabulary, file=file)
        case ".txt":
            return parse_text(data, vocabulary=vocabulary, file=file)
        case ".md":
            return parse_markdown(data, vocabulary=vocabulary, file=file)
    known = ", ".join(SUFFIXES)
    raise BriefError(f'"{suffix}" is no format of a brief', file=file, mend=f"use one of {known}")


def parse_entry_text(text_or_html: str, *, vocabulary: Vocabulary, title: str = "") -> Brief | None:
    """Read a feed entry's text if it is in a brief's shape; None if it is any other text.

    It is in that shape if it has the brand line or one of the three headings. The text may
    repeat `title` or not. An entry of several briefs is no brief. A picture is for the operator
    to give, not for a feed.
    """
    lexicon = Lexicon(vocabulary)
    try:
        if looks_like_html(text_or_html) or _ELEMENT_END.search(text_or_html):
            lines = read_html_lines(parse_fragment(text_or_html), lexicon)
        else:
            lines = read_lines(normalise(text_or_html, file="entry").lines, lexicon, file="entry")
        if not any(line.kind in HEADINGS | {Kind.BRAND} for line in lines):
            return None
        parsed = parse_lines(lines, vocabulary=vocabulary, file="entry", title=plain_line(title))
    except BriefError:
        return None
    return replace(parsed.briefs[0], picture=None) if len(parsed.briefs) == 1 else None
