"""Signed tokens for links that act in a reader's name, and the keys that sign them.

A token is 32 bytes, written as 43 characters of base64url:

    purpose 1 · key id 3 · subscriber 8 · edition or time 4 · MAC 16     (big-endian)

What is mailed in an edition names that edition; what a page gives out for a while names the
second it was given out.

The token of a counted link is nobody's: all readers of an edition have the same. It is 26 bytes,
written as 35 characters, and signs the link that stands beside it:

    purpose 1 · key id 3 · edition 4 · brief 2 · MAC 16

The MAC is HMAC-SHA-256, cut to 128 bits, under a key derived for the purpose alone and over
the list's id as well: a token to unsubscribe can do nothing else, and nothing on another
list. Unsubscribe tokens do not expire: the right to leave does not either. Rotating the
secret keeps old links alive as long as the old key stays in the ring.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from newsletter.errors import ConfigurationError, InputError

_MAC_BYTES = 16
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_TOKEN_CHARACTERS = 43
_LINK_CHARACTERS = 35


class Purpose(Enum):
    """What a token may do. The values are part of the format: never change one."""

    UNSUBSCRIBE = b"u"
    PREFERENCES = b"p"
    FEEDBACK = b"t"
    """Says what one thinks of an edition's briefs, and nothing else."""
    RETURN = b"r"
    """Takes back having left, for an hour."""
    CONFIRM = b"c"
    """Confirms a sign-up, for a week; names the sign-up in place of a subscriber."""
    FORM = b"f"
    """Says when a form was shown; names the wording that it asked consent to."""
    MOVE = b"m"
    """Confirms a new address, for a week; names the wish in place of a subscriber."""
    UNDO = b"b"
    """Takes a change of address back, for a month; names the wish to, likewise."""
    GO = b"g"
    """Leads to the link that it signs, for ever; names a brief, and no subscriber."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a valid token says."""

    subscriber_id: int
    edition_id: int
    """Or the second since 1970 in which the token was given out."""

    def is_fresh(self, now: datetime, lifetime: timedelta) -> bool:
        """Tell whether a token that names a second was given out within `lifetime`."""
        return timedelta(0) <= now - datetime.fromtimestamp(self.edition_id, UTC) <= lifetime


