"""Compiled edition + reader → envelope and bytes: pure, and the same bytes every time.

    headers that all readers share ─┐
    To, Message-ID, List-Unsubscribe ┼─▶ one join ─▶ RFC 5322 bytes, ready for the wire
    plain part · html part ──────────┘

The work is split by how often it is done. Once an edition: everything in `Addresser`. Once for
all readers who choose the same: a `_Plan`. Once a reader: the values of the slots and a join.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email import policy
from email.parser import BytesHeaderParser, BytesParser
from email.utils import format_datetime
from functools import lru_cache
from itertools import chain
from typing import Literal
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from newsletter.audience.address import parse_address
from newsletter.audience.reader import Choices, Detail, Format, Reader
from newsletter.mail.dkim import SignedFields, Signer, canonical_body, hash_body
from newsletter.mail.headers import (
    build_address_header,
    build_text_header,
    build_token_header,
    clean_text,
)
from newsletter.mail.letterhead import Letterhead
from newsletter.mail.tokens import Keyring, Purpose, TokenSigner
from newsletter.mail.verp import ReturnPaths
from newsletter.render.compiled import CompiledEdition, Flow, Piece, Slot, build_tree
from newsletter.render.filling import fill_shared
from newsletter.render.selection import Selector
from newsletter.render.wire import encode_value
from newsletter.smtp.protocol import Envelope, WireLines

HEADER_NAMES = (
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Owner",
    "List-Archive",
    "Feedback-ID",
    "Precedence",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
)
"""Every header field of a digest, each exactly once; Reply-To as well where it is set, one
DKIM-Signature for each key, and Content-Transfer-Encoding for who reads plain text alone."""

_NEEDS_ESCAPE = re.compile("[&<>\"']")  # what html.escape would change

_OWN_FIELDS = ("To", "Message-ID", "List-Unsubscribe")
"""What differs from reader to reader."""

_PART = b"Content-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"
_MULTIPART = b'Content-Type: multipart/alternative; boundary="%s"\r\n'
_NOTHING: frozenset[str] = frozenset()
_PLANS_KEPT = 32  # each holds a body; most readers share a few


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One reader's copy."""

    envelope: Envelope
    content: WireLines
    """RFC 5322 bytes with CRLF; no line begins with a dot."""
    message_id: str


