"""A segment → a condition on the rows of readers, for either database. Values are parameters.

Both keep choices and fields as JSON text. SQLite lowers ASCII letters alone, so a value is
compared in each way that its letters are usually written.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    Text,
    and_,
    cast,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB

from newsletter.audience.segment import AGES, LISTS, NONE, Age, Segment, Term
from newsletter.store.tables import deliveries, editions, subscribers

_S = subscribers.c


def build_condition(segment: Segment | None, now: datetime, *, is_sqlite: bool) -> Any:
    """Give the condition that a row of `subscribers` is in a segment; no segment is everybody."""
    if segment is None:
        return true()
    return and_(*(_build_term(term, now, is_sqlite) for term in segment.terms))


def _build_term(term: Term, now: datetime, is_sqlite: bool) -> Any:
    held = or_(*(_build_value(term.name, value, now, is_sqlite) for value in term.values))
    return not_(held) if term.negated else held


def _build_value(name: str, value: str | Age, now: datetime, is_sqlite: bool) -> Any:
    if name in AGES:
        return _build_age(name, value, now)
    assert isinstance(value, str)
    if name == "status":
        return _S.status == value.lower()
    if name in LISTS:
        return build_list(name, value, is_sqlite)
    column, _, key = name.rpartition(".")
    found = read_value(_S[column or "choices"], key, is_sqlite=is_sqlite)
    if value == NONE:
        return found == ""
    same = func.lower(found).in_(_spellings(value))
    if name == "language":
        return or_(same, func.lower(found).startswith(f"{value.lower()}-", autoescape=True))
    return same


def _spellings(value: str) -> list[str]:
    """Give a value's usual spellings, their ASCII letters lowered as SQLite does."""
    spelled = {value, value.lower(), value.upper(), value.capitalize(), value.title()}
    return sorted({"".join(c.lower() if c.isascii() else c for c in s) for s in spelled})


def read_value(column: Any, key: str, *, is_sqlite: bool) -> Any:
    """Read one value of a JSON object as text; "" where it has none."""
    document = type_coerce(column, Text)
    if is_sqlite:
        found = cast(func.json_extract(document, f'$."{key}"'), Text)
    else:
        found = cast(document, JSONB)[key].astext
    return func.coalesce(found, "")


def mentions(*names: str) -> Any:
    """Give the condition that a reader chose one of these, cheap where they chose nothing."""
    return says(*(f'"{name}":' for name in names))


def says(*texts: str) -> Any:
    """Give the condition that a reader's choices, as they are stored, hold one of these texts.

    By `replace`, since that looks for a text as it stands, and takes a third of LIKE's time.
    """
    choices = type_coerce(_S.choices, Text)
    return (choices != "{}") & or_(*(func.replace(choices, t, "") != choices for t in texts))


def build_list(name: str, value: str, is_sqlite: bool) -> Any:
    """Give the condition that a list among the choices holds a value."""
    document = type_coerce(_S.choices, Text)
    if value == NONE:
        if is_sqlite:
            return func.json_type(document, f'$."{name}"').is_(None)
        return cast(document, JSONB)[name].is_(None)
    items = (
        func.json_each(document, f'$."{name}"').table_valued("value")
        if is_sqlite
        else func.jsonb_array_elements_text(
            func.coalesce(cast(document, JSONB)[name], cast(literal("[]"), JSONB))
        ).table_valued("value")
    )
    return exists(
        select(literal(1))
        .select_from(items)
        .where(func.lower(cast(items.c.value, Text)).in_(_spellings(value)))
    )


def _build_age(name: str, value: str | Age, now: datetime) -> Any:
    if name == "active":
        return _build_activity(value, now)
    moment = _S.consent_at if name == "consent" else _S.created_at
    if isinstance(value, str):
        return moment.is_(None)
    is_in = moment < now - value.bound if value.is_longer else moment >= now - value.bound
    return and_(moment.is_not(None), is_in)


def _build_activity(value: str | Age, now: datetime) -> Any:
    """Ask when the relay last accepted a copy for a reader: one look-up an edition."""
    if isinstance(value, str):
        return ~_was_sent(None)
    lately = _was_sent(now - value.bound)
    return and_(~lately, _was_sent(None)) if value.is_longer else lately


def _was_sent(since: datetime | None) -> Any:
    _d, _e = deliveries.c, editions.c
    enrolled = select(_e.id).where(_e.dated_at.is_not(None))
    conditions = [_d.subscriber_id == _S.id, _d.state == "accepted"]
    if since is not None:
        conditions.append(_d.changed_at >= since)
        # Of editions that were sent before none counts, so a reader costs a few look-ups. What
        # an operator settles as accepted later counts from when its edition was sent.
        enrolled = enrolled.where(_e.sent_at.is_(None) | (_e.sent_at >= since))
    return exists().where(_d.edition_id.in_(enrolled), *conditions)
