"""Gathering from real folders and real servers into a real database."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, insert, select

from newsletter.briefs import gather
from newsletter.briefs.document import brief_from_document
from newsletter.briefs.fetcher import read_retry_after
from newsletter.briefs.gather import SourceReport, gather_sources
from newsletter.briefs.model import Brief
from newsletter.briefs.sources import apart
from newsletter.briefs.sources.read import read_source
from newsletter.settings import (
    FeedSource,
    FolderSource,
    Gathering,
    Publication,
    Settings,
    SourceSettings,
)
from newsletter.store import tables
from newsletter.store.database import Database
from tests.databases import open_new_database

if TYPE_CHECKING:
    from tests.integration.gather.conftest import ScriptedWeb

NOW = datetime(2026, 11, 2, 6, 30, tzinfo=UTC)
LATER = NOW + timedelta(days=1)

PORT = "Ships are back in the port of Kilm, after three days of repairs."
BUDGET = "The city council passed a budget of 40 million with a narrow majority."


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_new_database(tmp_path / "newsletter.db")
    yield database
    database.close()


class Desk:
    """A publication's directory, its database, and what is configured."""

    def __init__(self, root: Path, database: Database) -> None:
        self.root = root
        self.database = database
        self.sources: tuple[SourceSettings, ...] = ()

    def put(self, name: str, content: str, *, at: datetime = NOW) -> Path:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        os.utime(path, (at.timestamp(), at.timestamp()))
        return path

    def folder(self, path: str = "briefs") -> None:
        (self.root / path).mkdir(exist_ok=True)
        self.sources += (FolderSource(kind="folder", path=Path(path)),)

    def feed(self, url: str, name: str = "", **more: Any) -> None:
        source = FeedSource(kind="feed", url=url, name=name, allow_private=True, **more)
        self.sources += (source,)

    def gather(
        self, *, now: datetime = NOW, patient: bool = False, gap: timedelta = timedelta(0)
    ) -> tuple[SourceReport, ...]:
        settings = Settings(
            publication=Publication(
                sender="brief@news.example", list_id="daily.news.example", url="https://n.example"
            ),
            sources=self.sources,
            gathering=Gathering(gap=gap),
            root=self.root,
        )
        heard: list[SourceReport] = []
        reports = gather_sources(
            self.database, settings, now=now, patient=patient, on_source=heard.append
        )
        # What is told of all of them is known only once all are read.
        assert heard == [replace(report, alarm="", is_known=False) for report in reports]
        return reports

    def rows(self) -> list[Any]:
        with self.database.reading() as connection:
            return list(connection.execute(select(tables.briefs).order_by(tables.briefs.c.id)))

    def briefs(self) -> list[Brief]:
        return [brief_from_document(row.document, file=row.origin) for row in self.rows()]

    def titles(self) -> list[str]:
        return [brief.title for brief in self.briefs()]

    def state(self, source: str) -> Any:
        states = tables.source_states
        with self.database.reading() as connection:
            return connection.execute(select(states).where(states.c.source == source)).one()

    def gatherings(self) -> list[Any]:
        with self.database.reading() as connection:
            return list(connection.execute(select(tables.gatherings)))

    def keys(self) -> int:
        with self.database.reading() as connection:
            return connection.execute(
                select(func.count()).select_from(tables.brief_keys)
            ).scalar_one()

    def publish(self, title: str, state: str = "sent") -> None:
        """Put a stored brief into an edition."""
        with self.database.writing() as connection:
            edition = connection.execute(
                insert(tables.editions)
                .values(
                    date=NOW.date(),
                    kind=title,
                    state=state,
                    window_start=NOW,
                    cut_off=NOW,
                    created_at=NOW,
                )
                .returning(tables.editions.c.id)
            ).scalar_one()
            (brief_id,) = [row.id for row in self.rows() if row.document["title"] == title]
            connection.execute(
                insert(tables.edition_briefs).values(
                    brief_id=brief_id, edition_id=edition, position=0
                )
            )


