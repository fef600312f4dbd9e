"""`newsletter preview` from the outside: the files it writes, and what it does without Chromium."""

from __future__ import annotations

import json
import struct
from email import policy
from email.parser import BytesParser
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.acceptance.project import Project, one_sentence
from tests.browser.chromium import NEEDS_CHROMIUM

PICTURES = {
    f"digest-{width}-{name}.png": width
    for width in (640, 320)
    for name in ("light", "dark", "images-off", "styles-removed")
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write_brief()
    return project


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]


def read_links(page: str) -> set[str]:
    parser = _Links()
    parser.feed(page)
    return set(parser.found)


def read_size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


class TestWithChromium:
    pytestmark = NEEDS_CHROMIUM

    def test_it_writes_mail_and_pictures_and_a_page_that_shows_them(self, project: Project) -> None:
        opened = project.root / "opened"
        browser = project.root / "browser"
        browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
        browser.chmod(0o755)
        ran = project.run("preview", "--out", "look", "--open", env={"BROWSER": str(browser)})
        assert ran.code == 0, ran.err
        folder = project.root / "look"
        expected = {"digest.html", "digest.txt", "digest.eml", "index.html", *PICTURES}
        assert {path.name for path in folder.iterdir()} == expected
        assert all(f"look/{name}" in ran.out for name in expected)

        heights = {}
        for name, width in PICTURES.items():
            wide, heights[name] = read_size((folder / name).read_bytes())
            assert wide == width
        assert min(heights.values()) > 800  # the whole length, not a window of it
        assert heights["digest-320-light.png"] > heights["digest-640-light.png"]
        light, dark, bare = (
            (folder / f"digest-640-{name}.png").read_bytes()
            for name in ("light", "dark", "styles-removed")
        )
        assert len({light, dark, bare}) == 3

        page = (folder / "index.html").read_text()
        assert read_links(page) == expected - {"index.html"}
        assert "sandbox" in page
        assert opened.read_text().strip() == (folder / "index.html").as_uri()

    def test_a_script_gets_a_list_of_the_files(self, project: Project) -> None:
        document = project.run("preview", "--json").document
        assert document["skipped"] is None
        assert [Path(path).name for path in document["files"]] == [
            "digest.html",
            "digest.txt",
            "digest.eml",
            *PICTURES,
            "index.html",
        ]
        assert all((project.root / path).is_file() for path in document["files"])

    def test_progress_is_shown_while_pictures_are_taken(self, project: Project) -> None:
        with project.show("preview") as terminal:
            terminal.wait_for("Taking picture 4 of 8: 640-styles-removed")
            assert terminal.end() == 0


def test_without_chromium_the_rest_is_written_and_one_line_says_so(project: Project) -> None:
    out = project.root / "preview"
    out.mkdir()
    (out / "digest-640-dark.png").write_bytes(b"of an earlier edition")
    (out / "notes.txt").write_text("an operator's own")
    nowhere = {"CHROMIUM": str(project.root / "nothing")}
    ran = project.run("preview", "--json", env=nowhere)
    assert ran.code == 0, ran.err
    assert {path.name for path in out.iterdir()} == {
        "digest.html",
        "digest.txt",
        "digest.eml",
        "index.html",
        "notes.txt",
    }
    line = (
        f"No pictures were taken: CHROMIUM names {project.root / 'nothing'}, "
        "which is no program; correct or unset it."
    )
    assert ran.err.strip().splitlines() == [line]
    assert json.loads(ran.out)["skipped"] == line
    assert line in (out / "index.html").read_text()


def test_the_files_are_the_parts_of_one_mail(project: Project) -> None:
    ran = project.run("preview", "--no-pictures")
    assert ran.code == 0, ran.err
    assert ran.err == ""
    out = project.root / "preview"
    message = BytesParser(policy=policy.default).parsebytes((out / "digest.eml").read_bytes())
    for kind, name in (("html", "digest.html"), ("plain", "digest.txt")):
        body = message.get_body((kind,))
        assert body is not None
        assert body.get_content() == (out / name).read_bytes().decode()
    assert not list(out.glob("*.png"))


def test_a_named_reader_gets_their_own_copy(project: Project) -> None:
    project.import_readers(2)
    ran = project.run("preview", "--no-pictures", "--to", "Reader2@example.org")
    assert ran.code == 0, ran.err
    mail = (project.root / "preview" / "digest.eml").read_text()
    assert "To: Reader 2 <reader2@example.org>" in mail
    refused = project.run("preview", "--no-pictures", "--to", "nobody@example.org")
    assert refused.code == 1
    assert "no reader has the address nobody@example.org" in one_sentence(refused)


def test_a_reader_of_text_gets_text_alone(project: Project) -> None:
    assert project.run("preview", "--no-pictures").code == 0
    ran = project.run("preview", "--format", "text", "--json")
    assert ran.code == 0, ran.err
    assert [Path(path).name for path in ran.document["files"]] == [
        "digest.txt",
        "digest.eml",
        "index.html",
    ]
    out = project.root / "preview"
    assert not (out / "digest.html").exists()  # of the preview before
    assert "digest.html" not in (out / "index.html").read_text()


def test_a_reader_can_be_made_up_of_choices(project: Project) -> None:
    ran = project.run(
        *("preview", "--no-pictures", "--name", "Ada <b>", "--topics", "Economy,Health"),
        *("--detail", "standard", "--lenses", "Household Impact, Adversary View"),
        *("--minutes", "3", "--language", "de", "--format", "html"),
    )
    assert ran.code == 0, ran.err
    page = (project.root / "preview" / "index.html").read_text()
    for said in (
        "Ada &lt;b&gt; &lt;reader@example.org&gt;",
        "Economy, Health",
        "standard",
        "Household Impact, Adversary View",
        "de",
    ):
        assert f"<bdi>{said}</bdi>" in page


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--detail", "some", "is no level of detail; write one-line, standard or full"),
        ("--minutes", "4", "is no reading time; write 3, 5 or 10"),
        ("--language", "german please", "is no language tag"),
        ("--format", "pdf", "is no format; write html or text"),
    ],
)
def test_a_choice_that_there_is_not_is_refused(
    project: Project, option: str, value: str, said: str
) -> None:
    ran = project.run("preview", "--no-pictures", option, value)
    assert ran.code == 2
    assert option in ran.err
    assert said in " ".join(ran.err.replace("│", " ").split())
    assert not (project.root / "preview").exists()
