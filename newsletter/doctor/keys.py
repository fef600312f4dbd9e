"""DKIM (RFC 6376, RFC 8463): whether the DNS has the public half of each key that signs."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from newsletter.doctor.check import Check, skipped, wanting, well, wrong
from newsletter.doctor.names import Names
from newsletter.mail.dkim import Signer

_DER = serialization.Encoding.DER


def check_keys(names: Names, signers: Sequence[Signer]) -> Iterator[Check]:
    """Check each key. May raise `Unanswered`."""
    if not signers:
        yield skipped(
            "dkim", "no key is configured: the relay must sign, and only a received mail shows it."
        )
    for signer in signers:
        yield judge_key(signer, names.texts(signer.name))


def judge_key(signer: Signer, texts: Sequence[str]) -> Check:
    """Judge what the DNS has under a key's name. Pure."""
    name, place = "dkim", signer.name
    record = build_record(signer)
    publish = f'publish a TXT record at {place}: "{record}"'
    found = [tags for tags in map(_read_tags, texts) if "p" in tags]
    if not found:
        return wrong(name, f"there is no DKIM key at {place}.", publish)
    if len(found) > 1:
        return wrong(name, f"there are {len(found)} DKIM keys at {place}.", "leave one of them")
    tags = found[0]
    if not tags["p"]:
        return wrong(name, f"the key at {place} is revoked (p is empty).", publish)
    kind = "rsa" if isinstance(signer.key, RSAPrivateKey) else "ed25519"
    if tags.get("v", "DKIM1") != "DKIM1" or tags.get("k", "rsa").lower() != kind:
        return wrong(name, f"the key at {place} is not of the kind {kind}.", publish)
    if not _is_same(tags["p"], signer):
        return wrong(
            name,
            f"the key at {place} is not the one of dkim.key_file: no signature holds.",
            publish,
        )
    hashes = tags.get("h", "sha256").lower().split(":")
    services = tags.get("s", "*").lower().split(":")
    if "sha256" not in hashes or not {"*", "email"} & set(services):
        return wrong(name, f"the key at {place} is not for mail signed with sha256.", publish)
    if "y" in tags.get("t", "").lower().split(":"):
        return wanting(
            name,
            f"the key at {place} is in test (t=y): receivers may pass over it.",
            "take t=y out",
        )
    return well(name, f"the key at {place} is the one that signs.")


def build_record(signer: Signer) -> str:
    """Build the TXT record that a key needs."""
    public = signer.key.public_key()
    if isinstance(signer.key, RSAPrivateKey):
        data = public.public_bytes(_DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return f"v=DKIM1; k=rsa; p={base64.b64encode(data).decode()}"
    data = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return f"v=DKIM1; k=ed25519; p={base64.b64encode(data).decode()}"


def _is_same(published: str, signer: Signer) -> bool:
    """Compare keys; RSA's may be published with or without its wrapping (RFC 6376 §3.6.1)."""
    try:
        data = base64.b64decode("".join(published.split()), validate=True)
    except (binascii.Error, ValueError):
        return False
    public = signer.key.public_key()
    if isinstance(signer.key, RSAPrivateKey):
        wrapped = public.public_bytes(_DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return data in (wrapped, public.public_bytes(_DER, serialization.PublicFormat.PKCS1))
    return data == public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def _read_tags(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip(): value.strip() for name, sign, value in pairs if sign}
