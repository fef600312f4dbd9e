"""What is asked of passkeys, and that whatever comes back is judged without a fault of ours."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from newsletter.errors import InputError
from newsletter.mail.tokens import Keyring
from newsletter.web.console.challenges import (
    ask_to_log_in,
    ask_to_make,
    check_made,
    check_signed,
    find_site,
    make_challenge,
    read_answer,
)
from newsletter.web.console.passkeys import Made
from tests.integration.console.authenticator import Authenticator, to_text

NOW = datetime(2026, 11, 26, 7, tzinfo=UTC)
SITE = find_site("https://news.example")
OLD, NEW = b"o" * 32, b"n" * 32
KEYS = Keyring([OLD])
JUNK: tuple[Any, ...] = (None, 1, [], {}, "", "A", "AAAA", "%%%", "א", "A" * 5_000, True)


def make(device: Authenticator) -> Made:
    return check_made(
        json.dumps(device.make(ask(device))), site=SITE, keyring=KEYS, browser="b", now=NOW
    )


def ask(device: Authenticator) -> str:
    challenge = make_challenge(KEYS, "add", "b", NOW)
    about = {"name": "Ada", "email": "ada@news.example", "handle": to_text(b"h" * 32)}
    return ask_to_make(SITE, challenge, publication="News", known=(), **about)


def sign(device: Authenticator) -> dict[str, Any]:
    return device.sign(ask_to_log_in(SITE, make_challenge(KEYS, "log in", "b", NOW)))


def judge(said: Any, made: Made, *, now: datetime = NOW, keyring: Keyring = KEYS) -> int:
    return check_signed(
        read_answer(json.dumps(said)),
        public_key=made.public_key,
        handle=to_text(b"h" * 32),
        site=SITE,
        keyring=keyring,
        browser="b",
        now=now,
    ).counter


@pytest.fixture
def device() -> Authenticator:
    return Authenticator("https://news.example", site="news.example", counter=3)


def test_what_was_asked_for_is_taken(device: Authenticator) -> None:
    made = make(device)
    assert (made.credential_id, made.counter) == (to_text(device.id), 3)
    device.counter = 7
    said = sign(device)
    assert judge(said, made) == 7
    assert judge(said, made, now=NOW + timedelta(seconds=299)) == 7
    assert judge(said, made, now=NOW - timedelta(seconds=59)) == 7, "the clock of another machine"
    assert judge(said, made, keyring=Keyring([NEW, OLD])) == 7, "the secret was changed since"
    with pytest.raises(InputError, match="was not asked that"):
        judge(said, made, keyring=Keyring([NEW]))


def test_junk_in_any_part_is_refused_in_a_sentence(device: Authenticator) -> None:
    made = make(device)
    for answer, check in (
        (sign(device), lambda said: judge(said, made)),
        (
            device.make(ask(device)),
            lambda said: check_made(
                json.dumps(said), site=SITE, keyring=KEYS, browser="b", now=NOW
            ),
        ),
    ):
        parts = [(name,) for name in answer] + [("response", name) for name in answer["response"]]
        for part in parts:
            for junk in JUNK:
                said = copy.deepcopy(answer)
                (said if len(part) == 1 else said["response"])[part[-1]] = junk
                with pytest.raises(InputError):
                    check(said)
        for junk in (*JUNK, "[" * 100_000):
            with pytest.raises(InputError):
                check(junk)


def test_junk_in_what_the_browser_says_is_refused_in_a_sentence(device: Authenticator) -> None:
    made, said = make(device), sign(device)
    for junk in (b"", b"1", b"{}", b"\xff", b"[" * 100_000, b'{"type":1,"challenge":2,"origin":3}'):
        said["response"]["clientDataJSON"] = to_text(junk)
        with pytest.raises(InputError):
            judge(said, made)


@pytest.mark.parametrize(
    ("origin", "name", "said"),
    [
        ("https://news.example", "news.example", ""),
        ("https://news.example:8443", "news.example", ""),
        ("http://localhost:8000", "localhost", ""),
        ("http://127.0.0.1:8000", "127.0.0.1", "an address: open http://localhost:8000 to use"),
        ("http://[::1]", "::1", "::1 is an address: open http://localhost to use one."),
        ("https://192.0.2.1", "192.0.2.1", "open the console by its name to use one."),
    ],
)
def test_a_passkey_is_bound_to_a_name(origin: str, name: str, said: str) -> None:
    site = find_site(origin)
    assert (site.origin, site.name) == (origin, name)
    assert said in site.fault
    assert bool(said) == bool(site.fault)
