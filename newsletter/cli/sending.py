"""The mailing of an edition, by hand: send."""

from __future__ import annotations

import asyncio
import math
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from newsletter.audience.address import parse_address
from newsletter.audience.segment import Segment, parse_segment
from newsletter.cli.asked import (
    AtOption,
    BriefOption,
    DateOption,
    JsonOption,
    KindOption,
    SegmentOption,
    YesOption,
    check_briefs,
    confirm,
    find_edition_of,
    parse_moment,
)
from newsletter.cli.edition import (
    Gaps,
    edition_document,
    edition_table,
    find_gaps,
    look_at_edition,
    prepare_edition,
)
from newsletter.cli.session import Session
from newsletter.cli.tables import (
    clear_text_warning,
    counts_document,
    findings_table,
    outcome_table,
    shown_count,
    shown_outcome,
    shown_unreached,
)
from newsletter.delivery.holder import shown_holder
from newsletter.delivery.inquiry import count_unreached, list_reasons, read_run
from newsletter.delivery.lifecycle import FINAL, State, count_open
from newsletter.delivery.sender import Sender
from newsletter.editions.lifecycle import UNSENT
from newsletter.editions.model import Kind
from newsletter.editions.plan import check_moment
from newsletter.editions.shelf import EditionRecord, read_edition
from newsletter.errors import AlreadyRunning, AudienceError, RefusedError, TemporaryError
from newsletter.press import Delivered, Press, Printed
from newsletter.press.afterwards import retry_unreached
from newsletter.press.approving import count_audience, nobody_to_mail
from newsletter.press.checking import check_fit_to_send
from newsletter.press.delivering import paused, send_test
from newsletter.press.planning import plan_edition
from newsletter.publish import publish
from newsletter.render.preflight import Finding

_GLANCE_SECONDS = 0.1


def send(
    ctx: typer.Context,
    yes: YesOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show all, mail nobody.")] = False,
    test: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Mail one marked copy to this address only.")
    ] = "",
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Try those again who failed or came too late."),
    ] = False,
    including_dead: Annotated[
        bool,
        typer.Option("--including-dead", help="With --retry-failed: also who has no mailbox."),
    ] = False,
    override: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Send although this check fails, and answer for it; may be given again.",
        ),
    ] = None,
    segment: SegmentOption = "",
    day: DateOption = None,
    kind: KindOption = "daily",
    brief: BriefOption = None,
    at: AtOption = "",
    as_json: JsonOption = False,
) -> None:
    """Send the day's edition to every reader it is for, once; also goes on with a stopped send."""
    session: Session = ctx.obj
    moment = None
    if at:
        if test or retry_failed or dry_run:
            raise typer.BadParameter("is for an edition's first send", param_hint="--at")
        zone = session.settings.publication.zone
        moment = parse_moment(at, session.now(), zone)
        check_moment(moment, session.now())
        day = day or moment.astimezone(zone)
    brief_ids = check_briefs(brief, kind)
    overrides = tuple(override or ())
    test_email = _parse_test(test, dry_run=dry_run)
    if including_dead and not retry_failed:
        raise typer.BadParameter("goes with --retry-failed", param_hint="--including-dead")
    if retry_failed and test_email:
        raise typer.BadParameter("mails readers, and --test none", param_hint="--retry-failed")
    wanted = parse_segment(segment) if segment else None
    if wanted and (test_email or retry_failed):
        raise typer.BadParameter("is for an edition's first send", param_hint="--segment")
    if overrides and (test_email or retry_failed):
        raise typer.BadParameter("is for an edition's first send", param_hint="--override")
    with session.database() as database:
        press = Press(session.settings, database, session.now)
        if not dry_run:
            # A relay URL that is wrong shows before anything is gathered.
            for warning in filter(None, map(clear_text_warning, press.relays)):
                session.err.print(warning, markup=False, soft_wrap=True)
            _ = press.lanes
        if retry_failed:
            _check_tried(press, day, kind)
        printed = prepare_edition(
            session, press, day, kind=kind, brief_ids=brief_ids, at=moment, as_json=as_json
        )
        if printed is None:
            return
        if retry_failed:
            again = _Again(including_dead=including_dead, dry_run=dry_run, yes=yes)
            _retry_failed(session, press, printed, again, as_json=as_json)
            return
        if test_email:
            _send_test(session, press, printed, test_email, as_json=as_json)
            return
        if overrides and printed.record.state not in UNSENT:
            raise RefusedError(
                f"the edition of {printed.record.name} was approved before: no check stops it",
                mend="leave --override out",
            )
        if wanted and printed.record.state not in UNSENT:
            raise RefusedError(
                f"the edition of {printed.record.name} was approved before: its readers are fixed",
                mend="leave --segment out",
            )
        if printed.record.state in UNSENT:
            if session.settings.edition.browser_checks:
                printed = look_at_edition(session, press, printed)
            audience, shown = _count_audience(press, printed, wanted)
            to_mail = audience
        else:
            counts = press.ledger.counts(printed.record.id)
            audience, to_mail = sum(counts.values()), count_open(counts)
            shown = f"{audience:,}"
        if moment and printed.record.state not in UNSENT:
            raise RefusedError(
                f"the edition of {printed.record.name} is {printed.record.state}: it has no time "
                "to come",
                mend="leave --at out",
            )
        gaps = find_gaps(press, printed)
        if not as_json:
            relay = "" if dry_run else ", ".join(map(str, press.relays))
            session.out.print(edition_table(printed, audience=shown, relay=relay, gaps=gaps))
        if printed.record.state in UNSENT:
            if not as_json:
                session.out.print(findings_table(printed.findings, only_trouble=True))
            if dry_run:
                _print_dry_run(session, printed, gaps, audience, wanted, as_json=as_json)
                return
            overridden = check_fit_to_send(printed, overrides)
            _say_overridden(session, overridden)
            if audience == 0:
                raise nobody_to_mail(printed.record.kind, wanted)
        elif dry_run or printed.record.state == "sent":
            _print_outcome(session, press, printed, mailed=False, as_json=as_json)
            return
        elif printed.record.state == "paused":
            raise paused(printed.record)
        if not yes:
            _ask(session, printed, to_mail, wanted, at=moment, as_json=as_json)
        if moment:
            record = plan_edition(
                press, printed, moment, overrides=overrides, segment=wanted, by_person=True
            )
            _print_planned(session, printed, record, as_json=as_json)
            return
        _deliver(session, press, printed, audience, overrides=overrides, segment=wanted)
        record = _print_outcome(session, press, printed, mailed=True, as_json=as_json)
        _check_end(record)


