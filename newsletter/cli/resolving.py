"""Settling by an operator's word, or by the relay's log, what nobody else can know: resolve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection

from newsletter.audience.address import parse_address
from newsletter.cli.asked import (
    RECENT_EDITIONS,
    AnyKindOption,
    JsonOption,
    LatestDateOption,
    YesOption,
    confirm,
    find_enrolled_edition,
)
from newsletter.cli.session import Session
from newsletter.cli.tables import shown_count, shown_moment
from newsletter.delivery.inquiry import Doubt, list_doubts
from newsletter.delivery.relay_log import Taken, find_taken
from newsletter.delivery.settle import Verdict
from newsletter.editions.model import Kind
from newsletter.editions.shelf import EditionRecord, list_editions
from newsletter.errors import ConfigurationError, RefusedError
from newsletter.press import Press
from newsletter.press.afterwards import message_ids_in_doubt, settle

_ALL = "all"
_SHOWN = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Who is to be settled how, by subscriber and with the reason."""

    accepted: Mapping[int, str]
    again: Mapping[int, str]

    def verdict_of(self, doubt: Doubt) -> str:
        """Say what is planned for one."""
        if doubt.subscriber_id in self.accepted:
            return "accepted"
        return "again" if doubt.subscriber_id in self.again else ""


def resolve(
    ctx: typer.Context,
    accepted: Annotated[
        list[str] | None,
        typer.Option(
            "--accepted", metavar="ADDRESS|all", help="The relay took theirs; several with commas."
        ),
    ] = None,
    again: Annotated[
        list[str] | None,
        typer.Option(
            "--again", metavar="ADDRESS|all", help="Send them the same bytes again; commas too."
        ),
    ] = None,
    from_log: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A Postfix log that may name what the relay took."),
    ] = None,
    day: LatestDateOption = None,
    kind: AnyKindOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show who is in doubt, and settle it: the relay took it, or send it again."""
    session: Session = ctx.obj
    with session.database() as database:
        press = Press(session.settings, database, session.now)
        with database.reading() as connection:
            record = _find_edition(connection, day, kind)
            doubts = list_doubts(connection, record.id)
        ids = _read_ids(session, press, record, needed=from_log is not None)
        taken = _read_log(from_log, ids) if from_log else {}
        plan = _plan(record, doubts, accepted or [], again or [], taken, from_log)
        settling = shown_plan(plan)
        if not as_json:
            _print_doubts(session, record, doubts, ids, plan)
        if settling and not yes:
            confirm(session, f"{settling}?", declined="Nothing was settled.", as_json=as_json)
        done = {
            verdict: settle(press, record, verdict, evidence) if evidence else 0
            for verdict, evidence in _by_verdict(plan)
        }
    if as_json:
        document = {
            "date": record.date.isoformat(),
            "doubts": [_doubt_document(doubt, ids, taken, plan) for doubt in doubts],
        }
        session.print_json(document | done)
        return
    for sentence in _what_next(record, doubts, plan, done, from_log):
        session.out.print(sentence, markup=False)


# -- the steps -------------------------------------------------------------------------------------


def _find_edition(connection: Connection, day: datetime | None, kind: Kind | None) -> EditionRecord:
    """Find the edition of a day, or the latest that has somebody in doubt."""
    latest = find_enrolled_edition(connection, day, kind)
    if day is None:
        for record in list_editions(connection, RECENT_EDITIONS):
            if kind in (None, record.kind) and list_doubts(connection, record.id):
                return record
    return latest


def _read_ids(
    session: Session, press: Press, record: EditionRecord, *, needed: bool
) -> dict[int, str]:
    """Read the Message-IDs; without the edition's keys there are none, which only a log minds."""
    try:
        return message_ids_in_doubt(press, record)
    except ConfigurationError as error:
        if needed:
            raise
        session.err.print(f"No Message-IDs: {error}", markup=False, soft_wrap=True)
        return {}


def _read_log(path: Path, ids: Mapping[int, str]) -> dict[int, Taken]:
    """Read which of our messages a log shows as taken, by subscriber."""
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            taken = find_taken(lines, ids.values())
    except OSError as error:
        raise RefusedError(f"cannot be read ({error.strerror})", file=path) from None
    return {number: taken[id_] for number, id_ in ids.items() if id_ in taken}


def _plan(
    record: EditionRecord,
    doubts: Sequence[Doubt],
    accepted: Sequence[str],
    again: Sequence[str],
    taken: Mapping[int, Taken],
    log: Path | None,
) -> _Plan:
    """Decide who is settled how. Who is named goes before the log, and the log before `all`."""
    by_hand = "by hand"
    named = {
        option: dict.fromkeys(_find_named(record, doubts, words), by_hand)
        for option, words in (("--accepted", accepted), ("--again", again))
    }
    if both := named["--accepted"].keys() & named["--again"].keys():
        email = next(doubt.email for doubt in doubts if doubt.subscriber_id in both)
        raise typer.BadParameter(f"{email} is named in --accepted too", param_hint="--again")
    wants_all = [words for words in (accepted, again) if _ALL in _split(words)]
    if len(wants_all) == 2:
        raise typer.BadParameter("all of them are --accepted already", param_hint="--again")
    plan = {"accepted": named["--accepted"], "again": named["--again"]}

    def is_left(number: int) -> bool:
        return number not in plan["accepted"] and number not in plan["again"]

    for number, evidence in taken.items():
        if is_left(number):
            name = log.name if log else "log"
            plan["accepted"][number] = f"{name} has it as {evidence.queue_id}, {evidence.said}"
    if wants_all:
        rest = {d.subscriber_id: by_hand for d in doubts if is_left(d.subscriber_id)}
        plan["accepted" if wants_all[0] is accepted else "again"] |= rest
    return _Plan(accepted=plan["accepted"], again=plan["again"])


