"""What an operator decides about an edition that is under way: pause, resume, cancel."""

from __future__ import annotations

import time
from collections.abc import Mapping

import typer

from newsletter.cli.asked import (
    EditionArgument,
    JsonOption,
    YesOption,
    confirm,
    find_asked_edition,
)
from newsletter.cli.session import Session
from newsletter.cli.tables import count_open, counts_document, shown_count, shown_moment
from newsletter.delivery import settle
from newsletter.delivery.holder import shown_holder
from newsletter.delivery.inquiry import RunView, read_run
from newsletter.delivery.ledger import Ledger
from newsletter.delivery.lifecycle import State
from newsletter.editions.shelf import EditionRecord, read_edition
from newsletter.store import Database

_TAKE_UP_SECONDS = 3.0
"""How long a resumption waits to see who takes it up; `serve` looks every second."""
_CLOSE_SECONDS = 30.0
"""How long a cancellation waits for the answers to what is under way, as its sender does."""
_LOOK_SECONDS = 0.2


def pause(ctx: typer.Context, edition: EditionArgument, as_json: JsonOption = False) -> None:
    """Pause an edition that is being sent, within a second; `resume` goes on."""
    session: Session = ctx.obj
    with session.database() as database:
        record = _find(database, edition)
        with database.writing() as connection:
            changed = settle.pause(connection, record.id, by=session.actor, now=session.now())
        record, counts = _read(database, record)
    if as_json:
        _print_document(session, record, counts, changed=changed)
        return
    already = "" if changed else " already"
    _say(
        session,
        f"The edition of {record.name} is paused{already}: {_shown_progress(counts)}. "
        f"`newsletter resume {record.name}` lets it go on; what is not sent by "
        f"{_moment(session, record)} is given up.",
    )


def resume(ctx: typer.Context, edition: EditionArgument, as_json: JsonOption = False) -> None:
    """Let a paused edition be sent again, by `serve` or by `send`."""
    session: Session = ctx.obj
    with session.database() as database:
        record = _find(database, edition)
        with database.writing() as connection:
            changed = settle.resume(connection, record.id, by=session.actor, now=session.now())
        run = _wait_for_sender(session, database, record.id)
        record, counts = _read(database, record)
    if as_json:
        document = {"sender": shown_holder(run.holder) if run else None}
        _print_document(session, record, counts, changed=changed, more=document)
        return
    already = "" if changed else " already"
    _say(
        session,
        f"The edition of {record.name} is being sent{already}: {_shown_progress(counts)}. "
        + _shown_next(session, record, counts, run),
    )


