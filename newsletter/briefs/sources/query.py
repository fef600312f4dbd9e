"""Another database, asked by one SELECT: SQLite or PostgreSQL, and never written to.

It is the database that keeps the promise, not a look at the SQL. SQLite opens the file for
reading only and lets a statement do nothing but read; PostgreSQL runs it in a transaction that
is READ ONLY, over the protocol that takes one statement at a time. A role that may only read
is still the better lock: a function may do more than its name says.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date, datetime
from typing import Any
from urllib.parse import quote

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from newsletter.briefs.normalise import plain_line
from newsletter.briefs.sources.reading import Item, Reading, SourceContext
from newsletter.briefs.sources.record_parser import MAX_RECORDS
from newsletter.briefs.sources.records import parse_records
from newsletter.errors import SourceError
from newsletter.settings import BRIEF_PARTS, QuerySource, source_name

Row = Mapping[str, Any]

_READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
_STEPS_A_LOOK = 10_000  # of SQLite's machine, between two looks at the clock


def read_query(source: QuerySource, context: SourceContext) -> Reading:
    """Ask the database and make its rows briefs. Raises `SourceError`."""
    place = source_name(source)
    try:
        url = make_url(source.url)
    except ArgumentError:
        raise SourceError("the url cannot be read", file=place, mend="correct it") from None
    ask = _ask_sqlite if url.drivername == "sqlite" else _ask_postgres
    password = context.secret(source.password)
    rows: list[Row] = []
    problems: list[str] = []
    size_bytes = 0
    for row in ask(source, context, password):
        if not rows:
            _check_columns(row, place)
        kept = {part: _to_json(value) for part, value in row.items() if part in BRIEF_PARTS}
        size_bytes += len(json.dumps(kept))
        if len(rows) == source.max_rows or size_bytes > source.max_bytes:
            ceiling = "max_rows" if len(rows) == source.max_rows else "max_bytes"
            problems.append(f"{place}: has more than {len(rows)} rows within {ceiling}; raise it.")
            break
        rows.append(kept)
    items: list[Item] = []
    for start in range(0, len(rows), MAX_RECORDS):
        records = parse_records(
            json.dumps(rows[start : start + MAX_RECORDS]).encode(),
            items="",
            fields={},
            url="",
            place=place,
            vocabulary=context.vocabulary,
        )
        items += records.items
        problems += records.problems
    return Reading(items=tuple(items), problems=tuple(problems))


def _ask_sqlite(source: QuerySource, context: SourceContext, password: str) -> Iterator[Row]:
    place = source_name(source)
    path = (context.root / (make_url(source.url).database or "")).absolute()
    seconds = source.timeout.total_seconds()
    deadline = time.monotonic() + seconds
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=seconds)
        ) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.row_factory = sqlite3.Row
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            connection.set_authorizer(
                lambda action, *_: sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY
            )
            connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_A_LOOK)
            cursor = connection.execute(source.sql)
            if cursor.description is None:
                raise SourceError("the SQL asks for nothing", file=place, mend="write one SELECT")
            for row in cursor:
                yield dict(zip(row.keys(), row, strict=True))
    except sqlite3.Warning:
        raise SourceError("the SQL is more than one statement", file=place) from None
    except sqlite3.Error as error:
        said = str(error)
        if said == "interrupted":
            raise SourceError(f"did not answer within {seconds:g} seconds", file=place) from None
        if said == "not authorized" or "prohibited" in said:
            raise SourceError(
                "the SQL does more than read", file=place, mend="write one SELECT"
            ) from None
        raise SourceError(_said(said), file=place) from None


def _ask_postgres(source: QuerySource, context: SourceContext, password: str) -> Iterator[Row]:
    place = source_name(source)
    try:
        import psycopg
        from psycopg.rows import dict_row
    except ImportError:
        raise SourceError(
            "PostgreSQL needs the extra `postgres`",
            file=place,
            mend='run: pip install "newsletter[postgres]"',
        ) from None
    seconds = source.timeout.total_seconds()
    deadline = time.monotonic() + seconds
    try:
        with psycopg.connect(
            source.url,
            password=password or None,
            connect_timeout=max(2, int(seconds)),
        ) as connection:
            connection.read_only = True
            limit = f"{seconds * 1000:.0f}"
            connection.execute(
                "SELECT set_config('statement_timeout', %s, true)"
                ", set_config('lock_timeout', %s, true)",
                (limit, limit),
            )
            # Rows come as they are asked for, and DECLARE takes one SELECT and nothing else.
            with connection.cursor("briefs", row_factory=dict_row) as cursor:
                cursor.itersize = 100
                cursor.execute(source.sql.strip().rstrip(";").encode())
                for row in cursor:
                    yield row
                    if time.monotonic() > deadline:
                        raise psycopg.errors.QueryCanceled
    except psycopg.errors.QueryCanceled:
        raise SourceError(f"did not answer within {seconds:g} seconds", file=place) from None
    except psycopg.errors.LockNotAvailable:
        raise SourceError(f"was locked for {seconds:g} seconds", file=place) from None
    except psycopg.Error as error:
        said = error.diag.message_primary or str(error).partition("\n")[0]
        said = said.replace(password, "…") if password else said
        raise SourceError(_said(said), file=place) from None


def _said(said: str) -> str:
    return f"cannot be asked ({plain_line(said)[:300]})"


def _check_columns(row: Row, place: str) -> None:
    names: Sequence[str] = tuple(row)
    if "title" not in names or not {"summary", "content"} & {*names}:
        raise SourceError(
            f"the columns are {', '.join(map(plain_line, names))}",
            file=place,
            mend="call one title and one summary (or content): SELECT headline AS title, …",
        )


def _to_json(value: Any) -> Any:
    match value:
        case datetime() | date():
            return value.isoformat()
        case bytes() | memoryview():
            return bytes(value).decode("utf-8", "replace")
        case None | bool() | int() | float() | str() | list() | dict():
            return value
    return str(value)
