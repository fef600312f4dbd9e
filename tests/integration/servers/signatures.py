"""DKIM keys of a publication, and two others' programs to judge what they signed."""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tests.integration.servers.daemon import find_program

DOMAIN = "news.example"
ALL_PASS = {"rsa-sha256": "pass", "ed25519-sha256": "pass"}
ALL_FAIL = dict.fromkeys(ALL_PASS, "fail")


@cache
def _keys() -> Mapping[str, RSAPrivateKey | Ed25519PrivateKey]:
    return {
        "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ed25519": Ed25519PrivateKey.generate(),
    }


def write_keys(folder: Path) -> str:
    """Write the private keys into a publication's folder; give the settings that name them."""
    tables = []
    for selector, key in _keys().items():
        file = folder / f"{selector}.pem"
        file.touch(mode=0o600)
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        tables.append(f'[[dkim]]\nselector = "{selector}"\nkey_file = "{file.name}"\n')
    return "".join(tables)


@cache
def dns_records() -> Mapping[str, str]:
    """What the DNS holds about the keys."""
    records = {}
    for selector, key in _keys().items():
        if isinstance(key, RSAPrivateKey):
            public = key.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        else:
            public = key.public_key().public_bytes_raw()
        text = f"v=DKIM1; k={selector}; p={base64.b64encode(public).decode()}"
        records[f"{selector}._domainkey.{DOMAIN}"] = text
    return records


def ask_dkimpy(content: bytes) -> dict[str, str]:
    """Judge each signature of a message: "pass" or "fail" by algorithm."""
    verdicts = {}
    for number in range(content.count(b"\nDKIM-Signature:") + content.startswith(b"DKIM-S")):
        message = dkim.DKIM(content)
        try:
            good = message.verify(number, dnsfunc=_look_up)
        except dkim.ValidationError:
            good = False
        algorithm = message.signature_fields[b"a"].decode()
        verdicts[algorithm] = "pass" if good else "fail"
    return verdicts


def _look_up(name: bytes, timeout: float = 5) -> bytes:
    return dns_records()[name.decode().rstrip(".")].encode()


def ask_opendkim(messages: Sequence[bytes], folder: Path) -> list[dict[str, str]]:
    """Judge each signature of each message, as the filter that a server would ask.

    Its test mode reads files, and tells what it would write into Authentication-Results.
    """
    program = find_program("opendkim")
    keys, config = folder / "opendkim.keys", folder / "opendkim.conf"
    keys.write_text("".join(f"{name} {text}\n" for name, text in dns_records().items()))
    config.write_text(f"Mode v\nTestPublicKeys {keys}\n")
    files = [folder / f"{number}.eml" for number in range(len(messages))]
    for file, message in zip(files, messages, strict=True):
        file.write_bytes(message)
    command = [program, "-x", str(config), "-vv", "-t", ",".join(map(str, files))]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    results = re.findall(r"hname='Authentication-Results' hvalue='([^']*)'", ran.stdout)
    assert len(results) == len(files), ran.stdout + ran.stderr
    verdicts = r"dkim=(\w+).*?header\.a=([\w-]+)"
    return [
        {algorithm: verdict for verdict, algorithm in re.findall(verdicts, result, re.DOTALL)}
        for result in results
    ]
