"""The web copy on disk: what is written, what is left alone, and what is never touched."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from lxml import html as lxml_html
from sqlalchemy import insert, select, update

from newsletter.briefs.model import Brief, Source
from newsletter.editions.lifecycle import EditionState
from newsletter.editions.model import Edition, Window
from newsletter.editions.shelf import list_released, list_withdrawn, store_edition
from newsletter.errors import RefusedError, StorageError, TemplateError
from newsletter.render.apart import within_limits
from newsletter.render.site import check_site, write_site
from newsletter.render.templates import find_templates
from newsletter.render.web import Published
from newsletter.render.web_pages import build_pages
from newsletter.settings import Publication, Templates, Vocabulary
from newsletter.store import Database
from newsletter.store.tables import briefs, deliveries, editions

DAY = date(2026, 11, 23)
NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)
BUILD = partial(
    build_pages,
    publication=Publication(
        name="Harbor Daily",
        sender="Harbor Daily <daily@news.example>",
        list_id="daily.news.example",
        url="https://news.example",
    ),
    vocabulary=Vocabulary(),
    templates=find_templates(),
)


def make_edition(day: date) -> Edition:
    title = f"Ferry number {day.day} reopens on the north quay and stays open …"
    brief = Brief(title=title, summary="It did.", sources=(Source(name="quay.example"),))
    return Edition(
        date=day,
        window=Window(start=NOW - timedelta(days=9), cut_off=NOW),
        subject=f"Ferry number {day.day} …",
        preheader="",
        briefs=(brief, replace(brief, title=f"Second of {day.day}")),
    )


Store = Callable[..., int]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "public"


@pytest.fixture
def store(database: Database) -> Store:
    def store_it(day: date = DAY, state: EditionState = "sent", reached: str = "") -> int:
        dated = None if state in ("draft", "ready", "held") else NOW.replace(day=day.day)
        with database.writing() as connection:
            ids = [
                connection.execute(
                    insert(briefs)
                    .values(
                        source="folder",
                        origin=f"{day}-{number}",
                        document={},
                        warnings=[],
                        published_at=NOW,
                        first_seen_at=NOW,
                        changed_at=NOW,
                    )
                    .returning(briefs.c.id)
                ).scalar_one()
                for number in (1, 2)
            ]
            record = store_edition(
                connection, make_edition(day), state="draft", brief_ids=ids, now=NOW
            )
            connection.execute(
                update(editions)
                .where(editions.c.id == record.id)
                .values(state=state, dated_at=dated)
            )
            if reached:
                connection.execute(
                    insert(deliveries).values(
                        edition_id=record.id,
                        subscriber_id=1,
                        email="a@example.org",
                        email_key="a@example.org",
                        name="",
                        choices={},
                        fields={},
                        state=reached,
                        next_attempt_at=NOW,
                        changed_at=NOW,
                    )
                )
        return record.id

    return store_it


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def times(folder: Path) -> dict[str, int]:
    return {name: (folder / name).stat().st_mtime_ns for name in files(folder)}


def page(folder: Path, day: date) -> lxml_html.HtmlElement:
    data = (folder / f"editions/{day}/index.html").read_bytes()
    return lxml_html.document_fromstring(data, parser=lxml_html.HTMLParser(encoding="utf-8"))


def test_all_that_readers_may_have_is_written(
    database: Database, store: Store, folder: Path
) -> None:
    states: tuple[EditionState, ...] = ("approved", "sending", "paused", "sent")
    days = [DAY - timedelta(days=n) for n in range(4)]
    for day, state in zip(days, states, strict=True):
        store(day, state)
    hidden: tuple[EditionState, ...] = ("draft", "ready", "held", "cancelled")
    for n, state in enumerate(hidden, 5):
        store(DAY - timedelta(days=n), state)
    seen: list[tuple[int, int]] = []
    written = write_site(
        database, folder, BUILD, on_edition=lambda done, total: seen.append((done, total))
    )
    assert list(written.editions) == days
    expected = {f"editions/{day}/index.html" for day in days}
    expected |= {f"editions/{day}/briefs/{n}/index.html" for day in days for n in (1, 2)}
    expected |= {f"editions/{name}" for name in ("index.html", "feed.xml", "atom.xml", "feed.json")}
    assert set(files(folder)) == set(written.written) == expected
    assert (written.unchanged, written.removed) == (0, ())
    assert seen == [(0, 4), (4, 4)]
    listed = (folder / "editions/index.html").read_text()
    assert "Ferry number 20 reopens on the north quay and stays open …" in listed  # not cut


def test_a_page_is_for_everybody_to_read(database: Database, store: Store, folder: Path) -> None:
    store()
    write_site(database, folder, BUILD)
    mask = os.umask(0)
    os.umask(mask)
    mode = (folder / "editions/2026-11-23/index.html").stat().st_mode & 0o777
    assert mode == 0o666 & ~mask


def test_what_did_not_change_keeps_its_time(database: Database, store: Store, folder: Path) -> None:
    for n in range(5):
        store(DAY - timedelta(days=n))
    write_site(database, folder, BUILD)
    before = times(folder)
    again = write_site(database, folder, BUILD)
    assert (again.written, again.unchanged) == ((), len(before))
    assert times(folder) == before

    store(DAY + timedelta(days=1))
    third = write_site(database, folder, BUILD)
    changed = {name for name, time in times(folder).items() if before.get(name) != time}
    assert changed == set(third.written)
    old = {f"editions/{DAY}/index.html"}  # it has a neighbour now
    shared = {f"editions/{name}" for name in ("index.html", "feed.xml", "atom.xml", "feed.json")}
    assert {name for name in changed if name in before} == old | shared


def test_one_day_is_written_with_its_neighbours_alone(
    database: Database, store: Store, folder: Path
) -> None:
    for n in range(5):
        store(DAY - timedelta(days=n))
    middle = DAY - timedelta(days=2)
    written = write_site(database, folder, BUILD, day=middle)
    assert written.editions == (middle, DAY - timedelta(days=1), DAY - timedelta(days=3))
    assert written.written[0] == f"editions/{middle}/index.html"
    one_by_one = files(folder)
    write_site(database, folder, BUILD)
    assert {name: files(folder)[name] for name in one_by_one} == one_by_one
    links = page(folder, middle).xpath("//a[@rel]/@href")
    assert links == ["/editions/2026-11-20", "/editions/2026-11-22"]
    with pytest.raises(RefusedError, match="2026-12-24 is not approved"):
        write_site(database, folder, BUILD, day=date(2026, 12, 24))


def test_nothing_is_written_of_drafts(database: Database, store: Store, folder: Path) -> None:
    store(state="ready")
    written = write_site(database, folder, BUILD)
    assert (written.editions, written.written) == ((), ())
    assert not (folder).exists()
    with pytest.raises(RefusedError, match="2026-11-23 is not approved"):
        write_site(database, folder, BUILD, day=DAY)


@pytest.mark.parametrize("reached", ["accepted", "in_doubt", "bounced"])
def test_a_cancelled_edition_that_somebody_has_keeps_its_pages(
    database: Database, store: Store, folder: Path, reached: str
) -> None:
    store(state="cancelled", reached=reached)
    assert write_site(database, folder, BUILD).editions == (DAY,)


def test_one_that_nobody_has_is_taken_down(database: Database, store: Store, folder: Path) -> None:
    earlier = DAY - timedelta(days=1)
    store(earlier)
    edition_id = store(state="approved", reached="suppressed")
    write_site(database, folder, BUILD)
    own = folder / f"editions/{DAY}/briefs/1/photo.jpg"
    own.write_bytes(b"the operator's")
    foreign = folder / f"editions/{DAY}/briefs/7/index.html"
    foreign.parent.mkdir()
    foreign.write_bytes(b"the operator's")
    with database.writing() as connection:
        connection.execute(
            update(editions).where(editions.c.id == edition_id).values(state="cancelled")
        )
        assert list_withdrawn(connection) == ((DAY, "daily"),)
    written = write_site(database, folder, BUILD)
    assert sorted(written.removed) == [
        f"editions/{DAY}/briefs/1/index.html",
        f"editions/{DAY}/briefs/2/index.html",
        f"editions/{DAY}/index.html",
    ]
    left = {str(p.relative_to(folder)) for p in (folder / f"editions/{DAY}").rglob("*")}
    assert left == {
        f"editions/{DAY}/briefs",
        f"editions/{DAY}/briefs/1",
        f"editions/{DAY}/briefs/1/photo.jpg",
        f"editions/{DAY}/briefs/7",
        f"editions/{DAY}/briefs/7/index.html",
    }
    assert f"/editions/{DAY}" not in (folder / "editions/index.html").read_text()
    assert page(folder, earlier).xpath("//a[@rel]") == []


def test_no_page_links_to_one_that_was_taken_down(
    database: Database, store: Store, folder: Path
) -> None:
    days = [DAY - timedelta(days=n) for n in range(6)]
    ids = [store(day, "approved") for day in days]
    write_site(database, folder, BUILD)
    with database.writing() as connection:
        connection.execute(
            update(editions).where(editions.c.id == ids[3]).values(state="cancelled")
        )
    write_site(database, folder, BUILD, day=DAY)
    named = {name for name, data in files(folder).items() if str(days[3]).encode() in data}
    assert named == set()
    assert page(folder, days[4]).xpath("//a[@rel='next']/@href") == [f"/editions/{days[2]}"]


def test_what_is_taken_down_leaves_no_empty_folders(
    database: Database, store: Store, folder: Path
) -> None:
    edition_id = store(state="approved")
    write_site(database, folder, BUILD)
    with database.writing() as connection:
        connection.execute(
            update(editions).where(editions.c.id == edition_id).values(state="cancelled")
        )
    assert len(write_site(database, folder, BUILD).removed) == 7
    assert [path.name for path in folder.rglob("*")] == ["editions"]  # it was the only one


@pytest.mark.parametrize(
    "name",
    ["index.html", "feed.xml", "2026-11-23/index.html", "2026-11-23/briefs/2/index.html"],
)
def test_what_another_wrote_is_not_overwritten(
    database: Database, store: Store, folder: Path, name: str
) -> None:
    store()
    foreign = folder / "editions" / name
    foreign.parent.mkdir(parents=True)
    foreign.write_text("<p>the operator's own</p>")
    with pytest.raises(RefusedError, match="was not written by this program") as caught:
        write_site(database, folder, BUILD)
    assert caught.value.file == foreign
    assert foreign.read_text() == "<p>the operator's own</p>"
    published = Published(edition=make_edition(DAY), published_at=NOW)
    with pytest.raises(RefusedError, match="was not written by this program"):
        check_site(folder, BUILD, published)


def test_a_write_that_fails_leaves_the_page_as_it_was(
    database: Database, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(DAY - timedelta(days=1))
    write_site(database, folder, BUILD)
    before = files(folder)
    store()
    synced = os.fsync
    count = 0

    def full(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count == 4:  # the first page that was there already
            raise OSError(28, "No space left on device")
        synced(descriptor)

    monkeypatch.setattr("newsletter.render.site.os.fsync", full)
    with pytest.raises(StorageError, match="No space left on device") as caught:
        write_site(database, folder, BUILD, day=DAY)
    assert "free some space" in str(caught.value)
    assert str(caught.value.file).endswith("2026-11-22/index.html")
    after = files(folder)
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if Path(name).name.startswith(".")]
    monkeypatch.undo()
    assert write_site(database, folder, BUILD, day=DAY).editions[0] == DAY


def test_a_reader_of_a_page_never_sees_a_part_of_it(
    database: Database, store: Store, folder: Path
) -> None:
    store()
    write_site(database, folder, BUILD)
    path = folder / "editions/2026-11-23/index.html"
    torn: list[bytes] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            data = path.read_bytes()
            if not data.endswith(b"<!-- newsletter web copy -->\n"):
                torn.append(data)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for n in range(20):
        publication = BUILD.keywords["publication"].model_copy(update={"name": f"Harbor {n}"})
        renamed = partial(BUILD, publication=publication)
        assert write_site(database, folder, renamed).written
    stop.set()
    watcher.join()
    assert torn == []


def test_trying_leaves_nothing_behind(tmp_path: Path) -> None:
    published = Published(edition=make_edition(DAY), published_at=NOW)
    check_site(tmp_path / "public", BUILD, published)
    assert files(tmp_path) == {}
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="see that its folder can be written"):
        check_site(tmp_path / "file", BUILD, published)


def test_an_operators_own_pages_have_limits(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    own = tmp_path / "web/archive.html.j2"
    own.write_text("{{ publication.name }} has pages of its own")
    templates = find_templates(tmp_path)
    build = partial(
        within_limits(build_pages, templates, Templates(timeout=timedelta(seconds=5))),
        publication=BUILD.keywords["publication"],
        vocabulary=Vocabulary(),
        templates=templates,
    )
    published = Published(edition=make_edition(DAY), published_at=NOW)
    built = build(editions=[published], newest=[published])
    assert built["editions/index.html"].startswith(b"Harbor Daily has pages of its own\n")
    assert built == build_pages(**build.keywords, editions=[published], newest=[published])
    many = "{% set many = ('x' * 90000)|list %}\n"
    own.write_text(many + "{% for a in many %}{% for b in many %}{% endfor %}{% endfor %}")
    with pytest.raises(TemplateError, match="takes longer than the 5 seconds") as caught:
        build(newest=[published])
    assert caught.value.file == str(own)


def test_an_old_edition_is_written_by_a_newer_program(
    database: Database, store: Store, folder: Path
) -> None:
    store()
    write_site(database, folder, BUILD)
    own = folder.parent / "own/web/partials"
    own.mkdir(parents=True)
    (own / "disclosure.html.j2").write_text("<p>A foot of today</p>")
    newer = partial(
        BUILD,
        templates=find_templates(folder.parent / "own"),
    )
    written = write_site(database, folder, newer)
    assert f"editions/{DAY}/briefs/1/index.html" in written.written
    text = (folder / f"editions/{DAY}/index.html").read_text()
    assert "A foot of today" in text
    assert "Second of 23" in text
    with database.reading() as connection:
        assert connection.scalar(select(editions.c.state)) == "sent"
        (released,) = list_released(connection)
    assert released.lead.startswith("Ferry number 23 reopens")
