"""A device with passkeys, in software, that also does what no device would: WebAuthn, by hand."""

from __future__ import annotations

import hashlib
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from webauthn.helpers import encode_cbor

PRESENT, VERIFIED, MADE = 0x01, 0x04, 0x40


def to_text(said: bytes) -> str:
    return urlsafe_b64encode(said).rstrip(b"=").decode()


def to_bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Authenticator:
    """One passkey on one device, which answers as it is told to."""

    origin: str
    site: str = "localhost"
    flags: int = PRESENT | VERIFIED
    counter: int = 0
    cross_origin: bool = False
    handle: bytes = b""
    kind: str = "webauthn.get"
    id: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def make(self, options: str) -> dict[str, Any]:
        """Answer to navigator.credentials.create()."""
        asked = json.loads(options)
        self.handle = to_bytes(asked["user"]["id"])
        point = self.key.public_key().public_numbers()
        key = {1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32), -3: point.y.to_bytes(32)}
        return self.make_with(asked["challenge"], encode_cbor(key))

    def make_with(self, challenge: str, key: bytes) -> dict[str, Any]:
        """Answer with any public key."""
        told = bytes(16) + len(self.id).to_bytes(2) + self.id + key
        attested = {"fmt": "none", "attStmt": {}, "authData": self._state(MADE) + told}
        response = {
            "clientDataJSON": to_text(self._say("webauthn.create", challenge)),
            "attestationObject": to_text(encode_cbor(attested)),
        }
        return self._answer(response)

    def sign(self, options: str) -> dict[str, Any]:
        """Answer to navigator.credentials.get()."""
        said = self._say(self.kind, json.loads(options)["challenge"])
        state = self._state()
        signature = self.key.sign(state + hashlib.sha256(said).digest(), ec.ECDSA(SHA256()))
        response = {
            "clientDataJSON": to_text(said),
            "authenticatorData": to_text(state),
            "signature": to_text(signature),
            "userHandle": to_text(self.handle) if self.handle else None,
        }
        return self._answer(response)

    def _say(self, kind: str, challenge: str) -> bytes:
        told = {"type": kind, "challenge": challenge, "origin": self.origin}
        return json.dumps({**told, "crossOrigin": self.cross_origin}).encode()

    def _state(self, more: int = 0) -> bytes:
        site = hashlib.sha256(self.site.encode()).digest()
        return site + bytes([self.flags | more]) + self.counter.to_bytes(4)

    def _answer(self, response: dict[str, Any]) -> dict[str, Any]:
        name = to_text(self.id)
        return {"id": name, "rawId": name, "type": "public-key", "response": response}
