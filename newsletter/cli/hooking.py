"""The command of webhooks: what they have not been told yet."""

from __future__ import annotations

import typer
from rich.markup import escape
from rich.table import Table

from newsletter.cli.asked import JsonOption
from newsletter.cli.session import Session
from newsletter.cli.tables import shown_moment
from newsletter.delivery.posting import PostView, count_posts, list_posts

_SHOWN = 100


def webhooks(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Show what webhooks have taken, what waits for them, and what they were never told.

    `newsletter serve` tells them by itself, and goes on trying for a day.
    """
    session: Session = ctx.obj
    with session.database() as database, database.reading() as connection:
        counts, shown = count_posts(connection), list_posts(connection, _SHOWN)
    if as_json:
        listed = [
            {
                "webhook": each.hook,
                "event": each.number,
                "state": each.state,
                "attempts": each.attempts,
                "said": each.said,
                "made_at": each.made_at.isoformat(),
                "next_attempt_at": each.look_at.isoformat() if each.state == "waiting" else None,
            }
            for each in shown
        ]
        session.print_json({"counts": counts, "posts": listed})
        return
    for hook, by_state in sorted(counts.items()):
        told = ", ".join(f"{number:,} {state}" for state, number in sorted(by_state.items()))
        session.out.print(f"{hook}: {told}", markup=False)
    if shown:
        session.out.print(_table(shown, session))
    else:
        session.out.print("Nothing waits, and nothing failed.")


def _table(shown: list[PostView], session: Session) -> Table:
    table = Table(title="What webhooks were not told yet", title_justify="left")
    for heading in ("Webhook", "Event", "State", "Since", "Attempts", "What came back"):
        table.add_column(heading, overflow="fold")
    for each in shown:
        table.add_row(
            escape(each.hook),
            str(each.number),
            each.state,
            shown_moment(each.made_at, session.settings.publication.zone),
            str(each.attempts),
            escape(each.said),
        )
    return table
