"""Candidates in, an edition out: order, doubles, the cap on briefs."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from newsletter.briefs.model import Brief
from newsletter.editions.headlines import format_preheader, format_subject
from newsletter.editions.model import Edition, Window
from newsletter.editions.notes import Notes
from newsletter.editions.story import Candidate, Fate
from newsletter.settings import EditionSettings, Publication, picture_host


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An edition as composed, and which stored briefs it is made of."""

    edition: Edition
    brief_ids: tuple[int, ...]
    """In the order of `edition.briefs`."""
    also_ids: tuple[tuple[int, ...], ...] = ()
    """The briefs that each of these tells as well: they are taken up with it."""
    story_ids: tuple[int | None, ...] = ()
    """The stories that return; None for a new one."""
    fates: tuple[Fate, ...] = ()
    """Where every candidate went."""
    remarks: tuple[str, ...] = ()
    """What an operator gave and the edition does not show. Whole sentences."""


_NO_NOTES = Notes()


def compose(
    candidates: Sequence[Candidate],
    *,
    day: date,
    window: Window,
    publication: Publication,
    settings: EditionSettings,
    notes: Notes = _NO_NOTES,
) -> Draft:
    """Compose the edition of `day`: the same for the same candidates in whatever order."""
    unique = _drop_doubles(sorted(candidates, key=_rank))
    chosen = unique[: settings.max_briefs]
    remarks: list[str] = []
    briefs = tuple(
        _without_strange_picture(candidate.brief, settings.picture_hosts, remarks)
        for candidate in chosen
    )
    edition = Edition(
        date=day,
        window=window,
        subject=format_subject(briefs, publication=publication, day=day),
        preheader=format_preheader(briefs, publication=publication, day=day),
        briefs=briefs,
        left_out=len(unique) - len(chosen),
        note=notes.note,
        sponsor=notes.sponsor,
        corrections=notes.corrections,
    )
    return Draft(
        edition=edition,
        brief_ids=tuple(candidate.brief_id for candidate in chosen),
        remarks=(*notes.remarks, *remarks),
    )


def _without_strange_picture(brief: Brief, hosts: Sequence[str], remarks: list[str]) -> Brief:
    """Take a picture out that is not where the operator said pictures are, and say so."""
    if brief.picture is None or (host := picture_host(brief.picture.url)) in hosts:
        return brief
    remarks.append(
        f'The picture of "{brief.title[:60]}" is not shown: {host} is not among '
        "edition.picture_hosts."
    )
    return replace(brief, picture=None)


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
