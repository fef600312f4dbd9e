"""Variable envelope return paths: which copy a bounce is about, told by its address alone.

The return path of each message carries the edition and the reader, under a MAC: whatever a
bounce's body says or hides, its envelope names the copy, and nobody can forge one to have a
reader taken off the list. The token is lower-case base32, since a local part may be
case-folded on its way, of

    edition 4 · subscriber 8 · MAC 8     (big-endian; 32 characters)

and stands where the operator's bounce address has a `*`: `bounce+*@news.example`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from newsletter.errors import InputError
from newsletter.mail.tokens import Claim, Keyring

PLACE = "*"
_MAC_BYTES = 8
_TOKEN_CHARACTERS = 32
_USE = b"return path"


class ReturnPaths:
    """Builds the return paths of one edition."""

    def __init__(
        self, pattern: str, keyring: Keyring, key_id: bytes, *, list_id: str, edition_id: int
    ) -> None:
        self._before, self._star, self._after = pattern.partition(PLACE)
        self._key = keyring.derive(key_id, _USE)
        self._list_id = list_id.encode()
        self._start = edition_id.to_bytes(4)

    def build(self, subscriber_id: int) -> str:
        """Give one reader's return path; the pattern itself where it has no `*`."""
        if not self._star:
            return self._before
        body = self._start + subscriber_id.to_bytes(8)
        token = base64.b32encode(body + _mac(self._key, body, self._list_id)).decode().lower()
        return f"{self._before}{token}{self._after}"


def read_return_path(address: str, pattern: str, *, keyring: Keyring, list_id: str) -> Claim:
    """Verify where a bounce was addressed to. Raises `InputError` for any other address."""
    refusal = InputError("this is no return path of ours")
    before, star, after = (part.lower() for part in pattern.partition(PLACE))
    folded = address.lower()
    token = folded.removeprefix(before).removesuffix(after)
    if not star or folded != f"{before}{token}{after}" or len(token) != _TOKEN_CHARACTERS:
        raise refusal
    try:
        raw = base64.b32decode(token.upper().encode())
    except (binascii.Error, UnicodeEncodeError):
        raise refusal from None
    body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    for key_id in keyring.ids:  # the token has no room for a key id
        expected = _mac(keyring.derive(key_id, _USE), body, list_id.encode())
        if hmac.compare_digest(mac, expected):
            return Claim(int.from_bytes(body[4:]), int.from_bytes(body[:4]))
    raise refusal


def _mac(key: bytes, body: bytes, list_id: bytes) -> bytes:
    return hmac.digest(key, body + list_id, hashlib.sha256)[:_MAC_BYTES]
