"""Forget what is no longer needed: `[retention]` says when, `newsletter db prune` does it.

Everything goes in small transactions, so that a send that runs meanwhile waits for none of
them. Only closed editions are touched: sent or cancelled, and no delivery of theirs is open.

- attempts, and the relay's words of deliveries: codes stay, so that counts by reason do. A
  delivery in doubt keeps its words until somebody settles it.
- deliveries, with what was reported of them: the counts by state stay, in `runs`.
- gatherings, sign-ups and new addresses that nobody confirmed, what imports changed, what
  readers think;
- single mails that are settled, and what counts against no limit any more.

What an erasure left to do is done as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, delete, exists, func, or_, select, text, update

from newsletter.audience.erasure import wipe_traces
from newsletter.audience.moving import UNDO_WITHIN
from newsletter.delivery.lifecycle import State
from newsletter.settings import Retention
from newsletter.store import Database
from newsletter.store.tables import (
    OPEN_STATES,
    address_changes,
    answers,
    attempts,
    decisions,
    deliveries,
    editions,
    gatherings,
    import_changes,
    imports,
    is_in,
    limit_hits,
    notices,
    reports,
    runs,
    sign_ups,
    subscribers,
)

_BATCH_ROWS = 2_000
_OPEN_NOTICE = notices.c.state.in_(OPEN_STATES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was forgotten."""

    rows: dict[str, int]
    """How many of each: attempts, replies, deliveries, gatherings, answers, imports, pending."""
    has_traces: bool
    """Whether an erasure still waits for the database's file to be rewritten."""


def prune(
    database: Database,
    retention: Retention,
    *,
    now: datetime,
    on_progress: Callable[[str, int], None] = lambda _what, _rows: None,
) -> Pruned:
    """Forget what is older than `retention` says; safe to stop, and to repeat.

    `on_progress` is told after each transaction what was forgotten, and how many.
    """
    forgotten: Counter[str] = Counter()
    for what, rows in _prune(database, retention, now):
        forgotten[what] += rows
        on_progress(what, rows)
    return Pruned(rows=dict(forgotten), has_traces=not wipe_traces(database, now=now))


def _prune(database: Database, retention: Retention, now: datetime) -> Iterator[tuple[str, int]]:
    if since := _limit(now, retention.deliveries):
        yield from _forget_deliveries(database, since)
    if since := _limit(now, retention.attempts):
        yield from _forget_attempts(database, since)
    if since := _limit(now, retention.gatherings):
        old = gatherings.c.gathered_at < since
        yield from _delete(database, "gatherings", gatherings, gatherings.c.id, old)
    if since := _limit(now, retention.answers):
        old = answers.c.said_on < since.date()
        yield from _delete(database, "answers", answers, answers.c.id, old)
    if since := _limit(now, retention.pending):
        _s = subscribers.c
        old = (_s.status == "pending") & (_s.updated_at < since)
        yield from _delete(database, "pending", subscribers, _s.id, old)
        _u = sign_ups.c
        old = (_u.state != "confirmed") & (_u.asked_at < since)
        yield from _delete(database, "pending", sign_ups, _u.id, old)
        _c = address_changes.c
        old = _c.changed_at.is_(None) & _c.undoes.is_(None) & (_c.asked_at < since)
        yield from _delete(database, "pending", address_changes, _c.id, old)
    _c = address_changes.c  # what an old address may not take back any more
    old = _c.changed_at.is_(None) & _c.undoes.is_not(None) & (_c.asked_at < now - UNDO_WITHIN)
    yield from _delete(database, "pending", address_changes, _c.id, old)
    if since := _limit(now, retention.attempts):
        old = ~_OPEN_NOTICE & (notices.c.changed_at < since)
        yield from _delete(database, "notices", notices, notices.c.id, old)
    yield from _delete(database, "limits", limit_hits, limit_hits.c.id, limit_hits.c.until <= now)
    if since := _limit(now, retention.imports):
        yield from _forget_imports(database, since)


def _limit(now: datetime, kept: timedelta) -> datetime | None:
    return now - kept if kept else None


