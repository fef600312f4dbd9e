"""An edition that is to be sent at a moment to come: checked now, sent by `serve` then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from newsletter.audience.segment import Segment
from newsletter.delivery.settle import note_plan
from newsletter.editions.lifecycle import UNSENT
from newsletter.editions.plan import Plan, check_moment, store_plan
from newsletter.editions.shelf import EditionRecord, change_state, read_edition
from newsletter.editions.verdicts import approve_edition, read_rules
from newsletter.errors import RefusedError, Untimely
from newsletter.press import Press, Printed
from newsletter.press.approving import check_reviewed, count_audience, nobody_to_mail
from newsletter.press.checking import check_fit_to_send
from newsletter.press.seconding import ask_for_its_time


def plan_edition(
    press: Press,
    printed: Printed,
    at: datetime,
    *,
    overrides: Sequence[str] = (),
    segment: Segment | None = None,
    by_person: bool = False,
) -> EditionRecord:
    """Have an edition sent at a moment, aware UTC, exactly as it stands.

    A person's yes (`by_person`) is kept as their review of it. Raises `RefusedError` for a moment
    that is no use, for an edition that was approved, that fails its preflight, or that nobody
    would get; `Untimely` where it was composed anew meanwhile, or waits for its reviewers.
    Where it needs a second person's word, this asks for that.
    """
    now, record = press.now(), printed.record
    check_moment(at, now)
    day = at.astimezone(press.settings.publication.zone).date()
    if day != record.date:
        raise RefusedError(
            f"the edition of {record.name} cannot be sent on {day}",
            mend="an edition is sent on its own date",
        )
    overridden = check_fit_to_send(printed, overrides)
    if not count_audience(press, printed, segment):
        raise nobody_to_mail(record.kind, segment)
    plan = Plan(
        at=at, by=press.actor, overrides=tuple(overrides), segment=str(segment) if segment else ""
    )
    with press.database.writing() as connection:
        found = read_edition(connection, record.id)
        if found.state not in UNSENT:
            raise RefusedError(f"the edition of {record.name} is {found.state}")
        if not found.has_compiled or found.window != record.window:
            raise Untimely(
                f"the edition of {record.name} was composed anew meanwhile",
                mend="look at it again",
            )
        if found.state == "draft":
            change_state(connection, record.id, "ready", now=now)
        if by_person and record.kind != "weekly":  # what it tells was approved before
            rules = read_rules(press.settings)
            approve_edition(connection, record.id, rules, by=press.actor, now=now)
        check_reviewed(connection, press, record, by_person=False)
        store_plan(connection, record.id, plan)
        note_plan(connection, found, at, by=press.actor, now=now)
        planned = read_edition(connection, record.id)
    names = [finding.name for finding in overridden]
    ask_for_its_time(press, printed, overrides=names, segment=segment)
    return planned
