from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.smtp.protocol import (
    MAX_COMMAND_BYTES,
    MAX_LINE_BYTES,
    Answer,
    Client,
    Envelope,
    LocalProtocolError,
    NotSmtp,
    Phase,
    RemoteProtocolError,
    Reply,
    WireLines,
    stuff_dots,
)

EHLO = b"250-relay.example\r\n250-SIZE 5000\r\n250 8BITMIME\r\n"
MESSAGE = b"Subject: a\r\n\r\nb\r\n"


def hear(client: Client, data: bytes) -> list[Answer]:
    return list(client.receive(data))


def only(client: Client, data: bytes) -> Reply:
    [answer] = client.receive(data)
    return answer.reply


def greeted(ehlo: bytes = EHLO) -> Client:
    client = Client()
    hear(client, b"220 relay.example\r\n")
    client.hello("news.example")
    hear(client, ehlo)
    return client


def at_content(ehlo: bytes = EHLO, *, smtputf8: bool = False) -> Client:
    client = greeted(ehlo)
    client.mail(replace(ADA, smtputf8=smtputf8), size_bytes=1)
    client.rcpt("b@reader.example")
    client.data()
    hear(client, b"250 ok\r\n250 ok\r\n354 go\r\n")
    return client


def at_dot() -> Client:
    client = at_content()
    client.content(MESSAGE)
    client.final_dot()
    return client


def pipelined() -> Client:
    """Build a client with five replies of four kinds due."""
    client = at_dot()
    client.mail(ADA, size_bytes=1)
    client.rcpt("b@reader.example")
    client.rset()
    client.quit()
    return client


CHUNKING = b"250-relay.example\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 SMTPUTF8\r\n"
ADA = Envelope(sender="a@news.example", recipient="ada@reader.example")


def posted(count: int = 3, left: int = 2) -> Client:
    """Build a client with messages under way, of which some have left to the last byte."""
    client = greeted(CHUNKING)
    for _ in range(count):
        client.post(ADA, MESSAGE)
    for _ in range(left):
        client.end_left()
    return client


# -- the whole dialogue ----------------------------------------------------------------------------


def test_a_dialogue_says_what_rfc_5321_says() -> None:
    client = Client()
    assert hear(client, b"220 hi\r\n") == [Answer(Phase.GREETING, Reply(220, ("hi",)))]
    assert client.hello("news.example") == b"EHLO news.example\r\n"
    assert hear(client, EHLO)[0].phase is Phase.HELLO
    assert client.extensions == {"SIZE": "5000", "8BITMIME": ""}
    assert client.mail(ADA, size_bytes=17) == b"MAIL FROM:<a@news.example> SIZE=17\r\n"
    assert client.rcpt("b@reader.example") == b"RCPT TO:<b@reader.example>\r\n"
    assert client.data() == b"DATA\r\n"
    answers = hear(client, b"250 ok\r\n251 will forward\r\n354 go\r\n")
    assert [a.phase for a in answers] == [Phase.MAIL, Phase.RCPT, Phase.DATA]
    assert answers[1].reply.positive
    assert client.content(MESSAGE) == MESSAGE
    assert client.final_dot() == b".\r\n"
    [verdict] = client.receive(b"250 2.0.0 queued as 1\r\n")
    assert (verdict.phase, verdict.reply.enhanced) == (Phase.DOT, "2.0.0")
    assert client.idle
    assert client.rset() == b"RSET\r\n"
    hear(client, b"250 ok\r\n")
    assert client.quit() == b"QUIT\r\n"
    assert hear(client, b"221 bye\r\n")[0].phase is Phase.QUIT


def test_the_null_sender_and_a_server_without_size() -> None:
    assert (
        greeted(b"250 relay.example\r\n").mail(replace(ADA, sender=""), size_bytes=9)
        == b"MAIL FROM:<>\r\n"
    )


def test_lmtp_says_lhlo() -> None:
    client = Client(lmtp=True)
    hear(client, b"220 hi\r\n")
    assert client.hello("news.example") == b"LHLO news.example\r\n"


def test_helo_offers_nothing() -> None:
    client = greeted()
    assert client.hello("news.example", extended=False) == b"HELO news.example\r\n"
    hear(client, b"250-hello\r\n250 STARTTLS\r\n")
    assert client.extensions == {}


