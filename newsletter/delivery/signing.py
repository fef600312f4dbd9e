"""The DKIM keys of the configuration: read, checked, and tried before an edition begins."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from newsletter.delivery.private_file import read_private
from newsletter.errors import ConfigurationError
from newsletter.mail.dkim import Signer, read_key
from newsletter.settings import DkimKey


def read_signers(keys: Sequence[DkimKey], *, root: Path, domain: str) -> tuple[Signer, ...]:
    """Read every key; raises `ConfigurationError` for one that cannot or must not be used."""
    return tuple(
        _read_signer(root / key.key_file, key.domain or domain, key.selector) for key in keys
    )


def choose_signers(
    signers: Sequence[Signer], keys: Sequence[tuple[str, str]]
) -> tuple[Signer, ...]:
    """Give the signers that an edition was approved with: every attempt signs with the same.

    `keys` are names and fingerprints. Raises `ConfigurationError` where one is gone, or is
    another one now: its signature would make the bytes of a second attempt others.
    """
    by_name = {signer.name: signer for signer in signers}
    for name, fingerprint in keys:
        found = by_name.get(name)
        if found is None or found.fingerprint != fingerprint:
            what = "is gone" if found is None else "was replaced"
            raise ConfigurationError(
                f"the key {name} that this edition was approved with {what}",
                field="dkim",
                mend="name the old key again: this edition's copies are made with it",
            )
    return tuple(by_name[name] for name, _ in keys)


def _read_signer(file: Path, domain: str, selector: str) -> Signer:
    data = read_private(file, field="dkim.key_file")
    signer = Signer(domain=domain, selector=selector, key=read_key(data, file=str(file)))
    _try(signer, file)
    return signer


def _try(signer: Signer, file: Path) -> None:
    """Sign and verify once: a damaged key must not be noticed by readers' mail servers."""
    sample = b"newsletter"
    signature = signer.sign_bytes(sample)
    try:
        if isinstance(signer.key, RSAPrivateKey):
            signer.key.public_key().verify(signature, sample, padding.PKCS1v15(), hashes.SHA256())
        else:
            signer.key.public_key().verify(signature, hashlib.sha256(sample).digest())
    except InvalidSignature:
        raise ConfigurationError(
            "makes signatures that do not verify", file=file, field="dkim.key_file"
        ) from None