class Keyring:
    """The signing keys, newest first: the first signs, all of them verify."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets = {_key_id(secret): secret for secret in reversed(secrets)}
        self.newest = _key_id(secrets[0])

    def derive(self, key_id: bytes, use: bytes) -> bytes:
        """Derive the key for one use; raises `ConfigurationError` if the secret is gone."""
        secret = self._secrets.get(key_id)
        if secret is None:
            raise ConfigurationError(
                f"lacks the key {key_id.hex()} that this edition was made with",
                field="NEWSLETTER_SECRET_KEY",
                mend="put the old key back, after a comma",
            )
        return hmac.digest(secret, b"newsletter:" + use, hashlib.sha256)

    @property
    def ids(self) -> tuple[bytes, ...]:
        """The ids of all keys."""
        return tuple(self._secrets)

    def __contains__(self, key_id: bytes) -> bool:
        return key_id in self._secrets

    def __repr__(self) -> str:
        return f"Keyring({', '.join(key_id.hex() for key_id in self._secrets)})"


def _key_id(secret: bytes) -> bytes:
    return hmac.digest(secret, b"newsletter:key id", hashlib.sha256)[:3]


class TokenSigner:
    """Signs tokens of one purpose for one list and edition."""

    def __init__(
        self, keyring: Keyring, key_id: bytes, purpose: Purpose, *, list_id: str, edition_id: int
    ) -> None:
        self._list_id = list_id.encode()
        self._start = purpose.value + key_id
        self._end = edition_id.to_bytes(4)
        # A copy of a keyed state costs half of what keying one anew for each reader does.
        self._begun = hmac.new(keyring.derive(key_id, purpose.value), self._start, hashlib.sha256)

    def sign(self, subscriber_id: int) -> str:
        """Give the token of one reader."""
        rest = subscriber_id.to_bytes(8) + self._end
        mac = self._begun.copy()
        mac.update(rest + self._list_id)
        signed = self._start + rest + mac.digest()[:_MAC_BYTES]
        return binascii.b2a_base64(signed, newline=False).translate(_URL_SAFE, b"=").decode()


def sign_one(
    subscriber_id: int, purpose: Purpose, *, keyring: Keyring, list_id: str, edition_id: int = 0
) -> str:
    """Give a single token, by the newest key; 0 is no edition."""
    signer = TokenSigner(keyring, keyring.newest, purpose, list_id=list_id, edition_id=edition_id)
    return signer.sign(subscriber_id)


def sign_until_later(
    subscriber_id: int, purpose: Purpose, now: datetime, *, keyring: Keyring, list_id: str
) -> str:
    """Give a token that names the second it was given out in, for `Claim.is_fresh`."""
    at = int(now.timestamp())
    return sign_one(subscriber_id, purpose, keyring=keyring, list_id=list_id, edition_id=at)


def read_token(token: str, purpose: Purpose, *, keyring: Keyring, list_id: str) -> Claim:
    """Verify a token and say what it claims. Raises `InputError` for any other text."""
    raw = _decode(token, _TOKEN_CHARACTERS)
    body = raw[:-_MAC_BYTES]
    _check(raw, body + list_id.encode(), purpose, keyring)
    return Claim(int.from_bytes(body[4:12]), int.from_bytes(body[12:16]))


@dataclass(frozen=True, slots=True)
class LinkClaim:
    """Where the link that a valid token signs stands."""

    edition_id: int
    brief: int
    """Its number in the edition, from 1."""


def sign_link(link: str, claim: LinkClaim, *, keyring: Keyring, list_id: str) -> str:
    """Give the token by which all readers of an edition are led to a link, by the newest key."""
    start = Purpose.GO.value + keyring.newest
    body = start + claim.edition_id.to_bytes(4) + claim.brief.to_bytes(2)
    key = keyring.derive(keyring.newest, Purpose.GO.value)
    mac = hmac.digest(key, body + _name_link(link, list_id), hashlib.sha256)
    return base64.urlsafe_b64encode(body + mac[:_MAC_BYTES]).rstrip(b"=").decode()


def read_link(token: str, link: str, *, keyring: Keyring, list_id: str) -> LinkClaim:
    """Verify that a token signs a link. Raises `InputError` for any other text."""
    raw = _decode(token, _LINK_CHARACTERS)
    body = raw[:-_MAC_BYTES]
    _check(raw, body + _name_link(link, list_id), Purpose.GO, keyring)
    return LinkClaim(int.from_bytes(body[4:8]), int.from_bytes(body[8:10]))


def _name_link(link: str, list_id: str) -> bytes:
    return f"{list_id}\0{link}".encode(errors="surrogatepass")


def _refuse() -> InputError:
    return InputError("this link is damaged or not one of ours")


def _decode(token: str, characters: int) -> bytes:
    """Give the bytes of a token of so many characters."""
    if len(token) != characters or not token.isascii():
        raise _refuse()
    try:
        raw = base64.b64decode(token + "=", altchars=b"-_", validate=True)
    except binascii.Error:
        raise _refuse() from None
    # The characters carry two bits more than the bytes: a second spelling of those is not ours.
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != token:
        raise _refuse()
    return raw


def _check(raw: bytes, signed: bytes, purpose: Purpose, keyring: Keyring) -> None:
    """Raise unless the MAC at the end of `raw` is that of what is `signed`."""
    key_id = raw[1:4]
    if raw[:1] != purpose.value or key_id not in keyring:
        raise _refuse()
    expected = hmac.digest(keyring.derive(key_id, purpose.value), signed, hashlib.sha256)
    if not hmac.compare_digest(raw[-_MAC_BYTES:], expected[:_MAC_BYTES]):
        raise _refuse()
