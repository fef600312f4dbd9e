"""Several editions a day: every brief in exactly one, every reader sent what they chose, once.

The schedule over a real database and a real relay, by a clock that can be set.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from newsletter import schedule
from newsletter.audience.pseudonyms import Pseudonyms
from newsletter.audience.reader import Choices
from newsletter.delivery.inquiry import tell_story
from newsletter.editions.corrections import find_wrong, store_correction
from newsletter.editions.desk import Composed, list_waiting
from newsletter.editions.shelf import find_coming, list_editions
from newsletter.editions.verdicts import approve_edition, read_rules
from newsletter.errors import RefusedError, Untimely
from newsletter.mail import decode_message
from newsletter.press.approving import approve
from newsletter.press.composing import compose, gather
from newsletter.press.site import build_web
from newsletter.publish import make_ready, prepare
from newsletter.schedule import Keeper
from newsletter.store import Database, open_database
from newsletter.store.audit import Actor
from newsletter.store.tables import briefs, edition_briefs, subscribers
from newsletter.watch.looking import Memory, look
from newsletter.watch.pulse import Pulse
from tests.integration.house import House, said
from tests.integration.runs import Server
from tests.postgres import open_schema

MONDAY = date(2026, 11, 23)
CHANGE = date(2026, 10, 25)  # Berlin's clocks went back in the night before
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
EVENING = {"name": "evening", "title": "Harbor Evening", "gather_at": "16:30", "send_at": "17:00"}
NOON = {"name": "noon", "gather_at": "11:30", "send_at": "12:00", "for": "all"}
STORIES = {  # as unlike as can be: what is alike becomes one story
    "quay": ("North Quay Reopens", "Two ferries came back to their berths a week ahead of plan."),
    "mole": ("Council Buys Old Mole", "The budget vote was unanimous, and brokers had bid too."),
    "pier": ("Thousands Dance on Pier", "A brass band from Lisbon played until past midnight."),
    "salt": ("Salt Prices Double", "Bakers blame a dry autumn in the marshes of the south."),
    "owls": ("Owls Nest in Town Hall", "Clerks work by candle so that nobody wakes the young."),
    "tram": ("Tram Nine Goes Driverless", "Its first passengers were forty schoolchildren."),
    "kiln": ("Roman Kiln Under Car Park", "Archaeologists have until spring to dig it out."),
}


class Harbor(House):
    """A publication with several editions a day."""

    def __init__(self, root: Path, database: Database, relay: str) -> None:
        super().__init__(root, database, relay, datetime(2026, 10, 1, tzinfo=UTC))
        self.take(EVENING, NOON)

    def take(self, *further: dict[str, Any], **more: Any) -> None:
        """Have other further editions, and other settings."""
        self.open(
            **{
                "editions": further,
                "edition": {"browser_checks": False},
                "delivery": {"relay": self.relay, "connections": 1},
                **more,
            }
        )

    def write(self, name: str, topic: str = "") -> str:
        """Put a brief of an hour ago into the folder; give its title."""
        title, text = STORIES[name]
        path = self.root / "briefs" / f"{name}.txt"
        head = f"---\ntopics: [{topic}]\n---\n" if topic else ""
        path.write_text(f"{head}{title}\n\n{text}\n")
        moment = (self.now - HOUR).timestamp()
        os.utime(path, (moment, moment))
        return title

    def add_reader(self, name: str, choices: Choices) -> None:
        values = {
            "email": f"{name}@reader.example",
            "email_key": f"{name}@reader.example",
            "name": "",
            "status": "active",
            "choices": choices.to_document(),
            "fields": {},
            "created_at": datetime(2026, 9, 1, tzinfo=UTC),
            "updated_at": datetime(2026, 9, 1, tzinfo=UTC),
        }
        with self.database.writing() as connection:
            connection.execute(insert(subscribers).values(values))

    def compose(self, day: date, kind: str = "daily") -> Composed:
        """Gather, and compose an edition as a draft."""
        return compose(self.press, day, gather(self.press), kind=kind)

    def list_claimed(self) -> dict[str, list[str]]:
        """List the editions that have each brief, by its title."""
        found: dict[str, list[str]] = {}
        with self.database.reading() as connection:
            records = {record.id: record.name for record in list_editions(connection, 99)}
            rows = connection.execute(
                select(briefs.c.document, edition_briefs.c.edition_id).outerjoin(
                    edition_briefs, edition_briefs.c.brief_id == briefs.c.id
                )
            )
            for document, edition_id in rows:
                found.setdefault(document["title"], []).append(records.get(edition_id, ""))
        return found


@pytest.fixture
def house(
    tmp_path: Path,
    database: Database,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Harbor:
    monkeypatch.setattr(schedule, "RETRY_SECONDS", 0.05)
    caplog.set_level(logging.INFO, logger="newsletter")
    return Harbor(tmp_path, database, server.url)


def titles(server: Server, name: str) -> Counter[str]:
    """Count the mails of a reader in which each story stands."""
    plain = [decode_message(each)[0] for each in server.contents.get(f"{name}@reader.example", ())]
    assert len(plain) == server.kept[f"{name}@reader.example"], "no mail came twice"
    known = [title for title, _ in STORIES.values()]
    return Counter(title for text in plain for title in known if title in text)


def subjects(server: Server, name: str) -> set[str]:
    found = server.contents.get(f"{name}@reader.example", ())
    return {re.findall(rb"(?m)^Subject: (.*?)\r$", mail)[0].decode() for mail in found}


# -- the days --------------------------------------------------------------------------------------


def test_two_days_across_a_restart_and_a_change_of_the_clocks(
    house: Harbor, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    house.take(EVENING, NOON, weekly={"day": "sun", "send_at": "18:00"})
    house.add_reader("plain", Choices())
    house.add_reader("evening", Choices(editions=("evening", "no noon")))
    house.add_reader("both", Choices(editions=("evening",)))
    house.add_reader("weekly", Choices(rhythm="weekly"))
    house.add_reader("night", Choices(rhythm="weekly", editions=("evening",)))
    eve = CHANGE - DAY
    told: dict[str, str] = {}
    for day, kind, clock, name in (
        (eve, "", "07:00", "quay"),
        (eve, "-noon", "12:00", "mole"),
        (eve, "-evening", "17:00", "pier"),
        (CHANGE, "", "07:00", "salt"),
        (CHANGE, "-noon", "12:00", "owls"),
        (CHANGE, "-evening", "17:00", "tram"),
    ):
        house.at(day, clock)
        edition = f"{day}{kind}"
        told[house.write(name)] = edition
        house.now -= MINUTE
        house.keep(lambda: said(caplog, "send (evening): next at"))
        assert not house.state(edition), "a minute before its time"
        caplog.clear()
        house.now += MINUTE
        if edition == f"{CHANGE}-evening":
            assert house.now == datetime(2026, 10, 25, 16, tzinfo=UTC)
            house.keep(lambda: server.kept.total() >= 15)  # stopped on the way
        house.send(edition)
    night = {title: f"{told[title][:10]}-evening" for title in told}
    tomorrow = {title: f"{CHANGE}" for title in told if told[title] == f"{eve}-evening"}
    assert {title: {*editions} for title, editions in house.list_claimed().items()} == {
        title: {edition, night[title], tomorrow.get(title, edition)}
        for title, edition in told.items()
    }
    *others, last = told
    assert titles(server, "plain") == Counter(others)
    for name in ("evening", "both", "night"):  # who said no to noon has it in the evening
        assert titles(server, name) == Counter([*others, last])
    assert titles(server, "weekly") == Counter()
    house.at(CHANGE, "18:00")
    house.send(f"{CHANGE}-weekly")  # which brings what somebody lacks, and nothing again
    assert titles(server, "weekly") == titles(server, "night") == Counter([*told])
    assert server.kept["night@reader.example"] == 2
    assert all(each.startswith("Harbor Evening: ") for each in subjects(server, "night"))
    assert "Harbor Daily Noon: Owls Nest in Town Hall" in subjects(server, "plain")
    before = server.kept.copy()
    caplog.clear()
    house.keep(lambda: said(caplog, f"edition {CHANGE}-evening: is sent already"))
    assert server.kept == before

    # What readers and operators see of them.
    pages = build_web(house.press, None)
    archive = pages["editions/index.html"].decode()
    assert f"/editions/{eve}-evening" in archive
    assert "Harbor Evening: Tram Nine Goes Driverless" in archive
    assert b"Harbor Evening" in pages["editions/feed.xml"]
    (page,) = [
        data.decode()
        for file, data in build_web(house.press, eve).items()
        if file == f"editions/{eve}-evening/index.html"
    ]
    assert "Harbor Evening" in page
    with house.database.reading() as connection:
        listed = list_editions(connection, 3)[1:]
        story = tell_story(
            connection, "plain@reader.example", listed, pseudonyms=Pseudonyms([b"k" * 32])
        )
        weekly = tell_story(
            connection, "weekly@reader.example", listed, pseudonyms=Pseudonyms([b"k" * 32])
        )
    absences = [chapter.absence.partition(";")[0] for chapter in story.chapters]
    assert absences == ["did not choose the evening edition", ""]
    absences = [chapter.absence.partition(";")[0] for chapter in weekly.chapters]
    assert absences[1] == "did not choose the noon edition"


def test_every_brief_reaches_everybody_once_whichever_editions_they_take(
    house: Harbor, server: Server
) -> None:
    house.take(EVENING)
    house.add_reader("daily", Choices())
    house.add_reader("evening", Choices(rhythm="weekly", editions=("evening",)))
    house.add_reader("both", Choices(editions=("evening",)))
    names = iter(STORIES)
    told = []
    for day in (MONDAY, MONDAY + DAY, MONDAY + 2 * DAY):
        for kind, clock in (("", "07:00"), ("-evening", "17:00")):
            house.at(day, clock)
            told.append(house.write(next(names)))
            house.send(f"{day}{kind}")
    assert titles(server, "evening") == titles(server, "both") == Counter(told)
    house.at(MONDAY + 3 * DAY, "07:00")
    house.send(f"{MONDAY + 3 * DAY}")  # tells what the last evening told, and nothing new
    for name in ("daily", "evening", "both"):
        assert titles(server, name) == Counter(told)
    assert server.kept == {f"{name}@reader.example": n for name, n in (
        ("daily", 4), ("evening", 3), ("both", 6),
    )}  # fmt: skip

    # The subject and the line after it tell of what this reader finds in the mail.
    quay, mole, pier, salt, owls, tram = told
    assert subjects(server, "both") == {
        *(quay, f"Harbor Evening: {mole}", pier, f"Harbor Evening: {salt}"),
        *(owls, f"Harbor Evening: {tram}"),
    }
    assert subjects(server, "daily") == {quay, f"{pier}; {mole}", f"{owls}; {salt}", tram}
    assert f"Harbor Evening: {mole}; {quay}" in subjects(server, "evening")
    for name in ("daily", "evening", "both"):
        for mail in server.contents[f"{name}@reader.example"]:
            plain, rich = decode_message(mail)
            seen = rich[: rich.index("<body")] + rich[rich.index("<body") :][:3000]
            assert {t for t in told if t in seen} <= {t for t in told if t in plain}


def test_one_that_nobody_takes_is_quietly_none_and_begins_with_its_first_reader(
    house: Harbor, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    house.take(EVENING)
    house.add_reader("daily", Choices())
    for day in (MONDAY - DAY, MONDAY):
        house.at(day, "17:00")
        house.write("quay" if day < MONDAY else "mole")
        house.keep(lambda day=day: said(  # type: ignore[misc]
            caplog, f"edition {day}-evening: no active reader takes it, so nothing is sent"
        ))  # fmt: skip
    assert not [r for r in caplog.records if r.levelno > logging.INFO and "-evening" in r.message]
    found = house.find(f"{MONDAY}-evening")
    assert found is not None
    assert (found.state, found.reason) == ("cancelled", "no active reader takes it")
    house.at(MONDAY, "19:00")
    assert not [a for a in look(house.press, Pulse(), Memory()) if "evening" in a.key]
    house.add_reader("first", Choices(rhythm="weekly", editions=("evening",)))
    house.at(MONDAY + DAY, "17:00")
    pier = house.write("pier")
    house.send(f"{MONDAY + DAY}-evening")
    mole = STORIES["mole"][0]  # which is late by an hour; what is a day older is none of theirs
    assert titles(server, "first") == Counter([mole, pier])


def test_a_daily_that_tells_what_an_evening_told_meanwhile_is_made_again(
    house: Harbor, server: Server
) -> None:
    house.take(EVENING, schedule={"max_lateness": "16h"})
    house.add_reader("both", Choices(editions=("evening",)))
    house.at(MONDAY, "17:00")
    quay = house.write("quay")
    house.at(MONDAY + DAY, "06:00")
    mole = house.write("mole")
    by_person = prepare(house.press, MONDAY + DAY).printed
    make_ready(house.press, MONDAY + DAY)
    house.send(f"{MONDAY}-evening")  # hours late
    assert by_person is not None
    with pytest.raises(Untimely, match=f"that the edition of {MONDAY}-evening told meanwhile"):
        approve(house.press, replace(by_person.record, state="ready"))
    house.at(MONDAY + DAY, "07:00")
    house.write("pier")
    house.keep(lambda: house.state(f"{MONDAY + DAY}") == "sent")
    assert titles(server, "both") == Counter([quay, mole, "Thousands Dance on Pier"])


def test_what_an_evening_was_to_bring_and_never_did_comes_with_the_copy_of_a_later_hour(
    house: Harbor, server: Server
) -> None:
    house.take(EVENING)
    house.add_reader("both", Choices(editions=("evening",), send_at="10:00"))
    evening, daily = f"{MONDAY}-evening", f"{MONDAY + DAY}"
    server.at_rcpt = lambda _recipient, _attempt: "450 4.2.1 later"
    house.at(MONDAY, "17:00")
    quay = house.write("quay")
    house.keep(lambda: bool(server.times) and house.state(evening) == "sending")
    house.at(MONDAY + DAY, "07:00")
    mole = house.write("mole")
    house.keep(lambda: house.state(daily) == "sending")  # its audience is fixed: both may come
    house.at(MONDAY + DAY, "09:30")
    house.send(evening)  # it is over, and never came
    assert not server.kept
    server.at_rcpt = lambda _recipient, _attempt: ""
    house.at(MONDAY + DAY, "10:00")
    house.send(daily)
    assert titles(server, "both") == Counter([quay, mole])
    assert server.kept.total() == 1


def test_two_keepers_at_one_moment_send_each_edition_once(
    house: Harbor, server: Server, database: Database
) -> None:
    race(house, server, str(database.engine.url))


@pytest.mark.postgres
def test_two_keepers_at_one_moment_send_each_edition_once_on_postgresql(
    tmp_path: Path, server: Server, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "RETRY_SECONDS", 0.05)
    with open_schema(postgres_url) as url:
        opened = open_database(url)
        race(Harbor(tmp_path, opened, server.url), server, url)
        opened.close()


def race(house: Harbor, server: Server, url: str) -> None:
    """Have two `serve` send a daily and an evening edition that are due at the same moment."""
    house.take(EVENING, schedule={"max_lateness": "12h"})
    for name, choices in (
        ("daily", Choices()),
        ("evening", Choices(rhythm="weekly", editions=("evening",))),
        ("both", Choices(editions=("evening",))),
    ):
        house.add_reader(name, choices)
    other = open_database(url)
    names = (f"{MONDAY}", f"{MONDAY}-evening")
    house.at(MONDAY, "17:05")
    told = [house.write(name) for name in ("quay", "mole", "pier")]

    house.keep(
        lambda: {house.state(name) for name in names} == {"sent"},
        house.press,
        replace(house.press, database=other),
    )
    other.close()
    assert {house.state(name) for name in names} == {"sent"}
    with house.database.reading() as connection:
        assert sorted(record.name for record in list_editions(connection, 9)) == sorted(names)
    for name in ("daily", "evening", "both"):
        assert titles(server, name) == Counter(told)


def test_missed_ones_are_caught_up_in_order_or_leave_their_news_to_the_next(
    house: Harbor, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    house.take(EVENING, schedule={"max_lateness": "12h"})
    house.add_reader("both", Choices(editions=("evening",)))
    house.at(MONDAY, "17:05")
    quay = house.write("quay")
    house.keep(
        lambda: (
            house.state(f"{MONDAY}") == "sent"
            and said(caplog, f"edition {MONDAY}-evening: nothing new")
        )
    )
    assert house.list_claimed() == {quay: [f"{MONDAY}"]}

    mole = house.write("mole")
    house.send(f"{MONDAY}-evening")
    claimed = house.list_claimed()
    assert {*claimed[quay]} == {f"{MONDAY}", f"{MONDAY}-evening"}
    assert claimed[mole] == [f"{MONDAY}-evening"]

    # Tuesday's evening is missed altogether: Wednesday's daily has its news.
    house.take(EVENING, schedule={"max_lateness": "2h"})
    house.at(MONDAY + DAY, "16:59")
    pier = house.write("pier")
    house.at(MONDAY + DAY, "19:01")
    house.keep(lambda: said(caplog, "send (evening): next at"))
    assert not house.state(f"{MONDAY + DAY}-evening")
    house.at(MONDAY + 2 * DAY, "06:00")
    house.compose(MONDAY + 2 * DAY)
    assert house.list_claimed()[pier] == [f"{MONDAY + 2 * DAY}"]
    assert titles(server, "both") == Counter([quay, mole])


def test_an_edition_of_topics_leaves_the_others_to_the_next(house: Harbor) -> None:
    house.take(EVENING | {"topics": ["Markets"]})
    house.at(MONDAY, "17:00")
    salt, owls = house.write("salt", "markets"), house.write("owls", "Nature")
    house.compose(MONDAY, "evening")
    assert house.list_claimed() == {salt: [f"{MONDAY}-evening"], owls: [""]}
    house.now += MINUTE
    house.compose(MONDAY)
    claimed = house.list_claimed()
    assert {*claimed[salt]} == {f"{MONDAY}", f"{MONDAY}-evening"}
    assert claimed[owls] == [f"{MONDAY}"]


def test_jobs_are_declared_for_each(house: Harbor) -> None:
    further = EVENING | {"days": "mon-fri"}
    house.take(further, review={"required": True, "deadline": "20m"}, weekly={"day": "sat"})
    jobs = {job.name: str(job.trigger) for job in Keeper(house.press)._build_scheduler().get_jobs()}
    assert {name: re.findall(r"(?:hour|minute)='(\d+)'", at) for name, at in jobs.items()} == {
        "gather": ["6", "0"],
        "end the review": ["6", "40"],
        "send": ["7", "0"],
        "gather (evening)": ["16", "30"],
        "end the review (evening)": ["16", "40"],
        "send (evening)": ["17", "0"],
        "send the round-up": ["9", "0"],
    }
    assert "mon,tue,wed,thu,fri'" in jobs["send (evening)"]
    assert "sun" in jobs["send"]


# -- review, watching, corrections -----------------------------------------------------------------


def test_the_review_of_an_evening_ends_before_its_own_time(house: Harbor) -> None:
    house.take(EVENING, review={"required": True, "deadline": "20m"})
    house.add_reader("both", Choices(editions=("evening",)))
    house.at(MONDAY, "16:30")
    house.write("quay")
    made = make_ready(house.press, MONDAY, "evening")
    record = made.composed.record
    assert record is not None
    assert record.state == "ready"  # it waits
    with house.database.reading() as connection:
        assert [each.brief.title for each in list_waiting(
            connection, house.press.settings, now=house.now
        )] == ["North Quay Reopens"]  # fmt: skip
        assert find_coming(connection, MONDAY, 1) == record
    house.at(MONDAY, "16:41")
    made = make_ready(house.press, MONDAY, "evening")
    assert made.composed.outcome == "held"
    assert house.state(f"{MONDAY}-evening") == "held"
    alarms = look(house.press, Pulse(), Memory())
    assert f"edition/{MONDAY}-evening" in {alarm.key for alarm in alarms}

    house.at(MONDAY, "17:02")
    prepared = prepare(house.press, MONDAY, kind="evening")
    assert prepared.printed is not None
    with house.database.writing() as connection:
        approve_edition(
            connection,
            prepared.printed.record.id,
            read_rules(house.press.settings),
            by=Actor(who="anna@desk"),
            now=house.now,
        )
    house.send(f"{MONDAY}-evening")


def test_one_that_is_late_is_told_and_one_without_news_is_not(
    house: Harbor, caplog: pytest.LogCaptureFixture
) -> None:
    house.take(EVENING)
    house.add_reader("both", Choices(editions=("evening",)))
    house.at(MONDAY, "06:00")
    look(house.press, Pulse(), Memory())  # the schedule is kept since then
    house.at(MONDAY, "17:00")
    pulse = Pulse()

    async def whole() -> None:
        keeper = Keeper(house.press, pulse)
        kept = asyncio.create_task(keeper.keep())
        while not pulse.is_done(f"{MONDAY}-evening"):  # noqa: ASYNC110 - a thread brings it
            await asyncio.sleep(0.01)
        keeper.stop()
        await kept

    asyncio.run(whole())
    house.at(MONDAY, "18:30")
    late = f"edition/{MONDAY}-evening"
    assert late not in {alarm.key for alarm in look(house.press, pulse, Memory())}
    (alarm,) = [each for each in look(house.press, Pulse(), Memory()) if each.key == late]
    assert alarm.kind == "edition_late"
    assert "the edition of 2026-11-23-evening is 1 h 30 min late" in alarm.sentence


def test_what_was_wrong_in_an_evening_is_set_right_in_the_next_for_who_had_it(
    house: Harbor, server: Server
) -> None:
    house.take(EVENING)
    house.add_reader("both", Choices(editions=("evening",)))
    house.add_reader("plain", Choices())
    house.at(MONDAY, "17:00")
    house.write("quay")
    house.send(f"{MONDAY}-evening")
    path = house.root / "briefs" / "quay.txt"
    moment = path.stat().st_mtime
    path.write_text(path.read_text().replace("their berths", "the south quay"))
    os.utime(path, (moment, moment))
    with house.database.writing() as connection:
        wrong = find_wrong(connection, MONDAY, "evening", 1)
        text = "It was the south quay."
        store_correction(
            connection, wrong, "normal", text, by=Actor(who="anna@desk"), now=house.now
        )
    house.add_reader("new", Choices(editions=("evening",)))
    for day, kind, clock, name in (
        (MONDAY + DAY, "", "07:00", "mole"),
        (MONDAY + DAY, "-evening", "17:00", "pier"),
    ):
        house.at(day, clock)
        house.write(name)
        house.send(f"{day}{kind}")

    def has(name: str) -> list[str]:
        mails = server.contents[f"{name}@reader.example"]
        return [
            re.findall(rb"(?m)^Subject: (.*?)\r$", mail)[0].decode()
            for mail in mails
            if text in " ".join(decode_message(mail)[0].split())
        ]

    assert has("both") == ["Harbor Evening: Thousands Dance on Pier"]
    assert has("new") == has("plain") == []

    # Who had not the mistake is sent what is right, once; the others are not sent it again.
    def mentions(name: str, words: str) -> int:
        mails = server.contents[f"{name}@reader.example"]
        return sum(words in " ".join(decode_message(mail)[0].split()) for mail in mails)

    assert (mentions("plain", "to the south quay"), mentions("plain", "to their berths")) == (1, 0)
    assert (mentions("both", "to the south quay"), mentions("both", "to their berths")) == (0, 1)


def test_what_nobody_approved_frees_its_briefs_for_whichever_comes_next(house: Harbor) -> None:
    house.take(EVENING)
    house.at(MONDAY, "16:30")
    quay = house.write("quay")
    house.compose(MONDAY, "evening")
    assert house.list_claimed() == {quay: [f"{MONDAY}-evening"]}
    house.at(MONDAY + DAY, "06:00")
    assert house.compose(MONDAY + DAY).retired == (f"{MONDAY}-evening",)
    assert house.list_claimed() == {quay: [f"{MONDAY + DAY}"]}
    with house.database.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(edition_briefs)) == 1


def test_an_unknown_kind_is_refused_with_those_there_are(house: Harbor) -> None:
    house.at(MONDAY, "17:00")
    with pytest.raises(RefusedError, match=r'^"dusk" is no kind .*; there is daily, .* noon\.$'):
        prepare(house.press, MONDAY, kind="dusk")
