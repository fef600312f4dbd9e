"""A single mail as bytes: pure, and the same bytes every time.

It answers what somebody did, and is no list mail: it has no List-Unsubscribe, since who has not
confirmed is on no list to leave. No program is to answer it (Auto-Submitted, RFC 3834 §5).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

from newsletter.audience.address import parse_address
from newsletter.mail.dkim import SignedFields, Signer, canonical_body, hash_body
from newsletter.mail.headers import build_address_header, build_text_header, build_token_header
from newsletter.mail.message import Message
from newsletter.mail.tokens import Keyring
from newsletter.mail.verp import PLACE
from newsletter.render.notices import NoticeForm
from newsletter.render.wire import encode_text
from newsletter.settings import Publication
from newsletter.smtp.protocol import Envelope, WireLines

_PART = b"Content-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"
_OUR_TOKEN = "notice"  # noqa: S105 - no secret: a bounce of a notice is of nobody's copy


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeHead:
    """What the messages of a publication's notices have in common."""

    sender: str
    sender_name: str
    reply_to: str
    list_id: str
    envelope_sender: str


def build_notice_head(publication: Publication) -> NoticeHead:
    """Take it from the settings."""
    address = publication.sender_address
    return NoticeHead(
        sender=address,
        sender_name=publication.sender_name,
        reply_to=publication.reply_to,
        list_id=publication.list_id,
        envelope_sender=(publication.bounce_address or address).replace(PLACE, _OUR_TOKEN),
    )


def build_notice(
    form: NoticeForm,
    *,
    number: int,
    email: str,
    dated_at: datetime,
    head: NoticeHead,
    keyring: Keyring,
    signers: Sequence[Signer] = (),
) -> Message:
    """Make a notice's message; `number` is its own, and `form` is filled in.

    Raises `AudienceError` for an address that cannot stand in a header.
    """
    dated_at = dated_at.astimezone(UTC).replace(microsecond=0)
    email = parse_address(email).email
    named = f"{head.list_id}/notice/{number}".encode()
    mac = hmac.digest(keyring.derive(keyring.newest, b"message-id"), named, hashlib.sha256)
    message_id = f"<{mac.hex()[:40]}@{head.sender.rpartition('@')[2]}>"
    boundary = b"=_" + hashlib.sha256(named).hexdigest()[:24].encode()
    fields = [
        build_address_header("From", head.sender_name, head.sender),
        build_address_header("To", "", email),
        build_text_header("Subject", form.subject),
        build_token_header("Date", format_datetime(dated_at).split()),
        f"Message-ID: {message_id}\r\n".encode(),
        b"MIME-Version: 1.0\r\n",
        b'Content-Type: multipart/alternative; boundary="%s"\r\n' % boundary,
        b"Auto-Submitted: auto-generated\r\n",
        b"X-Auto-Response-Suppress: OOF, AutoReply\r\n",
    ]
    if head.reply_to:
        fields.append(build_address_header("Reply-To", "", head.reply_to))
    edge = b"--" + boundary
    body = [
        *(edge + b"\r\n" + _PART % b"plain" + b"\r\n", encode_text(form.plain, ends=True)),
        *(edge + b"\r\n" + _PART % b"html" + b"\r\n", encode_text(form.html, ends=True)),
        edge + b"--\r\n",
    ]
    header = b"".join(fields)
    signed = SignedFields(header, ())
    canonical, body_hash = signed.make_canonical(()), hash_body(map(canonical_body, body))
    signatures = [signer.sign(signed.names, canonical, body_hash, dated_at) for signer in signers]
    return Message(
        envelope=build_notice_envelope(head, email, number),
        content=WireLines.check(b"".join((*signatures, header, b"\r\n", *body))),
        message_id=message_id,
    )


def build_notice_envelope(head: NoticeHead, email: str, number: int) -> Envelope:
    """Give the envelope of a notice."""
    return Envelope(
        sender=head.envelope_sender,
        recipient=email,
        smtputf8=not email.isascii(),
        envelope_id=f"notice-{number}",
    )
