"""What a Postfix log proves, on lines that Postfix 3.7 wrote."""

from __future__ import annotations

import pytest

from newsletter.delivery.relay_log import Taken, find_taken

ACCEPTED = """\
Nov 25 18:14:42 relay postfix/smtpd[17709]: 2512599451B: client=localhost[127.0.0.1]
Nov 25 18:14:42 relay postfix/cleanup[17712]: 2512599451B: message-id=<accepted@news.example>
Nov 25 18:14:42 relay postfix/qmgr[17664]: 2512599451B: from=<brief@news.example>, size=20338, nrcpt=1 (queue active)
Nov 25 18:14:42 relay postfix/virtual[17713]: 2512599451B: to=<reader1@example.org>, relay=virtual, delay=0.04, delays=0.03/0.01/0/0, dsn=2.0.0, status=sent (delivered to maildir)
Nov 25 18:14:42 relay postfix/qmgr[17664]: 2512599451B: removed
"""  # noqa: E501 - as Postfix wrote it
CUT_BEFORE_THE_DOT = """\
Nov 25 18:14:42 relay postfix/smtpd[17709]: A568E99451B: client=localhost[127.0.0.1]
Nov 25 18:14:42 relay postfix/cleanup[17712]: A568E99451B: message-id=<cut@news.example>
Nov 25 18:14:43 relay postfix/smtpd[17709]: lost connection after DATA (20111 bytes) from localhost[127.0.0.1]
"""  # noqa: E501
REFUSED_AT_THE_DOT = """\
Nov 25 18:14:43 relay postfix/smtpd[17709]: 2BFD899451B: client=localhost[127.0.0.1]
Nov 25 18:14:43 relay postfix/cleanup[17712]: 2BFD899451B: message-id=<refused@news.example>
Nov 25 18:14:43 relay postfix/cleanup[17712]: 2BFD899451B: reject: header Subject: refuse me from localhost[127.0.0.1]; from=<brief@news.example> to=<reader1@example.org> proto=ESMTP helo=<news.example>: 5.7.1 no thanks
"""  # noqa: E501
PUT_OFF = """\
Nov 25 18:14:43 relay postfix/cleanup[17712]: A706999451B: message-id=<putoff@news.example>
Nov 25 18:14:43 relay postfix/qmgr[17664]: A706999451B: from=<brief@news.example>, size=20337, nrcpt=1 (queue active)
Nov 25 18:14:43 relay postfix/smtp[17715]: connect to 127.0.0.1[127.0.0.1]:1: Connection refused
Nov 25 18:14:43 relay postfix/smtp[17715]: A706999451B: to=<far@elsewhere.example>, relay=none, delay=0.01, delays=0/0.01/0/0, dsn=4.4.1, status=deferred (connect to 127.0.0.1[127.0.0.1]:1: Connection refused)
"""  # noqa: E501
IDS = [f"<{name}@news.example>" for name in ("accepted", "cut", "refused", "putoff", "unnamed")]


def find(*logs: str) -> dict[str, Taken]:
    return find_taken("".join(logs).splitlines(), IDS)


def test_what_the_relay_took_is_found_with_where_it_went() -> None:
    assert find(ACCEPTED, CUT_BEFORE_THE_DOT, REFUSED_AT_THE_DOT, PUT_OFF) == {
        "<accepted@news.example>": Taken(
            queue_id="2512599451B", said="sent (delivered to maildir)"
        ),
        "<putoff@news.example>": Taken(
            queue_id="A706999451B",
            said="deferred (connect to 127.0.0.1[127.0.0.1]:1: Connection refused)",
        ),
    }


@pytest.mark.parametrize("log", [CUT_BEFORE_THE_DOT, REFUSED_AT_THE_DOT])
def test_a_message_id_alone_proves_nothing(log: str) -> None:
    """Postfix writes it while the content still comes in."""
    assert "message-id=<" in log
    assert find(log) == {}


def test_a_queue_id_that_is_used_again_is_another_message() -> None:
    reused = CUT_BEFORE_THE_DOT + ACCEPTED.replace("2512599451B", "A568E99451B")
    assert list(find(reused)) == ["<accepted@news.example>"]
    left = ACCEPTED + PUT_OFF.splitlines(keepends=True)[1].replace("A706999451B", "2512599451B")
    assert find(left)["<accepted@news.example>"].said == "sent (delivered to maildir)"


def test_queue_ids_of_two_relays_in_one_log_are_two() -> None:
    other = ACCEPTED.replace(" relay ", " relay2 ").replace("2512599451B", "A568E99451B")
    others_queue = "".join(other.splitlines(keepends=True)[2:])
    assert find(CUT_BEFORE_THE_DOT, others_queue) == {}


@pytest.mark.parametrize(
    "stamped",
    [
        "2026-11-25T18:14:42.101+01:00 relay ",
        "Nov 25 18:14:42 relay.example ",
        "<22>Nov  5 08:14:42 relay ",
    ],
)
def test_other_forms_of_the_time_long_queue_ids_and_instances(stamped: str) -> None:
    lines = [
        f"{stamped}postfix-out/cleanup[1]: 4XyZbT3QyQz9vC1: message-id=<accepted@news.example>",
        f"{stamped}postfix-out/qmgr[2]: 4XyZbT3QyQz9vC1: from=<>, size=1, nrcpt=1 (queue active)",
    ]
    assert find_taken(lines, IDS) == {
        "<accepted@news.example>": Taken(queue_id="4XyZbT3QyQz9vC1", said="queued")
    }
    submitted = [line.replace("postfix-out/", "postfix/submission/") for line in lines]
    assert len(find_taken(submitted, IDS)) == 1


def test_what_somebody_else_writes_into_a_log_is_nothing() -> None:
    forged = [
        "Nov 25 18:14:42 relay sshd[1]: 2512599451B: message-id=<accepted@news.example>",
        "relay postfix/cleanup[1]: 2512599451B: warning: message-id=<accepted@news.example>",
        "relay postfix/qmgr[2]: 2512599451B: from=<>, size=1, nrcpt=1 (queue active)",
        "\x00 not a log at all",
        "",
    ]
    assert find_taken(forged, IDS) == {}
