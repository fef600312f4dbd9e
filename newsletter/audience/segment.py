"""A part of the readers, in a line: `topics:markets,economy language:de active:<90d`. Pure.

    segment = term { blank term }             all terms must hold
    term    = ["-"] name ":" value {"," value}    one of the values must; "-" turns it round
    value   = text without blank, comma or quote, or anything within "quotes"

    topics, lenses, days, editions   a list holds the value
    timezone, detail, minutes, format, send_at, rhythm    it is the value
    language                         it is the value, or begins with it: pt holds pt-BR
    fields.NAME                      an own column
    status                           active, pending, unsubscribed, bounced, complained
    consent, active, since           how long ago the consent, the last accepted copy, or the
                                     joining of the list was: <90d, >26w, 2y (as <2y)

Capitals make no difference. `none` is no value: nothing chosen, no consent recorded, never a
copy accepted. What somebody did not choose is not what the publication chooses for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import get_args

from newsletter.audience.address import format_excerpt
from newsletter.audience.reader import Choices, Status
from newsletter.errors import AudienceError

LISTS = frozenset({"topics", "lenses", "days", "editions"})
AGES = frozenset({"consent", "active", "since"})
CHOICES = frozenset(Choices.__dataclass_fields__) - {"muted"}  # that ends within days
NONE = "none"
_FIELD = re.compile(r"fields?\.([a-z0-9_]{1,64})")
_TERM = re.compile(r'(-?)([\w.]+):((?:"[^"]*"|[^\s"])+)')
_VALUE = re.compile(r'"([^"]*)"|([^,"]+)')
_AGE = re.compile(r"([<>]?)(\d{1,5})([dwy])")
_DAYS_OF = {"d": 1, "w": 7, "y": 365}
_MOST_TERMS = 20
_MOST_VALUES = 100


@dataclass(frozen=True, slots=True)
class Age:
    """How long ago something was."""

    bound: timedelta
    is_longer: bool
    """Whether it is to be longer ago than `bound`, else at most that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One thing that must hold."""

    name: str
    """A choice, "fields.NAME", "status", or one of `AGES`."""
    values: tuple[str | Age, ...]
    """One of these; `NONE` is no value."""
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """All the terms that must hold."""

    text: str
    """As it was typed."""
    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return self.text


def parse_segment(text: str) -> Segment:
    """Read a segment; raises `AudienceError` in one sentence that says what is wrong."""
    terms = tuple(_split(text))
    if not terms:
        raise _refusal(text, "names nobody", 'write one such as "topics:markets language:de"')
    if len(terms) > _MOST_TERMS:
        raise _refusal(text, f"has more than {_MOST_TERMS} terms", "shorten it")
    return Segment(text=" ".join(text.split()), terms=terms)


def _split(text: str) -> Iterator[Term]:
    at = 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        found = _TERM.match(text, at)
        if found is None or not (found.end() == len(text) or text[found.end()].isspace()):
            raise _refusal(
                text[at:].split()[0], "is no term", 'write name:value, such as topics:"world news"'
            )
        at = found.end()
        yield _parse_term(found[0], found[2].lower(), found[3], negated=bool(found[1]))


def _parse_term(text: str, name: str, values: str, *, negated: bool) -> Term:
    if found := _FIELD.fullmatch(name):
        name = f"fields.{found[1]}"
    elif name not in CHOICES | AGES | {"status"}:
        known = ", ".join(sorted(CHOICES | AGES | {"status"}))
        raise _refusal(text, f"asks for {name}", f"there is {known} and fields.NAME")
    left_over = _VALUE.sub("", values)
    parts = [quoted or plain for quoted, plain in _VALUE.findall(values)]
    if left_over.strip(",") or len(left_over) != len(parts) - 1 or not all(parts):
        raise _refusal(text, "has a value that is empty or not closed", "write name:one,two")
    if len(parts) > _MOST_VALUES:
        raise _refusal(text, f"has more than {_MOST_VALUES} values", "shorten it")
    read = tuple(_parse_value(text, name, part) for part in parts)
    return Term(name=name, values=read, negated=negated)


def _parse_value(text: str, name: str, part: str) -> str | Age:
    if part.lower() == NONE and name not in ("status", "since"):
        return NONE
    if name in AGES:
        found = _AGE.fullmatch(part.lower())
        if found is None:
            raise _refusal(
                text, f"has no age in {format_excerpt(part)}", "write one such as <90d, >26w or 2y"
            )
        bound = timedelta(days=int(found[2]) * _DAYS_OF[found[3]])
        return Age(bound, is_longer=found[1] == ">")
    if name == "status" and part.lower() not in get_args(Status):
        raise _refusal(
            text,
            f"asks for the status {format_excerpt(part)}",
            f"there is {', '.join(get_args(Status))}",
        )
    return part


def _refusal(text: str, problem: str, mend: str) -> AudienceError:
    return AudienceError(f"{format_excerpt(text)} {problem}", field="segment", mend=mend)
