"""Judging what a relay said: what becomes of this reader's message, and of the connection.

A refusal is judged by its phase and its enhanced code (RFC 3463) together. The same "5.7.1"
means "we do not know you" at MAIL, where every message would meet it, and "this content is
not wanted" after the dot, where it costs one reader one edition. Treating every 5yz as a
dead address throws good readers away.

    scope       permanent (5yz)                              transient (4yz)
    recipient   RCPT with 5.1.x or 5.2.1: failed             RCPT: deferred
    message     its size or its address's letters at MAIL,   deferred
                RCPT other, DATA, dot: failed
    ourselves   MAIL else; anywhere a login that is wanted   deferred
                or wrong, relaying denied, or our
                SPF, DKIM, DMARC or PTR refused: stop
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from newsletter.delivery.lifecycle import State
from newsletter.smtp.protocol import Phase, Reply

_ADDRESS_IS_DEAD = ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1")
_LOCAL_TO_THE_MESSAGE = ("5.3.4", "5.6.7")  # too big (RFC 1870 §6), needs SMTPUTF8 (RFC 6531)
_WE_ARE_REFUSED = {530, 534, 535, 538}  # RFC 4954 §6: authentication is wanted or has failed
# RFC 7372 and the codes that Gmail and Microsoft made for the same: SPF, DKIM, DMARC, PTR;
# 5.7.54 is Exchange's "unable to relay". More readers would only meet the same answer.
_IDENTITY_IS_REFUSED = re.compile(r"5\.7\.(8|2[0-7]|30|32|54|515)")
# A relay that does not know our login says so to each RCPT, mostly as a bare 5.7.1.
_RELAYING_IS_DENIED = re.compile(
    r"\brelay(ing)?\b.*\b(denied|prohibited|not (permitted|allowed))|unable to relay|rcpthosts",
    re.IGNORECASE,
)
MAX_BACKOFF = timedelta(hours=1)


class Scope(Enum):
    """Whom a verdict is about."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    RELAY = "relay"
    OURSELVES = "ourselves"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the delivery, and whom it is about.

    A verdict about ourselves stops the edition and leaves the delivery open, due at once: an
    operator has something to mend, and no reader pays for it.
    """

    state: State
    scope: Scope


def judge_reply(phase: Phase, reply: Reply) -> Verdict:
    """Judge a complete, well-formed reply to one phase of a message.

    A reply that makes no sense where it stands is judged as a lost connection is.
    """
    if phase is Phase.DOT and reply.positive:
        return Verdict(State.ACCEPTED, Scope.MESSAGE)
    if reply.transient:
        scope = Scope.RECIPIENT if phase is Phase.RCPT else Scope.RELAY
        return Verdict(State.DEFERRED, scope)
    if not reply.permanent:
        return judge_loss(in_doubt=phase is Phase.DOT)
    if _is_about_us(phase, reply):
        return Verdict(State.DEFERRED, Scope.OURSELVES)
    if phase is Phase.RCPT and reply.enhanced in _ADDRESS_IS_DEAD:
        return Verdict(State.FAILED, Scope.RECIPIENT)
    return Verdict(State.FAILED, Scope.MESSAGE)


def _is_about_us(phase: Phase, reply: Reply) -> bool:
    if phase is Phase.MAIL and reply.enhanced not in _LOCAL_TO_THE_MESSAGE:
        return reply.code != 552 or bool(reply.enhanced)  # a bare 552 is SIZE's (RFC 1870 §6)
    if reply.code in _WE_ARE_REFUSED or _IDENTITY_IS_REFUSED.fullmatch(reply.enhanced):
        return True
    return phase is Phase.RCPT and bool(_RELAYING_IS_DENIED.search(" ".join(reply.lines)))


def judge_loss(*, in_doubt: bool) -> Verdict:
    """Judge a connection that ended before the reply: certain before the dot, not after."""
    return Verdict(State.IN_DOUBT if in_doubt else State.DEFERRED, Scope.RELAY)


def decide_backoff(first: timedelta, attempts: int, *, spread: float) -> timedelta:
    """Decide the pause after the n-th attempt: doubling, at most an hour, jittered.

    `spread` is uniform in [0, 1) and comes from the caller; the pause lies between 75 % and
    125 % of its step, so that a thousand messages deferred at once do not return at once.
    """
    doublings = min(max(attempts - 1, 0), 12)  # a second, doubled so often, is past the hour
    step = min(first * (1 << doublings), max(MAX_BACKOFF, first))
    return step * (0.75 + spread / 2)
