import smtplib
import socket
import threading
from datetime import UTC, datetime

import pytest

from newsletter.demo.mailbox import Mailbox

MESSAGE = b"Subject: One\r\n\r\nHello\r\n.leading dot\r\n..two\r\n"


def send(mailbox: Mailbox, raw: bytes, recipients: list[str], **options: list[str]) -> None:
    with smtplib.SMTP(mailbox.host, mailbox.port, "client.example", timeout=5) as client:
        client.sendmail("from@news.example", recipients, raw, options.get("mail_options", ()))


def test_keeps_the_bytes_and_the_envelope() -> None:
    before = datetime.now(UTC)
    with Mailbox() as mailbox:
        send(mailbox, MESSAGE, ["ada@reader.example"])
        (message,) = mailbox.messages
    assert message.raw == MESSAGE
    assert (message.sender, message.recipient) == ("from@news.example", "ada@reader.example")
    assert message.number == 1
    assert before <= message.arrived_at <= datetime.now(UTC)


def test_keeps_one_copy_for_each_recipient_in_order_of_arrival() -> None:
    with Mailbox() as mailbox:
        send(mailbox, b"Subject: A\r\n\r\n", ["a@reader.example", "b@reader.example"])
        send(mailbox, b"Subject: B\r\n\r\n", ["c@reader.example"])
        found = [(m.number, m.recipient, m.raw) for m in mailbox.messages]
    assert found == [
        (1, "a@reader.example", b"Subject: A\r\n\r\n"),
        (2, "b@reader.example", b"Subject: A\r\n\r\n"),
        (3, "c@reader.example", b"Subject: B\r\n\r\n"),
    ]


def test_takes_non_ascii_addresses_and_bytes() -> None:
    raw = "Subject: Grüße\r\n\r\n".encode() + b"\xff\xfe\x00 not UTF-8\r\n"
    with Mailbox() as mailbox:
        send(mailbox, raw, ["jürgen@reader.example"], mail_options=["SMTPUTF8", "BODY=8BITMIME"])
        (message,) = mailbox.messages
    assert message.recipient == "jürgen@reader.example"
    assert message.raw == raw


def test_an_answer_of_250_means_that_the_message_is_there() -> None:
    with Mailbox() as mailbox, smtplib.SMTP(mailbox.host, mailbox.port, "c.example") as client:
        for count in range(1, 21):
            client.sendmail("f@news.example", "a@reader.example", MESSAGE)
            assert len(mailbox.messages) == count


def test_a_message_without_its_final_dot_is_not_kept() -> None:
    with Mailbox() as mailbox:
        with smtplib.SMTP(mailbox.host, mailbox.port, "client.example", timeout=5) as client:
            client.ehlo()
            client.mail("f@news.example")
            client.rcpt("a@reader.example")
            client.putcmd("data")
            assert client.getreply()[0] == 354
            client.send(MESSAGE)
            assert client.sock is not None
            client.sock.shutdown(socket.SHUT_RDWR)
        send(mailbox, b"Subject: Next\r\n\r\n", ["b@reader.example"])
        assert [m.recipient for m in mailbox.messages] == ["b@reader.example"]


def test_many_connections_at_once_lose_nothing() -> None:
    with Mailbox() as mailbox:
        threads = [
            threading.Thread(target=send, args=(mailbox, MESSAGE, [f"r{i}@reader.example"]))
            for i in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        messages = mailbox.messages
    assert [m.number for m in messages] == list(range(1, 21))
    assert {m.recipient for m in messages} == {f"r{i}@reader.example" for i in range(20)}


def test_closes_although_a_client_keeps_its_connection() -> None:
    with socket.socket() as client:
        client.settimeout(5)
        with Mailbox() as mailbox:
            client.connect((mailbox.host, mailbox.port))
            assert client.recv(100).startswith(b"220 ")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((mailbox.host, mailbox.port), timeout=5)


def test_a_port_that_is_taken_is_an_error_at_once() -> None:
    with Mailbox() as mailbox, pytest.raises(OSError, match=str(mailbox.port)):
        Mailbox(port=mailbox.port).__enter__()


def test_what_arrived_can_be_read_after_closing() -> None:
    with Mailbox() as mailbox:
        send(mailbox, MESSAGE, ["a@reader.example"])
    assert [m.recipient for m in mailbox.messages] == ["a@reader.example"]
