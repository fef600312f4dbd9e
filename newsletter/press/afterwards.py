"""What an operator asks and decides once an edition is under way, or sent."""

from __future__ import annotations

from collections.abc import Mapping

from newsletter.audience.address import parse_address
from newsletter.audience.subscribers import read_subscriber
from newsletter.audience.suppression import find_suppression
from newsletter.delivery.inquiry import (
    FORGOTTEN,
    Copy,
    find_copy,
    find_copy_at,
    is_forgotten,
    list_copies_in_doubt,
)
from newsletter.delivery.settle import PutBack, Verdict, put_back, settle_doubts
from newsletter.editions.shelf import EditionRecord
from newsletter.errors import RefusedError
from newsletter.mail import Message
from newsletter.press import Press
from newsletter.press.addressing import addresser


def copy_of(press: Press, record: EditionRecord, email: str) -> tuple[Copy, Message]:
    """Give the copy that a reader was sent, or is to be sent: the bytes that leave, or left.

    Raises `RefusedError` for who is not in the audience, `ConfigurationError` where a key that
    the edition was made with is gone.
    """
    key = parse_address(email).key
    with press.database.reading() as connection:
        subscriber = read_subscriber(connection, key)
        found = (
            find_copy(connection, record.id, subscriber.id)
            if subscriber
            else find_copy_at(connection, record.id, key)  # they may have been a reader then
        )
        suppressed = find_suppression(connection, key, pseudonyms=press.pseudonyms)
        forgotten = is_forgotten(connection, record.id)
    if found:
        return found, addresser(press, record.id).address(found.reader)
    if suppressed and suppressed.reason == "erased":
        raise RefusedError(
            f"{key} was erased on {suppressed.since:%Y-%m-%d}, so their copies cannot be made again"
        )
    if forgotten:
        raise RefusedError(f"of the edition of {record.name} {FORGOTTEN}")
    if not subscriber:
        raise RefusedError(
            f"no reader has the address {email}", mend="see `newsletter subscribers list`"
        )
    raise RefusedError(
        f"{subscriber.email} is not in the audience of the edition of {record.name}",
        mend=f"`newsletter explain {subscriber.email}` says why",
    )


def message_ids_in_doubt(press: Press, record: EditionRecord) -> dict[int, str]:
    """Give the Message-ID of each delivery in doubt, by subscriber: the relay's log has it."""
    with press.database.reading() as connection:
        copies = list_copies_in_doubt(connection, record.id)
    if not copies:
        return {}
    address = addresser(press, record.id).address
    return {copy.reader.subscriber_id: address(copy.reader).message_id for copy in copies}


def settle(
    press: Press, record: EditionRecord, verdict: Verdict, evidence: Mapping[int, str]
) -> int:
    """Settle deliveries in doubt, by subscriber and reason; return how many still were."""
    now = press.now()
    with press.database.writing() as connection:
        return settle_doubts(
            connection,
            record.id,
            verdict,
            evidence,
            by=press.actor,
            now=now,
            not_after=now + press.settings.delivery.not_after,
        )


def retry_unreached(press: Press, record: EditionRecord, *, including_dead: bool) -> PutBack:
    """Put failed and expired deliveries back to be sent: the same bytes, with time anew."""
    now = press.now()
    with press.database.writing() as connection:
        return put_back(
            connection,
            record.id,
            including_dead=including_dead,
            by=press.actor,
            now=now,
            not_after=now + press.settings.delivery.not_after,
        )
