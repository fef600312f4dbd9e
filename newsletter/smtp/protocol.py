"""SMTP and LMTP for a client, without I/O: bytes in, answers out (RFC 5321, RFC 2033).

This file is longer than most: it is one state machine, and it opens with its rules.

Theory of operation
-------------------
`Client` is told what happens on the wire and says what to write; it never touches a socket.
Every command method returns the bytes to send and appends its phase to a queue of replies
that are due. `receive` turns bytes into `Answer`s, matching each reply to the phase at the
head of that queue, so several commands may be outstanding (RFC 2920) and no reply is ever
charged to the wrong one. Bytes that nobody asked for are a desynchronised peer: from there
on nothing it says can be trusted, and the only safe move is to close.

    GREETING ─ 220 ─▶ HELLO ─ 250 ─▶ ready ─ MAIL ─ RCPT ─ DATA ─ 354 ─▶ content ─▶ DOT ─▶ ready
                                       └──── RSET ─ MAIL ─ RCPT ─ BDAT LAST + content ──▶ DOT ┘

`dot_left` is the one bit that decides whether mail can be lost or doubled: it is true from
the moment `final_dot` hands out its bytes until a verdict on them has been read. A
connection that ends while it is true leaves the message in doubt (RFC 1047); one that ends
while it is false certainly did not deliver it, because a server that sees the connection
close before the dot must discard the message (RFC 5321 §4.1.1.10 and §3.8).

With CHUNKING (RFC 3030) a message needs no dot: its length goes ahead of it, and its last byte
is its end. `post` gives a whole transaction to write, and another may follow before anything
of the first is answered. Only the caller knows when the last byte is out of its hands, so it
says so (`end_left`). Ends and verdicts are counted: the n-th verdict is the n-th message's, the
messages in doubt are those from `judged` up to `ended`, and a server that takes a message
before its end has left has said something about nothing.

What was well said stands: answers that precede a violation are given before it is raised,
however the packets were cut. A 250 to the dot is not lost to garbage in the same packet.

What the other side may not do, each answered with `RemoteProtocolError`: a reply without a
three-digit code of class 2 to 5, codes that differ between the lines of one reply (RFC 5321
§4.2.1), a line over 4096 bytes, a reply over 100 lines or 64 KiB, an answer to no question,
a 3yz where none is defined, a word in the clear after it agreed to STARTTLS. Bare LF after a
reply and a missing space after the code are seen in the wild, unambiguous, and accepted.
"""

from __future__ import annotations

import base64
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import NamedTuple, Self

MAX_LINE_BYTES = 4096  # RFC 5321 §4.5.3.1.5 says 512; real servers exceed it
MAX_REPLY_BYTES = 65536
MAX_REPLY_LINES = 100
MAX_COMMAND_BYTES = 2048  # RFC 5321 §4.5.3.1.4 says 512, extensions and AUTH add to it

MAX_AUTH_BYTES = 12288  # RFC 4954 §4
MAX_ENVID_CHARACTERS = 100  # RFC 3461 §4.4
MAX_ORCPT_CHARACTERS = 500  # RFC 3461 §4.2
_MAX_INITIAL_BYTES = 512  # a longer AUTH command gives its response in a second step (ib.)
_KEPT_LINES = 64  # of replies, read; relays say the same few again and again
_REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])(?![0-9])([ -]?)(.*)", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s|$)")  # RFC 2034 §4, RFC 3463 §2
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_XTEXT = re.compile(r"[^!-*,-<>-~]")  # RFC 3461 §4: all but printable ASCII without + and =
_UNSAFE_IN_PATH = re.compile(r"[\x00-\x20\x7f<>]")  # would end the path or the command


class LocalProtocolError(Exception):
    """We misused the protocol: a bug of ours, caught before a byte of it leaves."""


class RemoteProtocolError(Exception):
    """The other side broke the protocol. Close the connection; believe nothing after this."""


class OutOfStep(RemoteProtocolError):
    """A reply came before its turn: one before it was lost, or is still to come."""


class NotSmtp(RemoteProtocolError):
    """What came is no reply at all: another service listens there, or an echo."""


