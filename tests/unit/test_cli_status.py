"""What `newsletter status` tells in a glance, for every state an edition may be in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update
from typer.testing import CliRunner

from newsletter.cli import build_app
from newsletter.delivery.holder import describe_self
from newsletter.delivery.lifecycle import State
from newsletter.store import Database
from newsletter.store.tables import alerts, deliveries, editions, runs
from tests.databases import open_new_database

NOW = datetime(2026, 11, 23, 11, 55, tzinfo=UTC)
SETTINGS = """
[publication]
sender = "Brief <brief@news.example>"
list_id = "daily.news.example"
url = "https://news.example"
timezone = "America/New_York"
[delivery]
durability = "process"
"""


class Desk:
    """A publication's folder whose database holds what a test puts there."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.config = folder / "newsletter.toml"
        self.config.write_text(SETTINGS, encoding="utf-8")
        self._database = database

    def put(
        self, day: int, state: str, counts: Mapping[State, int] | None = None, **values: Any
    ) -> None:
        """Put an edition of a day in November with so many deliveries by state."""
        with self._database.writing() as connection:
            edition_id = connection.execute(
                insert(editions)
                .values(
                    date=date(2026, 11, day),
                    state=state,
                    subject=f"Subject of {day}",
                    window_start=NOW - timedelta(days=1),
                    cut_off=NOW,
                    created_at=NOW,
                    **values,
                )
                .returning(editions.c.id)
            ).scalar_one()
            number = 0
            for delivery_state, count in (counts or {}).items():
                for _ in range(count):
                    number += 1
                    connection.execute(
                        insert(deliveries).values(
                            edition_id=edition_id,
                            subscriber_id=number,
                            email=f"reader{number}@example.org",
                            email_key=f"reader{number}@example.org",
                            name="",
                            choices={},
                            fields={},
                            state=delivery_state,
                            next_attempt_at=NOW,
                            changed_at=NOW,
                        )
                    )

    def answer(self, state: State, reply: str, via: str = "") -> None:
        """Put the relay's words to all deliveries of a state."""
        with self._database.writing() as connection:
            connection.execute(
                update(deliveries).where(deliveries.c.state == state).values(reply=reply, via=via)
            )

    def run(self, **progress: Any) -> None:
        """Have this process send the edition, and have told so much of it."""
        with self._database.writing() as connection:
            connection.execute(
                insert(runs).values(
                    edition_id=1,
                    fence=1,
                    holder=describe_self(),
                    lease_until=datetime.now(UTC) + timedelta(minutes=5),
                    progress=progress,
                )
            )

    def raise_alert(self, sentence: str) -> None:
        with self._database.writing() as connection:
            connection.execute(
                insert(alerts).values(
                    edition_id=1, raised_at=NOW, kind="identity", sentence=sentence
                )
            )

    def asks(self, *words: str) -> str:
        ran = CliRunner().invoke(
            build_app(["status"]), ["--config", str(self.config), "status", *words]
        )
        assert ran.exit_code == 0, ran.output
        assert ran.stderr == ""
        return ran.stdout

    def told(self) -> str:
        """Give what it says, without its line ends and the tables' borders."""
        return " ".join(self.asks().replace("│", " ").split())


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("NEWSLETTER_SECRET_KEY", "k" * 40)
    monkeypatch.setenv("COLUMNS", "120")
    database = open_new_database(tmp_path / "newsletter.db")
    yield Desk(tmp_path, database)
    database.close()


def test_nothing_yet(desk: Desk) -> None:
    assert desk.told() == (
        "Readers: 0 active No edition yet. `newsletter preview` shows what the first would be."
    )


def test_a_draft_is_explained(desk: Desk) -> None:
    desk.put(23, "draft")
    told = desk.told()
    assert "2026-11-23 draft – Subject of 23" in told
    assert (
        "2026-11-23: a draft, made anew with the latest briefs until "
        "`newsletter send --date 2026-11-23` sends it."
    ) in told


def test_a_held_edition_says_why_and_what_to_do(desk: Desk) -> None:
    desk.put(23, "held", reason="the only source failed: wire.example: HTTP 500")
    assert (
        "2026-11-23: held: the only source failed: wire.example: HTTP 500. "
        "Once that is mended: `newsletter send --date 2026-11-23`."
    ) in desk.told()


def test_a_stopped_send_says_how_to_go_on_and_until_when(desk: Desk) -> None:
    counts = {State.ACCEPTED: 3, State.PENDING: 2, State.DEFERRED: 1}
    desk.put(23, "sending", counts, not_after=NOW + timedelta(hours=16))
    desk.answer(State.DEFERRED, "450 4.2.0 greylisted")
    told = desk.told()
    assert "sending 3 of 6" in told
    assert "1 450 4.2.0 greylisted" in told
    assert (
        "3 readers still without it, and no process sends it: `newsletter send --date "
        "2026-11-23` goes on; what is not sent by 2026-11-23 22:55 EST is given up."
    ) in told


