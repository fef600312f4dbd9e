"""Tables and sentences that several commands show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from newsletter.delivery.lifecycle import State

if TYPE_CHECKING:  # the preflight takes long to import, and `status` shows none
    from newsletter.audience.reader import Status as ReaderStatus
    from newsletter.delivery.inquiry import Decision, Unreached
    from newsletter.render.preflight import Answer, Finding, Link, Status
    from newsletter.smtp.relay import Relay

_STATUS_STYLES: Mapping[Status, str] = {
    "pass": "green",
    "warn": "bold yellow",
    "fail": "bold red",
    "skip": "dim",
}

_MEANING = {
    State.ACCEPTED: "the relay took it",
    State.FAILED: "the relay refused it for good",
    State.IN_DOUBT: "handed over, never answered; not sent again",
    State.SUPPRESSED: "left the list before it was sent",
    State.EXPIRED: "too late to try again",
    State.BOUNCED: "came back later",
    State.DEFERRED: "put off; will be tried again",
    State.PENDING: "waits to be sent",
    State.LEASED: "about to be sent",
    State.SENDING: "being sent",
}


def shown_count(count: int, noun: str) -> str:
    """Say "1 reader" or "1,000 readers"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def shown_readers(by_status: Mapping[ReaderStatus, int]) -> str:
    """Say "1,000 active, 3 unsubscribed": the active ones first, and no other that has none."""
    rest = (f"{count:,} {name}" for name, count in by_status.items() if count and name != "active")
    return ", ".join((f"{by_status.get('active', 0):,} active", *rest))


def shown_outcome(counts: Mapping[State, int]) -> str:
    """Say in a sentence what became of an audience."""
    audience, back = sum(counts.values()), counts.get(State.BOUNCED, 0)
    accepted = counts.get(State.ACCEPTED, 0) + back
    end = f"; {back:,} came back." if back else "."
    if accepted == audience:
        return f"The relay accepted the mail of {shown_count(audience, 'reader')}{end}"
    others = [
        f"{counts[state]:,} {shown_state(state)}"
        for state in _MEANING
        if counts.get(state) and state not in (State.ACCEPTED, State.BOUNCED)
    ]
    return (
        f"The relay accepted the mail of {accepted:,} of {shown_count(audience, 'reader')} "
        f"({', '.join(others)}){end}"
    )


def shown_unreached(unreached: Unreached, *, including_dead: bool) -> str:
    """Say who can be tried again, and who not and why."""
    tried = unreached.failed + unreached.expired + (unreached.dead if including_dead else 0)
    left = [
        f"{count:,} {why}"
        for count, why in (
            (0 if including_dead else unreached.dead, "without a mailbox (--including-dead)"),
            (unreached.suppressed, "kept out since then"),
        )
        if count
    ]
    said = f"{shown_count(tried, 'reader')} to be tried again" if tried else "Nobody to try again"
    return f"{said}; not: {', '.join(left)}." if left else f"{said}."


def clear_text_warning(relay: Relay) -> str:
    """Say that mail to another machine will travel unencrypted; "" if it will not."""
    if relay.tls != "none" or relay.is_local:
        return ""
    return (
        f"Warning: mail to {relay} travels in the clear; "
        "drop ?tls=none unless the network between is your own."
    )


def shown_state(state: State) -> str:
    """Say "in doubt"."""
    return state.value.replace("_", " ")


def shown_moment(instant: datetime | None, zone: ZoneInfo) -> str:
    """Say "2026-03-02 07:00 EST", in the publication's own time."""
    return f"{instant.astimezone(zone):%Y-%m-%d %H:%M %Z}" if instant else "an unknown time"


def counts_document(counts: Mapping[State, int]) -> dict[str, int]:
    """Give the count of every state, also of those that have none."""
    return {state.value: counts.get(state, 0) for state in State}


def decision_documents(decisions: Sequence[Decision]) -> list[dict[str, str]]:
    """Show what operators decided to a script."""
    return [
        {
            "at": decision.decided_at.isoformat(),
            "by": decision.decided_by,
            "action": decision.action,
            "detail": decision.detail,
        }
        for decision in decisions
    ]


def outcome_table(
    counts: Mapping[State, int],
    reasons: Sequence[tuple[State, str, int]] = (),
    *,
    title: str = "Deliveries",
) -> Table:
    """Show what became of an audience, and the relay's words behind what did not arrive."""
    table = Table(title=title, title_justify="left")
    table.add_column("State", no_wrap=True)
    table.add_column("Readers", justify="right", no_wrap=True)
    table.add_column("Meaning", style="dim", overflow="fold")
    for state, meaning in _MEANING.items():
        if counts.get(state):
            table.add_row(shown_state(state), f"{counts[state]:,}", meaning)
            for troubled, words, count in reasons:
                if troubled is state and words:
                    table.add_row("", f"{count:,}", escape(words))
    table.add_section()
    table.add_row("audience", f"{sum(counts.values()):,}", "")
    return table


def findings_table(findings: Sequence[Finding], *, only_trouble: bool = False) -> Table | str:
    """Show the preflight; with `only_trouble` just what did not pass."""
    shown = [f for f in findings if f.status in ("warn", "fail")] if only_trouble else findings
    if not shown:
        passed = sum(finding.status == "pass" for finding in findings)
        return f"Preflight: {shown_count(passed, 'check')} passed."
    table = Table(title="Preflight", title_justify="left")
    table.add_column("No.", justify="right", no_wrap=True)
    table.add_column("Check", overflow="fold")
    table.add_column("Result", no_wrap=True)
    table.add_column("Detail", overflow="fold")
    for finding in shown:
        about = f" (the copy of {', of '.join(finding.copies)})" if finding.copies else ""
        mend = f"\n→ {finding.mend}" if finding.mend else ""
        table.add_row(
            str(finding.number),
            escape(finding.name),
            Text(finding.status, style=_STATUS_STYLES[finding.status]),
            escape(finding.detail + about + mend),
        )
    return table


def links_table(links: Sequence[Link], answers: Sequence[Answer] = ()) -> Table:
    """Show where the mail leads to, from which brief, and how each page answered if asked."""
    answered = {answer.link.url: answer for answer in answers}
    table = Table(title="Links", title_justify="left")
    if answers:
        table.add_column("Answer", overflow="fold")
    table.add_column("Page", overflow="fold")
    table.add_column("In", overflow="fold", style="dim")
    for link in links:
        row: list[Text | str] = [escape(link.url), escape(", ".join(link.places))]
        if answer := answered.get(link.url):
            good = answer.is_good or answer.is_withheld
            style = _STATUS_STYLES["pass" if good else "warn"]
            moved = f", now {answer.ended_at}" if answer.ended_at else ""
            row.insert(0, Text(f"{answer.problem or answer.status}{moved}", style=style))
        table.add_row(*row)
    return table


def link_documents(
    links: Sequence[Link], answers: Sequence[Answer] = ()
) -> list[dict[str, object]]:
    """Show the same to a script; `status` is null where nobody asked or nobody answered."""
    answered = {answer.link.url: answer for answer in answers}
    documents: list[dict[str, object]] = []
    for link in links:
        answer = answered.get(link.url)
        documents.append(
            {
                "url": link.url,
                "places": list(link.places),
                "status": (answer.status or None) if answer else None,
                "problem": answer.problem if answer else "",
                "ended_at": answer.ended_at if answer else "",
            }
        )
    return documents
