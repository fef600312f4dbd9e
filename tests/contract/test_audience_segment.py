"""A segment finds the same readers in both databases, and those that its words mean."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from newsletter.audience.reader import Choices, Subscriber
from newsletter.audience.segment import Age, Term, parse_segment
from newsletter.audience.subscribers import Selection, count_subscribers, list_subscribers
from newsletter.delivery.audience import Audience
from newsletter.delivery.ledger import Ledger
from newsletter.store import Database
from newsletter.store.tables import deliveries, editions, subscribers
from tests.contract.desk import Desk

NOW = datetime(2026, 6, 1, 6, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def desk(backend: Database) -> Desk:
    return Desk(backend, NOW)


def found(database: Database, text: str) -> list[int]:
    which = Selection(segment=parse_segment(text), now=NOW)
    numbers = [reader.id for reader in list_subscribers(database, which)]
    assert count_subscribers(database, which) == len(numbers)
    return numbers


READERS: tuple[dict[str, Any], ...] = (
    {
        "choices": {"topics": ["Economy", "world news"], "language": "pt-BR", "minutes": 5},
        "fields": {"city": "New York"},
        "consent_at": NOW - 10 * DAY,
    },
    {
        "choices": {"topics": ["ÖKO"], "language": "PT", "days": ["mon", "sun"]},
        "fields": {"city": "köln", "quote": 'it\'s "odd" % _ \\'},
        "consent_at": NOW - 800 * DAY,
        "created_at": NOW - 100 * DAY,
    },
    {"choices": {"language": "ptx", "timezone": "Europe/Berlin"}, "status": "pending"},
    {"choices": {"detail": "one-line", "format": "text", "send_at": "07:30"}},
)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("topics:economy", [1]),
        ('topics:"WORLD NEWS",öko', [1, 2]),
        ("topics:econ", []),
        ("topics:none", [3, 4]),
        ("-topics:economy", [2, 3, 4]),
        ("language:pt", [1, 2]),
        ("language:none", [4]),
        ("-language:pt", [3, 4]),
        ("minutes:5", [1]),
        ("minutes:none detail:one-line format:TEXT send_at:07:30", [4]),
        ("timezone:europe/berlin", [3]),
        ("days:sun,tue", [2]),
        ('fields.city:"new york"', [1]),
        ("fields.city:KÖLN", [2]),
        ("fields.city:none", [3, 4]),
        ("fields.city:new%", []),
        ("-fields.city:KÖLN", [1, 3, 4]),
        ("status:pending", [3]),
        ("-status:pending,bounced", [1, 2, 4]),
        ("consent:<30d", [1]),
        ("consent:>2y", [2]),
        ("consent:<30d,>2y", [1, 2]),
        ("consent:none", [3, 4]),
        ("-consent:<30d", [2, 3, 4]),
        ("since:<60d", [1, 3, 4]),
        ("since:>60d", [2]),
        ("language:pt topics:economy", [1]),
    ],
)
def test_what_a_term_finds(desk: Desk, text: str, numbers: list[int]) -> None:
    for number, row in enumerate(READERS, start=1):
        desk.store_reader(number, **row)
    assert found(desk.database, text) == numbers


def store_sent(desk: Desk, *, at: datetime, states: dict[int, str]) -> None:
    """Store an edition that was sent, with a delivery for each reader."""
    with desk.database.writing() as connection:
        edition_id = connection.execute(
            insert(editions)
            .values(
                date=at.date(),
                state="sent",
                window_start=at,
                cut_off=at,
                created_at=at,
                dated_at=at,
                sent_at=at + timedelta(minutes=5),
            )
            .returning(editions.c.id)
        ).scalar_one()
        for number, state in states.items():
            connection.execute(
                insert(deliveries).values(
                    edition_id=edition_id,
                    subscriber_id=number,
                    email="x",
                    email_key="x",
                    name="",
                    choices={},
                    fields={},
                    state=state,
                    next_attempt_at=at,
                    changed_at=at,
                )
            )


def test_activity_is_the_last_copy_that_was_accepted(desk: Desk) -> None:
    desk.store_readers(4)
    store_sent(desk, at=NOW - 200 * DAY, states={1: "accepted", 2: "accepted", 3: "failed"})
    store_sent(desk, at=NOW - 5 * DAY, states={1: "accepted", 2: "bounced", 3: "in_doubt"})
    assert found(desk.database, "active:90d") == [1]
    assert found(desk.database, "active:>90d") == [2]
    assert found(desk.database, "active:none") == [3, 4]
    assert found(desk.database, "active:<1y") == [1, 2]
    assert found(desk.database, "-active:90d") == [2, 3, 4]


def test_only_a_segment_is_enrolled(desk: Desk) -> None:
    for number in range(1, 7):
        desk.store_reader(number, choices={"minutes": 3} if number % 2 else {})
    desk.suppress(3)
    with desk.database.writing() as connection:
        connection.execute(
            update(subscribers).where(subscribers.c.id == 5).values(status="bounced")
        )
    part = Audience(segment=parse_segment("minutes:3"))
    edition_id = desk.store_edition()
    with desk.database.writing() as connection:
        assert Ledger.count_audience(connection, edition_id, NOW, part) == 1
        assert Ledger.count_audience(connection, edition_id, NOW) == 4
        assert Ledger.enrol(connection, edition_id, NOW, part) == 1
    assert [job.reader.subscriber_id for job in desk.lease_all(desk.take(edition_id))] == [1]


def means(reader: Subscriber, term: Term) -> bool:
    """Say in Python what a term means, another way than by SQL."""

    def one(value: str | Age) -> bool:
        if isinstance(value, Age):
            moment = {"consent": reader.consent_at, "since": reader.created_at}[term.name]
            if moment is None:
                return False
            age = NOW - moment
            return age > value.bound if value.is_longer else age <= value.bound
        if term.name == "status":
            return reader.status == value
        if term.name == "consent":
            return reader.consent_at is None
        if term.name.startswith("fields."):
            held: Any = reader.fields.get(term.name.removeprefix("fields."), "")
        else:
            held = getattr(reader.choices, term.name) or ""
        if isinstance(held, tuple):
            return value.casefold() in map(str.casefold, held)
        if value == "none":
            return not held
        same = str(held).casefold() == value.casefold()
        begins = str(held).casefold().startswith(f"{value.casefold()}-")
        return same or (term.name == "language" and begins)

    return any(map(one, term.values)) is not term.negated


WORDS = ("news", "World", "économie", "it's", "50%", "a_b", "x y", "ÜBER")


def test_chance_readers_and_chance_segments(desk: Desk) -> None:
    """Hundreds of segments over readers made by chance: the databases agree with plain Python."""
    chance = random.Random(20260601)
    for number in range(1, 41):
        choices = Choices(
            topics=tuple(chance.sample(WORDS, chance.randrange(3))),
            language=chance.choice(["", "de", "pt", "pt-BR"]),
            minutes=chance.choice([0, 3, 5]),
        )
        desk.store_reader(
            number,
            choices=choices.to_document(),
            fields={"city": chance.choice(WORDS)} if number % 3 else {},
            status=chance.choice(["active", "active", "pending", "bounced"]),
            consent_at=chance.choice([None, NOW - chance.randrange(900) * DAY]),
            created_at=NOW - chance.randrange(400) * DAY,
        )
    readers = list(list_subscribers(desk.database))
    for _ in range(150):
        terms = []
        for _ in range(chance.randrange(1, 4)):
            name = chance.choice(
                ["topics", "language", "minutes", "fields.city", "status", "consent", "since"]
            )
            values = {
                "topics": [*(f'"{word}"' for word in WORDS), "none"],
                "language": ["de", "pt", "none"],
                "minutes": ["3", "5", "none"],
                "fields.city": [*(f'"{word.upper()}"' for word in WORDS), "none"],
                "status": ["active", "pending", "bounced"],
                "consent": ["<30d", ">1y", "none", "2y"],
                "since": ["<26w", ">9w"],
            }[name]
            some = ",".join(chance.sample(values, chance.randrange(1, 3)))
            terms.append(f"{chance.choice(['', '-'])}{name}:{some}")
        segment = parse_segment(" ".join(terms))
        expected = [
            reader.id for reader in readers if all(means(reader, term) for term in segment.terms)
        ]
        assert found(desk.database, segment.text) == expected, segment.text
