"""Dovecot takes the mail over LMTP, and its signatures verify afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from newsletter.delivery.lifecycle import State
from tests.integration.servers.conftest import Trust
from tests.integration.servers.dovecot import Dovecot
from tests.integration.servers.publication import READERS, Publication
from tests.integration.servers.signatures import ALL_PASS, ask_dkimpy, ask_opendkim

STRANGERS = {"gone@example.org": "Gone"}
UNSAYABLE = {"jürgen@example.org": "Jürgen"}


@pytest.mark.parametrize(
    "relay",
    [
        lambda dovecot: f"lmtp://{dovecot.lmtp_socket}",
        lambda dovecot: f"lmtp://127.0.0.1:{dovecot.port}",
        lambda dovecot: f"lmtp://localhost:{dovecot.port}?tls=starttls",
    ],
    ids=["socket", "port", "starttls"],
)
def test_every_reader_has_the_own_signed_copy(
    tmp_path: Path, dovecot: Dovecot, trust: Trust, relay: Callable[[Dovecot], str]
) -> None:
    publication = Publication(
        tmp_path / "publication",
        relay=relay(dovecot),
        readers=READERS | STRANGERS | UNSAYABLE,
        delivery=f'ca_file = "{trust.authority}"',
    )
    delivered = publication.send()
    assert delivered.is_sent
    assert delivered.counts == {State.ACCEPTED: len(READERS), State.FAILED: 2}
    assert publication.attempts["gone@example.org"] == [
        (State.FAILED, "550 5.1.1 <gone@example.org> User doesn't exist: gone@example.org")
    ]
    ((_, words),) = publication.attempts["jürgen@example.org"]
    assert words.startswith("553 5.6.7 not sent: the relay does not offer SMTPUTF8")
    copies, stored = publication.copies, dovecot.stored
    assert sorted(one.recipient for one in stored) == sorted(READERS)
    for one in stored:
        copy = copies[one.recipient]
        assert one.content == copy.content.replace(b"\r\n", b"\n")
        assert one.return_path == copy.envelope.sender
        assert "with LMTP" in one.trace["received"]
        assert ("using TLS" in one.trace["received"]) == ("starttls" in relay(dovecot))
        assert ask_dkimpy(one.content) == ALL_PASS
    verdicts = ask_opendkim([one.whole for one in stored], tmp_path)
    assert verdicts == [ALL_PASS] * len(READERS)
