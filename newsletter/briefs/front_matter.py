"""The YAML block ahead of a brief: what the text cannot say (id, link, topics, picture, time).

    ---
    id: 0f8c…
    link: https://news.example/news/article/0f8c…/slug
    topics: trade, ports                   # or a list
    author: Ada Example
    published_at: 2026-03-04T05:06:07Z     # or `date`; without a zone it is UTC
    not_before: 2026-03-05T06:00:00Z       # or `embargo`: in no edition sent earlier
    expires_at: 2026-03-06T00:00:00Z       # or `expires`: in no edition sent from then on
    priority: 3                            # an editor's weight, -9 to 9
    pinned: yes                            # first, whatever the others weigh
    update: The vote is now on Friday.     # or `what_changed`: since the story was told before
    drafted_by: ai                         # a machine drafted the analysis; a person reviews it
    sources: [outlet.example]              # or `source`; replaces what the text names
    title: Port reopens                    # the text may then begin without one
    picture:                               # caption and credit may be added
      {url: https://pictures.example/port.jpg, alt: Cranes at dawn, width: 1120, height: 630}
    ---

Every scalar is read as a string, so that an id of 007, a topic "no" or a date keep their
spelling; aliases are refused (they multiply), tags mean nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml

from newsletter.briefs.attribution import parse_outlets
from newsletter.briefs.model import Brief, BriefWarning, Source
from newsletter.briefs.normalise import plain_line
from newsletter.briefs.oddities import Oddity
from newsletter.briefs.picture import picture_to_document, read_picture
from newsletter.errors import BriefError

_FENCE = re.compile(r"---\s*")
_KEY = re.compile(r"([A-Za-z_][\w-]*)\s*:(?:\s|$)")
_YAML_LINE = re.compile(r"\s*$|\s*#|\s+\S|-\s|[A-Za-z_][\w-]*\s*:(?:\s|$)")
_ALIASES = {
    "date": "published_at",
    "source": "sources",
    "embargo": "not_before",
    "expires": "expires_at",
    "what_changed": "update",
}
_MOMENTS = ("published_at", "not_before", "expires_at")
_KEYS = frozenset(
    {"title", "id", "link", "topics", "author", "sources", "picture", "priority", "pinned"}
    | {"drafted_by", "update"}
    | set(_MOMENTS)
)
HIGHEST_PRIORITY = 9
_YES_OR_NO = {"yes": True, "true": True, "no": False, "false": False}
_MOST_LINES = 100
_MOST_CHARACTERS = 50_000
_DEEPEST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontMatter:
    """What a block said; `fields` are fields of `Brief`."""

    fields: Mapping[str, Any]
    warnings: tuple[BriefWarning, ...] = ()


def find_front_matter(
    lines: Sequence[str], start: int, *, is_part: Callable[[str], bool], file: str
) -> int | None:
    """Find the closing `---` of a block that opens at `lines[start]`; None if none does.

    `is_part` says whether a line is a brand or heading: such a `---` is only a separator.
    Raises `BriefError` when the document begins with a block that never ends.
    """
    if not _FENCE.fullmatch(lines[start]) or start + 1 == len(lines):
        return None
    at_top = not any(lines[:start]) if start < _MOST_LINES else False
    known = looks_like_front_matter(lines[start + 1])
    if not known and not (at_top and _KEY.match(lines[start + 1])):
        return None
    for end in range(start + 1, min(len(lines), start + 1 + _MOST_LINES)):
        if _FENCE.fullmatch(lines[end]):
            return end
        if lines[end].startswith(("-", " ")):
            continue
        if is_part(lines[end]):
            if end == start + 2:  # a headline such as "Date: the long wait", and the brand line
                return None
            break
        if not (known or _YAML_LINE.match(lines[end])):
            break
    if known and at_top:
        problem = "the front matter has no end"
        raise BriefError(problem, file=file, line=start + 1, mend='close it with "---"')
    return None


def looks_like_front_matter(line: str) -> bool:
    """Whether a line after a `---` would be taken for the first of a block."""
    key = _KEY.match(line)
    return key is not None and _canonical(key[1]) in _KEYS


def parse_front_matter(block: str, *, file: str, line: int) -> FrontMatter:
    """Read the lines between the fences; `line` is the number of the first of them.

    Raises `BriefError` naming the line.
    """
    fields: dict[str, Any] = {}
    warnings = []
    for raw_key, value in load_keys(block, file=file, line=line).items():
        key = _canonical(str(raw_key))
        at = line + line_of(block, str(raw_key))
        if key not in _KEYS:
            message = f'the front matter key "{plain_line(str(raw_key))[:60]}" means nothing here'
            warnings.append(BriefWarning(code=Oddity.UNKNOWN_KEY, message=message, line=at))
            continue
        try:
            fields[key] = _PARSERS[key](value)
        except ValueError as error:
            raise BriefError(str(error), file=file, line=at, field=str(raw_key)) from None
    return FrontMatter(
        fields={k: v for k, v in fields.items() if v not in ("", None)}, warnings=tuple(warnings)
    )


def load_keys(block: str, *, file: str, line: int) -> Mapping[str, Any]:
    """Load the keys of a block, whatever they are; every scalar is text.

    `line` is the number of the block's first line. Raises `BriefError` for what is no YAML.
    """
    if len(block) > _MOST_CHARACTERS:
        raise BriefError("the front matter is too long", file=file, line=line)
    try:
        loaded = _Loader(block).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = line + (mark.line if mark else 0)
        problem = f"the front matter is not YAML ({error.problem or 'unreadable'})"
        raise BriefError(problem, file=file, line=at) from None
    except (yaml.YAMLError, ValueError, OverflowError):  # "\UFFFFFFFF" is a ValueError in PyYAML
        raise BriefError("the front matter is not YAML", file=file, line=line) from None
    if loaded in (None, ""):
        return {}
    if not isinstance(loaded, dict):
        raise BriefError(
            "the front matter is not a list of keys",
            file=file,
            line=line,
            mend='write "key: value"',
        )
    return loaded


def format_front_matter(brief: Brief, *, sources_in_text: tuple[Source, ...]) -> str:
    """Write the fields that a brief's text cannot carry; empty if it carries them all."""
    document: dict[str, Any] = {}
    for key in ("id", "link", "author", "update"):
        if getattr(brief, key):
            document[key] = getattr(brief, key)
    if brief.topics:
        document["topics"] = list(brief.topics)
    for key in _MOMENTS:
        if moment := getattr(brief, key):
            document[key] = format_moment(moment)
    if brief.priority:
        document["priority"] = brief.priority
    if brief.pinned:
        document["pinned"] = True
    if brief.drafted_by:
        document["drafted_by"] = brief.drafted_by
    if brief.sources != sources_in_text:
        document["sources"] = [
            {"name": s.name, "url": s.url} if s.url else s.name for s in brief.sources
        ]
    if brief.picture:
        document["picture"] = picture_to_document(brief.picture)
    # JSON is YAML on one line, whatever the value looks like.
    return "".join(
        f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in document.items()
    )


