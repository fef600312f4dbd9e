"""Snares: places in the code at which a sending process kills itself (-9), found by name.

The product has no hooks for this. A snare replaces a function, named as module:Class.method,
by one that counts its calls, or looks at the bytes that a socket is given. A name that is not
there any more is an error at once. Before it springs, a snare notes whom it met.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import json
import os
import re
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, event

Met = dict[str, list[str]]
"""Addresses by their part in what was going on: "intents", "outcomes" or "recipient"."""


def spring(note: Path, met: Met, number: int = signal.SIGKILL) -> None:
    """Write down who was met, and die, or stand still."""
    note.write_text(json.dumps(met))
    os.kill(os.getpid(), number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snare:
    """What all snares are: laid in the new process, with a file for their note."""

    nth: int = 1
    """It springs at this call, or this message; at the next one if that call raises."""

    def set(self, note: Path) -> None:
        """Lay it."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Snare):
    """A call of a function: before it, after it, or at the commit within it."""

    target: str
    when: Literal["before", "commit", "after"]
    having: str = ""
    """Only calls with a list of that name that is not empty are counted."""
    signal: int = signal.SIGKILL

    def set(self, note: Path) -> None:
        """Replace the function."""
        owner, name, function = find(self.target)
        takes = inspect.signature(function)
        calls = 0
        inside: list[Met] = []

        def begin(given: Sequence[Any], named: dict[str, Any]) -> Met | None:
            nonlocal calls
            arguments = takes.bind(*given, **named).arguments
            if self.having and not arguments[self.having]:
                return None
            calls += 1
            if calls < self.nth:
                return None
            met = whom(arguments)
            if self.when == "before":
                spring(note, met, self.signal)
            inside.append(met)
            return met

        def end(met: Met | None) -> None:
            if met is None:
                return
            if self.when == "after":
                spring(note, met, self.signal)
            inside.clear()

        @functools.wraps(function)
        def plain(*given: Any, **named: Any) -> Any:
            met = begin(given, named)
            try:
                answer = function(*given, **named)
            except BaseException:
                inside.clear()  # the next one then
                raise
            end(met)
            return answer

        @functools.wraps(function)
        async def waiting(*given: Any, **named: Any) -> Any:
            met = begin(given, named)
            try:
                answer = await function(*given, **named)
            except BaseException:
                inside.clear()
                raise
            end(met)
            return answer

        if self.when == "commit":

            def committing(_connection: Any) -> None:
                if inside:
                    spring(note, inside[0], self.signal)

            event.listen(Engine, "commit", committing)
        replacement: Any = waiting if inspect.iscoroutinefunction(function) else plain
        is_static = isinstance(inspect.getattr_static(owner, name), staticmethod)
        setattr(owner, name, staticmethod(replacement) if is_static else replacement)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content(Snare):
    """A write of a message's content, or of a part of it, to the kernel."""

    when: Literal["before", "after"]

    def set(self, note: Path) -> None:
        """Watch the sockets."""
        writes = 0

        def look(stream: _Stream, data: bytes, send: Callable[[bytes], int]) -> None:
            nonlocal writes
            if not stream.in_content or stream.find_dot(data) is not None:
                return
            writes += 1
            if writes == self.nth:
                if self.when == "after":
                    send(data)
                spring(note, {"recipient": [stream.recipient]})

        _watch_sockets(look)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot(Snare):
    """The end of a message: only so many of its three bytes reach the kernel."""

    bytes_sent: int | None
    """None: whatever is written together with the dot as well."""

    def set(self, note: Path) -> None:
        """Watch the sockets."""
        dots = 0

        def look(stream: _Stream, data: bytes, send: Callable[[bytes], int]) -> None:
            nonlocal dots
            dot = stream.find_dot(data)
            if dot is None:
                return
            dots += 1
            if dots == self.nth:
                recipient = stream.recipient
                part = data if self.bytes_sent is None else data[: dot + self.bytes_sent]
                while part:
                    with contextlib.suppress(BlockingIOError):
                        part = part[send(part) :]
                spring(note, {"recipient": [recipient]})

        _watch_sockets(look)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk(Snare):
    """The last chunk of a message, which ends it where the relay offers CHUNKING (BDAT LAST)."""

    half: bool
    """Whether half of its content reaches the kernel; else not even its command."""

    def set(self, note: Path) -> None:
        """Watch the sockets."""
        chunks = 0
        hunted: dict[_Stream, str] = {}

        def look(stream: _Stream, data: bytes, send: Callable[[bytes], int]) -> None:
            nonlocal chunks
            if stream in hunted:  # its content comes with the next write
                send(data[: len(data) // 2])
                spring(note, {"recipient": [hunted[stream]]})
            for found in _LAST_CHUNK.finditer(data):
                chunks += 1
                if chunks < self.nth:
                    continue
                recipients = _RECIPIENT.findall(data[: found.start()])
                recipient = recipients[-1].decode() if recipients else stream.recipient
                size = int(found[1])
                if not self.half:
                    send(data[: found.start()])
                elif len(data) == found.end():
                    hunted[stream] = recipient
                    return
                else:
                    send(data[: found.end() + min(size, len(data) - found.end()) // 2])
                spring(note, {"recipient": [recipient]})

        _watch_sockets(look)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Snare):
    """The relay's answer to the end of a message, read from the kernel and known to nobody yet."""

    def set(self, note: Path) -> None:
        """Watch the sockets."""
        answers = 0

        def hear(stream: _Stream, data: bytes) -> None:
            nonlocal answers
            if stream.ended and b"Kept" in data:
                answers += 1
                if answers == self.nth:
                    spring(note, {"recipient": [stream.ended]})

        _watch_sockets(hear=hear)


def find(target: str) -> tuple[Any, str, Any]:
    """Find what a name stands for: its owner, its own name and itself; `AttributeError` if not."""
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    return owner, name, getattr(owner, name)


def whom(arguments: dict[str, Any]) -> Met:
    """Tell whom a call is about."""
    met: Met = {}
    for part in {"intents", "outcomes"} & arguments.keys():
        readers = [entry.subscriber_id for entry in arguments[part]]
        met[part] = [f"reader{reader}@example.org" for reader in readers]
    if "envelope" in arguments:
        met["recipient"] = [arguments["envelope"].recipient]
    return met


# -- what goes over a socket -----------------------------------------------------------------------


_LAST_CHUNK = re.compile(rb"BDAT (\d+) LAST\r\n")
_RECIPIENT = re.compile(rb"^RCPT TO:<([^>\r\n]+)>", re.MULTILINE)


@dataclass(slots=True, eq=False)
class _Stream:
    """What one SMTP connection has written so far, as far as one must know."""

    recipient: str = ""
    ended: str = ""
    """Whose message ended last."""
    in_content: bool = False
    _tail: bytes = field(default=b"")

    def find_dot(self, data: bytes) -> int | None:
        """Find where in `data` the final dot stands, if it ends the content that is open."""
        if not self.in_content:
            return None
        found = (self._tail + data).find(b"\r\n.\r\n")
        return None if found < 0 else found + 2 - len(self._tail)

    def feed(self, data: bytes) -> None:
        """Take in what the kernel took."""
        if self.in_content:
            dot = self.find_dot(data)
            if dot is None:
                self._tail = (self._tail + data)[-4:]
                return
            self.in_content, self._tail, self.ended = False, b"", self.recipient
            data = data[dot + 3 :]
        for line in data.split(b"\r\n"):
            if line.upper().startswith(b"RCPT TO:<"):
                self.recipient = line[9 : line.index(b">")].decode()
        self.in_content = data.upper().endswith(b"DATA\r\n")


def _watch_sockets(
    look: Callable[[_Stream, bytes, Callable[[bytes], int]], None] = lambda *_: None,
    hear: Callable[[_Stream, bytes], None] = lambda *_: None,
) -> None:
    """Have `look` see what any socket of IP is about to be given, and `hear` what it gave."""
    streams: WeakKeyDictionary[socket.socket, _Stream] = WeakKeyDictionary()
    send, recv, recv_into = socket.socket.send, socket.socket.recv, socket.socket.recv_into

    def watched(self: socket.socket, data: Any, *flags: int) -> int:
        if self.family not in (socket.AF_INET, socket.AF_INET6):
            return send(self, data, *flags)
        stream = streams.setdefault(self, _Stream())
        look(stream, bytes(data), lambda part: send(self, part))
        sent = send(self, data, *flags)
        stream.feed(bytes(data[:sent]))
        return sent

    def gathered(self: socket.socket, buffers: Any, *more: Any) -> int:
        assert not more, "ancillary data are not for SMTP"
        return watched(self, b"".join(buffers))

    def heard(self: socket.socket, *given: int) -> bytes:
        data = recv(self, *given)
        if self in streams:
            hear(streams[self], data)
        return data

    def heard_into(self: socket.socket, buffer: Any, *given: int) -> int:
        count = recv_into(self, buffer, *given)
        if self in streams:
            hear(streams[self], bytes(memoryview(buffer)[:count]))
        return count

    socket.socket.send = watched  # type: ignore[assignment, method-assign]
    socket.socket.sendmsg = gathered  # type: ignore[assignment, method-assign]
    socket.socket.recv = heard  # type: ignore[assignment, method-assign]
    socket.socket.recv_into = heard_into  # type: ignore[assignment, method-assign]
