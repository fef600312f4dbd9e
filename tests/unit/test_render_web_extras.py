"""The web copy of what an operator adds: note, sponsor, corrections, pictures, colours, logo."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import html5lib
from hypothesis import given, settings
from lxml import html as lxml_html

from newsletter.editions.model import Edition
from newsletter.render.feeds import build_entry
from newsletter.render.preflight import check_edition
from newsletter.render.templates import find_templates
from newsletter.render.web import Published, Site, build_edition, open_site
from newsletter.settings import EditionSettings, Look, Vocabulary
from tests.unit.test_render_extras import (
    HOSTILE_EDITIONS,
    HOSTS,
    LOGO,
    PUBLICATION,
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


@settings(max_examples=25)
@given(edition=HOSTILE_EDITIONS)
def test_hostile_text_is_inert(edition: Edition) -> None:
    html = page_of(edition)
    assert parse_errors(html) == []
    tree = parse(html)
    assert not tree.xpath("//script|//iframe|//form|//*[starts-with(name(@*), 'on')]")
    for url in (*tree.xpath("//a/@href"), *tree.xpath("//img/@src")):
        assert str(url) == "" or str(url).startswith(("https://", "http://", "/", "#"))
