"""An operator's rules on stories, from the command line to the edition."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from newsletter.cli import build_app
from newsletter.cli.session import Session

TOML = """
[publication]
name = "Harbour Morning"
sender = "Harbour Morning <brief@news.example>"
list_id = "daily.news.example"
url = "https://news.example"
[[sources]]
kind = "folder"
path = "briefs"
[database]
url = "sqlite:///{folder}/newsletter.db"
"""
TOLD = (
    ("Dockers strike at Port Alder", "About 2,300 dockers stopped work at Port Alder."),
    ("Port Alder dockers walk out", "Some 2,300 longshoremen at Port Alder stopped work."),
    ("Library opens on Sundays", "Readers in Elmira rejoice at the new hours."),
)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


LIKELY = (
    ("A vaccine against malaria halves deaths in a trial", "It ran in two countries."),
    ("In a trial a malaria vaccine cuts cases", "It ran in two countries."),
)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "newsletter.toml"
    file.write_text(TOML.format(folder=tmp_path))
    (tmp_path / "briefs").mkdir()
    write(tmp_path, TOLD)
    monkeypatch.setenv("NEWSLETTER_SECRET_KEY", "k" * 40)
    monkeypatch.setattr(Session, "now", lambda self: NOON)
    run(file, "db", "upgrade")
    run(file, "gather")
    return file


def write(folder: Path, told: Sequence[tuple[str, str]], first: int = 1) -> None:
    for n, (title, summary) in enumerate(told, first):
        at = (NOON - timedelta(hours=n)).isoformat()
        text = f"---\ndate: {at}\nsource: outlet{n}.example\n---\n{title}\n\n{summary}\n"
        (folder / "briefs" / f"{n}.txt").write_text(text)


def run(config: Path, *words: str, fails: bool = False) -> str:
    result = CliRunner().invoke(build_app((words[0],)), ["--config", str(config), *words])
    if fails:
        return str(result.exception)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def shown(config: Path) -> list[list[str]]:
    told = json.loads(run(config, "stories", "--date", "2026-03-02", "--json"))["stories"]
    return sorted(sorted(each["title"] for each in (s, *s["also"])) for s in told)


def number(config: Path, title: str) -> str:
    told = json.loads(run(config, "stories", "--json"))["stories"]
    pieces = (each for s in told for each in (s, *s["also"]))
    return next(str(each["brief"]) for each in pieces if each["title"] == title)


def test_an_operator_splits_and_merges(config: Path) -> None:
    strike, walkout, library = (title for title, _ in TOLD)
    assert shown(config) == [[strike, walkout], [library]]
    assert "└" in run(config, "stories")

    one, other, third = (number(config, title) for title, _ in TOLD)
    assert "are two stories from now on" in run(config, "stories", "split", one, other)
    assert shown(config) == [[strike], [library], [walkout]]

    said = json.loads(run(config, "stories", "merge", one, third, "--json"))
    assert said == {"rule": "merge", "briefs": [int(one), int(third)], "titles": [strike, library]}
    assert shown(config) == [[strike, library], [walkout]]
    run(config, "stories", "merge", other, one)
    assert shown(config) == [sorted([strike, library, walkout])], "the newest word counts"


@pytest.mark.parametrize("word", ["merge", "split"])
def test_what_is_likely_one_story_is_asked_once(config: Path, word: str) -> None:
    assert json.loads(run(config, "stories", "--json"))["maybe"] == []
    assert "Maybe one story" not in run(config, "stories")
    write(config.parent, LIKELY, first=4)
    run(config, "gather")
    titles = [title for title, _ in LIKELY]
    told = json.loads(run(config, "stories", "--json"))
    assert len(told["stories"]) == 4, "likely is not enough to join"
    (maybe,) = told["maybe"]
    assert sorted(maybe["titles"]) == sorted(titles)
    assert maybe["briefs"] == [int(number(config, title)) for title in maybe["titles"]]
    assert 0.5 < maybe["likeness"] <= 1
    assert "both tell of" in maybe["why"]
    shown_to_people = run(config, "stories")
    assert "Maybe one story" in shown_to_people
    assert "`newsletter stories split` keeps them two" in shown_to_people

    run(config, "stories", word, *map(str, maybe["briefs"]))
    told = json.loads(run(config, "stories", "--json"))
    assert told["maybe"] == []
    assert len(told["stories"]) == (3 if word == "merge" else 4)


def test_a_rule_about_no_brief_is_refused(config: Path) -> None:
    one = number(config, TOLD[0][0])
    assert "there is no brief 999" in run(config, "stories", "merge", one, "999", fails=True)
    assert "is one story with itself" in run(config, "stories", "split", one, one, fails=True)
