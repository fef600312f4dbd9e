"""A TCP proxy that adds a round trip to every connection, and counts the round trips taken.

What comes in on either side leaves half a round trip later, in order, at any bandwidth. A
connection costs what it does on a real path: the server is called one and a half round trips
after the client calls (SYN, SYN-ACK, ACK), so its greeting arrives after two. A side that
closes is closed to the other half a round trip later.

A round trip is counted when the server's words reach a client that has spoken since the last
ones did: so often the conversation had to wait for the path, whatever the path's length.

`python -m tests.bench.proxy HOST PORT DELAY_MS` serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from collections.abc import Callable

from tests.bench.companion import serve_until_input_ends

# epoll waits whole milliseconds and rounds up: what is due within half of one goes at once,
# so that the delay is right on average.
_TICK_SECONDS = 0.0005
_HIGH_WATER_BYTES = 1 << 20
_READ_BYTES = 1 << 18


class Lane:
    """One direction of a conversation: a queue that everything spends the same time in."""

    def __init__(
        self, delay_seconds: float, on_delivery: Callable[[], None] = lambda: None
    ) -> None:
        self._delay = delay_seconds
        self._on_delivery = on_delivery
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, bytes | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._target: asyncio.Transport | None = None

    def put(self, data: bytes | None) -> None:
        """Take in bytes, or None for the end."""
        self._queue.append((self._loop.time() + self._delay, data))
        self._schedule()

    def open(self, target: asyncio.Transport) -> None:
        """Say where it leads; until then everything waits."""
        self._target = target
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is None and self._queue and self._target is not None:
            self._timer = self._loop.call_at(self._queue[0][0] - _TICK_SECONDS, self._deliver)

    def _deliver(self) -> None:
        assert self._target is not None
        self._timer = None
        now = self._loop.time() + _TICK_SECONDS
        while self._queue and self._queue[0][0] <= now:
            _, data = self._queue.popleft()
            if data is None:
                self._target.close()
            elif not self._target.is_closing():
                self._on_delivery()
                self._target.write(data)
        self._schedule()


class Side(asyncio.BufferedProtocol):
    """One end of a conversation: what it hears goes into its lane."""

    def __init__(self, proxy: DelayProxy, lane: Lane, back: Lane) -> None:
        self._proxy, self._lane, self._back = proxy, lane, back
        self.transport: asyncio.Transport | None = None
        self.other: Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)
        self.transport = transport
        self._proxy.transports.add(transport)
        self._back.open(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._proxy.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._lane.put(bytes(self._proxy.buffer[:nbytes]))

    def connection_lost(self, error: Exception | None) -> None:
        assert self.transport is not None
        self._proxy.transports.discard(self.transport)
        self._lane.put(None)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()


class ClientSide(Side):
    """The client's end: it calls the server, and counts."""

    def __init__(self, proxy: DelayProxy) -> None:
        half = proxy.round_trip_seconds / 2
        super().__init__(proxy, Lane(half), Lane(half, self._on_answer))
        self._spoke = False
        self._calling: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._proxy.connections += 1
        self._calling = asyncio.create_task(self._call())

    def buffer_updated(self, nbytes: int) -> None:
        self._spoke = True
        super().buffer_updated(nbytes)

    def _on_answer(self) -> None:
        self._proxy.round_trips += self._spoke
        self._spoke = False

    async def _call(self) -> None:
        await asyncio.sleep(1.5 * self._proxy.round_trip_seconds)
        server = Side(self._proxy, self._back, self._lane)
        self.other, server.other = server, self
        try:
            await asyncio.get_running_loop().create_connection(lambda: server, *self._proxy.server)
        except OSError:
            assert self.transport is not None
            self.transport.abort()


class DelayProxy:
    """Listens on a free port of loopback while the block lasts."""

    def __init__(self, host: str, port: int, round_trip_seconds: float) -> None:
        self.server = host, port
        self.round_trip_seconds = round_trip_seconds
        self.connections = 0
        self.round_trips = 0
        self.transports: set[asyncio.Transport] = set()
        """Those of both sides of every conversation."""
        self.buffer = memoryview(bytearray(_READ_BYTES))
        """What all sides read into, one after another: half the cost of a buffer for each read."""

    async def __aenter__(self) -> DelayProxy:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: ClientSide(self), "127.0.0.1", 0, backlog=1024
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
        return {"connections": self.connections, "round_trips": self.round_trips}


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        proxy = DelayProxy(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1000)
        asyncio.run(serve_until_input_ends(proxy))
