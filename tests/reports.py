"""Bounces and complaints as mail servers write them, about copies of ours."""

from __future__ import annotations

from newsletter.mail import Keyring
from newsletter.mail.tokens import Purpose, sign_one
from newsletter.mail.verp import ReturnPaths

PATTERN = "bounce+*@news.example"
LIST_ID = "daily.news.example"
RING = Keyring([b"n" * 40])

DEAD = ("5.1.1", "550 5.1.1 no such user here")
FULL = ("5.2.2", "552 5.2.2 the mailbox is full")


def build_return_path(edition_id: int, number: int, *, ring: Keyring = RING) -> str:
    """Give the envelope sender of a copy."""
    paths = ReturnPaths(PATTERN, ring, ring.newest, list_id=LIST_ID, edition_id=edition_id)
    return paths.build(number)


def build_bounce(
    to: str, status: str = DEAD[0], said: str = DEAD[1], action: str = "failed"
) -> bytes:
    """Write a delivery status notification (RFC 3464) to a return path."""
    return _write(
        f"Return-Path: <>\nFrom: MAILER-DAEMON@mx.example\nTo: {to}\nSubject: Undelivered",
        "delivery-status",
        "The message could not be delivered.",
        "message/delivery-status",
        "Reporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; somebody@example.org\n"
        f"Action: {action}\nStatus: {status}\nDiagnostic-Code: smtp; {said}",
        "Subject: The day\nFrom: brief@news.example\n",
    )


def build_complaint(*, path: str = "", token: str = "") -> bytes:
    """Write an abuse report (RFC 5965) whose returned copy bears a return path or a token."""
    told = f"Original-Mail-From: <{path}>\n" if path else ""
    link = f"<mailto:leave@news.example?subject=unsubscribe%20{token}>" if token else "<none>"
    return _write(
        "From: feedback@provider.example\nTo: complaints@news.example\nSubject: FW: The day",
        "feedback-report",
        "This is an abuse report.",
        "message/feedback-report",
        f"Feedback-Type: abuse\nUser-Agent: Provider/1\nVersion: 1\n{told}".rstrip(),
        f"From: brief@news.example\nSubject: The day\nList-Unsubscribe: {link}\n",
    )


def sign_leaving(edition_id: int, number: int, *, ring: Keyring = RING) -> str:
    """Give the token of a copy's List-Unsubscribe."""
    return sign_one(
        number, Purpose.UNSUBSCRIBE, keyring=ring, list_id=LIST_ID, edition_id=edition_id
    )


def _write(head: str, kind: str, words: str, part: str, fields: str, returned: str) -> bytes:
    text = f"""{head}
MIME-Version: 1.0
Content-Type: multipart/report; report-type={kind}; boundary="b"

--b
Content-Type: text/plain

{words}

--b
Content-Type: {part}

{fields}

--b
Content-Type: message/rfc822

{returned}
Hello.

--b--
"""
    return text.replace("\n", "\r\n").encode()
