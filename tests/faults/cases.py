"""The fault matrix as data: every row of the requirements that concerns sending.

A row is played by one case or several. `first` are the outcomes for the reader whom the fault
meets; where the fault passes, the last of them shows that the same reader is served after
all. What all cases have in common is checked by the test: every reader in one state, nobody
mailed twice, nobody recorded as accepted without the relay's word.

Where a relay keeps us waiting, the ceiling it runs into is some hundred times shorter than in
production: "4 of 5 minutes" is 4 of 5 seconds here. All other ceilings are `stage.PATIENT`'s.

Where a row can be read in two ways:

15   A stray 250 that comes before our final dot has left is certain: DEFER. UNKNOWN would keep
     the edition from a reader who certainly has not got it.
49   A relay without SMTPUTF8 costs the reader this edition. The address is not suppressed:
     another relay may take it.
51   Bounces that come back as mail are the bounce room's; here a relay says 5.1.1 to everybody.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest import mock

from newsletter.delivery.lifecycle import State
from newsletter.smtp.connection import Timeouts
from tests.faults.stage import LOGIN, OFFERS, PATIENT, READERS, Case, Observed
from tests.relays import (
    Peer,
    Step,
    drip,
    drop,
    half_close,
    reset,
    silence,
    wait,
)

ACCEPTED, DEFERRED, FAILED = State.ACCEPTED, State.DEFERRED, State.FAILED
IN_DOUBT, PENDING = State.IN_DOUBT, State.PENDING

SENT: Any = {"end": "sent", "required": "SENT", "first": (ACCEPTED,)}
DEFER: Any = {"end": "sent", "required": "DEFER", "first": (DEFERRED, ACCEPTED)}
"""Deferred, and accepted when the fault has passed."""
FAIL_MSG: Any = {"end": "sent", "required": "FAIL-msg", "first": (FAILED,)}
UNKNOWN: Any = {"end": "sent", "required": "UNKNOWN", "first": (IN_DOUBT,)}
NEVER_REACHED: Any = {
    "end": "later",
    "required": "DEFER",
    "counts": {PENDING: len(READERS)},
    "pipelining": (False,),
}
STOP: Any = {"end": "stop", "required": "STOP"}
STOP_AT_ONCE: Any = STOP | {"counts": {PENDING: len(READERS)}, "pipelining": (False,)}
"""Before any message was begun."""

NOT_TODAY = "450 4.2.0 not today"
GO_ON = b"354 go ahead\r\n"


def cork(peer: Peer) -> None:
    """Hold back what is said from here on."""
    peer.send = mock.Mock()  # type: ignore[method-assign]


def uncork(peer: Peer) -> None:
    """Say in one packet what was held back."""
    held = [call.args[0] for call in peer.send.call_args_list]  # type: ignore[attr-defined]
    del peer.send
    peer.send(b"".join(held))


def flood(data: bytes) -> Step:
    """Say it until nobody listens."""

    def play(peer: Peer) -> None:
        while not peer.closing.is_set():
            peer.send(data)

    return play


def refuse_rcpt(peer: Peer) -> None:
    """Read RCPT and refuse it, and whatever comes with it."""
    peer.read_line()
    peer.send(b"550 5.1.1 no such user\r\n")
    if peer.read_line().startswith(b"DATA"):
        peer.send(b"503 5.5.1 no recipient\r\n")


def at(domain: str, count: int) -> tuple[str, ...]:
    return tuple(f"reader{number}@{domain}" for number in range(count))


@contextlib.contextmanager
def patched_clocks() -> Iterator[None]:
    """Look and beat seldom: each time that is done ends a jump of the clock."""
    with (
        mock.patch("newsletter.delivery.sender.LOOK_SECONDS", 1800),
        mock.patch("newsletter.delivery.sender.LEASE", timedelta(hours=1)),
    ):
        yield


@contextlib.contextmanager
def resolver(error: int) -> Iterator[None]:
    """Have names looked up in vain."""
    with mock.patch("socket.getaddrinfo", side_effect=socket.gaierror(error, "scripted")):
        yield


DAY: Any = {
    "warps": True,
    "hours": 24,
    "retry_after": 300,
    "timeouts": Timeouts(),
    "around": patched_clocks,
    "within": 60,
}


# -- what else must be true ------------------------------------------------------------------------


def untouched(observed: Observed) -> str:
    """Nobody was even begun, and nothing secret left."""
    if any(session.logged_in for session in observed.relay.sessions):
        return "it logged in"
    if any(command.startswith("MAIL") for s in observed.relay.sessions for command in s.commands):
        return "a message was begun"
    return "attempts were recorded" if observed.tries else ""


def no_secret(observed: Observed) -> str:
    said = [command for s in observed.relay.sessions for command in s.commands]
    return "it tried to log in" if any(c.startswith("AUTH") for c in said) else untouched(observed)


def at_most_two_logins(observed: Observed) -> str:
    tries = sum(c.startswith("AUTH") for s in observed.relay.sessions for c in s.commands)
    return "" if 1 <= tries <= 2 else f"it tried to log in {tries} times"


def same_tuple(observed: Observed) -> str:
    """Greylisting lets in the same sender and recipient only, and the bytes stay the same."""
    tuples = {
        (mail, rcpt)
        for session in observed.relay.sessions
        for mail, rcpt in zip(session.commands, session.commands[1:], strict=False)
        if mail.startswith("MAIL") and rcpt.startswith("RCPT TO:<reader1@")
    }
    return "" if len(tuples) == 1 else f"it came as {tuples}"


def due_in_minutes(observed: Observed) -> str:
    if timedelta(minutes=5) <= observed.due_in <= timedelta(minutes=15):
        return ""
    return f"due again in {observed.due_in}"


def over_another_connection(observed: Observed) -> str:
    connections = len(observed.relay.sessions)
    return "" if connections >= 2 else f"{connections} connections"


def over_one_connection(observed: Observed) -> str:
    connections = len(observed.relay.sessions)
    return "" if connections == 1 else f"{connections} connections"


def one_attempt_each(observed: Observed) -> str:
    readers = sum(observed.counts.values())
    return "" if observed.tries == readers else f"{observed.tries} attempts for {readers} readers"


def few_attempts(observed: Observed) -> str:
    """A destination that puts everything off is left alone after some, not tried with all."""
    return "" if observed.tries <= 25 else f"{observed.tries} attempts"


def nothing_said(observed: Observed) -> str:
    """What was said to be too big, or beyond its letters, is not even asked."""
    said = [c for s in observed.relay.sessions for c in s.verbs]
    return "it was begun all the same" if "MAIL" in said else ""


def seven_bit(observed: Observed) -> str:
    if any(not taken.content.isascii() for taken in observed.relay.dotted):
        return "8-bit bytes were sent"
    said = [c for s in observed.relay.sessions for c in s.commands]
    return "it asked for what was not offered" if any("BODY=" in c for c in said) else ""


def readable(observed: Observed) -> str:
    return "" if "voil" in observed.replies[0] else f"kept {observed.replies[0]!r}"


def only_its_readers_wait(observed: Observed) -> str:
    """Nobody pays for it, and the other provider's readers are served.

    What was begun together with the message that was refused may still get through.
    """
    states = observed.states
    waiting = [email for email, state in states.items() if state in (PENDING, DEFERRED)]
    if {*observed.counts} - {PENDING, DEFERRED, ACCEPTED}:
        return f"somebody pays for it: {observed.counts}"
    if any(email.endswith("@b.example") for email in waiting):
        return f"readers of the other provider wait: {waiting}"
    return "" if len(waiting) >= 4 and observed.tries <= 7 else f"only {waiting} wait"


def expired_and_reported(observed: Observed) -> str:
    """It was tried through the day, not too often, and the relay's words are shown."""
    told = [(state, said) for state, said, _ in observed.reported]
    if not any(state is State.EXPIRED and "not today" in said for state, said in told):
        return f"an operator is shown {told}"
    tries = len(observed.first)
    return "" if 15 <= tries <= 60 else f"{tries} attempts in 24 h"