@pytest.fixture
def desk(tmp_path: Path, database: Database) -> Desk:
    return Desk(tmp_path, database)


def text(title: str, summary: str, **stated: str) -> str:
    front = "".join(f"{key}: {value}\n" for key, value in stated.items())
    return (f"---\n{front}---\n" if front else "") + f"{title}\nAFBytes Brief\n{summary}\n"


def rss(*items: tuple[str, str, str]) -> str:
    """Make a feed of (guid, title, description), each with a link of its own."""
    return (
        '<rss version="2.0"><channel><title>Wire</title>'
        + "".join(
            f'<item><guid isPermaLink="false">{guid}</guid><title>{title}</title>'
            f"<link>https://wire.example/{guid}</link><description>{description}</description></item>"
            for guid, title, description in items
        )
        + "</channel></rss>"
    )


# -- folders -----------------------------------------------------------------------------------


def test_a_folder_is_gathered_once(desk: Desk) -> None:
    desk.folder()
    early = NOW - timedelta(hours=3)
    desk.put("briefs/port.txt", text("Port reopens", PORT), at=early)
    desk.put("briefs/budget.txt", text("Budget passed", BUDGET, date="2026-11-01T10:00:00Z"))
    (first,) = desk.gather()
    (second,) = desk.gather(now=LATER)
    assert (first.name, first.status, first.found, first.new, first.changed) == (
        *("briefs", "read", 2, 2, 0),
    )
    assert (second.found, second.new, second.changed, second.warnings) == (2, 0, 0, ())
    budget, port = desk.rows()
    assert (port.origin, port.source, port.published_at) == ("port.txt", "briefs", early)
    assert budget.published_at == datetime(2026, 11, 1, 10, tzinfo=UTC)
    assert desk.briefs()[0].published_at == budget.published_at
    assert (port.first_seen_at, port.changed_at) == (NOW, NOW)
    assert [(row.found, row.new, row.gathered_at) for row in desk.gatherings()] == [
        (2, 2, NOW),
        (2, 0, LATER),
    ]


def test_a_file_from_the_future_counts_as_from_now(desk: Desk) -> None:
    desk.folder()
    desk.put("briefs/port.txt", text("Port reopens", PORT), at=LATER)
    desk.gather()
    assert desk.rows()[0].published_at == NOW


def test_warnings_are_told_once_and_kept(desk: Desk) -> None:
    desk.folder()
    desk.put("briefs/port.txt", text("Port reopens", PORT))
    (first,) = desk.gather()
    assert any("port.txt" in warning for warning in first.warnings)
    assert [w["code"] for w in desk.rows()[0].warnings] == ["no_perspectives", "no_footer"]
    assert desk.gather()[0].warnings == ()


def test_a_bad_file_is_a_problem_each_time(desk: Desk) -> None:
    desk.folder()
    desk.put("briefs/bad.json", "{")
    desk.put("briefs/port.txt", text("Port reopens", PORT))
    for _ in range(2):
        (report,) = desk.gather()
        assert [problem[:16] for problem in report.problems] == ["bad.json, line 1"]
    assert desk.gatherings()[0].problems == list(report.problems)
    assert desk.titles() == ["Port reopens"]


def test_an_edited_file_changes_its_brief(desk: Desk) -> None:
    desk.folder()
    desk.put("briefs/port.txt", text("Port reopens", PORT))
    desk.gather()
    desk.put("briefs/port.txt", text("Port reopens at last", PORT + " Trains too."), at=LATER)
    (report,) = desk.gather(now=LATER)
    assert (report.new, report.changed) == (0, 1)
    (row,) = desk.rows()
    assert row.document["title"] == "Port reopens at last"
    assert (row.first_seen_at, row.changed_at, row.published_at) == (NOW, LATER, LATER)
    assert desk.gather()[0].changed == 0


