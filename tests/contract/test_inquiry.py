"""What an operator is told, over each backend, and that an answer reads no more than it must."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, text, update

from newsletter.audience.suppression import suppress
from newsletter.delivery import settle
from newsletter.delivery.holder import describe_self
from newsletter.delivery.inquiry import (
    Progress,
    Story,
    count_states,
    count_unreached,
    decide_finish,
    find_copy,
    list_alerts,
    list_copies_in_doubt,
    list_decisions,
    list_doubts,
    list_reasons,
    read_run,
    tell_story,
)
from newsletter.delivery.lifecycle import State
from newsletter.editions.shelf import list_editions
from newsletter.store import Database
from newsletter.store.audit import Actor
from newsletter.store.tables import alerts, attempts, decisions, runs, subscribers
from tests.audience import PSEUDONYMS
from tests.contract.desk import Desk

SECOND = timedelta(seconds=1)


@pytest.fixture
def desk(backend: Database, now: datetime) -> Desk:
    return Desk(backend, now)


@pytest.fixture
def edition_id(desk: Desk) -> int:
    """Give an edition with one delivery of every state, in the order of the states."""
    desk.store_readers(len(State))
    found, _ = desk.approve()
    for number, state in enumerate(State, start=1):
        desk.set_delivery(found, number, state=state.value, reply=f"{state.value} words")
    return found


# -- an edition ------------------------------------------------------------------------------------


def test_every_state_is_counted_however_it_is_counted(desk: Desk, edition_id: int) -> None:
    exact = desk.ledger().counts(edition_id)
    assert exact == dict.fromkeys(State, 1)
    with desk.database.reading() as connection:
        assert count_states(connection, edition_id) == exact
    desk.set_delivery(edition_id, 3, state="failed")
    with desk.database.reading() as connection:
        assert count_states(connection, edition_id) == desk.ledger().counts(edition_id)


def test_reasons_are_the_relays_words_the_most_frequent_first(desk: Desk, edition_id: int) -> None:
    for number in (1, 2, 5):
        said = f"450 <reader{number}@example.org>: later"
        desk.set_delivery(edition_id, number, state="deferred", reply=said)
    with desk.database.reading() as connection:
        reasons = list_reasons(connection, edition_id)
        assert list_reasons(connection, edition_id, limit=1) == reasons[:1]
    assert reasons == [
        (State.DEFERRED, "450 <READER>: later", 3),
        (State.BOUNCED, "bounced words", 1),
        (State.EXPIRED, "expired words", 1),
        (State.FAILED, "failed words", 1),
        (State.IN_DOUBT, "in_doubt words", 1),
    ]


def test_doubts_are_listed_with_what_their_copy_is_made_of(desk: Desk, edition_id: int) -> None:
    desk.set_delivery(edition_id, 1, state="in_doubt", via="relay #7", name="Ada")
    with desk.database.reading() as connection:
        doubts = list_doubts(connection, edition_id)
        copies = list_copies_in_doubt(connection, edition_id)
    first = doubts[0]
    assert [doubt.subscriber_id for doubt in doubts] == [1, 7]
    assert (first.email, first.via, first.reply, first.since) == (
        "reader1@example.org",
        "relay #7",
        "pending words",
        desk.now,
    )
    assert [copy.reader.name for copy in copies] == ["Ada", ""]


def test_a_run_is_alive_as_long_as_its_lease_and_its_process(desk: Desk) -> None:
    desk.store_readers(1)
    edition_id, _ = desk.approve()
    other = desk.store_edition()

    def look(after: timedelta = timedelta(0)) -> Any:
        with desk.database.reading() as connection:
            return read_run(connection, edition_id, desk.now + after)

    with desk.database.reading() as connection:
        assert read_run(connection, other, desk.now) is None
    assert not look().is_alive
    run = desk.take(edition_id)
    assert (look().is_alive, look().holder, look().fence) == (True, describe_self(), run.fence)
    assert not look(timedelta(minutes=5)).is_alive
    gone = describe_self().rpartition("|")[0] + "|1"
    with desk.database.writing() as connection:
        connection.execute(update(runs).values(holder=gone))
    assert not look().is_alive


def test_progress_is_read_as_the_sender_wrote_it_and_tells_the_finish(desk: Desk) -> None:
    desk.store_readers(1)
    edition_id, _ = desk.approve()
    at = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    document = {
        "at": at.isoformat(),
        "rate": 250.5,
        "connections": 8,
        "waiting": "the pace of 10 a second",
        "parked": 3,
        "started_at": (at - SECOND).isoformat(),
        "accepted": 77,
    }
    with desk.database.writing() as connection:
        connection.execute(update(runs).values(progress=document))
    with desk.database.reading() as connection:
        view = read_run(connection, edition_id, desk.now)
    assert view is not None
    progress = view.progress
    assert progress == Progress(
        at=at,
        started_at=at - SECOND,
        per_second=250.5,
        connections=8,
        accepted=77,
        waiting="the pace of 10 a second",
        parked=3,
    )
    assert decide_finish(progress, 501) == at + 2 * SECOND
    assert decide_finish(progress, 0) is None
    assert decide_finish(replace(progress, per_second=0), 501) is None


def test_alerts_and_decisions_come_in_order_and_each_reader_has_their_own(desk: Desk) -> None:
    edition_id = desk.store_edition()
    with desk.database.writing() as connection:
        for number, reader in enumerate((None, 1, 2)):
            row = {"decided_at": desk.now, "decided_by": "anna@desk", "action": "resolve"}
            row |= {"edition_id": edition_id, "subscriber_id": reader, "detail": f"{number}"}
            connection.execute(insert(decisions).values(row))
        for kind in ("identity", "relay"):
            connection.execute(
                insert(alerts).values(
                    edition_id=edition_id, raised_at=desk.now, kind=kind, sentence=f"the {kind}"
                )
            )
    with desk.database.reading() as connection:
        assert [alert.sentence for alert in list_alerts(connection, edition_id)] == [
            "the identity",
            "the relay",
        ]
        assert [d.detail for d in list_decisions(connection, edition_id)] == ["0"]
        assert [d.detail for d in list_decisions(connection, edition_id, 2)] == ["0", "2"]


# -- a reader --------------------------------------------------------------------------------------


def tell(desk: Desk, number: int) -> Story:
    with desk.database.reading() as connection:
        editions = list_editions(connection, 10)
        return tell_story(
            connection, f"reader{number}@example.org", editions, pseudonyms=PSEUDONYMS
        )


def test_a_story_has_every_attempt_and_who_the_reader_was_then(desk: Desk) -> None:
    desk.store_reader(1, name="Ada", consent_source="form", consent_at=desk.now)
    edition_id, _ = desk.approve()
    desk.set_edition(edition_id, dated_at=desk.now, state="sending")
    with desk.database.writing() as connection:
        for number, outcome in ((1, "deferred"), (2, "accepted")):
            connection.execute(
                insert(attempts).values(
                    edition_id=edition_id,
                    subscriber_id=1,
                    number=number,
                    via=f"relay #{number}",
                    started_at=desk.now,
                    ended_at=desk.now + number * SECOND,
                    outcome=outcome,
                    reply=f"{number} words",
                )
            )
    desk.set_delivery(edition_id, 1, state="accepted")

    story = tell(desk, 1)

    assert story.subscriber is not None
    assert story.suppressed is None
    (chapter,) = story.chapters
    assert chapter.copy is not None
    assert (chapter.copy.state, chapter.copy.reader.name) == (State.ACCEPTED, "Ada")
    assert [(a.number, a.via, a.outcome, a.reply) for a in chapter.attempts] == [
        (1, "relay #1", State.DEFERRED, "1 words"),
        (2, "relay #2", State.ACCEPTED, "2 words"),
    ]


def test_an_absence_is_explained(desk: Desk) -> None:
    before = {"created_at": desk.now - SECOND}
    desk.store_reader(1, **before)
    desk.store_reader(2, status="unsubscribed", **before)
    desk.suppress(3)
    desk.store_reader(3, status="unsubscribed", **before)
    edition_id, _ = desk.approve()
    desk.set_edition(edition_id, dated_at=desk.now.replace(microsecond=0), state="sent")
    desk.store_reader(4, created_at=desk.now + SECOND)
    draft = desk.store_edition()
    desk.set_edition(draft, state="draft")

    def absences(number: int) -> list[str]:
        return [chapter.absence.partition(";")[0] for chapter in tell(desk, number).chapters]

    unborn = "nobody was enrolled for it: the edition is a draft"
    joined = f"joined the list only on {desk.now + SECOND:%Y-%m-%d at %H:%M:%S} UTC"
    assert absences(1) == [unborn, ""]
    assert absences(2) == [unborn, "was not active then, and is unsubscribed now"]
    assert absences(3) == [unborn, "was kept out then (unsubscribed)"]
    assert absences(4) == [unborn, joined]


def test_who_is_no_reader_has_at_most_a_suppression(desk: Desk) -> None:
    desk.store_reader(1)
    with desk.database.writing() as connection:
        suppress(connection, ["reader9@example.org"], "erased", desk.now, detail="asked by letter")
    story = tell(desk, 9)
    assert (story.subscriber, story.chapters) == (None, ())
    assert story.suppressed is not None
    assert (story.suppressed.reason, story.suppressed.detail) == ("erased", "asked by letter")
    assert tell(desk, 8).suppressed is None


@pytest.mark.parametrize("is_kept_out", [False, True])
def test_who_was_a_reader_keeps_their_chapters(desk: Desk, is_kept_out: bool) -> None:
    desk.store_reader(1, name="Ada")
    before, _ = desk.approve()
    with desk.database.writing() as connection:
        connection.execute(delete(subscribers))
    desk.store_reader(2)
    desk.approve()
    if is_kept_out:
        desk.suppress(1)
    story = tell(desk, 1)
    assert story.subscriber is None
    assert (story.suppressed is not None) == is_kept_out
    [chapter] = story.chapters
    assert chapter.edition.id == before
    assert chapter.copy is not None
    assert (chapter.copy.reader.name, chapter.copy.state) == ("Ada", State.PENDING)


# -- how much is read ------------------------------------------------------------------------------


def test_every_answer_comes_from_an_index(desk: Desk) -> None:
    """By the database's own plan, of an edition to many readers."""
    desk.store_edition()
    with desk.database.writing() as connection:
        connection.execute(insert(runs).values(edition_id=1, audience=20_000))
        connection.execute(text(_MANY[desk.database.is_sqlite]))
        connection.execute(text("ANALYZE deliveries"))
        assert len(list_doubts(connection, 1)) == 20
        if not desk.database.is_sqlite:
            doubts = "SELECT email FROM deliveries WHERE edition_id = 1 AND state = 'in_doubt'"
            said = " ".join(connection.execute(text(f"EXPLAIN {doubts}")).scalars())
            assert "ix_deliveries_troubled" in said
            return
        connection.execute(text("DELETE FROM sqlite_stat1"))  # as it is found in the field
    _check_plans(desk, 1)


