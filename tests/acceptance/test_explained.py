"""`gather --explain`: where each item goes today and why, and nothing is composed by asking."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.project import Project

_EDITION = """
[edition]
max_briefs = 3
sections = { Harbor = ["Port", "Ships"], Sport = ["Sport"] }
"""


_SUMMARIES = {
    "Rowers Win the Regatta": "The Alder eight beat Dunmere by two lengths on the Wren.",
    "Port Opens Three Berths": "Ships may plug in at piers 4, 7 and 9 from Monday on.",
    "Library Opens on Sundays": "Readers get five more hours a week at Saltmarket branch.",
    "Bakery Moves Across the Street": "Castellane sells its rye loaves at number 12 now.",
    "Bridge Was Painted": "Workers used 800 liters of green lacquer on the old span.",
    "Ferry Timetable Grows": "Two evening crossings to Kesselby are added for winter.",
}


def write(project: Project, name: str, title: str, front_matter: str = "") -> None:
    front = f"---\n{front_matter}\n---\n" if front_matter else ""
    told = f"{title}\nAFBytes Brief\n{_SUMMARIES[title]}\nWhy this matters\nIt is near.\n"
    (project.root / "briefs" / f"{name}.txt").write_text(front + told)


def test_each_item_has_a_place_and_a_reason(tmp_path: Path) -> None:
    project = Project(tmp_path, delivery=_EDITION)
    write(project, "pinned", "Rowers Win the Regatta", "pinned: true\ntopics: [Sport]")
    write(project, "weighty", "Port Opens Three Berths", "priority: 2\ntopics: [Ships]")
    write(project, "plain", "Library Opens on Sundays")
    write(project, "light", "Bakery Moves Across the Street", "priority: -1")
    write(project, "old", "Bridge Was Painted", "date: 2020-01-01T00:00:00Z")
    (project.root / "briefs" / "blank.txt").write_text("  \n")
    ran = project.run("gather", "--explain", "--json")
    assert ran.code == 0, ran.err
    told = {item["title"] or item["source"]: item for item in ran.document["items"]}
    assert ran.document["outcome"] == "edition"
    assert [(title, item["place"], item["came"]) for title, item in told.items()] == [
        ("Rowers Win the Regatta", "full", "new"),
        ("Port Opens Three Berths", "standard", "new"),
        ("Library Opens on Sundays", "standard", "new"),
        ("Bakery Moves Across the Street", "left out", "new"),
        ("Bridge Was Painted", "too_old", "new"),
        ("briefs", "unreadable", ""),
    ]
    assert told["Rowers Win the Regatta"]["why"].startswith('under "Sport"; pinned; less than an')
    assert "priority 2" in told["Port Opens Three Berths"]["why"]
    bakery = told["Bakery Moves Across the Street"]["why"]
    assert "it ranks 4, and edition.max_briefs is 3" in bakery
    assert "blank.txt" in told["briefs"]["why"]
    project.import_readers(1)
    assert project.run("send", "--yes").code == 0
    write(project, "fresh", "Ferry Timetable Grows")
    again = project.run("gather", "--explain")
    assert again.code == 0, again.err
    text = " ".join(again.out.split())
    assert "An edition had them already (4)" in text
    assert "which is sent, has it" in text
    assert "which is sent, left it out" in text
    assert "Waiting for the next edition (1)" in text
    assert "Not readable (1)" in text


def test_a_check_says_why_each_brief_stands_where_it_does(tmp_path: Path) -> None:
    project = Project(tmp_path, delivery=_EDITION)
    write(project, "pinned", "Rowers Win the Regatta", "pinned: true\ntopics: [Sport]")
    write(project, "plain", "Library Opens on Sundays")
    ran = project.run("check", "--no-browser")
    assert ran.code == 0, ran.err
    assert "Why here" in ran.out
    assert "pinned; less than an hour old; has analysis" in ran.out
