"""The team by the command line, as whoever looks after the server begins it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.acceptance.project import Project


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