# -- the steps -------------------------------------------------------------------------------------


def _parse_test(test: str, *, dry_run: bool) -> str:
    if not test:
        return ""
    if dry_run:
        raise typer.BadParameter("mails one copy, and --dry-run none", param_hint="--test")
    try:
        return parse_address(test).email
    except AudienceError as error:
        raise typer.BadParameter(error.problem, param_hint="--test") from None


def _send_test(
    session: Session, press: Press, printed: Printed, email: str, *, as_json: bool
) -> None:
    words = asyncio.run(send_test(press, printed, email))
    if as_json:
        session.print_json(edition_document(printed) | {"test": email, "reply": words})
    else:
        session.out.print(edition_table(printed))
        session.out.print(
            f"Mailed one test copy to {email}, and nobody else: {words}",
            markup=False,
            soft_wrap=True,
        )


def _check_tried(press: Press, day: datetime | None, kind: Kind) -> None:
    """Refuse to try anybody again of an edition that nobody was sent yet."""
    with press.database.reading() as connection:
        record = find_edition_of(connection, day.date() if day else press.today(), kind)
    if record.state not in ("sent", "sending", "paused"):
        raise RefusedError(
            f"the edition of {record.name} is {record.state}, so nobody can be tried again",
            mend="see `newsletter status`",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Again:
    """How those are to be tried again whom an edition did not reach."""

    including_dead: bool
    dry_run: bool
    yes: bool


def _retry_failed(
    session: Session, press: Press, printed: Printed, again: _Again, *, as_json: bool
) -> None:
    """Put back who failed or came too late, and send to them: the same bytes, Date and id."""
    record = printed.record
    with press.database.reading() as connection:
        unreached = count_unreached(connection, record.id)
        run = read_run(connection, record.id, press.now())
    counts = press.ledger.counts(record.id)
    retried = unreached.failed + unreached.expired
    retried += unreached.dead if again.including_dead else 0
    if not as_json:
        session.out.print(edition_table(printed, audience=f"{sum(counts.values()):,}"))
        said = shown_unreached(unreached, including_dead=again.including_dead)
        session.out.print(said, markup=False)
    if again.dry_run or not retried:
        if as_json:
            _print_outcome(session, press, printed, mailed=False, as_json=True)
        return
    if record.state == "paused":
        raise paused(record)
    if not again.yes:
        _ask(session, printed, retried + count_open(counts), as_json=as_json)
    done = retry_unreached(press, record, including_dead=again.including_dead)
    if run is not None and run.is_alive:
        readers = shown_count(done.total, "reader")
        raise AlreadyRunning(
            f"{shown_holder(run.holder)} is sending this edition, and takes up the {readers} too",
            mend="`newsletter status` shows how far it is",
        )
    _deliver(session, press, printed, sum(counts.values()))
    _check_end(_print_outcome(session, press, printed, mailed=True, as_json=as_json))


def _count_audience(press: Press, printed: Printed, segment: Segment | None) -> tuple[int, str]:
    """Count whom the edition would be sent to; also as it is shown, "412 of 1,204 readers"."""
    audience = count_audience(press, printed, segment)
    if segment is None:
        return audience, f"{audience:,}"
    return audience, f"{audience:,} of {count_audience(press, printed):,} readers ({segment})"


def _ask(
    session: Session,
    printed: Printed,
    to_mail: int,
    segment: Segment | None = None,
    *,
    at: datetime | None = None,
    as_json: bool,
) -> None:
    """Return on a yes."""
    is_new = printed.record.state in UNSENT
    # An edition is sent once: it has no second audience.
    only = ", and to nobody else" if segment else ""
    confirm(
        session,
        f"{'Send' if is_new else 'Go on sending'} to {shown_count(to_mail, 'reader')}{only}"
        + (f" at {_shown_at(session, at)}?" if at else "?"),
        declined="Nobody was mailed. The edition waits: "
        f"`newsletter send {printed.record.options}` asks again.",
        as_json=as_json,
    )


def _say_overridden(session: Session, overridden: Sequence[Finding]) -> None:
    """Repeat what the operator takes upon themselves; it is kept with the edition."""
    for finding in overridden:
        session.err.print(
            f"Overridden: {finding.number} {finding.name}: {finding.detail}",
            markup=False,
            soft_wrap=True,
        )


def _check_end(record: EditionRecord) -> None:
    """Say what stopped a send before its end, and how it goes on."""
    match record.state:
        case "sent":
            return
        case "paused":
            raise TemporaryError(
                f"the edition of {record.name} was paused meanwhile",
                mend=f"`newsletter resume {record.name}`, then "
                f"`newsletter send {record.options}` goes on",
            )
        case "cancelled":
            raise RefusedError(f"the edition of {record.name} was cancelled meanwhile")
        case _:
            raise TemporaryError(
                "stopped before the end",
                mend=f"`newsletter send {record.options}` goes on, and mails nobody twice",
            )


def _deliver(
    session: Session,
    press: Press,
    printed: Printed,
    audience: int,
    *,
    overrides: Sequence[str] = (),
    segment: Segment | None = None,
) -> Delivered:
    """Deliver with a progress bar; Ctrl-C and SIGTERM end the run in order."""
    before = press.ledger.counts(printed.record.id)
    done = sum(count for state, count in before.items() if state in FINAL)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    watched = session.err.is_terminal
    with Progress(*columns, console=session.err, transient=True, disable=not watched) as progress:
        task = progress.add_task("Sending", total=audience, completed=done)
        shown_at = -math.inf

        def show(tally: Counter[State]) -> None:
            nonlocal shown_at
            if not watched or (now := time.monotonic()) - shown_at < _GLANCE_SECONDS:
                return  # it is told of every message
            shown_at = now
            final = sum(count for state, count in tally.items() if state in FINAL)
            waiting = tally[State.DEFERRED]
            progress.update(
                task,
                completed=done + final,
                description=f"Sending ({waiting} put off so far)" if waiting else "Sending",
            )

        async def run() -> Delivered:
            return await publish(
                press,
                printed,
                overrides=overrides,
                segment=segment,
                by_person=True,
                on_start=_stop_on_signal,
                on_progress=show,
            )

        return asyncio.run(run())


def _stop_on_signal(sender: Sender) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # no such handlers on Windows
            loop.add_signal_handler(number, sender.stop)


# -- what is shown ---------------------------------------------------------------------------------


def _shown_at(session: Session, at: datetime) -> str:
    return f"{at.astimezone(session.settings.publication.zone):%a %Y-%m-%d %H:%M %Z}"


def _print_planned(
    session: Session, printed: Printed, record: EditionRecord, *, as_json: bool
) -> None:
    assert record.send_at is not None, "it was planned just now"
    if as_json:
        planned = {"state": record.state, "send_at": record.send_at.isoformat()}
        session.print_json(edition_document(printed) | planned)
        return
    session.out.print(
        f"The edition of {record.name} stands as it is; `newsletter serve` sends it at "
        f"{_shown_at(session, record.send_at)}, to who is a reader then. "
        f"`newsletter cancel {record.name}` takes that back.",
        markup=False,
    )


def _print_dry_run(
    session: Session,
    printed: Printed,
    gaps: Gaps,
    audience: int,
    segment: Segment | None,
    *,
    as_json: bool,
) -> None:
    if as_json:
        told = {"audience": audience, "segment": str(segment or ""), "dry_run": True}
        session.print_json(edition_document(printed) | gaps.to_document(printed) | told)
    else:
        session.out.print(f"Dry run: {shown_count(audience, 'reader')} would be mailed; none was.")


def _print_outcome(
    session: Session, press: Press, printed: Printed, *, mailed: bool, as_json: bool
) -> EditionRecord:
    """Show what became of the audience; give the record as it is now."""
    ledger, edition_id = press.ledger, printed.record.id
    counts = ledger.counts(edition_id)
    with press.database.reading() as connection:
        record = read_edition(connection, edition_id)
        reasons = list_reasons(connection, edition_id)
    if as_json:
        session.print_json(
            edition_document(printed)
            | {
                "state": record.state,
                "audience": sum(counts.values()),
                "counts": counts_document(counts),
                "sent_now": mailed,
            }
        )
        return record
    session.out.print(outcome_table(counts, reasons))
    if record.state == "sent" and not mailed:
        accepted = shown_count(counts.get(State.ACCEPTED, 0), "reader")
        session.out.print(
            f"The edition of {record.name} was sent already, to {accepted}: nothing was sent now."
        )
    else:
        session.out.print(shown_outcome(counts))
    if counts.get(State.IN_DOUBT):
        session.out.print(f"`newsletter resolve {record.options}` lists who is in doubt.")
    return record
