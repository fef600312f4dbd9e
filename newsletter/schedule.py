"""The clock: APScheduler wakes at the set times; the database decides what there is to do.

Nothing here remembers anything. Jobs live in memory and are declared from the settings at
every start; whether an edition is due, under way or sent is read from its one row per date.
So a clock that fires twice (an autumn night, two processes, a restart) sends once.

An edition that somebody planned has its own time in that row, and is sent then as it stands; the
clock looks for such every few seconds. So a plan outlives restarts, and no job is kept of it.

An edition has the date of its send time: one of 23:30 that starts late, after midnight, is
still that of the day before. The week's round-up is one by the same rules, on its own day, and so
is each further daily edition, at its own times.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
import traceback
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

from newsletter.audience.erasure import finish_erasures, wipe_traces
from newsletter.audience.segment import parse_segment
from newsletter.delivery.inquiry import list_decisions, read_run
from newsletter.delivery.lifecycle import State
from newsletter.delivery.results import add_up_editions
from newsletter.delivery.sender import Sender
from newsletter.editions.lifecycle import RELEASED, UNDER_WAY
from newsletter.editions.model import Kind, name_edition
from newsletter.editions.plan import find_plan, is_time
from newsletter.editions.shelf import (
    NOTHING_NEW,
    UNTAKEN,
    find_edition,
    list_editions,
    list_planned,
)
from newsletter.errors import AlreadyRunning, IllegalMove, NewsletterError, TemporaryError
from newsletter.events import Event, Masking, about
from newsletter.press import Press, Printed
from newsletter.publish import Prepared, make_ready, publish
from newsletter.settings import Schedule
from newsletter.store.audit import Actor
from newsletter.store.installation import read_installation
from newsletter.watch.pulse import Pulse

T = TypeVar("T")
_Wake = Callable[[Kind, Schedule], Coroutine[Any, Any, None]]

log = logging.getLogger("newsletter.schedule")

RETRY_SECONDS = 60.0
"""Pause before a send that failed for a passing reason is taken up again."""
_LOOK_SECONDS = 3.0
"""How often the wall clock is looked at; a timer alone stands still while a machine sleeps."""
_ERASURES_SECONDS = 60.0
"""How often it is looked for what an erasure left to be done: all suppressions are read for it."""
_PAUSE_LOOK_SECONDS = 1.0
"""How often a paused edition is looked at, so that a resumed one goes on at once."""
_PUNCTUAL = timedelta(minutes=1)
_RECENT_EDITIONS = 30
_MAY_COME_BACK = (NOTHING_NEW, UNTAKEN)
"""Why an edition is cancelled that may yet be one; others stay cancelled."""


def is_due(schedule: Schedule, at: time, day: date, now: datetime) -> bool:
    """Tell whether what is set for `at` on `day` is due: a day with an edition, past, not too late.

    `now` is aware, in the publication's zone. An hour that occurs twice or not at all counts
    once, since instants are compared.
    """
    set_for = datetime.combine(day, at, tzinfo=now.tzinfo)
    late = timedelta(seconds=now.timestamp() - set_for.timestamp())
    most = max(schedule.max_lateness, _PUNCTUAL)
    return schedule.has_edition(day) and timedelta(0) <= late <= most


def find_due_day(schedule: Schedule, at: time, now: datetime) -> date | None:
    """Find the latest day for which what is set for `at` is due: today, or a day before."""
    days = (now.date() - timedelta(days=n) for n in range(schedule.max_lateness.days + 2))
    return next((day for day in days if is_due(schedule, at, day, now)), None)


log.addFilter(Masking())


class Keeper:
    """Keeps the schedule until it is told to stop."""

    def __init__(self, press: Press, pulse: Pulse | None = None) -> None:
        self._press = replace(press, actor=Actor(who="the schedule", origin=press.actor.who))
        self._pulse = pulse or Pulse()
        self._stopping = asyncio.Event()
        self._making = asyncio.Lock()
        """Editions are made one at a time, and delivered side by side."""
        self._tasks: dict[asyncio.Task[None], Sender | None] = {}
        """What is under way; with its sender, once there is one."""
        self._threads: set[threading.Thread] = set()
        self._begun: set[tuple[int, datetime]] = set()
        """The plans that were taken up here: what came of one stands, and is not tried for ever."""

    def stop(self) -> None:
        """End in order: nothing new is begun, answers that are due are awaited."""
        self._stopping.set()
        for task, sender in self._tasks.items():
            if sender is None:
                task.cancel()  # nothing has been handed over, and the database is whole
            else:
                sender.stop()

    async def keep(self, on_started: Callable[[], None] = lambda: None) -> bool:
        """Run until `stop`, SIGTERM or SIGINT. Takes up first what an earlier process left.

        True when it left a thread behind that still reads a slow source: the interpreter would
        wait for it, and need not, since what it stores it stores whole or not at all.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):  # no such handlers on Windows
                loop.add_signal_handler(number, self.stop)
        scheduler = self._build_scheduler()
        scheduler.start()
        for job in scheduler.get_jobs():
            planned = f"{job.next_run_time:%Y-%m-%d %H:%M %Z}"
            log.info("%s: next at %s", job.name, planned, extra=about(Event.JOB_PLANNED))
        on_started()
        self._begin("catch up", self._catch_up)
        erasures_at = monotonic()
        try:
            while True:
                self._pulse.beat()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _LOOK_SECONDS)
                    break
                scheduler.wakeup()
                self._take_up_resumed()
                self._take_up_planned()
                if monotonic() >= erasures_at:
                    erasures_at = monotonic() + _ERASURES_SECONDS
                    self._begin("finish erasures", self._finish_erasures)
                    self._begin("add up", self._add_up)
        finally:
            scheduler.shutdown(wait=False)
            self.stop()
            while self._tasks:
                await asyncio.wait(self._tasks)
            log.info("stopped", extra=about(Event.STOPPED))
        return any(thread.is_alive() for thread in self._threads)

    def _build_scheduler(self) -> AsyncIOScheduler:
        settings = self._press.settings
        zone, most = settings.publication.zone, settings.schedule.max_lateness
        scheduler = AsyncIOScheduler(timezone=zone)
        for kind, schedule in settings.list_schedules():
            for name, at, wake in self._list_jobs(kind, schedule):
                scheduler.add_job(
                    wake,
                    CronTrigger(
                        day_of_week=",".join(schedule.days),
                        hour=at.hour,
                        minute=at.minute,
                        timezone=zone,
                    ),
                    args=(kind, schedule),
                    name=name,
                    coalesce=True,
                    misfire_grace_time=int(max(most, _PUNCTUAL).total_seconds()),
                )
        return scheduler

    def _list_jobs(self, kind: Kind, schedule: Schedule) -> Iterator[tuple[str, time, _Wake]]:
        """List what is done for a kind of edition: each job's name, its time, and what it does."""
        settings = self._press.settings
        if kind == "weekly":
            yield "send the round-up", schedule.send_at, self._wake_to_send
            return
        which = "" if kind == "daily" else f" ({kind})"
        yield f"gather{which}", schedule.gather_at, self._wake_to_gather
        if settings.review.required and settings.review.deadline:
            yield f"end the review{which}", settings.review_ends_at(kind), self._wake_to_close
        yield f"send{which}", schedule.send_at, self._wake_to_send

    # What APScheduler calls only begins a task of ours: it cancels its own when it shuts down.

    async def _wake_to_gather(self, kind: Kind, schedule: Schedule) -> None:
        day = find_due_day(schedule, schedule.gather_at, self._now())
        if day is not None:
            self._begin(f"gather {name_edition(day, kind)}", lambda: self._gather(day, kind))

    async def _wake_to_close(self, kind: Kind, schedule: Schedule) -> None:
        """Leave out what is not approved by now, or say that too little is."""
        day = find_due_day(schedule, self._press.settings.review_ends_at(kind), self._now())
        if day is not None:
            name = name_edition(day, kind)
            self._begin(f"end the review of {name}", lambda: self._gather(day, kind))

    async def _wake_to_send(self, kind: Kind, schedule: Schedule) -> None:
        day = find_due_day(schedule, schedule.send_at, self._now())
        if day is not None:
            self._begin_sending(day, kind)

    async def _catch_up(self) -> None:
        """Go on with editions that were under way, and with those whose time has passed."""
        with self._press.database.reading() as connection:
            recent = list_editions(connection, _RECENT_EDITIONS, with_planned=False)
        for record in reversed(recent):
            if record.state in UNDER_WAY:
                log.info(
                    "edition %s: taken up again",
                    record.name,
                    extra=about(Event.EDITION_TAKEN_UP, edition=record.name),
                )
                self._begin_sending(record.date, record.kind)
        for kind, schedule in self._press.settings.list_schedules():
            await self._wake_to_send(kind, schedule)

    def _take_up_resumed(self) -> None:
        """Begin what an operator sends now; go on with what was paused, or resumed since then.

        What a person's `send` left without a pause is theirs: they may have stopped it for good.
        """
        now = self._press.now()
        with self._press.database.reading() as connection:
            for record in list_editions(connection, _RECENT_EDITIONS, with_planned=False):
                if record.state == "sending":
                    run = read_run(connection, record.id, now)
                    decided = list_decisions(connection, record.id)
                    if (run and run.is_alive) or not decided or decided[-1].action != "resume":
                        continue
                elif record.state == "approved":
                    decided = list_decisions(connection, record.id)
                    if not any(each.action == "send" for each in decided):
                        continue
                elif record.state != "paused":
                    continue
                self._begin_sending(record.date, record.kind)

    def _take_up_planned(self) -> None:
        """Begin what is planned for a moment that has come, and has not long passed."""
        now, most = self._press.now(), self._press.settings.schedule.max_lateness
        with self._press.database.reading() as connection:
            planned = list_planned(connection)
        for record in planned:
            assert record.send_at is not None, "that is what it is listed for"
            key = (record.id, record.send_at)
            if (
                key not in self._begun
                and is_time(record.send_at, now, max(most, _PUNCTUAL))
                and self._begin_sending(record.date, record.kind)
            ):
                self._begun.add(key)

    async def _add_up(self) -> None:
        """Add up what became of editions that were sent, for whoever looks at them."""
        await self._in_thread(lambda: add_up_editions(self._press.database, self._press.now()))

    async def _finish_erasures(self) -> None:
        """Do what an erasure had to leave, and write the database's file anew where it waited."""
        await self._in_thread(lambda: _finish_erasures(self._press))

    def _begin_sending(self, day: date, kind: Kind) -> bool:
        return self._begin(f"send {name_edition(day, kind)}", lambda: self._send(day, kind))

    # -- tasks ---------------------------------------------------------------------------------

    def _begin(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Begin a task, unless it is under way or we are stopping; say whether it began."""
        if self._stopping.is_set() or any(task.get_name() == name for task in self._tasks):
            return False
        task = asyncio.create_task(self._guard(name, work), name=name)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)
        return True

    async def _guard(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Let no error of a task end the process: each is one sentence in the log."""
        try:
            await work()
        except NewsletterError as error:
            self._pulse.failed(name.removeprefix("send "), error)
            log.error("%s: failed: %s", name, error, extra=about(Event.JOB_FAILED))  # noqa: TRY400
        except Exception as error:
            self._pulse.failed(name.removeprefix("send "), error)
            said = _describe_fault(error)
            log.error("%s: failed: %s", name, said, extra=about(Event.JOB_FAILED))  # noqa: TRY400
            log.debug("%s: where it failed", name, exc_info=error)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run work in a thread of its own, one that a stopping process may leave behind."""
        result: Future[T] = Future()
        result.set_running_or_notify_cancel()

        def run() -> None:
            try:
                result.set_result(work())
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits
                result.set_exception(error)

        self._threads = {thread for thread in self._threads if thread.is_alive()}
        thread = threading.Thread(target=run, name="editions", daemon=True)
        self._threads.add(thread)
        thread.start()
        return await asyncio.wrap_future(result)

    # -- gather --------------------------------------------------------------------------------

    async def _gather(self, day: date, kind: Kind) -> None:
        name = name_edition(day, kind)
        prepared = await self._make(day, kind)
        if prepared is None:
            return
        for report in prepared.reports:
            if report.status == "failed" and not (report.alarm or report.is_known):
                log.warning(
                    "source %s failed: %s",
                    report.name,
                    report.error,
                    extra=about(Event.SOURCE_FAILED),
                )
        record = prepared.composed.record
        self._pulse.done(f"gather {name}")
        if record and record.reason == UNTAKEN:
            return  # which is said when it would be sent
        reason = f" ({record.reason})" if record and record.reason else ""
        log.info(
            "edition %s: %s%s",
            name,
            prepared.composed.outcome,
            reason,
            extra=about(Event.GATHERED, edition=name),
        )

    async def _make(self, day: date, kind: Kind) -> Prepared | None:
        """Make the edition of a day ready, unless somebody cancelled it.

        Ready, and not merely a draft: gathering and sending may be due in the same minute, and
        whichever comes second takes what the first has made.
        """
        async with self._making:
            with self._press.database.reading() as connection:
                found = find_edition(connection, day, kind)
            if found and found.state == "cancelled" and found.reason not in _MAY_COME_BACK:
                log.info(
                    "edition %s: is cancelled (%s)",
                    found.name,
                    found.reason or "no reason given",
                    extra=about(Event.EDITION_CLOSED, edition=found.name),
                )
                return None
            prepared = await self._in_thread(lambda: make_ready(self._press, day, kind))
        for report in prepared.reports:
            if report.alarm:
                log.warning("%s", report.alarm, extra=about(Event.SOURCE_FAILED))
        name = name_edition(day, kind)
        for remark in prepared.composed.remarks:
            said = about(Event.EDITION_REMARK, edition=name)
            log.warning("edition %s: %s", name, remark, extra=said)
        return prepared

    # -- send ----------------------------------------------------------------------------------

    async def _send(self, day: date, kind: Kind) -> None:
        """Send the edition of a day, taking it up again after faults that pass."""
        name, told = name_edition(day, kind), ""
        is_first_try = True
        while not self._stopping.is_set():
            try:
                if not (is_first_try or self._is_worthwhile(day, kind)):
                    said = about(Event.EDITION_GIVEN_UP, edition=name)
                    log.error("edition %s: given up: it is too late for it", name, extra=said)
                    return
                is_first_try = False
                await self._outlast_pause(day, kind)
                await self._send_once(day, kind)
                if not self._is_paused(day, kind):
                    self._pulse.done(name)
                    return
                continue
            except (AlreadyRunning, IllegalMove) as error:  # another process has it in hand
                log.info(
                    "edition %s: %s", name, error, extra=about(Event.EDITION_WAITS, edition=name)
                )
            except TemporaryError as error:
                self._pulse.failed(name, error)
                if str(error) != told:  # once, however often it is tried
                    waits = about(Event.EDITION_WAITS, edition=name)
                    log.warning("edition %s: %s", name, error, extra=waits)
                told = str(error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), RETRY_SECONDS)

    async def _outlast_pause(self, day: date, kind: Kind) -> None:
        """Wait until the edition of a day is not paused any more, or we are stopping."""
        name, is_told = name_edition(day, kind), False
        while self._is_paused(day, kind) and not self._stopping.is_set():
            if not is_told:
                log.info(
                    "edition %s: is paused; `newsletter resume %s` lets it go on",
                    name,
                    name,
                    extra=about(Event.EDITION_PAUSED, edition=name),
                )
                is_told = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _PAUSE_LOOK_SECONDS)

    def _is_paused(self, day: date, kind: Kind) -> bool:
        with self._press.database.reading() as connection:
            found = find_edition(connection, day, kind)
        return found is not None and found.state == "paused"

    def _is_worthwhile(self, day: date, kind: Kind) -> bool:
        """Tell whether to go on trying: an approved edition knows itself when to give up."""
        settings = self._press.settings
        with self._press.database.reading() as connection:
            found = find_edition(connection, day, kind)
        if found is not None and found.is_planned:
            most = max(settings.schedule.max_lateness, _PUNCTUAL)
            return bool(found.send_at and is_time(found.send_at, self._now(), most))
        schedule = settings.find_schedule(kind)
        if schedule and is_due(schedule, schedule.send_at, day, self._now()):
            return True
        return found is not None and found.state in UNDER_WAY

    async def _send_once(self, day: date, kind: Kind) -> None:
        if self._stopping.is_set():
            return
        name = name_edition(day, kind)
        if self._may_have_been_sent(day, kind):
            log.warning(
                "edition %s: is not begun, since it may have been sent before this database was "
                "restored; `newsletter send --date %s --kind %s` sends it",
                *(name, day, kind),
            )
            return
        if ahead := self._find_own_time(day, kind):
            log.info(
                "edition %s: is sent at %s, its own time",
                *(name, ahead.astimezone(self._now().tzinfo).strftime("%Y-%m-%d %H:%M %Z")),
                extra=about(Event.EDITION_WAITS, edition=name),
            )
            return
        prepared = await self._make(day, kind)
        if prepared is None:
            return
        printed, record = prepared.printed, prepared.composed.record
        if printed is None and prepared.composed.outcome == "held":
            raise TemporaryError(f"held: {record.reason if record else ''}")
        if printed is None:
            said = about(Event.EDITION_CLOSED, edition=name)
            why = record.reason if record else NOTHING_NEW
            log.info("edition %s: %s, so nothing is sent", name, why, extra=said)
        elif printed.record.state == "sent":
            said = about(Event.EDITION_CLOSED, edition=name)
            log.info("edition %s: is sent already", name, extra=said)
        else:
            await self._deliver(printed)

    def _find_own_time(self, day: date, kind: Kind) -> datetime | None:
        """Find the moment to come for which an edition is planned, whatever the schedule says."""
        with self._press.database.reading() as connection:
            found = find_edition(connection, day, kind)
        ahead = found.send_at if found is not None and found.is_planned else None
        return ahead if ahead and ahead > self._press.now() else None

    def _may_have_been_sent(self, day: date, kind: Kind) -> bool:
        """Tell whether the database was restored since, and knows nothing of a send."""
        with self._press.database.reading() as connection:
            until = read_installation(connection).sent_until
            found = find_edition(connection, day, kind)
        is_begun = found is not None and found.state in RELEASED
        return until is not None and day <= until and not is_begun

    async def _deliver(self, printed: Printed) -> None:
        task = asyncio.current_task()
        assert task is not None

        def started(sender: Sender) -> None:
            self._tasks[task] = sender
            self._pulse.follow_replies(sender.replies)
            if self._stopping.is_set():
                sender.stop()

        with self._press.database.reading() as connection:
            plan = find_plan(connection, printed.record.id)
        try:
            delivered = await publish(
                replace(self._press, actor=plan.by) if plan else self._press,
                printed,
                overrides=plan.overrides if plan else (),
                segment=parse_segment(plan.segment) if plan and plan.segment else None,
                at_hours=True,
                on_start=started,
                on_progress=self._pulse.follow,
            )
        finally:
            self._tasks[task] = None
        counts = ", ".join(
            f"{count} {state.value.replace('_', ' ')}"
            for state in State
            if (count := delivered.counts.get(state))
        )
        log.info(
            "edition %s: %s: %s",
            printed.record.name,
            delivered.record.state,
            counts,
            extra=about(Event.EDITION_CLOSED, edition=printed.record.name),
        )

    # -- the clock -----------------------------------------------------------------------------

    def _now(self) -> datetime:
        return self._press.now().astimezone(self._press.settings.publication.zone)


def _finish_erasures(press: Press) -> None:
    finish_erasures(press.database, now=press.now(), pseudonyms=press.pseudonyms)
    wipe_traces(press.database, now=press.now())


def _describe_fault(error: Exception) -> str:
    """Say in one line what no code expected, and where."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    said = str(error).partition("\n")[0]
    return f"a fault of this program: {type(error).__name__}: {said}{place}."
