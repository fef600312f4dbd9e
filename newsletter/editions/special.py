"""A special edition: what a person sends between the daily ones, made of the briefs they name.

It claims its briefs as the daily edition does, so that no reader gets them again. A daily edition
that has such a brief and is not approved yet is made again, without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from newsletter.editions.candidates import load_candidates, load_named
from newsletter.editions.compose import compose
from newsletter.editions.desk import Composed, find_released, list_left_out
from newsletter.editions.following import follow_up
from newsletter.editions.model import Window
from newsletter.editions.shelf import (
    find_edition,
    list_claims,
    reopen_dailies,
    retire_unapproved,
    store_edition,
)
from newsletter.editions.window import decide_cut_off
from newsletter.errors import RefusedError
from newsletter.settings import Settings
from newsletter.store import Database

_ALL_OF_THEM = {"max_outlet_share": 1.0, "max_per_topic": 0}
"""No rule leaves out what a person named."""


def compose_special(
    database: Database,
    settings: Settings,
    *,
    day: date,
    now: datetime,
    at: datetime | None = None,
    brief_ids: Sequence[int] = (),
) -> Composed:
    """Compose the special edition of `day` of the briefs with these numbers, as a draft.

    Without numbers it is made of those that its draft has, else of the pinned ones of the
    lookback. It is of what may be sent `at` a moment, now or later. Raises `RefusedError` for a day
    that has not begun by then, for a brief that is not there, that another
    edition has, or that may not be sent now, and where there is no brief at all.
    """
    rules = settings.edition
    at = now if at is None else max(at, now)
    with database.writing() as connection:
        if released := find_released(connection, day, "special"):
            return released
        retired = retire_unapproved(
            connection, day, now=now, max_lateness=settings.schedule.max_lateness, kind="special"
        )
        reopen_dailies(connection)
        found = find_edition(connection, day, "special")
        edition_id = None if found is None else found.id
        cut_off = decide_cut_off(day, now=at, zone=settings.publication.zone)
        window = Window(start=min(now, cut_off) - rules.lookback, cut_off=cut_off)
        named = brief_ids or (list_claims(connection, edition_id) if edition_id else ())
        if named:
            chosen = load_named(connection, named, at=at, edition_id=edition_id)
        else:
            on_offer = load_candidates(
                connection, window, made_at=at, beginning=None, lookback=rules.lookback
            )
            chosen = tuple(each for each in on_offer.chosen if each.brief.pinned)
        if not chosen:
            raise RefusedError(
                "no brief is named for a special edition, and none is pinned",
                mend="name one with --brief NUMBER, or pin it (`pinned: true` in its file)",
            )
        draft = compose(
            chosen,
            day=day,
            kind="special",
            window=window,
            publication=settings.publication,
            settings=rules.model_copy(update=_ALL_OF_THEM | {"max_briefs": len(chosen)}),
            is_grouped=False,
        )
        draft = follow_up(connection, draft, settings)
        edition = draft.edition
        record = store_edition(
            connection,
            edition,
            brief_ids=draft.brief_ids,
            also_ids=draft.also_ids,
            story_ids=draft.story_ids,
            left_out_ids=list_left_out(chosen, draft),
            now=now,
        )
        return Composed(
            outcome="edition",
            record=record,
            edition=edition,
            retired=tuple(each.name for each in retired),
            remarks=draft.remarks,
            fates=draft.fates,
        )
