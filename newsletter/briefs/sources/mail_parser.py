"""Parse a message of a mailbox, in a process of its own (`apart`): headers and text → an entry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.utils import parseaddr, parsedate_to_datetime
from typing import Any

from newsletter.briefs.sources.apart import serve
from newsletter.briefs.sources.entry import Entry
from newsletter.briefs.sources.html_text import html_to_text

_MAX_TEXT_CHARS = 200_000
_MAX_HEADER_CHARS = 2_000
_MAX_PARTS = 100
_ANSWERED = re.compile(r"(?:(?:re|fwd?|aw|wg)\s*:\s*)+", re.IGNORECASE)
_SIGNATURE = re.compile(r"^-- ?$", re.MULTILINE)


def parse_message(about: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    """Read a message (RFC 5322, MIME): its subject is the title, its text the content."""
    message = message_from_bytes(body)
    number = _header(message, "message-id").strip("<> ")
    author, address = parseaddr(_header(message, "from"))
    return asdict(
        Entry(
            id=f"mid:{number}" if number else "",  # as a URI (RFC 2392)
            title=_ANSWERED.sub("", _header(message, "subject"), count=1),
            content=_text(message),
            published_seconds=_sent_at(message),
            author=author,
            outlet=address.rpartition("@")[2],
        )
    )


def _header(message: Message, name: str) -> str:
    """Read a header with its encoded words (RFC 2047); what cannot be read stays as it is."""
    raw = str(message.get(name, ""))[:_MAX_HEADER_CHARS]
    try:
        parts = decode_header(raw)
    except (HeaderParseError, ValueError):
        return raw
    return "".join(
        part if isinstance(part, str) else _decode(part, charset) for part, charset in parts
    ).strip()


def _sent_at(message: Message) -> float | None:
    try:
        return parsedate_to_datetime(_header(message, "date")).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _text(message: Message) -> str:
    """Give the message's plain text, else its HTML as text; attachments are none of it."""
    plain, rich = "", ""
    waiting, seen = [message], 0
    while waiting and seen < _MAX_PARTS:
        part = waiting.pop(0)
        seen += 1
        if part.get_content_disposition() == "attachment":
            continue
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            inner = part.get_payload()
            assert isinstance(inner, list), "it is multipart"
            waiting[:0] = [each for each in inner if isinstance(each, Message)]
        elif part.get_content_type() == "text/plain" and not plain:
            plain = _unfold(part, _content(part)).strip()
        elif part.get_content_type() == "text/html" and not rich:
            rich = html_to_text(_content(part))
    return plain or rich


def _content(part: Message) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    text = _decode(payload, part.get_content_charset())
    return text.replace("\r\n", "\n")[:_MAX_TEXT_CHARS]


def _decode(data: bytes, charset: str | None) -> str:
    """Decode as UTF-8 if it is, whatever is said of it; else as said; else as Windows-1252."""
    for candidate in ("utf-8", charset, "cp1252"):
        try:
            if candidate and candidate.isascii():
                return data.decode(candidate)
        except (LookupError, ValueError):
            continue
    return data.decode("cp1252", "replace")


def _unfold(part: Message, text: str) -> str:
    """Drop the signature, and join the lines that the writer's program broke (RFC 3676)."""
    if signature := _SIGNATURE.search(text):
        text = text[: signature.start()]
    if str(part.get_param("format", "")).casefold() != "flowed":
        return text
    gap = "" if str(part.get_param("delsp", "")).casefold() == "yes" else " "
    return re.sub(r"(?<=\S) \n(?=\S)", gap, text)


if __name__ == "__main__":
    serve(parse_message)
