"""The editor's desk: decides what becomes of a day, and stores it in one transaction.

A day without briefs, or without any that no other edition told, is quiet only if every source was
read. Otherwise nobody can know, and the edition is held with the reason: readers are never told
that nothing happened because a feed was down. Where the gathering just made failed everywhere the
edition is held even if briefs wait, since the day's own would be missing and an edition is sent
only once. It is held as well while what the operator wrote for that day cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Literal

from sqlalchemy import Connection, select

from newsletter.briefs.gather import SourceReport
from newsletter.editions.candidates import Candidates, load_candidates
from newsletter.editions.compose import Draft, compose
from newsletter.editions.following import follow_up
from newsletter.editions.lifecycle import RELEASED, UNSENT
from newsletter.editions.model import Edition, Kind, name_edition
from newsletter.editions.notes import Notes, read_notes
from newsletter.editions.review import WAITS_FOR_REVIEW, Rules, explain_shortfall
from newsletter.editions.shelf import (
    NOTHING_NEW,
    UNTAKEN,
    EditionRecord,
    call_off_edition,
    change_state,
    find_edition,
    first_start,
    hold_edition,
    load_content,
    previous_cut_off,
    retire_unapproved,
    store_edition,
)
from newsletter.editions.story import Candidate, Fate
from newsletter.editions.storylines import load_earlier, load_rules
from newsletter.editions.verdicts import Reviewed, load_reviewed, read_rules, store_trust
from newsletter.editions.window import Standing, decide_window, local_date
from newsletter.errors import ConfigurationError, InputError
from newsletter.settings import Settings, source_name
from newsletter.store import Database
from newsletter.store.alerts import raise_alert, was_raised
from newsletter.store.tables import gatherings

Outcome = Literal["edition", "quiet_day", "nothing_new", "held"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """What became of a day."""

    outcome: Outcome
    record: EditionRecord | None = None
    """None if there is nothing new: then nothing is stored, unless nobody takes it."""
    edition: Edition | None = None
    """None if there is nothing new or the edition is held; `record.reason` says why."""
    existing: bool = False
    """Whether it was approved before, and so is given back as it is."""
    counts: Mapping[Standing, int] = field(default_factory=dict)
    """How many briefs there were of each standing; empty where nobody counted."""
    retired: tuple[str, ...] = ()
    """Earlier editions that nobody approved; their briefs were free for this one."""
    remarks: tuple[str, ...] = ()
    """What an operator gave and the edition does not show. Whole sentences."""
    fates: tuple[Fate, ...] = ()
    """Where every candidate went; empty where nothing was composed."""


def compose_edition(
    database: Database,
    settings: Settings,
    *,
    day: date,
    now: datetime,
    reports: Sequence[SourceReport] | None,
    kind: Kind = "daily",
    closed: bool = False,
    dry: bool = False,
) -> Composed:
    """Compose a daily edition of `day` from what is stored, as a draft; if `dry`, none is stored.

    Once the review is `closed` it is composed without what waits for a reviewer, and held where
    that leaves too little.

    `reports` are of the gathering just made; None if there was none, and then what was last
    recorded of each source tells whether it was read. `now` is the moment after that
    gathering. Raises `RefusedError` for a day to come, and for one whose edition was cancelled
    with readers enrolled; `ConfigurationError` without sources.
    """
    publication, rules = settings.publication_of(kind), settings.edition
    further, series = settings.find_further(kind), settings.series_of(kind)
    reviewers = read_rules(settings)
    notes, unreadable = _try_notes(settings, day, kind)
    with database.writing(discarded=dry) as connection:
        if released := find_released(connection, day, kind):
            return released
        found = find_edition(connection, day, kind)
        if not settings.sources:
            raise ConfigurationError(
                "there is no source of briefs",
                field="sources",
                mend='add [[sources]] with kind = "folder" and path = "briefs" to newsletter.toml',
            )
        blind = bool(reports) and not any(report.is_read for report in reports or ())
        retired = (
            ()
            if blind
            else retire_unapproved(
                connection, day, now=now, max_lateness=settings.schedule.max_lateness, kind=kind
            )
        )
        previous = previous_cut_off(connection, day, kind)
        window = decide_window(
            day,
            now=now,
            zone=publication.zone,
            # Until one edition is released, those held or cancelled say since when news waits.
            previous_cut_off=previous or first_start(connection, day, kind),
            lookback=rules.lookback,
        )
        candidates = load_candidates(
            connection,
            window,
            made_at=now,
            beginning=None if previous is None else first_start(connection, day, kind),
            lookback=rules.lookback,
            kind=kind,
            series=series,
            edition_id=None if found is None else found.id,
            topics=further.topics if further else (),
            reviewers=reviewers,
            closed=closed,
        )
        store_trust(
            connection, load_reviewed(connection, candidates.trusted, reviewers).values(), now
        )
        unreviewed = candidates.counts.get("unreviewed", 0)
        shortfall = explain_shortfall(len(candidates.chosen), unreviewed, settings.review.floor)
        nothing_new = Composed(
            outcome="nothing_new",
            counts=candidates.counts,
            retired=tuple(record.name for record in retired),
            fates=candidates.fates,
        )
        has_news = any(not each.had_in for each in candidates.chosen)
        if blind or not (has_news or shortfall):
            reason = _explain_failures(connection, settings, reports, since=window.start)
            if reason:
                held = hold_edition(connection, day, reason, window, now, kind)
                return _hold(nothing_new, held, candidates.chosen)
            if rules.quiet_day == "skip" and not candidates.chosen:
                if found is not None and found.state != "cancelled":
                    change_state(connection, found.id, "cancelled", reason=NOTHING_NEW, now=now)
                return replace(nothing_new, remarks=_name_unsent(notes, unreadable, day, kind))
        if unreadable or shortfall:
            held = hold_edition(connection, day, unreadable or shortfall, window, now, kind)
            _tell_once(connection, held, now)
            return _hold(nothing_new, held, candidates.chosen)
        draft = compose(
            candidates.chosen,
            day=day,
            kind=kind,
            window=window,
            publication=publication,
            settings=rules,
            notes=notes,
            weights={source_name(source): source.weight for source in settings.sources},
            rules=load_rules(connection),
            earlier=load_earlier(connection, day, kind),
        )
        draft = follow_up(connection, draft, settings)
        record = store_edition(
            connection,
            draft.edition,
            state="draft",
            brief_ids=draft.brief_ids,
            also_ids=draft.also_ids,
            story_ids=draft.story_ids,
            left_out_ids=list_left_out(candidates.chosen, draft),
            series=series,
            now=now,
        )
        return replace(
            nothing_new,
            outcome=_outcome(draft.edition),
            record=record,
            edition=draft.edition,
            remarks=(*draft.remarks, *_remark_on_unreviewed(unreviewed)),
            fates=(*candidates.fates, *draft.fates),
        )


def call_off(
    database: Database, settings: Settings, *, day: date, kind: Kind, now: datetime
) -> Composed | None:
    """Note that nobody takes the edition of a day, so that there is none; None where it stands.

    That is one that was approved, planned, or cancelled.
    """
    with database.writing() as connection:
        found = find_edition(connection, day, kind)
        if found and (found.state not in (*UNSENT, "held") or found.is_planned):
            is_known = (found.state, found.reason) == ("cancelled", UNTAKEN)
            return Composed(outcome="nothing_new", record=found) if is_known else None
        window = decide_window(
            day,
            now=now,
            zone=settings.publication.zone,
            previous_cut_off=previous_cut_off(connection, day, kind),
            lookback=settings.edition.lookback,
        )
        record = call_off_edition(connection, day, kind, window, now)
    return Composed(outcome="nothing_new", record=record)


def _hold(composed: Composed, record: EditionRecord, waiting: Sequence[Candidate]) -> Composed:
    """Give what became of a day whose edition is held, and of the briefs that wait for it."""
    fates = (Fate(candidate=each, place="held", why=record.reason) for each in waiting)
    return replace(composed, outcome="held", record=record, fates=(*composed.fates, *fates))


def _tell_once(connection: Connection, held: EditionRecord, now: datetime) -> None:
    """Raise an alert where an edition begins to wait for its reviewers."""
    kind = "review_wanted"
    is_new = not was_raised(connection, kind, edition_id=held.id)
    if is_new and held.reason.startswith(WAITS_FOR_REVIEW):
        sentence = f"the edition of {held.name} is held, {held.reason}."
        raise_alert(connection, kind, sentence, now=now, edition_id=held.id)


def _remark_on_unreviewed(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    briefs = "1 brief is" if count == 1 else f"{count:,} briefs are"
    return (f"{briefs} left out, since nobody approved them; `newsletter review` lists them.",)


def find_released(connection: Connection, day: date, kind: Kind = "daily") -> Composed | None:
    """Find the edition of a day as it stands, where it was approved before."""
    found = find_edition(connection, day, kind)
    if found is None or found.state not in RELEASED:
        return None
    content = load_content(connection, found.id)
    return Composed(outcome=_outcome(content), record=found, edition=content, existing=True)


def list_waiting(
    connection: Connection, settings: Settings, *, now: datetime
) -> tuple[Reviewed, ...]:
    """List the briefs that wait for a reviewer before a coming daily edition may have them.

    Those under embargo, or dated later, too: they may be in it by the time it is sent. The
    pinned and the newest come first.
    """
    reviewers = read_rules(settings)
    ids: dict[int, None] = {}
    for kind in settings.daily_kinds:
        candidates = _load_coming(connection, settings, kind, reviewers, now)
        coming = (f.candidate for f in candidates.fates if f.place in ("not_yet", "embargoed"))
        ids |= dict.fromkeys(each.brief_id for each in (*candidates.chosen, *coming))
    loaded = load_reviewed(connection, [*ids], reviewers).values()
    waiting = (each for each in loaded if each.judgement.state == "waiting")
    return tuple(
        sorted(
            waiting,
            key=lambda each: (
                not each.brief.pinned,
                -each.brief.priority,
                -each.published_at.timestamp(),
                each.brief_id,
            ),
        )
    )


def _load_coming(
    connection: Connection, settings: Settings, kind: Kind, reviewers: Rules, now: datetime
) -> Candidates:
    """Load the briefs that the coming edition of a daily kind could have."""
    zone, lookback = settings.publication.zone, settings.edition.lookback
    further = settings.find_further(kind)
    today = local_date(now, zone)
    found = find_edition(connection, today, kind)
    is_over = found is not None and found.state in RELEASED
    before = today + timedelta(days=1) if is_over else today
    previous = previous_cut_off(connection, before, kind)
    first = first_start(connection, before, kind)
    return load_candidates(
        connection,
        decide_window(
            today, now=now, zone=zone, previous_cut_off=previous or first, lookback=lookback
        ),
        made_at=now,
        beginning=None if previous is None else first,
        lookback=lookback,
        kind=kind,
        series=settings.series_of(kind),
        edition_id=None if found is None or is_over else found.id,
        topics=further.topics if further else (),
        reviewers=reviewers,
    )


def list_left_out(chosen: Sequence[Candidate], draft: Draft) -> list[int]:
    """List what an edition could have had and does not tell: the next one may not have it."""
    told = {*draft.brief_ids, *(brief_id for also in draft.also_ids for brief_id in also)}
    return [each.brief_id for each in chosen if each.brief_id not in told]


def _try_notes(settings: Settings, day: date, kind: Kind) -> tuple[Notes, str]:
    """Read what the operator adds to an edition, or say why it cannot be read."""
    try:
        return read_notes(settings.root, settings.edition, name_edition(day, kind)), ""
    except InputError as error:
        return Notes(), str(error).rstrip(".")


def _name_unsent(notes: Notes, unreadable: str, day: date, kind: Kind) -> tuple[str, ...]:
    """Say that notes were written for an edition that there is not."""
    if not unreadable and notes == Notes():
        return ()
    name = name_edition(day, kind)
    return (f"The notes of {name} go to nobody: there is no edition to put them into.",)


def _outcome(edition: Edition) -> Outcome:
    return "edition" if edition.briefs else "quiet_day"


def _explain_failures(
    connection: Connection,
    settings: Settings,
    reports: Sequence[SourceReport] | None,
    *,
    since: datetime,
) -> str:
    """Say which sources failed; "" if every one was read."""
    if reports:
        errors = {r.name: None if r.is_read else r.error for r in reports}
    else:
        errors = _read_errors(connection, settings, since=since)
    failed = [_name_source(name, error) for name, error in errors.items() if error is not None]
    if not failed:
        return ""
    if len(failed) < len(errors):
        which = f"there are no new briefs, and {len(failed)} of {len(errors)} sources failed"
    else:
        which = (
            "the only source failed" if len(errors) == 1 else f"all {len(errors)} sources failed"
        )
    return f"{which}: {'; '.join(failed)}"


def _name_source(name: str, error: str) -> str:
    """Put the source's name before its error, unless that begins with it."""
    return (error if error.startswith(name) else f"{name}: {error}").rstrip(".")


def _read_errors(
    connection: Connection, settings: Settings, *, since: datetime
) -> dict[str, str | None]:
    """Read what was last recorded of each source since a time: its error, None if it was read."""
    errors: dict[str, str | None] = dict.fromkeys(
        map(source_name, settings.sources), "it was not gathered"
    )
    rows = connection.execute(
        select(gatherings.c.source, gatherings.c.status, gatherings.c.error)
        .where(gatherings.c.gathered_at > since, gatherings.c.source.in_(errors))
        .order_by(gatherings.c.gathered_at, gatherings.c.id)
    )
    for source, status, error in rows:
        errors[source] = error if status in ("failed", "waiting") else None
    return errors
