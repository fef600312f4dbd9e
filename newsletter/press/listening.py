"""Step 8: hear what comes back by mail, from the mailbox or from the mail server itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from newsletter.errors import NewsletterError
from newsletter.events import Event, about
from newsletter.feedback.hearing import Listener
from newsletter.feedback.mailbox import Visit, read_feedback
from newsletter.press import Press
from newsletter.press.rounds import going_round

log = logging.getLogger("newsletter.listening")


def build_listener(press: Press) -> Listener:
    """Give what hears messages."""
    return Listener(
        database=press.database,
        keyring=press.keyring,
        list_id=press.settings.publication.list_id,
        bounce_address=press.settings.publication.bounce_address,
        now=press.now,
    )


def listen(press: Press) -> Visit:
    """Look into the mailbox once. Raises `TemporaryError` where it cannot be read."""
    return read_feedback(press.settings, build_listener(press).hear)


@contextmanager
def listening(press: Press) -> Iterator[None]:
    """Look into the mailbox again and again while the block lasts, if there is one."""
    incoming = press.settings.incoming
    if not incoming.host:
        yield
        return

    def look() -> float:
        visit = listen(press)
        if visit.left:
            log.info("%d left by mail", visit.left, extra=about(Event.READERS_LEFT))
        if visit.bounced or visit.complained:
            said = "%d copies came back, %d complaints"
            extra = about(Event.MAIL_CAME_BACK)
            log.info(said, visit.bounced, visit.complained, extra=extra)
        return 0.0 if visit.waiting else every

    def warn(error: NewsletterError) -> None:
        about_it = about(Event.MAILBOX_FAILED)
        log.warning("what comes back by mail is not heard: %s", error, extra=about_it)

    every = incoming.every.total_seconds()
    with going_round(look, name="feedback", pause_seconds=every, warn=warn, log=log):
        yield
