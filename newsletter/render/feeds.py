"""The feeds of editions: RSS 2.0, Atom (RFC 4287) and JSON Feed 1.1, each entry a whole edition.

An entry is known by its edition's permanent address and dated by the edition's approval, and by its
last correction, so a feed that is written again is the same bytes. Everything here is pure.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from xml.etree import ElementTree as ET

from newsletter.render.addresses import ARCHIVE_PATH, edition_path
from newsletter.render.context import PublicationView
from newsletter.render.web import (
    FEEDS,
    MARK,
    Published,
    Site,
    build_content,
    format_moment,
)

ENTRIES = 20
"""How many editions a feed has; all are in the archive."""

_ATOM = "http://www.w3.org/2005/Atom"
_CONTENT = "http://purl.org/rss/1.0/modules/content/"
for _prefix, _namespace in (("content", _CONTENT), ("atom", _ATOM)):
    ET.register_namespace(_prefix, _namespace)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An edition in a feed."""

    url: str
    title: str
    summary: str
    published_at: datetime
    changed_at: datetime
    """When it was approved, or corrected last."""
    topics: tuple[str, ...]
    html: str


def build_entry(site: Site, published: Published) -> Entry:
    """Build the entry of an edition, with all its briefs.

    Raises `TemplateError` for a fault in a template.
    """
    context = site.see(published.edition)
    edition = context.edition
    return Entry(
        url=site.url + edition_path(published.edition.date, published.edition.kind),
        title=site.headline(published.edition),
        summary=edition.preheader,
        published_at=published.published_at,
        changed_at=published.changed_at,
        topics=tuple(dict.fromkeys(brief.section for brief in edition.briefs if brief.section)),
        html=build_content(site, published),
    )


def build_feeds(
    site: Site, publication: PublicationView, entries: Sequence[Entry]
) -> dict[str, bytes]:
    """Build all three feeds, by file; there is at least one entry, and the newest comes first."""
    builders = (_build_rss, _build_atom, _build_json)
    return {
        feed.url.lstrip("/"): build(site.url, feed.url, publication, entries)
        for feed, build in zip(FEEDS, builders, strict=True)
    }


def _build_rss(
    base: str, path: str, publication: PublicationView, entries: Sequence[Entry]
) -> bytes:
    rss = ET.Element("rss", {"version": "2.0"})
    channel = ET.SubElement(rss, "channel")
    _add(channel, "title", publication.name)
    _add(channel, "link", base + ARCHIVE_PATH)
    _add(channel, "description", publication.name)
    _add(channel, "language", publication.language)
    _add(channel, "generator", MARK)
    changed_at = max(entry.changed_at for entry in entries)
    _add(channel, "lastBuildDate", _format_rfc5322(changed_at))
    own = {"href": base + path, "rel": "self", "type": FEEDS[0].type}
    ET.SubElement(channel, f"{{{_ATOM}}}link", own)
    for entry in entries:
        item = ET.SubElement(channel, "item")
        _add(item, "title", entry.title)
        _add(item, "link", entry.url)
        ET.SubElement(item, "guid", {"isPermaLink": "true"}).text = entry.url
        _add(item, "pubDate", _format_rfc5322(entry.published_at))
        _add(item, "description", entry.summary)
        for topic in entry.topics:
            _add(item, "category", topic)
        _add(item, f"{{{_CONTENT}}}encoded", entry.html)
    return _write(rss)


def _build_atom(
    base: str, path: str, publication: PublicationView, entries: Sequence[Entry]
) -> bytes:
    feed = ET.Element("feed", {"xmlns": _ATOM, "xml:lang": publication.language})
    _add(feed, "title", publication.name)
    _add(feed, "id", base + ARCHIVE_PATH)
    _add(feed, "updated", format_moment(max(entry.changed_at for entry in entries)))
    _add(feed, "generator", MARK)
    ET.SubElement(feed, "link", {"rel": "self", "type": FEEDS[1].type, "href": base + path})
    home = {"rel": "alternate", "type": "text/html", "href": base + ARCHIVE_PATH}
    ET.SubElement(feed, "link", home)
    _add(ET.SubElement(feed, "author"), "name", publication.name)
    for entry in entries:
        element = ET.SubElement(feed, "entry")
        _add(element, "title", entry.title)
        _add(element, "id", entry.url)
        page = {"rel": "alternate", "type": "text/html", "href": entry.url}
        ET.SubElement(element, "link", page)
        _add(element, "published", format_moment(entry.published_at))
        _add(element, "updated", format_moment(entry.changed_at))
        for topic in entry.topics:
            ET.SubElement(element, "category", {"term": topic})
        _add(element, "summary", entry.summary)
        ET.SubElement(element, "content", {"type": "html"}).text = entry.html
    return _write(feed)


def _build_json(
    base: str, path: str, publication: PublicationView, entries: Sequence[Entry]
) -> bytes:
    document = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": publication.name,
        "home_page_url": base + ARCHIVE_PATH,
        "feed_url": base + path,
        "language": publication.language,
        "authors": [{"name": publication.name}],
        "_newsletter": {"about": MARK},
        "items": [
            {
                "id": entry.url,
                "url": entry.url,
                "title": entry.title,
                "summary": entry.summary,
                "content_html": entry.html,
                "date_published": format_moment(entry.published_at),
                "date_modified": format_moment(entry.changed_at),
                "tags": list(entry.topics),
            }
            for entry in entries
        ],
    }
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()


def _add(parent: ET.Element, tag: str, text: str) -> None:
    ET.SubElement(parent, tag).text = text


def _format_rfc5322(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC))


def _write(root: ET.Element) -> bytes:
    ET.indent(root, " ")
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"
