"""Judging replies: phases × codes, and the pauses between attempts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.delivery.lifecycle import State
from newsletter.delivery.retry import (
    ACCEPTED,
    MAX_BACKOFF,
    Reason,
    Scope,
    Verdict,
    decide_backoff,
    decide_pause,
    judge_fault,
    judge_loss,
    judge_reply,
)
from newsletter.smtp.protocol import Phase, Reply


def later(scope: Scope, reason: Reason) -> Verdict:
    return Verdict(State.DEFERRED, scope, reason)


def failed(reason: Reason) -> Verdict:
    return Verdict(State.FAILED, Scope.MESSAGE, reason)


RELAY_BUSY = later(Scope.RELAY, Reason.BUSY)
RELAY_SLOWER = later(Scope.RELAY, Reason.THROTTLED)
DOMAIN_SLOWER = later(Scope.DOMAIN, Reason.THROTTLED)
GREY = later(Scope.RECIPIENT, Reason.GREYLISTED)
CROWDED = later(Scope.MESSAGE, Reason.CROWDED)
STOP = later(Scope.OURSELVES, Reason.WE)
PROVIDER = later(Scope.DOMAIN, Reason.IDENTITY)
LOST = later(Scope.RELAY, Reason.LOST)
DOUBT = Verdict(State.IN_DOUBT, Scope.RELAY, Reason.LOST)
DEAD = Verdict(State.FAILED, Scope.RECIPIENT, Reason.DEAD)
FULL, TOO_BIG, LETTERS = failed(Reason.FULL), failed(Reason.TOO_BIG), failed(Reason.LETTERS)
UNWANTED, CONTENT, OTHER = failed(Reason.UNWANTED), failed(Reason.CONTENT), failed(Reason.OTHER)

_REJECTED = "<b@news.example>: Sender address rejected"
TABLE = [
    # the one way to be accepted
    (Phase.DOT, "250 2.0.0 Ok: queued as 1F3", ACCEPTED),
    (Phase.DOT, "250", ACCEPTED),
    (Phase.DOT, "251 odd, but two hundred and something", ACCEPTED),
    # not now, says the relay
    (Phase.MAIL, "450 4.3.2 try again later", RELAY_BUSY),
    (Phase.MAIL, "450 4.7.1 try again later", RELAY_SLOWER),
    (Phase.MAIL, "421 4.3.2 shutting down", RELAY_SLOWER),
    (Phase.RCPT, "421 4.7.0 too many", RELAY_SLOWER),
    (Phase.RCPT, "451 4.7.1 Greylisting in action, relaying denied", RELAY_BUSY),
    (Phase.RCPT, "450 4.7.1 relaying temporarily denied", RELAY_BUSY),
    (Phase.RCPT, "450 4.7.25 Client host rejected: cannot find your hostname", RELAY_BUSY),
    (Phase.DATA, "451 4.3.0 local error", RELAY_BUSY),
    (Phase.DOT, "421 4.3.0 closing", RELAY_SLOWER),
    (Phase.DOT, "451 4.3.0 local error", RELAY_BUSY),
    (Phase.DOT, "452 4.3.1 no space", RELAY_BUSY),
    (Phase.DOT, "454 4.7.0 temporary authentication failure", RELAY_BUSY),
    # not now, says the provider
    (Phase.RCPT, "450 4.7.28 unusual rate of mail", DOMAIN_SLOWER),
    (Phase.RCPT, "451 4.7.0 temporarily deferred", DOMAIN_SLOWER),
    (Phase.RCPT, "450 4.7.1 too many connections from your address", DOMAIN_SLOWER),
    (Phase.DOT, "451 4.7.500 Server busy", DOMAIN_SLOWER),
    # not now, for this reader
    (Phase.RCPT, "450 4.2.0 greylisted", GREY),
    (Phase.RCPT, "450 4.2.1 receiving mail too quickly", GREY),
    (Phase.RCPT, "451 4.7.1 greylisted", GREY),
    (Phase.RCPT, "451 4.7.0 Greylisting in action", GREY),
    (Phase.RCPT, "451 4.7.1 try again later", GREY),
    (Phase.RCPT, "451", GREY),
    (Phase.RCPT, "452 4.5.3 too many recipients", CROWDED),
    # we are not wanted: stop, and nobody loses the edition
    (Phase.MAIL, "550 5.1.8 sender domain does not exist", STOP),
    (Phase.MAIL, "553 sorry, that is not your address", STOP),
    (Phase.MAIL, "550 5.7.1 sender refused", STOP),
    (Phase.MAIL, "550 5.7.26 unauthenticated", STOP),
    (Phase.MAIL, "530 5.7.0 authentication required", STOP),
    (Phase.MAIL, "503 5.5.1 send EHLO first", STOP),
    (Phase.RCPT, "530 5.7.0 authentication required", STOP),
    (Phase.RCPT, "535 5.7.8 credentials invalid", STOP),
    (Phase.RCPT, "554 5.7.1 <a@b.example>: Relay access denied", STOP),
    (Phase.RCPT, "454 4.7.1 <a@b.example>: Relay access denied", STOP),
    (Phase.RCPT, "550 5.7.1 Relaying denied", STOP),
    (Phase.RCPT, "550 relay not permitted", STOP),
    (Phase.RCPT, "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", STOP),
    (Phase.RCPT, "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", STOP),
    (Phase.RCPT, f"553 5.7.1 {_REJECTED}: not owned by user daily@news.example", STOP),
    (Phase.RCPT, f"553 5.7.1 {_REJECTED}: not logged in", STOP),
    (Phase.RCPT, f"450 4.7.1 {_REJECTED}: not owned by user daily@news.example", STOP),
    (Phase.DOT, "550 5.7.60 SMTP; Client does not have permissions to send as this sender", STOP),
    (Phase.DOT, "530 5.7.0 must issue STARTTLS first", STOP),
    # one provider does not want us: stop for it, and nobody loses the edition
    (Phase.DOT, "550 5.7.26 unauthenticated mail, SPF and DKIM failed", PROVIDER),
    (Phase.DOT, "550 5.7.25 no PTR record", PROVIDER),
    (Phase.DOT, "550 5.7.515 Access denied, sending domain does not meet the level", PROVIDER),
    (Phase.DOT, "550 5.7.1 rejected by the DMARC policy of news.example", PROVIDER),
    (Phase.RCPT, "550 5.7.23 SPF validation failed", PROVIDER),
    (Phase.RCPT, "550 5.1.8 <b@news.example>: Sender address rejected: Domain not found", PROVIDER),
    (Phase.RCPT, "554 5.7.1 Client host [192.0.2.1] blocked using a list", PROVIDER),
    # the address is dead
    (Phase.RCPT, "550 5.1.1 no such user", DEAD),
    (Phase.RCPT, "550 5.1.2 no such host", DEAD),
    (Phase.RCPT, "501 5.1.3 bad address syntax", DEAD),
    (Phase.RCPT, "551 5.1.6 moved", DEAD),
    (Phase.RCPT, "556 5.1.10 null MX", DEAD),
    (Phase.RCPT, "550 5.2.1 mailbox disabled", DEAD),
    # this edition is lost for this reader, and the address is kept
    (Phase.RCPT, "452 4.2.2 over quota", FULL),
    (Phase.DOT, "452 4.2.2 over quota", FULL),
    (Phase.RCPT, "552 5.2.2 mailbox full", FULL),
    (Phase.RCPT, "552 full", FULL),
    (Phase.RCPT, "550 5.7.1 looks like spam", UNWANTED),
    (Phase.RCPT, "550 5.7.1 policy", UNWANTED),
    (Phase.RCPT, "554 your mail looks like spam", UNWANTED),
    (Phase.RCPT, "554 5.7.1 <a@b.example>: Recipient address rejected: Access denied", UNWANTED),
    (Phase.RCPT, "550 no", OTHER),
    (Phase.RCPT, "550 5.1.11 no code of ours", OTHER),
    (Phase.DATA, "554 5.5.1 no valid recipients", OTHER),
    (Phase.DATA, "550 5.1.1 no such user", OTHER),
    (Phase.DOT, "550 5.1.1 no such user", OTHER),
    (Phase.DOT, "554 5.7.1 content refused; see the relay's policy", CONTENT),
    (Phase.DOT, "552 5.7.0 blocked: potential security issue", CONTENT),
    (Phase.DOT, "550 5.7.1 relaying of such content is not permitted", CONTENT),
    (Phase.DOT, "554 this is spam", CONTENT),
    (Phase.DOT, "552 5.3.4 too big", TOO_BIG),
    (Phase.RCPT, "552 5.2.3 too big for this mailbox", TOO_BIG),
    (Phase.MAIL, "552 5.3.4 message size exceeds fixed limit", TOO_BIG),
    (Phase.MAIL, "552 message size exceeds fixed maximum message size", TOO_BIG),
    (Phase.MAIL, "553 5.6.7 address needs SMTPUTF8", LETTERS),
    (Phase.RCPT, "553 5.6.7 address needs SMTPUTF8", LETTERS),
    # no sense where it stands
    (Phase.RCPT, "250 2.1.5 Ok", LOST),
    (Phase.DATA, "354 go on", LOST),
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
    st.sampled_from(
        ["", "5.1.1 x", "4.2.1 x", "4.7.1 x", "2.0.0 x", "5.7.26 x", "relay denied", "5.7.99 x"]
    ),
)
def test_laws_of_judging(phase: Phase, code: int, words: str) -> None:
    verdict = judge_reply(phase, Reply(code, (words,)))
    assert (verdict.state is State.ACCEPTED) == (phase is Phase.DOT and 200 <= code < 300)
    if 400 <= code < 500:  # a full mailbox apart, which is not emptied within the day
        assert verdict.state is State.DEFERRED
        assert verdict.scope is not Scope.OURSELVES or words == "relay denied"
    if verdict.state is State.FAILED:
        assert code >= 500
    if verdict.scope is Scope.OURSELVES or verdict.reason is Reason.IDENTITY:
        assert verdict.state is State.DEFERRED, "no reader pays for it"
    assert verdict.is_dead_address == (verdict == DEAD)
    if verdict.state is State.IN_DOUBT:
        assert phase is Phase.DOT
    if verdict.scope is Scope.RECIPIENT:
        assert phase is Phase.RCPT


def test_a_lost_connection_is_in_doubt_only_after_the_dot() -> None:
    assert judge_loss(in_doubt=True) == DOUBT
    assert judge_loss(in_doubt=False) == LOST


def test_a_fault_of_ours_fails_a_reader_only_if_others_had_none() -> None:
    assert judge_fault(is_of_the_reader=True) == failed(Reason.FAULT)
    assert judge_fault(is_of_the_reader=False) == later(Scope.MESSAGE, Reason.FAULT)


MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("attempts", [1, 2, 3])
@pytest.mark.parametrize("spread", [0, 0.5, 0.999])
def test_what_is_greylisted_comes_back_in_5_to_15_minutes(attempts: int, spread: float) -> None:
    pause = decide_pause(GREY, 5 * MINUTE, attempts, spread=spread)
    assert 5 * MINUTE <= pause <= 15 * MINUTE


def test_what_is_put_off_for_ever_backs_off_like_anything_else() -> None:
    assert decide_pause(GREY, 5 * MINUTE, 10, spread=0.5) == timedelta(hours=1)
    assert decide_pause(RELAY_BUSY, 5 * MINUTE, 2, spread=0.5) == 10 * MINUTE


def test_a_crowded_connection_costs_no_time_once() -> None:
    assert CROWDED.wants_new_connection
    assert decide_pause(CROWDED, 5 * MINUTE, 1, spread=0.5) == timedelta(0)
    assert decide_pause(CROWDED, 5 * MINUTE, 2, spread=0.5) == 10 * MINUTE


@pytest.mark.parametrize("verdict", [STOP, ACCEPTED, DEAD, judge_fault(is_of_the_reader=False)])
def test_what_waits_for_a_person_or_for_nothing_is_due_at_once(verdict: Verdict) -> None:
    assert decide_pause(verdict, 5 * MINUTE, 3, spread=0.5) == timedelta(0)


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
