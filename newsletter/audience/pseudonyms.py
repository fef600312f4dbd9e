"""What stands for an erased address: the same for the same address, and no way back to it.

A pseudonym is HMAC-SHA-256 of `Address.key`, cut to 128 bits, under a key derived from the
signing key for this use alone. It has no "@", so it is nobody's address. A suppression under
it keeps the erased address out of every later import, and the copies that an erased reader
was to be sent bear it as their `email_key`: to the sender they are copies of a suppressed one.

A voice is the same for what a reader says of one brief, under a key of its own: neither an
address nor what they said of another brief can be told from it.

While an erasure is unfinished its addresses are kept sealed: encrypted, so that no file names them.

Pseudonyms are made with the newest key and looked for with all of them. Who takes an old key
out of the ring forgets the erasures that were made with it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

PREFIX = "erased:"
_USE = b"newsletter:erased address"
_VOICE_USE = b"newsletter:voice"
_SEAL_USE = b"newsletter:unfinished erasure"
_MAC_BYTES = 16


class Pseudonyms:
    """Makes pseudonyms from the signing keys, newest first."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._keys = tuple(hmac.digest(secret, _USE, hashlib.sha256) for secret in secrets)
        self._voice_keys = tuple(
            hmac.digest(secret, _VOICE_USE, hashlib.sha256) for secret in secrets
        )
        seals = (hmac.digest(secret, _SEAL_USE, hashlib.sha256) for secret in secrets)
        self._seal = MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in seals])

    def make(self, email_key: str) -> str:
        """Give the pseudonym of an address, by the newest key."""
        return _make(self._keys[0], email_key)

    def list_all(self, email_key: str) -> tuple[str, ...]:
        """Give every pseudonym that the address may be known by, the newest key's first."""
        return tuple(_make(key, email_key) for key in self._keys)

    def list_voices(self, subscriber_id: int, edition_id: int, number: int) -> tuple[str, ...]:
        """Give what stands for a reader who speaks of a brief, the newest key's first."""
        said = f"{subscriber_id}/{edition_id}/{number}".encode()
        digests = (hmac.digest(key, said, hashlib.sha256) for key in self._voice_keys)
        return tuple(digest[:_MAC_BYTES].hex() for digest in digests)

    def seal(self, addresses: Iterable[str]) -> bytes:
        """Encrypt addresses, by the newest key."""
        return self._seal.encrypt("\n".join(sorted(addresses)).encode())

    def unseal(self, sealed: bytes) -> set[str]:
        """Decrypt what `seal` gave; nothing where the key is gone."""
        try:
            return set(self._seal.decrypt(sealed).decode().split("\n"))
        except InvalidToken:
            return set()


def _make(key: bytes, email_key: str) -> str:
    digest = hmac.digest(key, email_key.encode(), hashlib.sha256)
    return PREFIX + digest[:_MAC_BYTES].hex()
