"""Header fields: whatever stands in a value, it stays one value of one field."""

from __future__ import annotations

import re
from email import policy
from email.header import decode_header, make_header
from email.parser import BytesParser
from email.utils import parseaddr

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from newsletter.mail.headers import (
    build_address_header,
    build_text_header,
    build_token_header,
    clean_text,
)

ADDRESS = "reader@example.org"
PAYLOAD = "=?utf-8?q?a=0D=0ABcc:_evil@x?="
NASTY = (
    PAYLOAD,
    "=?utf-8?b?YQ0KQmNjOiBldmlsQHg=?=",
    "a =?x?= b ?= =?",
    "a\r\nBcc: evil@x.example",
    "a\nBcc: evil@x.example\n\nbody",
    "a\rBcc: evil@x.example",
    "a\u2028Bcc: evil\u2029Bcc: evil\x85Bcc: evil\x0bBcc: evil\x0cBcc: evil",
    "\x00\x07\x1b[31mred\x7f\x9b",
    "\u202egnp.exe\u202c \u2066isolated\u2069 \ufeffBOM",
    "lone \ud800 surrogate \udfff",
    'He said "yes\\no", <b@x.example>, (comment); group: a@x.example, b@x.example;',
    '"',
    "\\",
    '"""""""""""""""""""""""""""""""""""""""""""""""""""""""""""""""""""""""""""""""""""""""""',
    "\\" * 58,
    ".",
    ",",
    "<>",
    "@",
    "a  b\u00a0\u3000c ",
    "x" * 57,
    "x" * 58,
    "x" * 59,
    "x" * 3000,
    "word " * 500,
    "Zoë Müller-Lüdenscheidt, Bürgerin der Stadt Köln und Umgebung seit vielen Jahren",
    "日本語のとても長い件名が七十五文字の制限を越えるまで続いていくのでここで折り返される",
    "👩‍👩‍👧‍👦" * 12,
    "مرحبا بالعالم",
    "Ⓐ ＜script＞ ＝cmd",
    "’; DROP TABLE readers; --",
    "${7*7} {{7*7}} %s %00 %0d%0aBcc:x",
    "NUL\x00 in the middle",
    "ends with a backslash\\",
    "=",
    "?=",
    "=?",
    "",
    "   ",
)
values = st.one_of(
    st.text(max_size=200),
    st.text(
        alphabet=st.sampled_from('=?utf-8qbQB\r\n\\"<>(),;:@. a\u00e9\U0001f600'), max_size=120
    ),
    st.lists(st.sampled_from(NASTY), max_size=3).map(" ".join),
)


def parse(field: bytes, modern: bool) -> tuple[list[str], str]:
    """Give the names of the fields that a receiver finds, and the first one's text, decoded."""
    parser = policy.default if modern else policy.compat32
    message = BytesParser(policy=parser).parsebytes(field + b"\r\n")
    value = str(message.values()[0])
    if not modern:
        value = str(make_header(decode_header(re.sub(r"\r?\n", "", value))))
    return message.keys(), value


def check_lines(field: bytes, *, unfoldable_bytes: int = 0) -> None:
    assert field.endswith(b"\r\n")
    lines = field.removesuffix(b"\r\n").split(b"\r\n")
    assert all(line[:1] == b" " for line in lines[1:]), "a continuation begins with a space"
    assert all(line.strip() for line in lines), "no line is blank"
    assert not re.search(rb"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n", field)
    assert max(map(len, lines)) <= max(78, unfoldable_bytes)
    for word in re.findall(rb"=\?[^?]*\?[^?]*\?[^?]*\?=", field):
        assert len(word) <= 75


@pytest.mark.parametrize("modern", [True, False], ids=["default", "compat32"])
@given(value=values)
@example(value=PAYLOAD)
def test_a_subject_is_read_back_as_it_was_cleaned(modern: bool, value: str) -> None:
    field = build_text_header("Subject", value)
    check_lines(field)
    assert field.isascii()
    names, text = parse(field, modern)
    assert names == ["Subject"]
    assert text.strip() == clean_text(value)


@pytest.mark.parametrize("value", NASTY)
def test_nasty_subjects(value: str) -> None:
    field = build_text_header("Subject", value)
    check_lines(field)
    for modern in (True, False):
        assert parse(field, modern) == (["Subject"], clean_text(value))


def read_mailbox(field: bytes, modern: bool) -> tuple[list[str], str, str]:
    if modern:
        message = BytesParser(policy=policy.default).parsebytes(field + b"\r\n")
        (mailbox,) = message["To"].addresses
        return message.keys(), mailbox.display_name, mailbox.addr_spec
    old = BytesParser(policy=policy.compat32).parsebytes(field + b"\r\n")
    name, address = parseaddr(re.sub(r"\r?\n", "", str(old["To"])))
    return old.keys(), str(make_header(decode_header(name))), address


def same_name(display: str, name: str, modern: bool) -> bool:
    """Compare; Python's modern parser keeps the blank between the encoded words of a phrase.

    RFC 2047 §6.2 has it dropped, as that parser does it in a subject.
    """
    if modern:
        return display.replace(" ", "") == clean_text(name).replace(" ", "")
    return display == clean_text(name)


@pytest.mark.parametrize("modern", [True, False], ids=["default", "compat32"])
@given(name=values)
@example(name=PAYLOAD)
def test_a_name_is_read_back_as_it_was_cleaned(modern: bool, name: str) -> None:
    field = build_address_header("To", name, ADDRESS)
    check_lines(field)
    assert field.isascii()
    names, display, address = read_mailbox(field, modern)
    assert (names, address) == (["To"], ADDRESS)
    assert same_name(display, name, modern)


@pytest.mark.parametrize("name", NASTY)
def test_nasty_names(name: str) -> None:
    field = build_address_header("To", name, ADDRESS)
    check_lines(field)
    for modern in (True, False):
        names, display, address = read_mailbox(field, modern)
        assert (names, address) == (["To"], ADDRESS)
        assert same_name(display, name, modern)


def test_a_local_part_beyond_ascii_stays_as_it_is() -> None:
    field = build_address_header("To", "Zoë", "zoë@example.org")
    assert field == "To: =?utf-8?b?Wm/Dqw==?= <zoë@example.org>\r\n".encode()


def test_a_long_address_stands_on_a_line_of_its_own() -> None:
    address = "l" * 64 + "@" + "d" * 185 + ".org"
    field = build_address_header("To", "Reader", address)
    check_lines(field, unfoldable_bytes=len(address) + 3)
    assert field.split(b"\r\n")[0] == b"To: Reader"


@pytest.mark.parametrize("value", NASTY)
def test_cleaned_text_is_one_harmless_line(value: str) -> None:
    cleaned = clean_text(value)
    assert cleaned == clean_text(cleaned)
    assert cleaned.splitlines() in ([], [cleaned])
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", cleaned)
    assert len(cleaned) <= 2000
    cleaned.encode()


def test_tokens_are_folded_and_never_encoded() -> None:
    tokens = [
        f"<https://news.example/{'a' * 80}>,",
        f"<mailto:unsubscribe@news.example?{'b' * 60}>",
    ]
    field = build_token_header("List-Unsubscribe", tokens)
    assert field.decode().split("\r\n") == [f"List-Unsubscribe: {tokens[0]}", f" {tokens[1]}", ""]
    with pytest.raises(UnicodeEncodeError):
        build_token_header("List-Unsubscribe", ["<https://нет.example>"])
