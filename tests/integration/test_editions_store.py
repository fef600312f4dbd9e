"""Every turn that a day can take in a real database, which is why this file is long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, insert, select

from newsletter.briefs.document import brief_to_document
from newsletter.briefs.gather import SourceReport, gather_sources
from newsletter.briefs.model import Brief, Perspective, Point, Source
from newsletter.editions.desk import Composed, compose_edition
from newsletter.editions.lifecycle import EditionState
from newsletter.editions.model import Edition, Window
from newsletter.editions.shelf import (
    EditionRecord,
    Step,
    change_state,
    find_edition,
    hold_edition,
    list_editions,
    load_compiled,
    load_content,
    previous_cut_off,
    read_edition,
    store_compiled,
    store_edition,
)
from newsletter.editions.window import local_date
from newsletter.errors import (
    ConfigurationError,
    IllegalMove,
    RefusedError,
    StorageError,
    TemporaryError,
)
from newsletter.settings import EditionSettings, FeedSource, FolderSource, Publication, Settings
from newsletter.store import Database
from newsletter.store.tables import briefs, deliveries, edition_briefs, editions, gatherings
from tests.databases import open_new_database
from tests.examples import examples

MONDAY = date(2026, 3, 2)
TUESDAY = date(2026, 3, 3)
SEVEN = datetime(2026, 3, 2, 12, tzinfo=UTC)  # 07:00 on Monday in New York
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SETTINGS = Settings(
    publication=Publication(
        name="Harbour Morning",
        sender="Harbour Morning <brief@news.example>",
        list_id="daily.news.example",
        url="https://news.example",
        timezone="America/New_York",
    ),
    sources=(
        FolderSource(kind="folder", path=Path("briefs")),
        FeedSource(kind="feed", url="https://wire.example/feed.xml", name="wire"),
    ),
)
NOTE_ON_QUIET_DAYS = SETTINGS.model_copy(update={"edition": EditionSettings(quiet_day="note")})


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path = tmp_path_factory.mktemp("editions") / "newsletter.db"
    database = open_new_database(path)
    yield database
    database.close()


def empty(database: Database) -> None:
    with database.writing() as connection:
        for table in (edition_briefs, deliveries, editions, briefs, gatherings):
            connection.execute(delete(table))


@pytest.fixture
def database(opened: Database) -> Database:
    empty(opened)
    return opened


def report(name: str, error: str = "") -> SourceReport:
    return SourceReport(name=name, status="failed" if error else "read", error=error)


ALL_READ = (report("briefs"), report("wire"))
ONE_FAILED = (report("briefs"), report("wire", "the server answered 503."))
ALL_FAILED = (report("briefs", "no such folder"), report("wire", "the server answered 503."))


def add_brief(
    database: Database, title: str, published_at: datetime, *, seen_at: datetime | None = None
) -> int:
    brief = Brief(title=title, summary=f"What is known of {title}.", published_at=published_at)
    with database.writing() as connection:
        made = connection.execute(
            insert(briefs).values(
                source="briefs",
                origin=f"{title}.txt",
                published_at=published_at,
                first_seen_at=seen_at or published_at,
                changed_at=published_at,
                document=brief_to_document(brief),
                warnings=[],
            )
        )
    assert made.inserted_primary_key is not None
    return cast("int", made.inserted_primary_key[0])


def add_gathering(database: Database, source: str, at: datetime, error: str = "") -> None:
    with database.writing() as connection:
        connection.execute(
            insert(gatherings).values(
                source=source,
                gathered_at=at,
                status="failed" if error else "unchanged",
                found=0,
                new=0,
                changed=0,
                problems=[],
                error=error,
            )
        )


def add_delivery(database: Database, edition_id: int, state: str) -> None:
    with database.writing() as connection:
        connection.execute(
            insert(deliveries).values(
                edition_id=edition_id,
                subscriber_id=1,
                email="ada@reader.example",
                email_key="ada@reader.example",
                name="Ada",
                choices={},
                fields={},
                state=state,
                next_attempt_at=SEVEN,
                changed_at=SEVEN,
            )
        )


def make(
    database: Database,
    day: date = MONDAY,
    *,
    now: datetime = SEVEN,
    settings: Settings = SETTINGS,
    reports: tuple[SourceReport, ...] | None = ALL_READ,
) -> Composed:
    return compose_edition(database, settings, day=day, now=now, reports=reports)


def advance(database: Database, edition_id: int, *steps: Step) -> EditionRecord:
    with database.writing() as connection:
        for step in steps:
            record = change_state(connection, edition_id, step, now=SEVEN)
    return record


def release(database: Database, composed: Composed, *further: Step) -> EditionRecord:
    assert composed.record is not None
    return advance(database, composed.record.id, "ready", "approved", *further)


def titles(composed: Composed) -> list[str]:
    assert composed.edition is not None
    return [brief.title for brief in composed.edition.briefs]


@contextmanager
def nothing_changes(database: Database) -> Iterator[None]:
    def look() -> list[object]:
        with database.reading() as connection:
            return [connection.execute(select(table)).all() for table in (editions, edition_briefs)]

    before = look()
    yield
    assert look() == before


# -- composing ---------------------------------------------------------------------------------


def test_a_day_with_briefs_becomes_a_draft(database: Database) -> None:
    add_brief(database, "Ferries stop", SEVEN - HOUR)
    add_brief(database, "Bridge opens", SEVEN - 2 * HOUR)
    add_brief(database, "An old story", SEVEN - 30 * HOUR, seen_at=SEVEN - HOUR)
    add_brief(database, "Tomorrow's story", SEVEN + HOUR, seen_at=SEVEN - HOUR)

    composed = make(database)

    assert (composed.outcome, composed.existing, composed.retired) == ("edition", False, ())
    expected = {"in": 2, "late": 0, "too_old": 1, "not_yet": 1, "embargoed": 0, "expired": 0}
    assert composed.counts == {"unreviewed": 0, "rejected": 0, **expected}
    assert titles(composed) == ["Ferries stop", "Bridge opens"]
    record = composed.record
    assert record is not None
    assert (record.date, record.kind, record.state, record.reason) == (MONDAY, "daily", "draft", "")
    assert record.window == Window(start=SEVEN - DAY, cut_off=SEVEN)
    assert (record.subject, record.created_at) == ("Ferries stop; Bridge opens", SEVEN)
    assert not record.has_compiled
    with database.reading() as connection:
        assert load_content(connection, record.id) == composed.edition
        assert find_edition(connection, MONDAY) == record == read_edition(connection, record.id)


def test_the_next_edition_goes_on_where_the_last_one_cut_off(database: Database) -> None:
    add_brief(database, "Ferries stop", SEVEN - HOUR)
    release(database, make(database), "sending", "sent")
    add_brief(database, "Seen late", SEVEN - HOUR, seen_at=SEVEN + HOUR)
    add_brief(database, "Far too late", SEVEN - 25 * HOUR, seen_at=SEVEN + HOUR)
    add_brief(database, "Between", SEVEN + HOUR)

    composed = make(database, date(2026, 3, 5), now=SEVEN + 3 * DAY)

    assert titles(composed) == ["Between", "Seen late"]
    expected = {"in": 1, "late": 1, "too_old": 1, "not_yet": 0, "embargoed": 0, "expired": 0}
    assert composed.counts == {"unreviewed": 0, "rejected": 0, **expected}
    assert composed.record is not None
    assert composed.record.window == Window(start=SEVEN, cut_off=SEVEN + 3 * DAY)

    release(database, composed)
    later = make(database, date(2026, 3, 6), now=SEVEN + 4 * DAY)
    assert set(later.counts.values()) == {0}, "what is too old is reported once"


def test_what_was_gathered_at_the_moment_of_composing_is_in(
    database: Database, tmp_path: Path
) -> None:
    """One reading of the clock serves a send that gathers and composes."""
    folder = FolderSource(kind="folder", path=tmp_path)
    here = SETTINGS.model_copy(update={"sources": (folder,)})
    (tmp_path / "ferries.txt").write_text("Ferries stop\n\nNo ferry left the harbour today.\n")
    reports = gather_sources(database, here, now=SEVEN)
    assert titles(make(database, settings=here, reports=reports)) == ["Ferries stop"]


def test_a_draft_is_composed_again_with_what_came_meanwhile(database: Database) -> None:
    add_brief(database, "Ferries stop", SEVEN - HOUR)
    first = make(database)
    assert first.record is not None
    with database.writing() as connection:
        assert first.edition is not None
        store_compiled(connection, first.record.id, b"rendered")
    add_brief(database, "Bridge opens", SEVEN + HOUR)

    again = make(database, now=SEVEN + 2 * HOUR)

    assert titles(again) == ["Bridge opens", "Ferries stop"]
    assert again.record is not None
    assert (again.record.id, again.record.has_compiled) == (first.record.id, False)
    assert again.record.window.cut_off == SEVEN + 2 * HOUR


def test_what_found_no_room_does_not_come_back_the_day_after(database: Database) -> None:
    few = SETTINGS.model_copy(update={"edition": EditionSettings(max_briefs=1)})
    add_brief(database, "Ferries stop", SEVEN - HOUR)
    add_brief(database, "Bridge opens", SEVEN - 2 * HOUR)
    composed = make(database, settings=few)
    assert composed.edition is not None
    assert (titles(composed), composed.edition.left_out) == (["Ferries stop"], 1)
    release(database, composed)
    assert make(database, TUESDAY, now=SEVEN + DAY).outcome == "nothing_new"


@pytest.mark.parametrize("further", [(), ("sending",), ("sending", "paused"), ("sending", "sent")])
def test_an_approved_edition_is_given_back_as_it_is(
    database: Database, further: tuple[Step, ...]
) -> None:
    add_brief(database, "Ferries stop", SEVEN - HOUR)
    composed = make(database)
    record = release(database, composed, *further)
    add_brief(database, "Bridge opens", SEVEN)

    with nothing_changes(database):
        again = make(database, now=SEVEN + HOUR, reports=ALL_FAILED)

    assert (again.outcome, again.existing) == ("edition", True)
    assert (again.record, again.edition) == (record, composed.edition)


def test_a_draft_that_nobody_approved_gives_its_briefs_to_the_next_edition(
    database: Database,
) -> None:
    add_brief(database, "Ferries stop", SEVEN - HOUR)
    stale = make(database)
    add_brief(database, "Bridge opens", SEVEN + HOUR)

    composed = make(database, TUESDAY, now=SEVEN + DAY)

    assert titles(composed) == ["Bridge opens", "Ferries stop"]
    assert composed.retired == (f"{MONDAY}",)
    assert stale.record is not None
    with database.reading() as connection:
        retired = read_edition(connection, stale.record.id)
    assert retired.state == "cancelled"
    assert retired.reason == "it was not approved before the edition of 2026-03-03 was composed"


def test_a_day_to_come_is_refused(database: Database) -> None:
    add_brief(database, "Ferries stop", SEVEN - HOUR)
    make(database)
    with nothing_changes(database), pytest.raises(RefusedError, match="has not begun"):
        make(database, TUESDAY)


def test_a_publication_without_sources_is_told_so(database: Database) -> None:
    bare = SETTINGS.model_copy(update={"sources": ()})
    with pytest.raises(ConfigurationError, match="sources: there is no source") as caught:
        make(database, settings=bare, reports=())
    assert "add [[sources]]" in str(caught.value)


# -- days without briefs -----------------------------------------------------------------------


def test_a_day_without_briefs_leaves_nothing_behind(database: Database) -> None:
    with nothing_changes(database):
        composed = make(database)
    assert (composed.outcome, composed.record, composed.edition) == ("nothing_new", None, None)


def test_a_quiet_day_can_have_its_note(database: Database) -> None:
    composed = make(database, settings=NOTE_ON_QUIET_DAYS)
    assert (composed.outcome, titles(composed)) == ("quiet_day", [])
    assert composed.record is not None
    assert composed.record.state == "draft"
    assert composed.record.subject == "Harbour Morning, 2026-03-02"
    release(database, composed)
    again = make(database, settings=NOTE_ON_QUIET_DAYS)
    assert (again.outcome, again.existing, again.edition) == ("quiet_day", True, composed.edition)


@pytest.mark.parametrize("settings", [SETTINGS, NOTE_ON_QUIET_DAYS])
@pytest.mark.parametrize(
    ("reports", "reason"),
    [
        (
            ALL_FAILED,
            "all 2 sources failed: briefs: no such folder; wire: the server answered 503",
        ),
        (
            ONE_FAILED,
            "there are no new briefs, and 1 of 2 sources failed: wire: the server answered 503",
        ),
        ((report("wire", "wire: no answer."),), "the only source failed: wire: no answer"),
        (None, "all 2 sources failed: briefs: it was not gathered; wire: it was not gathered"),
    ],
)
def test_a_day_of_which_nothing_can_be_known_is_held(
    database: Database,
    settings: Settings,
    reports: tuple[SourceReport, ...] | None,
    reason: str,
) -> None:
    composed = make(database, settings=settings, reports=reports)
    assert (composed.outcome, composed.edition) == ("held", None)
    assert composed.record is not None
    assert (composed.record.state, composed.record.reason) == ("held", reason)
    with (
        database.reading() as connection,
        pytest.raises(RefusedError, match="has no content: it is held"),
    ):
        load_content(connection, composed.record.id)


def test_one_failed_source_does_not_hold_up_the_briefs_of_the_others(database: Database) -> None:
    add_brief(database, "Ferries stop", SEVEN - HOUR)
    assert make(database, reports=ONE_FAILED).outcome == "edition"


def test_a_gathering_that_failed_everywhere_holds_even_what_was_drafted(database: Database) -> None:
    add_brief(database, "Ferries stop", SEVEN - HOUR)
    make(database)
    held = make(database, now=SEVEN + HOUR, reports=ALL_FAILED)
    assert held.outcome == "held"

    works = make(database, now=SEVEN + 2 * HOUR)
    assert (works.outcome, titles(works)) == ("edition", ["Ferries stop"])
    assert works.record is not None
    assert (works.record.state, works.record.reason) == ("draft", "")


def test_a_held_day_that_proves_quiet_is_held_no_longer(database: Database) -> None:
    held = make(database, reports=ALL_FAILED)
    assert held.record is not None
    assert make(database).outcome == "nothing_new"
    with database.reading() as connection:
        record = read_edition(connection, held.record.id)
    assert (record.state, record.reason) == ("cancelled", "nothing new")
    assert make(database).outcome == "nothing_new"
    assert make(database, reports=ALL_FAILED).outcome == "held"


def test_a_held_day_is_covered_by_the_next_one(database: Database) -> None:
    add_brief(database, "Ferries stop", SEVEN - DAY - HOUR)
    release(database, make(database, MONDAY - DAY, now=SEVEN - DAY))
    make(database, reports=ALL_FAILED)
    add_brief(database, "Bridge opens", SEVEN - HOUR, seen_at=SEVEN + HOUR)
    composed = make(database, TUESDAY, now=SEVEN + DAY)
    assert titles(composed) == ["Bridge opens"]
    assert composed.record is not None
    assert composed.record.window.start == SEVEN - DAY


def test_a_gathering_before_the_last_edition_says_nothing_of_this_day(database: Database) -> None:
    add_brief(database, "Ferries stop", SEVEN - HOUR)
    release(database, make(database))
    add_gathering(database, "briefs", SEVEN - HOUR)
    add_gathering(database, "wire", SEVEN + HOUR)
    held = make(database, TUESDAY, now=SEVEN + DAY, reports=None).record
    assert held is not None
    assert held.reason == (
        "there are no new briefs, and 1 of 2 sources failed: briefs: it was not gathered"
    )


def test_without_a_gathering_the_last_one_recorded_tells_whether_the_day_was_quiet(
    database: Database,
) -> None:
    add_gathering(database, "briefs", SEVEN - 2 * HOUR, "no such folder")
    add_gathering(database, "briefs", SEVEN - HOUR)
    add_gathering(database, "wire", SEVEN - 2 * HOUR)
    add_gathering(database, "a source since removed", SEVEN - HOUR, "gone")
    assert make(database, reports=None).outcome == "nothing_new"

    add_gathering(database, "wire", SEVEN - HOUR, "no answer")
    held = make(database, reports=None).record
    assert held is not None
    assert held.reason == "there are no new briefs, and 1 of 2 sources failed: wire: no answer"

    add_brief(database, "Ferries stop", SEVEN - HOUR)
    assert make(database, reports=None).outcome == "edition"


# -- the life of a stored edition --------------------------------------------------------------


@pytest.fixture
def drafted(database: Database) -> EditionRecord:
    add_brief(database, "Ferries stop", SEVEN - HOUR)
    record = make(database).record
    assert record is not None
    return record


def test_an_edition_goes_its_way_and_no_other(database: Database, drafted: EditionRecord) -> None:
    with (
        nothing_changes(database),
        pytest.raises(IllegalMove, match="2026-03-02 cannot go from draft to sending"),
    ):
        advance(database, drafted.id, "sending")
    sent = advance(database, drafted.id, "ready", "approved", "sending", "sent")
    assert (sent.state, sent.sent_at) == ("sent", SEVEN)
    with nothing_changes(database), pytest.raises(IllegalMove, match="from sent to cancelled"):
        advance(database, drafted.id, "cancelled")


def test_of_two_who_move_the_same_edition_one_is_refused(
    database: Database, drafted: EditionRecord
) -> None:
    advance(database, drafted.id, "ready", "approved", "sending")
    with pytest.raises(IllegalMove, match="from sending to sending"):
        advance(database, drafted.id, "sending")


def test_an_edition_that_is_not_there_is_named(database: Database) -> None:
    with pytest.raises(RefusedError, match="there is no edition 404"):
        advance(database, 404, "ready")


@pytest.mark.parametrize("further", [(), ("sending",), ("sending", "paused"), ("sending", "sent")])
def test_what_readers_may_have_is_never_replaced(
    database: Database, drafted: EditionRecord, further: tuple[Step, ...]
) -> None:
    with database.reading() as connection:
        edition = load_content(connection, drafted.id)
    advance(database, drafted.id, "ready", "approved", *further)
    with nothing_changes(database):
        with (
            pytest.raises(RefusedError, match="it cannot be replaced"),
            database.writing() as connection,
        ):
            store_edition(connection, edition, state="draft", brief_ids=[1], now=SEVEN)
        with (
            pytest.raises(RefusedError, match="it cannot be replaced"),
            database.writing() as connection,
        ):
            hold_edition(connection, MONDAY, "a whim", edition.window, SEVEN)
        with (
            pytest.raises(TemporaryError, match="was approved meanwhile"),
            database.writing() as connection,
        ):
            store_compiled(connection, drafted.id, b"other bytes")


def test_what_was_rendered_is_kept_byte_for_byte(
    database: Database, drafted: EditionRecord
) -> None:
    with (
        database.reading() as connection,
        pytest.raises(RefusedError, match="has not been rendered"),
    ):
        load_compiled(connection, drafted.id)
    data = bytes(range(256)) * 100
    with database.writing() as connection:
        store_compiled(connection, drafted.id, data)
    advance(database, drafted.id, "ready", "approved")
    with database.reading() as connection:
        assert load_compiled(connection, drafted.id) == data
        assert read_edition(connection, drafted.id).has_compiled


def test_a_cancelled_edition_gives_its_briefs_back_and_can_be_made_again(
    database: Database, drafted: EditionRecord
) -> None:
    cancelled = advance(database, drafted.id, "ready", "approved", "cancelled")
    assert cancelled.state == "cancelled"
    with database.reading() as connection:
        assert previous_cut_off(connection, TUESDAY) is None
        assert connection.scalar(select(func.count()).select_from(edition_briefs)) == 0

    again = make(database, now=SEVEN + HOUR)

    assert (again.outcome, titles(again)) == ("edition", ["Ferries stop"])
    assert again.record is not None
    assert (again.record.id, again.record.state) == (drafted.id, "draft")


def test_a_cancelled_edition_gives_its_briefs_to_the_next_one(
    database: Database, drafted: EditionRecord
) -> None:
    advance(database, drafted.id, "cancelled")
    release(database, make(database, TUESDAY, now=SEVEN + HOUR * 20))
    assert make(database, now=SEVEN + HOUR * 21).outcome == "nothing_new"


@pytest.mark.parametrize(
    ("state", "reached"),
    [
        ("pending", False),
        ("leased", True),
        ("suppressed", False),
        ("sending", True),
        ("accepted", True),
        ("in_doubt", True),
        ("bounced", True),
    ],
)
def test_cancelled_with_readers_enrolled_the_date_is_spent(
    database: Database, drafted: EditionRecord, state: str, reached: bool
) -> None:
    """And if a reader may have a copy, its briefs are spent as well: never a brief twice."""
    advance(database, drafted.id, "ready", "approved", "sending")
    add_delivery(database, drafted.id, state)
    advance(database, drafted.id, "cancelled")
    with (
        nothing_changes(database),
        pytest.raises(RefusedError, match="cancelled when readers were already enrolled"),
    ):
        make(database)
    next_day = make(database, TUESDAY, now=SEVEN + HOUR * 20)
    assert next_day.outcome == ("nothing_new" if reached else "edition")


def test_the_latest_editions_are_listed_first(database: Database) -> None:
    window = Window(start=SEVEN - DAY, cut_off=SEVEN)
    with database.writing() as connection:
        for number in (2, 0, 3, 1):
            hold_edition(connection, MONDAY + number * DAY, "test", window, SEVEN)
    with database.reading() as connection:
        dates = [record.date for record in list_editions(connection, 3)]
    assert dates == [MONDAY + number * DAY for number in (3, 2, 1)]


@pytest.mark.parametrize(
    ("state", "counts"),
    [
        ("draft", True),
        ("ready", True),
        ("approved", True),
        ("sending", True),
        ("paused", True),
        ("sent", True),
        ("cancelled", False),
        ("held", False),
    ],
)
def test_held_and_cancelled_editions_cut_nothing_off(
    database: Database, state: EditionState, counts: bool
) -> None:
    with database.writing() as connection:
        for day, kept in ((MONDAY - DAY, "sent"), (MONDAY, state), (TUESDAY, "sent")):
            connection.execute(
                insert(editions).values(
                    date=day,
                    state=kept,
                    window_start=SEVEN - 9 * DAY,
                    cut_off=SEVEN + (day - MONDAY),
                    created_at=SEVEN,
                )
            )
        assert previous_cut_off(connection, MONDAY - DAY) is None
        found = previous_cut_off(connection, TUESDAY)
    assert found == (SEVEN if counts else SEVEN - DAY)


# -- content -----------------------------------------------------------------------------------

FULL = Brief(
    title="Ferries stop “until further notice”",
    summary="First paragraph.\n\nSecond paragraph, 港湾 and 👩‍🚒.",
    why_it_matters="Half the town works on the other shore.",
    quick_take=(Point(label="Who Loses", text="Commuters."), Point(label="Own Label", text="Yes.")),
    perspectives=(
        Perspective(lens="Household Impact", descriptor="How this affects …", text="Fares rise."),
        Perspective(lens="Adversary View"),
    ),
    sources=(
        Source(name="wire.example", url="https://wire.example/news/article/rss:0af/it's:here"),
        Source(name="The Harbour Gazette"),
    ),
    disclosure="AI-assisted.",
    id="rss:0af",
    link="https://news.example/news/article/rss:0af/it's:here",
    topics=("transport", "labour"),
    author="A. Writer",
    published_at=datetime(2026, 3, 2, 11, 59, 59, 123456, tzinfo=UTC),
)
MOMENTS = st.integers(-(10**12), 10**12).map(lambda milli: SEVEN + timedelta(milliseconds=milli))


@settings(max_examples=examples(25), deadline=None)
@given(
    start=MOMENTS,
    cut_off=MOMENTS,
    subject=st.text(max_size=60),
    published=st.lists(st.none() | MOMENTS, max_size=3),
    left_out=st.integers(0, 99),
)
def test_stored_content_comes_back_equal(
    opened: Database,
    start: datetime,
    cut_off: datetime,
    subject: str,
    published: list[datetime | None],
    left_out: int,
) -> None:
    empty(opened)
    chosen = [
        FULL,
        *(
            Brief(title=f"Story {i}", summary="S.", published_at=at)
            for i, at in enumerate(published)
        ),
    ]
    edition = Edition(
        date=MONDAY,
        window=Window(start=start, cut_off=cut_off),
        subject=subject,
        preheader=subject[::-1],
        briefs=tuple(chosen),
        left_out=left_out,
    )
    ids = [add_brief(opened, f"Story {i}", SEVEN) for i in range(len(chosen))]
    with opened.writing() as connection:
        record = store_edition(connection, edition, state="draft", brief_ids=ids, now=SEVEN)
    with opened.reading() as connection:
        assert load_content(connection, record.id) == edition
        claimed = connection.scalars(
            select(edition_briefs.c.brief_id).order_by(edition_briefs.c.position)
        ).all()
    assert claimed == ids
    assert (record.window, record.subject) == (edition.window, subject)


def test_content_of_a_later_format_is_not_guessed_at(
    database: Database, drafted: EditionRecord
) -> None:
    with database.writing() as connection:
        connection.execute(editions.update().values(content={"format": 2}))
    with (
        database.reading() as connection,
        pytest.raises(StorageError, match="the stored edition cannot be read"),
    ):
        load_content(connection, drafted.id)


# -- never a brief twice, and none lost --------------------------------------------------------

SECONDS = st.integers(0, 6 * 86_400)


@settings(max_examples=examples(40), deadline=None)
@given(
    arrivals=st.lists(st.tuples(SECONDS, st.integers(-86_400, 30 * 3600)), max_size=12),
    makings=st.lists(
        st.tuples(
            SECONDS,
            st.integers(0, 2),
            st.sampled_from(["draft", "ready", "cancelled", "held", "approved", "sent"]),
        ),
        max_size=8,
    ),
)
def test_over_any_history_each_brief_seen_in_time_reaches_readers_once(
    opened: Database,
    arrivals: list[tuple[int, int]],
    makings: list[tuple[int, int, str]],
) -> None:
    """Editions left as drafts, cancelled, held, made for days past, made again: all of it."""
    empty(opened)
    origin = SEVEN - 10 * HOUR
    steps: dict[str, tuple[Step, ...]] = {
        "ready": ("ready",),
        "cancelled": ("ready", "cancelled"),
        "approved": ("ready", "approved"),
        "sent": ("ready", "approved", "sending", "sent"),
    }
    waiting = sorted((timedelta(seconds=s), timedelta(seconds=d)) for s, d in arrivals)
    owed: set[str] = set()
    begun = False
    # At last an edition that is sent, when all is published.
    last = (10 * 86_400, 0, "sent")
    for seconds, days_late, fate in [*sorted(makings), last]:
        now = origin + timedelta(seconds=seconds)
        while waiting and origin + waiting[0][0] <= now:
            seen, delay = waiting.pop(0)
            title = f"Story {len(waiting)}"
            add_brief(opened, title, origin + seen + delay, seen_at=origin + seen)
            if begun and delay >= -DAY:
                owed.add(title)
        day = local_date(now, SETTINGS.publication.zone) - days_late * DAY
        composed = make(opened, day, now=now, reports=ALL_FAILED if fate == "held" else ALL_READ)
        begun = begun or composed.record is not None
        if composed.outcome == "edition" and not composed.existing:
            assert composed.record is not None
            if fate in steps:
                advance(opened, composed.record.id, *steps[fate])

    with opened.reading() as connection:
        told = [
            brief.title
            for record in list_editions(connection, 100)
            if record.state in ("approved", "sent")
            for brief in load_content(connection, record.id).briefs
        ]
    assert len(told) == len(set(told))
    assert owed <= set(told)


def test_what_is_composed_to_see_what_would_come_of_it_is_not_stored(database: Database) -> None:
    brief_id = add_brief(database, "Rates hold", SEVEN - HOUR)
    seen = compose_edition(database, SETTINGS, day=MONDAY, now=SEVEN, reports=ALL_READ, dry=True)
    assert seen.edition is not None
    assert [(fate.candidate.brief_id, fate.place) for fate in seen.fates] == [(brief_id, "full")]
    with database.reading() as connection:
        assert find_edition(connection, MONDAY) is None
        assert connection.scalar(select(func.count()).select_from(edition_briefs)) == 0
    made = compose_edition(database, SETTINGS, day=MONDAY, now=SEVEN, reports=ALL_READ)
    assert made.edition == seen.edition


def test_what_waits_for_a_held_edition_says_so(database: Database) -> None:
    brief_id = add_brief(database, "Rates hold", SEVEN - HOUR)
    held = compose_edition(database, SETTINGS, day=MONDAY, now=SEVEN, reports=ALL_FAILED)
    assert held.record is not None
    (fate,) = held.fates
    assert (fate.candidate.brief_id, fate.place, fate.why) == (
        brief_id,
        "held",
        held.record.reason,
    )
