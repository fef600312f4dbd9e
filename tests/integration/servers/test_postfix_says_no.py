"""What a real Postfix answers when it does not want a message, a reader or us."""

from __future__ import annotations

import re
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from newsletter.audience.subscribers import Selection, list_subscribers
from newsletter.delivery.lifecycle import State
from newsletter.errors import RelayRefusedUs, RelayUnavailable
from tests.integration.servers.conftest import StartPostfix, Trust
from tests.integration.servers.daemon import HOST
from tests.integration.servers.dovecot import PASSWORD, USER
from tests.integration.servers.postfix import Postfix
from tests.integration.servers.publication import READERS, Publication

STRANGERS = {"gone@example.org": "Gone", "left@example.org": "Left"}
SOON = 'retry_after = "1s"'


@pytest.fixture
def write(tmp_path: Path, trust: Trust) -> Write:
    return Write(tmp_path / "publication", trust)


class Write:
    """Make a publication whose relay is a Postfix."""

    def __init__(self, root: Path, trust: Trust) -> None:
        self._root, self._trust = root, trust

    def __call__(
        self,
        postfix: Postfix,
        *,
        user: str = USER,
        tls: str = "starttls",
        readers: Mapping[str, str] = READERS,
        connections: int = 2,
        delivery: str = "",
        password: str = PASSWORD,
    ) -> Publication:
        login = f"{user}@" if user else ""
        return Publication(
            self._root,
            relay=f"smtp://{login}localhost:{postfix.port}?tls={tls}",
            readers=readers,
            connections=connections,
            delivery=f'ca_file = "{self._trust.authority}"\n{delivery}',
            password=password,
        )


def copies(postfix: Postfix) -> Counter[str]:
    return Counter(one.recipient for one in postfix.stored)


# -- readers and messages --------------------------------------------------------------------------


def test_a_mailbox_that_does_not_exist(start_postfix: StartPostfix, write: Write) -> None:
    postfix = start_postfix()
    publication = write(postfix, readers=READERS | STRANGERS)
    delivered = publication.send()
    assert delivered.is_sent
    assert delivered.counts == {State.ACCEPTED: len(READERS), State.FAILED: len(STRANGERS)}
    for stranger in STRANGERS:
        ((outcome, words),) = publication.attempts[stranger]
        assert outcome == State.FAILED
        assert words.startswith(f"550 5.1.1 <{stranger}>: Recipient address rejected: User unknown")
    assert copies(postfix) == Counter(READERS.keys())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, r"552 5\.3\.4 not sent: \d+ bytes are more than the relay's 10000"),
        (
            {"smtpd_discard_ehlo_keywords": "size"},
            r"552 5\.3\.4 Error: message file too big",
        ),
    ],
    ids=["said beforehand", "said after the dot"],
)
def test_a_message_that_is_too_big(
    start_postfix: StartPostfix, write: Write, settings: Mapping[str, str], words: str
) -> None:
    postfix = start_postfix({"message_size_limit": "10000"} | dict(settings))
    publication = write(postfix)
    delivered = publication.send()
    assert delivered.is_sent
    assert delivered.counts == {State.FAILED: len(READERS)}
    for told in publication.attempts.values():
        ((outcome, reply),) = told
        assert outcome == State.FAILED
        assert re.fullmatch(words, reply), reply
    assert not postfix.stored


