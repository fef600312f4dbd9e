"""The long-running command: serve."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import ExitStack

import typer

from newsletter.cli.session import Session
from newsletter.cli.tables import clear_text_warning
from newsletter.press import Press
from newsletter.press.notices import couriering
from newsletter.press.signing_up import build_settler
from newsletter.press.webhooks import telling
from newsletter.schedule import Keeper


def serve(ctx: typer.Context) -> None:
    """Keep the schedule, send single mails, serve the readers' pages, until SIGTERM or Ctrl-C."""
    session: Session = ctx.obj
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S%z")
    )
    logger = logging.getLogger("newsletter")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    with session.database() as database:
        press = Press(session.settings, database, session.now)
        _ = press.lanes  # a relay URL that is wrong shows now and not at seven
        for warning in filter(None, map(clear_text_warning, press.relays)):
            session.err.print(warning, markup=False, soft_wrap=True)

        async def run() -> bool:
            return await Keeper(press).keep()

        with ExitStack() as stack:
            if listen := session.settings.web.listen:
                from newsletter.web.api.orders import ordering
                from newsletter.web.app import serving

                address = stack.enter_context(serving(press, listen))
                logger.info("readers' pages: %s for %s", address, session.settings.publication.url)
                stack.enter_context(ordering(press))
            stack.enter_context(telling(press))
            stack.enter_context(couriering(press, build_settler(press)))
            left_behind = asyncio.run(run())
    if left_behind:
        logging.shutdown()
        os._exit(0)  # ends at once: the interpreter would wait for the slow source
