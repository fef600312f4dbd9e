"""The project's own sink: what it counts is what was sent, however the packets are cut."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from tests.bench.chunking_sink import ChunkingSink

ROUND_TRIP_SECONDS = 0.04
HELLO = b"EHLO news.example\r\n"
ENVELOPE = b"MAIL FROM:<a@news.example>\r\nRCPT TO:<b@example.org>\r\n"
CHUNK = b"BDAT 12 LAST\r\n12345\r\n.\r\n90"
DATA = b"DATA\r\none\r\n..two\r\n.three.\r\n.\r\n"
REPLIES = {HELLO: 5, ENVELOPE: 2, CHUNK: 1, DATA: 2}


@asynccontextmanager
async def talking(
    sink: ChunkingSink,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
    assert (await reader.readline()).startswith(b"220 ")
    yield reader, writer
    writer.write(b"QUIT\r\n")
    assert (await reader.readline()).startswith(b"221 ")
    assert await reader.read() == b"", "it hangs up"
    writer.close()
    await writer.wait_closed()


def send_pieces(pieces: Sequence[bytes], replies: int) -> tuple[list[bytes], ChunkingSink]:
    async def go() -> tuple[list[bytes], ChunkingSink]:
        async with ChunkingSink() as sink:
            async with talking(sink) as (reader, writer):
                for piece in pieces:
                    writer.write(piece)
                    await asyncio.sleep(0)
                codes = [(await reader.readline())[:4] for _ in range(replies)]
            return codes, sink

    return asyncio.run(go())


@pytest.mark.parametrize("seed", range(20))
def test_messages_are_counted_however_they_are_cut(seed: int) -> None:
    chance = random.Random(seed)
    parts = [HELLO]
    for _ in range(6):
        parts += [ENVELOPE, chance.choice((CHUNK, DATA))]
    said = b"".join(parts)
    cuts = sorted(chance.sample(range(1, len(said)), chance.choice((0, 3, len(said) - 1))))
    pieces = [said[a:b] for a, b in pairwise([0, *cuts, len(said)])]
    codes, sink = send_pieces(pieces, sum(REPLIES[part] for part in parts))
    assert sink.messages == 6
    assert set(codes) <= {b"250-", b"250 ", b"354 "}


def test_several_chunks_make_one_message_and_none_of_them_nothing_without_a_reader() -> None:
    said = ENVELOPE + b"BDAT 5\r\nhalloBDAT 0 LAST\r\n" + b"BDAT 3 LAST\r\nabc" + b"BDAT 0\r\n"
    codes, sink = send_pieces([said], 6)
    assert codes == [b"250 ", b"250 ", b"250 ", b"250 ", b"503 ", b"503 "]
    assert sink.messages == 1


def test_an_empty_message_ends_with_its_first_line() -> None:
    _, sink = send_pieces([ENVELOPE + b"DATA\r\n.\r\n"], 4)
    assert sink.messages == 1


def test_its_own_delay_is_that_of_a_path() -> None:
    """Of three, the quickest: a busy machine delays, it never hurries."""

    async def go() -> None:
        connecting, asking = [], []
        async with ChunkingSink(ROUND_TRIP_SECONDS) as sink:
            for _ in range(3):
                began = time.perf_counter()
                async with talking(sink) as (reader, writer):
                    greeted = time.perf_counter()
                    writer.write(HELLO)
                    for _ in range(REPLIES[HELLO]):
                        await reader.readline()
                    asking.append(time.perf_counter() - greeted)
                connecting.append(greeted - began)
            assert sink.round_trips == 6, "a question and QUIT each"
        assert 1.95 <= min(connecting) / ROUND_TRIP_SECONDS < 2.5
        assert 0.95 <= min(asking) / ROUND_TRIP_SECONDS < 1.5

    asyncio.run(go())
