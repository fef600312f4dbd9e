"""Judging what a relay said: what becomes of this reader's message, and whom the answer is about.

A refusal is judged by its phase, its enhanced code (RFC 3463) and, where codes are known to
be used loosely, its words. The same "5.7.1" means "we do not know you" at MAIL, where every
message would meet it, and "this content is not wanted" after the dot, where it costs one
reader one edition. Treating every 5yz as a dead address throws good readers away.

    about        permanent (5yz)                              transient (4yz)
    recipient    RCPT with 5.1.x or 5.2.1: failed, and        RCPT, and 4.2.x anywhere: deferred
                 the address is dead
    message      size, letters, mailbox full, spam, content,  mailbox full: failed; 452 4.5.3:
                 anything else at RCPT, DATA, dot: failed     deferred, over a new connection
    domain       our SPF, DKIM, DMARC or PTR refused at RCPT  4.7.x at RCPT or dot: deferred
                 or dot by one provider: deferred             and slower
    relay        -                                            421 anywhere, all at MAIL and DATA,
                                                              the rest at the dot: deferred
    ourselves    MAIL else; a login that is wanted or wrong   RCPT, where relaying is denied or
                 or may not use our sender's address at any   the sender's address is another's:
                 phase; RCPT where relaying is denied: stop   stop

A connection that ends is about the relay: certain before the dot, in doubt after it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from newsletter.delivery.lifecycle import State
from newsletter.smtp.protocol import Phase, Reply

MAX_BACKOFF = timedelta(hours=1)
_DOUBLINGS = 12  # a second, doubled so often, is past the hour

_ADDRESS_IS_DEAD = ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1")
_TOO_BIG = ("5.2.3", "5.3.4")  # RFC 3463 §3.3, §3.4; RFC 1870 §6
_BEYOND_ITS_LETTERS = ("5.6.7", "5.6.9", "5.6.10")  # SMTPUTF8 (RFC 6531 §4.6)
_WE_ARE_REFUSED = {530, 534, 535, 538}  # RFC 4954 §6: authentication is wanted or has failed
# RFC 7372 and the codes that Gmail and Microsoft made for the same: SPF, DKIM, DMARC, PTR.
# 5.1.7 and 5.1.8 are RFC 3463's for our sender's address.
_IDENTITY_IS_REFUSED = re.compile(r"5\.7\.(2[0-7]|29|30|32|509|515)|5\.1\.[78]")
_IDENTITY_IN_WORDS = re.compile(r"\b(spf|dkim|dmarc)\b", re.IGNORECASE)
# A relay that does not know our login says so to each RCPT, mostly as a bare 5.7.1;
# 5.7.54 is Exchange's "unable to relay".
_RELAYING_IS_DENIED = re.compile(
    r"\brelay(ing)?\b.*\b(denied|prohibited|not (permitted|allowed))|unable to relay|rcpthosts",
    re.IGNORECASE,
)
# A login that may not use this sender's address; 5.7.60 is Exchange's for the same.
_SENDER_IS_ANOTHERS = re.compile(
    r"sender address rejected: not (owned by|logged in)|permissions? to send as th(is|e) sender",
    re.IGNORECASE,
)
_PASSES_BY_ITSELF = re.compile(r"gr[ae]y.?list|temporar", re.IGNORECASE)
# Postfix and Exim put off what they think of the client until RCPT.
_ABOUT_THE_CLIENT = re.compile(
    r"\b(client host|helo command|sender address)\b.*\b(rejected|blocked)"
    r"|reverse (dns|hostname|lookup)",
    re.IGNORECASE,
)
_GREYLISTED = re.compile(r"gr[ae]y.?list", re.IGNORECASE)
_THROTTLED = re.compile(
    r"\brate\b|too (many|fast|much)|throttl|\blimit|unusual|reputation|\[TSS?\d+\]"
    r"|temporarily deferred",
    re.IGNORECASE,
)
_UNWANTED = re.compile(
    r"\bspam|\bblock|black.?list|reputation|unsolicited|\bbulk\b|junk|\babus", re.IGNORECASE
)


class Scope(Enum):
    """Whom a verdict is about."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    DOMAIN = "domain"
    """The recipient's provider, which answers through the relay."""
    RELAY = "relay"
    OURSELVES = "ourselves"