def test_replies_are_charged_to_the_questions_in_their_order() -> None:
    answers = hear(pipelined(), b"250 1\r\n250 2\r\n550 3\r\n250 4\r\n221 5\r\n")
    assert [(a.phase, a.reply.code) for a in answers] == [
        (Phase.DOT, 250),
        (Phase.MAIL, 250),
        (Phase.RCPT, 550),
        (Phase.RSET, 250),
        (Phase.QUIT, 221),
    ]


def test_extensions_are_read_whatever_their_case_and_their_old_forms() -> None:
    client = greeted(b"250-relay.example\r\n250-auth=LOGIN\r\n250-Auth PLAIN\r\n250 size 7\r\n")
    assert client.extensions == {"AUTH": "LOGIN PLAIN", "SIZE": "7"}


def test_logins() -> None:
    client = greeted()
    plain = client.auth_plain("usér", "pass word")
    assert base64.b64decode(plain.removeprefix(b"AUTH PLAIN ")) == "\0usér\0pass word".encode()
    hear(client, b"535 no\r\n")
    assert client.auth_login() == b"AUTH LOGIN\r\n"
    hear(client, b"334 VXNlcm5hbWU6\r\n")
    assert client.auth_answer("user") == b"dXNlcg==\r\n"
    assert hear(client, b"235 welcome\r\n")[0].phase is Phase.AUTH


# -- replies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "reply"),
    [
        (b"250 ok\r\n", Reply(250, ("ok",))),
        (b"250\r\n", Reply(250, ("",))),
        (b"250 \r\n", Reply(250, ("",))),
        (b"250OK\r\n", Reply(250, ("OK",))),
        (b"250 ok\n", Reply(250, ("ok",))),
        (b"250-a\n250-b\r\n250 c\n", Reply(250, ("a", "b", "c"))),
        (b"250-a\r\n250\r\n", Reply(250, ("a", ""))),
        (b"250 caf\xe9 \x1b[31m\tred\x00\r\n", Reply(250, ("caf\\xe9 �[31m red�",))),
        ("250 naïve \u202eright\r\n".encode(), Reply(250, ("naïve �right",))),
    ],
)
def test_replies_seen_in_the_wild(said: bytes, reply: Reply) -> None:
    assert only(at_dot(), said) == reply


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "not a reply"),
        (b"EHLO news.example\r\n", "not a reply"),
        (b"\r\n", "not a reply"),
        (b"2500 ok\r\n", "not a reply"),
        (b"25 ok\r\n", "not a reply"),
        (b"150 wait\r\n", "not a reply"),
        (b"600 what\r\n", "not a reply"),
        (b"2\xb250 ok\r\n", "not a reply"),
        (b" 250 ok\r\n", "not a reply"),
        (b"250-a\r\n550 b\r\n", "both 250 and 550"),
        (b"550-a\r\n250 b\r\n", "both 550 and 250"),
        (b"250 " + b"x" * 20_000 + b"\r\n", "longer than 4096"),
        (b"250 " + b"x" * 20_000, "longer than 4096"),
        (b"250-x\r\n" * 101, "does not end"),
        ((b"250-" + b"x" * 4000 + b"\r\n") * 17, "does not end"),
        (b"354 go on\r\n", "it answers the message with 354"),
        (b"334 go on\r\n", "it answers the message with 334"),
    ],
)
def test_after_the_dot_a_broken_reply_leaves_the_message_in_doubt(said: bytes, words: str) -> None:
    client = at_dot()
    with pytest.raises(RemoteProtocolError, match=words):
        hear(client, said)
    assert client.dot_left


def test_what_is_no_reply_at_all_is_told_apart() -> None:
    with pytest.raises(NotSmtp):
        hear(Client(), b"SSH-2.0-OpenSSH\r\n")
    with pytest.raises(RemoteProtocolError) as raised:
        hear(Client(), b"220-a\r\n250 b\r\n")
    assert not isinstance(raised.value, NotSmtp)


def test_a_line_may_be_as_long_as_the_limit_with_its_ending_in_another_packet() -> None:
    line = b"250 " + b"x" * (MAX_LINE_BYTES - 5)
    client = at_dot()
    assert hear(client, line + b"\r") == []
    assert only(client, b"\n").code == 250
    assert only(at_dot(), line + b"\r\n").code == 250
    for packets in ([line + b"x\r\n"], [line + b"x\r", b"\n"]):
        assert "longer than" in outcome(at_dot(), packets)[1]


