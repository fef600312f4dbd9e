"""The addresses behind a relay's name, and which of them failed lately.

A name often means several machines, and one of them may be down, too busy or broken while the
others work. What has failed is left alone for a while, longer each time; where nothing else is
left it is tried all the same. Connections that are opened at the same moment all meet the same
failure: it counts once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_FIRST_REST_SECONDS = 60.0
_LONGEST_REST_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a socket connects to."""

    family: int
    place: tuple[object, ...] | str
    """As `socket.connect` wants it; of LMTP's socket the path."""

    def __str__(self) -> str:
        return self.place if isinstance(self.place, str) else str(self.place[0])


@dataclass(frozen=True, slots=True)
class _Rest:
    seconds: float
    until: float


class Addresses:
    """What is known of a relay's addresses; shared by its connections.

    Times are seconds of any one clock that does not jump.
    """

    def __init__(self) -> None:
        self._rests: dict[Address, _Rest] = {}

    def choose(self, found: Iterable[Address], now: float) -> list[Address]:
        """Give those to try now, in the order in which they were found.

        They are the ones that are well; without any, all, the first to be well again first.
        """
        resting = {each: rest.until for each, rest in self._rests.items() if rest.until > now}
        by_end = sorted(found, key=lambda each: resting.get(each, now))
        return [each for each in by_end if each not in resting] or by_end

    def failed(self, address: Address, now: float) -> bool:
        """Note that it could not be reached, or broke off before it had taken anything.

        Tells whether that is news.
        """
        rest = self._rests.get(address)
        if rest is None:
            seconds = _FIRST_REST_SECONDS
        elif rest.until <= now:
            seconds = min(2 * rest.seconds, _LONGEST_REST_SECONDS)
        else:
            return False
        self._rests[address] = _Rest(seconds, now + seconds)
        return True

    def worked(self, address: Address) -> None:
        """Note that it takes messages: what it did before is forgotten."""
        self._rests.pop(address, None)
