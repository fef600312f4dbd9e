"""What is claimed of the sender's speed, as data: where it is measured, and the target. Pure.

A scenario is a setting and those who run in it, in turn. A claim names a scenario and one or
more checks, of which one must hold. Ratios are taken within a round, where both had the same
machine, and of those the median counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal, Protocol

from tests.bench.figures import Setting

Runs = Sequence[Any]
"""Runs of one kind, each with `contestant`, `round`, and what the figure is of."""


class Figure(Protocol):
    """Something that the runs of a scenario say."""

    @property
    def unit(self) -> str: ...

    def measure(self, runs: Runs) -> float | None:
        """Give it, or None where those concerned have not run."""


@dataclass(frozen=True, slots=True)
class Median:
    """The median of what one contestant measured."""

    contestant: str
    of: str
    unit: str = ""

    def measure(self, runs: Runs) -> float | None:
        """Give it, or None."""
        found = [getattr(run, self.of) for run in runs if run.contestant == self.contestant]
        return median(found) if found else None


@dataclass(frozen=True, slots=True)
class Worst:
    """The highest that anybody measured."""

    of: str
    unit: str = ""

    def measure(self, runs: Runs) -> float | None:
        """Give it, or None."""
        return max((getattr(run, self.of) for run in runs), default=None)


@dataclass(frozen=True, slots=True)
class Ratio:
    """One contestant's figure as a multiple of another's."""

    contestant: str
    to: str
    of: str
    unit: str = "×"

    def measure(self, runs: Runs) -> float | None:
        """Give it, or None."""
        pairs = _rounds(runs, self.contestant, self.to)
        ratios = [getattr(mine, self.of) / getattr(theirs, self.of) for mine, theirs in pairs]
        return median(ratios) if ratios else None


@dataclass(frozen=True, slots=True)
class ShareOfCeiling:
    """What part of the rate that the cores leave to signed mail is reached.

    Whatever signs, its messages cost what the unsigned sender, the sink and the signature
    alone take of the same cores together.
    """

    contestant: str
    unsigned: str
    signatures: str
    unit: str = "×"

    def measure(self, runs: Runs) -> float | None:
        """Give it, or None."""
        shares = []
        for signed, plain, bare in _rounds(runs, self.contestant, self.unsigned, self.signatures):
            cores = bare.cpu_seconds / bare.seconds
            each = plain.cpu_per_thousand + plain.sink_cpu_per_thousand + bare.cpu_per_thousand
            shares.append(signed.rate / (1000 * cores / each))
        return median(shares) if shares else None


def _rounds(runs: Runs, *contestants: str) -> Iterator[tuple[Any, ...]]:
    """Give the runs of these contestants by round, of rounds in which all of them ran."""
    by_round: dict[int, dict[str, Any]] = {}
    for run in runs:
        by_round.setdefault(run.round, {})[run.contestant] = run
    for group in by_round.values():
        if group.keys() >= set(contestants):
            yield tuple(group[name] for name in contestants)


@dataclass(frozen=True, slots=True)
class Check:
    """A figure and its bound."""

    figure: Figure
    sense: Literal["≥", "≤"]
    bound: float

    @property
    def target(self) -> str:
        """The bound as it is written, e.g. "≥ 0.9 ×"."""
        return f"{self.sense} {self.bound:,g} {self.figure.unit}".rstrip()

    def is_met(self, measured: float) -> bool:
        """Tell whether the bound holds."""
        return measured >= self.bound if self.sense == "≥" else measured <= self.bound


@dataclass(frozen=True, slots=True)
class Scenario:
    """Where contestants meet. Without a setting it is about the size of the audience."""

    name: str
    setting: Setting | None
    contestants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence, and what must hold for it: any of the checks."""

    sentence: str
    scenario: str
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a claim. `is_met` is None where it was not measured."""

    claim: Claim
    measured: tuple[float | None, ...]
    is_met: bool | None


def judge_claims(claims: Sequence[Claim], runs: Mapping[str, Runs]) -> list[Verdict]:
    """Judge each claim by the runs of its scenario."""
    return [_judge(claim, runs.get(claim.scenario, ())) for claim in claims]


def _judge(claim: Claim, runs: Runs) -> Verdict:
    measured = tuple(check.figure.measure(runs) for check in claim.checks)
    found = [
        check.is_met(value)
        for check, value in zip(claim.checks, measured, strict=True)
        if value is not None
    ]
    return Verdict(claim=claim, measured=measured, is_met=any(found) if found else None)


# -- the scenarios ---------------------------------------------------------------------------------

_WITHOUT_DELAY = Setting(size_kb=46, delay_ms=0, connections=10)
_PEERS = ("smtp-source", "nodemailer", "nodemailer-raw", "smtplib", "aiosmtplib", "redmail")
_PROCESS, _FULL, _WINDOW = "newsletter-process", "newsletter-full", "newsletter-window8"
_ED25519, _RSA, _POSTGRESQL = "newsletter-ed25519", "newsletter-rsa", "newsletter-postgresql"

SCENARIOS = (
    Scenario("loopback", _WITHOUT_DELAY, (_PROCESS, _FULL, _POSTGRESQL, *_PEERS)),
    Scenario(
        "small",
        Setting(size_kb=4, delay_ms=0, connections=10),
        (_PROCESS, _FULL, "smtp-source", "nodemailer"),
    ),
    Scenario(
        "large",
        Setting(size_kb=90, delay_ms=0, connections=10),
        (_PROCESS, _FULL, "smtp-source", "nodemailer"),
    ),
    Scenario(
        "durable",
        Setting(size_kb=46, delay_ms=0, connections=50),
        (_FULL, _PROCESS, _POSTGRESQL, "smtp-source", "nodemailer"),
    ),
    Scenario("signed", _WITHOUT_DELAY, (_PROCESS, _ED25519, _RSA, "bare-ed25519", "bare-rsa")),
    Scenario(
        "near",
        Setting(size_kb=46, delay_ms=20, connections=10),
        (_PROCESS, _FULL, "smtp-source", "nodemailer", "smtplib", "aiosmtplib"),
    ),
    Scenario(
        "far",
        Setting(size_kb=46, delay_ms=80, connections=10),
        (_PROCESS, "smtp-source", "nodemailer", "smtplib"),
    ),
    Scenario(
        "windowed",
        Setting(size_kb=46, delay_ms=20, connections=10, sink="chunking sink"),
        (_PROCESS, _WINDOW, "nodemailer", "smtplib"),
    ),
    Scenario(
        "crowded",
        Setting(size_kb=46, delay_ms=20, connections=100, sink="chunking sink"),
        (_PROCESS, _FULL, _WINDOW, "smtp-source"),
    ),
    Scenario("audience", None, ("sqlite", "postgresql")),
)


def _per_second(contestant: str, sense: Literal["≥", "≤"], bound: float) -> Check:
    return Check(Median(contestant, "rate", "/s"), sense, bound)


def _times(contestant: str, to: str, bound: float, of: str = "rate") -> Check:
    return Check(Ratio(contestant, to, of), "≥", bound)


def _on_path(scenario: str, ms: int) -> tuple[Claim, ...]:
    return (
        Claim(
            f"{ms} ms, window 1: round trips a message",
            scenario,
            (Check(Median(_PROCESS, "round_trips_per_message"), "≤", 1.10),),
        ),
        Claim(
            f"{ms} ms, window 1: per connection, to Nodemailer",
            scenario,
            (_times(_PROCESS, "nodemailer", 1.9),),
        ),
        Claim(
            f"{ms} ms, window 1: per connection, to smtplib",
            scenario,
            (_times(_PROCESS, "smtplib", 4),),
        ),
    )


def _seconds(contestant: str, of: str, bound: float) -> tuple[Check, ...]:
    return (Check(Median(contestant, of, "s"), "≤", bound),)


CLAIMS = (
    Claim("46 KB: to smtp-source", "loopback", (_times(_PROCESS, "smtp-source", 0.9),)),
    Claim(
        "46 KB: to Nodemailer, composing as its users do",
        "loopback",
        (_times(_PROCESS, "nodemailer", 15),),
    ),
    Claim(
        "46 KB: to Nodemailer, handed finished messages",
        "loopback",
        (_times(_PROCESS, "nodemailer-raw", 15),),
    ),
    Claim(
        "46 KB: Nodemailer's CPU for a message, to ours",
        "loopback",
        (_times("nodemailer", _PROCESS, 15, "cpu_per_thousand"),),
    ),
    Claim(
        "46 KB: Nodemailer's CPU for a finished message, to ours",
        "loopback",
        (_times("nodemailer-raw", _PROCESS, 15, "cpu_per_thousand"),),
    ),
    Claim("4 KB: to smtp-source", "small", (_times(_PROCESS, "smtp-source", 0.9),)),
    Claim("90 KB: to smtp-source", "large", (_times(_PROCESS, "smtp-source", 0.9),)),
    Claim(
        "every commit fsynced, 50 connections: a second, or to smtp-source",
        "durable",
        (_per_second(_FULL, "≥", 3000), _times(_FULL, "smtp-source", 0.5)),
    ),
    Claim("Ed25519: to unsigned", "signed", (_times(_ED25519, _PROCESS, 0.8),)),
    Claim(
        "RSA-2048: to signing alone on all cores",
        "signed",
        (_times(_RSA, "bare-rsa", 0.8),),
    ),
    Claim(
        "RSA-2048: to what signing leaves of the cores that sender and sink need too",
        "signed",
        (Check(ShareOfCeiling(_RSA, _PROCESS, "bare-rsa"), "≥", 0.8),),
    ),
    Claim(
        "20 ms, window 8, CHUNKING: per connection, to Nodemailer",
        "windowed",
        (_times(_WINDOW, "nodemailer", 8),),
    ),
    *_on_path("near", 20),
    *_on_path("far", 80),
    Claim("20 ms, 100 connections", "crowded", (_per_second(_PROCESS, "≥", 4000),)),
    Claim(
        "1,000,000 readers enrolled on SQLite",
        "audience",
        _seconds("sqlite", "enrol_seconds", 2),
    ),
    Claim(
        "1,000,000 readers enrolled on PostgreSQL",
        "audience",
        _seconds("postgresql", "enrol_seconds", 6),
    ),
    Claim(
        "1,000,000 readers: most memory of a sender",
        "audience",
        (Check(Worst("peak_mb", "MB"), "≤", 100),),
    ),
    Claim(
        "1,000,000 readers: first message after a kill, SQLite",
        "audience",
        _seconds("sqlite", "resume_seconds", 5),
    ),
    Claim(
        "1,000,000 readers: first message after a kill, PostgreSQL",
        "audience",
        _seconds("postgresql", "resume_seconds", 5),
    ),
)
