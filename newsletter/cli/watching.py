"""What an operator sees of all editions: status, once or as it moves."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection

from newsletter.audience.subscribers import count_by_status
from newsletter.briefs.health import TROUBLE, judge_source
from newsletter.briefs.watch import load_facts
from newsletter.cli.asked import JsonOption
from newsletter.cli.session import Session
from newsletter.cli.tables import (
    counts_document,
    decision_documents,
    outcome_table,
    shown_count,
    shown_moment,
    shown_outcome,
    shown_readers,
)
from newsletter.delivery.holder import shown_holder
from newsletter.delivery.inquiry import (
    Alert,
    Decision,
    Doubt,
    RunView,
    count_ahead,
    count_states,
    decide_finish,
    list_alerts,
    list_decisions,
    list_doubts,
    list_reasons,
    load_waves,
    read_run,
)
from newsletter.delivery.ledger import Ledger
from newsletter.delivery.lifecycle import State, count_open
from newsletter.delivery.waves import find_next_hour
from newsletter.editions.lifecycle import UNDER_WAY
from newsletter.editions.shelf import EditionRecord, list_editions, read_edition
from newsletter.errors import RefusedError
from newsletter.store import Database

_SHOWN_DOUBTS = 20
_SHOWN_ALERTS = 5
_LAST_LOOKS = 20
"""How often a cancelled edition is looked at whose sender has not closed it yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    """What is known of one edition at one moment."""

    record: EditionRecord
    at: datetime
    counts: Mapping[State, int]
    reasons: Sequence[tuple[State, str, int]]
    doubts: Sequence[Doubt]
    run: RunView | None
    alerts: Sequence[Alert]
    decisions: Sequence[Decision]
    ahead: int
    """Readers whose hour has not come yet."""
    next_hour: datetime | None

    @property
    def is_being_sent(self) -> bool:
        """Whether a process sends it at this moment."""
        return self.run is not None and self.run.is_alive

    @property
    def finish_at(self) -> datetime | None:
        """When its run will be done, at the rate it has."""
        if self.run is None or not self.run.is_alive or self.run.progress is None or self.ahead:
            return None
        return decide_finish(self.run.progress, count_open(self.counts))


