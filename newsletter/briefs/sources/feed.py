"""Feeds: RSS, Atom and JSON Feed over HTTP, fetched only when they changed."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from newsletter.briefs.fetcher import Fetched, fetch, shown
from newsletter.briefs.formats import parse_entry_text
from newsletter.briefs.model import Brief, Source
from newsletter.briefs.normalise import plain_line
from newsletter.briefs.sources.apart import parse_apart
from newsletter.briefs.sources.entry import Entry, ParsedFeed
from newsletter.briefs.sources.reading import Item, Reading, SourceContext
from newsletter.errors import BriefError, SourceError
from newsletter.settings import FeedSource, Vocabulary

_PARSER = "newsletter.briefs.sources.feed_parser"
_SUMMARY_CHARS = 500
_MAX_LINE_CHARS = 1_000

# What publishing systems put around a text: no part of the story.
_FURNITURE = re.compile(
    r"the post .{1,500} (?:appeared first on|first appeared on) .{1,200}"
    r"|(?:continue reading|read more|read the full story)\b[^.!?]{0,200}|comments(?: \(\d+\))?"
    r"|\[?(?:…|\.\.\.)\]?",
    re.IGNORECASE,
)
# The end of a sentence; not of an initial, nor of the commonest titles.
_SENTENCE_END = re.compile(
    r"(?:(?<!\b[A-Z])(?<!\b(?:Mr|Ms|Dr|St|No))(?<!\bMrs)[.]|[!?…])[\"'”’»)\]]*(?=\s)|[。！？]"
)


def read_feed(source: FeedSource, context: SourceContext) -> Reading:
    """Fetch the feed and make its entries briefs. Raises `SourceError`."""
    fetched = fetch(
        source.url,
        validators=context.validators,
        allow_private=source.allow_private,
        timeout_seconds=source.timeout.total_seconds(),
        max_bytes=source.max_bytes,
        user_agent=context.user_agent,
        turns=context.turns,
    )
    if fetched.status == 304:
        return Reading(unchanged=True, validators=fetched.validators)
    feed = _parse_apart(fetched)
    items, problems = [], []
    for number, entry in enumerate(feed.entries, 1):
        try:
            items.append(build_item(entry, vocabulary=context.vocabulary, feed_url=fetched.url))
        except BriefError as error:
            error.file = error.file or f"{shown(fetched.url)}, entry {number}"
            problems.append(str(error))
    if feed.left_out:
        problems.append(f"{shown(fetched.url)}: {feed.left_out} entries beyond the ceiling.")
    if feed.flaw:
        problems.append(f"{shown(fetched.url)}: is not well-formed ({plain_line(feed.flaw)}).")
    return Reading(
        items=tuple(items),
        problems=tuple(problems),
        # A feed that may have been cut off is asked for in full again.
        validators={} if feed.flaw else fetched.validators,
        is_all=True,
    )


def build_item(entry: Entry, *, vocabulary: Vocabulary, feed_url: str) -> Item:
    """Make a brief of an entry: a full one if its text has a brief's shape.

    Raises `BriefError` for an entry without a title or without any text.
    """
    title = plain_line(entry.title)[:_MAX_LINE_CHARS]
    link = web_address(entry.link)
    identifier = plain_line(entry.id)[:_MAX_LINE_CHARS]
    brief = _full_brief(entry, title, vocabulary)
    if brief is None:
        summary = summarise(entry.summary, title) or summarise(entry.content, title)
        if not title:
            raise BriefError(f"has no title{f' ({link})' if link else ''}")
        if not summary:
            raise BriefError(f'"{title[:80]}" has no text')
        brief = Brief(title=title, summary=summary, sources=(_outlet(entry, link, feed_url),))
    topics = (plain_line(topic)[:_MAX_LINE_CHARS] for topic in entry.topics)
    brief = replace(
        brief,
        id=brief.id or identifier,
        link=brief.link or link,
        topics=brief.topics or tuple(dict.fromkeys(topic for topic in topics if topic)),
        author=brief.author or plain_line(entry.author)[:_MAX_LINE_CHARS],
        published_at=brief.published_at or _moment(entry.published_seconds),
    )
    return Item(brief=brief, origin=link or identifier or title)


def summarise(text: str, title: str, *, limit: int = _SUMMARY_CHARS) -> str:
    """Cut a text down to what fits a summary, at the end of a sentence if it can be.

    Gives "" for a text that says nothing but the title.
    """
    paragraphs = [plain_line(paragraph) for paragraph in re.split(r"\n\s*\n", text)]
    kept, length = [], 0
    for paragraph in paragraphs:
        if not paragraph or paragraph == title or _FURNITURE.fullmatch(paragraph):
            continue
        if length + len(paragraph) <= limit:
            kept.append(paragraph)
            length += len(paragraph)
            continue
        if not kept:
            kept.append(_cut(paragraph, limit))
        break
    return "\n\n".join(kept)


def _cut(paragraph: str, limit: int) -> str:
    ends = [match.end() for match in _SENTENCE_END.finditer(paragraph, 0, limit + 1)]
    if ends:
        return paragraph[: ends[-1]].strip()
    words = paragraph[:limit].rsplit(" ", 1)[0]
    return words.rstrip(" ,;:-–—") + "…"


def _full_brief(entry: Entry, title: str, vocabulary: Vocabulary) -> Brief | None:
    for text in (entry.content, entry.summary):
        found = parse_entry_text(text, vocabulary=vocabulary, title=title) if text else None
        if found:
            return found
    return None


def _outlet(entry: Entry, link: str, feed_url: str) -> Source:
    address = web_address(entry.original_link) or link
    host = urlsplit(address or feed_url).hostname or ""
    return Source(name=plain_line(entry.outlet) or host.removeprefix("www."), url=address)


def web_address(text: str) -> str:
    """Give the address if a reader may be sent there, else nothing."""
    text = text.strip()
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and parts.hostname and not parts.username
    except ValueError:
        return ""
    return text if usable and text.isprintable() and " " not in text else ""


def _moment(seconds: float | None) -> datetime | None:
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):  # year 0, year 30000
        return None


def _parse_apart(fetched: Fetched) -> ParsedFeed:
    """Have the feed parsed by a process that may be stopped (see `apart`)."""
    place = shown(fetched.url)
    if not fetched.body.strip():
        raise SourceError("the answer is empty", file=place, mend="ask the feed's owner")
    about = {"content_type": fetched.content_type, "url": fetched.url}
    feed = ParsedFeed.from_document(parse_apart(_PARSER, about, fetched.body, place=place))
    if not feed.format:
        page = re.search(rb"<html\b|<!doctype html", fetched.body[:2_000], re.IGNORECASE)
        raise SourceError(
            "is a web page, not a feed" if page else "is no RSS, Atom or JSON feed",
            file=place,
            mend="look on the site for the address of its feed",
        )
    return feed
