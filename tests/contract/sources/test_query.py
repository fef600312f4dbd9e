"""A query's own ways: it reads, whatever its SQL would like to do."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests import postgres
from tests.contract.sources.conftest import Desk
from tests.contract.sources.stages import PostgresStage, QueryStage, SqliteStage
from tests.contract.sources.stories import PORT, STORIES
from tests.contract.sources.test_every_kind import assert_one_sentence

_OURS = "SELECT 'a' AS title, 'b' AS summary"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def query(request: pytest.FixtureRequest, desk: Desk) -> QueryStage:
    if request.param == "sqlite":
        return SqliteStage(desk.root)
    stage: PostgresStage = request.getfixturevalue("newsroom")
    return stage


WRITING = (
    "DELETE FROM stories",
    "UPDATE stories SET headline = 'x'",
    "INSERT INTO stories (number) VALUES ('x')",
    "DROP TABLE stories",
    "CREATE TABLE more (a text)",
    f"{_OURS}; DELETE FROM stories",
    f"{_OURS}; COMMIT; DELETE FROM stories; SELECT 1",
    "WITH t AS (DELETE FROM stories RETURNING lead) SELECT lead AS title, 1 AS summary FROM t",
    "DELETE FROM stories RETURNING headline AS title, lead AS summary",
    "ATTACH DATABASE 'other.db' AS other",
    "VACUUM INTO 'copy.db'",
    "PRAGMA user_version = 7",
    "COPY stories TO '/tmp/stories-that-must-not-be'",
    "COMMIT",
    ";",
    "nonsense",
)


def test_nothing_is_written(desk: Desk, query: QueryStage) -> None:
    query.put(STORIES)
    for sql in WRITING:
        report = desk.gather(query.table, sql=sql)
        assert (report.status, report.new) == ("failed", 0), sql
        assert_one_sentence(report.error)
    assert desk.gather(query.table).new == 3
    assert not {path.name for path in desk.root.glob("*.db")} - {"newsletter.db", "newsroom.db"}


def test_columns_go_by_their_names(desk: Desk, query: QueryStage) -> None:
    query.put([PORT])
    wrong = desk.gather(query.table, sql="SELECT headline, lead FROM stories")
    assert wrong.status == "failed"
    assert "the columns are headline, lead" in wrong.error
    gone = desk.gather(query.table, sql="SELECT head AS title, lead AS summary FROM stories")
    assert "cannot be asked" in gone.error
    more = desk.gather(
        query.table,
        sql="SELECT number AS id, headline AS title, lead AS content, 4 AS priority, position, "
        "'[\"Trade\", \"Ports\"]' AS topics, '2026-11-02T06:00:00Z' AS not_before FROM stories",
    )
    assert (more.error, more.new) == ("", 1)
    (brief,) = desk.briefs()
    assert (brief.summary, brief.topics, brief.priority) == (PORT.summary, ("Trade", "Ports"), 4)
    assert brief.not_before is not None


def test_rows_have_ceilings(desk: Desk, query: QueryStage) -> None:
    query.put(STORIES)
    report = desk.gather(query.table, max_rows=2)
    assert (report.new, "more than 2 rows" in report.problems[0]) == (2, True)
    query.put([story.with_text(f"{story.summary} " * 3) for story in STORIES])
    wide = desk.gather(query.table, max_bytes=1_000)
    assert "within max_bytes" in wide.problems[0]


def test_time_has_a_ceiling(desk: Desk, query: QueryStage) -> None:
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
        "SELECT 'a' AS title, 'b' AS summary FROM n WHERE i < 0"
    )
    if isinstance(query, PostgresStage):
        endless = "SELECT 'a' AS title, pg_sleep(600)::text AS summary"
    report = desk.gather(query.table, sql=endless, timeout=1)
    assert "did not answer within 1 seconds" in report.error


def test_a_locked_table_is_waited_for_and_not_lost(desk: Desk, query: QueryStage) -> None:
    query.put(STORIES)
    assert desk.gather(query.table).new == 3
    if isinstance(query, PostgresStage):
        with postgres.connect(query.url) as other, other.transaction():
            other.execute("LOCK TABLE stories IN ACCESS EXCLUSIVE MODE")
            report = desk.gather(query.table, timeout=1)
    else:
        assert isinstance(query, SqliteStage)
        with closing(sqlite3.connect(query.file, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            report = desk.gather(query.table, timeout=1)
    assert (report.status, report.new) == ("failed", 0)
    assert_one_sentence(report.error)
    assert len(desk.briefs()) == 3
    mended = desk.gather(query.table)
    assert (mended.error, mended.new, mended.changed) == ("", 0, 0)


def test_a_database_that_is_not_there_is_not_made(desk: Desk) -> None:
    report = desk.gather({"kind": "query", "url": "sqlite:///none.db", "sql": _OURS})
    assert "cannot be asked" in report.error
    assert not (desk.root / "none.db").exists()
    away = desk.gather(
        {"kind": "query", "url": "postgresql://nobody@127.0.0.1:1/none", "sql": _OURS, "timeout": 2}
    )
    assert_one_sentence(away.error)


def test_a_password_comes_from_the_environment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"kind": "query", "url": "postgresql://nobody@127.0.0.1:1/none", "sql": _OURS}
    missing = desk.gather(table, password="{NEWSROOM_PASSWORD}")
    assert "NEWSROOM_PASSWORD is not set" in missing.error
    monkeypatch.setenv("NEWSROOM_PASSWORD", "geheim-99")
    assert "geheim" not in desk.gather(table, password="{NEWSROOM_PASSWORD}").error
