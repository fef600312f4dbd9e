"""HTML pages of a brief, copied or served."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.briefs.model import Brief, Source
from newsletter.briefs.oddities import Oddity
from newsletter.briefs.page import looks_like_html, parse_page
from newsletter.briefs.text import parse_text
from newsletter.errors import BriefError
from newsletter.settings import Vocabulary
from tests.examples import examples

DEFAULT = Vocabulary()
SAMPLE = (Path(__file__).parent / "brief_cases" / "sample.txt").read_text()
(SAMPLE_BRIEF,) = parse_text(SAMPLE, vocabulary=DEFAULT).briefs
LINK = "https://news.example/news/article/rss:0a1b/port:it's-open"

HEAD = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Port of Example Reopens | News</title>
<meta property="og:title" content="Port of Example Reopens After Storm Damage">
<meta property="article:published_time" content="2026-03-04T05:06:07+01:00">
<meta name="author" content="Ada Example">
<link rel="canonical" href="{LINK}">
<style>p {{ color: red }}</style><script>var x = "</p>AFBytes Brief";</script></head>
"""


def page(*, article: str, head: str = HEAD) -> str:
    return (
        f"{head}<body><nav><a href='/'>Home</a><p>World</p></nav>\n<main><article>{article}"
        "</article></main><footer><p>© Publisher</p></footer></body></html>"
    )


def article() -> str:
    title, brand, *lines = [line.removeprefix("- ") for line in SAMPLE.splitlines()]
    return "\n".join(
        [
            f"<header><h1>{title}</h1></header>",
            '<p><a href="https://harborwire.example/story">Read full story on ',
            "<b>harborwire</b>.example</a></p>",
            f"<button>Share</button><div hidden>{title}</div><p>AI disclosure</p>",
            f"<h2>{brand}</h2><script>document.write('Who Loses')</script><!-- Who Loses -->",
            *(f"<div><p>{escape(line)}</p></div>" for line in lines),
        ]
    )


def parse_one(html: str | bytes) -> Brief:
    (brief,) = parse_page(html, vocabulary=DEFAULT, file="brief.html").briefs
    return brief


def test_a_page_gives_the_brief_and_what_the_page_says_about_it() -> None:
    parsed = parse_page(page(article=article()).encode(), vocabulary=DEFAULT, file="brief.html")
    expected = replace(
        SAMPLE_BRIEF,
        sources=(Source(name="harborwire.example", url="https://harborwire.example/story"),),
        link=LINK,
        author="Ada Example",
        published_at=datetime(2026, 3, 4, 4, 6, 7, tzinfo=UTC),
    )
    assert parsed.briefs == (expected,)
    assert parsed.warnings == ((),)


@pytest.mark.parametrize(
    "html",
    [
        pytest.param("<br>".join(map(escape, SAMPLE.splitlines())), id="breaks"),
        pytest.param("".join(f"<p>{escape(k)}" for k in SAMPLE.splitlines()), id="unclosed"),
        pytest.param("".join(f"<li>{escape(k)}</li>" for k in SAMPLE.splitlines()), id="items"),
        pytest.param(
            "<table>" + "".join(f"<tr><td>{escape(k)}</td></tr>" for k in SAMPLE.splitlines()),
            id="cells",
        ),
        pytest.param(
            "<script>Who Loses</script><p>" + escape(SAMPLE).replace("\n", "</p><p>"),
            id="with a script",
        ),
    ],
)
def test_any_block_elements_make_lines(html: str) -> None:
    assert parse_one(html) == SAMPLE_BRIEF


def test_the_headline_is_what_the_page_calls_itself_and_shows() -> None:
    body = "<p>4 March</p><h1>Storm</h1><p>Summary.</p>"
    parsed = parse_page(page(article=body, head=""), vocabulary=DEFAULT, file="brief.html")
    assert (parsed.briefs[0].title, parsed.briefs[0].summary) == ("Storm", "Summary.")
    assert Oddity.TEXT_LEFT_OUT in [w.code for w in parsed.warnings[0]]
    unheaded = page(article="<p>Summary.</p>", head="<title>From the title</title>")
    assert parse_one(unheaded).title == "From the title"


