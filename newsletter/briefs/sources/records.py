"""Records of an API or of a database → briefs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from newsletter.briefs.document import brief_from_document, brief_to_document
from newsletter.briefs.formats import parse_entry_text
from newsletter.briefs.normalise import plain_line
from newsletter.briefs.sources.apart import parse_apart
from newsletter.briefs.sources.feed import summarise, web_address
from newsletter.briefs.sources.reading import Item
from newsletter.errors import BriefError, SourceError
from newsletter.settings import Vocabulary

_PARSER = "newsletter.briefs.sources.record_parser"
_MAX_LINE_CHARS = 1_000
_MAX_SUMMARY_CHARS = 2_000  # an editor's own summary may be longer than what is cut from a text


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What one answer held."""

    items: tuple[Item, ...]
    problems: tuple[str, ...]
    count: int
    """Records, good and bad."""
    next: str | None
    """What stood at the path of the next page."""


def parse_records(
    body: bytes,
    *,
    items: str,
    fields: Mapping[str, str],
    next_path: str = "",
    url: str,
    place: str,
    vocabulary: Vocabulary,
) -> Records:
    """Read the records at the path `items` of a JSON document; links are relative to `url`.

    `place` names the document. Raises `SourceError` for what is no such document.
    """
    about = {"items": items, "fields": dict(fields), "next": next_path, "url": url}
    answer = parse_apart(_PARSER, about, body, place=place)
    if answer["flaw"]:
        raise SourceError(answer["flaw"], file=place, mend="check the address and the path `items`")
    found, problems = [], []
    for number, record in enumerate(answer["records"], 1):
        try:
            found.append(build_item(record, vocabulary=vocabulary, file=f"{place}, item {number}"))
        except BriefError as error:
            problems.append(str(error))
    if answer["left_out"]:
        problems.append(f"{place}: {answer['left_out']} items beyond the ceiling.")
    return Records(
        items=tuple(found),
        problems=tuple(problems),
        count=len(answer["records"]),
        next=answer["next"],
    )


def build_item(record: Mapping[str, Any], *, vocabulary: Vocabulary, file: str) -> Item:
    """Make a brief of a record as the parser gives it; a full one if its content is one.

    Raises `BriefError` naming the field that is missing or wrong.
    """
    document = dict(record)
    content = document.pop("content", "")
    title = plain_line(document.get("title", ""))[:_MAX_LINE_CHARS]
    full = parse_entry_text(content, vocabulary=vocabulary, title=title) if content else None
    if full:
        document |= brief_to_document(full) | {
            name: record[name] for name in ("id", "link") if name in record
        }
    else:
        stated = summarise(document.get("summary", ""), title, limit=_MAX_SUMMARY_CHARS)
        document |= {"title": title, "summary": stated or summarise(content, title)}
    for name in ("title", "summary"):
        if not document[name]:
            raise BriefError(f"has no {name}", file=file)
    link = web_address(document.pop("link", ""))
    if link:
        document["link"] = link
        host = (urlsplit(link).hostname or "").removeprefix("www.")
        document.setdefault("sources", [{"name": host, "url": link}])
    brief = brief_from_document(document, file=file)
    return Item(brief=brief, origin=brief.link or brief.id or brief.title)