@pytest.mark.parametrize(
    ("code", "text", "enhanced"),
    [
        (550, "5.1.1 no such user", "5.1.1"),
        (550, "5.1.10", "5.1.10"),
        (550, "4.2.2 class and code differ", ""),
        (550, "5.1 is short", ""),
        (550, "5.1.1234 is long", ""),
        (550, "user 5.1.1", ""),
    ],
)
def test_enhanced_codes(code: int, text: str, enhanced: str) -> None:
    reply = Reply(code, (text,))
    assert reply.enhanced == enhanced
    assert (reply.positive, reply.transient, reply.permanent) == (False, False, True)


def test_a_reply_reads_as_one_line() -> None:
    assert str(Reply(451, ("4.3.0 busy", "", "later"))) == "451 4.3.0 busy / later"
    assert str(Reply(250, ("",))) == "250"


# -- who speaks when -------------------------------------------------------------------------------


def test_an_answer_to_no_question_is_a_desynchronised_peer() -> None:
    client = greeted()
    with pytest.raises(RemoteProtocolError, match='says "250 extra" to no question'):
        hear(client, b"250 extra\r\n")
    with pytest.raises(RemoteProtocolError):
        hear(client, b"221 bye\r\n")


def test_what_was_well_said_before_a_violation_stands() -> None:
    client = at_dot()
    answers = client.receive(b"250 queued\r\n250 twice\r\n")
    assert next(answers) == Answer(Phase.DOT, Reply(250, ("queued",)))
    assert not client.dot_left
    with pytest.raises(RemoteProtocolError):
        next(answers)


def test_a_250_before_the_body_was_read_is_not_taken_for_its_verdict() -> None:
    client = at_content()
    client.content(MESSAGE)
    with pytest.raises(RemoteProtocolError, match="to no question"):
        hear(client, b"250 stray\r\n")
    assert not client.dot_left


def test_data_is_answered_with_354_or_a_refusal_and_nothing_else() -> None:
    for code in (250, 251, 334, 350):
        client = greeted()
        client.data()
        with pytest.raises(RemoteProtocolError, match=f"it answers DATA with {code}"):
            hear(client, f"{code} ok\r\n".encode())
    client = greeted()
    client.data()
    assert only(client, b"451 later\r\n").transient
    assert client.idle


@pytest.mark.parametrize("early", [b"554 5.7.1 enough\r\n", b"421 bye\r\n", b"451 later\r\n"])
def test_a_refusal_before_the_end_of_the_content_is_the_last_word(early: bytes) -> None:
    client = at_content()
    client.content(MESSAGE)
    assert hear(client, early)[0].phase is Phase.UNASKED
    assert not client.dot_left
    with pytest.raises(RemoteProtocolError):
        hear(client, early)


def test_a_goodbye_may_come_unasked_once() -> None:
    client = greeted()
    assert hear(client, b"421 4.4.2 idle too long\r\n") == [
        Answer(Phase.UNASKED, Reply(421, ("4.4.2 idle too long",)))
    ]
    with pytest.raises(RemoteProtocolError):
        hear(client, b"421 again\r\n")


@pytest.mark.parametrize("said", [b"220 go\r\n250 injected\r\n", b"220 go\r\n2"])
@pytest.mark.parametrize("in_one_packet", [True, False])
def test_words_in_the_clear_after_starttls_are_an_attack(said: bytes, in_one_packet: bool) -> None:
    client = greeted()
    client.starttls()
    packets = [said] if in_one_packet else [said[:8], said[8:]]
    answers, violation, _ = outcome(client, packets)
    assert [answer.reply.code for answer in answers] == [220]
    assert "in the clear" in violation
    with pytest.raises(LocalProtocolError, match="not agreed"):
        client.tls_started()


def test_starttls_forgets_what_was_offered_in_the_clear() -> None:
    client = greeted()
    client.starttls()
    with pytest.raises(LocalProtocolError):
        client.tls_started()
    hear(client, b"220 go\r\n")
    with pytest.raises(LocalProtocolError, match="must wait for TLS"):
        client.hello("news.example")
    client.tls_started()
    assert client.extensions == {}
    client.hello("news.example")


