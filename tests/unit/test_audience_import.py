from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.audience import importer
from newsletter.audience.importer import ImportReport, import_subscribers
from newsletter.audience.reader import Choices, Status, Subscriber
from newsletter.audience.subscribers import (
    count_by_status,
    find_subscriber,
    list_subscribers,
    remove_subscriber,
)
from newsletter.audience.suppression import REASONS, Reason, suppress
from newsletter.errors import AudienceError
from newsletter.store import Database
from newsletter.store.database import connect_database
from newsletter.store.tables import metadata, subscribers, suppressions
from tests.audience import PSEUDONYMS
from tests.examples import examples

NOW = datetime(2025, 6, 1, 6, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=1)


def build_database() -> Database:
    database = connect_database("sqlite://")
    with database.writing() as connection:
        metadata.create_all(connection)
    return database


@pytest.fixture
def database() -> Iterator[Database]:
    database = build_database()
    yield database
    database.close()


@pytest.fixture(scope="module")
def kept() -> Iterator[Database]:
    """One database for the many examples of a law, each of which empties it first."""
    database = build_database()
    yield database
    database.close()


def empty(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(subscribers.delete())
        connection.execute(suppressions.delete())


def load(database: Database, text: str, *, now: datetime = NOW) -> ImportReport:
    report = import_subscribers(database, io.BytesIO(text.encode()), now=now, pseudonyms=PSEUDONYMS)
    kept_out = sum(report.kept_out.values())
    good = report.added + report.updated + report.unchanged + report.repeated + kept_out
    assert report.rows == good + report.bad
    return report


def find(database: Database, email: str) -> Subscriber:
    found = find_subscriber(database, email)
    assert found is not None
    return found


FULL = (
    "email,name,timezone,language,topics,lenses,detail,minutes,send_at,days,"
    "consent_at,consent_source,City,Größe (cm),2nd\n"
)


def test_every_column_arrives(database: Database) -> None:
    row = (
        '"Ana@Reader.example"," Ana\n Souza ",Europe/Berlin,pt_BR,"economy; World,ECONOMY | art",'
        "Household Impact,Full,5,7:30,mon-wed|sun,2025-03-01T09:30:00+02:00,web form,Köln,170,x\n"
    )
    report = load(database, FULL + row)
    assert (report.added, report.own_fields) == (1, ("city", "grosse_cm", "column_2nd"))
    ana = find(database, "ana@reader.example")
    assert ana == Subscriber(
        id=ana.id,
        email="Ana@reader.example",
        name="Ana Souza",
        status="active",
        choices=Choices(
            language="pt-BR",
            timezone="Europe/Berlin",
            topics=("economy", "World", "art"),
            lenses=("Household Impact",),
            detail="full",
            minutes=5,
            send_at="07:30",
            days=("mon", "tue", "wed", "sun"),
        ),
        fields={"city": "Köln", "grosse_cm": "170", "column_2nd": "x"},
        consent_at=datetime(2025, 3, 1, 7, 30, tzinfo=UTC),
        consent_source="web form",
        created_at=NOW,
    )


@pytest.mark.parametrize(
    "headings",
    [
        "EMAIL;Name",
        " E-Mail ;full name",
        "Email Address;First Name",
        "mail;NAME",
        "e_mail;first-name",
        "'email;name",
    ],
)
def test_headings_are_met_halfway(database: Database, headings: str) -> None:
    load(database, f"{headings}\nana@reader.example;Ana\n")
    assert find(database, "ana@reader.example").name == "Ana"


def test_the_proper_heading_comes_before_another(database: Database) -> None:
    load(database, "mail,email,first name,name\nold,ana@reader.example,Ana,Ana Souza\n")
    ana = find(database, "ana@reader.example")
    assert (ana.name, ana.fields) == ("Ana Souza", {"mail": "old", "first_name": "Ana"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("name,city\nAna,Bern\n", "line 1: no column is headed email"),
        ("\n\nana@reader.example\n", "line 3: no column is headed email"),
        ("email,E-Mail\n", 'columns "email" and "E-Mail" mean the same'),
        ("email,city,City \n", 'columns "city" and "City" mean the same'),
        ("email,Город\n", "makes no field name"),
        (f"email,{'x' * 65}\n", "makes no field name"),
        ("email," + ",".join(f"c{i}" for i in range(101)) + "\n", "101 columns"),
        ('email,"open\n', "line 1: a quotation mark"),
        ("x" * 300_000, "line 1: the line is longer"),
        ("PK\x03\x04", "is a spreadsheet"),
    ],
)
def test_a_table_not_to_be_guessed_at_is_refused_whole(
    database: Database, tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "readers.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AudienceError) as refusal:
        import_subscribers(database, path, now=NOW, pseudonyms=PSEUDONYMS)
    assert str(refusal.value).startswith(str(path))
    assert said in str(refusal.value)
    assert refusal.value.mend
    assert refusal.value.exit_code == 1


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_an_unreadable_file_is_named(database: Database, tmp_path: Path, name: str) -> None:
    with pytest.raises(AudienceError, match="cannot be read"):
        import_subscribers(database, tmp_path / name, now=NOW, pseudonyms=PSEUDONYMS)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ("", 'email: ""'),
        ("ana", 'email: "ana" cannot be mailed: there is no "@"'),
        ("a@b.example,,Mars/Base", "timezone"),
        ("a@b.example,,,english language", "language"),
        ("a@b.example,,,,,,some", "detail"),
        ("a@b.example,,,,,,,7", "minutes"),
        ("a@b.example,,,,,,,٣", "minutes"),
        ("a@b.example,,,,,,,,25:00", "send_at"),
        ("a@b.example,,,,,,,,,someday", "days"),
        ("a@b.example,,,,,,,,,,01.03.2025", "consent_at"),
        ("a@b.example,,,,,,,,,,0001-01-01T00:00+23:00", "consent_at"),
        ("a@b.example,,,,,,,,,,2035-03-01", "consent_at: 2035-03-01 is still to come"),
        ("a@b.example,A\x00na", 'name: "A\\u0000na" holds the character U+0000'),
        ("a@b.example,A\x1bna", "name"),
        ("a@b.example,A\u202ena", 'name: "A\\u202ena" turns the direction'),
        ("a@b.example,A\ufffdna", 'name: "A\ufffdna" has damaged characters'),
        (f"a@b.example,{'x' * 201}", "name"),
        (f"a@b.example,,,,{';'.join(map(str, range(51)))}", "topics"),
        (f"a@b.example{',' * 12}{'x' * 1001}", "city"),
        ("a@b.example,Souza, Ana,,,,,,,,,,,,,,x", 'cell 17, "x", stands under no heading'),
    ],
)
def test_a_bad_value_refuses_its_row_with_the_reason(
    database: Database, cells: str, said: str
) -> None:
    report = load(database, FULL + "bo@b.example\n" + cells + (",x\n" if not cells else "\n"))
    assert (report.added, report.bad) == (1, 1)
    assert report.bad_rows[0].line == 3
    assert said in report.bad_rows[0].reason
    assert count_by_status(database)["active"] == 1


