"""Everything that is held about one address, as a document to hand to its owner."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, Table, Text, or_, select, type_coerce

from newsletter.audience.address import parse_address
from newsletter.audience.answers import list_answers_of
from newsletter.audience.erasure import NAMING, may_name
from newsletter.audience.pseudonyms import Pseudonyms
from newsletter.audience.suppression import find_suppression
from newsletter.store.tables import (
    address_changes,
    attempts,
    decisions,
    deliveries,
    editions,
    import_changes,
    imports,
    notices,
    reports,
    sign_ups,
    subscribers,
    wordings,
)

_OWN = {subscribers.name, deliveries.name, attempts.name, import_changes.name}
_OWN |= {address_changes.name, notices.name, sign_ups.name}


def read_holdings(
    connection: Connection, email: str, *, pseudonyms: Pseudonyms
) -> dict[str, Any] | None:
    """Give all that is held about an address, ready for JSON; None where it is nothing.

    Of who was erased that is when, and nothing else. Times are ISO 8601 in UTC. Raises
    `AudienceError` for what is no address.
    """
    address = parse_address(email)
    key = address.key
    row = connection.execute(
        select(subscribers).where(subscribers.c.email_key == key)
    ).one_or_none()
    kept_out = find_suppression(connection, key, pseudonyms=pseudonyms)
    copies = _list_copies(connection, key, None if row is None else row.id)
    mentions = _list_mentions(connection, {key, address.email.lower()})
    asked = _list_sign_ups(connection, key, None if row is None else row.id)
    mailed = _list_notices(connection, key)
    if row is None and kept_out is None and not (copies or mentions or asked or mailed):
        return None
    return {
        "address": key,
        "reader": None if row is None else _write(row),
        "brought_by": None if row is None else _describe_import(connection, row.import_id),
        "changed_by": [] if row is None else _list_changes(connection, row.id),
        "moved": [] if row is None else _list_moves(connection, row.id),
        "kept_out": kept_out
        and {
            "reason": kept_out.reason,
            "detail": kept_out.detail,
            "since": kept_out.since.isoformat(),
        },
        "signed_up": asked,
        "copies": copies,
        "answers": [] if row is None else list_answers_of(connection, row.id, pseudonyms),
        "notices": mailed,
        "mentioned": mentions,
    }


def _list_sign_ups(connection: Connection, key: str, number: int | None) -> list[dict[str, Any]]:
    """List how and when the reader signed up and confirmed, with the words of the forms."""
    _c = address_changes.c
    former = select(_c.former_key).where(_c.subscriber_id == number, _c.former_key != "")
    mine = or_(sign_ups.c.email_key == key, sign_ups.c.email_key.in_(former))
    query = select(sign_ups).where(mine).order_by(sign_ups.c.id)
    texts = {row.version: row.text for row in connection.execute(select(wordings))}
    return [
        {
            **_write(row),
            "wording_text": texts.get(row.wording, ""),
            "confirmed_wording_text": texts.get(row.confirmed_wording, ""),
        }
        for row in connection.execute(query)
    ]


def _list_notices(connection: Connection, key: str) -> list[dict[str, Any]]:
    """List the single mails to the address, but not the links in those that wait."""
    _n = notices.c
    shown = (_n.kind, _n.email, _n.language, _n.state, _n.attempts, _n.created_at, _n.changed_at)
    query = select(*shown, _n.reply).where(_n.email_key == key).order_by(_n.id)
    return [_write(row) for row in connection.execute(query)]


def _list_copies(connection: Connection, key: str, number: int | None) -> list[dict[str, Any]]:
    """List what was sent, or is to be sent, under this address or to this reader."""
    _d = deliveries.c
    mine = or_(_d.email_key == key, _d.subscriber_id == number)
    query = (
        select(editions.c.date, editions.c.kind, editions.c.subject, deliveries)
        .join_from(deliveries, editions, editions.c.id == _d.edition_id)
        .where(mine)
        .order_by(_d.edition_id)
    )
    return [
        {
            **_write(row),
            "tries": _list_of_copy(connection, row, attempts, attempts.c.number),
            "decisions": _list_of_copy(connection, row, decisions, decisions.c.id),
            "reports": _list_of_copy(connection, row, reports, reports.c.heard_at),
        }
        for row in connection.execute(query)
    ]


def _list_of_copy(
    connection: Connection, copy: Row[Any], table: Table, order: Any
) -> list[dict[str, Any]]:
    """List what a table has about one copy, in order."""
    query = (
        select(table)
        .where(table.c.edition_id == copy.edition_id, table.c.subscriber_id == copy.subscriber_id)
        .order_by(order)
    )
    return [_write(each) for each in connection.execute(query)]


def _list_changes(connection: Connection, number: int) -> list[dict[str, Any]]:
    """List what imports changed of a reader."""
    query = (
        select(imports.c.id, imports.c.file, imports.c.started_at, import_changes.c.changes)
        .join_from(imports, import_changes, imports.c.id == import_changes.c.import_id)
        .where(import_changes.c.subscriber_id == number)
        .order_by(imports.c.id)
    )
    return [_write(row) for row in connection.execute(query)]


def _list_moves(connection: Connection, number: int) -> list[dict[str, Any]]:
    """List the addresses that a reader had before, and those that they asked for."""
    _c = address_changes.c
    query = select(address_changes).where(_c.subscriber_id == number).order_by(_c.id)
    return [_write(row) for row in connection.execute(query)]


def _describe_import(connection: Connection, number: int | None) -> dict[str, Any] | None:
    """Say which import brought a reader."""
    columns = (*(imports.c.id, imports.c.file, imports.c.started_at), imports.c.consent_source)
    row = connection.execute(select(*columns).where(imports.c.id == number)).one_or_none()
    return None if row is None else _write(row)


def _list_mentions(connection: Connection, addresses: set[str]) -> list[dict[str, Any]]:
    """List other places that name the address: alerts, decisions, an import's file and the like."""
    found: list[dict[str, Any]] = []
    for table, names in NAMING:
        if table.name in _OWN:
            continue
        for name in names:
            column = type_coerce(table.c[name], Text)
            named = (may_name(column, address) for address in sorted(addresses))
            texts = connection.scalars(select(column).where(or_(*named)))
            found += [
                {"where": f"{table.name}.{name}", "text": said}
                for said in texts
                if any(address in said.lower() for address in addresses)
            ]
    return found


def _write(row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, (date, datetime)) else value
        for name, value in row._asdict().items()
    }