@dataclass(frozen=True, slots=True)
class _ReaderSlot:
    """A slot that is filled for each reader, and where it stands in a plan: by kind of part."""

    name: str
    default: str
    plain: tuple[int, ...]
    html: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Head:
    """The header fields that all readers of a plan share, around those that they do not."""

    before: bytes
    after: bytes
    signed: SignedFields


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What all readers of a selection share: a head, and a body with holes for their own."""

    head: _Head
    wire: list[WireLines]
    """As sent, with nothing where a slot is."""
    canonical: list[bytes]
    """The same as DKIM hashes it; empty where nobody signs."""
    slots: tuple[_ReaderSlot, ...]
    """Each slot once: a value that stands beside every brief is made once."""


class Addresser:
    """Makes each reader's copy of one edition."""

    def __init__(
        self,
        compiled: CompiledEdition,
        letterhead: Letterhead,
        keyring: Keyring,
        *,
        signers: Sequence[Signer] = (),
        subject_mark: str = "",
    ) -> None:
        """Begin an edition. `signers` are the DKIM keys that the letterhead names, in order."""
        key_id = bytes.fromhex(letterhead.key_id)
        self._compiled = compiled
        self._letterhead = letterhead
        self._unsubscribe, self._preferences, self._feedback = (
            TokenSigner(
                keyring,
                key_id,
                purpose,
                list_id=letterhead.list_id,
                edition_id=letterhead.edition_id,
            )
            for purpose in (Purpose.UNSUBSCRIBE, Purpose.PREFERENCES, Purpose.FEEDBACK)
        )
        self._asks_back = any(
            _uses_feedback(piece)
            for part in (compiled.plain, compiled.html)
            for piece in part.pieces
        )
        self._signers = tuple(signers)
        self._return_paths = ReturnPaths(
            letterhead.envelope_sender,
            keyring,
            key_id,
            list_id=letterhead.list_id,
            edition_id=letterhead.edition_id,
        )
        self._unsubscribe_field = self._build_unsubscribe()
        # Keyed, and fed with what all readers share: a reader's own is a copy and one step more.
        self._message_ids = hmac.new(
            keyring.derive(key_id, b"message-id"),
            f"{letterhead.list_id}/{letterhead.edition_id}/".encode(),
            hashlib.sha256,
        )
        self._boundary = _build_boundary(letterhead)
        self._subject_mark = subject_mark
        self._selector = Selector(compiled)
        self._parts = tuple(
            (part.kind, build_tree(part.pieces)) for part in (compiled.plain, compiled.html)
        )
        self._plan = lru_cache(_PLANS_KEPT)(self._build_plan)

    @property
    def is_slow(self) -> bool:
        """Whether a copy takes so long to sign (RSA) that threads are worth it."""
        return any(isinstance(signer.key, RSAPrivateKey) for signer in self._signers)

    def address(self, reader: Reader) -> Message:
        """Make one reader's copy; the same arguments give the same bytes, for ever.

        Raises `AudienceError` for an address that cannot stand in a header.
        """
        letterhead, subscriber_id = self._letterhead, reader.subscriber_id
        choices = reader.choices
        token = self._unsubscribe.sign(subscriber_id)
        message_id = self._message_id(subscriber_id)
        email = _check_email(reader.email)
        values = {
            "name": clean_text(reader.name),
            "email": clean_text(reader.email),
            "unsubscribe_url": f"{letterhead.url}/u/{token}",
            "preferences_url": f"{letterhead.url}/p/{self._preferences.sign(subscriber_id)}",
        }
        if self._asks_back:
            values["feedback_url"] = f"{letterhead.url}/f/{self._feedback.sign(subscriber_id)}"
        own = (
            build_address_header("To", reader.name, email),
            f"Message-ID: {message_id}\r\n".encode(),
            token.encode().join(self._unsubscribe_field),
        )
        plan = self._plan(
            choices.topics,
            choices.lenses,
            choices.detail,
            choices.minutes,
            choices.language,
            choices.format,
            reader.had,
            choices.muted_on(letterhead.day) if choices.muted else _NOTHING,
        )
        head = plan.head
        fields = b"".join((head.before, *own, head.after))
        body: list[bytes] = [*plan.wire]
        canonical = plan.canonical.copy()
        for slot in plan.slots:
            value = values.get(slot.name)
            if value is None:
                value = clean_text(reader.fields.get(slot.name.removeprefix("fields."), ""))
            value = value or slot.default
            lines = encode_value(value)
            _fill(body, canonical, slot.plain, lines)
            if slot.html:
                if _NEEDS_ESCAPE.search(value):
                    lines = encode_value(html.escape(value))
                _fill(body, canonical, slot.html, lines)
        header = [WireLines.check(fields)]
        if self._signers:
            body_hash = hash_body(canonical)
            names, signed = head.signed.names, head.signed.make_canonical(own)
            header[:0] = [
                WireLines.check(signer.sign(names, signed, body_hash, letterhead.dated_at))
                for signer in self._signers
            ]
        return Message(
            envelope=Envelope(
                sender=self._return_paths.build(subscriber_id),
                recipient=email,
                smtputf8=not email.isascii(),
                envelope_id=str(letterhead.edition_id),
            ),
            # The static pieces were checked once; a value's lines are safe as they are encoded.
            content=WireLines(b"".join((*header, b"\r\n", *body))),
            message_id=message_id,
        )

    def _message_id(self, subscriber_id: int) -> str:
        """Derive the Message-ID: opaque, unique, and the same at every attempt."""
        mac = self._message_ids.copy()
        mac.update(b"%d" % subscriber_id)
        return f"<{mac.hexdigest()[:40]}@{self._letterhead.domain}>"

    def _build_unsubscribe(self) -> list[bytes]:
        """Build List-Unsubscribe's value, folded, and cut it where a reader's token stands."""
        place = self._unsubscribe.sign(0)  # of the length that all have
        url = f"<{self._letterhead.url}/u/{place}>,"
        mailto = _build_mailto(self._letterhead.unsubscribe_address)
        field = build_token_header(
            "List-Unsubscribe", (url, f"<{mailto}?subject=unsubscribe%20{place}>")
        )
        return field.split(place.encode())

    def _build_plan(
        self,
        topics: tuple[str, ...],
        lenses: tuple[str, ...],
        detail: Detail | Literal[""],
        minutes: int,
        language: str,
        form: Format | Literal[""],
        had: frozenset[str],
        muted: frozenset[str],
    ) -> _Plan:
        """Select blocks, fill what depends on the selection alone, and join what then meets."""
        selection = self._selector.select(
            Choices(
                topics=topics, lenses=lenses, detail=detail, minutes=minutes, language=language
            ),
            had,
            muted,
        )
        values = {"web_url": self._letterhead.web_url}
        edge = b"\r\n--" + self._boundary
        steps: list[list[bytes]] = [[]]
        places: dict[tuple[str, str], dict[str, list[int]]] = {}
        for kind, nodes in self._parts:
            if form == "text" and kind == "html":
                continue
            pieces = fill_shared(nodes, selection, values, escaped=kind == "html")
            if form != "text":
                first = edge.lstrip() if kind == "plain" else edge
                around = [first + b"\r\n" + _PART % kind.encode() + b"\r\n"], [edge + b"--\r\n"]
                pieces = chain(around[0], pieces, around[1] if kind == "html" else [])
            for piece in pieces:
                if isinstance(piece, Slot):
                    at = places.setdefault((piece.name, piece.default), {"plain": [], "html": []})
                    at[kind].append(len(steps))
                    steps += [], []
                else:
                    steps[-1].append(piece)
        wire = [WireLines.check(b"".join(s)) if s else WireLines() for s in steps]
        content_fields = _PART % b"plain" if form == "text" else _MULTIPART % self._boundary
        subject = f"{self._subject_mark}{selection.headline.subject}"
        return _Plan(
            head=_build_head(self._letterhead, content_fields, subject),
            wire=wire,
            canonical=[canonical_body(lines) for lines in wire] if self._signers else [],
            slots=tuple(
                _ReaderSlot(name, default, tuple(at["plain"]), tuple(at["html"]))
                for (name, default), at in places.items()
            ),
        )


