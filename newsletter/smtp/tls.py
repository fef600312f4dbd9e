"""TLS between the protocol's bytes and the wire's, without I/O (RFC 8446, RFC 3207).

OpenSSL works over two memory buffers here, and the socket stays ours. asyncio's own TLS
transport keeps a buffer that nobody outside can watch: "written" would then no longer mean
that the kernel has the bytes, and that meaning decides whether a message can be in doubt.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path

from newsletter.errors import ConfigurationError

_READ_BYTES = 65536
_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_TOO_OLD = {"UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE", "TLSV1_ALERT_PROTOCOL_VERSION"}


def build_tls_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Build the verifying TLS context for relays: TLS 1.2 at least, chain and name checked."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # an SSLError is one
        why = "it is not in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigurationError(
            f"holds no certificates that can be read ({why})",
            file=ca_file,
            field="delivery.ca_file",
            mend="name a PEM file",
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


class TlsLayer:
    """One TLS session as a client. After each call, `pending` holds bytes for the wire.

    Every method may raise `ssl.SSLError`; the session is over then, though `pending` may
    still hold the alert that says so.
    """

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._from_wire, self._to_wire = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(self._from_wire, self._to_wire, server_hostname=host)
        self.established = False
        """Whether the other side has proved who it is and may be told secrets."""
        self._shake_hands()

    def take(self, data: bytes) -> Iterator[bytes]:
        """Take bytes from the wire; yield what they say, up to what breaks the session."""
        self._from_wire.write(data)
        if not self.established:
            self._shake_hands()
        if self.established:
            # A close_notify needs no answer here: the end of the connection follows it.
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                while said := self._session.read(_READ_BYTES):
                    yield said

    def put(self, data: bytes) -> None:
        """Take what we say."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._session.write(rest) :]

    def end(self) -> None:
        """Say that we say no more: close_notify."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self._session.unwrap()

    def pending(self) -> bytes:
        """Take out what is to be written to the wire."""
        return self._to_wire.read()

    def _shake_hands(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self._session.do_handshake()
            self.established = True


def describe_tls_failure(error: ssl.SSLError) -> tuple[str, str]:
    """Say in words why no TLS session came about, and how an operator mends it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == _EXPIRED:
            return "did not prove who it is (certificate has expired)", "have it renewed there"
        return (
            f"did not prove who it is ({error.verify_message.rstrip('.')})",
            "use the host name of its certificate, or name its authority in delivery.ca_file",
        )
    if error.reason == "WRONG_VERSION_NUMBER":
        return (
            "does not speak TLS here",
            "smtps:// is for a port with TLS from the first byte, smtp:// for one with STARTTLS",
        )
    if error.reason in _TOO_OLD:
        return "has no TLS newer than 1.1", "have TLS 1.2 or 1.3 switched on there"
    return f"could not agree on TLS with us ({error.reason or error})", "mend TLS at the relay"
