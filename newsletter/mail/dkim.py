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
from functools import lru_cache

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

    def sign(
        self, names: tuple[str, ...], canonical: bytes, body_hash: bytes, dated_at: datetime
    ) -> bytes:
        """Build the DKIM-Signature field from canonical header fields and the body's hash.

        `names` are what `h=` says, as `SignedFields` has them. The same arguments give the same
        bytes: both algorithms are deterministic, and the times are the edition's own.
        """
        before, after = _build_around(self, names, int(dated_at.timestamp()))
        hashed = base64.b64encode(body_hash)
        own = _canonical_around(before) + hashed + _canonical_around(after)
        signature = base64.b64encode(self.sign_bytes(b"".join((canonical, _NAME, own))))
        lines = [
            signature[start : start + _SIGNATURE_CHARACTERS]
            for start in range(0, len(signature), _SIGNATURE_CHARACTERS)
        ]
        return b"".join((before, hashed, after, b"\r\n ".join(lines), b"\r\n"))

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
    if b"  " not in piece and b"\t" not in piece and b" \r\n" not in piece:
        return piece
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
    unfolded = value.replace(b"\r\n", b"")  # within a field every line end is a fold
    if b"  " in unfolded or b"\t" in unfolded:
        unfolded = _BLANKS.sub(b" ", unfolded)
    return b"%b:%b\r\n" % (name.strip().lower(), unfolded.strip(b" "))


@lru_cache(16)
def _build_around(signer: Signer, names: tuple[str, ...], signed_at: int) -> tuple[bytes, bytes]:
    """Build the field up to the body's hash, and from there to where the signature begins.

    The same for all messages of an edition: hashes have one length, so lines fold alike.
    """
    place = base64.b64encode(bytes(hashlib.sha256().digest_size)).decode()
    field = b"DKIM-Signature:" + _fold_tags(
        [
            "v=1",
            f"a={signer.algorithm}",
            "c=relaxed/relaxed",
            f"d={signer.domain}",
            f"s={signer.selector}",
            f"t={signed_at}",
            f"x={signed_at + int(VALID_FOR.total_seconds())}",
            f"bh={place}",
            *_fold_names(names),
            "b=",
        ]
    )
    before, _, after = field.partition(place.encode())
    return before, after


@lru_cache(32)
def _canonical_around(part: bytes) -> bytes:
    """Make a part of our own field canonical; a hash, which holds no blank, stands beside it."""
    unfolded = _BLANKS.sub(b" ", _FOLD.sub(b"", part))
    return (
        unfolded.removeprefix(b"DKIM-Signature:").lstrip() if part.startswith(b"DKIM") else unfolded
    )


_NAME = b"dkim-signature:"


class SignedFields:
    """The header fields that are signed: those that an edition shares, with room for the rest.

    Signed are the fields that there are, in the order of `SIGNED`.
    """

    def __init__(self, shared: bytes, own: Sequence[str]) -> None:
        """Take the fields that all messages share, and the names of those that differ."""
        fields = {
            field.partition(b":")[0].decode("ascii").lower(): canonical_field(field)
            for field in _split_fields(shared)
        }
        fields |= dict.fromkeys((name.lower() for name in own), b"")
        present = [name for name in SIGNED if name.lower() in fields]
        self.names = (*present, *OVERSIGNED)
        self._canonical = [fields[name.lower()] for name in present]
        self._places = tuple(present.index(name) for name in own)

    def make_canonical(self, own: Sequence[bytes]) -> bytes:
        """Give all of them in canonical form; `own` are the fields that differ, in their order."""
        canonical = self._canonical.copy()
        for place, field in zip(self._places, own, strict=True):
            canonical[place] = canonical_field(field)
        return b"".join(canonical)


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
