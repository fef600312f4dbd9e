"""Figures for Prometheus: what this process counts, and what the database says when it is asked.

The registry is our own: what a library of this process may count elsewhere is not shown. What is
read from the database is answered from indexes, and kept for a few seconds: however many ask,
they are no load.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, select

from newsletter import __version__
from newsletter.briefs.health import judge_source
from newsletter.briefs.watch import load_facts
from newsletter.delivery.inquiry import count_states
from newsletter.delivery.lifecycle import State, count_open
from newsletter.editions.lifecycle import UNDER_WAY
from newsletter.editions.shelf import list_editions
from newsletter.errors import StorageError
from newsletter.press import Press
from newsletter.store.tables import alarms, gatherings, source_states
from newsletter.watch.alarm import Kind
from newsletter.watch.looking import measure_disks, read_beat
from newsletter.watch.pulse import Pulse

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_KEPT_SECONDS = 5.0
_RECENT_EDITIONS = 7
_DAY = timedelta(hours=24)
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Figures:
    """The figures of one process."""

    def __init__(self, press: Press, pulse: Pulse) -> None:
        self._registry = CollectorRegistry()
        self.requests = Histogram(
            "newsletter_http_request_seconds",
            "Time until a request was answered, by route, method and class of status.",
            ("route", "method", "status"),
            registry=self._registry,
            buckets=_BUCKETS,
        )
        self._registry.register(_Process(pulse))
        self._registry.register(_Stored(press))

    def write(self) -> bytes:
        """Write them in Prometheus's text format. Reads the database."""
        return generate_latest(self._registry)


class _Process(Collector):
    """What this process counts since it began."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse

    def collect(self) -> Iterator[Metric]:
        """Give the figures as they are now."""
        build = GaugeMetricFamily("newsletter_build_info", "The program.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        yield GaugeMetricFamily(
            "newsletter_schedule_up",
            "Whether the schedule of this process turns.",
            value=int(self._pulse.is_keeping),
        )
        outcomes = CounterMetricFamily(
            "newsletter_deliveries",
            "What became of deliveries since this process began, by state.",
            labels=["state"],
        )
        for state in State:
            outcomes.add_metric([state.value], self._pulse.outcomes.get(state, 0))
        yield outcomes
        replies = CounterMetricFamily(
            "newsletter_relay_replies",
            "Replies to messages since this process began, by relay and class.",
            labels=["relay", "class"],
        )
        for (relay, digit), count in self._pulse.replies.items():
            replies.add_metric([relay, f"{digit}xx" if digit else "none"], count)
        yield replies


class _Stored(Collector):
    """What the database says."""

    def __init__(self, press: Press) -> None:
        self._press = press
        self._lock = threading.Lock()
        self._kept: tuple[float, list[Metric]] = (float("-inf"), [])

    def describe(self) -> list[Metric]:
        """Give nothing: the registry would read the database to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Give the figures, at most a few seconds old."""
        with self._lock:
            at, found = self._kept
            if time.monotonic() - at > _KEPT_SECONDS:
                found = list(self._read())
                self._kept = (time.monotonic(), found)
        yield from found

    def _read(self) -> Iterator[Metric]:
        free = GaugeMetricFamily(
            "newsletter_disk_free_bytes",
            "Free space where the publication writes.",
            labels=["place"],
        )
        for place, free_mb in measure_disks(self._press.settings).items():
            free.add_metric([place], free_mb * 1_000_000)
        yield free
        is_up = True
        found: list[Metric] = []
        try:
            with self._press.database.reading() as connection:
                found += self._read_editions(connection)
                found += self._read_sources(connection)
                found += _read_alerts(connection)
        except StorageError:
            is_up = False
        yield GaugeMetricFamily(
            "newsletter_database_up", "Whether the database can be read.", value=int(is_up)
        )
        yield from found

    def _read_editions(self, connection: Connection) -> Iterator[Metric]:
        by_state = GaugeMetricFamily(
            "newsletter_edition_deliveries",
            "Deliveries of the latest edition that was approved, and of those under way, by state.",
            labels=["edition", "state"],
        )
        queue, has_latest, last_sent = 0, False, None
        for record in list_editions(connection, _RECENT_EDITIONS, with_planned=False):
            last_sent = max(filter(None, (last_sent, record.sent_at)), default=None)
            is_under_way = record.state in UNDER_WAY
            if not is_under_way and (has_latest or record.dated_at is None):
                continue
            has_latest = True
            counts = count_states(connection, record.id)
            for state in State:
                by_state.add_metric([record.name, state.value], counts.get(state, 0))
            if is_under_way:
                queue += count_open(counts)
        yield by_state
        yield GaugeMetricFamily(
            "newsletter_queue",
            "Deliveries that still want work, of editions under way.",
            value=queue,
        )
        gathered = connection.scalar(select(func.max(source_states.c.last_success_at)))
        last = GaugeMetricFamily(
            "newsletter_last_success_timestamp_seconds",
            "When something was last done well: gather, send, schedule.",
            labels=["what"],
        )
        moments: dict[str, datetime | None] = {
            "gather": gathered,
            "send": last_sent,
            "schedule": read_beat(connection),
        }
        for what, at in moments.items():
            if at is not None:
                last.add_metric([what], at.timestamp())
        yield last

    def _read_sources(self, connection: Connection) -> Iterator[Metric]:
        now = self._press.now()
        well = GaugeMetricFamily(
            "newsletter_source_up", "Whether a source raises no alarm.", labels=["source"]
        )
        for facts in load_facts(connection, self._press.settings, now=now):
            well.add_metric([facts.name], int(not judge_source(facts, now).is_alarming))
        yield well
        results = GaugeMetricFamily(
            "newsletter_gatherings",
            "Gatherings of sources in the last day, by what came of them.",
            labels=["status"],
        )
        _g = gatherings.c
        counted = connection.execute(
            select(_g.status, func.count()).where(_g.gathered_at >= now - _DAY).group_by(_g.status)
        )
        for status, count in counted:
            results.add_metric([status], count)
        yield results


def _read_alerts(connection: Connection) -> Iterator[Metric]:
    standing = GaugeMetricFamily("newsletter_alerts", "Alerts that stand.", labels=["kind"])
    standing_kinds = connection.scalars(select(alarms.c.kind).where(alarms.c.ended_at.is_(None)))
    counted = Counter(standing_kinds)
    for kind in Kind:
        standing.add_metric([kind.value], counted[kind.value])
    yield standing
