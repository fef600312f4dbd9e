"""A reader's change of address: asked for by the link of a mail, confirmed at the new address.

    ask      a wish is noted: the same work for every address, so that nothing tells who reads
    settle   afterwards, its number goes into the link of a mail to the new address; one that may
             not be mailed, or is somebody's, is passed over in silence
    confirm  one transaction: the reader has the new address from then on, with their number, and
             so their consent, choices and history; the old address is kept out of imports
    undo     the old address is told, and its link is a wish to move back that needs no mail to
             confirm it: if somebody else took a reader's link, the reader has their address again

Copies that are still to be sent follow the reader: one that was never begun goes to the new
address. One that was begun goes where it went before, since all tries are the same bytes (G5);
but whether it may is asked by the new address, so that leaving holds for it too (G7).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, select, update

from newsletter.audience.address import Address
from newsletter.audience.leaving import BY_THEMSELVES
from newsletter.audience.pseudonyms import Pseudonyms
from newsletter.audience.signing_up import ADDRESS_LIMITS, name_counted
from newsletter.audience.suppression import (
    find_suppression,
    keep_audiences_out,
    keep_intents_out,
    lift_suppression,
    suppress,
)
from newsletter.store import Database
from newsletter.store.limits import take
from newsletter.store.tables import (
    OPEN_STATES,
    address_changes,
    deliveries,
    editions,
    subscribers,
)

CONFIRM_WITHIN = timedelta(days=7)
UNDO_WITHIN = timedelta(days=30)
"""How long the old address may take a move back."""
MOVED = f"{BY_THEMSELVES}, for another address"
"""Why an address is kept out that its reader gave up; asked for again, it is theirs again."""

_BATCH = 50
_UNDER_WAY = ("approved", "sending", "paused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A new address that a reader asked for."""

    number: int
    subscriber_id: int
    address: Address
    language: str
    is_active: bool
    """Whether its reader is on the list."""
    is_done: bool
    """Whether it was confirmed."""
    undoes: int | None = None
    """The wish that it takes back; None for one that a reader asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A reader who has a new address."""

    former: Address
    wish: Wish
    undo: int | None = None
    """The number of the wish that takes it back; None for what takes one back itself."""


def ask_to_move(
    connection: Connection, subscriber_id: int, address: Address, now: datetime
) -> None:
    """Note that a reader wants their mail at another address; the same work for every address.

    Of a reader's wishes the last one counts; one that is asked for again is still that one.
    """
    _w = address_changes.c
    mine = and_(_asked_by(subscriber_id), _w.changed_at.is_(None))
    connection.execute(delete(address_changes).where(mine, _w.email_key != address.key))
    if connection.scalar(select(_w.id).where(mine)) is None:
        connection.execute(
            insert(address_changes).values(
                subscriber_id=subscriber_id,
                email=address.email,
                email_key=address.key,
                asked_at=now,
            )
        )


def settle_moves(
    database: Database,
    mail: Callable[[Connection, Wish], None],
    *,
    now: datetime,
    pseudonyms: Pseudonyms,
    secret: bytes,
) -> None:
    """Decide which wishes are mailed: `mail` is given each, within the transaction that decides.

    An address is mailed as seldom as by sign-ups, whoever asks; `secret` is for `name_counted`.
    """
    _w = address_changes.c
    asked = select(_w.id).where(_w.mailed_at.is_(None), _w.changed_at.is_(None)).limit(_BATCH)
    with database.reading() as connection:
        numbers = list(connection.scalars(asked))
    for number in numbers:
        with database.writing() as connection:
            # Another process that settles may have mailed it since: its link is to stay good.
            open_wish = asked.where(_w.id == number).with_for_update()
            if connection.scalar(open_wish) is None:
                continue
            wish = find_wish(connection, number)
            if (
                wish
                and wish.is_active
                and _is_free(connection, wish.address, pseudonyms)
                and take(
                    connection,
                    ADDRESS_LIMITS,
                    name_counted(secret, "address", wish.address.key),
                    now=now,
                )
            ):
                connection.execute(
                    update(address_changes).where(_w.id == number).values(mailed_at=now)
                )
                mail(connection, wish)
            else:
                connection.execute(delete(address_changes).where(_w.id == number))


