"""What one edition owes to the next: promises, stories that return, and corrections.

The whole way over a real database and a folder for a relay; that one story goes on is said by
hand here, since how it is found is not what is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from newsletter.audience.reader import Choices
from newsletter.audience.suppression import suppress
from newsletter.delivery.inquiry import tell_story
from newsletter.delivery.lifecycle import State
from newsletter.editions import desk as editions_desk
from newsletter.editions.compose import Draft
from newsletter.editions.compose import compose as compose_draft
from newsletter.editions.corrections import (
    Severity,
    find_wrong,
    list_corrections,
    store_correction,
)
from newsletter.editions.promises import list_promises, settle_promise
from newsletter.editions.shelf import change_state, find_edition, list_editions, load_content
from newsletter.errors import RefusedError, TemporaryError
from newsletter.press import Press, Printed
from newsletter.press.afterwards import copy_of
from newsletter.press.approving import approve, count_audience
from newsletter.press.site import write_web
from newsletter.publish import make_ready, prepare, prepare_correction, publish
from newsletter.settings import FurtherEdition
from newsletter.store.audit import Actor
from newsletter.store.tables import corrections, deliveries, edition_briefs, editions, subscribers
from tests.acceptance.project import BRIEF
from tests.databases import open_new_database
from tests.integration.test_edition_kinds import DAY, HOUR, NOBODY, STORIES, Paper

TUESDAY, WEDNESDAY = DAY + timedelta(days=1), DAY + timedelta(days=2)
WATCH = "- What to Watch Next\n- The harbor board votes on Thursday.\n- Who Benefits\n"


class Desk(Paper):
    """A publication whose stories go on as told: by the names of their files."""

    def write(self, name: str, **said: object) -> None:
        """Write a brief with every part, whose own words are its name."""
        lines = {"published_at": self.now - HOUR} | said
        head = "".join(
            f"{key}: {value.isoformat() if isinstance(value, datetime) else value}\n"
            for key, value in lines.items()
        )
        text = BRIEF.format(title=f"News of the {name}").replace("quay", name)
        (self.root / "briefs" / f"{name}.txt").write_text(f"---\n{head}---\n{text}\n")

    def watch(self, name: str, **said: object) -> None:
        self.write(name, **said)
        path = self.root / "briefs" / f"{name}.txt"
        path.write_text(path.read_text().replace("- Who Benefits\n", WATCH))

    def correct(self, severity: Severity, text: str, day: date = DAY, number: int = 1) -> int:
        with self.database.writing() as connection:
            wrong = find_wrong(connection, day, "daily", number)
            return store_correction(
                connection, wrong, severity, text, by=Actor(who="ada"), now=self.now
            )

    def prepare_correction(self, text: str) -> Printed:
        with self.database.reading() as connection:
            wrong = find_wrong(connection, DAY, "daily", 1)
        return prepare_correction(self.press, wrong, text)

    def prepare_daily(self, day: date) -> Printed:
        self.now = datetime(day.year, day.month, day.day, 7, tzinfo=UTC)
        printed = prepare(self.press, day).printed
        assert printed is not None
        return printed

    def carried(self, number: int) -> str:
        with self.database.reading() as connection:
            return next(c.carried_in for c in list_corrections(connection) if c.id == number)

    def texts(self) -> dict[str, str]:
        """Give what each mail says in both its parts, by reader; the outbox is empty then."""
        return {str(m["To"]).split("@")[0].split("<")[-1]: read(m) for m in self.mails()}


def read(mail: EmailMessage) -> str:
    parts = [part for part in mail.walk() if part.get_content_maintype() == "text"]
    return "\n".join(str(part.get_content()) for part in parts)


@pytest.fixture
def paper(tmp_path: Path) -> Iterator[Desk]:
    database = open_new_database(tmp_path / "newsletter.db")
    yield Desk(tmp_path, database)
    database.close()


@pytest.fixture
def goes_on(paper: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every brief called "quay…" go on with the story of the first of that name."""

    def compose(*arguments: object, **named: object) -> Draft:
        draft = compose_draft(*arguments, **named)  # type: ignore[arg-type]
        with paper.database.reading() as connection:
            story = connection.scalar(
                select(edition_briefs.c.story_id)
                .join(editions, editions.c.id == edition_briefs.c.edition_id)
                .where(editions.c.dated_at.is_not(None))
                .where(edition_briefs.c.brief_id == paper.brief_id("quay"))
                .where(edition_briefs.c.series == "news")
            )
        returns = [story if "quay" in brief.title else None for brief in draft.edition.briefs]
        return Draft(
            edition=draft.edition,
            brief_ids=draft.brief_ids,
            also_ids=draft.also_ids,
            story_ids=tuple(returns),
            fates=draft.fates,
            remarks=draft.remarks,
        )

    monkeypatch.setattr(editions_desk, "compose", compose)


