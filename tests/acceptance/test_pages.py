"""`newsletter serve` answers the links of the mails that it sends."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path

import httpx2
import pytest

from newsletter.mail import decode_message
from tests.acceptance.project import Project, one_sentence


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write_brief()
    made.import_readers(1)
    assert made.run("send", "--yes").code == 0
    return made


def test_the_links_of_a_mail_are_answered(project: Project) -> None:
    (mail,) = (project.root / "outbox").glob("*.eml")
    plain, html = decode_message(mail.read_bytes())
    links = set(re.findall(r"https://news\.example(/[^\s\"<#]*)", f"{plain} {html}"))
    assert {"/u/", "/p/", "/ed"} <= {link[:3] for link in links}
    with project.running("serve", env={"NEWSLETTER_WEB__LISTEN": "127.0.0.1:0"}) as process:
        assert process.stderr is not None
        said = next(line for line in process.stderr if "readers' pages" in line)
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert found
        with httpx2.Client(base_url=found[0], trust_env=False, timeout=60) as web:
            for link in sorted(links):
                assert web.get(link).status_code == 200, link
            (leave,) = (link for link in links if link.startswith("/u/"))
            assert web.post(leave, data={"List-Unsubscribe": "One-Click"}).status_code == 200
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    token = leave.removeprefix("/u/")
    assert token not in said + err
    (reader,) = project.run("subscribers", "list", "--json").document
    assert reader["status"] == "unsubscribed"


def test_an_address_that_cannot_be_had_is_named(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = project.run("serve", env={"NEWSLETTER_WEB__LISTEN": f"127.0.0.1:{port}"})
    assert ran.code == 78
    assert one_sentence(ran).startswith(
        f"newsletter: web.listen: 127.0.0.1:{port} cannot be listened at (address already in use)"
    )
    ran = project.run("serve", env={"NEWSLETTER_WEB__LISTEN": "eight thousand"})
    assert ran.code == 78
    assert one_sentence(ran).startswith('newsletter: web.listen: "eight thousand" is no address')
    ran = project.run("serve", env={"NEWSLETTER_WEB__LISTEN": "nowhere.invalid:8000"})
    assert ran.code == 78
    assert one_sentence(ran).startswith(
        "newsletter: web.listen: nowhere.invalid:8000 cannot be listened at (there is no such host)"
    )
