"""Cleaning, with a name server of the tests' own: what is no use is found, and only that."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from newsletter.audience import cleaning
from newsletter.audience.address import parse_address
from newsletter.audience.cleaning import (
    Problem,
    build_resolver,
    delete_readers,
    find_meant_domain,
    find_problems,
    judge_address,
    suppress_addresses,
)
from newsletter.audience.entry import Entry
from newsletter.audience.subscribers import add_subscriber, list_subscribers
from newsletter.errors import AudienceError
from newsletter.store import Database
from tests.audience import PSEUDONYMS
from tests.nameserver import NameServer

NOW = datetime(2026, 6, 1, 6, 0, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer().serving() as server:
        server.zones = {
            "good.example": {"MX": ["10 mx.good.example."]},
            "old.example": {"A": ["8.8.8.8"]},
            "six.example": {"AAAA": ["2001:4860:4860::8888"]},
            "null.example": {"MX": ["0 ."], "A": ["8.8.8.8"]},
            "empty.example": {"TXT": ['"nothing here"']},
            "inside.example": {"A": ["10.0.0.1"]},
            "gone.example": None,
            "broken.example": "broken",
            "silent.example": "silent",
        }
        yield server


def store(database: Database, *emails: str) -> None:
    for email in emails:
        entry = Entry(address=parse_address(email))
        add_subscriber(database, entry, now=NOW, pseudonyms=PSEUDONYMS)


def kinds(problems: list[Problem]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for problem in problems:
        found.setdefault(problem.email, set()).add(problem.kind)
    return found


def test_dead_domains_are_those_that_the_dns_says_are_dead(
    database: Database, server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "DNS_SECONDS", 1)
    store(database, *(f"{who}@{domain}" for domain in server.zones for who in ("ann", "bob")))
    problems = list(find_problems(database, resolver=build_resolver(server.address)))
    dead = {problem.email.partition("@")[2]: problem.said for problem in problems}
    assert dead == {
        "null.example": "The domain name null.example does not accept email.",
        "empty.example": "The domain name empty.example does not accept email.",
        "inside.example": "The domain name inside.example does not accept email.",
        "gone.example": "The domain name gone.example does not exist.",
    }
    assert {problem.kind for problem in problems} == {"dead"}
    assert len(problems) == 8  # both readers of each
    assert server.asked["good.example", "MX"] == 1


def test_without_being_asked_nobody_is(database: Database, server: NameServer) -> None:
    store(database, "ann@gone.example")
    assert list(find_problems(database)) == []
    assert not server.asked


def test_a_name_server_that_is_not_there_makes_nobody_dead(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "DNS_SECONDS", 1)
    store(database, "ann@good.example")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))  # takes questions and never answers
        resolver = build_resolver(f"127.0.0.1:{nobody.getsockname()[1]}")
        assert list(find_problems(database, resolver=resolver)) == []


@pytest.mark.parametrize(
    ("email", "expected"),
    [
        ("ann@good.example", set()),
        ("ann@gmial.com", {"typo"}),
        ("ann@gmail.co", {"typo"}),
        ("ann@hotmial.com", {"typo"}),
        ("ann@yaho.com", {"typo"}),
        ("ann@gmail.com", set()),
        ("ann@ymail.com", set()),
        ("ann@gmx.at", set()),
        ("info@good.example", {"role"}),
        ("Support+a@good.example", {"role"}),
        ("informant@good.example", set()),
        ("ann@mailinator.com", {"disposable"}),
        ("ann@name.test", {"syntax"}),
        ("ann@host.local", {"syntax"}),
        ("Ärger@good.example", set()),
    ],
)
def test_what_is_seen_without_asking(email: str, expected: set[str]) -> None:
    assert {kind for kind, _ in judge_address(parse_address(email).email)} == expected


def test_a_typo_says_what_was_probably_meant() -> None:
    assert list(judge_address("ann@gmial.com")) == [("typo", "probably ann@gmail.com")]
    assert find_meant_domain("gmial.com") == "gmail.com"


def test_no_big_domain_is_a_typo_of_another() -> None:
    assert not [domain for domain in cleaning._BIG if find_meant_domain(domain)]


def test_only_readers_who_are_mailed_are_looked_at(database: Database) -> None:
    entry = Entry(address=parse_address("info@b.example"), status="unsubscribed")
    add_subscriber(database, entry, now=NOW, pseudonyms=PSEUDONYMS)
    assert list(find_problems(database)) == []


def test_suppressing_keeps_out_and_removing_does_not(database: Database) -> None:
    store(database, "info@b.example", "ann@gmial.com", "ann@b.example")
    problems = list(find_problems(database))
    assert kinds(problems) == {"info@b.example": {"role"}, "ann@gmial.com": {"typo"}}
    role = [problem for problem in problems if problem.kind == "role"]
    typo = [problem for problem in problems if problem.kind == "typo"]
    assert suppress_addresses(database, role, NOW) == 1
    assert delete_readers(database, typo) == 1
    left = {reader.email: reader.status for reader in list_subscribers(database)}
    assert left == {"info@b.example": "unsubscribed", "ann@b.example": "active"}
    with pytest.raises(AudienceError, match=r"kept out \(manual\)"):
        store(database, "info@b.example")
    store(database, "ann@gmial.com")


@pytest.mark.parametrize("server_name", ["nonsense", "1.2.3.4:x", "300.1.1.1"])
def test_a_name_server_must_be_an_address(server_name: str) -> None:
    with pytest.raises(ValueError):
        build_resolver(server_name)