class Reason(Enum):
    """What a verdict rests on: what slows the pace, feeds the guards, and is counted."""

    ACCEPTED = "accepted"
    DEAD = "no such address"
    FULL = "mailbox full"
    UNWANTED = "not wanted by the provider"
    CONTENT = "content refused"
    TOO_BIG = "too big"
    LETTERS = "address needs SMTPUTF8"
    IDENTITY = "SPF, DKIM, DMARC or PTR refused"
    WE = "login, sender or this machine refused"
    GREYLISTED = "to be tried again in some minutes"
    CROWDED = "too many recipients over one connection"
    THROTTLED = "too fast"
    BUSY = "not now"
    LOST = "connection lost"
    FAULT = "message could not be made"
    OTHER = "refused"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the delivery, whom it is about, and why.

    A verdict about ourselves stops the edition, one of identity about a domain stops that
    provider. Both leave the delivery open: an operator has something to mend, and no reader
    pays for it.
    """

    state: State
    scope: Scope
    reason: Reason

    @property
    def is_dead_address(self) -> bool:
        """Whether the address must not be mailed again, if the guards believe it."""
        return self.reason is Reason.DEAD

    @property
    def wants_new_connection(self) -> bool:
        """Whether the connection is used up, without anybody's fault (452 4.5.3)."""
        return self.reason is Reason.CROWDED


ACCEPTED = Verdict(State.ACCEPTED, Scope.MESSAGE, Reason.ACCEPTED)
_STOP = Verdict(State.DEFERRED, Scope.OURSELVES, Reason.WE)
_DEAD = Verdict(State.FAILED, Scope.RECIPIENT, Reason.DEAD)
_CROWDED = Verdict(State.DEFERRED, Scope.MESSAGE, Reason.CROWDED)
_IDENTITY = Verdict(State.DEFERRED, Scope.DOMAIN, Reason.IDENTITY)
_LOST = Verdict(State.DEFERRED, Scope.RELAY, Reason.LOST)
_DOUBT = Verdict(State.IN_DOUBT, Scope.RELAY, Reason.LOST)
_RELAY_BUSY = Verdict(State.DEFERRED, Scope.RELAY, Reason.BUSY)
_RELAY_SLOWER = Verdict(State.DEFERRED, Scope.RELAY, Reason.THROTTLED)
_DOMAIN_SLOWER = Verdict(State.DEFERRED, Scope.DOMAIN, Reason.THROTTLED)


def judge_reply(phase: Phase, reply: Reply) -> Verdict:
    """Judge a complete, well-formed reply to one phase of a message.

    A reply that makes no sense where it stands is judged as a lost connection is.
    """
    if phase is Phase.DOT and reply.positive:
        return ACCEPTED
    if reply.transient:
        return _judge_transient(phase, reply)
    if reply.permanent:
        return _judge_permanent(phase, reply)
    return judge_loss(in_doubt=phase is Phase.DOT)


def judge_loss(*, in_doubt: bool) -> Verdict:
    """Judge a connection that ended before the reply: certain before the dot, not after."""
    return _DOUBT if in_doubt else _LOST


def judge_fault(*, is_of_the_reader: bool) -> Verdict:
    """Judge a message that could not be made or said.

    Where others could, the fault lies in this reader's data. Until one could, it may lie in
    the edition: then nobody is failed for it, and the guards stop the run.
    """
    state = State.FAILED if is_of_the_reader else State.DEFERRED
    return Verdict(state, Scope.MESSAGE, Reason.FAULT)


