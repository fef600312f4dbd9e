"""The way of the data, told in one file: gather, compose, render, enrol, deliver.

    gather ─▶ compose ─▶ render ─▶ enrol ─▶ deliver
    briefs    Edition    Compiled  Delivery  accepted, deferred, failed, in doubt …
              (draft)    Edition   rows      (approved ─▶ sending ─▶ sent)

A person at the command line and the clock of `newsletter serve` take the same way. Each step
leaves what it did in the database, and can be taken again: until an edition is enrolled it is
composed anew, from then on its content and its audience are fixed.

`prepare` makes an edition, and `publish` is what a yes to it sets off; the steps that they take
are each in a file of `press/`: composing (gather, compose, render), checking (the preflight),
approving (enrol), site (the web copy), delivering.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from sqlalchemy import Connection

from newsletter.audience.segment import Segment
from newsletter.briefs.gather import SourceReport
from newsletter.delivery.audience import Audience
from newsletter.delivery.lifecycle import State
from newsletter.delivery.sender import Sender
from newsletter.editions.candidates import is_overtaken
from newsletter.editions.corrections import Wrong, build_correction, is_missing_owed
from newsletter.editions.desk import Composed, call_off, find_released
from newsletter.editions.lifecycle import RELEASED, UNSENT
from newsletter.editions.model import Kind, list_repeated
from newsletter.editions.plan import find_plan
from newsletter.editions.review import WAITS_FOR_REVIEW
from newsletter.editions.shelf import (
    NOTHING_NEW,
    EditionRecord,
    change_state,
    find_edition,
    hold_edition,
    load_content,
    read_edition,
    store_edition,
)
from newsletter.editions.tellings import list_told_since
from newsletter.editions.verdicts import find_unsendable, is_edition_approved, read_rules
from newsletter.errors import IllegalMove, RefusedError
from newsletter.press import Delivered, Press, Printed
from newsletter.press.approving import approve, check_allowed, count_audience
from newsletter.press.checking import check_fit_to_send, describe_failed, look_at
from newsletter.press.composing import compose, gather, render
from newsletter.press.delivering import check_installation, check_relay, deliver
from newsletter.press.seconding import check_seconded
from newsletter.press.site import check_web, write_web
from newsletter.render.preflight import Finding, choose_overridden, list_failed
from newsletter.settings import is_daily, is_optional


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a day came to: an edition that can be sent, or why there is none."""

    composed: Composed
    printed: Printed | None = None
    reports: tuple[SourceReport, ...] = ()


def prepare(
    press: Press,
    day: date,
    *,
    kind: Kind = "daily",
    brief_ids: Sequence[int] = (),
    anew: bool = True,
    closed: bool = False,
    at: datetime | None = None,
    on_source: Callable[[SourceReport], None] | None = None,
) -> Prepared:
    """Gather, compose and render the edition of a day, unless it is approved already.

    One that is ready, made by the schedule, is made `anew` for a person: what they look at is
    what there is now. It stands as it is for the schedule itself, unless an embargo has ended or
    begun since, or a brief of it has expired; and where no source can be read. What its reviewers
    do not let go is left out of what was gathered: another gathering would bring edits that
    nobody has seen. `closed` is whether their time is over. One that somebody planned stands as
    it is for everybody; a special one can be made for a moment to come, `at`.
    """
    is_by_schedule = not anew
    if planned := _find_planned(press, day, kind):
        if brief_ids:
            raise RefusedError(
                f"the edition of {planned.name} is made, and planned",
                mend=f"`newsletter cancel {planned.name}` first, to have other briefs in it",
            )
        return _take_standing(press, planned)
    with press.database.reading() as connection:
        found = find_edition(connection, day, kind)
        ready = found if found and found.has_compiled and found.state == "ready" else None
        if ready and _is_outdated(connection, press, ready):
            anew = True
        is_let_go = ready is None or _is_let_go(connection, press, ready, closed=closed)
    waits = found and found.state == "held" and found.reason.startswith(WAITS_FOR_REVIEW)
    is_gathered = not anew and (waits or not is_let_go)
    fixed = found if found and found.has_compiled and found.state in RELEASED else None
    if standing := fixed or (None if anew or not is_let_go else ready):
        return _take_standing(press, standing)
    if kind == "correction":
        raise RefusedError(
            f"there is no correction of {day} that was approved",
            mend="`newsletter correct DATE --severity severe` makes one and sends it",
        )
    # A round-up tells what was told: no source has anything to add to it.
    reports: tuple[SourceReport, ...] = ()
    if not (is_gathered or kind == "weekly"):
        reports = gather(press, patient=is_by_schedule, on_source=on_source)
    if ready and reports and not any(report.is_read for report in reports):
        return _take_standing(press, ready, reports)
    composed = compose(
        press,
        day,
        None if is_gathered else reports,
        kind=kind,
        brief_ids=brief_ids,
        closed=closed,
        at=at,
    )
    if composed.edition is None:
        return Prepared(composed=composed, reports=reports)
    printed = render(press, composed)
    composed = replace(composed, record=printed.record, edition=printed.edition)
    return Prepared(composed=composed, printed=printed, reports=reports)


