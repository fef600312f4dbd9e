"""What comes back by mail: receive, listen."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from newsletter.cli.asked import JsonOption
from newsletter.cli.session import Session
from newsletter.errors import NewsletterError, RefusedError, TemporaryError

_READ_BYTES = 65_536


def receive(
    ctx: typer.Context,
    recipient: Annotated[
        str,
        typer.Option(
            envvar=["ORIGINAL_RECIPIENT", "RECIPIENT"],
            metavar="ADDRESS",
            help="Who the message is for: a bounce is known by that.",
        ),
    ] = "",
) -> None:
    """Take one message from standard input: a word to leave by, a bounce or a complaint.

    For a mail server to pipe the mail of publication.unsubscribe_address and of
    publication.bounce_address into. It ends with 0 when the message was taken, whatever it said,
    and with 75 when it could not be: then the mail server keeps it and tries again.
    """
    from newsletter.feedback.report import MAX_BYTES
    from newsletter.press import Press
    from newsletter.press.listening import build_listener

    session: Session = ctx.obj
    content = sys.stdin.buffer.read(MAX_BYTES)
    while sys.stdin.buffer.read(_READ_BYTES):  # a mail server wants all of it to be read
        pass
    try:
        with session.database() as database:
            listener = build_listener(Press(session.settings, database, session.now))
            heard = listener.hear(content, recipient)
    except (NewsletterError, OSError) as error:
        # Also what only an operator can mend: any other code, and the reader's wish is bounced.
        raise TemporaryError(f"the message stays with the mail server: {error}") from None
    if heard.is_early:
        raise TemporaryError(
            "the message stays with the mail server: it is about a copy that is still being sent"
        )
    if heard.left:
        session.out.print("The reader is off the list.")
    elif heard.complained:
        session.out.print("The complaint is taken: the reader is off the list for good.")
    elif heard.bounced:
        session.out.print("The bounce is taken.")
    else:
        session.out.print(f"Nothing was done: {heard.reason}.")


def listen(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Look once into the mailbox of `incoming` for what comes back; `serve` does it itself."""
    from newsletter.press import Press
    from newsletter.press.listening import listen as look

    session: Session = ctx.obj
    if not session.settings.incoming.host:
        raise RefusedError(
            "incoming.host names no mailbox",
            mend="set it, or have the mail server pipe messages into `newsletter receive`",
        )
    with session.database() as database:
        visit = look(Press(session.settings, database, session.now))
    if as_json:
        session.print_json(
            {
                "messages": visit.messages,
                "left": visit.left,
                "bounced": visit.bounced,
                "complained": visit.complained,
                "passed_over": dict(visit.passed_over),
                "waiting": visit.waiting,
            }
        )
        return
    session.out.print(
        f"{visit.messages} messages read: {visit.left} readers left, {visit.bounced} copies "
        f"came back, {visit.complained} complaints."
    )
    for reason, count in sorted(visit.passed_over.items()):
        session.out.print(f"{count} passed over: {reason}.", markup=False)
    if visit.waiting:
        session.out.print(f"{visit.waiting} wait for the next time.")
