"""The mailing of an edition, by hand: send."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from contextlib import suppress
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
from newsletter.audience.subscribers import count_by_status
from newsletter.cli.edition import (
    DateOption,
    JsonOption,
    edition_document,
    edition_table,
    prepare_edition,
)
from newsletter.cli.session import Session
from newsletter.cli.tables import (
    clear_text_warning,
    count_open,
    counts_document,
    findings_table,
    outcome_table,
    shown_count,
    shown_outcome,
)
from newsletter.delivery.lifecycle import FINAL, State
from newsletter.delivery.sender import Sender
from newsletter.editions.shelf import EditionRecord, read_edition
from newsletter.errors import AudienceError, RefusedError, TemporaryError
from newsletter.publish import (
    Delivered,
    Press,
    Printed,
    check_fit_to_send,
    publish,
    send_test,
)

_UNSENT = ("draft", "ready")
"""Edition states before the audience is frozen."""


def send(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show all, mail nobody.")] = False,
    test: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Mail one marked copy to this address only.")
    ] = "",
    day: DateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send the day's edition to every active reader, once; also goes on with a stopped send."""
    session: Session = ctx.obj
    test_email = _parse_test(test, dry_run=dry_run)
    with session.database() as database:
        press = Press(session.settings, database, session.now)
        if not dry_run:
            # A relay URL that is wrong shows before anything is gathered.
            for warning in filter(None, map(clear_text_warning, press.relays)):
                session.err.print(warning, markup=False, soft_wrap=True)
            _ = press.lanes
        printed = prepare_edition(session, press, day, as_json=as_json)
        if printed is None:
            return
        if test_email:
            _send_test(session, press, printed, test_email, as_json=as_json)
            return
        if printed.record.state in _UNSENT:
            audience = to_mail = count_by_status(database).get("active", 0)
        else:
            counts = press.ledger.counts(printed.record.id)
            audience, to_mail = sum(counts.values()), count_open(counts)
        if not as_json:
            relay = "" if dry_run else ", ".join(map(str, press.relays))
            session.out.print(edition_table(printed, audience=f"{audience:,}", relay=relay))
        if printed.record.state in _UNSENT:
            if not as_json:
                session.out.print(findings_table(printed.findings, only_trouble=True))
            if dry_run:
                _print_dry_run(session, printed, audience, as_json=as_json)
                return
            check_fit_to_send(printed)
            if audience == 0:
                raise RefusedError(
                    "there is no active reader",
                    mend="add some with `newsletter subscribers import FILE`",
                )
        elif dry_run or printed.record.state == "sent":
            _print_outcome(session, press, printed, mailed=False, as_json=as_json)
            return
        if not yes:
            _ask(session, printed, to_mail, as_json=as_json)
        _deliver(session, press, printed, audience)
        record = _print_outcome(session, press, printed, mailed=True, as_json=as_json)
        if record.state != "sent":
            raise TemporaryError(
                "stopped before the end",
                mend=f"`newsletter send --date {record.date}` goes on, and mails nobody twice",
            )


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


def _ask(session: Session, printed: Printed, to_mail: int, *, as_json: bool) -> None:
    """Return on a yes. The question goes where remarks go: the output may be a file."""
    if as_json or not sys.stdin.isatty():
        raise RefusedError("nobody is here to say yes", mend="add --yes to send without asking")
    is_new = printed.record.state in _UNSENT
    question = f"{'Send' if is_new else 'Go on sending'} to {shown_count(to_mail, 'reader')}?"
    try:
        if typer.confirm(question, err=True):
            return
    except typer.Abort:  # Ctrl-C, or the end of the input
        session.err.print()
    session.err.print(
        f"Nobody was mailed. The edition waits: `newsletter send --date {printed.record.date}` "
        "asks again."
    )
    raise typer.Exit(1)


def _deliver(session: Session, press: Press, printed: Printed, audience: int) -> Delivered:
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

        def show(tally: Counter[State]) -> None:
            final = sum(count for state, count in tally.items() if state in FINAL)
            waiting = tally[State.DEFERRED]
            progress.update(
                task,
                completed=done + final,
                description=f"Sending ({waiting} put off so far)" if waiting else "Sending",
            )

        async def run() -> Delivered:
            return await publish(press, printed, on_start=_stop_on_signal, on_progress=show)

        return asyncio.run(run())


def _stop_on_signal(sender: Sender) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # no such handlers on Windows
            loop.add_signal_handler(number, sender.stop)


# -- what is shown ---------------------------------------------------------------------------------


def _print_dry_run(session: Session, printed: Printed, audience: int, *, as_json: bool) -> None:
    if as_json:
        session.print_json(edition_document(printed) | {"audience": audience, "dry_run": True})
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
    session.out.print(outcome_table(counts, ledger.failures(edition_id)))
    if record.state == "sent" and not mailed:
        accepted = shown_count(counts.get(State.ACCEPTED, 0), "reader")
        session.out.print(
            f"The edition of {record.date} was sent already, to {accepted}: nothing was sent now."
        )
    else:
        session.out.print(shown_outcome(counts))
    if counts.get(State.IN_DOUBT):
        session.out.print("`newsletter status` lists who is in doubt.")
    return record
