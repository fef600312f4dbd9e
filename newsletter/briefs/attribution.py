"""Where the original reporting stands, read from the words that a brief says it with."""

from __future__ import annotations

import re

from newsletter.briefs.model import Source

_LEAD = re.compile(r"original reporting from\s+", re.IGNORECASE)
_END = re.compile(r"\.\s+See\b|\n")
_SENTENCE_END = re.compile(r"\.\s")
_SEPARATOR = re.compile(r"(\s*[,;]\s*(?:and\s+|&\s*)?|\s+and\s+|\s*&\s*)")
_ADDRESS = re.compile(r"https?://(?P<host>[^\s/?#@:]+)(?::\d+)?(?:[/?#]\S*)?", re.IGNORECASE)
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]*[^\W_])?[.。])+(?:xn--[a-z0-9-]+|[^\W\d_]{2,})")
_READ_FULL = re.compile(r"read (?:the )?full story on\s+(?P<outlet>\S.*)", re.IGNORECASE)
_LONGEST = 1_000


def sources_from_disclosure(text: str) -> tuple[Source, ...]:
    """Name the outlets after "original reporting from", up to ". See" or the end.

    Domains (also internationalised ones) are told apart at commas and "and"; a plain name
    stays whole, so that "Ministry of Trade and Industry" is one source.
    """
    lead = _LEAD.search(text)
    if not lead:
        return ()
    named = text[lead.end() : lead.end() + _LONGEST]
    end = _END.search(named)
    named = named[: end.start()] if end else named
    sentence = _SENTENCE_END.search(named)
    if sentence and all(map(_names_place, _parts(named[: sentence.start()])[::2])):
        named = named[: sentence.start()]
    return parse_outlets(named)


def source_from_furniture(line: str) -> tuple[Source, ...]:
    """Name the outlets of a "Read full story on …" line; none if it is not such a line."""
    match = _READ_FULL.fullmatch(line[:_LONGEST])
    return parse_outlets(match["outlet"]) if match else ()


def parse_outlets(text: str) -> tuple[Source, ...]:
    """Read "a.example, b.example and The Daily Example" into sources, each once."""
    outlets: list[str] = []
    parts = _parts(text)
    for i in range(0, len(parts), 2):
        part = parts[i]
        if outlets and not _names_place(part) and not _names_place(outlets[-1]):
            outlets[-1] += parts[i - 1] + part
        else:
            outlets.append(part)
    found: dict[str, Source] = {}
    for outlet in outlets:
        name = outlet.strip().rstrip(".").strip()
        address = _ADDRESS.fullmatch(name)
        source = Source(name=address["host"], url=name) if address else Source(name=name)
        if name:
            found.setdefault(source.name.casefold(), source)
    return tuple(found.values())


def _parts(text: str) -> list[str]:
    """Split into outlets and, between them, what separates them."""
    return _SEPARATOR.split(" ".join(text.split()))


def _names_place(text: str) -> bool:
    text = text.strip().rstrip(".")
    return bool(_DOMAIN.fullmatch(text) or _ADDRESS.fullmatch(text))
