"""A quick SMTP server in a process of its own that keeps the truth: what it really took in.

It appends a line to a file before it answers: when, what it did, for whom, the SHA-256 of the
content and the Message-ID. It outlives the senders and knows nothing of their ledger. Every
so-many-th reader's first copy can be put off (451 after the dot), or met with silence: the
connection ends after the dot, and half of those copies are kept all the same.

A verb of its own, XQUIET, is answered when no other connection is open any more: then what a
killed sender had handed to the kernel has been read to its end.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple, Self
from zlib import crc32

_MESSAGE_ID = re.compile(rb"^message-id:\s*(<[^>\r\n]+>)", re.IGNORECASE | re.MULTILINE)
_END = b"\r\n.\r\n"
_SECONDS = 60.0


class Copy(NamedTuple):
    """One message that came whole: its final dot was read."""

    at_ns: int
    verdict: str
    """"kept": accepted with 250. "lost": kept, but the connection ended without an answer.
    "dropped": that, and not kept. "put_off": 451, and not kept."""
    recipient: str
    digest: str
    message_id: str


def digest(content: bytes) -> str:
    """Give the SHA-256 of a message, however many of its dots are doubled."""
    return hashlib.sha256(content.replace(b"\r\n..", b"\r\n.")).hexdigest()


class Sink:
    """Run the sink for the length of a `with` block."""

    def __init__(
        self,
        folder: Path,
        *,
        offers: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"),
        put_off: int = 0,
        drop: int = 0,
        thinks_seconds: float = 0.0,
    ) -> None:
        self._log = folder / "sink.log"
        self._arguments = [
            *(f"--offer={word}" for word in offers),
            *(f"--put-off={put_off}", f"--drop={drop}", f"--thinks={thinks_seconds}"),
        ]
        self._copies: list[Copy] = []
        self._read = 0

    def __enter__(self) -> Self:
        self._log.write_bytes(b"")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.proofs.sink", str(self._log), *self._arguments],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}?tls=none"

    @property
    def copies(self) -> list[Copy]:
        """Everything that came whole, in its order."""
        with self._log.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode().splitlines():
            at, *words = line.split(" ")
            self._copies.append(Copy(int(at), *words))
        return self._copies

    @property
    def kept(self) -> Counter[str]:
        """Copies that were kept, by recipient."""
        return Counter(c.recipient for c in self.copies if c.verdict in ("kept", "lost"))

    def forget(self) -> None:
        """Begin a new count."""
        self.wait_until_quiet()
        self.copies.clear()

    def wait_for(self, count: int, seconds: float = _SECONDS) -> bool:
        """Wait until so many copies came; False when the time is over first."""
        end = time.monotonic() + seconds
        while len(self.copies) < count:
            if time.monotonic() > end:
                return False
            time.sleep(0.001)
        return True

    def wait_until_quiet(self) -> None:
        """Wait until nobody is connected, and so everything that was sent has been read."""
        with socket.create_connection(("127.0.0.1", self.port), _SECONDS) as asking:
            asking.sendall(b"XQUIET\r\n")
            said = b""
            while b"Quiet" not in said:
                more = asking.recv(1000)
                assert more, "the sink is gone"
                said += more


# -- the process -----------------------------------------------------------------------------------


class _House:
    """What all dialogues share."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.log = os.open(arguments.log, os.O_WRONLY | os.O_APPEND)
        self.copies: Counter[bytes] = Counter()
        self.open: set[_Dialogue] = set()
        self.listening: set[_Dialogue] = set()

    def judge(self, recipient: bytes) -> str:
        self.copies[recipient] += 1
        chance = crc32(recipient)
        if self.copies[recipient] == 1:
            if self.arguments.put_off and chance % self.arguments.put_off == 0:
                return "put_off"
            if self.arguments.drop and chance % self.arguments.drop == 1:
                return "lost" if chance // self.arguments.drop % 2 else "dropped"
        return "kept"

    def keep(self, recipient: bytes, content: bytes, verdict: str) -> None:
        found = _MESSAGE_ID.search(content[: content.find(b"\r\n\r\n") + 2])
        line = b"%d %s %s %s %s\n" % (
            time.time_ns(),
            verdict.encode(),
            recipient,
            digest(content).encode(),
            found[1] if found else b"-",
        )
        os.write(self.log, line)

    def look_whether_quiet(self) -> None:
        if self.open == self.listening:
            for dialogue in self.listening:
                dialogue.say(b"250 2.0.0 Quiet")


