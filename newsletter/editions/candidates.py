"""Which stored briefs may go into an edition: those of its window that no other of its series has.

And the same asked again before it is sent: embargoes begin and end, and briefs expire, while an
edition waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, exists, or_, select

from newsletter.briefs.document import brief_from_document
from newsletter.briefs.model import Brief
from newsletter.editions.model import Kind, Window
from newsletter.editions.review import Judgement, Rules, hash_brief, judge_brief
from newsletter.editions.story import Candidate, Fate
from newsletter.editions.tellings import is_taken, load_tellings
from newsletter.editions.verdicts import load_reviewed, load_said
from newsletter.editions.window import STANDINGS, Standing, classify_candidate
from newsletter.errors import RefusedError
from newsletter.store.tables import briefs, edition_briefs, placements

_NO_REVIEW = Rules()
_CLOCK_ERROR = timedelta(days=31)
"""How far back briefs are looked for that a wrong clock put between two windows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The briefs that may go into an edition, and how many there are of each standing."""

    chosen: tuple[Candidate, ...]
    counts: Mapping[Standing, int]
    fates: tuple[Fate, ...] = ()
    """Of those that may not."""
    trusted: tuple[int, ...] = ()
    """Those that only the setting of their source has approved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Barred:
    """A brief that an edition holds and that may not be sent now."""

    title: str
    not_before: datetime | None
    """When it may be; None for one that expired, and never may."""


def load_candidates(
    connection: Connection,
    window: Window,
    *,
    made_at: datetime,
    beginning: datetime | None,
    lookback: timedelta,
    kind: Kind = "daily",
    series: str = "news",
    edition_id: int | None = None,
    topics: Sequence[str] = (),
    reviewers: Rules = _NO_REVIEW,
    closed: bool = False,
) -> Candidates:
    """Load the briefs for a window that no edition of a series but `edition_id` has claimed.

    What another series told since the window began is among them, and says so. Where there are
    `topics`, one that has none of them is none of this edition's.

    `made_at` and `beginning` are as `classify_candidate` has them. Of briefs that were too old, or
    had expired, before the window nothing is said again. What is rejected is left out, and once the
    review is `closed` what waits for its reviewers too; that may come late into the next edition.
    """
    since = window.start - max(lookback, _CLOCK_ERROR)
    rows = connection.execute(
        select(
            *_CANDIDATE,
        ).where(
            ~is_taken(kind, series, start=window.start, but_for=edition_id),
            or_(
                briefs.c.published_at >= since,
                briefs.c.first_seen_at >= since,
                briefs.c.not_before >= since,
            ),
        )
    )
    newest = connection.scalar(
        select(edition_briefs.c.brief_id)
        .where(edition_briefs.c.series == series, edition_briefs.c.edition_id != (edition_id or 0))
        .order_by(edition_briefs.c.brief_id.desc())
        .limit(1)
    )
    counts: Counter[Standing] = Counter(dict.fromkeys(STANDINGS, 0))
    wanted = {topic.casefold() for topic in topics}
    possible = []
    fates = []
    for row in rows:
        candidate = _read_candidate(row)
        brief = candidate.brief
        if wanted and wanted.isdisjoint(topic.casefold() for topic in brief.topics):
            continue
        standing = classify_candidate(
            published_at=row.published_at,
            first_seen_at=row.first_seen_at,
            window=window,
            made_at=made_at,
            lookback=lookback,
            beginning=beginning,
            not_before=brief.not_before,
            expires_at=brief.expires_at,
        )
        if row.id <= (newest or 0) and _was_told(standing, candidate, window):
            continue
        candidate = replace(candidate, standing=standing)
        if standing in ("in", "late"):
            possible.append((candidate, row.document))
        else:
            counts[standing] += 1
            fates.append(Fate(candidate=candidate, place=standing, why=STANDINGS[standing]))
    said = load_said(connection, [candidate.brief_id for candidate, _ in possible])
    chosen, trusted = [], []
    for candidate, document in possible:
        judgement = judge_brief(
            candidate.brief,
            hash_brief(document),
            said.get(candidate.brief_id, ()),
            source=candidate.source,
            rules=reviewers,
        )
        was_left = _was_left(candidate, window, lookback)
        if judgement.state == "waiting" and was_left and reviewers.required:
            continue
        if judgement.state == "rejected" or (judgement.state == "waiting" and closed):
            standing = "rejected" if judgement.state == "rejected" else "unreviewed"
            if standing == "unreviewed" or not _is_of_before(candidate, window):
                counts[standing] += 1
                why = _explain_judgement(judgement)
                left = replace(candidate, standing=standing)
                fates.append(Fate(candidate=left, place=standing, why=why))
            continue
        counts[candidate.standing] += 1
        chosen.append(candidate)
        if judgement.by_trust:
            trusted.append(candidate.brief_id)
    return Candidates(
        chosen=_mark_told(connection, chosen, series),
        counts=dict(counts),
        fates=tuple(fates),
        trusted=tuple(trusted),
    )


def _mark_told(
    connection: Connection, candidates: Iterable[Candidate], series: str
) -> tuple[Candidate, ...]:
    """Note with each candidate which editions of other series told it."""
    found = tuple(candidates)
    told = load_tellings(connection, (each.brief_id for each in found), series)
    return tuple(
        replace(each, had_in=by.had_in, story_id=by.story_id)
        if (by := told.get(each.brief_id))
        else each
        for each in found
    )


def _is_of_before(candidate: Candidate, window: Window) -> bool:
    return candidate.first_seen_at is not None and candidate.first_seen_at < window.start


