"""From a sign-up to the mail that asks to confirm it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from limits import parse_many
from sqlalchemy import Connection

from newsletter.audience.signing_up import CONFIRM_WITHIN, Mailing, settle_asks
from newsletter.delivery.notices import Notice, enqueue, is_edition_under_way
from newsletter.mail.tokens import Purpose, sign_until_later
from newsletter.press import Press
from newsletter.store.limits import forget_hits


def derive_secret(press: Press) -> bytes:
    """Give the key that names what is counted; that of the oldest, so that rotating keeps it."""
    return hmac.digest(press.settings.secret_keys[-1], b"newsletter:limits", hashlib.sha256)


def build_settler(press: Press) -> Callable[[], None]:
    """Give what decides about sign-ups, and puts the mails that ask into the queue."""
    settings = press.settings
    per_domain = tuple(parse_many(settings.signup.per_domain))
    secret = derive_secret(press)

    def mail(connection: Connection, mailing: Mailing) -> None:
        now = press.now()
        token = sign_until_later(
            mailing.sign_up_id,
            Purpose.CONFIRM,
            now,
            keyring=press.keyring,
            list_id=settings.publication.list_id,
        )
        notice = Notice(
            kind="confirmation",
            address=mailing.address,
            dedupe=f"confirmation {mailing.sign_up_id}",
            not_after=now + CONFIRM_WITHIN / 7,
            language=mailing.language,
            fields={"confirm_url": f"{settings.publication.url}/c/{token}"},
        )
        enqueue(connection, notice, now)

    def settle() -> None:
        with press.database.reading() as connection:
            is_busy = is_edition_under_way(connection, press.now())
        decided = settle_asks(
            press.database,
            mail,
            now=press.now(),
            pseudonyms=press.pseudonyms,
            per_domain=per_domain,
            secret=secret,
            most_batches=1 if is_busy else 20,  # an edition comes first
        )
        if decided:
            with press.database.writing() as connection:
                forget_hits(connection, press.now())

    return settle
