"""A sink of the project's own: PIPELINING, CHUNKING and, if wanted, a round trip of its own.

smtp-sink has no CHUNKING, so what BDAT is worth shows here. A chunk is skipped by its length,
and the end of DATA found by one search for the dot, never by going through lines. Messages
are counted and thrown away.

With a delay every answer is kept back for a round trip (the greeting for two: the handshake
takes one), which to a client that waits for answers is the same as a delay on the path. It
costs nothing for the bytes of a message, where the proxy has to carry each of them, in Python,
on a core that the sender may need. What it does not do is delay the client's own words: the
server acts on them at once, which no client can see. Round trips are counted as the proxy does.

`python -m tests.bench.chunking_sink DELAY_MS` serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

from tests.bench.companion import serve_until_input_ends
from tests.bench.proxy import Lane

_END = b"\r\n.\r\n"
_READ_BYTES = 1 << 18
_LONGEST_LINE = 4096
_HELLO = (
    b"250-sink.example\r\n250-PIPELINING\r\n250-SIZE 100000000\r\n250-8BITMIME\r\n250 CHUNKING\r\n"
)


class Conversation(asyncio.BufferedProtocol):
    """One client: commands, then a chunk of known length or data up to its dot."""

    def __init__(self, sink: ChunkingSink) -> None:
        self._sink = sink
        self._line = b""
        """What has come of a command line."""
        self._left = 0
        """Bytes of the chunk that are still to come."""
        self._is_last = False
        self._tail: bytes | None = None
        """Within DATA the last bytes that came, among which its end may have begun."""
        self._recipients = 0
        self._spoke = False
        self._lane = Lane(sink.round_trip_seconds, self._on_answer)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._sink.connections += 1
        self._sink.transports.add(transport)
        self._lane.open(transport)
        delay = self._sink.round_trip_seconds
        asyncio.get_running_loop().call_later(delay, self._lane.put, b"220 sink.example ESMTP\r\n")

    def connection_lost(self, error: Exception | None) -> None:
        self._sink.transports.discard(self._transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._sink.view

    def buffer_updated(self, nbytes: int) -> None:
        self._spoke = True
        answers = self._read(self._sink.buffer, nbytes)
        if not answers:
            return
        if self._sink.round_trip_seconds:
            self._lane.put(answers)
        else:
            self._on_answer()
            self._transport.write(answers)
        if answers.startswith(b"221", answers.rfind(b"\n", 0, -1) + 1):
            self._lane.put(None)

    def _on_answer(self) -> None:
        self._sink.round_trips += self._spoke
        self._spoke = False

    def _read(self, data: bytearray, size: int) -> bytes:
        """Go through what has come; give the answers to it."""
        answers = []
        at = 0
        while at < size:
            if self._left:
                taken = min(self._left, size - at)
                self._left -= taken
                at += taken
                if not self._left:
                    answers.append(self._end_chunk())
            elif self._tail is not None:
                at, ended = self._skip_data(self._tail, data, at, size)
                if ended:
                    answers.append(self._accept())
            else:
                end = data.find(b"\n", at, size) + 1
                line = self._line + data[at : end or size]
                at = end or size
                self._line = b"" if end else line
                if end or len(line) > _LONGEST_LINE:
                    answers.append(self._obey(line))
        return b"".join(answers)

    def _skip_data(self, tail: bytes, data: bytearray, at: int, size: int) -> tuple[int, bool]:
        """Look for the end of DATA; tell where to go on, and whether it was there."""
        seam = tail + data[at : min(at + len(_END) - 1, size)]
        found = seam.find(_END)
        if found >= 0:
            self._tail = None
            return at + found + len(_END) - len(tail), True
        found = data.find(_END, at, size)
        if found >= 0:
            self._tail = None
            return found + len(_END), True
        self._tail = (seam if size - at < len(_END) else bytes(data[size - 4 : size]))[-4:]
        return size, False

    def _obey(self, line: bytes) -> bytes:
        verb, _, rest = line.strip().upper().partition(b" ")
        if verb == b"RCPT":
            self._recipients += 1
            return b"250 2.1.5 Ok\r\n"
        if verb == b"MAIL":
            self._recipients = 0
            return b"250 2.1.0 Ok\r\n"
        if verb == b"BDAT":
            length, _, last = rest.partition(b" ")
            self._left, self._is_last = int(length), last == b"LAST"
            return b"" if self._left else self._end_chunk()
        if verb == b"DATA" and self._recipients:
            self._tail = b"\r\n"  # a dot may be all there is (RFC 5321 §4.1.1.4)
            return b"354 End with a dot\r\n"
        return _ANSWERS.get(verb, b"503 5.5.1 Not now\r\n")

    def _end_chunk(self) -> bytes:
        if not self._recipients:
            return b"503 5.5.1 Whom is it for?\r\n"
        return self._accept() if self._is_last else b"250 2.0.0 Ok\r\n"

    def _accept(self) -> bytes:
        self._recipients = 0
        self._sink.messages += 1
        return b"250 2.0.0 Ok: queued as %X\r\n" % self._sink.messages


_ANSWERS = {
    b"EHLO": _HELLO,
    b"HELO": b"250 sink.example\r\n",
    b"RSET": b"250 2.0.0 Ok\r\n",
    b"NOOP": b"250 2.0.0 Ok\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
}


class ChunkingSink:
    """Listens on a free port of loopback while the block lasts."""

    def __init__(self, round_trip_seconds: float = 0.0) -> None:
        self.round_trip_seconds = round_trip_seconds
        self.connections = 0
        self.messages = 0
        self.round_trips = 0
        self.transports: set[asyncio.Transport] = set()
        self.buffer = bytearray(_READ_BYTES)
        self.view = memoryview(self.buffer)

    async def __aenter__(self) -> ChunkingSink:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: Conversation(self), "127.0.0.1", 0, backlog=1024
        )
        self.port: int = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for transport in self.transports:
            transport.abort()
        await asyncio.sleep(0)  # they are closed in the loop's next round

    def count(self) -> dict[str, int]:
        """Tell what was counted."""
        return {
            "messages": self.messages,
            "connections": self.connections,
            "round_trips": self.round_trips,
        }


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve_until_input_ends(ChunkingSink(float(sys.argv[1]) / 1000)))