@contextmanager
def greylist(seen: Counter[tuple[str, str]]) -> Iterator[int]:
    """Serve Postfix's policy protocol: each sender and recipient is put off the first time."""

    class Policy(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked: dict[str, str] = {}
            for line in self.rfile:
                if text := line.decode().strip():
                    name, _, value = text.partition("=")
                    asked[name] = value
                    continue
                known = (asked["sender"], asked["recipient"])
                seen[known] += 1
                verdict = "450 4.2.0 Greylisted, come back" if seen[known] == 1 else "OK"
                self.wfile.write(f"action={verdict}\n\n".encode())
                asked = {}

    with socketserver.ThreadingTCPServer((HOST, 0), Policy) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_greylisting_meets_the_same_sender_again(start_postfix: StartPostfix, write: Write) -> None:
    seen: Counter[tuple[str, str]] = Counter()
    with greylist(seen) as port:
        postfix = start_postfix(
            {"smtpd_recipient_restrictions": f"check_policy_service inet:{HOST}:{port}"}
        )
        publication = write(postfix, delivery=SOON)
        delivered = publication.send()
    assert delivered.counts == {State.ACCEPTED: len(READERS)}
    for told in publication.attempts.values():
        assert [outcome for outcome, _ in told] == [State.DEFERRED, State.ACCEPTED]
        assert re.fullmatch(r"450 4\.2\.0 <.*>: Recipient address rejected: Greylis.*", told[0][1])
    assert set(seen.values()) == {2}, "a return path that changed would begin anew"
    assert copies(postfix) == Counter(READERS.keys())


def test_soft_bounce_costs_no_reader_the_address(start_postfix: StartPostfix, write: Write) -> None:
    postfix = start_postfix({"soft_bounce": "yes"})
    publication = write(
        postfix, readers=READERS | STRANGERS, delivery=f'{SOON}\nnot_after = "4s"\n'
    )
    delivered = publication.send()
    assert delivered.is_sent
    assert delivered.counts == {State.ACCEPTED: len(READERS), State.EXPIRED: len(STRANGERS)}
    for stranger in STRANGERS:
        told = publication.attempts[stranger]
        assert len(told) > 1
        assert {outcome for outcome, _ in told} == {State.DEFERRED}
        assert all(words.startswith(f"450 4.1.1 <{stranger}>") for _, words in told)
    assert copies(postfix) == Counter(READERS.keys())


def crowd_of_strangers(count: int) -> dict[str, str]:
    return {f"gone{number}@example.org": "Gone" for number in range(count)}


def test_a_relay_that_knows_nobody_is_not_believed(
    start_postfix: StartPostfix, write: Write
) -> None:
    readers = crowd_of_strangers(12)
    publication = write(start_postfix(readers={}), readers=readers)
    with pytest.raises(RelayRefusedUs, match=r"said not to exist \(550 5\.1\.1 <gone\d+@example"):
        publication.send()
    with publication.press() as press:
        assert len(list(list_subscribers(press.database, Selection(status="active")))) == len(
            readers
        )


@pytest.mark.parametrize("window", [1, 8])
def test_too_many_unknown_readers_end_the_connection(
    start_postfix: StartPostfix, write: Write, window: int
) -> None:
    """Postfix hangs up with 421 at the next reader then, who is none the worse for it."""
    postfix = start_postfix({"smtpd_hard_error_limit": "4", "smtpd_error_sleep_time": "0"})
    strangers = crowd_of_strangers(9)
    publication = write(postfix, readers=strangers | READERS, delivery=f"{SOON}\nwindow = {window}")
    delivered = publication.send()
    assert "too many errors" in postfix.log
    counts = delivered.counts
    doubtful = counts.pop(State.IN_DOUBT, 0)  # a window's last may go unanswered
    assert doubtful <= (0 if window == 1 else window)
    assert counts == {State.ACCEPTED: len(READERS), State.FAILED: len(strangers) - doubtful}
    words = [publication.attempts[stranger][-1][1] for stranger in strangers]
    assert sum(each.startswith("550 5.1.1 ") for each in words) == len(strangers) - doubtful
    assert copies(postfix) == Counter(READERS.keys())


# -- connections -----------------------------------------------------------------------------------


def test_fewer_connections_than_we_try(start_postfix: StartPostfix, write: Write) -> None:
    # So many that two connections are still at it when the others are tried.
    readers = {f"reader{number}@example.org": "" for number in range(200)}
    postfix = start_postfix(
        {"smtpd_client_connection_count_limit": "2", "smtpd_client_event_limit_exceptions": ""},
        readers=readers,
    )
    publication = write(postfix, readers=readers, connections=4)
    delivered = publication.send()
    assert delivered.counts == {State.ACCEPTED: len(readers)}
    assert "Connection concurrency limit exceeded" in postfix.log
    assert copies(postfix) == Counter(readers.keys())


def test_connecting_too_often(start_postfix: StartPostfix, write: Write) -> None:
    """The first refusal of a run ends it at once, before anybody is enrolled."""
    postfix = start_postfix(
        {"smtpd_client_connection_rate_limit": "1", "smtpd_client_event_limit_exceptions": ""}
    )
    publication = write(postfix)
    with pytest.raises(RelayUnavailable, match=r"put off the connection \(421 4\.7\.0 relay\.ex"):
        publication.send()
    assert "Connection rate limit exceeded" in postfix.log
    assert not publication.counts


# -- ourselves -------------------------------------------------------------------------------------


def test_a_wrong_password_loses_nobody(start_postfix: StartPostfix, write: Write) -> None:
    postfix = start_postfix()
    publication = write(postfix, password="wrong")
    with pytest.raises(RelayRefusedUs, match=r"refused the login of daily \(535 5\.7\.8 Error: au"):
        publication.send()
    assert postfix.log.count("authentication failed") == 1, "a second try would only do harm"
    assert not publication.counts

    publication.set_password(PASSWORD)
    assert publication.send().counts == {State.ACCEPTED: len(READERS)}
    assert copies(postfix) == Counter(READERS.keys())


def test_no_login_goes_out_in_the_clear(start_postfix: StartPostfix, write: Write) -> None:
    postfix = start_postfix()
    publication = write(postfix, tls="none")
    with pytest.raises(RelayRefusedUs, match="offers no login that we know"):
        publication.send()
    assert "auth=" not in postfix.log


def test_a_relay_that_nobody_vouches_for(start_postfix: StartPostfix, write: Write) -> None:
    postfix = start_postfix()
    publication = write(postfix)
    config = publication.project.config
    config.write_text(re.sub(r"ca_file = .*", "", config.read_text()))
    with pytest.raises(RelayRefusedUs, match="no password was sent"):
        publication.send()
    assert "starttls=" in postfix.log or "SSL_accept error" in postfix.log
    assert "auth=" not in postfix.log


def test_a_sender_that_is_not_ours_costs_no_reader(
    start_postfix: StartPostfix, write: Write
) -> None:
    """Postfix refuses it at RCPT: it keeps what it thinks of a sender until then."""
    postfix = start_postfix(
        {
            "smtpd_sender_login_maps": "inline:{daily@news.example=another}",
            "smtpd_sender_restrictions": "reject_sender_login_mismatch",
        }
    )
    connections = 2
    publication = write(postfix, connections=connections)
    with pytest.raises(RelayRefusedUs, match=r"553 5\.7\.1 .* not owned by user daily"):
        publication.send()
    words = [words for told in publication.attempts.values() for _, words in told]
    assert all("Sender address rejected: not owned by user daily" in said for said in words)
    assert 0 < len(words) <= connections, "once it is said there is no use in asking again"
    assert set(publication.counts) <= {State.PENDING, State.DEFERRED}, "no reader pays for it"
    assert not postfix.stored


@pytest.mark.parametrize(
    ("restriction", "code"),
    [("reject_unauth_destination", r"554 5\.7\.1"), ("defer_unauth_destination", r"454 4\.7\.1")],
)
def test_relaying_denied_is_about_us(
    start_postfix: StartPostfix, write: Write, restriction: str, code: str
) -> None:
    postfix = start_postfix(
        {
            "virtual_mailbox_domains": "other.example",
            "smtpd_relay_restrictions": f"permit_sasl_authenticated, {restriction}",
        }
    )
    publication = write(postfix, user="")
    with pytest.raises(RelayRefusedUs, match=rf"{code} <.*>: Relay access denied"):
        publication.send()
    assert set(publication.counts) <= {State.PENDING, State.DEFERRED}, "no reader pays for it"
    assert not postfix.stored
