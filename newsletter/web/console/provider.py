"""What a provider of OpenID Connect says of whom it sent back: one code flow, with every check.

A browser is given a random token in a cookie. What goes to the provider is derived from it: the
state, by which it is known again; the nonce, which comes back inside what the provider signs;
and the verifier of PKCE, which only we can show. So nobody else's answer is of use to a browser,
and nobody else can use its own.

Taken is what OpenID Connect Core 1.0 asks in 3.1.3.7, and no less: a signature by one of the
provider's keys, in one of a few algorithms with public keys (never one with a shared secret,
never none); its own issuer and our client as the audience, and as the party where one is named;
not expired, made just now; the nonce; and an address that the provider has verified.

joserfc reads keys and signatures. Authlib's own clients stand on other HTTP libraries than ours,
and keep what they remember in a cookie that can be replayed; the flow is short enough to be read.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import httpx2
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from newsletter.errors import InputError, TemporaryError
from newsletter.settings.console import Oidc, is_safe_address

_ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519")
_KEY_KINDS = ("RSA", "EC", "OKP")
_TIMEOUT_SECONDS = 10.0
_MAX_BYTES = 1_000_000
_KEPT_FOR = timedelta(hours=1)
_KEYS_AGAIN = timedelta(seconds=10)
"""A key that is not known makes us look again, but not for everybody's every try."""
_SKEW_SECONDS = 60
_OLDEST_SECONDS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Whom a provider vouches for."""

    identity: str
    """The provider, and what it knows them by: for ever theirs, as an address is not."""
    email: str
    """Verified by the provider."""
    claims: Mapping[str, Any]

    def list_values(self, claim: str) -> tuple[str, ...]:
        """List the values of a claim, which may be one or several."""
        said = self.claims.get(claim)
        values = said if isinstance(said, list) else [said]
        return tuple(value for value in values if isinstance(value, str))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What a provider says of itself."""

    document: Mapping[str, Any]
    keys: KeySet
    read_at: datetime


def derive(token: str, use: str) -> str:
    """Derive what goes to the provider, for one use, from the token of a browser. Pure."""
    digest = hmac.digest(token.encode(), f"sign-on {use}".encode(), hashlib.sha256)
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


class Provider:
    """A provider, as the settings name it; what it says of itself is kept for an hour."""

    def __init__(self, settings: Oidc) -> None:
        self._settings = settings
        self._known: _Known | None = None
        self._lock = threading.Lock()

    def build_address(self, token: str, redirect: str, now: datetime) -> str:
        """Build where a browser is sent. Raises `TemporaryError` without the provider."""
        challenge = hashlib.sha256(derive(token, "verifier").encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": redirect,
            "scope": "openid email profile",
            "state": derive(token, "state"),
            "nonce": derive(token, "nonce"),
            "code_challenge": urlsafe_b64encode(challenge).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        address = str(self._know(now).document["authorization_endpoint"])
        return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}"

    def read_answer(
        self, token: str, answer: Mapping[str, str], redirect: str, now: datetime
    ) -> Person:
        """Read whom the provider sent back to `redirect`, with what is in the address.

        Raises `InputError` where it is anything but its word about this browser's sign-on, and
        `TemporaryError` without the provider.
        """
        state = answer.get("state", "")
        if not hmac.compare_digest(derive(token, "state").encode(), state.encode()):
            raise InputError("the answer is not of this browser's sign-on")
        if answer.get("iss", self._settings.issuer) != self._settings.issuer:  # RFC 9207
            raise InputError("another provider answered")
        if "code" not in answer:
            raise InputError(f"the provider refused ({answer.get('error', 'without a word')[:60]})")
        document = self._know(now).document
        id_token = self._fetch_token(document, answer["code"], derive(token, "verifier"), redirect)
        claims = self._open(id_token, now)
        check_claims(claims, self._settings, derive(token, "nonce"), now)
        return Person(
            identity=f"{self._settings.issuer} {claims['sub']}",
            email=claims["email"],
            claims=claims,
        )

    def _fetch_token(
        self, document: Mapping[str, Any], code: str, verifier: str, redirect: str
    ) -> str:
        client, secret = self._settings.client_id, self._settings.client_secret.get_secret_value()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": verifier,
        }
        headers = {}
        ways = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if "client_secret_basic" in ways:
            pair = f"{quote(client, safe='')}:{quote(secret, safe='')}"  # RFC 6749, 2.3.1
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": client, "client_secret": secret}
        answer = _ask("POST", str(document["token_endpoint"]), form=form, headers=headers)
        id_token = answer.get("id_token")
        if not isinstance(id_token, str):
            raise InputError("the provider gave no ID token for its code")
        return id_token

    def _open(self, id_token: str, now: datetime) -> dict[str, Any]:
        """Read what a token says, if one of the provider's keys signed it."""
        known = self._know(now)
        try:
            return dict(jwt.decode(id_token, known.keys, _ALGORITHMS).claims)
        except (JoseError, ValueError) as error:
            if now - known.read_at < _KEYS_AGAIN:
                raise InputError("the provider's signature is wrong") from error
        known = self._know(now, anew=True)  # it may have changed its keys
        try:
            return dict(jwt.decode(id_token, known.keys, _ALGORITHMS).claims)
        except (JoseError, ValueError) as error:
            raise InputError("the provider's signature is wrong") from error

    def _know(self, now: datetime, *, anew: bool = False) -> _Known:
        with self._lock:
            known = self._known
            if known is None or anew or now - known.read_at >= _KEPT_FOR:
                known = self._known = self._read(now)
            return known

    def _read(self, now: datetime) -> _Known:
        issuer = self._settings.issuer
        document = _ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if document.get("issuer") != issuer:
            raise InputError("the provider names itself otherwise than console.oidc.issuer")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not is_safe_address(str(document.get(name, ""))):
                raise InputError(f"the provider's {name} is not an address of https")
        told = _ask("GET", str(document["jwks_uri"])).get("keys")
        keys = [
            key
            for key in (told if isinstance(told, list) else [])
            if isinstance(key, dict)
            and key.get("kty") in _KEY_KINDS
            and key.get("use", "sig") == "sig"
        ]
        try:
            return _Known(
                document=document,
                keys=KeySet.import_key_set({"keys": keys}),
                read_at=now,
            )
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise InputError("the provider's keys cannot be read") from error


