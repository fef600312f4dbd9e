"""A provider of OpenID Connect: a process of its own, with RSA keys of its own.

It asks nobody for a password: whoever is sent to it is the person that it was told of last. Of
the client it asks all that OAuth 2.0 does: its secret, the exact place to send people back to, a
code used once, and PKCE with S256. What it signs can be made wrong on purpose, at /control.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import httpx2
from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT = "console"
SECRET = "a secret: with %, + and /"


def pack(*parts: dict[str, Any]) -> str:
    """Write a token's header and claims."""
    packed = (base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts)
    return ".".join(part.rstrip(b"=").decode() for part in packed)


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def provider(self) -> Serving:
        return cast("Serving", self.server)

    def log_message(self, *_: Any) -> None:
        pass

    def tell(self, status: int, document: Any, **headers: str) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        own = self.provider
        match parts.path:
            case "/.well-known/openid-configuration":
                self.tell(200, own.describe())
            case "/jwks":
                self.tell(200, {"keys": [own.key.as_dict(private=False)]})
            case "/authorize":
                right = {"response_type": "code", "client_id": CLIENT}
                if not right.items() <= asked.items() or asked["code_challenge_method"] != "S256":
                    self.tell(400, {"error": "invalid_request"})
                    return
                code = secrets.token_urlsafe()
                own.codes[code] = asked
                back = urlencode({"code": code, "state": asked["state"], **own.extra})
                self.tell(302, {}, Location=f"{asked['redirect_uri']}?{back}")
            case _:
                self.tell(404, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path == "/control":
            self.provider.change(json.loads(body))
            self.tell(200, {})
            return
        form = {name: values[0] for name, values in parse_qs(body).items()}
        asked = self.provider.codes.pop(form.get("code", ""), None)
        given = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
        client, _, secret = given.partition(":")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (unquote(client), unquote(secret)) != (CLIENT, SECRET):
            self.tell(401, {"error": "invalid_client"})
        elif (
            asked is None
            or asked["redirect_uri"] != form["redirect_uri"]
            or asked["code_challenge"] != challenge
        ):
            self.tell(400, {"error": "invalid_grant"})
        else:
            self.tell(200, {"access_token": "a", "id_token": self.provider.sign(asked["nonce"])})


class Serving(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self.codes: dict[str, dict[str, str]] = {}
        self.number = 0
        self.key = self.make_key()
        self.claims: dict[str, Any] = {}
        self.extra: dict[str, str] = {}
        self.said: dict[str, Any] = {}
        self.how = "right"

    def make_key(self) -> RSAKey:
        self.number += 1
        return RSAKey.generate_key(2048, {"kid": f"key-{self.number}", "use": "sig"})

    def describe(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
        } | self.said

    def change(self, wanted: dict[str, Any]) -> None:
        self.claims = wanted.get("claims", {})
        self.extra = wanted.get("extra", {})
        self.said = wanted.get("said", {})
        self.how = wanted.get("how", "right")
        if wanted.get("rotate"):
            self.key = self.make_key()

    def sign(self, nonce: str) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "1",
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            "email_verified": True,
        } | self.claims
        if self.how == "with a key of nobody":
            key = RSAKey.generate_key(2048, {"kid": f"key-{self.number}"})
            return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, key)
        if self.how == "with the public key as a secret":  # joserfc would not: by hand
            said = pack({"alg": "HS256", "kid": self.key.kid}, claims)
            shared = self.key.as_pem(private=False)
            digest = hmac.digest(shared, said.encode(), hashlib.sha256)
            return f"{said}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
        if self.how == "not at all":
            return pack({"alg": "none", "kid": self.key.kid}, claims) + "."
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key)


@dataclass(frozen=True)
class Provider:
    """The process, as a test sees it."""

    issuer: str
    web: httpx2.Client

    def is_asked_by(self, email: str, **wanted: Any) -> None:
        """Have whoever comes next be the owner of an address; the rest as `Serving.change`."""
        claims = {"email": email, **wanted.pop("claims", {})}
        self.web.post("/control", json={"claims": claims, **wanted}).raise_for_status()

    def send_back(self, location: str) -> str:
        """Follow a browser there; give where it is sent back to."""
        assert location.startswith(f"{self.issuer}/authorize?"), location
        answer = self.web.get(location)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]


@contextmanager
def providing() -> Iterator[Provider]:
    command = [sys.executable, "-m", "tests.integration.console.provider"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        issuer = process.stdout.readline().strip()
        try:
            with httpx2.Client(base_url=issuer, trust_env=False, timeout=60) as web:
                yield Provider(issuer, web)
        finally:
            process.terminate()


if __name__ == "__main__":
    with Serving() as serving:
        sys.stdout.write(f"{serving.issuer}\n")
        sys.stdout.flush()
        serving.serve_forever()
