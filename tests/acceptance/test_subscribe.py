"""A stranger becomes a reader and gets the day's edition: all of it real, and killed in between."""

from __future__ import annotations

import re
import signal
import time
from email import message_from_bytes, policy
from pathlib import Path
from subprocess import Popen

import httpx2

from newsletter.mail import decode_message
from tests.acceptance.project import Project
from tests.acceptance.sink import Sink

NEW = "new.reader@example.net"
LISTEN = {"NEWSLETTER_WEB__LISTEN": "127.0.0.1:0"}


def find_address(process: Popen[str]) -> str:
    """Read where the pages are from the log."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"readers' pages: (http://\S+)", line):
            return found[1]
    raise AssertionError("it never came up")


def test_subscribe_confirm_and_get_the_edition(tmp_path: Path) -> None:
    with Sink(tmp_path, keep_messages=True) as sink:
        project = Project(tmp_path / "publication", relay=sink.url, connections=2)
        project.write_brief()
        with project.running("serve", env=LISTEN) as process:
            address = find_address(process)
            answer = httpx2.post(f"{address}/subscribe", data={"email": NEW}, trust_env=False)
            assert answer.status_code == 200
            process.kill()  # whether it was mailed yet or not
        with project.running("serve", env=LISTEN) as process:
            address = find_address(process)
            assert sink.wait_for(1, seconds=60)
            mail = sink.messages[NEW]
            message = message_from_bytes(mail, policy=policy.default)
            assert message["Subject"] == "Please confirm: Harbor Daily"
            (link,) = re.findall(r"https://news\.example(/c/[\w-]+)", decode_message(mail)[0])
            listed = project.run("subscribers", "list", "--json").document
            assert [(each["email"], each["status"]) for each in listed] == [(NEW, "pending")]
            assert httpx2.post(address + link, trust_env=False).status_code == 200
            listed = project.run("subscribers", "list", "--json").document
            assert [(each["email"], each["status"]) for each in listed] == [(NEW, "active")]
            time.sleep(1.5)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=30)
            assert process.returncode == 0, err
            assert NEW not in err
            assert link.removeprefix("/c/") not in err
        # Killed between the relay's yes and its record, what is in doubt is sent once more.
        assert sink.accepted in ({NEW: 1}, {NEW: 2})

        ran = project.run("send", "--yes")
        assert ran.code == 0, ran.err
        assert sink.accepted == {NEW: 2}
        assert "North Quay Reopens Early" in decode_message(sink.messages[NEW])[0]

        told = project.run("explain", NEW).out
        assert "confirmed at" in told
        assert "I want Harbor Daily by mail." in told
        document = project.run("explain", NEW, "--json").document
        (record,) = document["sign_ups"]
        assert (record["state"], record["way"]) == ("confirmed", "form")
        notices = project.run("notices", "--json").document
        assert notices == {"counts": {"accepted": 1}, "notices": []}
        assert "None waits, and none failed." in project.run("notices").out


def test_what_waits_is_shown_and_sent_by_hand(tmp_path: Path) -> None:
    project = Project(tmp_path / "publication", relay="smtp://127.0.0.1:1?tls=none")
    with project.running("serve", env=LISTEN) as process:
        address = find_address(process)
        httpx2.post(f"{address}/subscribe", data={"email": NEW}, trust_env=False)
        process.kill()
    ran = project.run("notices", "--send")
    assert (ran.code, ran.err.count("newsletter: ")) == (75, 1)
    document = project.run("notices", "--json").document
    assert [(each["email"], each["state"]) for each in document["notices"]] == [(NEW, "pending")]
    assert NEW in project.run("notices").out
    with Sink(tmp_path) as sink:
        ran = project.run("notices", "--send", env={"NEWSLETTER_DELIVERY__RELAY": sink.url})
        assert ran.code == 0, ran.err
        assert sink.accepted == {NEW: 1}
