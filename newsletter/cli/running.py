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
from newsletter.events import Event, about, write_log
from newsletter.press import Press
from newsletter.press.listening import listening
from newsletter.press.notices import couriering
from newsletter.press.settling import build_settler
from newsletter.press.webhooks import telling
from newsletter.schedule import Keeper
from newsletter.settings import list_secrets
from newsletter.watch.figures import Figures
from newsletter.watch.pulse import Pulse
from newsletter.watch.watchdog import watching


def serve(ctx: typer.Context) -> None:
    """Keep the schedule, send single mails, serve the readers' pages, until SIGTERM or Ctrl-C."""
    from newsletter.orders import ordering

    session: Session = ctx.obj
    settings = session.settings
    is_json = settings.log.format == "json"
    logger = write_log(sys.stderr, as_json=is_json, secrets=list_secrets(settings))
    with session.database() as database:
        press = Press(session.settings, database, session.now)
        _ = press.lanes  # a relay URL that is wrong shows now and not at seven
        for warning in filter(None, map(clear_text_warning, press.relays)):
            session.err.print(warning, markup=False, soft_wrap=True)
        pulse = Pulse()
        figures = Figures(press, pulse)

        async def run() -> bool:
            return await Keeper(press, pulse).keep()

        with ExitStack() as stack:
            stack.enter_context(watching(press, pulse))
            if listen := session.settings.web.listen:
                from newsletter.web.app import serving

                address = stack.enter_context(serving(press, listen, pulse, figures))
                logger.info(
                    "readers' pages: %s for %s",
                    address,
                    settings.publication.url,
                    extra=about(Event.STARTED),
                )
            if (apart := session.settings.metrics.listen) not in ("", "off"):
                from newsletter.web.app import running
                from newsletter.web.watching import build_metrics_app

                app = build_metrics_app(figures)
                address = stack.enter_context(running(app, apart, field="metrics.listen"))
                logger.info("figures: %s/metrics", address, extra=about(Event.STARTED))
            stack.enter_context(ordering(press))
            stack.enter_context(telling(press))
            stack.enter_context(listening(press))
            stack.enter_context(couriering(press, build_settler(press)))
            left_behind = asyncio.run(run())
    if left_behind:
        logging.shutdown()
        os._exit(0)  # ends at once: the interpreter would wait for the slow source