def _fill(body: list[bytes], canonical: list[bytes], places: tuple[int, ...], lines: bytes) -> None:
    """Put a value where its slot stands; into the canonical form where somebody signs."""
    for place in places:
        body[place] = lines
    if canonical:
        signed = canonical_body(lines)
        for place in places:
            canonical[place] = signed


def _uses_feedback(piece: Piece | str) -> bool:
    """Tell whether a piece has the link of feedback, which costs each reader a signature."""
    if isinstance(piece, Flow):
        return any(map(_uses_feedback, piece.parts))
    return isinstance(piece, Slot) and piece.name == "feedback_url"


def header_names(content: bytes) -> list[str]:
    """Read a message back as a receiver would and name its header fields, in order."""
    return BytesHeaderParser(policy=policy.default).parsebytes(content).keys()


def decode_message(content: bytes) -> tuple[str, str]:
    """Read a message back as a receiver would: its plain text and its HTML."""
    message = BytesParser(policy=policy.default).parsebytes(content)
    bodies = (message.get_body((kind,)) for kind in ("plain", "html"))
    plain, html_text = (body.get_content() if body is not None else "" for body in bodies)
    return plain, html_text


def _build_boundary(letterhead: Letterhead) -> bytes:
    """Build the MIME boundary; "=_" cannot occur in quoted-printable (RFC 2045 §6.7)."""
    named = f"{letterhead.list_id}/{letterhead.edition_id}".encode()
    return b"=_" + hashlib.sha256(named).hexdigest()[:24].encode()


def _build_head(letterhead: Letterhead, content_fields: bytes, subject: str) -> _Head:
    owner = letterhead.reply_to or letterhead.sender
    before = [
        build_address_header("From", letterhead.sender_name, letterhead.sender),
        build_text_header("Subject", subject),
        build_token_header("Date", format_datetime(letterhead.dated_at).split()),
        b"MIME-Version: 1.0\r\n",
        content_fields,
        build_address_header("List-Id", letterhead.name, letterhead.list_id)
        if letterhead.name
        else build_token_header("List-Id", [f"<{letterhead.list_id}>"]),
    ]
    if letterhead.reply_to:
        before.append(build_address_header("Reply-To", "", letterhead.reply_to))
    campaign = f"{letterhead.day:%Y%m%d}:{letterhead.list_id}:{letterhead.kind}"
    feedback = f"{campaign}:{_sender_id(letterhead)}"
    after = [
        b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
        build_token_header("List-Owner", [f"<{_build_mailto(owner)}>"]),
        build_token_header("List-Archive", [f"<{letterhead.url}/editions>"]),
        build_token_header("Feedback-ID", [feedback]),
        b"Precedence: bulk\r\n",
        b"Auto-Submitted: auto-generated\r\n",
        b"X-Auto-Response-Suppress: OOF, AutoReply\r\n",
    ]
    joined = (b"".join(before), b"".join(after))
    return _Head(*joined, SignedFields(b"".join(joined), _OWN_FIELDS))


def _sender_id(letterhead: Letterhead) -> str:
    """Give Feedback-ID's last part: 5 to 15 characters that never change."""
    return "".join(c for c in letterhead.domain if c.isalnum())[-15:].rjust(5, "x")


_PLAIN_EMAIL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,189}")


def _check_email(email: str) -> str:
    """Give an address as it is mailed: the domain in A-labels, the local part as it is.

    The list holds no other addresses; this is the last gate before a header.
    """
    return email if _PLAIN_EMAIL.fullmatch(email) else parse_address(email).email


def _build_mailto(address: str) -> str:
    return "mailto:" + quote(address, safe="@")  # RFC 6068 §2
