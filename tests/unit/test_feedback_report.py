"""What a message that came back says: bounces, complaints, and what is neither."""

from __future__ import annotations

import base64
import quopri
import time
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.feedback.report import MAX_BYTES, Finding, Report, parse_report

TOKEN = "dY3z_-A" + "a" * 36
OURS = "bounce+abcdefghijklmnopqrstuvwxyz234567@news.example"
COPY = f"""\
Return-Path: <{OURS}>
From: AFBytes Brief <brief@news.example>
To: ada@post.example
Subject: User unknown: mailbox full of spam
List-Unsubscribe: <https://news.example/leave/{TOKEN}>,
 <mailto:unsubscribe@news.example?subject=unsubscribe%20{TOKEN}>

no such user here, quota exceeded, 550 5.1.1
"""
FAILED = "Final-Recipient: rfc822; ada@post.example\nAction: failed\nStatus: 5.1.1\n"
DELIVERED = "Final-Recipient: rfc822; bea@post.example\nAction: delivered\nStatus: 2.0.0\n"
DELAYED = "Final-Recipient: rfc822; cy@post.example\nAction: delayed\nStatus: 4.4.1\n"
HEAD = f"From: MAILER-DAEMON@post.example\nTo: {OURS}\nSubject: Undelivered Mail\n"
LETTER = "I could not deliver your message.\n"


def build_parts(
    kind: str, *parts: tuple[str, str], end: str = "--b--\n", head: str = HEAD
) -> bytes:
    body = "".join(f"--b\n{fields}\n\n{text}\n" for fields, text in parts)
    return f"{head}Content-Type: {kind}; boundary=b\n\n{body}{end}".encode()


def build_bounce(
    *recipients: str,
    letter: str = LETTER,
    fields: str = "Content-Type: message/delivery-status",
    end: str = "--b--\n",
) -> bytes:
    status = "\n".join(["Reporting-MTA: dns; mx.post.example\n", *recipients])
    return build_parts(
        "multipart/report; report-type=delivery-status",
        ("Content-Type: text/plain", letter),
        (fields, status),
        ("Content-Type: message/rfc822", COPY),
        end=end,
    )


def build_letter(letter: str, head: str = HEAD) -> bytes:
    return f"{head}\n{letter}".encode()


def find(content: bytes) -> Finding | None:
    report = parse_report(content)
    return report.finding if report else None


# -- delivery status -------------------------------------------------------------------------------


def test_a_bounce_tells_whose_copy_what_and_why() -> None:
    diagnostic = "Diagnostic-Code: smtp; 550 5.1.1 <ada@post.example>:\n  User unknown\n"
    assert parse_report(build_bounce(FAILED + diagnostic)) == Report(
        finding=Finding.ADDRESS,
        status="5.1.1",
        said="550 5.1.1 <ada@post.example>: User unknown",
        addressed=(OURS,),
        tokens=(TOKEN,),
        returned=(OURS,),
    )


@pytest.mark.parametrize(
    ("recipients", "finding"),
    [
        ([FAILED], Finding.ADDRESS),
        ([FAILED, FAILED], Finding.ADDRESS),
        ([FAILED, DELIVERED], Finding.MESSAGE),  # it reached somebody
        ([DELIVERED, FAILED], Finding.MESSAGE),
        ([FAILED, DELAYED], Finding.MESSAGE),
        ([FAILED, FAILED.replace("5.1.1", "5.2.2")], Finding.MESSAGE),
        ([DELAYED], Finding.DELAYED),
        ([DELAYED, DELIVERED], Finding.DELAYED),
        ([DELIVERED], None),
        ([DELIVERED.replace("delivered", "relayed")], None),
        ([DELIVERED.replace("delivered", "expanded")], None),
    ],
)
def test_one_failed_copy_is_a_failure_and_what_was_passed_on_is_none(
    recipients: list[str], finding: Finding | None
) -> None:
    assert find(build_bounce(*recipients)) == finding


