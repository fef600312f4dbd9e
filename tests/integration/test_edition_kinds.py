"""What a day's editions become between their making and their sending, and the other kinds.

The whole way over a real database and a folder for a relay: gather, compose, render, enrol,
deliver.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from newsletter.audience.pseudonyms import Pseudonyms
from newsletter.delivery.inquiry import tell_story
from newsletter.delivery.lifecycle import State
from newsletter.editions.model import Kind
from newsletter.editions.shelf import change_state, find_edition, list_editions
from newsletter.errors import IllegalMove, RefusedError, TemporaryError
from newsletter.press import Press
from newsletter.press.approving import approve, count_audience
from newsletter.publish import Prepared, make_ready, prepare, publish
from newsletter.settings import Settings
from newsletter.store import Database
from newsletter.store.tables import briefs, deliveries, subscribers
from tests.databases import open_new_database

STORIES = {  # as unlike as can be: what is alike becomes one story
    "quay": ("North Quay Reopens", "Two ferries came back to their berths a week ahead of plan."),
    "mole": ("Council Buys Old Mole", "The budget vote was unanimous, and brokers had bid too."),
    "pier": (
        "Thousands Dance on Pier",
        "A brass band from Lisbon played until long past midnight.",
    ),
}
NOBODY = Pseudonyms([b"nobody was erased with this key"])
DAY = date(2026, 11, 23)  # a Monday
SIX = datetime(2026, 11, 23, 6, tzinfo=UTC)
SEVEN = SIX + timedelta(hours=1)
HOUR = timedelta(hours=1)


class Paper:
    """A publication whose clock and folder can be set."""

    def __init__(self, root: Path, database: Database) -> None:
        self.now, self.root, self.database = SIX, root, database
        (root / "briefs").mkdir()
        self.press = Press(
            Settings.model_validate(
                {
                    "publication": {
                        "sender": "Harbor Daily <daily@news.example>",
                        "list_id": "daily.news.example",
                        "url": "https://news.example",
                        "postal_address": "14 Quay Street",
                    },
                    "sources": [{"kind": "folder", "path": "briefs"}],
                    "delivery": {"relay": "eml:outbox", "connections": 1},
                    "edition": {"browser_checks": False},
                    "web": {"folder": "site"},
                    "secret_key": "k" * 40,
                    "root": root,
                }
            ),
            database,
            lambda: self.now,
        )

    def write(self, name: str, **said: Any) -> None:
        lines = {"published_at": self.now - HOUR} | said
        head = "".join(
            f"{key}: {value.isoformat() if isinstance(value, datetime) else value}\n"
            for key, value in lines.items()
        )
        text = "\n\n".join(STORIES[name])
        (self.root / "briefs" / f"{name}.txt").write_text(f"---\n{head}---\n{text}\n")

    def add_reader(self, name: str, rhythm: str = "") -> None:
        with self.database.writing() as connection:
            connection.execute(
                insert(subscribers).values(
                    email=f"{name}@reader.example",
                    email_key=f"{name}@reader.example",
                    name=name.title(),
                    status="active",
                    choices={"detail": "full", "rhythm": rhythm} if rhythm else {},
                    fields={},
                    created_at=SIX - HOUR,
                    updated_at=SIX - HOUR,
                )
            )

    def send(self, prepared: Prepared) -> dict[State, int]:
        assert prepared.printed is not None
        delivered = asyncio.run(publish(self.press, prepared.printed))
        assert delivered.is_sent
        return delivered.counts

    def send_daily(self, day: date) -> None:
        self.now = datetime(day.year, day.month, day.day, 7, tzinfo=UTC)
        self.send(prepare(self.press, day))

    def mails(self) -> list[EmailMessage]:
        """Give what is in the outbox, and empty it."""
        paths = sorted((self.root / "outbox").glob("*.eml"))
        mails = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in paths]
        for path in paths:
            path.unlink()
        return mails

    def readers(self) -> list[str]:
        return sorted(str(mail["To"]).split("@")[0].split("<")[-1] for mail in self.mails())

    def brief_id(self, name: str) -> int:
        with self.database.reading() as connection:
            found: int = connection.execute(
                select(briefs.c.id).where(briefs.c.origin == f"{name}.txt")
            ).scalar_one()
        return found

    def state(self, day: date = DAY, kind: Kind = "daily") -> str:
        with self.database.reading() as connection:
            found = find_edition(connection, day, kind)
        return found.state if found else ""


def titles(prepared: Prepared) -> list[str]:
    assert prepared.printed is not None
    told = {brief.title for brief in prepared.printed.edition.briefs}
    return sorted(name for name, (title, _) in STORIES.items() if title in told)


@pytest.fixture
def paper(tmp_path: Path) -> Iterator[Paper]:
    database = open_new_database(tmp_path / "newsletter.db")
    made = Paper(tmp_path, database)
    made.add_reader("ada")
    yield made
    database.close()


# -- between ready and sent --------------------------------------------------------------------


def test_an_embargo_that_ends_by_the_send_is_in_that_mornings_edition(paper: Paper) -> None:
    paper.write("quay")
    paper.write("mole", not_before=SEVEN, published_at=SIX - 90 * HOUR)
    assert titles(make_ready(paper.press, DAY)) == ["quay"]
    paper.now = SEVEN - timedelta(seconds=1)
    assert titles(make_ready(paper.press, DAY)) == ["quay"]
    paper.now = SEVEN
    assert titles(make_ready(paper.press, DAY)) == ["mole", "quay"]


def test_what_expires_while_the_edition_waits_is_not_sent(paper: Paper) -> None:
    paper.write("quay")
    paper.write("mole", expires_at=SEVEN)
    assert titles(make_ready(paper.press, DAY)) == ["mole", "quay"]
    paper.now = SEVEN
    assert titles(make_ready(paper.press, DAY)) == ["quay"]


def test_an_embargo_put_on_meanwhile_holds_the_brief_back_until_it_ends(paper: Paper) -> None:
    paper.write("quay")
    paper.write("mole")
    first = prepare(paper.press, DAY)
    assert titles(first) == ["mole", "quay"]
    paper.write("mole", not_before=SEVEN + HOUR)
    prepared = prepare(paper.press, DAY)  # what a person looks at has it no more
    assert titles(prepared) == ["quay"]


def test_approval_refuses_what_may_not_be_sent_by_now(paper: Paper) -> None:
    paper.write("quay")
    paper.write("mole", expires_at=SEVEN)
    prepared = prepare(paper.press, DAY)
    assert prepared.printed is not None
    paper.now = SEVEN
    with pytest.raises(TemporaryError) as refused:
        approve(paper.press, prepared.printed.record)
    assert str(refused.value) == (
        'the edition of 2026-11-23 cannot be sent: "Council Buys Old Mole" has expired; '
        "make it again, which leaves that out, and look at it before you send it."
    )
    assert paper.state() == "draft"
    paper.now = SIX - HOUR  # a clock set back
    paper.write("pier", not_before=SIX)
    with paper.database.writing() as connection:
        row = connection.execute(select(briefs).where(briefs.c.origin == "quay.txt")).one()
        changed = row.document | {"not_before": SIX.isoformat()}
        connection.execute(update(briefs).where(briefs.c.id == row.id).values(document=changed))
    with pytest.raises(TemporaryError, match="under embargo until 2026-11-23 06:00 UTC"):
        approve(paper.press, prepared.printed.record)


def test_an_approved_edition_that_nobody_has_is_refused_once_a_brief_expired(
    paper: Paper,
) -> None:
    paper.write("quay")
    paper.write("mole", expires_at=SEVEN)
    prepared = prepare(paper.press, DAY)
    assert prepared.printed is not None
    approve(paper.press, prepared.printed.record)  # and then the process is killed
    paper.now = SEVEN
    again = prepare(paper.press, DAY)
    assert again.printed is not None
    with pytest.raises(RefusedError, match="`newsletter cancel 2026-11-23` gives its other"):
        asyncio.run(publish(paper.press, again.printed))
    assert paper.mails() == []
    with paper.database.writing() as connection:
        change_state(connection, again.printed.record.id, "cancelled", now=paper.now)
    paper.now += 24 * HOUR
    assert titles(prepare(paper.press, DAY + timedelta(days=1))) == ["quay"]


def test_once_a_message_has_left_the_others_go_too(paper: Paper) -> None:
    paper.add_reader("ben")
    paper.write("mole", expires_at=SEVEN)
    prepared = prepare(paper.press, DAY)
    assert prepared.printed is not None
    approve(paper.press, prepared.printed.record)
    with paper.database.writing() as connection:
        of_ada = deliveries.c.email_key == "ada@reader.example"
        connection.execute(update(deliveries).where(of_ada).values(state="accepted"))
    paper.now = SEVEN
    assert paper.send(prepare(paper.press, DAY)) == {State.ACCEPTED: 2}
    assert paper.readers() == ["ben"]


# -- special editions --------------------------------------------------------------------------


def test_a_special_edition_takes_the_briefs_that_are_named_and_no_other_has_them(
    paper: Paper,
) -> None:
    paper.add_reader("wendy", "weekly")
    for name in ("quay", "mole", "pier"):
        paper.write(name)
    ready = make_ready(paper.press, DAY)
    assert titles(ready) == ["mole", "pier", "quay"]
    named = (paper.brief_id("pier"), paper.brief_id("mole"))
    special = prepare(paper.press, DAY, kind="special", brief_ids=named)
    assert titles(special) == ["mole", "pier"]
    assert special.printed is not None
    assert count_audience(paper.press, special.printed) == 1
    special = prepare(paper.press, DAY, kind="special")
    assert titles(special) == ["mole", "pier"]
    assert ready.printed is not None
    with pytest.raises(IllegalMove):  # it is a draft again
        approve(paper.press, ready.printed.record)
    paper.send(special)
    (mail,) = paper.mails()
    assert mail["To"] == "Ada <ada@reader.example>"
    assert mail["Feedback-ID"] == "20261123:daily.news.example:special:newsexample"
    body = mail.get_body(("html",))
    assert body is not None
    assert "https://news.example/editions/2026-11-23-special" in body.get_content()
    paper.now = SEVEN
    daily = make_ready(paper.press, DAY)
    assert titles(daily) == ["quay"]
    paper.send(daily)
    site = paper.root / "site" / "editions"
    assert (site / "2026-11-23" / "briefs" / "1" / "index.html").is_file()
    page = (site / "2026-11-23-special" / "index.html").read_text()
    assert "/editions/2026-11-23-special/briefs/2" in page
    feed = json.loads((site / "feed.json").read_text())
    assert [item["url"].rpartition("/")[2] for item in feed["items"]] == [
        "2026-11-23",
        "2026-11-23-special",
    ]
    paper.now += 24 * HOUR
    tomorrow, taken = DAY + timedelta(days=1), (paper.brief_id("quay"),)
    with pytest.raises(RefusedError, match='"North Quay Reopens" was in another edition'):
        prepare(paper.press, tomorrow, kind="special", brief_ids=taken)


def test_a_special_edition_without_names_is_made_of_what_is_pinned(paper: Paper) -> None:
    paper.write("quay")
    with pytest.raises(RefusedError, match="no brief is named for a special edition"):
        prepare(paper.press, DAY, kind="special")
    paper.write("mole", pinned="true")
    assert titles(prepare(paper.press, DAY, kind="special")) == ["mole"]
    with pytest.raises(RefusedError, match="there is no brief 99"):
        prepare(paper.press, DAY, kind="special", brief_ids=(99,))
    paper.write("pier", not_before=SEVEN)
    prepare(paper.press, DAY)
    with pytest.raises(RefusedError, match="under embargo until 2026-11-23 07:00 UTC"):
        prepare(paper.press, DAY, kind="special", brief_ids=(paper.brief_id("pier"),))


def test_a_special_edition_that_nobody_sent_gives_its_briefs_to_the_next_day(
    paper: Paper,
) -> None:
    paper.write("mole", pinned="true")
    prepare(paper.press, DAY, kind="special")
    paper.write("quay")
    paper.send_daily(DAY)
    paper.now += 24 * HOUR
    assert titles(prepare(paper.press, DAY + timedelta(days=1))) == ["mole"]
    assert paper.state(DAY, "special") == "cancelled"


# -- the week's round-up -----------------------------------------------------------------------


def test_the_round_up_has_the_weeks_briefs_for_those_who_chose_it_and_had_them_not(
    paper: Paper,
) -> None:
    paper.add_reader("wendy", "weekly")
    paper.add_reader("bob", "both")
    paper.add_reader("bea", "both")
    paper.add_reader("dan", "daily")
    paper.write("quay")
    paper.send_daily(DAY)
    assert paper.readers() == ["ada", "bea", "bob", "dan"]
    paper.write("mole")
    paper.send_daily(DAY + timedelta(days=1))
    with paper.database.writing() as connection:  # one copy did not reach Bea
        newest = list_editions(connection, 1)[0]
        of_bea = deliveries.c.email_key == "bea@reader.example"
        mine = (deliveries.c.edition_id == newest.id, of_bea)
        connection.execute(update(deliveries).where(*mine).values(state="failed"))
    paper.mails()
    paper.write("pier")  # in no edition yet

    saturday = DAY + timedelta(days=5)
    paper.now = SEVEN + timedelta(days=5)
    prepared = prepare(paper.press, saturday, kind="weekly")
    assert titles(prepared) == ["mole", "quay"]
    assert prepared.printed is not None
    assert count_audience(paper.press, prepared.printed) == 2
    assert paper.send(prepared) == {State.ACCEPTED: 2}
    mails = {str(mail["To"]).split()[0]: mail for mail in paper.mails()}
    assert mails.keys() == {"Wendy", "Bea"}, "Bob was sent all of it before"
    texts = {name: mail.get_body(("plain",)) for name, mail in mails.items()}
    assert all(text is not None for text in texts.values())
    told = {name: text.get_content() for name, text in texts.items() if text is not None}
    assert "Council Buys Old Mole" in told["Wendy"]
    assert "North Quay Reopens" in told["Wendy"]
    assert "Council Buys Old Mole" in told["Bea"]
    assert "North Quay Reopens" not in told["Bea"], "she had that on Monday"
    assert "https://news.example/editions/2026-11-28-weekly" in told["Bea"]
    assert (paper.root / "site" / "editions" / "2026-11-28-weekly" / "index.html").is_file()

    with paper.database.reading() as connection:
        record = find_edition(connection, saturday, "weekly")
        assert record is not None
        absent = {
            name: tell_story(connection, f"{name}@reader.example", [record], pseudonyms=NOBODY)
            .chapters[0]
            .absence
            for name in ("bob", "dan", "ada")
        }
    assert absent["bob"].startswith("had been sent all that the round-up tells again; ")
    assert absent["dan"].startswith("did not choose the week's round-up; ")
    assert absent["ada"].startswith("did not choose the week's round-up; ")

    # A week later: nothing that a round-up has told comes again.
    paper.send_daily(saturday + timedelta(days=1))
    paper.now = SEVEN + timedelta(days=12)
    assert titles(prepare(paper.press, saturday + timedelta(days=7), kind="weekly")) == ["pier"]


def test_without_anything_told_there_is_no_round_up(paper: Paper) -> None:
    paper.write("quay")
    prepared = prepare(paper.press, DAY, kind="weekly")
    assert (prepared.composed.outcome, prepared.printed) == ("nothing_new", None)
    assert paper.state(DAY, "weekly") == ""


def test_a_round_up_that_nobody_chose_is_not_approved(paper: Paper) -> None:
    paper.write("quay")
    paper.send_daily(DAY)
    paper.now += HOUR
    prepared = prepare(paper.press, DAY, kind="weekly")
    assert prepared.printed is not None
    with pytest.raises(RefusedError, match="the round-up has no reader who chose it"):
        approve(paper.press, prepared.printed.record)
    assert paper.state(DAY, "weekly") == "draft"