def parse_moment(value: str) -> datetime:
    """Read an ISO 8601 time into aware UTC; one without a zone is UTC already."""
    try:
        moment = datetime.fromisoformat(value.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError('is not a time such as "2026-03-04T05:06:07Z"') from None


def format_moment(moment: datetime) -> str:
    """Write an aware UTC time so that `parse_moment` gives it back."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


class _Loader(yaml.BaseLoader):
    """Every scalar a string; no aliases, no deep nesting."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose as YAML does, within bounds."""
        event = self.peek_event()  # type: ignore[no-untyped-call]  # missing in PyYAML's stubs
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(None, None, "aliases are not allowed", event.start_mark)
        self._depth += 1
        if self._depth > _DEEPEST:
            raise yaml.MarkedYAMLError(None, None, "it is nested too deeply", event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _canonical(key: str) -> str:
    key = key.casefold().replace("-", "_")
    return _ALIASES.get(key, key)


def line_of(block: str, key: str) -> int:
    """Count the lines of a block ahead of a key."""
    for number, line in enumerate(block.splitlines()):
        if line.lstrip("\"' ").startswith(key):
            return number
    return 0


def _line(value: Any) -> str:
    match value:
        case str():
            return plain_line(value)
        case _:
            raise ValueError("must be one value, not a list")


def _lines(value: Any) -> tuple[str, ...]:
    match value:
        case str():
            items = value.split(",")
        case list():
            items = value
        case _:
            raise ValueError("must be a list, or values with commas between")
    return tuple(line for line in map(_line, items) if line)


def _moment(value: Any) -> datetime | None:
    text = _line(value)
    return parse_moment(text) if text else None


def _priority(value: Any) -> int:
    text = _line(value)
    if not text:
        return 0
    if not re.fullmatch(r"[+-]?\d", text, re.ASCII):
        raise ValueError(f"must be a whole number from {-HIGHEST_PRIORITY} to {HIGHEST_PRIORITY}")
    return int(text)


def _yes_or_no(value: Any) -> bool:
    text = _line(value).casefold()
    if text and text not in _YES_OR_NO:
        raise ValueError("must be yes or no")
    return _YES_OR_NO.get(text, False)


def _drafted_by(value: Any) -> str:
    text = _line(value).casefold()
    if text not in ("", "ai"):
        raise ValueError('must be "ai", or left out')
    return text


def _sources(value: Any) -> tuple[Source, ...]:
    match value:
        case str():
            return parse_outlets(plain_line(value))
        case list():
            return tuple(source for source in map(_source, value) if source.name)
        case _:
            raise ValueError("must be an outlet or a list of them")


def _source(value: Any) -> Source:
    match value:
        case {"name": str(name), **rest} if rest.keys() <= {"url"}:
            return Source(name=plain_line(name), url=_line(rest.get("url", "")))
        case _:
            return Source(name=_line(value))


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "title": _line,
    "id": _line,
    "link": _line,
    "author": _line,
    "topics": _lines,
    "published_at": _moment,
    "not_before": _moment,
    "expires_at": _moment,
    "priority": _priority,
    "pinned": _yes_or_no,
    "update": _line,
    "drafted_by": _drafted_by,
    "sources": _sources,
    "picture": read_picture,
}