class Phase(Enum):
    """What a reply answers."""

    GREETING = "greeting"
    HELLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    DOT = "the message"
    RSET = "RSET"
    QUIT = "QUIT"
    UNASKED = "nothing"

    __hash__ = object.__hash__  # Enum's own takes longer than all the rest of a look-up


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """RFC 5321 sender and recipient, and whether the message needs SMTPUTF8 (RFC 6531).

    `envelope_id` is what a delivery status notification would name it by (ENVID, RFC 3461
    §4.4), such as the edition's id; it is said only where such notifications are asked for.
    """

    sender: str
    recipient: str
    smtputf8: bool = False
    envelope_id: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole reply. `lines` are decoded and free of control characters; for people."""

    code: int
    lines: tuple[str, ...]

    @property
    def positive(self) -> bool:
        """2yz: done."""
        return 200 <= self.code < 300

    @property
    def transient(self) -> bool:
        """4yz: not now."""
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        """5yz: not ever, as asked."""
        return self.code >= 500

    @property
    def enhanced(self) -> str:
        """The enhanced status code such as "5.1.1" (RFC 3463), or ""."""
        found = _ENHANCED.match(self.lines[0]) if self.lines else None
        return found[1] if found and found[1][0] == str(self.code)[0] else ""

    def __str__(self) -> str:
        return f"{self.code} {' / '.join(line for line in self.lines if line)}".rstrip()


class Answer(NamedTuple):
    """A reply and what it answers; a tuple, since it is made in a third of the time."""

    phase: Phase
    reply: Reply


@dataclass(frozen=True, slots=True)
class Refused:
    """The relay said no to one message, in `phase`; a value, since it is an ordinary outcome."""

    phase: Phase
    reply: Reply


class ReplyReader:
    """Bytes into replies, whatever the boundaries of the packets."""

    def __init__(self) -> None:
        self._buffer = b""
        self._read_bytes = 0
        self._lines: list[str] = []
        self._code = 0
        self._bytes = 0

    def feed(self, data: bytes) -> Iterator[Reply]:
        """Take bytes; yield each reply that is now complete."""
        if self._buffer:
            data = self._buffer + data
        self._buffer = data
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            if end - start > MAX_LINE_BYTES:
                raise _too_long()
            line = data[start:end]
            self._read_bytes = start = end + 1
            more, reply = _read_line(line)
            if not more and not self._lines:
                yield reply
            elif whole := self._gather(line, reply, more=more):
                yield whole
        self._buffer, self._read_bytes = data[start:], 0
        if len(data) - start > MAX_LINE_BYTES:
            raise _too_long()

    @property
    def idle(self) -> bool:
        """Whether no part of a reply has come yet."""
        return self._read_bytes == len(self._buffer) and not self._lines

    def _gather(self, line: bytes, reply: Reply, *, more: bool) -> Reply | None:
        """Take one line of several, read as a reply; give the whole reply at the last."""
        if self._lines and reply.code != self._code:
            raise RemoteProtocolError(f"one reply says both {self._code} and {reply.code}")
        self._code = reply.code
        self._lines += reply.lines
        self._bytes += len(line)
        if len(self._lines) > MAX_REPLY_LINES or self._bytes > MAX_REPLY_BYTES:
            raise RemoteProtocolError("a reply does not end")
        if more:
            return None
        whole = Reply(self._code, tuple(self._lines))
        self._lines, self._bytes = [], 0
        return whole


@lru_cache(_KEPT_LINES)
def _read_line(line: bytes) -> tuple[bool, Reply]:
    """Read a line without its LF; tell whether more follow, and give it as a whole reply."""
    line = line.removesuffix(b"\r")
    found = _REPLY_LINE.fullmatch(line)
    if not found:
        raise NotSmtp(f"{_shown(line[:60])!r} is not a reply")
    return found[2] == b"-", Reply(int(found[1]), (_shown(found[3]),))


def _too_long() -> RemoteProtocolError:
    return RemoteProtocolError(f"a reply line is longer than {MAX_LINE_BYTES} bytes")


_GROUP = (Phase.MAIL, Phase.RCPT, Phase.DATA)
_POSTED = (Phase.RSET, Phase.MAIL, Phase.RCPT, Phase.DOT)
_LAST_OF_A_GROUP = {  # nothing may follow these before their reply (RFC 2920 §3.1)
    Phase.GREETING,
    Phase.HELLO,
    Phase.STARTTLS,
    Phase.AUTH,
    Phase.DATA,
    Phase.QUIT,
}
_IN_THE_CLEAR = "it went on in the clear after it agreed to STARTTLS"
_GO_ON = {Phase.AUTH: 334, Phase.DATA: 354}  # the only 3yz there are (RFC 4954 §4, RFC 5321 §4.3.2)


class Client:
    """The client's side of one connection. One transaction at a time, one recipient each."""

    def __init__(self, *, lmtp: bool = False, dsn: bool = False) -> None:
        """Speak LMTP; ask for notifications of failures (RFC 3461) where they are offered."""
        self.lmtp = lmtp
        self._wants_dsn = dsn
        self.extensions: dict[str, str] = {}
        self.ended = 0
        """Messages whose end has left."""
        self.judged = 0
        """Messages whose verdict has been read."""
        self._due: deque[Phase] = deque([Phase.GREETING])
        self._reader = ReplyReader()
        self._extended = True
        self._smtputf8 = False
        self._content_open = False
        self._content_given = False
        self._awaits_tls = False
        self._parted = False
        self._violation: RemoteProtocolError | None = None

    @property
    def idle(self) -> bool:
        """Whether no reply is due and no message open: the moment to say QUIT."""
        return not self._due and not self._content_open

    @property
    def dot_left(self) -> bool:
        """Whether the end of a message has left that no verdict has come to."""
        return self.ended > self.judged

    @property
    def parted(self) -> bool:
        """Whether the other side has said its last word, unasked."""
        return self._parted

    @property
    def next_due(self) -> Phase:
        """What the next reply will answer; only while one is due."""
        return self._due[0]

    # -- the other side speaks -----------------------------------------------------------------

    def receive(self, data: bytes) -> Iterator[Answer]:
        """Take bytes from the wire; yield the answers that they complete, to the last one.

        An unasked 421 is an ordinary goodbye (RFC 5321 §3.8) and comes as `Phase.UNASKED`. So
        does a refusal while the content is still being written: the server has made up its
        mind early. Either is the last thing that it may say. Anything else unasked raises
        `RemoteProtocolError`, after the answers that came before it.
        """
        if self._violation:
            raise self._violation
        try:
            if self._awaits_tls and data:
                raise RemoteProtocolError(_IN_THE_CLEAR)
            due = self._due
            for reply in self._reader.feed(data):
                yield self._match(due[0], reply) if due else self._match_unasked(reply)
                if self._awaits_tls and not self._reader.idle:
                    raise RemoteProtocolError(_IN_THE_CLEAR)
        except RemoteProtocolError as violation:
            self._violation = violation
            raise

    def _match(self, phase: Phase, reply: Reply) -> Answer:
        code = reply.code
        if 300 <= code < 400 and code != _GO_ON.get(phase):
            raise OutOfStep(f"it answers {phase.value} with {code}")
        if phase is Phase.DATA:
            if code < 300:
                raise RemoteProtocolError(f"it answers DATA with {code}, not 354")
            self._content_open = code == 354
        elif phase is Phase.DOT:
            if code == 221 and self._due[-1] is Phase.QUIT:
                raise OutOfStep("it answers the message with 221, which is for QUIT")
            if self.judged >= self.ended and reply.positive:
                raise RemoteProtocolError("it takes a message that it has not had in full")
            self.judged += 1
        elif phase is Phase.HELLO and reply.positive and self._extended:
            self.extensions = _read_extensions(reply)
        elif phase is Phase.STARTTLS:
            self._awaits_tls = code == 220
        self._due.popleft()
        return Answer(phase, reply)

    def _match_unasked(self, reply: Reply) -> Answer:
        early = self._content_open and reply.code >= 400
        if (early or reply.code == 421) and not self._parted:
            self._parted = True
            return Answer(Phase.UNASKED, reply)
        raise RemoteProtocolError(f'it says "{_excerpt(reply)}" to no question')

    # -- we speak ------------------------------------------------------------------------------

    def hello(self, name: str, *, extended: bool = True) -> bytes:
        """EHLO, LHLO for LMTP, or HELO for a server that knows no better."""
        verb = "LHLO" if self.lmtp else "EHLO" if extended else "HELO"
        command = self._command(Phase.HELLO, f"{verb} {name}")
        self.extensions, self._extended = {}, extended
        return command

    def starttls(self) -> bytes:
        """STARTTLS (RFC 3207). Start TLS on a 220, and call `tls_started` then."""
        return self._command(Phase.STARTTLS, "STARTTLS")

    def tls_started(self) -> None:
        """Forget what was said in the clear (RFC 3207 §4.2); say hello again."""
        if not self._awaits_tls or self._violation:
            raise LocalProtocolError("the relay has not agreed to STARTTLS")
        self._awaits_tls = False
        self.extensions = {}

    def auth_plain(self, user: str, password: str) -> bytes:
        """AUTH PLAIN with its initial response (RFC 4616)."""
        if "\0" in user + password:
            raise LocalProtocolError("a user or password holds a NUL, which separates them")
        token = _base64(f"\0{user}\0{password}")
        return self._command(Phase.AUTH, f"AUTH PLAIN {token}")

    def auth_login(self) -> bytes:
        """AUTH LOGIN; answer its two challenges with `auth_answer`."""
        return self._command(Phase.AUTH, "AUTH LOGIN")

    def auth_token(self, mechanism: str, response: str) -> bytes:
        """AUTH with an initial response, or without one that is too long (RFC 4954 §4).

        Without it, `auth_answer` the first challenge with the same response.
        """
        command = f"AUTH {mechanism} {_base64(response)}"
        if not fits_auth_command(mechanism, response):
            command = f"AUTH {mechanism}"
        return self._command(Phase.AUTH, command)

    def auth_answer(self, text: str) -> bytes:
        """Answer a 334 challenge (RFC 4954 §4)."""
        return self._command(Phase.AUTH, _base64(text))

    def mail(self, envelope: Envelope, *, size_bytes: int) -> bytes:
        """MAIL FROM, with SIZE where offered (RFC 1870) and SMTPUTF8 where asked (RFC 6531)."""
        line = self._mail(envelope, size_bytes)
        command = self._say((Phase.MAIL,), line, utf8=envelope.smtputf8)
        self._smtputf8 = envelope.smtputf8
        return command

    def rcpt(self, recipient: str) -> bytes:
        """RCPT TO."""
        return self._command(Phase.RCPT, self._rcpt(recipient))

    def data(self) -> bytes:
        """Ask for the floor: DATA."""
        return self._command(Phase.DATA, "DATA")

    def begin(self, envelope: Envelope, *, size_bytes: int) -> bytes:
        """MAIL, RCPT and DATA in one go, for a relay that offers PIPELINING (RFC 2920 §3.1).

        The group may follow a final dot whose reply is still due. Raises `LocalProtocolError`
        before any of it counts as said.
        """
        if "PIPELINING" not in self.extensions:
            raise LocalProtocolError("PIPELINING was not offered")
        lines = f"{self._mail(envelope, size_bytes)}\r\n{self._rcpt(envelope.recipient)}\r\nDATA"
        commands = self._say(_GROUP, lines, utf8=envelope.smtputf8)
        self._smtputf8 = envelope.smtputf8
        return commands

    def post(self, envelope: Envelope, message: bytes) -> bytes:
        """Give a whole transaction, content and all, to be written in one go (RFC 3030 §2).

        It may follow another whose replies are still due. RSET opens it: a relay may keep the
        transaction that it refused a part of, and then MAIL would be refused as nested, or RCPT
        added to it; after a failed BDAT RFC 3030 wants it anyhow. Call `end_left` when the last
        byte has left. Raises `LocalProtocolError` before any of it counts as said.
        """
        lines = self.check_post(envelope, message)
        commands = self._say(_POSTED, lines, utf8=envelope.smtputf8)
        self._smtputf8 = envelope.smtputf8
        return commands + message

    def check_post(self, envelope: Envelope, message: bytes) -> str:
        """Raise `LocalProtocolError` for what may not be posted, saying nothing."""
        if not {"CHUNKING", "PIPELINING"} <= self.extensions.keys():
            raise LocalProtocolError("CHUNKING and PIPELINING were not both offered")
        if not isinstance(message, WireLines):
            _check_lines(message)
        _check_bits(message, smtputf8=envelope.smtputf8)
        mail, rcpt = self._mail(envelope, len(message)), self._rcpt(envelope.recipient)
        return f"RSET\r\n{mail}\r\n{rcpt}\r\nBDAT {len(message)} LAST"

    def end_left(self) -> None:
        """Count the last byte of the oldest message posted as gone: it may be in doubt now."""
        self.ended += 1

    def _mail(self, envelope: Envelope, size_bytes: int) -> str:
        extensions = self.extensions
        if envelope.smtputf8 and "SMTPUTF8" not in extensions:
            raise LocalProtocolError("SMTPUTF8 was not offered")
        line = f"MAIL FROM:<{_check_path(envelope.sender)}>"
        if "SIZE" in extensions:
            line += f" SIZE={size_bytes}"
        if envelope.smtputf8:
            line += " BODY=8BITMIME SMTPUTF8" if "8BITMIME" in extensions else " SMTPUTF8"
        if self._wants_dsn and "DSN" in extensions:
            line += " RET=HDRS"
            if envelope.envelope_id:
                line += f" ENVID={_xtext(envelope.envelope_id, MAX_ENVID_CHARACTERS)}"
        return line

    def _rcpt(self, recipient: str) -> str:
        line = f"RCPT TO:<{_check_path(recipient)}>"
        if self._wants_dsn and "DSN" in self.extensions:
            line += " NOTIFY=FAILURE"
            if recipient.isascii():  # RFC 6533 has a type for others, which few servers know
                line += f" ORCPT=rfc822;{_xtext(recipient, MAX_ORCPT_CHARACTERS)}"
        return line

    @property
    def content_open(self) -> bool:
        """Whether the relay waits for content: whatever is written now becomes part of it."""
        return self._content_open

    def content(self, message: bytes) -> bytes:
        """Give the message as it goes on the wire, dots stuffed: all of it but the final dot.

        `WireLines` go as they are. Raises `LocalProtocolError` for a message that another
        server could read as two (`stuff_dots`), or with 8-bit bytes where SMTPUTF8 was not
        asked for.
        """
        if not self._content_open:
            raise LocalProtocolError("the relay has not said 354")
        _check_bits(message, smtputf8=self._smtputf8)
        stuffed = message if isinstance(message, WireLines) else stuff_dots(message)
        self._content_given = True
        return stuffed

    def final_dot(self) -> bytes:
        """Give the end of the message. From here until its reply the message may be in doubt."""
        if not self._content_given:
            raise LocalProtocolError("there is no message to end")
        self._content_open = self._content_given = False
        self.ended += 1
        self._due.append(Phase.DOT)
        return b".\r\n"

    def rset(self) -> bytes:
        """RSET: forget the transaction."""
        return self._command(Phase.RSET, "RSET")

    def quit(self) -> bytes:
        """QUIT."""
        return self._command(Phase.QUIT, "QUIT")

    def _command(self, phase: Phase, line: str) -> bytes:
        if _CONTROL.search(line):
            raise LocalProtocolError(f"{phase.value} holds a control character")
        return self._say((phase,), line, utf8=self._smtputf8)

    def _say(self, phases: tuple[Phase, ...], lines: str, *, utf8: bool) -> bytes:
        """Queue what the replies to `lines` will answer; the last line's end is still missing."""
        phase, due = phases[0], self._due
        if self._awaits_tls:
            raise LocalProtocolError(f"{phase.value} must wait for TLS")
        if self._content_open:
            raise LocalProtocolError(f"{phase.value} within a message would become part of it")
        if due and due[-1] in _LAST_OF_A_GROUP:
            raise LocalProtocolError(f"{phase.value} must wait for {due[-1].value}'s reply")
        try:
            commands = f"{lines}\r\n".encode("utf-8" if utf8 else "ascii")
        except UnicodeEncodeError:
            raise LocalProtocolError(f"{phase.value} holds characters that need SMTPUTF8") from None
        limit = MAX_AUTH_BYTES if phase is Phase.AUTH else MAX_COMMAND_BYTES
        if len(commands) > limit:
            raise LocalProtocolError(f"{phase.value} is longer than {limit} bytes")
        due += phases
        return commands