@pytest.mark.parametrize(
    "recipient",
    [
        FAILED.replace("\n", "\r\n"),
        FAILED.lower(),
        FAILED.replace("failed", "Failed (bad destination mailbox)"),
        FAILED.replace("failed", "failure"),
        FAILED.replace("failed", "error"),
        FAILED.replace("Action: failed\n", ""),
        FAILED.replace("5.1.1", "5.1.1 (no such mailbox)"),
        FAILED.replace(" 5.1.1", "\n\t5.1.1"),
        FAILED.replace("5.1.1", "5.0.0") + "Diagnostic-Code: smtp;550 5.1.1 gone\n",
        FAILED.replace("Status: 5.1.1\n", "") + "Diagnostic-Code: smtp; 550 user unknown\n",
        FAILED + "Diagnostic-Code: X-Unix; =?utf-8?q?Benutzer_unbekannt?=\n",
        FAILED + "Diagnostic-Code: smtp; 550 \udc80\udcff user unknown\n",
        FAILED + "\0: \0\n",
    ],
)
def test_fields_are_read_as_servers_write_them(recipient: str) -> None:
    content = build_bounce("X").replace(b"X\n", recipient.encode("utf-8", "surrogateescape"))
    assert find(content) == Finding.ADDRESS


@pytest.mark.parametrize(
    ("kind", "encoding", "end"),
    list(
        product(
            ("delivery-status", "global-delivery-status"),
            ("7bit", "base64", "quoted-printable"),
            ("--b--\n", ""),
        )
    ),
)
def test_a_status_is_read_in_any_encoding_and_without_an_end(
    kind: str, encoding: str, end: str
) -> None:
    text = f"Reporting-MTA: dns; mx.post.example\n\n{FAILED}Diagnostic-Code: smtp; no such user\n"
    if encoding == "base64":
        text = base64.encodebytes(text.encode()).decode()
    elif encoding == "quoted-printable":
        text = quopri.encodestring(text.encode()).decode()
    fields = f"Content-Type: message/{kind}\nContent-Transfer-Encoding: {encoding}"
    report = parse_report(build_parts("multipart/report", (fields, text), end=end))
    assert report is not None
    assert (report.finding, report.said) == (Finding.ADDRESS, "no such user")


def test_the_letter_speaks_where_the_fields_say_nothing() -> None:
    vague = FAILED.replace("5.1.1", "5.0.0")
    assert find(build_bounce(vague)) == Finding.MESSAGE
    report = parse_report(build_bounce(vague, letter="Sorry:\n550 5.1.1 No such user\n"))
    assert report is not None
    assert (report.finding, report.status) == (Finding.ADDRESS, "5.1.1")


def test_words_overrule_the_code() -> None:
    said = "Diagnostic-Code: smtp; 550 "
    assert find(build_bounce(f"{FAILED}{said}5.1.1 blocked as spam\n")) == Finding.MESSAGE
    policy = FAILED.replace("5.1.1", "5.7.1")
    assert find(build_bounce(f"{policy}{said}5.7.1 user unknown\n")) == Finding.ADDRESS
    assert find(build_bounce(policy)) == Finding.MESSAGE


def test_postfix_names_the_return_path() -> None:
    status = f"X-Postfix-Sender: rfc822; {OURS}\n\n{FAILED}"
    report = parse_report(
        build_parts("multipart/report", ("Content-Type: message/delivery-status", status))
    )
    assert report is not None
    assert report.returned == (OURS,)
    assert report.tokens == ()


def test_whom_it_was_sent_to_is_read_wherever_it_stands() -> None:
    head = (
        "Received: from mx (mx [192.0.2.1]) by us\n\tfor <e@news.example>; today\n"
        "From: MAILER-DAEMON@post.example\nX-Original-To: a@news.example\n"
        'Delivered-To: b@news.example\nEnvelope-To: <c@news.example>\nTo: "Us" <d@news.example>\n'
    )
    report = parse_report(build_bounce(FAILED).replace(HEAD.encode(), head.encode()))
    assert report is not None
    assert set(report.addressed) == {f"{name}@news.example" for name in "abcde"}


