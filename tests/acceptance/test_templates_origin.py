"""Templates come from the checkout, and from an operator's folder, one partial at a time.

That they come from an installed wheel as well is shown where the wheel is built: `.ci/run`.
"""

from __future__ import annotations

from pathlib import Path

from newsletter.render.templates import shipped_directory
from tests.acceptance.project import Project


def _preview(project: Project) -> str:
    ran = project.run("preview", "--json")
    assert ran.code == 0, ran.err
    written: list[str] = ran.document["files"]
    return (project.root / written[0]).read_text()


def test_an_operators_partial_comes_before_the_shipped_one(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write_brief()
    shipped = _preview(project)
    assert "North Quay Reopens Early" in shipped

    name = "partials/masthead.mjml.j2"
    own = project.root / "templates" / name
    own.parent.mkdir(parents=True)
    text = (shipped_directory() / name).read_text()
    assert '"Read in browser"' in text
    own.write_text(text.replace('"Read in browser"', '"Read it on our own page"'))
    changed = _preview(project)
    assert "Read it on our own page" in changed
    assert "North Quay Reopens Early" in changed


def test_in_a_checkout_they_are_the_checkouts_own() -> None:
    assert shipped_directory() == Path(__file__).parents[2] / "templates"