def test_a_touched_file_keeps_its_date(desk: Desk) -> None:
    desk.folder()
    path = desk.put("briefs/port.txt", text("Port reopens", PORT))
    desk.gather()
    os.utime(path, (LATER.timestamp(), LATER.timestamp()))
    desk.gather(now=LATER)
    assert desk.rows()[0].published_at == NOW


def test_a_renamed_file_is_the_same_brief(desk: Desk) -> None:
    desk.folder()
    path = desk.put("briefs/port.txt", text("Port reopens", PORT))
    desk.gather()
    path.rename(path.with_name("renamed.txt"))
    desk.gather()
    edited = text("Port reopens", PORT.replace("three", "four"))
    desk.put("briefs/renamed.txt", edited)
    (report,) = desk.gather()
    assert (report.new, report.changed, len(desk.rows())) == (0, 1, 1)


@pytest.mark.parametrize("state", ["draft", "ready", "held"])
def test_what_a_mere_draft_took_up_may_still_change(desk: Desk, state: str) -> None:
    desk.folder()
    desk.put("briefs/port.txt", text("Port reopens", PORT))
    desk.gather()
    desk.publish("Port reopens", state=state)
    desk.put("briefs/port.txt", text("Port reopens", PORT + " Trains too."))
    (report,) = desk.gather(now=LATER)
    assert (report.new, report.changed) == (0, 1)
    assert not [warning for warning in report.warnings if "readers have" in warning]
    assert desk.briefs()[0].summary == PORT + " Trains too."


def test_what_an_edition_took_up_stays_and_the_change_is_told_once(desk: Desk) -> None:
    desk.folder()
    desk.put("briefs/port.txt", text("Port reopens", PORT))
    desk.gather()
    desk.publish("Port reopens")
    desk.put("briefs/port.txt", text("Port reopens", PORT + " Trains too."))
    (report,) = desk.gather(now=LATER)
    assert (report.new, report.changed) == (0, 0)
    assert report.warnings == (
        "port.txt: was changed after an edition took it up; readers have the earlier text.",
    )
    assert desk.briefs()[0].summary == PORT
    assert desk.gather()[0].warnings == ()
    desk.put("briefs/port.txt", text("Port reopens", PORT + " Trains as well."))
    assert len(desk.gather()[0].warnings) == 1


def test_another_story_in_the_same_file_is_a_new_brief(desk: Desk) -> None:
    desk.folder()
    desk.put("briefs/today.txt", text("Port reopens", PORT))
    desk.gather()
    desk.publish("Port reopens")
    desk.put("briefs/today.txt", text("Budget passed", BUDGET))
    assert desk.gather(now=LATER)[0].new == 1
    assert desk.titles() == ["Port reopens", "Budget passed"]
    desk.put("briefs/today.txt", text("Budget passed", BUDGET + " It was late."))
    (report,) = desk.gather(now=LATER)  # the place is the new brief's by now
    assert (report.new, report.changed) == (0, 1)
    assert len(desk.rows()) == 2


def test_a_story_that_nobody_got_gives_way_in_its_file_and_may_come_again(desk: Desk) -> None:
    desk.folder()
    desk.put("briefs/today.txt", text("Port reopens", PORT))
    desk.gather()
    desk.put("briefs/today.txt", text("Budget passed", BUDGET))
    (report,) = desk.gather()
    assert (report.new, report.changed) == (0, 1)
    assert desk.titles() == ["Budget passed"]
    desk.put("briefs/port.txt", text("Port reopens", PORT))
    assert desk.gather()[0].new == 1
    assert sorted(desk.titles()) == ["Budget passed", "Port reopens"]


def test_latest_json_with_ids_loses_no_story(desk: Desk) -> None:
    desk.folder()
    for identifier, title, summary in (("a", "Port reopens", PORT), ("b", "Budget", BUDGET)):
        desk.put("briefs/latest.txt", text(title, summary, id=identifier))
        assert desk.gather()[0].new == 1
    assert desk.titles() == ["Port reopens", "Budget"]


