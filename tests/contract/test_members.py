"""The team on both databases: whatever is said at once, somebody is left to let others in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Barrier

from sqlalchemy import update

from newsletter.errors import RefusedError
from newsletter.mail.tokens import Keyring
from newsletter.store import Database
from newsletter.store.audit import Actor
from newsletter.store.tables import members
from newsletter.web.console.members import (
    add_member,
    change_role,
    disable_member,
    find_member,
    list_members,
)
from newsletter.web.console.proofs import Vault

TEST = Actor(who="test")
ROUNDS = 10


def test_two_admins_who_put_each_other_out_leave_one(backend: Database, now: datetime) -> None:
    vault = Vault(Keyring([b"k" * 32]))
    for number in range(ROUNDS):
        with backend.writing() as connection:
            for name in (f"Ada {number}", f"Bea {number}"):
                email = f"{name.replace(' ', '')}@news.example"
                add_member(connection, name, email, "admin", vault=vault, actor=TEST, now=now)
            connection.execute(update(members).values(password="set up"))
        both = Barrier(2)

        def put_out(name: str, way: int, both: Barrier = both) -> str:
            both.wait()
            try:
                with backend.writing() as connection:
                    member = find_member(connection, name)
                    if way % 2:
                        disable_member(connection, member, actor=TEST, now=now)
                    else:
                        change_role(connection, member, "viewer", actor=TEST, now=now)
            except RefusedError as refused:
                return str(refused)
            return ""

        with ThreadPoolExecutor(2) as pool:
            names = (f"Ada {number}", f"Bea {number}")
            said = list(pool.map(put_out, names, (number, number + 1)))
        with backend.reading() as connection:
            left = [each for each in list_members(connection) if each.role == "admin"]
        admins = [each.name for each in left if each.state == "active"]
        assert len(admins) == 1, said
        assert sum("last admin" in each for each in said) == 1
        with backend.writing() as connection:  # they make room for the next two
            connection.execute(update(members).values(role="viewer"))
