"""A message to the unsubscribe address → the word that it leaves by, or why it counts for nothing.

What counts is the token that the mail's List-Unsubscribe put into the subject (RFC 2369 §3.2):
`mailto:ADDRESS?subject=unsubscribe%20TOKEN`. Some programs write it into the address instead, as
`unsubscribe+TOKEN@…`, so that is read as well. Who From names counts for nothing: anybody can
write anything there, and many readers write from another address than they read at. Pure.

A bounce or an automatic reply leaves nobody (RFC 3834, RFC 3464). "auto-generated" alone is no
such reply: a mail program that unsubscribes by itself may call its message so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser

MAX_HEAD_BYTES = 65_536
_MAX_FIELD_CHARACTERS = 4_000
_MAX_WORDS = 20
_WORD = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")
_ADDRESSED = ("Subject", "To", "Cc", "Delivered-To", "X-Original-To", "Envelope-To")
_AUTOMATIC = frozenset({"auto-replied", "auto-notified"})
_AUTOMATIC_PRECEDENCE = frozenset({"auto_reply", "auto-reply"})
_AUTOMATIC_FIELDS = ("X-Autoreply", "X-Autorespond", "X-Autoresponder")
FAILED = "X-Failed-Recipients"
"""The field that tells a bounce of Exim's, which calls itself an automatic reply."""
_REPORTS = frozenset({"multipart/report", "message/delivery-status", "message/feedback-report"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a message asks for."""

    words: tuple[str, ...]
    """What has the shape of a token; which is one of ours is for the keys to say."""
    refusal: str = ""
    """Why the message counts for nothing; "" where it may."""


def parse_request(content: bytes) -> Request:
    """Read a message's head, in RFC 5322 bytes; anything else asks for nothing."""
    head = re.split(rb"\r?\n\r?\n", content[:MAX_HEAD_BYTES], maxsplit=1)[0]
    message = BytesHeaderParser().parsebytes(head.lstrip(b"\r\n") + b"\n\n")
    if refusal := find_refusal(message):
        return Request(words=(), refusal=refusal)
    words = find_words(decode_field(field) for field in list_fields(message, *_ADDRESSED))
    return Request(words=words, refusal="" if words else "it holds no link's word")


def find_words(texts: Iterable[str]) -> tuple[str, ...]:
    """Give what has the shape of a token, each once, at most 20."""
    return tuple(dict.fromkeys(word for text in texts for word in _WORD.findall(text)))[:_MAX_WORDS]


def find_refusal(message: Message) -> str:
    """Say why a message was written by no reader; "" where one may have written it."""
    if message.get_content_type() in _REPORTS:
        return "it is a bounce or a report"
    if any(re.sub(r"\s", "", str(path)) == "<>" for path in message.get_all("Return-Path", [])):
        return "it is a bounce"
    if is_automatic(message) or FAILED in message:
        return "it is an automatic reply"
    return ""


def is_automatic(message: Message) -> bool:
    """Tell whether a program answered in somebody's name (RFC 3834)."""
    said = str(message.get("Auto-Submitted", "")).partition(";")[0].strip().lower()
    precedence = str(message.get("Precedence", "")).strip().lower()
    return (
        said in _AUTOMATIC
        or precedence in _AUTOMATIC_PRECEDENCE
        or any(name in message for name in _AUTOMATIC_FIELDS)
    )


def list_fields(message: Message, *names: str) -> list[str]:
    """Give the values of a head's fields as they stand there, by the order of the names."""
    return [str(field) for name in names for field in message.get_all(name, [])]


def decode_field(field: str) -> str:
    """Unfold a field, and read its encoded words (RFC 2047); as it stands where it has none."""
    text = re.sub(r"\r?\n[ \t]+", " ", field[:_MAX_FIELD_CHARACTERS])
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return text
