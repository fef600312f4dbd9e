"""The long-running command: serve."""

from __future__ import annotations

import asyncio
import logging
import sys

import typer

from newsletter.cli.session import Session
from newsletter.publish import Press
from newsletter.schedule import Keeper


def serve(ctx: typer.Context) -> None:
    """Keep the schedule: gather and send at the set times, until SIGTERM or Ctrl-C."""
    session: Session = ctx.obj
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("newsletter")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    with session.database() as database:
        press = Press(session.settings, database, session.now)
        press.open_channel()  # a relay URL that is wrong shows now and not at seven

        async def run() -> None:
            await Keeper(press).keep()

        asyncio.run(run())
