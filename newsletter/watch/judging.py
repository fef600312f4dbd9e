"""From facts to alarms, with the cause named. Pure: `looking` brings the facts.

An edition does not move where readers are due and nothing was accepted for a while. Readers
who wait for their own hour, or whom the relay asked to try later, are not due; but where it
puts off a fifth of them, that is what holds the edition up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from newsletter.briefs.health import Facts as SourceFacts
from newsletter.briefs.health import judge_source
from newsletter.delivery.guards import AlertKind
from newsletter.delivery.inquiry import Alert, Decision, RunView
from newsletter.delivery.lifecycle import State, count_open
from newsletter.editions.review import WAITS_FOR_REVIEW
from newsletter.editions.shelf import EditionRecord
from newsletter.errors import (
    NewsletterError,
    RelayRefusedUs,
    RelayUnavailable,
    SecondPersonNeeded,
    StorageError,
    UnfamiliarDatabase,
)
from newsletter.events import mask_addresses
from newsletter.feedback.guard import Guard
from newsletter.settings import Alerts
from newsletter.watch.alarm import Alarm, Cause, Kind

_FEWEST_LOST = 3
"""Below so many readers a share of them says nothing."""
_PUT_OFF_SHARE = 0.2
_DOUBTED_FOR = timedelta(days=7)
"""How long it is told that an edition's bounces wait for a person's word."""
_SPACE = ("full", "No space")
_REFUSALS = frozenset({AlertKind.IDENTITY, AlertKind.UNWANTED, AlertKind.RELAY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """An edition whose time has come and gone. `name` is that of the edition it should be."""

    name: str
    due_at: datetime
    record: EditionRecord | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How an edition that was approved stands."""

    record: EditionRecord
    counts: Mapping[State, int]
    run: RunView | None
    reasons: Sequence[tuple[State, str, int]]
    alerts: Sequence[Alert]
    decisions: Sequence[Decision]
    overdue_since: datetime | None
    """Since when the reader who waits longest is due; None where nobody is."""
    still_since: datetime
    """Since when nothing was accepted, as far as was looked."""


# -- editions --------------------------------------------------------------------------------------


def judge_due(
    due: Due, courses: Mapping[str, Course], faults: Mapping[str, Exception], now: datetime
) -> Alarm | None:
    """Judge an edition that should have begun by now; None where it did, or need not."""
    record = due.record
    if record and record.state in ("sent", "cancelled", "held", "paused"):
        return None  # done with, or an alarm of its own
    late = _span(now - due.due_at)
    if record and record.state in ("approved", "sending"):
        course = courses.get(due.name)
        if course is None or _is_sent_by_somebody(course) or course.overdue_since is None:
            return None
        cause, why = explain_standstill(course, faults.get(due.name), now)
    else:
        cause, why = explain_fault(faults.get(due.name))
        state = f"is {record.state}" if record else "was not made"
        why = why or f"it {state}, and nobody says why; see what serve wrote into its log"
    return Alarm(
        key=f"edition/{due.name}",
        kind=Kind.EDITION_LATE,
        cause=cause,
        sentence=_said(f"the edition of {due.name} is {late} late: {why}"),
    )


def judge_course(
    course: Course, faults: Mapping[str, Exception], rules: Alerts, now: datetime
) -> Alarm | None:
    """Judge whether an edition that was begun moves; None where it does."""
    record = course.record
    name, left = record.name, count_open(course.counts)
    if record.state == "paused":
        return _judge_pause(course, rules, now)
    if record.state not in ("approved", "sending") or not left:
        return None
    put_off = course.counts.get(State.DEFERRED, 0)
    is_due = course.overdue_since is not None and now - course.overdue_since >= rules.stuck_after
    is_put_off = put_off > _PUT_OFF_SHARE * sum(course.counts.values())
    if not (is_due or is_put_off) or now - course.still_since < rules.stuck_after:
        return None
    cause, why = explain_standstill(course, faults.get(name), now)
    return Alarm(
        key=f"edition/{name}",
        kind=Kind.EDITION_STUCK,
        cause=cause,
        sentence=_said(
            f"the edition of {name} stands still for {_span(now - course.still_since)}, "
            f"{_readers(left)} without it: {why}"
        ),
    )


