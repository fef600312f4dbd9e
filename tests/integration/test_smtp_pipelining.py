"""PIPELINING (RFC 2920): one round trip a message, and never a reply charged to the wrong one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from newsletter.errors import ConnectionLost
from newsletter.smtp.connection import Connection, Timeouts, build_tls_context
from newsletter.smtp.protocol import Client, Envelope, LocalProtocolError, Phase, Refused, Reply
from newsletter.smtp.relay import parse_relay
from tests.relays import Script, ScriptedRelay, drip, drop, reset, until, wait

OFFERS = ("PIPELINING", "SIZE 50000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
QUICK = Timeouts(connect=2, greeting=2, hello=2, mail=2, rcpt=2, data=2, block=2, dot=2, quit=0.5)
PEOPLE = tuple(
    Envelope(sender="bounce@news.example", recipient=f"{name}@reader.example")
    for name in ("ada", "ben", "cleo")
)

Outcome = Refused | Reply | ConnectionLost


def content_for(envelope: Envelope) -> bytes:
    return f"To: {envelope.recipient}\r\n\r\n.hello\r\n".encode()


async def converse(relay: ScriptedRelay, people: Sequence[Envelope]) -> list[Outcome]:
    """Send to one after another, begun with the dot of the one before."""
    # After a loss a new connection takes up the next.
    outcomes: list[Outcome] = []
    connection: Connection | None = None
    for envelope, then in zip(people, [*people[1:], None], strict=True):
        if connection is None or not connection.usable:
            connection = await Connection.open(
                parse_relay(relay.url),
                ehlo_name="news.example",
                tls=build_tls_context(),
                timeouts=QUICK,
            )
        try:
            refused = await connection.prepare(envelope, content_for(envelope))
            size = len(content_for(then)) if then else 0
            outcomes.append(refused or await connection.finish(then, size_bytes=size))
        except ConnectionLost as lost:
            outcomes.append(lost)
    if connection is not None:
        await connection.close()
    return outcomes


def send(
    script: Script | None = None, offers: Sequence[str] = OFFERS
) -> tuple[list[Outcome], ScriptedRelay]:
    with ScriptedRelay(script, offers=offers) as relay:
        outcomes = asyncio.run(converse(relay, PEOPLE))
    return outcomes, relay


def shown(outcomes: Sequence[Outcome]) -> list[str]:
    return [
        f"lost{' in doubt' if o.in_doubt else ''}"
        if isinstance(o, ConnectionLost)
        else f"{o.phase.value}: {o.reply.code}"
        if isinstance(o, Refused)
        else str(o.code)
        for o in outcomes
    ]


def test_the_relay_sees_the_same_dialogue_with_and_without() -> None:
    outcomes, relay = send()
    plainly, plain = send(offers=OFFERS[1:])
    assert shown(outcomes) == shown(plainly) == ["250", "250", "250"]
    assert relay.sessions[0].commands == plain.sessions[0].commands
    for session in (relay.sessions[0], plain.sessions[0]):
        assert [taken.content for taken in session.messages] == [content_for(p) for p in PEOPLE]
    assert len(relay.sessions) == 1


def test_the_next_commands_leave_with_the_dot() -> None:
    async def scenario() -> list[str]:
        with ScriptedRelay({".": [(wait(0.3), "250 2.0.0 queued")]}, offers=OFFERS) as relay:
            connection = await Connection.open(
                parse_relay(relay.url), ehlo_name="x.example", tls=build_tls_context()
            )
            await connection.prepare(PEOPLE[0], content_for(PEOPLE[0]))
            finishing = asyncio.create_task(
                connection.finish(PEOPLE[1], size_bytes=len(content_for(PEOPLE[1])))
            )
            assert (await finishing).positive
            # Nothing more is said, and yet the relay has all three.
            await until(lambda: len(relay.sessions[0].commands) >= 7)
            await asyncio.sleep(0.2)
            seen = list(relay.sessions[0].commands)
            connection.abort()
        return seen

    verbs = [command.partition(" ")[0] for command in asyncio.run(scenario())]
    assert verbs == ["EHLO", "MAIL", "RCPT", "DATA", "MAIL", "RCPT", "DATA"]


@pytest.mark.parametrize(
    ("script", "expected", "sessions"),
    [
        # The second reader's refusal is the second's, whatever it is, and the third gets mail.
        (
            {
                "MAIL": ["250 ok", "452 4.3.1 full"],
                "RCPT": ["250 ok", "503 5.5.1 no MAIL"],
                "DATA": ["354 go", "503 5.5.1 no MAIL"],
            },
            ["250", "MAIL: 452", "250"],
            1,
        ),
        (
            {"RCPT": ["250 ok", "550 5.1.1 unknown"], "DATA": ["354 go", "554 5.5.1 nobody"]},
            ["250", "RCPT: 550", "250"],
            1,
        ),
        ({"DATA": ["354 go", "451 4.3.0 later"]}, ["250", "DATA: 451", "250"], 1),
        # A relay that says 354 though it refused the only recipient never gets a dot.
        ({"RCPT": ["250 ok", "550 5.1.1 unknown"]}, ["250", "RCPT: 550", "250"], 2),
        ({".": ["250 ok", "554 5.7.1 no"]}, ["250", "554", "250"], 1),
        # 421 to the dot: that message is put off, the one begun with it was never handed over.
        ({".": [("421 4.3.2 closing", drop)]}, ["421", "250", "250"], 2),
        ({".": [reset]}, ["lost in doubt", "250", "250"], 2),
        ({".": ["250 ok", (drop,)]}, ["250", "lost in doubt", "250"], 2),
        # The replies to the next group are lost: another connection begins that message anew.
        ({"MAIL": ["250 ok", (drop,)]}, ["250", "250", "250"], 2),
        ({"DATA": ["354 go", (drop,)]}, ["250", "250", "250"], 2),
        # One reply too many shifts all that follow; a 250 for DATA shows it before any content.
        ({".": ["250 ok\r\n250 again"]}, ["250", "250", "250"], 2),
        # The same before a refusal: another's, so nobody is refused, whatever the packets.
        (
            {
                "MAIL": ["250 ok", "250 ok\r\n250 again"],
                "RCPT": ["250 ok", (b"550 5.1.1 unknown\r\n503 5.5.1 nobody\r\n",)],
                "DATA": ["354 go", ()],
            },
            ["250", "250", "250"],
            2,
        ),
        (
            {
                "MAIL": ["250 ok", "250 ok\r\n250 again"],
                "RCPT": ["250 ok", "550 5.1.1 unknown"],
                "DATA": ["354 go", (wait(0.1), b"503 5.5.1 nobody\r\n")],
            },
            ["250", "lost", "250"],
            2,
        ),
        (
            {
                "RCPT": ["250 ok", "550 5.1.1 unknown\r\n550 5.1.1 again"],
                "DATA": ["354 go", (wait(0.1), b"503 5.5.1 nobody\r\n")],
            },
            ["250", "lost", "250"],
            2,
        ),
        # A relay that has had enough refuses RSET, too, and parts: it was asked and it answered.
        (
            {
                "RCPT": ["250 ok", "550 5.1.1 unknown"],
                "DATA": ["354 go", "503 5.5.1 nobody"],
                "RSET": [("554 too many nonmail commands", drop)],
            },
            ["250", "RCPT: 550", "250"],
            2,
        ),
        # Codes that differ within one reply, to the dot: in doubt, and nothing after is believed.
        ({".": ["550-no\r\n250 yes"]}, ["lost in doubt", "250", "250"], 2),
    ],
)
def test_every_reply_is_charged_to_its_own(
    script: Script, expected: list[str], sessions: int
) -> None:
    outcomes, relay = send(script)
    assert shown(outcomes) == expected
    assert len(relay.sessions) == sessions
    taken = [t.recipient for t in relay.accepted]
    told = [p.recipient for p, o in zip(PEOPLE, shown(outcomes), strict=True) if o == "250"]
    assert [who for who in taken if who in told] == told
    assert len(set(taken)) == len(taken)


def test_what_may_not_be_said_in_a_group_is_not_half_said() -> None:
    client = Client()
    list(client.receive(b"220 hello\r\n"))
    client.hello("news.example")
    list(client.receive(b"250-relay\r\n250 PIPELINING\r\n"))
    for bad in ("a b@reader.example", "jürgen@reader.example"):
        with pytest.raises(LocalProtocolError):
            client.begin(Envelope(sender="s@news.example", recipient=bad), size_bytes=10)
        assert client.idle
    group = client.begin(PEOPLE[0], size_bytes=10)
    assert group.count(b"\r\n") == 3
    assert [a.phase for a in client.receive(b"250 a\r\n250 b\r\n354 c\r\n")] == [
        Phase.MAIL,
        Phase.RCPT,
        Phase.DATA,
    ]


def test_another_message_than_the_one_begun_ends_the_connection() -> None:
    async def scenario() -> None:
        with ScriptedRelay(offers=OFFERS) as relay:
            connection = await Connection.open(
                parse_relay(relay.url), ehlo_name="x.example", tls=build_tls_context()
            )
            await connection.prepare(PEOPLE[0], content_for(PEOPLE[0]))
            await connection.finish(PEOPLE[1], size_bytes=1)
            with pytest.raises(LocalProtocolError, match="another message was begun"):
                await connection.prepare(PEOPLE[2], content_for(PEOPLE[2]))
            assert not connection.usable
        assert [taken.recipient for taken in relay.accepted] == [PEOPLE[0].recipient]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("slow", "ceilings", "words"),
    [
        ("MAIL", {"mail": 0.2}, "no answer to MAIL within 0.2 s"),
        ("RCPT", {"rcpt": 0.2}, "no answer to RCPT within 0.2 s"),
        ("DATA", {"data": 0.2}, "no answer to DATA within 0.2 s"),
    ],
)
def test_each_reply_of_a_group_has_its_own_ceiling(
    slow: str, ceilings: dict[str, float], words: str
) -> None:
    async def scenario(relay: ScriptedRelay) -> float:
        connection = await Connection.open(
            parse_relay(relay.url),
            ehlo_name="x.example",
            tls=build_tls_context(),
            timeouts=replace(Timeouts(), **ceilings),
        )
        began = time.monotonic()
        with pytest.raises(ConnectionLost, match=words) as raised:
            await connection.prepare(PEOPLE[0], content_for(PEOPLE[0]))
        assert not raised.value.in_doubt
        return time.monotonic() - began

    with ScriptedRelay({slow: drip(b"250-" + b"x" * 900, 0.02)}, offers=OFFERS) as relay:
        assert 0.15 < asyncio.run(scenario(relay)) < 4


def test_the_clock_of_a_wait_does_not_ring_in_the_next() -> None:
    async def scenario(relay: ScriptedRelay) -> None:
        connection = await Connection.open(
            parse_relay(relay.url),
            ehlo_name="x.example",
            tls=build_tls_context(),
            timeouts=replace(Timeouts(), mail=0.3, rcpt=0.3, data=0.3, dot=30),
        )
        await connection.prepare(PEOPLE[0], content_for(PEOPLE[0]))
        assert (await connection.finish()).positive  # after 0.6 s: the group's clock has rung
        await connection.close()

    with ScriptedRelay({".": (wait(0.6), "250 2.0.0 queued")}, offers=OFFERS) as relay:
        asyncio.run(scenario(relay))


def test_a_verdict_does_not_wait_long_for_what_left_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("newsletter.smtp.connection._COMPANY_SECONDS", 0.2)

    async def scenario(relay: ScriptedRelay) -> None:
        connection = await Connection.open(
            parse_relay(relay.url), ehlo_name="x.example", tls=build_tls_context()
        )
        await connection.prepare(PEOPLE[0], content_for(PEOPLE[0]))
        began = time.monotonic()
        verdict = await connection.finish(PEOPLE[1], size_bytes=len(content_for(PEOPLE[1])))
        assert verdict.positive
        assert time.monotonic() - began < 1.5
        assert connection.usable
        assert await connection.prepare(PEOPLE[1], content_for(PEOPLE[1])) is None  # it does come
        assert (await connection.finish()).positive
        await connection.close()

    with ScriptedRelay({"RCPT": ["250 ok", (wait(2), "250 ok")]}, offers=OFFERS) as relay:
        asyncio.run(scenario(relay))
    assert len(relay.accepted) == 2


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ({}, "250"),
        ({".": "552 5.2.2 full"}, "552"),
        ({".": ("421 4.3.2 closing", drop)}, "421"),
        ({"QUIT": (drop,)}, "250"),
        ({"QUIT": (reset,)}, "250"),
        ({"QUIT": "500 5.5.1 what?"}, "250"),
        ({"QUIT": ()}, "250"),  # it says nothing and goes on listening
        # A goodbye in the verdict's place: the verdict was lost, and whose message was taken
        # nobody knows.
        ({".": ()}, "lost in doubt"),
        ({".": (drop,)}, "lost in doubt"),
    ],
)
def test_a_goodbye_leaves_with_the_last_dot_and_is_never_taken_for_its_verdict(
    script: Script, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("newsletter.smtp.connection._COMPANY_SECONDS", 0.3)

    async def scenario(relay: ScriptedRelay) -> Outcome:
        connection = await Connection.open(parse_relay(relay.url), ehlo_name="x.example", tls=None)
        await connection.prepare(PEOPLE[0], content_for(PEOPLE[0]))
        try:
            return await connection.finish(is_last=True)
        except ConnectionLost as lost:
            return lost
        finally:
            assert not connection.usable
            await connection.close()

    with ScriptedRelay(script, offers=OFFERS) as relay:
        assert shown([asyncio.run(scenario(relay))]) == [expected]
    assert relay.sessions[0].commands.count("QUIT") <= 1
