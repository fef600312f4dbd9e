"""A mailbox's own ways: who may send, what is remembered, and that it stays as it was."""

from __future__ import annotations

import imaplib
import socket
import threading
import time
from email.message import EmailMessage, Message

import pytest

from newsletter.briefs.sources.mailbox import find_sender, is_authentic
from tests.contract.sources.conftest import Desk
from tests.contract.sources.stages import MailboxStage, mail_of
from tests.contract.sources.stories import BUDGET, CHIPS, PORT, STORIES
from tests.contract.sources.test_every_kind import assert_one_sentence

GENUINE = (
    "mx.news.example; spf=pass smtp.mailfrom=wire.example; dmarc=pass header.from=wire.example"
)


def look(mail: imaplib.IMAP4) -> tuple[bytes, list[bytes]]:
    mail.select("Briefs", readonly=True)
    flags = mail.fetch("1:*", "(UID FLAGS)")[1]
    return mail.response("UIDVALIDITY")[1][0], [line for line in flags if isinstance(line, bytes)]


def test_nothing_in_the_mailbox_changes(desk: Desk, mailbox: MailboxStage) -> None:
    mailbox.put(STORIES)
    before = mailbox.do(look)
    assert len(before[1]) == 3
    assert desk.gather(mailbox.table).new == 3
    after = mailbox.do(look)
    assert after == before
    assert not any(b"Seen" in line for line in after[1])


def test_what_was_read_is_known_by_its_number(desk: Desk, mailbox: MailboxStage) -> None:
    mailbox.put([PORT])
    desk.gather(mailbox.table)
    (validity, _) = mailbox.do(look)
    assert desk.validators() == {"uidvalidity": validity.decode(), "uid": "1"}
    assert desk.gather(mailbox.table).found == 0
    mailbox.put([BUDGET])
    assert desk.gather(mailbox.table).found == 1
    assert desk.validators()["uid"] == "2"


def test_a_folder_with_new_numbers_is_read_again_and_known(
    desk: Desk, mailbox: MailboxStage
) -> None:
    mailbox.put([PORT, BUDGET])
    desk.gather(mailbox.table)
    (old, _) = mailbox.do(look)

    def renew(mail: imaplib.IMAP4) -> None:
        mail.delete("Briefs")
        mail.create("Briefs")

    time.sleep(1.1)  # Dovecot takes the new number from the clock, in seconds
    mailbox.do(renew)
    mailbox.deliver(mail_of(CHIPS, mailbox.sender))
    mailbox.deliver(mail_of(PORT, mailbox.sender))
    mailbox.deliver(mail_of(BUDGET, mailbox.sender))
    report = desk.gather(mailbox.table)
    assert (report.found, report.new, report.changed) == (3, 1, 0)
    (new, _) = mailbox.do(look)
    assert new != old
    assert desk.validators() == {"uidvalidity": new.decode(), "uid": "3"}


def test_only_those_named_may_send(desk: Desk, mailbox: MailboxStage) -> None:
    mailbox.deliver(mail_of(PORT, "desk@elsewhere.example"))
    mailbox.deliver(mail_of(BUDGET, mailbox.sender))
    report = desk.gather(mailbox.table)
    assert [brief.title for brief in desk.briefs()] == [BUDGET.title]
    assert "1 messages are of nobody who may send briefs" in report.problems[0]
    assert desk.gather(mailbox.table).problems == ()


def test_only_genuine_mail_where_that_is_asked(desk: Desk, mailbox: MailboxStage) -> None:
    forged = mail_of(PORT, mailbox.sender)
    mailbox.deliver(forged)
    mailbox.deliver(
        f"Authentication-Results: {GENUINE}\r\n".encode() + mail_of(BUDGET, mailbox.sender)
    )
    desk.gather(mailbox.table, authenticated_by="mx.news.example")
    assert [brief.title for brief in desk.briefs()] == [BUDGET.title]


def test_a_wrong_password_is_not_repeated_to_anybody(
    desk: Desk, mailbox: MailboxStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "geheim-77")
    report = desk.gather(mailbox.table)
    assert "refuses the login" in report.error
    assert "geheim" not in report.error
    assert_one_sentence(report.error)


@pytest.mark.parametrize("tls", ["starttls", "none"])
def test_other_ways_in(desk: Desk, mailbox: MailboxStage, tls: str) -> None:
    mailbox.put([PORT])
    report = desk.gather(mailbox.table, tls=tls, port=mailbox.dovecot.imap_port)
    assert (report.error, report.new) == ("", 1)


