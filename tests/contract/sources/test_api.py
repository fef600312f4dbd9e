"""An API's own ways: its secret, its pages, its names."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from newsletter.briefs.model import Perspective, Point, Source
from tests.contract.sources.conftest import Desk
from tests.contract.sources.stages import (
    TOKEN,
    ApiCursorStage,
    ApiLinkStage,
    ApiNumberStage,
    ApiStage,
)
from tests.contract.sources.stories import BUDGET, CHIPS, PORT, STORIES
from tests.contract.sources.test_every_kind import assert_one_sentence
from tests.integration.gather.conftest import ScriptedWeb


def test_a_secret_is_sent_and_neither_stored_nor_shown(
    desk: Desk, web: ScriptedWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = ApiStage(web)
    stage.put(STORIES)
    assert desk.gather(stage.table).new == 3
    assert TOKEN.encode() not in (desk.root / "newsletter.db").read_bytes()
    monkeypatch.setenv("WIRE_TOKEN", "wrong-0815")
    report = desk.gather(stage.table)
    assert "401" in report.error
    assert "wrong-0815" not in report.error
    monkeypatch.delenv("WIRE_TOKEN")
    assert "WIRE_TOKEN is not set" in desk.gather(stage.table).error
    (desk.root / "token").write_text(f"{TOKEN}\n")
    monkeypatch.setenv("WIRE_TOKEN_FILE", "token")
    assert desk.gather(stage.table).error == ""
    monkeypatch.delenv("WIRE_TOKEN_FILE")
    (desk.root / ".env").write_text(f"WIRE_TOKEN={TOKEN}\n")
    assert desk.gather(stage.table).error == ""


def test_a_secret_stays_with_its_server(desk: Desk, web: ScriptedWeb) -> None:
    other = ScriptedWeb()
    try:
        other.answer("/v1/stories", json.dumps({"data": {"stories": []}}))
        stage = ApiStage(web)
        stage.table["url"] = web.redirect("/moved", other.url("/v1/stories"))
        assert desk.gather(stage.table).error == ""
        (asked,) = other.requests
        assert asked.headers["Authorization"] is None
        assert web.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"

        following = ApiLinkStage(web)
        following.put([PORT])
        page = following.page

        def lead_away(asked: Any) -> tuple[Any, dict[str, str]]:
            return page(asked)[0], {"Link": f'<{other.url("/v1/stories")}>; rel="next"'}

        following.page = lead_away  # type: ignore[method-assign]
        report = desk.gather(following.table)
        assert (report.status, report.new) == ("read", 1)
        assert "another server" in report.problems[0]
        assert len(other.requests) == 1
    finally:
        other.close()


@pytest.mark.parametrize("kind", [ApiCursorStage, ApiNumberStage, ApiLinkStage])
def test_a_page_that_fails_is_missing(desk: Desk, web: ScriptedWeb, kind: type[ApiStage]) -> None:
    stage = kind(web)
    stage.put(STORIES)
    script, asked = web.scripts[stage.path], []

    def fail_second(handler: Any) -> None:
        asked.append(handler.path)
        if len(asked) == 2:
            handler.send_error(500)
        else:
            script(handler)

    web.script(stage.path, fail_second)
    report = desk.gather(stage.table)
    assert (report.status, report.new) == ("partial", 1)
    assert report.error.startswith("page 2 and what follows: ")
    assert_one_sentence(report.error)
    assert [brief.title for brief in desk.briefs()] == [PORT.title]
    again = desk.gather(stage.table)
    assert (again.status, again.new, again.changed) == ("read", 2, 0)


def test_a_cursor_that_resumes_is_kept_with_the_items(desk: Desk, web: ScriptedWeb) -> None:
    class Log(ApiCursorStage):
        def page(self, asked: Any) -> tuple[Any, dict[str, str]]:
            at = int(asked.get("after", "n-0").removeprefix("n-"))
            following = f"n-{min(at + 1, len(self.records))}"
            return {"data": {"stories": self.records[at : at + 1]}, "meta": {"next": following}}, {}

    stage = Log(web)
    stage.put([PORT, BUDGET])
    assert desk.gather(stage.table, resume=True).new == 2
    assert desk.validators() == {"cursor": "n-2"}
    web.requests.clear()
    stage.put(STORIES)
    assert desk.gather(stage.table, resume=True).new == 1
    assert [request.path for request in web.requests] == [
        "/v1/stories?after=n-2",
        "/v1/stories?after=n-3",
    ]
    script = web.scripts[stage.path]
    web.script(stage.path, lambda handler: handler.send_error(500))
    assert desk.gather(stage.table, resume=True).status == "failed"
    assert desk.validators() == {"cursor": "n-3"}
    web.script(stage.path, script)
    assert desk.gather(stage.table, resume=True).new == 0


def test_pages_have_a_ceiling_and_no_circle(desk: Desk, web: ScriptedWeb) -> None:
    stage = ApiCursorStage(web)
    stage.put(STORIES)
    report = desk.gather(stage.table, max_pages=2)
    assert report.new == 2
    assert "more than 2 pages" in report.problems[0]

    circle = ApiCursorStage(web)
    circle.put([PORT, BUDGET])
    circle.page = lambda asked: (  # type: ignore[method-assign]
        {"data": {"stories": circle.records}, "meta": {"next": "n-7"}},
        {},
    )
    web.requests.clear()
    assert desk.gather(circle.table).error == ""
    assert len(web.requests) == 2


def test_every_part_of_a_brief_can_be_mapped(desk: Desk, web: ScriptedWeb) -> None:
    record = {
        "guid": 4711,
        "h": {"rendered": "Port &amp; harbour <em>reopen</em>"},
        "texts": ["<p>Ships are back.</p>", "<p>The queue is gone.</p>"],
        "analysis": {
            "why": "Freight is cheaper again.",
            "points": {"Money Angle": "Rates fall.", "Who Loses": "Road hauliers."},
            "views": [{"lens": "Household Impact", "descriptor": "How so.", "text": "Little."}],
        },
        "url": "../news/4711?ref=api",
        "tags": [{"name": "Trade"}, {"label": "Ports"}, ""],
        "by": {"name": "Ada Example"},
        "date": 1793599200000,
        "embargo": "Mon, 02 Nov 2026 12:00:00 +0100",
        "ends": "2026-11-04T00:00:00Z",
        "weight": "3",
        "top": 1,
        "outlets": [{"name": "Wire", "url": "https://wire.example/a"}, "Harbour Post"],
        "note": "Generated.",
    }
    url = web.answer("/v1/list", json.dumps([record]))
    fields = {
        "id": "guid",
        "title": "/h/rendered",
        "summary": "texts",
        "why_it_matters": "analysis.why",
        "quick_take": "analysis.points",
        "perspectives": "analysis.views",
        "link": "url",
        "topics": "tags",
        "author": "by",
        "published_at": "date",
        "not_before": "embargo",
        "expires_at": "ends",
        "priority": "weight",
        "pinned": "top",
        "sources": "outlets",
        "disclosure": "note",
    }
    table = {"kind": "api", "url": url, "fields": fields, "allow_private": True}
    report = desk.gather(table)
    assert (report.error, report.problems, report.new) == ("", (), 1)
    (brief,) = desk.briefs()
    assert (brief.id, brief.title) == ("4711", "Port & harbour reopen")
    assert brief.summary == "Ships are back.\n\nThe queue is gone."
    assert brief.why_it_matters == "Freight is cheaper again."
    assert brief.quick_take == (
        Point(label="Money Angle", text="Rates fall."),
        Point(label="Who Loses", text="Road hauliers."),
    )
    assert brief.perspectives == (
        Perspective(lens="Household Impact", descriptor="How so.", text="Little."),
    )
    assert brief.link == web.url("/news/4711?ref=api")
    assert (brief.topics, brief.author) == (("Trade", "Ports"), "Ada Example")
    assert brief.published_at == datetime(2026, 11, 2, 6, tzinfo=UTC)
    assert brief.not_before == datetime(2026, 11, 2, 11, tzinfo=UTC)
    assert brief.expires_at == datetime(2026, 11, 4, tzinfo=UTC)
    assert (brief.priority, brief.pinned, brief.disclosure) == (3, True, "Generated.")
    assert brief.sources == (
        Source(name="Wire", url="https://wire.example/a"),
        Source(name="Harbour Post"),
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"not_before": "tomorrow"}, "not_before"),
        ({"not_before": {"at": 1}}, "not_before"),
        ({"expires_at": True}, "expires_at"),
        ({"priority": 40}, "priority"),
        ({"pinned": "perhaps"}, "pinned"),
        ({"title": ""}, "title"),
        ({"summary": None}, "summary"),
    ],
)
def test_a_part_that_cannot_be_read_is_a_problem_of_its_item(
    desk: Desk, web: ScriptedWeb, wrong: dict[str, Any], said: str
) -> None:
    good = {"title": BUDGET.title, "summary": BUDGET.summary, "id": "b"}
    bad = {"title": PORT.title, "summary": PORT.summary, "id": "p", **wrong}
    url = web.answer("/v1/list", json.dumps([bad, good]))
    report = desk.gather({"kind": "api", "url": url, "allow_private": True})
    assert [brief.title for brief in desk.briefs()] == [BUDGET.title]
    (problem,) = report.problems
    assert_one_sentence(problem)
    assert "item 1" in problem
    assert said in problem


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html></html>", "is not JSON"),
        (b'{"items": {}}', "has no list"),
        (b"[" * 200_000, "is not JSON"),
        (b"[1e999999, " * 3, "is not JSON"),
    ],
)
def test_an_answer_that_is_no_list_is_a_sentence(
    desk: Desk, web: ScriptedWeb, body: bytes, said: str
) -> None:
    table = {"kind": "api", "url": web.answer("/v1/list", body), "allow_private": True}
    report = desk.gather(table)
    assert report.status == "failed"
    assert said in report.error
    assert_one_sentence(report.error)


def test_a_wrong_charset_is_read_as_it_was_meant(desk: Desk, web: ScriptedWeb) -> None:
    body = json.dumps([{"title": "Café reopens", "summary": "Crème at noon."}], ensure_ascii=False)
    url = web.answer("/v1/list", body.encode("cp1252"))
    assert desk.gather({"kind": "api", "url": url, "allow_private": True}).new == 1
    assert desk.briefs()[0].title == "Café reopens"


def test_a_text_in_the_shape_of_a_brief_is_one(desk: Desk, web: ScriptedWeb) -> None:
    text = (
        f"{CHIPS.title}\nAFBytes Brief\n{CHIPS.summary}\nWhy this matters\nJobs come.\n"
        "Quick take\n- Money Angle\n- Wages rise.\n"
    )
    url = web.answer("/v1/list", json.dumps([{"id": "c", "title": CHIPS.title, "content": text}]))
    assert desk.gather({"kind": "api", "url": url, "allow_private": True}).error == ""
    (brief,) = desk.briefs()
    assert (brief.id, brief.summary, brief.why_it_matters) == ("c", CHIPS.summary, "Jobs come.")
    assert brief.quick_take == (Point(label="Money Angle", text="Wages rise."),)