# -- promises, and stories that return -------------------------------------------------------------


def open_texts(paper: Desk, day: date = DAY) -> list[str]:
    with paper.database.reading() as connection:
        return [each.text for each in list_promises(connection, day)]


def states(paper: Desk) -> list[tuple[str, str]]:
    with paper.database.reading() as connection:
        found = list_promises(connection, DAY, with_settled=True)
    return [(each.state, each.news) for each in found]


def test_what_happened_is_told_in_the_next_edition_of_the_kind_that_promised_it(
    paper: Desk,
) -> None:
    evening = FurtherEdition(name="evening", gather_at=time(16, 30), send_at=time(17))
    settings = paper.press.settings.model_copy(update={"editions": (evening,)})
    paper.press = replace(paper.press, settings=settings)
    paper.add_reader("ada")
    paper.watch("quay")
    paper.send_daily(DAY)
    with paper.database.writing() as connection:
        (promise,) = list_promises(connection, DAY)
        by = Actor(who="ada")
        settle_promise(connection, promise.id, "happened", news="Passed.", by=by, now=paper.now)
    paper.now += 10 * HOUR
    paper.write("mole")
    printed = prepare(paper.press, DAY, kind="evening").printed
    assert printed is not None
    assert printed.edition.watching == ()
    assert [each.news for each in paper.prepare_daily(TUESDAY).edition.watching] == ["Passed."]


def test_what_moved_is_told_by_each_series_and_once_to_who_takes_both(
    paper: Desk, goes_on: None
) -> None:
    evening = FurtherEdition(name="evening", gather_at=time(16, 30), send_at=time(17))
    settings = paper.press.settings.model_copy(update={"editions": (evening,)})
    paper.press = replace(paper.press, settings=settings)
    for name in ("ada", "bea"):
        paper.add_reader(name)
    with paper.database.writing() as connection:
        both = Choices(editions=("evening",)).to_document()
        of_bea = subscribers.c.email_key == "bea@reader.example"
        connection.execute(update(subscribers).where(of_bea).values(choices=both))
    paper.watch("quay")
    paper.send_daily(DAY)
    told: dict[str, list[str]] = {"ada": [], "bea": []}
    for day, name in ((DAY, "mole"), (TUESDAY, "quay-vote")):
        paper.now = datetime(day.year, day.month, day.day, 17, tzinfo=UTC)
        paper.write(name)
        paper.send(prepare(paper.press, day, kind="evening"))
        if day == DAY:  # promised by two series, and listed once
            assert open_texts(paper) == ["The harbor board votes on Thursday."]
        paper.now += timedelta(hours=13)
        paper.send(prepare(paper.press, paper.now.date()))
        for reader, text in paper.texts().items():
            told[reader].append(text)
    assert [sum("Still watching" in text for text in texts) for texts in told.values()] == [1, 1]
    assert "Still watching" in told["ada"][-1]
    with paper.database.reading() as connection:
        found = [find_edition(connection, day) for day in (TUESDAY, WEDNESDAY)]
        (absence, _) = [
            chapter.absence
            for chapter in tell_story(
                connection,
                "bea@reader.example",
                [record for record in found if record],
                pseudonyms=NOBODY,
            ).chapters
        ]
    assert absence.startswith("had been sent all that it tells by other editions; ")


def test_a_promise_moves_when_its_story_goes_on_and_that_is_told_once(
    paper: Desk, goes_on: None
) -> None:
    paper.add_reader("ada")
    paper.watch("quay")
    paper.prepare_daily(DAY)
    assert open_texts(paper) == []  # nobody has been told anything yet
    paper.send_daily(DAY)
    assert open_texts(paper) == ["The harbor board votes on Thursday."]
    assert "Still watching" not in paper.texts()["ada"]

    paper.now += timedelta(hours=20)
    paper.write("quay-vote", update="The vote is now on Friday.")
    printed = paper.prepare_daily(TUESDAY)
    (watched,) = printed.edition.watching
    assert (watched.outcome, watched.day, watched.number) == ("moved", DAY, 1)
    assert [s for s, _ in states(paper)] == ["open"]  # a draft settles nothing
    paper.send_daily(TUESDAY)
    (said,) = paper.texts().values()
    assert said.count("Still watching") == 2  # once in each part
    assert said.count("The harbor board votes on Thursday.") == 2
    assert said.count("The vote is now on Friday.") == 2
    assert f"https://news.example/editions/{DAY}/briefs/1" in said
    assert states(paper) == [("moved", printed.edition.briefs[0].title)]

    paper.now += timedelta(hours=20)
    paper.write("quay-done")
    paper.send_daily(WEDNESDAY)
    (said,) = paper.texts().values()
    assert "Still watching" not in said
    assert said.count("We told of it before:") == 2
    assert f"https://news.example/editions/{TUESDAY}/briefs/1" in said


