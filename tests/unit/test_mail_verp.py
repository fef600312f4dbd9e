"""Return paths: each copy's own, forged by nobody, whatever happens to their case."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.errors import InputError
from newsletter.mail.tokens import Claim, Keyring
from newsletter.mail.verp import ReturnPaths, read_return_path

RING = Keyring([b"k" * 40])
PATTERN = "bounce+*@news.example"


def build(subscriber_id: int, edition_id: int, ring: Keyring = RING) -> str:
    paths = ReturnPaths(PATTERN, ring, ring.newest, list_id="daily", edition_id=edition_id)
    return paths.build(subscriber_id)


def read(address: str, ring: Keyring = RING, list_id: str = "daily") -> Claim:
    return read_return_path(address, PATTERN, keyring=ring, list_id=list_id)


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**32 - 1), st.booleans())
def test_it_names_the_copy_whatever_its_case(subscriber: int, edition: int, upper: bool) -> None:
    address = build(subscriber, edition)
    assert re.fullmatch(r"bounce\+[a-z2-7]{32}@news\.example", address)
    claim = Claim(subscriber_id=subscriber, edition_id=edition)
    assert read(address.upper() if upper else address) == claim


def test_every_changed_character_is_refused() -> None:
    address = build(5, 7)
    for index in range(len("bounce+"), len("bounce+") + 32):
        other = "a" if address[index] != "a" else "b"
        with pytest.raises(InputError):
            read(address[:index] + other + address[index + 1 :])


def test_other_lists_and_keys_are_refused_and_old_keys_honoured() -> None:
    address = build(5, 7)
    with pytest.raises(InputError):
        read(address, list_id="weekly")
    with pytest.raises(InputError):
        read(address, Keyring([b"x" * 40]))
    assert read(address, Keyring([b"x" * 40, b"k" * 40])) == Claim(5, 7)


@given(st.text(max_size=60))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        read(text)
    with pytest.raises(InputError):
        read(f"bounce+{text}@news.example")


def test_without_a_place_for_it_there_is_one_path_for_all() -> None:
    paths = ReturnPaths("b@news.example", RING, RING.newest, list_id="daily", edition_id=1)
    assert paths.build(1) == paths.build(2) == "b@news.example"
    with pytest.raises(InputError):
        read_return_path("b@news.example", "b@news.example", keyring=RING, list_id="daily")
