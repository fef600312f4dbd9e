"""Watch the sources: read how they fare, tell each alarm once, and keep that it was told.

Only the sources of the settings are watched: one that was renamed or removed raises no alarm,
and no alarm of it stands. What is read is the last ninety days of gatherings, in one pass over
their index by time whatever the number of sources.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select, update

from newsletter.briefs.health import Alarm, Facts, decide_alarm, estimate_gap, judge_source
from newsletter.settings import Settings, source_name
from newsletter.store.alerts import raise_alert
from newsletter.store.database import Database
from newsletter.store.tables import gatherings, source_states

_LOOKBACK = timedelta(days=90)
_WEEK = timedelta(days=7)


def watch_sources(database: Database, settings: Settings, *, now: datetime) -> Mapping[str, Alarm]:
    """Tell what is new about the sources after a gathering; give what is told, by source.

    What was told before and still stands is given too, as not new.
    """
    alarms = {}
    with database.writing() as connection:
        for facts in load_facts(connection, settings, now=now):
            since = facts.failing_since or facts.last_attempt_at if facts.last_error else None
            facts = replace(facts, failing_since=since)
            alarm = decide_alarm(facts, judge_source(facts, now))
            _store_facts(connection, facts, facts.told if alarm is None else alarm.told)
            if alarm is None:
                continue
            alarms[facts.name] = alarm
            if alarm.is_new:
                raise_alert(connection, alarm.kind, alarm.sentence, now=now)
        names = [source_name(source) for source in settings.sources]
        connection.execute(
            update(source_states)
            .where(source_states.c.source.not_in(names), source_states.c.told != "")
            .values(told="")
        )
    return alarms


def load_facts(connection: Connection, settings: Settings, *, now: datetime) -> tuple[Facts, ...]:
    """Load what is known of each source of the settings, in their order."""
    states = {row.source: row for row in connection.execute(select(source_states))}
    arrivals: dict[str, list[datetime]] = defaultdict(list)
    failed: dict[str, list[datetime]] = defaultdict(list)
    of_week: dict[str, int] = defaultdict(int)
    _g = gatherings.c
    for row in connection.execute(
        select(_g.source, _g.gathered_at, _g.status, _g.new)
        .where(_g.gathered_at >= now - _LOOKBACK, or_(_g.new > 0, _g.status == "failed"))
        .order_by(_g.gathered_at, _g.id)
    ):
        if row.status == "failed":
            failed[row.source].append(row.gathered_at)
        else:
            arrivals[row.source].append(row.gathered_at)
            of_week[row.source] += row.new if row.gathered_at >= now - _WEEK else 0
    facts = []
    for source in settings.sources:
        name = source_name(source)
        state = states.get(name)
        if state is None:
            facts.append(Facts(name=name))
            continue
        success = state.last_success_at
        came = tuple(arrivals[name])
        facts.append(
            Facts(
                name=name,
                last_success_at=success,
                last_attempt_at=state.last_attempt_at,
                last_error=state.last_error,
                failing_since=state.failing_since,
                failures=sum(success is None or at > success for at in failed[name]),
                next_attempt_at=state.next_attempt_at,
                arrivals=came,
                newest_item_at=came[-1] if came else state.newest_item_at,
                items_of_week=of_week[name],
                stale_after=source.stale_after,
                told=state.told,
            )
        )
    return tuple(facts)


def list_missing(connection: Connection, settings: Settings) -> tuple[tuple[str, str], ...]:
    """List the sources whose last reading failed, so that an edition lacks them, and why."""
    states = source_states.c
    rows = connection.execute(
        select(states.source, states.last_error).where(states.last_error != "")
    )
    errors = {row.source: row.last_error for row in rows}
    names = (source_name(source) for source in settings.sources)
    return tuple((name, errors[name]) for name in names if name in errors)


def _store_facts(connection: Connection, facts: Facts, told: str) -> None:
    """Keep what was found out of a source, for who asks without gathering."""
    gap = estimate_gap(facts.arrivals)
    connection.execute(
        update(source_states)
        .where(source_states.c.source == facts.name)
        .values(
            failing_since=facts.failing_since,
            newest_item_at=facts.newest_item_at,
            usual_gap_seconds=None if gap is None else int(gap.total_seconds()),
            told=told,
        )
    )
