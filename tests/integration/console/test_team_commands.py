"""The team by the command line, as whoever looks after the server begins it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.acceptance.project import KEY, Project
from tests.acceptance.test_operator import ask


def test_a_team_is_begun_and_looked_after_by_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEWSLETTER_SECRET_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NEWSLETTER_WEB__LISTEN", "127.0.0.1:8000")
    project = Project(tmp_path)
    assert "no console" in ask(project, "team", "list").out
    added = ask(project, "team", "add", "Ada Lane", "ada@news.example", "--role", "admin")
    assert added.code == 0, added.err
    assert re.search(r"https://news\.example/console/setup/[\w-]{43}\n", added.out)
    assert re.search(r"http://127\.0\.0\.1:8000/console/setup/[\w-]{43}\n", added.out)
    again = ask(project, "team", "add", "Ada Other", "ADA@news.example")
    assert again.code == 1
    assert "is on the team" in again.err
    assert ask(project, "team", "add", "X", "x@news.example", "--role", "king").code == 2
    listed = ask(project, "team", "list", "--json").document
    assert [(each["name"], each["role"], each["state"]) for each in listed] == [
        ("Ada Lane", "admin", "invited")
    ]
    assert ask(project, "team", "disable", "Ada Lane").code == 0
    assert ask(project, "team", "list", "--json").document[0]["state"] == "disabled"
    reset = ask(project, "team", "reset", "ada@news.example", "--json", "--yes")
    assert reset.document["link"] not in added.out
    assert ask(project, "team", "list", "--json").document[0]["state"] == "invited"
    assert ask(project, "team", "disable", "nobody").code == 1
