from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.audience.address import parse_address
from newsletter.audience.cells import defuse, parse_text, undo_defusing
from newsletter.audience.entry import Entry, Tally, store_entries
from newsletter.audience.exporter import export_subscribers
from newsletter.audience.importer import import_subscribers
from newsletter.audience.reader import DETAILS, MINUTES, Choices, Subscriber
from newsletter.audience.subscribers import Selection, list_subscribers
from newsletter.errors import AudienceError
from newsletter.store import Database
from newsletter.store.database import connect_database
from newsletter.store.tables import metadata, subscribers, suppressions
from tests.audience import PSEUDONYMS
from tests.examples import examples

NOW = datetime(2025, 6, 1, 6, 0, 0, 123456, tzinfo=UTC)
FORMULA_STARTS = "=+-@\t\r＝＋－＠"


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """One database for the module; each test empties it first."""
    database = connect_database("sqlite://")
    with database.writing() as connection:
        metadata.create_all(connection)
    yield database
    database.close()


def empty(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(subscribers.delete())
        connection.execute(suppressions.delete())


def store(database: Database, *entries: Entry) -> None:
    empty(database)
    with database.writing() as connection:
        store_entries(
            connection, {e.address.key: e for e in entries}, NOW, Tally(), pseudonyms=PSEUDONYMS
        )


def export(database: Database) -> str:
    stream = io.StringIO(newline="")
    count = export_subscribers(database, stream)
    text = stream.getvalue()
    assert count == len(list(csv.reader(io.StringIO(text, newline="")))) - 1
    return text


def readers(database: Database) -> list[Subscriber]:
    found = [replace(reader, id=0) for reader in list_subscribers(database)]
    return sorted(found, key=lambda reader: reader.email)


ANA = Entry(address=parse_address("ana@b.example"))


def test_every_column_is_written(database: Database) -> None:
    store(
        database,
        replace(
            ANA,
            name="Ana Souza",
            choices=Choices(
                timezone="Europe/Berlin",
                language="pt-BR",
                topics=("art", "world"),
                lenses=("Household Impact",),
                detail="full",
                minutes=5,
                format="text",
                send_at="07:30",
                days=("mon", "sun"),
                rhythm="both",
                editions=("evening", "no noon"),
            ),
            fields={"city": "Köln"},
            consent_at=NOW,
            consent_source="web form",
        ),
        Entry(address=parse_address("bo@b.example"), fields={"age": "40"}, status="bounced"),
    )
    assert export(database) == (
        '"email","name","timezone","language","topics","lenses","detail","minutes","format",'
        '"send_at","days","rhythm","editions","consent_at","consent_source","status","created_at",'
        '"age","city"\r\n'
        '"ana@b.example","Ana Souza","Europe/Berlin","pt-BR","art; world","Household Impact",'
        '"full","5","text","07:30","mon; sun","both","evening; no noon",'
        '"2025-06-01T06:00:00.123456+00:00","web form",'
        '"active","2025-06-01T06:00:00.123456+00:00","","Köln"\r\n'
        '"bo@b.example","","","","","","","","","","","","","","","bounced",'
        '"2025-06-01T06:00:00.123456+00:00","40",""\r\n'
    )


def test_only_readers_and_fields_of_a_status(database: Database) -> None:
    store(
        database,
        replace(ANA, fields={"city": "Bern"}),
        Entry(address=parse_address("b@b.example"), status="bounced", fields={"age": "4"}),
    )
    stream = io.StringIO(newline="")
    assert export_subscribers(database, stream, Selection(status="bounced")) == 1
    assert "b@b.example" in stream.getvalue()
    assert "age" in stream.getvalue()
    assert "city" not in stream.getvalue()


def test_more_readers_than_a_page(database: Database) -> None:
    store(database, *(Entry(address=parse_address(f"r{n}@b.example")) for n in range(2_500)))
    rows = list(csv.DictReader(io.StringIO(export(database), newline="")))
    assert {row["email"] for row in rows} == {f"r{n}@b.example" for n in range(2_500)}


@pytest.mark.parametrize("start", FORMULA_STARTS)
@pytest.mark.parametrize("before", ["", "'", "''"])
def test_no_cell_is_a_formula_and_each_comes_back(start: str, before: str) -> None:
    text = f"{before}{start}1+1"
    assert defuse(text) == "'" + text
    assert undo_defusing(defuse(text)) == text


@pytest.mark.parametrize("text", ["", "'", "''", "O'Brien", "'quoted'", "1=1", "a@b", " =1"])
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert defuse(text) == text == undo_defusing(text)


def test_formulas_are_defused_in_every_column(database: Database) -> None:
    store(
        database,
        Entry(
            address=parse_address("=cmd@b.example"),
            name="@Ana",
            choices=Choices(topics=("-x", "y"), lenses=("＝z",)),
            fields={"phone": "+49 30 1234"},
            consent_source="=HYPERLINK(1)",
        ),
    )
    cells = next(csv.DictReader(io.StringIO(export(database), newline=""))).values()
    assert {cell[0] for cell in cells if cell}.isdisjoint(FORMULA_STARTS)
    assert {"'=cmd@b.example", "'@Ana", "'-x; y", "'＝z", "'+49 30 1234"} < set(cells)


_NO_COMMAS = dict.fromkeys(map(ord, ";,|"))


def _make_value(text: str) -> str:
    """Make what a text is once it was read, or nothing of one that is refused."""
    try:
        return parse_text(defuse(text), "x")
    except AudienceError:
        return ""


_VALUES = st.text(
    st.one_of(st.sampled_from(FORMULA_STARTS + "'\"ab ,;"), st.characters(codec="utf-8")),
    max_size=12,
).map(_make_value)
_ITEMS = st.lists(
    _VALUES.map(lambda value: _make_value(value.translate(_NO_COMMAS)) or "x"),
    max_size=3,
    unique_by=str.casefold,
).map(tuple)
_ENTRIES = st.builds(
    Entry,
    address=st.sampled_from(
        ["ana@b.example", "=b@b.example", "'+c@b.example", "Jörg@münchen.example"]
    ).map(parse_address),
    name=_VALUES,
    choices=st.builds(
        Choices,
        timezone=st.sampled_from(["", "Europe/Berlin"]),
        language=st.sampled_from(["", "pt-BR"]),
        topics=_ITEMS,
        lenses=_ITEMS,
        detail=st.sampled_from(["", *DETAILS]),
        minutes=st.sampled_from([0, *MINUTES]),
        send_at=st.sampled_from(["", "07:30"]),
        days=st.sampled_from([(), ("mon", "sun")]),
    ),
    fields=st.dictionaries(st.sampled_from(["city", "age"]), _VALUES.map(lambda v: v or "x")),
    consent_at=st.sampled_from([None, NOW]),
    consent_source=_VALUES,
    status=st.sampled_from(["active", "pending", "bounced", "unsubscribed", "complained"]),
    created_at=st.sampled_from([None, NOW - timedelta(days=400, microseconds=1)]),
)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(_ENTRIES, max_size=4), st.sampled_from(["utf-8", "utf-8-sig"]))
def test_an_export_imports_to_the_same_readers(
    database: Database, entries: list[Entry], encoding: str
) -> None:
    store(database, *entries)
    before, text = readers(database), export(database)
    report = import_subscribers(
        database, io.BytesIO(text.encode(encoding)), now=NOW, pseudonyms=PSEUDONYMS
    )
    assert (report.added, report.updated, report.bad) == (0, 0, 0)
    assert readers(database) == before
    empty(database)
    report = import_subscribers(
        database, io.BytesIO(text.encode(encoding)), now=NOW, pseudonyms=PSEUDONYMS
    )
    assert report.bad == 0
    assert readers(database) == before
    assert export(database) == text


def test_the_shipped_sample_uses_every_column(database: Database) -> None:
    sample = Path(__file__).parents[2] / "subscribers.example.csv"
    empty(database)
    report = import_subscribers(database, sample, now=NOW.replace(year=2026), pseudonyms=PSEUDONYMS)
    assert (report.added, report.bad, report.own_fields) == (12, 0, ("city",))
    rows = list(csv.DictReader(io.StringIO(export(database), newline="")))
    assert all(any(row[column] for row in rows) for column in rows[0])
