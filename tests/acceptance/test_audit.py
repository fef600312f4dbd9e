"""What operators do by the command line stands in the audit, and nobody changes it unseen."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.acceptance.project import KEY, Project
from tests.acceptance.test_operator import ask


def test_an_operators_day_stands_in_the_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEWSLETTER_SECRET_KEY", KEY)
    project = Project(tmp_path, more="[review]\nrequired = true")
    project.write_brief()
    project.write_brief("second.txt", "Library Opens on Sundays")
    project.import_readers(3)
    assert ask(project, "gather").code == 0
    assert ask(project, "review", "approve", "1", "--note", "good").code == 0
    assert ask(project, "review", "reject", "2", "--note", "reader1@example.org says no").code == 0
    sent = project.run("send", "--yes")
    assert sent.code == 0, sent.err
    assert ask(project, "subscribers", "erase", "reader1@example.org", "--yes").code == 0

    entries = list(reversed(ask(project, "audit", "--json").document))
    day = datetime.now(UTC).date()
    assert [(each["action"], each["target"]) for each in entries] == [
        ("readers.import", "import 1"),
        ("brief.approved", "brief 1"),
        ("brief.rejected", "brief 2"),
        ("edition.review", f"edition {day}"),
        ("edition.approve", f"edition {day}"),
        ("reader.erase", "reader 1"),
    ]
    assert len({each["who"] for each in entries}) == 1
    assert "@" in entries[0]["who"], "the system's user"
    assert "reader1@" not in ask(project, "audit", "--json").out

    verified = ask(project, "audit", "verify", "--json").document
    known = f"{verified['entries']}:{verified['hash']}"
    assert verified["entries"] == 6
    assert ask(project, "audit", "verify", "--known", known).code == 0

    manifest = ask(project, "audit", "edition", str(day), "--json").document
    assert manifest["audience"] == 3
    assert [each["of"] for each in manifest["approvals"]] == ["brief 1", "edition"]
    assert manifest["faults"] == []
    assert len({v for k, v in manifest.items() if k.endswith("sha256")}) == 4
    assert len(manifest["templates_sha256"]) == 64

    with closing(sqlite3.connect(tmp_path / "newsletter.db")) as database:
        database.execute("UPDATE editions SET content = replace(content, 'North', 'South')")
        database.commit()
    changed = ask(project, "audit", "edition", str(day))
    assert changed.code == 1
    assert "content is not what was approved" in changed.err
    with closing(sqlite3.connect(tmp_path / "newsletter.db")) as database:
        with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
            database.execute("DELETE FROM audit WHERE id = 3")
        database.execute("DROP TRIGGER audit_keeps_delete")
        database.execute("DELETE FROM audit WHERE id = 3")
        database.commit()
    found = ask(project, "audit", "verify")
    assert found.code == 1
    assert "entry 3 is missing" in found.err
