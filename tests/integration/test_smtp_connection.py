"""Connections over real sockets, against a relay that plays a script and against aiosmtpd."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import ssl
import time
import warnings
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from aiosmtpd.smtp import Envelope as TheirEnvelope
from aiosmtpd.smtp import Session as TheirSession

from newsletter.errors import (
    ConfigurationError,
    ConnectionLost,
    NewsletterError,
    RelayRefusedUs,
    RelayUnavailable,
)
from newsletter.smtp.connection import Connection, Timeouts, build_tls_context
from newsletter.smtp.protocol import Envelope, LocalProtocolError, Phase, Refused, Reply
from newsletter.smtp.relay import Relay, parse_relay
from tests.relays import (
    HOST,
    Authority,
    Peer,
    Script,
    ScriptedRelay,
    Step,
    drip,
    drop,
    half_close,
    read,
    reset,
    silence,
    until,
    wait,
)

SENDER = "bounce@news.example"
ENVELOPE = Envelope(sender=SENDER, recipient="ada@reader.example")
CONTENT = b"Subject: today\r\n\r\n.dots\r\n..\r\n.\r\nthe end\r\n"
QUICK = Timeouts(connect=2, greeting=2, hello=2, mail=2, rcpt=2, data=2, block=2, dot=2, quit=0.5)
LOGIN = ("user@news.example", "pässword")
HUGE = (b"x" * 76 + b"\r\n") * 100_000  # more than any kernel buffers for one connection

T = TypeVar("T")


trust = functools.cache(build_tls_context)  # the system's authorities take 30 ms to read


def run(scenario: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(scenario)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(params=["none", "starttls", "implicit"])
def protection(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def connect(
    relay: ScriptedRelay, authority: Authority | None = None, timeouts: Timeouts = QUICK
) -> Connection:
    return await Connection.open(
        parse_relay(relay.url, password=LOGIN[1]),
        ehlo_name="news.example",
        tls=trust(authority.ca_file if authority else None),
        timeouts=timeouts,
    )


def protected(
    protection: str, authority: Authority, script: Script | None = None, **options: Any
) -> ScriptedRelay:
    return ScriptedRelay(
        script,
        tls=None if protection == "none" else authority.issue(),
        implicit=protection == "implicit",
        **options,
    )


async def prepared(connection: Connection, content: bytes = CONTENT) -> Connection:
    refused = await connection.prepare(ENVELOPE, content)
    assert refused is None
    return connection


async def send_one(relay: ScriptedRelay, authority: Authority | None = None) -> Reply:
    connection = await connect(relay, authority)
    try:
        return await (await prepared(connection)).finish()
    finally:
        await connection.close()


def open_error(
    relay: ScriptedRelay, authority: Authority | None = None, timeouts: Timeouts = QUICK
) -> NewsletterError:
    """Open a connection that cannot be had; give the error, which must be a good sentence."""
    with pytest.raises(NewsletterError) as raised:
        run(connect(relay, authority, timeouts))
    sentence = str(raised.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert LOGIN[1] not in sentence
    return raised.value


def lost_after(script: Script, *, content: bytes = CONTENT, **timeouts: float) -> ConnectionLost:
    """Send a message to a relay that breaks off; give what the caller gets to know."""

    async def scenario(relay: ScriptedRelay) -> ConnectionLost:
        connection = await connect(relay, timeouts=replace(QUICK, **timeouts))
        with pytest.raises(ConnectionLost) as raised:
            await (await prepared(connection, content)).finish()
        assert not connection.usable
        with pytest.raises(ConnectionLost) as next_one:
            await connection.prepare(ENVELOPE, content)
        assert not next_one.value.in_doubt
        await connection.close()
        return raised.value

    with ScriptedRelay(script, receive_buffer_bytes=4096) as relay:
        return run(scenario(relay))


# -- messages --------------------------------------------------------------------------------------


def test_several_messages_go_over_one_connection(protection: str, authority: Authority) -> None:
    async def scenario(relay: ScriptedRelay) -> None:
        connection = await connect(relay, authority)
        for number in range(5):
            recipient = f"reader{number}@reader.example"
            envelope = Envelope(sender=SENDER, recipient=recipient)
            assert await connection.prepare(envelope, CONTENT) is None
            reply = await connection.finish()
            assert (reply.code, reply.enhanced) == (250, "2.0.0")
            assert connection.usable
        await connection.close()
        assert not connection.usable

    with protected(protection, authority, login=None) as relay:
        run(scenario(relay))
    [session] = relay.sessions
    assert session.secured is (protection != "none")
    assert session.verbs[-1] == "QUIT"
    assert session.verbs.count("MAIL") == 5
    assert [taken.recipient for taken in relay.accepted] == [
        f"reader{number}@reader.example" for number in range(5)
    ]
    assert {(taken.sender, taken.content) for taken in relay.accepted} == {(SENDER, CONTENT)}
    assert f"MAIL FROM:<{SENDER}> SIZE={len(CONTENT)}" in session.commands


@pytest.mark.parametrize("over", ["tcp", "socket"])
def test_lmtp(over: str, tmp_path: Path) -> None:
    path = tmp_path / "lmtp" if over == "socket" else None
    with ScriptedRelay(lmtp=True, path=path) as relay:
        assert run(send_one(relay)).code == 250
    assert relay.sessions[0].verbs == ["LHLO", "MAIL", "RCPT", "DATA", "QUIT"]
    assert len(relay.accepted) == 1


def test_a_refused_recipient_leaves_the_connection_to_the_next(authority: Authority) -> None:
    async def scenario(relay: ScriptedRelay) -> Refused | None:
        connection = await connect(relay)
        refused = await connection.prepare(ENVELOPE, CONTENT)
        assert connection.usable
        await (await prepared(connection)).finish()
        await connection.close()
        return refused

    with ScriptedRelay({"RCPT": ["550-5.1.1 no\r\n550 5.1.1 such user"]}) as relay:
        refused = run(scenario(relay))
    assert refused == Refused(Phase.RCPT, Reply(550, ("5.1.1 no", "5.1.1 such user")))
    assert relay.sessions[0].verbs == [
        "EHLO",
        "MAIL",
        "RCPT",
        "RSET",
        *("MAIL", "RCPT", "DATA", "QUIT"),
    ]
    assert len(relay.accepted) == 1


@pytest.mark.parametrize(
    ("script", "phase", "usable"),
    [
        ({"MAIL": "450 4.7.1 later"}, Phase.MAIL, True),
        ({"MAIL": "421 4.3.2 going down"}, Phase.MAIL, False),
        ({"RCPT": "450 4.2.0 greylisted"}, Phase.RCPT, True),
        ({"RCPT": "421 4.7.0 too fast"}, Phase.RCPT, False),
        ({"RCPT": "550 5.1.1 no", "RSET": "500 what"}, Phase.RCPT, False),
        ({"RCPT": "550 5.1.1 no", "RSET": drop}, Phase.RCPT, False),
        ({"RCPT": ("550 5.1.1 no", drop)}, Phase.RCPT, False),
        ({"DATA": "451 4.3.0 later"}, Phase.DATA, True),
        ({"DATA": "421 4.3.0 later"}, Phase.DATA, False),
    ],
)
def test_a_refusal_is_a_value_and_stands_whatever_comes_after(
    script: Script, phase: Phase, usable: bool
) -> None:
    async def scenario(relay: ScriptedRelay) -> None:
        connection = await connect(relay)
        refused = await connection.prepare(ENVELOPE, CONTENT)
        assert refused is not None
        assert refused.phase is phase
        assert connection.usable is usable
        await connection.close()

    with ScriptedRelay(script) as relay:
        run(scenario(relay))
    assert relay.dotted == []


@pytest.mark.parametrize(
    ("verdict", "usable"),
    [("554 5.7.1 spam", True), ("451 4.3.0 busy", True), ("421 4.3.2 bye", False)],
)
def test_a_verdict_is_given_as_it_is(verdict: str, usable: bool) -> None:
    async def scenario(relay: ScriptedRelay) -> Reply:
        connection = await prepared(await connect(relay))
        reply = await connection.finish()
        assert connection.usable is usable
        await connection.close()
        return reply

    with ScriptedRelay({".": verdict}) as relay:
        assert str(run(scenario(relay))) == verdict
    assert len(relay.dotted) == 1


def test_a_verdict_may_come_slowly_and_byte_by_byte() -> None:
    with ScriptedRelay({".": (wait(0.1), drip(b"250-2.0.0 a\r\n250 2.0.0 b\r\n", 0.002))}) as relay:
        assert run(send_one(relay)) == Reply(250, ("2.0.0 a", "2.0.0 b"))


def test_251_and_252_are_not_refusals() -> None:
    async def scenario(relay: ScriptedRelay) -> None:
        connection = await connect(relay)
        for _ in range(2):
            await (await prepared(connection)).finish()
        await connection.close()

    with ScriptedRelay({"RCPT": ["251 will forward", "252 cannot verify"]}) as relay:
        run(scenario(relay))
    assert len(relay.accepted) == 2


# -- nothing is delivered without its dot ----------------------------------------------------------


@pytest.mark.parametrize("way", ["abort", "close"])
def test_what_is_prepared_and_not_finished_is_not_delivered(
    way: str, protection: str, authority: Authority
) -> None:
    async def scenario(relay: ScriptedRelay) -> None:
        connection = await prepared(await connect(relay, authority))
        if way == "abort":
            connection.abort()
        else:
            await connection.close()
        assert not connection.usable

    with protected(protection, authority) as relay:
        run(scenario(relay))
    assert relay.dotted == []
    assert relay.sessions[0].truncated == CONTENT
    assert relay.sessions[0].verbs[-1] == "DATA"


def test_a_cancelled_message_is_not_delivered() -> None:
    async def scenario(relay: ScriptedRelay) -> None:
        connection = await connect(relay)
        task = asyncio.create_task(connection.prepare(ENVELOPE, CONTENT))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not connection.usable
        with pytest.raises(ConnectionLost) as raised:
            await connection.finish()
        assert not raised.value.in_doubt

    with ScriptedRelay({"DATA": (wait(1), "354 go")}) as relay:
        run(scenario(relay))
    assert relay.dotted == []


def test_finish_without_a_message_says_nothing() -> None:
    async def scenario(relay: ScriptedRelay) -> None:
        connection = await connect(relay)
        with pytest.raises(LocalProtocolError):
            await connection.finish()
        assert not connection.usable

    with ScriptedRelay() as relay:
        run(scenario(relay))
    assert relay.sessions[0].verbs == ["EHLO"]


@pytest.mark.parametrize(
    ("envelope", "content"),
    [
        (ENVELOPE, b"a\n.\nMAIL FROM:<x@evil.example>\r\n"),
        (ENVELOPE, b"no end"),
        (Envelope(sender=SENDER, recipient="a@b.example>\r\nDATA"), CONTENT),
        (Envelope(sender="a@b.example\r\nQUIT", recipient="a@b.example"), CONTENT),
    ],
)
def test_what_may_not_be_said_ends_the_connection(envelope: Envelope, content: bytes) -> None:
    async def scenario(relay: ScriptedRelay) -> None:
        connection = await connect(relay)
        with pytest.raises(LocalProtocolError):
            await connection.prepare(envelope, content)
        assert not connection.usable

    with ScriptedRelay() as relay:
        run(scenario(relay))
    assert relay.dotted == []
    assert not {"QUIT", "evil.example"} & set(relay.sessions[0].verbs)


# -- refused by ourselves --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "said"),
    [("SIZE 20", "MAIL 552 5.3.4"), ("SIZE 0", ""), ("SIZE", ""), ("SIZE 1000", "")],
)
def test_a_message_over_the_relays_limit_is_not_offered(offer: str, said: str) -> None:
    async def scenario(relay: ScriptedRelay) -> None:
        connection = await connect(relay)
        refused = await connection.prepare(ENVELOPE, CONTENT)
        if said:
            assert refused is not None
            assert f"{refused.phase.value} {refused.reply}".startswith(said)
            assert "the relay's 20" in str(refused.reply)
            assert connection.usable
        else:
            assert refused is None
        await connection.close()

    with ScriptedRelay(offers=[offer]) as relay:
        run(scenario(relay))
    assert ("MAIL" in relay.sessions[0].verbs) is not bool(said)


def test_an_address_in_utf8_needs_a_relay_that_knows_it() -> None:
    envelope = Envelope(sender=SENDER, recipient="jürgen@reader.example", smtputf8=True)

    async def scenario(relay: ScriptedRelay) -> Refused | None:
        connection = await connect(relay)
        refused = await connection.prepare(envelope, CONTENT)
        if refused is None:
            await connection.finish()
        assert connection.usable
        await connection.close()
        return refused

    with ScriptedRelay(offers=["8BITMIME"]) as relay:
        refused = run(scenario(relay))
    assert refused is not None
    assert (refused.phase, refused.reply.code, refused.reply.enhanced) == (Phase.RCPT, 553, "5.6.7")
    assert "MAIL" not in relay.sessions[0].verbs
    with ScriptedRelay() as relay:
        assert run(scenario(relay)) is None
    assert relay.accepted[0].recipient == "jürgen@reader.example"


# -- broken off ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("play", "words"),
    [
        (drop, "closed the connection"),
        (reset, "closed the connection (Connection reset by peer)"),
        (half_close, "closed the connection"),
        (silence, "no answer to the message within 0.2 s"),
        (drip(b"250-2.0.0 dripped\r\n" * 99, 0.02), "no answer to the message within 0.2 s"),
        (b"250 2.0.0 half a re", "no answer to the message within 0.2 s"),
        ((b"250 2.0.0 half a re", drop), "closed the connection"),
        (b"550-5.0.0 no\r\n250 2.0.0 yes\r\n", "broke the protocol: one reply says both"),
        ("what?", "broke the protocol: 'what?' is not a reply"),
        ("354 more", "broke the protocol: it answers the message with 354"),
        (b"250-x\r\n" * 200, "broke the protocol: a reply does not end"),
        (b"x" * 20_000, "broke the protocol: a reply line is longer"),
    ],
)
def test_no_verdict_after_the_dot_is_in_doubt(play: Any, words: str) -> None:
    lost = lost_after({".": play}, dot=0.2)
    assert lost.in_doubt
    assert lost.phase == Phase.DOT.value
    assert words in lost.problem


@pytest.mark.parametrize(
    ("script", "phase", "words"),
    [
        ({"MAIL": drop}, Phase.MAIL, "closed the connection"),
        ({"RCPT": reset}, Phase.RCPT, "closed the connection"),
        ({"RCPT": b"250-2.1.5 a\r\n550 5.1.1 b\r\n"}, Phase.RCPT, "says both 250 and 550"),
        ({"MAIL": b"250 ok\r\n250 twice\r\n"}, Phase.RCPT, '"250 twice" to no question'),
        ({"DATA": drop}, Phase.DATA, "closed the connection"),
        ({"DATA": silence}, Phase.DATA, "no answer to DATA within 0.2 s"),
        ({"DATA": "250 ok"}, Phase.DATA, "answers DATA with 250, not 354"),
        ({"DATA": b"354 go\r\n250 stray\r\n"}, Phase.DATA, '"250 stray" to no question'),
    ],
)
def test_broken_off_before_the_content_is_certain(script: Script, phase: Phase, words: str) -> None:
    lost = lost_after(script, data=0.2)
    assert not lost.in_doubt
    assert lost.phase == phase.value
    assert words in lost.problem


@pytest.mark.parametrize("end", [(drop,), (reset,), (half_close, silence)])
def test_broken_off_within_the_content_is_certain(end: tuple[Step, ...]) -> None:
    lost = lost_after({"DATA": ("354 go", read(1000), *end)}, content=HUGE)
    assert not lost.in_doubt
    assert lost.phase == Phase.DATA.value
    assert "closed the connection" in lost.problem


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ({"DATA": ("354 go", wait(0.05), drop)}, "closed the connection"),
        ({"DATA": ("354 go", wait(0.05), half_close, silence)}, "closed the connection"),
        ({"DATA": ("354 go", wait(0.05), "250 stray", silence)}, "to no question"),
    ],
)
def test_broken_off_while_the_intent_is_committed_is_certain(script: Script, words: str) -> None:
    async def scenario(relay: ScriptedRelay) -> None:
        connection = await prepared(await connect(relay))
        await until(lambda: not connection.usable)
        with pytest.raises(ConnectionLost, match=words) as raised:
            await connection.finish()
        assert not raised.value.in_doubt
        assert raised.value.phase == Phase.DOT.value

    with ScriptedRelay(script) as relay:
        run(scenario(relay))
    assert relay.dotted == []


@pytest.mark.parametrize("when", ["while writing", "while committing"])
def test_an_early_refusal_is_the_verdict_and_no_dot_is_sent(when: str) -> None:
    async def scenario(relay: ScriptedRelay) -> Reply:
        connection = await connect(relay)
        if when == "while writing":
            refused = await connection.prepare(ENVELOPE, HUGE)
            assert refused is not None
            assert refused.phase is Phase.DOT
            reply = refused.reply
        else:
            await prepared(connection)
            await until(lambda: not connection.usable)
            reply = await connection.finish()
        assert not connection.usable
        return reply

    script = {"DATA": ("354 go", wait(0.05), "554 5.7.1 enough", silence)}
    with ScriptedRelay(script, receive_buffer_bytes=4096) as relay:
        assert str(run(scenario(relay))) == "554 5.7.1 enough"
    assert relay.dotted == []


def test_a_relay_that_takes_nothing_in_stalls_before_the_dot(
    protection: str, authority: Authority
) -> None:
    async def scenario(relay: ScriptedRelay) -> ConnectionLost:
        connection = await connect(relay, authority, replace(QUICK, block=0.2))
        with pytest.raises(ConnectionLost) as raised:
            await connection.prepare(ENVELOPE, HUGE)
        return raised.value

    script = {"DATA": ("354 go", silence)}
    with protected(protection, authority, script, receive_buffer_bytes=4096) as relay:
        lost = run(scenario(relay))
    assert not lost.in_doubt
    assert lost.problem == "the relay did not take the message in within 0.2 s"


def test_what_is_prepared_has_left_to_the_last_byte(protection: str, authority: Authority) -> None:
    async def scenario(relay: ScriptedRelay) -> Reply:
        connection = await prepared(await connect(relay, authority), HUGE)
        transport = connection._wire._transport
        assert transport is not None
        assert transport.get_write_buffer_size() == 0
        assert transport.get_write_buffer_limits() == (0, 0)  # no small rest can hide there
        reply = await connection.finish()
        await connection.close()
        return reply

    script = {"DATA": ("354 go", wait(0.1))}
    with protected(protection, authority, script, receive_buffer_bytes=65536) as relay:
        assert run(scenario(relay)).code == 250
    assert relay.accepted[0].content == HUGE


@pytest.mark.parametrize("protection", ["starttls", "implicit"])
@pytest.mark.parametrize("answered", [True, False])
def test_tls_cut_off_without_its_goodbye(
    protection: str, answered: bool, authority: Authority
) -> None:
    async def scenario(relay: ScriptedRelay) -> Reply | bool:
        connection = await prepared(await connect(relay, authority))
        try:
            reply = await connection.finish()
        except ConnectionLost as lost:
            return lost.in_doubt
        await until(lambda: not connection.usable)
        return reply

    script = {".": ("250 2.0.0 queued", drop) if answered else drop}
    with protected(protection, authority, script) as relay:
        assert run(scenario(relay)) == (Reply(250, ("2.0.0 queued",)) if answered else True)


@pytest.mark.parametrize(
    "goodbye", [("421 4.4.2 idle", drop), ("421 4.4.2 idle", silence), drop, b"250 what\r\n"]
)
def test_a_relay_that_hangs_up_on_an_idle_connection(goodbye: Any) -> None:
    async def scenario(relay: ScriptedRelay) -> ConnectionLost:
        connection = await prepared(await connect(relay))
        await connection.finish()
        await until(lambda: not connection.usable)
        with pytest.raises(ConnectionLost) as raised:
            await connection.prepare(ENVELOPE, CONTENT)
        await connection.close()
        return raised.value

    steps = goodbye if isinstance(goodbye, tuple) else (goodbye,)
    with ScriptedRelay({".": ("250 2.0.0 ok", wait(0.05), *steps)}) as relay:
        lost = run(scenario(relay))
    assert not lost.in_doubt
    assert lost.phase == Phase.MAIL.value
    assert len(relay.accepted) <= 1


@pytest.mark.parametrize("play", [drop, reset, silence, "500 never", "what?"])
def test_how_the_goodbye_goes_changes_nothing(play: Any) -> None:
    async def scenario(relay: ScriptedRelay) -> Reply:
        connection = await prepared(await connect(relay, timeouts=replace(QUICK, quit=0.1)))
        reply = await connection.finish()
        await connection.close()
        return reply

    with ScriptedRelay({"QUIT": play}) as relay:
        assert run(scenario(relay)).positive
    assert len(relay.accepted) == 1


# -- opening ---------------------------------------------------------------------------------------


def test_helo_where_nothing_more_is_needed() -> None:
    with ScriptedRelay({"EHLO": "502 5.5.1 what"}) as relay:
        run(send_one(relay))
    assert relay.sessions[0].commands[:3] == [
        "EHLO news.example",
        "HELO news.example",
        f"MAIL FROM:<{SENDER}>",
    ]


def test_no_helo_where_a_login_or_tls_is_needed(authority: Authority) -> None:
    script: Script = {"EHLO": "502 5.5.1 what", "LHLO": "502 5.5.1 what"}
    for relay in (
        ScriptedRelay(script, login=LOGIN),
        ScriptedRelay(script, tls=authority.issue()),
        ScriptedRelay(script, lmtp=True),
        ScriptedRelay({"EHLO": "550 5.7.1 go away"}),
    ):
        with relay:
            error = open_error(relay, authority)
        assert isinstance(error, RelayRefusedUs)
        assert "HELO" not in relay.sessions[0].verbs
        assert "check delivery.ehlo_name" in str(error)


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        ({"connect": "421 4.3.2 busy"}, RelayUnavailable, "put off the connection (421 4.3.2"),
        ({"connect": "554 5.7.1 no"}, RelayRefusedUs, "refused the connection (554 5.7.1 no)"),
        ({"connect": drop}, RelayUnavailable, "closed the connection"),
        ({"connect": "HTTP/1.1 400 Bad Request"}, RelayRefusedUs, "does not speak SMTP"),
        ({"connect": b"250-a\r\n220 b\r\n"}, RelayUnavailable, "says both 250 and 220"),
        ({"EHLO": "EHLO news.example"}, RelayRefusedUs, "check its host and port"),
        ({"EHLO": "451 4.3.0 later"}, RelayUnavailable, "put off EHLO"),
        ({"EHLO": b"250-x\r\n" * 5000}, RelayUnavailable, "a reply does not end"),
        ({"EHLO": drop}, RelayUnavailable, "closed the connection"),
    ],
)
def test_relays_that_do_not_open(script: Script, kind: type[NewsletterError], words: str) -> None:
    with ScriptedRelay(script) as relay:
        error = open_error(relay)
    assert type(error) is kind
    assert words in str(error)
    assert f"smtp://{HOST}:{relay.port}" in str(error)


@pytest.mark.parametrize("play", [silence, drip(b"220 " + b"x" * 900, 0.02)])
def test_a_banner_has_an_absolute_ceiling(play: Any) -> None:
    async def scenario(relay: ScriptedRelay) -> float:
        began = time.monotonic()
        with pytest.raises(RelayUnavailable, match=r"did not greet within 0\.2 s; .*smtps://"):
            await connect(relay, timeouts=replace(QUICK, greeting=0.2))
        return time.monotonic() - began

    with ScriptedRelay({"connect": play}) as relay:
        assert 0.15 < run(scenario(relay)) < 4


def test_a_slow_banner_is_awaited() -> None:
    with ScriptedRelay({"connect": (wait(0.1), drip(b"220 ready\r\n", 0.005))}) as relay:

        async def scenario() -> None:
            await (await connect(relay)).close()

        run(scenario())
    assert relay.sessions[0].verbs == ["EHLO", "QUIT"]


def test_a_relay_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    for relay in (
        Relay(kind="smtp", host=HOST, port=port),
        Relay(kind="smtp", host="localhost", port=port),
        Relay(kind="lmtp", path=tmp_path / "nowhere"),
    ):
        with pytest.raises(RelayUnavailable) as raised:
            run(Connection.open(relay, ehlo_name="news.example", tls=trust()))
        reason = "No such file or directory" if relay.path else "Connection refused"
        assert str(raised.value) == (
            f"{relay} could not be reached ({reason}); check delivery.relay and that the relay "
            "is up; nobody was mailed by this try."
        )


def test_a_relay_that_does_not_take_connections() -> None:
    with socket.socket() as full:
        full.bind((HOST, 0))
        full.listen(0)
        relay = Relay(kind="smtp", host=HOST, port=full.getsockname()[1])
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex((HOST, relay.port))
        with pytest.raises(RelayUnavailable, match=r"did not answer within 0\.2 s"):
            run(
                Connection.open(
                    relay,
                    ehlo_name="news.example",
                    tls=trust(),
                    timeouts=replace(QUICK, connect=0.2),
                )
            )
        for sock in waiting:
            sock.close()


def test_a_host_that_does_not_exist_is_an_operators_mistake() -> None:
    class NoSuchHost(asyncio.SelectorEventLoop):
        async def getaddrinfo(self, *args: Any, **kwargs: Any) -> Any:
            raise socket.gaierror(error, "words of the resolver")

    def open_it() -> None:
        relay = Relay(kind="smtp", host="relay.example", port=25)
        with asyncio.Runner(loop_factory=NoSuchHost) as runner:
            runner.run(Connection.open(relay, ehlo_name="a.example", tls=trust()))

    error = socket.EAI_NONAME
    with pytest.raises(ConfigurationError) as raised:
        open_it()
    assert str(raised.value) == (
        "delivery.relay: no host is called 'relay.example'; check its spelling."
    )
    error = socket.EAI_AGAIN
    with pytest.raises(RelayUnavailable, match=r"could not be looked up \(words of the resolver\)"):
        open_it()


# -- TLS -------------------------------------------------------------------------------------------


def test_starttls_says_hello_again_and_then_logs_in(authority: Authority) -> None:
    with ScriptedRelay(tls=authority.issue(), login=LOGIN) as relay:

        async def scenario() -> None:
            await (await connect(relay, authority)).close()

        run(scenario())
    [session] = relay.sessions
    assert session.verbs == ["EHLO", "STARTTLS", "EHLO", "AUTH", "QUIT"]
    assert session.secured
    assert session.logged_in


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("expired", "did not prove who it is (certificate has expired); have it renewed"),
        ("wrong host", "did not prove who it is (IP address mismatch"),
        ("unknown authority", "did not prove who it is (unable to get local issuer certificate)"),
        ("old", "has no TLS newer than 1.1; have TLS 1.2 or 1.3 switched on there"),
    ],
)
def test_a_relay_that_does_not_prove_itself_gets_no_password(
    fault: str, words: str, implicit: bool, authority: Authority
) -> None:
    name = "other.example" if fault == "wrong host" else HOST
    tls = authority.issue(name, expired=fault == "expired")
    if fault == "old":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1_1
        tls.set_ciphers("ALL:@SECLEVEL=0")
    with ScriptedRelay(tls=tls, implicit=implicit, login=LOGIN) as relay:
        error = open_error(relay, None if fault == "unknown authority" else authority)
    assert type(error) is RelayRefusedUs
    assert words in str(error)
    assert str(error).endswith("; no password was sent.")
    assert "AUTH" not in relay.sessions[0].verbs
    assert not relay.sessions[0].secured


def test_starttls_that_is_not_offered_is_not_done_without(authority: Authority) -> None:
    script: Script = {"EHLO": "250-relay.example\r\n250 AUTH PLAIN LOGIN"}
    with ScriptedRelay(script, tls=authority.issue(), login=LOGIN) as relay:
        error = open_error(relay, authority)
    assert type(error) is RelayRefusedUs
    assert "does not offer STARTTLS; someone may be stripping it" in str(error)
    assert relay.sessions[0].verbs == ["EHLO"]


@pytest.mark.parametrize(
    ("play", "kind", "words"),
    [
        ("454 4.7.0 not now", RelayUnavailable, "put off STARTTLS (454 4.7.0 not now)"),
        ("501 5.5.4 no", RelayRefusedUs, "refused STARTTLS (501 5.5.4 no)"),
        ("250 ok", RelayRefusedUs, "refused STARTTLS (250 ok)"),
        (b"220 go\r\n250 injected\r\n", RelayRefusedUs, "may be tampering"),
        (b"220 go\r\n250-half", RelayRefusedUs, "may be tampering"),
        (("220 go", wait(0.05), "250 later", silence), RelayRefusedUs, "does not speak TLS here"),
        (("220 go", drop), RelayUnavailable, "closed the connection"),
        (("220 go", silence), RelayUnavailable, "the TLS handshake did not end within 0.2 s"),
    ],
)
def test_starttls_gone_wrong_never_goes_on_in_the_clear(
    play: Any, kind: type[NewsletterError], words: str, authority: Authority
) -> None:
    with ScriptedRelay({"STARTTLS": play}, tls=authority.issue(), login=LOGIN) as relay:
        error = open_error(relay, authority, replace(QUICK, connect=0.2))
    assert type(error) is kind
    assert words in str(error)
    assert relay.sessions[0].verbs == ["EHLO", "STARTTLS"]


def garble(peer: Peer) -> None:
    """Write under TLS what is no TLS."""
    with socket.socket(fileno=os.dup(peer.sock.fileno())) as raw:
        raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
    silence(peer)


@pytest.mark.parametrize("implicit", [False, True])
def test_tls_that_breaks_later_may_pass(implicit: bool, authority: Authority) -> None:
    tls = authority.issue()
    with ScriptedRelay({"AUTH": garble}, tls=tls, implicit=implicit, login=LOGIN) as relay:
        error = open_error(relay, authority)
    assert type(error) is RelayUnavailable
    assert "could not be used (TLS broke (" in str(error)


def test_tls_where_there_is_none() -> None:
    with ScriptedRelay() as relay:
        url = relay.url.replace("smtp://", "smtps://").partition("?")[0]
        with pytest.raises(RelayRefusedUs) as raised:
            run(
                Connection.open(
                    parse_relay(url),
                    ehlo_name="news.example",
                    tls=trust(),
                    timeouts=QUICK,
                )
            )
    assert "does not speak TLS here; smtps:// is for a port with TLS from the first byte" in str(
        raised.value
    )


def test_authorities_that_cannot_be_read(tmp_path: Path) -> None:
    missing, junk = tmp_path / "missing.pem", tmp_path / "junk.pem"
    junk.write_text("nothing here")
    for path, why in ((missing, "No such file or directory"), (junk, "it is not in PEM form")):
        with pytest.raises(ConfigurationError) as raised:
            build_tls_context(path)
        assert str(raised.value) == (
            f"{path}, delivery.ca_file: holds no certificates that can be read ({why}); "
            "name a PEM file."
        )


# -- logging in ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mechanisms", ["PLAIN LOGIN", "plain", "LOGIN", "CRAM-MD5 LOGIN"])
def test_logins(mechanisms: str) -> None:
    with ScriptedRelay(login=LOGIN, mechanisms=mechanisms) as relay:

        async def scenario() -> None:
            await (await connect(relay)).close()

        run(scenario())
    assert relay.sessions[0].logged_in


@pytest.mark.parametrize(
    ("script", "mechanisms", "kind", "words"),
    [
        (
            {"AUTH": "535 5.7.8 no"},
            "PLAIN",
            RelayRefusedUs,
            "user@news.example (535 5.7.8 no); check the user in delivery.relay and NEWSLETTER",
        ),
        ({"AUTH": "535 5.7.8 no"}, "LOGIN", RelayRefusedUs, "refused the login"),
        ({"AUTH": "534 5.7.9 weak"}, "PLAIN", RelayRefusedUs, "refused the login"),
        ({"AUTH": "454 4.7.0 later"}, "PLAIN", RelayUnavailable, "put off the login"),
        ({"AUTH": "454 4.7.0 later"}, "LOGIN", RelayUnavailable, "put off the login"),
        ({"AUTH": drop}, "PLAIN", RelayUnavailable, "closed the connection"),
        ({"AUTH": "334 more"}, "PLAIN", RelayRefusedUs, "refused the login"),
        ({}, "CRAM-MD5", RelayRefusedUs, "offers no login that we know (CRAM-MD5)"),
        ({"EHLO": "250 relay.example"}, "", RelayRefusedUs, "that we know (none at all)"),
    ],
)
def test_logins_that_fail(
    script: Script, mechanisms: str, kind: type[NewsletterError], words: str
) -> None:
    with ScriptedRelay(script, login=LOGIN, mechanisms=mechanisms) as relay:
        error = open_error(relay)
    assert type(error) is kind
    assert words in str(error)


def test_what_could_only_fail_is_refused_before_anything_is_said() -> None:
    with ScriptedRelay(login=LOGIN) as relay:
        tls = trust()
        with pytest.raises(ConfigurationError) as raised:
            run(Connection.open(parse_relay(relay.url), ehlo_name="news.example", tls=tls))
        assert str(raised.value) == (
            "NEWSLETTER_DELIVERY__RELAY_PASSWORD: the password of user@news.example is missing; "
            "put it into the environment or into .env beside the configuration."
        )
        parsed = parse_relay(relay.url, password="secret")
        for name in ("", "two words", "bücher.example"):
            with pytest.raises(ConfigurationError, match=r"^delivery\.ehlo_name: .* host name"):
                run(Connection.open(parsed, ehlo_name=name, tls=tls))
    assert relay.sessions == []


# -- against aiosmtpd, which nobody here wrote -----------------------------------------------------


class Keeper:
    def __init__(self) -> None:
        self.kept: list[tuple[str | None, list[str], bytes]] = []

    async def handle_DATA(  # noqa: N802 - aiosmtpd finds its hooks by the verb's name
        self, server: SMTP, session: TheirSession, envelope: TheirEnvelope
    ) -> str:
        content = bytes(envelope.original_content or b"")
        self.kept.append((envelope.mail_from, list(envelope.rcpt_tos), content))
        return "250 2.0.0 kept"


def authenticate(
    server: SMTP, session: TheirSession, envelope: TheirEnvelope, mechanism: str, data: Any
) -> AuthResult:
    assert isinstance(data, LoginPassword)
    right = (data.login.decode(), data.password.decode()) == LOGIN
    return AuthResult(success=right, handled=right)


@pytest.mark.parametrize("tls_and_login", [False, True])
def test_aiosmtpd_takes_what_we_say(tls_and_login: bool, authority: Authority) -> None:
    keeper = Keeper()
    options: dict[str, Any] = {"enable_SMTPUTF8": True, "hostname": HOST}
    if tls_and_login:
        options |= {
            "tls_context": authority.issue(),
            "require_starttls": True,
            "authenticator": authenticate,
            "auth_required": True,
        }

    async def scenario() -> list[Reply]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(keeper, loop=loop, **options), HOST, 0)
        port = server.sockets[0].getsockname()[1]
        user = "user%40news.example@" if tls_and_login else ""
        tls = "starttls" if tls_and_login else "none"
        connection = await Connection.open(
            parse_relay(f"smtp://{user}{HOST}:{port}?tls={tls}", password=LOGIN[1]),
            ehlo_name="news.example",
            tls=trust(authority.ca_file),
            timeouts=QUICK,
        )
        replies = []
        for recipient in ("ada@reader.example", "jürgen@reader.example"):
            envelope = Envelope(
                sender=SENDER, recipient=recipient, smtputf8=not recipient.isascii()
            )
            assert await connection.prepare(envelope, CONTENT) is None
            replies.append(await connection.finish())
        await connection.close()
        server.close()
        await server.wait_closed()
        return replies

    assert [reply.code for reply in run(scenario())] == [250, 250]
    assert keeper.kept == [
        (SENDER, ["ada@reader.example"], CONTENT),
        (SENDER, ["jürgen@reader.example"], CONTENT),
    ]
