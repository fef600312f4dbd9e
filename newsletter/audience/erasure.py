"""Erase a reader so that nothing names them, and they stay erased.

    1  one transaction: the row goes, the copies that they were sent or are to be sent lose
       address, name and fields, and a suppression under their pseudonym keeps them out
    2  wait for a message that is under way: the relay's answer may name them
    3  find what else names the address (replies, alerts, decisions, other readers' fields)
    4  rewrite the database's file: what SQLite deletes stays in its pages and its log

A relay may answer ten minutes later, and a process may end before that. So what steps 2 and 3
have to look for is kept, sealed, from step 1 on until both are done, and `finish_erasures` goes on
with them: what `newsletter serve` does once a minute.

Counts stay as they were: a copy is still a copy, only nobody's. Its `email_key` is the
pseudonym from step 1 on, which is suppressed, so no message to them is begun after that
(G7), and the sender needs to know nothing of erasures.

Step 4 needs the database alone, for as long as it takes to copy it. While an edition is being
sent it is put off: the suppression remembers that, and `wipe_traces` does it later.

What an edition or a brief says is the publication's own and is left alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Table,
    Text,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    type_coerce,
    update,
)

from newsletter.audience.address import parse_address
from newsletter.audience.answers import delete_answers_of
from newsletter.audience.pseudonyms import PREFIX, Pseudonyms
from newsletter.audience.suppression import keep_audiences_out, keep_intents_out, suppress
from newsletter.store import Database
from newsletter.store.audit import Actor, note
from newsletter.store.database import BUSY_SECONDS
from newsletter.store.tables import (
    address_changes,
    alarms,
    alerts,
    answers,
    attempts,
    decisions,
    deliveries,
    editions,
    erasures,
    import_changes,
    imports,
    link_asks,
    notices,
    relay_states,
    results,
    runs,
    sign_ups,
    subscribers,
    suppressions,
    tellings,
)

NAMING: tuple[tuple[Table, tuple[str, ...]], ...] = (
    (subscribers, ("name", "fields", "consent_source")),
    (suppressions, ("detail",)),
    (imports, ("file", "made_by", "consent_source", "counts")),
    (import_changes, ("changes",)),
    (editions, ("reason", "send_how")),
    (results, ("document",)),
    (runs, ("holder", "progress", "counts")),
    (deliveries, ("email", "email_key", "name", "fields", "via", "reply")),
    (attempts, ("via", "reply")),
    (decisions, ("decided_by", "action", "detail")),
    (alerts, ("kind", "sentence")),
    (alarms, ("key", "sentence")),
    (tellings, ("sentence", "error")),
    (relay_states, ("learned",)),
    (answers, ("lens", "verdict", "sentence")),
    (notices, ("dedupe", "payload", "reply")),
    (sign_ups, ("source", "agent", "confirmed_agent")),
    (address_changes, ("email", "email_key", "former_key")),
)
"""Every column in which an address may stand, of a reader's own row or of anybody else's."""

TRACES = "the database's file may hold traces still"
_CODES = re.compile(r"[2-5]\d\d(?:[ -]\d\.\d{1,3}\.\d{1,3})?(?![\d.])")
_ASCII = re.compile(r"[\x21-\x7e]+")
_UNDER_WAY = ("leased", "sending")
_UNFINISHED_FOR = timedelta(minutes=15)
"""How long a copy that was under way may name its reader: a relay has ten minutes to answer."""
_PATIENCE_SECONDS = 30.0
_PAUSE_SECONDS = 0.25
_Copy = tuple[int, int]
"""Edition and subscriber number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What an erasure did."""

    was_reader: bool
    copies: int
    """Copies of editions that are nobody's now."""
    mentions: int
    """Other places that named the address."""
    is_under_way: bool
    """Whether a message to them was still under way: its relay's answer may name them."""
    has_traces: bool
    """Whether the database's file is still to be rewritten."""


