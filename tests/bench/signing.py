"""The keys that the benchmark signs with: new ones every time, of the kinds that DKIM knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from newsletter.mail.dkim import MIN_RSA_BITS, Signer

KINDS: Mapping[str, Callable[[], RSAPrivateKey | Ed25519PrivateKey]] = {
    "rsa": lambda: generate_private_key(65537, MIN_RSA_BITS),
    "ed25519": Ed25519PrivateKey.generate,
}


def build_signer(kind: str) -> Signer:
    """Build what signs with a new key of one of the `KINDS`."""
    return Signer(domain="news.example", selector=kind, key=KINDS[kind]())
