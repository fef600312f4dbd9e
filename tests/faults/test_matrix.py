"""The fault matrix: `pytest -m faults` plays every row and prints what came of it.

Each case is played through the real sender and ledger, over a connection that pipelines and,
with NEWSLETTER_TEST_FAULTS=all, once more over one that does not. A run that ended early is
followed by one over a polite relay, in which nobody may turn out lost or mailed twice.

Memory is what Python has allocated at the peak of the run (tracemalloc), less what the same
run takes over a relay that behaves: whatever a relay can make us hold are bytes, strings and
lists. The scripted relay's own part is in both.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from newsletter.delivery.lifecycle import State
from tests.faults.cases import CASES
from tests.faults.conftest import Report
from tests.faults.stage import Case, Observed, Stage

pytestmark = pytest.mark.faults

MOST_BYTES = 1_000_000
BOTH_WAYS = os.environ.get("NEWSLETTER_TEST_FAULTS") == "all"
PLAYS = [
    pytest.param(
        case,
        pipelining,
        id=f"{case.name}{', pipelining' if pipelining else ''}",
    )
    for case in CASES
    for pipelining in (case.pipelining if BOTH_WAYS else case.pipelining[-1:])
]


@pytest.mark.parametrize(("case", "pipelining"), PLAYS)
def test_row(case: Case, pipelining: bool, stage: Stage, report: Report) -> None:
    baseline = stage.measure_baseline(case, pipelining=pipelining)
    observed, afterwards = stage.play_and_go_on(case, pipelining=pipelining)
    grown = max(observed.peak_bytes - baseline, 0)
    complaints = [c for c in (*find_complaints(case, observed, grown), afterwards) if c]
    report(case, observed, grown, complaints, pipelining=pipelining)
    assert complaints == []


def find_complaints(case: Case, observed: Observed, grown: int) -> list[str]:
    """Compare what was observed with what is required, and with what is true of every run."""
    counts, relay = observed.counts, observed.relay
    complaints = [case.check(observed)]
    copies = Counter(taken.recipient for taken in relay.accepted)
    complaints += [f"{count} copies to {email}" for email, count in copies.items() if count > 1]
    if observed.end != case.end:
        complaints.append(f"the run ended as {observed.end!r} ({observed.error})")
    if case.first and observed.first != case.first:
        complaints.append(f"attempts: {[*map(str, observed.first)]}, {observed.replies}")
    if case.counts is not None and counts != case.counts:
        complaints.append(f"counts: { ({str(state): n for state, n in counts.items()}) }")
    if observed.suppressed != case.suppressed:
        complaints.append(f"suppressed: {observed.suppressed}")
    if case.alert and case.alert not in {kind for kind, _ in observed.alerts}:
        complaints.append(f"no alert of kind {case.alert!r}")
    if case.says not in str(observed.error or ""):
        complaints.append(f"it says {observed.error}")
    if case.end == "stop" and not case.counts and {*counts} - {State.PENDING, State.DEFERRED}:
        complaints.append(f"a mistake of ours cost readers: {counts}")
    if sum(counts.values()) != len(case.readers):
        complaints.append(
            f"{sum(counts.values())} of {len(case.readers)} readers are accounted for"
        )
    if {State.LEASED, State.SENDING} & {*counts}:
        complaints.append("rows were left half done")
    dots = Counter(taken.recipient for taken in relay.dotted)
    for email, state in observed.states.items():
        if state is State.ACCEPTED and not dots[email]:
            complaints.append(f"{email} is recorded as accepted, and no dot was read")
    for taken in relay.accepted:
        if observed.states[taken.recipient] not in (State.ACCEPTED, State.IN_DOUBT):
            complaints.append(f"{taken.recipient} was accepted, and here it is not")
    if observed.seconds > case.within:
        complaints.append(f"{observed.seconds:.1f} s")
    if grown > MOST_BYTES:
        complaints.append(f"{grown:,} bytes more than over a relay that behaves")
    return complaints
