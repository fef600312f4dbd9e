"""What readers asked for → single mails in the queue, decided beside the pages that took it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Connection

from newsletter.audience.links import LinksWanted, settle_link_asks
from newsletter.audience.moving import CONFIRM_WITHIN, Moved, Wish, settle_moves
from newsletter.delivery.notices import Notice, enqueue
from newsletter.mail.tokens import Purpose, sign_one, sign_until_later
from newsletter.press import Press
from newsletter.press.signing_up import build_sign_up_settler, derive_secret

_OF_USE = timedelta(days=1)


def build_settler(press: Press) -> Callable[[], None]:
    """Give what decides about sign-ups, new addresses and new links, and queues their mails."""
    settle_sign_ups = build_sign_up_settler(press)
    secret = derive_secret(press)

    def settle() -> None:
        settle_sign_ups()
        settle_moves(
            press.database,
            lambda connection, wish: _mail_wish(press, connection, wish),
            now=press.now(),
            pseudonyms=press.pseudonyms,
            secret=secret,
        )
        settle_link_asks(
            press.database,
            lambda connection, wanted: _mail_links(press, connection, wanted),
            now=press.now(),
            secret=secret,
        )

    return settle


def tell_former_address(press: Press, connection: Connection, moved: Moved, shown: str) -> None:
    """Tell a reader's former address that mail goes elsewhere from now on, to one `shown` so.

    It gets a link to take that back, unless taking back is what was done.
    """
    now, publication = press.now(), press.settings.publication
    fields = {"new_address": shown}
    if moved.undo is not None:
        token = sign_until_later(
            moved.undo, Purpose.UNDO, now, keyring=press.keyring, list_id=publication.list_id
        )
        fields["undo_url"] = f"{publication.url}/a/{token}/back"
    notice = Notice(
        kind="moved",
        address=moved.former,
        dedupe=f"moved {moved.wish.number}",
        not_after=now + _OF_USE,
        language=moved.wish.language,
        fields=fields,
    )
    enqueue(connection, notice, now)


def _mail_wish(press: Press, connection: Connection, wish: Wish) -> None:
    """Ask at a new address whether it is the reader's."""
    now, publication = press.now(), press.settings.publication
    token = sign_until_later(
        wish.number, Purpose.MOVE, now, keyring=press.keyring, list_id=publication.list_id
    )
    notice = Notice(
        kind="move",
        address=wish.address,
        dedupe=f"move {wish.number}",
        not_after=now + CONFIRM_WITHIN / 7,
        language=wish.language,
        fields={"confirm_url": f"{publication.url}/a/{token}"},
    )
    enqueue(connection, notice, now)


def _mail_links(press: Press, connection: Connection, wanted: LinksWanted) -> None:
    """Mail a reader links that are theirs."""
    now, publication = press.now(), press.settings.publication

    def link(path: str, purpose: Purpose) -> str:
        token = sign_one(
            wanted.subscriber_id, purpose, keyring=press.keyring, list_id=publication.list_id
        )
        return f"{publication.url}/{path}/{token}"

    notice = Notice(
        kind="links",
        address=wanted.address,
        dedupe=f"links {wanted.ask_id}",
        not_after=now + _OF_USE,
        language=wanted.language,
        fields={
            "preferences_url": link("p", Purpose.PREFERENCES),
            "unsubscribe_url": link("u", Purpose.UNSUBSCRIBE),
        },
    )
    enqueue(connection, notice, now)