def _was_left(candidate: Candidate, window: Window, lookback: timedelta) -> bool:
    """Tell whether a brief found no reviewer for an edition and for the next one either."""
    seen_at = candidate.first_seen_at
    return (
        candidate.standing == "late" and seen_at is not None and seen_at < window.start - lookback
    )


def _explain_judgement(judgement: Judgement) -> str:
    if judgement.state == "rejected" and judgement.said:
        note = f": {judgement.said.note}" if judgement.said.note else ""
        return f"{judgement.said.decided_by} rejected it{note}"
    return (
        f"nobody approved it by the deadline ({judgement.why}); the next edition may have it, "
        "if somebody does"
    )


def load_named(
    connection: Connection, brief_ids: Sequence[int], *, at: datetime, edition_id: int | None = None
) -> tuple[Candidate, ...]:
    """Load the briefs with these numbers, for a special edition that is sent `at` or later.

    Raises `RefusedError` for one that is not there, that another edition has, or that may not be
    sent at that time.
    """
    rows = connection.execute(
        select(
            *_CANDIDATE,
            _is_claimed(but_for=edition_id).label("is_claimed"),
        ).where(briefs.c.id.in_(brief_ids))
    )
    found = {row.id: row for row in rows}
    reviewed = load_reviewed(connection, brief_ids, _NO_REVIEW)
    candidates = []
    for number in dict.fromkeys(brief_ids):
        if number not in found:
            raise RefusedError(
                f"there is no brief {number}", mend="`newsletter gather --explain` has the numbers"
            )
        candidate = _read_candidate(found[number])
        brief = candidate.brief
        if found[number].is_claimed:
            raise RefusedError(f'"{brief.title[:60]}" was in another edition', mend="leave it out")
        if reviewed[number].judgement.state == "rejected":
            raise RefusedError(
                f'"{brief.title[:60]}" is left out: '
                f"{_explain_judgement(reviewed[number].judgement)}",
                mend=f"`newsletter review approve {number}` lets it go",
            )
        if _is_over(brief, at):
            raise RefusedError(f'"{brief.title[:60]}" has expired', mend="leave it out")
        if brief.not_before is not None and brief.not_before > at:
            raise RefusedError(
                f'"{brief.title[:60]}" is under embargo until '
                f"{brief.not_before:%Y-%m-%d %H:%M} UTC",
                mend="send it after that",
            )
        candidates.append(candidate)
    return _mark_told(connection, candidates, "news")


def find_barred(connection: Connection, edition_id: int, now: datetime) -> Barred | None:
    """Find a brief of an edition that is under embargo or has expired, as its source has it now.

    One that has expired comes before one that need only wait.
    """
    barred = [
        Barred(title=brief.title, not_before=None if _is_over(brief, now) else brief.not_before)
        for brief in _load_told(connection, edition_id)
        if _is_over(brief, now) or (brief.not_before is not None and brief.not_before > now)
    ]
    return min(barred, key=lambda each: each.not_before is not None, default=None)


def is_overtaken(
    connection: Connection, edition_id: int, cut_off: datetime, now: datetime, series: str = "news"
) -> bool:
    """Tell whether an embargo ended since an edition cut off, or it holds what is barred now."""
    set_free = exists().where(
        briefs.c.not_before > cut_off, briefs.c.not_before <= now, ~_is_claimed(series)
    )
    return bool(connection.scalar(select(set_free))) or bool(
        find_barred(connection, edition_id, now)
    )


def _is_claimed(series: str = "news", *, but_for: int | None = None) -> Any:
    claimed = exists().where(
        edition_briefs.c.brief_id == briefs.c.id, edition_briefs.c.series == series
    )
    return claimed if but_for is None else claimed.where(edition_briefs.c.edition_id != but_for)


_CANDIDATE = (
    *(briefs.c.id, briefs.c.source, briefs.c.origin),
    *(briefs.c.published_at, briefs.c.first_seen_at, briefs.c.document),
    select(placements.c.rank)
    .where(placements.c.brief_id == briefs.c.id)
    .scalar_subquery()
    .label("rank"),
)


def _read_candidate(row: Row[*tuple[Any, ...]]) -> Candidate:
    brief = brief_from_document(row.document, file=f"{row.source}, {row.origin}")
    if row.rank is not None:  # an editor's order is one of pinned briefs
        brief = replace(brief, pinned=True, priority=row.rank)
    return Candidate(
        brief_id=row.id,
        published_at=row.published_at,
        brief=brief,
        source=row.source,
        first_seen_at=row.first_seen_at,
    )


def _load_told(connection: Connection, edition_id: int) -> list[Brief]:
    rows = connection.execute(
        select(briefs.c.source, briefs.c.origin, briefs.c.document)
        .join(edition_briefs, edition_briefs.c.brief_id == briefs.c.id)
        .where(edition_briefs.c.edition_id == edition_id, edition_briefs.c.position.is_not(None))
        .order_by(edition_briefs.c.position)
    )
    return [brief_from_document(row.document, file=f"{row.source}, {row.origin}") for row in rows]


def _is_over(brief: Brief, now: datetime) -> bool:
    return brief.expires_at is not None and brief.expires_at <= now


def _was_told(standing: Standing, candidate: Candidate, window: Window) -> bool:
    """Tell whether an earlier edition has said of a brief that it is of no use.

    For briefs that were there by then, whatever a clock says: a later one was claimed.
    """
    seen_at, brief = candidate.first_seen_at, candidate.brief
    last = {
        "too_old": (seen_at,),
        "expired": (seen_at, brief.expires_at, brief.not_before),
    }.get(standing)
    return last is not None and all(at is None or at < window.start for at in last)
