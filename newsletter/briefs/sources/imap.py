"""IMAP as far as reading a mailbox needs it, over a connection that was checked (RFC 3501).

`imaplib` speaks the protocol; what it leaves open is closed here: it has no ceiling on the
whole time (a server that drips a byte a second is waited for), none on the size of what a
server announces, and connects to whatever a name resolves to. Its documented seams for another
transport (open, read, readline, send, shutdown) are used for that.

The folder is opened by EXAMINE and messages are fetched by BODY.PEEK, so the server itself
refuses every change: nothing is deleted, moved or marked as seen. Only who opens it to write
can mark and delete, one message at a time, and never one that it did not name.
"""

from __future__ import annotations

import base64
import imaplib
import re
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from newsletter.briefs.fetcher import connect
from newsletter.briefs.normalise import plain_line
from newsletter.errors import SourceError
from newsletter.settings.mailbox import Mailbox

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_MAX_LINE_BYTES = 1_000_000
_CHUNK_BYTES = 65_536
_PORTS = {"implicit": 993, "starttls": 143, "none": 143}
_SIZE = re.compile(rb"RFC822\.SIZE (\d{1,15})", re.IGNORECASE)
_RECEIVED = re.compile(rb'INTERNALDATE "[^"]{1,40}"', re.IGNORECASE)
_UID = re.compile(rb"\bUID (\d{1,10})", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who reads which mailbox, and how."""

    host: str
    port: int
    tls: Literal["implicit", "starttls", "none"]
    user: str
    password: str
    ca_file: Path | None
    allow_private: bool
    timeout_seconds: float
    """For everything together."""

    def __repr__(self) -> str:
        return f"Access({self.user}@{self.host})"


def build_access(mailbox: Mailbox, password: str, root: Path) -> Access:
    """Build what the settings say of a mailbox; files are relative to `root`. Pure."""
    return Access(
        host=mailbox.host,
        port=mailbox.port,
        tls=mailbox.tls,
        user=mailbox.user,
        password=password,
        ca_file=root / mailbox.ca_file if mailbox.ca_file else None,
        allow_private=mailbox.allow_private,
        timeout_seconds=mailbox.timeout.total_seconds(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What is known of a message before it is fetched."""

    uid: int
    size_bytes: int
    received_at: datetime | None
    """When the server got it."""
    header: bytes


class Folder:
    """A folder that is open for reading."""

    def __init__(self, client: _Client, uid_validity: int) -> None:
        self._client = client
        self.uid_validity = uid_validity
        """Changes when the numbers of the messages do (RFC 3501 §2.3.1.1)."""

    def search(self, *, after: int, since: datetime | None) -> list[int]:
        """List the messages with a higher UID, that came since a day, in their order."""
        criteria = ["UID", f"{after + 1}:*"]
        if since is not None:
            month = _MONTHS[since.month - 1]
            criteria += ["SINCE", f"{since.day}-{month}-{since.year}"]
        (found, *_) = self._ask("SEARCH", None, *criteria) or [b""]
        numbers = (found or b"").split()
        # "n:*" always holds the last message, whatever its number is.
        return sorted({int(n) for n in numbers if n.isdigit() and int(n) > after})

    def outline(self, uid: int) -> Outline | None:
        """Fetch a message's size, time and header; None if it is gone by now."""
        answer = self._ask("FETCH", str(uid), "(UID RFC822.SIZE INTERNALDATE BODY.PEEK[HEADER])")
        about = b" ".join(part[0] if isinstance(part, tuple) else part or b"" for part in answer)
        size, header = _SIZE.search(about), _literal(answer)
        if size is None or header is None:
            return None
        return Outline(
            uid=uid, size_bytes=int(size[1]), received_at=_received_at(about), header=header
        )

    def fetch(self, uid: int, *, most_bytes: int = 0) -> bytes | None:
        """Fetch a message, or its first `most_bytes`; None if it is gone by now."""
        part = f"<0.{most_bytes}>" if most_bytes else ""
        return _literal(self._ask("FETCH", str(uid), f"(UID BODY.PEEK[]{part})"))

    def search_unseen(self) -> list[int]:
        """List the messages that are neither marked as read nor deleted, in their order."""
        (found, *_) = self._ask("SEARCH", None, "UNSEEN", "UNDELETED") or [b""]
        return sorted(int(n) for n in (found or b"").split() if n.isdigit())

    def mark_seen(self, uid: int) -> None:
        """Mark a message as read."""
        self._ask("STORE", str(uid), "+FLAGS.SILENT", r"(\Seen)")

    def delete(self, uid: int) -> None:
        """Mark a message as read and deleted, and take it away."""
        self._ask("STORE", str(uid), "+FLAGS.SILENT", r"(\Seen \Deleted)")
        # Without UIDPLUS a server takes all that is marked away, others' messages too: then it
        # stays marked (RFC 4315 §2.1).
        _, (known, *_) = self._client.capability()  # many a server says it only after the login
        if b"UIDPLUS" in (known or b"").upper().split():
            self._ask("EXPUNGE", str(uid))

    def _ask(self, command: str, *arguments: Any) -> Sequence[Any]:
        kind, answer = self._client.uid(command, *arguments)
        if kind != "OK":
            raise SourceError(f"refuses {command} ({_said(answer)})")
        return answer


@contextmanager
def open_folder(
    access: Access, folder: str, *, max_bytes: int, writable: bool = False
) -> Iterator[Folder]:
    """Log in and open a folder, for reading unless it is to be `writable`.

    Raises `SourceError`, without the password.
    """
    client: _Client | None = None
    try:
        client = _Client(access, max_bytes=max_bytes)
        if access.tls == "starttls":
            client.starttls(_tls(access))
        _log_in(client, access)
        kind, answer = client.select(_quoted(folder), readonly=not writable)
        if kind != "OK":
            raise SourceError(
                f"has no folder {folder!r} that can be read ({_said(answer)})",
                mend="correct folder in the configuration",
            )
        (validity,) = client.response("UIDVALIDITY")[1] or [None]
        if not validity or not validity.isdigit():
            raise SourceError("gives its messages no lasting numbers (UIDVALIDITY)")
        yield Folder(client, int(validity))
    except TimeoutError:
        raise SourceError(
            f"did not answer in full within {access.timeout_seconds:g} seconds"
        ) from None
    except ssl.SSLCertVerificationError as error:
        raise SourceError(f"its certificate is not valid ({error.verify_message})") from None
    except ssl.SSLError as error:
        raise SourceError(
            f"no secure connection could be made ({error.reason or 'TLS failed'})",
            mend="check port and tls",
        ) from None
    except OSError as error:
        raise SourceError(f"cannot be reached ({(error.strerror or '').lower()})") from None
    except imaplib.IMAP4.error as error:
        said = plain_line(str(error))[:200]
        if access.password:
            said = said.replace(access.password, "…")
        raise SourceError(f"breaks off, or is no IMAP ({said})") from None
    finally:
        if client is not None:
            with suppress(OSError, imaplib.IMAP4.error, SourceError):
                client.logout()
            client.shutdown()


class _Client(imaplib.IMAP4):
    """imaplib with a checked connection, one deadline, and ceilings."""

    def __init__(self, access: Access, *, max_bytes: int) -> None:
        self._access = access
        self._max_bytes = max_bytes
        self._deadline = time.monotonic() + access.timeout_seconds
        self._buffer = bytearray()
        self._buffer_of: socket.socket | None = None
        try:
            super().__init__(access.host, access.port or _PORTS[access.tls])
        except BaseException:
            self.shutdown()
            raise

    def open(self, host: str = "", port: int = 0, timeout: float | None = None) -> None:
        self.host, self.port = host, port
        bare = connect(
            host,
            port,
            allow_private=self._access.allow_private,
            timeout_seconds=self._time_left(),
        )
        if self._access.tls != "implicit":
            self.sock = bare
            return
        try:
            bare.settimeout(self._time_left())
            self.sock = _tls(self._access).wrap_socket(bare, server_hostname=host)
        except BaseException:
            bare.close()
            raise

    def read(self, size: int) -> bytes:
        # A server may pad what it sends; the size that counts is checked before.
        if size > 2 * self._max_bytes + _MAX_LINE_BYTES:
            raise SourceError(f"announces {size} bytes at once")
        while len(self._buffer) < size:
            self._receive()
        return self._take(size)

    def readline(self) -> bytes:
        seen = 0
        while (end := self._buffer.find(b"\n", seen)) < 0:
            seen = len(self._buffer)
            if seen > _MAX_LINE_BYTES:
                raise SourceError("sends a line without an end")
            self._receive()
        return self._take(end + 1)

    def send(self, data: ReadableBuffer) -> None:
        self.sock.settimeout(self._time_left())
        self.sock.sendall(data)

    def shutdown(self) -> None:
        sock: socket.socket | None = getattr(self, "sock", None)
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _receive(self) -> None:
        if self._buffer_of is not self.sock:  # what came before TLS began does not count in it
            self._buffer.clear()
            self._buffer_of = self.sock
        self.sock.settimeout(self._time_left())
        data = self.sock.recv(_CHUNK_BYTES)
        if not data:
            raise self.abort("the connection ended")
        self._buffer += data

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _time_left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _log_in(client: _Client, access: Access) -> None:
    token = f"\0{access.user}\0{access.password}".encode()
    try:
        if "AUTH=PLAIN" in client.capabilities:
            client.authenticate("PLAIN", lambda _: token)
        else:
            client.login(access.user, access.password)
    except imaplib.IMAP4.abort:
        raise
    except (imaplib.IMAP4.error, UnicodeEncodeError):
        _refuse_login(access)


def _refuse_login(access: Access) -> NoReturn:
    raise SourceError(
        f"refuses the login of {access.user}", mend="check user and the variable of the password"
    )


def _tls(access: Access) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=access.ca_file)


def _literal(answer: Sequence[Any]) -> bytes | None:
    return next((part[1] for part in answer if isinstance(part, tuple)), None)


def _received_at(about: bytes) -> datetime | None:
    found = _RECEIVED.search(about)
    moment = imaplib.Internaldate2tuple(found[0]) if found else None
    try:
        return datetime.fromtimestamp(time.mktime(moment), UTC) if moment else None
    except (ValueError, OverflowError, OSError):
        return None


def _said(answer: Sequence[Any]) -> str:
    return plain_line(b" ".join(p for p in answer if isinstance(p, bytes)).decode(errors="replace"))


def _quoted(folder: str) -> str:
    """Write a folder's name for the wire: modified UTF-7 in quotes (RFC 3501 §5.1.3)."""

    def encode(found: re.Match[str]) -> str:
        packed = base64.b64encode(found[0].encode("utf-16-be")).decode().rstrip("=")
        return f"&{packed.replace('/', ',')}-"

    name = re.sub(r"[^\x20-\x7e]+", encode, folder.replace("&", "&-"))
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
