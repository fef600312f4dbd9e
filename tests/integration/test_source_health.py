"""Sources that fall silent, fail and recover, as gatherings of real folders find them."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from newsletter.briefs.gather import SourceReport, gather_sources
from newsletter.briefs.watch import list_missing
from newsletter.cli import build_app
from newsletter.cli.session import Session
from newsletter.settings import load_settings
from newsletter.store import Database
from newsletter.store.tables import alerts, source_states

START = datetime(2026, 11, 2, 6, tzinfo=UTC)
DAY = timedelta(days=1)
CONFIG = """
[publication]
sender = "Harbor Daily <daily@news.example>"
list_id = "daily.news.example"
url = "https://news.example"
[delivery]
durability = "process"
"""


class House:
    """A publication with two folders, gathered at a time that can be set."""

    def __init__(self, root: Path, database: Database) -> None:
        self.root, self.database, self.now = root, database, START
        (root / ".env").write_text(f"NEWSLETTER_SECRET_KEY={'k' * 40}\n")
        for name in ("wire", "desk"):
            (root / name).mkdir()
        self.name("wire", "desk")

    def name(self, *folders: str) -> None:
        tables = (f'[[sources]]\nkind = "folder"\npath = "{folder}"\n' for folder in folders)
        (self.root / "newsletter.toml").write_text(CONFIG + "".join(tables))
        self.settings = load_settings(self.root / "newsletter.toml")

    def write(self, folder: str, number: int) -> None:
        path = self.root / folder / f"{number}.txt"
        path.write_text(f"Story {number} of {folder}\n\nWhat is known of {number} of {folder}.\n")
        os.utime(path, (self.now.timestamp(), self.now.timestamp()))

    def gather(self) -> dict[str, SourceReport]:
        reports = gather_sources(self.database, self.settings, now=self.now)
        return {report.name: report for report in reports}

    def alerts(self) -> list[tuple[str, str]]:
        with self.database.reading() as connection:
            rows = connection.execute(select(alerts).order_by(alerts.c.id))
            return [(row.kind, row.sentence) for row in rows]


@pytest.fixture
def house(tmp_path: Path, database: Database) -> House:
    house = House(tmp_path, database)
    for day in range(8):
        house.now = START + day * DAY
        house.write("wire", day)
        house.write("desk", day)
        house.gather()
    return house


def test_a_silent_source_is_told_once_and_once_that_it_is_back(house: House) -> None:
    told = []
    for day in range(8, 14):
        house.now = START + day * DAY
        house.write("desk", day)
        told.append(house.gather()["wire"].alarm)
    sentence = "Source wire: nothing new for 4 days, and it usually has something every 24 hours."
    assert told == ["", "", "", sentence, "", ""]
    house.now += DAY
    house.write("wire", 14)
    assert house.gather()["wire"].alarm == "Source wire is back: it had nothing new for long."
    house.now += DAY
    assert house.gather()["wire"].alarm == ""
    assert [kind for kind, _ in house.alerts()] == ["source_stale", "source_back"]


def test_a_lasting_error_is_told_once_and_once_that_it_is_over(house: House) -> None:
    (house.root / "wire").rename(house.root / "gone")
    told = []
    for hours in range(0, 30, 6):
        house.now = START + 8 * DAY + timedelta(hours=hours)
        report = house.gather()["wire"]
        told.append((bool(report.alarm), report.is_known))
    assert told == [(False, False), (False, False), (True, False), (False, True), (False, True)]
    with house.database.reading() as connection:
        assert [name for name, _ in list_missing(connection, house.settings)] == ["wire"]
        state = connection.execute(
            select(source_states).where(source_states.c.source == "wire")
        ).one()
    assert (state.failing_since, state.usual_gap_seconds) == (START + 8 * DAY, 86_400)
    assert (state.newest_item_at, state.last_success_at) == (START + 7 * DAY,) * 2
    (house.root / "gone").rename(house.root / "wire")
    assert house.gather()["wire"].alarm == "Source wire is back: it could not be read."
    assert [kind for kind, _ in house.alerts()] == ["source_failing", "source_back"]


def test_a_source_that_was_renamed_or_removed_is_no_alarm_for_ever(house: House) -> None:
    (house.root / "wire").rename(house.root / "agency")
    for day in range(8, 11):
        house.now = START + day * DAY
        house.write("desk", day)
        house.gather()
    house.name("agency", "desk")
    for day in range(11, 16):
        house.now = START + day * DAY
        house.write("agency", day)
        house.write("desk", day)
        assert house.gather().keys() == {"agency", "desk"}
    assert [kind for kind, _ in house.alerts()] == ["source_failing"]
    with house.database.reading() as connection:
        assert list_missing(connection, house.settings) == ()
        told = connection.scalars(select(source_states.c.told)).all()
    assert set(told) == {""}


def test_the_command_shows_trouble_first(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "now", lambda _self: house.now)
    (house.root / "desk").rename(house.root / "gone")
    house.now = START + 8 * DAY
    house.gather()
    config = ["--config", str(house.root / "newsletter.toml")]

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(
            build_app([arguments[0]]), [*config, *arguments], env={"COLUMNS": "200"}
        )
        assert done.exit_code == 0, done.output
        return done.stdout

    first, second = json.loads(run("sources", "--json"))
    assert (first["source"], first["status"], first["failures"]) == ("desk", "failing", 1)
    assert first["error"].startswith("desk: cannot be read")
    assert (second["source"], second["status"], second["kind"]) == ("wire", "ok", "folder")
    assert (second["usual_gap_seconds"], second["items_of_week"]) == (86_400, 7)
    shown = run("sources")
    assert shown.index("desk") < shown.index("wire")
    assert "desk: It fails since 2026-11-10 06:00 UTC: desk: cannot be read" in shown
    assert "Source desk is failing" in run("status")
