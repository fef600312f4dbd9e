"""A message as the embedded mailbox received it, and what a person can see in it.

Received mail is untrusted: the standard library's header parser raises almost anything on
hostile headers, and a part may name a charset that does not exist. Nothing here raises; a
part that cannot be decoded says so, and the source always shows it as it came.
"""

from __future__ import annotations

import email
import re
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.message import EmailMessage
from typing import Literal

_DOCTYPE = re.compile(r"\A\s*<!doctype[^>]*>", re.IGNORECASE)
_GUARD = (
    '<meta charset="utf-8">'
    '<meta http-equiv="Content-Security-Policy" content="'
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'\">"
    '<base target="_blank">'
)
_CONTROL_PICTURES = {code: 0x2400 + code for code in range(32) if code not in b"\t\n"} | {
    0x7F: 0x2421
}
_UNREADABLE = "This part cannot be decoded; the source shows it as it came."
# The standard library's parser takes quadratic time on some headers.
_MAX_HEADER_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedMessage:
    """One copy in one mailbox, exactly as the SMTP client sent it, dots unstuffed."""

    number: int
    """1 for the first that arrived."""
    sender: str
    recipient: str
    """Sender and recipient of the envelope (RFC 5321), not of the headers."""
    arrived_at: datetime
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedMessage:
    """The text of a received message. An empty part means that the message has none."""

    subject: str
    sender: str
    recipient: str
    """From and To of the headers."""
    html: str
    plain: str


def parse_message(raw: bytes) -> OpenedMessage:
    """Decode the headers and text parts that a mail program would show."""
    try:
        message = email.message_from_bytes(raw, policy=policy.default)
    except RecursionError:
        message = EmailMessage(policy=policy.default)
        message.set_content(_UNREADABLE)
    return OpenedMessage(
        subject=_parse_header(message, "subject"),
        sender=_parse_header(message, "from"),
        recipient=_parse_header(message, "to"),
        html=_parse_part(message, "html"),
        plain=_parse_part(message, "plain"),
    )


def format_source(raw: bytes) -> str:
    """Give the raw bytes as text to look at: bytes that are not UTF-8 as hexadecimal escapes."""
    text = raw.decode("utf-8", errors="backslashreplace").replace("\r\n", "\n")
    return format_visible(text)


def format_visible(text: str) -> str:
    """Replace control characters but tab and newline by their Unicode pictures."""
    return text.translate(_CONTROL_PICTURES)


def format_inert_html(html: str) -> str:
    """Forbid an HTML part to run scripts, load anything or send forms; links open a new tab.

    The guard comes straight after the doctype, where no comment or tag of the message can
    swallow it: it begins the head, and the message's own html tag is merged into that one.
    """
    doctype = _DOCTYPE.match(html)
    end = doctype.end() if doctype else 0
    return html[:end] + _GUARD + html[end:]


def _parse_header(message: EmailMessage, name: str) -> str:
    found = next((value for key, value in message.raw_items() if key.lower() == name), "")
    source = str(found)[:_MAX_HEADER_CHARACTERS]
    try:
        value = str(policy.default.header_fetch_parse(name, source))
    except Exception:  # noqa: BLE001 - the header parser raises anything, see above
        value = source
    return format_visible(" ".join(_without_surrogates(value).split()))


def _parse_part(message: EmailMessage, kind: Literal["html", "plain"]) -> str:
    try:
        part = message.get_body((kind,))
        content = part.get_content() if part else ""
    except Exception:  # noqa: BLE001 - so does its reading of Content-Type, see above
        return _UNREADABLE
    return _without_surrogates(str(content)).replace("\r\n", "\n")


def _without_surrogates(text: str) -> str:
    """Make text that can be written as UTF-8: the parser keeps stray bytes as surrogates."""
    return text.encode("utf-8", errors="surrogatepass").decode("utf-8", errors="replace")