def test_a_brief_put_in_at_the_top_moves_the_others(desk: Desk) -> None:
    desk.folder()
    desk.put("briefs/all.txt", text("Port reopens", PORT))
    desk.gather()
    desk.put("briefs/all.txt", text("Budget passed", BUDGET) + "---\n" + text("Port reopens", PORT))
    (report,) = desk.gather()
    assert (report.new, report.changed) == (1, 0)
    edited = text("Port reopens", PORT.replace("three", "four"))
    desk.put("briefs/all.txt", text("Budget passed", BUDGET) + "---\n" + edited)
    (report,) = desk.gather()
    assert (report.new, report.changed) == (0, 1)
    assert len(desk.rows()) == 2


# -- feeds -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers", [{"ETag": '"v1"'}, {"Last-Modified": "Mon, 02 Nov 2026 06:00:00 GMT"}]
)
def test_a_feed_is_asked_only_for_what_changed(
    desk: Desk, web: ScriptedWeb, headers: dict[str, str]
) -> None:
    body = rss(("1", "Port reopens", PORT), ("2", "Budget passed", BUDGET))
    desk.feed(web.answer("/feed", body, headers=headers), "wire")
    (first,) = desk.gather()
    (second,) = desk.gather(now=LATER)
    (third,) = desk.gather(now=LATER)
    assert (first.status, first.found, first.new) == ("read", 2, 2)
    assert (second.status, second.found, second.new) == ("unchanged", 0, 0)
    assert third.status == "unchanged"
    assert desk.titles() == ["Port reopens", "Budget passed"]
    assert all(row.published_at == NOW for row in desk.rows())
    asked = [request.headers for request in web.requests]
    assert asked[0]["User-Agent"].startswith("newsletter/")
    assert asked[0]["User-Agent"].endswith(" (+https://n.example)")
    assert next(iter(headers.values())) in (
        asked[1]["If-None-Match"],
        asked[1]["If-Modified-Since"],
    )
    assert desk.state("wire").last_success_at == LATER


def test_an_undated_entry_is_dated_when_first_seen_for_good(desk: Desk, web: ScriptedWeb) -> None:
    desk.feed(web.answer("/feed", rss(("1", "Port reopens", PORT))), "wire")
    desk.gather()
    assert desk.gather(now=LATER)[0].changed == 0
    web.answer("/feed", rss(("1", "Port reopens", PORT + " Trains too.")))
    assert desk.gather(now=LATER)[0].changed == 1
    (row,) = desk.rows()
    assert (row.published_at, desk.briefs()[0].published_at) == (NOW, NOW)


def test_a_failed_source_leaves_seen_as_seen(desk: Desk, web: ScriptedWeb) -> None:
    desk.feed(web.answer("/feed", rss(("1", "Port", PORT)), headers={"ETag": '"v1"'}), "wire")
    desk.gather()
    before = (desk.rows(), desk.keys(), desk.state("wire").validators)
    for status in (500, 404, 410):
        web.answer("/feed", b"<html>oops</html>", status=status)
        (report,) = desk.gather(now=LATER)
        assert report.status == "failed"
        assert f"answers {status}" in report.error
    assert (desk.rows(), desk.keys(), desk.state("wire").validators) == before
    state = desk.state("wire")
    assert (state.last_success_at, state.last_attempt_at) == (NOW, LATER)
    assert "answers 410 Gone" in state.last_error
    assert [row.status for row in desk.gatherings()] == ["read", *["failed"] * 3]
    web.answer("/feed", rss(("1", "Port", PORT), ("2", "Budget", BUDGET)))
    assert desk.gather(now=LATER)[0].new == 1
    assert desk.state("wire").last_error == ""


def slow(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" ")
        time.sleep(0.05)