def judge_held(record: EditionRecord) -> Alarm | None:
    """Judge an edition of today or yesterday; None for one that is not held."""
    if record.state != "held":
        return None
    cause = Cause.CONTENT
    if record.reason.startswith(WAITS_FOR_REVIEW):
        cause = Cause.APPROVAL
    elif "source" in record.reason:
        cause = Cause.SOURCE
    return Alarm(
        key=f"edition/{record.name}",
        kind=Kind.EDITION_HELD,
        cause=cause,
        sentence=_said(
            f"the edition of {record.name} is held: {record.reason}; "
            f"once that is mended: newsletter send {record.options}"
        ),
    )


def _judge_pause(course: Course, rules: Alerts, now: datetime) -> Alarm | None:
    paused = next((each for each in reversed(course.decisions) if each.action == "pause"), None)
    since = paused.decided_at if paused else course.still_since
    if now - since < rules.grace:
        return None
    by = f" by {paused.decided_by.replace('@', ' on ')}" if paused else ""
    name, left = course.record.name, count_open(course.counts)
    return Alarm(
        key=f"edition/{name}",
        kind=Kind.EDITION_PAUSED,
        cause=Cause.PAUSE,
        sentence=_said(
            f"the edition of {name} was paused{by} {_span(now - since)} ago, {_readers(left)} "
            f"without it; newsletter resume {name} lets it go on"
        ),
    )


def explain_standstill(course: Course, fault: Exception | None, now: datetime) -> tuple[Cause, str]:
    """Say why an edition that was approved does not move, the surest reason first."""
    record, run = course.record, course.run
    cause, why = explain_fault(fault)
    if cause is not Cause.UNKNOWN:
        return cause, why
    for alert in reversed(course.alerts):
        if alert.kind in _REFUSALS:
            return Cause.RELAY_REFUSES, alert.sentence
    if not _is_sent_by_somebody(course):
        return Cause.NOBODY, f"no process sends it; newsletter send {record.options} goes on"
    waiting = run.progress.waiting if run and run.progress else ""
    if "cannot be reached" in waiting or "left alone" in waiting:
        return Cause.RELAY_UNREACHABLE, waiting
    words = next((words for state, words, _ in course.reasons if state is State.DEFERRED), "")
    if waiting or words:
        return Cause.LIMIT, "; ".join(filter(None, (waiting, words and f"the relay says {words}")))
    if why:
        return cause, why
    return Cause.UNKNOWN, "its sender runs, and nobody says why; see what it wrote into its log"


def explain_fault(fault: Exception | None) -> tuple[Cause, str]:
    """Say what kept an edition from being sent, by what was raised."""
    if fault is None:
        return Cause.UNKNOWN, ""
    said = str(fault) if isinstance(fault, NewsletterError) else type(fault).__name__
    if isinstance(fault, UnfamiliarDatabase):
        return Cause.INSTALLATION, said
    if isinstance(fault, StorageError):
        is_full = any(word in said for word in _SPACE)
        return (Cause.DISK if is_full else Cause.DATABASE), said
    if isinstance(fault, RelayRefusedUs):
        return Cause.RELAY_REFUSES, said
    if isinstance(fault, SecondPersonNeeded):
        return Cause.APPROVAL, said
    if isinstance(fault, RelayUnavailable):
        return Cause.RELAY_UNREACHABLE, said
    if isinstance(fault, NewsletterError) and fault.field in ("delivery.relay", "relays"):
        return Cause.RELAY_REFUSES, said
    return (Cause.CONTENT if isinstance(fault, NewsletterError) else Cause.UNKNOWN), said


def judge_relay_alerts(course: Course) -> Iterator[Alarm]:
    """Give what a run said of its relay or of readers' providers, one alarm each kind."""
    name = course.record.name
    latest = {alert.kind: alert for alert in course.alerts if alert.kind in {*AlertKind}}
    for kind, alert in latest.items():
        yield Alarm(
            key=f"relay/{name}/{kind}",
            kind=Kind.RELAY,
            cause=Cause.RELAY_REFUSES if kind in _REFUSALS else Cause.LIMIT,
            sentence=_said(f"the edition of {name}: {alert.sentence}"),
        )


def judge_bounces(name: str, guard: Guard, now: datetime) -> Alarm | None:
    """Judge what came back of an edition: a person should say whether it counts."""
    if not guard.waits or guard.tripped_at is None or now - guard.tripped_at > _DOUBTED_FOR:
        return None
    return Alarm(
        key=f"bounces/{name}",
        kind=Kind.BOUNCES,
        cause=Cause.RELAY_REFUSES,
        sentence=_said(f"the edition of {name}: {guard.sentence}"),
    )


