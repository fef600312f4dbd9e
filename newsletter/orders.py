"""What programs ask to be sent: written down once, carried out by `newsletter serve`.

    waiting ─▶ under_way ─▶ done | refused
       ▲            │ no relay can be reached, or the process died
       └────────────┘

An order is known by its key and its Idempotency-Key: asked again, however often and whatever
crashed in between, it is the same order, and so the same answer. To carry out a send takes the
same way as `newsletter send`, of which every step can be taken again; the ledger lets one run at
a time have an edition, and gives each reader one copy. What is approved is noted as to be sent
at once, and the schedule's process delivers it, as it does for the console. A test copy is mailed
at most once: one that was under way when its process died is refused.

A program is nobody: what waits for review is not sent because a program says so. A send to so
many that it needs a second person's word waits for that, as the edition stood when it was asked
for, and is refused where the edition is another by then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from newsletter.audience.segment import parse_segment
from newsletter.delivery.holder import describe_self, is_gone
from newsletter.delivery.settle import note_send
from newsletter.editions.lifecycle import RELEASED
from newsletter.editions.model import Kind, parse_edition_name
from newsletter.editions.shelf import find_edition, read_edition
from newsletter.editions.verdicts import read_edition_hash
from newsletter.errors import (
    NewsletterError,
    RefusedError,
    RelayUnavailable,
    SecondPersonNeeded,
    StorageError,
)
from newsletter.press import Press, Printed
from newsletter.press.delivering import send_test
from newsletter.press.planning import plan_edition
from newsletter.press.rounds import going_round
from newsletter.publish import prepare, print_standing, release
from newsletter.store import Database
from newsletter.store.audit import Actor, hash_document, note
from newsletter.store.tables import orders

log = logging.getLogger("newsletter.orders")

OrderKind = Literal["send", "test"]

LOOK_SECONDS = 0.5
_AGAIN = timedelta(seconds=30)
_LEASE = timedelta(minutes=15)
_STOP_SECONDS = 10.0

_O = orders.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Something that a program asked to be sent."""

    id: int
    key_id: int
    kind: OrderKind
    edition: str
    asked: Mapping[str, Any]
    actor: str
    origin: str
    state: str
    said: str
    asked_at: datetime
    changed_at: datetime


def store_order(
    database: Database,
    key_id: int,
    token: str,
    kind: OrderKind,
    edition: str,
    asked: Mapping[str, Any],
    also: Mapping[str, Any],
    *,
    actor: Actor,
    check: Callable[[Connection], None],
    now: datetime,
) -> Order:
    """Write an order down, or find it again; raises `RefusedError` where its token was another's.

    Whether a new one makes sense is for `check` to say. `also` is kept with what was `asked`, and
    is no part of it.

    Committed before it returns: what is answered then is true whatever crashes.
    """
    fingerprint = hash_document({"kind": kind, "edition": edition, "asked": asked})
    with database.writing() as connection:
        of_this = (_O.key_id == key_id) & (_O.token == token)
        query = select(orders).where(of_this)
        row = connection.execute(query).one_or_none()
        if row is None:
            check(connection)
            values = {
                "key_id": key_id,
                "token": token,
                "fingerprint": fingerprint,
                "actor": actor.who,
                "origin": actor.origin,
                "kind": kind,
                "edition": edition,
                "asked": {**asked, **also},
                "state": "waiting",
                "asked_at": now,
                "look_at": now,
                "changed_at": now,
            }
            make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
            statement = make(orders).values(values).on_conflict_do_nothing()
            made = connection.execute(statement.returning(_O.id)).first()
            row = connection.execute(query).one()
            if made is not None:
                target = f"edition {edition}"
                action = f"order.{kind}"
                note(connection, actor, action, target, now=now, detail=f"order {made.id}")
    if row.fingerprint != fingerprint:
        raise RefusedError(
            "this Idempotency-Key was used for something else", mend="choose another one"
        )
    return _read(row)


def find_order(database: Database, key_id: int, number: int) -> Order | None:
    """Find an order that a key gave."""
    query = select(orders).where(_O.id == number, _O.key_id == key_id)
    with database.reading() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else _read(row)


def carry_out_due(press: Press) -> int:
    """Carry out what is due, one after another; say how many came to an end."""
    ended = 0
    while (order := _take_next(press)) is not None:
        ended += _carry_out(press, order)
    return ended


@contextmanager
def ordering(press: Press) -> Iterator[None]:
    """Carry out orders while the block lasts, in a thread of its own."""

    def look() -> float:
        carry_out_due(press)
        return LOOK_SECONDS

    with going_round(
        look,
        name="orders",
        pause_seconds=LOOK_SECONDS,
        warn=lambda error: log.warning("orders wait: %s", error),
        log=log,
        stop_seconds=_STOP_SECONDS,
    ):
        yield


# -- one order -------------------------------------------------------------------------------------


def _take_next(press: Press) -> Order | None:
    """Take the oldest that is due: one that waits, or that a process left which is gone."""
    now = press.now()
    with press.database.reading() as connection:
        if not _list_takeable(connection, now):
            return None
    with press.database.writing() as connection:
        for row in _list_takeable(connection, now):
            if row.state == "under_way" and row.kind == "test":
                _end(connection, row.id, "refused", "the program ended while it was mailed", now)
                continue
            taken = connection.execute(
                update(orders)
                .where(_O.id == row.id, _O.state == row.state, _O.holder == row.holder)
                .values(
                    state="under_way", holder=describe_self(), look_at=now + _LEASE, changed_at=now
                )
            )
            if taken.rowcount:
                return _read(row)
    return None


