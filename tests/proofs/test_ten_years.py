"""Years of daily editions: every brief is in exactly one, whatever clocks and people do.

A folder that files come into, the real gathering, desk and shelf over a real database, and a
world around them in which days are missed, sources fail, editions are held, made twice, never
approved, cancelled, or made up for afterwards, processes start anew, and the machine's clock is
set forward and back by up to 30 hours for days. The zones are those of New York and Berlin, and
Lord Howe's, whose summer is half an hour long. In New York most days of the autumn, or of all the
years, have an evening edition too.

By default two weeks around each change of each zone's clock. The whole form, ten years of each
zone, takes some minutes and says what it did:

    NEWSLETTER_TEST_YEARS=10 pytest -s tests/proofs/test_ten_years.py
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from newsletter.briefs.gather import SourceReport, gather_sources
from newsletter.editions.candidates import find_barred
from newsletter.editions.desk import Composed, compose_edition
from newsletter.editions.shelf import change_state, find_edition, list_editions, load_content
from newsletter.editions.window import local_date
from newsletter.settings import Settings
from newsletter.store import Database, open_database
from newsletter.store.tables import briefs, edition_briefs, editions

YEARS = int(os.environ.get("NEWSLETTER_TEST_YEARS", "0"))
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LOOKBACK = 3 * DAY
MOST_LATE = 36 * HOUR
MOST_WRONG = 30 * HOUR  # with MOST_LATE less than LOOKBACK: else what is wrong looks old
SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ha", "ke", "li", "mo", "nu", "pa", "re", "si", "to")
NOTHING = SourceReport(name="briefs", status="failed", error="there is no such folder")


def spans() -> Iterator[tuple[str, date, int]]:
    """Give the zones, and from when on how many days are told."""
    for zone, changes in (
        ("America/New_York", (date(2026, 3, 8), date(2026, 11, 1))),
        ("Europe/Berlin", (date(2026, 3, 29), date(2026, 10, 25))),
        ("Australia/Lord_Howe", (date(2026, 4, 5), date(2026, 10, 4))),
    ):
        if YEARS:
            yield zone, date(2026, 1, 1), round(YEARS * 365.25)
        else:
            yield from ((zone, change - 7 * DAY, 14) for change in changes)


@dataclass(slots=True, kw_only=True)
class Item:
    """A brief of the world, by its title."""

    kind: str
    not_before: datetime | None = None
    expires_at: datetime | None = None


@dataclass(slots=True)
class World:
    """A publication, its clock, and everything that happens to it."""

    root: Path
    zone: ZoneInfo
    rng: random.Random
    now: datetime
    """What the clock should say."""
    has_evenings: bool = False
    error: timedelta = timedelta()
    right_again_at: datetime | None = None
    database: Database = field(init=False)
    settings: Settings = field(init=False)
    items: dict[str, Item] = field(default_factory=dict)
    lying: dict[Path, datetime] = field(default_factory=dict)
    """The files in the folder, and since when."""
    listed: dict[str, set[str]] = field(default_factory=dict)
    """What the desk said of what it did not take, by title."""
    did: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        (self.root / "briefs").mkdir()
        self.settings = Settings.model_validate(
            {
                "publication": {
                    "sender": "Harbor Daily <daily@news.example>",
                    "list_id": "daily.news.example",
                    "url": "https://news.example",
                    "timezone": self.zone.key,
                },
                "sources": [{"kind": "folder", "path": "briefs"}],
                "editions": [{"name": "evening", "gather_at": "16:30", "send_at": "17:00"}],
                "edition": {"lookback": LOOKBACK, "max_briefs": 60},
                "root": self.root,
            }
        )
        self.open()

    def open(self) -> None:
        self.database = open_database(
            f"sqlite:///{self.root / 'newsletter.db'}", durability="process"
        )

    def restart(self) -> None:
        self.did["restarts"] += 1
        self.database.close()
        self.open()

    @property
    def clock(self) -> datetime:
        """What the machine's clock says."""
        return self.now + self.error

    # -- what comes in -------------------------------------------------------------------------

    def write(self, making: datetime) -> None:
        """Put a file into the folder; `making` is when the edition will be made."""
        rng = self.rng
        kind = rng.choices(
            ("ordinary", "late", "future", "undated", "embargoed", "expiring", "exact", "old"),
            (50, 15, 8, 8, 8, 6, 4, 3),
        )[0]
        published: datetime | None = self.now - rng.random() * 8 * HOUR
        lines = []
        item = Item(kind=kind)
        assert published is not None
        match kind:
            case "late":
                published = self.now - rng.uniform(8, 36) * HOUR
            case "future":
                published = self.now + rng.random() * 3 * DAY
            case "undated":
                published = None
            case "embargoed":
                # Most for days, some for longer than anything is looked back for.
                item.not_before = self.now + rng.choice((3, 3, 3, 50)) * rng.random() * DAY
            case "expiring":
                item.expires_at = self.now + rng.random() * 3 * DAY
                if rng.random() < 0.3:
                    item.not_before = self.now + rng.random() * 2 * DAY
            case "exact":
                published = making
            case "old":
                published = self.now - rng.uniform(8, 40) * DAY
        for name, moment in (
            ("published_at", published),
            ("not_before", item.not_before),
            ("expires_at", item.expires_at),
        ):
            if moment:
                lines.append(f"{name}: {moment.isoformat()}")
        title, summary = self.words(5).capitalize(), self.words(14).capitalize()
        assert title not in self.items
        self.items[title] = item
        path = self.root / "briefs" / f"{len(self.items)}.txt"
        head = "---\n" + "\n".join(lines) + "\n---\n" if lines else ""
        path.write_text(f"{head}{title}\n\n{summary}.\n")
        # A file's time counts for what says none; one of tomorrow counts as first seen.
        touched = self.now + (DAY if rng.random() < 0.5 else timedelta())
        os.utime(path, (touched.timestamp(), touched.timestamp()))
        self.lying[path] = self.now

    def words(self, count: int) -> str:
        words = (
            "".join(self.rng.choices(SYLLABLES, k=self.rng.randint(2, 4))) for _ in "x" * count
        )
        return " ".join(words)

    def gather(self) -> tuple[SourceReport, ...]:
        reports = gather_sources(self.database, self.settings, now=self.clock)
        for path, since in list(self.lying.items()):
            if self.now - since > DAY:  # somebody tidies up what is used
                path.unlink()
                del self.lying[path]
        return reports

    # -- editions ------------------------------------------------------------------------------

    def compose(self, day: date, reports: tuple[SourceReport, ...], kind: str) -> Composed:
        composed = compose_edition(
            self.database, self.settings, day=day, now=self.clock, reports=reports, kind=kind
        )
        self.did[composed.outcome] += 1
        for fate in composed.fates:
            self.listed.setdefault(fate.candidate.brief.title, set()).add(fate.place)
        return composed

    def make(self, day: date, *, plainly: bool = False, kind: str = "daily") -> None:
        """Make the edition of a day as far as this time it goes; `plainly`: and send it."""
        rng = self.rng
        if not plainly and rng.random() < 0.03:
            self.compose(day, (NOTHING,), kind)
            return
        reports = self.gather()
        if rng.random() < 0.8:
            self.now += timedelta(seconds=1)  # else one reading of the clock serves both
        composed = self.compose(day, reports, kind)
        if not plainly and rng.random() < 0.3:  # made early, and again at its time
            self.now += HOUR
            composed = self.compose(day, self.gather(), kind)
        record = composed.record
        if record is None or composed.edition is None or composed.existing:
            self.did["existing"] += composed.existing
            return
        if not plainly and rng.random() < 0.05:
            self.did["never approved"] += 1
            return
        self.now += rng.random() * timedelta(minutes=40)
        if rng.random() < 0.02:
            self.restart()
        with self.database.writing() as connection:
            barred = find_barred(connection, record.id, self.clock)
        if barred:  # as a refused approval has it made again
            self.did["barred"] += 1
            composed = self.compose(day, self.gather(), kind)
            if composed.record is None or composed.edition is None:
                return
            record = composed.record
        told = composed.edition.briefs if composed.edition else ()
        with self.database.writing() as connection:
            change_state(connection, record.id, "ready", now=self.clock)
            change_state(connection, record.id, "approved", now=self.clock)
            if not plainly and rng.random() < 0.02:
                self.did["cancelled"] += 1
                change_state(connection, record.id, "cancelled", now=self.clock)
                return
            change_state(connection, record.id, "sending", now=self.clock)
            change_state(connection, record.id, "sent", now=self.clock)
        self.did["sent" if kind == "daily" else f"sent in the {kind}"] += 1
        for brief in told:
            assert brief.not_before is None or brief.not_before <= record.window.cut_off
            assert brief.expires_at is None or brief.expires_at > self.clock

    def make_up(self) -> None:
        """Make the edition of a day that was missed, if one was."""
        day = local_date(self.clock, self.zone) - self.rng.randint(1, 4) * DAY
        with self.database.reading() as connection:
            found = find_edition(connection, day)
        if found is None:
            self.did["made up"] += 1
            self.make(day)

    def set_clock(self) -> None:
        """Let the clock go wrong, or right again."""
        if self.right_again_at is None:
            if self.rng.random() < 0.08:
                self.error = self.rng.choice((-1, 1)) * self.rng.random() * MOST_WRONG
                self.right_again_at = self.now + self.rng.uniform(0.5, 4) * DAY
                self.did["clock forward" if self.error > timedelta() else "clock back"] += 1
        elif self.now >= self.right_again_at:
            self.error, self.right_again_at = timedelta(), None

    def live(self, first: date, days: int) -> None:
        for number in range(days):
            morning = datetime.combine(first + number * DAY, time(6), self.zone).astimezone(UTC)
            making = morning + self.rng.randrange(3600) * timedelta(seconds=1)
            for moment in sorted(
                making - self.rng.random() * DAY for _ in range(self.rng.randint(0, 7))
            ):
                self.now = max(self.now, moment)
                self.write(making)
            self.now = max(self.now, making)
            if 3 < number < days - 1:
                self.set_clock()
            if number > 0 and self.rng.random() < 0.1:
                self.did["missed"] += 1
                continue
            self.make(local_date(self.clock, self.zone), plainly=number == 0)
            if self.has_evenings and number > 0 and self.rng.random() < 0.8:
                evening = making + 10 * HOUR
                for _ in range(self.rng.randint(0, 4)):
                    self.now += self.rng.random() * 2 * HOUR
                    self.write(evening)
                self.now = max(self.now, evening)
                self.make(local_date(self.clock, self.zone), kind="evening")
            if number > 7 and self.rng.random() < 0.1:
                self.make_up()
        self.error = timedelta()
        for _ in range(12):  # whatever waits comes out
            self.now += 7 * DAY
            self.make(local_date(self.clock, self.zone), plainly=True)

    # -- the reckoning -------------------------------------------------------------------------

    def check(self) -> str:
        told: Counter[str] = Counter()
        with self.database.reading() as connection:
            rows = connection.execute(
                select(briefs.c.document, edition_briefs.c.position, edition_briefs.c.series)
                .join_from(briefs, edition_briefs)
                .join(editions)
                .where(editions.c.state == "sent")
            ).all()
            claimed = Counter((row.document["title"], row.series) for row in rows)
            taken = {row.document["title"] for row in rows}
            for record in list_editions(connection, 10**6):
                if record.state == "sent":
                    content = load_content(connection, record.id)
                    told.update(brief.title for brief in content.briefs)
        assert told == Counter(row.document["title"] for row in rows if row.position is not None)
        assert max(claimed.values()) == 1, "in two editions of a series"
        lost = {title: item for title, item in self.items.items() if title not in taken}
        for title, item in lost.items():
            if item.kind == "expiring":
                assert "expired" in self.listed[title]
            else:
                assert (item.kind, "too_old" in self.listed[title]) == ("old", True), (title, item)
        unsent = Counter(item.kind for item in lost.values())
        return (
            f"{self.zone.key}: {self.did['sent']} editions sent, "
            f"{self.did['sent in the evening']} of an evening, {len(self.items)} briefs "
            f"({dict(Counter(item.kind for item in self.items.values()))}): {len(taken)} in "
            f"exactly one edition each; {unsent['expiring']} expired and {unsent['old']} old, "
            f"each listed; {dict(self.did)}"
        )


@pytest.mark.parametrize(("zone", "first", "days"), list(spans()))
def test_every_brief_is_in_exactly_one_edition(
    tmp_path: Path, zone: str, first: date, days: int
) -> None:
    begins = datetime.combine(first - DAY, time(6), ZoneInfo(zone)).astimezone(UTC)
    world = World(tmp_path, ZoneInfo(zone), random.Random(f"{zone} {first}"), begins)
    world.has_evenings = zone == "America/New_York" and (YEARS > 0 or first.month > 6)
    try:
        world.live(first, days)
        said = world.check()
    finally:
        world.database.close()
    print(f"\n{said}")
