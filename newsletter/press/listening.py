"""Step 8: hear who leaves by mail, from the mailbox or from the mail server itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from newsletter.errors import NewsletterError
from newsletter.events import Event, about
from newsletter.feedback.leaving import Listener
from newsletter.feedback.mailbox import Visit, read_feedback
from newsletter.press import Press

log = logging.getLogger("newsletter.listening")

_STOP_SECONDS = 5.0


def build_listener(press: Press) -> Listener:
    """Give what hears messages."""
    return Listener(
        database=press.database,
        keyring=press.keyring,
        list_id=press.settings.publication.list_id,
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
    stopping = threading.Event()

    def keep() -> None:
        told = ""
        while not stopping.is_set():
            try:
                visit = listen(press)
            except NewsletterError as error:
                if str(error) != told:  # once, however often it is tried
                    log.warning(
                        "who leaves by mail is not heard: %s",
                        error,
                        extra=about(Event.MAILBOX_FAILED),
                    )
                told = str(error)
            else:
                told = ""
                if visit.left:
                    log.info("%d left by mail", visit.left, extra=about(Event.READERS_LEFT))
                if visit.waiting:
                    continue
            stopping.wait(incoming.every.total_seconds())

    thread = threading.Thread(target=keep, name="feedback", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(_STOP_SECONDS)
