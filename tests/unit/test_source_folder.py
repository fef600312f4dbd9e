"""A folder of brief files."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from newsletter.briefs.sources import folder
from newsletter.briefs.sources.reading import Reading, SourceContext
from newsletter.errors import SourceError
from newsletter.settings import FolderSource, Vocabulary

STAMP = datetime(2026, 11, 2, 6, 30, tzinfo=UTC)


def text(title: str = "Port reopens") -> str:
    return f"{title}\nAFBytes Brief\nShips are back in Kilm.\n"


def put(root: Path, name: str, content: str | bytes) -> Path:
    path = root / "briefs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    os.utime(path, (STAMP.timestamp(), STAMP.timestamp()))
    return path


def read(root: Path) -> Reading:
    context = SourceContext(root=root, vocabulary=Vocabulary(), user_agent="")
    return folder.read_folder(FolderSource(kind="folder", path=Path("briefs")), context)


def titles(reading: Reading) -> list[str]:
    return [item.brief.title for item in reading.items]


def test_every_format_is_read_in_order_of_the_names(tmp_path: Path) -> None:
    document = {"title": "Json", "summary": "s"}
    put(tmp_path, "e.TXT", text("Text"))
    put(tmp_path, "d.md", "# Markdown\n\nAFBytes Brief\n\nShips are back.\n")
    put(tmp_path, "c.html", "<h1>Page</h1><p>AFBytes Brief</p><p>Ships are back.</p>")
    put(tmp_path, "b.json", json.dumps(document))
    put(tmp_path, "a.jsonl", "".join(json.dumps({**document, "title": t}) + "\n" for t in "XY"))
    put(tmp_path, "b/z.txt", text("Deep"))
    put(tmp_path, "a/a/a.htm", "<h1>Deepest</h1><p>AFBytes Brief</p><p>Ships are back.</p>")
    put(tmp_path, "picture.png", b"\x89PNG")
    reading = read(tmp_path)
    assert titles(reading) == ["X", "Y", "Json", "Page", "Markdown", "Text", "Deepest", "Deep"]
    assert [item.origin for item in reading.items][-2:] == ["a/a/a.htm", "b/z.txt"]
    assert [item.place for item in reading.items][:3] == ["a.jsonl#0", "a.jsonl#1", "b.json#0"]
    assert reading.problems == ()


@pytest.mark.parametrize(
    "name",
    [
        *(".hidden.txt", ".git/story.txt", "story.txt~", "story.txt.tmp", "story.txt.part"),
        *(".story.txt.swp", "story.txt.crdownload", "story.docx", "story", "copy.tmp/story.txt"),
    ],
)
def test_what_is_not_meant_is_not_read(tmp_path: Path, name: str) -> None:
    put(tmp_path, name, text())
    assert read(tmp_path) == Reading()


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    inside = put(tmp_path, "inside.txt", text("Inside"))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text(text("Secret"))
    briefs = inside.parent
    (briefs / "a-link.txt").symlink_to(inside.name)
    (briefs / "b-link.txt").symlink_to(outside / "secret.txt")
    (briefs / "c-link").symlink_to(outside)
    (briefs / "loop.txt").symlink_to("loop.txt")
    (briefs / "loops").symlink_to(briefs)
    (briefs / "inside.yaml").symlink_to(outside / "secret.txt")
    reading = read(tmp_path)
    assert titles(reading) == ["Inside", "Inside"]
    assert [item.origin for item in reading.items] == ["a-link.txt", "inside.txt"]


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", "story.txt", text())
    (tmp_path / "briefs").symlink_to(tmp_path / "elsewhere" / "briefs")
    assert titles(read(tmp_path)) == ["Port reopens"]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = put(tmp_path, "story.txt", text())
    os.mkfifo(path.parent / "pipe.txt")
    assert titles(read(tmp_path)) == ["Port reopens"]


def test_a_bad_file_never_stops_the_rest(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", b"\x89PNG\r\n\x1a\n")
    put(tmp_path, "b.json", '{"title": "t"')
    put(tmp_path, "c.txt", "")
    put(tmp_path, "d.jsonl", '{"title": "t", "summary": "s"}\n{"title": 1}\n')
    put(tmp_path, "e.txt", text())
    reading = read(tmp_path)
    assert titles(reading) == ["t", "Port reopens"]
    assert [problem.split(":")[0] for problem in reading.problems] == [
        "a.txt",
        "b.json, line 1",
        "c.txt",
        "d.jsonl, line 2, summary",
    ]


def test_a_file_over_the_ceiling_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "MAX_FILE_BYTES", len(text()))
    put(tmp_path, "a.txt", text())
    put(tmp_path, "b.txt", text() + "x")
    reading = read(tmp_path)
    assert len(reading.items) == 1
    assert reading.problems == (f"b.txt: is larger than {len(text())} bytes; split it.",)


def test_a_file_that_is_being_written_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, "a.txt", text("Half"))
    put(tmp_path, "b.txt", text("Whole"))
    stat = Path.stat
    asked: list[Path] = []

    def write_on(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if self == path and follow_symlinks:
            asked.append(self)
        if len(asked) == 2:
            path.write_text(text("Half and more"))
        return stat(self, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", write_on)
    reading = read(tmp_path)
    assert titles(reading) == ["Whole"]
    assert reading.problems == ("a.txt: is being written; it is read at the next gathering.",)


def test_the_document_comes_before_the_sidecar_and_that_before_the_file(tmp_path: Path) -> None:
    own = "---\nid: own\npublished_at: 2026-01-01T00:00:00Z\n---\n"
    put(tmp_path, "a.txt", text("None"))
    put(tmp_path, "b.txt", text("Sidecar"))
    put(tmp_path, "b.yaml", "id: beside\ndate: 2026-02-02 02:02\ntopics: [a, b]\nauthor: Ada\n")
    put(tmp_path, "c.md", own + text("Both"))
    put(tmp_path, "c.yaml", "id: beside\npublished_at: 2026-02-02\nlink: https://n.example/1\n")
    none, sidecar, both = (item for item in read(tmp_path).items)
    assert (none.brief.published_at, none.dated_at) == (None, STAMP)
    assert sidecar.brief.published_at == datetime(2026, 2, 2, 2, 2, tzinfo=UTC)
    assert (sidecar.brief.id, sidecar.brief.author) == ("beside", "Ada")
    assert sidecar.brief.topics == ("a", "b")
    assert (both.brief.id, both.brief.link) == ("own", "https://n.example/1")
    assert both.brief.published_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_sidecar_names_no_brief_of_several(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", text("One") + "\n---\n\n" + text("Two"))
    put(tmp_path, "a.yaml", "id: x\nlink: https://n.example/x\nauthor: Ada\n")
    briefs = [item.brief for item in read(tmp_path).items]
    assert [(b.title, b.id, b.link, b.author) for b in briefs] == [
        ("One", "", "", "Ada"),
        ("Two", "", "", "Ada"),
    ]


@pytest.mark.parametrize("sidecar", ["date: soon\n", "id: [\n", b"\xff\xfe\x00", "x" * 100_001])
def test_a_brief_waits_for_its_sidecar_to_be_mended(tmp_path: Path, sidecar: str | bytes) -> None:
    put(tmp_path, "a.txt", text())
    put(tmp_path, "a.yaml", sidecar)
    put(tmp_path, "b.txt", text("Other"))
    reading = read(tmp_path)
    assert titles(reading) == ["Other"]
    (problem,) = reading.problems
    assert problem.startswith("a.yaml")


@pytest.mark.parametrize("name", [b"caf\xe9.txt", b"line\nbreak.txt", b"\x1b[31mred.txt"])
def test_a_strange_name_is_shown_in_safe_characters(tmp_path: Path, name: bytes) -> None:
    put(tmp_path, os.fsdecode(name), text())
    (item,) = read(tmp_path).items
    assert item.origin.isprintable()
    item.place.encode()


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"briefs: cannot be read .*make the folder"):
        read(tmp_path)
    (tmp_path / "briefs").write_text("")
    with pytest.raises(SourceError, match="briefs: is not a folder"):
        read(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_reported(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", text()).chmod(0)
    put(tmp_path, "b/b.txt", text()).parent.chmod(0)
    put(tmp_path, "c.txt", text("Open"))
    reading = read(tmp_path)
    (tmp_path / "briefs" / "b").chmod(0o755)
    assert titles(reading) == ["Open"]
    assert reading.problems == (
        "a.txt: cannot be read (permission denied).",
        "b: cannot be read (permission denied).",
    )