def find_wish(connection: Connection, number: int) -> Wish | None:
    """Find a wish by its number; None where it is not there any more, or its reader is not."""
    query = (
        select(address_changes, subscribers.c.choices, subscribers.c.status)
        .join_from(
            address_changes, subscribers, subscribers.c.id == address_changes.c.subscriber_id
        )
        .where(address_changes.c.id == number)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return Wish(
        number=row.id,
        subscriber_id=row.subscriber_id,
        address=Address(row.email, row.email_key),
        language=row.choices.get("language", ""),
        is_active=row.status == "active",
        is_done=row.changed_at is not None,
        undoes=row.undoes,
    )


def _asked_by(subscriber_id: int) -> Any:
    """Find what a reader asked for by themselves: no wish that an old address may take back."""
    return and_(
        address_changes.c.subscriber_id == subscriber_id, address_changes.c.undoes.is_(None)
    )


def move(
    connection: Connection, number: int, *, now: datetime, pseudonyms: Pseudonyms
) -> Moved | None:
    """Give a reader the address that they confirmed; None where nothing comes of it any more.

    Comes first in its transaction.
    """
    keep_audiences_out(connection)
    keep_intents_out(connection)
    wish = find_wish(connection, number)
    if wish is None or wish.is_done or not _is_free(connection, wish.address, pseudonyms):
        return None
    _s = subscribers.c
    row = connection.execute(
        select(_s.email, _s.email_key, _s.status)
        .where(_s.id == wish.subscriber_id)
        .with_for_update()
    ).one()
    if row.status != "active":
        return None
    # A sign-up for the new address that nobody confirmed: this is who would have.
    connection.execute(
        delete(subscribers).where(_s.email_key == wish.address.key, _s.status == "pending")
    )
    new = {"email": wish.address.email, "email_key": wish.address.key}
    connection.execute(
        update(subscribers).where(_s.id == wish.subscriber_id).values(**new, updated_at=now)
    )
    lift_suppression(connection, wish.address.key)
    suppress(connection, [row.email_key], "unsubscribed", now, detail=MOVED)
    connection.execute(
        update(address_changes)
        .where(address_changes.c.id == number)
        .values(former_key=row.email_key, changed_at=now)
    )
    _take_copies_along(connection, wish)
    former = Address(row.email, row.email_key)
    if wish.undoes is None:
        return Moved(former=former, wish=wish, undo=_note_undo(connection, wish, former, now))
    # Whoever had taken the reader's link may have asked for yet another address.
    _w = address_changes.c
    connection.execute(
        delete(address_changes).where(_asked_by(wish.subscriber_id), _w.changed_at.is_(None))
    )
    return Moved(former=former, wish=wish)


def _note_undo(connection: Connection, wish: Wish, former: Address, now: datetime) -> int | None:
    """Note the wish that takes a move back; it counts as mailed, since `moved` tells its link."""
    number: int | None = connection.scalar(
        insert(address_changes)
        .values(
            subscriber_id=wish.subscriber_id,
            email=former.email,
            email_key=former.key,
            asked_at=now,
            mailed_at=now,
            undoes=wish.number,
        )
        .returning(address_changes.c.id)
    )
    return number


def _take_copies_along(connection: Connection, wish: Wish) -> None:
    """Have the copies that are still to be sent follow their reader."""
    _d = deliveries.c
    under_way = select(editions.c.id).where(editions.c.state.in_(_UNDER_WAY))
    mine = (_d.edition_id.in_(under_way), _d.subscriber_id == wish.subscriber_id)
    connection.execute(
        update(deliveries)
        .where(*mine, _d.state == "pending", _d.attempts == 0)
        .values(email=wish.address.email)
    )
    connection.execute(
        update(deliveries)
        .where(*mine, _d.state.in_(OPEN_STATES))
        .values(email_key=wish.address.key)
    )


def _is_free(connection: Connection, address: Address, pseudonyms: Pseudonyms) -> bool:
    """Tell whether an address may become a reader's: nobody's, and not kept out."""
    taken = select(subscribers.c.id).where(
        subscribers.c.email_key == address.key, subscribers.c.status != "pending"
    )
    if connection.scalar(taken) is not None:
        return False
    kept_out = find_suppression(connection, address.key, pseudonyms=pseudonyms)
    return kept_out is None or (kept_out.reason == "unsubscribed" and kept_out.detail == MOVED)
