"""Header fields, built and folded by ourselves (RFC 5322 §2.2.3, RFC 2047).

The standard library is not used for this on purpose: it writes a List-Unsubscribe over 78
characters as an encoded word, which breaks one-click unsubscribing, and some of its
versions let an encoded word in a value add header fields of its own. Here a value is
cleaned first and encoded after, so nothing that comes out of it can be a line break.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

LINE_BYTES = 78  # RFC 5322 §2.1.1, without CRLF
ENCODED_WORD_BYTES = 75  # RFC 2047 §2
_MAX_VALUE_CHARACTERS = 2000
_WORDS = re.compile(r"[^ ]+")
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
# C0, DEL, C1, line and paragraph separators, bidi overrides and isolates, lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+"
)


def clean_text(value: str) -> str:
    """Make one line of it: no control or bidi control, no surrogate, single spaces."""
    return " ".join(_UNSAFE.sub(" ", value).split())[:_MAX_VALUE_CHARACTERS].rstrip()


def build_text_header(name: str, value: str) -> bytes:
    """Build an unstructured field, such as Subject."""
    cleaned = clean_text(value)
    if _needs_encoding(cleaned):
        words = _encode_words(cleaned, first_room=ENCODED_WORD_BYTES - len(name) - 2)
    else:
        words = [word.encode() for word in _WORDS.findall(cleaned)]
    return _fold(name, words)


def build_address_header(name: str, display: str, address: str) -> bytes:
    """Build a field of one address with its display name, such as From or To.

    A non-ASCII local part goes out as it is (RFC 6532); the envelope asks for SMTPUTF8 then.
    """
    display = clean_text(display)
    angle = f"<{address}>".encode()
    if not display:
        return _fold(name, [address.encode()])
    if _ATOM.fullmatch(display):
        if len(display) <= LINE_BYTES - 20 and "=?" not in display:
            line = f"{name}: {display} ".encode() + angle
            if len(line) <= LINE_BYTES:  # most of them: nothing to encode, nothing to fold
                return line + b"\r\n"
        phrase = display
    else:
        phrase = '"' + display.replace("\\", "\\\\").replace('"', '\\"') + '"'
    # A quoted quote is right (RFC 5322 §3.2.4) and read wrongly: OpenSMTPD takes what follows a
    # comma behind one for a second address, writes it anew, and so breaks the signature.
    if _needs_encoding(phrase) or '"' in display or "\\" in display:
        words = _encode_words(display, first_room=ENCODED_WORD_BYTES - len(name) - 2)
    else:
        words = [word.encode() for word in phrase.split(" ")]
    return _fold(name, [*words, angle])


def build_token_header(name: str, tokens: Sequence[str]) -> bytes:
    """Build a structured field from ASCII tokens, folded only between them, never encoded."""
    return _fold(name, [token.encode("ascii") for token in tokens])


def _needs_encoding(text: str) -> bool:
    longest = max(map(len, _WORDS.findall(text)), default=0)
    return not text.isascii() or longest > LINE_BYTES - 20 or "=?" in text


def _encode_words(text: str, *, first_room: int) -> list[bytes]:
    """Encode as B encoded words (RFC 2047 §4.1), split between characters only."""
    words: list[bytes] = []
    overhead = len("=?utf-8?b??=")
    chunk, room = b"", min(first_room, ENCODED_WORD_BYTES)
    for character in text:
        encoded = character.encode()
        if chunk and overhead + _base64_bytes(len(chunk) + len(encoded)) > room:
            words.append(b"=?utf-8?b?" + base64.b64encode(chunk) + b"?=")
            chunk, room = b"", ENCODED_WORD_BYTES
        chunk += encoded
    words.append(b"=?utf-8?b?" + base64.b64encode(chunk) + b"?=")
    return words


def _base64_bytes(plain_bytes: int) -> int:
    return (plain_bytes + 2) // 3 * 4


def _fold(name: str, words: Sequence[bytes]) -> bytes:
    """Join words with spaces, breaking lines before the one that would pass 78 bytes."""
    lines = [f"{name}:".encode()]
    for index, word in enumerate(words):
        # The first word stays with the name: a field whose first line is blank is obsolete
        # syntax and upsets some relays.
        if index and len(lines[-1]) + 1 + len(word) > LINE_BYTES:
            lines.append(b" " + word)
        else:
            lines[-1] += b" " + word
    return b"\r\n".join(lines) + b"\r\n"