def one_copy_each(observed: Observed) -> str:
    copies = [taken.recipient for taken in observed.relay.accepted]
    return "" if len(copies) == len({*copies}) else f"copies to {copies}"


def doubts_within_the_window(observed: Observed) -> str:
    doubts = observed.counts.get(IN_DOUBT, 0)
    return "" if 1 <= doubts <= 8 else f"{doubts} in doubt over a window of 8"


def no_dot(observed: Observed) -> str:
    return "a dot left" if observed.relay.dotted else ""


CASES = (
    # -- connecting ----------------------------------------------------------------------------
    Case(
        row=1,
        behaviour="connection refused",
        **NEVER_REACHED,
        says="could not be reached",
        url=lambda _url: "smtp://127.0.0.1:1?tls=none",
    ),
    Case(
        row=1,
        behaviour="DNS SERVFAIL",
        **NEVER_REACHED,
        says="could not be looked up",
        url=lambda _url: "smtp://relay.example:25?tls=starttls",
        around=lambda: resolver(socket.EAI_AGAIN),
    ),
    Case(
        row=1,
        behaviour="NXDOMAIN of the relay",
        **STOP_AT_ONCE,
        says="no host is called",
        check=untouched,
        url=lambda _url: "smtp://relay.example:25?tls=starttls",
        around=lambda: resolver(socket.EAI_NONAME),
    ),
    Case(
        row=1,
        behaviour="gone in the midst, then back",
        **SENT,
        check=one_attempt_each,
        script={
            ".": [("250 2.0.0 queued", drop)],
            "connect": ["220 hello", drop, drop],
        },
        within=8,
    ),
    Case(
        row=2,
        behaviour="421 at connect",
        **NEVER_REACHED,
        says="421",
        script={"connect": ("421 4.3.2 too busy", drop)},
    ),
    Case(
        row=2,
        behaviour="421 at connect in the midst",
        **SENT,
        check=one_attempt_each,
        script={
            ".": [("250 2.0.0 queued", drop)],
            "connect": ["220 hello", ("421 4.3.2 too busy", drop), ("421 4.3.2 too busy", drop)],
        },
        within=8,
    ),
    Case(
        row=3,
        behaviour="554 at connect",
        **STOP_AT_ONCE,
        says="554 5.7.1 no service",
        check=untouched,
        script={"connect": ("554 5.7.1 no service for you", silence)},
    ),
    Case(
        row=4,
        behaviour="no banner",
        **NEVER_REACHED,
        script={"connect": silence},
        timeouts=replace(PATIENT, greeting=0.5),
    ),
    Case(
        row=5,
        behaviour="banner dripped, a byte at a time",
        **NEVER_REACHED,
        script={"connect": drip(b"220 " + b"x" * 400 + b"\r\n", 0.04)},
        timeouts=replace(PATIENT, greeting=0.5),
    ),
    Case(
        row=6,
        behaviour="banner after 80 % of its ceiling",
        **SENT,
        script={"connect": (wait(4), "220 ready")},
        timeouts=replace(PATIENT, greeting=5),
        within=12,
    ),
    # -- saying hello --------------------------------------------------------------------------
    Case(
        row=7,
        behaviour="endless EHLO lines",
        **NEVER_REACHED,
        script={"EHLO": flood(b"250-" + b"x" * 900 + b"\r\n")},
    ),
    Case(
        row=9,
        behaviour="EHLO 502, neither TLS nor login wanted",
        **SENT,
        script={"EHLO": "502 5.5.1 no such command"},
    ),
    Case(
        row=9,
        behaviour="EHLO 502, TLS wanted",
        **STOP_AT_ONCE,
        check=no_secret,
        script={"EHLO": "502 5.5.1 no such command"},
        tls="valid",
        login=True,
    ),
    # -- replies -------------------------------------------------------------------------------
    Case(
        row=8,
        behaviour="20 kB reply line at RCPT",
        **DEFER,
        script={"RCPT": [b"250 " + b"x" * 20_000 + b"\r\n"]},
    ),
    Case(
        row=8,
        behaviour="20 kB reply line after the dot",
        **UNKNOWN,
        script={".": [b"250 " + b"x" * 20_000 + b"\r\n"]},
    ),
    Case(row=10, behaviour="no number at RCPT", **DEFER, script={"RCPT": [b"OK, go on\r\n"]}),
    Case(row=10, behaviour="no number after the dot", **UNKNOWN, script={".": [b"Thanks\r\n"]}),
    Case(
        row=11,
        behaviour="250OK and bare LF",
        **SENT,
        script={"MAIL": b"250OK\r\n", "RCPT": b"250 ok\n", ".": b"250OK\n"},
    ),
    Case(
        row=12,
        behaviour="latin-1 words in a refusal",
        **FAIL_MSG,
        check=readable,
        script={"RCPT": [b"550 5.3.0 voil\xe0\r\n"]},
    ),
    Case(
        row=13,
        behaviour="250- and 550 in one reply at RCPT",
        **DEFER,
        check=over_another_connection,
        script={"RCPT": [b"250-2.1.5 ok\r\n550 5.1.1 no\r\n"]},
    ),
    Case(
        row=14,
        behaviour="550- and 250 in one reply after the dot",
        **UNKNOWN,
        check=over_another_connection,
        script={".": [b"550-5.7.1 no\r\n250 2.0.0 ok\r\n"]},
    ),
    Case(
        row=15,
        behaviour="stray 250 before the body was read",
        **DEFER | {"required": "close, UNKNOWN if the dot left, else DEFER"},
        check=over_another_connection,
        script={"DATA": [("354 go ahead", b"250 2.0.0 queued\r\n")]},
    ),
    Case(
        row=16,
        behaviour="an extra 250 after MAIL, then 550",
        **DEFER,
        check=over_another_connection,
        script={"MAIL": [(b"250 2.1.0 ok\r\n250 2.1.0 ok\r\n", refuse_rcpt)]},
    ),
    Case(
        row=16,
        behaviour="the same, the 250 by itself",
        **DEFER,
        check=over_another_connection,
        script={"MAIL": [("250 2.1.0 ok", wait(0.1), b"250 2.1.0 ok\r\n", refuse_rcpt)]},
    ),
    Case(
        row=16,
        behaviour="an extra 250 after MAIL, then 550, in a window",
        required="UNKNOWN",
        end="sent",
        counts={State.ACCEPTED: 1, State.IN_DOUBT: 2},
        script={
            "MAIL": ["250 2.1.0 ok", (b"250 2.1.0 ok\r\n250 2.1.0 ok\r\n",)],
            "RCPT": ["250 2.1.5 ok", "550 5.1.1 no such user"],
            "BDAT": ["250 2.0.0 queued", (wait(0.1), b"503 5.5.1 no recipient\r\n")],
        },
        pipelining=(True,),
        window=4,
    ),
    # -- refusals ------------------------------------------------------------------------------
    Case(row=17, behaviour="450 at MAIL", **DEFER, script={"MAIL": ["450 4.3.2 later"]}),
    Case(
        row=17,
        behaviour="450 at MAIL for everybody",
        required="DEFER, BREAK",
        end="waits",
        alert="relay",
        check=few_attempts,
        script={"MAIL": "450 4.3.2 later"},
        readers=at("a.example", 100),
        retry_after=300,
        stop_after=1,
    ),
    *(
        Case(
            row=18,
            behaviour=f"{said} at MAIL",
            **STOP,
            says=said,
            script={"MAIL": said},
        )
        for said in ("550 5.7.1 who are you", "553 not your address", "550 5.1.8 no such domain")
    ),
    *(
        Case(row=18, behaviour=f"{said} at RCPT", **STOP, says=said, script={"RCPT": said})
        for said in (
            "554 5.7.1 Relay access denied",
            "454 4.7.1 Relay access denied",
            "553 5.7.1 Sender address rejected: not owned by user x",
        )
    ),
    Case(
        row=19,
        behaviour="450 greylisted at RCPT",
        **DEFER,
        check=same_tuple,
        script={"RCPT": ["450 4.2.0 greylisted", "250 ok", "250 ok"]},
    ),
    Case(
        row=19,
        behaviour="451 4.7.1 greylisted: when it comes back",
        required="DEFER 5–15 min",
        end="waits",
        first=(DEFERRED,),
        counts={DEFERRED: 1, ACCEPTED: 2},
        check=due_in_minutes,
        script={"RCPT": ["451 4.7.1 greylisted"]},
        retry_after=300,
        stop_after=1,
    ),
    Case(
        row=20,
        behaviour="452 4.5.3 too many recipients",
        **DEFER | {"required": "DEFER without penalty, reopen"},
        check=over_another_connection,
        script={"RCPT": ["452 4.5.3 too many recipients"]},
        retry_after=300,
    ),
    Case(row=21, behaviour="452 4.2.2 full", **FAIL_MSG, script={"RCPT": ["452 4.2.2 full"]}),
    Case(row=21, behaviour="552 5.2.2 full", **FAIL_MSG, script={"RCPT": ["552 5.2.2 full"]}),
    Case(
        row=22,
        behaviour="550 5.1.1",
        **FAIL_MSG | {"required": "FAIL-rcpt (suppress)"},
        suppressed=READERS[:1],
        script={"RCPT": ["550 5.1.1 no such user"]},
    ),
    Case(row=23, behaviour="550 5.7.1 spam once", **FAIL_MSG, script={"RCPT": ["550 5.7.1 spam"]}),
    Case(
        row=23,
        behaviour="550 5.7.1 spam, > 2 % of a domain",
        required="FAIL-msg, BREAK",
        end="waits",
        counts={FAILED: 5, PENDING: 15, ACCEPTED: 10},
        alert="unwanted",
        script={"RCPT": ["550 5.7.1 spam"] * 5},
        readers=(*at("a.example", 20), *at("b.example", 10)),
        stop_after=1,
    ),
    Case(
        row=23,
        behaviour="550 5.7.1 spam, > 1 % of all",
        **STOP,
        counts={FAILED: 10, PENDING: 10},
        alert="unwanted",
        script={"RCPT": "550 5.7.1 spam"},
        readers=tuple(address for n in range(20) for address in at(f"d{n}.example", 1)),
    ),
    *(
        Case(
            row=24,
            behaviour=f"{code} of one provider at {where}",
            required="STOP for that provider",
            end="waits",
            check=only_its_readers_wait,
            alert="identity",
            script={verb: [f"550 {code} we do not know you"]},
            readers=(*at("a.example", 5), *at("b.example", 5)),
            stop_after=1,
        )
        for code, where, verb in (
            ("5.7.26", "RCPT", "RCPT"),
            ("5.7.515", "RCPT", "RCPT"),
            ("5.7.26", "the dot", "."),
        )
    ),
    Case(
        row=25,
        behaviour="251 and 252 at RCPT",
        **SENT,
        script={"RCPT": ["251 2.1.5 will forward", "252 2.1.5 cannot say"]},
    ),
    # -- content -------------------------------------------------------------------------------
    Case(row=26, behaviour="451 at DATA", **DEFER, script={"DATA": ["451 4.3.0 error"]}),
    Case(
        row=27,
        behaviour="250 instead of 354",
        **DEFER,
        check=over_another_connection,
        script={"DATA": ["250 2.0.0 ok"]},
    ),
    Case(
        row=28,
        behaviour="354, then 554 without reading",
        **FAIL_MSG | {"required": "stop writing, FAIL-msg"},
        script={"DATA": [("354 go", wait(0.1), "554 5.7.1 enough", silence)]},
        receive_buffer_bytes=4096,
        huge=True,
        readers=READERS[:1],
    ),
    *(
        Case(row=29, behaviour=f"{said} after the dot", **DEFER, script={".": [said]})
        for said in ("421 4.3.0 closing", "451 4.3.0 error", "452 4.3.1 no space")
    ),
    *(
        Case(
            row=30,
            behaviour=f"552 5.3.4 size at {where}",
            **FAIL_MSG | {"required": "FAIL-msg, alert", "pipelining": (False,)},
            alert="size",
            script={verb: ["552 5.3.4 too big"]},
        )
        for where, verb in (("MAIL", "MAIL"), ("the dot", "."))
    ),
    Case(
        row=31,
        behaviour="554 5.7.1 content after the dot once",
        **FAIL_MSG,
        script={".": ["554 5.7.1 content refused"]},
    ),
    Case(
        row=31,
        behaviour="554 5.7.1 content for everybody",
        **STOP,
        counts={FAILED: 10, PENDING: 20},
        alert="unwanted",
        script={".": "554 5.7.1 content refused"},
        readers=at("a.example", 30),
    ),
    # -- the connection ends -------------------------------------------------------------------
    Case(row=32, behaviour="close after the dot", **UNKNOWN, script={".": [drop]}),
    Case(row=32, behaviour="RST after the dot", **UNKNOWN, script={".": [reset]}),
    Case(
        row=32,
        behaviour="silence after the dot",
        **UNKNOWN,
        script={".": [silence]},
        timeouts=replace(PATIENT, dot=0.5),
    ),
    Case(
        row=33,
        behaviour="endless 250- after the dot, fast",
        **UNKNOWN,
        script={".": [flood(b"250-2.0.0 well\r\n")]},
    ),
    Case(
        row=33,
        behaviour="endless 250- after the dot, slow",
        **UNKNOWN,
        script={".": [drip(b"250-2.0.0 well\r\n" * 90, 0.01)]},
        timeouts=replace(PATIENT, dot=0.5),
    ),
    Case(
        row=34,
        behaviour="250 in packets of one byte",
        **SENT,
        script={".": drip(b"250-2.0.0 a\r\n250 2.0.0 b\r\n", 0.002)},
    ),
    Case(
        row=34,
        behaviour="250 after 80 % of its ceiling",
        **SENT,
        script={".": [(wait(4), "250 2.0.0 queued")]},
        timeouts=replace(PATIENT, dot=5),
        within=12,
    ),
    Case(row=35, behaviour="close instead of 354", **DEFER, script={"DATA": [drop]}),
    Case(
        row=35,
        behaviour="RST amid DATA",
        required="DEFER (certain)",
        end="waits",
        first=(DEFERRED,),
        check=no_dot,
        script={"DATA": ("354 go", wait(0.1), reset)},
        receive_buffer_bytes=4096,
        huge=True,
        readers=READERS[:1],
        retry_after=300,
        stop_after=1,
    ),
    Case(
        row=36,
        behaviour="half-close after 354, before the dot",
        **DEFER,
        script={"DATA": [("354 go", half_close, silence)]},
    ),
    Case(
        row=36,
        behaviour="half-close after the dot",
        **UNKNOWN,
        script={".": [(half_close, silence)]},
    ),
    Case(
        row=37,
        behaviour="zero window amid DATA",
        required="DEFER at the block timeout",
        end="waits",
        first=(DEFERRED,),
        check=no_dot,
        script={"DATA": ("354 go", silence)},
        timeouts=replace(PATIENT, block=0.5),
        receive_buffer_bytes=4096,
        huge=True,
        readers=READERS[:1],
        retry_after=300,
        stop_after=1,
    ),
    Case(row=38, behaviour="250, then RST at QUIT", **SENT, script={"QUIT": reset}),
    # -- TLS and login -------------------------------------------------------------------------
    *(
        Case(
            row=39,
            behaviour=f"TLS {fault}{' from the first byte' if implicit else ''}",
            **STOP_AT_ONCE | {"required": "STOP, no credentials sent"},
            check=no_secret,
            tls=fault,
            implicit=implicit,
            login=True,
        )
        for fault in ("expired", "wrong host", "unknown authority", "old")
        for implicit in (False, True)
    ),
    Case(
        row=40,
        behaviour="STARTTLS not offered (stripped)",
        **STOP_AT_ONCE,
        says="does not offer STARTTLS",
        check=no_secret,
        script={"EHLO": "250-relay.example\r\n250 AUTH PLAIN LOGIN"},
        tls="valid",
        login=True,
    ),
    Case(
        row=41,
        behaviour="454 to STARTTLS",
        **NEVER_REACHED | {"required": "DEFER, never plaintext"},
        check=no_secret,
        script={"STARTTLS": "454 4.7.0 not now"},
        tls="valid",
        login=True,
    ),
    Case(
        row=42,
        behaviour="plaintext after 220 to STARTTLS",
        **STOP_AT_ONCE | {"required": "abort, alert"},
        check=no_secret,
        script={"STARTTLS": b"220 go\r\n250 ok\r\n"},
        tls="valid",
        login=True,
    ),
    Case(
        row=43,
        behaviour="TLS cut after the dot's reply",
        **SENT,
        check=one_attempt_each,
        script={".": [("250 2.0.0 queued", drop)]},
        tls="valid",
        login=True,
    ),
    Case(
        row=43,
        behaviour="TLS cut before the dot's reply",
        **UNKNOWN,
        script={".": [drop]},
        tls="valid",
        login=True,
    ),
    *(
        Case(
            row=44,
            behaviour=f"AUTH {said}",
            **STOP_AT_ONCE,
            says=said[:3],
            check=at_most_two_logins,
            script={"AUTH": said},
            tls="valid",
            login=True,
        )
        for said in ("535 5.7.8 wrong", "534 5.7.9 too weak")
    ),
    Case(
        row=44,
        behaviour="AUTH 454",
        **NEVER_REACHED,
        check=at_most_two_logins,
        script={"AUTH": "454 4.7.0 later"},
        tls="valid",
        login=True,
    ),
    Case(
        row=45,
        behaviour="XOAUTH2 334 and 535 for a stale token",
        **SENT | {"required": "refresh token once"},
        check=at_most_two_logins,
        tls="valid",
        login=True,
        tokens=("stale", LOGIN[1]),
        pipelining=(False,),
    ),
    Case(
        row=45,
        behaviour="XOAUTH2 334 and 535 for every token",
        **STOP_AT_ONCE | {"required": "refresh token once, then STOP"},
        check=at_most_two_logins,
        tls="valid",
        login=True,
        tokens=("stale", "stale-too"),
    ),
    # -- extensions ----------------------------------------------------------------------------
    Case(
        row=46,
        behaviour="pipelined replies merged into one packet",
        **SENT | {"pipelining": (True,)},
        script={"MAIL": (cork, "250 2.1.0 ok"), "DATA": ("354 go", uncork)},
    ),
    Case(
        row=46,
        behaviour="pipelined replies reordered",
        **DEFER | {"required": "fall back; never mis-assign"},
        check=over_another_connection,
        pipelining=(True,),
        script={"RCPT": [GO_ON], "DATA": [b"250 2.1.5 ok\r\n"]},
    ),
    Case(
        row=46,
        behaviour="a pipelined reply is missing",
        **DEFER | {"required": "fall back; never mis-assign"},
        check=over_another_connection,
        pipelining=(True,),
        script={"RCPT": [b""]},
    ),
    *(
        Case(
            row=47,
            behaviour=f"{said[:9]} {when}",
            **outcome | {"required": required, "pipelining": (True,)},
            check=check,
            script={"octets": [said], "BDAT": [()]} if "before" in when else {"BDAT": [said]},
            window=8,
        )
        for said, when, outcome, required, check in (
            ("554 5.7.1 refused", "to BDAT", FAIL_MSG, "RSET, FAIL-msg", over_one_connection),
            ("452 4.3.1 no space", "to BDAT", DEFER, "RSET, DEFER", over_one_connection),
            ("452 4.3.1 no space", "before BDAT's octets", DEFER, "DEFER", one_copy_each),
        )
    ),
    Case(
        row=47,
        behaviour="close amid a window of BDAT",
        required="UNKNOWN for what has left",
        end="sent",
        first=(ACCEPTED,),
        check=doubts_within_the_window,
        script={"BDAT": ["250 2.0.0 queued", (wait(0.1), drop)]},
        readers=at("a.example", 20),
        window=8,
        pipelining=(True,),
    ),
    Case(
        row=48,
        behaviour="SIZE 1000 offered",
        **FAIL_MSG | {"required": "FAIL-msg before DATA"},
        check=nothing_said,
        alert="size",
        offers=("SIZE 1000",),
    ),
    Case(row=49, behaviour="no 8BITMIME", **SENT, check=seven_bit, offers=()),
    Case(
        row=49,
        behaviour="no SMTPUTF8",
        **FAIL_MSG | {"required": "FAIL for UTF-8 local parts only"},
        counts={FAILED: 1, ACCEPTED: 1},
        check=seven_bit,
        offers=OFFERS[:1],
        readers=("zoë@example.org", "reader2@example.org"),
    ),
    # -- longer stories ------------------------------------------------------------------------
    Case(
        row=50,
        behaviour="450 for one reader for 24 h",
        required="EXPIRED at not_after, reported",
        end="sent",
        counts={State.EXPIRED: 1, ACCEPTED: 2},
        check=expired_and_reported,
        script={"RCPT": [NOT_TODAY, "250 ok", "250 ok", *[NOT_TODAY] * 200]},
        **DAY,
    ),
    Case(
        row=50,
        behaviour="451 for everybody for 24 h",
        required="EXPIRED at not_after, reported",
        end="sent",
        counts={State.EXPIRED: len(READERS)},
        check=expired_and_reported,
        script={"DATA": "451 4.3.0 not today"},
        **DAY,
    ),
    Case(
        row=51,
        behaviour="550 5.1.1 for everybody",
        **STOP | {"required": "STOP, no suppression"},
        counts={FAILED: 10, PENDING: 20},
        alert="dead_addresses",
        script={"RCPT": "550 5.1.1 no such user"},
        readers=at("a.example", 30),
    ),
    Case(
        row=51,
        behaviour="550 5.1.1 for > 5 % of the first",
        **STOP | {"required": "STOP, no suppression"},
        counts={FAILED: 20, PENDING: 20},
        alert="dead_addresses",
        script={"RCPT": "550 5.1.1 no such user"},
        readers=tuple(address for n in range(40) for address in at(f"d{n}.example", 1)),
    ),
    *(
        Case(
            row=52,
            behaviour=f"{said[:3]} on an idle connection",
            **SENT | {"required": "reconnect, no penalty"},
            check=one_attempt_each,
            script={".": ("250 2.0.0 queued", wait(0.1), said, drop)},
            per_second=4,
        )
        for said in ("421 4.4.2 idle for too long", "221 2.0.0 bye")
    ),
    Case(
        row=53,
        behaviour="one address of the name says 421, the other works",
        **SENT | {"required": "per-address health", "pipelining": (False,)},
        url=lambda url: url.replace("127.0.0.1", "relay.example"),
        first_address={"connect": ("421 4.3.2 too busy", drop)},
    ),
    Case(
        row=53,
        behaviour="one address of the name breaks off at MAIL",
        **SENT | {"required": "per-address health", "pipelining": (False,), "first": ()},
        counts={ACCEPTED: 3},
        url=lambda url: url.replace("127.0.0.1", "relay.example"),
        first_address={"MAIL": drop},
    ),
    Case(
        row=54,
        behaviour="our own words come back",
        **STOP_AT_ONCE | {"required": "protocol error, STOP"},
        check=no_secret,
        script={"connect": b"EHLO news.example\r\n"},
    ),
    Case(
        row=54,
        behaviour="HTTP",
        **STOP_AT_ONCE | {"required": "protocol error, STOP"},
        check=no_secret,
        script={"connect": b"HTTP/1.1 400 Bad Request\r\n\r\n"},
    ),
)
