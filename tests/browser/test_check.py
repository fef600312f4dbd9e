"""`newsletter check` with everything it has: the thirty checks of the list, and our own."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.project import Project
from tests.browser.chromium import NEEDS_CHROMIUM

pytestmark = NEEDS_CHROMIUM


def test_all_thirty_checks_are_made_and_pass(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write_brief()
    ran = project.run("check", "--json")
    assert ran.code == 0, ran.err
    findings = {finding["number"]: finding for finding in ran.document["findings"]}
    assert set(findings) >= set(range(1, 31))
    seen = {number: f for number, f in findings.items() if number <= 30 and f["status"] != "pass"}
    assert {n: f for n, f in seen.items() if n != 33} == {}, "a brief without an adversary view"