def test_what_was_sent_yesterday_shows_above_todays_draft(desk: Desk) -> None:
    counts = {State.ACCEPTED: 5, State.FAILED: 2, State.EXPIRED: 1, State.IN_DOUBT: 1}
    desk.put(22, "sent", counts, sent_at=NOW - timedelta(days=1))
    desk.put(23, "draft")
    desk.answer(State.FAILED, "550 5.1.1 no such user")
    desk.answer(State.IN_DOUBT, "the connection ended", via="smtp://relay.example:587 #3")
    told = desk.told()
    assert "Deliveries of 2026-11-22" in told
    assert "Date ┃ State ┃ Accepted ┃ In doubt ┃ Failed ┃ Subject" in told
    assert "2026-11-22 sent 5 of 9 1 3 Subject of 22" in told
    assert "2 550 5.1.1 no such user" in told
    assert "reader9@example.org 2026-11-23 11:55:00 smtp://relay.example:587 #3" in told
    assert told.index("2026-11-22: sent at 2026-11-22 06:55 EST.") < told.index(
        "2026-11-23: a draft"
    )


def test_many_doubts_are_cut_short_and_json_has_all(desk: Desk) -> None:
    desk.put(22, "sent", {State.IN_DOUBT: 25}, sent_at=NOW)
    told = desk.told()
    assert "reader20@example.org" in told
    assert "reader21@example.org" not in told
    assert "and 5 more; `newsletter status --json` lists all" in told
    document = json.loads(desk.asks("--json"))
    assert len(document["editions"][0]["doubts"]) == 25


def test_json_has_the_relays_words_and_every_count(desk: Desk) -> None:
    desk.put(22, "sent", {State.ACCEPTED: 1, State.FAILED: 2}, sent_at=NOW)
    desk.answer(State.FAILED, "550 no")
    (edition,) = json.loads(desk.asks("--json"))["editions"]
    assert (edition["audience"], sum(edition["counts"].values())) == (3, 3)
    assert edition["replies"] == [{"state": "failed", "reply": "550 no", "count": 2}]
    assert edition["sent_at"] == NOW.isoformat()
    assert set(edition["counts"]) == {state.value for state in State}


def test_a_narrow_terminal_cuts_no_number(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    counts = {State.ACCEPTED: 30, State.IN_DOUBT: 1, State.FAILED: 1}
    desk.put(22, "sent", counts, sent_at=NOW)
    said = desk.asks()
    assert all(len(line) <= 60 for line in said.splitlines())
    assert "…" not in said
    assert "30 of 32" in said


def test_a_running_send_tells_its_pace_its_end_and_what_it_waits_for(desk: Desk) -> None:
    counts = {State.ACCEPTED: 300, State.PENDING: 690, State.DEFERRED: 10}
    desk.put(23, "sending", counts, not_after=NOW + timedelta(hours=16))
    desk.run(
        at=NOW.isoformat(),
        started_at=(NOW - timedelta(seconds=10)).isoformat(),
        rate=35.0,
        connections=8,
        accepted=300,
        parked=10,
        waiting="relay.example:587 is sent 35 a second; 10 wait for their domain",
    )
    desk.raise_alert("gmail.com refuses our DKIM signature")
    told = desk.told()
    assert "2026-11-23: alert at 2026-11-23 06:55 EST: gmail.com refuses our DKIM signature" in told
    assert (
        "sends it, 700 readers still without it; 35.0 a second now; over 8 connections; done at "
        "about 06:55:20 EST; relay.example:587 is sent 35 a second; 10 wait for their domain."
    ) in told
    (edition,) = json.loads(desk.asks("--json"))["editions"]
    assert edition["run"] | {"sender": ""} == {
        "sender": "",
        "at": NOW.isoformat(),
        "started_at": (NOW - timedelta(seconds=10)).isoformat(),
        "rate": 35.0,
        "connections": 8,
        "accepted": 300,
        "parked": 10,
        "waiting": "relay.example:587 is sent 35 a second; 10 wait for their domain",
        "finish_at": (NOW + timedelta(seconds=20)).isoformat(),
    }
    assert edition["open"] == 700
    assert edition["alerts"] == [
        {
            "at": NOW.isoformat(),
            "kind": "identity",
            "sentence": "gmail.com refuses our DKIM signature",
        }
    ]


def test_what_is_left_over_names_the_command_for_it(desk: Desk) -> None:
    desk.put(21, "paused", {State.PENDING: 2}, not_after=NOW + timedelta(hours=16))
    desk.put(22, "sent", {State.ACCEPTED: 1, State.FAILED: 1, State.IN_DOUBT: 1}, sent_at=NOW)
    desk.put(23, "cancelled", {State.SENDING: 1, State.EXPIRED: 1}, reason="cancelled by anna@desk")
    told = desk.told()
    assert (
        "2026-11-21: paused; 2 readers still without it. `newsletter resume 2026-11-21` lets it go "
        "on; what is not sent by 2026-11-23 22:55 EST is given up."
    ) in told
    assert (
        "2026-11-23: cancelled, but its sender left 1 reader open; `newsletter cancel 2026-11-23` "
        "again closes that."
    ) in told
    desk.put(24, "sent", {State.ACCEPTED: 1, State.FAILED: 1, State.IN_DOUBT: 1}, sent_at=NOW)
    assert (
        "`newsletter send --retry-failed --date 2026-11-24` tries who failed again. `newsletter "
        "resolve --date 2026-11-24` settles who is in doubt."
    ) in desk.told()


def test_the_limit(desk: Desk) -> None:
    for day in (20, 21, 22):
        desk.put(day, "cancelled", reason="nothing new")
    assert [row["date"] for row in json.loads(desk.asks("--json", "--limit", "2"))["editions"]] == [
        "2026-11-22",
        "2026-11-21",
    ]
    assert "2026-11-22: dropped: nothing new." in desk.told()
