"""Text into quoted-printable (RFC 2045 §6.7), so that pieces can be joined in any order.

Two habits beyond the RFC make every line safe to hand to SMTP as it is: a leading dot is
written `=2E` (nothing is left to dot-stuff, RFC 5321 §4.5.2), and "From " at the start of a
line becomes `=46rom ` (nothing is left for an mbox to mangle).
"""

from __future__ import annotations

import re

LINE_BYTES = 76
_SOFT = b"=\r\n"
_NEWLINE = re.compile(r"\r\n|\r|\n")
# RFC 2045 rule 2: printable ASCII but "=" stands for itself. Tab and space as well, unless
# they end a line (rule 3), which _encode_line sees to.
_ESCAPES = [
    bytes([b]) if (33 <= b <= 126 and b != 0x3D) or b in b" \t" else b"=%02X" % b
    for b in range(256)
]
# Most values, every reader's: they fit on one line as they are. "." and "F" at its start
# are left to _encode_line.
_PLAIN_VALUE = re.compile(r"[!-\-/-<>-EG-~][ -<>-~]{0,74}")


def encode_text(text: str, *, ends: bool = False) -> bytes:
    """Encode a static piece: it begins at a line's start and ends with CRLF.

    Line breaks in `text` become hard breaks. Where the text goes on in the next piece the
    last line ends with a soft break; with `ends` it ends with a hard one.
    """
    lines = _NEWLINE.split(text)
    encoded = [_encode_line(line.encode()) + b"\r\n" for line in lines[:-1]]
    if ends and lines[-1]:
        encoded.append(_encode_line(lines[-1].encode()) + b"\r\n")
    elif lines[-1]:
        encoded.append(_encode_line(lines[-1].encode(), goes_on=True) + _SOFT)
    return b"".join(encoded)


def encode_value(value: str) -> bytes:
    """Encode a slot's value onto lines of its own, ending with a soft break."""
    if _PLAIN_VALUE.fullmatch(value):
        return value.encode() + _SOFT
    return _encode_line(value.encode(), goes_on=True) + _SOFT


def _encode_line(line: bytes, *, goes_on: bool = False) -> bytes:
    """Encode one line, folded with soft breaks to at most 76 bytes, the last break not added."""
    tokens = [_ESCAPES[b] for b in line]
    if line[-1:] in (b" ", b"\t") and not goes_on:
        tokens[-1] = b"=%02X" % line[-1]
    folded: list[bytes] = []
    current: list[bytes] = []
    width = 0
    for token in tokens:
        if width + len(token) > LINE_BYTES - 1:
            folded.append(_safe_start(b"".join(current)))
            current, width = [], 0
        if width == 0 and token in (b".", b"F"):
            width += 2  # _safe_start may write it in three bytes
        current.append(token)
        width += len(token)
    folded.append(_safe_start(b"".join(current)))
    return _SOFT.join(folded)


def _safe_start(line: bytes) -> bytes:
    if line.startswith(b"."):
        return b"=2E" + line[1:]
    return b"=46" + line[1:] if line.startswith(b"From ") else line
