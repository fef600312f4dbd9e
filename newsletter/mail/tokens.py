"""Signed tokens for links that act in a reader's name, and the keys that sign them.

A token is 32 bytes, written as 43 characters of base64url:

    purpose 1 · key id 3 · subscriber 8 · edition or time 4 · MAC 16     (big-endian)

What is mailed in an edition names that edition; what a page gives out for a while names the
second it was given out.

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
    refusal = InputError("this link is damaged or not one of ours")
    if len(token) != _TOKEN_CHARACTERS or not token.isascii():
        raise refusal
    try:
        raw = base64.b64decode(token + "=", altchars=b"-_", validate=True)
    except binascii.Error:
        raise refusal from None
    body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    key_id = body[1:4]
    # 43 characters carry 258 bits for 256: a second spelling of the same bytes is not ours.
    canonical = base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == token
    if body[:1] != purpose.value or key_id not in keyring or not canonical:
        raise refusal
    key = keyring.derive(key_id, purpose.value)
    expected = hmac.digest(key, body + list_id.encode(), hashlib.sha256)[:_MAC_BYTES]
    if not hmac.compare_digest(mac, expected):
        raise refusal
    return Claim(int.from_bytes(body[4:12]), int.from_bytes(body[12:16]))