def _split(words: Sequence[str]) -> list[str]:
    return [part.strip() for word in words for part in word.split(",") if part.strip()]


def _find_named(record: EditionRecord, doubts: Sequence[Doubt], words: Sequence[str]) -> list[int]:
    by_key = {parse_address(doubt.email).key: doubt.subscriber_id for doubt in doubts}
    found = []
    for word in _split(words):
        if word == _ALL:
            continue
        number = by_key.get(parse_address(word).key)
        if number is None:
            raise RefusedError(
                f"{word} is not in doubt in the edition of {record.name}",
                mend=f"`newsletter explain {word}` tells how it stands",
            )
        found.append(number)
    return found


def _by_verdict(plan: _Plan) -> tuple[tuple[Verdict, Mapping[int, str]], ...]:
    # First what may be refused: then nothing is settled.
    return (("again", plan.again), ("accepted", plan.accepted))


# -- what is shown ---------------------------------------------------------------------------------


def shown_plan(plan: _Plan) -> str:
    """Say what is about to be settled; "" for nothing."""
    parts = []
    if plan.accepted:
        parts.append(f"record {shown_count(len(plan.accepted), 'reader')} as accepted")
    if plan.again:
        readers = shown_count(len(plan.again), "reader")
        parts.append(f"send again to {readers}, who may then have it twice")
    said = " and ".join(parts)
    return said[:1].upper() + said[1:]


def _print_doubts(
    session: Session,
    record: EditionRecord,
    doubts: Sequence[Doubt],
    ids: Mapping[int, str],
    plan: _Plan,
) -> None:
    if not doubts:
        session.out.print(f"Nobody is in doubt in the edition of {record.name}.")
        return
    zone = session.settings.publication.zone
    session.out.print(f"In doubt in the edition of {record.name}: {len(doubts):,}")
    for doubt in doubts[:_SHOWN]:
        session.out.print("")
        session.out.print(_show_doubt(doubt, ids, plan, zone))
    if (more := len(doubts) - _SHOWN) > 0:
        session.out.print(f"and {more:,} more; --json lists all")
    session.out.print("")


def _show_doubt(doubt: Doubt, ids: Mapping[int, str], plan: _Plan, zone: ZoneInfo) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    number = doubt.subscriber_id
    reason = plan.accepted.get(number) or plan.again.get(number)
    for label, value in (
        ("Reader", doubt.email),
        ("Since", shown_moment(doubt.since, zone)),
        ("Through", doubt.via),
        ("Message-ID", ids.get(number, "")),
        ("Came back", doubt.reply),
        ("To settle", f"{plan.verdict_of(doubt)}, {reason}" if reason else ""),
    ):
        if value:
            table.add_row(label, Text(value))
    return table


def _what_next(
    record: EditionRecord,
    doubts: Sequence[Doubt],
    plan: _Plan,
    done: Mapping[Verdict, int],
    log: Path | None,
) -> list[str]:
    said = []
    left = len(doubts) - len(plan.accepted) - len(plan.again)
    if log is not None and left:
        said.append(
            f"{log} does not name {shown_count(left, 'message')}. That proves nothing: it may "
            "begin too late, or be another relay's."
        )
    if done["accepted"]:
        said.append(f"Recorded as accepted: {shown_count(done['accepted'], 'reader')}.")
    if done["again"]:
        goes_on = (
            f"`newsletter resume {record.name}`"
            if record.state == "paused"
            else f"`newsletter send {record.options}`"
        )
        said.append(
            f"Put back: {shown_count(done['again'], 'reader')}; {goes_on} sends them the same "
            "bytes again."
        )
    if missed := len(plan.accepted) + len(plan.again) - sum(done.values()):
        said.append(f"Settled meanwhile by somebody else: {missed:,}.")
    if left:
        said.append(
            "Look for the Message-ID in the relay's log (--from-log FILE does). If the relay took "
            "it: --accepted ADDRESS, else: --again ADDRESS; `all` names the rest."
        )
    return said


def _doubt_document(
    doubt: Doubt, ids: Mapping[int, str], taken: Mapping[int, Taken], plan: _Plan
) -> dict[str, Any]:
    evidence = taken.get(doubt.subscriber_id)
    return {
        "email": doubt.email,
        "since": doubt.since.isoformat(),
        "via": doubt.via,
        "message_id": ids.get(doubt.subscriber_id),
        "reply": doubt.reply,
        "queue_id": evidence and evidence.queue_id,
        "log_says": evidence and evidence.said,
        "settled": plan.verdict_of(doubt) or None,
    }
