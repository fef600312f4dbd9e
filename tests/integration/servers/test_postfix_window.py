"""Postfix takes several messages at once by BDAT, and tells each reader's fate apart."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

import pytest

from newsletter.smtp.connection import Connection, build_tls_context
from newsletter.smtp.protocol import Envelope, Refused, Reply
from newsletter.smtp.relay import parse_relay
from tests.integration.servers.conftest import StartPostfix, Trust
from tests.integration.servers.dovecot import PASSWORD, USER
from tests.integration.servers.publication import READERS

MESSAGES = 24


def content(number: int) -> bytes:
    """Build a message with all that Postfix would else add to it."""
    lines = b".a line that begins with a dot\r\n..\r\n.\r\n" * 200
    return (
        b"Subject: number %d\r\n"
        b"From: daily@news.example\r\n"
        b"Date: Wed, 25 Nov 2026 07:00:00 +0000\r\n"
        b"Message-ID: <%d@news.example>\r\n"
        b"\r\n" % (number, number)
    ) + lines


@pytest.mark.parametrize("window", [1, 8])
def test_messages_under_way_at_once(start_postfix: StartPostfix, trust: Trust, window: int) -> None:
    postfix = start_postfix()
    people = (*READERS, "nobody@example.org")
    chosen = [people[number % len(people)] for number in range(MESSAGES)]

    async def scenario() -> list[Reply | Refused]:
        connection = await Connection.open(
            parse_relay(f"smtp://{USER}@localhost:{postfix.port}", password=PASSWORD),
            ehlo_name="news.example",
            tls=build_tls_context(trust.authority),
            window=window,
            dsn=True,
        )
        assert connection.window == window
        verdicts: list[Reply | Refused] = []
        for number, reader in enumerate(chosen):
            envelope = Envelope(
                sender="bounce@news.example", recipient=reader, envelope_id="2026-11-25+1"
            )
            if window == 1:
                refused = await connection.prepare(envelope, content(number))
                verdicts.append(refused or await connection.finish())
                continue
            if connection.under_way == window:
                verdicts.append(await connection.collect())
            assert connection.post(envelope, content(number)) is None
        while connection.under_way:
            verdicts.append(await connection.collect())
        await connection.close()
        return verdicts

    verdicts = asyncio.run(scenario())
    for reader, verdict in zip(chosen, verdicts, strict=True):
        if reader in READERS:
            assert isinstance(verdict, Reply)
            assert "queued as" in str(verdict)
        else:
            assert isinstance(verdict, Refused)
            assert (verdict.phase.value, verdict.reply.enhanced) == ("RCPT", "5.1.1")
    stored = postfix.stored
    expected = {number: r for number, r in enumerate(chosen) if r in READERS}
    found = {int(re.findall(rb"Subject: number (\d+)", s.content)[0]): s for s in stored}
    assert len(stored) == len(found)
    assert {number: s.recipient for number, s in found.items()} == expected
    for number, one in found.items():
        assert one.content == content(number).replace(b"\r\n", b"\n")
    used = Counter(re.findall(r"\b(bdat|data)=(\d+(?:/\d+)?)", postfix.log))
    assert {verb for verb, _ in used} == {"bdat" if window > 1 else "data"}