def test_what_an_edition_promised_and_moved_is_undone_with_it(paper: Desk, goes_on: None) -> None:
    paper.add_reader("ada")
    paper.watch("quay")
    paper.send_daily(DAY)
    paper.now += timedelta(hours=20)
    paper.watch("quay-vote")
    printed = paper.prepare_daily(TUESDAY)
    approve(paper.press, printed.record)
    assert [s for s, _ in states(paper)] == ["moved", "open"]
    with paper.database.writing() as connection:
        change_state(connection, printed.record.id, "cancelled", now=paper.now)
    assert states(paper) == [("open", "")]


def test_only_an_operator_says_that_something_happened(paper: Desk) -> None:
    paper.add_reader("ada")
    paper.watch("harbor")
    paper.send_daily(DAY)
    paper.mails()
    with paper.database.writing() as connection:
        news = "The board said yes."
        settle_promise(connection, 1, "happened", news=news, by=Actor(who="ada"), now=paper.now)
        with pytest.raises(RefusedError, match="settled already: happened"):
            settle_promise(connection, 1, "expired", news="", by=Actor(who="ada"), now=paper.now)
        with pytest.raises(RefusedError, match="there is no promise 7"):
            settle_promise(connection, 7, "expired", news="", by=Actor(who="ada"), now=paper.now)
    for day, times in ((TUESDAY, 2), (WEDNESDAY, 0)):
        paper.now += timedelta(hours=20)
        paper.write(f"news-{day.day}")
        paper.send_daily(day)
        (said,) = paper.texts().values()
        assert said.count("The board said yes.") == times


@pytest.mark.parametrize("told", [0, 1])
def test_what_came_to_nothing_is_passed_over_unless_it_is_asked_for(paper: Desk, told: int) -> None:
    rules = paper.press.settings.edition
    edition = rules.model_copy(update={"watch_days": 1, "expired_watched": told})
    settings = paper.press.settings.model_copy(update={"edition": edition})
    paper.press = Press(settings, paper.database, lambda: paper.now)
    paper.add_reader("ada")
    paper.watch("harbor")
    paper.send_daily(DAY)
    paper.mails()
    assert open_texts(paper, TUESDAY)
    assert not open_texts(paper, WEDNESDAY)
    days = (TUESDAY, WEDNESDAY, WEDNESDAY + timedelta(days=1))
    for day, times, other in zip(days, (0, 2 * told, 0), STORIES, strict=False):
        paper.now += timedelta(hours=20)
        Paper.write(paper, other)  # about something else
        paper.send_daily(day)
        (said,) = paper.texts().values()
        assert said.count("Nothing came of it in time.") == times
    assert [s for s, _ in states(paper)] == ["expired"]


def test_an_update_without_an_earlier_edition_is_remarked_on(paper: Desk) -> None:
    paper.write("harbor", update="It moved.")
    paper.now = datetime(2026, 11, 23, 7, tzinfo=UTC)
    prepared = prepare(paper.press, DAY)
    assert any('update of "News of the harbor"' in each for each in prepared.composed.remarks)


# -- corrections -----------------------------------------------------------------------------------

TEXT = "The vote was five to four."


def send_the_wrong_one(paper: Desk) -> None:
    """Send Monday's edition to ada and bob; cleo joins after it."""
    for name in ("ada", "bob"):
        paper.add_reader(name)
    paper.write("harbor")
    paper.send_daily(DAY)
    paper.mails()
    paper.add_reader("cleo")
    paper.now += timedelta(hours=2)


