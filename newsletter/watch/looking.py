"""Look at everything that could be wrong, and give the alarms that stand now."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta

from sqlalchemy import Connection, func, insert, select, text, update

from newsletter.briefs.health import Facts as SourceFacts
from newsletter.briefs.watch import load_facts
from newsletter.delivery.inquiry import (
    count_states,
    list_alerts,
    list_decisions,
    list_reasons,
    read_run,
)
from newsletter.delivery.lifecycle import State
from newsletter.editions.lifecycle import UNDER_WAY
from newsletter.editions.model import name_edition
from newsletter.editions.shelf import EditionRecord, find_edition, list_editions, list_planned
from newsletter.feedback.guard import read_guard
from newsletter.press import Press
from newsletter.settings import Schedule, Settings, is_daily
from newsletter.store.tables import OPEN_STATES, beats, deliveries
from newsletter.watch import judging
from newsletter.watch.alarm import Alarm
from newsletter.watch.judging import Course, Due
from newsletter.watch.pulse import MOST_SILENT_SECONDS, Pulse

_RECENT_EDITIONS = 30
_LATELY = timedelta(hours=24)
_A_WHILE = timedelta(hours=1)
"""How long what a run said of its relay stands once the edition is sent."""
SCHEDULE = "schedule"
"""The name of the schedule's beat in the database."""


@dataclass(slots=True)
class Memory:
    """What a watcher remembers from one look to the next: when each edition last moved."""

    moved: dict[int, tuple[int, datetime]] = field(default_factory=dict)

    def note(self, edition_id: int, accepted: int, now: datetime) -> datetime:
        """Note how many were accepted; give since when it is so many."""
        before, since = self.moved.get(edition_id, (-1, now))
        if accepted != before:
            since = now
        self.moved[edition_id] = (accepted, since)
        return since


def look(press: Press, pulse: Pulse, memory: Memory) -> tuple[Alarm, ...]:
    """Look at editions, sources, disk and schedule. Raises `StorageError`.

    The same thing has one alarm: the first that is found.
    """
    with press.database.writing() as connection:  # a database that is read only is no use
        since = note_beat(connection, press.now())
    with press.database.reading() as connection:
        found = list(_look_at_editions(connection, press, pulse, memory, since))
        sources = load_facts(connection, press.settings, now=press.now())
        found += _look_at_gathering(connection, press, pulse, sources, since)
    found += judging.judge_sources(sources, press.now())
    found += _look_at_machine(press, pulse)
    by_key: dict[str, Alarm] = {}
    for alarm in found:
        by_key.setdefault(alarm.key, alarm)
    return tuple(by_key.values())


def note_beat(connection: Connection, now: datetime) -> datetime:
    """Note that somebody keeps the schedule; give when somebody first did.

    What was due long before that was nobody's to send.
    """
    ours = beats.c.name == SCHEDULE
    since: datetime | None = connection.scalar(select(beats.c.since).where(ours))
    if since is None:
        connection.execute(insert(beats).values(name=SCHEDULE, since=now, at=now))
        return now
    connection.execute(update(beats).where(ours).values(at=now))
    return since


def read_beat(connection: Connection) -> datetime | None:
    """Read when somebody last kept the schedule of this database."""
    return connection.scalar(select(beats.c.at).where(beats.c.name == SCHEDULE))


def find_past_due(
    schedule: Schedule, at: time, now: datetime, *, grace: timedelta
) -> datetime | None:
    """Find the latest moment that was set for `at` on a day of the schedule and is past `grace`.

    `now` is aware, in the publication's zone; None where the latest is a day ago.
    """
    for days_back in range(3):
        day = now.date() - timedelta(days=days_back)
        set_for = datetime.combine(day, at, tzinfo=now.tzinfo)
        age = timedelta(seconds=now.timestamp() - set_for.timestamp())
        if schedule.has_edition(day) and age >= grace:
            return set_for if age < _LATELY + grace else None
    return None


def _look_at_editions(
    connection: Connection, press: Press, pulse: Pulse, memory: Memory, since: datetime
) -> Iterator[Alarm]:
    now, rules = press.now(), press.settings.alerts
    records = list_editions(connection, _RECENT_EDITIONS, with_planned=False)
    courses = {
        record.name: _read_course(connection, record, memory, now)
        for record in records
        if record.state in UNDER_WAY or _is_just_sent(record, now)
    }
    for record in records:
        if press.today() - record.date <= timedelta(days=1) and (
            alarm := judging.judge_held(record)
        ):
            yield alarm
        if alarm := judging.judge_bounces(record.name, read_guard(connection, record.id), now):
            yield alarm
    for course in courses.values():
        if alarm := judging.judge_course(course, pulse.faults, rules, now):
            yield alarm
        if alarm := judging.judge_failures(course, rules):
            yield alarm
        if course.record.sent_at is None or now - course.record.sent_at < _A_WHILE:
            yield from judging.judge_relay_alerts(course)
    for due in _list_due(connection, press, since):
        if due.record is None and pulse.is_done(due.name):
            continue  # nothing was new
        if alarm := judging.judge_due(due, courses, pulse.faults, now):
            yield alarm


