"""The web copy of what an operator adds: note, sponsor, corrections, pictures, colours, logo."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import html5lib
from hypothesis import given, settings
from lxml import html as lxml_html

from newsletter.editions.model import Edition
from newsletter.render.context import clean_url
from newsletter.render.facts import find_facts_on_page, list_facts
from newsletter.render.feeds import build_entry
from newsletter.render.preflight import check_edition
from newsletter.render.templates import find_templates
from newsletter.render.web import (
    Listed,
    Published,
    Site,
    build_archive,
    build_edition,
    open_site,
)
from newsletter.settings import EditionSettings, Look, Vocabulary
from tests.examples import examples
from tests.unit.test_render_extras import (
    HOSTILE_EDITIONS,
    HOSTS,
    LENS,
    LOGO,
    PICTURE,
    PLAIN,
    PUBLICATION,
    SPONSOR,
    WHOLE,
    compile_it,
)

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def site(look: Look | None = None) -> Site:
    return open_site(
        publication=PUBLICATION,
        vocabulary=Vocabulary(sponsor_label="Advertisement"),
        templates=find_templates(),
        look=look or Look(),
        picture_hosts=HOSTS,
    )


def page_of(edition: Edition, look: Look | None = None) -> str:
    files = build_edition(site(look), Published(edition=edition, published_at=NOON))
    return files[f"editions/{edition.date}/index.html"].decode()


def parse(html: str) -> Any:
    parser = lxml_html.HTMLParser(encoding="utf-8")
    return lxml_html.document_fromstring(html.encode(), parser=parser)


def parse_errors(html: str) -> list[Any]:
    parser = html5lib.HTMLParser()
    parser.parse(html)
    return list(parser.errors)


def test_the_page_shows_all_of_it_and_loads_pictures_from_named_hosts_alone() -> None:
    html = page_of(WHOLE)
    assert parse_errors(html) == []
    tree = parse(html)
    text = " ".join(tree.text_content().split())
    order = ["Corrections", "From the editor", WHOLE.briefs[0].title, "Advertisement"]
    places = [text.index(part, text.index("Corrections")) for part in order]
    assert places == sorted(places)
    (link,) = tree.xpath("//a[@rel='sponsored']")
    assert WHOLE.sponsor is not None
    assert link.get("href") == WHOLE.sponsor.url
    pictures = tree.xpath("//main//img")
    assert len(pictures) == 2
    assert all(p.get("alt") and p.get("width") and p.get("height") for p in pictures)
    (policy,) = tree.xpath("//meta[@http-equiv]/@content")
    assert "img-src 'self' https://pictures.example https://x.example;" in policy
    assert tree.xpath("//meta[@property='og:image']/@content") == [pictures[0].get("src")]


def test_the_sponsor_stands_behind_the_long_briefs_as_in_the_mail() -> None:
    first, second = WHOLE.briefs[0], PLAIN.briefs[0]
    long = replace(first, title="Long", perspectives=(LENS,))
    short = replace(second, title="Short")
    for briefs, order in (
        ((long, short), ["Long", "Harbor Coffee", "Short"]),
        ((long, long), ["Long", "Long", "Harbor Coffee"]),
        ((short, short), ["Short", "Short", "Harbor Coffee"]),
        ((), ["A quiet day", "Harbor Coffee"]),
    ):
        tree = parse(page_of(replace(WHOLE, briefs=briefs)))
        said = tree.xpath("//article/h2|//section[@class='sponsor']//a|//*[@class='quiet']/h2")
        assert [" ".join(each.text_content().split()) for each in said] == order
        assert len(tree.xpath("//section[@class='sponsor']")) == 1


def test_a_briefs_page_has_its_picture_and_the_sponsor_and_not_what_is_of_the_edition() -> None:
    other = replace(PLAIN.briefs[0], title="Night trains return")
    edition = replace(WHOLE, briefs=(*WHOLE.briefs, other))
    files = build_edition(site(), Published(edition=edition, published_at=NOON))
    first, second = (
        parse(files[f"editions/{edition.date}/briefs/{n}/index.html"].decode()) for n in (1, 2)
    )
    for page in (first, second):
        assert page.xpath("//a[@rel='sponsored']/@href") == [SPONSOR.url]
        text = page.text_content()
        for foreign in ("Good morning.", "The vote was 5 to 4."):
            assert foreign not in text
    assert first.xpath("//article//img/@alt") == [PICTURE.alt]
    assert second.xpath("//article//img|//meta[@property='og:image']") == []
    # Shared in its own size, shown in the column's; the mail has less room.
    shown = first.xpath("//article//img")[0]
    assert (shown.get("width"), shown.get("height")) == ("608", "342")
    meta = {m.get("property"): m.get("content") for m in first.xpath("//meta[@property]")}
    sizes = (meta["og:image:width"], meta["og:image:height"])
    assert (meta["og:image"], meta["og:image:alt"]) == (clean_url(PICTURE.url), PICTURE.alt)
    assert sizes == (str(PICTURE.width), str(PICTURE.height))


def test_without_hosts_only_this_host_may_show_pictures() -> None:
    own = open_site(publication=PUBLICATION, vocabulary=Vocabulary(), templates=find_templates())
    (policy,) = parse(
        build_edition(own, Published(edition=PLAIN, published_at=NOON))[
            f"editions/{PLAIN.date}/index.html"
        ].decode()
    ).xpath("//meta[@http-equiv]/@content")
    assert "img-src 'self';" in policy


def test_a_logo_stands_above_the_name_on_every_page() -> None:
    own = site(Look.model_validate({"logo": LOGO}))
    files = build_edition(own, Published(edition=WHOLE, published_at=NOON))
    files |= build_archive(own, own.see(WHOLE), (Listed(date=WHOLE.date, title="Ferries"),))
    assert len(files) == 3
    for data in files.values():
        header = parse(data.decode()).xpath("//header")[0]
        assert header.xpath("p[@class='crest']//img/@alt") == [LOGO["alt"]]
        assert "Morning Ledger" in header.text_content()
        assert header.xpath(".//h1//img") == []


def test_colours_fonts_and_logo_are_those_of_the_settings() -> None:
    logo = {**LOGO, "url_dark": "https://pictures.example/night.png", "replaces_name": True}
    html = page_of(WHOLE, Look.model_validate({"accent": "#0000aa", "logo": logo}))
    assert "--accent: #0000aa" in html
    (heading,) = parse(html).xpath("//h1")
    assert heading.xpath(".//img/@alt") == [LOGO["alt"]]
    assert heading.xpath(".//source/@media") == ["(prefers-color-scheme: dark)"]


def test_a_feed_carries_the_corrections_and_not_the_sponsor() -> None:
    content = build_entry(site(), Published(edition=WHOLE, published_at=NOON)).html
    assert "Corrections" in content
    assert "From the editor" in content
    assert parse(content).xpath("//img/@alt") == [PICTURE.alt]
    assert WHOLE.sponsor is not None
    assert WHOLE.sponsor.name not in content


def test_mail_text_and_page_say_the_same() -> None:
    findings = check_edition(
        WHOLE,
        compile_it(WHOLE, None),
        publication=PUBLICATION,
        vocabulary=Vocabulary(sponsor_label="Advertisement"),
        picture_hosts=frozenset(EditionSettings(picture_hosts=HOSTS).picture_hosts),
        web=page_of(WHOLE),
    )
    assert [f for f in findings if f.status == "fail"] == []
    (same,) = (f for f in findings if f.number == 26)
    assert "web page" in same.detail


@settings(max_examples=examples(25))
@given(edition=HOSTILE_EDITIONS)
def test_hostile_text_is_inert(edition: Edition) -> None:
    own = site()
    files = build_edition(own, Published(edition=edition, published_at=NOON))
    facts = list_facts(own.see(edition))
    assert find_facts_on_page(facts, page_of(edition)) == facts
    for data in files.values():
        check_inert(data.decode())
    check_inert_tree(parse(build_entry(own, Published(edition=edition, published_at=NOON)).html))


def check_inert(html: str) -> None:
    assert parse_errors(html) == []
    check_inert_tree(parse(html))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", html)


def check_inert_tree(tree: Any) -> None:
    for image in tree.xpath("//main//img"):
        assert set(image.keys()) <= {"src", "alt", "width", "height", "loading"}
    assert not tree.xpath("//script|//iframe|//form|//*[starts-with(name(@*), 'on')]")
    for url in (*tree.xpath("//a/@href"), *tree.xpath("//img/@src")):
        assert str(url) == "" or str(url).startswith(("https://", "http://", "/", "#"))
