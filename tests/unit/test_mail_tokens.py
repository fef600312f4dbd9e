"""Tokens: what was signed is read, and nothing else is."""

from __future__ import annotations

import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.errors import ConfigurationError, InputError
from newsletter.mail.tokens import (
    Claim,
    Keyring,
    LinkClaim,
    Purpose,
    TokenSigner,
    read_link,
    read_token,
    sign_link,
)

OLD, NEW = b"old key " * 5, b"new key " * 5
RING = Keyring([NEW, OLD])
LIST = "daily.news.example"
ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


def sign(
    subscriber_id: int = 7,
    edition_id: int = 3,
    purpose: Purpose = Purpose.UNSUBSCRIBE,
    ring: Keyring = RING,
) -> str:
    signer = TokenSigner(ring, ring.newest, purpose, list_id=LIST, edition_id=edition_id)
    return signer.sign(subscriber_id)


def read(
    token: str, purpose: Purpose = Purpose.UNSUBSCRIBE, ring: Keyring = RING, list_id: str = LIST
) -> Claim:
    return read_token(token, purpose, keyring=ring, list_id=list_id)


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**32 - 1), st.sampled_from(Purpose))
def test_what_was_signed_is_read(subscriber_id: int, edition_id: int, purpose: Purpose) -> None:
    token = sign(subscriber_id, edition_id, purpose)
    assert len(token) == 43
    assert set(token) <= set(ALPHABET)
    assert read(token, purpose) == Claim(subscriber_id, edition_id)
    assert token == sign(subscriber_id, edition_id, purpose)


def test_every_flipped_bit_is_refused() -> None:
    raw = base64.urlsafe_b64decode(sign() + "=")
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InputError):
            read(base64.urlsafe_b64encode(bytes(flipped)).rstrip(b"=").decode())


def test_a_second_spelling_of_the_same_bytes_is_refused() -> None:
    token = sign()
    last = ALPHABET.index(token[-1])
    raw = base64.urlsafe_b64decode(token + "=")
    spellings = [token[:-1] + ALPHABET[last ^ spare] for spare in (1, 2, 3)]
    for spelling in spellings:
        assert base64.urlsafe_b64decode(spelling + "=") == raw, "the test has lost its point"
    plus = next(t for n in range(1000) if {"-", "_"} & set(t := sign(n)))
    spellings.append(plus.replace("-", "+").replace("_", "/"))
    for spelling in spellings:
        with pytest.raises(InputError):
            read(spelling)


def test_a_token_serves_one_purpose_and_one_list() -> None:
    with pytest.raises(InputError):
        read(sign(purpose=Purpose.UNSUBSCRIBE), Purpose.PREFERENCES)
    with pytest.raises(InputError):
        read(sign(purpose=Purpose.PREFERENCES), Purpose.UNSUBSCRIBE)
    with pytest.raises(InputError):
        read(sign(), list_id="weekly.news.example")


def test_the_purpose_within_cannot_be_rewritten() -> None:
    raw = bytearray(base64.urlsafe_b64decode(sign() + "="))
    raw[0:1] = Purpose.PREFERENCES.value
    with pytest.raises(InputError):
        read(base64.urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode(), Purpose.PREFERENCES)


def test_an_old_key_is_honoured_while_it_is_in_the_ring() -> None:
    before = Keyring([OLD])
    token = sign(ring=before)
    assert read(token, ring=RING) == Claim(7, 3)
    with pytest.raises(InputError):
        read(token, ring=Keyring([NEW]))
    with pytest.raises(InputError):
        read(token, ring=Keyring([b"another " * 5]))


def test_an_edition_whose_key_is_gone_says_which_to_put_back() -> None:
    lost = Keyring([OLD]).newest
    with pytest.raises(ConfigurationError) as caught:
        TokenSigner(Keyring([NEW]), lost, Purpose.UNSUBSCRIBE, list_id=LIST, edition_id=3)
    assert lost.hex() in str(caught.value)
    assert "NEWSLETTER_SECRET_KEY" in str(caught.value)
    assert OLD.decode() not in str(caught.value)


def test_the_newest_key_signs() -> None:
    assert RING.newest == Keyring([NEW]).newest
    assert sign() == sign(ring=Keyring([NEW]))
    assert sign() != sign(ring=Keyring([OLD]))


@given(st.one_of(st.text(max_size=80), st.text(ALPHABET + "=+/", min_size=43, max_size=43)))
def test_any_other_text_is_refused_in_one_way(token: str) -> None:
    with pytest.raises(InputError, match="damaged or not one of ours"):
        read(token)


@pytest.mark.parametrize(
    "token", ["", "=" * 43, "A" * 43, "A" * 42 + "=", "A" * 42 + "\n", "é" * 43, "\ud800" * 43]
)
def test_texts_that_only_look_like_tokens(token: str) -> None:
    with pytest.raises(InputError):
        read(token)


def test_a_keyring_shows_no_secret() -> None:
    for shown in (repr(RING), str(RING), f"{RING}"):
        assert "old key" not in shown
        assert "new key" not in shown
        assert RING.newest.hex() in shown


def test_keys_of_different_uses_differ() -> None:
    keys = {RING.derive(RING.newest, use) for use in (b"u", b"p", b"message-id")}
    assert len(keys) == 3


# -- links -------------------------------------------------------------------------------------

WIRE = "wire.example/story?a=1&b=2"
HERE = LinkClaim(3, 2)


def sign_it(
    link: str = WIRE, claim: LinkClaim = HERE, ring: Keyring = RING, list_id: str = LIST
) -> str:
    return sign_link(link, claim, keyring=ring, list_id=list_id)


def leads(token: str, link: str = WIRE, ring: Keyring = RING, list_id: str = LIST) -> bool:
    try:
        read_link(token, link, keyring=ring, list_id=list_id)
    except InputError:
        return False
    return True


@given(st.text(), st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1))
def test_a_link_that_was_signed_is_read(link: str, edition_id: int, brief: int) -> None:
    token = sign_it(link, LinkClaim(edition_id, brief))
    assert len(token) == 35
    assert set(token) <= set(ALPHABET)
    assert read_link(token, link, keyring=RING, list_id=LIST) == LinkClaim(edition_id, brief)
    assert token == sign_it(link, LinkClaim(edition_id, brief)), "every reader has the same"


def test_a_token_leads_nowhere_else() -> None:
    token = sign_it()
    assert leads(token)
    for other in ("", WIRE + "x", WIRE[:-1], "evil.example/", WIRE.upper()):
        assert not leads(token, other)
    assert not leads(token, list_id="other.example")
    assert not leads(token, ring=Keyring([b"another " * 5]))
    assert not leads(token + "A")
    assert not leads(token[:-1])
    raw = base64.urlsafe_b64decode(token + "=")
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not leads(base64.urlsafe_b64encode(bytes(flipped)).rstrip(b"=").decode())
    spellings = [token[:-1] + letter for letter in ALPHABET if letter != token[-1]]
    assert not any(map(leads, spellings))


def test_where_list_and_link_meet_cannot_be_moved() -> None:
    token = sign_it("b/c", list_id="a")
    assert not leads(token, "/c", list_id="ab")


def test_a_links_token_outlives_a_rotation_and_can_do_nothing_else() -> None:
    old = sign_it(ring=Keyring([OLD]))
    assert leads(old)
    assert old != sign_it()
    for purpose in Purpose:
        with pytest.raises(InputError):
            read(old, purpose)
    assert not leads(sign())