def _list_takeable(connection: Connection, now: datetime) -> list[Row[Any]]:
    is_open = or_(_O.state == "waiting", _O.state == "under_way")
    rows = connection.execute(select(orders).where(is_open).order_by(_O.id))
    return [
        row
        for row in rows
        if row.look_at <= now or (row.state == "under_way" and is_gone(row.holder))
    ]


def _carry_out(press: Press, order: Order) -> bool:
    """Carry one out; True where it came to an end, False where it is tried again."""
    mine = replace(press, actor=Actor(who=order.actor, origin=order.origin))
    try:
        said = _send(mine, order) if order.kind == "send" else _mail_test(mine, order)
    except (RelayUnavailable, StorageError) as error:
        is_over = press.now() - order.asked_at >= press.settings.api.send_within
        if is_over or order.kind == "test":
            return _finish(press, order, "refused", str(error))
        return _put_back(press, order, str(error))
    except SecondPersonNeeded as error:
        return _put_back(press, order, str(error), keep=True)
    except NewsletterError as error:
        return _finish(press, order, "refused", str(error))
    except Exception as error:
        log.error("order %d: a fault of this program: %s", order.id, type(error).__name__)  # noqa: TRY400
        log.debug("where it failed", exc_info=error)
        return _finish(press, order, "refused", "A fault of this program; it is in the log.")
    return _finish(press, order, "done", said)


def _put_back(press: Press, order: Order, said: str, *, keep: bool = False) -> bool:
    """Have one tried again later; with `keep` only as the edition stands now."""
    with press.database.writing() as connection:
        now = press.now()
        asked = dict(order.asked)
        if keep:
            record = find_edition(connection, *_split(order.edition))
            assert record is not None
            asked["seen"] = read_edition_hash(connection, record.id)
        connection.execute(
            update(orders)
            .where(_O.id == order.id)
            .values(
                state="waiting",
                holder="",
                said=said,
                asked=asked,
                look_at=now + _AGAIN,
                changed_at=now,
            )
        )
    return False


def _finish(press: Press, order: Order, state: str, said: str) -> bool:
    with press.database.writing() as connection:
        _end(connection, order.id, state, said, press.now())
    log.info("order %d, %s %s: %s: %s", order.id, order.kind, order.edition, state, said)
    return True


def _end(connection: Connection, number: int, state: str, said: str, now: datetime) -> None:
    # What was asked may name an address; it is done with.
    connection.execute(
        update(orders)
        .where(_O.id == number)
        .values(state=state, said=said, asked={}, holder="", changed_at=now)
    )


def _send(press: Press, order: Order) -> str:
    at = datetime.fromisoformat(order.asked["at"]) if order.asked.get("at") else None
    segment = parse_segment(order.asked["segment"]) if order.asked.get("segment") else None
    overrides = order.asked.get("overrides", ())
    if at is not None:
        if not _is_planned(press, order, at):
            printed = _print(press, order, at)
            plan_edition(press, printed, at, overrides=overrides, segment=segment)
        return f"The edition is planned, to be sent at {at:%Y-%m-%d %H:%M} UTC."
    printed = _print(press, order)
    if printed.record.state in ("draft", "ready"):
        asyncio.run(release(press, printed, overrides=overrides, segment=segment))
    with press.database.writing() as connection:
        record = read_edition(connection, printed.record.id)
        if record.state == "approved":
            note_send(connection, record.id, by=press.actor, now=press.now())
        elif record.state not in RELEASED:
            raise RefusedError(f"the edition of {record.name} is {record.state}")
    return f"The edition is {record.state}."


def _is_planned(press: Press, order: Order, at: datetime) -> bool:
    """Tell whether that was done before a process died that carried it out."""
    with press.database.reading() as connection:
        record = find_edition(connection, *_split(order.edition))
    return record is not None and record.is_planned and record.send_at == at


def _mail_test(press: Press, order: Order) -> str:
    printed = _print(press, order)
    words = asyncio.run(send_test(press, printed, order.asked["email"]))
    with press.database.writing() as connection:
        note(connection, press.actor, "edition.test", f"edition {order.edition}", now=press.now())
    return words


def _print(press: Press, order: Order, at: datetime | None = None) -> Printed:
    """Give the edition: the one that was seen, or made anew where none was named."""
    day, kind = _split(order.edition)
    with press.database.reading() as connection:
        record = find_edition(connection, day, kind)
        seen = order.asked.get("seen")
        if seen:
            if record is None or read_edition_hash(connection, record.id) != seen:
                raise RefusedError(
                    "the edition was composed anew since it was looked at", mend="look at it again"
                )
            return print_standing(press, record)
    if record is not None and record.state in RELEASED:
        return print_standing(press, record)
    return _make(press, day, kind, order.asked.get("briefs", ()), at)


def _split(name: str) -> tuple[date, Kind]:
    named = parse_edition_name(name)
    assert named is not None, "whoever writes an order down has read its name"
    return named


def _make(
    press: Press, day: date, kind: Kind, brief_ids: Sequence[int], at: datetime | None
) -> Printed:
    prepared = prepare(press, day, kind=kind, brief_ids=brief_ids, at=at)
    if prepared.printed is None:
        composed = prepared.composed
        why = composed.record.reason if composed.record else ""
        raise RefusedError(f"there is no edition to send ({why or composed.outcome})")
    return prepared.printed


def _read(row: Row[Any]) -> Order:
    return Order(
        id=row.id,
        key_id=row.key_id,
        kind=row.kind,
        edition=row.edition,
        asked=row.asked,
        actor=row.actor,
        origin=row.origin,
        state=row.state,
        said=row.said,
        asked_at=row.asked_at,
        changed_at=row.changed_at,
    )
