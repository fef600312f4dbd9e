"""The bytes of a CSV file → its records, one at a time, each with its physical line.

Theory of operation. Files come from spreadsheets, databases and other mail services, so
nothing is known beforehand, and one bad row must cost one row:

- Encoding is decided per physical line: UTF-8 where the line is UTF-8, else Windows-1252.
  Almost no Windows-1252 text is UTF-8 by accident, one stray byte does not spoil a million
  good lines, and nothing needs reading twice, so a pipe will do. A byte order mark of UTF-16
  settles it for the whole file. A byte that means nothing becomes a lone surrogate (U+FFFD in
  UTF-16); whoever reads the cell refuses it.
- Lines end in CRLF, LF or CR. To split bytes as the standard library splits text, they are
  read as Latin-1, where a character is a byte, and turned back into bytes line by line.
- The separator is the one of `, ; tab` that splits the first line into the most cells,
  unless that line is Excel's `sep=`.
- A quotation mark left open would swallow what follows. A record that ends in an error or
  outgrows `RECORD_LINES` or `RECORD_CHARACTERS` is therefore given up at its first line,
  and reading resumes at the second. The csv module starts afresh after an error.
"""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from newsletter.errors import AudienceError

RECORD_LINES = 100
RECORD_CHARACTERS = 262_144
_SEPARATORS = ",;\t"
_EXCEL_SEPARATOR = re.compile(r'"?sep=([,;\t|])"?\s*', re.IGNORECASE)
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_READ_BYTES = 65_536


@dataclass(slots=True)
class Record:
    """One record; `problem` is empty unless it could not be split into cells."""

    line: int
    """Number of its first physical line, from 1."""
    cells: list[str]
    """Without a `problem`; with one, the first physical line as the only cell."""
    problem: str = ""


def read_records(
    stream: BinaryIO, *, on_progress: Callable[[int], None] | None = None
) -> Iterator[Record]:
    """Read a CSV file's records; the first is its heading. Blank records are left out.

    `on_progress` is told how many bytes have been read so far. Raises `AudienceError`,
    without file, for something that is no text table at all.
    """
    source = _Source(stream, on_progress)
    if source.head.startswith(b"PK\x03\x04"):
        raise AudienceError(
            "is a spreadsheet or an archive", mend='save it as "CSV UTF-8" and import that'
        )
    wide = source.head.startswith(_UTF16_MARKS)
    with io.TextIOWrapper(
        io.BufferedReader(source, _READ_BYTES),
        encoding="utf-16" if wide else "latin-1",
        errors="replace",
        newline="",
    ) as text:
        lines = _Lines(text, bytewise=not wide)
        records = csv.reader(
            lines, delimiter=_find_separator(lines), strict=True, skipinitialspace=True
        )
        while True:
            lines.begin()
            try:
                cells = next(records)
            except StopIteration:
                return
            except csv.Error:
                problem = lines.give_up()
                yield Record(lines.number, [lines.record[0]], problem)
                continue
            if any(cells) and any(cell.strip() for cell in cells):
                yield Record(lines.number, cells)


class _Source(io.RawIOBase):
    """A stream without its UTF-8 mark that tells how far it has been read.

    Closing it leaves the stream open: that is its owner's to close.
    """

    def __init__(self, stream: BinaryIO, on_progress: Callable[[int], None] | None) -> None:
        self._stream = stream
        self._on_progress = on_progress
        self.head = b""
        while len(self.head) < 4 and (more := self._read(4 - len(self.head))):
            self.head += more
        self._waiting = self.head.removeprefix(_UTF8_MARK)
        self._bytes = len(self.head) - len(self._waiting)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._waiting or self._read(len(buffer))
        self._waiting = b""
        buffer[: len(data)] = data
        self._bytes += len(data)
        if self._on_progress:
            self._on_progress(self._bytes)
        return len(data)

    def _read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except OSError as error:
            raise AudienceError(f"cannot be read ({error.strerror})", mend="try again") from None


class _Lines:
    """Physical lines for the csv module, which can be given back from the second one on."""

    def __init__(self, text: io.TextIOWrapper, *, bytewise: bool) -> None:
        self._text = text
        self._bytewise = bytewise
        self._given_back: deque[str] = deque()
        self._characters = 0
        self.record: list[str] = []
        """Lines handed out since `begin`."""
        self.number = 1
        """Number of the first of them."""

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._given_back.popleft() if self._given_back else self._read()
        if not line:
            raise StopIteration
        self.record.append(line)
        self._characters += len(line)
        if self._characters > RECORD_CHARACTERS or len(self.record) > RECORD_LINES:
            raise csv.Error
        return line

    def begin(self) -> None:
        """Begin a record after the lines of the last one."""
        self.number += len(self.record)
        self.record.clear()
        self._characters = 0

    def give_back(self, *, keep: int = 0) -> None:
        """Have the record's lines read again, but for the first `keep`."""
        self._given_back.extendleft(reversed(self.record[keep:]))
        del self.record[keep:]

    def give_up(self) -> str:
        """Give back all but the record's first line, and say what was wrong with it."""
        too_long = len(self.record[0]) > RECORD_CHARACTERS
        self.give_back(keep=1)
        if too_long:
            return f"the line is longer than {RECORD_CHARACTERS:,} characters"
        if '"' not in self.record[0]:
            return f"a cell is longer than {csv.field_size_limit():,} characters"
        return "a quotation mark is left open, or stands inside a quoted cell without its double"

    def _read(self) -> str:
        line = self._text.readline(RECORD_CHARACTERS + 1)
        if len(line) > RECORD_CHARACTERS:
            rest = line
            while rest and rest[-1] not in "\r\n":
                rest = self._text.readline(_READ_BYTES)
        if not self._bytewise or line.isascii():
            return line
        data = line.encode("latin-1")
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return data.decode("cp1252", "surrogateescape")


def _find_separator(lines: _Lines) -> str:
    """Tell the separator from the first line that is not blank; only `sep=` is used up."""
    line = "\n"
    while line and not line.strip():
        lines.begin()
        try:
            line = next(lines, "")
        except csv.Error:  # too long; it will be met again
            break
    if match := _EXCEL_SEPARATOR.fullmatch(line):
        return match[1]
    lines.give_back()
    unquoted = re.sub(r'"[^"]*"?', "", line)
    return max(_SEPARATORS, key=unquoted.count)