def check_claims(claims: Mapping[str, Any], settings: Oidc, nonce: str, now: datetime) -> None:
    """Check what a signed token says; raises `InputError` with the first thing wrong. Pure."""
    moment = now.timestamp()
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    times = {name: _read_time(claims.get(name)) for name in ("exp", "iat", "nbf")}
    subject, email = claims.get("sub"), claims.get("email")
    if claims.get("iss") != settings.issuer:
        raise InputError("the token is of another issuer")
    if settings.client_id not in audiences:
        raise InputError("the token is for another audience")
    if claims.get("azp", settings.client_id) != settings.client_id:
        raise InputError("the token is for another party")
    if len(audiences) > 1 and "azp" not in claims:
        raise InputError("the token is for several, and names no party")
    if times["exp"] is None or moment >= times["exp"] + _SKEW_SECONDS:
        raise InputError("the token has expired")
    if times["iat"] is None or not -_SKEW_SECONDS <= moment - times["iat"] <= _OLDEST_SECONDS:
        raise InputError("the token was not made just now")
    if "nbf" in claims and (times["nbf"] is None or moment < times["nbf"] - _SKEW_SECONDS):
        raise InputError("the token is not good yet")
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise InputError("the token is of another sign-on")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise InputError("the token is of nobody")
    if not isinstance(email, str) or claims.get("email_verified") is not True:
        raise InputError("the provider has not verified an address")
    domain = email.rpartition("@")[2].lower()
    if settings.allowed_domains and domain not in settings.allowed_domains:
        raise InputError("addresses of this domain are not let in")


def _read_time(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None  # type: ignore[arg-type]


def _ask(
    method: str,
    address: str,
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Ask the provider for a JSON object. It is the operator's word where that is."""
    sent = {"Accept": "application/json", **(headers or {})}
    try:
        with httpx2.Client(trust_env=False, timeout=_TIMEOUT_SECONDS) as web:
            answer = web.request(method, address, data=form, headers=sent)
    except httpx2.HTTPError as error:
        raise TemporaryError(
            "the provider of the sign-on cannot be reached", mend="try again in a while"
        ) from error
    if answer.status_code >= 500:
        raise TemporaryError(
            f"the provider of the sign-on answers {answer.status_code}",
            mend="try again in a while",
        )
    if answer.status_code != 200 or len(answer.content) > _MAX_BYTES:
        raise InputError(f"the provider refused ({answer.status_code})")
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise InputError("the provider's answer cannot be read")
    return document
