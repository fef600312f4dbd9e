"""Pictures: what a mail may load, and from where, whatever the address looks like."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.briefs.formats import parse_entry_text
from newsletter.briefs.front_matter import parse_front_matter
from newsletter.briefs.model import Picture
from newsletter.briefs.picture import read_picture
from newsletter.briefs.sources.folder import read_folder
from newsletter.briefs.sources.reading import SourceContext
from newsletter.briefs.text import parse_text
from newsletter.errors import BriefError
from newsletter.render.context import clean_url
from newsletter.settings import FolderSource, Vocabulary, check_picture_url, picture_host

BRIEF = """\
---
picture: {url: "https://pictures.example/a.jpg", alt: Cranes, width: 640, height: 360}
---
Port reopens
AFBytes Brief
Ships are back.
"""


@pytest.mark.parametrize(
    "url",
    [
        "",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "http://pictures.example/a.jpg",
        "//pictures.example/a.jpg",
        "https://pictures.example",
        "https://localhost/a.jpg",
        "https://evil.example\\@pictures.example/a.jpg",
        "https://pictures.example@evil.example/a.jpg",
        "https://pictures.example:8443/a.jpg",
        "https://pictures.example\\.evil.example/a.jpg",
        "https://pictures.example/a.jpg\nX: y",
        "https://pictures.example/ onerror=x",
        'https://pictures.example/"onerror=x',
        "https://ｐictures.example/a.jpg",
        "https://[::1]/a.jpg",
    ],
)
def test_an_address_that_two_programs_could_read_differently_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be such as"):
        check_picture_url(url)


@given(st.from_regex(r"https://[a-zA-Z0-9.@:\\/?#%_-]{1,30}/[ -~]{0,20}", fullmatch=True))
def test_the_host_that_is_checked_is_the_host_that_is_fetched_from(url: str) -> None:
    try:
        check_picture_url(url)
    except ValueError:
        return
    assert picture_host(url) == urlsplit(url).hostname == urlsplit(clean_url(url)).hostname


def test_a_file_gives_a_picture_and_a_feed_does_not() -> None:
    (brief,) = parse_text(BRIEF, vocabulary=Vocabulary()).briefs
    assert brief.picture is not None
    assert brief.picture.alt == "Cranes"
    of_feed = parse_entry_text(BRIEF, vocabulary=Vocabulary())
    assert of_feed is not None
    assert (of_feed.title, of_feed.picture) == ("Port reopens", None)


GOOD = {"url": "https://p.example/a", "alt": "A", "width": "640", "height": "9"}


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("https://p.example/a.jpg", "must have url, alt, width and height"),
        (["a"], "must have url, alt, width and height"),
        ({"src": "a"}, '"src" says nothing about a picture'),
        ({"url": ""}, "url is missing"),
        ({**GOOD, "alt": ""}, "alt is missing"),
        ({**GOOD, "alt": "\u200b\u202e"}, "alt is missing"),
        ({**GOOD, "alt": ["A"]}, "alt must be text"),
        ({**GOOD, "alt": "IMG_0815.JPeG"}, "alt is a file name"),
        ({**GOOD, "alt": "A" * 501}, "alt is longer than 500"),
        ({**GOOD, "width": "50%"}, "width must be a number of pixels"),
        ({**GOOD, "width": "²"}, "width must be a number of pixels"),
        ({**GOOD, "height": "0"}, "height must be a number of pixels"),
        ({**GOOD, "height": "99999"}, "height must be a number of pixels"),
        ({**GOOD, "height": {}}, "height must be a number of pixels"),
        ({**GOOD, "url": "https://p.example/a.SVG?v=1"}, "use PNG or JPEG"),
    ],
)
def test_what_is_wrong_with_a_picture_is_said(said: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_picture(said)
    front = f'id: 1\npicture: {json.dumps(said)}\nauthor: "Ada"'
    with pytest.raises(BriefError, match=problem) as caught:
        parse_front_matter(front, file="brief.md", line=2)
    assert (caught.value.line, caught.value.field) == (3, "picture")


def test_front_matter_says_all_of_a_picture() -> None:
    block = (
        "Picture:\n  url: https://p.example/it's\n  alt: ' Two\u202e cranes'\n  width: 0640\n"
        "  height: 9\n  caption: 5\n  credit: Ada\n"
    )
    assert parse_front_matter(block, file="f", line=2).fields == {
        "picture": Picture(
            url="https://p.example/it's",
            alt="Two cranes",
            width=640,
            height=9,
            caption="5",
            credit="Ada",
        )
    }


def test_a_sidecar_gives_a_picture_to_one_brief_and_not_to_several(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("Port reopens\nAFBytes Brief\nShips are back.\n")
    (tmp_path / "two.txt").write_text("A\nAFBytes Brief\nB.\n---\nC\nAFBytes Brief\nD.\n")
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text(f"picture: {json.dumps(GOOD)}\nauthor: Ada\n")
    context = SourceContext(root=tmp_path, vocabulary=Vocabulary(), user_agent="")
    reading = read_folder(FolderSource(kind="folder", path=Path()), context)
    assert reading.problems == ()
    shown = [(i.brief.title, i.brief.author, i.brief.picture is not None) for i in reading.items]
    assert shown == [("Port reopens", "Ada", True), ("A", "Ada", False), ("C", "Ada", False)]
