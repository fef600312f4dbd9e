"""Bytes → clean lines: the first step of every format, and the promise that a brief's text keeps.

Everything later relies on what this module takes away: other newlines than LF, control
characters, reversed text, unpaired surrogates, and stacks of accents so high that Unicode
normalisation would need quadratic time (UAX #15 §13, stream-safe text).
"""

from __future__ import annotations

import codecs
import re
import string
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from newsletter.briefs.model import BriefWarning
from newsletter.briefs.oddities import Oddity
from newsletter.errors import BriefError

_BINARY = {
    b"\x89PNG": "a PNG picture",
    b"GIF8": "a GIF picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%PDF-": "a PDF document",
    b"PK\x03\x04": "a ZIP archive or an office document",
    b"\x1f\x8b": "a gzip archive",
}
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff\ud800-\udfff]")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_MOJIBAKE = re.compile("â€[™œ\x9d˜“”¢¦]|Ã[\xa0-\xbf]|Â[\xa0£©®°·»«]")
_MOST_ACCENTS = 30
_MOST_WARNINGS = 20

_FOLDED = {
    **dict.fromkeys(map(ord, "‐‑‒–—―−﹘﹣－"), "-"),
    **dict.fromkeys(map(ord, '‘’‚‛“”„‟«»‹›"`´'), "'"),
    **dict.fromkeys(map(ord, "\u200b\u200c\u200d\u200e\u200f\u2060\ufe0f"), None),
}
_EDGES = (
    string.whitespace
    + string.punctuation
    + "".join(c for c in map(chr, range(0x80, 0x10000)) if unicodedata.category(c)[0] == "P")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalised:
    """A document's lines; `lines[0]` is line 1. Blank lines stay, trailing blanks do not."""

    lines: tuple[str, ...]
    warnings: tuple[BriefWarning, ...]


def normalise(data: bytes | str, *, file: str) -> Normalised:
    """Decode and clean a text document.

    Raises `BriefError` for one that is empty, blank or binary.
    """
    text, warnings = decode(data, file=file) if isinstance(data, bytes) else (data, [])
    lines: list[str] = []
    counts: dict[str, int] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw
        if not raw.isprintable() or not raw.isascii():
            line, found = clean_line(raw)
            for code in found:
                counts[code] = counts.get(code, 0) + 1
                if counts[code] <= _MOST_WARNINGS:
                    warnings.append(BriefWarning(code=code, message=_SAID[code], line=number))
        lines.append(line.rstrip())
    if not any(lines):
        raise BriefError("is empty", file=file, mend="write a headline and a summary into it")
    return Normalised(lines=tuple(lines), warnings=tuple(warnings))


def decode(data: bytes, *, file: str) -> tuple[str, list[BriefWarning]]:
    """Decode by byte order mark, else as UTF-8, else as Windows-1252 with a warning.

    Raises `BriefError` for bytes that are no text.
    """
    for magic, name in _BINARY.items():
        if data.startswith(magic):
            raise BriefError(f"is {name}, not text", file=file, mend="save the brief as UTF-8 text")
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            text = data[len(bom) :].decode(encoding, errors="replace")
            warnings: list[BriefWarning] = []
            break
    else:
        text, warnings = _decode_without_bom(data)
    controls = len(_CONTROL.findall(text, 0, 10_000))
    if "\0" in text or controls > 2 + min(len(text), 10_000) // 20:
        raise BriefError("is not text", file=file, mend="save the brief as UTF-8 text")
    return text, warnings


def _decode_without_bom(data: bytes) -> tuple[str, list[BriefWarning]]:
    try:
        return data.decode(), []
    except UnicodeDecodeError as error:
        # A file cut off within a character; after pure ASCII it is rather a Windows-1252 "é".
        if error.reason == "unexpected end of data" and not data[: error.start].isascii():
            message = "stops in the middle of a character, which is left out"
            warning = BriefWarning(code=Oddity.NOT_UTF8, message=message)
            return data[: error.start].decode(), [warning]
    message = "is not UTF-8 and was read as Windows-1252; save it as UTF-8"
    return data.decode("cp1252", errors="replace"), [
        BriefWarning(code=Oddity.NOT_UTF8, message=message)
    ]


_SAID = {
    Oddity.MOJIBAKE: "looks like UTF-8 that was once read as Windows-1252; the text is unchanged",
    Oddity.BIDI_CONTROLS: "characters that reverse the text were dropped",
    Oddity.CONTROL_CHARACTERS: "control characters were dropped",
}


def clean_line(line: str) -> tuple[str, list[Oddity]]:
    """Make one line printable and NFC, and say what was wrong with it. Keeps ZWJ and ZWNJ."""
    found = []
    if _MOJIBAKE.search(line):
        found.append(Oddity.MOJIBAKE)
    line = line.replace("\t", " ")
    line, dropped = _CONTROL.subn("", line)
    line, reversing = _BIDI.subn("", line)
    if not line.isascii():
        tamed = _limit_accents(line)
        dropped += len(line) - len(tamed)
        line = unicodedata.normalize("NFC", tamed)
        if not is_visible(line):
            line = ""
    if dropped:
        found.append(Oddity.CONTROL_CHARACTERS)
    if reversing:
        found.append(Oddity.BIDI_CONTROLS)
    return line, found


def is_visible(text: str) -> bool:
    """Whether any character of a text would be seen: not only blanks and joiners."""
    return any(not c.isspace() and unicodedata.category(c) != "Cf" for c in text)


def _limit_accents(line: str) -> str:
    kept, run = [], 0
    for character in line:
        run = run + 1 if unicodedata.combining(character) else 0
        if run <= _MOST_ACCENTS:
            kept.append(character)
    return "".join(kept)


def plain_text(text: str) -> str:
    """Make any text keep a brief's promise: NFC paragraphs, one blank line between."""
    return "\n\n".join(_plain_lines(text))


def plain_line(text: str) -> str:
    """Make any text one line that keeps a brief's promise."""
    return " ".join(_plain_lines(text))


def _plain_lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        clean = clean_line(line)[0].strip()
        if clean:
            yield clean


@lru_cache(maxsize=1024)
def fold(text: str) -> str:
    """Reduce a label to what makes it the same label; give it short texts only.

    NFKC, case, kinds of dashes and quotes, runs of blanks and punctuation at the ends do not
    count.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    folded = " ".join(text.casefold().translate(_FOLDED).split())
    return re.sub("-{2,}", "-", folded).strip(_EDGES)