def test_a_backslash_on_a_page_is_a_backslash() -> None:
    assert parse_one("<h1>T</h1><p>\\ point: x</p><p>\\Who Loses</p>").summary == (
        "\\ point: x\n\n\\Who Loses"
    )


def test_the_declared_character_set_counts_where_it_is_not_utf8() -> None:
    html = '<meta charset="iso-8859-2"><h1>Łódź</h1><p>Summary.</p>'
    assert parse_one(html.encode("iso-8859-2")).title == "Łódź"
    assert parse_one(html.encode()).title == "Łódź"
    unknown = html.replace("iso-8859-2", "no-such")
    assert parse_one(unknown.encode("cp1252", errors="replace")).summary == "Summary."


def test_warnings_name_the_line_of_the_html() -> None:
    html = "<h1>T</h1>\n<p>AFBytes Brief</p>\n<p>S</p>\n<p>Who Loses</p>\n"
    (warnings,) = parse_page(html, vocabulary=DEFAULT, file="brief.html").warnings
    assert (Oddity.POINT_WITHOUT_TEXT, 4) in [(w.code, w.line) for w in warnings]


def test_addresses_other_than_web_addresses_are_not_taken() -> None:
    head = '<link rel="canonical" href="javascript:alert(1)"><meta name="date" content="soon">'
    brief = parse_one(f"{head}<h1>T</h1><p>S</p><a href='javascript:x'>Read full story on a.b</a>")
    assert (brief.link, brief.published_at) == ("", None)


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        (b"", "is empty"),
        (b" \n ", "is empty"),
        (b"\x89PNG\0", "is a PNG picture"),
        (b"<html><script>x</script></html>", "shows no text"),
        (b"<!-- -->", "is not HTML"),
        (b"<p>T</p>", "has no summary"),
        (b"<div>" * 5_000 + b"T", "too deeply"),
    ],
)
def test_a_page_without_a_brief_is_refused(html: bytes, problem: str) -> None:
    with pytest.raises(BriefError, match=problem) as caught:
        parse_page(html, vocabulary=DEFAULT, file="brief.html")
    assert caught.value.file == "brief.html"


def test_entities_are_not_expanded_into_a_bomb_and_no_file_is_read() -> None:
    bomb = (
        '<!DOCTYPE html [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">'
        '<!ENTITY f SYSTEM "file:///etc/hostname">]><h1>T</h1><p>&b; &f; end</p>'
    )
    assert "aaaaaaaaaa" not in parse_one(bomb).summary
    assert parse_one(bomb).summary.endswith("end")


@given(
    html=st.lists(
        st.sampled_from(["<p>", "</p>", "<br>", "<!--", "-->", "<script>", "</script>", "<h1>"])
        | st.text(max_size=20),
        max_size=20,
    ).map("".join)
)
@settings(max_examples=examples(150), deadline=None)
def test_any_html_gives_briefs_or_the_named_error(html: str) -> None:
    try:
        parsed = parse_page(html.encode(errors="replace"), vocabulary=DEFAULT, file="f.html")
    except BriefError:
        return
    assert parsed.briefs


@pytest.mark.parametrize(
    "unit", ["<p>a", "<b>a", "a<br>", "<a href='https://a.example'>x</a>", "<"]
)
def test_a_large_page_is_read_in_linear_time(unit: str) -> None:
    def seconds(size: int) -> float:
        html = f"<h1>T</h1><p>S</p>{unit * (size // len(unit))}".encode()
        begun = time.process_time()
        try:
            parse_page(html, vocabulary=DEFAULT, file="f.html")
        except BriefError as error:
            assert "too deeply" in str(error)  # noqa: PT017 — either outcome is right here
        return time.process_time() - begun

    assert seconds(100_000) < 10 * seconds(25_000) + 0.2


@pytest.mark.parametrize(
    ("text", "is_html"),
    [
        ("<!DOCTYPE html><p>x", True),
        ("\n <DIV class='x'>y</DIV>", True),
        ("<p>x</p>", True),
        ("<!-- x --><p>y", True),
        ("Title <p>x</p>", False),
        ("<3 is a heart", False),
        ("<Port> reopens", False),
    ],
)
def test_html_is_known_by_its_beginning(text: str, is_html: bool) -> None:
    assert looks_like_html(text) == is_html
