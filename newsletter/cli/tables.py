"""Tables that several commands show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from newsletter.delivery.lifecycle import State
from newsletter.render.preflight import Finding

_MEANING = {
    State.ACCEPTED: "the relay took it",
    State.FAILED: "the relay refused it for good",
    State.IN_DOUBT: "handed over, never answered; not sent again",
    State.SUPPRESSED: "left the list before it was sent",
    State.EXPIRED: "too late to try again",
    State.BOUNCED: "came back later",
    State.DEFERRED: "put off; will be tried again",
    State.PENDING: "not tried yet",
    State.LEASED: "about to be sent",
    State.SENDING: "being sent",
}


def shown_count(count: int, noun: str) -> str:
    """Say "1 reader" or "1,000 readers"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def counts_document(counts: Mapping[State, int]) -> dict[str, int]:
    """Give the count of every state, also of those that have none."""
    return {state.value: counts.get(state, 0) for state in State}


def outcome_table(
    counts: Mapping[State, int], reasons: Sequence[tuple[State, str, int]] = ()
) -> Table:
    """Show what became of an audience, and the relay's words behind what did not arrive."""
    table = Table(title="Deliveries", title_justify="left")
    table.add_column("State")
    table.add_column("Readers", justify="right")
    table.add_column("Meaning", style="dim", overflow="fold")
    for state, meaning in _MEANING.items():
        if counts.get(state):
            table.add_row(state.value.replace("_", " "), f"{counts[state]:,}", meaning)
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
        return f"Preflight: all {len(findings)} checks passed."
    table = Table(title="Preflight", title_justify="left")
    for heading in ("#", "Check", "Result", "Detail", "Mend"):
        table.add_column(heading, overflow="fold")
    for finding in shown:
        table.add_row(
            str(finding.number),
            escape(finding.name),
            finding.status,
            escape(finding.detail),
            escape(finding.mend),
        )
    return table
