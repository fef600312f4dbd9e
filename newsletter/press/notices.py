"""Single mails, from the queue to the relay: laid out, made into bytes, handed over.

`newsletter serve` keeps a courier in a thread of its own (`couriering`); `newsletter notices
--send` has one send what is due, and end.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

from newsletter.delivery.courier import STOP_GRACE_SECONDS, Clocks, Courier
from newsletter.delivery.lifecycle import State
from newsletter.delivery.notices import Due, sweep
from newsletter.mail import Message
from newsletter.mail.notice import (
    NoticeHead,
    build_notice,
    build_notice_envelope,
    build_notice_head,
)
from newsletter.press import Press
from newsletter.press.delivering import check_installation
from newsletter.render.apart import within_limits
from newsletter.render.notices import NoticeForm, compile_notice, read_form
from newsletter.smtp.protocol import WireLines

_FORMS_KEPT = 64


class NoticeMaker:
    """Makes the messages of notices, each in its reader's language."""

    def __init__(self, press: Press) -> None:
        self._press = press
        self._head: NoticeHead = build_notice_head(press.settings.publication)
        self._signers = press.signers
        self._form = lru_cache(_FORMS_KEPT)(self._lay_out)

    def make(self, due: Due) -> Message:
        """Make a notice's message: the bytes of its first attempt, where there was one.

        Raises `TemplateError` for a fault in a template, `AudienceError` for an address that
        cannot stand in a header.
        """
        if due.content is not None:
            return Message(
                envelope=build_notice_envelope(self._head, due.email, due.id),
                content=WireLines.check(due.content),
                message_id="",
            )
        form = self._form(due.kind, tuple(sorted(due.fields)), due.language)
        return build_notice(
            form.fill(due.fields),
            number=due.id,
            email=due.email,
            dated_at=due.created_at,
            head=self._head,
            keyring=self._press.keyring,
            signers=self._signers,
        )

    def _lay_out(self, kind: str, names: tuple[str, ...], language: str) -> NoticeForm:
        settings, templates = self._press.settings, self._press.templates
        publication = settings.publication
        if language:
            publication = publication.model_copy(update={"language": language})
        return read_form(
            within_limits(compile_notice, templates, settings.templates)(
                kind,
                names,
                publication=publication,
                vocabulary=settings.vocabulary,
                templates=templates,
                look=settings.look,
                picture_hosts=settings.edition.picture_hosts,
            )
        )


def send_notices(press: Press) -> Counter[State]:
    """Send what is due now, and end; tell what became of each attempt.

    Raises `RelayUnavailable` or `ConfigurationError` where no relay can be had, and
    `UnfamiliarDatabase` for a database that was restored: it may have sent them already.
    """
    check_installation(press)
    with press.database.writing() as connection:
        sweep(connection, press.now())

    async def run() -> Counter[State]:
        return await _build_courier(press).send_due()

    return asyncio.run(run())


@contextmanager
def couriering(press: Press, prepare: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Send notices as they become due, while the block lasts; `prepare` makes them.

    Raises `ConfigurationError` for relays or keys that cannot be used.
    """
    loop = asyncio.new_event_loop()
    courier = _build_courier(press)

    def look() -> None:
        check_installation(press)
        prepare()

    thread = threading.Thread(
        target=lambda: loop.run_until_complete(courier.keep(look)), name="notices", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(courier.stop)
        thread.join(STOP_GRACE_SECONDS + 5)
        if not thread.is_alive():
            loop.close()


def _build_courier(press: Press) -> Courier:
    return Courier(
        press.database,
        press.lanes,
        NoticeMaker(press).make,
        retry_after=press.settings.delivery.retry_after,
        clocks=Clocks(now=press.now),
    )
