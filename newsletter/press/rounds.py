"""What `serve` does again and again beside its schedule: each in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from newsletter.errors import NewsletterError


@contextmanager
def going_round(
    look: Callable[[], float],
    *,
    name: str,
    pause_seconds: float,
    warn: Callable[[NewsletterError], None],
    log: logging.Logger,
    stop_seconds: float = 5.0,
) -> Iterator[None]:
    """Look again and again while the block lasts; `look` says after how many seconds.

    A look that fails is made again after `pause_seconds`. `warn` tells of what cannot be helped
    now, once however often it is tried; a fault of this program ends no thread.
    """
    stopping = threading.Event()

    def keep() -> None:
        told, seconds = "", 0.0
        while not stopping.wait(seconds):
            seconds = pause_seconds
            try:
                seconds = look()
                told = ""
            except NewsletterError as error:
                if str(error) != told:
                    warn(error)
                told = str(error)
            except Exception as error:
                log.error("%s: a fault of this program: %s", name, type(error).__name__)  # noqa: TRY400
                log.debug("%s: where it failed", name, exc_info=error)

    thread = threading.Thread(target=keep, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(stop_seconds)
