"""Codes by the vectors of their RFCs; delays; keys; roles."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from newsletter.errors import InputError
from newsletter.mail.tokens import Keyring
from newsletter.store import Database
from newsletter.store.audit import Actor
from newsletter.web.console.delays import (
    Bucket,
    charge,
    choose_buckets,
    decide_wait,
)
from newsletter.web.console.keys import end_key, find_key, list_keys, make_key
from newsletter.web.console.proofs import (
    Vault,
    check_password,
    find_step,
    hash_password,
    hash_recovery_code,
    is_password,
    make_code,
    make_recovery_codes,
)
from newsletter.web.console.roles import ROLES, may

RFC_SECRET = b"12345678901234567890"
BUCKET = Bucket(key="", free=5, most=timedelta(minutes=15))


@pytest.mark.parametrize(
    ("second", "code"),
    [  # RFC 6238, appendix B, the last six of its eight digits
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_the_rfc(second: int, code: str) -> None:
    assert make_code(RFC_SECRET, second // 30) == code
    assert make_code(RFC_SECRET, second // 30, hashlib.sha256) != code
    moment = datetime.fromtimestamp(second, UTC)
    assert find_step(RFC_SECRET, f"{code[:3]} {code[3:]}", moment, after=0) == second // 30


def test_a_code_is_good_once_and_for_its_neighbours() -> None:
    now = datetime(2026, 11, 23, 7, 0, 10, tzinfo=UTC)
    step = int(now.timestamp()) // 30
    for off, is_good in ((-2, False), (-1, True), (0, True), (1, True), (2, False)):
        found = find_step(RFC_SECRET, make_code(RFC_SECRET, step + off), now, after=0)
        assert (found == step + off) is is_good
    code = make_code(RFC_SECRET, step)
    assert find_step(RFC_SECRET, code, now, after=step) is None
    assert find_step(RFC_SECRET, "", now, after=0) is None
    assert find_step(RFC_SECRET, "éééééé", now, after=0) is None


def test_a_secret_is_read_again_with_an_older_key_and_with_no_other() -> None:
    old, new, other = b"o" * 32, b"n" * 32, b"x" * 32
    kept = Vault(Keyring([old])).make()
    secret = Vault(Keyring([old])).open(kept)
    assert secret is not None
    assert len(secret) == 20
    assert Vault(Keyring([new, old])).open(kept) == secret
    assert Vault(Keyring([other])).open(kept) is None
    assert Vault(Keyring([other])).open("") is None


def test_passwords() -> None:
    hashed = hash_password("seven quiet ferries")
    assert hashed.startswith("$argon2id$")
    assert is_password("seven quiet ferries", hashed)
    assert not is_password("seven quiet ferrie", hashed)
    assert not is_password("", "")
    for easy in ("short", "aaaaaaaaaaaaaa", "ada@news.example", "password1234567", "x" * 257):
        with pytest.raises(InputError):
            check_password(easy, name="Ada", email="ada@news.example")
    check_password("seven quiet ferries", name="Ada", email="ada@news.example")


def test_recovery_codes_are_read_as_people_type_them() -> None:
    code = make_recovery_codes()[0]
    assert hash_recovery_code(code) == hash_recovery_code(f" {code.upper().replace('-', ' ')} ")


def test_a_wait_doubles_up_to_a_most_and_is_forgotten() -> None:
    none = timedelta(0)
    waits = [decide_wait(n, none, BUCKET).total_seconds() for n in range(4, 18)]
    assert waits == [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    assert decide_wait(10, timedelta(seconds=10), BUCKET) == timedelta(seconds=6)
    assert decide_wait(10, timedelta(seconds=16), BUCKET) == none
    assert decide_wait(10_000, timedelta(days=1), BUCKET) == none


def test_guesses_from_everywhere_are_slowed_and_a_known_browser_is_not(
    database: Database, now: datetime
) -> None:
    let_through = 0
    for number in range(300):
        buckets = choose_buckets("ada@news.example", f"network {number}", "")
        with database.writing() as connection:
            let_through += not charge(connection, buckets, now)
    assert let_through == 101
    with database.writing() as connection:
        known = choose_buckets("ada@news.example", "network 1", "her browser")
        assert not charge(connection, known, now)
        assert charge(connection, choose_buckets("ada@news.example", "new", ""), now)
        later = now + timedelta(minutes=1)
        assert not charge(connection, choose_buckets("ada@news.example", "new", ""), later)


def test_a_key_is_for_its_scopes_until_it_is_ended(database: Database, now: datetime) -> None:
    actor = Actor(who="Ada")
    with database.writing() as connection:
        key = make_key(connection, "wire", ["briefs:read"], actor=actor, now=now)
        (kept,) = list_keys(connection)
        assert key not in repr(kept)
        found = find_key(connection, key, scope="briefs:read", now=now)
        assert found is not None
        assert found.name == "wire"
        assert find_key(connection, key, scope="send", now=now) is None
        assert find_key(connection, key[:-1], scope="briefs:read", now=now) is None
        assert end_key(connection, kept.id, actor=actor, now=now)
        assert not end_key(connection, kept.id, actor=actor, now=now)
        assert find_key(connection, key, scope="briefs:read", now=now) is None
        for name, scopes in (("", ["send"]), ("x", []), ("x", ["everything"])):
            with pytest.raises(InputError):
                make_key(connection, name, scopes, actor=actor, now=now)


def test_a_role_may_what_those_before_it_may() -> None:
    for rank, role in enumerate(ROLES):
        assert [may(role, need) for need in ROLES] == [n <= rank for n in range(len(ROLES))]
        assert may(role, "anyone")
