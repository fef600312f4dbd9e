"""A Postfix that takes a copy and then cannot deliver it: its bounce is heard, by pipe and IMAP."""

from __future__ import annotations

import imaplib
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.test_leaving_by_mail import USER as BOUNCES
from tests.acceptance.test_leaving_by_mail import feedback, flags, pipe
from tests.integration.servers.conftest import StartPostfix, Trust
from tests.integration.servers.daemon import private_folder, wait_until
from tests.integration.servers.dovecot import PASSWORD, USER, Dovecot
from tests.integration.servers.mailbox import Stored
from tests.integration.servers.publication import Publication

READERS = {f"reader{n}@example.org": "" for n in range(1, 6)}
GONE = ("reader2@example.org", "reader4@example.org")
_SETTINGS = {
    "virtual_mailbox_domains": "example.org news.example",
    "smtpd_reject_unlisted_recipient": "no",  # as a relay that takes mail for others does
    "recipient_delimiter": "+",
}


@pytest.fixture(scope="module")
def returned(
    tmp_path_factory: pytest.TempPathFactory, trust: Trust, login_socket: Path
) -> Iterator[tuple[Publication, list[Stored]]]:
    """Send an edition to readers of whom two have no mailbox; give what came back of it."""
    with ExitStack() as stack:
        start = StartPostfix(trust, login_socket, stack)
        kept = dict.fromkeys([*(READERS.keys() - set(GONE)), "bounce@news.example"], "")
        postfix = start(_SETTINGS, readers=kept)
        publication = Publication(
            tmp_path_factory.mktemp("way") / "publication",
            relay=f"smtp://{USER}@localhost:{postfix.port}",
            readers=READERS,
            delivery=f'ca_file = "{trust.authority}"',
        )
        sent = publication.project.run("send", "--yes", "--json")
        assert sent.document["counts"]["accepted"] == len(READERS), sent.document

        def list_returned() -> list[Stored]:
            return [each for each in postfix.stored if "news.example" in each.recipient]

        wait_until(lambda: len(list_returned()) == len(GONE), "the bounces")
        yield publication, list_returned()


def states(publication: Publication) -> dict[str, str]:
    with publication.press() as press, press.database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT email, state FROM deliveries")
        return {row[0]: row[1] for row in rows}


def test_a_real_bounce_is_taken_from_a_pipe_and_out_of_a_mailbox(
    returned: tuple[Publication, list[Stored]], trust: Trust
) -> None:
    publication, bounces = returned
    project = publication.project
    paths = {copy.envelope.sender: email for email, copy in publication.copies.items()}
    by_pipe, by_mailbox = bounces
    assert {paths[by_pipe.recipient], paths[by_mailbox.recipient]} == set(GONE)
    assert by_pipe.return_path == ""

    # A mail server hands over what it was given, and says by itself whom it is for.
    said = pipe(project, by_pipe.content, ORIGINAL_RECIPIENT=by_pipe.recipient)
    assert said == (0, "The bounce is taken.\n")
    assert states(publication)[paths[by_pipe.recipient]] == "bounced"

    with private_folder() as folder, ExitStack() as stack:
        dovecot = Dovecot(folder, certificate=trust.certificate, logins={BOUNCES: PASSWORD})
        stack.callback(dovecot.kill)
        dovecot.start()
        with imaplib.IMAP4("127.0.0.1", dovecot.imap_port, timeout=60) as mail:
            mail.login(BOUNCES, PASSWORD)
            for bounce in (by_mailbox, by_pipe):
                now = imaplib.Time2Internaldate(time.time())
                mail.append("INBOX", "", now, bounce.whole.replace(b"\n", b"\r\n"))
        env = feedback(dovecot, trust.authority)
        heard = project.run("listen", "--json", env=env)
        assert heard.code == 0, heard.err
        assert (heard.document["messages"], heard.document["bounced"]) == (2, 2)
        assert all(b"\\Seen" in line for line in flags(dovecot))
    assert states(publication) == {
        email: "bounced" if email in GONE else "accepted" for email in READERS
    }

    (told,) = project.run("bounces", "--json").document["editions"]
    assert (told["accepted"], told["dead"], told["other"]) == (5, 2, 0)
    assert told["domains"] == {"example.org": 2}
    assert told["guard"] == "believed"
    assert project.run("status", "--json").document["editions"][0]["counts"]["bounced"] == 2
    story = project.run("explain", GONE[0]).out
    assert "bounced" in story
    assert "unknown user" in " ".join(story.split())
