"""The web copy on disk: the pages and feeds of released editions in a folder that is served.

Each file is whole at every moment: it is written beside its place and then renamed. One that
would not change is left alone, and keeps its time. Nothing is overwritten or removed that this
program has not written (`web.MARK`), and no draft is ever shown. An edition that was cancelled
before it reached anybody is taken down.

Pages come first, the list of editions and the feeds after them: no link leads to nothing.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from newsletter.editions.corrections import list_corrections
from newsletter.editions.model import Kind
from newsletter.editions.receipts import load_approvals
from newsletter.editions.shelf import Released, list_released, list_withdrawn, load_content
from newsletter.errors import RefusedError, StorageError
from newsletter.render.addresses import ARCHIVE_PATH, edition_path
from newsletter.render.feeds import ENTRIES
from newsletter.render.web import (
    FEEDS,
    MARK,
    Listed,
    Published,
    choose_headline,
    file_of,
)
from newsletter.store import Database

Build = Callable[..., dict[str, bytes]]

_BATCH = 10  # editions that are built at once: a process for each would take long
_SHARED = (file_of(ARCHIVE_PATH), *(feed.url.lstrip("/") for feed in FEEDS))
"""The files that are of no one edition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of a folder; files are named relative to it."""

    editions: tuple[date, ...] = ()
    """Whose pages are there now, of those that were asked for."""
    latest: str = ""
    """The path of the latest of them; "" where there is none."""
    written: tuple[str, ...] = ()
    unchanged: int = 0
    removed: tuple[str, ...] = ()


def write_site(
    database: Database,
    folder: Path,
    build: Build,
    *,
    day: date | None = None,
    on_edition: Callable[[int, int], None] = lambda _done, _total: None,
) -> Written:
    """Write the pages of every released edition, or of a day's and its neighbours, and the feeds.

    `build` is `web_pages.build_pages` with the publication and its templates given, and
    `on_edition` is told how many of how many are done. Raises `RefusedError` where the asked
    edition is not released, or a file that is not ours stands in the way; `StorageError` where
    the disk refuses, `TemplateError` for a fault in a template.
    """
    with database.reading() as connection:
        released = list_released(connection)
        withdrawn = list_withdrawn(connection)
    chosen = _choose(released, day)
    removed = [name for gone in withdrawn for name in _take_down(folder, *gone)]
    if removed:  # pages beside it link to it, and those may be any
        chosen.extend(n for n in range(len(released)) if n not in chosen)
    written: list[str] = []
    unchanged = 0

    def put(files: Mapping[str, bytes]) -> None:
        nonlocal unchanged
        for name, data in files.items():
            if _put(folder, name, data):
                written.append(name)
            else:
                unchanged += 1

    for done in range(0, len(chosen), _BATCH):
        on_edition(done, len(chosen))
        batch = chosen[done : done + _BATCH]
        put(build(editions=[_load(database, released, position) for position in batch]))
    if released:
        newest = [_load(database, released, n) for n in range(min(ENTRIES, len(released)))]
        put(build(listed=[*map(_list, released)], newest=newest))
    elif removed:  # that was the only one: nothing is left to list
        removed += _remove(folder, [folder / name for name in _SHARED])
    on_edition(len(chosen), len(chosen))
    latest = released[min(chosen)] if chosen else None
    return Written(
        editions=tuple(released[position].date for position in chosen),
        latest=edition_path(latest.date, latest.kind) if latest else "",
        written=tuple(written),
        unchanged=unchanged,
        removed=tuple(removed),
    )


def check_site(folder: Path, build: Build, published: Published) -> None:
    """Try all that can fail of an edition's pages, and leave nothing behind but folders.

    Raises what `write_site` would.
    """
    edition = published.edition
    listed = Listed(date=edition.date, title=edition.subject, kind=edition.kind)
    for name in build(editions=[published], listed=[listed], newest=[published]):
        _read_own(folder / name)
    tried = folder / file_of(ARCHIVE_PATH)
    with _refusing(tried):
        tried.parent.mkdir(parents=True, exist_ok=True)
        _write_beside(tried, b"").unlink()


def build_files(database: Database, build: Build, day: date | None) -> dict[str, bytes]:
    """Build the pages of a released edition, or the list of all and the feeds; by file.

    Empty where there is no such edition, or none at all. Raises `TemplateError`.
    """
    with database.reading() as connection:
        released = list_released(connection)
    if day is None:
        newest = [_load(database, released, n) for n in range(min(ENTRIES, len(released)))]
        return build(listed=[*map(_list, released)], newest=newest) if newest else {}
    found = [n for n, each in enumerate(released) if each.date == day]
    return build(editions=[_load(database, released, n) for n in found]) if found else {}


def _choose(released: tuple[Released, ...], day: date | None) -> list[int]:
    """Choose positions: all, or those of one day and of the editions beside it."""
    if day is None:
        return list(range(len(released)))
    found = [n for n, each in enumerate(released) if each.date == day]
    if not found:
        raise RefusedError(
            f"the edition of {day} is not approved, so it has no pages",
            mend="`newsletter status` lists the editions there are",
        )
    # Its own pages first: they are what the mail links to.
    return [n for n in (*found, found[0] - 1, found[-1] + 1) if 0 <= n < len(released)]


def _load(database: Database, released: tuple[Released, ...], position: int) -> Published:
    own = released[position]
    later, earlier = released[max(0, position - 1) : position], released[position + 1 :][:1]
    with database.reading() as connection:
        edition = load_content(connection, own.id)
        corrections = list_corrections(connection, own.id)
        approvals = load_approvals(connection, own.id)
    return Published(
        edition=edition,
        published_at=own.dated_at,
        previous=next(map(_list, earlier), None),
        next=next(map(_list, later), None),
        corrections=corrections[::-1],
        approvals=approvals,
    )


def _list(released: Released) -> Listed:
    title = choose_headline(released.subject, released.lead)
    return Listed(date=released.date, title=title, kind=released.kind)


# -- files -----------------------------------------------------------------------------------------


def _put(folder: Path, name: str, data: bytes) -> bool:
    """Write a file unless it is as it should be; say whether it was written."""
    path = folder / name
    if _read_own(path) == data:
        return False
    with _refusing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_beside(path, data).replace(path)
    return True


def _read_own(path: Path) -> bytes | None:
    """Read a file of ours; None where there is none. Raises `RefusedError` for another's."""
    with _refusing(path):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
    if MARK.encode() not in data:
        raise RefusedError(
            "stands where the web copy belongs, and was not written by this program",
            file=path,
            mend="move it away, or name another folder",
        )
    return data


def _write_beside(path: Path, data: bytes) -> Path:
    """Write to a new file in the folder of `path`, on disk when this returns."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    return beside


def _take_down(folder: Path, day: date, kind: Kind) -> Iterator[str]:
    """Remove the pages of an edition that are ours, and the folders that are empty then."""
    top = folder / edition_path(day, kind).lstrip("/")
    with _refusing(top):
        pages = [*top.glob("briefs/*/index.html"), top / "index.html"]
        yield from _remove(folder, pages)
        for emptied in (*(page.parent for page in pages[:-1]), top / "briefs", top):
            with suppress(OSError):  # something else is in there
                emptied.rmdir()


def _remove(folder: Path, paths: list[Path]) -> Iterator[str]:
    """Remove those of the files that are there and ours."""
    for path in paths:
        with _refusing(path):
            if path.is_file() and MARK.encode() in path.read_bytes():
                path.unlink()
                yield str(path.relative_to(folder))


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn the system's refusal into one sentence about a file of the web copy."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StorageError(
            f"the web copy cannot be written ({error.strerror})",
            file=path,
            mend="free some space" if full else "see that its folder can be written",
        ) from None
