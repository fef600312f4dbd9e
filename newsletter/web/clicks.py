"""Counts how often links are followed, and not by whom.

A click waits for some seconds before it counts: who follows several links of an edition within
them is a program that follows all, and none of its clicks counts. Nor does a second click of one
network and browser on a link in a day. Networks and browsers are told apart by a keyed hash; key
and hashes are in memory alone, and both are gone when the day is (UTC), or the process.

What has waited is added to the figures in the database once a second, so a burst is one write.
Whoever ends the process in order loses nothing; a crash loses what waits: the last seconds.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from newsletter.delivery.interest import Followed, add_clicks, find_first_tried
from newsletter.errors import NewsletterError
from newsletter.press.rounds import going_round
from newsletter.store import Database

log = logging.getLogger("newsletter.web")

WAITS = timedelta(seconds=10)
"""How long a click waits before it counts."""
SEVERAL = 3
"""Who follows so many links of an edition within that time is a program."""
GRACE = timedelta(seconds=30)
"""How long after the first copy of an edition was handed over no click counts."""
_KEPT = 500_000
"""How many clicks are told apart in a day, some 40 MB of them; no further one counts."""
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Click:
    """A link was followed, and when."""

    followed: Followed
    at: datetime


class ClickCounter:
    """Takes clicks, and gives those that count; safe to share between threads."""

    def __init__(self, now: Callable[[], datetime], *, kept: int = _KEPT) -> None:
        self._now, self._kept = now, kept
        self._lock = threading.Lock()
        self._counted: list[Click] = []
        self._day: date | None = None
        self._begin_day(now())

    def click(self, followed: Followed, *, network: str, agent: str) -> None:
        """Take a click of a network and browser."""
        with self._lock:
            now = self._now()
            self._begin_day(now)
            visitor = self._tell_apart(network, agent, followed.edition_id)
            click = self._tell_apart(visitor.hex(), followed.brief, followed.link)
            if visitor in self._programs or click in self._seen or len(self._seen) >= self._kept:
                return
            self._seen.add(click)
            if len(self._seen) == self._kept:
                log.warning(
                    "%s links were followed today: no further one counts", f"{self._kept:,}"
                )
            waiting = self._waiting[visitor]
            waiting.append(Click(followed, now))
            if sum(now - each.at < WAITS for each in waiting) >= SEVERAL:
                self._programs.add(visitor)
                del self._waiting[visitor]

    def take(self, *, all_of_them: bool = False) -> list[Click]:
        """Give the clicks that have waited, or all; each is given once."""
        with self._lock:
            now = self._now()
            self._begin_day(now)
            for visitor, waiting in list(self._waiting.items()):
                # Each came after the one before it.
                ripe = sum(all_of_them or now - each.at >= WAITS for each in waiting)
                self._counted += waiting[:ripe]
                del waiting[:ripe]
                if not waiting:
                    del self._waiting[visitor]
            taken, self._counted = self._counted, []
            return taken

    def put_back(self, clicks: list[Click]) -> None:
        """Take clicks back that could not be stored, to give them again."""
        with self._lock:
            self._counted += clicks

    def _begin_day(self, now: datetime) -> None:
        """Forget who is who where another day has begun; what has waited until then counts."""
        if now.date() == self._day:
            return
        if self._day is not None:
            self._counted += [each for waiting in self._waiting.values() for each in waiting]
        self._day, self._key = now.date(), secrets.token_bytes(32)
        self._seen: set[bytes] = set()
        self._programs: set[bytes] = set()
        self._waiting: defaultdict[bytes, list[Click]] = defaultdict(list)

    def _tell_apart(self, *what: object) -> bytes:
        text = "\0".join(map(str, what)).encode(errors="surrogatepass")
        return hashlib.blake2b(text, key=self._key, digest_size=12).digest()


class Register:
    """Adds clicks to the figures in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._begun: dict[int, datetime] = {}

    def add(self, clicks: list[Click]) -> None:
        """Add clicks, but for those that nobody who had a copy can have made so soon."""
        if not clicks:
            return
        numbers = {click.followed.edition_id for click in clicks}
        if unknown := numbers - self._begun.keys():
            with self._database.reading() as connection:
                found = {number: find_first_tried(connection, number) for number in unknown}
            self._begun |= {number: first for number, first in found.items() if first is not None}
        if counted := Counter(c.followed for c in clicks if self._is_counted(c)):
            with self._database.writing() as connection:
                add_clicks(connection, counted)

    def _is_counted(self, click: Click) -> bool:
        first = self._begun.get(click.followed.edition_id)
        return first is not None and click.at - first >= GRACE


@contextmanager
def registering(counter: ClickCounter, database: Database) -> Iterator[None]:
    """Add what is counted to the figures, once a second while the block lasts and at its end."""
    register = Register(database)

    def store(clicks: list[Click]) -> None:
        try:
            register.add(clicks)
        except BaseException:
            counter.put_back(clicks)
            raise

    def look() -> float:
        store(counter.take())
        return _PAUSE_SECONDS

    def warn(error: NewsletterError) -> None:
        log.warning("clicks wait to be counted: %s", error)

    with going_round(look, name="clicks", pause_seconds=5.0, warn=warn, log=log):
        yield
    try:
        store(counter.take(all_of_them=True))
    except NewsletterError as error:
        log.warning("the last clicks are not counted: %s", error)
