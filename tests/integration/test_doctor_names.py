"""SPF, DKIM and the bounce domain, asked of a real name server on loopback."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from newsletter.doctor.check import Check
from newsletter.doctor.keys import build_record, check_keys
from newsletter.doctor.names import Names, Unanswered
from newsletter.doctor.spf import Broken, check_spf, evaluate
from newsletter.doctor.visit import check_bounces
from newsletter.mail.dkim import Signer
from tests.nameserver import NameServer

DOMAIN = "news.example"


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer().serving() as running:
        yield running


def txt(*texts: str) -> dict[str, list[str]]:
    """Give TXT records, each cut into strings as long ones are."""
    cut = (" ".join(f'"{t[i : i + 200]}"' for i in range(0, len(t), 200)) for t in texts)
    return {"TXT": list(cut)}


def spf(server: NameServer, record: str, host: str = "smtp.relay.example") -> Check:
    server.zones[DOMAIN] = txt("google-site-verification=1", record)
    names = Names(server.address)
    return check_spf(names, DOMAIN, relay_host=host, relay_is_local=False)


def test_a_record_that_includes_the_relay_is_well(server: NameServer) -> None:
    server.zones["spf.relay.example"] = txt("v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all")
    check = spf(server, "v=spf1 include:spf.relay.example ~all")
    assert check.verdict == "pass", check.sentence
    assert "1 of 10 lookups" in check.sentence


@pytest.mark.parametrize(
    ("record", "verdict"),
    [
        ("v=spf1 ip4:198.51.100.25 -all", "pass"),
        ("v=spf1 ip4:198.51.100.0/24 -all", "pass"),
        ("v=spf1 a:mx.elsewhere.example/24 -all", "pass"),
        ("v=spf1 mx:elsewhere.example//64 mx:elsewhere.example/24 -all", "pass"),
        ("v=spf1 redirect=policy.elsewhere.example", "pass"),
        ("v=spf1 ip4:203.0.113.9 -all", "warn"),
        ("v=spf1 -ip4:198.51.100.25 -all", "warn"),
        ("v=spf1 ip4:198.51.100.25", "warn"),
        ("v=spf1 ip4:198.51.100.25 ?all", "warn"),
        ("v=spf1 exists:%{i}.list.example -all", "skip"),
        ("v=spf1 +all", "fail"),
        ("v=spf1 ip4:nonsense -all", "fail"),
        ("v=spf1 include: -all", "fail"),
        ("v=spf1 includes:relay.example -all", "fail"),
        ("v=spf1 include:nobody.example -all", "fail"),
        ("v=spf1 redirect=nobody.example", "fail"),
        ("v=spf10 -all", "fail"),
    ],
)
def test_whom_a_record_allows(server: NameServer, record: str, verdict: str) -> None:
    server.zones |= {
        "out.relay.net.example": {"A": ["198.51.100.25"]},
        "mx.elsewhere.example": {"A": ["198.51.100.1"]},
        "elsewhere.example": {"MX": ["10 mx.elsewhere.example."]},
        "policy.elsewhere.example": txt("v=spf1 ip4:198.51.100.0/28 ip4:198.51.100.16/28 -all"),
    }
    check = spf(server, record, host="out.relay.net.example")
    assert check.verdict == verdict, check.sentence


def test_two_records_are_none(server: NameServer) -> None:
    server.zones[DOMAIN] = txt("v=spf1 -all", "v=spf1 mx -all")
    with pytest.raises(Broken, match="two"):
        evaluate(Names(server.address), DOMAIN)


@pytest.mark.parametrize(("includes", "is_broken"), [(10, False), (11, True)])
def test_ten_lookups_are_the_most(server: NameServer, includes: int, is_broken: bool) -> None:
    for number in range(includes):
        further = f"include:s{number + 1}.example" if number + 1 < includes else "ip4:192.0.2.1"
        server.zones[f"s{number}.example"] = txt(f"v=spf1 {further} -all")
    check = spf(server, "v=spf1 include:s0.example -all", host="")
    assert (check.verdict == "fail") == is_broken
    if is_broken:
        assert "more than 10 lookups" in check.sentence


def test_a_record_that_includes_itself_ends(server: NameServer) -> None:
    check = spf(server, f"v=spf1 include:{DOMAIN} -all")
    assert "more than 10 lookups" in check.sentence


def test_names_that_lead_nowhere_are_counted(server: NameServer) -> None:
    assert spf(server, "v=spf1 a:x1.example a:x2.example -all", host="").verdict == "pass"
    check = spf(server, "v=spf1 a:x1.example a:x2.example a:x3.example -all", host="")
    assert "lead nowhere" in check.sentence


# -- DKIM ------------------------------------------------------------------------------------------

RSA = Signer(
    domain=DOMAIN, selector="s1", key=generate_private_key(public_exponent=65537, key_size=2048)
)
CURVE = Signer(domain=DOMAIN, selector="s2", key=Ed25519PrivateKey.generate())


def bare_rsa() -> str:
    public = RSA.key.public_key()
    data = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    return base64.b64encode(data).decode()


OTHER = build_record(Signer(domain="x", selector="y", key=Ed25519PrivateKey.generate()))


@pytest.mark.parametrize(
    ("signer", "record", "verdict", "words"),
    [
        (RSA, build_record(RSA), "pass", "is the one that signs"),
        (RSA, build_record(RSA).replace("k=rsa; ", ""), "pass", ""),
        (RSA, f"v=DKIM1; p={bare_rsa()}", "pass", ""),
        (CURVE, build_record(CURVE), "pass", ""),
        (CURVE, OTHER, "fail", "no signature holds"),
        (CURVE, build_record(RSA), "fail", "not of the kind ed25519"),
        (RSA, "v=DKIM1; k=rsa; p=", "fail", "revoked"),
        (RSA, "v=DKIM1; k=rsa; p=@@@", "fail", "no signature holds"),
        (RSA, build_record(RSA) + "; h=sha1", "fail", "sha256"),
        (RSA, build_record(RSA) + "; s=tlsrpt", "fail", "not for mail"),
        (RSA, build_record(RSA) + "; t=y:s", "warn", "in test"),
        (RSA, "unrelated", "fail", "there is no DKIM key"),
    ],
    ids=range(12),  # the keys are new each time, and names must not be
)
def test_the_key_in_the_dns_is_compared_with_the_one_that_signs(
    server: NameServer, signer: Signer, record: str, verdict: str, words: str
) -> None:
    server.zones[signer.name] = txt(record)
    (check,) = check_keys(Names(server.address), [signer])
    assert check.verdict == verdict, check.sentence
    assert words in check.sentence


def test_the_mend_of_a_missing_key_is_the_record_itself(server: NameServer) -> None:
    (check,) = check_keys(Names(server.address), [RSA])
    record = check.mend.partition('"')[2].removesuffix('"')
    server.zones[RSA.name] = txt(record)
    (check,) = check_keys(Names(server.address), [RSA])
    assert check.verdict == "pass"


# -- bounces, and a DNS that is silent -------------------------------------------------------------


@pytest.mark.parametrize(
    ("zones", "verdict"),
    [
        (
            {DOMAIN: {"MX": ["10 mx.news.example."]}, "mx.news.example": {"A": ["192.0.2.1"]}},
            "pass",
        ),
        ({DOMAIN: {"AAAA": ["2001:db8::1"]}}, "pass"),
        ({DOMAIN: {"MX": ["10 mx.news.example."], "A": ["192.0.2.1"]}}, "fail"),
        ({DOMAIN: {"MX": ["0 ."], "A": ["192.0.2.1"]}}, "fail"),
        ({DOMAIN: None}, "fail"),
    ],
)
def test_bounces_must_reach_somebody(
    server: NameServer, zones: dict[str, dict[str, list[str]] | str | None], verdict: str
) -> None:
    server.zones = zones
    names = Names(server.address)
    assert check_bounces(names, DOMAIN).verdict == verdict
    of_no_copy = check_bounces(names, DOMAIN, is_of_copy=False)
    assert of_no_copy.verdict == ("warn" if verdict == "pass" else verdict)
    assert of_no_copy.mend


def test_servers_that_fail_are_no_answer(server: NameServer) -> None:
    server.zones[DOMAIN] = "broken"
    with pytest.raises(Unanswered, match="nobody answers about news"):
        Names(server.address).texts(DOMAIN)
