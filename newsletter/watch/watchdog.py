"""The watchdog: looks, tells, and lets the heart beat, in a thread of its own.

Nothing that goes wrong here ends it, or reaches the schedule. A way that fails holds up no
other: each telling is tried by itself, and again later.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from newsletter.editions.shelf import list_editions
from newsletter.errors import NewsletterError, StorageError
from newsletter.events import Event, about
from newsletter.press import Press
from newsletter.watch import judging
from newsletter.watch.alarm import is_well
from newsletter.watch.heartbeat import Heartbeat
from newsletter.watch.looking import Memory, look
from newsletter.watch.pulse import Pulse
from newsletter.watch.register import (
    Aside,
    Change,
    claim_tellings,
    forget_alarms,
    note_alarms,
    settle_telling,
)
from newsletter.watch.telling import Telling, Way
from newsletter.watch.ways import Tell, build_ways, describe_failure

log = logging.getLogger("newsletter.watch")

_KEPT_FOR = timedelta(days=90)
_RECENT_EDITIONS = 14


class Watchdog:
    """Watches one publication; `ways` and `heartbeat` are those of its settings."""

    def __init__(
        self,
        press: Press,
        pulse: Pulse,
        *,
        ways: Mapping[Way, Tell] | None = None,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        """Raise `ConfigurationError` for a way that the settings name wrongly."""
        self._press, self._pulse = press, pulse
        self._ways = build_ways(press.settings) if ways is None else ways
        self._heartbeat = heartbeat or Heartbeat(press.settings.alerts)
        self._memory, self._aside = Memory(), Aside()
        self._untold: dict[Way, str] = {}
        """Why a way fails, as the log has it: once."""
        self._is_stopping = False

    def run(self) -> None:
        """Look again and again, until `stop`."""
        seconds = self._press.settings.alerts.look_every.total_seconds()
        stirred = self._pulse.stirred
        while not self._is_stopping:
            is_stirred = stirred.is_set()
            stirred.clear()
            self.look(is_stirred=is_stirred)
            stirred.wait(seconds)

    def stop(self) -> None:
        """End after the look that is under way."""
        self._is_stopping = True
        self._pulse.stirred.set()

    def look(self, *, is_stirred: bool = False) -> None:
        """Look once, tell what is due, and let the heart beat if all is well."""
        try:
            if self._look():
                self._beat(at_once=is_stirred)  # first: a way that is slow must not delay it
            self._tell()
        except Exception as error:
            log.error(  # noqa: TRY400 - one sentence
                "watching over failed: %s", describe_failure(error), extra=about(Event.NOTE)
            )
            log.debug("where it failed", exc_info=error)

    def _look(self) -> bool:
        """Bring the register to what stands; tell whether nobody waits for an edition."""
        now, ways = self._press.now(), tuple(self._ways)
        try:
            found = look(self._press, self._pulse, self._memory)
            with self._press.database.writing() as connection:
                changes = note_alarms(connection, found, ways, end=self._build_ends(), now=now)
                forget_alarms(connection, now - _KEPT_FOR)
        except StorageError as error:
            alarm = judging.judge_database(error)
            if self._aside.raise_alarm(alarm, ways, now):
                _log_changes([Change(alarm_key=alarm.key, is_end=False, sentence=alarm.sentence)])
            return False
        if self._aside.alarm is not None:
            sentence = "Over: the database can be written to again."
            self._aside.end_alarm(sentence, ways, now)
            _log_changes([Change(alarm_key="database", is_end=True, sentence=sentence)])
        _log_changes(changes)
        return is_well(found)

    def _build_ends(self) -> _Ends:
        with self._press.database.reading() as connection:
            records = list_editions(connection, _RECENT_EDITIONS, with_planned=False)
        return _Ends({record.name: (record.state, record.reason) for record in records})

    def _tell(self) -> None:
        now, ways = self._press.now(), tuple(self._ways)
        failed: dict[Way, str] = {}  # what does not answer now is not waited for again and again
        for telling in self._aside.take_due(now):
            if self._try(telling, failed):
                self._aside.put_back(telling, now)
        with contextlib.suppress(StorageError):  # it is an alarm of its own
            with self._press.database.writing() as connection:
                due = claim_tellings(connection, ways, now)
            for telling in due:
                error = self._try(telling, failed)
                with self._press.database.writing() as connection:
                    settle_telling(connection, telling, error, self._press.now())

    def _try(self, telling: Telling, failed: dict[Way, str]) -> str:
        """Tell, and give why that failed; "" if it did not. A way that `failed` is not tried."""
        if telling.way in failed:
            return failed[telling.way]
        try:
            self._ways[telling.way](telling)
        except Exception as error:  # noqa: BLE001 - a library of the way may raise anything
            said = describe_failure(error)
            failed[telling.way] = said
            if said != self._untold.get(telling.way):
                self._untold[telling.way] = said
                log.warning(
                    "an alert could not be told by %s, and is tried again: %s",
                    telling.way,
                    said,
                    extra=about(Event.ALERT_NOT_TOLD),
                )
            return said
        self._untold.pop(telling.way, None)
        return ""

    def _beat(self, *, at_once: bool) -> None:
        try:
            self._heartbeat.beat(self._press.now(), at_once=at_once)
        except NewsletterError as error:
            log.warning("%s", error, extra=about(Event.HEARTBEAT_FAILED))


class _Ends:
    """Says how an alarm ends: an edition that is not late any more may still not be sent."""

    def __init__(self, editions: Mapping[str, tuple[str, str]]) -> None:
        self._editions = editions

    def __call__(self, key: str, sentence: str) -> str:
        if not key.startswith("edition/"):
            return f"Over: {sentence}"
        name = key.removeprefix("edition/")
        state, reason = self._editions.get(name, ("", ""))
        match state:
            case "sent":
                return f"Over: the edition of {name} is sent."
            case "approved" | "sending":
                return f"Over: the edition of {name} moves again."
            case "cancelled":
                return f"Over: the edition of {name} is cancelled ({reason.rstrip('.')})."
            case _:
                return f"Over, and not mended: the edition of {name} was not sent."


def _log_changes(changes: Sequence[Change]) -> None:
    for change in changes:
        name = change.alarm_key.removeprefix("edition/")
        edition = name if name != change.alarm_key else ""
        if change.is_end:
            log.info("%s", change.sentence, extra=about(Event.ALERT_ENDED, edition=edition))
        else:
            log.error(
                "alert: %s", change.sentence, extra=about(Event.ALERT_RAISED, edition=edition)
            )


@contextlib.contextmanager
def watching(press: Press, pulse: Pulse) -> Iterator[None]:
    """Watch while the block lasts. Raises `ConfigurationError` for a way that is wrong."""
    watchdog = Watchdog(press, pulse)
    thread = threading.Thread(target=watchdog.run, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        watchdog.stop()
        thread.join(timeout=5)  # a way that is slow is left behind
