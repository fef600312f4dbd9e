"""JSON and JSON Lines, by the published schema `brief.schema.json` (draft 2020-12)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from newsletter.briefs.front_matter import format_moment, parse_moment
from newsletter.briefs.model import Brief, BriefWarning, Parsed, Perspective, Point, Source
from newsletter.briefs.normalise import decode, plain_line, plain_text
from newsletter.briefs.picture import picture_to_document, read_picture
from newsletter.errors import BriefError

if TYPE_CHECKING:
    from jsonschema import ValidationError


@cache
def brief_schema() -> dict[str, Any]:
    """Give the published schema."""
    text = files("newsletter.briefs").joinpath("brief.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def brief_to_document(brief: Brief) -> dict[str, Any]:
    """Write a brief as its document; what is empty is left out."""
    document = {
        "title": brief.title,
        "summary": brief.summary,
        "why_it_matters": brief.why_it_matters,
        "quick_take": [{"label": p.label, "text": p.text} for p in brief.quick_take],
        "perspectives": [
            {"lens": p.lens, "descriptor": p.descriptor, "text": p.text} for p in brief.perspectives
        ],
        "sources": [{"name": s.name, "url": s.url} for s in brief.sources],
        "disclosure": brief.disclosure,
        "id": brief.id,
        "link": brief.link,
        "topics": list(brief.topics),
        "author": brief.author,
        "published_at": format_moment(brief.published_at) if brief.published_at else "",
        "picture": picture_to_document(brief.picture) if brief.picture else {},
        "not_before": format_moment(brief.not_before) if brief.not_before else "",
        "expires_at": format_moment(brief.expires_at) if brief.expires_at else "",
        "priority": brief.priority,
        "pinned": brief.pinned,
        "update": brief.update,
        "drafted_by": brief.drafted_by,
    }
    return {key: value for key, value in document.items() if value}


def brief_from_document(document: object, *, file: str, line: int | None = None) -> Brief:
    """Read a brief from its document, and clean its text.

    Raises `BriefError` naming file, line and field.
    """
    return _read_brief(document, file=file, line=line, place="")


def parse_json(data: bytes, *, file: str) -> Parsed:
    """Read a document that holds one brief or a list of them.

    Raises `BriefError` for what is no JSON, or for one brief that cannot be imported; among
    several, such a one is a problem and the others are there.
    """
    text, warnings = decode(data, file=file)
    document = _load(text, file=file, line=None)
    if not isinstance(document, list):
        return _collect([lambda: _read_brief(document, file=file, line=None, place="")], warnings)
    if not document:
        raise BriefError("holds no briefs", file=file)

    def reader(i: int, item: object) -> Callable[[], Brief]:
        return lambda: _read_brief(item, file=file, line=None, place=f"[{i}]")

    return _collect([reader(i, item) for i, item in enumerate(document)], warnings)


def parse_jsonl(data: bytes, *, file: str) -> Parsed:
    """Read one brief a line; a bad line is a problem, and never stops the rest.

    Raises `BriefError` for a document without briefs, or whose only line is bad.
    """
    text, warnings = decode(data, file=file)
    # Only LF ends a line here: the other line separators of Unicode may stand within a string.
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise BriefError("is empty", file=file, mend="write one brief a line")

    def reader(number: int, line: str) -> Callable[[], Brief]:
        return lambda: brief_from_document(
            _load(line, file=file, line=number), file=file, line=number
        )

    return _collect([reader(n, line) for n, line in lines], warnings)


def _collect(readers: Iterable[Callable[[], Brief]], warnings: list[BriefWarning]) -> Parsed:
    briefs: list[Brief] = []
    problems: list[BriefError] = []
    for read in readers:
        try:
            briefs.append(read())
        except BriefError as problem:
            problems.append(problem)
    if len(problems) == 1 and not briefs:
        raise problems[0]
    about = (tuple(warnings),) * len(briefs)
    return Parsed(briefs=tuple(briefs), warnings=about, problems=tuple(problems))


def _load(text: str, *, file: str, line: int | None) -> object:
    try:
        document: object = json.loads(text)
    except json.JSONDecodeError as error:
        at = error.lineno if line is None else line
        raise BriefError(f"is not JSON ({error.msg})", file=file, line=at) from None
    except (ValueError, RecursionError):  # a number or a nesting beyond what Python reads
        raise BriefError("is not JSON that can be read", file=file, line=line) from None
    return document


def _read_brief(document: object, *, file: str, line: int | None, place: str) -> Brief:
    from jsonschema import Draft202012Validator  # takes long to load, and few commands read briefs

    for error in Draft202012Validator(brief_schema()).iter_errors(document):
        raise _explain(error, file=file, line=line, place=place)
    assert isinstance(document, dict)  # the schema says so

    def fail(field: str, problem: str) -> BriefError:
        return BriefError(problem, file=file, line=line, field=f"{place}.{field}".lstrip("."))

    brief = Brief(
        title=plain_line(document["title"]),
        summary=plain_text(document["summary"]),
        why_it_matters=plain_text(document.get("why_it_matters", "")),
        quick_take=tuple(
            Point(label=plain_line(p["label"]), text=plain_text(p.get("text", "")))
            for p in document.get("quick_take", ())
        ),
        perspectives=tuple(
            Perspective(
                lens=plain_line(p["lens"]),
                descriptor=plain_line(p.get("descriptor", "")),
                text=plain_text(p.get("text", "")),
            )
            for p in document.get("perspectives", ())
        ),
        sources=tuple(
            Source(name=plain_line(s["name"]), url=plain_line(s.get("url", "")))
            for s in document.get("sources", ())
        ),
        disclosure=plain_text(document.get("disclosure", "")),
        id=plain_line(document.get("id", "")),
        link=plain_line(document.get("link", "")),
        topics=tuple(filter(None, map(plain_line, document.get("topics", ())))),
        author=plain_line(document.get("author", "")),
        priority=document.get("priority", 0),
        pinned=document.get("pinned", False),
        update=plain_line(document.get("update", "")),
        drafted_by=document.get("drafted_by", ""),
    )
    named = {
        "title": [brief.title],
        "summary": [brief.summary],
        "quick_take": [point.label for point in brief.quick_take],
        "perspectives": [perspective.lens for perspective in brief.perspectives],
        "sources": [source.name for source in brief.sources],
    }
    for field, texts in named.items():
        if not all(texts):
            raise fail(field, "has no text" if field in {"title", "summary"} else "lacks a name")
    if "picture" in document:
        try:
            brief = replace(brief, picture=read_picture(document["picture"]))
        except ValueError as error:
            raise fail("picture", str(error)) from None
    moments: dict[str, Any] = {}
    for field in ("published_at", "not_before", "expires_at"):
        if document.get(field, "").strip():
            try:
                moments[field] = parse_moment(document[field])
            except ValueError as error:
                raise fail(field, str(error)) from None
    return replace(brief, **moments)


def _explain(error: ValidationError, *, file: str, line: int | None, place: str) -> BriefError:
    """Say in one sentence what the schema refused; never repeats the document's text."""
    path = place + "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path
    )
    schema: Any = error.schema
    instance: Any = error.instance
    match error.validator:
        case "required":
            missing = next(name for name in schema["required"] if name not in instance)
            path, problem = f"{path}.{missing}", "is missing"
        case "additionalProperties":
            known = schema["properties"]
            extra = next(name for name in instance if name not in known)
            path, problem = f"{path}.{plain_line(extra)[:60]}", "is not a field of a brief"
        case "type":
            problem = f"must be {_TYPES[schema['type']]}"
        case "enum":
            problem = "must be " + " or ".join(f'"{value}"' for value in schema["enum"] if value)
        case "minimum" | "maximum":
            problem = f"must be from {schema['minimum']:,} to {schema['maximum']:,}"
        case _:
            problem = "is empty"
    return BriefError(problem, file=file, line=line, field=path.lstrip(".") or None)


_TYPES = {
    "string": "text",
    "array": "a list",
    "object": "an object of fields",
    "integer": "a whole number",
    "boolean": "true or false",
}
