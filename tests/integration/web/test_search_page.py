"""The search as readers use it: over HTTP, on a sent edition."""

from __future__ import annotations

from pathlib import Path

from lxml import html as lxml_html

from newsletter.press.site import write_web
from tests.integration.web.stage import Stage


def links(html: str) -> list[str]:
    return [str(link.get("href")) for link in lxml_html.document_fromstring(html).iter("a")]


def test_a_reader_finds_a_brief_from_the_list_of_editions(stage: Stage) -> None:
    day = stage.clock.now.date()
    archive = lxml_html.document_fromstring(stage.web.get("/editions").text)
    (form,) = [form for form in archive.iter("form") if form.get("role") == "search"]
    assert (form.get("method"), form.get("action")) == ("get", "/search")
    before = stage.everything()
    answer = stage.web.get("/search", params={"q": "library sundays"})
    assert answer.status_code == 200
    assert "1 result<" in answer.text
    numbers = [link for link in links(answer.text) if "/briefs/" in link]
    assert len(numbers) == 1
    assert "Library Opens on Sundays" in stage.web.get(numbers[0]).text
    assert numbers[0].startswith(f"/editions/{day}/briefs/")
    nothing = stage.web.get("/search", params={"q": "zeppelin"})
    assert "No brief has all of these words." in nothing.text
    assert stage.everything() == before


QUERIES = (
    *("q=" + "a" * 10_000, "q=%00%ff%fe", "q=<script>alert(1)</script>", "page=0&q=quay"),
    *("q=quay&page=99999999999999999999", "q=quay&page=-1", "q=quay&q=library", "q=%27%22%25_"),
    *("", "q=" + "word+" * 500, "q=%F0%9F%9A%A2", "q=NEAR(quay)&page=x"),
)


def test_any_query_has_an_answer(stage: Stage) -> None:
    for query in QUERIES:
        answer = stage.web.get(f"/search?{query}")
        assert answer.status_code == 200, query
        assert "<script" not in answer.text
        assert "set-cookie" not in answer.headers
        assert answer.headers["x-robots-tag"] == "noindex"


def test_files_that_any_server_shows_have_no_search(stage: Stage, tmp_path: Path) -> None:
    write_web(stage.press, tmp_path / "site")
    for path in (tmp_path / "site").rglob("*.html"):
        html = path.read_text()
        assert "/search" not in html
        assert "/feedback" not in html
        assert "/subscribe" not in html
        assert "<form" not in html
        assert "form-action &#39;none&#39;" in html or "form-action 'none'" in html
