"""A relay that plays a script: real sockets, real TLS, polite unless told otherwise.

    with ScriptedRelay({"RCPT": ["450 4.2.0 later"], ".": (wait(0.2), drop)}) as relay:
        ...                          # relay.url; one thread a connection
    assert relay.accepted == []      # complete once the block has ended

The script maps a verb ("connect" for the greeting, "." for the final dot) to what is played
instead of the polite answer: a reply, raw bytes, a function of the `Peer`, or a tuple of
these in order. A list is played through once, an entry for each time the verb comes, over
all connections, and then the relay is polite again. What the relay does next follows from
the first reply that was really sent: it reads content after a 354, starts TLS after a 220.
BDAT is answered when its octets have been read; what "octets" maps to is played before that.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HOST = "127.0.0.1"
_OFFERS = ("SIZE 50000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
_GRACE_SECONDS = 2


class Gone(Exception):
    """This connection is over."""


class Peer:
    """The relay's end of one connection."""

    def __init__(self, sock: socket.socket, closing: threading.Event) -> None:
        self.sock = sock
        self.closing = closing
        self._unread = bytearray()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read_line(self) -> bytes:
        while (end := self._unread.find(b"\n")) < 0:
            self._receive()
        line = bytes(self._unread[: end + 1])
        del self._unread[: end + 1]
        return line

    def read_bytes(self, count: int) -> bytes:
        while len(self._unread) < count:
            self._receive()
        data = bytes(self._unread[:count])
        del self._unread[:count]
        return data

    def start_tls(self, context: ssl.SSLContext) -> None:
        self.sock = context.wrap_socket(self.sock, server_side=True)

    def _receive(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise Gone
        self._unread += data


Step = str | bytes | Callable[[Peer], object]
Play = Step | tuple[Step, ...]
Script = Mapping[str, Play | list[Play]]


def wait(seconds: float) -> Step:
    return lambda peer: peer.closing.wait(seconds)


def drip(data: bytes, every_seconds: float) -> Step:
    """Send one byte at a time."""

    def play(peer: Peer) -> None:
        for byte in data:
            peer.send(bytes([byte]))
            if peer.closing.wait(every_seconds):
                raise Gone

    return play


def read(count: int) -> Step:
    """Take in so many bytes of what the client says next, and forget them."""
    return lambda peer: peer.read_bytes(count)


def drop(peer: Peer) -> None:
    """Close."""
    with contextlib.suppress(OSError):
        peer.sock.shutdown(socket.SHUT_RDWR)
    raise Gone


def reset(peer: Peer) -> None:
    """Close with an RST."""
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise Gone


def half_close(peer: Peer) -> None:
    """Say no more, but go on reading."""
    peer.sock.shutdown(socket.SHUT_WR)


def silence(peer: Peer) -> None:
    """Neither read nor write from here on; the window closes when the buffers are full."""
    peer.closing.wait()
    raise Gone


@dataclass(slots=True, kw_only=True)
class Taken:
    """A message whose final dot the relay has read, dots unstuffed."""

    sender: str
    recipient: str
    content: bytes
    accepted: bool = False


@dataclass(slots=True, kw_only=True)
class Session:
    """What one connection saw."""

    commands: list[str] = field(default_factory=list)
    messages: list[Taken] = field(default_factory=list)
    truncated: bytes | None = None
    """Content that came without its final dot."""
    secured: bool = False
    logged_in: bool = False

    @property
    def verbs(self) -> list[str]:
        return [command.partition(" ")[0] for command in self.commands]


async def until(happens: Callable[[], bool]) -> None:
    """Wait for what comes in a moment, and on a busy machine in several."""
    async with asyncio.timeout(30):
        while not happens():  # noqa: ASYNC110 - there is no event: the other side does it
            await asyncio.sleep(0.005)


class ScriptedRelay:
    def __init__(
        self,
        script: Script | None = None,
        *,
        offers: Sequence[str] = _OFFERS,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        login: tuple[str, str] | None = None,
        mechanisms: str = "PLAIN LOGIN XOAUTH2 OAUTHBEARER",
        lmtp: bool = False,
        path: Path | None = None,
        receive_buffer_bytes: int = 0,
    ) -> None:
        """Listen on loopback, or on a socket at `path`; `login` is a user and its password."""
        self.sessions: list[Session] = []
        self._script = {
            verb: list(play) if isinstance(play, list) else play
            for verb, play in (script or {}).items()
        }
        self._offers, self._tls, self._implicit = tuple(offers), tls, implicit
        self._login, self._mechanisms = login, mechanisms
        self._lmtp, self._path = lmtp, path
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._peers: list[tuple[Peer, threading.Thread]] = []
        family = socket.AF_INET if path is None else socket.AF_UNIX
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer_bytes:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self._listener.bind((HOST, 0) if path is None else str(path))
        self._listener.listen(128)
        self.port: int = self._listener.getsockname()[1] if path is None else 0
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        if self._path is not None:
            return f"lmtp://{self._path}"
        user = f"{self._login[0].replace('@', '%40')}@" if self._login else ""
        if self._implicit:
            return f"smtps://{user}{HOST}:{self.port}"
        scheme = "lmtp" if self._lmtp else "smtp"
        tls = "starttls" if self._tls else "none"
        return f"{scheme}://{user}{HOST}:{self.port}?tls={tls}"

    @property
    def accepted(self) -> list[Taken]:
        """Every message whose final dot was answered with 2yz."""
        return [taken for taken in self.dotted if taken.accepted]

    @property
    def dotted(self) -> list[Taken]:
        """Every message whose final dot was read, whatever was answered."""
        return [taken for session in self.sessions for taken in session.messages]

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the acceptor
        self._acceptor.join()
        self._listener.close()
        for peer, thread in self._peers:
            thread.join(_GRACE_SECONDS)  # what a client has sent is read to its end
            with contextlib.suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
            thread.join()

    # -- in the threads ------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            peer, session = Peer(sock, self._closing), Session()
            self.sessions.append(session)
            thread = threading.Thread(target=self._run, args=(peer, session), daemon=True)
            self._peers.append((peer, thread))
            thread.start()

    def _run(self, peer: Peer, session: Session) -> None:
        with contextlib.suppress(Gone, OSError):  # an SSLError is one
            if self._implicit and self._tls:
                peer.start_tls(self._tls)
                session.secured = True
            self._play(peer, "connect", "220 relay.example ready")
            self._converse(peer, session)
        peer.sock.close()

    def _converse(self, peer: Peer, session: Session) -> None:
        sender = recipient = ""
        agreed = {"MAIL": False, "RCPT": False}
        chunks = bytearray()
        while True:
            line = peer.read_line().rstrip(b"\r\n").decode("latin-1")
            session.commands.append(line)
            verb = line.partition(" ")[0].upper()
            match verb:
                case "EHLO" | "LHLO":
                    self._play(peer, verb, self._hello(session))
                case "STARTTLS":
                    if self._play(peer, verb, "220 2.0.0 go ahead") == 220 and self._tls:
                        peer.start_tls(self._tls)
                        session.secured = True
                case "AUTH":
                    self._play(peer, verb, partial(self._authenticate, session, line))
                case "MAIL":
                    nested = agreed["MAIL"]
                    polite = "503 5.5.1 nested MAIL" if nested else "250 2.1.0 ok"
                    if 200 <= self._play(peer, verb, polite) < 300:
                        sender, agreed["MAIL"] = _path(line), True
                case "RCPT":
                    if 200 <= self._play(peer, verb, "250 2.1.5 ok") < 300:
                        recipient, agreed["RCPT"] = _path(line), True
                case "BDAT":
                    self._play(peer, "octets", ())
                    self._read_chunk(peer, session, chunks, int(line.split()[1]))
                    if not line.endswith(" LAST"):
                        self._play(peer, verb, "250 2.0.0 more")
                        continue
                    wanted = all(agreed.values())
                    polite = "250 2.0.0 queued" if wanted else "503 5.5.1 no recipient"
                    taken = Taken(sender=sender, recipient=recipient, content=bytes(chunks))
                    chunks.clear()
                    if wanted:
                        session.messages.append(taken)
                    taken.accepted = 200 <= self._play(peer, verb, polite) < 300
                    if taken.accepted:
                        agreed = dict.fromkeys(agreed, False)
                case "DATA":
                    if self._play(peer, verb, "354 go ahead") == 354:
                        content = self._read_content(peer, session)
                        taken = Taken(sender=sender, recipient=recipient, content=content)
                        session.messages.append(taken)
                        code = self._play(peer, ".", "250 2.0.0 queued")
                        taken.accepted = 200 <= code < 300
                        agreed = dict.fromkeys(agreed, False)
                case "QUIT":
                    self._play(peer, verb, ("221 2.0.0 bye", drop))
                case "RSET":
                    if 200 <= self._play(peer, verb, "250 2.0.0 ok") < 300:
                        agreed = dict.fromkeys(agreed, False)
                case "HELO" | "NOOP":
                    self._play(peer, verb, "250 2.0.0 ok")
                case _:
                    self._play(peer, verb, "500 5.5.1 no such command")

    def _play(self, peer: Peer, verb: str, polite: Play) -> int:
        """Play what the script says; give the code of the first reply, 0 if there was none."""
        with self._lock:
            play = self._script.get(verb, polite)
            if isinstance(play, list):
                play = play.pop(0) if play else polite
        code = 0
        for step in play if isinstance(play, tuple) else (play,):
            data = f"{step}\r\n".encode() if isinstance(step, str) else step
            if isinstance(data, bytes):
                code = code or int(data[:3] if data[:3].isdigit() else 0)
                peer.send(data)
            else:
                data(peer)
        return code

    def _hello(self, session: Session) -> bytes:
        offers = ["relay.example", *self._offers]
        if self._tls and not session.secured:
            offers.append("STARTTLS")
        elif self._login:
            offers.append(f"AUTH {self._mechanisms}")
        lines = [f"250-{line}\r\n" for line in offers[:-1]] + [f"250 {offers[-1]}\r\n"]
        return "".join(lines).encode()

    def _authenticate(self, session: Session, line: str, peer: Peer) -> None:
        _, _, rest = line.partition(" ")
        mechanism, _, initial = rest.partition(" ")
        if mechanism in ("XOAUTH2", "OAUTHBEARER"):
            said = self._read_token(peer, mechanism, initial)
        elif mechanism == "PLAIN":
            said = base64.b64decode(initial).decode().split("\0")[1:]
        else:
            said = []
            for prompt in (b"Username:", b"Password:"):
                peer.send(b"334 " + base64.b64encode(prompt) + b"\r\n")
                said.append(base64.b64decode(peer.read_line()).decode())
        session.logged_in = self._login is not None and tuple(said) == self._login
        if mechanism in ("XOAUTH2", "OAUTHBEARER") and not session.logged_in:
            peer.send(b"334 " + base64.b64encode(b'{"status":"401"}') + b"\r\n")
            farewell = b"" if mechanism == "XOAUTH2" else b"AQ=="
            assert peer.read_line() == farewell + b"\r\n"
        peer.send(b"235 2.7.0 welcome\r\n" if session.logged_in else b"535 5.7.8 no\r\n")

    def _read_token(self, peer: Peer, mechanism: str, initial: str) -> list[str]:
        """Read a user and an access token (RFC 7628 for OAUTHBEARER)."""
        if not initial:
            peer.send(b"334 \r\n")
            initial = peer.read_line().decode()
        response = base64.b64decode(initial).decode()
        fields = dict(part.split("=", 1) for part in response.split("\x01") if "=" in part)
        assert response.endswith("\x01\x01")
        if mechanism == "OAUTHBEARER":
            assert (fields["host"], fields["port"]) == (HOST, str(self.port))
            user = fields["n,a"].removesuffix(",").replace("=2C", ",").replace("=3D", "=")
        else:
            user = fields["user"]
        return [user, fields["auth"].removeprefix("Bearer ")]

    def _read_chunk(self, peer: Peer, session: Session, chunks: bytearray, count: int) -> None:
        session.truncated = bytes(chunks)
        chunks += peer.read_bytes(count)
        session.truncated = None

    def _read_content(self, peer: Peer, session: Session) -> bytes:
        content = bytearray()
        session.truncated = b""
        try:
            while (line := peer.read_line()) != b".\r\n":
                content += line[1:] if line.startswith(b".") else line
        except (Gone, OSError):
            session.truncated = bytes(content)
            raise
        session.truncated = None
        return bytes(content)


def _path(line: str) -> str:
    return line[line.index("<") + 1 : line.index(">")].encode("latin-1").decode()


class Authority:
    """A certificate authority made on the fly; `ca_file` is what trusts it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test authority")])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.ca_file = directory / "authority.pem"
        own = self._certify(self._name, self._key.public_key(), age_days=1)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        own = own.add_extension(_KEY_USAGE, critical=True)
        self.ca_file.write_bytes(self._sign(own))

    def issue(self, name: str = HOST, *, expired: bool = False) -> ssl.SSLContext:
        """Give the server side's context for a host name or an IP address."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        try:
            known_as: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            known_as = x509.DNSName(name)
        certificate = self._certify(subject, key.public_key(), age_days=400 if expired else 1)
        certificate = certificate.add_extension(
            x509.SubjectAlternativeName([known_as]), critical=False
        )
        path = self._directory / f"{name}-{'expired' if expired else 'valid'}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path.write_bytes(private + self._sign(certificate))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _certify(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, age_days: int
    ) -> x509.CertificateBuilder:
        """Begin a certificate that holds for a year from when it was made."""
        made_at = datetime.now(UTC) - timedelta(days=age_days)
        issuer = self._key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(made_at)
            .not_valid_after(made_at + timedelta(days=365))
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )

    def _sign(self, certificate: x509.CertificateBuilder) -> bytes:
        signed = certificate.sign(self._key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)


_KEY_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
