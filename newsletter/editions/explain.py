"""What became of everything that was gathered: one line for each item, with its place and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, select

from newsletter.briefs.gather import ITEM_OUTCOMES, ItemReport, SourceReport
from newsletter.editions.candidates import load_candidates
from newsletter.editions.model import Window
from newsletter.editions.shelf import EditionRecord, first_start
from newsletter.editions.story import Fate
from newsletter.editions.window import STANDINGS
from newsletter.store.tables import edition_briefs, editions

PLACES: Mapping[str, str] = {
    "full": "in full",
    "standard": "at standard length",
    "one-line": "in one line",
    "web": "on the web alone",
    "also": "told by another brief",
    "left out": "left out",
    "held": "waiting, as the edition is held",
    "next": "waiting for the next edition",
    **{standing: words for standing, words in STANDINGS.items() if standing != "in"},
    "earlier": "an edition had them already",
    "repeats": "there twice",
    "unreadable": "not readable",
    "failed": "sources that failed",
}
"""Every place, in the order that they are told in, and how it is said to a person."""

_FORMS = ("full", "standard", "one-line")
_IDS_A_QUERY = 500  # old builds of SQLite take 999 parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Where one item went."""

    place: str
    """One of `PLACES`."""
    why: str
    """A sentence for operators, without the full stop."""
    title: str = ""
    source: str = ""
    origin: str = ""
    """The file or entry; "" for a brief that its source does not hold any more."""
    came: str = ""
    """How the gathering took it: one of `ITEM_OUTCOMES`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An edition that has a brief."""

    day: date
    kind: str
    state: str
    is_told: bool
    """Whether a brief of the edition tells it; else it found no room there."""
    is_lead: bool
    """Whether it is itself that brief."""


def load_claims(connection: Connection, brief_ids: Iterable[int]) -> dict[int, Claim]:
    """Load which edition has each of these briefs; round-ups do not count."""
    claims: dict[int, Claim] = {}
    wanted = sorted({*brief_ids})
    for start in range(0, len(wanted), _IDS_A_QUERY):
        rows = connection.execute(
            select(
                edition_briefs.c.brief_id,
                edition_briefs.c.position,
                edition_briefs.c.story_id,
                editions.c.date,
                editions.c.kind,
                editions.c.state,
            )
            .join_from(edition_briefs, editions)
            .where(
                edition_briefs.c.series != "weekly",
                edition_briefs.c.brief_id.in_(wanted[start : start + _IDS_A_QUERY]),
            )
            .order_by(edition_briefs.c.series == "news")  # of several editions the daily one
        )
        for row in rows:
            claims[row.brief_id] = Claim(
                day=row.date,
                kind=row.kind,
                state=row.state,
                is_told=row.position is not None or row.story_id is not None,
                is_lead=row.position is not None,
            )
    return claims


def load_waiting(
    connection: Connection,
    released: EditionRecord,
    *,
    now: datetime,
    lookback: timedelta,
    series: str = "news",
) -> tuple[Fate, ...]:
    """Load where the briefs stand that came after an edition was composed and approved.

    That is for the next of its kind, which belongs to a `series`.
    """
    cut_off = released.window.cut_off
    found = load_candidates(
        connection,
        Window(start=cut_off, cut_off=max(now, cut_off)),
        made_at=now,
        beginning=first_start(connection, released.date + timedelta(days=1), released.kind),
        lookback=lookback,
        kind=released.kind,
        series=series,
    )
    why = f"the edition of {released.name} is {released.state} already"
    return (*(Fate(candidate=each, place="next", why=why) for each in found.chosen), *found.fates)


def place_by_form(
    fates: Sequence[Fate], forms: Sequence[str | None], minutes: int
) -> tuple[Fate, ...]:
    """Put the briefs of an edition where a reader who chose nothing finds them.

    `forms` are what such a reader gets of each brief, in order; None for nothing of it.
    """
    following = iter(forms)
    return tuple(
        _by_form(fate, next(following), minutes) if _is_told(fate) else fate for fate in fates
    )


def explain_items(
    reports: Sequence[SourceReport], fates: Sequence[Fate], claims: Mapping[int, Claim]
) -> tuple[Line, ...]:
    """Say where each item of a gathering went, and each brief that waited; by place."""
    by_id = {fate.candidate.brief_id: fate for fate in fates}
    items = (item for report in reports for item in report.items)
    came = {item.brief_id: item for item in items if item.outcome != "repeats"}
    lines = [_tell(fate, came.get(fate.candidate.brief_id)) for fate in fates]
    for report in reports:
        if not report.is_read:
            lines.append(Line(place="failed", why=_sentence(report.error), source=report.name))
        lines += (
            Line(place="unreadable", why=_sentence(problem), source=report.name)
            for problem in report.problems
        )
        for item in report.items:
            if item.outcome == "repeats" or item.brief_id is None:
                lines.append(_line(item, report.name, "repeats", ITEM_OUTCOMES["repeats"]))
            elif item.brief_id not in by_id:
                lines.append(_tell_other(item, report.name, claims.get(item.brief_id)))
    order = {place: number for number, place in enumerate(PLACES)}
    return tuple(sorted(lines, key=lambda line: order.get(line.place, len(order))))


def _is_told(fate: Fate) -> bool:
    return fate.place in _FORMS


def _by_form(fate: Fate, form: str | None, minutes: int) -> Fate:
    if form is not None:
        return Fate(candidate=fate.candidate, place=form, why=fate.why)
    room = f"in the {minutes} minutes of a reader who chose nothing" if minutes else "in a mail"
    return Fate(candidate=fate.candidate, place="web", why=f"{fate.why}; no room {room}")


def _tell(fate: Fate, item: ItemReport | None) -> Line:
    return Line(
        place=fate.place,
        why=fate.why,
        title=fate.candidate.brief.title,
        source=fate.candidate.source,
        origin=item.origin if item else "",
        came=item.outcome if item else "",
    )


def _tell_other(item: ItemReport, source: str, claim: Claim | None) -> Line:
    """Tell of an item that was no candidate: an edition has it, or it is old news."""
    if claim is None:
        return _line(item, source, "too_old", "older than the window, and seen before it")
    kind = "" if claim.kind == "daily" else f"{claim.kind} "
    edition = f"the {kind}edition of {claim.day}, which is {claim.state}"
    if not claim.is_told:
        return _line(item, source, "earlier", f"{edition}, left it out")
    told = "has it" if claim.is_lead else "tells it by another brief"
    return _line(item, source, "earlier", f"{edition}, {told}")


def _line(item: ItemReport, source: str, place: str, why: str) -> Line:
    return Line(
        place=place,
        why=why,
        title=item.title,
        source=source,
        origin=item.origin,
        came=item.outcome,
    )


def _sentence(text: str) -> str:
    return text.rstrip(".")
