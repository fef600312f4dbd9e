"""Candidates in, an edition out: order, doubles, the cap on briefs."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from newsletter.briefs.model import Brief
from newsletter.editions.headlines import format_preheader, format_subject
from newsletter.editions.model import Edition, Window
from newsletter.settings import EditionSettings, Publication


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A brief that may go into an edition."""

    brief_id: int
    published_at: datetime
    brief: Brief


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An edition as composed, and which stored briefs it is made of."""

    edition: Edition
    brief_ids: tuple[int, ...]
    """In the order of `edition.briefs`."""


def compose(
    candidates: Sequence[Candidate],
    *,
    day: date,
    window: Window,
    publication: Publication,
    settings: EditionSettings,
) -> Draft:
    """Compose the edition of `day`: the same for the same candidates in whatever order."""
    unique = _drop_doubles(sorted(candidates, key=_rank))
    chosen = unique[: settings.max_briefs]
    briefs = tuple(candidate.brief for candidate in chosen)
    edition = Edition(
        date=day,
        window=window,
        subject=format_subject(briefs, publication=publication, day=day),
        preheader=format_preheader(briefs, publication=publication, day=day),
        briefs=briefs,
        left_out=len(unique) - len(chosen),
    )
    return Draft(edition=edition, brief_ids=tuple(candidate.brief_id for candidate in chosen))


def _rank(candidate: Candidate) -> tuple[bool, float, str, int]:
    """Put briefs with analysis first, then the newest, then by title."""
    brief = candidate.brief
    newest_first = -candidate.published_at.timestamp()
    return not brief.has_analysis, newest_first, brief.title, candidate.brief_id


def _drop_doubles(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Keep the first of the briefs that say the same in title and summary."""
    first: dict[tuple[str, str], Candidate] = {}
    for candidate in candidates:
        said = (_fold(candidate.brief.title), _fold(candidate.brief.summary))
        first.setdefault(said, candidate)
    return list(first.values())


def _fold(text: str) -> str:
    """Fold case, width and white space, which tell no two texts apart."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
