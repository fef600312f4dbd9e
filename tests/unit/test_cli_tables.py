from __future__ import annotations

import io

import pytest
from rich.console import Console

from newsletter.cli.tables import (
    clear_text_warning,
    counts_document,
    findings_table,
    outcome_table,
    shown_count,
    shown_outcome,
    shown_readers,
)
from newsletter.delivery.lifecycle import State, count_open
from newsletter.render.preflight import Finding
from newsletter.smtp.relay import parse_relay


def _drawn(shown: object) -> str:
    console = Console(width=100, file=io.StringIO())
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 readers"), (1, "1 reader"), (1000, "1,000 readers")]
)
def test_counts_are_said_in_words(count: int, said: str) -> None:
    assert shown_count(count, "reader") == said


def test_readers_name_the_active_ones_first_and_none_that_there_are_not() -> None:
    assert shown_readers({}) == "0 active"
    counts = {"pending": 0, "active": 1200, "unsubscribed": 3, "bounced": 0, "complained": 1}
    assert shown_readers(counts) == "1,200 active, 3 unsubscribed, 1 complained"  # type: ignore[arg-type]


def test_an_outcome_adds_up_in_its_sentence() -> None:
    assert shown_outcome({State.ACCEPTED: 1}) == "The relay accepted the mail of 1 reader."
    assert shown_outcome({State.ACCEPTED: 5, State.FAILED: 2, State.IN_DOUBT: 1}) == (
        "The relay accepted the mail of 5 of 8 readers (2 failed, 1 in doubt)."
    )
    assert shown_outcome({State.BOUNCED: 2}) == (
        "The relay accepted the mail of 2 readers; 2 came back."
    )
    assert shown_outcome({State.ACCEPTED: 5, State.BOUNCED: 2, State.FAILED: 1}) == (
        "The relay accepted the mail of 7 of 8 readers (1 failed); 2 came back."
    )


def test_open_deliveries_are_those_that_want_work() -> None:
    counts = dict.fromkeys(State, 1)
    assert count_open(counts) == len({State.PENDING, State.LEASED, State.SENDING, State.DEFERRED})
    assert counts_document({})["accepted"] == 0
    assert set(counts_document({})) == {state.value for state in State}


def test_the_relays_words_stand_under_their_state() -> None:
    counts = {State.ACCEPTED: 5, State.FAILED: 3}
    lines = _drawn(outcome_table(counts, [(State.FAILED, "550 5.1.1 no [such] user", 3)]))
    accepted, failed, words, audience = (
        next(line for line in lines.splitlines() if word in line)
        for word in ("accepted", "refused it for good", "550", "audience")
    )
    assert "no [such] user" in words
    assert "8" in audience
    assert lines.index(accepted) < lines.index(failed) < lines.index(words)


def _finding(status: str, mend: str = "") -> Finding:
    return Finding(number=1, name=f"check {status}", status=status, detail="x", mend=mend)  # type: ignore[arg-type]


def test_a_preflight_without_trouble_counts_what_passed_only() -> None:
    findings = [_finding("pass"), _finding("pass"), _finding("skip")]
    assert findings_table(findings, only_trouble=True) == "Preflight: 2 checks passed."


def test_trouble_is_shown_with_its_mend() -> None:
    drawn = _drawn(
        findings_table([_finding("pass"), _finding("warn", "cut it")], only_trouble=True)
    )
    assert "check warn" in drawn
    assert "→ cut it" in drawn
    assert "check pass" not in drawn


@pytest.mark.parametrize(
    ("url", "warns"),
    [
        ("smtp://relay.example:25?tls=none", True),
        ("lmtp://relay.example:24", True),
        ("smtp://relay.example", False),
        ("smtp://127.0.0.1:25?tls=none", False),
        ("lmtp:///run/lmtp", False),
        ("eml:outbox", False),
    ],
)
def test_mail_in_the_clear_to_another_machine_is_warned_of(url: str, warns: bool) -> None:
    assert ("in the clear" in clear_text_warning(parse_relay(url))) is warns
