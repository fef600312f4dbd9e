"""One thing that was looked at, and what came of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What came of looking at one thing: whole sentences."""

    name: str
    verdict: Verdict
    sentence: str
    mend: str = ""
    """How to mend it; "" where nothing is wrong."""


def has_failed(checks: Iterable[Check]) -> bool:
    """Tell whether anything must be mended before mail is sent."""
    return any(check.verdict == "fail" for check in checks)


def well(name: str, sentence: str) -> Check:
    """Say that something is as it should be."""
    return Check(name=name, verdict="pass", sentence=sentence)


def skipped(name: str, why: str) -> Check:
    """Say that something could not be looked at, and why."""
    return Check(name=name, verdict="skip", sentence=why)


def wanting(name: str, sentence: str, mend: str) -> Check:
    """Say that something works and should be better."""
    return Check(name=name, verdict="warn", sentence=sentence, mend=mend)


def wrong(name: str, sentence: str, mend: str) -> Check:
    """Say that something must be mended."""
    return Check(name=name, verdict="fail", sentence=sentence, mend=mend)
