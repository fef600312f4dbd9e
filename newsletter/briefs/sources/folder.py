"""A folder of brief files, with all its subfolders.

Read are .txt, .md, .json, .jsonl, .html and .htm; every other file is passed over, and so are
names that begin with a dot or end like those of editors, downloads and copies under way.
Beside `story.txt` (or `story.html`, …) may stand `story.yaml`, a sidecar with the keys of the
front matter: id, link, topics, author, published_at, sources, picture. What the document says
itself comes first, then the sidecar, then the file's own time.

Nothing outside of the folder is read: a link is followed only to a file within it. A file
that changes while it is read is left for the next gathering.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from newsletter.briefs.formats import parse_document
from newsletter.briefs.front_matter import parse_front_matter
from newsletter.briefs.model import Brief
from newsletter.briefs.sources.reading import Item, Reading, SourceContext
from newsletter.errors import BriefError, SourceError
from newsletter.settings import FolderSource, Vocabulary

MAX_FILE_BYTES = 5_000_000
MAX_SIDECAR_BYTES = 100_000

_SUFFIXES = {".txt", ".md", ".json", ".jsonl", ".html", ".htm"}
_UNFINISHED = ("~", ".tmp", ".temp", ".part", ".partial", ".swp", ".swo", ".crdownload", ".bak")
_OF_ONE_BRIEF = {"id", "link", "picture"}  # they say nothing about a file of several


def read_folder(source: FolderSource, context: SourceContext) -> Reading:
    """Read every brief in the folder. Raises `SourceError` if there is no such folder."""
    root = context.root / source.path
    try:
        root = root.resolve(strict=True)
        if not root.is_dir():
            raise SourceError("is not a folder", file=source.path)
        os.scandir(root).close()
    except OSError as error:
        raise SourceError(
            _said(error),
            file=source.path,
            mend="make the folder, or correct path in the configuration",
        ) from None
    items: list[Item] = []
    problems: list[str] = []

    def note(error: OSError) -> None:
        name = _shown(Path(error.filename), root)
        problems.append(str(BriefError(_said(error), file=name)))

    for path in _walk(root, note):
        try:
            found, unusable = _read_file(path, root, context.vocabulary)
        except BriefError as error:
            problems.append(str(error))
        else:
            items += found
            problems += unusable
    return Reading(items=tuple(items), problems=tuple(problems))


def _walk(root: Path, on_error: Callable[[OSError], None]) -> Iterator[Path]:
    """Yield the files that may hold briefs, ordered by name, a folder's files before its own."""
    for folder, subfolders, names in os.walk(root, onerror=on_error):  # follows no linked folder
        subfolders[:] = sorted(name for name in subfolders if _is_finished(name))
        for name in sorted(names):
            path = Path(folder, name)
            if path.suffix.lower() in _SUFFIXES and _is_finished(name) and _is_within(path, root):
                yield path


def _is_finished(name: str) -> bool:
    return not name.startswith(".") and not name.lower().endswith(_UNFINISHED)


def _is_within(path: Path, root: Path) -> bool:
    return not path.is_symlink() or Path(os.path.realpath(path)).is_relative_to(root)


def _read_file(path: Path, root: Path, vocabulary: Vocabulary) -> tuple[list[Item], list[str]]:
    """Read one file: its briefs, and what is to be said about those that are none."""
    name = _shown(path, root)
    content = _read_whole(path, name, MAX_FILE_BYTES)
    if content is None:
        return [], []
    data, modified_at = content
    beside = _read_sidecar(path.with_suffix(".yaml"), root)
    parsed = parse_document(data, suffix=path.suffix.lower(), vocabulary=vocabulary, file=name)
    if len(parsed.briefs) > 1:
        beside = {key: value for key, value in beside.items() if key not in _OF_ONE_BRIEF}
    items = [
        Item(
            brief=_complete(brief, beside),
            origin=name,
            place=f"{name}#{index}",
            dated_at=modified_at,
            warnings=warnings,
        )
        for index, (brief, warnings) in enumerate(zip(parsed.briefs, parsed.warnings, strict=True))
    ]
    return items, [str(problem) for problem in parsed.problems]


def _read_whole(path: Path, name: str, max_bytes: int) -> tuple[bytes, datetime] | None:
    """Read a file that nobody is writing to; None for what is no regular file.

    Raises `BriefError` for one that cannot be read now.
    """
    try:
        before = path.stat()
        if not stat.S_ISREG(before.st_mode):
            return None
        if before.st_size > max_bytes:
            raise BriefError(f"is larger than {max_bytes} bytes", file=name, mend="split it")
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
        after = path.stat()
    except OSError as error:
        raise BriefError(_said(error), file=name) from None
    if _version(before) != _version(after) or len(data) != after.st_size:
        raise BriefError("is being written; it is read at the next gathering", file=name)
    return data, datetime.fromtimestamp(after.st_mtime, UTC)


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read_sidecar(path: Path, root: Path) -> Mapping[str, Any]:
    """Read what stands beside a document.

    Raises `BriefError` if it cannot be read: without it the brief might come out on the wrong
    day, or as another one, so it waits.
    """
    if not path.is_file() or not _is_within(path, root):
        return {}
    name = _shown(path, root)
    content = _read_whole(path, name, MAX_SIDECAR_BYTES)
    try:
        block = (content[0] if content else b"").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BriefError("is not UTF-8", file=name, mend="save it as UTF-8") from None
    return parse_front_matter(block, file=name, line=1).fields


def _complete(brief: Brief, beside: Mapping[str, Any]) -> Brief:
    missing = {key: value for key, value in beside.items() if not getattr(brief, key)}
    return replace(brief, **missing)


def _said(error: OSError) -> str:
    return f"cannot be read ({(error.strerror or type(error).__name__).lower()})"


def _shown(path: Path, root: Path) -> str:
    """Name a file within the folder, in characters that terminals and databases can take."""
    name = path.relative_to(root).as_posix()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
