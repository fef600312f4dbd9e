"""Review from a changed file to what is sent: real gatherings, a real database, a real relay."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from newsletter import schedule
from newsletter.cli import build_app
from newsletter.cli.session import Session
from newsletter.editions.desk import list_waiting
from newsletter.editions.shelf import change_state, find_edition, load_compiled, load_content
from newsletter.editions.verdicts import (
    Reviewed,
    approve_edition,
    is_edition_approved,
    load_reviewed,
    load_told,
    read_edition_hash,
    read_rules,
    store_verdict,
)
from newsletter.errors import RefusedError, TemporaryError
from newsletter.press import Press
from newsletter.press.composing import compose, gather
from newsletter.publish import Prepared, make_ready, prepare, publish
from newsletter.schedule import Keeper
from newsletter.settings import load_settings
from newsletter.store import Database
from newsletter.store.audit import Actor
from newsletter.store.tables import alerts, reviews
from tests.acceptance.project import BRIEF
from tests.integration.editions import store_readers
from tests.integration.runs import Server

DAY = date(2026, 11, 23)
SIX = datetime(2026, 11, 23, 5, tzinfo=UTC)  # 06:00 in Berlin
SEVEN = SIX + timedelta(hours=1)
CONFIG = """
[publication]
sender = "Harbor Daily <daily@news.example>"
list_id = "daily.news.example"
url = "https://news.example"
timezone = "Europe/Berlin"
postal_address = "14 Quay Street"
[[sources]]
kind = "folder"
path = "briefs"
[[sources]]
kind = "folder"
path = "desk"
trusted = true
[schedule]
gather_at = "06:00"
send_at = "07:00"
[delivery]
relay = "{relay}"
durability = "process"
{more}
"""


ABOUT = {  # what is told alike would be one story
    "tram": "A power cut stopped all lines of Port Alder; repairs take until the weekend.",
    "pier": "Sculptures by nine artists stand on the old jetty until spring.",
}


def _tell(name: str, title: str) -> str:
    if name in ABOUT:
        return f"{title}\nAFBytes Brief\n{ABOUT[name]}\nWhy this matters\nIt is about {name}.\n"
    return BRIEF.format(title=title) + "\n"


class House:
    """A publication with two sources, one of them trusted, at a time that can be set."""

    def __init__(self, root: Path, database: Database, relay: str) -> None:
        self.root, self.database, self.relay, self.now = root, database, relay, SIX
        for source in ("briefs", "desk"):
            (root / source).mkdir()
        (root / ".env").write_text(f"NEWSLETTER_SECRET_KEY={'k' * 40}\n")
        self.configure("[review]\nrequired = true")
        store_readers(database, 2, SIX)

    def configure(self, more: str) -> None:
        config = CONFIG.format(relay=self.relay, more=more)
        (self.root / "newsletter.toml").write_text(config)
        settings = load_settings(self.root / "newsletter.toml")
        self.press = Press(settings, self.database, lambda: self.now)

    def write(self, name: str, title: str, *, source: str = "briefs", head: str = "") -> None:
        path = self.root / source / f"{name}.txt"
        head = f"---\nid: {name}\n{head}---\n"
        path.write_text(head + _tell(name, title))
        moment = (self.now - timedelta(minutes=30)).timestamp()
        os.utime(path, (moment, moment))

    def waiting(self) -> dict[str, str | None]:
        """Give what waits, and why, by title."""
        return {each.brief.title: each.judgement.why for each in self.load_waiting()}

    def load_waiting(self) -> tuple[Reviewed, ...]:
        with self.database.reading() as connection:
            return list_waiting(connection, self.press.settings, now=self.now)

    def judge(self, title: str, verdict: Any = "approved", by: str = "ann") -> None:
        with self.database.writing() as connection:
            loaded = load_reviewed(connection, range(1, 9), read_rules(self.press.settings))
            chosen = [each for each in loaded.values() if each.brief.title == title]
            assert len(chosen) == 1
            store_verdict(connection, chosen, verdict, by=Actor(who=by), now=self.now)

    def press_of(self, who: str) -> Press:
        return replace(self.press, actor=Actor(who=who))

    def make_at(self, moment: datetime) -> Prepared:
        """Do what the schedule does at a time."""
        self.now = moment
        return make_ready(self.press, DAY)

    def rows(self) -> list[tuple[str, str]]:
        """Give every verdict on a brief, and whose it is."""
        with self.database.reading() as connection:
            found = connection.execute(
                select(reviews).where(reviews.c.brief_id.is_not(None)).order_by(reviews.c.id)
            )
            return [(row.verdict, row.decided_by) for row in found]

    def run(self, *arguments: str) -> Result:
        app = build_app([arguments[0]])
        # Every command takes the time from here.
        patch = pytest.MonkeyPatch()
        patch.setattr(Session, "now", lambda _self: self.now)
        try:
            config = ["--config", str(self.root / "newsletter.toml")]
            return CliRunner().invoke(app, [*config, *arguments], env={"COLUMNS": "200"})
        finally:
            patch.undo()


@pytest.fixture
def house(tmp_path: Path, database: Database, server: Server) -> House:
    return House(tmp_path, database, server.url)


def titles(prepared: Prepared) -> list[str]:
    edition = prepared.composed.edition
    return sorted(brief.title for brief in edition.briefs) if edition else []


def test_an_edit_voids_the_approval_and_the_same_text_is_approved_again(house: House) -> None:
    house.write("quay", "Quay opens")
    gather(house.press)
    assert house.waiting() == {"Quay opens": "new"}
    house.judge("Quay opens")
    assert house.waiting() == {}
    house.write("quay", "Quay opens at last")
    gather(house.press)
    assert house.waiting() == {"Quay opens at last": "edited since approved"}
    house.now += timedelta(minutes=5)
    house.write("quay", "Quay opens")
    gather(house.press)
    assert house.waiting() == {}
    assert titles(house.make_at(SEVEN)) == ["Quay opens"]


def test_at_the_deadline_the_unreviewed_is_left_out_and_may_come_the_next_day(
    house: House,
) -> None:
    house.write("quay", "Quay opens")
    house.write("tram", "Trams halt")
    assert titles(house.make_at(SIX)) == ["Quay opens", "Trams halt"], "there is time yet"
    house.judge("Quay opens")
    made = house.make_at(SEVEN)
    assert titles(made) == ["Quay opens"]
    assert made.reports == (), "another gathering would bring edits that nobody has seen"
    (fate,) = [each for each in made.composed.fates if each.place == "unreviewed"]
    assert (fate.candidate.brief.title, fate.candidate.standing) == ("Trams halt", "unreviewed")
    assert "nobody approved it by the deadline (new)" in fate.why
    assert made.composed.remarks == (
        "1 brief is left out, since nobody approved them; `newsletter review` lists them.",
    )
    assert made.printed
    assert asyncio.run(publish(house.press, made.printed)).is_sent
    house.now = SIX + timedelta(days=1)
    assert house.waiting() == {"Trams halt": "new"}
    house.judge("Trams halt")
    house.now = SEVEN + timedelta(days=1)
    assert titles(make_ready(house.press, DAY + timedelta(days=1))) == ["Trams halt"]


def test_what_found_no_reviewer_twice_is_not_asked_for_again(house: House) -> None:
    house.write("tram", "Trams halt")
    for day in range(3):
        house.now = SIX + timedelta(days=day)
        house.write(f"quay{day}", f"Quay opens {day}")
        gather(house.press)
        assert ("Trams halt" in house.waiting()) is (day < 2)
        house.judge(f"Quay opens {day}")
        house.now = SEVEN + timedelta(days=day)
        made = compose(house.press, DAY + timedelta(days=day), None, closed=True)
        assert made.record
        with house.database.writing() as connection:  # as if it were sent
            change_state(connection, made.record.id, "ready", now=house.now)
            change_state(connection, made.record.id, "approved", now=house.now)


def test_below_the_floor_the_edition_is_held_until_somebody_approves(house: House) -> None:
    house.configure("[review]\nrequired = true\nfloor = 2")
    for name in ("quay", "tram", "pier"):
        house.write(name, f"About the {name}")
    house.make_at(SIX)
    house.judge("About the quay")
    for minute in range(3):
        held = house.make_at(SEVEN + timedelta(minutes=minute))
        assert held.composed.outcome == "held"
        assert held.reports == ()
    assert held.composed.record
    assert held.composed.record.reason == (
        "not reviewed: 2 briefs wait and 1 of at least 2 is approved; `newsletter review` lists "
        "them, `newsletter review approve ID` approves"
    )
    with house.database.reading() as connection:
        (alert,) = connection.execute(select(alerts))
    assert (alert.kind, alert.edition_id) == ("review_wanted", held.composed.record.id)
    assert alert.sentence.startswith("the edition of 2026-11-23 is held, not reviewed: 2 briefs")
    house.judge("About the pier")
    assert titles(house.make_at(SEVEN + timedelta(minutes=3))) == [
        "About the pier",
        "About the quay",
    ]


def test_the_deadline_may_be_ahead_of_the_send(house: House) -> None:
    house.configure('[review]\nrequired = true\ndeadline = "20m"')
    house.write("quay", "Quay opens")
    house.write("tram", "Trams halt")
    house.make_at(SIX)
    house.judge("Quay opens")
    assert titles(house.make_at(SEVEN - timedelta(minutes=21))) == ["Quay opens", "Trams halt"]
    assert titles(house.make_at(SEVEN - timedelta(minutes=20))) == ["Quay opens"]
    house.judge("Trams halt")
    assert titles(house.make_at(SEVEN)) == ["Quay opens"], "it came after the deadline"
    house.judge("Quay opens", "rejected")
    assert titles(house.make_at(SEVEN)) == ["Trams halt"], "but a rejection is never too late"


def test_what_is_rejected_stays_out_by_any_way(house: House) -> None:
    house.configure("")  # no review is required
    house.write("quay", "Quay opens")
    house.write("tram", "Trams halt")
    assert titles(house.make_at(SIX)) == ["Quay opens", "Trams halt"]
    house.judge("Trams halt", "rejected", by="bob")
    assert titles(house.make_at(SEVEN)) == ["Quay opens"]
    by_hand = prepare(house.press, DAY)
    assert titles(by_hand) == ["Quay opens"]
    (fate,) = [each for each in by_hand.composed.fates if each.place == "rejected"]
    assert fate.why == "bob rejected it"
    with pytest.raises(RefusedError, match="bob rejected it"):
        prepare(house.press, DAY, kind="special", brief_ids=[fate.candidate.brief_id])
    # A source that mends a comma has not mended what was wrong.
    house.write("tram", "Trams halt!")
    gather(house.press)
    assert house.waiting() == {"Trams halt!": "edited since rejected"}
    assert titles(house.make_at(SEVEN)) == ["Quay opens"]


def test_a_brief_rejected_between_the_look_and_the_yes_is_not_sent(
    house: House, server: Server
) -> None:
    house.write("quay", "Quay opens")
    house.write("tram", "Trams halt")
    seen = prepare(house.press, DAY)
    house.judge("Trams halt", "rejected", by="bob")
    assert seen.printed
    with pytest.raises(TemporaryError, match=r'"Trams halt" was rejected by bob'):
        asyncio.run(publish(house.press_of("ann"), seen.printed, by_person=True))
    assert not server.kept
    assert house.rows() == [("rejected", "bob")], "nothing of it was kept"


def test_trust_is_recorded_and_never_covers_what_a_machine_drafted(house: House) -> None:
    house.write("quay", "Quay opens", source="desk")
    house.write("tram", "Trams halt", source="desk", head="drafted_by: ai\n")
    house.make_at(SIX)
    assert house.waiting() == {"Trams halt": "drafted by AI"}
    assert titles(house.make_at(SEVEN)) == ["Quay opens"]
    assert house.rows() == [("approved", "settings: source desk is trusted")]
    house.judge("Trams halt")
    assert titles(house.make_at(SEVEN + timedelta(minutes=1))) == ["Quay opens"]
    with house.database.reading() as connection:
        documents = connection.scalars(select(reviews.c.document)).all()
    assert [document["title"] for document in documents] == ["Quay opens", "Trams halt"]


def test_a_persons_yes_is_kept_as_their_review(house: House, server: Server) -> None:
    house.write("quay", "Quay opens")
    house.write("tram", "Trams halt")
    seen = prepare(house.press, DAY)
    house.judge("Quay opens", by="bob")
    assert seen.printed
    assert asyncio.run(publish(house.press_of("ann"), seen.printed, by_person=True)).is_sent
    assert house.rows() == [("approved", "bob"), ("approved", "ann")]
    with house.database.reading() as connection:
        assert is_edition_approved(connection, seen.printed.record.id)
    assert len(server.kept) == 2


def test_the_schedule_never_says_yes_for_a_person(house: House, server: Server) -> None:
    house.write("quay", "Quay opens")
    seen = prepare(house.press, DAY)
    assert seen.printed
    with pytest.raises(TemporaryError, match=r'"Quay opens" is not reviewed'):
        asyncio.run(publish(house.press, seen.printed))
    assert not server.kept


def test_an_approved_edition_goes_as_it_stands_and_made_anew_it_waits(house: House) -> None:
    house.write("quay", "Quay opens")
    made = house.make_at(SIX)
    assert made.printed
    number = made.printed.record.id
    rules = read_rules(house.press.settings)
    with house.database.writing() as connection:
        approve_edition(connection, number, rules, by=Actor(who="ann"), now=house.now)
    assert titles(house.make_at(SEVEN)) == ["Quay opens"]
    house.now = SIX + timedelta(minutes=10)
    prepare(house.press, DAY)  # a person looks: the same briefs at another hour
    with house.database.reading() as connection:
        assert is_edition_approved(connection, number)
    house.write("tram", "Trams halt")
    prepare(house.press, DAY)
    with house.database.reading() as connection:
        assert not is_edition_approved(connection, number)
        assert len(load_content(connection, number).briefs) == 2
    assert titles(house.make_at(SEVEN)) == ["Quay opens"]


def test_of_two_operators_each_approves_what_they_saw(house: House) -> None:
    house.write("quay", "Quay opens")
    made = house.make_at(SIX)
    assert made.printed
    number, rules = made.printed.record.id, read_rules(house.press.settings)
    with house.database.reading() as connection:
        seen = read_edition_hash(connection, number)
    house.write("tram", "Trams halt")
    prepare(house.press, DAY)
    with house.database.writing() as connection, pytest.raises(TemporaryError, match="anew"):
        approve_edition(connection, number, rules, by=Actor(who="ann"), now=house.now, seen=seen)
    assert house.rows() == []


def test_of_two_operators_at_once_the_last_word_counts(house: House) -> None:
    house.write("quay", "Quay opens")
    gather(house.press)
    both = threading.Barrier(2)

    def judge(verdict: str, by: str) -> None:
        both.wait()
        house.judge("Quay opens", verdict, by=by)

    threads = [
        threading.Thread(target=judge, args=pair)
        for pair in (("approved", "ann"), ("rejected", "bob"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = house.rows()
    assert sorted(rows) == [("approved", "ann"), ("rejected", "bob")]
    with house.database.reading() as connection:
        (brief,) = load_reviewed(connection, [1], read_rules(house.press.settings)).values()
    assert brief.judgement.state == rows[-1][0]


def test_an_edition_tells_the_text_that_was_approved_not_an_earlier_one(house: House) -> None:
    """Made with the first text, which was edited since; the second is what somebody approved."""
    house.write("quay", "Quay opens")
    house.make_at(SIX)
    house.write("quay", "Quay opens on Monday")
    gather(house.press)
    house.judge("Quay opens on Monday")
    assert titles(house.make_at(SEVEN)) == ["Quay opens on Monday"]


def test_serve_holds_says_so_once_and_sends_what_is_approved(
    house: House,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(schedule, "RETRY_SECONDS", 0.05)
    caplog.set_level(logging.INFO, logger="newsletter")
    house.configure('[review]\nrequired = true\ndeadline = "15m"')
    house.write("quay", "Quay opens")
    house.write("tram", "Trams halt")
    house.now = SEVEN

    def said(words: str) -> int:
        return sum(words in record.getMessage() for record in caplog.records)

    async def keep() -> None:
        keeper = Keeper(house.press)
        kept = asyncio.create_task(keeper.keep())
        while not said("held: not reviewed: 2 briefs wait"):  # noqa: ASYNC110 - a log
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert not server.kept
        house.judge("Quay opens")
        while not said(": sent: 2 accepted"):  # noqa: ASYNC110 - a log
            await asyncio.sleep(0.01)
        keeper.stop()
        await kept

    asyncio.run(asyncio.wait_for(keep(), 60))
    assert said("end the review: next at") == 1
    assert said("held: not reviewed") == 1
    assert said("1 brief is left out, since nobody approved them") == 1
    assert all(
        b"Trams halt" not in content for each in server.contents.values() for content in each
    )


# -- the command line ------------------------------------------------------------------------------


def listed(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_commands_from_the_list_to_the_edition(house: House) -> None:
    house.write("quay", "Quay opens")
    house.write("tram", "Trams halt")
    gather(house.press)
    waiting = listed(house.run("review", "--json"))
    assert {each["title"]: each["why"] for each in waiting} == {
        "Quay opens": "new",
        "Trams halt": "new",
    }
    quay, tram = sorted(waiting, key=lambda each: str(each["title"]))
    assert "Trams halt" in house.run("review").stdout
    name = f"{quay['id']}:{quay['hash'][:8]}"
    done = listed(house.run("review", "approve", name, "--json"))
    assert done == {
        "verdict": "approved",
        "changed": [quay["id"]],
        "briefs": [quay["id"]],
        "waiting": 1,
    }
    again = house.run("review", "approve", str(quay["id"]))
    assert "Approved already" in again.stdout
    refused = house.run("review", "reject", str(tram["id"]))
    assert refused.exit_code == 2, "it must say why"
    house.run("review", "reject", str(tram["id"]), "--note", "one source only")
    house.write("quay", "Quay opens at last")
    gather(house.press)
    stale = house.run("review", "approve", name)
    assert isinstance(stale.exception, TemporaryError)
    shown = listed(house.run("review", "show", str(quay["id"]), "--json"))
    assert "-title: Quay opens" in shown["changes"]
    assert "+title: Quay opens at last" in shown["changes"]
    assert [each["verdict"] for each in shown["said"]] == ["approved"]
    told = house.run("review", "show", str(quay["id"])).stdout
    assert "waiting, edited since approved" in told
    assert "Household Impact" in told
    asked = house.run("review", "approve", "--all")
    assert isinstance(asked.exception, RefusedError), "nobody is here to say yes"
    done = listed(house.run("review", "approve", "--all", "--yes", "--json"))
    assert (done["changed"], done["waiting"]) == ([quay["id"]], 0)


def test_an_edition_is_approved_by_its_command(house: House) -> None:
    refused = house.run("review", "edition", "--yes")
    assert isinstance(refused.exception, RefusedError)
    house.write("quay", "Quay opens")
    house.make_at(SIX)
    done = listed(house.run("review", "edition", "--yes", "--json"))
    assert (done["date"], done["changed"]) == ("2026-11-23", True)
    assert listed(house.run("review", "edition", "2026-11-23", "--json"))["changed"] is False
    assert titles(house.make_at(SEVEN)) == ["Quay opens"]
    with house.database.reading() as connection:
        record = find_edition(connection, DAY)
        assert record
        (told,) = load_told(connection, record.id, read_rules(house.press.settings))
    assert told.judgement.state == "approved"


def test_send_shows_what_nobody_reviewed_and_what_is_missing(house: House) -> None:
    house.write("quay", "Quay opens")
    (house.root / "desk").rmdir()
    dry = listed(house.run("send", "--dry-run", "--json"))
    assert dry["missing"] == ["desk"]
    assert dry["unreviewed"] == [{"title": "Quay opens", "why": "new"}]
    told = house.run("send", "--dry-run").stdout
    assert "Quay opens (not reviewed: new)" in told
    assert "desk: could not be read" in told
    with house.database.reading() as connection:
        record = find_edition(connection, DAY)
        assert record
        mail = load_compiled(connection, record.id)
    assert b"could not be read" not in mail
    assert b"not reviewed" not in mail
    sent = house.run("send", "--yes")
    assert sent.exit_code == 0, sent.output
    assert [verdict for verdict, _ in house.rows()] == ["approved"]
