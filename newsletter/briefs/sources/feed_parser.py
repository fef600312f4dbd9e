"""Parse a feed, in a process of its own: `python -m newsletter.briefs.sources.feed_parser`.

Whoever writes a feed can make any parser of XML and HTML burn minutes (an element with
100,000 attributes, 200,000 nested tags), and neither a thread nor feedparser can be stopped.
A process can (see `apart`).

feedparser opens whatever looks like an address or a path, *bytes included*; it is given a
stream, which it can only read.
"""

from __future__ import annotations

import calendar
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin

import feedparser

from newsletter.briefs.sources.apart import serve
from newsletter.briefs.sources.entry import Entry, ParsedFeed
from newsletter.briefs.sources.html_text import html_to_text

MAX_ENTRIES = 1_000

_MAX_TEXT_CHARS = 200_000
_MAX_TOPICS = 20


def parse_feed(body: bytes, *, content_type: str, url: str) -> ParsedFeed:
    """Read RSS, Atom or JSON Feed; `url` is what relative links are relative to."""
    if body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return _parse_json_feed(body, url)
    return _parse_xml_feed(body, content_type, url)


def _parse_xml_feed(body: bytes, content_type: str, url: str) -> ParsedFeed:
    if _is_utf8(body):  # servers and declarations lie about charsets; bytes hardly ever do
        content_type = re.sub(r";.*", "", content_type or "application/xml") + "; charset=utf-8"
    feed: dict[str, Any] = feedparser.parse(
        io.BytesIO(body),
        response_headers={"content-type": content_type, "content-location": url},
        sanitize_html=False,  # all markup goes anyway
        resolve_relative_uris=False,
    )
    raw = feed["entries"]
    version = feed.get("version") or ""
    states_types = version.startswith("atom")
    entries = tuple(_read_xml_entry(entry, states_types) for entry in raw[:MAX_ENTRIES])
    flaw = feed.get("bozo_exception")
    return ParsedFeed(
        format=version,
        entries=entries,
        left_out=max(0, len(raw) - MAX_ENTRIES),
        flaw=_say_flaw(flaw) if isinstance(flaw, Exception) else "",
    )


def _is_utf8(body: bytes) -> bool:
    if b"\0" in body:  # UTF-16
        return False
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _say_flaw(flaw: Exception) -> str:
    if isinstance(flaw, feedparser.exceptions.ThingsNobodyCaresAboutButMe):
        return ""  # about headers and charsets, not about the document
    line = getattr(flaw, "getLineNumber", lambda: None)()
    said = getattr(flaw, "getMessage", lambda: str(flaw))()
    return f"line {line}: {said}" if line else str(said)


def _read_xml_entry(entry: dict[str, Any], states_types: bool) -> Entry:
    # `dict.get`, because feedparser's own answers for one key with the value of another.
    def get(key: str) -> Any:
        return dict.get(entry, key)

    def text(value: Any, detail: Any) -> str:
        # Atom says what its text is. In RSS it may be anything, and markup is markup.
        short = str(value or "")[:_MAX_TEXT_CHARS]
        plain = states_types and dict.get(detail or {}, "type") == "text/plain"
        return short.strip() if plain else html_to_text(short)

    contents = [part for part in get("content") or [] if isinstance(part, dict)]
    source = get("source") or {}
    return Entry(
        id=str(get("id") or ""),
        link=str(get("link") or ""),
        title=text(get("title"), get("title_detail")),
        summary=text(get("summary"), get("summary_detail")),
        content=max((text(part.get("value"), part) for part in contents), key=len, default=""),
        published_seconds=_first_date(get, "published", "updated"),
        topics=tuple(
            str(tag.get("label") or tag.get("term"))
            for tag in (get("tags") or [])[:_MAX_TOPICS]
            if tag.get("label") or tag.get("term")
        ),
        author=str(dict.get(get("author_detail") or {}, "name") or get("author") or ""),
        outlet=text(dict.get(source, "title"), None),
    )


def _first_date(get: Callable[[str], Any], *names: str) -> float | None:
    for name in names:
        moment = get(f"{name}_parsed")
        with suppress(ValueError, OverflowError, TypeError):
            # feedparser gives UTC, but gives up on an RFC 822 date without a zone.
            seconds = calendar.timegm(moment) if moment else _parse_rfc822(str(get(name) or ""))
            return float(seconds)
    return None


def _parse_rfc822(value: str) -> float:
    moment = parsedate_to_datetime(value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _parse_json_feed(body: bytes, url: str) -> ParsedFeed:
    """Read JSON Feed 1.0 and 1.1 (jsonfeed.org/version/1.1)."""
    try:
        feed = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        return ParsedFeed(format="", flaw=f"not JSON ({error})")
    items = feed.get("items")
    version = str(feed.get("version", ""))
    if not re.match(r"https?://(www\.)?jsonfeed\.org/version/1", version) or not isinstance(
        items, list
    ):
        return ParsedFeed(format="")
    return ParsedFeed(
        format="json",
        entries=tuple(
            _read_json_item(item, url) for item in items[:MAX_ENTRIES] if isinstance(item, dict)
        ),
        left_out=max(0, len(items) - MAX_ENTRIES),
    )


def _read_json_item(item: dict[str, Any], url: str) -> Entry:
    def text(key: str) -> str:
        value = item.get(key)
        return str(value)[:_MAX_TEXT_CHARS].strip() if isinstance(value, str | int | float) else ""

    def address(key: str) -> str:
        try:
            return urljoin(url, text(key)) if text(key) else ""
        except ValueError:
            return ""

    return Entry(
        id=text("id"),
        link=address("url") or address("external_url"),
        title=text("title"),
        summary=text("summary"),
        content=html_to_text(text("content_html")) or text("content_text"),
        published_seconds=_parse_rfc3339(text("date_published") or text("date_modified")),
        topics=tuple(_strings(item.get("tags")))[:_MAX_TOPICS],
        author=", ".join(_authors(item)),
        original_link=address("external_url"),
    )


def _authors(item: dict[str, Any]) -> Iterator[str]:
    authors = item.get("authors") or [item.get("author")]  # version 1.1, version 1.0
    for author in authors if isinstance(authors, list) else []:
        if isinstance(author, dict):
            yield from _strings([author.get("name")])


def _strings(values: Any) -> Iterator[str]:
    for value in values if isinstance(values, list) else []:
        if isinstance(value, str) and value.strip():
            yield value.strip()


def _parse_rfc3339(value: str) -> float | None:
    try:
        moment = datetime.fromisoformat(value)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) else None


def _parse(about: Mapping[str, Any], body: bytes) -> Any:
    """Read a document about which `{"content_type": …, "url": …}` is known."""
    feed = parse_feed(body, content_type=about["content_type"], url=about["url"])
    return feed.to_document()


if __name__ == "__main__":
    serve(_parse)
