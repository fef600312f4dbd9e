"""Several `serve` on one database, with clocks that disagree: one edition a date, a copy a reader.

Three processes on PostgreSQL, two on a SQLite file, each with a clock of its own that is an hour
behind, right, or an hour ahead. They wake at the same moments of a simulated day, are started
anew and killed (-9) in the middle; days are missed, and some have no news. A relay counts what it
is handed. By default the days around New York's two changes of clocks; ten years, with

    NEWSLETTER_TEST_YEARS=10 pytest -s tests/proofs/test_keepers.py

And a person's "send now" against the schedule, at the same moment, again and again: one run.
`NEWSLETTER_TEST_RACES=10000` makes as many of it.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import multiprocessing
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, insert, select

from newsletter import schedule
from newsletter.delivery.ledger import Ledger
from newsletter.editions.shelf import change_state
from newsletter.errors import AlreadyRunning, IllegalMove, TemporaryError
from newsletter.press import Press
from newsletter.schedule import Keeper
from newsletter.settings import Settings
from newsletter.store import Database, open_database
from newsletter.store.tables import deliveries, editions, subscribers
from tests.acceptance.project import BRIEF
from tests.integration.editions import store_readers
from tests.integration.runs import Server

YEARS = float(os.environ.get("NEWSLETTER_TEST_YEARS", "0"))
RACES = int(os.environ.get("NEWSLETTER_TEST_RACES", "200"))
ZONE = ZoneInfo("America/New_York")
READERS = 3
HOUR = timedelta(hours=1)
SKEWS = (-HOUR, timedelta(0), HOUR)
SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ha", "ke", "li", "mo", "nu", "pa", "re", "si", "to")
_FORKING = multiprocessing.get_context("forkserver")
"""A process that is started from one that has read the program already is there at once."""
_FORKING.set_forkserver_preload([__name__])


def list_days() -> Iterator[date]:
    if YEARS:
        yield from (date(2026, 1, 1) + timedelta(days=n) for n in range(round(YEARS * 365.25)))
    else:
        for change in (date(2026, 3, 8), date(2026, 11, 1)):
            yield from (change + timedelta(days=n) for n in (-1, 0))


# -- one serve -------------------------------------------------------------------------------------


def keep(pipe: Pipe, document: dict[str, Any], url: str) -> None:
    """Be a `serve` that is woken by the pipe, with the time that its clock shows then."""
    schedule.RETRY_SECONDS = 0.05
    gc.set_threshold(10_000)  # as a run sets it, and pays for once: here it would for each of three
    moment = datetime.now(UTC)
    database = open_database(url, durability="process")
    press = Press(Settings.model_validate(document), database, lambda: moment)

    async def wake() -> None:
        keeper = Keeper(press)
        started = asyncio.Event()
        keeping = asyncio.create_task(keeper.keep(started.set))
        await started.wait()
        while keeper._tasks:  # noqa: ASYNC110 - seen from outside
            await asyncio.sleep(0.01)
        keeper.stop()
        await keeping

    with suppress(EOFError):
        while True:
            moment = pipe.recv()
            asyncio.run(wake())
            pipe.send("done")
    database.close()


@dataclass(slots=True)
class Serve:
    """One such process, seen from outside."""

    document: dict[str, Any]
    url: str
    skew: timedelta
    pipe: Pipe = field(init=False)
    process: Any = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.pipe, other = _FORKING.Pipe()
        self.process = _FORKING.Process(target=keep, args=(other, self.document, self.url))
        self.process.start()
        other.close()

    def wake(self, now: datetime) -> None:
        self.pipe.send(now + self.skew)

    def wait(self) -> None:
        assert self.pipe.poll(120), "it does not end"
        assert self.pipe.recv() == "done"

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


# -- the world around ------------------------------------------------------------------------------


@dataclass(slots=True)
class World:
    """A publication that several `serve` keep, and everything that happens to it."""

    root: Path
    url: str
    database: Database
    server: Server
    rng: random.Random
    processes: int
    serves: list[Serve] = field(default_factory=list)
    told: set[date] = field(default_factory=set)
    """The days that had news, and a machine that was on when it was time."""
    copies: set[str] = field(default_factory=set)
    did: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        (self.root / "briefs").mkdir()
        store_readers(self.database, READERS, datetime(2025, 12, 31, tzinfo=UTC))
        document = {
            "publication": {
                "sender": "Harbor Daily <daily@news.example>",
                "list_id": "daily.news.example",
                "url": "https://news.example",
                "timezone": ZONE.key,
                "postal_address": "14 Quay Street",
            },
            "sources": [{"kind": "folder", "path": "briefs"}],
            "edition": {"browser_checks": False},
            "delivery": {"relay": self.server.url, "connections": 2},
            "secret_key": "k" * 40,
            "root": self.root,
        }
        self.serves = [Serve(document, self.url, SKEWS[n % 3]) for n in range(self.processes)]

    def live(self, day: date) -> None:
        """Let a day pass."""
        if self.rng.random() < 0.9:
            self.write_brief(day)
            has_news = True
        else:
            has_news = False
        if self.rng.random() < 0.08:
            self.did["days off"] += 1
            for serve in self.serves:
                serve.skew = self.rng.choice(SKEWS)
            return
        midnight = datetime.combine(day, datetime.min.time(), tzinfo=ZONE)
        for minutes in (*sorted(self.rng.sample(range(330, 480), 2)), self.rng.randrange(490, 720)):
            now = (midnight + timedelta(minutes=minutes)).astimezone(UTC)
            self.wake_all(now)
        if has_news:
            self.told.add(day)
        self.count_copies()

    def wake_all(self, now: datetime) -> None:
        for serve in self.serves:
            serve.wake(now)
        doomed = self.rng.choice(self.serves) if self.rng.random() < 0.1 else None
        if doomed:
            time.sleep(self.rng.random() * 0.6)
            doomed.kill()
            self.did["kills"] += 1
        for serve in self.serves:
            if serve is not doomed:
                serve.wait()
        if doomed:
            doomed.start()
            doomed.wake(now)
            doomed.wait()
        elif self.rng.random() < 0.1:
            again = self.rng.choice(self.serves)
            again.kill()
            again.start()
            self.did["restarts"] += 1

    def write_brief(self, day: date) -> None:
        for old in (self.root / "briefs").glob("*.txt"):
            old.unlink()  # read long ago; without it ten years would be read each day
        words = ["".join(self.rng.choices(SYLLABLES, k=3)).capitalize() for _ in range(40)]
        text = BRIEF.format(title=" ".join(words[:6])).replace("The harbor", " ".join(words[6:]))
        path = self.root / "briefs" / f"{day}.txt"
        path.write_text(text.replace("had\nbeen", "had been"))
        moment = datetime.combine(day, datetime.min.time(), tzinfo=ZONE).timestamp() + 3 * 3600
        os.utime(path, (moment, moment))

    def count_copies(self) -> None:
        """See that no copy came twice, and keep no more of each than its hash."""
        for reader, contents in self.server.contents.items():
            came = {f"{reader} {hashlib.sha256(content).hexdigest()}" for content in contents}
            assert self.server.kept[reader] == len(came), f"{reader} got a copy twice"
            assert not came & self.copies, f"{reader} got a copy again"
            self.copies |= came
        self.server.contents.clear()
        self.server.kept.clear()

    def check(self) -> str:
        """See that each date has one edition, and each reader at most one copy of it."""
        with self.database.reading() as connection:
            found = connection.execute(
                select(editions.c.id, editions.c.date, editions.c.kind, editions.c.state)
            ).all()
            states: dict[tuple[int, str], int] = {
                (row[0], row[1]): row[2]
                for row in connection.execute(
                    select(deliveries.c.edition_id, deliveries.c.state, func.count()).group_by(
                        deliveries.c.edition_id, deliveries.c.state
                    )
                )
            }
        days = Counter(row.date for row in found)
        assert set(days.values()) == {1}
        assert {row.kind for row in found} == {"daily"}
        sent = {row.date: row.id for row in found if row.state == "sent"}
        assert self.told <= set(sent), sorted(self.told - set(sent))
        accepted = sum(n for (_, state), n in states.items() if state == "accepted")
        doubted = sum(n for (_, state), n in states.items() if state == "in_doubt")
        assert accepted + doubted == READERS * len(sent) == sum(states.values())
        assert accepted <= len(self.copies) <= accepted + doubted
        assert doubted <= 2 * self.did["kills"], "more than one a connection that died"
        return f"{len(sent)} editions, {len(self.copies)} copies, {doubted} in doubt, {self.did}"


@pytest.mark.parametrize(("processes", "kind"), [(2, "sqlite"), (3, "postgres")])
def test_many_serve_one_publication(
    tmp_path: Path, request: pytest.FixtureRequest, processes: int, kind: str
) -> None:
    if kind == "postgres":
        from tests.postgres import open_schema

        with open_schema(request.getfixturevalue("postgres_url")) as url:
            live_through(tmp_path, url, processes)
    else:
        live_through(tmp_path, f"sqlite:///{tmp_path / 'newsletter.db'}", processes)


def live_through(root: Path, url: str, processes: int) -> None:
    database = open_database(url, durability="process")
    with Server() as server:
        world = World(root, url, database, server, random.Random(7), processes)
        try:
            for day in list_days():
                world.live(day)
            print(f"\n{processes} serve: {world.check()}")
        finally:
            for serve in world.serves:
                serve.kill()
            database.close()


def test_send_now_races_the_schedule_and_there_is_one_run(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'newsletter.db'}"
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    sides = [open_database(url, durability="process") for _ in range(2)]
    store_readers(sides[0], 2, now)
    runs: list[Counter[str]] = []
    for number in range(RACES):
        with sides[0].writing() as connection:
            edition_id = connection.execute(
                insert(editions)
                .values(
                    date=date(1970, 1, 1) + timedelta(days=number),
                    state="ready",
                    window_start=now,
                    cut_off=now,
                    created_at=now,
                )
                .returning(editions.c.id)
            ).scalar_one()
        runs.append(race(sides, edition_id, now))
    assert {run["approved"] for run in runs} == {1}
    assert {run["taken"] for run in runs} == {1}
    assert len({run["winner"] for run in runs}) == 2 or RACES < 50, "one side always won"
    with sides[0].reading() as connection:
        audience = connection.scalar(select(func.count()).select_from(subscribers))
        rows = connection.scalar(select(func.count()).select_from(deliveries))
    assert rows == (audience or 0) * RACES
    for side in sides:
        side.close()


def race(sides: list[Database], edition_id: int, now: datetime) -> Counter[str]:
    """Let a person and the schedule approve and take an edition at the same moment."""
    came: Counter[str] = Counter()
    start = threading.Barrier(len(sides))

    def go(number: int) -> None:
        database = sides[number]
        start.wait()
        with suppress(IllegalMove, TemporaryError):
            with database.writing() as connection:
                change_state(connection, edition_id, "approved", now=now)
                Ledger.enrol(connection, edition_id, now)
            came["approved"] += 1
        with suppress(AlreadyRunning):
            # Of another machine each: nobody can see whether the other lives.
            Ledger(database).take(edition_id, f"1@machine{number}", now)
            came["taken"] += 1
            came["winner"] = number

    threads = [threading.Thread(target=go, args=(number,)) for number in range(len(sides))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return came
