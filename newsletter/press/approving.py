"""Step 4: approve an edition and freeze its audience."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial

from sqlalchemy import Connection

from newsletter.audience.segment import Segment
from newsletter.delivery.audience import Audience
from newsletter.delivery.inquiry import load_waves, read_rate
from newsletter.delivery.settle import note_override, note_segment
from newsletter.delivery.waves import Hour, Release, Wave, plan_waves
from newsletter.editions.candidates import Barred, find_barred
from newsletter.editions.corrections import list_corrected
from newsletter.editions.following import note_approved
from newsletter.editions.manifest import seal_edition
from newsletter.editions.model import (
    Edition,
    Kind,
    list_owed_for,
    list_referred_to,
    list_repeated,
)
from newsletter.editions.search import index_edition
from newsletter.editions.seconding import Ask, find_confirmed
from newsletter.editions.shelf import (
    EditionRecord,
    change_state,
    has_left,
    load_content,
    store_letterhead,
)
from newsletter.editions.tellings import list_told_since, wait_for_approvals
from newsletter.editions.verdicts import approve_edition, find_unsendable, read_rules
from newsletter.errors import RefusedError, SecondPersonNeeded, Untimely
from newsletter.press import Press, Printed
from newsletter.press.addressing import letterhead_of
from newsletter.render.preflight import Finding
from newsletter.settings import KINDS, is_daily


def approve(
    press: Press,
    record: EditionRecord,
    overridden: Sequence[Finding] = (),
    *,
    segment: Segment | None = None,
    by_person: bool = False,
    at_hours: bool = False,
) -> int:
    """Approve an edition and freeze its audience, in one transaction; return its size.

    The audience is every active reader, or those in a `segment`, which is noted then. Failed
    checks that are `overridden` are noted with it: who answers for them, and what they said.

    From here on content, readers, choices, Date and signing key of every message are fixed:
    all attempts to one reader are the same bytes. Raises `Untimely` if another process
    composed the edition anew since `record` was read: nobody has said yes to that one; and where
    it holds a brief that is under embargo by now, has expired, or is rejected: made again it has
    it no more. Where it is a person's yes (`by_person`) it is kept as the review of the press's
    actor; the schedule, which is nobody, sends no brief that waits for one. With `at_hours` each
    reader's copy is due at the hour that they chose; without, at once. Raises
    `SecondPersonNeeded` where the audience is one that two persons have to say yes to.
    """
    now = press.now()
    letterhead = letterhead_of(press, record, now)
    with press.database.writing(in_bulk=True) as connection:
        wait_for_approvals(connection)
        if record.state == "draft":
            change_state(connection, record.id, "ready", now=now)
        approved = change_state(connection, record.id, "approved", now=now)
        if not approved.has_compiled or approved.window != record.window:
            raise Untimely(
                f"the edition of {record.name} was composed anew meanwhile",
                mend="look at it again, then send it",
            )
        if barred := find_barred(connection, record.id, now):
            raise Untimely(
                f"the edition of {record.name} cannot be sent: {_describe_barred(press, barred)}",
                mend="make it again, which leaves that out, and look at it before you send it",
            )
        check_reviewed(connection, press, record, by_person=by_person)
        content = load_content(connection, record.id)
        if told := list_told_since(connection, record.id, content):
            raise Untimely(
                f"the edition of {record.name} has a brief that the edition of {told[0]} told "
                "meanwhile",
                mend="make it again, which marks that, and look at it before you send it",
            )
        is_for = _find_audience(connection, press, content, segment)
        audience = press.ledger.enrol(
            connection,
            record.id,
            now,
            is_for,
            refers_to=list_referred_to(content),
            plan=build_plan(connection, press, record, now) if at_hours else None,
            follows_zones=press.settings.schedule.follow_zones,
        )
        if not audience:
            raise nobody_to_mail(record.kind, segment, is_all_told=bool(is_for.repeats))
        seconded = _find_second(
            connection,
            press,
            record,
            at_once=not at_hours,
            audience=audience,
            segment=segment,
            overridden=overridden,
        )
        last = max((wave.due_at for wave in load_waves(connection, record.id)), default=now)
        store_letterhead(
            connection,
            record.id,
            letterhead.to_document(),
            dated_at=letterhead.dated_at,
            not_after=max(now, last) + press.settings.delivery.not_after,
        )
        if segment:
            everybody = press.ledger.count_audience(
                connection, record.id, now, replace(is_for, segment=None)
            )
            said = f"{audience:,} of {everybody:,} active readers: {segment}"
            note_segment(connection, record.id, said, by=press.actor.who, now=now)
        note_approved(connection, record.id, content, press.settings, by=press.actor, now=now)
        told = [f"{finding.number} {finding.name}: {finding.detail}" for finding in overridden]
        note_override(connection, record.id, told, by=press.actor.who, now=now)
        if by_person and record.kind != "weekly":  # what it tells was approved before
            rules = read_rules(press.settings)
            approve_edition(connection, record.id, rules, by=press.actor, now=now)
        seal_edition(
            connection,
            record,
            press.actor,
            now=now,
            templates=press.templates.hash_all(),
            audience=audience,
            overridden=told,
            segment=str(segment or ""),
            seconded=seconded,
        )
        index_edition(connection, record.id)
    return audience


def build_plan(
    connection: Connection, press: Press, record: EditionRecord, now: datetime
) -> Callable[[Mapping[Hour, int]], tuple[Wave, ...]] | None:
    """Give what plans an edition's waves; None where hours are not for this kind, or are off."""
    release = find_release(press, record.date, record.kind, record.send_at)
    if release is None:
        return None
    rate = read_rate(connection) if release.by_the_hour else 0
    return partial(plan_waves, release=release, now=now, per_second=rate)