# -- complaints ------------------------------------------------------------------------------------


def build_complaint(kind: str, copy: str = "message/rfc822") -> bytes:
    fields = (
        f"Feedback-Type: {kind}\nUser-Agent: Loop/1\nVersion: 1\n"
        f"Original-Mail-From: <{OURS.replace('a', 'b')}>\nOriginal-Rcpt-To: redacted\n"
    )
    return build_parts(
        "multipart/report; report-type=feedback-report",
        ("Content-Type: text/plain", "This is a report about spam.\n"),
        ("Content-Type: message/feedback-report", fields),
        (f"Content-Type: {copy}", COPY),
        head="From: staff@loop.example\nTo: complaints@news.example\nSubject: report\n",
    )


@pytest.mark.parametrize("copy", ["message/rfc822", "text/rfc822-headers", "message/global"])
@pytest.mark.parametrize("kind", ["abuse", "Abuse", "fraud", "other", "abuse (spam button)"])
def test_a_complaint_names_the_copy_by_what_it_returns(kind: str, copy: str) -> None:
    assert parse_report(build_complaint(kind, copy)) == Report(
        finding=Finding.COMPLAINT,
        status="",
        said="",
        addressed=("complaints@news.example",),
        tokens=(TOKEN,),
        returned=(OURS.replace("a", "b"), OURS),
    )


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure", "virus", "", "xarf"])
def test_not_every_feedback_is_a_complaint(kind: str) -> None:
    assert find(build_complaint(kind)) is None


def test_a_junk_report_of_outlook_is_a_complaint() -> None:
    copy = f"X-HmXmrOriginalRecipient: ada@post.example\n{COPY}"
    content = build_parts(
        "multipart/mixed",
        ("Content-Type: message/rfc822", copy),
        head="From: staff@mail.example\nSubject: complaint about message from 192.0.2.1\n",
    )
    report = parse_report(content)
    assert report is not None
    assert (report.finding, report.tokens) == (Finding.COMPLAINT, (TOKEN,))


# -- bounces of no standard ------------------------------------------------------------------------

QMAIL = """\
Hi. This is the qmail-send program at post.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<ada@post.example>:
{words}

--- Below this line is a copy of the message.

"""
EXIM = """\
This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  ada@post.example
    host mx.post.example [192.0.2.7]
    SMTP error from remote mail server after RCPT TO:<ada@post.example>:
    {words}

------ This is a copy of the message, including all the headers. ------

"""
EXIM_HEAD = (
    f"From: Mail Delivery System <Mailer-Daemon@post.example>\nTo: {OURS}\n"
    "X-Failed-Recipients: ada@post.example\nAuto-Submitted: auto-replied\n"
    "Subject: Mail delivery failed: returning message to sender\n"
)
POSTFIX = """\
This is the mail system at host mx.post.example.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

<ada@post.example>: host mx.post.example[192.0.2.7] said: {words}
    (in reply to RCPT TO command)
"""
EXCHANGE = """\
Your message did not reach some or all of the intended recipients.

The following recipient(s) could not be reached:

      ada@post.example on 26.11.2026 10:00
            {words}
"""
YAHOO = """\
Sorry, we were unable to deliver your message to the following address.

<ada@post.example>:
{words}

--- Below this line is a copy of the message.

"""
PLAIN = "Ihre Nachricht konnte nicht zugestellt werden.\n\n{words}\n"


