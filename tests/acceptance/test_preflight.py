"""The preflight as an operator meets it: checked, refused, overridden by name, and on record."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from newsletter.render.templates import find_templates
from tests.acceptance.project import BRIEF, Project, one_sentence

CHECK = "links say where they go"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write_brief()
    project.import_readers(2)
    return project


def spoil(project: Project) -> Path:
    """Put a link that says nothing into the footer."""
    footer = project.root / "templates" / "partials" / "footer.mjml.j2"
    footer.parent.mkdir(parents=True)
    shipped = find_templates().find("partials/footer.mjml.j2").read_text()
    footer.write_text(f'<mj-text><a href="{{{{ slot("web_url") }}}}">here</a></mj-text>{shipped}')
    return footer


def sent(project: Project) -> int:
    return len(list((project.root / "outbox").glob("*.eml")))


def test_check_shows_every_check_and_lists_the_links(project: Project) -> None:
    ran = project.run("check", "--no-browser")
    assert ran.code == 0, ran.err
    assert "not a quiet day" in ran.out
    assert "https://news.example/editions/" in ran.out
    document = project.run("check", "--no-browser", "--json").document
    findings = {finding["number"]: finding for finding in document["findings"]}
    assert {number: f for number, f in findings.items() if f["status"] == "fail"} == {}
    assert findings[38]["status"] == "skip"
    assert [link["places"] for link in document["links"]] == [["masthead and footer"]]


def test_a_fail_stops_a_send_unless_it_is_overridden_by_name(project: Project) -> None:
    spoil(project)
    checked = project.run("check", "--no-browser", "--json")
    assert checked.code == 1
    failed = [f for f in checked.document["findings"] if f["status"] == "fail"]
    assert [(f["number"], f["name"]) for f in failed] == [(18, CHECK)]
    assert failed[0]["mend"]

    refused = project.run("send", "--yes")
    assert refused.code == 1
    assert "--override links-say-where-they-go" in one_sentence(refused)
    wrong = project.run("send", "--yes", "--override", "size of the HTML")
    assert "'size of the HTML' does not fail" in one_sentence(wrong)
    assert "what fails is 18 'links say where they go'" in one_sentence(wrong)
    assert "there is no check 'liks'" in one_sentence(
        project.run("send", "--yes", "--override", "liks")
    )
    assert sent(project) == 0

    overridden = project.run("send", "--yes", "--override", "Links-say-where-they-go")
    assert overridden.code == 0, overridden.err
    assert "Overridden: 18 links say where they go: a link says 'here'" in overridden.err
    assert sent(project) == 2

    again = project.run("send", "--yes", "--override", "18")
    assert "was approved before: no check stops it; leave --override out" in one_sentence(again)
    assert project.run("send", "--override", "18", "--test", "me@news.example").code == 2
    assert sent(project) == 2

    status = project.run("status")
    assert "18 links say where they go: a link says 'here'." in status.out
    (decision,) = project.run("status", "--json").document["editions"][0]["decisions"]
    assert decision["action"] == "override"
    assert decision["detail"] == "18 links say where they go: a link says 'here'"
    assert "@" in decision["by"]
    told = project.run("explain", "reader1@example.org")
    assert "override" in told.out


def test_check_lists_every_fault_of_a_template(project: Project) -> None:
    footer = project.root / "templates" / "partials" / "footer.mjml.j2"
    footer.parent.mkdir(parents=True)
    footer.write_text('<mj-text colour="red">a</mj-text>\n<mj-txt>b</mj-txt>\n')
    ran = project.run("check", "--no-browser")
    assert ran.code == 78
    assert "(and 1 more)" in one_sentence(ran)
    assert "perhaps color is meant" in ran.out
    assert "mj-txt" in ran.out
    problems = project.run("check", "--no-browser", "--json").document["problems"]
    assert [(Path(p["file"]).name, p["line"]) for p in problems] == [
        ("footer.mjml.j2", 1),
        ("footer.mjml.j2", 2),
    ]


def test_an_override_of_nothing_is_refused(project: Project) -> None:
    refused = project.run("send", "--yes", "--override", "18")
    assert refused.code == 1
    assert "nothing fails: leave --override out" in one_sentence(refused)
    assert sent(project) == 0


@pytest.fixture
def pages() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200 if self.path == "/there" else 404)
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_links_are_asked_where_somebody_wants_to_know(project: Project, pages: str) -> None:
    config = project.config.read_text()
    project.config.write_text(config.replace("https://news.example", pages))
    for name in ("there", "gone"):
        text = BRIEF.format(title=f"A story that is {name}").replace("had\nbeen", "had been")
        head = f"---\nlink: {pages}/{name}\n---\n"
        (project.root / "briefs" / f"{name}.md").write_text(head + text)
    ran = project.run("check", "--no-browser", "--links", "--allow-private", "--json")
    assert ran.code == 0, ran.err
    links = {link["url"].removeprefix(pages): link for link in ran.document["links"]}
    assert links["/there"]["status"] == 200
    assert links["/gone"]["status"] == 404
    assert links["/gone"]["places"] == ["A story that is gone"]
    finding = next(f for f in ran.document["findings"] if f["number"] == 38)
    assert finding["status"] == "warn"
    assert "/gone (404) in 'A story that is gone'" in finding["detail"]

    guarded = project.run("check", "--no-browser", "--links", "--json")
    assert {link["status"] for link in guarded.document["links"]} == {None}
    assert "only 80 and 443" in guarded.document["links"][0]["problem"]
