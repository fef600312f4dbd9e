"""Passkeys on both databases: of many at once that sign the same, one is taken."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from sqlalchemy import func, select

from newsletter.mail.tokens import Keyring
from newsletter.store import Database
from newsletter.store.audit import Actor, list_entries, verify
from newsletter.store.tables import taken_challenges
from newsletter.web.console.members import add_member, disable_member
from newsletter.web.console.passkeys import (
    Holder,
    Made,
    Signed,
    add_passkey,
    count_passkeys,
    find_holder,
    give_handle,
    take,
)
from newsletter.web.console.proofs import Vault

TEST = Actor(who="test")
AT_ONCE = 4


def hold(backend: Database, now: datetime) -> Holder:
    """Have somebody on the team with one passkey, whose counter is 5."""
    vault = Vault(Keyring([b"k" * 32]))
    with backend.writing() as connection:
        ada, _ = add_member(
            connection, "Ada", "ada@news.example", "viewer", vault=vault, actor=TEST, now=now
        )
        made = Made(credential_id="id", public_key=b"key", counter=5, challenge=b"made")
        add_passkey(connection, ada, "Phone", made, site="news.example", actor=TEST, now=now)
        handle = give_handle(connection, ada)
        assert give_handle(connection, ada) == handle, "the same for all of their passkeys"
        holder = find_holder(connection, "id")
    assert holder is not None
    assert (holder.handle, holder.public_key) == (handle, b"key")
    return holder


def take_all(
    backend: Database, holder: Holder, signed: list[Signed], now: datetime
) -> Counter[str]:
    def one(each: Signed) -> str:
        with backend.writing() as connection:
            return take(connection, holder, each, actor=TEST, now=now)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return Counter(pool.map(one, signed))


def test_what_was_signed_is_taken_once(backend: Database, now: datetime) -> None:
    holder = hold(backend, now)
    said = [Signed(counter=6, challenge=b"once")] * AT_ONCE
    assert take_all(backend, holder, said, now) == {"taken": 1, "again": AT_ONCE - 1}
    later = now + timedelta(hours=23)
    said = [Signed(counter=7, challenge=b"once"), Signed(counter=7, challenge=b"made")]
    assert take_all(backend, holder, said, later) == {"again": 2}
    much_later = now + timedelta(days=2)
    said = [Signed(counter=8, challenge=b"another")]
    assert take_all(backend, holder, said, much_later) == {"taken": 1}
    with backend.reading() as connection:
        kept = connection.scalar(select(func.count()).select_from(taken_challenges))
    assert kept == 1, "what no challenge is good for any more is forgotten"


def test_two_that_count_alike_are_one_and_a_copy(backend: Database, now: datetime) -> None:
    holder = hold(backend, now)
    said = [Signed(counter=6, challenge=bytes([n])) for n in range(AT_ONCE)]
    assert take_all(backend, holder, said, now) == {"taken": 1, "copied": AT_ONCE - 1}
    with backend.reading() as connection:
        told = [each.detail for each in list_entries(connection, AT_ONCE - 1)]
        assert verify(connection).fault == ""
    assert told == ["Phone: its counter is 6 after 6"] * (AT_ONCE - 1)


def test_disabling_takes_passkeys_away(backend: Database, now: datetime) -> None:
    holder = hold(backend, now)
    with backend.writing() as connection:
        assert dict(count_passkeys(connection)) == {holder.kept.member.id: 1}
        assert disable_member(connection, holder.kept.member, actor=TEST, now=now)
        assert dict(count_passkeys(connection)) == {}
    assert take_all(backend, holder, [Signed(counter=6, challenge=b"x")], now) == {"again": 1}