class WireLines(bytes):
    """Whole lines that may go on the wire as they are, and be joined with others of the kind.

    Every line ends with CRLF, none begins with a dot, and there is no other CR or LF and no
    NUL. That holds for each line by itself, so joining needs no second look: a message made of
    pieces that were checked once costs nothing to check. Since no dot needs stuffing, DATA and
    BDAT say the same bytes. A slice or a sum of such lines is plain `bytes` again.
    """

    __slots__ = ()

    @classmethod
    def check(cls, data: bytes) -> Self:
        """Check it. Raises `LocalProtocolError` for what is no such lines; nothing is mended."""
        _check_lines(data)
        if data.startswith(b".") or b"\n." in data:
            raise LocalProtocolError("a line begins with a dot")
        return cls(data)

    @classmethod
    def join(cls, pieces: Iterable[WireLines]) -> Self:  # type: ignore[override]  # no separator
        """Join without looking at a byte."""
        return cls(b"".join(pieces))


def stuff_dots(message: bytes) -> bytes:
    """Double the dot of every line that begins with one (RFC 5321 §4.5.2).

    Raises `LocalProtocolError` for a bare CR or LF, since some servers take `LF . LF` for the
    end and what follows for commands (CVE-2023-51764, "SMTP smuggling"), for a NUL, and for a
    message whose last line has no end.
    """
    _check_lines(message)
    first = b"." if message.startswith(b".") else b""
    return first + message.replace(b"\r\n.", b"\r\n..")


