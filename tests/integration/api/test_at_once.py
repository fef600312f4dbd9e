"""Of two changes that saw the same, one is made: on PostgreSQL, where both may be under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import select

from newsletter.audience.address import parse_address
from newsletter.audience.entry import Entry
from newsletter.audience.moving import ask_to_move, move
from newsletter.audience.subscribers import add_subscriber, read_subscriber
from newsletter.store import open_database
from newsletter.store.tables import address_changes, audit_head
from newsletter.web.app import serving
from tests.audience import PSEUDONYMS
from tests.contract.aside import Aside
from tests.integration.api.stage import Stage, closing
from tests.postgres import open_schema

pytestmark = pytest.mark.postgres


@pytest.fixture
def shared(stage: Stage, postgres_url: str, tmp_path: Path) -> Iterator[Stage]:
    """The same publication with a database that takes several writers."""
    with open_schema(postgres_url) as url:
        database = open_database(url)
        press = replace(stage.press, database=database)
        with serving(press, "127.0.0.1:0") as address:
            opened = Stage(
                address=address,
                database=database,
                clock=stage.clock,
                press=press,
                outbox=tmp_path / "outbox",
            )
            with closing(opened):
                yield opened
        database.close()


def change_twice(
    stage: Stage, path: str, change: Callable[[httpx2.Client, str], httpx2.Response]
) -> list[int]:
    """Have two programs change what they saw alike, both at once; give what was answered."""

    def begin(name: str) -> Aside:
        program = stage.program()
        program.headers["If-Match"] = etag
        return Aside(lambda: change(program, name).status_code)

    etag = stage.program().get(path).headers["etag"]
    changes = [begin("Ada"), begin("Bea")]
    with stage.database.writing() as connection:
        connection.execute(select(audit_head).with_for_update())  # what a change writes last
        for each in changes:
            each.start()
            assert each.waits()
    return sorted(each.result() for each in changes)


def test_of_two_that_change_a_reader_they_saw_alike_the_second_is_refused(shared: Stage) -> None:
    entry = Entry(address=parse_address("ada@example.org"), consent_source="desk")
    now = shared.clock.now
    reader = add_subscriber(shared.database, entry, now=now, pseudonyms=PSEUDONYMS)
    path = f"audience/{reader.id}"
    answers = change_twice(
        shared, path, lambda client, name: client.patch(path, json={"name": name})
    )
    assert answers == [200, 412]


def test_who_is_removed_while_they_move_is_kept_out_at_the_new_address(shared: Stage) -> None:
    program, new, now = shared.program(), parse_address("new@example.org"), shared.clock.now
    entry = Entry(address=parse_address("ada@example.org"), consent_source="desk")
    reader = add_subscriber(shared.database, entry, now=now, pseudonyms=PSEUDONYMS)
    with shared.database.writing() as connection:
        ask_to_move(connection, reader.id, new, now)
        wish = connection.execute(select(address_changes.c.id)).scalar_one()
    removing = Aside(lambda: program.delete(f"audience/{reader.id}").status_code)
    with shared.database.writing() as connection:
        assert move(connection, wish, now=now, pseudonyms=PSEUDONYMS)
        removing.start()
        assert removing.waits()
    assert removing.result() == 204
    with shared.database.reading() as connection:
        moved = read_subscriber(connection, new.key)
    assert moved is not None
    assert moved.status == "unsubscribed"


def test_of_two_that_change_a_brief_they_saw_alike_the_second_is_refused(shared: Stage) -> None:
    def write(title: str) -> dict[str, str]:
        return {"title": title, "summary": f"What {title} did at the harbor on that long day."}

    brought = shared.program().post("briefs", json=write("Eve"))
    path = f"briefs/{brought.json()['id']}"
    answers = change_twice(shared, path, lambda client, name: client.put(path, json=write(name)))
    assert answers == [200, 412]
