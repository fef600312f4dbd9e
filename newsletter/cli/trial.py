"""Everything at once on sample data: demo."""

from __future__ import annotations

import asyncio
import secrets
import signal
import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from newsletter.audience.importer import import_subscribers
from newsletter.audience.pseudonyms import Pseudonyms
from newsletter.cli.session import Session
from newsletter.cli.tables import outcome_table, shown_count
from newsletter.cli.writing import writing_to
from newsletter.delivery.lifecycle import State
from newsletter.demo.export import write_messages
from newsletter.demo.mailbox import Mailbox
from newsletter.demo.newsroom import FeedServer, write_newsroom
from newsletter.errors import RefusedError
from newsletter.press import Delivered, Press
from newsletter.publish import prepare, publish
from newsletter.settings import load_settings
from newsletter.store import open_database

if TYPE_CHECKING:  # the web server takes long to import, and the help needs none
    from newsletter.demo.page import RunningPage


def demo(
    ctx: typer.Context,
    serve: Annotated[
        bool, typer.Option("--serve/--no-serve", help="Show the mailbox on a local page.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write the messages here.")
    ] = None,
    port: Annotated[
        int, typer.Option(help="Port of the local page; 0 takes a free one.", min=0, max=65535)
    ] = 0,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Gather, render and send sample briefs over real SMTP into an embedded mailbox."""
    session: Session = ctx.obj
    if not serve and out is None:
        raise RefusedError("there is nothing to show", mend="add --out DIR, or drop --no-serve")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, and clears up
    with ExitStack() as stack:
        mailbox = stack.enter_context(Mailbox())
        page = stack.enter_context(_page(mailbox, port)) if serve else None
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="newsletter-demo-"))
        delivered = _send_samples(session, Path(directory), mailbox)
        session.out.print(outcome_table(delivered.counts))
        accepted = shown_count(delivered.counts.get(State.ACCEPTED, 0), "message")
        if out is not None:
            with writing_to(out):
                index = write_messages(mailbox.messages, out)[0]
            session.out.print(f"Sent {accepted}; look at {escape(str(index))}", soft_wrap=True)
        if page is not None:
            session.out.print(f"Sent {accepted}; look at {page.url}  (Ctrl-C ends the demo)")
            if open_it:
                webbrowser.open(page.url)
            page.wait()


@contextmanager
def _page(mailbox: Mailbox, port: int) -> Iterator[RunningPage]:
    """Serve the page from the beginning: a port that is taken shows before anything is sent."""
    from newsletter.demo.page import serve_page

    with ExitStack() as stack:
        try:
            page = stack.enter_context(serve_page(mailbox, port=port))
        except OSError:
            raise RefusedError(
                f"port {port} is taken, or not for you",
                mend="drop --port to take a free one",
            ) from None
        yield page


def _send_samples(session: Session, directory: Path, mailbox: Mailbox) -> Delivered:
    """Take the ordinary way, from the sources to the mailbox, in a project of its own."""
    now = session.now()
    with FeedServer(now=now) as feeds:
        config = write_newsroom(
            directory,
            now=now,
            smtp_port=mailbox.port,
            feed_port=feeds.port,
            secret_key=secrets.token_urlsafe(32),
        )
        settings = load_settings(config, environment=False)
        database = open_database(settings.database_url)
        try:
            press = Press(settings, database, session.now)
            imported = import_subscribers(
                database,
                directory / "subscribers.csv",
                now=now,
                pseudonyms=Pseudonyms(settings.secret_keys),
            )
            session.out.print(f"Imported {shown_count(imported.added, 'reader')}.")
            prepared = prepare(press, press.today())
            for report in prepared.reports:
                session.out.print(
                    f"Gathered {shown_count(report.new, 'brief')} from {escape(report.name)}."
                )
            if prepared.printed is None:
                raise RefusedError(f"the demo has no edition ({prepared.composed.outcome})")
            session.out.print(f"Subject: {escape(prepared.printed.edition.subject)}")
            return asyncio.run(publish(press, prepared.printed))
        finally:
            database.close()
