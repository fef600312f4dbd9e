"""The stage of the tests of the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from newsletter.press import Press
from newsletter.settings import load_settings
from newsletter.store import open_database
from newsletter.web.app import serving
from tests.acceptance.project import KEY, Project
from tests.databases import copy_database
from tests.integration.api.stage import Stage, closing
from tests.integration.web.stage import Clock


@pytest.fixture(scope="session")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A publication with three readers and two briefs, gathered and not composed."""
    project = Project(tmp_path_factory.mktemp("for_programs"))
    project.write_brief()
    project.write_brief("second.txt", "Library Opens on Sundays")
    project.import_readers(3)
    ran = project.run("gather")
    assert ran.code == 0, ran.err
    return project


@pytest.fixture
def stage(gathered: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("NEWSLETTER_SECRET_KEY", KEY)
    copy_database(gathered.root / "newsletter.db", tmp_path / "news.db")
    settings = load_settings(gathered.config)
    outbox = tmp_path / "outbox"
    delivery = settings.delivery.model_copy(update={"relay": f"eml:{outbox}"})
    installation = settings.database.model_copy(update={"installation": ""})
    settings = settings.model_copy(update={"delivery": delivery, "database": installation})
    database = open_database(f"sqlite:///{tmp_path / 'news.db'}", durability="process")
    clock = Clock(datetime.now(UTC))
    press = Press(settings, database, clock)
    with serving(press, "127.0.0.1:0") as address:
        opened = Stage(address=address, database=database, clock=clock, press=press, outbox=outbox)
        with closing(opened):
            yield opened
    database.close()
