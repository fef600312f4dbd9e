"""The team by the command line, as whoever looks after the server begins it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select

from newsletter.store import open_database
from newsletter.store.audit import list_entries
from newsletter.store.tables import sessions
from newsletter.web.console.members import find_member
from newsletter.web.console.passkeys import Made, add_passkey
from newsletter.web.console.sessions import open_session
from tests.acceptance.project import Project
from tests.integration.console.stage import TEST


def test_a_team_is_begun_and_looked_after_by_the_command_line(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert "no console" in project.run("team", "list").out
    listen = {"NEWSLETTER_WEB__LISTEN": "127.0.0.1:8000"}
    new = ("Ada Lane", "ada@news.example", "--role", "admin")
    added = project.run("team", "add", *new, env=listen)
    assert added.code == 0, added.err
    assert re.search(r"https://news\.example/console/setup/[\w-]{43}\n", added.out)
    assert re.search(r"http://127\.0\.0\.1:8000/console/setup/[\w-]{43}\n", added.out)
    again = project.run("team", "add", "Ada Other", "ADA@news.example")
    assert again.code == 1
    assert "is on the team" in again.err
    assert project.run("team", "add", "X", "x@news.example", "--role", "king").code == 2
    listed = project.run("team", "list", "--json").document
    assert [(each["name"], each["role"], each["state"]) for each in listed] == [
        ("Ada Lane", "admin", "invited")
    ]
    assert project.run("team", "disable", "Ada Lane").code == 0
    assert project.run("team", "list", "--json").document[0]["state"] == "disabled"
    reset = project.run("team", "reset", "ada@news.example", "--json", "--yes")
    assert reset.document["link"] not in added.out
    assert project.run("team", "list", "--json").document[0]["state"] == "invited"
    assert project.run("team", "disable", "nobody").code == 1


def test_passkeys_of_a_lost_device_are_taken_away_by_the_command_line(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.run("team", "add", "Ada Lane", "ada@news.example", "--role", "admin")
    project.run("team", "add", "Ben", "ben@news.example")
    now = datetime.now(UTC)
    database = open_database(f"sqlite:///{project.root / 'newsletter.db'}", durability="process")
    with database.writing() as connection:
        ada = find_member(connection, "Ada Lane")
        open_session(connection, ada.id, now=now)
        for name in ("Phone", "Laptop"):
            made = Made(credential_id=name, public_key=b"", counter=0, challenge=name.encode())
            add_passkey(connection, ada, name, made, site="news.example", actor=TEST, now=now)
    listed = project.run("team", "list", "--json").document
    assert {each["name"]: each["passkeys"] for each in listed} == {"Ada Lane": 2, "Ben": 0}
    shown = project.run("team", "passkeys", "Ada Lane")
    assert "Phone" in shown.out
    assert "news.example" in shown.out
    assert "never" in shown.out
    assert project.run("team", "passkeys", "Ada Lane", "--remove").code == 1, "nobody said yes"
    removed = project.run("team", "passkeys", "ada@news.example", "--remove", "--yes", "--json")
    assert [each["name"] for each in removed.document["passkeys"]] == ["Phone", "Laptop"]
    assert "has no passkeys" in project.run("team", "passkeys", "Ada Lane").out
    with database.reading() as connection:
        entry = list_entries(connection, 1)[0]
        assert (entry.action, entry.detail) == ("passkey.remove", "Phone, Laptop")
        assert connection.execute(select(sessions)).all() == []
    database.close()