@pytest.mark.parametrize(
    ("before", "then"),
    [
        (lambda c: c.hello("a.example"), lambda c: c.mail(replace(ADA, sender=""), size_bytes=1)),
        (lambda c: c.data(), lambda c: c.rset()),
        (lambda c: c.quit(), lambda c: c.rset()),
        (lambda c: c.auth_plain("u", "p"), lambda c: c.mail(replace(ADA, sender=""), size_bytes=1)),
        (lambda c: c.starttls(), lambda c: c.hello("a.example")),
    ],
)
def test_some_commands_end_a_group(
    before: Callable[[Client], bytes], then: Callable[[Client], bytes]
) -> None:
    client = greeted()
    before(client)
    with pytest.raises(LocalProtocolError, match="must wait for"):
        then(client)


def test_nothing_is_said_before_the_greeting() -> None:
    with pytest.raises(LocalProtocolError, match="must wait for greeting"):
        Client().hello("news.example")


def test_no_command_within_a_message() -> None:
    client = at_content()
    for command in (client.quit, client.rset, client.data, lambda: client.rcpt("a@b.example")):
        with pytest.raises(LocalProtocolError, match="would become part of it"):
            command()


def test_the_dot_comes_only_after_content_after_a_354() -> None:
    client = greeted()
    with pytest.raises(LocalProtocolError, match="not said 354"):
        client.content(MESSAGE)
    for nothing_to_end in (client, at_content()):
        with pytest.raises(LocalProtocolError, match="no message to end"):
            nothing_to_end.final_dot()
        assert not nothing_to_end.dot_left
    client = at_content()
    client.content(MESSAGE)
    client.final_dot()
    with pytest.raises(LocalProtocolError, match="no message to end"):
        client.final_dot()


def test_dot_left_is_true_from_the_dot_to_its_reply_and_at_no_other_time() -> None:
    client = at_content()
    client.content(MESSAGE)
    before = client.dot_left
    assert client.final_dot() == b".\r\n"
    assert (before, client.dot_left) == (False, True)
    for byte in b"250-a\r\n250 b\r":
        assert hear(client, bytes([byte])) == []
        assert client.dot_left
    hear(client, b"\n")
    assert not client.dot_left


# -- notifications (RFC 3461) ----------------------------------------------------------------------

DSN = b"250-relay.example\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-SMTPUTF8\r\n250 DSN\r\n"


def asking_for_dsn(ehlo: bytes = DSN) -> Client:
    client = Client(dsn=True)
    hear(client, b"220 relay.example\r\n")
    client.hello("news.example")
    hear(client, ehlo)
    return client


def test_notifications_of_failures_are_asked_for_where_they_are_offered() -> None:
    envelope = Envelope(
        sender="a@news.example", recipient="a+d=a@reader.example", envelope_id="2026-11-25 é"[:10]
    )
    mail = b"MAIL FROM:<a@news.example> RET=HDRS ENVID=2026-11-25\r\n"
    rcpt = (
        b"RCPT TO:<a+d=a@reader.example> NOTIFY=FAILURE ORCPT=rfc822;a+2Bd+3Da@reader.example\r\n"
    )
    client = asking_for_dsn()
    assert client.begin(envelope, size_bytes=9) == mail + rcpt + b"DATA\r\n"
    client = asking_for_dsn()
    assert client.mail(envelope, size_bytes=9) + client.rcpt(envelope.recipient) == mail + rcpt
    assert mail + rcpt in asking_for_dsn().post(envelope, MESSAGE)
    nothing = replace(envelope, envelope_id="")
    assert asking_for_dsn().mail(nothing, size_bytes=9).endswith(b" RET=HDRS\r\n")
    utf8 = replace(envelope, recipient="jürgen@b.example", smtputf8=True)
    assert asking_for_dsn().begin(utf8, size_bytes=9).endswith(b"> NOTIFY=FAILURE\r\nDATA\r\n")
    for client in (greeted(DSN), asking_for_dsn(EHLO)):
        said = client.mail(envelope, size_bytes=9) + client.rcpt(envelope.recipient)
        assert b"RET" not in said
        assert b"NOTIFY" not in said


@pytest.mark.parametrize("name", ["é", "x" * 101, "+" * 34])
def test_an_envelope_id_that_cannot_be_said(name: str) -> None:
    client = asking_for_dsn()
    with pytest.raises(LocalProtocolError, match="RFC 3461"):
        client.begin(replace(ADA, envelope_id=name), size_bytes=9)
    assert client.idle


