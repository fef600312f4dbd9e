"""An operator at a terminal: asked before mail leaves, shown how far it is, free to stop it."""

from __future__ import annotations

import re
import socket
import urllib.request
from pathlib import Path

import pytest

from tests.acceptance.project import Project
from tests.acceptance.sink import Sink


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "publication")
    made.write_brief()
    return made


def test_a_send_asks_and_obeys(project: Project) -> None:
    project.import_readers(3)
    outbox = project.root / "outbox"
    for decline in ("n\n", "\n", None):
        with project.show("send") as terminal:
            shown = terminal.wait_for("Send to 3 readers?")
            for seen in ("North Quay Reopens Early", "Readers", "eml:", "Preflight"):
                assert seen in shown
            if decline is None:
                terminal.interrupt()
            else:
                terminal.type(decline)
            assert terminal.end(pressing_again=decline is None) == 1
            assert "Nobody was mailed." in terminal.shown
            assert "Traceback" not in terminal.shown
        assert not outbox.exists()
    assert "a draft" in project.run("status").out

    with project.show("send") as terminal:
        terminal.wait_for("Send to 3 readers?")
        terminal.type("y\n")
        assert terminal.end() == 0
        assert "The relay accepted the mail of 3 readers." in terminal.shown
    assert len(list(outbox.iterdir())) == 3


def test_a_stopped_send_goes_on(tmp_path: Path) -> None:
    with Sink(tmp_path) as sink:
        project = Project(tmp_path / "publication", relay=sink.url, delivery="rate = 300")
        project.write_brief()
        project.import_readers(900)
        with project.show("send", "--yes") as terminal:
            terminal.wait_for("Sending")
            assert sink.wait_for(50, seconds=30)
            terminal.interrupt()
            assert terminal.end() == 75
            assert re.search(r"\d+/900", terminal.shown), "no progress was shown"
            assert "stopped before the end" in terminal.shown
            assert "Traceback" not in terminal.shown
        counts = project.counts()
        assert counts["accepted"] + counts["pending"] == 900
        assert counts["pending"] > 0
        said = project.run("status").out
        assert f"{counts['pending']} readers still without it" in " ".join(said.split())

        with project.show("send") as terminal:
            terminal.wait_for(f"Go on sending to {counts['pending']} readers?")
            terminal.type("y\n")
            assert terminal.end() == 0
        assert max(sink.accepted.values()) == 1
        assert len(sink.accepted) == 900


def test_the_demo_says_where_to_look_and_ends_on_ctrl_c(project: Project) -> None:
    with project.show("demo") as terminal:
        shown = terminal.wait_for("(Ctrl-C ends the demo)")
        found = re.search(r"Sent 12 messages; look at (http://127\.0\.0\.1:\d+/)", shown)
        assert found, shown
        with urllib.request.urlopen(found[1], timeout=10) as answer:
            page = answer.read().decode()
        assert "12 messages" in page
        assert page.count('href="/messages/') == 12
        terminal.interrupt()
        assert terminal.end() == 0
        assert "Traceback" not in terminal.shown


def test_a_demo_whose_port_is_taken_sends_nothing(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = project.run("demo", "--port", str(port))
    assert ran.code == 1
    assert ran.err == (
        f"newsletter: port {port} is taken, or not for you; drop --port to take a free one.\n"
    )
    assert ran.out == ""


def test_ctrl_c_ends_serve_in_order(project: Project) -> None:
    with project.show("serve") as terminal:
        terminal.wait_for("send: next at")
        terminal.interrupt()
        assert terminal.end() == 0
        assert "stopped" in terminal.shown
        assert "Traceback" not in terminal.shown
