"""What a relay's words mean, in plain ones: pure, and for people only.

The judgement of a reply is `delivery.retry`'s; this says afterwards what an operator reads in
it. The words of a stored reply begin with its code and, mostly, an enhanced one (RFC 3463):
"450 4.2.0 Greylisted". Other words are our own: what came of a connection, not of a reply.
"""

from __future__ import annotations

import re

from newsletter.delivery.lifecycle import State

_REPLY = re.compile(r"(?P<code>[2-5]\d\d)(?: (?P<enhanced>[245]\.\d{1,3}\.\d{1,3}))?\b")
_GREYLISTED = re.compile(r"gr[ae]y.?list", re.IGNORECASE)

_MEANING = {  # RFC 3463 §3 and RFC 7372, by subject and detail
    "1.1": "there is no such mailbox",
    "1.2": "there is no such domain",
    "1.3": "the address is not one",
    "1.6": "the mailbox has moved",
    "1.10": "the domain takes no mail",
    "2.1": "the mailbox is closed",
    "2.2": "the mailbox is full",
    "2.3": "the message is too big for the mailbox",
    "3.4": "the message is too big",
    "4.1": "the next server does not answer",
    "4.3": "the domain's servers cannot be found",
    "4.4": "no way to the domain is known",
    "5.3": "too many recipients at once",
    "6.7": "the address needs a server that takes letters beyond ASCII",
    "7.1": "the receiving side does not want it",
    "7.20": "our DKIM signature did not pass",
    "7.23": "our SPF did not pass",
    "7.25": "this machine's name in the DNS did not pass",
    "7.26": "our SPF and DKIM did not pass",
    "7.28": "too much mail came too fast",
    "7.515": "our SPF, DKIM or DMARC did not pass",
}
_SUBJECT = {
    "1": "something about the address",
    "2": "something about the mailbox",
    "3": "something about the receiving server",
    "4": "something on the way there",
    "5": "something about the conversation",
    "6": "something about the content",
    "7": "the receiving side's policy",
}
_OUTCOME = {
    State.ACCEPTED: "the relay took it",
    State.DEFERRED: "the relay put it off",
    State.FAILED: "the relay refused it for good",
    State.IN_DOUBT: "it was handed over and never answered: the relay may have it or not",
    State.BOUNCED: "it came back later",
    State.EXPIRED: "it was given up",
    State.SUPPRESSED: "the reader had left the list before it was sent",
    State.PENDING: "not tried yet",
    State.LEASED: "about to be sent",
    State.SENDING: "being sent",
}


def explain_outcome(state: State, reply: str) -> str:
    """Say what became of an attempt, and why as far as the relay's words tell."""
    said = _OUTCOME[state]
    if state not in (State.DEFERRED, State.FAILED, State.BOUNCED):
        return said
    found = _REPLY.match(reply)
    if found is None and state is not State.BOUNCED:  # our own words
        return "it was not handed over" if state is State.DEFERRED else "it could not be sent"
    if why := _explain_code(found["enhanced"] or "" if found else "", reply):
        return f"{said}: {why}"
    return said


def _explain_code(enhanced: str, reply: str) -> str:
    if _GREYLISTED.search(reply):
        return "it wants to be asked again after a while (greylisting)"
    _, _, detail = enhanced.partition(".")
    return _MEANING.get(detail) or _SUBJECT.get(detail.partition(".")[0], "")
