"""An edition at the command line: made ready, and shown as a table or for a script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from newsletter.briefs.gather import SourceReport
from newsletter.briefs.watch import list_missing
from newsletter.cli.session import Session
from newsletter.cli.tables import shown_count
from newsletter.editions.desk import Composed
from newsletter.editions.lifecycle import UNSENT
from newsletter.editions.model import Kind, name_edition
from newsletter.editions.verdicts import is_edition_approved, load_told, read_rules
from newsletter.errors import TemporaryError
from newsletter.press import Press, Printed
from newsletter.press.checking import look_at
from newsletter.publish import prepare


def prepare_edition(
    session: Session,
    press: Press,
    day: datetime | None,
    *,
    kind: Kind = "daily",
    brief_ids: Sequence[int] = (),
    at: datetime | None = None,
    as_json: bool,
) -> Printed | None:
    """Gather, compose and render; say why there is no edition, and give None. Held ones raise.

    A special one can be made for a moment to come, `at`.
    """
    with session.err.status("Gathering, composing, rendering …"):
        date = day.date() if day else press.today()
        prepared = prepare(press, date, kind=kind, brief_ids=brief_ids, at=at)
    composed = prepared.composed
    print_remarks(session, prepared.reports)
    _print_left_out(session, composed)
    if composed.outcome == "held":
        reason = composed.record.reason if composed.record else ""
        raise TemporaryError(
            f"the edition is held: {reason}", mend="once that is mended, the same command goes on"
        )
    if prepared.printed is None:
        if as_json:
            session.print_json({"outcome": composed.outcome})
        else:
            session.out.print(_NOTHING_TO_TELL if kind == "weekly" else _NOTHING_NEW)
    return prepared.printed


_NOTHING_NEW = (
    "Nothing new since the last edition, so there is none to send. "
    "`newsletter gather` shows what each source has."
)
_NOTHING_TO_TELL = (
    "No edition of the last seven days told anything that no round-up has, "
    "so there is none to send."
)


def look_at_edition(session: Session, press: Press, printed: Printed) -> Printed:
    """Have a browser show the mail, and add what its checks find."""
    with session.err.status("Looking at it in a browser …") as status:
        return look_at(
            press, printed, on_look=lambda name: status.update(f"Looking at it: {name} …")
        )


def print_remarks(session: Session, reports: tuple[SourceReport, ...]) -> None:
    """Say what is wrong with sources and briefs; whatever else there is goes on."""
    for report in reports:
        if report.alarm:
            session.err.print(Text(report.alarm, style="bold"), soft_wrap=True)
        elif not report.is_read:
            named = "" if report.error.startswith(report.name) else f"{report.name}: "
            how = "failed" if report.status == "failed" else "is left alone"
            session.err.print(f"[bold]Source {how}[/]: {escape(named + report.error)}")
        if report.status == "partial":
            said = f"{report.name}: {report.error}"
            session.err.print(f"[bold]Source read in part[/]: missing is {escape(said)}")
        for remark in (*report.problems, *(str(warning) for warning in report.warnings)):
            session.err.print(f"{escape(report.name)}: {escape(remark)}")


def _print_left_out(session: Session, composed: Composed) -> None:
    for name in composed.retired:
        session.err.print(f"The edition of {name} was never sent; its briefs are free again.")
    if count := composed.counts.get("too_old"):
        session.err.print(
            f"{shown_count(count, 'brief')} older than the window left out; "
            "give a brief a newer date to have it in."
        )
    for remark in composed.remarks:
        session.err.print(escape(remark), soft_wrap=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """What an operator must know of an edition, and no reader is told."""

    missing: tuple[str, ...] = ()
    """The sources that it lacks, since they could not be read."""
    waiting: Mapping[int, str] = field(default_factory=dict)
    """Why a brief waits for a reviewer, by its position."""

    def to_document(self, printed: Printed) -> dict[str, Any]:
        """Show it to a script."""
        briefs = printed.edition.briefs
        unreviewed = [{"title": briefs[at].title, "why": why} for at, why in self.waiting.items()]
        return {"missing": list(self.missing), "unreviewed": unreviewed}


def find_gaps(press: Press, printed: Printed) -> Gaps:
    """Find what an edition lacks, and what of it nobody has approved yet."""
    record = printed.record
    with press.database.reading() as connection:
        missing = list_missing(connection, press.settings)
        is_open = record.state in UNSENT and record.kind != "weekly"
        rules = read_rules(press.settings)
        told = load_told(connection, record.id, rules) if is_open else []
        if is_open and is_edition_approved(connection, record.id):
            told = []
    return Gaps(
        missing=tuple(name for name, _ in missing),
        waiting={
            position: each.judgement.why
            for position, each in enumerate(told)
            if each.judgement.why is not None
        },
    )


_NO_GAPS = Gaps()


def edition_table(
    printed: Printed, *, audience: str = "", relay: str = "", gaps: Gaps = _NO_GAPS
) -> Table:
    """Show what a person has to see before saying yes."""
    edition = printed.edition
    table = Table(
        title=f"Edition of {printed.record.name}", show_header=False, title_justify="left"
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("Subject", escape(edition.subject))
    table.add_row("Preheader", escape(edition.preheader))
    for number, brief in enumerate(edition.briefs, 1):
        why = gaps.waiting.get(number - 1)
        table.add_row(
            f"{number}", escape(f"{brief.title} (not reviewed: {why})" if why else brief.title)
        )
    if gaps.missing:
        table.add_row("Missing", escape(f"{', '.join(gaps.missing)}: could not be read"))
    if not edition.briefs and edition.kind != "correction":
        table.add_row("Briefs", "none: this is the quiet-day note")
    if edition.left_out:
        table.add_row("", f"{edition.left_out} more found no room")
    if edition.note:
        table.add_row("Note", escape(edition.note.heading or edition.note.text[:70]))
    if edition.sponsor:
        table.add_row("Sponsor", escape(edition.sponsor.name))
    for correction in edition.corrections:
        who = ""
        if correction.is_owed and correction.day:
            wrong = name_edition(correction.day, correction.kind)
            who = f" (for who had the edition of {wrong})"
        table.add_row("Correction", escape(correction.text[:70] + who))
    for watched in edition.watching:
        table.add_row("Still watching", escape(f"{watched.text[:70]} ({watched.outcome})"))
    for name, value in (("Readers", audience), ("Relay", relay)):
        if value:
            table.add_row(name, escape(value))
    return table


def placings_table(printed: Printed) -> Table:
    """Show each brief with its section, and why it stands where it does."""
    edition = printed.edition
    table = Table(title="Briefs", title_justify="left")
    table.add_column("No.", justify="right", no_wrap=True)
    table.add_column("Brief", overflow="fold", ratio=5)
    if edition.sections:
        table.add_column("Section", overflow="fold", ratio=2)
    table.add_column("Why here", overflow="fold", ratio=5)
    for position, brief in enumerate(edition.briefs):
        placing = edition.placing(position)
        also = ", ".join(report.outlet for report in placing.also)
        told = f"{brief.title}\nalso reported by {also}" if also else brief.title
        section = [escape(placing.section)] if edition.sections else []
        table.add_row(str(position + 1), escape(told), *section, escape(placing.why))
    return table


def what_next(printed: Printed) -> str:
    """Say what state the edition is in, and what sends it."""
    options = printed.record.options
    match printed.record.state:
        case "draft":
            return (
                "Nobody was mailed. This is a draft: each look makes it anew from the latest "
                f"briefs, until `newsletter send {options}` sends it."
            )
        case "ready":
            return f"Nobody was mailed. It is ready: `newsletter send {options}` sends it."
        case state:
            word = "sent" if state == "sent" else "approved"
            return f"Nobody was mailed. This edition is {word}, and changes no more."


def edition_document(printed: Printed) -> dict[str, Any]:
    """Show the edition and its preflight to a script."""
    return {
        "outcome": "edition" if printed.edition.briefs else "quiet_day",
        "id": printed.record.id,
        "date": printed.edition.date.isoformat(),
        "kind": printed.edition.kind,
        "state": printed.record.state,
        "subject": printed.edition.subject,
        "preheader": printed.edition.preheader,
        "briefs": [brief.title for brief in printed.edition.briefs],
        "placings": [
            {
                "section": placing.section,
                "prominence": placing.prominence,
                "also": [asdict(report) for report in placing.also],
                "why": placing.why,
                "is_late": placing.is_late,
            }
            for placing in map(printed.edition.placing, range(len(printed.edition.briefs)))
        ],
        "left_out": printed.edition.left_out,
        "note": printed.edition.note.text if printed.edition.note else "",
        "sponsor": printed.edition.sponsor.name if printed.edition.sponsor else "",
        "corrections": [correction.text for correction in printed.edition.corrections],
        "watching": [
            {
                "id": watched.promise_id,
                "text": watched.text,
                "outcome": watched.outcome,
                "news": watched.news,
            }
            for watched in printed.edition.watching
        ],
        "findings": [
            {
                "number": finding.number,
                "name": finding.name,
                "status": finding.status,
                "detail": finding.detail,
                "mend": finding.mend,
                "copies": list(finding.copies),
            }
            for finding in printed.findings
        ],
    }
