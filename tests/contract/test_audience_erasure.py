"""Who is erased is named nowhere, counts as before, is mailed nothing, and stays erased."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, LargeBinary, Text, delete, insert, select, text, type_coerce, update

from newsletter.audience.address import parse_address
from newsletter.audience.entry import Entry
from newsletter.audience.erasure import (
    NAMING,
    TRACES,
    Erasure,
    erase_reader,
    finish_erasures,
    wipe_traces,
)
from newsletter.audience.holdings import read_holdings
from newsletter.audience.importer import import_subscribers
from newsletter.audience.pseudonyms import PREFIX, Pseudonyms
from newsletter.audience.subscribers import add_subscriber, remove_subscriber
from newsletter.delivery.entries import Grant, Intent, Outcome
from newsletter.delivery.inquiry import tell_story
from newsletter.delivery.lifecycle import State
from newsletter.errors import AudienceError
from newsletter.store import Database
from newsletter.store.tables import (
    Document,
    alerts,
    attempts,
    decisions,
    deliveries,
    editions,
    erasures,
    metadata,
    runs,
    subscribers,
    suppressions,
)
from tests.audience import PSEUDONYMS
from tests.contract.desk import Desk

NOW = datetime(2026, 6, 1, 6, 0, tzinfo=UTC)
ADA = "Ada.Lovelace@b.example"
KEY = ADA.lower()

PUBLISHED = {  # the publication's own words and machinery, which name no reader
    *("source_states", "gatherings", "briefs", "brief_keys", "stories", "edition_briefs"),
    *("story_rules", "promises", "corrections", "reviews", "wordings"),
    *("installations", "searched", "searched_words", "clicks"),
}
KEYS = {  # columns that an address may stand in, but that erasure deletes the row of
    *("subscribers.email", "subscribers.email_key", "subscribers.choices", "subscribers.status"),
    *("suppressions.email_key", "suppressions.reason", "imports.state"),
    *("deliveries.choices", "deliveries.state", "deliveries.had", "attempts.outcome"),
    *("relay_states.relay", "waves.zone", "waves.clock", "answers.voice"),
    *("link_asks.email_key",),
    *("editions.kind", "editions.state", "editions.subject", "editions.preheader"),
    *("editions.content", "editions.letterhead"),
    *("notices.email", "notices.email_key", "notices.content", "notices.state", "notices.kind"),
    *("notices.language", "notices.holder"),
    *("sign_ups.email", "sign_ups.email_key", "sign_ups.state", "sign_ups.language"),
    *("sign_ups.asked_by", "sign_ups.network", "sign_ups.confirmed_network"),
    *("sign_ups.wording", "sign_ups.confirmed_wording"),
    *("alarms.kind", "alarms.causes", "tellings.what", "tellings.way", "beats.name"),
    "limit_hits.key",  # a keyed hash
    *("reports.finding", "reports.status"),
    *("erasures.pseudonym", "erasures.sealed"),  # a keyed hash, and what is encrypted
}

OURS = (
    *("members", "recovery_codes", "sessions", "login_delays", "api_keys", "manifests"),
    *("orders", "happenings", "posts", "asks", "sign_ons"),
    *("passkeys", "taken_challenges"),
)
"""Tables of the team, of what it approved, and of programs: no reader stands in them."""


@pytest.fixture
def desk(backend: Database) -> Desk:
    return Desk(backend, NOW)


def erase(
    database: Database,
    email: str = ADA,
    *,
    now: Callable[[], datetime] = lambda: NOW,
    pseudonyms: Pseudonyms = PSEUDONYMS,
    sleep: Callable[[float], None] = lambda _seconds: None,
) -> Erasure:
    return erase_reader(database, email, now=now, pseudonyms=pseudonyms, sleep=sleep)


def load(database: Database, rows: str, *, pseudonyms: Pseudonyms = PSEUDONYMS) -> Any:
    stream = io.BytesIO(rows.encode())
    return import_subscribers(database, stream, now=NOW, pseudonyms=pseudonyms)


def all_text(database: Database) -> str:
    """Give every text of every table."""
    found: list[str] = []
    with database.reading() as connection:
        for table in metadata.sorted_tables:
            columns = [type_coerce(column, Text) for column in table.c if _is_text(column)]
            if columns:
                for row in connection.execute(select(*columns)):
                    found += [str(value) for value in row]
    return "\n".join(found)


def _is_text(column: Column[Any]) -> bool:
    return isinstance(column.type, (Text, Document))


def test_every_column_with_text_is_swept_or_known_to_name_nobody() -> None:
    swept = {f"{table.name}.{name}" for table, names in NAMING for name in names}
    texts = {
        f"{table.name}.{column.name}"
        for table in metadata.sorted_tables
        if table.name not in (*PUBLISHED, *OURS, "audit", "audit_head")
        for column in table.c
        if _is_text(column) or isinstance(column.type, LargeBinary)
    } - {"editions.compiled"}
    assert texts == swept | KEYS


def store_a_life(desk: Desk) -> tuple[int, int]:
    """Let Ada be imported, changed, mailed, refused, decided about and quoted; two editions."""
    load(desk.database, f"email,name,City\n{ADA},Ada,Bern\nbo@b.example,Bo,\n")
    load(desk.database, f"email,name,City\n{ADA.upper()},Countess,\n")
    old, _ = desk.approve()
    waiting, _ = desk.approve()
    with desk.database.writing() as connection:
        number = connection.scalar(select(subscribers.c.id).where(subscribers.c.email_key == KEY))
        other = connection.scalar(select(subscribers.c.id).where(subscribers.c.email_key != KEY))
        connection.execute(
            update(deliveries)
            .where(deliveries.c.edition_id == old)
            .values(state="failed", reply=f"550 5.1.1 <{ADA}> Ada is unknown")
        )
        for reader, reply in ((number, f"450 4.2.1 {KEY} later"), (other, f"551 try <{ADA}>")):
            connection.execute(
                insert(attempts).values(
                    edition_id=old,
                    subscriber_id=reader,
                    number=1,
                    via="relay #1",
                    started_at=NOW,
                    ended_at=NOW,
                    outcome="deferred",
                    reply=reply,
                )
            )
        for reader in (number, None):
            connection.execute(
                insert(decisions).values(
                    edition_id=old,
                    subscriber_id=reader,
                    decided_at=NOW,
                    decided_by="op@host",
                    action="resolve",
                    detail=f"accepted: the log says to=<{KEY}>",
                )
            )
        connection.execute(
            insert(alerts).values(
                edition_id=old, raised_at=NOW, kind="refused", sentence=f"{ADA} was refused"
            )
        )
        connection.execute(
            update(subscribers)
            .where(subscribers.c.id == other)
            .values(fields={"friend": f"knows {ADA.title()}"})
        )
    return old, waiting


def counts(desk: Desk, *edition_ids: int) -> list[Any]:
    return [desk.ledger().counts(edition_id) for edition_id in edition_ids]


def test_nothing_names_who_is_erased_and_the_counts_stay(desk: Desk) -> None:
    numbers = store_a_life(desk)
    before = counts(desk, *numbers)
    assert KEY in all_text(desk.database).lower()
    done = erase(desk.database)
    assert (done.was_reader, done.copies, done.is_under_way) == (True, 2, False)
    assert done.mentions == 5  # Bo's copies' and try's reply, a decision, the alert, Bo's field
    said = all_text(desk.database)
    assert KEY not in said.lower()
    assert "Countess" not in said
    assert "Ada is unknown" not in said.replace(f"<{PSEUDONYMS.make(KEY)}> Ada is unknown", "")
    assert "551 try <erased:" in said
    assert counts(desk, *numbers) == before
    with desk.database.reading() as connection:
        row = connection.execute(
            select(deliveries).where(
                deliveries.c.edition_id == numbers[0],
                deliveries.c.email_key == PSEUDONYMS.make(KEY),
            )
        ).one()
    assert (row.email, row.name, row.fields, row.choices) == (row.email_key, "", {}, {})
    assert row.reply == "550 5.1.1"  # what it was about, and no word of theirs


def test_an_erasure_can_be_repeated(desk: Desk) -> None:
    store_a_life(desk)
    erase(desk.database)
    before = all_text(desk.database)
    done = erase(desk.database)
    assert (done.was_reader, done.copies, done.mentions, done.has_traces) == (False, 0, 0, False)
    assert all_text(desk.database) == before


def test_who_is_erased_stays_erased(desk: Desk) -> None:
    load(desk.database, f"email\n{ADA}\n")
    erase(desk.database)
    report = load(desk.database, f"email,status\n{ADA},\n{ADA.upper()},complained\nbo@b.example,\n")
    assert (report.added, report.kept_out) == (1, {"erased": 1})
    for again in (False, True):
        with pytest.raises(AudienceError, match=r"kept out \(erased\), and that is final"):
            add_subscriber(
                desk.database,
                Entry(address=parse_address(ADA), consent_source="letter"),
                now=NOW,
                pseudonyms=PSEUDONYMS,
                again=again,
            )
    assert not remove_subscriber(desk.database, ADA, now=NOW, pseudonyms=PSEUDONYMS)
    assert KEY not in all_text(desk.database).lower()


def test_an_erasure_outlives_the_rotation_of_keys(desk: Desk) -> None:
    erase(desk.database, pseudonyms=Pseudonyms([b"old" * 20]))
    rotated = Pseudonyms([b"new" * 20, b"old" * 20])
    assert load(desk.database, f"email\n{ADA}\n", pseudonyms=rotated).kept_out == {"erased": 1}
    # With the key thrown away nobody can know.
    lost = Pseudonyms([b"new" * 20])
    assert load(desk.database, f"email\n{ADA}\n", pseudonyms=lost).added == 1


def test_a_number_is_nobody_elses_afterwards(desk: Desk) -> None:
    load(desk.database, f"email\nbo@b.example\n{ADA}\n")
    with desk.database.reading() as connection:
        number = connection.scalar(select(subscribers.c.id).where(subscribers.c.email_key == KEY))
    erase(desk.database)
    load(desk.database, "email\neve@b.example\n")
    with desk.database.reading() as connection:
        others = connection.scalars(select(subscribers.c.id)).all()
    assert number not in others


def test_a_reader_with_a_copy_waiting_is_not_mailed(desk: Desk) -> None:
    load(desk.database, f"email\n{ADA}\nbo@b.example\n")
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    erase(desk.database)
    leased = desk.ledger().lease(run, 10, NOW)
    assert [job.reader.email for job in leased.jobs] == ["bo@b.example"]
    assert leased.suppressed == 1


def lease_ada(desk: Desk) -> tuple[int, Any, Any]:
    load(desk.database, f"email\n{ADA}\nbo@b.example\n")
    edition_id, _ = desk.approve()
    run = desk.take(edition_id)
    jobs = desk.lease_all(run)
    return edition_id, run, next(job for job in jobs if job.reader.email == ADA)


def test_no_dot_is_written_for_a_message_in_hand(desk: Desk) -> None:
    edition_id, run, ada = lease_ada(desk)
    slept: list[float] = []

    def sender_goes_on(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            intent = Intent(subscriber_id=ada.reader.subscriber_id, number=1, via="relay #1")
            given = desk.ledger().record(run, [], [intent], NOW)
            assert given == {ada.reader.subscriber_id: Grant.SUPPRESSED}

    done = erase(desk.database, sleep=sender_goes_on)
    assert not done.is_under_way
    assert len(slept) == 2
    assert desk.ledger().counts(edition_id) == {State.SUPPRESSED: 1, State.LEASED: 1}


def test_what_stays_under_way_is_said(desk: Desk) -> None:
    lease_ada(desk)
    done = erase(desk.database)
    assert (done.is_under_way, done.has_traces) == (True, True)
    # A sender that died has nothing in its hands.
    done = erase(desk.database, now=lambda: NOW + timedelta(hours=1))
    assert (done.is_under_way, done.has_traces) == (False, False)


def test_what_a_relay_says_later_names_nobody_whatever_was_restarted(desk: Desk) -> None:
    edition_id, run, ada = lease_ada(desk)
    number = ada.reader.subscriber_id
    intent = Intent(subscriber_id=number, number=1, via="relay #1")
    assert desk.ledger().record(run, [], [intent], NOW) == {number: Grant.GIVEN}
    assert erase(desk.database).is_under_way
    assert KEY not in all_text(desk.database).lower()
    # From here on nobody remembers the address: what is done comes from the database alone.
    later = NOW + timedelta(seconds=5)
    assert finish_erasures(desk.database, now=later, pseudonyms=PSEUDONYMS) == 1
    said = Outcome(
        subscriber_id=number,
        number=1,
        via="relay #1",
        state=State.FAILED,
        reply=f"550 5.1.1 <{ADA}> is not known here",
        started_at=NOW,
        ended_at=later,
        next_attempt_at=later,
        intended=True,
    )
    desk.ledger().record(run, [said], [], later)
    assert KEY in all_text(desk.database).lower()
    assert finish_erasures(desk.database, now=later, pseudonyms=PSEUDONYMS) == 0
    assert KEY not in all_text(desk.database).lower()
    with desk.database.reading() as connection:
        assert connection.execute(select(erasures)).all() == []
        assert "550 5.1.1" in connection.scalars(select(deliveries.c.reply)).all()
    assert desk.ledger().counts(edition_id)[State.FAILED] == 1
    assert wipe_traces(desk.database, now=NOW + timedelta(hours=1))
    for path in files_of(desk.database):
        assert KEY.encode() not in path.read_bytes().lower()


def files_of(database: Database) -> list[Path]:
    """List the files of a database on SQLite; PostgreSQL's are its server's."""
    if not database.is_sqlite:
        return []
    main = Path(str(database.engine.url.database))
    return sorted(main.parent.glob(f"{main.name}*"))


def test_who_signed_up_anew_meanwhile_is_left_alone(desk: Desk) -> None:
    lease_ada(desk)
    assert erase(desk.database).is_under_way
    with desk.database.writing() as connection:
        connection.execute(delete(suppressions))
        connection.execute(
            insert(alerts).values(kind="x", sentence=f"{KEY} wrote to us", raised_at=NOW)
        )
    load(desk.database, f"email,consent_source\n{ADA},form\n")
    later = NOW + timedelta(hours=1)
    assert finish_erasures(desk.database, now=later, pseudonyms=PSEUDONYMS) == 0
    assert KEY in all_text(desk.database).lower()


def test_a_keeper_without_the_key_forgets_what_it_cannot_read(desk: Desk) -> None:
    lease_ada(desk)
    assert erase(desk.database).is_under_way
    others = Pseudonyms([b"another key" * 4])
    assert finish_erasures(desk.database, now=NOW, pseudonyms=others) == 1
    assert finish_erasures(desk.database, now=NOW + timedelta(hours=1), pseudonyms=others) == 0


def test_a_bounce_that_is_told_afterwards_names_nobody(desk: Desk) -> None:
    _, run, ada = lease_ada(desk)
    erase(desk.database)
    dead = [(ada.reader, "550 5.1.1 unknown")]
    desk.ledger().remember(run, [], dead, {}, NOW)
    assert KEY not in all_text(desk.database).lower()


def test_the_file_is_left_for_later_while_an_edition_is_sent(desk: Desk) -> None:
    load(desk.database, f"email\n{ADA}\nbo@b.example\n")
    edition_id, _ = desk.approve()
    desk.take(edition_id)
    assert erase(desk.database).has_traces
    assert not wipe_traces(desk.database, now=NOW)
    with desk.database.reading() as connection:
        assert connection.scalars(select(suppressions.c.detail)).all() == [TRACES]
    with desk.database.writing() as connection:
        connection.execute(update(runs).values(holder=""))
    assert wipe_traces(desk.database, now=NOW)
    with desk.database.reading() as connection:
        assert connection.scalars(select(suppressions.c.detail)).all() == [""]


def test_an_address_that_somebody_else_has_by_now_is_theirs(desk: Desk) -> None:
    load(desk.database, f"email\n{ADA}\n")
    desk.approve()
    with desk.database.writing() as connection:  # Ada moves, and Bo gets the address she had
        connection.execute(
            update(subscribers).values(email="new@b.example", email_key="new@b.example")
        )
    load(desk.database, f"email,name\n{ADA},Bo\n")
    edition_id, _ = desk.approve()
    assert erase(desk.database, "new@b.example").copies == 2
    run = desk.take(edition_id)
    assert [job.reader.email for job in desk.lease_all(run)] == [ADA]


def test_an_address_that_she_had_before_goes_too(desk: Desk) -> None:
    load(desk.database, f"email\n{ADA}\n")
    desk.approve()
    with desk.database.writing() as connection:
        connection.execute(
            update(subscribers).values(email="new@b.example", email_key="new@b.example")
        )
    erase(desk.database, "new@b.example")
    assert KEY not in all_text(desk.database).lower()
    assert "new@b.example" not in all_text(desk.database)


def test_an_address_beyond_ascii_is_erased(desk: Desk) -> None:
    load(desk.database, "email\nÄrger@b.example\nbo@b.example\n")
    edition_id, _ = desk.approve()
    desk.set_delivery(edition_id, 2, reply="550 no Ärger@B.example here")
    erase(desk.database, "ärger@b.example")
    assert "rger@b" not in all_text(desk.database).lower()
    assert load(desk.database, "email\nÄRGER@b.example\n").kept_out == {"erased": 1}


def test_everything_that_is_held_is_given(desk: Desk) -> None:
    old, waiting = store_a_life(desk)
    with desk.database.reading() as connection:
        found = read_holdings(connection, ADA, pseudonyms=PSEUDONYMS)
    assert found is not None
    json.dumps(found)
    assert found["reader"]["name"] == "Countess"
    assert found["reader"]["fields"] == {"city": "Bern"}
    assert found["brought_by"]["id"] == found["reader"]["import_id"]
    assert found["changed_by"][0]["changes"]["name"] == ["Ada", "Countess"]
    assert found["kept_out"] is None
    assert [copy["edition_id"] for copy in found["copies"]] == [old, waiting]
    assert "Ada is unknown" in found["copies"][0]["reply"]
    assert [one["reply"] for one in found["copies"][0]["tries"]] == [f"450 4.2.1 {KEY} later"]
    assert len(found["copies"][0]["decisions"]) == 1
    assert sorted({one["where"] for one in found["mentioned"]}) == [
        "alerts.sentence",
        "decisions.detail",
    ]
    # All of it is gone afterwards, and what is left says so.
    erase(desk.database)
    with desk.database.reading() as connection:
        left = read_holdings(connection, ADA, pseudonyms=PSEUDONYMS)
        story = tell_story(connection, KEY, [], pseudonyms=PSEUDONYMS)
        unknown = read_holdings(connection, "no@b.example", pseudonyms=PSEUDONYMS)
    assert left is not None
    assert (left["reader"], left["copies"], left["mentioned"]) == (None, [], [])
    assert left["kept_out"]["reason"] == "erased"
    assert story.suppressed is not None
    assert story.suppressed.reason == "erased"
    assert unknown is None


def test_a_pseudonym_tells_nothing_and_is_nobodys_address() -> None:
    names = {PSEUDONYMS.make(f"reader{number}@b.example") for number in range(1000)}
    assert len(names) == 1000
    for name in names:
        with pytest.raises(AudienceError):
            parse_address(name)
    assert all(name.startswith(PREFIX) and len(name) == len(PREFIX) + 32 for name in names)
    assert PSEUDONYMS.make(KEY) != Pseudonyms([b"x" * 40]).make(KEY)


def test_an_audience_that_is_being_frozen_is_waited_for(desk: Desk) -> None:
    """On PostgreSQL: what an approval has not committed yet would escape the erasure."""
    if desk.database.is_sqlite:
        pytest.skip("SQLite lets only one write")
    from newsletter.delivery.ledger import Ledger
    from tests.contract.aside import Aside

    load(desk.database, f"email\n{ADA}\nbo@b.example\n")
    edition_id = desk.store_edition()
    erasing = Aside(lambda: erase(desk.database))
    with desk.database.writing() as connection:
        Ledger.enrol(connection, edition_id, NOW)
        erasing.start()
        connection.execute(text("SELECT pg_sleep(0.3)"))
    assert erasing.result().copies == 1
    run = desk.take(edition_id)
    assert [job.reader.email for job in desk.lease_all(run)] == ["bo@b.example"]
    with desk.database.reading() as connection:
        assert connection.scalar(select(editions.c.id)) == edition_id
