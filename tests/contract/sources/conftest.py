"""A publication with one source, of every kind in turn."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from newsletter.briefs.document import brief_from_document
from newsletter.briefs.gather import SourceReport, gather_sources
from newsletter.briefs.model import Brief
from newsletter.settings import Gathering, Publication, Settings
from newsletter.store import tables
from newsletter.store.database import Database
from tests import postgres
from tests.contract.sources import stages
from tests.contract.sources.stages import NAME, PASSWORD, TOKEN, Stage
from tests.databases import open_new_database
from tests.integration.gather.conftest import ScriptedWeb
from tests.integration.servers.conftest import Trust
from tests.integration.servers.daemon import private_folder
from tests.integration.servers.dovecot import Dovecot
from tests.relays import Authority

HTTP_STAGES: Mapping[str, type[stages.HttpStage]] = {
    "feed": stages.FeedStage,
    "api": stages.ApiStage,
    "api-cursor": stages.ApiCursorStage,
    "api-number": stages.ApiNumberStage,
    "api-link": stages.ApiLinkStage,
    "api-address": stages.ApiAddressStage,
    "page": stages.PageStage,
    "page-links": stages.LinksStage,
    "sitemap": stages.SitemapStage,
    "sitemap-index": stages.SitemapIndexStage,
}
ALL = os.environ.get("NEWSLETTER_TEST_SOURCES") == "all"
"""Whether everything is asked of every way of paging, and not of one for each kind."""
USUAL = ("feed", "api-cursor", "page", "sitemap")
_numbers = count()


class Desk:
    """A publication's database, and gathering into it from one source."""

    def __init__(self, root: Path, database: Database) -> None:
        self.root, self.database = root, database
        self.now = datetime.now(UTC)

    def gather(self, table: Mapping[str, Any], **changed: Any) -> SourceReport:
        settings = Settings(
            publication=Publication(
                sender="brief@news.example", list_id="daily.news.example", url="https://n.example"
            ),
            sources=[{"name": NAME, **table, **changed}],  # type: ignore[arg-type]  # as in TOML
            gathering=Gathering(gap=timedelta(milliseconds=20)),
            root=self.root,
        )
        (report,) = gather_sources(self.database, settings, now=self.now)
        return report

    def briefs(self) -> list[Brief]:
        with self.database.reading() as connection:
            rows = connection.execute(select(tables.briefs).order_by(tables.briefs.c.id))
            return [brief_from_document(row.document, file=row.origin) for row in rows]

    def validators(self) -> dict[str, str]:
        states = tables.source_states.c
        with self.database.reading() as connection:
            found = connection.execute(select(states.validators).where(states.source == NAME))
            return dict(found.scalar_one_or_none() or {})


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("WIRE_TOKEN", TOKEN)
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    database = open_new_database(tmp_path / "newsletter.db")
    yield Desk(tmp_path, database)
    database.close()


@pytest.fixture
def web() -> Iterator[ScriptedWeb]:
    server = ScriptedWeb()
    yield server
    server.close()


@pytest.fixture(scope="session")
def trust() -> Iterator[Trust]:
    with private_folder() as folder:
        authority = Authority(folder)
        authority.issue("localhost")
        yield Trust(folder / "localhost-valid.pem", authority.ca_file)


@pytest.fixture(scope="session")
def mail_server(trust: Trust) -> Iterator[Dovecot]:
    users = {f"briefs-{number}": PASSWORD for number in range(100)}
    with private_folder() as folder, ExitStack() as stack:
        dovecot = Dovecot(folder, certificate=trust.certificate, logins=users)
        stack.callback(dovecot.kill)
        dovecot.start()
        yield dovecot


@pytest.fixture(scope="session")
def database_server() -> Iterator[str]:
    with postgres.find_server() as url:
        yield url


@pytest.fixture
def mailbox(mail_server: Dovecot, trust: Trust) -> stages.MailboxStage:
    return stages.MailboxStage(mail_server, f"briefs-{next(_numbers)}", trust.authority)


@pytest.fixture
def newsroom(database_server: str) -> Iterator[stages.PostgresStage]:
    with postgres.open_schema(database_server) as url:
        yield stages.PostgresStage(url)


@pytest.fixture(
    params=[
        *(HTTP_STAGES if ALL else USUAL),
        "folder",
        "mailbox",
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.postgres),
    ]
)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    """A source of every kind in turn."""
    name: str = request.param
    if name in HTTP_STAGES:
        return HTTP_STAGES[name](request.getfixturevalue("web"))
    make: dict[str, Callable[[], Stage]] = {
        "folder": lambda: stages.FolderStage(tmp_path),
        "mailbox": lambda: request.getfixturevalue("mailbox"),
        "sqlite": lambda: stages.SqliteStage(tmp_path),
        "postgres": lambda: request.getfixturevalue("newsroom"),
    }
    return make[name]()


@pytest.fixture(params=[*(HTTP_STAGES if ALL else USUAL)])
def http_stage(request: pytest.FixtureRequest, web: ScriptedWeb) -> stages.HttpStage:
    """A source of every kind that is fetched over HTTP."""
    return HTTP_STAGES[request.param](web)