def _list_due(connection: Connection, press: Press, since: datetime) -> Iterator[Due]:
    settings = press.settings
    now = press.now().astimezone(settings.publication.zone)
    for kind, schedule in settings.list_schedules():
        due_at = find_past_due(schedule, schedule.send_at, now, grace=settings.alerts.grace)
        if due_at is None or now - max(due_at, since) < settings.alerts.grace:
            continue
        record = find_edition(connection, due_at.date(), kind)
        if record is not None and record.send_at is not None:
            continue  # it has a time of its own
        if due_at + schedule.max_lateness >= since:
            yield Due(name=name_edition(due_at.date(), kind), due_at=due_at, record=record)
    for record in list_planned(connection):
        assert record.send_at is not None, "that is what it is listed for"
        late = now - max(record.send_at, since)
        if settings.alerts.grace <= late < _LATELY + settings.alerts.grace:
            yield Due(name=record.name, due_at=record.send_at, record=record)


def _look_at_gathering(
    connection: Connection,
    press: Press,
    pulse: Pulse,
    sources: Sequence[SourceFacts],
    since: datetime,
) -> Iterator[Alarm]:
    settings = press.settings
    now = press.now().astimezone(settings.publication.zone)
    for kind, schedule in settings.list_schedules():
        if not is_daily(kind):
            continue  # nothing is gathered for it
        due_at = find_past_due(schedule, schedule.gather_at, now, grace=settings.alerts.grace)
        if due_at is None or due_at < since:
            continue  # nobody kept the schedule then
        record = find_edition(connection, due_at.date(), kind)
        if record is not None and record.state not in ("draft", "ready", "held"):
            continue  # it has what it needs, or needs nothing
        fault = pulse.faults.get(f"gather {name_edition(due_at.date(), kind)}")
        if alarm := judging.judge_gathering(due_at, sources, fault):
            yield alarm


def _look_at_machine(press: Press, pulse: Pulse) -> Iterator[Alarm]:
    for place, free_mb in measure_disks(press.settings).items():
        if alarm := judging.judge_disk(place, free_mb, press.settings.alerts):
            yield alarm
    if alarm := judging.judge_schedule(pulse.silent_seconds, MOST_SILENT_SECONDS):
        yield alarm


def measure_disks(settings: Settings) -> Mapping[str, int]:
    """Measure the MB that are free where the publication writes, by place; one a disk."""
    prefix, url = "sqlite:///", settings.database_url
    places = [settings.path(url.removeprefix(prefix)).parent] if url.startswith(prefix) else []
    places.append(settings.root.absolute())
    if settings.web.folder:
        places.append(settings.path(settings.web.folder))
    found: dict[int, tuple[str, int]] = {}
    for place in places:
        if place.is_dir():
            free_mb = shutil.disk_usage(place).free // 1_000_000
            found.setdefault(place.stat().st_dev, (str(place), free_mb))
    return dict(found.values())


def _read_course(
    connection: Connection, record: EditionRecord, memory: Memory, now: datetime
) -> Course:
    run = read_run(connection, record.id, now)
    counts = count_states(connection, record.id)
    return Course(
        record=record,
        counts=counts,
        run=run,
        reasons=list_reasons(connection, record.id),
        alerts=list_alerts(connection, record.id),
        decisions=list_decisions(connection, record.id),
        overdue_since=_find_overdue(connection, record.id, now),
        still_since=memory.note(record.id, counts.get(State.ACCEPTED, 0), now),
    )


def _find_overdue(connection: Connection, edition_id: int, now: datetime) -> datetime | None:
    """Find since when the reader who waits longest is due; each state has its own range.

    The states are written out: the index of open rows is only used where they can be read.
    """
    _d = deliveries.c
    found = [
        connection.scalar(
            select(func.min(_d.next_attempt_at)).where(
                _d.edition_id == edition_id, text(f"state = '{state}'")
            )
        )
        for state in OPEN_STATES
    ]
    overdue = [moment for moment in found if moment is not None and moment <= now]
    return min(overdue, default=None)


def _is_just_sent(record: EditionRecord, now: datetime) -> bool:
    return record.state == "sent" and bool(record.sent_at and now - record.sent_at < _LATELY)
