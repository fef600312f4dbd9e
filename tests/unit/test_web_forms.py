"""What a form sends is read within bounds."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message

from newsletter.web.forms import read_number, read_pairs


def build(body: bytes, kind: str) -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", kind.encode())]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        ("999999999999999999", 999_999_999_999_999_999),
        ("0", 0),
        ("", 0),
        ("-1", 0),
        ("1.5", 0),
        ("\u0663", 0),
        ("\u00b2", 0),
        ("9" * 19, 0),
        ("9" * 5000, 0),
    ],
    ids=range(10),
)
def test_the_number_of_a_row_is_read_or_is_none(text: str, number: int) -> None:
    assert read_number(text) == number


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", b"note=a%00b&%00c=d"),
        (
            "multipart/form-data; boundary=x",
            (
                b'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\na\0b\r\n'
                b'--x\r\nContent-Disposition: form-data; name="c"\r\n\r\nd\r\n--x--\r\n'
            ),
        ),
    ],
    ids=("urlencoded", "multipart"),
)
def test_no_text_of_a_form_has_a_nul(kind: str, body: bytes) -> None:
    assert asyncio.run(read_pairs(build(body, kind))) == [("note", "ab"), ("c", "d")]
