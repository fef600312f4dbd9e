"""`newsletter doctor` on a publication that is well, and on one where everything is wrong."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from newsletter.doctor.keys import build_record
from newsletter.mail.dkim import Signer
from tests.acceptance.project import Project, Ran
from tests.nameserver import NameServer
from tests.receiver import Receiver
from tests.relays import ScriptedRelay


def build(root: Path, relay: str, url: str, key: Ed25519PrivateKey) -> Project:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    more = '[[dkim]]\nselector = "s1"\nkey_file = "dkim.pem"\n'
    project = Project(root, relay=relay, more=more)
    text = project.config.read_text().replace("https://news.example", url)
    project.config.write_text(text + "[alerts]\ndisk_free_mb = 0\n")
    file = root / "dkim.pem"
    file.touch(mode=0o600)
    file.write_bytes(pem)
    (root / ".env").touch(mode=0o600)
    return project


def test_what_is_well_passes_and_nobody_is_mailed(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    record = build_record(Signer(domain="news.example", selector="s1", key=key))
    with NameServer().serving() as dns, ScriptedRelay() as relay, Receiver(lambda _: 404) as web:
        dns.zones = {
            "news.example": {"TXT": ['"v=spf1 mx -all"'], "MX": ["10 mx.news.example."]},
            "mx.news.example": {"A": ["192.0.2.1"]},
            "s1._domainkey.news.example": {"TXT": [f'"{record}"']},
            "_dmarc.news.example": {"TXT": ['"v=DMARC1; p=reject; rua=mailto:d@news.example"']},
        }
        project = build(tmp_path, relay.url, web.url.removesuffix("/hook"), key)
        ran = project.run("doctor", "--nameserver", dns.address, "--json")
        assert ran.code == 0, ran.out + ran.err
        verdicts = {each["check"]: each["verdict"] for each in ran.document}
        assert verdicts == {
            "python": "pass",
            "settings": "pass",
            "secrets": "pass",
            "disk": "pass",
            "database": "pass",
            "installation": "skip",  # nothing was sent yet
            "schedule": "skip",  # it was never started
            "templates": "pass",
            "relay": "pass",
            "spf": "pass",
            "dkim": "pass",
            "dmarc": "pass",
            "bounces": "warn",  # nothing tells which copy came back
            "alerts": "warn",  # nobody is told
            "heartbeat": "warn",
            "web": "warn",  # without TLS
            "clock": "pass",
        }
        assert [call.path for call in web.calls] == ["/u/doctor"]
    assert relay.dotted == []
    assert [session.verbs for session in relay.sessions] == [["EHLO", "QUIT"]]


def test_what_is_wrong_fails_each_with_its_mend(tmp_path: Path) -> None:
    with (
        NameServer().serving() as dns,
        ScriptedRelay({"EHLO": "550 5.7.1 not from there"}) as relay,
        Receiver(lambda _: 301) as web,
    ):
        dns.zones = {"news.example": {"TXT": ['"v=spf1 +all"']}}
        url = web.url.removesuffix("/hook")
        project = build(tmp_path, relay.url, url, Ed25519PrivateKey.generate())
        (tmp_path / ".env").chmod(0o644)
        (tmp_path / "templates").mkdir()
        (tmp_path / "templates" / "digest.txt.j2").write_text("{% if %}")
        ran = project.run("doctor", "--nameserver", dns.address, "--json")
    assert ran.code == 1
    wrong = {each["check"]: each for each in ran.document if each["verdict"] == "fail"}
    assert set(wrong) == {
        *("secrets", "templates", "relay", "spf", "dkim", "dmarc", "bounces", "web"),
    }
    assert all(each["mend"] for each in wrong.values())
    assert "550 5.7.1 not from there" in wrong["relay"]["sentence"]
    assert "chmod 600" in wrong["secrets"]["mend"]
    assert "v=DKIM1; k=ed25519; p=" in wrong["dkim"]["mend"]


def test_offline_it_says_so_and_skips_what_it_cannot_know(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, ScriptedRelay() as relay:
        silent.bind(("127.0.0.1", 0))
        project = build(tmp_path, relay.url, "https://news.invalid", Ed25519PrivateKey.generate())
        server = f"127.0.0.1:{silent.getsockname()[1]}"
        ran = project.run("doctor", "--nameserver", server)
    assert ran.code == 0, ran.out
    assert ran.out.count("nobody answers about") == 4
    assert "no other clock could be asked" in ran.out
    assert "Traceback" not in ran.out + ran.err


def test_a_database_of_an_older_program_and_a_key_that_is_gone_are_named(
    tmp_path: Path,
) -> None:
    project = build(tmp_path, "eml:outbox", "https://news.invalid", Ed25519PrivateKey.generate())
    (tmp_path / "dkim.pem").unlink()
    old = (
        "import sqlite3; c = sqlite3.connect('newsletter.db'); "
        "c.execute('CREATE TABLE alembic_version (version_num TEXT)'); "
        "c.execute(\"INSERT INTO alembic_version VALUES ('0001')\"); c.commit(); c.close()"
    )
    subprocess.run([sys.executable, "-c", old], cwd=tmp_path, env=os.environ, check=True)
    ran = project.run("doctor", "--nameserver", "127.0.0.1:9", "--json")
    assert ran.code == 1
    (database,) = [each for each in ran.document if each["check"] == "database"]
    assert database["verdict"] == "fail"
    assert "newsletter db upgrade" in database["mend"]
    dkim = next(each for each in ran.document if each["check"] == "dkim")
    assert dkim["verdict"] == "fail"
    assert dkim["sentence"].startswith(f"{tmp_path / 'dkim.pem'}, dkim.key_file: ")


def test_a_restored_backup_is_told_from_what_was_sent_from_last(tmp_path: Path) -> None:
    project = build(tmp_path, "eml:outbox", "https://news.invalid", Ed25519PrivateKey.generate())
    project.write_brief()
    project.import_readers(1)
    backup = (tmp_path / "newsletter.db").read_bytes()
    sent = project.run("send", "--yes")
    assert sent.code == 0, sent.err
    ran = project.run("doctor", "--nameserver", "127.0.0.1:9", "--json")
    assert verdict(ran, "installation") == "pass"
    for file in tmp_path.glob("newsletter.db*"):
        file.unlink()
    (tmp_path / "newsletter.db").write_bytes(backup)
    with closing(sqlite3.connect(tmp_path / "newsletter.db")) as connection:
        connection.execute("INSERT INTO installations (id, runs) VALUES ('another', 1)")
        connection.commit()
    ran = project.run("doctor", "--nameserver", "127.0.0.1:9", "--json")
    assert (ran.code, verdict(ran, "installation")) == (1, "fail")


def verdict(ran: Ran, name: str) -> str:
    (found,) = [each["verdict"] for each in ran.document if each["check"] == name]
    return str(found)


def test_a_name_server_that_is_no_address_is_said(tmp_path: Path) -> None:
    project = build(tmp_path, "eml:outbox", "https://news.invalid", Ed25519PrivateKey.generate())
    ran = project.run("doctor", "--nameserver", "dns.example")
    assert ran.code == 2
    assert "is no address" in ran.err
