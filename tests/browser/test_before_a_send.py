"""A browser looks at the mail before it is sent: `check` and `send` from the outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.project import Project, one_sentence
from tests.browser.chromium import NEEDS_CHROMIUM

LOOK = {"NEWSLETTER_EDITION__BROWSER_CHECKS": "true"}
SEEN_ONLY = {7, 8, 9, 10, 12, 13, 14, 15, 19, 20}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write_brief()
    project.import_readers(2)
    return project


def statuses(told: str) -> dict[int, str]:
    return {finding["number"]: finding["status"] for finding in json.loads(told)["findings"]}


class TestWithChromium:
    pytestmark = NEEDS_CHROMIUM

    def test_all_thirty_checks_pass_and_the_send_goes_on(self, project: Project) -> None:
        checked = project.run("check", "--json")
        found = statuses(checked.out)
        assert set(range(1, 31)) <= set(found)
        assert {found[number] for number in range(1, 31)} == {"pass"}, checked.out
        assert project.run("send", "--yes", env=LOOK).code == 0

    def test_what_only_a_browser_sees_stops_a_send(self, project: Project) -> None:
        own = project.root / "templates" / "partials"
        own.mkdir(parents=True)
        (own / "quiet.mjml.j2").write_text("")
        wide = '<mj-text><table role="presentation" width="700"><tr><td>Wide</td></tr></table>'
        (own / "masthead.mjml.j2").write_text(
            f"{wide}<h1>{{{{ publication.name }}}}</h1></mj-text>", encoding="utf-8"
        )
        ran = project.run("send", "--yes", env=LOOK)
        assert ran.code == 1
        assert "fails its preflight" in one_sentence(ran)
        assert "on a phone: <table> 'Wide' is 700 pixels wide" in ran.err
        assert not list((project.root / "outbox").glob("*.eml"))


def test_without_a_browser_its_checks_are_skipped_and_say_so(project: Project) -> None:
    nowhere = {"CHROMIUM": str(project.root / "nowhere")}
    checked = project.run("check", "--json", env=nowhere)
    assert checked.code == 0, checked.err
    found = statuses(checked.out)
    assert {number for number, status in found.items() if status == "skip"} >= SEEN_ONLY
    told = [f for f in json.loads(checked.out)["findings"] if f["number"] == 7]
    assert "nowhere" in told[0]["detail"] + told[0]["mend"]
    assert project.run("send", "--yes", env=LOOK | nowhere).code == 0
