"""One message that came back → what it says became of a copy of ours. Pure.

    multipart/report, delivery-status (RFC 3464, 6533)   fields of each recipient ┐
    bounces of any other form                            whom flufl.bounce finds  ┼─▶ Report
    abuse reports (RFC 5965)                             Feedback-Type            ┘
    letters, automatic replies, challenges, receipts, what was delivered or passed on ─▶ None

Anybody can send anything here, so any bytes give a report or none, in bounded time: no more is
read than `MAX_BYTES` and `_MAX_PARTS`, and the returned copy is never parsed beyond its head.
Which copy a report is about is for the keys to say: this only lists what may name it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.parser import HeaderParser
from enum import StrEnum
from urllib.parse import unquote

from newsletter.feedback.diagnosis import find_answer, find_code, is_dead
from newsletter.feedback.request import (
    MAX_HEAD_BYTES,
    decode_field,
    find_words,
    is_automatic,
    list_fields,
)
from newsletter.feedback.strangers import (
    find_failures,
    is_by_daemon,
    is_no_failure,
    is_null_path,
    is_titled_bounce,
    is_warning,
)

MAX_BYTES = 262_144
"""Most bytes read of a message: what a report says stands before the copy that it returns."""
_MAX_PARTS = 20
_MAX_RECIPIENTS = 100
_MAX_ADDRESSES = 20
_MAX_SAID = 500
_MAX_FIELD = 2_000
_MAX_FIELDS = 50

_MAX_LETTER = 16_384
_ENOUGH_SIGNS = 2
"""Of a bounce that flufl.bounce does not know: its sender, its subject, a server's answer."""