def test_bytes_of_no_encoding_refuse_their_row(database: Database) -> None:
    data = b"email,name\na@b.example,J\x81rg\nb@b.example,J\xf6rg\n"
    report = import_subscribers(database, io.BytesIO(data), now=NOW, pseudonyms=PSEUDONYMS)
    assert [row.line for row in report.bad_rows] == [2]
    assert "save the file again as UTF-8" in report.bad_rows[0].reason
    assert find(database, "b@b.example").name == "Jörg"


def test_balanced_direction_marks_are_names_too(database: Database) -> None:
    name = "\u2067\u05d3\u05e0\u05d4\u2069 D"
    load(database, f"email,name\na@b.example,{name}\n")
    assert find(database, "a@b.example").name == name


def test_short_rows_and_columns_without_heading(database: Database) -> None:
    report = load(database, "email,name,,\na@b.example\nb@b.example,Bo,,\nc@b.example,C,x,\n")
    assert (report.added, report.bad) == (2, 1)
    assert "stands under no heading" in report.bad_rows[0].reason


def test_the_rhythm_is_one_of_three(database: Database) -> None:
    report = load(
        database, "email,rhythm\na@b.example,Weekly\nb@b.example,both\nc@b.example,often\n"
    )
    assert (report.added, report.bad) == (2, 1)
    assert find(database, "a@b.example").choices.rhythm == "weekly"
    assert find(database, "b@b.example").choices.rhythm == "both"
    assert report.bad_rows[0].reason.startswith('rhythm: "often" is no rhythm')