def judge_failures(course: Course, rules: Alerts) -> Alarm | None:
    """Judge how many readers an edition did not reach; None where they are few."""
    counts, name = course.counts, course.record.name
    lost = sum(counts.get(state, 0) for state in (State.FAILED, State.EXPIRED, State.IN_DOUBT))
    audience = sum(counts.values())
    if lost < _FEWEST_LOST or lost <= rules.failure_share * audience:
        return None
    said = next((words for _, words, _ in course.reasons if words), "")
    return Alarm(
        key=f"failures/{name}",
        kind=Kind.FAILURES,
        cause=Cause.RELAY_REFUSES,
        sentence=_said(
            f"the edition of {name} did not reach {lost:,} of {_readers(audience)}"
            + (f", most of them with these words: {said}" if said else "")
            + "; newsletter status lists the reasons"
        ),
    )


# -- what editions are made of, and on -------------------------------------------------------------


def judge_sources(sources: Sequence[SourceFacts], now: datetime) -> Iterator[Alarm]:
    """Give the sources that fail or are quiet for too long; one alarm more where all fail."""
    for facts in sources:
        health = judge_source(facts, now)
        if health.is_alarming:
            said = health.sentence[:1].lower() + health.sentence[1:]
            yield Alarm(
                key=f"source/{facts.name}",
                kind=Kind.SOURCE,
                cause=Cause.SOURCE,
                sentence=_said(f"source {facts.name}: {said}"),
            )
    if sources and all(facts.last_error for facts in sources):
        yield Alarm(
            key="gather",
            kind=Kind.GATHER,
            cause=Cause.SOURCE,
            sentence=_said(
                f"no source could be read; {sources[0].name} says: {sources[0].last_error}"
            ),
        )


def judge_gathering(
    due_at: datetime, sources: Sequence[SourceFacts], fault: Exception | None
) -> Alarm | None:
    """Judge whether the sources were read since they were due; None where they were."""
    read_at = [facts.last_attempt_at for facts in sources if facts.last_attempt_at]
    if not sources or any(at >= due_at for at in read_at):
        return None
    cause, why = explain_fault(fault)
    return Alarm(
        key="gather",
        kind=Kind.GATHER,
        cause=cause,
        sentence=_said(
            f"nothing was gathered since {due_at:%Y-%m-%d %H:%M} UTC, when it was due: "
            f"{why or 'serve does not say why; see its log'}"
        ),
    )


def judge_disk(place: str, free_mb: int, rules: Alerts) -> Alarm | None:
    """Judge the space that is left where the publication writes."""
    if free_mb >= rules.disk_free_mb:
        return None
    return Alarm(
        key=f"disk/{place}",
        kind=Kind.DISK,
        cause=Cause.DISK,
        sentence=f"only {free_mb:,} MB are free at {place}; make room before nothing can be "
        "recorded any more.",
    )


def judge_database(error: StorageError) -> Alarm:
    """Give the alarm of a database that cannot be written to."""
    cause, why = explain_fault(error)
    return Alarm(
        key="database",
        kind=Kind.DATABASE,
        cause=cause,
        sentence=_said(f"nothing can be recorded, so nothing can be sent: {why}"),
    )


def judge_schedule(silent_seconds: float, most_seconds: float) -> Alarm | None:
    """Judge whether the schedule still turns, by when it last said so."""
    if silent_seconds <= most_seconds:
        return None
    return Alarm(
        key="schedule",
        kind=Kind.SCHEDULE,
        cause=Cause.UNKNOWN,
        sentence=f"the schedule has stood still for {_span(timedelta(seconds=silent_seconds))}; "
        "stop newsletter serve and start it again.",
    )


def _is_sent_by_somebody(course: Course) -> bool:
    return course.run is not None and course.run.is_alive


def _readers(count: int) -> str:
    return "1 reader" if count == 1 else f"{count:,} readers"


def _span(span: timedelta) -> str:
    minutes = max(0, int(span.total_seconds())) // 60
    if minutes < 1:
        return f"{max(0, int(span.total_seconds()))} s"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


def _said(sentence: str) -> str:
    """Give one sentence without readers' addresses, which relays like to quote."""
    return f"{mask_addresses(sentence).rstrip('. ')}."