def erase_reader(
    database: Database,
    email: str,
    *,
    now: Callable[[], datetime],
    pseudonyms: Pseudonyms,
    by: Actor | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Erasure:
    """Erase all that is held about an address; idempotent, and goes on where it was stopped.

    An address that nothing is known of is kept out from then on all the same. Raises
    `AudienceError` for what is no address. `by` is the operator whose act it is, for the audit,
    which names the reader by number alone.
    """
    address = parse_address(email)
    pseudonym = pseudonyms.make(address.key)
    with database.reading() as connection:
        copies = _list_copies_at(connection, address.key)
    with database.writing() as connection:
        keep_audiences_out(connection)
        keep_intents_out(connection)
        number = connection.scalar(
            select(subscribers.c.id).where(subscribers.c.email_key == address.key)
        )
        copies |= _list_copies_of(connection, number)
        former = _list_former_keys(connection, number)
        old = _leave_taken(connection, former | _list_old_addresses(connection, copies))
        found = {address.key, address.email.lower(), *old}
        erased = [pseudonym, *map(pseudonyms.make, sorted(former & old))]
        suppress(connection, erased, "erased", now(), detail=TRACES)
        connection.execute(  # also where it was erased before: something may have come anew
            update(suppressions).where(suppressions.c.email_key == pseudonym).values(detail=TRACES)
        )
        for table in (suppressions, notices, sign_ups, link_asks):
            connection.execute(delete(table).where(table.c.email_key.in_(found)))
        connection.execute(
            delete(address_changes).where(
                or_(
                    address_changes.c.subscriber_id == number,
                    address_changes.c.email_key.in_(found),
                )
            )
        )
        _take_name(connection, copies, pseudonym)
        if number is not None:
            delete_answers_of(connection, number, pseudonyms)
            _delete_reader(connection, number)
        _keep_unfinished(connection, pseudonym, found, now(), pseudonyms)
        if by:
            target = "no reader" if number is None else f"reader {number}"
            note(connection, by, "reader.erase", target, now=now())
    patience = _PATIENCE_SECONDS
    while is_under_way := _is_under_way(database, pseudonym, copies, now()):
        if patience <= 0:
            break
        sleep(_PAUSE_SECONDS)
        patience -= _PAUSE_SECONDS
    mentions = _replace_mentions(database, sorted(found), pseudonym)
    if not is_under_way:
        _forget_unfinished(database, pseudonym)
    return Erasure(
        was_reader=number is not None,
        copies=len(copies),
        mentions=mentions,
        is_under_way=is_under_way,
        has_traces=not wipe_traces(database, now=now(), sleep=sleep),
    )


def finish_erasures(database: Database, *, now: datetime, pseudonyms: Pseudonyms) -> int:
    """Go on with what erasures left to be done; tell how many are unfinished still.

    Idempotent. An address that is somebody's again by a new consent is left alone.
    """
    with database.reading() as connection:
        left = connection.execute(select(erasures)).all()
    unfinished = 0
    for row in left:
        with database.reading() as connection:
            copies = _list_copies_at(connection, row.pseudonym)
        # Asked before the rest: what is not under way now has said all that it will say.
        is_under_way = _is_under_way(database, row.pseudonym, copies, now)
        with database.writing() as connection:
            found = _leave_taken(connection, pseudonyms.unseal(row.sealed))
            for edition, reader in copies:
                for table in (deliveries, attempts):
                    _shorten_replies(connection, table, edition, reader)
            connection.execute(
                update(suppressions)
                .where(suppressions.c.email_key == row.pseudonym)
                .values(detail=TRACES)
            )
        if found:
            _replace_mentions(database, sorted(found), row.pseudonym)
        if is_under_way and now < row.until:
            unfinished += 1
        else:
            _forget_unfinished(database, row.pseudonym)
    return unfinished


def _keep_unfinished(
    connection: Connection,
    pseudonym: str,
    found: set[str],
    now: datetime,
    pseudonyms: Pseudonyms,
) -> None:
    """Keep what is looked for until it is certain that nothing names it any more."""
    mine = erasures.c.pseudonym == pseudonym
    before = connection.scalar(select(erasures.c.sealed).where(mine))
    if before is not None:
        found = found | _leave_taken(connection, pseudonyms.unseal(before))
        connection.execute(delete(erasures).where(mine))
    connection.execute(
        insert(erasures).values(
            pseudonym=pseudonym, sealed=pseudonyms.seal(found), until=now + _UNFINISHED_FOR
        )
    )


def _forget_unfinished(database: Database, pseudonym: str) -> None:
    with database.writing() as connection:
        connection.execute(delete(erasures).where(erasures.c.pseudonym == pseudonym))


def wipe_traces(
    database: Database, *, now: datetime, sleep: Callable[[float], None] = time.sleep
) -> bool:
    """Rewrite the database's file, if somebody was erased since that was done last.

    False where it cannot be done now, since an edition is being sent or somebody reads on.
    PostgreSQL frees the old rows' place; when it is written over is the server's to say.
    """
    with database.reading() as connection:
        if not connection.scalar(select(func.count()).where(_HAS_TRACES)):
            return True
        is_sending = connection.scalar(
            select(func.count()).where(runs.c.holder != "", runs.c.lease_until > now)
        )
    if is_sending or not (
        _rewrite_sqlite(database, sleep) if database.is_sqlite else _vacuum(database)
    ):
        return False
    with database.writing() as connection:
        connection.execute(update(suppressions).where(_HAS_TRACES).values(detail=""))
    return True


# -- 1: the reader's own rows ----------------------------------------------------------------------


def _list_copies_at(connection: Connection, key: str) -> set[_Copy]:
    """List the copies that bear an address; no index knows, so all are read."""
    _d = deliveries.c
    query = select(_d.edition_id, _d.subscriber_id).where(_d.email_key == key)
    return {(edition, reader) for edition, reader in connection.execute(query)}


def _list_copies_of(connection: Connection, number: int | None) -> set[_Copy]:
    """List a reader's copies by their keys, edition by edition."""
    _d = deliveries.c
    query = select(_d.edition_id, _d.subscriber_id).where(
        _d.edition_id.in_(select(editions.c.id)), _d.subscriber_id == number
    )
    return {(edition, reader) for edition, reader in connection.execute(query)}


def _list_old_addresses(connection: Connection, copies: set[_Copy]) -> set[str]:
    """List the addresses that a reader's copies went to."""
    _d = deliveries.c
    found = set()
    for edition, reader in copies:
        query = select(_d.email, _d.email_key).where(*_is_copy(deliveries, edition, reader))
        found |= {part.lower() for part in connection.execute(query).one()}
    return {part for part in found if not part.startswith(PREFIX)}


def _list_former_keys(connection: Connection, number: int | None) -> set[str]:
    """List the addresses that the reader gave up for another one."""
    _c = address_changes.c
    query = select(_c.former_key).where(_c.subscriber_id == number, _c.former_key != "")
    return set(connection.scalars(query))


def _leave_taken(connection: Connection, found: set[str]) -> set[str]:
    """Leave out addresses that are somebody else's by now."""
    taken = select(subscribers.c.email_key).where(subscribers.c.email_key.in_(found))
    return found - set(connection.scalars(taken))


def _take_name(connection: Connection, copies: set[_Copy], pseudonym: str) -> None:
    """Make copies nobody's: what is left is that there was one, and what became of it."""
    for edition, reader in copies:
        connection.execute(
            update(deliveries)
            .where(*_is_copy(deliveries, edition, reader))
            .values(email=pseudonym, email_key=pseudonym, name="", choices={}, fields={})
        )
        connection.execute(
            update(decisions).where(*_is_copy(decisions, edition, reader)).values(detail="")
        )
        for table in (deliveries, attempts):
            _shorten_replies(connection, table, edition, reader)


def _delete_reader(connection: Connection, number: int) -> None:
    connection.execute(
        delete(import_changes).where(
            import_changes.c.import_id.in_(select(imports.c.id)),
            import_changes.c.subscriber_id == number,
        )
    )
    connection.execute(delete(subscribers).where(subscribers.c.id == number))


def _is_copy(table: Table, edition: int, reader: int) -> tuple[Any, Any]:
    return table.c.edition_id == edition, table.c.subscriber_id == reader


def _shorten_replies(connection: Connection, table: Table, edition: int, reader: int) -> None:
    """Keep of a relay's words about them the codes: it may name them in its own way."""
    keys = list(table.primary_key)
    query = select(*keys, table.c.reply).where(*_is_copy(table, edition, reader))
    for row in connection.execute(query).all():
        codes = _CODES.match(row.reply)
        if codes and codes[0] != row.reply:
            connection.execute(update(table).where(*_is_row(keys, row)).values(reply=codes[0]))


def _is_row(keys: Sequence[Column[Any]], row: Any) -> list[Any]:
    return [key == value for key, value in zip(keys, row, strict=False)]


# -- 2 and 3: what else may name them --------------------------------------------------------------


def _is_under_way(database: Database, pseudonym: str, copies: set[_Copy], now: datetime) -> bool:
    """Tell whether a live sender has a message to them in its hands."""
    _d = deliveries.c
    query = select(
        exists().where(
            _d.edition_id.in_({edition for edition, _ in copies}),
            _d.subscriber_id.in_({reader for _, reader in copies}),
            _d.email_key == pseudonym,
            _d.state.in_(_UNDER_WAY),
            runs.c.edition_id == _d.edition_id,
            runs.c.holder != "",
            runs.c.lease_until > now,
        )
    )
    with database.reading() as connection:
        return bool(connection.scalar(query))


def may_name(column: Any, address: str) -> Any:
    """Find text that may name an address, whatever its capitals; surely none that does is missed.

    SQLite lowers ASCII letters alone, so of an address beyond ASCII a part is looked for.
    """
    part = max(_ASCII.findall(address), key=len)
    return func.lower(column).contains(part, autoescape=True)


def _replace_mentions(database: Database, addresses: Sequence[str], pseudonym: str) -> int:
    """Put the pseudonym wherever an address stands; all is read, and little is written."""
    pattern = re.compile("|".join(map(re.escape, addresses)), re.IGNORECASE)
    replaced = 0
    for table, names in NAMING:
        keys = list(table.primary_key)
        columns = [type_coerce(table.c[name], Text) for name in names]
        mentions = or_(*(may_name(column, address) for column in columns for address in addresses))
        with database.reading() as connection:
            rows = connection.execute(select(*keys, *columns).where(mentions)).all()
        if not rows:
            continue
        with database.writing() as connection:
            for row in rows:
                for name, value in zip(names, row[len(keys) :], strict=True):
                    if value and (said := pattern.sub(pseudonym, value)) != value:
                        column = table.c[name]
                        connection.execute(
                            update(table)
                            .where(*_is_row(keys, row), type_coerce(column, Text) == value)
                            .values({name: type_coerce(said, Text)})
                        )
                        replaced += 1
    return replaced


# -- 4: the file -----------------------------------------------------------------------------------

_HAS_TRACES = and_(suppressions.c.reason == "erased", suppressions.c.detail == TRACES)


def _rewrite_sqlite(database: Database, sleep: Callable[[float], None]) -> bool:
    """Write the file anew and empty its log; False while somebody else reads or writes."""
    with database.plain_words():
        pooled = database.engine.raw_connection()
        driver: Any = pooled.driver_connection
        try:
            driver.execute("VACUUM")
            # While it waits for readers it keeps writers out: so it never waits for long.
            driver.execute(f"PRAGMA busy_timeout = {int(1000 * _PAUSE_SECONDS)}")
            patience = _PATIENCE_SECONDS
            while driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:  # busy
                if patience <= 0:
                    return False
                sleep(_PAUSE_SECONDS)
                patience -= 2 * _PAUSE_SECONDS
        finally:
            driver.execute(f"PRAGMA busy_timeout = {int(1000 * BUSY_SECONDS)}")
            pooled.close()
    return True


def _vacuum(database: Database) -> bool:
    names = ", ".join(dict.fromkeys(table.name for table, _ in NAMING))
    with database.plain_words(), database.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text(f"VACUUM {names}"))
    return True
