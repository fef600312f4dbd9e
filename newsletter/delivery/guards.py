"""What a run's refusals say together, and when they say that the mistake is ours. Pure.

One refusal costs one reader, or nobody. Many of a kind are our own fault more often than so
many readers', and going on would cost the good name of the sender or good addresses:

    unwanted   more than 2 % of a domain refused as spam or by policy      that domain waits
               more than 1 % of all, refusals of the content among them    the run stops
    dead       more than 5 % within the first 2,000 messages, or more      the run stops, and no
               than 20 % of a domain                                       address counts as dead
    identity   one provider refuses our SPF, DKIM, DMARC or PTR            that domain waits
               three domains do before anything is accepted                the run stops
    fault      five messages that cannot be made, and none that could      the run stops
    size       too big for readers at a domain                             an alert, no more

Below a few refusals a percentage says nothing; the constants say how few.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from newsletter.delivery.lifecycle import State
from newsletter.delivery.retry import Reason, Verdict, judge_fault

UNWANTED_OF_DOMAIN, FEWEST_UNWANTED_OF_DOMAIN = 0.02, 5
UNWANTED_OF_ALL, FEWEST_UNWANTED = 0.01, 10
DEAD_OF_FIRST, DEAD_FIRST_MESSAGES, FEWEST_DEAD = 0.05, 2000, 20
DEAD_OF_DOMAIN, FEWEST_DEAD_OF_DOMAIN = 0.20, 10
IDENTITY_DOMAINS = 3
FAULTS = 5
SIZE_DOMAINS = 3
"""So many domains are named one by one."""


class AlertKind(StrEnum):
    """What an alert is about."""

    UNWANTED = "unwanted"
    DEAD = "dead_addresses"
    IDENTITY = "identity"
    FAULT = "fault"
    SIZE = "size"
    DOMAIN = "domain"
    RELAY = "relay"


class Action(Enum):
    """What is done about it."""

    NOTE = "note"
    """Nothing; a person should know."""
    BREAK = "break"
    """The domain or relay waits; the dispatcher sees to that."""
    STOP = "stop"
    """The run ends and the edition waits for a person; the caller sees to that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What an operator must know: the caller logs and stores it, and stops for `STOP`."""

    kind: AlertKind
    action: Action
    about: str
    """A domain or a relay's name; "" for the whole run."""
    sentence: str


@dataclass(slots=True)
class _Counts:
    answered: int = 0
    unwanted: int = 0
    dead: int = 0


