"""Several messages on their way over one connection, and what shows that a relay mixes them up.

A relay that offers PIPELINING answers in order, once to each command (RFC 2920 §3.2). One that
does not keeps the codes of its replies in the wrong places, and there it shows: a 354 to RCPT,
a recipient agreed to after the sender was refused, a word to no question, or silence where the
last reply should be. From then on nothing it says can be charged to anybody: what is under way
is lost, in doubt if its end has left, and later connections ask one thing at a time.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable

from newsletter.errors import ConnectionLost
from newsletter.smtp.protocol import (
    Answer,
    Client,
    Envelope,
    LocalProtocolError,
    Phase,
    Refused,
    RemoteProtocolError,
    Reply,
)
from newsletter.smtp.wire import CLOSED, Wire

log = logging.getLogger("newsletter.smtp")

_ABOUT_AN_ADDRESS = "2.1."  # RFC 3463 §3.2: never said of a message, but to MAIL and RCPT


class Pipelining:
    """Whether a relay can be trusted with several commands at once; shared by its connections."""

    def __init__(self, relay_name: str = "the relay") -> None:
        self.trusted = True
        self._relay_name = relay_name

    def distrust(self, problem: str) -> None:
        """Go on without. Says so once."""
        if self.trusted:
            self.trusted = False
            log.warning(
                "%s offers PIPELINING and breaks it (%s): it is asked one thing at a time now",
                self._relay_name,
                problem,
            )


def is_mixed_up(answers: Iterable[Answer]) -> bool:
    """Whether a recipient was agreed to, or content asked for, after the sender was refused."""
    sender_is_refused = False
    for phase, reply in answers:
        if phase is Phase.MAIL:
            sender_is_refused = not reply.positive
        elif sender_is_refused and phase in (Phase.RCPT, Phase.DATA) and reply.code < 400:
            return True
    return False


class Window:
    """Messages posted over one connection and not yet judged, oldest first (RFC 3030)."""

    def __init__(self, client: Client, wire: Wire, pipelining: Pipelining) -> None:
        self._client, self._wire, self._pipelining = client, wire, pipelining
        self._numbers: deque[int] = deque()
        """By how the client counts them, from 1."""
        self._is_closing = self._is_lost = False

    @property
    def under_way(self) -> int:
        """How many have been posted and not collected."""
        return len(self._numbers)

    @property
    def answered(self) -> int:
        """How many can be collected without waiting."""
        if self._wire.failure:
            return self.under_way
        return sum(number <= self._client.judged for number in self._numbers)

    @property
    def usable(self) -> bool:
        """Whether another can be posted."""
        return self._wire.is_open and not self._is_closing and not self._client.parted

    def post(self, envelope: Envelope, content: bytes) -> None:
        """Write a whole transaction. Raises `ConnectionLost`, not in doubt, if it cannot be."""
        if not self.usable:
            problem = self._wire.failure or CLOSED
            raise ConnectionLost(problem, phase=Phase.MAIL.value, in_doubt=False)
        ahead = self._client.judged if not self._numbers else self._numbers[-1]
        transaction = self._client.post(envelope, content)
        self._numbers.append(ahead + 1)
        self._wire.post(transaction)

    async def collect(self) -> Reply | Refused:
        """Wait for the verdict on the oldest message. Raises `ConnectionLost`."""
        if not self._numbers:
            raise LocalProtocolError("no message is under way")
        number = self._numbers[0]
        if not self._is_lost:
            await self._wire.hear_verdict(number)
        self._numbers.popleft()
        if self._is_lost:  # whatever came after what could not be believed
            raise self._lose(number)
        heard = self._take_answers()
        self._is_closing = self._is_closing or any(reply.code == 421 for _, reply in heard)
        if problem := _find_confusion(heard):
            self._pipelining.distrust(problem)
            raise self._lose(number, problem)
        refused = next(
            (Refused(*answer) for answer in heard[:-1] if not answer.reply.positive), None
        )
        if heard and heard[-1].phase is Phase.DOT:
            return refused or heard[-1].reply
        lost = self._lose(number)
        if refused is not None and self._wire.cause is None:
            return refused  # and then the connection broke: what has no recipient is nobody's
        raise lost

    def _take_answers(self) -> list[Answer]:
        """Take what was said of the oldest message: its verdict is the last."""
        answers, heard = self._wire.answers, list[Answer]()
        while answers and (not heard or heard[-1].phase is not Phase.DOT):
            heard.append(answers.popleft())
        return heard

    def _lose(self, number: int, problem: str = "") -> ConnectionLost:
        """Give up the connection, and tell whether this message may have come through it."""
        wire, in_doubt = self._wire, number <= self._client.ended
        if not problem and not wire.failure:
            problem = self._silence(in_doubt=in_doubt)
            self._pipelining.distrust(problem)
        elif isinstance(wire.cause, RemoteProtocolError):
            self._pipelining.distrust(wire.failure)
        wire.fail(problem)
        wire.abort()
        self._is_lost = True
        phase = Phase.DOT if in_doubt else Phase.DATA
        return ConnectionLost(wire.failure, phase=phase.value, in_doubt=in_doubt)

    def _silence(self, *, in_doubt: bool) -> str:
        return self._wire.silence(self._client.next_due) if in_doubt else self._wire.congestion


def _find_confusion(answers: list[Answer]) -> str:
    """Say what forbids to believe these replies to one posted message, if anything does."""
    if is_mixed_up(answers):
        return "it agrees to a recipient after it refused the sender"
    for phase, reply in answers:
        if phase is Phase.RSET and not reply.positive:
            return f"it answers RSET with {reply}"  # the message before may still be open there
        if phase is Phase.DOT and reply.positive and reply.enhanced.startswith(_ABOUT_AN_ADDRESS):
            return f"it answers {phase.value} with {reply}"
    return ""
