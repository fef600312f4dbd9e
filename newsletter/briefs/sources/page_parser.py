"""Parse web pages of stories, in a process of its own (`apart`), with trafilatura.

trafilatura finds the story in a page: without navigation, comments and advertisements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from lxml import etree
from trafilatura import bare_extraction
from trafilatura.utils import load_html

from newsletter.briefs.sources.apart import serve
from newsletter.briefs.sources.entry import Entry

_MAX_TEXT_CHARS = 200_000
_PUBLISHED = {"article:published_time", "datePublished", "date", "dc.date"}


def parse_pages(about: Mapping[str, Any], body: bytes) -> list[dict[str, Any] | None]:
    """Read pages that follow each other; `about["pages"]` has the url and size of each.

    Gives an entry each, None for a page without a story.
    """
    entries, start = [], 0
    for page in about["pages"]:
        entry = _parse_page(body[start : start + page["size"]], page["url"])
        entries.append(asdict(entry) if entry else None)
        start += page["size"]
    return entries


def _parse_page(body: bytes, url: str) -> Entry | None:
    tree = load_html(body)  # finds out the charset by itself
    if tree is None:
        return None
    seconds = _published_seconds(tree)
    found = bare_extraction(
        tree, url=url, with_metadata=True, include_comments=False, include_tables=False
    )
    if found is None or isinstance(found, dict):
        return None
    title = found.title or ""
    lines = (found.text or "")[:_MAX_TEXT_CHARS].split("\n")
    return Entry(
        link=url,
        title=title,
        summary=found.description or "",
        content="\n\n".join(line for line in lines if line.strip() and line.strip() != title),
        published_seconds=seconds if seconds is not None else _seconds(found.date or ""),
        topics=tuple(found.tags or found.categories or ()),
        author=found.author or "",
    )


def _published_seconds(tree: etree._Element) -> float | None:
    """Find the time that the page states; trafilatura knows the day alone."""
    for element in tree.iter("meta", "time"):
        names = {element.get(name) for name in ("property", "itemprop", "name")}
        value = element.get("content" if element.tag == "meta" else "datetime", "")
        named = element.tag == "time" or not names.isdisjoint(_PUBLISHED)
        if named and (seconds := _seconds(value)) is not None:
            return seconds
    return None


def _seconds(value: str) -> float | None:
    try:
        moment = datetime.fromisoformat(value.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


if __name__ == "__main__":
    serve(parse_pages)
