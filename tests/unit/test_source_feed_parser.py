"""Feeds of every kind → entries as text."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.briefs.sources import feed_parser
from newsletter.briefs.sources.entry import Entry, ParsedFeed
from newsletter.briefs.sources.feed_parser import parse_feed
from newsletter.briefs.sources.html_text import html_to_text
from tests.examples import examples

URL = "https://wire.example/feeds/all"
SIX = datetime(2026, 11, 2, 6, tzinfo=UTC).timestamp()


def parse(body: bytes | str, content_type: str = "application/rss+xml") -> ParsedFeed:
    data = body.encode() if isinstance(body, str) else body
    return parse_feed(data, content_type=content_type, url=URL)


def rss(*items: str, head: str = "") -> str:
    return (
        f'<?xml version="1.0"?>{head}<rss version="2.0" '
        'xmlns:content="http://purl.org/rss/1.0/modules/content/" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>Wire</title>'
        f"{''.join(f'<item>{item}</item>' for item in items)}</channel></rss>"
    )


def test_rss() -> None:
    feed = parse(
        rss(
            "<title>Port &amp; rail reopen</title><link>https://wire.example/port</link>"
            '<guid isPermaLink="false">port-1</guid>'
            "<description>&lt;p&gt;Ships are &lt;b&gt;back&lt;/b&gt;.&lt;/p&gt;</description>"
            "<content:encoded><![CDATA[<p>Ships are back.</p><p>Trains too.</p>]]>"
            "</content:encoded>"
            "<category>Trade</category><category>Ports</category>"
            "<dc:creator>Ada Example</dc:creator>"
            "<pubDate>Mon, 02 Nov 2026 07:00:00 +0100</pubDate>"
            '<source url="https://outlet.example/rss">The Outlet</source>'
        )
    )
    assert feed == ParsedFeed(
        format="rss20",
        entries=(
            Entry(
                id="port-1",
                link="https://wire.example/port",
                title="Port & rail reopen",
                summary="Ships are back.",
                content="Ships are back.\n\nTrains too.",
                published_seconds=SIX,
                topics=("Trade", "Ports"),
                author="Ada Example",
                outlet="The Outlet",
            ),
        ),
    )


ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>Wire</title><entry>
<id>tag:wire.example,2026:1</id><title type="text">Use &lt;b&gt; wisely</title>
<link rel="alternate" href="/port"/><updated>2026-11-02T08:00:00Z</updated>
<published>2026-11-02T06:00:00Z</published><author><name>Ada Example</name></author>
<category term="trade" label="Trade"/>
<summary type="html">Ships &lt;i&gt;are&lt;/i&gt; back.</summary>
<content type="xhtml">
<div xmlns="http://www.w3.org/1999/xhtml"><p>One.</p><p>Two.</p></div></content>
</entry></feed>"""


def test_atom() -> None:
    (entry,) = parse(ATOM, "application/atom+xml").entries
    assert entry == Entry(
        id="tag:wire.example,2026:1",
        link="https://wire.example/port",
        title="Use <b> wisely",
        summary="Ships are back.",
        content="One.\n\nTwo.",
        published_seconds=SIX,
        topics=("Trade",),
        author="Ada Example",
    )


JSON_FEED: dict[str, Any] = {
    "version": "https://jsonfeed.org/version/1.1",
    "title": "Islands",
    "items": [
        {
            "id": 17,
            "url": "port",
            "external_url": "https://outlet.example/story",
            "title": "Port reopens",
            "summary": "Ships are back.",
            "content_html": "<p>Ships are back.</p><p>Trains too.</p>",
            "date_published": "2026-11-02T07:00:00+01:00",
            "tags": ["Trade", 3, ""],
            "authors": [{"name": "Ada Example"}, {"url": "https://x.example"}, None],
        }
    ],
}


def test_json_feed() -> None:
    feed = parse(b"\xef\xbb\xbf" + json.dumps(JSON_FEED).encode(), "application/feed+json")
    assert feed.format == "json"
    assert feed.entries == (
        Entry(
            id="17",
            link="https://wire.example/feeds/port",
            title="Port reopens",
            summary="Ships are back.",
            content="Ships are back.\n\nTrains too.",
            published_seconds=SIX,
            topics=("Trade",),
            author="Ada Example",
            original_link="https://outlet.example/story",
        ),
    )


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("<pubDate>Mon, 02 Nov 2026 06:00:00</pubDate>", SIX),
        ("<pubDate>Mon, 02 Nov 2026 06:00:00 GMT</pubDate>", SIX),
        ("<pubDate>Mon, 02 Nov 2026 01:00:00 EST</pubDate>", SIX),
        ("<pubDate>2 Nov 2026 06:00</pubDate>", SIX),
        ("<dc:date>2026-11-02T06:00:00</dc:date>", SIX),
        ("<pubDate>soon</pubDate>", None),
        ("<pubDate></pubDate>", None),
        ("", None),
    ],
)
def test_a_date_without_a_zone_is_utc(date: str, expected: float | None) -> None:
    (entry,) = parse(rss(f"<title>t</title>{date}")).entries
    assert entry.published_seconds == expected


def test_an_updated_time_stands_in_for_a_published_one() -> None:
    atom = ATOM.replace("published>", "x>")
    assert parse(atom).entries[0].published_seconds == SIX + 2 * 3600
    dates = {"date_published": "", "date_modified": "2026-11-02T06:00:00"}
    undated = {**JSON_FEED["items"][0], **dates}
    assert parse(json.dumps({**JSON_FEED, "items": [undated]})).entries[0].published_seconds == SIX