def test_further_editions_are_chosen_or_refused_by_name(database: Database) -> None:
    report = load(
        database,
        "email,editions\na@b.example,Evening; no Noon\nb@b.example,\n"
        "c@b.example,weekly\nd@b.example,no daily\ne@b.example,the evening\n"
        "f@b.example,evening; no evening\n",
    )
    assert (report.added, report.bad) == (2, 4)
    assert find(database, "a@b.example").choices.editions == ("evening", "no noon")
    assert find(database, "b@b.example").choices.editions == ()
    assert [row.reason.partition(";")[0] for row in report.bad_rows] == [
        'editions: "weekly" names no further edition',
        'editions: "no daily" names no further edition',
        'editions: "the evening" names no further edition',
        'editions: "evening" is wanted, and is not',
    ]


def test_an_address_may_bring_its_name(database: Database) -> None:
    load(database, 'email,name\n"""Souza, Ana"" <ana@b.example>",\nBo <bo@b.example>,Robert\n')
    assert find(database, "ana@b.example").name == "Souza, Ana"
    assert find(database, "bo@b.example").name == "Robert"


def test_a_second_import_changes_nothing(database: Database) -> None:
    text = "email,name,topics,city\nana@b.example,Ana,art;world,Bern\nbo@b.example,,,\n"
    load(database, text)
    before = list(list_subscribers(database))
    report = load(database, text, now=LATER)
    assert (report.added, report.updated, report.unchanged) == (0, 0, 2)
    assert list(list_subscribers(database)) == before


def test_an_active_reader_takes_over_what_a_row_gives_and_no_more(database: Database) -> None:
    load(
        database,
        "email,name,topics,minutes,consent_source,city,pet\nana@b.example,Ana,art,5,form,Bern,cat\n",
    )
    report = load(
        database,
        "email,name,topics,minutes,consent_source,city\nANA@b.example,,world,,,Köln\n",
        now=LATER,
    )
    ana = find(database, "ana@b.example")
    assert report.updated == 1
    assert (ana.email, ana.name, ana.consent_source) == ("ANA@b.example", "Ana", "form")
    assert ana.choices == Choices(topics=("world",), minutes=5)
    assert ana.fields == {"city": "Köln", "pet": "cat"}
    assert ana.created_at == NOW


@pytest.mark.parametrize("reason", REASONS)
def test_a_second_import_never_revives(database: Database, reason: Reason) -> None:
    text = "email,name\nana@b.example,Ana\nbo@b.example,Bo\n"
    load(database, text)
    with database.writing() as connection:
        suppress(connection, ["ana@b.example", "new@b.example"], reason, NOW)
    before = list(list_subscribers(database))
    report = load(database, text.replace("Ana", "Anna") + "NEW@b.example,New\n", now=LATER)
    assert report.kept_out == {reason: 2}
    assert (report.added, report.unchanged) == (0, 1)
    assert list(list_subscribers(database)) == before
    assert find(database, "ana@b.example").status != "active"


@pytest.mark.parametrize("status", ["pending", "unsubscribed", "bounced", "complained"])
def test_a_reader_who_is_not_active_is_left_alone(database: Database, status: Status) -> None:
    load(database, f"email,status\nana@b.example,{status}\n")
    with database.writing() as connection:
        connection.execute(suppressions.delete())  # the status alone must hold
    report = load(database, "email,name\nana@b.example,Ana\n", now=LATER)
    assert report.kept_out == {status: 1}
    ana = find(database, "ana@b.example")
    assert (ana.status, ana.name) == (status, "")