@given(st.text(st.characters(max_codepoint=127), max_size=30))
def test_an_envelope_id_can_be_read_back(name: str) -> None:
    said = asking_for_dsn().mail(replace(ADA, envelope_id=name), size_bytes=9).decode()
    encoded = said.partition(" ENVID=")[2].removesuffix("\r\n")
    assert all("!" <= character <= "~" and character != "=" for character in encoded)
    decoded = re.sub(r"\+([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), encoded)
    assert decoded == name


# -- a window of messages (RFC 3030) ---------------------------------------------------------------


def test_a_posted_message_is_one_group_with_its_length_ahead() -> None:
    client = greeted(CHUNKING)
    message = b"Subject: a\r\n\r\n.dot\r\n"
    assert client.post(ADA, message) == (
        b"RSET\r\n"
        b"MAIL FROM:<a@news.example>\r\n"
        b"RCPT TO:<ada@reader.example>\r\n"
        b"BDAT %d LAST\r\n%s" % (len(message), message)
    )
    answers = hear(client, b"250 a\r\n250 b\r\n550 c\r\n503 d\r\n")
    assert [a.phase for a in answers] == [Phase.RSET, Phase.MAIL, Phase.RCPT, Phase.DOT]
    assert client.idle


def test_the_messages_in_doubt_are_those_that_have_left_and_are_not_judged() -> None:
    client = posted(count=3, left=2)
    told = [(client.judged, client.ended, client.dot_left)]
    for _ in range(2):
        hear(client, b"250 a\r\n250 b\r\n250 c\r\n250 d\r\n")
        told.append((client.judged, client.ended, client.dot_left))
    assert told == [(0, 2, True), (1, 2, True), (2, 2, False)]


def test_a_message_that_has_not_left_is_not_taken_but_may_be_refused() -> None:
    client = posted(count=2, left=0)
    with pytest.raises(RemoteProtocolError, match="has not had in full"):
        hear(client, b"250 a\r\n250 b\r\n250 c\r\n250 d\r\n")
    client = posted(count=2, left=0)
    assert hear(client, b"250 a\r\n250 b\r\n250 c\r\n552 d\r\n")[-1].phase is Phase.DOT
    client.end_left()  # the rest of it went all the same
    assert (client.judged, client.ended, client.dot_left) == (1, 1, False)


@pytest.mark.parametrize(
    "ehlo", [EHLO, CHUNKING.replace(b"CHUNKING", b"X"), b"250-a\r\n250 CHUNKING\r\n"]
)
def test_nothing_is_posted_where_it_was_not_offered(ehlo: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="not both offered"):
        greeted(ehlo).post(ADA, MESSAGE)


@pytest.mark.parametrize("message", [b"", b"no end", b"a\nb\r\n", b"a\0\r\n", "grün\r\n".encode()])
def test_what_may_not_be_posted_is_not_half_said(message: bytes) -> None:
    client = greeted(CHUNKING)
    with pytest.raises(LocalProtocolError):
        client.post(ADA, message)
    for recipient in ("a b@reader.example", "jürgen@reader.example", "a@b.example>\r\nRSET"):
        with pytest.raises(LocalProtocolError):
            client.post(Envelope(sender="", recipient=recipient), MESSAGE)
    assert client.idle
    assert client.post(ADA, MESSAGE)


# -- what we must not say --------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [*"\r\n\0\t <>\x7f\x1b", "\r\nRCPT TO:<x@evil.example>"])
def test_an_address_cannot_smuggle_commands_or_parameters(bad: str) -> None:
    client = greeted()
    for address in (f"a{bad}@b.example", f"a@b.example{bad}", bad):
        with pytest.raises(LocalProtocolError):
            client.mail(replace(ADA, sender=address), size_bytes=1)
        with pytest.raises(LocalProtocolError):
            client.rcpt(address)
    assert client.idle


def test_a_name_or_login_cannot_smuggle_commands() -> None:
    client = greeted()
    for name in ("a\r\nQUIT", "a\0", "ä.example", "x" * MAX_COMMAND_BYTES):
        with pytest.raises(LocalProtocolError):
            client.hello(name)
    with pytest.raises(LocalProtocolError):
        client.auth_plain("user\0other", "password")
    assert client.extensions


def test_utf8_addresses_need_smtputf8() -> None:
    with pytest.raises(LocalProtocolError, match="need SMTPUTF8"):
        greeted().rcpt("jürgen@reader.example")
    with pytest.raises(LocalProtocolError, match="not offered"):
        greeted().mail(replace(ADA, smtputf8=True), size_bytes=1)
    client = greeted(b"250-relay.example\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")
    mail = client.mail(replace(ADA, smtputf8=True), size_bytes=1)
    assert mail == b"MAIL FROM:<a@news.example> BODY=8BITMIME SMTPUTF8\r\n"
    assert client.rcpt("jürgen@b.example") == "RCPT TO:<jürgen@b.example>\r\n".encode()
    with pytest.raises(LocalProtocolError):
        client.rcpt("lone\ud800@b.example")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"no end",
        b"a\r\nno end",
        b"half an end\r",
        b"a\nb\r\n",
        b"a\rb\r\n",
        b"a\n.\nMAIL FROM:<x@evil.example>\r\n",
        b"a\n.\r\n",
        b"a\r.\r\n",
        b"a\r\r\n",
        b"a\n\r\n",
        b"\n\r",
        b"a\0b\r\n",
        "grün\r\n".encode(),
    ],
)
def test_a_message_that_another_server_could_read_as_two_stays_here(message: bytes) -> None:
    client = at_content()
    with pytest.raises(LocalProtocolError):
        client.content(message)
    with pytest.raises(LocalProtocolError, match="no message to end"):
        client.final_dot()


