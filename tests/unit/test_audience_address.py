from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.audience.address import build_key, format_excerpt, parse_address, split_mailbox
from newsletter.errors import AudienceError


@pytest.mark.parametrize(
    ("text", "email"),
    [
        ("ana@reader.example", "ana@reader.example"),
        ("ana@example", "ana@example"),
        ("ana@example.com", "ana@example.com"),
        (" \tana@reader.example\r\n", "ana@reader.example"),
        ("\ufeffana@reader.example\u200b\u00a0", "ana@reader.example"),
        ("Ana.Souza+News@Reader.Example", "Ana.Souza+News@reader.example"),
        ("o'brien=x/y!#$%&*?^_`{|}~-@reader.example", "o'brien=x/y!#$%&*?^_`{|}~-@reader.example"),
        ("=1+1@reader.example", "=1+1@reader.example"),
        ("jörg@reader.example", "jörg@reader.example"),
        ("jo\u0308rg@reader.example", "jörg@reader.example"),
        ("ana@münchen.example", "ana@xn--mnchen-3ya.example"),
        ("ana@MÜNCHEN.example", "ana@xn--mnchen-3ya.example"),
        ("ana@xn--mnchen-3ya.example", "ana@xn--mnchen-3ya.example"),
        ("ana@例え。example", "ana@xn--r8jz45g.example"),
        ("ana@r3---sn.example", "ana@r3---sn.example"),
        ("x" * 64 + "@reader.example", "x" * 64 + "@reader.example"),
    ],
)
def test_accepts_what_can_be_mailed(text: str, email: str) -> None:
    assert parse_address(text).email == email


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", 'no "@"'),
        ("ana.reader.example", 'no "@"'),
        ("@reader.example", "before the @"),
        ("ana@", "after the @"),
        ("ana@b@reader.example", "more than one @"),
        ("ana souza@reader.example", "a space"),
        ("<ana@reader.example>", "holds <"),
        ("ana@reader.example>", "not a domain name"),
        ("ana@reader.example,bo@reader.example", "more than one @"),
        ("ana,bo@reader.example", "several addresses"),
        ('"ana souza"@reader.example', "quoted"),
        (".ana@reader.example", "a dot"),
        ("ana.@reader.example", "a dot"),
        ("an..a@reader.example", "a dot"),
        ("ana\x00@reader.example", "U+0000"),
        ("ana\r\nBcc: x@reader.example", "U+000D"),
        ("ana\x85x@reader.example", "U+0085"),
        ("ana\u2028x@reader.example", "U+2028"),
        ("ana\u2029x@reader.example", "U+2029"),
        ("ana\u202ex@reader.example", "U+202E"),
        ("ana\u200bx@reader.example", "U+200B"),
        ("ana\u3000x@reader.example", "U+3000"),
        ("ana\ufffdx@reader.example", "U+FFFD"),
        ("ana\udc81x@reader.example", "U+DC81"),
        ("x" * 65 + "@reader.example", "64 octets"),
        ("ü" * 33 + "@reader.example", "64 octets"),
        ("ana@" + "x" * 250 + ".example", "254 characters"),
        ("ana@" + "ü" * 60 + ".example", "RFC 5891"),
        ("ana@" + "x" * 64 + ".example", "not a domain name"),
        ("ana@localhost", "no dot"),
        ("ana@reader..example", "not a domain name"),
        ("ana@reader.example.", "not a domain name"),
        ("ana@-reader.example", "not a domain name"),
        ("ana@rea_der.example", "not a domain name"),
        ("ana@rea der.example", "not a domain name"),
        ("ana@reader.example\x00.example", "not a domain name"),
        ("ana@192.0.2.1", "ends in a number"),
        ("ana@[192.0.2.1]", "IP address"),
        ("ana@xn--a.example", "RFC 5891"),
        ("ana@rea\u2028der.example", "RFC 5891"),
        ("ana@\udc81.example", "RFC 5891"),
    ],
)
def test_refuses_the_rest_with_the_reason_and_the_mend(text: str, reason: str) -> None:
    with pytest.raises(AudienceError) as refusal:
        parse_address(text)
    assert reason in str(refusal.value)
    assert refusal.value.field == "email"
    assert refusal.value.mend
    assert str(refusal.value).isprintable()


def test_key_ignores_case_form_and_the_way_a_domain_is_written() -> None:
    forms = ["Jörg@München.example", "JO\u0308RG@xn--mnchen-3ya.EXAMPLE", " jörg@münchen.example "]
    assert {parse_address(form).key for form in forms} == {"jörg@xn--mnchen-3ya.example"}


def test_a_long_domain_is_measured_in_its_mailed_form() -> None:
    address = "x" * 60 + "@" + ("ü" * 20 + ".") * 7 + "example"
    assert len(address) < 254
    with pytest.raises(AudienceError, match="254 octets"):
        parse_address(address)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Ana Souza <ana@reader.example>", ("Ana Souza", "ana@reader.example")),
        (' "Souza, Ana"  <ana@reader.example> ', ("Souza, Ana", "ana@reader.example")),
        ("<ana@reader.example>", ("", "ana@reader.example")),
        ("ana@reader.example", ("", "ana@reader.example")),
        ("a <b@c.example> <d@e.example>", ("", "a <b@c.example> <d@e.example>")),
    ],
)
def test_splits_a_name_from_its_address(text: str, parts: tuple[str, str]) -> None:
    assert split_mailbox(text) == parts


def test_excerpts_are_short_and_visible() -> None:
    assert format_excerpt("a\x1b[31m\u202eb") == '"a\\u001b[31m\\u202eb"'
    assert len(format_excerpt("x" * 1000)) < 70


_LOCAL = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
_DOMAIN = st.text(
    st.one_of(st.sampled_from("abcxyz019-.üßş。"), st.characters(codec="utf-8")), max_size=30
)


@given(_LOCAL, _DOMAIN)
def test_any_text_is_a_stable_address_or_a_named_error(local: str, domain: str) -> None:
    try:
        address = parse_address(f"{local}@{domain}.example")
    except AudienceError:
        return
    assert parse_address(address.email) == address
    assert build_key(address.key) == address.key
    assert len(address.email.encode()) <= 254
    assert address.email.rpartition("@")[2].isascii()
    assert address.email.count("@") == 1
    assert not any(unicodedata.category(c)[0] in "CZ" for c in address.email)


@given(st.characters(codec="utf-8"))
def test_a_key_is_its_own_key(character: str) -> None:
    key = build_key(f"a{character}b@reader.example")
    assert build_key(key) == key
