"""Which stored briefs may go into an edition: those of its window that no other has claimed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, exists, or_, select

from newsletter.briefs.document import brief_from_document
from newsletter.editions.model import Window
from newsletter.editions.story import Candidate, Fate
from newsletter.editions.window import STANDINGS, Standing, classify_candidate
from newsletter.store.tables import briefs, edition_briefs


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The briefs that may go into an edition, and how many there are of each standing."""

    chosen: tuple[Candidate, ...]
    counts: Mapping[Standing, int]
    fates: tuple[Fate, ...] = ()
    """Of those that may not."""


def load_candidates(
    connection: Connection,
    window: Window,
    *,
    first: bool,
    lookback: timedelta,
    edition_id: int | None = None,
) -> Candidates:
    """Load the briefs for a window that no edition but `edition_id` has claimed.

    Briefs that are old and were seen before the window are not counted again.
    """
    claimed = exists().where(
        edition_briefs.c.brief_id == briefs.c.id, edition_briefs.c.series == "news"
    )
    if edition_id is not None:
        claimed = claimed.where(edition_briefs.c.edition_id != edition_id)
    rows = connection.execute(
        select(
            briefs.c.id,
            briefs.c.source,
            briefs.c.origin,
            briefs.c.published_at,
            briefs.c.first_seen_at,
            briefs.c.document,
        ).where(
            ~claimed,
            or_(briefs.c.published_at >= window.start, briefs.c.first_seen_at >= window.start),
        )
    )
    counts: Counter[Standing] = Counter(dict.fromkeys(STANDINGS, 0))
    chosen = []
    fates = []
    for row in rows:
        standing = classify_candidate(
            published_at=row.published_at,
            first_seen_at=row.first_seen_at,
            window=window,
            lookback=lookback,
            first=first,
        )
        counts[standing] += 1
        candidate = Candidate(
            brief_id=row.id,
            published_at=row.published_at,
            brief=brief_from_document(row.document, file=f"{row.source}, {row.origin}"),
            source=row.source,
            first_seen_at=row.first_seen_at,
            standing=standing,
        )
        if standing in ("in", "late"):
            chosen.append(candidate)
        else:
            fates.append(Fate(candidate=candidate, place=standing, why=STANDINGS[standing]))
    return Candidates(chosen=tuple(chosen), counts=dict(counts), fates=tuple(fates))
