"""DKIM signatures, judged by another implementation: dkimpy."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from hypothesis import example, given
from hypothesis import strategies as st

from newsletter.audience.reader import Reader
from newsletter.delivery.signing import choose_signers, read_signers
from newsletter.errors import ConfigurationError
from newsletter.mail import Addresser, header_names
from newsletter.mail.dkim import OVERSIGNED, SIGNED, Signer, canonical_body, hash_body
from newsletter.mail.message import HEADER_NAMES
from newsletter.render.compiled import CompiledEdition
from newsletter.settings import DkimKey
from tests.unit.test_mail_message import LETTERHEAD, RING, build_part

READER = Reader(subscriber_id=7, email="jürgen@reader.example", name='Jürgen  "J" Ö <b>')


@cache
def signer(kind: str) -> Signer:
    key: RSAPrivateKey | Ed25519PrivateKey
    if kind == "rsa":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    else:
        key = Ed25519PrivateKey.generate()
    return Signer(domain="news.example", selector=kind, key=key)


def published(signers: tuple[Signer, ...]) -> Callable[..., bytes]:
    """Answer for the DNS: the public keys under their names."""
    records = {}
    for one in signers:
        if isinstance(one.key, RSAPrivateKey):
            public = one.key.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            kind = b"rsa"
        else:
            public = one.key.public_key().public_bytes(
                serialization.Encoding.Raw, serialization.PublicFormat.Raw
            )
            kind = b"ed25519"
        record = b"v=DKIM1; k=" + kind + b"; p=" + base64.b64encode(public)
        records[f"{one.name}.".encode()] = record
    return lambda name, timeout=5: records[name]


def verifies(content: bytes, *signers: Signer, which: int = 0) -> bool:
    try:
        return bool(dkim.DKIM(content).verify(idx=which, dnsfunc=published(signers)))
    except dkim.ValidationError:
        return False


def message(*kinds: str, reader: Reader = READER) -> bytes:
    compiled = CompiledEdition(
        subject="Häfen; und  mehr",
        preheader="",
        language="en",
        html=build_part("html", ()),
        plain=build_part("plain", ()),
    )
    signers = tuple(signer(kind) for kind in kinds)
    letterhead = replace(LETTERHEAD, dkim=tuple((one.name, one.fingerprint) for one in signers))
    return Addresser(compiled, letterhead, RING, signers=signers).address(reader).content


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_another_implementation_verifies_it(kind: str) -> None:
    content = message(kind)
    assert verifies(content, signer(kind))
    assert sorted(header_names(content)) == sorted([*HEADER_NAMES, "DKIM-Signature"])
    assert content == message(kind), "the same bytes at every attempt"


def test_both_keys_at_once() -> None:
    content = message("rsa", "ed25519")
    both = signer("rsa"), signer("ed25519")
    assert verifies(content, *both, which=0)
    assert verifies(content, *both, which=1)
    assert content.count(b"DKIM-Signature:") == 2


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
@pytest.mark.parametrize("name", sorted({*SIGNED, *OVERSIGNED} - {"Message-ID"}))
def test_a_field_changed_or_added_breaks_it(kind: str, name: str) -> None:
    content = message(kind)
    if name in OVERSIGNED:
        assert not verifies(f"{name}: something else\r\n".encode() + content, signer(kind))
    start = f"\n{name}: ".encode()
    if start in content:
        assert not verifies(content.replace(start, start + b"x", 1), signer(kind))


def test_the_body_cannot_be_added_to() -> None:
    content = message("rsa")
    assert not verifies(content + b"PS\r\n", signer("rsa"))
    assert b" l=" not in content


def test_it_is_folded_and_dated_by_the_edition() -> None:
    content = message("rsa")
    field = re.split(rb"(?<=\r\n)(?![ \t])", content)[0]
    assert all(len(line) <= 78 for line in field.split(b"\r\n"))
    said = re.search(rb"t=(\d+); x=(\d+)", re.sub(rb"\s+", b" ", field))
    assert said is not None
    assert int(said[1]) == int(LETTERHEAD.dated_at.timestamp())
    assert int(said[2]) - int(said[1]) >= timedelta(days=7).total_seconds()


_LINES = st.lists(
    st.text(alphabet=" \tab.=", max_size=8).map(lambda text: text.encode() + b"\r\n"), max_size=8
)


@given(_LINES, st.integers(0, 8))
@example([b"a \r\n", b"\r\n", b"\r\n"], 1)
@example([b"\r\n"], 0)
def test_canonical_by_the_piece_is_canonical_as_a_whole(lines: list[bytes], cut: int) -> None:
    pieces = [b"".join(lines[:cut]), b"".join(lines[cut:])]
    whole = b"".join(lines)
    theirs = dkim.canonicalization.Relaxed.canonicalize_body(whole)
    ours = hash_body([canonical_body(piece) for piece in pieces])
    hashed = dkim.HASH_ALGORITHMS[b"rsa-sha256"](theirs)
    assert ours == hashed.digest()


# -- keys ------------------------------------------------------------------------------------------


def write_key(path: Path, key: object, *, mode: int = 0o600) -> Path:
    private = key.private_bytes(  # type: ignore[attr-defined]  # every private key has it
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private)
    path.chmod(mode)
    return path


def test_keys_are_read_from_their_files(tmp_path: Path) -> None:
    write_key(tmp_path / "rsa.pem", signer("rsa").key)
    write_key(tmp_path / "ed.pem", signer("ed25519").key)
    keys = (
        DkimKey(selector="2026", key_file=Path("rsa.pem")),
        DkimKey(selector="ed", key_file=Path("ed.pem"), domain="mail.news.example"),
    )
    signers = read_signers(keys, root=tmp_path, domain="news.example")
    names = [one.name for one in signers]
    assert names == ["2026._domainkey.news.example", "ed._domainkey.mail.news.example"]
    chosen = [(one.name, one.fingerprint) for one in signers]
    assert choose_signers(signers, chosen[1:]) == signers[1:]
    with pytest.raises(ConfigurationError, match=r"old\._domainkey\.news\.example .* is gone"):
        choose_signers(signers, [("old._domainkey.news.example", signers[0].fingerprint)])
    with pytest.raises(ConfigurationError, match=r"2026\._domainkey\.news\.example .* replaced"):
        choose_signers(signers, [(signers[0].name, signers[1].fingerprint)])


@pytest.mark.parametrize(
    ("make", "mode", "words"),
    [
        (lambda: signer("rsa").key, 0o640, "can be read by others; run `chmod 600"),
        (lambda: rsa.generate_private_key(public_exponent=65537, key_size=1024), 0o600, "1024"),
        (lambda: ec.generate_private_key(ec.SECP256R1()), 0o600, "does not know"),
    ],
)
def test_keys_that_must_not_be_used(
    tmp_path: Path, make: Callable[[], object], mode: int, words: str
) -> None:
    write_key(tmp_path / "key.pem", make(), mode=mode)
    key = DkimKey(selector="s", key_file=Path("key.pem"))
    with pytest.raises(ConfigurationError, match=words) as caught:
        read_signers([key], root=tmp_path, domain="news.example")
    assert "key.pem" in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nx"])
def test_files_that_are_no_keys(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "key.pem").write_bytes(content)
        (tmp_path / "key.pem").chmod(0o600)
    key = DkimKey(selector="s", key_file=Path("key.pem"))
    with pytest.raises(ConfigurationError, match=r"key\.pem, dkim\.key_file: "):
        read_signers([key], root=tmp_path, domain="news.example")