def _is_outdated(connection: Connection, press: Press, ready: EditionRecord) -> bool:
    """Tell whether an edition cannot go as it was made, whoever makes it again."""
    content = load_content(connection, ready.id)
    series = press.settings.series_of(ready.kind)
    return (
        is_overtaken(connection, ready.id, ready.window.cut_off, press.now(), series)
        or is_missing_owed(connection, content)
        or bool(list_told_since(connection, ready.id, content))
    )


def _find_planned(press: Press, day: date, kind: Kind) -> EditionRecord | None:
    with press.database.reading() as connection:
        found = find_edition(connection, day, kind)
    return found if found and found.is_planned and found.has_compiled else None


def _is_let_go(connection: Connection, press: Press, ready: EditionRecord, *, closed: bool) -> bool:
    """Tell whether the reviewers let an edition go as it stands; before their time is over, yet."""
    if not is_daily(ready.kind):
        return True
    rules = read_rules(press.settings)
    # One that was made before may tell a text that was changed, and approved, since then.
    is_of_before = (
        closed
        and rules.required
        and ready.window.cut_off < review_end(press, ready.date, ready.kind)
    )
    if is_of_before and not is_edition_approved(connection, ready.id):
        return False
    return find_unsendable(connection, ready.id, rules, by_person=not closed) is None


def review_end(press: Press, day: date, kind: Kind) -> datetime:
    """Give the moment at which the review of a day's edition ends, aware UTC."""
    zone, ends_at = press.settings.publication.zone, press.settings.review_ends_at(kind)
    return datetime.combine(day, ends_at, tzinfo=zone).astimezone(UTC)


def _is_closed(press: Press, day: date, kind: Kind) -> bool:
    """Tell whether the schedule has to go by what is approved; at once where no review is."""
    review = press.settings.review
    is_over = not review.required or press.now() >= review_end(press, day, kind)
    return is_daily(kind) and is_over


def print_standing(press: Press, record: EditionRecord) -> Printed:
    """Give an edition as it stands, with its preflight; nothing is composed anew."""
    printed = _take_standing(press, record).printed
    assert printed is not None
    return printed


def _take_standing(
    press: Press, record: EditionRecord, reports: tuple[SourceReport, ...] = ()
) -> Prepared:
    with press.database.reading() as connection:
        edition = load_content(connection, record.id)
    composed = Composed(
        outcome="edition" if edition.briefs else "quiet_day",
        record=record,
        edition=edition,
        existing=True,
    )
    return Prepared(composed=composed, printed=render(press, composed), reports=reports)


def prepare_correction(press: Press, wrong: Wrong, text: str) -> Printed:
    """Make the mail that corrects an edition at once, for exactly those who were sent that one.

    It is of today, and takes the place of what nobody approved. Raises `RefusedError` where one
    of today is approved already.
    """
    now = press.now()
    edition = build_correction(
        wrong,
        text,
        day=press.today(),
        now=now,
        publication=press.settings.publication,
        vocabulary=press.settings.vocabulary,
    )
    with press.database.writing() as connection:
        if find_released(connection, edition.date, "correction"):
            raise RefusedError(
                f"a correction was mailed already on {edition.date}",
                mend="make this one normal, for the next edition, or mail it tomorrow",
            )
        record = store_edition(connection, edition, brief_ids=(), now=now)
    return render(press, Composed(outcome="edition", record=record, edition=edition))


