"""Cursors: where a page ends, opaque to whoever reads on from there."""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException

_DIGITS = 18


def read_cursor(cursor: str) -> int:
    """Read the number that a page ended with; raises 422 for what is no cursor of ours."""
    if not cursor.isascii() or not cursor.isdecimal() or len(cursor) > _DIGITS:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "This is no cursor of such a list.")
    return int(cursor)