def cancel(
    ctx: typer.Context,
    edition: EditionArgument,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Cancel an edition: whoever has not been sent it gets nothing, for good."""
    session: Session = ctx.obj
    with session.database() as database:
        record, counts = _read(database, _find(database, edition))
        if record.state not in ("sent", "cancelled") and not yes:
            confirm(
                session,
                _question(record, counts),
                declined=f"The edition of {record.name} stays as it is.",
                as_json=as_json,
            )
        done = _cancel(session, database, record.id)
        if done.sender_is_alive:
            with session.err.status("Waiting for the answers to what is under way …"):
                is_closed = _wait_until_closed(session, database, record.id)
        else:
            is_closed = True
        record, counts = _read(database, record)
        _write_web(session, database)
    if as_json:
        _print_document(session, record, counts, changed=done.changed)
        return
    already = "" if done.changed else " already"
    said = f"The edition of {record.name} is cancelled{already}: {_shown_end(counts)}."
    if not is_closed:
        said += (
            f" Its sender still has {shown_count(count_open(counts), 'message')} under way; "
            f"`newsletter cancel {record.name}` again closes what it leaves."
        )
    if counts.get(State.IN_DOUBT):
        said += f" `newsletter resolve {record.options}` settles who is in doubt."
    _say(session, said)


# -- the steps -------------------------------------------------------------------------------------


def _find(database: Database, asked: str) -> EditionRecord:
    with database.reading() as connection:
        return find_asked_edition(connection, asked)


def _read(database: Database, record: EditionRecord) -> tuple[EditionRecord, dict[State, int]]:
    with database.reading() as connection:
        record = read_edition(connection, record.id)
    return record, Ledger(database).counts(record.id)


def _cancel(session: Session, database: Database, edition_id: int) -> settle.Cancelled:
    with database.writing() as connection:
        return settle.cancel(connection, edition_id, by=session.actor, now=session.now())


def _write_web(session: Session, database: Database) -> None:
    """Write the web copy anew: a cancelled edition that nobody has is taken down."""
    if session.settings.web.folder:
        from newsletter.press import Press
        from newsletter.press.site import write_web

        press = Press(session.settings, database, session.now)
        assert press.web_folder is not None
        write_web(press, press.web_folder)


def _wait_for_sender(session: Session, database: Database, edition_id: int) -> RunView | None:
    """Wait a moment for a process to take the edition up; None when none did."""
    end = time.monotonic() + _TAKE_UP_SECONDS
    while True:
        with database.reading() as connection:
            run = read_run(connection, edition_id, session.now())
            state = read_edition(connection, edition_id).state
        if run is not None and run.is_alive:
            return run
        if state != "sending" or time.monotonic() > end:
            return None
        time.sleep(_LOOK_SECONDS)


def _wait_until_closed(session: Session, database: Database, edition_id: int) -> bool:
    """Wait for a cancelled edition's sender to end, and close what it left."""
    end = time.monotonic() + _CLOSE_SECONDS
    while time.monotonic() < end:
        with database.reading() as connection:
            run = read_run(connection, edition_id, session.now())
        if run is None or not run.is_alive:
            return not _cancel(session, database, edition_id).sender_is_alive
        time.sleep(_LOOK_SECONDS)
    return False


# -- what is said ----------------------------------------------------------------------------------


def _question(record: EditionRecord, counts: Mapping[State, int]) -> str:
    audience = sum(counts.values())
    if not audience:
        return f"Cancel the edition of {record.name} ({record.state})? Nobody will be mailed it."
    still_open = count_open(counts)
    return (
        f"Cancel the edition of {record.name}? {still_open:,} of "
        f"{shown_count(audience, 'reader')} have not been sent it and never will be; the others "
        "keep what they have. This cannot be undone."
    )


def _shown_progress(counts: Mapping[State, int]) -> str:
    return (
        f"{counts.get(State.ACCEPTED, 0):,} of {shown_count(sum(counts.values()), 'reader')} "
        f"have it, {count_open(counts):,} wait"
    )


def _shown_end(counts: Mapping[State, int]) -> str:
    audience = sum(counts.values())
    if not audience:
        return "nobody is mailed it"
    said = (
        f"{counts.get(State.ACCEPTED, 0):,} of {shown_count(audience, 'reader')} have it, "
        f"{counts.get(State.EXPIRED, 0):,} get nothing"
    )
    doubted = counts.get(State.IN_DOUBT, 0)
    return f"{said}, {doubted:,} may have it or not" if doubted else said


def _shown_next(
    session: Session, record: EditionRecord, counts: Mapping[State, int], run: RunView | None
) -> str:
    send = f"`newsletter send {record.options}`"
    if record.not_after is not None and record.not_after <= session.now():
        return (
            f"But its time was over at {_moment(session, record)}: who is still without it is "
            f"given up, and `newsletter send --retry-failed {record.options}` tries them again."
        )
    if run is not None:
        return f"{shown_holder(run.holder).capitalize()} goes on with it."
    if not count_open(counts):
        return f"Nobody waits any more; {send} closes it."
    return f"No process has taken it up: a `newsletter serve` does by itself, or run {send}."


def _moment(session: Session, record: EditionRecord) -> str:
    return shown_moment(record.not_after, session.settings.publication.zone)


def _say(session: Session, sentence: str) -> None:
    session.out.print(sentence, markup=False)


def _print_document(
    session: Session,
    record: EditionRecord,
    counts: Mapping[State, int],
    *,
    changed: bool,
    more: Mapping[str, object] | None = None,
) -> None:
    session.print_json(
        {
            "id": record.id,
            "date": record.date.isoformat(),
            "state": record.state,
            "changed": changed,
            "audience": sum(counts.values()),
            "open": count_open(counts),
            "counts": counts_document(counts),
            **(more or {}),
        }
    )
