"""Postfix takes the mail over STARTTLS and a login, and its signatures verify afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from newsletter.mail import Keyring
from newsletter.mail.verp import read_return_path
from tests.acceptance.project import KEY
from tests.integration.servers.conftest import StartPostfix, Trust
from tests.integration.servers.dovecot import USER
from tests.integration.servers.mailbox import Stored
from tests.integration.servers.publication import READERS, Publication
from tests.integration.servers.signatures import ALL_FAIL, ALL_PASS, ask_dkimpy, ask_opendkim

EVERYONE = READERS | {"jürgen@example.org": "Jürgen", "reader@xn--mnchen-3ya.example": "Ü"}


@pytest.fixture(scope="module")
def delivered(
    tmp_path_factory: pytest.TempPathFactory, trust: Trust, login_socket: Path
) -> Iterator[tuple[Publication, list[Stored]]]:
    """Send one edition with the command line, and give what Postfix put into the mailboxes."""
    with ExitStack() as stack:
        start = StartPostfix(trust, login_socket, stack)
        postfix = start(
            {"virtual_mailbox_domains": "example.org xn--mnchen-3ya.example"}, readers=EVERYONE
        )
        publication = Publication(
            tmp_path_factory.mktemp("way") / "publication",
            relay=f"smtp://{USER}@localhost:{postfix.port}",
            readers=EVERYONE,
            delivery=f'ca_file = "{trust.authority}"',
        )
        sent = publication.project.run("send", "--yes", "--json")
        assert sent.code == 0, sent.err
        assert sent.document["counts"]["accepted"] == len(EVERYONE), sent.document
        yield publication, postfix.stored


def test_every_reader_has_one_copy_that_came_over_tls_and_a_login(
    delivered: tuple[Publication, list[Stored]],
) -> None:
    publication, stored = delivered
    copies = publication.copies
    assert sorted(one.recipient for one in stored) == sorted(copies)
    for one in stored:
        is_ascii = one.recipient.isascii()
        assert ("with ESMTPSA" if is_ascii else "with UTF8SMTPSA") in one.trace["received"]
        assert f"(Authenticated sender: {USER})" in one.trace["received"]


def test_the_servers_wrote_nothing_anew(delivered: tuple[Publication, list[Stored]]) -> None:
    publication, stored = delivered
    copies, ring = publication.copies, Keyring([KEY.encode()])
    for one in stored:
        copy = copies[one.recipient]
        assert one.content == copy.content.replace(b"\r\n", b"\n")
        assert one.return_path == copy.envelope.sender
        claim = read_return_path(
            one.return_path, "bounce+*@news.example", keyring=ring, list_id="daily.news.example"
        )
        assert claim.edition_id == 1
        assert one.content.isascii() or not one.recipient.isascii()
        assert max(map(len, one.content.splitlines())) <= 998


def test_the_signatures_verify_for_dkimpy_and_opendkim(
    delivered: tuple[Publication, list[Stored]], tmp_path: Path
) -> None:
    _, stored = delivered
    assert [ask_dkimpy(one.content) for one in stored] == [ALL_PASS] * len(EVERYONE)
    assert ask_opendkim([one.whole for one in stored], tmp_path) == [ALL_PASS] * len(EVERYONE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"North", b"South"),
        (b"\nList-Unsubscribe-Post:", b"\nList-Unsubscribe-Post: x\nList-Unsubscribe-Post:"),
        (b"\nList-Unsubscribe: <https://news", b"\nList-Unsubscribe: <https://evil"),
        (b"\nFrom: ", b"\nFrom: Somebody <else@news.example>\nFrom: "),
        (b"quay", b"quai"),
        (b"Content-Type: text/html", b"Content-Type: text/htmx"),
    ],
)
def test_a_changed_copy_fails_for_both(
    delivered: tuple[Publication, list[Stored]], tmp_path: Path, old: bytes, new: bytes
) -> None:
    _, stored = delivered
    content = stored[0].content
    assert old in content
    changed = content.replace(old, new, 1)
    assert ask_dkimpy(changed) == ALL_FAIL
    assert ask_opendkim([changed], tmp_path) == [ALL_FAIL]


def test_one_click_is_signed_and_cannot_be_added_to(
    delivered: tuple[Publication, list[Stored]],
) -> None:
    _, stored = delivered
    message = message_from_bytes(stored[0].content, policy=policy.default)
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["List-Unsubscribe"].startswith("<https://news.example/u/")
    signatures = message.get_all("DKIM-Signature", [])
    assert len(signatures) == len(ALL_PASS)
    for signature in signatures:
        named = re.search(r"\bh=([^;]+)", re.sub(r"\s", "", signature))
        assert named is not None
        names = named[1].lower().split(":")
        for name in ("list-unsubscribe", "list-unsubscribe-post"):
            assert names.count(name) == 2, "once as it is, once more against another"
