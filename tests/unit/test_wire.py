"""Quoted-printable pieces: whatever is joined in whatever order reads as what was put in."""

from __future__ import annotations

import quopri
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from newsletter.render.wire import LINE_BYTES, encode_text, encode_value

TRICKY = (
    "",
    " ",
    "\t",
    ".",
    "..",
    ".\n.\r\n.\r.",
    "From ",
    "From me\nFrom you\n",
    ">From ",
    "F",
    "Fr",
    "a" * 75,
    "a" * 76,
    "a" * 77,
    "a" * 74 + " ",
    "a" * 75 + " ",
    "a" * 75 + ".",
    "a" * 75 + "From here",
    "a" * 73 + "=",
    "a" * 74 + "é",
    "é" * 40,
    "😀" * 30,
    "trailing \nblanks\t\n \n",
    "=20",
    "=\r\n",
    "a=\n",
    "\x00\x0b\x0c\x85\u2028",
    "--=_boundary",
    "<p>x</p>\n",
)
text = st.one_of(
    st.text(max_size=200),
    st.text(alphabet=st.sampled_from("aF rom.=\t\n\ré😀"), max_size=250),
    st.lists(st.sampled_from(TRICKY), max_size=4).map("".join),
)


def decode(encoded: bytes) -> str:
    return quopri.decodestring(encoded).decode()


def with_crlf(value: str) -> str:
    return re.sub(r"\r\n|\r|\n", "\r\n", value)


def check_lines(encoded: bytes) -> None:
    assert encoded.isascii()
    assert encoded == b"" or encoded.endswith(b"\r\n")
    assert encoded.count(b"\r") == encoded.count(b"\n") == encoded.count(b"\r\n")
    for line in encoded.split(b"\r\n"):
        assert len(line) <= LINE_BYTES
        assert not line.startswith((b".", b"From "))
        assert not line.endswith((b" ", b"\t"))


@given(text)
@example("a" * 75 + ".")
def test_a_text_reads_as_it_was_written(value: str) -> None:
    encoded = encode_text(value)
    check_lines(encoded)
    assert decode(encoded) == with_crlf(value)


@given(text)
def test_a_value_reads_as_it_was_written_line_breaks_and_all(value: str) -> None:
    encoded = encode_value(value)
    check_lines(encoded)
    assert encoded.endswith(b"=\r\n")
    assert decode(encoded) == value


@given(text)
def test_the_last_text_ends_its_line(value: str) -> None:
    encoded = encode_text(value, ends=True)
    check_lines(encoded)
    whole = with_crlf(value)
    assert decode(encoded) == (whole if whole.endswith("\r\n") or not whole else whole + "\r\n")


@given(st.lists(st.tuples(st.sampled_from(["text", "value"]), text), max_size=6))
def test_any_run_of_pieces_reads_as_their_concatenation(pieces: list[tuple[str, str]]) -> None:
    encoded = b"".join(
        encode_text(value) if kind == "text" else encode_value(value) for kind, value in pieces
    )
    check_lines(encoded)
    expected = "".join(with_crlf(v) if kind == "text" else v for kind, v in pieces)
    assert decode(encoded) == expected


@pytest.mark.parametrize("value", TRICKY)
def test_tricky_pieces(value: str) -> None:
    for encoded in (encode_text(value), encode_value(value), encode_text(value, ends=True)):
        check_lines(encoded)
    assert decode(encode_text(value)) == with_crlf(value)
    assert decode(encode_value(value)) == value


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("Ada", b"Ada=\r\n"),
        ("", b"=\r\n"),
        (".hidden", b"=2Ehidden=\r\n"),
        ("From Ada", b"=46rom Ada=\r\n"),
        ("Ada ", b"Ada =\r\n"),
        ("Zoë", b"Zo=C3=AB=\r\n"),
        ("a=b", b"a=3Db=\r\n"),
        ("x" * 75, b"x" * 75 + b"=\r\n"),
        ("x" * 76, b"x" * 75 + b"=\r\nx=\r\n"),
    ],
)
def test_values_on_the_wire(value: str, encoded: bytes) -> None:
    assert encode_value(value) == encoded


def test_texts_on_the_wire() -> None:
    assert encode_text("one \ntwo") == b"one=20\r\ntwo=\r\n"
    assert encode_text("one\ntwo", ends=True) == b"one\r\ntwo\r\n"
    assert encode_text("tab\t\n") == b"tab=09\r\n"