def test_eight_bit_bytes_go_where_smtputf8_was_agreed() -> None:
    client = at_content(b"250-relay.example\r\n250 SMTPUTF8\r\n", smtputf8=True)
    assert client.content("Subject: grün\r\n".encode()) == "Subject: grün\r\n".encode()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "end with CRLF"),
        (b"no end", "end with CRLF"),
        (b"a\r\nno end", "end with CRLF"),
        (b"a\nb\r\n", "bare CR or LF"),
        (b"a\rb\r\n", "bare CR or LF"),
        (b"a\n\r\n", "bare CR or LF"),
        (b"a\0\r\n", "NUL"),
        (b".\r\n", "begins with a dot"),
        (b".a\r\n", "begins with a dot"),
        (b"a\r\n.\r\n", "begins with a dot"),
        (b"a\r\n\r\n.b\r\n", "begins with a dot"),
    ],
)
def test_lines_that_are_not_fit_for_the_wire(data: bytes, words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words):
        WireLines.check(data)


def test_checked_lines_go_as_they_are_but_not_with_eight_bits() -> None:
    lines = WireLines.check(MESSAGE)
    client = at_content()
    assert client.content(lines) is lines
    assert client.final_dot() == b".\r\n"
    with pytest.raises(LocalProtocolError, match="8-bit"):
        at_content().content(WireLines.check("grün\r\n".encode()))
    assert type(lines[1:]) is bytes
    assert type(lines + b".\n") is bytes  # no longer checked, and so checked again


# -- laws ------------------------------------------------------------------------------------------

_FRAGMENTS = (
    *(
        b"250 ok\r\n",
        b"250-a\r\n",
        b"250 b\r\n",
        b"550 5.1.1 no\r\n",
        b"421 bye\r\n",
        b"354 go\r\n",
    ),
    *(b"\r", b"\n", b".", b"2", b"250", b"-", b" ", b"\xff", b"x" * 2048, b"250-x\r\n" * 60),
)
_speech = st.lists(st.sampled_from(_FRAGMENTS) | st.binary(max_size=8), max_size=16).map(b"".join)
_STATES = (Client, greeted, at_content, at_dot, pipelined, posted)


def outcome(client: Client, packets: list[bytes]) -> tuple[list[Answer], str, bool]:
    """Collect the answers, the first violation, and whether the message is in doubt."""
    answers: list[Answer] = []
    try:
        for packet in packets:
            for answer in client.receive(packet):
                answers.append(answer)  # noqa: PERF402 - what came before the error must be kept
    except RemoteProtocolError as error:
        return answers, str(error), client.dot_left
    return answers, "", client.dot_left


