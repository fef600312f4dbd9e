"""What a browser is asked to have a passkey sign, and whether what comes back is that (WebAuthn).

A challenge says when it was made, and carries a MAC over that, over what it is for and over the
token of the forms of the browser that asked. So nothing is kept of those that were only asked for,
whoever asks and however often; what was signed is kept (`passkeys.take`) and is good once.

Taken is what WebAuthn Level 3 asks in 7.1 and 7.2: our challenge, our origin, our name (RP ID), a
person who was there and whom their device has verified (by a finger, a face, a PIN), a signature
by the key, and the handle that the key was made for. That is why one passkey counts as both
factors. Three things the library leaves to its caller, or does in another order, are done here:

- it judges the counter before the signature, so that anybody could make a passkey look copied: it
  is told of no counter, and `passkeys.take` judges the one that was signed;
- it neither compares the user handle nor looks at `crossOrigin`;
- it keeps a public key that nothing can be verified with; here that is tried first.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from webauthn import (
    base64url_to_bytes,
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import (
    bytes_to_base64url,
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    parse_authentication_credential_json,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticationCredential,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from newsletter.errors import InputError
from newsletter.mail.tokens import Keyring
from newsletter.web.console.passkeys import Made, Signed

Use = Literal["log in", "add"]

GOOD_FOR = timedelta(minutes=5)
"""How long a person may take over what they are asked."""
_SKEW = timedelta(minutes=1)
_MOMENT_BYTES, _RANDOM_BYTES = 8, 16
_MAX_ID_BYTES = 1023  # WebAuthn 7.1
_REQUIRED = UserVerificationRequirement.REQUIRED
_ODD = (
    *(WebAuthnException, UnsupportedAlgorithm, ArithmeticError, AttributeError, LookupError),
    *(RecursionError, TypeError, ValueError),
)
"""What the library raises over what is no answer of a browser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a browser sees the console, as passkeys are bound to it."""

    origin: str
    name: str
    """The name of the host (RP ID)."""
    fault: str
    """Why there are no passkeys here, in a sentence; "" where there are."""


def find_site(origin: str) -> Site:
    """Find what passkeys of an origin are bound to. Pure."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    try:
        is_here = ip_address(host).is_loopback
    except ValueError:
        return Site(origin=origin, name=host, fault="")
    port = f":{parts.port}" if parts.port else ""
    instead = f"{parts.scheme}://localhost{port}" if is_here else "the console by its name"
    fault = f"A passkey is bound to a name, and {host} is an address: open {instead} to use one."
    return Site(origin=origin, name=host, fault=fault)


# -- asking ----------------------------------------------------------------------------------------


def make_challenge(keyring: Keyring, use: Use, browser: str, now: datetime) -> bytes:
    """Make what is to be signed; `browser` is the token of its forms."""
    moment = int(now.timestamp() * 1_000_000).to_bytes(_MOMENT_BYTES)
    said = moment + secrets.token_bytes(_RANDOM_BYTES)
    return said + _sign(keyring, keyring.newest, use, browser, said)


def ask_to_log_in(site: Site, challenge: bytes) -> str:
    """Write what a browser is asked for to log in, as JSON: any passkey that it has for us."""
    return options_to_json(
        generate_authentication_options(
            rp_id=site.name, challenge=challenge, timeout=_MILLISECONDS, user_verification=_REQUIRED
        )
    )


def ask_to_make(
    site: Site,
    challenge: bytes,
    *,
    publication: str,
    name: str,
    email: str,
    handle: str,
    known: Sequence[str],
) -> str:
    """Write what a browser is asked for to make a passkey, as JSON.

    `handle` is what it will know the person by; `known` are the ids of their other passkeys.
    """
    return options_to_json(
        generate_registration_options(
            rp_id=site.name,
            rp_name=publication,
            user_id=base64url_to_bytes(handle),
            user_name=email,
            user_display_name=name,
            challenge=challenge,
            timeout=_MILLISECONDS,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=_REQUIRED
            ),
            exclude_credentials=[
                PublicKeyCredentialDescriptor(id=base64url_to_bytes(each)) for each in known
            ],
        )
    )


