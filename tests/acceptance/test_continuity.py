"""Promises and corrections at the command line, from a first edition on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tests.acceptance.project import Project, one_sentence


def test_an_operator_settles_a_promise_and_corrects_an_edition(tmp_path: Path) -> None:
    project = Project(tmp_path, more='[web]\nfolder = "site"')
    brief = project.write_brief()
    watch = "- What to Watch Next\n- The board votes on Thursday.\nPerspectives"
    brief.write_text(brief.read_text().replace("Perspectives", watch, 1))
    project.import_readers(2)
    day = datetime.now(UTC).date().isoformat()
    assert project.run("send", "--yes", "--date", day).code == 0

    (promise,) = project.run("promises", "--json").document["promises"]
    assert (promise["text"], promise["state"]) == ("The board votes on Thursday.", "open")
    assert "The board votes on Thursday." in project.run("promises").out
    assert project.run("promises", "settle", "1", "--happened").code == 2  # and what?
    assert project.run("promises", "settle", "1", "--happened", "--news", "It voted.").code == 0
    assert "is settled already" in one_sentence(project.run("promises", "settle", "1", "--expired"))
    assert project.run("promises", "--json").document["promises"] == []
    assert project.run("promises", "--all", "--json").document["promises"][0]["news"] == "It voted."

    text = "The quay reopened a day ahead of plan."
    asked = ("correct", day, "--brief", "1", "--text", text)
    assert "nobody is here to say yes" in one_sentence(project.run(*asked))
    assert project.run("correct", "--list", "--json").document["corrections"] == []
    assert project.run(*asked, "--severity", "minor", "--yes").code == 0
    assert text in (tmp_path / f"site/editions/{day}/index.html").read_text()
    severe = project.run(*asked, "--severity", "severe", "--yes", "--json").document
    assert (severe["subject"], severe["counts"]) == (
        "Correction: North Quay Reopens Early",
        severe["counts"] | {"accepted": 2},
    )
    assert sum(text in path.read_text() for path in (tmp_path / "outbox").glob("*.eml")) == 2
    listed = project.run("correct", "--list", "--json").document["corrections"]
    assert [each["severity"] for each in listed] == ["severe", "minor"]
    told = project.run("explain", "reader1@example.org", "--json").document["editions"]
    owed = [each for edition in told for each in edition["corrections"]]
    assert [(each["text"], each["state"]) for each in owed] == [(text, "accepted")]
    again = project.run("send", "--kind", "correction", "--yes", "--json").document
    assert (again["state"], again["sent_now"]) == ("sent", False)
    assert "has no brief 9" in one_sentence(
        project.run("correct", day, "--brief", "9", "--text", text, "--yes")
    )