def status(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(help="How many editions.", min=1)] = 7,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show an edition as it is sent, until it is.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the latest editions, what became of every delivery, and what to do next."""
    session: Session = ctx.obj
    with session.database() as database:
        if watch:
            _watch(session, database, limit, as_json=as_json)
            return
        readers = count_by_status(database)
        with database.reading() as connection:
            records = list_editions(connection, limit)
            trouble = _find_trouble(connection, session)
        reports = [
            _read_report(database, record, Ledger(database).counts(record.id), session.now())
            for record in records
        ]
    if as_json:
        documents = [_edition_document(report) for report in reports]
        session.print_json({"subscribers": readers, "editions": documents, "sources": trouble})
        return
    session.out.print(f"Readers: {shown_readers(readers)}")
    for source in trouble:
        said = f"Source {source['source']} is {source['status']}: {source['sentence']}"
        session.out.print(said, markup=False, soft_wrap=True)
    if not reports:
        session.out.print("No edition yet. `newsletter preview` shows what the first would be.")
        return
    session.out.print(_editions_table(reports))
    zone = session.settings.publication.zone
    mailed = next((report for report in reports if report.counts), None)
    if mailed:
        title = f"Deliveries of {mailed.record.name}"
        session.out.print(outcome_table(mailed.counts, mailed.reasons, title=title))
    _print_doubts(session, [doubt for report in reports for doubt in report.doubts])
    told = [
        report
        for report in reports
        if report in (reports[0], mailed) or report.record.state in UNDER_WAY or report.alerts
    ]
    for report in reversed(told):
        for sentence in _what_stands(report, zone):
            session.out.print(f"{report.record.name}: {sentence}", markup=False)


def _find_trouble(connection: Connection, session: Session) -> list[dict[str, str]]:
    """Find the sources that editions lack, or that have had nothing new for too long."""
    now = session.now()
    judged = (
        (facts.name, judge_source(facts, now))
        for facts in load_facts(connection, session.settings, now=now)
    )
    return [
        {"source": name, "status": health.status, "sentence": health.sentence}
        for name, health in judged
        if health.status in TROUBLE
    ]


def _read_report(
    database: Database, record: EditionRecord, counts: Mapping[State, int], now: datetime
) -> _Report:
    with database.reading() as connection:
        return _Report(
            record=record,
            at=now,
            counts=counts,
            reasons=list_reasons(connection, record.id),
            doubts=list_doubts(connection, record.id),
            run=read_run(connection, record.id, now),
            alerts=list_alerts(connection, record.id),
            decisions=list_decisions(connection, record.id),
            ahead=count_ahead(connection, record.id, now),
            next_hour=find_next_hour(load_waves(connection, record.id), now),
        )


# -- as it moves -----------------------------------------------------------------------------------


def _watch(session: Session, database: Database, limit: int, *, as_json: bool) -> None:
    """Show the edition that is under way, anew every second, until nobody waits any more."""
    if as_json:
        raise typer.BadParameter("is for a person's eyes; leave out --json", param_hint="--watch")
    if not session.out.is_terminal:
        raise RefusedError("there is no terminal to watch in", mend="leave out --watch")
    with database.reading() as connection:
        records = list_editions(connection, limit)
    record = next((found for found in records if found.state in UNDER_WAY), None)
    if record is None:
        session.out.print("No edition is under way. `newsletter status` shows those there are.")
        return
    zone = session.settings.publication.zone
    looks_left = _LAST_LOOKS
    with Live(console=session.out, auto_refresh=False) as live:
        while True:
            with database.reading() as connection:
                record = read_edition(connection, record.id)
                counts = count_states(connection, record.id)
            report = _read_report(database, record, counts, session.now())
            live.update(_show_moment(report, zone), refresh=True)
            if record.state not in UNDER_WAY:
                looks_left -= 1
            if not looks_left or (record.state not in UNDER_WAY and not count_open(counts)):
                return
            time.sleep(1)


def _show_moment(report: _Report, zone: ZoneInfo) -> RenderableType:
    title = f"Edition of {report.record.name}: {report.record.state}"
    parts: list[RenderableType] = [outcome_table(report.counts, report.reasons, title=title)]
    parts += [Text(sentence) for sentence in _what_stands(report, zone)]
    return Group(*parts)


# -- what stands, and what is next -----------------------------------------------------------------


def _what_stands(report: _Report, zone: ZoneInfo) -> list[str]:
    """Say how an edition stands: what goes on, what was raised, which command is next."""
    raised = [
        f"alert at {shown_moment(alert.raised_at, zone)}: {alert.sentence}"
        for alert in report.alerts[-_SHOWN_ALERTS:]
    ]
    raised += [
        f"{decision.action} at {shown_moment(decision.decided_at, zone)} by {decision.decided_by}: "
        f"{decision.detail.rstrip('.')}."
        for decision in report.decisions
        if decision.action in ("override", "segment")
    ]
    if report.is_being_sent:
        return [*raised, _what_goes_on(report, zone)]
    return [*raised, _what_next(report, zone)]


def _what_goes_on(report: _Report, zone: ZoneInfo) -> str:
    """Say how far a running send is, how quick, and what it waits for."""
    run, record = report.run, report.record
    assert run is not None
    left = count_open(report.counts)
    said = f"{shown_holder(run.holder)} sends it, {shown_count(left, 'reader')} still without it"
    if report.ahead:
        said += f", {report.ahead:,} of them to get it at the hour that they chose"
    if record.state in ("paused", "cancelled"):
        return f"{record.state}; {shown_holder(run.holder)} finishes what is under way."
    progress = run.progress
    if progress is None:
        return f"{said}."
    parts = [said, f"{progress.per_second:,.1f} a second now"]
    parts.append(f"over {shown_count(progress.connections, 'connection')}")
    if report.finish_at is not None:
        parts.append(f"done at about {report.finish_at.astimezone(zone):%H:%M:%S %Z}")
    if report.next_hour is not None:
        parts.append(f"the next hour is {report.next_hour.astimezone(zone):%H:%M %Z}")
    if progress.waiting:
        parts.append(progress.waiting)
    return f"{'; '.join(parts)}."


def _what_next(report: _Report, zone: ZoneInfo) -> str:
    """Say how an edition stands that nobody sends now, and which command takes it further."""
    record, counts = report.record, report.counts
    command = f"`newsletter send {record.options}`"
    still_open = count_open(counts)
    match record.state:
        case "draft" | "ready" if record.send_at and record.send_at <= report.at:
            return (
                f"its time, {shown_moment(record.send_at, zone)}, has passed; {command} sends it."
            )
        case "draft" | "ready" if record.send_at:
            return (
                f"stands as it is; `newsletter serve` sends it at "
                f"{shown_moment(record.send_at, zone)}, {command} at once, "
                f"`newsletter cancel {record.name}` not at all."
            )
        case "draft":
            return f"a draft, made anew with the latest briefs until {command} sends it."
        case "ready":
            return f"ready; `newsletter serve` sends it at its time, {command} at once."
        case "held":
            return f"held: {record.reason.rstrip('.')}. Once that is mended: {command}."
        case "cancelled" if still_open:
            return (
                f"cancelled, but its sender left {shown_count(still_open, 'reader')} open; "
                f"`newsletter cancel {record.name}` again closes that."
            )
        case "cancelled":
            told = f" {shown_outcome(counts)}" if counts else ""
            return f"dropped: {record.reason.rstrip('.')}.{told}{_then(report)}"
        case "sent":
            at = shown_moment(record.sent_at, zone)
            return f"sent at {at}. {shown_outcome(counts)}{_then(report)}"
        case "paused":
            return (
                f"paused; {shown_count(still_open, 'reader')} still without it. `newsletter resume "
                f"{record.name}` lets it go on; what is not sent by "
                f"{shown_moment(record.not_after, zone)} is given up."
            )
        case "approved" | "sending":
            return (
                f"{shown_count(still_open, 'reader')} still without it, and no process sends it: "
                f"{command} goes on; what is not sent by {shown_moment(record.not_after, zone)} "
                "is given up."
            )


def _then(report: _Report) -> str:
    """Name the commands that can still do something for those who were not reached."""
    said = ""
    options = report.record.options
    lost = report.counts.get(State.FAILED, 0) + report.counts.get(State.EXPIRED, 0)
    if lost and report.record.state == "sent":
        said += f" `newsletter send --retry-failed {options}` tries who failed again."
    if report.doubts:
        said += f" `newsletter resolve {options}` settles who is in doubt."
    return said


def _editions_table(reports: Sequence[_Report]) -> Table:
    """Show an edition a line; columns of trouble only where there is some."""
    in_doubt = [report.counts.get(State.IN_DOUBT, 0) for report in reports]
    lost = [
        report.counts.get(State.FAILED, 0) + report.counts.get(State.EXPIRED, 0)
        for report in reports
    ]
    bounced = [report.counts.get(State.BOUNCED, 0) for report in reports]
    columns = (("In doubt", in_doubt), ("Failed", lost), ("Bounced", bounced))
    trouble = [(name, of) for name, of in columns if any(of)]
    table = Table(title="Editions", title_justify="left")
    table.add_column("Date", no_wrap=True)
    table.add_column("State", no_wrap=True)
    table.add_column("Accepted", justify="right", no_wrap=True)
    for name, _ in trouble:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Subject", overflow="fold")
    for number, report in enumerate(reports):
        tally = report.counts
        accepted = f"{tally.get(State.ACCEPTED, 0):,} of {sum(tally.values()):,}" if tally else "–"
        table.add_row(
            report.record.name,
            report.record.state,
            accepted,
            *(f"{of[number]:,}" for _, of in trouble),
            escape(report.record.subject),
        )
    return table


def _print_doubts(session: Session, doubts: Sequence[Doubt]) -> None:
    """List by name who may have a copy or not: the relay's own log knows."""
    if not doubts:
        return
    table = Table(title="In doubt: the relay's log knows whether it took these")
    table.title_justify = "left"
    for heading in ("Reader", "Since (UTC)", "Through", "What came back"):
        table.add_column(heading, overflow="fold")
    for doubt in doubts[:_SHOWN_DOUBTS]:
        table.add_row(
            escape(doubt.email),
            f"{doubt.since:%Y-%m-%d %H:%M:%S}",
            escape(doubt.via),
            escape(doubt.reply),
        )
    session.out.print(table)
    if (more := len(doubts) - _SHOWN_DOUBTS) > 0:
        session.out.print(f"and {more:,} more; `newsletter status --json` lists all")


