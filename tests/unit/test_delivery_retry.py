"""Judging replies: phases × codes, and the pauses between attempts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.delivery.lifecycle import State
from newsletter.delivery.retry import (
    MAX_BACKOFF,
    Scope,
    Verdict,
    decide_backoff,
    judge_loss,
    judge_reply,
)
from newsletter.smtp.protocol import Phase, Reply

ACCEPTED = Verdict(State.ACCEPTED, Scope.MESSAGE)
LATER = Verdict(State.DEFERRED, Scope.RELAY)
LATER_FOR_READER = Verdict(State.DEFERRED, Scope.RECIPIENT)
STOP = Verdict(State.DEFERRED, Scope.OURSELVES)
DEAD = Verdict(State.FAILED, Scope.RECIPIENT)
NOT_THIS = Verdict(State.FAILED, Scope.MESSAGE)
DOUBT = Verdict(State.IN_DOUBT, Scope.RELAY)

TABLE = [
    # the one way to be accepted
    (Phase.DOT, "250 2.0.0 Ok: queued as 1F3", ACCEPTED),
    (Phase.DOT, "250", ACCEPTED),
    (Phase.DOT, "251 odd, but two hundred and something", ACCEPTED),
    # not now
    (Phase.MAIL, "450 4.7.1 try again later", LATER),
    (Phase.MAIL, "421 4.3.2 shutting down", LATER),
    (Phase.RCPT, "450 4.2.0 greylisted", LATER_FOR_READER),
    (Phase.RCPT, "451 4.7.1 greylisted", LATER_FOR_READER),
    (Phase.RCPT, "452 4.5.3 too many recipients", LATER_FOR_READER),
    (Phase.RCPT, "452 4.2.2 over quota", LATER_FOR_READER),
    (Phase.RCPT, "454 4.7.1 relay access denied", LATER_FOR_READER),
    (Phase.RCPT, "421 4.7.0 too many", LATER_FOR_READER),
    (Phase.DATA, "451 4.3.0 local error", LATER),
    (Phase.DOT, "421 4.3.0 closing", LATER),
    (Phase.DOT, "451 4.3.0 local error", LATER),
    (Phase.DOT, "452 4.3.1 no space", LATER),
    (Phase.DOT, "454 4.7.0 temporary authentication failure", LATER),
    # we are not wanted: stop, and nobody loses the edition
    (Phase.MAIL, "550 5.1.8 sender domain does not exist", STOP),
    (Phase.MAIL, "553 sorry, that is not your address", STOP),
    (Phase.MAIL, "550 5.7.1 sender refused", STOP),
    (Phase.MAIL, "530 5.7.0 authentication required", STOP),
    (Phase.MAIL, "503 5.5.1 send EHLO first", STOP),
    (Phase.RCPT, "530 5.7.0 authentication required", STOP),
    (Phase.RCPT, "535 5.7.8 credentials invalid", STOP),
    (Phase.RCPT, "554 5.7.1 <a@b.example>: Relay access denied", STOP),
    (Phase.RCPT, "550 5.7.1 Relaying denied", STOP),
    (Phase.RCPT, "550 relay not permitted", STOP),
    (Phase.RCPT, "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", STOP),
    (Phase.RCPT, "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", STOP),
    (Phase.DOT, "530 5.7.0 must issue STARTTLS first", STOP),
    (Phase.DOT, "550 5.7.26 unauthenticated mail, SPF and DKIM failed", STOP),
    (Phase.DOT, "550 5.7.25 no PTR record", STOP),
    (Phase.DOT, "550 5.7.515 Access denied, sending domain does not meet the level", STOP),
    (Phase.RCPT, "550 5.7.23 SPF validation failed", STOP),
    # the address is dead
    (Phase.RCPT, "550 5.1.1 no such user", DEAD),
    (Phase.RCPT, "550 5.1.2 no such host", DEAD),
    (Phase.RCPT, "501 5.1.3 bad address syntax", DEAD),
    (Phase.RCPT, "551 5.1.6 moved", DEAD),
    (Phase.RCPT, "556 5.1.10 null MX", DEAD),
    (Phase.RCPT, "550 5.2.1 mailbox disabled", DEAD),
    # this edition is lost for this reader, and the address is kept
    (Phase.RCPT, "550 5.7.1 looks like spam", NOT_THIS),
    (Phase.RCPT, "552 5.2.2 mailbox full", NOT_THIS),
    (Phase.RCPT, "550 no", NOT_THIS),
    (Phase.RCPT, "550 5.1.11 no code of ours", NOT_THIS),
    (Phase.DATA, "554 5.5.1 no valid recipients", NOT_THIS),
    (Phase.DATA, "550 5.1.1 no such user", NOT_THIS),
    (Phase.DOT, "550 5.1.1 no such user", NOT_THIS),
    (Phase.DOT, "554 5.7.1 content refused; see the relay's policy", NOT_THIS),
    (Phase.DOT, "552 5.7.0 blocked: potential security issue", NOT_THIS),
    (Phase.DOT, "552 5.3.4 too big", NOT_THIS),
    (Phase.DOT, "550 5.7.1 relaying of such content is not permitted", NOT_THIS),
    (Phase.MAIL, "552 5.3.4 message size exceeds fixed limit", NOT_THIS),
    (Phase.MAIL, "552 message size exceeds fixed maximum message size", NOT_THIS),
    (Phase.MAIL, "553 5.6.7 address needs SMTPUTF8", NOT_THIS),
    (Phase.RCPT, "553 5.6.7 address needs SMTPUTF8", NOT_THIS),
    # no sense where it stands
    (Phase.RCPT, "250 2.1.5 Ok", LATER),
    (Phase.DATA, "354 go on", LATER),
    (Phase.DOT, "354 go on", DOUBT),
]


def read(line: str) -> Reply:
    code, _, words = line.partition(" ")
    return Reply(int(code), (words,))


@pytest.mark.parametrize(("phase", "line", "verdict"), TABLE)
def test_a_reply_is_judged_by_phase_and_code(phase: Phase, line: str, verdict: Verdict) -> None:
    assert judge_reply(phase, read(line)) == verdict


MESSAGE_PHASES = (Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT)


@given(
    st.sampled_from(MESSAGE_PHASES),
    st.integers(200, 599),
    st.sampled_from(["", "5.1.1 x", "4.2.1 x", "2.0.0 x", "5.7.26 x", "relay denied", "5.7.99 x"]),
)
def test_laws_of_judging(phase: Phase, code: int, words: str) -> None:
    verdict = judge_reply(phase, Reply(code, (words,)))
    assert (verdict.state is State.ACCEPTED) == (phase is Phase.DOT and 200 <= code < 300)
    if 400 <= code < 500:
        assert verdict.state is State.DEFERRED
        assert verdict.scope is not Scope.OURSELVES
    if verdict.state is State.FAILED:
        assert code >= 500
    if verdict.scope is Scope.OURSELVES:
        assert verdict.state is State.DEFERRED, "no reader pays for it"
    if verdict.state is State.IN_DOUBT:
        assert phase is Phase.DOT
    if verdict.scope is Scope.RECIPIENT:
        assert phase is Phase.RCPT


def test_a_lost_connection_is_in_doubt_only_after_the_dot() -> None:
    assert judge_loss(in_doubt=True) == DOUBT
    assert judge_loss(in_doubt=False) == LATER


MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("attempts", "minutes"), [(0, 5), (1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (50, 60)]
)
def test_the_pause_doubles_up_to_an_hour(attempts: int, minutes: int) -> None:
    assert decide_backoff(5 * MINUTE, attempts, spread=0.5) == minutes * MINUTE


def test_a_first_pause_over_an_hour_stays() -> None:
    assert decide_backoff(timedelta(hours=3), 4, spread=0.5) == timedelta(hours=3)


@given(
    st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=3650)),
    st.integers(0, 10_000),
    st.floats(0, 1, exclude_max=True),
)
def test_laws_of_the_pause(first: timedelta, attempts: int, spread: float) -> None:
    pause = decide_backoff(first, attempts, spread=spread)
    assert pause >= first * 0.75
    assert pause <= max(first, MAX_BACKOFF) * 1.25
    middle, later = (decide_backoff(first, n, spread=0.5) for n in (attempts, attempts + 1))
    assert middle <= later
