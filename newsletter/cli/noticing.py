"""The command of single mails: notices."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from newsletter.cli.asked import JsonOption
from newsletter.cli.session import Session
from newsletter.cli.tables import shown_count, shown_moment
from newsletter.delivery.lifecycle import State
from newsletter.delivery.notices import Shown, count_notices, list_notices
from newsletter.press import Press
from newsletter.press.notices import send_notices
from newsletter.press.settling import build_settler

_WAITING = (State.PENDING, State.DEFERRED, State.SENDING)
_TROUBLED = (State.FAILED, State.IN_DOUBT, State.EXPIRED)


def notices(
    ctx: typer.Context,
    send: Annotated[bool, typer.Option("--send", help="Send what is due now, and end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the single mails (confirmations and the like) that wait or failed; send what is due.

    `newsletter serve` sends them by itself.
    """
    session: Session = ctx.obj
    with session.database() as database:
        if send:
            press = Press(session.settings, database, session.now)
            build_settler(press)()
            send_notices(press)
        with database.reading() as connection:
            counts = count_notices(connection)
            shown = list_notices(connection, (*_WAITING, *_TROUBLED))
    if as_json:
        listed = [
            {
                "id": each.id,
                "kind": each.kind,
                "email": each.email,
                "state": each.state.value,
                "attempts": each.attempts,
                "created_at": each.created_at.isoformat(),
                "changed_at": each.changed_at.isoformat(),
                "reply": each.reply,
            }
            for each in shown
        ]
        counted = {state.value: number for state, number in counts.items()}
        session.print_json({"counts": counted, "notices": listed})
        return
    accepted = shown_count(counts.get(State.ACCEPTED, 0), "notice")
    session.out.print(f"Accepted by the relay: {accepted}")
    if shown:
        session.out.print(_table(shown, session))
    else:
        session.out.print("None waits, and none failed.")


def _table(shown: list[Shown], session: Session) -> Table:
    table = Table(title="Single mails that wait or failed", title_justify="left")
    for heading in ("Reader", "Kind", "State", "Since", "What came back"):
        table.add_column(heading, overflow="fold")
    for each in shown:
        table.add_row(
            escape(each.email),
            each.kind,
            each.state.value,
            shown_moment(each.changed_at, session.settings.publication.zone),
            escape(each.reply),
        )
    return table