def find_release(
    press: Press, day: date, kind: Kind, send_at: datetime | None = None
) -> Release | None:
    """Say when an edition is there, by schedule or own time; None where all get it at once."""
    settings = press.settings
    schedule = settings.find_schedule(kind) if kind in KINDS else None
    if schedule is None or schedule.reader_hours == "off":
        return None
    publication = settings.publication
    at = datetime.combine(day, schedule.send_at, tzinfo=publication.zone)
    if send_at is not None:
        at = send_at.astimezone(publication.zone)
    return Release(
        at=at.astimezone(UTC),
        own=Hour(zone=publication.timezone, clock=f"{at:%H:%M}"),
        by_the_hour=schedule.reader_hours == "by",
    )


def check_reviewed(
    connection: Connection, press: Press, record: EditionRecord, *, by_person: bool
) -> None:
    """Refuse an edition that its reviewers do not let go."""
    if record.kind == "weekly":  # it tells what was told, and so approved, before
        return
    rules = read_rules(press.settings)
    left = find_unsendable(connection, record.id, rules, by_person=by_person)
    if left is not None:
        said = left.judgement.said
        rejected = left.judgement.state == "rejected" and said is not None
        why = f"was rejected by {said.decided_by}" if rejected and said else "is not reviewed"
        raise Untimely(
            f'the edition of {record.name} cannot be sent: "{left.brief.title[:60]}" {why}',
            mend="make it again, which leaves that out, and look at it before you send it",
        )


def _find_second(
    connection: Connection,
    press: Press,
    record: EditionRecord,
    *,
    at_once: bool,
    audience: int,
    segment: Segment | None,
    overridden: Sequence[Finding],
) -> Ask | None:
    """Find the two persons who let a send go to so many; None where one is enough."""
    above = press.settings.review.second_person_above
    if not above or audience <= above:
        return None
    found = find_confirmed(
        connection,
        record.id,
        at_once=at_once,
        audience=audience,
        segment=str(segment or ""),
        overrides=[finding.name for finding in overridden],
    )
    if found is None:
        raise SecondPersonNeeded(describe_lonely(record, audience), mend="send it again")
    return found


def describe_lonely(record: EditionRecord, audience: int) -> str:
    """Say what a send to so many readers lacks. Pure."""
    return (
        f"the edition of {record.name} as it stands would go to {audience:,} readers, and waits "
        "for a second person's word"
    )


def count_audience(press: Press, printed: Printed, segment: Segment | None = None) -> int:
    """Count who would be mailed, were an edition approved now."""
    with press.database.reading() as connection:
        is_for = _find_audience(connection, press, printed.edition, segment)
        return press.ledger.count_audience(connection, printed.record.id, press.now(), is_for)


def _find_audience(
    connection: Connection, press: Press, edition: Edition, segment: Segment | None
) -> Audience:
    """Find whom an edition is for, by the settings and what it tells."""
    # Who had all of it before gets the note that there is nothing new, or no mail.
    has_note = is_daily(edition.kind) and press.settings.edition.quiet_day == "note"
    return Audience(
        is_for_all=press.settings.is_for_all(edition.kind),
        only_had=list_corrected(connection, edition),
        repeats=() if has_note else list_repeated(edition),
        owed_for=list_owed_for(edition),
        segment=segment,
    )


def nobody_to_mail(
    kind: Kind, segment: Segment | None = None, *, is_all_told: bool = False
) -> RefusedError:
    """Say that an edition has no audience, and what would give it one.

    `is_all_told` is whether other editions told all that it tells.
    """
    if segment:
        return RefusedError(
            f"no active reader whom the edition is for is in the segment {segment}",
            mend="`newsletter subscribers list --segment` shows who is in one",
        )
    if kind == "weekly":
        return RefusedError(
            "the round-up has no reader who chose it and was not sent all of it before",
            mend='readers choose it by "weekly" or "both" in the column rhythm',
        )
    if kind == "correction":
        return RefusedError(
            "nobody who was sent the wrong edition is an active reader any more",
            mend="make the correction minor, for its pages",
        )
    if kind not in KINDS:
        return RefusedError(
            f"the {kind} edition has no active reader who takes it"
            + (" and was not sent all of it before" if is_all_told else ""),
            mend='readers choose it on their preference page, or by the column "editions"',
        )
    if is_all_told:
        return RefusedError(
            "every active reader was sent all of it before",
            mend="wait for news, or see who is a reader by `newsletter subscribers list`",
        )
    return RefusedError(
        "there is no active reader", mend="add some with `newsletter subscribers import FILE`"
    )


def check_allowed(press: Press, record: EditionRecord) -> None:
    """Refuse to begin with an approved edition that holds what may not be sent now.

    Once a message has left, others of the same edition harm nobody any more.
    """
    with press.database.reading() as connection:
        if has_left(connection, record.id):
            return
        barred = find_barred(connection, record.id, press.now())
    if barred is None:
        return
    problem = f"the edition of {record.name} cannot be sent: {_describe_barred(press, barred)}"
    if barred.not_before is not None:
        raise Untimely(problem, mend="send it after that")
    raise RefusedError(
        problem,
        mend=f"`newsletter cancel {record.name}` gives its other briefs to the next edition",
    )


def _describe_barred(press: Press, barred: Barred) -> str:
    title = barred.title[:60]
    if barred.not_before is None:
        return f'"{title}" has expired'
    until = barred.not_before.astimezone(press.settings.publication.zone)
    return f'"{title}" is under embargo until {until:%Y-%m-%d %H:%M %Z}'
