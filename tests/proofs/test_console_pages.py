"""The pages of the console at a million readers, 500 editions and five million deliveries.

In its short form a thousand readers, and only that every page answers. The long form seeds a
SQLite file with all of it and asks every page again and again. Each must take at most 200 ms as
the median. It says what each took, by the processor and by the clock:

    NEWSLETTER_TEST_CONSOLE=all pytest -s tests/proofs/test_console_pages.py
"""

from __future__ import annotations

import os
import time
from datetime import timedelta
from statistics import median

from sqlalchemy import insert, text

from newsletter.delivery.holder import describe_self
from newsletter.delivery.results import add_up_editions
from newsletter.editions.shelf import find_edition
from newsletter.store.tables import editions, runs, to_micros
from tests.integration.console.conftest import gathered, quick_hashes, stage  # noqa: F401
from tests.integration.console.stage import Stage

LONG = os.environ.get("NEWSLETTER_TEST_CONSOLE") == "all"
READERS = 1_000_000 if LONG else 1_000
EDITIONS = 500 if LONG else 20
WITH_ROWS = 5
"""So many of the editions, the newest, have all their rows: READERS each."""
TIMES = 15 if LONG else 1
MOST_SECONDS = 0.2

DOMAINS = "(CASE WHEN n % 3 THEN 'large' ELSE 'd' || (n * 7919 % 20011) END) || '.example'"
STATE = (
    "CASE WHEN n % 100 = 0 THEN 'failed' WHEN n % 100 = 1 THEN 'bounced' "
    "WHEN n % 10007 = 0 THEN 'in_doubt' ELSE {rest} END"
)
COUNTED = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < :most)"


def seed(stage: Stage) -> list[str]:  # noqa: F811
    """Fill the database; give the names of the editions with rows, the one under way first."""
    now = stage.clock.now
    today = stage.press.today()
    with stage.database.writing() as connection:
        given = {"most": READERS, "now": to_micros(now)}
        connection.execute(text("DELETE FROM subscribers"))
        connection.execute(
            text(
                f"{COUNTED} INSERT INTO subscribers (id, email, email_key, name, status, choices, "
                f"fields, created_at, updated_at) SELECT n, 'reader' || n || '@' || {DOMAINS}, "
                f"'reader' || n || '@' || {DOMAINS}, 'Reader ' || n, 'active', '{{}}', '{{}}', "
                ":now, :now FROM c"
            ),
            given,
        )
    names = []
    for back in range(1, EDITIONS + 1):
        day, is_under_way = today - timedelta(days=back), back == 1
        with stage.database.writing() as connection:
            content = find_content(stage)
            edition_id = connection.execute(
                insert(editions)
                .values(
                    date=day,
                    state="sending" if is_under_way else "sent",
                    subject=f"The edition of {day}",
                    window_start=now - timedelta(days=back + 1),
                    cut_off=now - timedelta(days=back),
                    created_at=now - timedelta(days=back),
                    dated_at=now - timedelta(days=back),
                    sent_at=None if is_under_way else now - timedelta(days=back),
                    content=content,
                )
                .returning(editions.c.id)
            ).scalar_one()
            run = {"edition_id": edition_id, "audience": READERS}
            if back > WITH_ROWS:
                run["counts"] = {"accepted": READERS}
            connection.execute(insert(runs).values(run))
            if back > WITH_ROWS:
                continue
            names.append(day.isoformat())
            rest = "'pending'" if is_under_way else "'accepted'"
            state = STATE.format(rest=f"CASE WHEN n % 2 THEN {rest} ELSE 'accepted' END")
            given = {"most": READERS, "of": edition_id, "now": to_micros(now - day_of(back))}
            reply = (
                "CASE WHEN n % 100 = 0 THEN '550 5.1.1 <' || s.email || '> is unknown' "
                "WHEN n % 100 = 1 THEN '452 4.2.2 full' ELSE '250 2.0.0 queued as ' || n END"
            )
            connection.execute(
                text(
                    f"{COUNTED} INSERT INTO deliveries (edition_id, subscriber_id, email, "
                    "email_key, name, choices, fields, state, attempts, next_attempt_at, "
                    "changed_at, via, reply) SELECT :of, n, s.email, s.email_key, s.name, '{}', "
                    f"'{{}}', {state}, 1, :now, :now, 'relay #1', {reply} "
                    "FROM c JOIN subscribers s ON s.id = n"
                ),
                given,
            )
            connection.execute(
                text(
                    "INSERT INTO attempts (edition_id, subscriber_id, number, via, started_at, "
                    "ended_at, outcome, reply) SELECT edition_id, subscriber_id, 1, via, "
                    "changed_at, changed_at + subscriber_id * 900, state, reply FROM deliveries "
                    "WHERE edition_id = :of AND state <> 'pending'"
                ),
                given,
            )
    with stage.database.writing() as connection:
        connection.execute(text("ANALYZE"))
    return names


def day_of(back: int) -> timedelta:
    return timedelta(days=back)


def find_content(stage: Stage) -> object:  # noqa: F811
    """Give the content of the edition that was made, as every edition has one."""
    with stage.database.reading() as connection:
        return (
            connection.execute(editions.select().where(editions.c.date == stage.press.today()))
            .one()
            .content
        )


def test_every_page_answers_at_a_million_readers(stage: Stage) -> None:  # noqa: F811
    began = time.monotonic()
    under_way, sent, *_ = seed(stage)
    print(f"\nseeded in {time.monotonic() - began:.0f} s")
    began = time.monotonic()
    assert add_up_editions(stage.database, stage.clock.now) == WITH_ROWS - 1
    print(f"{WITH_ROWS - 1} editions added up in {time.monotonic() - began:.1f} s")
    with stage.database.reading() as connection:
        record = find_edition(connection, stage.press.today() - timedelta(days=1))
    assert record
    stage.press.ledger.take(record.id, describe_self(), stage.clock.now)
    person = stage.enter("Ada", "admin")
    today = stage.press.today()
    pages: tuple[str, ...] = (
        "",
        "editions",
        f"editions/{sent}",
        f"editions/{under_way}",
        f"editions/{today}",
    )
    pages += (f"editions/{today}/send", f"editions/{under_way}/cancel", "readers")
    pages += ("readers?q=reader77", "readers?q=reader77@large.example", "readers/77", "sources")
    pages += ("settings", "audit", "team")
    took: dict[str, float] = {}
    for page in pages:
        each, by_the_clock = [], []
        for _ in range(TIMES):
            began, began_at = time.process_time(), time.monotonic()
            answer = person.get(f"/console/{page}")
            each.append(time.process_time() - began)
            by_the_clock.append(time.monotonic() - began_at)
            assert answer.status_code == 200, (page, person.text)
        took[page] = median(by_the_clock)
        print(
            f"{took[page] * 1000:7.1f} ms ({max(by_the_clock) * 1000:7.1f} the longest), "
            f"{median(each) * 1000:7.1f} of a processor  /console/{page}"
        )
    person.get(f"/console/editions/{sent}")
    assert "By domain" in str(person.answer and person.answer.text)
    if LONG:
        assert {page: round(s, 3) for page, s in took.items() if s > MOST_SECONDS} == {}
