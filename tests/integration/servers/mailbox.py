"""Mail as the servers stored it: what they put on top, and what came to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FIELD = re.compile(rb"([!-9;-~]+):.*\n(?:[ \t].*\n)*")
_TRACE = (b"return-path", b"x-original-to", b"delivered-to", b"received")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A message in a mailbox. Lines end with LF there."""

    trace: dict[str, str]
    """The header fields that the server put on top, unfolded, by lower-case name."""
    content: bytes
    """What was handed over: everything below them."""
    whole: bytes

    @property
    def recipient(self) -> str:
        return self.trace["delivered-to"]

    @property
    def return_path(self) -> str:
        return self.trace["return-path"].strip("<>")

    @property
    def queue_id(self) -> str:
        """The name of the message in Postfix's queue and log."""
        found = re.search(r"\bid (\w+)", self.trace["received"])
        assert found is not None, self.trace
        return found[1]


def read_maildirs(root: Path) -> list[Stored]:
    """Read every message of every Maildir below a folder."""
    return [_read(path.read_bytes()) for path in sorted(root.glob("**/new/*"))]


def _read(raw: bytes) -> Stored:
    trace, end = {}, 0
    for field in _fields(raw):
        name, _, value = field.partition(b":")
        if name.lower() not in _TRACE:
            break
        trace[name.decode().lower()] = " ".join(value.decode().split())
        end += len(field)
    return Stored(trace=trace, content=raw[end:], whole=raw)


def _fields(raw: bytes) -> Iterator[bytes]:
    position = 0
    while found := _FIELD.match(raw, position):
        yield found[0]
        position = found.end()
