"""Where a request comes from: only what one's own proxies add is believed, and only a network."""

from __future__ import annotations

import pytest

from newsletter.settings import SignUp
from newsletter.web.signing_desk import clean_source, is_refused
from newsletter.web.visitor import choose_address, choose_language, find_network


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "address"),
    [
        ("192.0.2.1", "", 0, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.9", 0, "192.0.2.1"),
        ("127.0.0.1", "198.51.100.9", 1, "198.51.100.9"),
        ("127.0.0.1", "6.6.6.6, 198.51.100.9", 1, "198.51.100.9"),
        ("127.0.0.1", "6.6.6.6, 198.51.100.9, 10.0.0.1", 2, "198.51.100.9"),
        ("127.0.0.1", "", 1, "127.0.0.1"),
        ("127.0.0.1", "198.51.100.9", 5, "198.51.100.9"),
        ("127.0.0.1", " , ,", 1, "127.0.0.1"),
    ],
)
def test_whose_address_counts(peer: str, forwarded: str, proxies: int, address: str) -> None:
    assert choose_address(peer, forwarded, proxies) == address


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("192.0.2.77:5000", "192.0.2.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ("[2001:db8:1:2:3::4]", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("", "unknown"),
        ("unknown", "unknown"),
        ("192.0.2.77; DROP", "unknown"),
        ("9" * 10_000, "unknown"),
    ],
)
def test_a_network_and_never_a_machine(address: str, network: str) -> None:
    assert find_network(address, v4=24, v6=48) == network


@pytest.mark.parametrize(
    ("asked", "accepted", "language"),
    [
        ("", "", ""),
        ("de", "es", "de"),
        ("tlh", "es-MX,de;q=0.8", "es"),
        ("", "fr, de-AT;q=0.5", "de"),
        ("", ",".join(["fr"] * 50 + ["de"]), ""),
        ("x" * 10_000, ";;,,", ""),
    ],
)
def test_a_pages_language(asked: str, accepted: str, language: str) -> None:
    assert choose_language(asked, accepted, ("en", "de", "es")) == language


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://a.example/b?email=c@d.example#e", "https://a.example/b"),
        ("http://user:secret@a.example:8080/b", "http://a.example:8080/b"),
        ("https://a.example", "https://a.example"),
        ("https://a.example/c@d.example", "https://a.example/cd.example"),
        ("javascript:alert(1)", ""),
        ("null", ""),
        ("https://[broken", ""),
        ("https://a.example:99999/", ""),
        ("https://a.example/" + "b" * 5_000, "https://a.example/" + "b" * 282),
    ],
)
def test_a_source_says_which_page_and_nobodys_name(url: str, source: str) -> None:
    assert clean_source(url) == source


def test_a_domain_is_refused_with_what_is_below_it() -> None:
    refused = frozenset({"away.example", "deep.other.example"})
    assert is_refused("away.example", refused)
    assert is_refused("a.b.away.example", refused)
    assert not is_refused("notaway.example", refused)
    assert not is_refused("other.example", refused)


@pytest.mark.parametrize("limit", ["", "many", "5", "0/fortnight", "5/hour; x"])
def test_what_is_no_limit_is_refused(limit: str) -> None:
    with pytest.raises(ValueError, match="must be limits such as"):
        SignUp(per_network=limit)
