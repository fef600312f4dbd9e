"""A web server's failures: each is one sentence, and what was seen stays seen."""

from __future__ import annotations

import gzip
import time
import zlib
from datetime import timedelta
from http.server import BaseHTTPRequestHandler

import pytest

from tests.contract.sources.conftest import Desk
from tests.contract.sources.stages import (
    ApiCursorStage,
    ApiStage,
    FeedStage,
    HttpStage,
    PageStage,
    SitemapStage,
)
from tests.contract.sources.stories import STORIES
from tests.contract.sources.test_every_kind import assert_one_sentence, held
from tests.integration.gather.conftest import Script, ScriptedWeb

BOMB = gzip.compress(b" " * 50_000_000)


def answer(status: int, body: bytes = b"", **headers: str) -> Script:
    def script(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return script


def drip(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(600):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


def chunks(body: bytes) -> Script:
    def script(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)

    return script


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


FAULTS: dict[str, tuple[Script, str]] = {
    "gone": (answer(410), "410"),
    "too many": (answer(429, Retry_After="120"), "429"),
    "broken": (answer(503), "503"),
    "circle": (answer(302, Location="/circle"), "redirects more than"),
    "drip": (drip, "did not answer in full within 1 seconds"),
    "bomb": (answer(200, BOMB, Content_Encoding="gzip"), "larger than the ceiling"),
    "cut": (answer(200, b"<rss", Content_Length="5000"), "breaks off"),
    "cut chunk": (chunks(b"ff\r\n<rss"), "breaks off"),
    "no chunk": (chunks(b"many\r\n<rss"), "breaks off"),
    "huge headers": (answer(200, b"<rss>", X_Padding="x" * 200_000), "breaks off"),
    "unasked packing": (answer(200, zlib.compress(b"<rss>"), Content_Encoding="deflate"), "asked"),
    "304 unasked": (answer(304), "304"),
    "cut gzip": (answer(200, BOMB[:20], Content_Encoding="gzip"), "ends too early"),
    "empty": (answer(200), "the answer is empty"),
    "blank": (answer(200, b" \r\n "), "the answer is empty"),
    "no HTTP": (hang_up, "breaks off"),
    "binary": (answer(200, b"\x89PNG\r\n\x1a\n" + bytes(range(256))), "."),
}


def test_a_failing_server_leaves_everything_as_it_was(desk: Desk, http_stage: HttpStage) -> None:
    http_stage.put(held(http_stage))
    http_stage.web.redirect("/circle", "/circle")
    desk.gather(http_stage.table)
    before, known = desk.briefs(), desk.validators()
    for name, (script, said) in FAULTS.items():
        desk.now += timedelta(minutes=5)  # longer than any of them wants to be left alone
        http_stage.fail_with(script)
        report = desk.gather(http_stage.table, timeout=1)
        assert (report.status, report.new, report.changed) == ("failed", 0, 0), name
        assert_one_sentence(report.error)
        assert said in report.error, name
        assert (desk.briefs(), desk.validators()) == (before, known), name
    http_stage.mend()
    desk.now += timedelta(minutes=5)
    mended = desk.gather(http_stage.table)
    assert (mended.error, mended.new, mended.changed) == ("", 0, 0)


def test_nobody_listening_is_a_failure(desk: Desk, http_stage: HttpStage) -> None:
    http_stage.put(held(http_stage))
    desk.gather(http_stage.table)
    http_stage.web.close()
    report = desk.gather(http_stage.table)
    assert (report.status, report.new) == ("failed", 0)
    assert "cannot be reached" in report.error


def test_a_private_address_is_not_asked(desk: Desk, http_stage: HttpStage) -> None:
    http_stage.put(held(http_stage))
    report = desk.gather(http_stage.table, allow_private=False)
    assert report.status == "failed"
    assert "allow_private" in report.error
    assert http_stage.web.requests == []


@pytest.mark.parametrize("kind", [FeedStage, ApiStage, PageStage, SitemapStage])
def test_what_did_not_change_is_not_sent_again(
    desk: Desk, web: ScriptedWeb, kind: type[HttpStage]
) -> None:
    stage = kind(web)
    stage.put(held(stage))
    script = web.scripts[stage.path]
    answered: list[int] = []

    def with_etag(handler: BaseHTTPRequestHandler) -> None:
        if handler.headers["If-None-Match"] == '"one"':
            answered.append(304)
            answer(304)(handler)
            return
        answered.append(200)
        send_response = handler.send_response

        def send_response_with_etag(code: int, message: str | None = None) -> None:
            send_response(code, message)
            handler.send_header("ETag", '"one"')

        handler.send_response = send_response_with_etag  # type: ignore[method-assign]
        script(handler)

    web.script(stage.path, with_etag)
    first = desk.gather(stage.table)
    again = desk.gather(stage.table)
    third = desk.gather(stage.table)
    assert (first.status, again.status, third.status) == ("read", "unchanged", "unchanged")
    assert answered == [200, 304, 304]
    assert (again.new, again.changed) == (0, 0)


@pytest.mark.parametrize("kind", [ApiCursorStage, SitemapStage])
def test_a_server_that_has_enough_halfway_is_left_alone(
    desk: Desk, web: ScriptedWeb, kind: type[HttpStage]
) -> None:
    stage = kind(web)
    stage.put(STORIES)
    scripts, asked, is_busy = dict(web.scripts), [], True

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        if is_busy and len(asked) > 2:
            handler.send_response(429)
            handler.send_header("Retry-After", "600")
            handler.end_headers()
        else:
            scripts[handler.path.partition("?")[0]](handler)

    for path in scripts:
        web.script(path, answer)
    report = desk.gather(stage.table)
    assert (report.status, len(asked)) == ("partial", 3)
    assert "answers 429" in report.error
    desk.now += timedelta(minutes=9)
    assert desk.gather(stage.table).status == "waiting"
    assert len(asked) == 3
    desk.now += timedelta(minutes=1)
    is_busy = False
    desk.gather(stage.table)
    assert {brief.title for brief in desk.briefs()} == {story.title for story in STORIES}
