"""The stage of the tests of pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from newsletter.press import Press
from newsletter.settings import load_settings
from newsletter.store import open_database
from newsletter.web.app import serving
from tests.acceptance.project import KEY, Project
from tests.databases import copy_database
from tests.integration.runs import Server
from tests.integration.web.stage import Clock, Stage


@pytest.fixture(scope="session")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("sent"))
    project.write_brief()
    project.write_brief("second.txt", "Library Opens on Sundays")
    project.import_readers(3)
    pages = {"NEWSLETTER_EDITION__FEEDBACK_LINK": "true", "NEWSLETTER_WEB__LISTEN": "[::1]:8000"}
    ran = project.run("send", "--yes", env=pages)
    assert ran.code == 0, ran.err
    return project


@pytest.fixture(scope="session")
def sent_counted(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A publication that counts clicks, whose edition twenty readers have."""
    project = Project(tmp_path_factory.mktemp("counted"), more="[web]\ncount_clicks = true")
    project.write_brief()
    for name, title in (("rail", "Night Trains Return"), ("seed", "Seed Prices Fall")):
        brief = {
            "title": title,
            "summary": f"{title}, says the {name} desk.",
            "link": f"https://{name}.example/story?a=1&b=2",
            "sources": [{"name": f"{name}.example", "url": f"https://{name}.example/wire"}],
            "topics": [name],
        }
        (project.root / "briefs" / f"{name}.json").write_text(json.dumps(brief))
    project.import_readers(20)
    ran = project.run("send", "--yes", env={"NEWSLETTER_WEB__LISTEN": "[::1]:8000"})
    assert ran.code == 0, ran.err
    return project


@pytest.fixture
def stage(sent: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("NEWSLETTER_SECRET_KEY", KEY)
    with open_stage(sent, tmp_path) as opened:
        yield opened


@pytest.fixture
def counting(
    sent_counted: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    """Where clicks count, some minutes after the edition was sent."""
    monkeypatch.setenv("NEWSLETTER_SECRET_KEY", KEY)
    with open_stage(sent_counted, tmp_path) as opened:
        opened.clock.now += timedelta(minutes=5)
        yield opened


@contextmanager
def open_stage(sent: Project, folder: Path) -> Iterator[Stage]:
    """Serve the pages of a publication on a copy of its database."""
    copy = folder / f"{sent.root.name}.db"
    copy_database(sent.root / "newsletter.db", copy)
    settings = load_settings(sent.config)
    database = open_database(f"sqlite:///{copy}", durability="process")
    clock = Clock(datetime.now(UTC))
    press = Press(settings, database, clock)
    mails = [path.read_bytes() for path in sorted((sent.root / "outbox").glob("*.eml"))]
    with (
        serving(press, "127.0.0.1:0") as address,
        httpx2.Client(base_url=address, trust_env=False, timeout=60, follow_redirects=False) as web,
    ):
        yield Stage(database=database, web=web, clock=clock, press=press, mails=mails)
    database.close()


@pytest.fixture
def relay() -> Iterator[Server]:
    with Server() as server:
        yield server
