"""Read what a form sends, within bounds: urlencoded or multipart (RFC 8058 §3.1 allows both)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Annotated
from urllib.parse import parse_qsl

from pydantic import Field
from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

MAX_FORM_BYTES = 16_384
_MAX_FIELDS = 100
TEAM_FORM_BYTES = 1_000_000
"""What somebody who is logged in may send: a whole brief, percent-encoded."""
_TEAM_FIELDS = 1_000

_MOST_NUMBER = 2**63 - 1
Number = Annotated[int, Field(ge=1, le=_MOST_NUMBER)]
"""What a row of the database can have for its number."""


def read_number(text: str) -> int:
    """Read the number of a row that somebody sent; 0, which no row has, for what is none."""
    is_one = text.isascii() and text.isdecimal() and len(text) < len(str(_MOST_NUMBER))
    return int(text) if is_one else 0


async def read_form(request: Request) -> Mapping[str, str]:
    """Read the fields of a form; the last of a name counts, files and what is no form do not.

    Nothing raises: a mail program's one click counts whatever else it sends with it.
    """
    pairs = await read_pairs(request)
    return dict(pairs)


async def read_pairs(request: Request, *, by_team: bool = False) -> list[tuple[str, str]]:
    """Read the fields of a form in their order, each as often as it was sent.

    NUL characters are left out: no text has one, and PostgreSQL keeps none.
    """
    pairs = await _read_any(request, by_team=by_team)
    return [(name.replace("\0", ""), value.replace("\0", "")) for name, value in pairs]


async def _read_any(request: Request, *, by_team: bool) -> list[tuple[str, str]]:
    most_bytes, most_fields = MAX_FORM_BYTES, _MAX_FIELDS
    if by_team:
        most_bytes, most_fields = TEAM_FORM_BYTES, _TEAM_FIELDS
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            return []
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _read_multipart(request, bytes(body), most_fields)
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=most_fields)
    except ValueError:
        return []


async def _read_multipart(request: Request, body: bytes, most_fields: int) -> list[tuple[str, str]]:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body
        yield b""

    try:
        parser = MultiPartParser(request.headers, stream(), max_files=0, max_fields=most_fields)
        form: FormData = await parser.parse()
    except (MultiPartException, FormParserError, KeyError, ValueError):
        return []
    return [(k, v) for k, v in form.multi_items() if not isinstance(v, UploadFile)]