def make_ready(press: Press, day: date, kind: Kind = "daily") -> Prepared:
    """Prepare the edition of a day and set it ready, unless it is: what the schedule does.

    One that fails its preflight is held instead: nobody is there to answer for it. One that
    nobody takes, or that tells nobody anything new, is cancelled, and is no failure.
    """
    if untaken := _call_off(press, day, kind):
        return untaken
    closed = _is_closed(press, day, kind)
    prepared = prepare(press, day, kind=kind, anew=False, closed=closed)
    printed = prepared.printed
    if printed is None or printed.record.state not in UNSENT:
        return prepared
    if list_repeated(printed.edition) and not count_audience(press, printed):
        return _cancel_told(press, prepared, printed)
    with press.database.reading() as connection:
        plan = find_plan(connection, printed.record.id)
    overridden = choose_overridden(printed.findings, plan.overrides if plan else (), may_pass=True)
    if failed := [each for each in list_failed(printed.findings) if each not in overridden]:
        return _hold(press, prepared, printed, failed)
    if printed.record.state == "ready":
        return prepared
    with press.database.writing() as connection:
        record = change_state(connection, printed.record.id, "ready", now=press.now())
    return replace(
        prepared,
        composed=replace(prepared.composed, record=record),
        printed=replace(printed, record=record),
    )


def _call_off(press: Press, day: date, kind: Kind) -> Prepared | None:
    """Cancel the edition of a day where readers choose, and none of them chose it."""
    if not is_optional(kind):
        return None
    takers = Audience(is_for_all=press.settings.is_for_all(kind))
    with press.database.reading() as connection:
        if press.ledger.is_taken(connection, kind, day, takers):
            return None
    composed = call_off(press.database, press.settings, day=day, kind=kind, now=press.now())
    return Prepared(composed=composed) if composed else None


def _cancel_told(press: Press, prepared: Prepared, printed: Printed) -> Prepared:
    """Cancel an edition all of which was sent before to everybody who would get it."""
    with press.database.writing() as connection:
        record = change_state(
            connection, printed.record.id, "cancelled", reason=NOTHING_NEW, now=press.now()
        )
    composed = replace(prepared.composed, outcome="nothing_new", record=record, edition=None)
    return replace(prepared, composed=composed, printed=None)


def _hold(
    press: Press, prepared: Prepared, printed: Printed, failed: Sequence[Finding]
) -> Prepared:
    """Hold an edition that fails its preflight, with what failed as the reason."""
    record = printed.record
    with press.database.writing() as connection:
        held = hold_edition(
            connection,
            record.date,
            f"it fails its preflight: {describe_failed(failed)}",
            record.window,
            press.now(),
            record.kind,
        )
    composed = replace(prepared.composed, outcome="held", record=held, edition=None)
    return replace(prepared, composed=composed, printed=None)


async def publish(
    press: Press,
    printed: Printed,
    *,
    overrides: Sequence[str] = (),
    segment: Segment | None = None,
    by_person: bool = False,
    at_hours: bool = False,
    on_start: Callable[[Sender], None] = lambda _sender: None,
    on_progress: Callable[[Counter[State]], None] = lambda _tally: None,
) -> Delivered:
    """Approve an edition unless it is approved, and deliver it: what a person's yes sets off.

    `overrides` are failed checks that the person answers for, by name or number; `by_person` is
    False for the schedule, which is nobody. Only a `segment` of the readers gets it, if one is
    given, and with `at_hours` each at the hour that they chose.
    """
    await release(
        press,
        printed,
        overrides=overrides,
        segment=segment,
        by_person=by_person,
        at_hours=at_hours,
    )
    return await deliver(press, printed.record, on_start=on_start, on_progress=on_progress)


async def release(
    press: Press,
    printed: Printed,
    *,
    overrides: Sequence[str] = (),
    segment: Segment | None = None,
    by_person: bool = False,
    at_hours: bool = False,
) -> None:
    """Do all of `publish` but the delivery: approve an edition unless it is approved.

    Its pages are there before the first mail leaves, since every mail links to them. Raises
    `SecondPersonNeeded` where it has to wait for somebody else, who is asked by that.
    """
    if printed.record.state in UNSENT:
        if press.settings.edition.browser_checks:
            printed = await asyncio.to_thread(look_at, press, printed)
        overridden = check_fit_to_send(printed, overrides)
        check_installation(press)
        await check_relay(press)
        check_web(press, printed)
        check_seconded(
            press,
            printed,
            overrides=[finding.name for finding in overridden],
            segment=segment,
            by_person=by_person,
            at_once=not at_hours,
        )
        try:
            approve(
                press,
                printed.record,
                overridden,
                segment=segment,
                by_person=by_person,
                at_hours=at_hours,
            )
        except IllegalMove:
            with press.database.reading() as connection:
                if read_edition(connection, printed.record.id).state not in RELEASED:
                    raise
            # Another process was quicker with the same edition: the ledger lets one of us send.
    elif printed.record.state == "approved":
        check_allowed(press, printed.record)
    if printed.record.state in ("draft", "ready", "approved") and press.web_folder is not None:
        write_web(press, press.web_folder, day=printed.record.date)