def test_one_bad_source_never_stops_the_others(desk: Desk, web: ScriptedWeb) -> None:
    deep = "<item>" + "<b>" * 40_000
    bodies = {
        "/empty": b"",
        "/page": b"<!doctype html><html><title>Hello</title>",
        "/picture": b"\x89PNG",
        "/deep": f"<rss version='2.0'><channel>{deep}".encode(),
    }
    desk.folder("missing")
    (desk.root / "missing").rmdir()
    for path, body in bodies.items():
        desk.feed(web.answer(path, body), path)
    desk.feed(web.script("/slow", slow), "/slow", timeout="1s")
    desk.feed("http://127.0.0.1:1/nobody", "/nobody")
    desk.folder()
    desk.put("briefs/port.txt", text("Port reopens", PORT))
    by_name = {report.name: report for report in desk.gather()}
    assert list(by_name) == ["missing", *bodies, "/slow", "/nobody", "briefs"]
    assert by_name["briefs"].new == 1
    assert "make the folder" in by_name["missing"].error
    assert "the answer is empty" in by_name["/empty"].error
    assert "is a web page, not a feed" in by_name["/page"].error
    assert "no RSS, Atom or JSON feed" in by_name["/picture"].error
    assert "within 1 seconds" in by_name["/slow"].error
    assert "cannot be reached" in by_name["/nobody"].error
    assert by_name["/deep"].new == 0
    for report in by_name.values():
        assert "\n" not in report.error
        assert "Traceback" not in report.error


def test_a_feed_built_to_burn_time_is_cut_off(
    desk: Desk, web: ScriptedWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "PARSER_SECONDS", 1.0)
    attributes = " ".join(f'a{number}="x"' for number in range(60_000))
    desk.feed(web.answer("/feed", f'<rss version="2.0"><channel><item {attributes}/>'), "bomb")
    desk.folder()
    desk.put("briefs/port.txt", text("Port reopens", PORT))
    started = time.monotonic()
    bomb, folder = desk.gather()
    assert time.monotonic() - started < 20
    assert "ceilings of time and memory" in bomb.error
    assert folder.new == 1


def test_a_parser_that_grew_fat_is_not_kept(desk: Desk, web: ScriptedWeb) -> None:
    apart.end_parsers()
    feed = {"version": "https://jsonfeed.org/version/1.1", "padding": ["x" * 9] * 4_000_000}
    fat = json.dumps({**feed, "items": [{"id": "1", "title": "Port reopens", "summary": PORT}]})
    desk.feed(web.answer("/fat", fat), "fat", max_bytes=len(fat))
    assert desk.gather()[0].new == 1
    ((_, parser),) = apart._idle
    assert parser._process.wait(timeout=60) == 0
    web.answer("/fat", rss(("2", "Budget passed", BUDGET)))
    assert desk.gather()[0].new == 1, "a fresh one takes its place"
    ((_, fresh),) = apart._idle
    assert fresh._process.poll() is None


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        "<!DOCTYPE rss [<!ENTITY x0 'ha'>"
        + "".join(f"<!ENTITY x{n} '{f'&x{n - 1};' * 10}'>" for n in range(1, 12))
        + "<!ENTITY x '&x11;'>]>",
    ],
    ids=["xxe", "laughs"],
)
def test_entities_of_a_feed_are_harmless(desk: Desk, web: ScriptedWeb, head: str) -> None:
    body = head + rss(("1", "Port &x; reopens", "Ships &x; are back."))
    desk.feed(web.answer("/feed", body), "wire")
    started = time.monotonic()
    desk.gather()
    assert time.monotonic() - started < 6
    assert all("root:" not in str(row.document) for row in desk.rows())
    assert all(len(str(row.document)) < 5_000 for row in desk.rows())


