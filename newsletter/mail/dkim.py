"""DKIM signatures (RFC 6376, RFC 8463), fast because the body is made canonical once.

Canonicalisation of a body works line by line (RFC 6376 §3.4.4), and every piece of a compiled
edition begins and ends with a line. So each static piece is made canonical when the edition
is loaded, each reader's value when it is filled in, and a message's body hash is one pass of
SHA-256 over their join. What remains per message is that hash, a few short header fields, and
the signature itself, which releases the interpreter lock.

Signed are the fields a receiver shows or acts on; those that must not be added to on the way
are named once more than they occur, so that one more breaks the signature (§5.4.2, §8.15).
There is no `l=`: a signature over a part of the body is an invitation to append.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from newsletter.errors import ConfigurationError

SIGNED = (
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
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
)
OVERSIGNED = (
    "From",
    "To",
    "Subject",
    "Date",
    "Reply-To",
    "MIME-Version",
    "Content-Type",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Feedback-ID",
)
VALID_FOR = timedelta(days=30)
MIN_RSA_BITS = 2048

_BLANKS = re.compile(rb"[ \t]+")
_BLANKS_AT_END = re.compile(rb"[ \t]+(?=\r\n)")
_FOLD = re.compile(rb"\r\n(?=[ \t])")
_SIGNATURE_CHARACTERS = 72
"""So much of the signature a line: `b=` folds like any other tag (§3.2)."""


@dataclass(frozen=True, slots=True)
class Signer:
    """One key under one selector of one domain."""

    domain: str
    selector: str
    key: RSAPrivateKey | Ed25519PrivateKey

    @property
    def name(self) -> str:
        """Where the public key stands in the DNS."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def fingerprint(self) -> str:
        """Tell this key from any other that stands under the same name."""
        public = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return hashlib.sha256(public).hexdigest()[:32]

    @property
    def algorithm(self) -> str:
        """The value of `a=`."""
        return "rsa-sha256" if isinstance(self.key, RSAPrivateKey) else "ed25519-sha256"

    def sign(self, fields: bytes, body_hash: bytes, dated_at: datetime) -> bytes:
        """Build the DKIM-Signature field for a message's header fields and its body's hash.

        The same arguments give the same bytes: both algorithms are deterministic, and the
        times are the edition's own.
        """
        names, canonical = _select_fields(fields)
        signed_at = int(dated_at.timestamp())
        unsigned = _fold_tags(
            [
                "v=1",
                f"a={self.algorithm}",
                "c=relaxed/relaxed",
                f"d={self.domain}",
                f"s={self.selector}",
                f"t={signed_at}",
                f"x={signed_at + int(VALID_FOR.total_seconds())}",
                f"bh={base64.b64encode(body_hash).decode()}",
                *_fold_names(names),
                "b=",
            ]
        )
        own = canonical_field(b"DKIM-Signature:" + unsigned).removesuffix(b"\r\n")
        signature = base64.b64encode(self.sign_bytes(canonical + own))
        lines = [
            signature[start : start + _SIGNATURE_CHARACTERS]
            for start in range(0, len(signature), _SIGNATURE_CHARACTERS)
        ]
        return b"DKIM-Signature:" + unsigned + b"\r\n ".join(lines) + b"\r\n"

    def sign_bytes(self, data: bytes) -> bytes:
        """Sign bytes as the algorithm has it: both hash with SHA-256."""
        if isinstance(self.key, RSAPrivateKey):
            return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        # RFC 8463 §3: PureEdDSA over the SHA-256 hash of what RSA would hash itself.
        return self.key.sign(hashlib.sha256(data).digest())


def read_key(data: bytes, *, file: str) -> RSAPrivateKey | Ed25519PrivateKey:
    """Read a PEM private key; raises `ConfigurationError` for one that must not be used."""
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigurationError(
            "holds no private key that can be read",
            file=file,
            field="dkim.key_file",
            mend="give an unencrypted PEM file, RSA or Ed25519",
        ) from None
    if isinstance(key, RSAPrivateKey):
        if key.key_size < MIN_RSA_BITS:
            raise ConfigurationError(
                f"holds an RSA key of {key.key_size} bits; receivers refuse short ones",
                file=file,
                field="dkim.key_file",
                mend=f"make one of {MIN_RSA_BITS} bits",
            )
        return key
    if isinstance(key, Ed25519PrivateKey):
        return key
    raise ConfigurationError(
        "holds a key that DKIM does not know", file=file, field="dkim.key_file", mend="use RSA"
    )


def canonical_body(piece: bytes) -> bytes:
    """Make whole lines canonical, "relaxed" (§3.4.4); empty lines at the end are kept."""
    return _BLANKS.sub(b" ", _BLANKS_AT_END.sub(b"", piece))


def hash_body(canonical_pieces: Iterable[bytes]) -> bytes:
    """Hash a body from its canonical pieces, less the empty lines at its end."""
    body = b"".join(canonical_pieces)
    end = len(body)
    while body.endswith(b"\r\n\r\n", 0, end):
        end -= 2
    if body[:end] == b"\r\n":
        end = 0
    return hashlib.sha256(memoryview(body)[:end]).digest()


def canonical_field(field: bytes) -> bytes:
    """Make one header field canonical, "relaxed" (§3.4.2), with its CRLF."""
    name, _, value = field.partition(b":")
    unfolded = _BLANKS.sub(b" ", _FOLD.sub(b"", value.removesuffix(b"\r\n")))
    return name.strip().lower() + b":" + unfolded.strip() + b"\r\n"


def _select_fields(fields: bytes) -> tuple[list[str], bytes]:
    """Name what is signed, in order, and give it in canonical form."""
    present: dict[str, bytes] = {}
    for field in _split_fields(fields):
        present[field.partition(b":")[0].decode("ascii").lower()] = field
    names = [name for name in SIGNED if name.lower() in present]
    canonical = b"".join(canonical_field(present[name.lower()]) for name in names)
    return names + list(OVERSIGNED), canonical


def _split_fields(fields: bytes) -> list[bytes]:
    return re.split(rb"(?<=\r\n)(?![ \t])", fields)[:-1]


def _fold_tags(tags: Sequence[str]) -> bytes:
    lines = [""]
    for index, tag in enumerate(tags):
        text = f" {tag}" + (";" if index < len(tags) - 1 else "")
        if len(lines[-1]) + len(text) > 76 - len("DKIM-Signature:") * (len(lines) == 1):
            lines.append(text)
        else:
            lines[-1] += text
    return "\r\n".join(lines).encode("ascii")


def _fold_names(names: Sequence[str]) -> list[str]:
    """Write `h=` so that it may fold after a colon (§3.5)."""
    lines = [""]
    for index, name in enumerate(names):
        text = name + (":" if index < len(names) - 1 else "")
        if len(lines[-1]) + len(text) > 70:
            lines.append(text)
        else:
            lines[-1] += text
    return ["h=" + "\r\n ".join(lines)]
