"""A relay's name with several addresses, each of them another scripted relay."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from newsletter.delivery.channel import Channel, OpenChannel, build_opener
from newsletter.errors import ConnectionLost, RelayRefusedUs, RelayUnavailable
from newsletter.smtp.connection import Timeouts
from newsletter.smtp.protocol import Envelope, Reply
from newsletter.smtp.relay import Relay, parse_relay
from newsletter.smtp.tokens import TokenCommand
from tests.relays import HOST, Script, ScriptedRelay, drop, silence

ENVELOPE = Envelope(sender="bounce@news.example", recipient="ada@reader.example")
CONTENT = b"Subject: today\r\n\r\nthe end\r\n"
QUICK = Timeouts(connect=2, greeting=1, hello=2, mail=2, rcpt=2, data=2, block=2, dot=2, quit=0.5)
NAME = Relay(kind="smtp", host="relay.example", port=25)
WINDOWED = ("PIPELINING", "CHUNKING", "ENHANCEDSTATUSCODES")


@contextlib.contextmanager
def named(*ports: int) -> Iterator[mock.Mock]:
    """Have every name mean these ports, in this order."""
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (HOST, port)) for port in ports
    ]
    with mock.patch("socket.getaddrinfo", return_value=found) as lookup:
        yield lookup


@contextlib.contextmanager
def two(
    first: Script, second: Script | None = None, *, offers: tuple[str, ...] = ()
) -> Iterator[tuple[ScriptedRelay, ScriptedRelay]]:
    """Have every name mean two addresses, and a relay at each."""
    with (
        ScriptedRelay(first, offers=offers) as one,
        ScriptedRelay(second, offers=offers) as other,
        named(one.port, other.port),
    ):
        yield one, other


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    with socket.socket() as free:
        free.bind((HOST, 0))
        yield int(free.getsockname()[1])


def opener(relay: Relay = NAME, *, window: int = 1) -> OpenChannel:
    return build_opener(relay, ehlo_name="news.example", timeouts=QUICK, window=window)


async def open_and_close(open_channel: OpenChannel, times: int = 1) -> None:
    for _ in range(times):
        await (await open_channel()).close()


async def send(channel: Channel) -> None:
    if channel.window > 1:
        channel.post(ENVELOPE, CONTENT)
        verdict = await channel.collect()
        assert isinstance(verdict, Reply)
    else:
        assert await channel.prepare(ENVELOPE, CONTENT) is None
        verdict = await channel.finish()
    assert verdict.positive


@pytest.mark.parametrize("host", ["relay.example", "127.0.0.1"])
def test_one_address_is_looked_up_once(host: str) -> None:
    with ScriptedRelay() as relay, named(relay.port) as lookup:
        url = f"smtp://{host}:{relay.port}?tls=none"
        asyncio.run(open_and_close(opener(parse_relay(url))))
        assert lookup.call_count == 1
    assert len(relay.sessions) == 1


def test_one_address_that_fails_is_tried_once_by_each_opening(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ScriptedRelay({"connect": ("421 4.3.2 too busy", drop)}) as relay, named(relay.port):
        open_channel = opener()
        for _ in range(2):
            with pytest.raises(RelayUnavailable) as raised:
                asyncio.run(open_and_close(open_channel))
            assert str(raised.value) == (
                "smtp://relay.example:25 put off the connection (421 4.3.2 too busy); the same "
                "command goes on later; nobody was mailed by this try."
            )
    assert len(relay.sessions) == 2
    assert not caplog.records


def test_a_dot_does_not_wait_for_the_content_to_be_acknowledged() -> None:
    """Else each message takes the other side's 40 ms of patience, on any machine."""

    async def look(relay: ScriptedRelay) -> int:
        channel: Any = await build_opener(parse_relay(relay.url), ehlo_name="news.example")()
        sock = channel._wire._transport.get_extra_info("socket")
        try:
            return int(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        finally:
            await channel.close()

    with ScriptedRelay() as relay:
        assert asyncio.run(look(relay))


def test_a_resolver_that_is_out_of_files_passes() -> None:
    out_of_files = OSError(errno.EMFILE, "words of the resolver")
    with (
        mock.patch("socket.getaddrinfo", side_effect=out_of_files),
        pytest.raises(RelayUnavailable, match=r"could not be looked up \(Too many open files\)"),
    ):
        asyncio.run(open_and_close(opener()))


@pytest.mark.parametrize(
    "script",
    [
        {"connect": ("421 4.3.2 too busy", drop)},
        {"connect": drop},
        {"connect": silence},
        {"EHLO": "451 4.3.0 not now"},
        {"EHLO": drop},
    ],
    ids=["421", "dropped", "silent", "451 to EHLO", "dropped at EHLO"],
)
def test_an_address_that_fails_is_passed_over_and_remembered(
    script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    with two(script) as (failing, working):
        asyncio.run(open_and_close(opener(), times=3))
    assert len(failing.sessions) == 1
    assert len(working.sessions) == 3
    [record] = caplog.records
    assert record.getMessage().startswith("smtp://relay.example:25 ")
    assert record.getMessage().endswith(" at 127.0.0.1: that address comes last for a while")


def test_an_address_that_takes_no_connections_is_remembered() -> None:
    dialled: list[object] = []

    class Watched(asyncio.SelectorEventLoop):
        async def sock_connect(self, sock: socket.socket, address: Any) -> None:
            dialled.append(address)
            await super().sock_connect(sock, address)

    with (
        ScriptedRelay() as relay,
        free_port() as nobody,
        named(nobody, relay.port),
        asyncio.Runner(loop_factory=Watched) as runner,
    ):
        runner.run(open_and_close(opener(), times=2))
    assert dialled == [(HOST, nobody), (HOST, relay.port), (HOST, relay.port)]
    assert len(relay.sessions) == 2


def test_where_all_fail_each_is_tried_once() -> None:
    busy: Script = {"connect": ("421 4.3.2 too busy", drop)}
    with two(busy, {"EHLO": drop}) as (first, second):
        open_channel = opener()
        for tries in (1, 2):
            with pytest.raises(RelayUnavailable):
                asyncio.run(open_and_close(open_channel))
            assert len(first.sessions) == len(second.sessions) == tries


def test_nobody_takes_connections() -> None:
    with (
        free_port() as one,
        free_port() as other,
        named(one, other),
        pytest.raises(RelayUnavailable) as raised,
    ):
        asyncio.run(open_and_close(opener()))
    assert str(raised.value) == (
        "smtp://relay.example:25 could not be reached (Connection refused); check "
        "delivery.relay and that the relay is up; nobody was mailed by this try."
    )


def test_a_silent_address_holds_up_nobody_for_long() -> None:
    with socket.socket() as full, contextlib.ExitStack() as stack, ScriptedRelay() as relay:
        full.bind((HOST, 0))
        full.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        with named(full.getsockname()[1], relay.port):
            asyncio.run(open_and_close(opener()))
    assert len(relay.sessions) == 1


def test_a_refusal_of_ourselves_is_the_relays_whole_answer() -> None:
    with (
        two({"connect": "554 5.7.1 not you"}) as (_, other),
        pytest.raises(RelayRefusedUs, match="refused the connection"),
    ):
        asyncio.run(open_and_close(opener()))
    assert other.sessions == []


def test_a_token_that_cannot_be_had_is_no_addresss_fault() -> None:
    relay = Relay(kind="smtp", host="localhost", port=25, user="u", auth="xoauth2")
    open_channel = build_opener(
        relay,
        ehlo_name="news.example",
        timeouts=QUICK,
        tokens=TokenCommand(["/bin/sh", "-c", "exit 75"]),
    )
    with (
        two({}, offers=("AUTH XOAUTH2",)) as (one, other),
        pytest.raises(RelayUnavailable, match="token_command"),
    ):
        asyncio.run(open_and_close(open_channel))
    assert len(one.sessions) == 1
    assert other.sessions == []


@pytest.mark.parametrize("goodbye", [drop, ("421 4.3.2 going down", drop)], ids=["dropped", "421"])
@pytest.mark.parametrize("window", [1, 3])
def test_an_address_that_breaks_off_at_mail_is_remembered(goodbye: Any, window: int) -> None:
    async def scenario() -> None:
        open_channel = opener(window=window)
        channel = await open_channel()
        with contextlib.suppress(ConnectionLost, AssertionError):
            await send(channel)
        channel.abort()
        for _ in range(2):
            channel = await open_channel()
            await send(channel)
            await channel.close()

    offers = WINDOWED if window > 1 else ()
    with two({"MAIL": goodbye}, offers=offers) as (failing, working):
        asyncio.run(scenario())
    assert len(failing.sessions) == 1
    assert len(working.accepted) == 2


def test_an_address_that_hangs_up_later_is_not_blamed() -> None:
    async def scenario() -> None:
        open_channel = opener()
        channel = await open_channel()
        await send(channel)
        with pytest.raises(ConnectionLost):
            await channel.prepare(ENVELOPE, CONTENT)
        await open_and_close(open_channel)

    with two({".": ("250 2.0.0 queued", drop)}) as (first, other):
        asyncio.run(scenario())
    assert len(first.sessions) == 2
    assert other.sessions == []
