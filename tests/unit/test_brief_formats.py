"""One document of any format, and the text of a feed's entry."""

import json
from html import escape
from pathlib import Path

import pytest

from newsletter.briefs.document import brief_to_document
from newsletter.briefs.formats import SUFFIXES, parse_document, parse_entry_text
from newsletter.briefs.model import Brief
from newsletter.briefs.text import parse_text
from newsletter.errors import BriefError
from newsletter.settings import Vocabulary

DEFAULT = Vocabulary()
SAMPLE = (Path(__file__).parent / "brief_cases" / "sample.txt").read_text()
(SAMPLE_BRIEF,) = parse_text(SAMPLE, vocabulary=DEFAULT).briefs
TITLE, BODY = SAMPLE.split("\n", 1)
HTML = "".join(f"<p>{escape(line)}</p>" for line in SAMPLE.splitlines())
DOCUMENT = json.dumps(brief_to_document(SAMPLE_BRIEF))


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".txt", SAMPLE),
        (".TXT", SAMPLE),
        (".md", SAMPLE),
        (".json", DOCUMENT),
        (".jsonl", DOCUMENT),
        (".html", HTML),
        (".htm", HTML),
        (".txt", HTML),
        (".md", f"<script>x</script>{HTML}"),
    ],
)
def test_every_format_gives_the_same_brief(suffix: str, text: str) -> None:
    parsed = parse_document(text.encode(), suffix=suffix, vocabulary=DEFAULT, file=f"b{suffix}")
    assert parsed.briefs == (SAMPLE_BRIEF,)
    assert parsed.problems == ()


def test_an_unknown_suffix_is_refused() -> None:
    with pytest.raises(BriefError) as caught:
        parse_document(b"x", suffix=".docx", vocabulary=DEFAULT, file="b.docx")
    assert str(caught.value) == (
        'b.docx: ".docx" is no format of a brief; use one of .txt, .md, .json, .jsonl, .html, .htm.'
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("data", [b"", b"\n", b"\x89PNG\r\n\x1a\n\0", b"\0\1\2", b"T", b"\xff\xfe"])
def test_no_format_takes_what_is_no_brief(suffix: str, data: bytes) -> None:
    with pytest.raises(BriefError) as caught:
        parse_document(data, suffix=suffix, vocabulary=DEFAULT, file="f")
    assert caught.value.file == "f"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        pytest.param(SAMPLE, TITLE, id="title repeated"),
        pytest.param(SAMPLE, f"  {TITLE}\n", id="title with blanks"),
        pytest.param(BODY, TITLE, id="title apart"),
        pytest.param(BODY.split("\n", 1)[1], TITLE, id="no brand line"),
        pytest.param(SAMPLE, "", id="no title given"),
        pytest.param(HTML, TITLE, id="HTML"),
        pytest.param(HTML.split("</p>", 1)[1], TITLE, id="HTML, title apart"),
        pytest.param("<br/>\n".join(map(escape, SAMPLE.splitlines())), TITLE, id="breaks"),
    ],
)
def test_an_entry_in_the_shape_of_a_brief_is_one(text: str, title: str) -> None:
    assert parse_entry_text(text, vocabulary=DEFAULT, title=title) == SAMPLE_BRIEF


@pytest.mark.parametrize(
    "text", ["Facts.\nWhy this matters\nIt does.", "<p>Facts.</p><p>Why this matters: It does.</p>"]
)
def test_one_known_heading_is_enough(text: str) -> None:
    found = parse_entry_text(text, vocabulary=DEFAULT, title="Storm")
    assert found == Brief(title="Storm", summary="Facts.", why_it_matters="It does.")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Just a summary.",
        "<p>Just a summary.</p>",
        "<img src='x'>",
        "A summary.\nWho Loses\nNobody.",
        "Why this matters\nThere is no summary.",
        f"{SAMPLE}\n{SAMPLE.replace('Port of', 'Another Port of')}",
        "\x89PNG\0",
        "---\nid: [\n---\nT\nAFBytes Brief\nS",
    ],
)
def test_any_other_entry_is_none(text: str) -> None:
    assert parse_entry_text(text, vocabulary=DEFAULT, title="Storm") is None
