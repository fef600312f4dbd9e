"""An import can be looked at before, and taken back after: exactly, on both databases."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from newsletter.audience import importer, imports
from newsletter.audience.address import parse_address
from newsletter.audience.entry import Entry
from newsletter.audience.importer import ImportReport, import_subscribers
from newsletter.audience.imports import UndoReport, list_imports, undo_import
from newsletter.audience.reader import Choices
from newsletter.audience.subscribers import add_subscriber, remove_subscriber
from newsletter.delivery.ledger import Ledger
from newsletter.errors import AudienceError, RefusedError
from newsletter.store import Database
from newsletter.store.tables import editions, import_changes, subscribers, suppressions
from newsletter.store.tables import imports as imports_table
from tests.audience import PSEUDONYMS

NOW = datetime(2026, 6, 1, 6, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
MUCH_LATER = NOW + timedelta(hours=2)


def load(database: Database, text: str, *, now: datetime = NOW, **more: Any) -> ImportReport:
    stream = io.BytesIO(text.encode())
    return import_subscribers(database, stream, now=now, pseudonyms=PSEUDONYMS, **more)


def undo(database: Database, number: int | None, *, now: datetime = MUCH_LATER) -> UndoReport:
    assert number is not None
    return undo_import(database, number, now=now)


def rows(database: Database, *tables: Any) -> list[list[tuple[Any, ...]]]:
    """Give all that is stored of the audience."""
    with database.reading() as connection:
        return [
            sorted(map(tuple, connection.execute(select(table))), key=repr)
            for table in tables or (subscribers, suppressions)
        ]


def enrol(database: Database, *, at: datetime) -> int:
    """Freeze an audience, as an approval does."""
    with database.writing() as connection:
        edition_id: int = connection.execute(
            insert(editions)
            .values(
                date=at.date(),
                state="approved",
                window_start=at,
                cut_off=at,
                created_at=at,
                dated_at=at.replace(microsecond=0),
            )
            .returning(editions.c.id)
        ).scalar_one()
        Ledger.enrol(connection, edition_id, at)
    return edition_id


BEFORE = (
    "email,name,topics,City,consent_source\n"
    "Ada@b.example,Ada,economy,Bern,form\nbo@b.example,Bo,,,form\nin@b.example,In,,,form\n"
)
FILE = (
    "email,name,topics,minutes,City,consent_source,status\n"
    "ada@b.example,Ada L.,world,5,Basel,letter,\n"  # line 2: changed in each way
    "bo@b.example,,,,,,\n"  # 3: says nothing new
    "out@b.example,,,,,,\n"  # 4: kept out
    "new@b.example,New,,,,fair,\n"  # 5: new
    "gone@b.example,,,,,,unsubscribed\n"  # 6: must not be mailed
    "in@b.example,Inge,,,,,complained\n"  # 7: changed, and must not be mailed any more
    "nobody,,,,,,\n"  # 8: bad
    "new@b.example,Newer,,,,,\n"  # 9: repeated
    "noconsent@b.example,,,,,,\n"  # 10: bad, where consent is asked for
)


@pytest.fixture
def database(backend: Database) -> Database:
    load(backend, BEFORE)
    remove_subscriber(backend, "out@b.example", now=NOW, pseudonyms=PSEUDONYMS)
    return backend


def test_a_dry_run_says_what_an_import_does(database: Database) -> None:
    before = rows(database)
    known = len(list_imports(database))
    dry = load(database, FILE, now=LATER, dry_run=True, needs_consent=True)
    assert rows(database) == before
    assert len(list_imports(database)) == known
    real = load(database, FILE, now=LATER, needs_consent=True)
    expected = dry.to_document() | {"import": real.number, "dry_run": False}
    assert real.to_document() == expected
    assert (dry.rows, dry.added, dry.updated, dry.unchanged, dry.repeated) == (9, 1, 1, 1, 1)
    assert dry.kept_out == {"unsubscribed": 2, "complained": 1}
    assert [(row.line, row.reason.partition(":")[0]) for row in dry.bad_rows] == [
        (8, "email"),
        (10, "consent_source"),
    ]
    ada = dry.changed[0]
    assert (ada.email, ada.values) == (
        "ada@b.example",
        {
            "email": ("Ada@b.example", "ada@b.example"),
            "name": ("Ada", "Ada L."),
            "choices.topics": (["economy"], ["world"]),
            "choices.minutes": (None, 5),
            "fields.city": ("Bern", "Basel"),
            "consent_source": ("form", "letter"),
        },
    )
    assert dry.changed_fields["name"] == 2  # Inge's too, who is kept out from now on
    assert dry.kept_out_readers == (
        ("out@b.example", "unsubscribed"),
        ("gone@b.example", "unsubscribed"),
        ("in@b.example", "complained"),
    )


@pytest.mark.parametrize("entries", [1, 3, 1000])
def test_an_undone_import_was_never_there_but_for_suppressions(
    database: Database, monkeypatch: pytest.MonkeyPatch, entries: int
) -> None:
    monkeypatch.setattr(importer, "_BATCH_ENTRIES", entries)
    monkeypatch.setattr(imports, "_BATCH_ROWS", 2)
    readers, reasons = rows(database)
    report = load(database, FILE, now=LATER)
    done = undo(database, report.number)
    assert (done.removed, done.restored, done.kept) == (3, 2, ())
    after, suppressed = rows(database)
    in_before = next(row for row in readers if row[1] == "in@b.example")
    in_after = next(row for row in after if row[1] == "in@b.example")
    assert in_after[4] == "complained"  # what was learned against mailing stays
    assert [*in_after[:4], *in_after[5:]] == [*in_before[:4], *in_before[5:]]
    assert [r for r in after if r != in_after] == [r for r in readers if r != in_before]
    kept = {row[0]: row[1] for row in suppressed}
    assert kept == {row[0]: row[1] for row in reasons} | {
        "gone@b.example": "unsubscribed",
        "in@b.example": "complained",
    }
    assert rows(database, import_changes) == [[]]
    assert list_imports(database)[0].state == "undone"
    with pytest.raises(RefusedError, match="was undone on 2026-06-01 at 08:00 UTC"):
        undo(database, report.number)
    # Who left stays out at the next import.
    assert load(database, "email\ngone@b.example\n").kept_out == {"unsubscribed": 1}


def test_who_acted_or_was_enrolled_since_is_kept_and_named(database: Database) -> None:
    text = "email\n" + "".join(f"n{number}@b.example\n" for number in range(4))
    report = load(database, text, now=LATER)
    remove_subscriber(database, "n0@b.example", now=MUCH_LATER, pseudonyms=PSEUDONYMS)
    entry = Entry(address=parse_address("n1@b.example"), choices=Choices(minutes=3))
    add_subscriber(database, entry, now=MUCH_LATER, pseudonyms=PSEUDONYMS)
    done = undo(database, report.number)
    assert (done.removed, done.kept_total) == (2, 2)
    assert done.kept == (
        ("n0@b.example", "was changed since"),
        ("n1@b.example", "was changed since"),
    )


def test_nobody_who_is_in_an_audience_is_removed(database: Database) -> None:
    first = load(database, "email\nn0@b.example\n", now=LATER)
    enrol(database, at=LATER + timedelta(seconds=0.5))
    second = load(database, "email\nn1@b.example\n", now=MUCH_LATER)
    assert undo(database, second.number).removed == 1
    done = undo(database, first.number)
    assert (done.removed, done.kept) == (
        0,
        (("n0@b.example", "was in the audience of an edition since"),),
    )


def test_an_audience_of_before_keeps_nobody(database: Database) -> None:
    enrol(database, at=NOW)
    assert undo(database, load(database, "email\nn0@b.example\n", now=LATER).number).removed == 1


def test_values_that_others_wrote_since_are_left(database: Database) -> None:
    report = load(database, "email,name,minutes,City\nada@b.example,Eva,5,Basel\n", now=LATER)
    entry = Entry(address=parse_address("ada@b.example"), name="Eve")
    add_subscriber(database, entry, now=MUCH_LATER, pseudonyms=PSEUDONYMS)
    done = undo(database, report.number, now=MUCH_LATER + timedelta(minutes=1))
    assert (done.restored, done.kept) == (
        1,
        (("ada@b.example", "has other values since: name"),),
    )
    with database.reading() as connection:
        ada = connection.execute(
            select(subscribers).where(subscribers.c.email_key == "ada@b.example")
        ).one()
    assert (ada.name, ada.choices, ada.fields) == ("Eve", {"topics": ["economy"]}, {"city": "Bern"})
    assert ada.updated_at == MUCH_LATER + timedelta(minutes=1)


def test_two_imports_are_undone_one_after_the_other(database: Database) -> None:
    before = rows(database)
    first = load(database, "email,name\nada@b.example,One\nn@b.example,N\n", now=LATER)
    second = load(database, "email,name\nada@b.example,Two\nn@b.example,M\n", now=MUCH_LATER)
    assert undo(database, second.number).restored == 2
    assert undo(database, first.number).removed == 1
    assert rows(database) == before


class Killed(BaseException):
    """The process is gone."""


@contextmanager
def killed_after(kills: pytest.MonkeyPatch, what: type, name: str, calls: int) -> Iterator[None]:
    original = getattr(what, name)
    left = calls

    def call(*given: Any, **more: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return original(*given, **more)

    with kills.context() as patch:
        patch.setattr(what, name, call)
        with pytest.raises(Killed):
            yield


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_a_killed_import_is_listed_and_can_be_undone(
    database: Database, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    before = rows(database)
    monkeypatch.setattr(importer, "_BATCH_ENTRIES", 3)
    text = "email,name\nada@b.example,A\nbo@b.example,B\n" + "".join(
        f"n{number}@b.example,N\n" for number in range(7)
    )
    with killed_after(monkeypatch, imports.ImportLog, "count", batches):
        load(database, text, now=LATER)
    record = list_imports(database)[0]
    assert (record.state, record.counts.get("rows", 0)) == ("running", 3 * batches)
    with database.reading() as connection:
        brought = len(connection.execute(select(subscribers)).all()) - 3
    assert brought == max(0, 3 * batches - 2)  # of each batch all or nothing
    assert undo(database, record.number).removed == brought
    assert rows(database) == before
    assert load(database, text, now=MUCH_LATER).added == 7


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_killed_undo_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    before = rows(database)
    monkeypatch.setattr(imports, "_BATCH_ROWS", 2)
    text = "email,name\nada@b.example,A\nbo@b.example,B\nin@b.example,I\n" + "".join(
        f"n{number}@b.example,N\n" for number in range(5)
    )
    report = load(database, text, now=LATER)
    with killed_after(monkeypatch, imports._Undo, "_tell", steps):
        undo(database, report.number)
    assert list_imports(database)[0].state == "undoing"
    undo(database, report.number)
    assert rows(database) == before


def test_an_import_that_is_undone_while_it_runs_stops(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(database)
    monkeypatch.setattr(importer, "_BATCH_ENTRIES", 200)
    undone: list[UndoReport] = []

    def between(read: int) -> None:
        number = list_imports(database)[0].number
        if not undone and read:
            undone.append(undo(database, number))

    lines = "".join(f"n{number}@b.example\n" for number in range(20_000))
    with pytest.raises(AudienceError, match="was undone while it ran"):
        import_subscribers(
            database,
            io.BytesIO(("email\n" + lines).encode()),
            now=LATER,
            pseudonyms=PSEUDONYMS,
            on_progress=lambda read: between(read) if read > 100_000 else None,
        )
    assert undone[0].removed > 0
    assert rows(database) == before


def test_an_import_too_old_is_not_undone(database: Database) -> None:
    report = load(database, "email\nn@b.example\n", now=LATER)
    with database.writing() as connection:
        connection.execute(update(imports_table).values(state="closed"))
    with pytest.raises(RefusedError, match=r"retention\.imports"):
        undo(database, report.number)


def test_there_is_no_such_import(database: Database) -> None:
    with pytest.raises(RefusedError, match="there is no import 999"):
        undo(database, 999)


def test_a_file_that_names_no_consent_is_refused_before_anything(database: Database) -> None:
    known = len(list_imports(database))
    with pytest.raises(AudienceError, match="where its readers agreed") as refused:
        load(database, "email\nn@b.example\n", needs_consent=True)
    assert "--consent-source" in str(refused.value)
    assert len(list_imports(database)) == known
    report = load(database, "email\nn@b.example\n", needs_consent=True, consent_source="fair")
    assert report.added == 1


def test_consent_is_asked_of_new_readers_alone(database: Database) -> None:
    text = "email,name,consent_source\nada@b.example,Eva,\nn@b.example,N,\nn@b.example,N,fair\n"
    rejects = io.StringIO(newline="")
    report = load(database, text, now=LATER, needs_consent=True, rejects=rejects)
    # The same address once more, with its source, in the same batch: that is one good row.
    assert (report.updated, report.added, report.repeated, report.bad) == (1, 1, 1, 0)
    report = load(database, "email,consent_source\nm@b.example,\n", needs_consent=True)
    assert (report.added, report.bad) == (0, 1)


def test_who_is_refused_for_want_of_consent_may_come_again_in_the_file(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "_BATCH_ENTRIES", 1)
    text = "email,consent_source\nn@b.example,\nn@b.example,fair\n"
    report = load(database, text, now=LATER, needs_consent=True)
    assert (report.rows, report.added, report.bad, report.repeated) == (2, 1, 1, 0)