def _list_closed(database: Database, table: Table, since: datetime) -> list[int]:
    """List closed editions from before `since` that have rows in a table."""
    still_open = (
        exists()
        .where(deliveries.c.edition_id == editions.c.id, text(f"({is_in(OPEN_STATES)})"))
        .correlate(editions)
    )
    query = select(editions.c.id).where(
        editions.c.state.in_(("sent", "cancelled")),
        editions.c.dated_at < since,
        exists().where(table.c.edition_id == editions.c.id),
        ~still_open,
    )
    with database.reading() as connection:
        return list(connection.scalars(query.order_by(editions.c.id)))


def _walk(database: Database, edition_id: int) -> Iterator[tuple[Connection, Any]]:
    """Go through an edition's deliveries, a batch a transaction; give what finds its rows.

    What is given takes a table and finds the rows of these readers in it.
    """
    after = -1
    while True:
        with database.writing() as connection:
            _d = deliveries.c
            batch = connection.scalars(
                select(_d.subscriber_id)
                .where(_d.edition_id == edition_id, _d.subscriber_id > after)
                .order_by(_d.subscriber_id)
                .limit(_BATCH_ROWS)
            ).all()
            if not batch:
                return
            first, last = after, batch[-1]

            def of_batch(table: Table, first: int = first, last: int = last) -> Any:
                number = table.c.subscriber_id
                return (table.c.edition_id == edition_id) & (number > first) & (number <= last)

            yield connection, of_batch
            after = last


def _forget_attempts(database: Database, since: datetime) -> Iterator[tuple[str, int]]:
    for edition_id in _list_closed(database, attempts, since):
        for connection, of_batch in _walk(database, edition_id):
            old = attempts.c.ended_at < since
            tried = connection.execute(delete(attempts).where(of_batch(attempts), old)).rowcount
            reply = deliveries.c.reply
            shortened = connection.execute(
                update(deliveries)
                .where(
                    of_batch(deliveries),
                    deliveries.c.changed_at < since,
                    deliveries.c.state != State.IN_DOUBT.value,
                    # A code and more. Our own words begin with no digit, and name nobody.
                    or_(*(reply.like(f"{digit}__{mark}%") for digit in "2345" for mark in " -")),
                )
                .values(reply=func.substr(reply, 1, 3))
            ).rowcount
            yield "attempts", tried
            yield "replies", shortened


def _forget_deliveries(database: Database, since: datetime) -> Iterator[tuple[str, int]]:
    for edition_id in _list_closed(database, deliveries, since):
        _keep_counts(database, edition_id)
        for connection, of_batch in _walk(database, edition_id):
            tried = connection.execute(delete(attempts).where(of_batch(attempts))).rowcount
            for table in (decisions, reports):
                connection.execute(delete(table).where(of_batch(table)))
            gone = connection.execute(delete(deliveries).where(of_batch(deliveries))).rowcount
            yield "attempts", tried
            yield "deliveries", gone


def _keep_counts(database: Database, edition_id: int) -> None:
    """Store the counts by state, unless that was done before some of the rows went."""
    with database.writing() as connection:
        query = select(deliveries.c.state, func.count()).where(
            deliveries.c.edition_id == edition_id
        )
        is_kept = connection.scalar(
            select(runs.c.counts.is_not(None)).where(runs.c.edition_id == edition_id)
        )
        if not is_kept:
            rows = connection.execute(query.group_by(deliveries.c.state))
            counts = dict(map(tuple, rows))
            connection.execute(
                update(runs).where(runs.c.edition_id == edition_id).values(counts=counts)
            )


def _forget_imports(database: Database, since: datetime) -> Iterator[tuple[str, int]]:
    """Forget what was there before an import; then it can no longer be undone."""
    with database.writing() as connection:
        old = (imports.c.started_at < since) & imports.c.state.in_(("running", "finished"))
        closed = connection.execute(update(imports).where(old).values(state="closed")).rowcount
        numbers = list(connection.scalars(select(imports.c.id).where(imports.c.state == "closed")))
    yield "imports", closed
    _c = import_changes.c
    for number in numbers:
        yield from _delete(
            database, "import_changes", import_changes, _c.subscriber_id, _c.import_id == number
        )


def _delete(
    database: Database, what: str, table: Table, key: Any, condition: Any
) -> Iterator[tuple[str, int]]:
    """Delete rows a batch a transaction; `key` tells those that fit the condition apart."""
    while True:
        with database.writing() as connection:
            batch = select(key).where(condition).limit(_BATCH_ROWS)
            gone = connection.execute(delete(table).where(condition, key.in_(batch))).rowcount
        if not gone:
            return
        yield what, gone