@pytest.mark.parametrize(
    ("words", "finding"),
    [
        ("550 5.1.1 sorry, no mailbox here by that name.", Finding.ADDRESS),
        ("550 no such user", Finding.ADDRESS),
        ("554 delivery error: dd This user doesn't have a post.example account", Finding.ADDRESS),
        ("Benutzer unbekannt", Finding.ADDRESS),
        ("552 5.2.2 mailbox is full", Finding.MESSAGE),
        ("554 5.7.1 your message was taken for spam", Finding.MESSAGE),
        ("550 5.1.1 blocked by our policy", Finding.MESSAGE),
        ("Connection timed out", Finding.MESSAGE),
    ],
)
@pytest.mark.parametrize(
    ("letter", "head"),
    [
        (QMAIL, HEAD.replace("Undelivered Mail", "failure notice")),
        (EXIM, EXIM_HEAD),
        (POSTFIX, HEAD),
        (EXCHANGE, HEAD.replace("MAILER-DAEMON", "postmaster")),
        (YAHOO, HEAD.replace("post.example", "yahoo.example", 1)),
        (
            PLAIN,
            HEAD.replace("MAILER-DAEMON", "noreply").replace("Undelivered Mail", "Unzustellbar"),
        ),
    ],
    ids=["qmail", "exim", "postfix", "exchange", "yahoo", "plain"],
)
def test_a_letter_about_a_failure_is_judged_by_its_words(
    letter: str, head: str, words: str, finding: Finding
) -> None:
    report = parse_report(build_letter(letter.format(words=words) + COPY, head))
    assert report is not None
    assert report.finding == finding
    assert report.tokens == (TOKEN,)
    assert report.returned == (OURS,)
    assert report.addressed == (OURS,)
    assert words.split()[-1] in report.said


def test_a_word_is_found_in_an_address_to_write_to() -> None:
    copy = f"List-Unsubscribe: <mailto:u@news.example?subject=unsubscribe%20{TOKEN}>\n\n"
    report = parse_report(build_letter(QMAIL.format(words="no such user") + copy))
    assert report is not None
    assert report.tokens == (TOKEN,)


@pytest.mark.parametrize("path", ["<>", "< >", "<MAILER-DAEMON@mx.post.example>"])
def test_a_server_in_a_persons_name_is_known_by_its_return_path(path: str) -> None:
    text = QMAIL.format(words="no such user")
    head = "From: robot@post.example\nSubject: sorry\n"
    assert find(build_letter(text, head)) is None
    assert find(build_letter(text, f"{head}Return-Path: {path}\n")) == Finding.ADDRESS


def test_a_letter_is_read_in_html_and_in_any_charset() -> None:
    text = base64.encodebytes("<p>550 Empfänger unbekannt</p>".encode("latin-1")).decode()
    fields = "Content-Type: text/html; charset=x-unknown\nContent-Transfer-Encoding: base64"
    assert find(build_parts("multipart/mixed", (fields, text))) == Finding.ADDRESS


def test_the_returned_copy_is_no_answer() -> None:
    """The newsletter itself may tell of unknown users: only the server's words count."""
    content = build_parts(
        "multipart/mixed",
        ("Content-Type: text/plain", LETTER),
        ("Content-Type: message/rfc822", COPY),
    )
    assert find(content) == Finding.MESSAGE


def test_a_late_copy_is_no_failure() -> None:
    late = "This is a warning: your message has not yet been delivered to ada@post.example.\n"
    assert find(build_letter(late, HEAD.replace("Undelivered", "Delayed"))) == Finding.DELAYED


# -- neither ---------------------------------------------------------------------------------------

AWAY = "I am out of the office, my mailbox is full. Write to bea@post.example: no such user.\n"


@pytest.mark.parametrize(
    ("head", "text"),
    [
        ("From: ada@post.example\nSubject: Re: news\n", "Thank you! 550 user unknown?\n"),
        ("From: ada@post.example\nSubject: Away\nAuto-Submitted: auto-replied\n", AWAY),
        ("From: ada@post.example\nSubject: Undelivered\nAuto-Submitted: auto-replied\n", AWAY),
        ("From: ada@post.example\nSubject: Away\nReturn-Path: <>\n", AWAY),
        ("From: ada@post.example\nSubject: Away\nX-Autoreply: yes\n", AWAY),
        (
            "From: ada@post.example\nReturn-Path: <>\nSubject: message not delivered yet\n",
            "Please click this link to have your message delivered.\n",
        ),
        (
            "From: mailer-daemon@post.example\nSubject: Delivery status\n",
            "Your message was successfully delivered.\n",
        ),
        ("From: postmaster@post.example\nSubject: Hello\n", "We like your newsletter.\n"),
        ("", ""),
    ],
)
def test_letters_replies_and_challenges_are_neither(head: str, text: str) -> None:
    assert parse_report(f"{head}\n{text}".encode()) is None


