"""Parse an answer of an API, or rows of a database: JSON in which a brief's parts have other names.

It runs in a process of its own (`apart`). Each record becomes a document in the published
schema of briefs as far as it goes, with all HTML reduced to text, and beside it `content`, a
longer text that a summary can be made of. Whether that is a brief is decided later, by the
schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin

from newsletter.briefs.normalise import decode
from newsletter.briefs.sources.apart import serve
from newsletter.briefs.sources.html_text import html_to_text
from newsletter.errors import BriefError

MAX_RECORDS = 1_000
_MAX_TEXT_CHARS = 200_000
_MAX_LIST = 50
_MILLISECONDS_FROM = 100_000_000_000  # as seconds, that is in the year 5138
_YES = {"1", "true", "yes"}
_NO = {"", "0", "false", "no"}


def parse_answer(about: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    """Read the records of one answer.

    `about` has the paths `items`, `next` and `fields`, and the `url` that links are relative
    to. Gives `records`, `left_out` (how many are beyond the ceiling), `next` and `flaw`.
    """
    try:
        document = json.loads(decode(body, file="answer")[0])
    except (ValueError, RecursionError, BriefError):
        return {"flaw": "is not JSON"}
    records = look_up(document, about["items"]) if about["items"] else document
    if not isinstance(records, list):
        return {"flaw": "has no list" + (f' at "{about["items"]}"' if about["items"] else "")}
    following = look_up(document, about["next"]) if about["next"] else None
    return {
        "records": [
            _read_record(record, about["fields"], about["url"])
            for record in records[:MAX_RECORDS]
            if isinstance(record, dict)
        ],
        "left_out": max(0, len(records) - MAX_RECORDS),
        "next": str(following) if isinstance(following, str | int) and following != "" else None,
        "flaw": "",
    }


def look_up(document: Any, path: str) -> Any:
    """Follow "a.b.0" or the JSON pointer "/a/b/0" (RFC 6901); None where it leads nowhere."""
    if isinstance(document, dict) and path in document:
        return document[path]
    if path.startswith("/"):
        parts = [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]
    else:
        parts = path.split(".")
    for part in parts:
        match document:
            case dict():
                document = document.get(part)
            case list() if part.isdecimal() and int(part) < len(document):
                document = document[int(part)]
            case _:
                return None
    return document


def _read_record(record: Mapping[str, Any], fields: Mapping[str, str], url: str) -> dict[str, Any]:
    read = {}
    for part, read_part in _READERS.items():
        value = look_up(record, fields.get(part, part))
        if value is not None:
            read[part] = read_part(value)
    if read.get("link"):
        try:
            read["link"] = urljoin(url, read["link"])
        except ValueError:
            del read["link"]
    return {part: value for part, value in read.items() if value not in ("", None, [])}


def _bare(value: Any) -> str:
    """Give a value as text without a look at what is in it."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value)[:_MAX_TEXT_CHARS].strip()


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "\n\n".join(filter(None, map(_text, value[:_MAX_LIST])))
    return html_to_text(_bare(value))


def _named(value: Any, *names: str) -> str:
    """Give the name of a thing that is a text, or an object with one of these fields."""
    if isinstance(value, dict):
        return next((_text(value[name]) for name in names if value.get(name)), "")
    return _text(value)


def _listed(value: Any) -> Sequence[Any]:
    if isinstance(value, str) and value.lstrip()[:1] in {"[", "{"}:  # a column that holds JSON
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return [value]
    if isinstance(value, str):
        return [part for part in value.split(",") if part.strip()][:_MAX_LIST]
    return value[:_MAX_LIST] if isinstance(value, list) else [value]


def _topics(value: Any) -> list[str]:
    names = (_named(topic, "name", "title", "label", "term") for topic in _listed(value))
    return [name for name in names if name]


def _sources(value: Any) -> list[dict[str, str]]:
    found = []
    for source in _listed(value):
        url = _bare(source.get("url")) if isinstance(source, dict) else ""
        if name := _named(source, "name", "title", "domain"):
            found.append({"name": name, "url": url})
    return found


def _labelled(value: Any, label: str, *others: str) -> list[dict[str, str]]:
    """Read labelled texts: a list of objects, or one object of label and text."""
    found = []
    for each in _listed(value):
        if not isinstance(each, dict):
            continue
        name = _named(each, label, *others)
        if name:
            descriptor = _text(each.get("descriptor"))
            texts = {label: name, "text": _named(each, "text", "value", "body")}
            found.append(texts | ({"descriptor": descriptor} if descriptor else {}))
        else:
            found += [{label: _text(key), "text": _text(text)} for key, text in each.items()]
    return found


def _quick_take(value: Any) -> list[dict[str, str]]:
    return [
        {"label": point["label"], "text": point["text"]}
        for point in _labelled(value, "label", "name", "title")
    ]


def _perspectives(value: Any) -> list[dict[str, str]]:
    return _labelled(value, "lens", "label", "name", "title")


def _moment(value: Any) -> str:
    """Write a time as ISO 8601; what is none stays there, to be refused: it may be an embargo."""
    is_scalar = isinstance(value, str | int | float) and not isinstance(value, bool)
    text = _bare(value) if is_scalar else "?"
    if re.fullmatch(r"-?\d{9,16}(\.\d+)?", text, re.ASCII):
        seconds = float(text) / (1_000 if abs(float(text)) >= _MILLISECONDS_FROM else 1)
        try:
            return datetime.fromtimestamp(seconds, UTC).isoformat()
        except (ValueError, OverflowError, OSError):
            return text
    try:
        datetime.fromisoformat(text)
    except ValueError:
        try:
            return parsedate_to_datetime(text).isoformat()
        except (ValueError, TypeError, IndexError):
            return text
    return text


def _publication_date(value: Any) -> str:
    """Write a time, or nothing: a brief without a date is dated when it is first seen."""
    moment = _moment(value)
    try:
        datetime.fromisoformat(moment)
    except ValueError:
        return ""
    return moment


def _priority(value: Any) -> Any:
    text = _bare(value)
    return int(text) if re.fullmatch(r"[+-]?\d{1,9}", text, re.ASCII) else value


def _pinned(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    text = _bare(value).casefold()
    return True if text in _YES else False if text in _NO else value


def _drafted_by(value: Any) -> str:
    return _bare(value).casefold()


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "title": _text,
    "summary": _text,
    "content": _text,
    "why_it_matters": _text,
    "quick_take": _quick_take,
    "perspectives": _perspectives,
    "sources": _sources,
    "disclosure": _text,
    "id": _bare,
    "link": _bare,
    "topics": _topics,
    "author": lambda value: _named(value, "name", "title"),
    "published_at": _publication_date,
    "not_before": _moment,
    "expires_at": _moment,
    "priority": _priority,
    "pinned": _pinned,
    "drafted_by": _drafted_by,
}
PARTS = tuple(_READERS)
"""What is read of a record: `newsletter.settings.BRIEF_PARTS`, which takes longer to import than a
record to read."""


if __name__ == "__main__":
    serve(parse_answer)
