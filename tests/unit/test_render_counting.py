"""Counted links: a mail is the same but for where they lead through, for all readers alike."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from html import unescape
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.audience.reader import Choices, Reader
from newsletter.briefs.model import Source
from newsletter.editions.model import Edition, Placing, Report
from newsletter.mail import Addresser, Keyring, build_letterhead, decode_message
from newsletter.mail.tokens import LinkClaim, read_link
from newsletter.press.composing import sign_links
from newsletter.render.addresses import build_counted, expand_link, read_directly, shorten_link
from newsletter.render.compile import compile_edition
from newsletter.render.compiled import CompiledEdition
from newsletter.render.context import clean_url
from newsletter.render.preflight import Finding, Link, check_edition, list_edition_links
from newsletter.render.templates import find_templates
from newsletter.settings import EditionSettings, Vocabulary
from tests.unit.test_mail_dkim import signer, verifies
from tests.unit.test_render_compile import PLAIN_BRIEF, PUBLICATION, edition, full_brief

KEYRING = Keyring([b"k" * 40])
ROOT = "https://news.example"
SAID = "How often a link is followed is counted; who follows it is not."
LONG = "https://long.example/" + "a" * 1_500
GO = re.compile(r"https://news\.example/go/[^\s\"<>]+")
COPIES = [
    Choices(),
    Choices(detail="standard"),
    Choices(detail="one-line", language="de"),
    Choices(format="text", language="he"),
]


def tell() -> Edition:
    second = full_brief(2)
    also = (Report(outlet="Quayside", title="Port", url="http://quay.example/?q=a&b='c')"),)
    told = edition(
        full_brief(1),
        replace(second, sources=(*second.sources, Source(name="long.example", url=LONG))),
        PLAIN_BRIEF,
    )
    return replace(told, placings=(Placing(), Placing(also=also), Placing()))


@cache
def compiled(*, counts: bool) -> CompiledEdition:
    links = sign_links(tell(), PUBLICATION, keyring=KEYRING, edition_id=5)
    return compile_edition(
        tell(),
        publication=PUBLICATION,
        vocabulary=Vocabulary(),
        templates=find_templates(),
        settings=EditionSettings(minutes=0, feedback_link=True),
        has_muting=True,
        counted=links if counts else None,
    )


def mail(choices: Choices, *, counts: bool, number: int = 7, signed: bool = False) -> bytes:
    signers = (signer("ed25519"),) if signed else ()
    letterhead = build_letterhead(
        PUBLICATION,
        edition_id=5,
        day=date(2026, 11, 23),
        dated_at=datetime(2026, 11, 23, 7, tzinfo=UTC),
        key_id=KEYRING.newest,
        dkim=tuple((each.name, each.fingerprint) for each in signers),
    )
    addresser = Addresser(compiled(counts=counts), letterhead, KEYRING, signers=signers)
    reader = Reader(subscriber_id=number, email=f"r{number}@example.org", choices=choices)
    return bytes(addresser.address(reader).content)


def list_counted(content: bytes) -> set[str]:
    plain, html = decode_message(content)
    return {*GO.findall(plain), *GO.findall(unescape(html))}


@pytest.mark.parametrize("choices", COPIES)
def test_but_for_the_way_of_its_links_a_mail_is_what_it_is_without_counting(
    choices: Choices,
) -> None:
    off, on = (decode_message(mail(choices, counts=counts)) for counts in (False, True))
    assert not list_counted(mail(choices, counts=False))
    said = compiled(counts=True).languages[choices.language or "en"].say(SAID)
    assert (said == SAID) == (not choices.language)
    plain, html = (read_directly(text, ROOT) for text in on)
    sentence = rf"\r\n\r\n\u2068?{said}\u2069?(?=\r\n\r\n)"
    plain, count = re.subn(sentence, "", plain)
    assert count == 1
    assert plain.split() == off[0].split(), "a longer address begins another line"
    html, count = re.subn(rf"<p[^>]*>{said}</p>\s*", "", html)
    assert count == bool(off[1])
    assert unescape(html) == unescape(off[1])


def test_all_readers_have_the_same_links_and_each_is_signed() -> None:
    counted = list_counted(mail(Choices(), counts=True))
    assert counted == list_counted(mail(Choices(language="de"), counts=True, number=8))
    found: dict[str, set[int]] = {}
    for address in counted:
        token = address.removeprefix(f"{ROOT}/go/").partition("?")[0]
        (link,) = parse_qs(urlsplit(address).query)["to"]
        claim = read_link(token, link, keyring=KEYRING, list_id=PUBLICATION.list_id)
        assert claim == LinkClaim(5, claim.brief)
        found.setdefault(expand_link(link, ROOT), set()).add(claim.brief)
    page = f"{ROOT}/editions/2026-11-23#brief"
    assert found == {
        f"{page}-1": {1},
        f"{page}-2": {2},
        f"{page}-3": {3},
        "https://news.example/news/article/rss:1f/it's-a:slug": {1},
        "https://news.example/news/article/rss:2f/it's-a:slug": {2},
        "https://post1.example/s?a=1&b=2": {1},
        "https://post2.example/s?a=2&b=2": {2},
        "http://quay.example/?q=a&b='c')": {2},
    }, "and not the one that is too long"


def test_what_acts_in_a_readers_name_is_neither_counted_nor_changed() -> None:
    own = re.compile(rf"{re.escape(ROOT)}/[upf]/[\w/-]+|mailto:[^\s\"]+")
    on, off = (mail(Choices(), counts=counts) for counts in (True, False))
    for text, bare in zip(decode_message(on), decode_message(off), strict=True):
        assert own.findall(text) == own.findall(bare) != []
    assert on.partition(b"\r\n\r\n")[0] == off.partition(b"\r\n\r\n")[0], "List-Unsubscribe"


def test_a_mail_of_counted_links_is_signed_as_any_other() -> None:
    signers = (signer("ed25519"),)
    for choices in COPIES:
        assert verifies(mail(choices, counts=True, signed=True), *signers)


def test_the_preflight_judges_links_by_where_they_lead() -> None:
    told, words, size = tell(), Vocabulary(), "size of the HTML"

    def check(*, counts: bool) -> tuple[Finding, ...]:
        made = compiled(counts=counts)
        return check_edition(told, made, publication=PUBLICATION, vocabulary=words)

    def ask(*, counts: bool) -> tuple[Link, ...]:
        made = compiled(counts=counts)
        return list_edition_links(told, made, publication=PUBLICATION, vocabulary=words)

    off, on = check(counts=False), check(counts=True)
    assert {each.name for each in off if each not in on} == {size}, "that is of what is sent"
    assert [each.status for each in off] == [each.status for each in on]
    assert ask(counts=True) == ask(counts=False)


def test_it_is_kept_with_the_edition() -> None:
    made = compiled(counts=True)
    assert CompiledEdition.load(made.dump()) == made


HOSTS = ("a.example", "news.example", "news.example.org", "[::1]:8080", "bücher.example")
ADDRESSES = st.builds(
    lambda scheme, host, rest: clean_url(f"{scheme}://{host}/{rest}"),
    st.sampled_from(["http", "https"]),
    st.sampled_from(HOSTS),
    st.text(st.characters(codec="utf-8"), max_size=30),
).filter(bool)


@given(ADDRESSES, st.sampled_from([ROOT, f"{ROOT}/daily"]))
def test_an_address_comes_through_as_it_was(address: str, root: str) -> None:
    link = shorten_link(address, root)
    assert expand_link(link, root) == address
    counted = build_counted("T" * 35, link, root)
    assert counted.isascii()
    assert not re.search(r"[\s\"'<>&()]", counted), "it can stand anywhere"
    assert parse_qs(urlsplit(counted).query)["to"] == [link]
    assert read_directly(f'<a href="{counted}">{counted}</a>', root) == (
        f'<a href="{address}">{address}</a>'
    )
    # As programs do that write a query anew, or append to it.
    written = urlencode({"to": link, "utm_source": "x"})
    assert parse_qs(written)["to"] == [link]