_STATUS = ("message/delivery-status", "message/global-delivery-status")
_FEEDBACK = "message/feedback-report"
_RECEIPTS = ("message/disposition-notification", "message/global-disposition-notification")
_COPIES = (
    "message/rfc822",
    "message/global",
    "message/partial",
    "message/rfc822-headers",
    "message/global-headers",
    "text/rfc822-headers",
    "text/rfc822",
)
_LEAVES = frozenset({*_STATUS, _FEEDBACK, *_RECEIPTS, *_COPIES})
_ADDRESSED = (
    "X-Original-To",
    "Delivered-To",
    "X-Delivered-To",
    "Envelope-To",
    "X-Envelope-To",
    "To",
    "Apparently-To",
    "Cc",
)
_SENDERS = ("Original-Mail-From", "X-Postfix-Sender")
_LINKS = ("List-Unsubscribe",)
_KIND = "Feedback-Type"
_COMPLAINTS = frozenset({"abuse", "fraud", "other", "opt-out", "opt-out-list"})
_HOTMAIL = "X-HmXmrOriginalRecipient"
"""The field by which Outlook.com's junk reports, which are not RFC 5965, name their reader."""
_FATES = {
    "failed": "failed",
    "failure": "failed",
    "error": "failed",  # OpenSMTPD's word
    "delayed": "delayed",
    "delivered": "delivered",
    "relayed": "delivered",
    "expanded": "delivered",
}
_FATES_BY_CLASS = {"5": "failed", "4": "delayed", "2": "delivered"}
_PART_START = re.compile(rb"^content-type:", re.IGNORECASE | re.MULTILINE)
_COPY_START = re.compile(
    r"""^(?:
        [\ \t]*[-=*_>][-=*_>\ ][^\n]{0,60}\b(?:
            (?:original|returned|unsent|undelivered|your)\ (?:message|mail)
            | (?:message|mail|text)\ follows | copy\ of | headers?\b | below\ this\ line
            | forwarded\ message
        )
        | (?:received|return-path|list-unsubscribe|dkim-signature):[\ \t]
    )""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
"""Where a letter about a failure ends and the copy begins that it returns."""
_FIELD = re.compile(r"^[A-Za-z][A-Za-z0-9-]{1,60}:[ \t]", re.MULTILINE)
_ADDRESS = re.compile(r"[^\s<>()\[\]\",;:@]{1,64}@[^\s<>()\[\]\",;:@]{1,255}")
_FOR = re.compile(r"\bfor\s+<([^<>\s]{1,320})>")
_TYPE = re.compile(r"^\s*[\w-]{1,40}\s*;\s*")
_TAG = re.compile(r"<[a-zA-Z/!][^<>]{0,2000}>")


class Finding(StrEnum):
    """What a report says."""

    ADDRESS = "address"
    """The address itself is dead."""
    MESSAGE = "message"
    """This copy did not arrive; the address may live."""
    DELAYED = "delayed"
    """No failure yet."""
    COMPLAINT = "complaint"
    """The reader called it spam."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A bounce or a complaint."""

    finding: Finding
    status: str
    """A code such as "5.1.1" (RFC 3463); "" where none was told."""
    said: str
    """The mail server's own words: one printable line, at most 500 characters; or ""."""
    addressed: tuple[str, ...]
    """Whom the report was sent to: a return path of ours may be among them."""
    tokens: tuple[str, ...]
    """What has the shape of a token in the returned copy's List-Unsubscribe."""
    returned: tuple[str, ...]
    """Envelope senders of the copy that the report names: a return path of ours may be there."""


def parse_report(content: bytes) -> Report | None:
    """Read a message in RFC 5322 bytes; None for what is neither a bounce nor a complaint."""
    message = message_from_bytes(_bound(content), _class=_Part)
    parts = [part for part in message.walk() if isinstance(part, _Part)]
    letter, copy = _split(part for part in parts if not part.is_multipart())
    feedback = [block for part in parts if part.kind == _FEEDBACK for block in _blocks(part)]
    if feedback:
        return _read_complaint(message, feedback, copy)
    status = [block for part in parts if part.kind in _STATUS for block in _blocks(part)]
    recipients = [told for block in status if (told := _read_recipient(block))]
    if recipients:
        return _read_status(message, status, recipients[:_MAX_RECIPIENTS], letter, copy)
    if _HOTMAIL in copy:
        return _build(Finding.COMPLAINT, message, copy)
    if any(part.kind in _RECEIPTS for part in parts) and not is_by_daemon(message):
        return None  # some servers refuse mail in a receipt's form
    return _read_letter(message, letter, copy)


# -- the kinds -------------------------------------------------------------------------------------


def _read_complaint(message: Message, blocks: list[Message], copy: Message) -> Report | None:
    kinds = {_plain(kind).lower() for block in blocks for kind in list_fields(block, _KIND)}
    if not kinds & _COMPLAINTS:
        return None
    return _build(Finding.COMPLAINT, message, copy, *blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipient:
    """What became of one recipient's copy."""

    fate: str
    status: str
    said: str


def _read_recipient(block: Message) -> _Recipient | None:
    """Read a group of fields; None for those about the message, and for what tells no fate."""
    status = find_code(_plain(block.get("Status", "")), "")
    action = re.match(r"[a-z]*", _plain(block.get("Action", "")).lower())
    fate = action[0] if action else ""
    if fate not in _FATES:
        fate = _FATES_BY_CLASS.get(status[:1], "")
    if not fate:
        return None
    said = " ".join(_TYPE.sub("", decode_field(x)) for x in list_fields(block, "Diagnostic-Code"))
    return _Recipient(fate=_FATES.get(fate, fate), status=status, said=said)


def _read_status(
    message: Message,
    blocks: list[Message],
    recipients: list[_Recipient],
    letter: str,
    copy: Message,
) -> Report | None:
    """Read a delivery status: one failed copy is a failure, whatever became of the others."""
    failed = [recipient for recipient in recipients if recipient.fate == "failed"]
    late = [recipient for recipient in recipients if recipient.fate == "delayed"]
    answers = [(one.status, one.said or find_answer(letter)) for one in failed or late]
    if not answers:
        return None
    finding = Finding.MESSAGE if failed else Finding.DELAYED
    if len(failed) == len(recipients) and all(is_dead(*answer) for answer in answers):
        finding = Finding.ADDRESS
    status, said = answers[0]
    return _build(finding, message, copy, *blocks, status=status, said=said)


def _read_letter(message: Message, letter: str, copy: Message) -> Report | None:
    """Read what has no fields for programs: it counts where a mail server wrote it."""
    title = decode_field(str(message.get("Subject", "")))
    by_daemon, is_titled = is_by_daemon(message), is_titled_bounce(title)
    if not (by_daemon or is_titled or is_null_path(message)):
        return None
    if is_automatic(message) and not by_daemon:
        return None
    if is_no_failure(f"{title}\n{letter}"):
        return None
    late, failed = find_failures(message, letter)
    answer = find_answer(letter)
    signs = (late or failed, by_daemon, is_titled, bool(answer))
    if not signs[0] and sum(signs) < _ENOUGH_SIGNS:
        return None
    finding = Finding.MESSAGE
    if late or is_warning(letter):
        finding = Finding.DELAYED
    elif is_dead("", answer):
        finding = Finding.ADDRESS
    return _build(finding, message, copy, said=answer)


def _build(
    finding: Finding,
    message: Message,
    copy: Message,
    *blocks: Message,
    status: str = "",
    said: str = "",
) -> Report:
    """Put a report together: `blocks` are its groups of fields for programs."""
    received = (name for field in list_fields(message, "Received") for name in _FOR.findall(field))
    senders = [sender for block in blocks for sender in list_fields(block, *_SENDERS)]
    links = (unquote(decode_field(field)) for field in list_fields(copy, *_LINKS))
    return Report(
        finding=finding,
        status=find_code(status, said),
        said=_print(said),
        addressed=_list_addresses([*list_fields(message, *_ADDRESSED), *received]),
        tokens=find_words(links),
        returned=_list_addresses([*senders, *list_fields(copy, "Return-Path")]),
    )


# -- the parts -------------------------------------------------------------------------------------


class _Part(Message):
    """A part of a message; of what is for programs, and of copies, the text is kept as it is.

    The library takes these apart while it still holds them in their transfer encoding.
    """

    @property
    def kind(self) -> str:
        """The content type as it is."""
        return super().get_content_type()

    def get_content_type(self) -> str:
        kind = self.kind
        return "text/x-" + kind.partition("/")[2] if kind in _LEAVES else kind


def _bound(content: bytes) -> bytes:
    """Cut a message where it gets too long, or has more parts than a report needs."""
    content = content[:MAX_BYTES]
    for number, part in enumerate(_PART_START.finditer(content)):
        if number == _MAX_PARTS:
            return content[: part.start()]
    return content


def _decode(part: Message) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    try:
        return payload.decode()
    except UnicodeDecodeError:
        with suppress(LookupError, UnicodeError, ValueError):
            return payload.decode(part.get_content_charset("latin-1"))
        return payload.decode("latin-1")


def _blocks(part: Message) -> list[Message]:
    """Give the groups of fields that a part for programs consists of."""
    texts = re.split(r"\n\s*\n", _decode(part).replace("\r\n", "\n").strip())
    return [HeaderParser().parsestr(text.strip()) for text in texts[:_MAX_RECIPIENTS]]


def _split(parts: Iterable[_Part]) -> tuple[str, Message]:
    """Give what a message says to people, and the head of the copy that it returns."""
    letters, copy = [], ""
    for part in parts:
        if part.kind in _COPIES:
            copy = copy or _decode(part)
        elif part.kind in ("text/plain", "text/html") and not copy:
            text = _decode(part)[:_MAX_LETTER]
            letters.append(_TAG.sub(" ", text) if part.kind == "text/html" else text)
    letter = "\n\n".join(letters)[:_MAX_LETTER]
    start = _COPY_START.search(letter)
    if start and not copy:
        fields = _FIELD.search(letter, start.start())
        copy = letter[fields.start() :] if fields else ""
    letter = letter[: start.start()] if start else letter
    head = re.split(r"\r?\n\r?\n", copy.lstrip("\r\n")[:MAX_HEAD_BYTES], maxsplit=1)[0]
    return letter, HeaderParser().parsestr(f"{head}\n\n")


def _plain(value: object) -> str:
    """Give a field's value without comments and white space."""
    return re.sub(r"\([^()]*\)", " ", decode_field(str(value))).strip()


def _list_addresses(fields: Iterable[str]) -> tuple[str, ...]:
    """Give the addresses that fields hold, each once; the library recurses on their comments."""
    fields = itertools.islice(fields, _MAX_FIELDS)
    found = (address for field in fields for address in _ADDRESS.findall(decode_field(field)))
    return tuple(dict.fromkeys(itertools.islice(found, _MAX_ADDRESSES)))


def _print(said: str) -> str:
    line = " ".join("".join(x if x.isprintable() else " " for x in said[:_MAX_FIELD]).split())
    return line[:_MAX_SAID].strip()
