from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import html5lib
from hypothesis import given
from hypothesis import strategies as st

from newsletter.demo.export import format_name, write_messages
from newsletter.demo.message import ReceivedMessage

RAW = (
    b"Subject: Morning\r\n"
    b'Content-Type: multipart/alternative; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n"
    b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    b"<!doctype html><p>Gr\xc3\xbc\xc3\x9fe</p><script>x()</script>\r\n--b--\r\n"
)


def received(recipient: str, raw: bytes = RAW, number: int = 1) -> ReceivedMessage:
    return ReceivedMessage(
        number=number,
        sender="bounce@news.example",
        recipient=recipient,
        arrived_at=datetime(2030, 5, 4, 6, 7, 8, tzinfo=UTC),
        raw=raw,
    )


def test_writes_each_message_three_times_and_a_list(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "out"
    paths = write_messages(
        [received("ada@reader.example"), received("bob@reader.example", number=2)], directory
    )
    assert [path.name for path in paths] == [
        "index.html",
        "001-ada@reader.example.html",
        "001-ada@reader.example.txt",
        "001-ada@reader.example.eml",
        "002-bob@reader.example.html",
        "002-bob@reader.example.txt",
        "002-bob@reader.example.eml",
    ]
    assert sorted(paths) == sorted(directory.iterdir())
    assert (directory / "001-ada@reader.example.eml").read_bytes() == RAW
    assert (directory / "001-ada@reader.example.txt").read_bytes() == "Grüße".encode()
    assert "<p>Grüße</p>" in (directory / "001-ada@reader.example.html").read_text("utf-8")


def test_the_list_links_to_every_file_relatively(tmp_path: Path) -> None:
    paths = write_messages([received("a%41?#@reader.example")], tmp_path)
    tree = html5lib.parse(paths[0].read_bytes(), namespaceHTMLElements=False)
    links = [a.attrib["href"] for a in tree.iter("a") if not a.attrib["href"].startswith("#")]
    assert [unquote(link) for link in links] == [paths[1].name] + [p.name for p in paths[1:]]


def test_scripts_of_a_message_cannot_run_from_the_file(tmp_path: Path) -> None:
    paths = write_messages([received("ada@reader.example")], tmp_path)
    html = paths[1].read_text("utf-8")
    assert html.index("default-src 'none'") < html.index("<script>")


def test_a_message_of_no_bytes_still_has_its_source(tmp_path: Path) -> None:
    paths = write_messages([received("ada@reader.example", b"")], tmp_path)
    assert [path.name for path in paths] == ["index.html", "001-ada@reader.example.eml"]


@given(st.text(max_size=120))
def test_any_recipient_gives_a_name_that_every_file_system_takes(recipient: str) -> None:
    name = format_name(received(recipient))
    assert name.isascii()
    assert name.startswith("001-")
    assert len(name) <= 90
    assert not set(name) & set('/\\:*?"<>|%# \x00\n')
