"""Editions by their names: a date, and the kind where it is not the daily one."""

from __future__ import annotations

import re
from datetime import date
from http import HTTPStatus
from typing import cast

from sqlalchemy import Connection
from starlette.exceptions import HTTPException

from newsletter.editions.model import KINDS, Kind
from newsletter.editions.shelf import EditionRecord, find_edition

_NAME = re.compile(rf"(\d{{4}}-\d\d-\d\d)(?:-({'|'.join(KINDS)}))?", re.ASCII)


def split_name(name: str) -> tuple[date, Kind]:
    """Read "2026-11-23" or "2026-11-23-weekly"; raises 404 for what is no name."""
    found = _NAME.fullmatch(name)
    try:
        day = date.fromisoformat(found[1]) if found else None
    except ValueError:
        day = None
    if found is None or day is None:
        raise HTTPException(
            HTTPStatus.NOT_FOUND, "An edition has a name such as 2026-11-23 or 2026-11-23-weekly."
        )
    return day, cast("Kind", found[2] or "daily")


def read_named(connection: Connection, name: str) -> EditionRecord:
    """Find the edition of a name; raises 404."""
    record = find_edition(connection, *split_name(name))
    if record is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such edition.")
    return record
