"""The clock: APScheduler wakes at the set times; the database decides what there is to do.

Nothing here remembers anything. Jobs live in memory and are declared from the settings at
every start; whether an edition is due, under way or sent is read from its one row per date.
So a clock that fires twice (an autumn night, two processes, a restart) sends once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from datetime import date, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

from newsletter.delivery.lifecycle import State
from newsletter.delivery.sender import Sender
from newsletter.editions.shelf import find_edition, list_editions
from newsletter.errors import (
    AlreadyRunning,
    NewsletterError,
    TemporaryError,
)
from newsletter.publish import Press, Printed, make_ready, prepare, publish
from newsletter.settings import Schedule

log = logging.getLogger("newsletter.schedule")

RETRY_SECONDS = 60.0
"""Pause before a send that failed for a passing reason is taken up again."""
_RECENT_EDITIONS = 7


def is_due(schedule: Schedule, now: datetime) -> bool:
    """Tell whether the send of `now`'s local day is due: past send_at, not too late, a set day.

    `now` is aware, in the publication's zone.
    """
    send_at = datetime.combine(now.date(), schedule.send_at, tzinfo=now.tzinfo)
    day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[now.weekday()]
    # Compared as instants, so that an hour that occurs twice or not at all counts once.
    late = timedelta(seconds=now.timestamp() - send_at.timestamp())
    return day in schedule.days and timedelta(0) <= late <= schedule.max_lateness


class Keeper:
    """Keeps the schedule until it is told to stop."""

    def __init__(self, press: Press) -> None:
        self._press = press
        self._stopping = asyncio.Event()
        self._sender: Sender | None = None
        self._sending = asyncio.Lock()

    def stop(self) -> None:
        """End in order: nothing new is begun, answers that are due are awaited."""
        self._stopping.set()
        if self._sender is not None:
            self._sender.stop()

    async def keep(self, on_started: Callable[[], None] = lambda: None) -> None:
        """Run until `stop`, SIGTERM or SIGINT. Takes up first what an earlier process left."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):  # no such handlers on Windows
                loop.add_signal_handler(number, self.stop)
        scheduler = self._build_scheduler()
        scheduler.start()
        for job in scheduler.get_jobs():
            log.info("%s: next at %s", job.name, f"{job.next_run_time:%Y-%m-%d %H:%M %Z}")
        on_started()
        catching_up = asyncio.create_task(self._catch_up())
        try:
            await self._stopping.wait()
        finally:
            scheduler.shutdown(wait=False)
            await catching_up
            async with self._sending:  # whatever is being sent ends in order
                log.info("stopped")

    def _build_scheduler(self) -> AsyncIOScheduler:
        settings = self._press.settings
        schedule, zone = settings.schedule, settings.publication.zone
        scheduler = AsyncIOScheduler(timezone=zone)
        days = ",".join(schedule.days)
        lateness = max(1, int(schedule.max_lateness.total_seconds()))
        for name, moment, work in (
            ("gather", schedule.gather_at, self._gather),
            ("send", schedule.send_at, self._send),
        ):
            scheduler.add_job(
                work,
                CronTrigger(
                    day_of_week=days, hour=moment.hour, minute=moment.minute, timezone=zone
                ),
                name=name,
                coalesce=True,
                max_instances=1,
                misfire_grace_time=lateness,
            )
        return scheduler

    async def _catch_up(self) -> None:
        """Go on with editions that were under way, and with today's if its time has passed."""
        with self._press.database.reading() as connection:
            recent = list_editions(connection, _RECENT_EDITIONS)
        left = [record for record in recent if record.state in ("approved", "sending")]
        for record in reversed(left):
            log.info("edition %s: taken up again", record.date)
            await self._send_day(record.date)
        now = self._press.now().astimezone(self._press.settings.publication.zone)
        if is_due(self._press.settings.schedule, now):
            await self._send()

    async def _gather(self) -> None:
        day = self._press.today()
        try:
            async with self._sending:
                prepared = await asyncio.to_thread(make_ready, self._press, day)
        except NewsletterError as error:
            log.error("edition %s: not gathered: %s", day, error)  # noqa: TRY400 - one sentence
            return
        for report in prepared.reports:
            if report.status == "failed":
                log.warning("source %s failed: %s", report.name, report.error)
        record = prepared.composed.record
        reason = f" ({record.reason})" if record and record.reason else ""
        log.info("edition %s: %s%s", day, prepared.composed.outcome, reason)

    async def _send(self) -> None:
        await self._send_day(self._press.today())

    async def _send_day(self, day: date) -> None:
        """Send the edition of a day, taking it up again after faults that pass."""
        while not self._stopping.is_set():
            try:
                async with self._sending:
                    await self._send_once(day)
            except AlreadyRunning as error:
                log.info("edition %s: %s", day, error)
            except TemporaryError as error:
                log.warning("edition %s: %s; once more in a minute", day, error)
            except NewsletterError as error:
                log.error("edition %s: not sent: %s", day, error)  # noqa: TRY400 - one sentence
                return
            else:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), RETRY_SECONDS)
            if not self._is_worthwhile(day):
                log.error("edition %s: given up: it is too late for it", day)
                return

    def _is_worthwhile(self, day: date) -> bool:
        """Tell whether to go on trying: an approved edition knows itself when to give up."""
        with self._press.database.reading() as connection:
            found = find_edition(connection, day)
        if found is not None and found.state in ("approved", "sending"):
            return True
        now = self._press.now().astimezone(self._press.settings.publication.zone)
        return is_due(self._press.settings.schedule, now)

    async def _send_once(self, day: date) -> None:
        prepared = await asyncio.to_thread(prepare, self._press, day)
        printed = prepared.printed
        if printed is None:
            record = prepared.composed.record
            if prepared.composed.outcome == "held":
                raise TemporaryError(f"held: {record.reason if record else ''}")
            log.info("edition %s: nothing new, so nothing is sent", day)
            return
        if printed.record.state == "sent":
            log.info("edition %s: is sent already", day)
            return
        await self._deliver(printed)

    async def _deliver(self, printed: Printed) -> None:
        def started(sender: Sender) -> None:
            self._sender = sender
            if self._stopping.is_set():
                sender.stop()

        try:
            delivered = await publish(self._press, printed, on_start=started)
        finally:
            self._sender = None
        counts = ", ".join(
            f"{count} {state.value.replace('_', ' ')}"
            for state in State
            if (count := delivered.counts.get(state))
        )
        log.info("edition %s: %s: %s", printed.record.date, delivered.record.state, counts)
