"""Several messages on their way over one connection, and what shows that a relay mixes them up.

A relay that offers PIPELINING answers in order, once to each command (RFC 2920 §3.2). One that
does not shows it: a 354 to RCPT, a recipient agreed to after the sender was refused, a word to
no question, silence where the last reply should be. From then on nothing it says can be charged
to anybody: what is under way is lost, in doubt if its end has left, and later connections ask
one thing at a time.

The replies to a window's commands all say 250. If one is lost, or one comes too often, those
that follow stand in each other's places and no code tells. Their words do, as long as a relay
says to a message what it says to no command. So the first message goes alone, with a command
behind it that shows whether there was a reply too many, and the rest waits here for its verdict:
were its words those of another reply, the window stays at one; if not, a verdict in another
reply's words is not believed. Nor is a refusal until a command behind it was agreed to: the
refusal would stand in another's place, and its own reader's reply in that command's.
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

_WITH_PROBE = 5  # replies to a message's RSET, MAIL, RCPT and BDAT, and to the RSET behind it
_ABOUT_AN_ADDRESS = "2.1."  # RFC 3463 §3.2: never said of a message, but to MAIL and RCPT


class Pipelining:
    """Whether a relay can be trusted with several commands at once; shared by its connections."""

    def __init__(self, relay_name: str = "the relay") -> None:
        self.trusted = True
        self.tells_apart = True
        """Whether its words for a message are, as far as is known, those for nothing else."""
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

    def narrow(self, reply: Reply) -> None:
        """Go on with one message at a time. Says so once."""
        if self.tells_apart:
            self.tells_apart = False
            log.warning(
                '%s says "%s" to a message and to commands alike, so that a lost reply would '
                "not show: it gets one message at a time",
                self._relay_name,
                reply,
            )


def is_mixed_up(answers: Iterable[Answer]) -> bool:
    """Whether a recipient was agreed to, or content asked for, after the sender was refused."""
    refused = False
    for phase, reply in answers:
        if phase is Phase.MAIL:
            refused = reply.code >= 400
        elif refused and reply.code < 400 and phase in (Phase.RCPT, Phase.DATA):
            return True
    return False


class Window:
    """Messages posted over one connection and not yet judged, oldest first (RFC 3030)."""

    def __init__(self, client: Client, wire: Wire, pipelining: Pipelining, *, width: int) -> None:
        self.width = width
        """How many may be under way at once."""
        self._client, self._wire, self._pipelining = client, wire, pipelining
        self._numbers: deque[int] = deque()
        """By how the client counts them, from 1."""
        self._held: deque[tuple[Envelope, bytes]] = deque()
        """The last of them, not yet said."""
        self._commands_replies: list[Reply] = []
        """Once a message was taken: what is said to commands and not to messages."""
        self._is_probed = False
        """Whether a command of its own is behind the oldest message."""
        self._farewell = ""
        self._is_lost = False

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
        return self._wire.is_open and not self._farewell and not self._client.parted

    def post(self, envelope: Envelope, content: bytes) -> None:
        """Write a whole transaction. Raises `ConnectionLost`, not in doubt, if it cannot be."""
        if not self.usable:
            problem = self._wire.failure or CLOSED
            raise ConnectionLost(problem, phase=Phase.MAIL.value, in_doubt=False)
        self._client.check_post(envelope, content)
        self._numbers.append(1 + (self._numbers[-1] if self._numbers else self._client.judged))
        self._held.append((envelope, content))
        self._say_on()

    def _say_on(self) -> None:
        """Say what was posted and held back, as far as it may be under way by now."""
        width = 1 if self._probes else self.width
        while self._held and len(self._numbers) - len(self._held) < width:
            self._wire.post(self._client.post(*self._held.popleft()))
            if self._probes:
                self._wire.post(self._client.rset(), is_message=False)

    @property
    def _probes(self) -> bool:
        """Whether messages go alone, since nothing is known of the relay's words."""
        return not self._commands_replies

    async def collect(self) -> Reply | Refused:
        """Wait for the verdict on the oldest message. Raises `ConnectionLost`."""
        if not self._numbers:
            raise LocalProtocolError("no message is under way")
        wire, number = self._wire, self._numbers[0]
        if len(self._held) == len(self._numbers):  # the relay parted before it was said
            self._lose(number, self._farewell)
        if not self._is_lost:
            await wire.hear_verdict(number)
            if self._probes:
                await wire.hear(_WITH_PROBE)
            elif any(reply.permanent for _, reply in self._hear_oldest()):
                await self._hear_behind()
        self._numbers.popleft()
        if self._is_lost:  # whatever came after what could not be believed
            raise self._lose(number)
        heard = self._take_answers()
        if problem := self._find_confusion(heard):
            self._pipelining.distrust(problem)
            raise self._lose(number, problem)
        verdict = self._judge(number, heard)
        if self._probes or self._is_probed:
            self._end_probe(number, [reply for _, reply in heard[:-1]], verdict)
        if self.usable:
            self._say_on()
        return verdict

    async def _hear_behind(self) -> None:
        """Hear what is said behind a refusal: were RSET refused, it might be another's.

        The next message begins with RSET; where none has been said, one goes alone.
        """
        is_last = len(self._numbers) - len(self._held) == 1
        if is_last and not self._is_probed:
            self._is_probed = True
            self._wire.post(self._client.rset(), is_message=False)
        await self._wire.hear(1 + len(self._hear_oldest()))

    def _judge(self, number: int, heard: list[Answer]) -> Reply | Refused:
        for phase, reply in heard:
            if reply.code == 421:
                self._farewell = f"the relay said {reply}"
            if phase is Phase.RSET and not reply.positive:
                raise self._lose(number, self._farewell or f"the relay said {reply}")
        replies = [Refused(phase, reply) for phase, reply in heard if phase is not Phase.DOT]
        refused = next((each for each in replies if not each.reply.positive), None)
        if len(replies) < len(heard):
            return refused or heard[-1].reply
        broken_off = self._wire.failure and not self._wire.cause
        lost = self._lose(number)
        if refused is not None and broken_off:
            return refused  # whatever the end of it would have been answered
        raise lost

    def _end_probe(
        self, number: int, commands_replies: list[Reply], verdict: Reply | Refused
    ) -> None:
        """Open the window if nothing was mixed up and a message is told what no command is."""
        self._is_probed, answers = False, self._wire.answers
        if answers and answers[0].phase is Phase.RSET:
            reply = answers.popleft().reply
            if reply.code == 421:
                self._farewell = f"the relay said {reply}"
        elif not self._wire.failure or self._wire.cause:
            raise self._lose(number)
        if isinstance(verdict, Reply) and verdict.positive:
            self._compare(commands_replies, verdict)

    def _compare(self, commands_replies: list[Reply], verdict: Reply) -> None:
        """Open the window if what is said to a message is said to nothing else."""
        if verdict in commands_replies:
            self._pipelining.narrow(verdict)
        else:
            self._commands_replies = commands_replies

    def _take_answers(self) -> list[Answer]:
        """Take what was said of the oldest message."""
        heard = self._hear_oldest()
        for _ in heard:
            self._wire.answers.popleft()
        return heard

    def _hear_oldest(self) -> list[Answer]:
        """List what was said of the oldest message: its verdict is the last."""
        heard = list[Answer]()
        for answer in self._wire.answers:
            heard.append(answer)
            if answer.phase is Phase.DOT:
                break
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
        self._held.clear()
        phase = Phase.DOT if in_doubt else Phase.DATA
        return ConnectionLost(wire.failure, phase=phase.value, in_doubt=in_doubt)

    def _silence(self, *, in_doubt: bool) -> str:
        return self._wire.silence(self._client.next_due) if in_doubt else self._wire.congestion

    def _find_confusion(self, answers: list[Answer]) -> str:
        """Say what forbids to believe these replies to one message, if anything does."""
        if is_mixed_up(answers):
            return "it agrees to a recipient after it refused the sender"
        # What follows may be the reply to this message, if there was one too many before it.
        following = list(self._wire.answers)[:1]
        for phase, reply in (*answers, *following):
            if phase is Phase.RSET and reply.permanent:
                return f"it answers RSET with {reply}"  # the message before may still be open
            if phase is Phase.DOT and reply.positive and self._is_no_verdict(reply):
                return f"it answers {phase.value} with {reply}"
        return ""

    def _is_no_verdict(self, reply: Reply) -> bool:
        return reply.enhanced.startswith(_ABOUT_AN_ADDRESS) or reply in self._commands_replies