def test_a_feed_that_breaks_off_is_asked_for_in_full_again(desk: Desk, web: ScriptedWeb) -> None:
    whole = rss(("1", "Port reopens", PORT), ("2", "Budget passed", BUDGET))
    half = whole[: whole.index("narrow")]
    desk.feed(web.answer("/feed", half, headers={"ETag": '"v1"'}), "wire")
    (report,) = desk.gather()
    assert any("not well-formed" in problem for problem in report.problems)
    web.answer("/feed", whole, headers={"ETag": '"v1"'})
    desk.gather()
    assert [brief.summary for brief in desk.briefs()] == [PORT, BUDGET]


def test_entries_without_title_or_text_are_problems(desk: Desk, web: ScriptedWeb) -> None:
    desk.feed(web.answer("/feed", rss(("1", "", PORT), ("2", "Empty", ""), ("3", "t", "s"))), "w")
    (report,) = desk.gather()
    assert (report.found, report.new) == (1, 1)
    assert [p.partition(": ")[2] for p in report.problems] == [
        "has no title (https://wire.example/1).",
        '"Empty" has no text.',
    ]
    assert "/feed, entry 1: " in report.problems[0]


def test_a_full_brief_in_a_feed_keeps_its_analysis(desk: Desk, web: ScriptedWeb) -> None:
    content = (
        "&lt;p&gt;AFBytes Brief&lt;/p&gt;&lt;p&gt;Ships are back.&lt;/p&gt;&lt;p&gt;Quick take"
    )
    content += (
        "&lt;/p&gt;&lt;ul&gt;&lt;li&gt;Who Loses&lt;/li&gt;&lt;li&gt;Others.&lt;/li&gt;&lt;/ul&gt;"
    )
    desk.feed(web.answer("/feed", rss(("1", "Port reopens", content))), "wire")
    desk.gather()
    (brief,) = desk.briefs()
    assert [(point.label, point.text) for point in brief.quick_take] == [("Who Loses", "Others.")]
    assert (brief.summary, brief.link) == ("Ships are back.", "https://wire.example/1")


def test_one_id_for_all_entries_loses_none(desk: Desk, web: ScriptedWeb) -> None:
    body = rss(("1", "Port reopens", PORT), ("2", "Budget passed", BUDGET))
    same = body.replace("/1<", "/<").replace("/2<", "/<").replace(">2<", ">1<")
    desk.feed(web.answer("/feed", same), "wire")
    for _ in range(2):
        desk.gather()
        assert desk.titles() == ["Port reopens", "Budget passed"]


# -- several sources ---------------------------------------------------------------------------


def test_a_brief_from_two_sources_belongs_to_the_first(desk: Desk, web: ScriptedWeb) -> None:
    link = "https://Wire.example/1?utm_source=rss#top"
    desk.folder()
    desk.put("briefs/port.txt", text("Port of Kilm reopens", PORT, link=link))
    desk.feed(web.answer("/a", rss(("1", "Ships return", "They are back."))), "by link")
    desk.feed(web.answer("/b", rss(("9", "PORT OF  KILM REOPENS", PORT))), "by text")
    reports = desk.gather()
    assert [(r.found, r.new, r.changed) for r in reports] == [(1, 1, 0), (1, 0, 0), (1, 0, 0)]
    assert desk.titles() == ["Port of Kilm reopens"]
    web.answer("/b", rss(("9", "The second source has its own words now", "Quite other ones.")))
    assert [r.new + r.changed for r in desk.gather(now=LATER)] == [0, 0, 0]
    assert desk.titles() == ["Port of Kilm reopens"]


def test_short_ids_of_two_sources_are_not_the_same(desk: Desk, web: ScriptedWeb) -> None:
    desk.feed(web.answer("/a", rss(("1", "Port reopens", PORT))), "a")
    other = rss(("1", "Budget passed", BUDGET)).replace("wire.example", "other.example")
    desk.feed(web.answer("/b", other), "b")
    desk.gather()
    assert desk.titles() == ["Port reopens", "Budget passed"]