@pytest.mark.parametrize(
    ("encoding", "declared", "content_type"),
    [
        ("utf-8", "", "text/xml"),
        ("utf-8", "iso-8859-1", "application/rss+xml; charset=iso-8859-1"),
        ("utf-8", "us-ascii", "text/html"),
        ("utf-8-sig", "utf-8", "application/rss+xml"),
        ("cp1252", "windows-1252", "text/xml"),
        ("iso-8859-1", "", "text/xml; charset=iso-8859-1"),
        ("cp1252", "utf-8", "text/xml; charset=utf-8"),
        ("utf-16", "utf-16", "application/xml"),
    ],
)
def test_a_wrong_charset_does_no_harm(encoding: str, declared: str, content_type: str) -> None:
    text = rss("<title>Café in Kilm</title>")
    if declared:
        text = text.replace('version="1.0"?', f'version="1.0" encoding="{declared}"?')
    assert parse(text.encode(encoding), content_type).entries[0].title == "Café in Kilm"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One <b>two</b>.</p>\n<p>Three.</p>", "One two.\n\nThree."),
        ("One<br>two<br/>three", "One\ntwo\nthree"),
        ("<ul><li>a</li><li>b</li></ul>", "a\n\nb"),
        ("<div>\n  many\n  lines\n</div>", "many lines"),
        ("no markup\nat all &amp; more", "no markup\nat all & more"),
        ("5 < 6 and 7 > 3", "5 < 6 and 7 > 3"),
        ("<script>alert(1)</script><p>x</p><style>p{}</style>", "x"),
        ("<p onclick='x'>a<!-- secret --><iframe src=x>b</iframe></p>", "a"),
        ("<p>&lt;script&gt; stays text</p>", "<script> stays text"),
        ("<b>unbalanced</td></p></div>", "unbalanced"),
        ("<!--[if mso]>Outlook<![endif]--><p>All</p>", "All"),
        ("<img src=x alt=y>", ""),
        ("{{7*7}}", "{{7*7}}"),
    ],
)
def test_html_becomes_text(html: str, text: str) -> None:
    assert html_to_text(html) == text


def test_markup_in_rss_is_markup_whatever_it_calls_itself() -> None:
    (entry,) = parse(
        rss(
            "<title>t</title><description>&lt;p&gt;a&lt;script&gt;x&lt;/script&gt;"
            "&lt;/p&gt;</description>"
        )
    ).entries
    assert entry.summary == "a"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"<!DOCTYPE html><html><head><title>Wire</title></head><body>Hello</body></html>",
        b"\x89PNG\r\n\x1a\n",
        b"{",
        b"{}",
        b'{"version": "https://jsonfeed.org/version/1.1"}',
        b'{"items": []}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"plain text",
    ],
)
def test_what_is_no_feed_has_no_format(body: bytes) -> None:
    assert parse(body).format == ""


def test_nothing_is_opened_though_it_looks_like_a_path(tmp_path: Path) -> None:
    trap = tmp_path / "feed.xml"
    trap.write_text(rss("<title>secret</title>"))
    assert parse(str(trap)).entries == ()
    assert parse(trap.as_uri()).entries == ()


@pytest.mark.parametrize(
    ("head", "title"),
    [
        ('<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/hostname">]>', "&x;"),
        ('<!DOCTYPE rss [<!ENTITY % p SYSTEM "http://127.0.0.1:9/p"> %p;]>', "&x;"),
        ('<!DOCTYPE rss SYSTEM "http://127.0.0.1:9/rss.dtd">', "t"),
        (
            "<!DOCTYPE rss [<!ENTITY a0 'ha'>"
            + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 12))
            + "]>",
            "&a11;",
        ),
        (f"<!DOCTYPE rss [<!ENTITY a '{'a' * 50_000}'>]>", "&a;" * 20_000),
    ],
    ids=["file", "parameter", "dtd", "laughs", "quadratic"],
)
def test_entities_neither_read_files_nor_grow(head: str, title: str) -> None:
    started = time.process_time()
    feed = parse(rss(f"<title>{title}</title>", head=head))
    assert time.process_time() - started < 5
    assert all(len(entry.title) < 200_001 for entry in feed.entries)
    assert Path("/etc/hostname").read_text().strip() not in str(feed.entries)


def test_a_feed_that_breaks_off_says_so() -> None:
    feed = parse(rss("<title>whole</title>", "<title>half</title>").partition("half")[0])
    assert feed.entries[0].title == "whole"
    assert feed.flaw


def test_an_ill_formed_feed_is_read_all_the_same() -> None:
    feed = parse(rss("<title>Trade & ports&nbsp;</title>", "<title>second</title>"))
    assert [entry.title for entry in feed.entries] == ["Trade & ports", "second"]
    assert "line 1" in feed.flaw


def test_entries_beyond_the_ceiling_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_parser, "MAX_ENTRIES", 2)
    feed = parse(rss(*["<title>t</title>"] * 5))
    assert (len(feed.entries), feed.left_out) == (2, 3)


def test_a_feed_crosses_to_the_other_process_unchanged() -> None:
    feed = parse(ATOM)
    assert ParsedFeed.from_document(json.loads(json.dumps(feed.to_document()))) == feed


@settings(max_examples=examples(50), deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_give_a_feed_or_none(body: bytes, as_item: bool) -> None:
    if as_item:
        body = rss("<title>{}</title>").encode().replace(b"{}", body)
    parse(body)


@settings(max_examples=examples(50), deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda values: (
            st.lists(values)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "id",
                        "url",
                        "title",
                        "tags",
                        "authors",
                        "author",
                        "name",
                        "content_html",
                        "date_published",
                        "external_url",
                    ]
                ),
                values,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_feed_gives_entries(item: object) -> None:
    parse(json.dumps({**JSON_FEED, "items": [item]}))