# -- for a script ----------------------------------------------------------------------------------


def _edition_document(report: _Report) -> dict[str, Any]:
    record = report.record
    return {
        "id": record.id,
        "date": record.date.isoformat(),
        "kind": record.kind,
        "state": record.state,
        "reason": record.reason,
        "subject": record.subject,
        "send_at": record.send_at and record.send_at.isoformat(),
        "sent_at": record.sent_at and record.sent_at.isoformat(),
        "not_after": record.not_after and record.not_after.isoformat(),
        "audience": sum(report.counts.values()),
        "open": count_open(report.counts),
        "counts": counts_document(report.counts),
        "replies": [
            {"state": state.value, "reply": reply, "count": count}
            for state, reply, count in report.reasons
        ],
        "doubts": [
            {
                "email": doubt.email,
                "since": doubt.since.isoformat(),
                "via": doubt.via,
                "reply": doubt.reply,
            }
            for doubt in report.doubts
        ],
        "run": _run_document(report),
        "alerts": [
            {"at": alert.raised_at.isoformat(), "kind": alert.kind, "sentence": alert.sentence}
            for alert in report.alerts
        ],
        "decisions": decision_documents(report.decisions),
    }


def _run_document(report: _Report) -> dict[str, Any] | None:
    """Show a running send to a script; None while nobody sends."""
    run = report.run
    if run is None or not run.is_alive:
        return None
    progress = run.progress
    return {
        "sender": shown_holder(run.holder),
        "at": progress and progress.at.isoformat(),
        "started_at": progress and progress.started_at and progress.started_at.isoformat(),
        "rate": progress and progress.per_second,
        "connections": progress and progress.connections,
        "accepted": progress and progress.accepted,
        "parked": progress and progress.parked,
        "waiting": progress and progress.waiting,
        "finish_at": report.finish_at and report.finish_at.isoformat(),
    }
