"""Bad input, one by one: one clear sentence, the right exit code, and nothing lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.project import Project, one_sentence
from tests.acceptance.secured import PASSWORD, SecuredRelay
from tests.acceptance.sink import Sink
from tests.relays import Authority


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "publication")
    made.write_brief()
    return made


def test_no_configuration(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.config.unlink()
    ran = project.run("status")
    assert ran.code == 78
    assert one_sentence(ran) == (
        "newsletter: newsletter.toml: there is no such file; "
        "run `newsletter init DIR` to make one, or name it with --config."
    )


def test_unknown_key(project: Project) -> None:
    project.config.write_text(project.config.read_text().replace("relay =", "rellay ="))
    ran = project.run("send", "--yes")
    assert ran.code == 78
    assert "newsletter.toml, delivery.rellay: is not a setting" in one_sentence(ran)


def test_relay_that_is_no_url(project: Project) -> None:
    ran = project.run("send", "--yes", env={"NEWSLETTER_DELIVERY__RELAY": "mail.example:25"})
    assert ran.code == 78
    assert "delivery.relay" in one_sentence(ran)


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), b"name,city\nA,B\n"]
)
def test_unreadable_subscribers(project: Project, content: bytes) -> None:
    path = project.root / "readers.csv"
    path.write_bytes(content)
    ran = project.run("subscribers", "import", "readers.csv")
    assert ran.code == 1
    assert "readers.csv" in one_sentence(ran)
    assert project.run("subscribers", "list", "--json").document == []


def test_missing_subscribers_file(project: Project) -> None:
    ran = project.run("subscribers", "import", "nowhere.csv")
    assert ran.code == 1
    assert "nowhere.csv" in one_sentence(ran)


def test_database_of_a_newer_version(project: Project) -> None:
    project.import_readers(1)
    database = project.root / "newsletter.db"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = database.read_bytes()
    ran = project.run("send", "--yes")
    assert ran.code == 78
    assert "newer version (9999)" in one_sentence(ran)
    assert database.read_bytes() == before


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("<mjml>\n<mj-body>\n{% if %}\n</mj-body></mjml>", 3),
        ("<mjml>\n<mj-body>\n\n{{ nonsense }}\n</mj-body></mjml>", 4),
        (
            "<mjml><mj-body><mj-section>\n<mj-txt>x</mj-txt>\n</mj-section></mj-body></mjml>",
            2,
        ),
    ],
)
def test_template_with_a_fault(project: Project, template: str, line: int) -> None:
    project.import_readers(1)
    (project.root / "templates").mkdir()
    (project.root / "templates" / "digest.mjml.j2").write_text(template)
    ran = project.run("send", "--yes")
    assert ran.code == 78
    assert f"digest.mjml.j2, line {line}: " in one_sentence(ran)
    shutil.rmtree(project.root / "templates")
    assert project.run("send", "--yes").code == 0


def test_relay_refuses_the_connection(project: Project) -> None:
    project.import_readers(3)
    ran = project.run(
        "send", "--yes", env={"NEWSLETTER_DELIVERY__RELAY": "smtp://127.0.0.1:1?tls=none"}
    )
    assert ran.code == 75
    assert "smtp://127.0.0.1:1 could not be reached" in one_sentence(ran)
    assert project.run("send", "--yes").code == 0
    assert project.counts()["accepted"] == 3


def test_wrong_password(project: Project, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    trusting = {"NEWSLETTER_DELIVERY__CA_FILE": str(authority.ca_file)}
    project.import_readers(3)
    with SecuredRelay(authority.issue("127.0.0.1")) as relay:
        trusting["NEWSLETTER_DELIVERY__RELAY"] = relay.url
        wrong = {"NEWSLETTER_DELIVERY__RELAY_PASSWORD": "wrong"}
        ran = project.run("send", "--yes", env=trusting | wrong)
        assert ran.code == 78
        sentence = one_sentence(ran)
        assert f"smtp://127.0.0.1:{relay.port}" in sentence
        assert "NEWSLETTER_DELIVERY__RELAY_PASSWORD" in sentence
        assert "535" in sentence
        assert (relay.accepted, any(relay.logins)) == ([], False)

        right = {"NEWSLETTER_DELIVERY__RELAY_PASSWORD": PASSWORD}
        assert project.run("send", "--yes", env=trusting | right).code == 0
        assert sorted(relay.accepted) == [f"reader{n}@example.org" for n in (1, 2, 3)]


def test_certificate_of_another_host(project: Project, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    project.import_readers(3)
    env = {
        "NEWSLETTER_DELIVERY__CA_FILE": str(authority.ca_file),
        "NEWSLETTER_DELIVERY__RELAY_PASSWORD": PASSWORD,
    }
    with SecuredRelay(authority.issue("elsewhere.example")) as other:
        ran = project.run("send", "--yes", env=env | {"NEWSLETTER_DELIVERY__RELAY": other.url})
        assert ran.code == 78
        assert f"smtp://127.0.0.1:{other.port}" in one_sentence(ran)
        assert "certificate" in one_sentence(ran)
        assert (other.accepted, other.logins) == ([], []), "the password went to a stranger"
    with SecuredRelay(authority.issue("127.0.0.1")) as relay:
        env["NEWSLETTER_DELIVERY__RELAY"] = relay.url
        assert project.run("send", "--yes", env=env).code == 0
        assert len(relay.accepted) == 3


def test_relay_goes_away_in_the_middle(tmp_path: Path) -> None:
    with Sink(tmp_path) as sink:
        project = Project(
            tmp_path / "publication", relay=sink.url, connections=2, delivery="rate = 200"
        )
        project.write_brief()
        project.import_readers(400)
        process = project.start("send", "--yes")
        if not sink.wait_for(20, seconds=120):
            process.kill()
    # The sink has gone. A sender asked to stop ends in order, and the same command goes on.
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 75, err
    assert "Traceback" not in err
    counts = project.counts()
    assert sum(counts.values()) == 400
    assert counts["accepted"] >= 20
    assert counts["leased"] == counts["sending"] == 0
    assert counts["in_doubt"] <= 2


def test_disk_full(project: Project, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a small disk needs root to mount; run the tests as root to have it")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1200k", "none", disk], check=False
    )
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount a tmpfs; a virtual machine does")
    try:
        url = {"NEWSLETTER_DATABASE__URL": f"sqlite:///{disk / 'newsletter.db'}"}
        project.write_readers(50_000)
        ran = project.run("subscribers", "import", "readers.csv", env=url)
        assert ran.code == 75
        sentence = one_sentence(ran)
        assert "full" in sentence
        assert "free some space" in sentence
        stored = project.run("subscribers", "list", "--json", env=url)
        assert stored.code == 0, stored.err
        subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
        assert project.run("subscribers", "import", "readers.csv", env=url).code == 0
        listed = project.run("subscribers", "list", "--json", env=url).document
        assert len(listed) == 50_000
    finally:
        subprocess.run(["umount", disk], check=True)