def _check_plans(desk: Desk, edition_id: int) -> None:
    """Ask SQLite: what reads a whole edition has its key alone, (edition_id=?)."""
    troubled, still_open = "ix_deliveries_troubled", "ix_deliveries_open"

    def put_back(connection: Connection, edition_id: int) -> None:
        times = {"now": desk.now, "not_after": desk.now}
        settle.put_back(
            connection, edition_id, including_dead=False, by=Actor(who="anna@desk"), **times
        )

    def close(connection: Connection, edition_id: int) -> None:
        settle.close_cancelled(connection, edition_id, desk.now)

    desk.set_edition(edition_id, state="sent")
    with desk.watch_plans() as plans, desk.database.writing() as connection:
        for ask, indexes in (
            (list_doubts, [troubled]),
            (list_copies_in_doubt, [troubled]),
            (list_reasons, [troubled, still_open]),
            (count_unreached, [troubled]),
            (count_states, [still_open]),
            (put_back, [troubled, troubled]),
            (close, [still_open, still_open, still_open]),
        ):
            del plans[:]
            ask(connection, edition_id)
            assert len(plans) == len(indexes)
            for plan, index in zip(plans, indexes, strict=True):
                assert any(f"USING COVERING INDEX {index} (edition_id=?" in p for p in plan), plan
                assert not [p for p in plan if p.startswith("SCAN deliv")], plan
                assert not [p for p in plan if p.endswith("PRIMARY KEY (edition_id=?)")], plan
        del plans[:]
        find_copy(connection, edition_id, 1)
        assert plans == [["SEARCH deliveries USING PRIMARY KEY (edition_id=? AND subscriber_id=?)"]]


_NUMBERS = (
    "generate_series(1, 20000) AS n",
    "(WITH RECURSIVE n(n) AS (SELECT 1 UNION SELECT n + 1 FROM n WHERE n < 20000) SELECT n FROM n)",
)
_MANY = [
    f"""
    INSERT INTO deliveries (edition_id, subscriber_id, email, email_key, name, choices, fields,
                            state, next_attempt_at, changed_at)
    SELECT 1, n, n||'@example.org', n||'@example.org', '', '{{}}', '{{}}',
           CASE WHEN n % 1000 = 0 THEN 'in_doubt' ELSE 'accepted' END, 1, 1
    FROM {numbers}
    """
    for numbers in _NUMBERS
]
"""Enrol 20,000 readers, 20 of them in doubt: on PostgreSQL, on SQLite."""
