"""The feeds of editions, read by another program and by the rules of their formats."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any
from xml.etree import ElementTree as ET

import feedparser
import pytest
from hypothesis import given, settings

from newsletter.briefs.model import Brief
from newsletter.briefs.sources.feed_parser import parse_feed
from newsletter.editions.model import Edition
from newsletter.render.feeds import build_entry, build_feeds
from newsletter.render.templates import find_templates
from newsletter.render.web import FEEDS, FeedLink, Published, Site, open_site
from newsletter.settings import Publication, Vocabulary
from tests.examples import examples
from tests.unit.test_render_compile import HOSTILE, hostile_briefs
from tests.unit.test_render_web import BRIEF, EDITION, NOON, PLAIN, PUBLICATION, tree

ATOM = "{http://www.w3.org/2005/Atom}"
XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
CONTENT = "{http://purl.org/rss/1.0/modules/content/}encoded"
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
URLS = ("https://news.example/editions/2026-11-23", "https://news.example/editions/2026-11-22")
EARLIER = replace(EDITION, date=date(2026, 11, 22), subject="Ferry & <fog>", briefs=(PLAIN,))
WRITTEN = (
    Published(edition=EDITION, published_at=NOON),
    Published(
        edition=EARLIER,
        published_at=datetime(2026, 11, 22, 7, tzinfo=timezone(-timedelta(hours=5))),
    ),
)


def open_own(**publication: Any) -> Site:
    return open_site(
        publication=Publication.model_copy(PUBLICATION, update=publication),
        vocabulary=Vocabulary(),
        templates=find_templates(),
    )


def build(published: Sequence[Published] = WRITTEN, **publication: Any) -> dict[str, bytes]:
    site = open_own(**publication)
    about = site.see(published[0].edition).publication
    files = build_feeds(site, about, [build_entry(site, each) for each in published])
    return {name.removeprefix("editions/"): data for name, data in files.items()}


def rss(files: dict[str, bytes]) -> ET.Element:
    channel = ET.fromstring(files["feed.xml"]).find("channel")
    assert channel is not None
    return channel


@pytest.mark.parametrize("name", ["feed.xml", "atom.xml"])
def test_another_program_reads_them(name: str) -> None:
    read = feedparser.parse(build()[name])
    assert not read.bozo, read.get("bozo_exception")
    assert read.version == {"feed.xml": "rss20", "atom.xml": "atom10"}[name]
    assert read.feed.title == "Morning Ledger"
    assert [entry.id for entry in read.entries] == list(URLS)
    assert [entry.link for entry in read.entries] == list(URLS)
    assert read.entries[0].title == "Harbor vote"
    assert read.entries[1].published_parsed[:6] == (2026, 11, 22, 12, 0, 0)
    content = read.entries[0].content[0]
    assert "They may call it a subsidy." in content.value
    assert "Not presented as fact" in content.value
    (own,) = [link.href for link in read.feed.links if link.rel == "self"]
    assert own == f"https://news.example/editions/{name}"


@pytest.mark.parametrize("feed", FEEDS)
def test_our_own_reader_of_feeds_takes_each_of_them(feed: FeedLink) -> None:
    data = build()[feed.url.removeprefix("/editions/")]
    read = parse_feed(data, content_type=feed.type, url=feed.url)
    assert (read.flaw, read.left_out) == ("", 0)
    assert [(entry.id, entry.link) for entry in read.entries] == [(url, url) for url in URLS]
    assert [entry.published_seconds for entry in read.entries] == [
        each.published_at.timestamp() for each in WRITTEN
    ]
    assert read.entries[0].title == "Harbor vote"
    assert read.entries[0].topics == ("Economy",)
    assert "They may call it a subsidy." in read.entries[0].content


def test_atom_keeps_the_rules_of_rfc_4287() -> None:
    feed = ET.fromstring(build()["atom.xml"])
    assert feed.tag == f"{ATOM}feed"
    assert feed.get(XML_LANG) == "en"
    entries = feed.findall(f"{ATOM}entry")
    for element in (feed, *entries):  # §4.1.1, §4.1.2: exactly one of each
        for name in ("id", "title", "updated"):
            assert len(element.findall(f"{ATOM}{name}")) == 1
        for name in ("generator", "subtitle", "published", "summary", "content", "rights"):
            assert len(element.findall(f"{ATOM}{name}")) <= 1
        links = [link.attrib for link in element.findall(f"{ATOM}link")]
        kinds = [(link["rel"], link["type"], link.get("hreflang")) for link in links]
        assert len(kinds) == len(set(kinds))  # no two alternates of one type
        assert all(re.match("https://news.example/", link["href"]) for link in links)
        assert "alternate" in [link["rel"] for link in links]
    assert len(feed.findall(f"{ATOM}author/{ATOM}name")) == 1  # stands for all entries (§4.2.1)
    ids = [str(element.findtext(f"{ATOM}id")) for element in (feed, *entries)]
    assert len(ids) == len(set(ids)) == 3
    assert all(re.fullmatch(r"https://news\.example/editions(/[0-9-]+)?", i) for i in ids)
    moments = [str(e.text) for e in feed.iter() if e.tag in (f"{ATOM}updated", f"{ATOM}published")]
    assert len(moments) == 5
    assert all(RFC3339.fullmatch(moment) for moment in moments)  # §3.3
    assert feed.findtext(f"{ATOM}updated") == max(moments)
    for entry in entries:
        content = entry.find(f"{ATOM}content")
        assert content is not None
        assert content.get("type") == "html"
        assert len(content) == 0  # §4.1.3.3: escaped, no child elements
        assert tree(str(content.text)).xpath("//article")


def test_rss_keeps_the_rules_of_its_version_2() -> None:
    root = ET.fromstring(build()["feed.xml"])
    assert (root.tag, root.get("version")) == ("rss", "2.0")
    channel = rss(build())
    for name in ("title", "link", "description", "language", "lastBuildDate"):
        assert len(channel.findall(name)) == 1
        assert channel.findtext(name)
    assert parsedate_to_datetime(str(channel.findtext("lastBuildDate"))) == NOON
    for item, url in zip(channel.findall("item"), URLS, strict=True):
        guid = item.find("guid")
        assert guid is not None
        assert (guid.text, guid.get("isPermaLink")) == (url, "true")
        assert item.findtext("link") == url
        assert re.fullmatch(
            r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d \+0000",
            str(item.findtext("pubDate")),
        )
        assert item.findtext(CONTENT)


def test_json_feed_keeps_the_rules_of_its_version_1_1() -> None:
    document = json.loads(build()["feed.json"])
    assert document["version"] == "https://jsonfeed.org/version/1.1"
    assert document["feed_url"] == "https://news.example/editions/feed.json"
    assert document["home_page_url"] == "https://news.example/editions"
    for item, url in zip(document["items"], URLS, strict=True):
        assert item["id"] == item["url"] == url
        assert RFC3339.fullmatch(item["date_published"])
        assert RFC3339.fullmatch(item["date_modified"])
        assert item["content_html"].startswith("<div lang=")
        assert all(isinstance(tag, str) for tag in item["tags"])


def test_what_they_carry_has_whole_addresses_and_nothing_of_the_page() -> None:
    site = open_own(url="https://x.example/brief")
    html = build_entry(site, WRITTEN[0]).html
    for href in tree(html).xpath("//@href"):
        assert re.match(r"https://[a-z.]+/", str(href))
    assert "https://x.example/brief/editions/2026-11-23/briefs/1" in html
    assert not re.search(r"<(style|script|nav|header|footer|h1)|\bid=", html)


def test_text_is_not_markup() -> None:
    files = build()
    title = "Ferry & <fog>"
    assert rss(files).findall("item")[1].findtext("title") == title
    entries = ET.fromstring(files["atom.xml"]).findall(f"{ATOM}entry")
    assert entries[1].findtext(f"{ATOM}title") == title
    assert entries[1][0].get("type", "text") == "text"
    assert json.loads(files["feed.json"])["items"][1]["title"] == title


def test_the_same_editions_give_the_same_bytes() -> None:
    assert build() == build()


@settings(max_examples=examples(25), deadline=None)
@given(hostile_briefs(), HOSTILE)
def test_hostile_text_is_inert_in_every_field(brief: Brief, text: str) -> None:
    edition: Edition = replace(EDITION, briefs=(brief, BRIEF), subject=text, preheader=text)
    published = Published(edition=edition, published_at=NOON)
    files = build([published], name=text + "n")
    (item,) = rss(files).findall("item")
    (entry,) = ET.fromstring(files["atom.xml"]).findall(f"{ATOM}entry")
    (written,) = json.loads(files["feed.json"])["items"]
    contents = {
        str(item.findtext(CONTENT)),
        str(entry.findtext(f"{ATOM}content")),
        str(written["content_html"]),
    }
    assert len(contents) == 1
    (html,) = contents
    page = tree(html)
    assert not page.xpath("//script|//iframe|//img|//svg|//form|//style")
    assert not page.xpath("//@*[starts-with(name(), 'on')]")
    assert [h for h in page.xpath("//@href") if not re.match(r"https://[a-z.]+([/?#]|$)", h)] == []
    assert "{{7*7}}" in html or "{{7*7}}" not in brief.summary
    for data in files.values():
        shown = data.decode()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", shown)
    headline = open_own().headline(edition)
    assert " ".join(str(item.findtext("title")).split()) == " ".join(headline.split())
    assert written["title"] == headline


def test_times_are_utc_whatever_they_were() -> None:
    assert WRITTEN[1].published_at.astimezone(UTC).hour == 12
    item = rss(build()).findall("item")[1]
    assert str(item.findtext("pubDate")) == "Sun, 22 Nov 2026 12:00:00 +0000"
