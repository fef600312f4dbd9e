"""How often links were followed is added up and told the same, on SQLite and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import delete, insert, select, update

from newsletter.briefs.model import Brief, Source
from newsletter.delivery.interest import (
    FEWEST,
    Followed,
    Interest,
    LinkInterest,
    SectionInterest,
    add_clicks,
    read_interest,
)
from newsletter.editions.content import edition_to_document
from newsletter.editions.model import Edition, Placing, Window
from newsletter.store import Database
from newsletter.store.tables import attempts, clicks, deliveries, runs
from newsletter.web.clicks import GRACE, Click, Register
from tests.contract.desk import Desk

URL = "https://news.example"
PORT = Followed(1, 1, "port.example/quay")
PAGE = Followed(1, 1, "/editions/2026-11-23#brief-1")
RAIL = Followed(1, 2, "rail.example/night")
SEED = Followed(1, 3, "seed.example/prices")


@pytest.fixture
def desk(backend: Database, now: datetime) -> Desk:
    return Desk(backend, now.replace(microsecond=0))


def send(desk: Desk, readers: int = FEWEST) -> int:
    """Give an edition of three briefs, in two sections, that so many readers were sent."""
    desk.store_readers(readers)
    edition_id, audience = desk.approve()
    assert audience == readers
    told = Edition(
        date=date(2026, 11, 23),
        window=Window(start=desk.now - timedelta(days=1), cut_off=desk.now),
        subject="Port",
        preheader="",
        briefs=tuple(
            Brief(title=title, summary="It did.", sources=(Source(name="a"),), topics=(topic,))
            for title, topic in (("Port", "Harbor"), ("Rail", "Harbor"), ("Seed", "Farms"))
        ),
        placings=(Placing(section="City"), Placing(section="City"), Placing()),
    )
    desk.set_edition(edition_id, content=edition_to_document(told), state="sent")
    with desk.database.writing() as connection:
        connection.execute(
            insert(attempts),
            [
                {
                    "edition_id": edition_id, "subscriber_id": number, "number": 1, "via": "relay",
                    "started_at": desk.now, "ended_at": desk.now + timedelta(minutes=number - 1),
                    "outcome": "accepted", "reply": "250 ok",
                }
                for number in range(1, readers + 1)
            ],
        )  # fmt: skip
        connection.execute(update(deliveries).values(state="accepted"))
    return edition_id


def add(desk: Desk, **counted: int) -> None:
    links = {"port": PORT, "page": PAGE, "rail": RAIL, "seed": SEED}
    with desk.database.writing() as connection:
        add_clicks(connection, {links[name]: number for name, number in counted.items()})


def look(desk: Desk) -> Interest | None:
    with desk.database.reading() as connection:
        return read_interest(connection, 1, url=URL)


def figures(desk: Desk) -> dict[Followed, int]:
    with desk.database.reading() as connection:
        rows = connection.execute(select(clicks)).all()
    return {Followed(row.edition_id, row.brief, row.link): row.number for row in rows}


def test_clicks_are_added_to_what_there_is(desk: Desk) -> None:
    send(desk, 1)
    add(desk, port=3, rail=1)
    add(desk, port=2, seed=5)
    assert figures(desk) == {PORT: 5, RAIL: 1, SEED: 5}
    many = {Followed(1, 1, f"{number}.example/"): number for number in range(1, 602)}
    for _ in range(2):
        with desk.database.writing() as connection:
            add_clicks(connection, many)
    assert sum(figures(desk).values()) == 11 + 2 * sum(many.values())


def test_processes_that_add_at_once_lose_none(desk: Desk) -> None:
    send(desk, 1)

    def work(number: int) -> None:
        for _ in range(10):
            order = (PORT, RAIL, SEED) if number % 2 else (SEED, RAIL, PORT)
            with desk.database.writing() as connection:
                add_clicks(connection, dict.fromkeys(order, 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert figures(desk) == {PORT: 40, RAIL: 40, SEED: 40}


def test_nothing_counts_before_an_edition_is_out_and_shortly_after(desk: Desk) -> None:
    send(desk, 3)
    register = Register(desk.database)
    soon, later = desk.now + GRACE - timedelta(seconds=1), desk.now + GRACE
    register.add([Click(PORT, desk.now), Click(PORT, soon), Click(RAIL, later)])
    unsent, gone = Followed(desk.store_edition(), 1, "x.example/"), Followed(99, 1, "x.example/")
    register.add([Click(unsent, later), Click(gone, later), Click(RAIL, later)])
    assert figures(desk) == {RAIL: 2}
    with desk.database.writing() as connection:  # what `db prune` leaves of it
        connection.execute(delete(attempts))
        connection.execute(update(runs).values(counts={"accepted": 3}))
    Register(desk.database).add([Click(RAIL, later)])
    assert figures(desk) == {RAIL: 3}


def link(brief: int, title: str, address: str, number: int) -> LinkInterest:
    return LinkInterest(brief=brief, title=title, address=address, clicks=number)


def test_an_edition_tells_its_sections_and_links(desk: Desk) -> None:
    send(desk)
    assert look(desk) is None
    add(desk, port=25, page=20, rail=40, seed=30)
    assert look(desk) == Interest(
        sections=(
            SectionInterest(
                section="City",
                clicks=85,
                links=(
                    link(2, "Rail", "https://rail.example/night", 40),
                    link(1, "Port", "https://port.example/quay", 25),
                    link(1, "Port", "https://news.example/editions/2026-11-23#brief-1", 20),
                ),
                others=0,
            ),
            SectionInterest(
                section="Farms",
                clicks=30,
                links=(link(3, "Seed", "https://seed.example/prices", 30),),
                others=0,
            ),
        )
    )


def test_what_is_small_is_not_told_by_section_nor_by_link(desk: Desk) -> None:
    send(desk)
    add(desk, port=15, page=7, rail=40, seed=12)
    told = look(desk)
    assert told == Interest(others=74), "with City alone Farms would be the difference"
    add(desk, seed=10)
    told = look(desk)
    assert told is not None
    assert [(s.section, s.clicks, s.others) for s in told.sections] == [
        ("City", 62, 22),
        ("Farms", 22, 0),
    ]
    assert [each.clicks for each in told.sections[0].links] == [40]
    assert told.clicks == 84


def test_an_edition_of_few_readers_or_clicks_tells_nothing(desk: Desk) -> None:
    send(desk, FEWEST)
    add(desk, port=5, seed=14)
    assert look(desk) == Interest()
    add(desk, port=100, seed=100)
    told = look(desk)
    assert told is not None
    assert told.clicks == 219
    desk.set_delivery(1, 1, state="bounced")
    assert look(desk) == Interest(), f"{FEWEST - 1} have it"
    for kept, is_told in ((FEWEST - 1, False), (FEWEST, True)):  # once deliveries are forgotten
        with desk.database.writing() as connection:
            connection.execute(delete(deliveries))
            connection.execute(update(runs).values(counts={"accepted": kept, "failed": 9}))
        assert (look(desk) == told) == is_told
