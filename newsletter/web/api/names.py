"""Editions by their names: a date, and the kind where it is not the daily one."""

from __future__ import annotations

from datetime import date
from http import HTTPStatus

from sqlalchemy import Connection
from starlette.exceptions import HTTPException

from newsletter.editions.model import Kind, parse_edition_name
from newsletter.editions.shelf import EditionRecord, find_edition


def split_name(name: str) -> tuple[date, Kind]:
    """Read "2026-11-23" or "2026-11-23-weekly"; raises 404 for what is no name."""
    named = parse_edition_name(name)
    if named is None:
        raise HTTPException(
            HTTPStatus.NOT_FOUND, "An edition has a name such as 2026-11-23 or 2026-11-23-weekly."
        )
    return named


def read_named(connection: Connection, name: str) -> EditionRecord:
    """Find the edition of a name; raises 404."""
    record = find_edition(connection, *split_name(name))
    if record is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such edition.")
    return record