def test_a_removed_address_stays_out_without_a_row(database: Database) -> None:
    remove_subscriber(database, "ana@b.example", now=NOW, pseudonyms=PSEUDONYMS)
    assert load(database, "email\nAna@B.example\n").kept_out == {"unsubscribed": 1}
    assert find_subscriber(database, "ana@b.example") is None


def test_a_status_against_mailing_is_obeyed_and_kept(database: Database) -> None:
    load(database, "email\nbo@b.example\n")
    report = load(
        database,
        "email,status,name\nana@b.example,Unsubscribed,Ana\nbo@b.example,complained,Bo\n"
        "cy@b.example,subscribed,Cy\ndi@b.example,VIP,Di\n",
        now=LATER,
    )
    assert report.kept_out == {"unsubscribed": 1, "complained": 1}
    assert (report.added, report.bad) == (1, 1)
    again = load(database, "email\nana@b.example\nbo@b.example\ncy@b.example\n", now=LATER)
    assert again.kept_out == {"unsubscribed": 1, "complained": 1}
    assert again.unchanged == 1


def test_the_last_good_row_for_an_address_wins(database: Database) -> None:
    report = load(
        database,
        "email,name,minutes,city\nana@b.example,Ana,3,Bern\nbo@b.example,Bo,,\n"
        "ANA@b.example,Anna,5,\nana@b.example,Anja,99,Köln\n",
    )
    assert (report.added, report.repeated, report.bad) == (2, 1, 1)
    assert report.repeated_lines == (4,)
    ana = find(database, "ana@b.example")
    assert (ana.name, ana.choices.minutes, ana.fields) == ("Anna", 5, {"city": "Bern"})


def test_one_in_twenty_rows_bad_is_reported_exactly(database: Database) -> None:
    lines, bad, physical = ["email,name,minutes\r\n"], [], 2
    for number in range(20_000):
        if number % 20 == 7:
            kind = number // 20 % 4
            bad.append(physical)
            lines.append(
                (
                    f"reader{number}.b.example,x,5\r\n",
                    f"reader{number}@b.example,x,6\r\n",
                    f'reader{number}@b.example,"x" y,5\r\n',
                    f'reader{number}@b.example,"x\r\n\x07",5\r\n',
                )[kind]
            )
        elif number % 3 == 0:
            lines.append(f'reader{number}@b.example,"R.\r\n\r\n{number}",5\r\n')
        else:
            lines.append(f"reader{number}@b.example,R. {number},\r\n")
        physical += lines[-1].count("\r\n")
    rejects = io.StringIO(newline="")
    report = import_subscribers(
        database,
        io.BytesIO("".join(lines).encode()),
        now=NOW,
        rejects=rejects,
        pseudonyms=PSEUDONYMS,
    )
    assert (report.rows, report.added, report.bad) == (20_000, 19_000, 1_000)
    assert [row.line for row in report.bad_rows] == bad
    assert count_by_status(database)["active"] == 19_000
    rejects.seek(0)
    assert [int(row["import_line"]) for row in csv.DictReader(rejects)] == bad


def test_reports_are_bounded_and_counts_are_not(database: Database) -> None:
    rows = "x\n" * 1_500 + "a@b.example\n" * 1_501
    report = load(database, "email\n" + rows)
    assert (report.bad, len(report.bad_rows)) == (1_500, 1_000)
    assert (report.repeated, len(report.repeated_lines)) == (1_500, 1_000)


def test_mended_rejects_import_as_they_are(database: Database) -> None:
    rejects = io.StringIO(newline="")
    text = "email,minutes,note\na@b.example,7,=1+1\nb@b.example,5,-x\nc@b.example,9,'=y\n"
    report = import_subscribers(
        database, io.BytesIO(text.encode()), now=NOW, rejects=rejects, pseudonyms=PSEUDONYMS
    )
    assert (report.added, report.bad) == (1, 2)
    assert '"\'=1+1"' in rejects.getvalue()
    mended = rejects.getvalue().replace('"7"', '"5"').replace('"9"', '"3"')
    report = load(database, mended)
    assert (report.added, report.own_fields) == (2, ("note",))
    assert find(database, "a@b.example").fields == {"note": "=1+1"}
    assert find(database, "c@b.example").fields == {"note": "=y"}