def test_who_had_the_wrong_edition_is_told_once_and_nobody_else(paper: Desk) -> None:
    send_the_wrong_one(paper)
    number = paper.correct("normal", TEXT)
    paper.now += timedelta(hours=18)
    paper.write("news-24")
    paper.send_daily(TUESDAY)
    told = {name: said.count(TEXT) for name, said in paper.texts().items()}
    assert told == {"ada": 2, "bob": 2, "cleo": 0}
    assert paper.carried(number) == "2026-11-24"
    paper.now += timedelta(hours=20)
    paper.write("news-25")
    paper.send_daily(WEDNESDAY)
    assert not any(TEXT in said for said in paper.texts().values())


def test_a_run_that_was_killed_tells_everybody_once(paper: Desk) -> None:
    send_the_wrong_one(paper)
    paper.correct("normal", TEXT)
    paper.now += timedelta(hours=18)
    paper.write("news-24")
    printed = paper.prepare_daily(TUESDAY)
    approve(paper.press, printed.record)
    run = paper.press.ledger.take(printed.record.id, "dead 0-0 1|1|1", paper.now)
    leased = paper.press.ledger.lease(run, 1, paper.now)  # and then it dies
    assert len(leased.jobs) == 1
    paper.correct("normal", "The pier was the north one.")  # too late for this edition
    paper.now += timedelta(minutes=5)
    asyncio.run(publish(paper.press, prepare(paper.press, TUESDAY).printed or printed))
    told = {name: said.count(TEXT) for name, said in paper.texts().items()}
    assert told == {"ada": 2, "bob": 2, "cleo": 0}


def test_a_cancelled_edition_gives_its_correction_to_the_next(paper: Desk) -> None:
    send_the_wrong_one(paper)
    number = paper.correct("normal", TEXT)
    paper.now += timedelta(hours=18)
    paper.write("news-24")
    printed = paper.prepare_daily(TUESDAY)
    approve(paper.press, printed.record)
    assert paper.carried(number) == "2026-11-24"
    with paper.database.writing() as connection:
        change_state(connection, printed.record.id, "cancelled", now=paper.now)
    assert paper.carried(number) == ""
    paper.now += timedelta(hours=20)
    paper.send_daily(WEDNESDAY)
    assert {name for name, said in paper.texts().items() if TEXT in said} == {"ada", "bob"}


def test_no_two_editions_carry_the_same_correction(paper: Desk) -> None:
    send_the_wrong_one(paper)
    number = paper.correct("normal", TEXT)
    paper.now += timedelta(hours=18)
    paper.write("news-24")
    printed = paper.prepare_daily(TUESDAY)
    with paper.database.writing() as connection:
        connection.execute(update(corrections).values(carried_by=1))
    with pytest.raises(TemporaryError, match="another one carried meanwhile"):
        approve(paper.press, printed.record)
    with paper.database.reading() as connection:
        made = select(func.count()).where(deliveries.c.edition_id == printed.record.id)
        assert connection.scalar(made) == 0
    assert paper.carried(number) == "2026-11-23"


def test_an_edition_that_is_ready_is_made_anew_for_a_correction(paper: Desk) -> None:
    send_the_wrong_one(paper)
    paper.now += timedelta(hours=18)
    paper.write("news-24")
    paper.now = datetime(2026, 11, 24, 6, tzinfo=UTC)
    make_ready(paper.press, TUESDAY)
    paper.correct("normal", TEXT)
    prepared = make_ready(paper.press, TUESDAY)
    assert prepared.printed is not None
    assert [each.text for each in prepared.printed.edition.corrections] == [TEXT]


def test_a_severe_one_goes_to_exactly_those_at_once(paper: Desk) -> None:
    for name in ("ada", "bob", "dan", "eve", "finn"):
        paper.add_reader(name)
    paper.write("harbor")
    paper.send_daily(DAY)
    paper.mails()
    paper.add_reader("cleo")
    with paper.database.writing() as connection:
        found = find_edition(connection, DAY)
        assert found is not None
        of = {"dan": State.FAILED, "eve": State.IN_DOUBT}
        for name, state in of.items():
            connection.execute(
                update(deliveries)
                .where(deliveries.c.email_key == f"{name}@reader.example")
                .values(state=state.value)
            )
        suppress(connection, ["finn@reader.example"], "unsubscribed", paper.now)
    paper.now += timedelta(hours=2)
    printed = paper.prepare_correction(TEXT)
    assert printed.edition.subject == "Correction: News of the harbor"
    assert [finding for finding in printed.findings if finding.status == "fail"] == []
    assert count_audience(paper.press, printed) == 3
    assert paper.press.settings.web.folder
    done = asyncio.run(publish(paper.press, printed))
    assert done.is_sent
    texts = paper.texts()
    assert sorted(texts) == ["ada", "bob", "eve"]
    assert all(said.count(TEXT) >= 2 and "A quiet day" not in said for said in texts.values())
    with paper.database.reading() as connection:
        (made,) = list_corrections(connection)
    assert (made.severity, made.carried_in) == ("severe", "2026-11-23-correction")
    with pytest.raises(RefusedError, match="mailed already"):
        paper.prepare_correction("The vote was six to three.")
    paper.now += timedelta(hours=18)
    paper.write("news-24")
    paper.send_daily(TUESDAY)  # the next edition does not tell it again
    assert not any(TEXT in said for said in paper.texts().values())


