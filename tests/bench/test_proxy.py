from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from tests.bench.proxy import DelayProxy

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ROUND_TRIP_SECONDS = 0.04


@asynccontextmanager
async def delayed(talk: Talk) -> AsyncIterator[DelayProxy]:
    """Serve `talk` behind a proxy."""

    talks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await talk(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        async with DelayProxy("127.0.0.1", port, ROUND_TRIP_SECONDS) as proxy:
            yield proxy
        await asyncio.gather(*talks)


async def greet_and_echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 here\n")
    while line := await reader.readline():
        writer.write(line)


def test_a_connection_takes_two_round_trips_and_a_question_one() -> None:
    """Of three, the quickest: a busy machine delays, it never hurries."""

    async def go() -> None:
        connecting, asking = [], []
        async with delayed(greet_and_echo) as proxy:
            for _ in range(3):
                began = time.perf_counter()
                reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
                assert await reader.readline() == b"220 here\n"
                greeted = time.perf_counter()
                writer.write(b"a question\n")
                assert await reader.readline() == b"a question\n"
                asking.append(time.perf_counter() - greeted)
                connecting.append(greeted - began)
                writer.close()
                await writer.wait_closed()
            assert 1.95 <= min(connecting) / ROUND_TRIP_SECONDS < 2.5
            assert 0.95 <= min(asking) / ROUND_TRIP_SECONDS < 1.5
            assert (proxy.connections, proxy.round_trips) == (3, 3)

    asyncio.run(go())


def test_what_is_said_without_waiting_costs_one_round_trip() -> None:
    async def go() -> None:
        async with delayed(greet_and_echo) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            await reader.readline()
            for _ in range(5):
                writer.write(b"a question\n")
                await asyncio.sleep(0.001)
            for _ in range(5):
                await reader.readline()
            writer.close()
            await writer.wait_closed()
            assert proxy.round_trips == 1

    asyncio.run(go())


def test_megabytes_arrive_in_order_and_then_the_end() -> None:
    data = b"".join(number.to_bytes(4, "big") for number in range(1 << 20))

    async def tell_all(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    async def go() -> None:
        async with delayed(tell_all) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            assert await reader.read() == data
            writer.close()
            await writer.wait_closed()

    asyncio.run(go())


def test_a_client_that_leaves_is_gone_for_the_server_too() -> None:
    heard: list[bytes] = []

    async def go() -> None:
        gone = asyncio.Event()

        async def listen(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            heard.append(await reader.read())
            gone.set()

        async with delayed(listen) as proxy:
            _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(b"QUIT\n")
            writer.close()
            await writer.wait_closed()
            async with asyncio.timeout(2):
                await gone.wait()

    asyncio.run(go())
    assert heard == [b"QUIT\n"]


def test_without_a_server_the_client_is_hung_up_on() -> None:
    async def go() -> None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        async with DelayProxy("127.0.0.1", port, ROUND_TRIP_SECONDS) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            async with asyncio.timeout(2):
                with suppress(ConnectionResetError):
                    assert await reader.read() == b""
            writer.close()
            with suppress(ConnectionResetError):
                await writer.wait_closed()

    asyncio.run(go())
