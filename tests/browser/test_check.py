"""`newsletter check` joins what the parser and what Chromium found, number by number."""

from __future__ import annotations

from pathlib import Path

import pytest

from newsletter.render.templates import shipped_directory
from tests.acceptance.project import Project, one_sentence
from tests.browser.chromium import NEEDS_CHROMIUM

IN_BROWSER = {7, 8, 9, 10, 12, 13, 14, 15, 19, 20}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write_brief()
    return project


@pytest.mark.browser
@pytest.mark.skipif(NEEDS_CHROMIUM[1].args[0], reason="needs Chromium")
def test_an_operators_template_is_judged_by_what_is_seen(project: Project) -> None:
    good = project.run("check", "--json")
    assert good.code == 0, good.err
    statuses = {finding["number"]: finding["status"] for finding in good.document["findings"]}
    assert set(range(1, 31)) <= statuses.keys()
    assert {statuses[number] for number in IN_BROWSER} == {"pass"}

    name = "partials/footer.mjml.j2"
    own = project.root / "templates" / name
    own.parent.mkdir(parents=True)
    wide = '<mj-text><div style="width:500px">Wider than a phone</div></mj-text>\n'
    own.write_text((shipped_directory() / name).read_text() + wide)
    bad = project.run("check", "--json")
    assert bad.code == 1
    found = {finding["number"]: finding for finding in bad.document["findings"]}
    assert found[12]["status"] == "fail"
    assert "'Wider than a phone' is 500 pixels wide" in found[12]["detail"]
    assert "on a phone: " in one_sentence(bad)
    assert project.run("check", "--no-browser").code == 0


def test_without_chromium_its_checks_are_skipped_and_the_others_stand(project: Project) -> None:
    ran = project.run("check", "--json", env={"CHROMIUM": "/nowhere/chromium"})
    assert ran.code == 0, ran.err
    found = {finding["number"]: finding for finding in ran.document["findings"]}
    assert {found[number]["status"] for number in IN_BROWSER} == {"skip"}
    assert found[12]["detail"] == "CHROMIUM names /nowhere/chromium, which is no program"
    assert found[12]["mend"] == "correct or unset it"
    assert found[28]["status"] == found[1]["status"] == "pass"
