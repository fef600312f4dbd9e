"""Which DMARC policy holds (RFC 9989 §4.10), by names alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from newsletter.doctor.dmarc import (
    check_dmarc,
    find_organizational,
    find_policy,
    list_walk,
    parse_record,
)


def zone(records: Mapping[str, str]) -> Callable[[str], list[str]]:
    return lambda name: [
        text for place, text in records.items() if name == f"_dmarc.{place.partition('#')[0]}"
    ]


def test_the_walk_goes_up_label_by_label_and_jumps_in_a_long_name() -> None:
    assert list_walk("a.b.example.org") == [
        "a.b.example.org",
        "b.example.org",
        "example.org",
        "org",
    ]
    long = "a.b.c.d.e.f.g.h.i.j.mail.example.com"
    assert list_walk(long) == [
        long,
        "g.h.i.j.mail.example.com",
        "h.i.j.mail.example.com",
        "i.j.mail.example.com",
        "j.mail.example.com",
        "mail.example.com",
        "example.com",
        "com",
    ]
    assert len(list_walk("a.b.c.d.e.f.g.h")) == 8


@pytest.mark.parametrize(
    ("records", "domain", "organizational"),
    [
        ({"example.org": "v=DMARC1; p=reject"}, "news.example.org", "example.org"),
        (
            {"example.org": "v=DMARC1; p=reject", "news.example.org": "v=DMARC1; p=none"},
            "news.example.org",
            "example.org",  # the shortest that has a record
        ),
        (
            {"example.org": "v=DMARC1; p=reject", "news.example.org": "v=DMARC1; psd=n"},
            "daily.news.example.org",
            "news.example.org",
        ),
        ({"gov": "v=DMARC1; psd=y; p=reject"}, "mail.agency.gov", "agency.gov"),
        ({"gov.uk": "v=DMARC1; psd=y", "uk": "v=DMARC1"}, "x.y.gov.uk", "y.gov.uk"),
        ({}, "news.example.org", "news.example.org"),
    ],
)
def test_the_organizational_domain(
    records: dict[str, str], domain: str, organizational: str
) -> None:
    assert find_organizational(domain, zone(records))[0] == organizational


@pytest.mark.parametrize(
    ("records", "place", "wanted"),
    [
        ({"news.example.org": "v=DMARC1; p=reject; sp=none"}, "news.example.org", "reject"),
        ({"example.org": "v=DMARC1; p=reject; sp=quarantine"}, "example.org", "quarantine"),
        ({"example.org": "v=DMARC1; p=reject"}, "example.org", "reject"),
        ({"org": "v=DMARC1; psd=y; p=none; sp=reject"}, "org", "reject"),
        ({"example.org": "v=DMARC1; rua=mailto:a@example.org"}, "example.org", "none"),
        ({"example.org": "v=DMARC1; p=whatever"}, "example.org", "none"),
        ({"example.org": "sp=reject; v=DMARC1"}, "", ""),
        ({"example.org": "v=dmarc1; p=reject"}, "", ""),
        ({"example.org#1": "v=DMARC1; p=none", "example.org#2": "v=DMARC1; p=reject"}, "", ""),
    ],
)
def test_the_policy_of_a_subdomain(records: dict[str, str], place: str, wanted: str) -> None:
    policy = find_policy("news.example.org", zone(records))
    assert (policy.record.domain if policy else "") == place
    assert (policy.wanted if policy else "") == wanted


def test_tags_may_stand_in_any_order_after_the_version_and_with_blanks() -> None:
    record = parse_record("x", ["v = DMARC1 ;  rua=mailto:a@b.example ; P = Reject ;"])
    assert record is not None
    assert record.tags == {"v": "DMARC1", "rua": "mailto:a@b.example", "p": "Reject"}


@pytest.mark.parametrize(
    ("record", "envelope", "signing", "verdict"),
    [
        ("v=DMARC1; p=reject; rua=mailto:a@b.c", "bounce.example.org", ("example.org",), "pass"),
        ("v=DMARC1; p=reject", "bounce.example.org", ("example.org",), "warn"),
        ("v=DMARC1; p=none", "example.org", (), "warn"),
        ("v=DMARC1; p=reject; t=y; rua=mailto:a@b.c", "example.org", (), "warn"),
        ("v=DMARC1; p=reject", "esp.example", ("esp.example",), "fail"),
        ("v=DMARC1; p=reject; adkim=s", "esp.example", ("example.org",), "fail"),
        ("v=DMARC1; p=reject; rua=mailto:a@b.c", "esp.example", ("example.org",), "pass"),
        ("v=DMARC1; p=reject", "esp.example", (), "warn"),
        ("", "example.org", (), "fail"),
    ],
)
def test_what_is_aligned_passes(
    record: str, envelope: str, signing: tuple[str, ...], verdict: str
) -> None:
    look_up = zone({"example.org": record, "esp.example": "v=DMARC1; p=none"})
    check = check_dmarc("news.example.org", envelope=envelope, signing=signing, look_up=look_up)
    assert check.verdict == verdict, check.sentence
    assert bool(check.mend) == (verdict != "pass")