_MILLISECONDS = int(GOOD_FOR.total_seconds() * 1000)


# -- reading what comes back -----------------------------------------------------------------------


def read_answer(text: str) -> AuthenticationCredential:
    """Read what a browser answers to `ask_to_log_in`; raises `InputError`."""
    with _refusing():
        answer = parse_authentication_credential_json(text)
    if bytes_to_base64url(answer.raw_id) != answer.id:
        raise InputError("the passkey has two ids")
    return answer


def check_signed(
    answer: AuthenticationCredential,
    *,
    public_key: bytes,
    handle: str,
    site: Site,
    keyring: Keyring,
    browser: str,
    now: datetime,
) -> Signed:
    """Check that a passkey signed what this browser was asked; raises `InputError`.

    `public_key` and `handle` are those that are kept of the passkey with the answer's id.
    """
    challenge = _check_asked(answer.response.client_data_json, keyring, "log in", browser, now)
    said = bytes_to_base64url(answer.response.user_handle or b"")
    if not handle or not hmac.compare_digest(said.encode(), handle.encode()):
        raise InputError("the passkey is of somebody else")
    with _refusing():
        verified = verify_authentication_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=site.name,
            expected_origin=site.origin,
            credential_public_key=public_key,
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    return Signed(counter=verified.new_sign_count, challenge=challenge)


def check_made(text: str, *, site: Site, keyring: Keyring, browser: str, now: datetime) -> Made:
    """Check that a browser made a passkey as it was asked to; raises `InputError`."""
    with _refusing():
        answer = parse_registration_credential_json(text)
    challenge = _check_asked(answer.response.client_data_json, keyring, "add", browser, now)
    with _refusing():
        verified = verify_registration_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=site.name,
            expected_origin=site.origin,
            require_user_verification=True,
        )
        key = verified.credential_public_key
        decoded_public_key_to_cryptography(decode_credential_public_key(key))
    if len(verified.credential_id) > _MAX_ID_BYTES:
        raise InputError("the passkey's id is too long")
    return Made(
        credential_id=bytes_to_base64url(verified.credential_id),
        public_key=key,
        counter=verified.sign_count,
        challenge=challenge,
    )


def _check_asked(
    client_data: bytes, keyring: Keyring, use: Use, browser: str, now: datetime
) -> bytes:
    """Give the challenge of what a browser says, if we asked this browser that just now."""
    with _refusing():
        told = parse_client_data_json(client_data)
    if told.cross_origin:
        raise InputError("the passkey was asked for within another site's page")
    said, mac = told.challenge[:-_MAC_BYTES], told.challenge[-_MAC_BYTES:]
    is_ours = len(said) == _MOMENT_BYTES + _RANDOM_BYTES and any(
        hmac.compare_digest(_sign(keyring, key_id, use, browser, said), mac)
        for key_id in keyring.ids
    )
    if not is_ours:
        raise InputError("this browser was not asked that", mend="load the page again")
    moment = int.from_bytes(said[:_MOMENT_BYTES]) / 1_000_000
    if not -_SKEW <= now - datetime.fromtimestamp(moment, UTC) < GOOD_FOR:
        raise InputError("that took too long", mend="do it once more")
    return told.challenge


_MAC_BYTES = hashlib.sha256().digest_size


def _sign(keyring: Keyring, key_id: bytes, use: Use, browser: str, said: bytes) -> bytes:
    key = keyring.derive(key_id, b"passkey challenge")
    return hmac.digest(key, f"{use}\n{browser}\n".encode() + said, hashlib.sha256)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except _ODD as error:
        raise InputError("what came of the passkey is not in order") from error
