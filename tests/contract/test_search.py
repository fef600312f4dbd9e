"""The archive's search, on both databases: what is found, in which order, and what never is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, event, func, insert, select, update

from newsletter.briefs.model import Brief, Perspective, Point, Source
from newsletter.editions import search as searching
from newsletter.editions.corrections import find_wrong, store_correction
from newsletter.editions.model import Edition, Kind, Note, Placing, Report, Window
from newsletter.editions.search import (
    Found,
    drop_edition,
    empty_index,
    find,
    index_edition,
    list_unindexed,
)
from newsletter.editions.shelf import change_state, store_edition
from newsletter.store import Database
from newsletter.store.audit import Actor
from newsletter.store.tables import (
    briefs,
    deliveries,
    edition_briefs,
    editions,
    searched,
    searched_words,
)

NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)
DAY = date(2026, 11, 23)
HOUR = timedelta(hours=1)

QUAY = Brief(
    title="North Quay Reopens Early",
    summary="The harbor authority reopened the quay on Monday, a week ahead of plan.",
    why_it_matters="Commuters regain the shorter crossing.",
    quick_take=(Point(label="Who Benefits", text="Market traders."),),
    perspectives=(Perspective(lens="Household Impact", text="Twenty minutes instead of fifty."),),
    sources=(Source(name="quayside.example"),),
    topics=("Transport",),
)
LIBRARY = Brief(title="Library Opens on Sundays", summary="It is near the quay, and is free.")


def publish(
    database: Database,
    *told: Brief,
    day: date = DAY,
    kind: Kind = "daily",
    state: str = "sent",
    at: datetime = NOW,
    ids: Sequence[int] = (),
    **more: Any,
) -> int:
    """Store an edition as it stands once it was approved `at` a time, and index it.

    Its briefs are new ones, unless their `ids` say which they are.
    """
    edition = Edition(
        date=day,
        kind=kind,
        window=Window(start=NOW - timedelta(days=1), cut_off=NOW),
        subject=told[0].title if told else "Nothing",
        preheader="",
        briefs=told,
        **more,
    )
    with database.writing() as connection:
        values = {"source": "a", "origin": "b", "document": {}, "warnings": []}
        times = dict.fromkeys(("published_at", "first_seen_at", "changed_at"), NOW)
        ids = ids or [
            connection.execute(
                insert(briefs).values(**values, **times).returning(briefs.c.id)
            ).scalar_one()
            for _ in told
        ]
        series = "news" if kind == "daily" else kind
        record = store_edition(connection, edition, brief_ids=ids, series=series, now=NOW)
        connection.execute(
            update(editions).where(editions.c.id == record.id).values(state=state, dated_at=at)
        )
        index_edition(connection, record.id)
    return record.id


def ask(database: Database, query: str, page: int = 1) -> Found:
    with database.reading() as connection:
        return find(connection, query, page)


def titles(database: Database, query: str) -> list[str]:
    return [hit.title for hit in ask(database, query).hits]


def count(database: Database, table: Any) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_what_has_all_words_is_found_the_best_first(backend: Database) -> None:
    publish(backend, LIBRARY, QUAY)
    assert titles(backend, "quay") == [QUAY.title, LIBRARY.title]
    assert titles(backend, "QUAY reopened") == [QUAY.title]
    assert titles(backend, "quayside") == [QUAY.title]
    assert titles(backend, "transport crossing traders fifty") == [QUAY.title]
    assert titles(backend, "reop") == [QUAY.title]
    assert titles(backend, "quay zeppelin") == []
    assert titles(backend, "") == []
    assert titles(backend, "%_") == []
    hit = ask(backend, "harbor").hits[0]
    assert (hit.day, hit.kind, hit.number) == (DAY, "daily", 2)
    assert [part.text for part in hit.excerpt if part.is_hit] == ["harbor"]


@pytest.mark.parametrize(
    ("title", "query"),
    [
        ("Straßenbahn fährt wieder", "STRASSENBAHN fahrt"),
        ("ראש הממשלה הודיע", "הממשלה"),
        ("الميناء يفتح أبوابه", "الميناء"),
        ("東京都、新しい港を発表", "新しい港"),
        ("ท่าเรือเปิดแล้ว", "ท่าเรือ"),
        ("Порт снова открыт", "порт ОТКРЫТ"),
        ("𐐀𐐁 and Zürich", "zurich"),
    ],
)
def test_any_language_is_found(backend: Database, title: str, query: str) -> None:
    publish(backend, QUAY, Brief(title=title, summary="…"))
    assert titles(backend, query) == [title]


def test_other_outlets_the_note_and_the_date_are_found(backend: Database) -> None:
    placing = Placing(also=(Report(outlet="Coastal Courier", title="Berth in use again"),))
    note = Note(text="We moved to a new office.", by="Ada")
    publish(backend, QUAY, placings=(placing,), note=note)
    assert titles(backend, "courier berth") == [QUAY.title]
    (hit,) = ask(backend, "office").hits
    assert hit.number == 0
    assert "new office" in "".join(part.text for part in hit.excerpt)
    assert [hit.number for hit in ask(backend, "2026-11-23").hits] == [0]


def test_only_what_readers_may_have_is_found(backend: Database) -> None:
    states = ("draft", "ready", "held", "approved", "sending", "paused", "sent")
    for number, state in enumerate(states):
        told = replace(QUAY, title=f"Quay {state}")
        publish(backend, told, day=DAY + timedelta(days=number), state=state)
    found = {"Quay approved", "Quay sending", "Quay paused", "Quay sent"}
    assert set(titles(backend, "quay")) == found


def test_what_is_cancelled_before_anybody_had_it_is_gone(backend: Database) -> None:
    gone = publish(backend, QUAY, state="approved")
    reached = publish(backend, LIBRARY, day=DAY + timedelta(days=1), state="sending")
    with backend.writing() as connection:
        connection.execute(
            insert(deliveries).values(
                edition_id=reached,
                subscriber_id=1,
                email="a@example.org",
                email_key="a@example.org",
                name="",
                choices={},
                fields={},
                state="accepted",
                next_attempt_at=NOW,
                changed_at=NOW,
            )
        )
        for edition_id in (gone, reached):
            change_state(connection, edition_id, "cancelled", now=NOW)
    assert titles(backend, "quay") == [LIBRARY.title]
    with backend.reading() as connection:
        assert list(connection.scalars(select(searched.c.edition_id).distinct())) == [reached]
        left = connection.scalars(select(searched_words.c.word)).all()
    assert "reopens" not in left


def test_what_was_corrected_is_found_as_it_is_corrected(backend: Database) -> None:
    edition_id = publish(backend, LIBRARY, QUAY)
    assert titles(backend, "tuesday") == []
    with backend.writing() as connection:
        wrong = find_wrong(connection, DAY, "daily", 2)
        store_correction(
            connection, wrong, "minor", "It reopened on Tuesday.", by=Actor(who="ada"), now=NOW
        )
    (hit,) = ask(backend, "tuesday").hits
    assert (hit.title, hit.corrected) == (QUAY.title, ("It reopened on Tuesday.",))
    before = count(backend, searched_words)
    with backend.writing() as connection:
        index_edition(connection, edition_id)
    assert count(backend, searched_words) == before


def test_a_round_up_repeats_nothing(backend: Database) -> None:
    publish(backend, QUAY)
    with backend.writing() as connection:
        claimed = connection.scalar(select(edition_briefs.c.brief_id))
    assert claimed
    publish(backend, QUAY, kind="weekly", day=DAY + timedelta(days=5))
    hits = ask(backend, "quay crossing").hits
    assert [(hit.kind, hit.number) for hit in hits] == [("daily", 1)]


def test_a_brief_that_two_editions_told_is_found_once_in_the_first(backend: Database) -> None:
    publish(backend, LIBRARY, QUAY, day=DAY + timedelta(days=1), at=NOW + HOUR)
    with backend.reading() as connection:
        claims = select(edition_briefs.c.brief_id).order_by(edition_briefs.c.position)
        ids = list(connection.scalars(claims))
    mended = replace(QUAY, why_it_matters="Ferries are cheaper.")
    evening = publish(backend, mended, kind="evening", ids=ids[1:], at=NOW)
    publish(backend, QUAY, kind="noon", at=NOW + 2 * HOUR)  # the same words, and another brief

    def found(query: str) -> list[tuple[str, int]]:
        assert ask(backend, query).total == len(ask(backend, query).hits)
        return [(hit.kind, hit.number) for hit in ask(backend, query).hits]

    assert sorted(found("reopens early")) == [("evening", 1), ("noon", 1)]
    assert sorted(found("commuters")) == [("daily", 2), ("noon", 1)]  # only there it says that
    assert found("cheaper") == [("evening", 1)]
    assert found("sundays") == [("daily", 1)]
    with backend.writing() as connection:
        change = update(editions).values(state="draft").where(editions.c.id == evening)
        connection.execute(change)
    assert sorted(found("reopens early")) == [("daily", 2), ("noon", 1)]
    with backend.writing() as connection:  # nobody knows any more which briefs these were
        connection.execute(delete(edition_briefs))
    assert sorted(found("reopens early")) == [("daily", 2), ("noon", 1)]


def test_the_index_is_made_anew_as_it_was(backend: Database) -> None:
    publish(backend, QUAY)
    publish(backend, LIBRARY, day=DAY + timedelta(days=1))
    before = ask(backend, "quay"), count(backend, searched_words)
    with backend.writing() as connection:
        empty_index(connection)
    assert titles(backend, "quay") == []
    with backend.writing() as connection:
        missing = list_unindexed(connection)
        for edition_id in missing:
            index_edition(connection, edition_id)
        assert list_unindexed(connection) == []
    assert len(missing) == 2
    assert (ask(backend, "quay"), count(backend, searched_words)) == before
    with backend.writing() as connection:
        for edition_id in missing:
            drop_edition(connection, edition_id)
    assert (count(backend, searched), count(backend, searched_words)) == (0, 0)


def test_pages_of_results_hold_each_once(backend: Database) -> None:
    for number in range(25):
        told = replace(QUAY, title=f"Quay number {number}")
        publish(backend, told, day=DAY + timedelta(days=number))
    shown = [hit.title for page in (1, 2, 3) for hit in ask(backend, "quay", page).hits]
    assert sorted(shown) == sorted(f"Quay number {number}" for number in range(25))
    assert shown[0] == "Quay number 24", "of what is alike the newest comes first"
    found = ask(backend, "quay", 4)
    assert (found.hits, found.total, found.is_cut) == ((), 25, False)


def test_a_query_costs_no_more_in_a_long_archive(
    backend: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Count rows and statements, not seconds: what is read must not grow with the archive."""
    monkeypatch.setattr(searching, "_CANDIDATES", 50)
    query = "the quay on monday a week ahead of plan harbor authority"

    def cost(query: str) -> tuple[int, int]:
        statements, rows = 0, 0
        load = searching._load_candidates

        def see(*_: Any) -> None:
            nonlocal statements
            statements += 1

        def measure(*arguments: Any) -> dict[int, float]:
            nonlocal rows
            loaded = load(*arguments)
            rows += len(loaded)
            return loaded

        monkeypatch.setattr(searching, "_load_candidates", measure)
        event.listen(backend.engine, "before_cursor_execute", see)
        try:
            found = ask(backend, query)
        finally:
            event.remove(backend.engine, "before_cursor_execute", see)
            monkeypatch.setattr(searching, "_load_candidates", load)
        assert found.hits
        assert found.is_cut == (found.total >= 50)
        return statements, rows

    publish(backend, *[QUAY] * 60)
    few = cost(query)
    for number in range(1, 5):
        publish(backend, *[QUAY] * 60, day=DAY + timedelta(days=number))
    many = cost(query)
    assert many == few
    assert many[1] <= 50
    assert titles_are_of(ask(backend, query), DAY + timedelta(days=4))


def titles_are_of(found: Found, day: date) -> bool:
    """Tell whether the newest were looked at."""
    days: Sequence[date] = [hit.day for hit in found.hits]
    return all(each == day for each in days)