def _check_lines(message: bytes) -> None:
    if not message.endswith(b"\r\n"):
        raise LocalProtocolError("the message does not end with CRLF")
    newlines = message.count(b"\r\n")
    if message.count(b"\n") != newlines or message.count(b"\r") != newlines:
        raise LocalProtocolError("the message holds a bare CR or LF")
    if b"\0" in message:
        raise LocalProtocolError("the message holds a NUL")


def _check_bits(message: bytes, *, smtputf8: bool) -> None:
    if not smtputf8 and not message.isascii():
        raise LocalProtocolError("the message holds 8-bit bytes")


def _check_path(address: str) -> str:
    if found := _UNSAFE_IN_PATH.search(address):
        raise LocalProtocolError(f"an address holds {found[0]!r}")
    return address


def _xtext(text: str, limit: int) -> str:
    """Encode for a parameter (RFC 3461 §4)."""
    if not text.isascii():
        raise LocalProtocolError("a parameter of RFC 3461 holds characters that are not ASCII")
    encoded = _NOT_XTEXT.sub(lambda found: f"+{ord(found[0]):02X}", text)
    if len(encoded) > limit:
        raise LocalProtocolError(f"a parameter of RFC 3461 is longer than {limit} characters")
    return encoded


def fits_auth_command(mechanism: str, response: str) -> bool:
    """Whether AUTH may carry this response at once."""
    return len(f"AUTH {mechanism} {_base64(response)}\r\n") <= _MAX_INITIAL_BYTES


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _read_extensions(reply: Reply) -> dict[str, str]:
    """Keywords of an EHLO reply, upper-cased, with their parameters (RFC 5321 §4.1.1.1).

    A keyword said twice keeps both lists: some servers repeat AUTH in its old form `AUTH=`.
    """
    extensions: dict[str, str] = {}
    for line in reply.lines[1:]:
        keyword, _, parameters = re.sub(r"(?i)^AUTH=", "AUTH ", line).partition(" ")
        if keyword := keyword.upper():
            said = extensions.get(keyword, "")
            extensions[keyword] = f"{said} {parameters.strip()}".strip()
    return extensions


def _shown(text: bytes) -> str:
    """Decode a relay's words for people and logs: no control characters, never an error."""
    decoded = text.decode("utf-8", "backslashreplace").replace("\t", " ")
    if decoded.isprintable():
        return decoded
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in decoded)


def _excerpt(reply: Reply) -> str:
    words = str(reply)
    return words if len(words) <= 200 else f"{words[:200]}…"
