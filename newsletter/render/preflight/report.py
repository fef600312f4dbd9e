"""What a check says, and how what several checks or several copies say becomes one report."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from newsletter.errors import RefusedError

Subject = TypeVar("Subject")
Status = Literal["pass", "warn", "fail", "skip"]

_GRAVITY: tuple[Status, ...] = ("skip", "pass", "warn", "fail")
_SHOWN_FAULTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check. `mend` says what to do about it, "" if nothing."""

    number: int
    name: str
    status: Status
    detail: str
    mend: str = ""
    copies: tuple[str, ...] = ()
    """Whose copies it is about, where it is not so of all that were looked at."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says of one copy."""

    status: Status
    detail: str
    mend: str = ""


def judge(faults: Sequence[str], good: str, mend: str, *, status: Status = "fail") -> Verdict:
    """Pass without faults, else name the first few of them."""
    if not faults:
        return Verdict("pass", good)
    left = len(faults) - _SHOWN_FAULTS
    more = f" and {left} more" if left > 0 else ""
    return Verdict(status, "; ".join(faults[:_SHOWN_FAULTS]) + more, mend)


def find(
    checks: Iterable[tuple[int, str, Callable[[Subject], Verdict]]], subject: Subject
) -> tuple[Finding, ...]:
    """Put one thing to every check, each with its number and name."""
    findings = []
    for number, name, check in checks:
        verdict = check(subject)
        findings.append(
            Finding(
                number=number,
                name=name,
                status=verdict.status,
                detail=verdict.detail,
                mend=verdict.mend,
            )
        )
    return tuple(findings)


def worst(*verdicts: Verdict) -> Verdict:
    """Give the gravest of several verdicts; of equals the first."""
    return max(verdicts, key=lambda verdict: _GRAVITY.index(verdict.status))


def merge_copies(reports: Sequence[tuple[str, Iterable[Finding]]]) -> tuple[Finding, ...]:
    """Make one report of those on several copies, each with whose copy it is.

    Of each check the gravest outcome counts. It names the copies that it is about, unless all
    are alike.
    """
    found: dict[int, list[tuple[str, Finding]]] = {}
    for reader, findings in reports:
        for finding in findings:
            found.setdefault(finding.number, []).append((reader, finding))
    merged = []
    for _, outcomes in sorted(found.items()):
        _, gravest = max(outcomes, key=lambda each: _GRAVITY.index(each[1].status))
        about = tuple(reader for reader, each in outcomes if each.status == gravest.status)
        is_common = len(about) == len(outcomes) or gravest.status == "pass"
        merged.append(gravest if is_common else replace(gravest, copies=about))
    return tuple(merged)


def join_reports(*reports: Iterable[Finding]) -> tuple[Finding, ...]:
    """Join what different examiners found, e.g. a parser and a browser, in order of number.

    Two may judge the same number, each what it can see: the graver word stands.
    """
    joined: dict[int, Finding] = {}
    for finding in (finding for report in reports for finding in report):
        other = joined.get(finding.number)
        if other is None or _GRAVITY.index(finding.status) > _GRAVITY.index(other.status):
            joined[finding.number] = finding
    return tuple(joined[number] for number in sorted(joined))


def list_failed(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """List what stands in the way of sending."""
    return tuple(finding for finding in findings if finding.status == "fail")


def choose_overridden(
    findings: Sequence[Finding], overrides: Iterable[str], *, may_pass: bool = False
) -> tuple[Finding, ...]:
    """Find the failed checks that an operator overrides, each by its name or number.

    Names are taken as a person types them: capitals do not matter, and hyphens may stand for
    blanks. Raises `RefusedError` for one that is no failing check, since who types it believes
    something about the edition that is not so; unless it `may_pass` by now.
    """
    failed = list_failed(findings)
    chosen: dict[int, Finding] = {}
    for asked in overrides:
        matching = [
            f for f in findings if _plain_name(asked) in (_plain_name(f.name), str(f.number))
        ]
        failing = [finding for finding in matching if finding in failed]
        if not failing and may_pass:
            continue
        if not failing:
            listed = ", ".join(f"{f.number} {f.name!r}" for f in failed)
            raise RefusedError(
                f"the check {matching[0].name!r} does not fail, so there is nothing to override"
                if matching
                else f"there is no check {asked!r}",
                mend=f"what fails is {listed}" if failed else "nothing fails: leave --override out",
            )
        chosen[failing[0].number] = failing[0]
    return tuple(chosen.values())


def _plain_name(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()
