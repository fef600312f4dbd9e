"""What proves who somebody is: passwords, codes of an app (RFC 6238), recovery codes.

A password is kept as its Argon2id hash. The secret of the app's codes has to be read again, and
is kept encrypted under the signing key: a copy of the database alone makes no code. Recovery
codes and tokens are random enough that a plain hash gives nothing away.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Callable
from datetime import datetime
from urllib.parse import quote, urlencode

import argon2
import segno
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from newsletter.errors import InputError
from newsletter.mail.tokens import Keyring

PASSWORD_CHARACTERS = (12, 256)
RECOVERY_CODES = 10
STEP_SECONDS = 30
_DIGITS = 6
_STEPS_AROUND = 1  # a clock may be half a minute off, and a person slow (RFC 6238 §5.2)
_SECRET_BYTES = 20  # RFC 4226 §4
_RECOVERY_BYTES = 10
_AT_ONCE = 2
_USE = b"second factor"

_HASHER = argon2.PasswordHasher()  # RFC 9106's second choice: 64 MiB, 3 passes
_ROOM = threading.BoundedSemaphore(_AT_ONCE)
"""Each hash takes 64 MiB and a core for a moment: nobody's guesses may take the whole machine."""


# -- passwords -------------------------------------------------------------------------------------


def check_password(password: str, *, name: str, email: str) -> None:
    """Raise `InputError` for a password that is too easily found."""
    shortest, longest = PASSWORD_CHARACTERS
    if len(password) < shortest:
        raise InputError(f"the password is shorter than {shortest} characters", mend="add words")
    if len(password) > longest:
        raise InputError(f"the password is longer than {longest} characters")
    folded = password.casefold()
    easy = (name, email, email.partition("@")[0], "password", "newsletter", "qwertyuiop", "1234567")
    rest = folded
    for word in easy:
        if len(word) > 3:
            rest = rest.replace(word.casefold(), "")
    if len(set(rest)) < 5:
        raise InputError("the password is easily guessed", mend="take several words")


def hash_password(password: str) -> str:
    """Hash a password with a salt of its own; takes a tenth of a second."""
    with _ROOM:
        return _HASHER.hash(password)


def is_password(password: str, hashed: str) -> bool:
    """Tell whether a password is the hashed one; against "" it takes as long, and is not."""
    with _ROOM:
        try:
            return _HASHER.verify(hashed or _NOBODYS, password) and bool(hashed)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False


_NOBODYS = _HASHER.hash(secrets.token_hex())


# -- codes of an app -------------------------------------------------------------------------------


class Vault:
    """Keeps secrets of second factors, encrypted under the signing keys."""

    def __init__(self, keyring: Keyring) -> None:
        ids = sorted(keyring.ids, key=lambda key_id: key_id != keyring.newest)
        keys = [keyring.derive(key_id, _USE) for key_id in ids]
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])

    def make(self) -> str:
        """Make a new secret, encrypted."""
        return self._fernet.encrypt(secrets.token_bytes(_SECRET_BYTES)).decode()

    def open(self, kept: str) -> bytes | None:
        """Decrypt a secret; None where there is none, or the key that it was kept under is gone."""
        try:
            return self._fernet.decrypt(kept) if kept else None
        except InvalidToken:
            return None


def find_step(secret: bytes, code: str, now: datetime, *, after: int) -> int | None:
    """Find the step of time that a code is of; None for a wrong one, or one taken before. Pure.

    `after` is the last step whose code was taken: each is good once (RFC 6238 §5.2).
    """
    typed = re.sub(r"[\s-]", "", code)
    current = int(now.timestamp()) // STEP_SECONDS
    fitting = [
        step
        for step in range(current - _STEPS_AROUND, current + _STEPS_AROUND + 1)
        if hmac.compare_digest(make_code(secret, step).encode(), typed.encode())
    ]
    return next((step for step in fitting if step > after), None)


def make_code(secret: bytes, step: int, digest: Callable[..., object] = hashlib.sha1) -> str:
    """Make the code of a step of time (RFC 4226 §5.3). Pure."""
    mac = hmac.new(secret, step.to_bytes(8), digest).digest()  # type: ignore[arg-type]
    offset = mac[-1] & 0xF
    number = int.from_bytes(mac[offset : offset + 4]) & 0x7FFFFFFF
    return f"{number % 10**_DIGITS:0{_DIGITS}}"


def build_address(secret: bytes, *, issuer: str, email: str) -> str:
    """Build the otpauth: address that an app reads from the picture."""
    query = urlencode({"secret": show_secret(secret), "issuer": issuer}, quote_via=quote)
    return f"otpauth://totp/{quote(issuer)}:{quote(email)}?{query}"


def show_secret(secret: bytes) -> str:
    """Show a secret as apps take it by hand."""
    return base64.b32encode(secret).decode().rstrip("=")


def draw(address: str) -> str:
    """Draw an address as a QR code: an SVG to stand within a page, dark on light for any lens."""
    code = segno.make(address, error="m", micro=False)
    return str(code.svg_inline(scale=5, border=4, light="#fff", dark="#000", omitsize=True))


# -- what is random ----------------------------------------------------------------------------


def make_token() -> str:
    """Make what nobody guesses: 256 bits."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """Name a token without giving it away."""
    return hashlib.sha256(token.encode()).hexdigest()


def make_recovery_codes() -> tuple[str, ...]:
    """Make codes of 80 bits each, in four groups of letters and digits."""
    texts = (
        base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower()
        for _ in range(RECOVERY_CODES)
    )
    return tuple("-".join(re.findall("....", text)) for text in texts)


def hash_recovery_code(code: str) -> str:
    """Name a recovery code as it was typed, with or without hyphens."""
    return hash_token(re.sub(r"[\s-]", "", code).lower())