class _Dialogue(asyncio.Protocol):
    def __init__(self, house: _House) -> None:
        self._house = house
        self._buffer = bytearray()
        self._scanned = 0
        self._recipient = b""
        self._chunks = b""
        self._in_content = False
        self._thinking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._house.open.add(self)
        self.say(b"220 sink.example ESMTP")

    def connection_lost(self, error: Exception | None) -> None:
        self._house.open.discard(self)
        self._house.listening.discard(self)
        self._house.look_whether_quiet()

    def say(self, reply: bytes) -> None:
        self._transport.write(reply + b"\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._go_on()

    def _go_on(self) -> None:
        while not self._thinking and not self._transport.is_closing():
            if not (self._take_content() if self._in_content else self._take_command()):
                return

    def _take_content(self) -> bool:
        end = self._buffer.find(_END, max(0, self._scanned - len(_END)))
        if end < 0:
            self._scanned = len(self._buffer)
            return False
        content = bytes(self._buffer[: end + 2])
        del self._buffer[: end + len(_END)]
        self._scanned = 0
        self._in_content = False
        self._judge(content)
        return True

    def _take_command(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        line = bytes(self._buffer[:end])
        verb, _, rest = line.partition(b" ")
        if verb.upper() == b"BDAT":
            size, _, last = rest.partition(b" ")
            whole = end + 2 + int(size)
            if len(self._buffer) < whole:
                return False
            self._chunks += self._buffer[end + 2 : whole]
            del self._buffer[:whole]
            if last:
                content, self._chunks = self._chunks, b""
                self._judge(content)
            else:
                self.say(b"250 2.0.0 Go on")
            return True
        del self._buffer[: end + 2]
        self._obey(verb.upper(), rest)
        return True

    def _obey(self, verb: bytes, rest: bytes) -> None:
        if verb == b"EHLO":
            offers = self._house.arguments.offer
            lines = [b"sink.example", *(word.encode() for word in offers)]
            for line in lines[:-1]:
                self.say(b"250-" + line)
            self.say(b"250 " + lines[-1])
        elif verb == b"RCPT":
            self._recipient = rest[rest.find(b"<") + 1 : rest.rfind(b">")]
            self.say(b"250 2.1.5 OK")
        elif verb == b"DATA":
            self._in_content = True
            self.say(b"354 Go on")
        elif verb == b"QUIT":
            self.say(b"221 2.0.0 Goodbye")
            self._transport.close()
        elif verb == b"XQUIET":
            self._house.listening.add(self)
            self._house.look_whether_quiet()
        else:  # MAIL, RSET, NOOP
            self.say(b"250 2.0.0 OK")

    def _judge(self, content: bytes) -> None:
        verdict = self._house.judge(self._recipient)
        self._house.keep(self._recipient, content, verdict)
        if verdict in ("lost", "dropped"):
            self._transport.abort()
        elif self._house.arguments.thinks:
            self._thinking = True
            loop = asyncio.get_running_loop()
            loop.call_later(self._house.arguments.thinks, self._answer, verdict)
        else:
            self._answer(verdict)

    def _answer(self, verdict: str) -> None:
        self.say(b"250 2.0.0 Kept" if verdict == "kept" else b"451 4.3.0 Later")
        if self._thinking:
            self._thinking = False
            self._go_on()


async def _serve() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("log")
    parser.add_argument("--offer", action="append", default=[])
    parser.add_argument("--put-off", type=int)
    parser.add_argument("--drop", type=int)
    parser.add_argument("--thinks", type=float)
    house = _House(parser.parse_args())
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Dialogue(house), "127.0.0.1", 0, backlog=500)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
