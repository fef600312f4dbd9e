"""What a message to the unsubscribe address asks for: by its word alone, and by no machine."""

from __future__ import annotations

import base64

import pytest

from newsletter.feedback.request import MAX_HEAD_BYTES, parse_request

WORD = "dY3z_-A" + "a" * 36
FROM = "From: Ada <ada@elsewhere.example>\r\n"
ASKED = f"{FROM}To: unsubscribe@news.example\r\nSubject: unsubscribe {WORD}\r\n"
ENCODED = base64.b64encode(f"unsubscribe {WORD}".encode()).decode()


def ask(head: str) -> tuple[tuple[str, ...], str]:
    request = parse_request(head.encode() + b"\r\nNothing.\r\n")
    return request.words, request.refusal


@pytest.mark.parametrize(
    "head",
    [
        ASKED,
        ASKED.replace("\r\n", "\n"),
        f"{FROM}Subject: Re: unsubscribe\r\n {WORD}\r\n",
        f"Subject: unsubscribe+{WORD}\r\n",
        f"Subject: =?utf-8?B?{ENCODED}?=\r\n",
        f"Subject: =?utf-8?Q?unsubscribe_{WORD.replace('_', '=5F')}?=\r\n",
        f"To: <unsubscribe+{WORD}@news.example>\r\nSubject: please\r\n",
        f"To: list@news.example\r\nDelivered-To: unsubscribe+{WORD}@news.example\r\n",
        f"{ASKED}Auto-Submitted: no\r\n",
        f"{ASKED}Auto-Submitted: auto-generated\r\n",
        f"{ASKED}Return-Path: <ada@elsewhere.example>\r\n",
        f"{ASKED}Precedence: bulk\r\n",
    ],
)
def test_the_word_is_read_wherever_a_mail_program_puts_it(head: str) -> None:
    assert ask(head) == ((WORD,), "")


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (f"{ASKED}Auto-Submitted: auto-replied\r\n", "it is an automatic reply"),
        (f"{ASKED}Auto-Submitted: Auto-Replied; x=y\r\n", "it is an automatic reply"),
        (f"{ASKED}Precedence: auto_reply\r\n", "it is an automatic reply"),
        (f"{ASKED}X-Autoreply: yes\r\n", "it is an automatic reply"),
        (f"Return-Path: <>\r\n{ASKED}", "it is a bounce"),
        (f"Return-Path: < >\r\n{ASKED}", "it is a bounce"),
        (
            f"{ASKED}Content-Type: multipart/report; report-type=delivery-status; boundary=x\r\n",
            "it is a bounce or a report",
        ),
        (f"{FROM}Subject: unsubscribe\r\n", "it holds no link's word"),
        (f"{FROM}Subject: unsubscribe {WORD}a\r\n", "it holds no link's word"),
        (f"From: {WORD}@elsewhere.example\r\nSubject: leave\r\n", "it holds no link's word"),
        (f"{FROM}Reply-To: {WORD}@elsewhere.example\r\n", "it holds no link's word"),
        ("", "it holds no link's word"),
        ("\0\xff no head at all", "it holds no link's word"),
        (f"Subject: =?x-unknown?B?{ENCODED}?=\r\n", "it holds no link's word"),
    ],
)
def test_nothing_else_asks_for_anything(head: str, reason: str) -> None:
    assert ask(head) == ((), reason)


def test_a_word_in_the_body_counts_for_nothing() -> None:
    """A reply quotes what it answers, and with it the link of whoever wrote it."""
    request = parse_request(f"{FROM}Subject: hello\r\n\r\nunsubscribe {WORD}\r\n".encode())
    assert request.words == ()


def test_a_message_without_an_end_is_read_no_further_than_its_head() -> None:
    endless = f"{FROM}X-Filler: ".encode() + b"x" * MAX_HEAD_BYTES + ASKED.encode()
    assert parse_request(endless).words == ()
    many = b"".join(b"To: %043d@news.example\r\n" % n for n in range(1_000))
    assert len(parse_request(many).words) == 20
