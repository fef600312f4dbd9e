"""The stage of the tests of the console."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import argon2
import pytest

from newsletter.press import Press
from newsletter.settings import FurtherEdition, load_settings
from newsletter.store import open_database
from newsletter.web.app import serving
from newsletter.web.console import proofs
from newsletter.web.console.app import build_console
from tests.acceptance.project import KEY, Project
from tests.databases import copy_database
from tests.integration.console.stage import Stage
from tests.integration.web.stage import Clock


@pytest.fixture(scope="session")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A publication with three readers, and three briefs in the draft of an edition."""
    project = Project(tmp_path_factory.mktemp("gathered"))
    project.write_brief()
    project.write_brief("second.txt", "Library Opens on Sundays")
    project.write_brief("third.txt", "Night Trains Return to Port Alder")
    project.import_readers(3)
    ran = project.run("check", "--no-browser")
    assert ran.code == 0, ran.err
    return project


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords with less memory; the unit tests hash one as it is done in earnest."""
    quick = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(proofs, "_HASHER", quick)


@pytest.fixture
def stage(gathered: Project, tmp_path: Path) -> Iterator[Stage]:
    with open_stage(gathered, tmp_path) as opened:
        yield opened


@contextmanager
def open_stage(
    gathered: Project, folder: Path, *, further: tuple[FurtherEdition, ...] = ()
) -> Iterator[Stage]:
    """Serve a copy of what was gathered, whose files are in a folder, with further editions."""
    copy_database(gathered.root / "newsletter.db", folder / "news.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEWSLETTER_SECRET_KEY", KEY)
        settings = load_settings(gathered.config)
        delivery = settings.delivery.model_copy(update={"relay": f"eml:{folder / 'outbox'}"})
        kept = settings.database.model_copy(update={"installation": str(folder / ".installation")})
        changed = {"delivery": delivery, "database": kept, "editions": further}
        settings = settings.model_copy(update=changed)
        database = open_database(f"sqlite:///{folder / 'news.db'}", durability="process")
        clock = Clock(datetime.now(UTC))
        press = Press(settings, database, clock)
        with serving(press, "127.0.0.1:0") as address:
            app = build_console(press, "/console")
            opened = Stage(address=address, database=database, clock=clock, press=press, app=app)
            yield opened
            for client in opened.clients:
                client.close()
        database.close()


LIKELY = {
    "vaccine.txt": "A Vaccine Against Malaria Halves Deaths in a Trial",
    "trial.txt": "In a Trial a Malaria Vaccine Cuts Cases",
}


@contextmanager
def likely_one_story(project: Project) -> Iterator[None]:
    """Have two briefs among the others that may tell one story."""
    for name, title in LIKELY.items():
        text = f"---\nsource: {name}.example\n---\n{title}\n\nIt ran in two countries.\n"
        (project.root / "briefs" / name).write_text(text)
    try:
        yield
    finally:
        for name in LIKELY:
            (project.root / "briefs" / name).unlink()