def _judge_transient(phase: Phase, reply: Reply) -> Verdict:
    code, enhanced, words = reply.code, reply.enhanced, " ".join(reply.lines)
    if code == 421:  # the relay closes (RFC 5321 §3.8): whatever it thinks of, it is its own
        return _RELAY_SLOWER
    if phase in (Phase.MAIL, Phase.DATA):
        return _RELAY_SLOWER if enhanced.startswith("4.7.") else _RELAY_BUSY
    if enhanced == "4.5.3":
        return _CROWDED
    if enhanced == "4.2.2":
        return _fail(Reason.FULL)
    if phase is not Phase.RCPT:
        if enhanced.startswith("4.2."):
            return Verdict(State.DEFERRED, Scope.MESSAGE, Reason.GREYLISTED)
        is_throttled = enhanced.startswith("4.7.") and code != 454
        return _DOMAIN_SLOWER if is_throttled else _RELAY_BUSY
    if _RELAYING_IS_DENIED.search(words) or _SENDER_IS_ANOTHERS.search(words):
        # Postfix says so with 454 as it is set up at first: it defers what will never be allowed.
        return _RELAY_BUSY if _PASSES_BY_ITSELF.search(words) else _STOP
    if _ABOUT_THE_CLIENT.search(words):
        return _RELAY_BUSY
    # RFC 6647 greylists with 4.7.1, so that code alone says nothing about our speed.
    is_about_speed = enhanced != "4.7.1" or _THROTTLED.search(words)
    if enhanced.startswith("4.7.") and is_about_speed and not _GREYLISTED.search(words):
        return _DOMAIN_SLOWER
    return Verdict(State.DEFERRED, Scope.RECIPIENT, Reason.GREYLISTED)


def _judge_permanent(phase: Phase, reply: Reply) -> Verdict:
    code, enhanced, words = reply.code, reply.enhanced, " ".join(reply.lines)
    if enhanced in _BEYOND_ITS_LETTERS:
        return _fail(Reason.LETTERS)
    if enhanced in _TOO_BIG or (code == 552 and not enhanced and phase is not Phase.RCPT):
        return _fail(Reason.TOO_BIG)  # a bare 552 is SIZE's (RFC 1870 §6)
    if phase is Phase.MAIL or code in _WE_ARE_REFUSED or enhanced == "5.7.8":
        return _STOP
    if phase is Phase.RCPT and (enhanced == "5.7.54" or _RELAYING_IS_DENIED.search(words)):
        return _STOP
    if enhanced == "5.7.60" or _SENDER_IS_ANOTHERS.search(words):
        return _STOP
    is_policy = enhanced.startswith("5.7.")
    is_of_identity = _IDENTITY_IS_REFUSED.fullmatch(enhanced) or _ABOUT_THE_CLIENT.search(words)
    if is_of_identity or (is_policy and _IDENTITY_IN_WORDS.search(words)):
        return _IDENTITY
    if enhanced == "5.2.2" or (phase is Phase.RCPT and code == 552):
        return _fail(Reason.FULL)
    if phase is not Phase.RCPT:
        return _fail(Reason.CONTENT if is_policy or _UNWANTED.search(words) else Reason.OTHER)
    if enhanced in _ADDRESS_IS_DEAD:
        return _DEAD
    return _fail(Reason.UNWANTED if is_policy or _UNWANTED.search(words) else Reason.OTHER)


def _fail(reason: Reason) -> Verdict:
    return Verdict(State.FAILED, Scope.MESSAGE, reason)


def decide_pause(verdict: Verdict, first: timedelta, attempts: int, *, spread: float) -> timedelta:
    """Decide how long a delivery waits after its n-th attempt; nothing where it waits for none.

    `first` is the operator's first pause, five minutes unless set. `spread` is uniform in
    [0, 1) and comes from the caller, so that a thousand messages deferred at once do not
    return at once. A refusal of ourselves and our own faults make the delivery due at once:
    what is waited for is an operator. Greylisting wants one to three such pauses whatever
    the number of attempts: 5 to 15 minutes (RFC 6647 §5).
    """
    if verdict.state not in (State.DEFERRED, State.IN_DOUBT):
        return timedelta(0)
    match verdict.reason:
        case Reason.WE | Reason.FAULT:
            return timedelta(0)
        case Reason.CROWDED:  # once; a relay that says it to every message is only busy
            return timedelta(0) if attempts <= 1 else decide_backoff(first, attempts, spread=spread)
        case Reason.GREYLISTED if attempts <= 3:
            return first * (1 + spread) if attempts <= 1 else first * (2 + spread)
        case _:
            return decide_backoff(first, attempts, spread=spread)


def decide_backoff(first: timedelta, attempts: int, *, spread: float) -> timedelta:
    """Decide the pause after the n-th attempt: doubling, at most an hour, jittered.

    The pause lies between 75 % and 125 % of its step.
    """
    doublings = min(max(attempts - 1, 0), _DOUBLINGS)
    step = min(first * (1 << doublings), max(MAX_BACKOFF, first))
    return step * (0.75 + spread / 2)