@given(st.sampled_from(_STATES), _speech, st.lists(st.integers(0, 10_000), max_size=8))
def test_packets_do_not_change_what_was_said(
    state: Callable[[], Client], said: bytes, cuts: list[int]
) -> None:
    edges = sorted({0, len(said), *(cut % (len(said) + 1) for cut in cuts)})
    packets = [said[a:b] for a, b in itertools.pairwise(edges)]
    assert outcome(state(), packets) == outcome(state(), [said])


@given(st.sampled_from(_STATES), st.lists(_speech, max_size=12))
def test_any_bytes_give_answers_or_one_violation_in_bounded_memory(
    state: Callable[[], Client], packets: list[bytes]
) -> None:
    client = state()
    answers, violation, _ = outcome(client, packets)
    assert len(answers) <= 13  # twelve were due at most, and a goodbye
    if violation:
        with pytest.raises(RemoteProtocolError) as again:
            hear(client, b"250 ok\r\n" * 1000)
        assert str(again.value) == violation
        assert len(violation) < 400
    else:
        assert len(client._reader._buffer) <= MAX_LINE_BYTES
        assert sum(map(len, client._reader._lines)) <= 65536


@given(st.sampled_from(_STATES[:-1]), _speech)
def test_doubt_ends_only_with_a_verdict(state: Callable[[], Client], said: bytes) -> None:
    client = state()
    in_doubt = client.dot_left
    answers, _, still_in_doubt = outcome(client, [said])
    verdicts = [answer for answer in answers if answer.phase is Phase.DOT]
    assert still_in_doubt == (in_doubt and not verdicts)
    assert all(not 300 <= verdict.reply.code < 400 for verdict in verdicts)


@given(st.integers(1, 4), st.integers(0, 4), _speech, st.booleans())
def test_a_window_never_judges_more_than_it_was_told(
    count: int, left: int, said: bytes, finally_left: bool
) -> None:
    left = min(left, count)
    client = posted(count, left)
    answers, violation, in_doubt = outcome(client, [b"250 ok\r\n" * (4 * (left - 1)), said])
    verdicts = [answer.reply for answer in answers if answer.phase is Phase.DOT]
    assert client.judged == len(verdicts) <= count
    assert sum(verdict.positive for verdict in verdicts) <= left
    assert in_doubt == (client.judged < left)
    due = [Phase.RSET, Phase.MAIL, Phase.RCPT, Phase.DOT] * count
    goodbyes = [answer for answer in answers if answer.phase is Phase.UNASKED]
    assert [a.phase for a in answers] == due[: len(answers) - len(goodbyes)] + [
        Phase.UNASKED for _ in goodbyes
    ]
    if not violation and finally_left:
        for _ in range(count - left):
            client.end_left()
        assert client.ended == count
        assert client.dot_left == (client.judged < count)


def unstuff(wire: bytes) -> bytes:
    """Read a message as RFC 5321 §4.5.2 tells a server to, up to its end."""
    lines: list[bytes] = []
    for line in wire.split(b"\r\n"):
        if line == b".":
            return b"".join(lines)
        lines.append(line.removeprefix(b".") + b"\r\n")
    raise AssertionError("the message has no end")


@given(st.lists(st.text("..ab \t", max_size=5), min_size=1, max_size=8))
def test_a_server_gets_the_very_bytes(lines: list[str]) -> None:
    message = "".join(f"{line}\r\n" for line in lines).encode()
    wire = stuff_dots(message)
    assert unstuff(wire + b".\r\n" + b"MAIL FROM:<>\r\n") == message


@given(st.text("\r\n.a\0", max_size=12))
def test_no_message_ends_before_its_end(text: str) -> None:
    message = text.encode()
    try:
        wire = stuff_dots(message)
    except LocalProtocolError:
        return
    assert message.endswith(b"\r\n")
    for end in (b"\r\n.\r\n", b"\n.\n", b"\n.\r", b"\r.\r", b"\r.\n"):
        assert end not in b"\r\n" + wire


@given(st.lists(st.text("\r\n.a\0", max_size=6), max_size=8))
def test_checked_lines_can_be_joined_unseen(texts: list[str]) -> None:
    pieces = []
    for text in texts:
        try:
            pieces.append(WireLines.check(text.encode()))
        except LocalProtocolError:
            continue
    joined = WireLines.join(pieces)
    assert joined == b"".join(pieces)
    if joined:
        assert WireLines.check(joined) == joined == stuff_dots(joined)
