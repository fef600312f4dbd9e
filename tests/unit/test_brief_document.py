"""JSON and JSON Lines by the published schema."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from newsletter.briefs.document import (
    brief_from_document,
    brief_schema,
    brief_to_document,
    parse_json,
    parse_jsonl,
)
from newsletter.briefs.model import Brief, Perspective, Picture, Point, Source
from newsletter.briefs.oddities import Oddity
from newsletter.errors import BriefError

BRIEF = Brief(
    title="Port reopens",
    summary="Ships are back.\n\nThree berths stay shut.",
    why_it_matters="Grain.",
    quick_take=(Point(label="Who Loses", text="Carriers."),),
    perspectives=(Perspective(lens="Sea View", descriptor="How wet.", text="Very."),),
    sources=(Source(name="wire.example", url="https://wire.example/a:b"),),
    disclosure="By hand.",
    id="rss:0a",
    link="https://news.example/news/article/rss:0a/it's",
    topics=("trade", "oil, gas"),
    author="Ada Example",
    published_at=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
    picture=Picture(
        url="https://pictures.example/it's.jpg?w=1",
        alt="Cranes at dawn",
        width=1120,
        height=630,
        caption="The port.",
        credit="Ada",
    ),
    not_before=datetime(2026, 3, 5, tzinfo=UTC),
    expires_at=datetime(2026, 3, 6, tzinfo=UTC),
    priority=-2,
    pinned=True,
    update="The vote is now on Friday.",
    drafted_by="ai",
)
PICTURE = {"url": "https://pictures.example/a.jpg", "alt": "A", "width": 2, "height": 1}
SMALL = {"title": "T", "summary": "S"}


def encode(document: object) -> bytes:
    return json.dumps(document).encode()


def test_the_schema_is_valid_and_covers_every_field() -> None:
    Draft202012Validator.check_schema(brief_schema())
    document = brief_to_document(BRIEF)
    Draft202012Validator(brief_schema()).validate(document)
    assert set(document) == set(brief_schema()["properties"]) - {"$schema"}
    assert set(document) == set(Brief.__dataclass_fields__)


def test_what_is_empty_is_left_out() -> None:
    assert brief_to_document(Brief(title="T", summary="S")) == SMALL


def test_a_document_gives_back_its_brief() -> None:
    assert parse_json(encode(brief_to_document(BRIEF)), file="b.json").briefs == (BRIEF,)


def test_text_is_cleaned() -> None:
    document = {
        "title": " Ti\u202et\x07le\n ",
        "summary": "One.\r\n\r\n\r\nTwo.\u2028Three \ud800.",
        "topics": ["a", " "],
        "published_at": "2026-03-04",
    }
    brief = brief_from_document(document, file="b.json")
    assert brief == Brief(
        title="Title",
        summary="One.\n\nTwo.\n\nThree .",
        topics=("a",),
        published_at=datetime(2026, 3, 4, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("document", "field", "problem"),
    [
        ({"summary": "S"}, "title", "is missing"),
        ({"title": "T"}, "summary", "is missing"),
        ({**SMALL, "title": ""}, "title", "is empty"),
        ({**SMALL, "title": "\u202e"}, "title", "has no text"),
        ({**SMALL, "summary": " \n "}, "summary", "has no text"),
        ({**SMALL, "title": 5}, "title", "must be text"),
        ({**SMALL, "title": None}, "title", "must be text"),
        ({**SMALL, "topics": "a"}, "topics", "must be a list"),
        ({**SMALL, "drafted_by": "Ada"}, "drafted_by", 'must be "ai"'),
        ({**SMALL, "why_it_maters": "x"}, "why_it_maters", "is not a field of a brief"),
        ({**SMALL, "quick_take": [{"text": "x"}]}, "quick_take[0].label", "is missing"),
        ({**SMALL, "quick_take": [{"label": " "}]}, "quick_take", "lacks a name"),
        ({**SMALL, "perspectives": ["x"]}, "perspectives[0]", "must be an object of fields"),
        ({**SMALL, "sources": [{"name": ""}]}, "sources[0].name", "is empty"),
        ({**SMALL, "published_at": "soon"}, "published_at", "is not a time"),
        ({**SMALL, "picture": None}, "picture", "must be an object of fields"),
        ({**SMALL, "picture": {}}, "picture.url", "is missing"),
        ({**SMALL, "picture": {**PICTURE, "src": "x"}}, "picture.src", "is not a field"),
        ({**SMALL, "picture": {**PICTURE, "width": "2"}}, "picture.width", "a whole number"),
        ({**SMALL, "picture": {**PICTURE, "width": True}}, "picture.width", "a whole number"),
        ({**SMALL, "picture": {**PICTURE, "width": 0}}, "picture.width", "from 1 to 10,000"),
        ({**SMALL, "picture": {**PICTURE, "height": 10_001}}, "picture.height", "from 1 to"),
        ({**SMALL, "picture": {**PICTURE, "alt": "harbor.JPG"}}, "picture", "alt is a file name"),
        ({**SMALL, "picture": {**PICTURE, "url": "//a.example/"}}, "picture", "url must be such"),
        ([], None, "must be an object of fields"),
        (None, None, "must be an object of fields"),
    ],
)
def test_a_document_that_is_no_brief_is_refused_with_its_field(
    document: Any, field: str | None, problem: str
) -> None:
    with pytest.raises(BriefError, match=problem) as caught:
        brief_from_document(document, file="b.jsonl", line=3)
    assert (caught.value.file, caught.value.line) == ("b.jsonl", 3)
    assert caught.value.field == field


def test_the_message_does_not_repeat_a_long_document() -> None:
    with pytest.raises(BriefError) as caught:
        brief_from_document({**SMALL, "topics": "x" * 1_000_000}, file="b.json")
    assert str(caught.value) == "b.json, topics: must be a list."


@pytest.mark.parametrize(
    ("data", "problem", "line"),
    [
        (b"", "is not JSON", 1),
        (b'{"title":\n}', "is not JSON", 2),
        (b"[" * 100_000, "is not JSON", None),
        (b"[" + b"9" * 10_000 + b"]", "is not JSON", None),
        (b"[]", "holds no briefs", None),
        (b"\x89PNG\0", "is a PNG picture", None),
        (b'"text"', "must be an object", None),
        (b"NaN", "must be an object", None),
    ],
)
def test_what_is_no_json_is_refused(data: bytes, problem: str, line: int | None) -> None:
    with pytest.raises(BriefError, match=problem) as caught:
        parse_json(data, file="b.json")
    assert (caught.value.file, caught.value.line) == ("b.json", line)


def test_a_list_reports_its_bad_briefs_and_keeps_the_good() -> None:
    parsed = parse_json(encode([SMALL, {"title": "T"}, {**SMALL, "title": "U"}]), file="b.json")
    assert [b.title for b in parsed.briefs] == ["T", "U"]
    assert [str(p) for p in parsed.problems] == ["b.json, [1].summary: is missing."]


def test_json_lines_report_bad_lines_and_keep_the_good() -> None:
    text = '{"title": "A\u2028B", "summary": "S"}'
    lines = [text.encode(), b"", b"{oops", encode({"title": "T"}), encode(SMALL), b""]
    parsed = parse_jsonl(b"\xef\xbb\xbf" + b"\r\n".join(lines), file="b.jsonl")
    assert [b.title for b in parsed.briefs] == ["A B", "T"]
    assert [(p.line, p.field) for p in parsed.problems] == [(3, None), (4, "summary")]
    assert parsed.warnings == ((), ())


def test_json_lines_of_which_all_are_bad_name_each() -> None:
    parsed = parse_jsonl(b"x\ny", file="b.jsonl")
    assert parsed.briefs == ()
    assert [p.line for p in parsed.problems] == [1, 2]


@pytest.mark.parametrize("data", [b"", b"\n \n", b"{}", b"\0"])
def test_json_lines_without_a_brief_are_refused(data: bytes) -> None:
    with pytest.raises(BriefError):
        parse_jsonl(data, file="b.jsonl")


def test_bytes_that_are_not_utf8_are_a_warning() -> None:
    data = '{"title": "Café", "summary": "S"}'.encode("cp1252")
    parsed = parse_json(data, file="b.json")
    assert parsed.briefs[0].title == "Café"
    assert [w.code for w in parsed.warnings[0]] == [Oddity.NOT_UTF8]
