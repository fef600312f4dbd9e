"""CHUNKING (RFC 3030) with a window: several messages under way, each with a verdict of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from newsletter.delivery.channel import Channel, build_opener
from newsletter.errors import ConnectionLost
from newsletter.smtp.connection import Connection, Pipelining, Timeouts, build_tls_context
from newsletter.smtp.protocol import Envelope, LocalProtocolError, Refused, Reply
from newsletter.smtp.relay import parse_relay
from tests.relays import (
    Authority,
    Play,
    Script,
    ScriptedRelay,
    drop,
    half_close,
    read,
    reset,
    silence,
    until,
    wait,
)

OFFERS = ("PIPELINING", "CHUNKING", "SIZE 50000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
QUICK = Timeouts(connect=2, greeting=2, hello=2, mail=2, rcpt=2, data=2, block=2, dot=2, quit=0.5)
PEOPLE = tuple(
    Envelope(sender="bounce@news.example", recipient=f"{name}@reader.example")
    for name in ("ada", "ben", "cleo")
)
HUGE = (b"x" * 76 + b"\r\n") * 100_000  # more than any kernel buffers for one connection

Outcome = Refused | Reply | ConnectionLost


def content_for(envelope: Envelope) -> bytes:
    return f"To: {envelope.recipient}\r\n\r\n.hello\r\n..\r\n.\r\n".encode()


async def connect(
    relay: ScriptedRelay,
    *,
    window: int = 3,
    timeouts: Timeouts = QUICK,
    ca_file: Path | None = None,
    pipelining: Pipelining | None = None,
) -> Connection:
    return await Connection.open(
        parse_relay(relay.url),
        ehlo_name="news.example",
        tls=build_tls_context(ca_file),
        timeouts=timeouts,
        window=window,
        pipelining=pipelining,
    )


async def collect_all(connection: Connection) -> list[Outcome]:
    outcomes: list[Outcome] = []
    while connection.under_way:
        try:
            outcomes.append(await connection.collect())
        except ConnectionLost as lost:
            outcomes.append(lost)
    return outcomes


async def converse(
    relay: ScriptedRelay,
    contents: Sequence[bytes] = (),
    **options: Any,
) -> list[Outcome]:
    """Post to everybody at once, and read what became of it."""
    connection = await connect(relay, **options)
    for envelope, content in zip(PEOPLE, contents or map(content_for, PEOPLE), strict=True):
        assert connection.post(envelope, content) is None
    assert connection.under_way == 3
    outcomes = await collect_all(connection)
    await connection.close()
    return outcomes


def shown(outcomes: Sequence[Outcome]) -> list[str]:
    return [
        f"lost{' in doubt' if o.in_doubt else ''}"
        if isinstance(o, ConnectionLost)
        else f"{o.phase.value}: {o.reply.code}"
        if isinstance(o, Refused)
        else str(o.code)
        for o in outcomes
    ]


# -- the dialogue ----------------------------------------------------------------------------------


@pytest.mark.parametrize("protection", ["none", "starttls", "implicit"])
def test_messages_follow_each_other_without_waiting(protection: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = None if protection == "none" else authority.issue()
    slow: list[Play] = [*["250 2.0.0 ok"] * 2, (wait(0.3), "250 2.0.0 ok")]
    with ScriptedRelay(
        {"RSET": slow}, offers=OFFERS, tls=tls, implicit=protection == "implicit"
    ) as relay:
        outcomes = asyncio.run(converse(relay, ca_file=authority.ca_file))
    assert shown(outcomes) == ["250", "250", "250"]
    [session] = relay.sessions
    hello = ["EHLO", "STARTTLS", "EHLO"] if protection == "starttls" else ["EHLO"]
    rest = ["RSET", "MAIL", "RCPT", "BDAT"]
    assert session.verbs == [*hello, *rest, *["RSET", *rest], *rest, "QUIT"]
    assert [(t.recipient, t.content) for t in relay.accepted] == [
        (p.recipient, content_for(p)) for p in PEOPLE
    ]
    assert f"BDAT {len(content_for(PEOPLE[0]))} LAST" in session.commands


def test_the_window_moves_on() -> None:
    async def scenario(relay: ScriptedRelay) -> None:
        connection = await connect(relay, window=2)
        assert (connection.window, connection.under_way, connection.answered) == (2, 0, 0)
        for number in range(12):
            if connection.under_way == connection.window:
                with pytest.raises(LocalProtocolError, match="no room for another"):
                    connection.post(PEOPLE[0], b"one too many\r\n")
                assert await connection.collect() == Reply(250, ("2.0.0 queued",))
            assert connection.usable
            assert connection.post(PEOPLE[number % 3], b"number %d\r\n" % number) is None
        await until(lambda: connection.answered == 2)
        assert shown(await collect_all(connection)) == ["250", "250"]
        await connection.close()

    with ScriptedRelay(offers=OFFERS) as relay:
        asyncio.run(scenario(relay))
    assert [t.content for t in relay.accepted] == [b"number %d\r\n" % n for n in range(12)]
    assert relay.sessions[0].verbs[-1] == "QUIT"


@pytest.mark.parametrize(
    ("offers", "window", "lmtp"),
    [
        (OFFERS, 1, False),
        (OFFERS[1:], 8, False),
        ((OFFERS[0], *OFFERS[2:]), 8, False),
        (OFFERS, 8, True),
    ],
)
def test_there_is_no_window_where_it_was_not_agreed(
    offers: Sequence[str], window: int, lmtp: bool
) -> None:
    async def scenario(relay: ScriptedRelay) -> None:
        connection = await connect(relay, window=window)
        assert connection.window == 1
        with pytest.raises(LocalProtocolError, match="no room"):
            connection.post(PEOPLE[0], content_for(PEOPLE[0]))
        with pytest.raises(LocalProtocolError, match="no message is under way"):
            await connection.collect()
        assert await connection.prepare(PEOPLE[0], content_for(PEOPLE[0])) is None
        assert (await connection.finish()).positive
        await connection.close()

    with ScriptedRelay(offers=offers, lmtp=lmtp) as relay:
        asyncio.run(scenario(relay))
    assert "BDAT" not in relay.sessions[0].verbs


def test_what_we_refuse_ourselves_is_not_said_and_stops_nobody() -> None:
    async def scenario(relay: ScriptedRelay) -> None:
        connection = await connect(relay)
        assert connection.post(PEOPLE[0], content_for(PEOPLE[0])) is None
        refused = connection.post(PEOPLE[1], b"x" * 300 + b"\r\n")
        assert refused is not None
        assert str(refused.reply).startswith("552 5.3.4")
        for bad in (b"no end", b"a\n.\r\n", b"a\0\r\n", "grün\r\n".encode()):
            with pytest.raises(LocalProtocolError):
                connection.post(PEOPLE[1], bad)
        with pytest.raises(LocalProtocolError):
            connection.post(replace(PEOPLE[1], recipient="a b@reader.example"), b"x\r\n")
        assert connection.post(PEOPLE[2], content_for(PEOPLE[2])) is None
        assert shown(await collect_all(connection)) == ["250", "250"]
        await connection.close()

    with ScriptedRelay(offers=("PIPELINING", "CHUNKING", "SIZE 200")) as relay:
        asyncio.run(scenario(relay))
    assert [t.recipient for t in relay.accepted] == [PEOPLE[0].recipient, PEOPLE[2].recipient]


def test_a_verdict_may_be_asked_for_again() -> None:
    async def scenario(relay: ScriptedRelay) -> None:
        connection = await connect(relay)
        connection.post(PEOPLE[0], content_for(PEOPLE[0]))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection.collect()
        assert connection.under_way == 1
        assert shown(await collect_all(connection)) == ["250"]
        await connection.close()

    with ScriptedRelay({"BDAT": (wait(0.3), "250 2.0.0 ok")}, offers=OFFERS) as relay:
        asyncio.run(scenario(relay))


# -- whose reply is it -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        # A refusal is its reader's own; RSET makes room for the next where the relay keeps it.
        ({"RCPT": ["250 ok", "550 5.1.1 unknown"]}, ["250", "RCPT: 550", "250"]),
        (
            {"MAIL": ["250 ok", "452 4.3.1 full"], "RCPT": ["250 ok", "503 no MAIL"]},
            ["250", "MAIL: 452", "250"],
        ),
        ({"BDAT": ["250 ok", "554 5.7.1 no"]}, ["250", "554", "250"]),
        ({"BDAT": ["452 4.3.1 full", "250 ok"]}, ["452", "250", "250"]),
        # Refused before its octets were read (row 47), and the rest of the pipe stands.
        (
            {"octets": [(), "552 5.3.4 too big"], "BDAT": ["250 ok", ()]},
            ["250", "552", "250"],
        ),
        # 250 to a message without a recipient is nobody's acceptance.
        (
            {"RCPT": ["550 5.1.1 unknown"], "BDAT": ["250 2.0.0 thanks for nothing"]},
            ["RCPT: 550", "250", "250"],
        ),
        # What was answered stands; what was not is in doubt, if it had left.
        ({"BDAT": [(wait(0.1), reset)]}, ["lost in doubt", "lost", "lost"]),
        ({"BDAT": ["250 ok", (wait(0.1), drop)]}, ["250", "lost in doubt", "lost in doubt"]),
        ({"BDAT": ["250 ok", (wait(0.1), reset)]}, ["250", "lost in doubt", "lost in doubt"]),
        ({"BDAT": ["250 ok", (wait(0.1), half_close, silence)]}, ["250", *["lost in doubt"] * 2]),
        ({"BDAT": ["421 4.3.2 bye", (drop,)]}, ["421", "lost", "lost"]),
        ({"BDAT": ["250 ok", "421 4.3.2 bye", (wait(0.1), drop)]}, ["250", "421", "lost in doubt"]),
        ({"BDAT": ["250 ok", "421 4.3.2 bye", "250 ok"]}, ["250", "421", "250"]),
        (
            {"RSET": [*["250 ok"] * 2, (wait(0.1), "421 4.3.2 bye", half_close, silence)]},
            ["250", "lost in doubt", "lost in doubt"],
        ),
        (
            {"RSET": [*["250 ok"] * 2, (wait(0.1), "451 4.3.2 no")]},
            ["250", "lost in doubt", "lost in doubt"],
        ),
        (
            {"RCPT": ["250 ok", (wait(0.1), "550 5.1.1 no", half_close, silence)]},
            ["250", "RCPT: 550", "lost in doubt"],
        ),
        ({"BDAT": ["550-a\r\n250 b"]}, ["lost in doubt", "lost", "lost"]),
        ({"BDAT": ["250 ok", (wait(0.1), "what?")]}, ["250", "lost in doubt", "lost in doubt"]),
        ({"BDAT": ["354 go on"]}, ["lost in doubt", "lost", "lost"]),
        # A relay that does not forget might send the next message to the last one's reader.
        ({"RSET": ["500 5.5.1 what"]}, ["lost in doubt", "lost", "lost"]),
        (
            {"RSET": [*["250 ok"] * 2, (wait(0.1), "500 5.5.1 what")]},
            ["250", "lost in doubt", "lost in doubt"],
        ),
        # One reply too many: a recipient's yes comes in the place of the verdict.
        ({"MAIL": ["250 ok\r\n250 twice"]}, ["lost in doubt", "lost", "lost"]),
        (
            {"MAIL": ["250 ok", "250 ok\r\n250 twice"], "RCPT": "250 fine"},
            ["250", "lost in doubt", "lost in doubt"],
        ),
        # One before a refusal: what comes in the place of a later RSET's reply shows it.
        *(
            (
                {
                    "MAIL": [*["250 ok"] * number, "250 ok\r\n250 twice"],
                    "RCPT": [*["250 ok"] * number, "550 5.1.1 unknown"],
                    "BDAT": [*["250 2.0.0 taken"] * number, (wait(0.1), b"503 nobody\r\n")],
                },
                [*["250"] * number, *["lost in doubt"] * (3 - number)],
            )
            for number in (1, 2)
        ),
        # A relay that parts after a refusal has refused; one that agrees to RSET has, too.
        (
            {"BDAT": [*["250 2.0.0 taken"] * 2, ("554 5.7.1 no", wait(0.1), drop)]},
            ["250", "250", "554"],
        ),
        (
            {"RCPT": [*["250 ok"] * 2, "550 5.1.1 unknown"]},
            ["250", "250", "RCPT: 550"],
        ),
        # Another order than we asked in.
        ({"MAIL": ["250 ok", "550 5.7.1 for another"]}, ["250", "lost in doubt", "lost in doubt"]),
    ],
)
def test_every_reply_is_charged_to_its_own(script: Script, expected: list[str]) -> None:
    with ScriptedRelay(script, offers=OFFERS) as relay:
        outcomes = asyncio.run(converse(relay))
    assert shown(outcomes) == expected
    told = [p.recipient for p, o in zip(PEOPLE, shown(outcomes), strict=True) if o == "250"]
    taken = [t.recipient for t in relay.accepted]
    assert [who for who in taken if who in told] == told
    assert len(set(taken)) == len(taken)


@pytest.mark.parametrize("missing", ["RSET", "MAIL", "RCPT", "BDAT"])
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("verdict", ["250 2.0.0 queued", "451 4.3.0 no"])
def test_one_reply_missing_makes_nobody_accepted(missing: str, number: int, verdict: str) -> None:
    script: dict[str, Play | list[Play]] = {"BDAT": ["250 2.0.0 queued", verdict]}
    polite = {"RSET": "250 2.0.0 ok", "MAIL": "250 2.1.0 ok", "RCPT": "250 2.1.5 ok"}
    steps: list[Play] = [polite.get(missing, "250 2.0.0 queued")] * number
    if (missing, number) == ("BDAT", 2):
        steps[1] = verdict
    script[missing] = [*steps, ()]
    with ScriptedRelay(script, offers=OFFERS) as relay:
        outcomes = asyncio.run(converse(relay, timeouts=replace(QUICK, dot=0.3, rcpt=0.3)))
    told = {p.recipient for p, o in zip(PEOPLE, shown(outcomes), strict=True) if o == "250"}
    assert told <= {t.recipient for t in relay.accepted}
    assert len(told) <= 2
    assert shown(outcomes)[-1].startswith("lost")


def test_a_relay_that_says_the_same_to_everything_gets_one_at_a_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario(relay: ScriptedRelay) -> None:
        pipelining = Pipelining("smtp://relay.example:25")
        for _ in range(2):
            connection = await connect(relay, pipelining=pipelining)
            if connection.window == 1:
                break
            for envelope in PEOPLE:
                connection.post(envelope, content_for(envelope))
            assert shown(await collect_all(connection)) == ["250"] * 3
            await connection.close()
        assert connection.window == 1
        connection.abort()

    script: Script = dict.fromkeys(("RSET", "MAIL", "RCPT", "BDAT"), "250 OK")
    with ScriptedRelay(script, offers=OFFERS) as relay, caplog.at_level(logging.WARNING):
        asyncio.run(scenario(relay))
    assert [t.recipient for t in relay.accepted] == [p.recipient for p in PEOPLE]
    [record] = caplog.records
    assert record.getMessage() == (
        'smtp://relay.example:25 says "250 OK" to a message and to commands alike, so that a '
        "lost reply would not show: it gets one message at a time"
    )


def test_a_refusal_is_followed_by_a_command_that_shows_whose_it_is() -> None:
    async def scenario(relay: ScriptedRelay) -> None:
        connection = await connect(relay)
        for envelope in PEOPLE[:2]:
            connection.post(envelope, content_for(envelope))
        assert shown([await connection.collect()]) == ["250"]
        with pytest.raises(TimeoutError):  # the command is on its way when we are called away
            async with asyncio.timeout(0.1):
                await connection.collect()
        connection.post(PEOPLE[2], content_for(PEOPLE[2]))
        assert shown(await collect_all(connection)) == ["RCPT: 550", "250"]
        assert connection.usable
        await connection.close()

    script: Script = {
        "RCPT": ["250 2.1.5 ok", "550 5.1.1 unknown"],
        "RSET": [*["250 2.0.0 ok"] * 3, (wait(0.3), "250 2.0.0 ok")],
    }
    with ScriptedRelay(script, offers=OFFERS) as relay:
        asyncio.run(scenario(relay))
    message = ["RSET", "MAIL", "RCPT", "BDAT"]
    assert relay.sessions[0].verbs == [
        "EHLO", *message, "RSET", *message, "RSET", *message, "QUIT"
    ]  # fmt: skip


# -- what has left, and what has not ---------------------------------------------------------------


@pytest.mark.parametrize("protection", ["none", "implicit"])
@pytest.mark.parametrize("end", [(drop,), (reset,), (half_close, silence), (silence,)])
def test_what_has_not_left_is_certain(end: Any, protection: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    implicit = protection == "implicit"
    small = content_for(PEOPLE[0])
    script: Script = {"octets": [(), (), (read(1000), wait(0.1), *end)], "BDAT": ["250 ok", ()]}

    async def scenario(relay: ScriptedRelay) -> list[Outcome]:
        connection = await connect(
            relay, window=4, timeouts=replace(QUICK, dot=0.5), ca_file=authority.ca_file
        )
        for envelope, content in zip(
            (*PEOPLE, PEOPLE[0]), (small, small, HUGE, small), strict=True
        ):
            connection.post(envelope, content)
        return await collect_all(connection)

    with ScriptedRelay(
        script,
        offers=OFFERS,
        receive_buffer_bytes=4096,
        tls=authority.issue() if implicit else None,
        implicit=implicit,
    ) as relay:
        outcomes = asyncio.run(scenario(relay))
    assert shown(outcomes) == ["250", "lost in doubt", "lost", "lost"]


def test_a_relay_that_takes_nothing_in() -> None:
    with ScriptedRelay({"octets": silence}, offers=OFFERS, receive_buffer_bytes=4096) as relay:
        timeouts = replace(QUICK, block=0.2, dot=30)
        outcomes = asyncio.run(converse(relay, [HUGE] * 3, timeouts=timeouts))
    assert shown(outcomes) == ["lost"] * 3
    assert "did not take the message in within 0.2 s" in str(outcomes[0])


def test_a_message_that_has_not_left_cannot_be_accepted() -> None:
    script: Script = {"octets": ("250 2.0.0 already", silence)}
    with ScriptedRelay(script, offers=OFFERS, receive_buffer_bytes=4096) as relay:
        outcomes = asyncio.run(converse(relay, [HUGE] * 3))
    assert shown(outcomes) == ["lost"] * 3
    assert "takes a message that it has not had in full" in str(outcomes[0])


def test_large_messages_all_arrive() -> None:
    with ScriptedRelay(offers=OFFERS, receive_buffer_bytes=65536) as relay:
        outcomes = asyncio.run(converse(relay, [HUGE] * 3))
    assert shown(outcomes) == ["250"] * 3
    assert [t.content for t in relay.accepted] == [HUGE] * 3


@pytest.mark.parametrize(
    "goodbye", [("421 4.4.2 idle", drop), ("421 4.4.2 idle", silence), (drop,), (b"250 what\r\n",)]
)
def test_a_relay_that_hangs_up(goodbye: Any) -> None:
    async def scenario(relay: ScriptedRelay) -> None:
        connection = await connect(relay)
        connection.post(PEOPLE[0], content_for(PEOPLE[0]))
        await until(lambda: connection.answered == 1)
        assert connection.under_way == 1
        assert shown(await collect_all(connection)) == ["250"]
        await until(lambda: not connection.usable)
        with pytest.raises(ConnectionLost) as raised:
            connection.post(PEOPLE[1], content_for(PEOPLE[1]))
        assert (raised.value.in_doubt, raised.value.phase) == (False, "MAIL")
        assert not connection.usable
        await connection.close()

    with ScriptedRelay({"BDAT": ("250 2.0.0 ok", wait(0.05), *goodbye)}, offers=OFFERS) as relay:
        asyncio.run(scenario(relay))


def test_the_two_ways_do_not_mix_but_may_follow_each_other() -> None:
    async def scenario(relay: ScriptedRelay) -> None:
        connection = await connect(relay)
        assert await connection.prepare(PEOPLE[0], content_for(PEOPLE[0])) is None
        with pytest.raises(LocalProtocolError):
            connection.post(PEOPLE[1], content_for(PEOPLE[1]))
        await connection.finish()
        connection.post(PEOPLE[1], content_for(PEOPLE[1]))
        assert shown(await collect_all(connection)) == ["250"]
        assert await connection.prepare(PEOPLE[2], content_for(PEOPLE[2])) is None
        await connection.finish()
        connection.post(PEOPLE[0], content_for(PEOPLE[0]))
        with pytest.raises(LocalProtocolError, match="under way"):
            await connection.prepare(PEOPLE[1], content_for(PEOPLE[1]))
        assert not connection.usable

    with ScriptedRelay(offers=OFFERS) as relay:
        asyncio.run(scenario(relay))
    assert {t.content for t in relay.accepted} == {content_for(p) for p in PEOPLE}


# -- a relay that breaks PIPELINING (row 46) -------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "window", "expected"),
    [
        ({"RCPT": ["250 ok", ()]}, 1, ["lost in doubt", "250", "250"]),  # one missing: which?
        ({".": [()]}, 1, ["lost in doubt", "250", "250"]),  # the dot's
        ({"MAIL": ["250 ok", ()]}, 1, ["lost in doubt", "250", "250"]),
        (
            {".": ["250-ok\r\n250 merged"], "MAIL": ["250 ok", ()]},
            1,
            ["lost in doubt", "250", "250"],
        ),
        (
            {"MAIL": ["250 ok", "550 5.7.1 no"], "DATA": ["354 go", "354 go"]},
            1,
            ["lost in doubt", "250", "250"],  # reordered
        ),
        ({"BDAT": ["250 ok", ()]}, 3, ["250", "lost in doubt", "lost in doubt"]),
        ({"BDAT": ["250 ok", (wait(0.1), "what?")]}, 3, ["250", "lost in doubt", "lost in doubt"]),
    ],
)
def test_a_relay_that_mixes_up_its_replies_is_asked_one_thing_at_a_time(
    script: Script, window: int, expected: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(relay: ScriptedRelay) -> list[Outcome]:
        timeouts = replace(QUICK, mail=0.3, rcpt=0.3, data=0.3, dot=0.3)
        opener = build_opener(
            parse_relay(relay.url), ehlo_name="x.example", timeouts=timeouts, window=window
        )
        outcomes: list[Outcome] = []
        channel: Channel = await opener()
        if window > 1:
            for envelope in PEOPLE:
                channel.post(envelope, content_for(envelope))
            assert isinstance(channel, Connection)
            outcomes = await collect_all(channel)
        else:
            for envelope, then in zip(PEOPLE, (*PEOPLE[1:], None), strict=True):
                if not channel.usable:
                    channel = await opener()
                try:
                    refused = await channel.prepare(envelope, content_for(envelope))
                    outcomes.append(refused or await channel.finish(then, size_bytes=30))
                except ConnectionLost as lost:
                    outcomes.append(lost)
        channel.abort()
        channel = await opener()
        assert channel.window == 1
        await channel.prepare(PEOPLE[0], content_for(PEOPLE[0]))
        await channel.finish(PEOPLE[1], size_bytes=30)
        await channel.close()
        return outcomes

    with caplog.at_level(logging.WARNING), ScriptedRelay(script, offers=OFFERS) as relay:
        outcomes = asyncio.run(scenario(relay))
        last = relay.sessions[-1]
    assert shown(outcomes) == expected
    assert last.verbs == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]
    [record] = caplog.records
    assert "offers PIPELINING and breaks it" in record.getMessage()


@pytest.mark.parametrize("script", [{".": drop}, {"MAIL": ("421 bye", drop)}, {"DATA": reset}])
def test_a_connection_that_breaks_says_nothing_about_pipelining(script: Script) -> None:
    async def scenario(relay: ScriptedRelay) -> None:
        pipelining = Pipelining()
        connection = await connect(relay, pipelining=pipelining)
        try:
            if await connection.prepare(PEOPLE[0], content_for(PEOPLE[0])) is None:
                await connection.finish(PEOPLE[1], size_bytes=30)
        except ConnectionLost:
            pass
        assert pipelining.trusted
        connection.abort()

    with ScriptedRelay(script, offers=OFFERS) as relay:
        asyncio.run(scenario(relay))