def test_a_severe_one_waits_for_the_end_of_the_wrong_edition(paper: Desk) -> None:
    paper.add_reader("ada")
    paper.add_reader("bob")
    paper.write("harbor")
    printed = paper.prepare_daily(DAY)
    approve(paper.press, printed.record)
    with paper.database.writing() as connection:
        ada = deliveries.c.email_key == "ada@reader.example"
        connection.execute(update(deliveries).where(ada).values(state="accepted"))
    correction = paper.prepare_correction(TEXT)
    with pytest.raises(RefusedError, match="more readers are to be sent it"):
        approve(paper.press, correction.record)


def test_what_was_sent_stays_the_same_bytes(paper: Desk) -> None:
    send_the_wrong_one(paper)
    with paper.database.reading() as connection:
        found = find_edition(connection, DAY)
    assert found is not None
    before = copy_of(paper.press, found, "ada@reader.example")[1].content
    for severity in ("minor", "normal"):
        paper.correct(severity, TEXT)
    asyncio.run(publish(paper.press, paper.prepare_correction(TEXT)))
    assert copy_of(paper.press, found, "ada@reader.example")[1].content == before
    with paper.database.reading() as connection:
        assert load_content(connection, found.id).corrections == ()


def test_the_pages_and_the_feeds_say_it_with_its_date(paper: Desk) -> None:
    send_the_wrong_one(paper)
    site = paper.root / "site"
    page = site / f"editions/{DAY}/index.html"
    assert "Corrected:" not in page.read_text()
    feed = (site / "editions/atom.xml").read_text()
    paper.now += timedelta(hours=1)
    paper.correct("minor", TEXT)
    write_web(paper.press, site, day=DAY)
    for path in (page, site / f"editions/{DAY}/briefs/1/index.html"):
        html = path.read_text()
        assert html.count(TEXT) == 1
        assert '<time datetime="2026-11-23">' in html
        assert 'modified_time" content="2026-11-23T10:00:00Z"' in html
    corrected = (site / "editions/atom.xml").read_text()
    assert TEXT in corrected
    assert "<updated>2026-11-23T10:00:00Z</updated>" in corrected
    assert "<updated>2026-11-23T10:00:00Z</updated>" not in feed
    assert "<published>2026-11-23T07:00:00Z</published>" in corrected


def test_a_reader_s_story_says_what_they_were_owed(paper: Desk) -> None:
    send_the_wrong_one(paper)
    paper.correct("minor", "A comma was missing.")
    paper.correct("normal", TEXT)
    paper.now += timedelta(hours=18)
    paper.write("news-24")
    with paper.database.reading() as connection:
        story = tell_story(
            connection, "ada@reader.example", list_editions(connection, 9), pseudonyms=NOBODY
        )
    (owed,) = story.chapters[-1].corrections
    assert (owed.text, owed.carried_in, owed.state) == (TEXT, "", None)
    paper.send_daily(TUESDAY)
    for name, expected in (("ada", [("2026-11-24", State.ACCEPTED)]), ("cleo", [])):
        with paper.database.reading() as connection:
            story = tell_story(
                connection,
                f"{name}@reader.example",
                list_editions(connection, 9),
                pseudonyms=NOBODY,
            )
        told = [(o.carried_in, o.state) for c in story.chapters for o in c.corrections]
        assert told == expected


@pytest.mark.parametrize(
    ("day", "number", "said"), [(DAY, 9, "has no brief 9"), (TUESDAY, 1, "no reader has")]
)
def test_only_what_readers_have_can_be_corrected(
    paper: Desk, day: date, number: int, said: str
) -> None:
    send_the_wrong_one(paper)
    with pytest.raises(RefusedError, match=said):
        paper.correct("minor", TEXT, day, number)