def test_a_connection_that_cannot_be_trusted_is_none(desk: Desk, mailbox: MailboxStage) -> None:
    mailbox.put([PORT])
    stranger = desk.gather(mailbox.table, ca_file=None)
    assert "certificate is not valid" in stranger.error
    mismatch = desk.gather(mailbox.table, host="127.0.0.1")
    assert "certificate is not valid" in mismatch.error
    private = desk.gather(mailbox.table, allow_private=False)
    assert "not a public address" in private.error
    missing = desk.gather(mailbox.table, folder="Entwürfe & mehr")
    assert "has no folder" in missing.error
    for report in (stranger, mismatch, private, missing):
        assert (report.status, report.new) == ("failed", 0)
        assert_one_sentence(report.error)
    assert desk.briefs() == []


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (b"", "did not answer in full within 1 seconds"),
        (b"* OK " + b"x" * 2_000_000, "a line without an end"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "is no IMAP"),
        (b"* OK hello\r\n* CAPABILITY {999999999999}\r\n", "announces"),
    ],
    ids=["silence", "no end", "other", "literal"],
)
def test_a_server_that_is_none_is_a_sentence(
    desk: Desk, mailbox: MailboxStage, said: bytes, problem: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(60)
                try:
                    connection.sendall(said)
                    while connection.recv(1000):
                        pass
                except OSError:
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        report = desk.gather(mailbox.table, tls="none", port=port, timeout=1)
        thread.join(60)
    assert problem in report.error
    assert_one_sentence(report.error)


def test_large_mail_and_much_mail_have_ceilings(desk: Desk, mailbox: MailboxStage) -> None:
    mailbox.put([PORT, BUDGET, CHIPS])
    first = desk.gather(mailbox.table, max_messages=2)
    assert (first.new, desk.validators()["uid"]) == (2, "2")
    assert "1 messages wait" in first.problems[0]
    assert desk.gather(mailbox.table, max_messages=2).new == 1
    big = EmailMessage()
    big["From"], big["Subject"] = mailbox.sender, "Big"
    big.set_content("words " * 5_000)
    mailbox.deliver(big.as_bytes())
    report = desk.gather(mailbox.table, max_bytes=10_000)
    assert "larger than the ceiling" in report.problems[0]
    assert desk.validators()["uid"] == "4"


def test_a_charset_that_is_a_lie_is_seen_through(desk: Desk, mailbox: MailboxStage) -> None:
    head = (
        f"From: {mailbox.sender}\r\nSubject: =?x-none?q?Caf=C3=A9_reopens?=\r\n"
        "Message-ID: <c@wire.example>\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
    )
    mailbox.deliver(head.encode() + "Crème is served at noon again.".encode())
    assert desk.gather(mailbox.table).new == 1
    (brief,) = desk.briefs()
    assert (brief.title, brief.summary) == ("Café reopens", "Crème is served at noon again.")
    assert brief.id == "mid:c@wire.example"
    assert brief.sources[0].name == "wire.example"


@pytest.mark.parametrize(
    ("value", "sender"),
    [
        ("desk@wire.example", "desk@wire.example"),
        ("Desk <Desk@Wire.example>", "desk@wire.example"),
        ('"Desk, the <x@y.example>" <desk@wire.example>', "desk@wire.example"),
        ("desk@wire.example, other@x.example", ""),
        ("desk@wire.example <other@x.example>", "other@x.example"),
        ("<desk@wire.example> <other@x.example>", ""),
        ("desk@wire.example,<other@x.example>", ""),
        ("Desk", ""),
        ("", ""),
    ],
)
def test_the_sender_is_one_address_or_nobody(value: str, sender: str) -> None:
    message = Message()
    message["From"] = value
    assert find_sender(message) == sender
    message["From"] = "other@x.example"
    assert find_sender(message) == ""


@pytest.mark.parametrize(
    ("fields", "authentic"),
    [
        ([GENUINE], True),
        (["mx.news.example; dmarc=fail header.from=wire.example"], False),
        (["mx.news.example; dmarc=pass (p=none) header.from=other.example"], False),
        (["mx.news.example; dkim=pass header.d=wire.example"], True),
        (["mx.news.example; dkim=pass header.d=other.example"], False),
        (["mx.news.example; dkim=pass header.i=@other.example; spf=pass"], False),
        (["mx.news.example; dkim=fail (dmarc=pass) header.d=wire.example"], False),
        (["mx.news.example; dmarc=fail", GENUINE], False),
        (["evil.example; dmarc=pass header.from=wire.example"], False),
        ([], False),
    ],
)
def test_a_sender_is_genuine_by_the_word_of_one_server(fields: list[str], authentic: bool) -> None:
    message = Message()
    for field in fields:
        message["Authentication-Results"] = field
    assert is_authentic(message, "desk@wire.example", "mx.news.example") is authentic
