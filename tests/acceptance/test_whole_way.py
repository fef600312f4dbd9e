"""A folder and a feed in, a thousand readers' mailboxes out, over a real SMTP server."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from newsletter.mail.message import HEADER_NAMES
from tests.acceptance.project import Project
from tests.acceptance.sink import Sink

READERS = 1000
FEED = """<?xml version="1.0" encoding="utf-8"?>
<rss version="2.0"><channel><title>Wire</title><link>https://wire.example/</link>
<item><title>Island Cable Repaired</title><link>https://wire.example/cable</link>
<guid isPermaLink="false">cable-1</guid><pubDate>{date}</pubDate>
<description>Crews spliced the damaged cable on Sunday night. Service is back.</description>
</item></channel></rss>"""


class _FeedHandler(BaseHTTPRequestHandler):
    answers: list[int] = []  # noqa: RUF012 - the test reads it
    body = FEED.format(date=format_datetime(datetime.now(UTC))).encode()

    def do_GET(self) -> None:
        same = self.headers["If-None-Match"] == '"v1"'
        self.answers.append(304 if same else 200)
        self.send_response(self.answers[-1])
        self.send_header("ETag", '"v1"')
        self.send_header("Content-Length", "0" if same else str(len(self.body)))
        self.end_headers()
        if not same:
            self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@pytest.fixture
def feed() -> Iterator[str]:
    _FeedHandler.answers.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _FeedHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/feed.xml"
        server.shutdown()
        thread.join()


def test_every_reader_gets_the_own_copy_once(tmp_path: Path, feed: str) -> None:
    source = f'[[sources]]\nkind = "feed"\nurl = "{feed}"\nallow_private = true\n'
    with Sink(tmp_path, keep_messages=True) as sink:
        project = Project(tmp_path / "publication", relay=sink.url, more=source)
        project.write_brief()
        project.import_readers(READERS)

        first, second = project.run("gather", "--json"), project.run("gather", "--json")
        assert [report["new"] for report in first.document] == [1, 1]
        assert [report["status"] for report in second.document] == ["read", "unchanged"]
        assert _FeedHandler.answers == [200, 304]

        sent = project.run("send", "--yes", "--json")
        assert sent.code == 0, sent.err
        assert sent.document["briefs"] == ["North Quay Reopens Early", "Island Cable Repaired"]
        assert sent.document["counts"]["accepted"] == READERS

        again = project.run("send", "--yes")
        assert again.code == 0
        assert "was sent already, to 1,000 readers: nothing was sent now" in again.out
        accepted, messages = sink.accepted, sink.messages

    assert accepted == {f"reader{n}@example.org": 1 for n in range(1, READERS + 1)}
    links = set()
    for recipient, raw in messages.items():
        message = message_from_bytes(raw, policy=policy.default)
        assert sorted(message.keys()) == sorted(HEADER_NAMES)
        assert not message.defects
        number = re.fullmatch(r"reader(\d+)@example\.org", recipient)
        assert number is not None
        assert message["To"] == f"Reader {number[1]} <{recipient}>"
        link = re.match(
            r"<(https://news\.example/u/[\w-]{43})>, <mailto:", message["List-Unsubscribe"]
        )
        assert link is not None
        links.add(link[1])
        for kind in ("plain", "html"):
            body = message.get_body((kind,))
            assert body is not None
            content = body.get_content()
            assert link[1] in content
            assert "Island Cable Repaired" in content
            assert not set(re.findall(r"https://news\.example/u/[\w-]+", content)) - {link[1]}
    assert len(links) == READERS


def test_dry_run_and_test_copy_reach_no_reader(tmp_path: Path) -> None:
    with Sink(tmp_path, keep_messages=True) as sink:
        project = Project(tmp_path / "publication", relay=sink.url)
        project.write_brief()
        project.import_readers(3)

        dry = project.run("send", "--dry-run", "--json")
        assert dry.document["audience"] == 3
        assert not sink.accepted

        test = project.run("send", "--test", "editor@example.org")
        assert test.code == 0, test.err
        assert sink.accepted == {"editor@example.org": 1}
        message = message_from_bytes(sink.messages["editor@example.org"], policy=policy.default)
        assert message["Subject"] == "[Test] North Quay Reopens Early"

        for unasked in (project.run("send"), project.run("send", "--json")):
            assert unasked.code == 1
            assert "add --yes" in unasked.err
        both = project.run("send", "--test", "editor@example.org", "--dry-run")
        assert both.code == 2

        assert project.run("send", "--yes").code == 0
        assert sum(sink.accepted.values()) == 4

        later = project.run("send", "--test", "chief@example.org", "--json")
        assert (later.code, later.document["test"]) == (0, "chief@example.org")
        assert later.document["reply"].startswith("250 ")
        assert sink.accepted["chief@example.org"] == 1
        assert sum(sink.accepted.values()) == 5


def test_nothing_new_sends_nothing_and_a_failed_source_holds(tmp_path: Path) -> None:
    project = Project(tmp_path / "publication")
    project.import_readers(1)
    quiet = project.run("send", "--yes", "--json")
    assert (quiet.code, quiet.document) == (0, {"outcome": "nothing_new"})

    (project.root / "briefs").rmdir()
    held = project.run("send", "--yes")
    assert held.code == 75
    assert "the edition is held" in held.err
    assert not (project.root / "outbox").exists()


def test_late_suppression_is_obeyed(tmp_path: Path) -> None:
    project = Project(tmp_path / "publication")
    project.write_brief()
    project.import_readers(3)
    assert project.run("subscribers", "remove", "reader2@example.org").code == 0
    assert project.run("subscribers", "import", "readers.csv").code == 0
    assert project.run("send", "--yes").code == 0
    names = sorted(path.name.partition("-")[0] for path in (project.root / "outbox").iterdir())
    assert names == ["reader1@example.org", "reader3@example.org"]


def test_what_is_sent_is_signed_and_returns_to_the_copys_own_address(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with Sink(tmp_path, keep_messages=True) as sink:
        project = Project(tmp_path / "publication", relay=sink.url)
        project.config.write_text(
            project.config.read_text().replace(
                "[publication]", '[publication]\nbounce_address = "bounce+*@news.example"'
            )
            + '[[dkim]]\nselector = "day"\nkey_file = "dkim.pem"\n'
        )
        project.write_brief()
        project.import_readers(3)
        key_file = project.root / "dkim.pem"
        key_file.write_bytes(pem)
        readable = project.run("send", "--yes")
        assert readable.code == 78
        assert "dkim.pem, dkim.key_file: can be read by others" in readable.err

        key_file.chmod(0o600)
        sent = project.run("send", "--yes")
        assert sent.code == 0, sent.err
        messages, senders = sink.messages, sink.senders

    public = key.public_key().public_bytes_raw()
    record = b"v=DKIM1; k=ed25519; p=" + base64.b64encode(public)
    for raw in messages.values():
        assert dkim.verify(raw, dnsfunc=lambda name, timeout=5: record)
    assert len(messages) == len(set(senders)) == 3
    assert all(re.fullmatch(r"bounce\+[a-z2-7]{32}@news\.example", who) for who in senders)
