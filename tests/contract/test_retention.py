"""What is no longer needed is forgotten, and nothing that an open edition needs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from newsletter.delivery import retention
from newsletter.delivery.inquiry import FORGOTTEN, count_states, tell_story
from newsletter.delivery.lifecycle import State
from newsletter.delivery.retention import Pruned, prune
from newsletter.editions.shelf import list_editions
from newsletter.settings import Retention
from newsletter.store import Database
from newsletter.store.tables import (
    attempts,
    decisions,
    deliveries,
    gatherings,
    import_changes,
    imports,
    subscribers,
)
from tests.audience import PSEUDONYMS
from tests.contract.desk import Desk

NOW = datetime(2026, 6, 1, 6, 0, tzinfo=UTC)
DAY = timedelta(days=1)
KEPT = Retention()


@pytest.fixture
def desk(backend: Database, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(retention, "_BATCH_ROWS", 2)
    return Desk(backend, NOW)


def run(desk: Desk, **kept: Any) -> Pruned:
    return prune(desk.database, KEPT.model_copy(update=kept), now=NOW)


def count(desk: Desk, table: Any, *conditions: Any) -> int:
    with desk.database.reading() as connection:
        query = select(func.count()).select_from(table).where(*conditions)
        return connection.execute(query).scalar_one()


STATES = ("accepted", "failed", "in_doubt", "bounced", "expired")
REPLIES = ("250 2.0.0 Ok <r@x>", "550 5.1.1 <r@x> no", "lost", "451-4.7.1 a", "cancelled by x")


def store_sent(desk: Desk, *, days: int, state: str = "sent", left: str = "") -> int:
    """Store an edition of so many days ago with five copies, each tried once, as `STATES`."""
    desk.now = NOW - days * DAY
    if not count(desk, subscribers):
        desk.store_readers(5)
    edition_id, _ = desk.approve()
    desk.set_edition(edition_id, state=state, dated_at=desk.now, sent_at=desk.now)
    for number, (final, reply) in enumerate(zip(STATES, REPLIES, strict=True), start=1):
        ends = left if left and number == 5 else final
        desk.set_delivery(edition_id, number, state=ends, reply=reply)
        with desk.database.writing() as connection:
            connection.execute(
                insert(attempts).values(
                    edition_id=edition_id,
                    subscriber_id=number,
                    number=1,
                    via="relay #1",
                    started_at=desk.now,
                    ended_at=desk.now,
                    outcome=final,
                    reply=reply,
                )
            )
            connection.execute(
                insert(decisions).values(
                    edition_id=edition_id,
                    subscriber_id=number if number > 1 else None,
                    decided_at=desk.now,
                    decided_by="op",
                    action="resolve",
                )
            )
    desk.now = NOW
    return edition_id


def replies(desk: Desk, edition_id: int) -> list[str]:
    with desk.database.reading() as connection:
        query = select(deliveries.c.reply).where(deliveries.c.edition_id == edition_id)
        return list(connection.scalars(query.order_by(deliveries.c.subscriber_id)))


def test_tries_and_relays_words_go_and_codes_stay(desk: Desk) -> None:
    old, young = store_sent(desk, days=91), store_sent(desk, days=89)
    before = desk.ledger().counts(old)
    assert run(desk).rows == {"attempts": 5, "replies": 3, "imports": 0}
    assert count(desk, attempts, attempts.c.edition_id == old) == 0
    assert count(desk, attempts, attempts.c.edition_id == young) == 5
    assert replies(desk, old) == ["250", "550", "lost", "451", "cancelled by x"]
    assert replies(desk, young) == list(REPLIES)
    assert desk.ledger().counts(old) == before
    assert run(desk).rows == {"imports": 0}  # nothing is left to do


def test_deliveries_go_and_their_counts_stay(desk: Desk) -> None:
    old, young = store_sent(desk, days=731), store_sent(desk, days=729)
    before = desk.ledger().counts(old)
    assert before == {State(state): 1 for state in STATES}
    assert run(desk).rows["deliveries"] == 5
    assert count(desk, deliveries, deliveries.c.edition_id == old) == 0
    assert count(desk, attempts, attempts.c.edition_id == old) == 0
    assert count(desk, decisions, decisions.c.edition_id == old) == 1  # about all of it
    assert count(desk, deliveries, deliveries.c.edition_id == young) == 5
    assert desk.ledger().counts(old) == before
    with desk.database.reading() as connection:
        assert count_states(connection, old) == before
        records = list_editions(connection, 10)
        story = tell_story(connection, "reader1@example.org", records, pseudonyms=PSEUDONYMS)
    told = {chapter.edition.id: chapter.absence for chapter in story.chapters}
    assert told == {old: FORGOTTEN, young: ""}


@pytest.mark.parametrize(
    ("state", "left"),
    [
        ("sending", "pending"),
        ("paused", "deferred"),
        ("approved", "pending"),
        ("cancelled", "sending"),  # a sender has it in its hands still
        ("sent", "leased"),
    ],
)
def test_an_open_edition_keeps_all_however_old(desk: Desk, state: str, left: str) -> None:
    edition_id = store_sent(desk, days=3000, state=state, left=left)
    assert run(desk).rows == {"imports": 0}
    assert count(desk, attempts) == count(desk, deliveries) == 5
    assert replies(desk, edition_id) == list(REPLIES)


def test_one_that_was_stopped_goes_on_with_the_right_counts(desk: Desk) -> None:
    old = store_sent(desk, days=731)
    before = desk.ledger().counts(old)

    def stop(what: str, _rows: int) -> None:
        if what == "deliveries":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prune(desk.database, KEPT, now=NOW, on_progress=stop)
    assert desk.ledger().counts(old) == before
    run(desk)
    assert count(desk, deliveries) == 0
    assert desk.ledger().counts(old) == before


def test_nought_keeps_for_ever(desk: Desk) -> None:
    store_sent(desk, days=3000)
    nought = dict.fromkeys(Retention.model_fields, timedelta(0))
    assert run(desk, **nought).rows == {}


def test_gatherings_pending_readers_and_imports(desk: Desk) -> None:
    for number, days in enumerate((1, 6, 8, 100), start=1):
        since = NOW - days * DAY
        desk.store_reader(number, status="pending", created_at=since, updated_at=since)
        desk.store_reader(number + 10, created_at=since, updated_at=since)
        with desk.database.writing() as connection:
            connection.execute(
                insert(gatherings).values(
                    source="wire",
                    gathered_at=since,
                    status="read",
                    found=1,
                    new=1,
                    changed=0,
                    problems=[],
                )
            )
            connection.execute(
                insert(imports).values(
                    id=number,
                    file="x",
                    state="finished",
                    started_at=since,
                    made_by="op",
                    counts={},
                )
            )
            connection.execute(
                insert(import_changes),
                [
                    {"import_id": number, "subscriber_id": n, "updated_at": since, "changes": {}}
                    for n in range(5)
                ],
            )
    assert run(desk).rows == {"gatherings": 1, "pending": 2, "imports": 1, "import_changes": 5}
    assert count(desk, subscribers) == 6
    assert count(desk, import_changes) == 15
    assert count(desk, imports, imports.c.state == "closed") == 1
    assert run(desk).rows == {"imports": 0}


def test_what_an_erasure_left_is_done(desk: Desk) -> None:
    from newsletter.audience.erasure import erase_reader

    edition_id = store_sent(desk, days=1, state="sending", left="pending")
    desk.set_edition(edition_id, state="approved")
    desk.take(edition_id)
    done = erase_reader(
        desk.database,
        "reader1@example.org",
        now=lambda: NOW,
        pseudonyms=PSEUDONYMS,
        sleep=lambda _seconds: None,
    )
    assert done.has_traces
    assert run(desk).has_traces  # it is being sent
    later = NOW + timedelta(hours=1)
    assert not prune(desk.database, KEPT, now=later).has_traces
    with desk.database.writing() as connection:
        connection.execute(update(subscribers).values(name=""))