def test_sources_are_read_side_by_side(desk: Desk, web: ScriptedWeb) -> None:
    together = threading.Barrier(6)

    def wait(handler: BaseHTTPRequestHandler) -> None:
        together.wait(20)
        handler.send_error(404)

    for number in range(6):
        desk.feed(web.script(f"/{number}", wait))
    desk.gather()
    assert not together.broken
    assert len(web.requests) == 6


def test_a_fault_of_ours_is_one_sources_failure(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk.folder("a")
    desk.folder("b")
    desk.put("b/port.txt", text("Port reopens", PORT))

    def fail_for_a(source: SourceSettings, context: Any) -> Any:
        if isinstance(source, FolderSource) and source.path == Path("a"):
            raise KeyError("bug")
        return read_source(source, context)

    monkeypatch.setattr("newsletter.briefs.gather.read_source", fail_for_a)
    a, b = desk.gather()
    assert (a.status, a.error) == ("failed", "a: failed in an unexpected way (KeyError).")
    assert b.new == 1
    assert "KeyError" in caplog.text


def test_what_one_source_gave_is_stored_whole_or_not_at_all(
    desk: Desk, web: ScriptedWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = rss(("1", "Port reopens", PORT), ("2", "Budget passed", BUDGET))
    desk.feed(web.answer("/feed", body, headers={"ETag": '"v1"'}), "wire")
    store_state = gather._store_state

    def break_down(*_: Any) -> None:
        raise RuntimeError("power cut")

    monkeypatch.setattr(gather, "_store_state", break_down)
    with pytest.raises(RuntimeError, match="power cut"):
        desk.gather()
    assert (desk.rows(), desk.keys(), desk.gatherings()) == ([], 0, [])
    monkeypatch.setattr(gather, "_store_state", store_state)
    assert desk.gather()[0].new == 2


def test_no_sources_no_reports(desk: Desk) -> None:
    assert desk.gather() == ()


def test_hundreds_of_entries_are_stored_in_good_time(desk: Desk, web: ScriptedWeb) -> None:
    body = rss(*((f"{n}", f"Story number {n}", f"Text {n} of the day.") for n in range(400)))
    desk.feed(web.answer("/feed", body), "wire")
    assert desk.gather()[0].new == 400
    started = time.monotonic()
    assert desk.gather(now=LATER)[0].changed == 0
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_asks_for_a_pause_gets_it(desk: Desk, web: ScriptedWeb, status: int) -> None:
    url = web.answer("/feed", "busy", status=status, headers={"Retry-After": "3600"})
    desk.feed(url, "wire")
    (first,) = desk.gather()
    assert first.status == "failed"
    assert f"the server answers {status}" in first.error
    web.answer("/feed", rss(("1", "Port reopens", PORT)))
    asked = len(web.requests)
    for minutes in (1, 59):
        (waits,) = desk.gather(now=NOW + timedelta(minutes=minutes))
        assert (waits.status, waits.is_read) == ("waiting", False)
        assert "asked to be left alone until 2026-11-02 07:30:00 UTC" in waits.error
    assert len(web.requests) == asked
    assert desk.state("wire").failures == 1
    assert desk.state("wire").last_attempt_at == NOW
    assert f"answers {status}" in desk.state("wire").last_error
    (read,) = desk.gather(now=NOW + timedelta(minutes=60))
    assert (read.status, read.new) == ("read", 1)
    assert desk.state("wire").failures == 0
    assert desk.state("wire").next_attempt_at is None


def test_the_schedule_leaves_alone_what_fails_and_a_person_does_not(
    desk: Desk, web: ScriptedWeb
) -> None:
    """An edition that is held for its source is tried again each minute, for two hours."""
    desk.feed(web.answer("/feed", "busy", status=500), "wire")
    first, *later = [
        desk.gather(now=NOW + timedelta(minutes=n), patient=True)[0] for n in range(121)
    ]
    assert first.status == "failed"
    assert {report.status for report in later} == {"waiting", "failed"}
    assert {report.error for report in later} == {first.error}, "the reason stays the same"
    # A minute, two, four … to half an hour, each up to a half less: not once a minute.
    assert 8 <= len(web.requests) <= 14
    assert desk.state("wire").failures == len(web.requests)

    moment = NOW + timedelta(minutes=120, seconds=1)
    web.answer("/feed", rss(("1", "Port reopens", PORT)))
    assert desk.gather(now=moment, patient=True)[0].status == "waiting"
    assert desk.gather(now=moment)[0].new == 1
    assert desk.gather(now=moment, patient=True)[0].status == "read"


def test_a_folder_is_looked_into_each_time(desk: Desk) -> None:
    desk.folder()
    (desk.root / "briefs").rmdir()
    for seconds in range(3):
        assert desk.gather(now=NOW + timedelta(seconds=seconds), patient=True)[0].status == "failed"
    desk.put("briefs/port.txt", text("Port reopens", PORT))
    assert desk.gather(now=NOW + timedelta(seconds=3), patient=True)[0].new == 1


def test_many_feeds_of_one_server_do_not_keep_the_others_waiting(
    desk: Desk, web: ScriptedWeb
) -> None:
    begun: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        begun.append(handler.headers["Host"].partition(":")[0])
        handler.send_error(404)

    for number in range(12):
        desk.feed(web.script("/feed", answer), f"many {number}")
    other = web.url("/feed", host="localhost")
    desk.feed(other, "other")
    reports = desk.gather(gap=timedelta(seconds=0.2))
    assert [report.name for report in reports] == [source.name for source in desk.sources]
    assert begun.index("localhost") <= 2
    assert len(begun) == 13


def test_a_feed_that_is_empty_all_at_once_is_said_to_be_odd(desk: Desk, web: ScriptedWeb) -> None:
    desk.feed(web.answer("/feed", rss()), "wire")
    assert desk.gather()[0].warnings == (), "it was never other"
    web.answer("/feed", rss(("1", "Port reopens", PORT), ("2", "Budget passed", BUDGET)))
    assert desk.gather()[0].new == 2
    web.answer("/feed", rss())
    (empty,) = desk.gather()
    assert empty.status == "read"
    assert empty.warnings == (
        "wire: holds nothing now, where it held 2 before; look whether that is so.",
    )
    assert desk.gather()[0].warnings == (), "it was said"
    web.answer("/feed", rss(("1", "Port reopens", PORT), ("2", "Budget passed", BUDGET)))
    assert (desk.gather()[0].new, desk.titles()) == (0, ["Port reopens", "Budget passed"])


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "utf-16", "no-such-charset"])
def test_what_a_server_says_of_its_letters_does_not_matter(
    desk: Desk, web: ScriptedWeb, version: str, charset: str
) -> None:
    body = rss(("1", "Hafen von Kölm öffnet", "Schiffe sind zurück, und zwar „alle“.")).encode()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        head = f"{version} 200 OK\r\nContent-Type: text/xml; charset={charset}\r\n\r\n"
        handler.wfile.write(head.encode() + body)

    desk.feed(web.script("/feed", answer), "wire")
    assert desk.gather()[0].new == 1
    assert desk.titles() == ["Hafen von Kölm öffnet"]
    assert desk.briefs()[0].summary == "Schiffe sind zurück, und zwar „alle“."


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("0", 0),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("", 0),
        ("99999999999999999999", 86_400),
        ("²", 0),
        ("Mon, 02 Nov 2026 07:30:00 GMT", 3600),
        ("Mon, 02 Nov 2026 05:30:00 GMT", 0),
        ("Mon, 02 Nov 2099 05:30:00 GMT", 86_400),
        ("Mon, 02 Nov 2026 08:30:00 +0100", 3600),
        ("Mon, 99 Nov 2026", 0),
    ],
)
def test_how_long_a_pause_is(value: str, seconds: int) -> None:
    assert read_retry_after(value, NOW) == seconds