def test_rejects_hold_what_no_encoding_can(database: Database) -> None:
    rejects = io.StringIO(newline="")
    import_subscribers(
        database,
        io.BytesIO(b'email\n"\x81\x00"\n'),
        now=NOW,
        rejects=rejects,
        pseudonyms=PSEUDONYMS,
    )
    rejects.getvalue().encode()
    assert "\\udc81" in rejects.getvalue()


def test_no_bad_rows_leave_rejects_empty(database: Database) -> None:
    rejects = io.StringIO(newline="")
    import_subscribers(
        database,
        io.BytesIO(b"email\na@b.example\n"),
        now=NOW,
        rejects=rejects,
        pseudonyms=PSEUDONYMS,
    )
    assert rejects.getvalue() == ""


def test_a_killed_import_leaves_whole_batches_and_can_be_repeated(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "_BATCH_ENTRIES", 100)
    data = b"email\n" + b"".join(b"reader%d@b.example\n" % n for n in range(20_000))

    def kill(read_bytes: int) -> None:
        if read_bytes > 200_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_subscribers(
            database, io.BytesIO(data), now=NOW, on_progress=kill, pseudonyms=PSEUDONYMS
        )
    left = count_by_status(database)["active"]
    assert 0 < left < 20_000
    assert left % 100 == 0
    report = import_subscribers(database, io.BytesIO(data), now=LATER, pseudonyms=PSEUDONYMS)
    assert (report.unchanged, report.added) == (left, 20_000 - left)


_SCRAPS = rb"""a@b.example =b@b.example " , ; x 7 mon 2025-01-01 active complained""".split()


@settings(max_examples=examples(150), deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(st.sampled_from([*_SCRAPS, b"\n", b"\r\n", b"\x00", b"\xff", b"\xc3\xa9"])).map(
            lambda scraps: b"email,name,status,minutes\n" + b"".join(scraps)
        ),
    )
)
def test_any_bytes_give_a_report_or_a_named_error(kept: Database, data: bytes) -> None:
    empty(kept)
    try:
        report = import_subscribers(kept, io.BytesIO(data), now=NOW, pseudonyms=PSEUDONYMS)
    except AudienceError:
        return
    kept_out = sum(report.kept_out.values())
    good = report.added + report.updated + report.unchanged + report.repeated + kept_out
    assert report.rows == good + report.bad
    counts = count_by_status(kept)
    assert counts["active"] <= report.added <= sum(counts.values())


_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a@b.example", "A@b.example", "c@b.example"]),
        st.sampled_from(["", "Ana", "Anna"]),
        st.sampled_from(["", "3", "5"]),
        st.sampled_from(["", "Bern"]),
        st.sampled_from(["", "", "active", "pending", "bounced", "unsubscribed", "complained"]),
    ),
    max_size=8,
)


@settings(max_examples=examples(80), deadline=None)
@given(_ROWS)
def test_where_a_batch_ends_makes_no_difference(
    kept: Database, rows: list[tuple[str, ...]]
) -> None:
    data = "\n".join(["email,name,minutes,city,status", *map(",".join, rows)]).encode()
    found = []
    for entries in (1, 2, 1000):
        empty(kept)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(importer, "_BATCH_ENTRIES", entries)
            import_subscribers(kept, io.BytesIO(data), now=NOW, pseudonyms=PSEUDONYMS)
        with kept.reading() as connection:
            readers = connection.execute(subscribers.select().order_by("email_key")).all()
            reasons = connection.execute(suppressions.select().order_by("email_key")).all()
        told = [
            {name: v for name, v in row._asdict().items() if name not in ("id", "import_id")}
            for row in readers
        ]
        found.append((told, [tuple(row) for row in reasons]))
    assert found[0] == found[1] == found[2]