def test_a_receipt_is_neither() -> None:
    content = build_parts(
        "multipart/report; report-type=disposition-notification",
        ("Content-Type: text/plain", "It was read. Undelivered: 550 user unknown"),
        ("Content-Type: message/disposition-notification", "Disposition: manual-action; displayed"),
        head="From: ada@post.example\nReturn-Path: <>\nSubject: Read: not delivered\n",
    )
    assert parse_report(content) is None


# -- any bytes -------------------------------------------------------------------------------------

NESTED = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(1_000))
STATUS_HEAD = "Content-Type: message/delivery-status\n\n"


@pytest.mark.parametrize(
    "content",
    [
        HEAD + NESTED + "hello",
        HEAD + NESTED[:900] + "\n" * 500_000,
        HEAD + "\n" + "a" * 10_000_000,
        HEAD + "\nfailed addresses follow:\n" + "a" * 10_000_000,
        HEAD + "\n550 " + "user " * 2_000_000,
        HEAD + "\n" + "\0" * 10_000_000,
        HEAD + "\n" + "-" * 1_000_000,
        HEAD + "To: " + "(" * 3_000 + "\n\n550 user unknown",
        HEAD + "To: " + "<a@b," * 500_000 + "\n\n550 user unknown",
        HEAD + "To: a@b\n" * 300_000,
        "Subject: " + "=?utf-8?q?a?= " * 500_000,
        "Content-Type: multipart/mixed" + ";a=b" * 500_000,
        STATUS_HEAD + "a:b\n\n" * 100_000,
        STATUS_HEAD + f"{FAILED}Diagnostic-Code: smtp; {'(' * 100_000}\n",
        STATUS_HEAD + f"{FAILED}{'Diagnostic-Code: smtp; 550 user ' * 8_000}\n",
        HEAD + "Content-Type: text/html\n\n" + "<a" * 100_000,
    ],
    ids=range(16),
)
def test_what_is_made_to_be_slow_is_not(content: str) -> None:
    begun = time.process_time()
    parse_report(content.encode())
    assert time.process_time() - begun < 5  # 1 s at most on a slow core


def test_no_more_is_read_than_is_allowed() -> None:
    assert find(b" " * MAX_BYTES + build_bounce(FAILED)) is None
    padded = build_bounce(FAILED) + b"x" * MAX_BYTES
    assert find(padded) == Finding.ADDRESS


def test_what_is_said_is_one_short_printable_line() -> None:
    diagnostic = "Diagnostic-Code: smtp; no\tsuch\x07 user \x1b[31m" + "x" * 5_000 + "\n"
    report = parse_report(build_bounce(FAILED + diagnostic))
    assert report is not None
    assert report.said.startswith("no such user [31mx")
    assert len(report.said) == 500


SCRAPS = st.sampled_from(
    [
        *(line + b"\n" for line in build_bounce(FAILED, DELIVERED).splitlines()),
        *(line + b"\r\n" for line in build_complaint("abuse").splitlines()),
        *(line + b"\n" for line in build_letter(EXIM, EXIM_HEAD).splitlines()),
        b"Content-Transfer-Encoding: base64\n",
        b"Content-Transfer-Encoding: x-uuencode\n",
        b"Content-Type: multipart/digest; boundary=b\n",
        b"Content-Type: text/plain; charset*=utf-8''%ff\n",
        b"Content-Type: \xff\n",
        b"\0",
        b"\xff\xfe\n",
        b"\n",
        b"\r",
    ]
)


@settings(max_examples=300)
@given(st.lists(SCRAPS | st.binary(max_size=30), max_size=60).map(b"".join))
def test_any_bytes_give_a_report_or_none(content: bytes) -> None:
    report = parse_report(content)
    if report is not None:
        assert report.said.isprintable()
        assert len(report.said) <= 500
        assert all("@" in address for address in report.addressed + report.returned)