class Guards:
    """The refusals of one run. Not kept across runs: whoever starts one again has looked."""

    def __init__(self) -> None:
        self._all = _Counts()
        self._by_domain: dict[str, _Counts] = {}
        self._refused_identity: set[str] = set()
        self._accepted = 0
        self._faults = 0
        self._told: set[tuple[AlertKind, str]] = set()
        self._distrusts_all = False

    def believes_dead(self, domain: str) -> bool:
        """Tell whether refusals of addresses at a domain count as dead addresses.

        Ask when the run ends: what made the guards doubt them may come after the refusal.
        """
        return not self._distrusts_all and (AlertKind.DEAD, domain) not in self._told

    def is_unwelcome(self, domain: str) -> bool:
        """Tell whether a domain refuses so many as unwanted that it should be left alone."""
        counts = self._by_domain.get(domain)
        return (
            counts is not None
            and counts.unwanted >= FEWEST_UNWANTED_OF_DOMAIN
            and counts.unwanted > UNWANTED_OF_DOMAIN * counts.answered
        )

    def judge_fault(self) -> Verdict:
        """Judge a message that could not be made, by whether any of this run was accepted."""
        return judge_fault(is_of_the_reader=self._accepted > 0)

    def accepted(self, domain: str) -> None:
        """Count a message that was accepted; what `note` does for it, and quicker."""
        self._accepted += 1
        self._all.answered += 1
        counts = self._by_domain.get(domain)
        if counts is None:
            counts = self._by_domain[domain] = _Counts()
        counts.answered += 1

    def note(self, domain: str, verdict: Verdict, said: object) -> Alert | None:
        """Count a verdict on a message to a domain; `said` are the relay's words."""
        reason = verdict.reason
        if reason is Reason.ACCEPTED:
            self.accepted(domain)
            return None
        if reason is Reason.FAULT:
            return self._note_fault(said)
        if reason is Reason.IDENTITY:
            return self._note_identity(domain, said)
        if reason is Reason.TOO_BIG:
            return self._note_size(domain, said)
        if verdict.state is not State.FAILED:
            return None
        counts = self._by_domain.setdefault(domain, _Counts())
        counts.answered += 1
        self._all.answered += 1
        if reason is Reason.DEAD:
            return self._note_dead(domain, counts, said)
        if reason in (Reason.UNWANTED, Reason.CONTENT):
            return self._note_unwanted(domain, counts, reason, said)
        return None

    def _note_fault(self, said: object) -> Alert | None:
        if self._accepted:
            return None
        self._faults += 1
        if self._faults < FAULTS:
            return None
        return self._tell_once(
            AlertKind.FAULT,
            Action.STOP,
            "",
            f"{FAULTS} messages could not be made and none could ({said}): mend that and run the "
            "same command again; no reader is lost",
        )

    def _note_size(self, domain: str, said: object) -> Alert | None:
        told = sum(kind is AlertKind.SIZE for kind, _ in self._told)
        about = domain if told < SIZE_DOMAINS else ""
        return self._tell_once(
            AlertKind.SIZE,
            Action.NOTE,
            about,
            f"the message is too big for readers at {about or 'many domains'} ({said}): they get "
            "none of this edition; shorten it, or have the limit raised",
        )

    def _note_identity(self, domain: str, said: object) -> Alert | None:
        if not self._accepted:
            self._refused_identity.add(domain)
            if len(self._refused_identity) >= IDENTITY_DOMAINS:
                return self._tell_once(
                    AlertKind.IDENTITY,
                    Action.STOP,
                    "",
                    f"{len(self._refused_identity)} providers refuse us and nobody has accepted "
                    f"({said}): mend SPF, DKIM, DMARC or the host's name; no reader is lost",
                )
        return self._tell_once(
            AlertKind.IDENTITY,
            Action.BREAK,
            domain,
            f"{domain} refuses us ({said}): its readers wait until SPF, DKIM, DMARC or the host's "
            "name is mended; the others are mailed",
        )

    def _note_dead(self, domain: str, counts: _Counts, said: object) -> Alert | None:
        everybody = self._all
        everybody.dead += 1
        counts.dead += 1
        if counts.dead >= FEWEST_DEAD_OF_DOMAIN and counts.dead > DEAD_OF_DOMAIN * counts.answered:
            share = f"{counts.dead} of {counts.answered} addresses at {domain}"
            about = domain
        elif (
            everybody.answered <= DEAD_FIRST_MESSAGES
            and everybody.dead >= FEWEST_DEAD
            and everybody.dead > DEAD_OF_FIRST * everybody.answered
        ):
            share, about = f"{everybody.dead} of the first {everybody.answered} addresses", ""
            self._distrusts_all = True
        else:
            return None
        return self._tell_once(
            AlertKind.DEAD,
            Action.STOP,
            about,
            f"{share} are said not to exist ({said}): that is more often a fault of ours or the "
            "relay's than of so many readers, so none of them counts as dead; look, then go on",
        )

    def _note_unwanted(
        self, domain: str, counts: _Counts, reason: Reason, said: object
    ) -> Alert | None:
        everybody = self._all
        everybody.unwanted += 1
        answered = everybody.answered
        if everybody.unwanted >= FEWEST_UNWANTED and (
            everybody.unwanted > UNWANTED_OF_ALL * answered
        ):
            return self._tell_once(
                AlertKind.UNWANTED,
                Action.STOP,
                "",
                f"{everybody.unwanted} of {answered} messages were refused as unwanted ({said}): "
                "look at the content and at the sender's standing before more are sent",
            )
        if reason is Reason.CONTENT:  # the content is the same for every provider
            return None
        counts.unwanted += 1
        if not self.is_unwelcome(domain):
            return None
        return self._tell_once(
            AlertKind.UNWANTED,
            Action.BREAK,
            domain,
            f"{domain} refused {counts.unwanted} of {counts.answered} messages ({said}): its other "
            "readers wait, and are tried one at a time",
        )

    def _tell_once(
        self, kind: AlertKind, action: Action, about: str, sentence: str
    ) -> Alert | None:
        if (kind, about) in self._told:
            return None
        self._told.add((kind, about))
        return Alert(kind=kind, action=action, about=about, sentence=sentence)
